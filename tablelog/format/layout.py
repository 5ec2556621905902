"""Where a table's columns are found in files that were written under older schemas.

Files written under schemas that agree on the wanted columns form one layout: the same physical names and types, so one
scan can read them all. A renamed column splits the files into those with the old name and those with the new one;
a dropped or unrelated column splits nothing. Files of which rows are deleted stand apart, so that the others keep the
fast path, and so do rows inside the log, which no engine can open.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tablelog.format.statistics import UNKNOWN, FieldStatistics
from tablelog.format.types import Primitive, children, is_float
from tablelog.format.values import promote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tablelog.format.actions import AddFile
    from tablelog.format.schema import Schema
    from tablelog.format.types import Field, Scalar

FLOAT32_STEP: Final = 2.0**-22
"""Twice the relative distance between neighbouring float32 numbers."""
FLOAT32_TINY: Final = 2.0**-148
"""Twice the distance between the smallest of them."""


@dataclass(frozen=True, slots=True)
class ColumnSource:
    """One wanted column and where a file has it."""

    field: Field
    """The column as the reader wants to see it."""
    physical: Field | None
    """The column as the file has it; None if it has none, and then every row is `field.initial_default`."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Files that hold the wanted columns under the same names and types, in one of three ways."""

    columns: tuple[ColumnSource, ...]
    files: tuple[AddFile, ...]
    names: frozenset[str]
    """Of all columns that some of the files have, wanted or not, case folded."""

    @property
    def is_inlined(self) -> bool:
        """Whether their rows are inside the log."""
        return self.files[0].is_inlined

    @property
    def is_dirty(self) -> bool:
        """Whether each has deleted rows; files inside the log are not asked."""
        return self.files[0].deleted is not None

    @property
    def may_have_nan(self) -> bool:
        """Whether a wanted float, at any depth, may be NaN in some file; engines must then not trust Parquet bounds."""
        floats = [
            field_id for column in self.columns if column.physical is not None for field_id in _floats(column.physical)
        ]
        return any(file.statistics.get(field_id, UNKNOWN).nan_count != 0 for file in self.files for field_id in floats)


def _floats(field: Field) -> Iterator[int]:
    """Ids of the floats that a column is or holds; those in lists and maps have no statistics."""
    if is_float(field.type):
        yield field.id
    for child in children(field.type):
        yield from _floats(child)


def column_sources(fields: Iterable[Field], written: Schema) -> tuple[ColumnSource, ...]:
    """Where a file written under the schema `written` has each of the fields."""
    return tuple(ColumnSource(field, written.by_id(field.id)) for field in fields)


def group_by_layout(
    fields: tuple[Field, ...], files: Iterable[AddFile], schemas: Mapping[int, Schema]
) -> tuple[Layout, ...]:
    """The files by layout, in the order in which each layout first comes up; the order of files in a layout stays."""
    by_schema: dict[int, tuple[ColumnSource, ...]] = {}
    groups: dict[tuple[object, ...], tuple[tuple[ColumnSource, ...], list[AddFile]]] = {}
    for file in files:
        sources = by_schema.get(file.schema_id)
        if sources is None:
            sources = by_schema[file.schema_id] = column_sources(fields, schemas[file.schema_id])
        names_and_types = tuple(
            None if source.physical is None else (source.physical.name, source.physical.type) for source in sources
        )
        way = "inlined" if file.is_inlined else "dirty" if file.deleted is not None else "clean"
        # Rows inside the log are brought into shape by us, so they are all of one layout.
        place = (way, () if file.is_inlined else names_and_types)
        groups.setdefault(place, (sources, []))[1].append(file)
    return tuple(
        Layout(sources, tuple(members), _names(schemas[number] for number in {member.schema_id for member in members}))
        for sources, members in groups.values()
    )


def _names(schemas: Iterable[Schema]) -> frozenset[str]:
    return frozenset(field.name.casefold() for schema in schemas for field in schema)


def is_unchanged(field: Field, written: Schema) -> bool:
    """Whether what the log knows of a column in a file under a schema holds for the column's type of today."""
    physical = written.part(field.id)
    return physical is not None and physical.type == field.type and field.type is not Primitive.FLOAT32


def statistics_as(field: Field, file: AddFile, written: Schema) -> FieldStatistics:
    """What the log knows of a column in a file, in terms of the column's type today."""
    physical = written.part(field.id)
    if physical is None:
        return _of_default(field.initial_default, file.row_count)
    known = file.statistics.get(field.id)
    if known is None:
        return UNKNOWN
    low, high = known.min, known.max
    if physical.type is Primitive.FLOAT32:
        low, high = _loosened(low, -1), _loosened(high, +1)
    if physical.type != field.type:
        low = None if low is None else promote(low, physical.type, field.type)
        high = None if high is None else promote(high, physical.type, field.type)
    return FieldStatistics(min=low, max=high, null_count=known.null_count, nan_count=known.nan_count)


def _of_default(default: Scalar | None, row_count: int) -> FieldStatistics:
    if default is None:
        return FieldStatistics(null_count=row_count, nan_count=0)
    if isinstance(default, float) and default != default:  # noqa: PLR0124 - only NaN differs from itself
        return FieldStatistics(null_count=0, nan_count=row_count)
    return FieldStatistics(min=default, max=default, null_count=0, nan_count=0)


def _loosened(bound: Scalar | None, sign: int) -> Scalar | None:
    """A float32 bound moved outwards, because engines round a literal such as 0.1 to float32 before they compare."""
    if not isinstance(bound, float) or math.isinf(bound):
        return bound
    return bound + sign * max(abs(bound) * FLOAT32_STEP, FLOAT32_TINY)
