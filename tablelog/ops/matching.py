"""Rows that a condition finds, file by file, remembered for the next plan.

For each live file the log knows one of three answers (see `format.predicate`):

    no row can match      leave it alone, unread
    every row matches     all its rows, unread
    some may              ask the engine, which reads the columns of the condition

When a plan is made again after a lost race, only files that were not looked into yet are. Of a file that was, rows that
somebody else has deleted since are no longer found; if rows of it came back, it is looked into again.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
from pyroaring import BitMap

from tablelog.format.predicate import Truth
from tablelog.ops.known import Known
from tablelog.ops.scan import plan_scan
from tablelog.parquet.contents import read_vectors
from tablelog.parquet.vectors import NO_ROWS, bitmap_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from tablelog.format.actions import AddFile
    from tablelog.format.predicate import Predicate
    from tablelog.format.schema import Schema
    from tablelog.format.types import Field
    from tablelog.log.state import TableState
    from tablelog.ops.scan import ScanPlan
    from tablelog.store.base import ObjectStore


Places: TypeAlias = "Callable[[ScanPlan, ObjectStore], Iterable[pa.RecordBatch]]"
"""From a plan to places of live rows: numbers of files, as `ScanPlan.numbered_files` has them, and of rows in those."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A WHERE clause over one schema."""

    predicate: Predicate
    """What of it statistics can answer; complete, with UNKNOWN for parts that were not understood."""
    fields: tuple[Field, ...]
    """Columns that its evaluation needs; at least one."""
    find: Places
    """Where the rows of a plan are for which it is TRUE; the plan's fields are those above."""


@dataclass(frozen=True, slots=True)
class _Look:
    """What was seen of a file, and which of its rows were deleted then."""

    found: BitMap
    deleted: BitMap


class Matching:
    """The rows that one condition finds in one table, state after state."""

    def __init__(self, store: ObjectStore, condition_on: Callable[[Schema], Condition]) -> None:
        """Look for what the condition says; it is read anew if the schema changes on the way."""
        self._store = store
        self._condition_on = condition_on
        self._schema: Schema | None = None
        self._looks: dict[str, _Look] = {}

    def condition(self, state: TableState) -> Condition:
        """The condition in terms of a state's columns."""
        if self._schema is not state.schema:
            self._schema, self._looks = state.schema, {}
            self._condition = self._condition_on(state.schema)
        return self._condition

    def find(self, state: TableState) -> tuple[dict[str, AddFile], dict[str, BitMap]]:
        """Files with rows that match, and those rows, both by path and in the table's order."""
        predicate = self.condition(state).predicate
        known = Known(state.metadata)
        candidates = {file.path: file for file in plan_scan(state, None, predicate).files}
        vectors = read_vectors(self._store, candidates.values())
        found: dict[str, BitMap] = {}
        unseen: list[AddFile] = []
        for path, file in candidates.items():
            deleted = vectors.get(path, NO_ROWS)
            if known.outcomes(predicate, file) == Truth.TRUE:
                found[path] = BitMap(range(file.row_count)) - deleted
            elif (look := self._looks.get(path)) is not None and look.deleted <= deleted:
                found[path] = look.found - deleted
            else:
                unseen.append(file)
        if unseen:
            plan = self._plan(state, unseen)
            rows = rows_by_path(plan, self._condition.find(plan, self._store))
            for file in unseen:
                found[file.path] = rows.get(file.path, NO_ROWS)
                self._looks[file.path] = _Look(found[file.path], vectors.get(file.path, NO_ROWS))
        matching = {path: file for path, file in candidates.items() if found[path]}
        return matching, {path: found[path] for path in matching}

    def _plan(self, state: TableState, files: Sequence[AddFile]) -> ScanPlan:
        return replace(
            plan_scan(state, self._condition.fields, limit=0), predicate=self._condition.predicate, files=files
        )


def rows_by_path(plan: ScanPlan, places: Iterable[pa.RecordBatch]) -> dict[str, BitMap]:
    """Places of rows, in columns 0 (file) and 1 (row), as rows of each file."""
    found: dict[str, BitMap] = defaultdict(BitMap)
    for table in _lumps(places):
        in_order = table.take(pc.sort_indices(table.column(0)))
        start = 0
        for number, count in _counts(in_order.column(0)):
            found[plan.numbered_files[number].path] |= bitmap_of(in_order.column(1).slice(start, count))
            start += count
    return dict(found)


def _counts(numbers: pa.ChunkedArray[Any]) -> Iterator[tuple[int, int]]:
    """How often each of some sorted numbers comes."""
    counted: Any = pc.value_counts(numbers)
    return zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True)


def _lumps(places: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Batches put together to about a million rows: each lump has its price."""
    lump: list[pa.RecordBatch] = []
    row_count = 0
    for batch in places:
        lump.append(batch)
        row_count += batch.num_rows
        if row_count >= _LUMP_ROWS:
            yield pa.Table.from_batches(lump)
            lump, row_count = [], 0
    if lump:
        yield pa.Table.from_batches(lump)


_LUMP_ROWS: Final = 1 << 20
