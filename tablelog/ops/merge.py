"""MERGE: rows of a source decide what becomes of the rows of a table, clause by clause.

    a row of the table that a row of the source matches      the first WHEN MATCHED clause whose condition holds
    a row of the source that matches nothing                 the first WHEN NOT MATCHED clause
    a row of the table that nothing matches                  the first WHEN NOT MATCHED BY SOURCE clause

Set by set in the engine, streamed: the source is held in memory, the table is not. When the plan is made again after a
lost race it is computed anew unless the files that matter are the same.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from tablelog.errors import InvalidError
from tablelog.format.actions import RowChange
from tablelog.ops.keys import key_check
from tablelog.ops.matching import rows_by_path
from tablelog.ops.planned import Planned
from tablelog.ops.removing import Leaving, Removing
from tablelog.ops.scan import plan_scan
from tablelog.ops.write import write_rows
from tablelog.parquet.vectors import NO_ROWS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any

    import pyarrow as pa
    from pyroaring import BitMap

    from tablelog.format.actions import Action, AddFile
    from tablelog.format.predicate import Predicate
    from tablelog.log.metadata import Metadata
    from tablelog.log.state import TableState
    from tablelog.ops.scan import ScanPlan
    from tablelog.ops.write import Written
    from tablelog.store.base import ObjectStore


class When(StrEnum):
    """Which rows a clause is about."""

    MATCHED = "matched"
    NOT_MATCHED = "not matched"
    NOT_MATCHED_BY_SOURCE = "not matched by source"


class Then(StrEnum):
    """What it does to them."""

    UPDATE = "update"
    DELETE = "delete"
    INSERT = "insert"
    NOTHING = "do nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Clause:
    """WHEN … [AND condition] THEN …."""

    when: When
    then: Then
    values: Mapping[str, object] | None = None
    """Columns and SQL expressions (or plain values) for them; None for every column of the source by its name."""
    condition: str | None = None


class Merge(Protocol):
    """A merge in terms of one version of a table, as an engine does it."""

    @property
    def predicate(self) -> Predicate:
        """What statistics can tell of the rows of the table that may matter."""

    def updated(self, plan: ScanPlan, store: ObjectStore) -> Iterable[pa.RecordBatch]:
        """Places of rows (see `ops.matching`), numbers of the source's rows, then new images."""

    def deleted(self, plan: ScanPlan, store: ObjectStore) -> Iterable[pa.RecordBatch]:
        """Places of rows that go, and numbers of the source's rows."""

    def inserted(self, plan: ScanPlan, store: ObjectStore) -> Iterable[pa.RecordBatch]:
        """New rows."""

    def shown(self, plan: ScanPlan, store: ObjectStore, file: int, row: int) -> str:
        """A row of the table for a message, by its place."""

    def check(self, batch: pa.RecordBatch) -> None:
        """Raise what a new row may not be."""


@dataclass(frozen=True, slots=True)
class _Result:
    files: tuple[AddFile, ...]
    """That it was computed on."""
    leaving: tuple[Leaving, ...]
    written: tuple[Written, ...]


class MergingRows:
    """One merge on its way into the log. `plan` may be called any number of times."""

    def __init__(self, store: ObjectStore, removing: Removing, merge_on: Callable[[Metadata], Merge]) -> None:
        """Merge as the engine says; it is asked anew if the table's columns or rules change on the way."""
        self._store = store
        self._merge_on = merge_on
        self._removing = removing
        self._metadata: Metadata | None = None
        self._result: _Result | None = None

    def plan(self, state: TableState, info: Mapping[str, Any]) -> Planned:
        """The commit that merges the source into this state.

        Raises:
            InvalidError: several rows of the source want to change the same row, or new rows do not fit the table.

        """
        if self._metadata is not state.metadata:
            self._metadata, self._result = state.metadata, None
            self._merge = self._merge_on(state.metadata)
        plan = replace(plan_scan(state, limit=0), files=tuple(plan_scan(state, None, self._merge.predicate).files))
        if self._result is None or self._result.files != plan.files:
            self._result = self._compute(state, plan)
        result = self._result
        actions: list[Action] = self._removing.actions(state.metadata, result.leaving)
        if self._keys is not None:
            self._keys.require_unique(state.after(actions))
        actions += [file for written in result.written for file in written.files]
        counts = {
            "rows_added": sum(written.row_count for written in result.written),
            "rows_deleted": sum(len(each.rows) for each in result.leaving),
        }
        return Planned(operation="merge", actions=actions, info={**info, **counts})

    def _compute(self, state: TableState, plan: ScanPlan) -> _Result:
        self._keys = key_check(self._store, state.metadata)
        places: list[pa.RecordBatch] = []

        def images() -> Iterator[pa.RecordBatch]:
            for batch in self._merge.updated(plan, self._store):
                places.append(batch.select([0, 1]))
                yield batch.select(range(3, batch.num_columns))

        def write(rows: Iterable[pa.RecordBatch], change: RowChange) -> Written:
            return write_rows(self._store, state.metadata, rows, self._merge.check, keys=self._keys, change=change)

        changed = write(images(), RowChange.UPDATE)
        gone = [batch.select([0, 1]) for batch in self._merge.deleted(plan, self._store)]
        updated, deleted = self._once(plan, places), self._once(plan, gone)
        for path in updated.keys() & deleted.keys():
            if updated[path] & deleted[path]:
                self._refuse(plan, path, (updated[path] & deleted[path]).min())
        new = write(self._merge.inserted(plan, self._store), RowChange.INSERT)
        leaving = (
            Leaving(file=file, deleted=deleted.get(file.path, NO_ROWS), updated=updated.get(file.path, NO_ROWS))
            for file in plan.files
        )
        return _Result(tuple(plan.files), tuple(each for each in leaving if each.rows), (changed, new))

    def _once(self, plan: ScanPlan, places: list[pa.RecordBatch]) -> dict[str, BitMap]:
        """Rows by path, each of which may come only once."""
        found = rows_by_path(plan, places)
        if sum(map(len, found.values())) < sum(batch.num_rows for batch in places):
            seen: set[tuple[int, int]] = set()
            for batch in places:
                files: list[Any] = batch.column(0).to_pylist()
                rows: list[Any] = batch.column(1).to_pylist()
                for file, row in zip(files, rows, strict=True):
                    if (file, row) in seen:
                        self._refuse(plan, plan.numbered_files[file].path, row)
                    seen.add((file, row))
        return found

    def _refuse(self, plan: ScanPlan, path: str, row: int) -> None:
        number = next(number for number, file in enumerate(plan.numbered_files) if file.path == path)
        shown = self._merge.shown(plan, self._store, number, row)
        raise InvalidError(
            f"more than one row of the source matches a row of the table, for example {shown}; "
            f"give one row of the source for each"
        )
