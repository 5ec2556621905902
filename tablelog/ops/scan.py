"""Which files a scan must open: a state and a predicate in, a plan out; no I/O.

A file is left out only if its statistics, or its partition values, prove that no row of it makes the predicate TRUE.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from tablelog.format.layout import Layout, group_by_layout, is_unchanged, statistics_as
from tablelog.format.partitioning import Transform
from tablelog.format.predicate import ALWAYS, And, Comparison, IsIn, Operator, Truth, outcomes
from tablelog.format.statistics import UNKNOWN
from tablelog.format.values import demote
from tablelog.parquet.transform import transform_scalar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tablelog.format.actions import AddFile
    from tablelog.format.partitioning import PartitionField
    from tablelog.format.predicate import Predicate
    from tablelog.format.schema import Schema
    from tablelog.format.statistics import FieldStatistics
    from tablelog.format.types import DataType, Field, Scalar
    from tablelog.log.state import Metadata, TableState


@dataclass(frozen=True)
class ScanPlan:
    """What to read of one version of a table."""

    state: TableState
    fields: tuple[Field, ...]
    """Wanted columns, in the order wanted."""
    predicate: Predicate
    files: tuple[AddFile, ...]
    """Files that may hold a matching row, in the table's order."""

    @cached_property
    def layouts(self) -> tuple[Layout, ...]:
        """The files by where they have the wanted columns."""
        return group_by_layout(self.fields, self.files, self.state.metadata.schemas)

    @property
    def row_count_max(self) -> int:
        """Rows in the files to read: no scan gives more."""
        return sum(file.row_count for file in self.files)

    @property
    def size_bytes(self) -> int:
        """Bytes of the files to read."""
        return sum(file.size_bytes for file in self.files)


def plan_scan(
    state: TableState, fields: tuple[Field, ...] | None = None, predicate: Predicate = ALWAYS, limit: int | None = None
) -> ScanPlan:
    """The files that a scan for `predicate` must open, and no more of them than `limit` rows need.

    `limit` counts only where there is no predicate: what a filter leaves over is not known beforehand.
    """
    files = state.files if predicate == ALWAYS else _matching(state, predicate)
    if limit is not None and predicate == ALWAYS:
        files = tuple(_first_rows(files, limit))
    return ScanPlan(state, state.schema.fields if fields is None else fields, predicate, files)


def _matching(state: TableState, predicate: Predicate) -> tuple[AddFile, ...]:
    buckets, known = _Buckets(state.metadata, predicate), _Known(state.metadata)
    return tuple(
        file for file in state.files if Truth.TRUE in known.outcomes(predicate, file) and buckets.may_hold(file)
    )


def file_outcomes(metadata: Metadata, predicate: Predicate, file: AddFile) -> Truth:
    """The truth values that rows of a file may give."""
    return _Known(metadata).outcomes(predicate, file)


class _Known:
    """What the log knows of a table's files, in terms of its columns today."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata
        self._unchanged: dict[tuple[int, int], bool] = {}
        """By schema and field id, whether files hold the field just as it is today: asked for every file."""

    def outcomes(self, predicate: Predicate, file: AddFile) -> Truth:
        return outcomes(predicate, lambda field_id: self._statistics(file, field_id), file.row_count)

    def _statistics(self, file: AddFile, field_id: int) -> FieldStatistics:
        place = (file.schema_id, field_id)
        if place not in self._unchanged:
            self._unchanged[place] = is_unchanged(self._field(field_id), self._metadata.schemas[file.schema_id])
        if self._unchanged[place]:
            return file.statistics.get(field_id, UNKNOWN)
        return statistics_as(self._field(field_id), file, self._metadata.schemas[file.schema_id])

    def _field(self, field_id: int) -> Field:
        field = self._metadata.schema.part(field_id)
        assert field is not None
        return field


class _Buckets:
    """Equality on a bucketed column leaves only the files of the right buckets; bounds cannot see that."""

    def __init__(self, metadata: Metadata, predicate: Predicate) -> None:
        self._metadata = metadata
        self._equalities = dict(_equalities(predicate))
        self._allowed: dict[tuple[PartitionField, DataType], frozenset[Scalar | None]] = {}

    def may_hold(self, file: AddFile) -> bool:
        if not self._equalities or not file.partition_values:
            return True
        fields = self._metadata.partitionings[file.partitioning_id].fields
        written = self._metadata.schemas[file.schema_id]
        return all(
            value in self._allowed_values(field, written)
            for field, value in zip(fields, file.partition_values, strict=True)
            if field.transform is Transform.BUCKET and field.source_id in self._equalities
        )

    def _allowed_values(self, field: PartitionField, written: Schema) -> frozenset[Scalar | None]:
        """Buckets of files of a schema: values are hashed as the type that the column had there."""
        source, today = written.by_id(field.source_id), self._metadata.schema.by_id(field.source_id)
        assert source is not None
        assert today is not None
        if (field, source.type) not in self._allowed:
            members = self._equalities[field.source_id]
            narrow = (demote(member, source.type, today.type) for member in members)
            buckets = (transform_scalar(member, field, source.type) for member in narrow if member is not None)
            self._allowed[field, source.type] = frozenset(buckets)
        return self._allowed[field, source.type]


def _equalities(predicate: Predicate) -> Iterator[tuple[int, tuple[Scalar, ...]]]:
    """Fields that must equal one of some values for the predicate to be TRUE."""
    match predicate:
        case And(operands=operands):
            for operand in operands:
                yield from _equalities(operand)
        case Comparison(field_id=field_id, operator=Operator.EQUAL, value=value):
            yield field_id, (value,)
        case IsIn(field_id=field_id, members=members):
            yield field_id, members
        case _:
            return


def _first_rows(files: Iterable[AddFile], limit: int) -> Iterator[AddFile]:
    remaining = limit
    for file in files:
        if remaining <= 0:
            return
        yield file
        remaining -= file.row_count
