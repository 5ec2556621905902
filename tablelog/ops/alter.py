"""Changes of a table's shape and rules: metadata only, no file is rewritten.

Each function takes the metadata of today and gives the actions that change it. Rules that existing rows must already
fulfil (NOT NULL, CHECK) come with a test of the rows, which the caller runs on the state that it plans on.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from tablelog.errors import InvalidError, NotFoundError
from tablelog.format import schema as schemas
from tablelog.format.actions import SetCheck, SetPartitioning, SetProperty, SetSchema, SetSortOrder, SortField
from tablelog.format.partitioning import parse_partitioning
from tablelog.format.types import children
from tablelog.log.history import fan_out_of
from tablelog.ops.policy import compacts_itself
from tablelog.ops.write import inline_max_bytes, target_file_size_bytes

CURVE_COLUMNS_MAX: Final = 8

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tablelog.format.actions import Action
    from tablelog.format.schema import Schema
    from tablelog.format.types import DataType, Field, Scalar
    from tablelog.log.metadata import Metadata


def add_column(metadata: Metadata, field: Field) -> tuple[Action, ...]:
    """A new last column; rows that exist read as its default."""
    return (SetSchema(schema=schemas.add_column(metadata.schema, field)),)


def rename_column(
    metadata: Metadata, old: str, new: str, columns_of: Callable[[str], frozenset[str]]
) -> tuple[Action, ...]:
    """Another name for a column."""
    _refuse_if_checked(metadata, metadata.schema.field(old), "renamed", columns_of)
    return (SetSchema(schema=schemas.rename_column(metadata.schema, old, new)),)


def drop_column(metadata: Metadata, name: str, columns_of: Callable[[str], frozenset[str]]) -> tuple[Action, ...]:
    """One column less; the bytes stay in older files and versions."""
    field = metadata.schema.field(name)
    _refuse_if_checked(metadata, field, "dropped", columns_of)
    for use, used in (
        ("the partitioning", {each.source_id for each in metadata.partitioning.fields}),
        ("the sort order", {each.field_id for each in metadata.sort_order}),
        ("the key", set(metadata.key)),
    ):
        if field.id in used:
            raise InvalidError(f"column {field.name!r} cannot be dropped: {use} needs it")
    return (SetSchema(schema=schemas.drop_column(metadata.schema, name)),)


def widen_column(metadata: Metadata, name: str, type_: DataType) -> tuple[Action, ...]:
    """A type for a column that holds all its values and more."""
    return (SetSchema(schema=schemas.widen_column(metadata.schema, name, type_)),)


def set_nullable(metadata: Metadata, name: str, *, nullable: bool) -> tuple[Action, ...]:
    """Allow or forbid nulls in a column from here on; the caller has made sure that there are none."""
    field = metadata.schema.field(name)
    if nullable and field.id in metadata.key:
        raise InvalidError(f"column {field.name!r} is part of the key and cannot be null")
    return (SetSchema(schema=schemas.replace_column(metadata.schema, replace(field, nullable=nullable))),)


def set_default(metadata: Metadata, name: str, value: Scalar | None) -> tuple[Action, ...]:
    """What appends store from here on when they do not bring the column; None for null."""
    field = replace(metadata.schema.field(name), write_default=value)
    return (SetSchema(schema=schemas.replace_column(metadata.schema, field)),)


def set_comment(metadata: Metadata, name: str, comment: str | None) -> tuple[Action, ...]:
    """A column's comment; None for none."""
    field = replace(metadata.schema.field(name), comment=comment)
    return (SetSchema(schema=schemas.replace_column(metadata.schema, field)),)


def add_check(metadata: Metadata, name: str, expression: str) -> tuple[Action, ...]:
    """A condition that no row may fail; the caller has made sure that none does."""
    schemas.check_name(name, "constraint name")
    if name in metadata.checks:
        raise InvalidError(f"there is a CHECK {name!r} already: {metadata.checks[name]}; drop it first")
    return (SetCheck(name=name, expression=expression),)


def drop_check(metadata: Metadata, name: str) -> tuple[Action, ...]:
    """One condition less."""
    if name not in metadata.checks:
        raise NotFoundError(f"no CHECK {name!r}; there are {', '.join(map(repr, metadata.checks)) or 'none'}")
    return (SetCheck(name=name, expression=None),)


def set_property(metadata: Metadata, name: str, value: str | None) -> tuple[Action, ...]:  # noqa: ARG001 - one shape for all
    """One setting; None removes it."""
    schemas.check_name(name, "property name")
    if value is not None:
        check_settings({name: value})
    return (SetProperty(name=name, value=value),)


def check_settings(properties: Mapping[str, str]) -> None:
    """Make sure that the properties that mean something to tablelog make sense; others are the user's own.

    Raises:
        InvalidError: one does not.

    """
    target_file_size_bytes(properties)
    inline_max_bytes(properties)
    fan_out_of(properties)
    compacts_itself(properties)


def set_partitioning(metadata: Metadata, texts: Iterable[str]) -> tuple[Action, ...]:
    """How files are split from here on; files that exist stay as they are."""
    partitioning = parse_partitioning(tuple(texts), metadata.schema, max(metadata.partitionings) + 1)
    return (SetPartitioning(partitioning=partitioning),)


def set_sort_order(metadata: Metadata, texts: Iterable[str]) -> tuple[Action, ...]:
    """How rows are sorted inside new files; files that exist stay as they are."""
    return (SetSortOrder(fields=parse_sort_order(metadata.schema, texts)),)


def set_curve(metadata: Metadata, texts: Iterable[str]) -> tuple[Action, ...]:
    """Along which columns rows are clustered inside new files, and by compactions."""
    fields = parse_curve(metadata.schema, texts)
    return (SetSortOrder(fields=fields, curve=bool(fields)),)


def parse_curve(schema: Schema, texts: Iterable[str]) -> tuple[SortField, ...]:
    """Columns of a curve, which has no direction."""
    fields = tuple(SortField(field_id=schema.field(text).id) for text in texts)
    if len(fields) > CURVE_COLUMNS_MAX:
        raise InvalidError(
            f"a curve through {len(fields)} columns helps none of them; {CURVE_COLUMNS_MAX} are the most"
        )
    parse_sort_order(schema, (column.name for field in fields if (column := schema.by_id(field.field_id)) is not None))
    return fields


def parse_sort_order(schema: Schema, texts: Iterable[str]) -> tuple[SortField, ...]:
    """A sort order from texts such as `"placed_at"` or `"price desc"`."""
    fields: list[SortField] = []
    for text in texts:
        name, descending = text, False
        if text not in schema and isinstance(text, str):
            words = text.rsplit(maxsplit=1)
            if len(words) > 1 and words[1].lower() in {"asc", "desc"}:
                name, descending = words[0], words[1].lower() == "desc"
        column = schema.field(name)
        if children(column.type):
            raise InvalidError(f"cannot sort by column {column.name!r} of type {column.type}")
        if any(field.field_id == column.id for field in fields):
            raise InvalidError(f"the sort order names column {column.name!r} twice")
        fields.append(SortField(field_id=column.id, descending=descending))
    return tuple(fields)


def _refuse_if_checked(
    metadata: Metadata, field: Field, verb: str, columns_of: Callable[[str], frozenset[str]]
) -> None:
    for name, expression in metadata.checks.items():
        if field.name.casefold() in {column.casefold() for column in columns_of(expression)}:
            raise InvalidError(
                f"column {field.name!r} cannot be {verb}: the CHECK {name!r} ({expression}) speaks of it; "
                f"drop the check first"
            )
