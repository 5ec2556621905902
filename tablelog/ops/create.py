"""Version 0: who the table is, its columns, how it is split, sorted and identified."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tablelog import env
from tablelog.errors import InvalidError
from tablelog.format.actions import (
    SetCheck,
    SetKey,
    SetPartitioning,
    SetProperty,
    SetSchema,
    SetSortOrder,
    TableIdentity,
)
from tablelog.format.partitioning import UNPARTITIONED, parse_partitioning
from tablelog.format.schema import check_name, new_schema
from tablelog.format.types import children, is_float
from tablelog.log.metadata import Metadata
from tablelog.ops.alter import check_settings, parse_curve, parse_sort_order
from tablelog.ops.planned import Planned

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tablelog.format.actions import Action
    from tablelog.format.schema import Schema
    from tablelog.format.types import Field
    from tablelog.ops.write import Written


@dataclass(frozen=True, slots=True, kw_only=True)
class TableOptions:
    """What a table may be given beside its columns."""

    key: tuple[str, ...] = ()
    partition_by: tuple[str, ...] = ()
    sort_by: tuple[str, ...] = ()
    cluster_by: tuple[str, ...] = ()
    checks: Mapping[str, str] = field(default_factory=dict)
    properties: Mapping[str, str] = field(default_factory=dict)


def new_metadata(fields: Iterable[Field], options: TableOptions) -> Metadata:
    """A table as it will be at version 0.

    Raises:
        InvalidError: names, types or options that cannot be.
        NotFoundError: an option names a column that is not there.

    """
    schema = new_schema(fields)
    key = _key(schema, options.key)
    if key:
        members = (replace(column, nullable=False) if column.id in key else column for column in schema)
        schema = replace(schema, fields=tuple(members))
    check_settings(options.properties)
    for name in options.checks:
        check_name(name, "constraint name")
    for name in options.properties:
        check_name(name, "property name")
    if options.sort_by and options.cluster_by:
        raise InvalidError("rows cannot be sorted and clustered; give sort_by, or cluster_by, or neither")
    partitioning = parse_partitioning(options.partition_by, schema) if options.partition_by else UNPARTITIONED
    return Metadata(
        table_id=env.new_id(),
        schema=schema,
        schemas={schema.id: schema},
        partitioning=partitioning,
        partitionings={partitioning.id: partitioning},
        sort_order=parse_sort_order(schema, options.sort_by) or parse_curve(schema, options.cluster_by),
        curve=bool(options.cluster_by),
        key=key,
        properties=dict(options.properties),
        checks=dict(options.checks),
    )


def _key(schema: Schema, names: tuple[str, ...]) -> tuple[int, ...]:
    columns = [schema.field(name) for name in names]
    for column in columns:
        if children(column.type) or is_float(column.type):
            raise InvalidError(f"column {column.name!r} of type {column.type} cannot be part of a key")
    if len({column.id for column in columns}) < len(columns):
        raise InvalidError(f"the key {', '.join(names)} names a column twice")
    return tuple(column.id for column in columns)


def settings_of(metadata: Metadata) -> Iterator[Action]:
    """What gives a new table its order, key, properties and rules."""
    if metadata.sort_order:
        yield SetSortOrder(fields=metadata.sort_order, curve=metadata.curve)
    if metadata.key:
        yield SetKey(field_ids=metadata.key)
    yield from (SetProperty(name=name, value=value) for name, value in metadata.properties.items())
    yield from (SetCheck(name=name, expression=expression) for name, expression in metadata.checks.items())


def draft_create(metadata: Metadata, written: Written | None, info: Mapping[str, Any]) -> Planned:
    """The commit that makes the table, with its first rows if there are any."""
    actions: list[Action] = [TableIdentity(id=metadata.table_id), SetSchema(schema=metadata.schema)]
    if metadata.partitioning.fields:
        actions.append(SetPartitioning(partitioning=metadata.partitioning))
    actions += settings_of(metadata)
    row_count = 0
    if written is not None:
        if written.keys is not None:
            written.keys.unique_keys()
        actions += written.files
        row_count = written.row_count
    return Planned(
        operation="create",
        actions=actions,
        info={**info, "rows_added": row_count},
    )
