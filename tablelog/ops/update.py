"""Rows changed in place, by a condition and expressions: their old images go, their new images come, in one commit.

New images are written as they are computed, once. When the plan is made again after a lost race they are used again as
long as every row that they come from is still there; otherwise those files are looked into once more, as are files
that came in meanwhile. A rule or a column that changed meanwhile means to begin anew, so an update never conflicts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tablelog.format.actions import RowChange
from tablelog.format.predicate import Truth
from tablelog.ops.keys import key_check
from tablelog.ops.known import Known
from tablelog.ops.matching import rows_by_path
from tablelog.ops.planned import Planned
from tablelog.ops.removing import Leaving, Removing
from tablelog.ops.scan import plan_scan
from tablelog.ops.write import write_rows
from tablelog.parquet.contents import read_vectors
from tablelog.parquet.vectors import NO_ROWS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """What an update does, in terms of one table."""

    predicate: Predicate
    """What statistics can tell of the condition."""
    field_ids: frozenset[int]
    """Columns that are assigned to."""
    rows: Callable[[ScanPlan, ObjectStore], Iterable[pa.RecordBatch]]
    """Where the rows of a plan are that fulfil the condition (two columns; see `ops.matching`), then new images."""
    check: Callable[[pa.RecordBatch], None]
    """Raises what a new image may not be."""


@dataclass(frozen=True, slots=True)
class _Batch:
    """Files that were looked into together."""

    found: Mapping[str, BitMap]
    deleted: Mapping[str, BitMap]
    """Rows of them that were deleted then."""
    written: Written

    def holds(self, live: Mapping[str, AddFile], vectors: Mapping[str, BitMap]) -> bool:
        """Whether it comes to the same today."""
        for path, found in self.found.items():
            now = vectors.get(path, NO_ROWS)
            if path not in live or not self.deleted.get(path, NO_ROWS) <= now or found & now:
                return False
        return True


class Updating:
    """One update on its way into the log. `plan` may be called any number of times."""

    def __init__(self, store: ObjectStore, removing: Removing, assignment_on: Callable[[Metadata], Assignment]) -> None:
        """Update as the assignment says; it is read anew if the table's columns or rules change on the way."""
        self._store = store
        self._assignment_on = assignment_on
        self._removing = removing
        self._metadata: Metadata | None = None
        self._batches: list[_Batch] = []
        self._planned = False

    def plan(self, state: TableState, info: Mapping[str, Any]) -> Planned:
        """The commit that updates this state."""
        if self._metadata is not state.metadata:
            self._metadata, self._batches = state.metadata, []
            self._assignment = self._assignment_on(state.metadata)
        is_keyed = bool(self._assignment.field_ids & set(state.metadata.key))
        candidates = {file.path: file for file in plan_scan(state, None, self._assignment.predicate).files}
        vectors = read_vectors(self._store, candidates.values())
        kept = [batch for batch in self._batches if batch.holds(candidates, vectors)]
        seen = {path for batch in kept for path in batch.found}
        unseen = [file for path, file in candidates.items() if path not in seen]
        if is_keyed and unseen:  # keys of all new images are held against one another
            kept, unseen = [], list(candidates.values())
        self._batches = kept
        if unseen:
            self._batches.append(self._look(state, unseen, vectors))
        leaving = [
            Leaving(file=candidates[path], updated=found)
            for batch in self._batches
            for path, found in batch.found.items()
        ]
        actions: list[Action] = self._removing.actions(state.metadata, leaving)
        if is_keyed:
            for batch in self._batches:
                assert batch.written.keys is not None
                batch.written.keys.require_unique(state.after(actions))
        self._planned = True
        count = sum(batch.written.row_count for batch in self._batches)
        actions += [file for batch in self._batches for file in batch.written.files]
        return Planned(operation="update", actions=actions, info={**info, "rows_added": count, "rows_deleted": count})

    def _look(self, state: TableState, files: Sequence[AddFile], vectors: Mapping[str, BitMap]) -> _Batch:
        """Find the rows of some files, and write their new images."""
        predicate, known = self._assignment.predicate, Known(state.metadata)
        suspects = [file for file in files if Truth.TRUE in known.outcomes(predicate, file)]
        plan = replace(plan_scan(state, limit=0), predicate=predicate, files=suspects)
        places: list[pa.RecordBatch] = []

        def images() -> Iterator[pa.RecordBatch]:
            for batch in self._assignment.rows(plan, self._store) if suspects else ():
                places.append(batch.select([0, 1]))
                yield batch.select(range(2, batch.num_columns))

        is_keyed = bool(self._assignment.field_ids & set(state.metadata.key))
        written = write_rows(
            self._store,
            state.metadata,
            images(),
            self._assignment.check,
            keys=key_check(self._store, state.metadata, again=self._planned) if is_keyed else None,
            change=RowChange.UPDATE,
        )
        found = rows_by_path(plan, places)
        return _Batch(
            {file.path: found.get(file.path, NO_ROWS) for file in files},
            {file.path: vectors[file.path] for file in files if file.path in vectors},
            written,
        )
