"""Rows in by key: those whose key is in the table already replace what is there, the others are added.

Of the table only the key columns are read, of files whose key ranges meet those of the new rows. When the plan is made
again after a lost race, only files that came in meanwhile are looked into; rows that were written are used again unless
other ones of them replace something now.

The new rows are held in memory. Nothing grows with the table but the places of replaced rows, about two bytes each.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from tablelog.errors import InvalidError
from tablelog.format.actions import RowChange
from tablelog.ops.keys import key_check, key_ranges, refuse_twice
from tablelog.ops.planned import Planned
from tablelog.ops.removing import Leaving, Removing
from tablelog.ops.scan import plan_scan
from tablelog.ops.sought import sought_in
from tablelog.ops.write import write_rows
from tablelog.parquet.conform import Conformer
from tablelog.parquet.contents import read_vectors
from tablelog.parquet.vectors import NO_ROWS, bitmap_of, deleted_mask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pyroaring import BitMap

    from tablelog.format.actions import Action, AddFile
    from tablelog.format.types import Field
    from tablelog.log.metadata import Metadata
    from tablelog.log.state import TableState
    from tablelog.ops.keys import KeyCheck
    from tablelog.ops.scan import ScanPlan
    from tablelog.ops.write import Written
    from tablelog.store.base import ObjectStore

    Meeting = Callable[[ScanPlan, ObjectStore, pa.Table], Iterable[pa.RecordBatch]]
    """From a plan of the key columns, and keys, to places of rows that have one, and the number of that key."""


@dataclass(frozen=True, slots=True)
class _Look:
    """Rows of a file that have a key of the new rows."""

    rows: pa.ChunkedArray[Any]
    sources: pa.ChunkedArray[Any]
    """Numbers of the new rows."""
    deleted: BitMap
    """Rows of the file that were deleted then."""

    def sources_now(self, deleted: BitMap) -> tuple[BitMap, pa.ChunkedArray[Any]]:
        """Rows that are still there, and the new rows for them."""
        if deleted == self.deleted:
            return bitmap_of(self.rows), self.sources
        numbers: list[Any] = self.rows.to_pylist()
        live = pa.array([row not in deleted for row in numbers], pa.bool_())
        return bitmap_of(self.rows.filter(live)), self.sources.filter(live)


class Upserting:
    """One upsert on its way into the log. `plan` may be called any number of times."""

    def __init__(  # noqa: PLR0917 - what it needs to know
        self,
        store: ObjectStore,
        removing: Removing,
        rows: pa.Table,
        on: tuple[int, ...],
        meeting: Meeting,
        check_of: Callable[[Metadata], Callable[[pa.RecordBatch], None]],
    ) -> None:
        """Bring these rows in by the fields `on`; `check_of` gives what raises for rows that a table does not allow."""
        self._store = store
        self._given = rows
        self._on = on
        self._meeting = meeting
        self._check_of = check_of
        self._removing = removing
        self._metadata: Metadata | None = None

    def plan(self, state: TableState, info: Mapping[str, Any]) -> Planned:
        """The commit that brings the rows into this state.

        Raises:
            InvalidError: the rows do not fit the table, or bring a key twice.

        """
        if self._metadata is not state.metadata:
            self._begin(state.metadata)
        sought = sought_in(state.metadata, self._keys)
        near = plan_scan(state, None, key_ranges(self._fields, self._keys), sought=sought).files
        candidates = {file.path: file for file in near}
        vectors = read_vectors(self._store, candidates.values())
        self._look(state, candidates, vectors)
        leaving: list[Leaving] = []
        matched: list[pa.ChunkedArray[Any]] = []
        for path, file in candidates.items():
            rows, sources = self._looks[path].sources_now(vectors.get(path, NO_ROWS))
            if rows:
                leaving.append(Leaving(file=file, updated=rows))
                matched.append(sources)
        self._write(state.metadata, pa.chunked_array([chunk for each in matched for chunk in each.chunks], pa.uint32()))
        actions: list[Action] = self._removing.actions(state.metadata, leaving)
        if self._check is not None:  # the key is another than what rows are brought in by
            self._check.require_unique(state.after(actions))
        actions += [file for written in self._written for file in written.files]
        counts = {
            "rows_added": sum(written.row_count for written in self._written),
            "rows_deleted": sum(len(each.updated) for each in leaving),
        }
        return Planned(operation="upsert", actions=actions, info={**info, **counts})

    def _begin(self, metadata: Metadata) -> None:
        """Shape the rows for a table as it is now, and look at their keys."""
        self._metadata = metadata
        conform, check = Conformer(metadata.schema), self._check_of(metadata)
        batches = [conform(batch) for batch in self._given.to_batches()]
        for batch in batches:
            check(batch)
        self._rows = pa.Table.from_batches(batches, conform.arrow_schema)
        fields = [metadata.schema.by_id(field_id) for field_id in self._on]
        if not all(fields):
            raise InvalidError("a column that rows are brought in by was dropped meanwhile")
        self._fields: tuple[Field, ...] = tuple(field for field in fields if field is not None)
        self._keys = self._rows.select([field.name for field in self._fields])
        refuse_twice(self._keys)
        self._looks: dict[str, _Look] = {}
        self._matched: tuple[BitMap, int] | None = None
        """Numbers of the rows that replaced something when they were written, and how many rows they replaced."""
        self._check: KeyCheck | None = None
        self._written: list[Written] = []

    def _look(self, state: TableState, files: Mapping[str, AddFile], vectors: Mapping[str, BitMap]) -> None:
        """Find the keys in files that were not looked into yet, or of which rows came back."""
        unseen = [
            file
            for path, file in files.items()
            if path not in self._looks or not self._looks[path].deleted <= vectors.get(path, NO_ROWS)
        ]
        if not unseen:
            return
        plan = replace(plan_scan(state, self._fields, limit=0), files=unseen)
        table = _places(self._meeting(plan, self._store, self._keys))
        order = pc.sort_indices(table, sort_keys=[("file", "ascending"), ("row", "ascending")])
        table = table.take(order)
        counted = pc.value_counts(table.column("file"))
        counts = dict(zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True))
        start = 0
        for number, file in enumerate(plan.numbered_files):
            found = table.slice(start, counts.get(number, 0))
            start += found.num_rows
            deleted = vectors.get(file.path, NO_ROWS)
            self._looks[file.path] = _Look(found.column("row"), found.column("source"), deleted)

    def _write(self, metadata: Metadata, matched: pa.ChunkedArray[Any]) -> None:
        """Store the rows: those that replace something apart from those that are new."""
        which = bitmap_of(matched)
        if (which, len(matched)) == self._matched and len(which) == len(matched):
            return
        self._matched = which, len(matched)
        mask = deleted_mask(which, 0, self._rows.num_rows)
        again = self._rows.filter(mask) if len(which) == len(matched) else self._rows.take(matched)
        self._check = None if set(metadata.key) == set(self._on) else key_check(self._store, metadata)
        self._written = [
            write_rows(self._store, metadata, rows.to_batches(), keys=self._check, change=change)
            for rows, change in ((again, RowChange.UPDATE), (self._rows.filter(pc.invert(mask)), RowChange.INSERT))
            if rows.num_rows
        ]


def _places(batches: Iterable[pa.RecordBatch]) -> pa.Table:
    schema = pa.schema([pa.field(name, pa.uint32()) for name in ("file", "row", "source")])
    tables = [pa.Table.from_batches([batch]).rename_columns(schema.names).cast(schema) for batch in batches]
    return pa.concat_tables([pa.Table.from_batches([], schema), *tables])
