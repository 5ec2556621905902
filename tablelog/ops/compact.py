"""Files put together: a step of compaction (`ops.compaction` chooses it) done and on its way into the log.

No row changes: every version reads the same, and readers of changes see nothing. A compaction never makes a writer
fail, and a row that is deleted while it works stays deleted: it is known for each row where it was read and where it
was written, so when the plan is made again after a lost race, new deletions are carried over. Rows that keep their
order are found by counting; of rows that were sorted the places are remembered, 8 bytes each.
If a file that was read is gone, what was made of it is given up.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
from pyroaring import BitMap

from tablelog.format.actions import RowChange, again, removal
from tablelog.ops.planned import Planned
from tablelog.ops.removing import Removing
from tablelog.ops.scan import plan_scan
from tablelog.ops.write import write_rows
from tablelog.parquet.contents import read_inlined, read_vectors
from tablelog.parquet.reader import read_files
from tablelog.parquet.vectors import NO_ROWS, bitmap_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any

    from tablelog.format.actions import Action, AddFile
    from tablelog.log.state import TableState
    from tablelog.ops.policy import Compaction, Merge
    from tablelog.ops.scan import ScanPlan
    from tablelog.ops.write import Written
    from tablelog.store.base import ObjectStore

Arranging: TypeAlias = "Callable[[ScanPlan, ObjectStore], Iterable[pa.RecordBatch]]"
"""From a plan to its rows in the table's order, behind their places: file as `numbered_files` has them, row in it."""


@dataclass(frozen=True, slots=True)
class _Moved:
    """Files whose rows were written to others."""

    sources: Mapping[str, BitMap]
    """By path, which of their rows were deleted already."""
    row_counts: Mapping[str, int]
    written: Written
    in_order: bool
    """Whether rows stand in the order of the sources, unless it is known where each came from."""
    places: _Places | None = None

    def carried(self, vectors: Mapping[str, BitMap]) -> BitMap | None:
        """Rows of the written files, counted over all of them, that were deleted meanwhile; None if that is unknown."""
        start, carried = 0, BitMap()
        for path, deleted in self.sources.items():
            now = vectors.get(path, NO_ROWS)
            new = now - deleted
            if not deleted <= now or (new and not self.in_order and self.places is None):
                return None
            if self.places is not None:
                carried |= self.places.of(path, new)
            else:  # a row's place is its number less the deleted rows before it
                carried |= BitMap(start + row - deleted.rank(row) for row in new)
            start += self.row_counts[path] - len(deleted)
        return carried


class _Places:
    """Where rows that were sorted came from, in their new order."""

    def __init__(self, plan: ScanPlan) -> None:
        self._numbers = {file.path: number for number, file in enumerate(plan.numbered_files)}
        self._files: list[Any] = []
        self._rows: list[Any] = []

    def noted(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The rows without their places, which are remembered."""
        for batch in batches:
            self._files.append(batch.column(0).cast(pa.uint32()))
            self._rows.append(batch.column(1).cast(pa.uint32()))
            yield batch.select(batch.schema.names[2:])

    def of(self, path: str, rows: BitMap) -> BitMap:
        """Where rows of a file stand now."""
        if not rows:
            return NO_ROWS
        files = pa.chunked_array(self._files)
        ours = pc.equal(files, pa.scalar(self._numbers[path], pa.uint32()))
        gone = pc.is_in(pa.chunked_array(self._rows), value_set=pa.array(rows, pa.uint32()))
        return bitmap_of(pa.chunked_array([pc.indices_nonzero(pc.and_(ours, gone)).cast(pa.uint32())]))


class Compacting:
    """One step on its way into the log. `plan` may be called any number of times."""

    def __init__(
        self, store: ObjectStore, compaction: Compaction, arranging: Arranging, advance: Callable[[int], None]
    ) -> None:
        """Put files of a table together as a step says; `advance` is told how many more rows are written."""
        self._store = store
        self._compaction = compaction
        self._arranging = arranging
        self._advance = advance
        self._removing = Removing(store)
        self._moved: list[_Moved] | None = None

    def plan(self, state: TableState, info: Mapping[str, Any]) -> Planned | None:
        """The commit that does it; None if there is nothing (left) to do."""
        live = state.find({file.path for file, _ in self._compaction.files})
        if self._moved is None:
            # The step may have been chosen long ago: what somebody else has moved is left alone.
            fit = [merge for merge in self._compaction.merges if all(file.path in live for file in merge.files)]
            self._moved = [self._move(merge, state) for merge in fit]
        levels = {file.path: level for file, level in self._compaction.moves}
        vectors = read_vectors(self._store, live.values())
        actions: list[Action] = []
        for moved in self._moved:
            carried = moved.carried(vectors) if moved.sources.keys() <= live.keys() else None
            if carried is not None:
                actions += [removal(live[path]) for path in moved.sources]
                actions += self._written(moved.written, carried)
        for path in levels.keys() & live.keys():
            actions.append(removal(live[path]))
            actions.append(again(live[path], deleted=live[path].deleted, level=levels[path]))
        return Planned(operation="compact", actions=actions, info=info) if actions else None

    @property
    def written(self) -> Iterator[AddFile]:
        """The files that were written."""
        return (file for moved in self._moved or () for file in moved.written.files)

    @property
    def sources(self) -> dict[str, tuple[str, ...]]:
        """The files that were written, and what each was made of."""
        return {file.path: tuple(moved.sources) for moved in self._moved or () for file in moved.written.files}

    @property
    def levels(self) -> dict[str, int]:
        """The files that were written, and their levels."""
        return {file.path: file.level for file in self.written}

    def _written(self, written: Written, deleted: BitMap) -> Iterable[AddFile]:
        """The files that were written, without rows that were deleted meanwhile."""
        start = 0
        for file in written.files:
            rows = BitMap(row - start for row in deleted if start <= row < start + file.row_count)
            start += file.row_count
            if not rows:
                yield file
            elif len(rows) < file.row_count:
                yield self._removing.without(file, rows)

    def _move(self, merge: Merge, state: TableState) -> _Moved:
        metadata, files = state.metadata, merge.files
        read_inlined(self._store, [file for file in files if file.is_inlined], metadata.schemas)  # side by side
        vectors = read_vectors(self._store, files)
        places: _Places | None = None
        if merge.sorts:
            plan = replace(plan_scan(state, None, limit=0), files=files)
            places = _Places(plan)
            rows = places.noted(self._arranging(plan, self._store))
        else:
            rows = read_files(self._store, files, metadata.schemas, metadata.schema.fields)
        written = write_rows(
            self._store,
            metadata,
            rows,
            inline=False,
            change=RowChange.NONE,
            level=merge.level,
            is_sorted=True,
            on_progress=self._progress(),
        )
        stays = _partitions(files) == _partitions(written.files)
        return _Moved(
            {file.path: vectors.get(file.path, NO_ROWS) for file in files},
            {file.path: file.row_count for file in files},
            written,
            in_order=stays and not merge.sorts,
            places=places if stays else None,
        )

    def _progress(self) -> Callable[[int], None]:
        """Tells of each more row once: writing says how many there are so far."""
        told = 0

        def on_progress(row_count: int) -> None:
            nonlocal told
            self._advance(row_count - told)
            told = row_count

        return on_progress


def _partitions(files: Iterable[AddFile]) -> set[object]:
    return {(file.partitioning_id, file.partition_values) for file in files}
