"""Files put together: rows inside the log, small files and mostly deleted ones become few large files.

`choose` looks at a state and says which files; `Compacting` does it. No row changes: every version reads the same, and
readers of changes see nothing. A compaction never makes a writer fail, and a row that is deleted while it works stays
deleted: when the plan is made again after a lost race, new deletions of the files that were read are carried over to
the files that were written, because the rows stand there in the same order. Where a sort order has mixed them, or a
file that was read is gone, those files are left as they are for another time.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pyroaring import BitMap

from tablelog.format.actions import RowChange, removal
from tablelog.ops.planned import Planned
from tablelog.ops.removing import MOSTLY, Removing
from tablelog.ops.write import target_file_size_bytes, write_rows
from tablelog.parquet.contents import read_vectors
from tablelog.parquet.reader import read_batches
from tablelog.parquet.vectors import NO_ROWS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from tablelog.format.actions import Action, AddFile
    from tablelog.log.metadata import Metadata
    from tablelog.log.state import TableState
    from tablelog.ops.write import Written
    from tablelog.store.base import ObjectStore

_SMALL: Final = 0.5
"""Of the target size: smaller files are put together."""


def choose(state: TableState) -> list[list[AddFile]]:
    """Groups of files that had better be one, each of one partition and in the table's order.

    Rows inside the log always; small files if there are at least two of a partition; files of which more than half the
    rows are deleted.
    """
    small_bytes = int(target_file_size_bytes(state.metadata.properties) * _SMALL)
    groups: dict[tuple[object, ...], list[AddFile]] = defaultdict(list)
    for file in state.files:
        if file.is_inlined or file.size_bytes < small_bytes or _is_mostly_deleted(file):
            groups[file.partitioning_id, file.partition_values].append(file)
    return [files for files in groups.values() if len(files) > 1 or files[0].is_inlined or _is_mostly_deleted(files[0])]


def _is_mostly_deleted(file: AddFile) -> bool:
    return file.deleted_row_count > file.row_count * MOSTLY


@dataclass(frozen=True, slots=True)
class _Moved:
    """Files whose rows were written to others."""

    sources: Mapping[str, BitMap]
    """By path, which of their rows were deleted already."""
    row_counts: Mapping[str, int]
    written: Written
    in_order: bool

    def carried(self, vectors: Mapping[str, BitMap]) -> BitMap | None:
        """Rows of the written files, counted over all of them, that were deleted meanwhile; None if that is unknown."""
        start, carried = 0, BitMap()
        for path, deleted in self.sources.items():
            now = vectors.get(path, NO_ROWS)
            new = now - deleted
            if not deleted <= now or (new and not self.in_order):
                return None
            # A row's place is its number less the deleted rows before it.
            carried |= BitMap(start + row - deleted.rank(row) for row in new)
            start += self.row_counts[path] - len(deleted)
        return carried


class Compacting:
    """One compaction on its way into the log. `plan` may be called any number of times."""

    def __init__(self, store: ObjectStore) -> None:
        """Put files of a table together."""
        self._store = store
        self._removing = Removing(store)
        self._moved: list[_Moved] | None = None

    def plan(self, state: TableState, info: Mapping[str, Any]) -> Planned | None:
        """The commit that does it; None if there is nothing (left) to do."""
        if self._moved is None:
            self._moved = [self._move(files, state.metadata) for files in choose(state)]
        wanted = {path for moved in self._moved for path in moved.sources}
        live = {file.path: file for file in state.files if file.path in wanted}
        vectors = read_vectors(self._store, live.values())
        actions: list[Action] = []
        for moved in self._moved:
            carried = moved.carried(vectors) if moved.sources.keys() <= live.keys() else None
            if carried is not None:
                actions += [removal(live[path]) for path in moved.sources]
                actions += self._written(moved.written, carried)
        return Planned(operation="compact", actions=actions, info=info) if actions else None

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

    def _move(self, files: Sequence[AddFile], metadata: Metadata) -> _Moved:
        vectors = read_vectors(self._store, files)
        rows = (
            batch
            for file in files
            for batch in read_batches(self._store, file, metadata.schemas[file.schema_id], metadata.schema.fields)
        )
        written = write_rows(self._store, metadata, rows, inline=False, change=RowChange.NONE)
        return _Moved(
            {file.path: vectors.get(file.path, NO_ROWS) for file in files},
            {file.path: file.row_count for file in files},
            written,
            in_order=not metadata.sort_order and _partitions(files) == _partitions(written.files),
        )


def _partitions(files: Iterable[AddFile]) -> set[object]:
    return {file.partition_values for file in files}
