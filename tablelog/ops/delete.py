"""Rows out: which files a condition touches, and what is written in their place.

For each live file the log knows one of three answers (see `format.predicate`):

    no row can match      leave it alone, unread
    every row matches     remove it, unread
    some may              read the columns of the condition; write the surviving rows to new files

The plan is made again after a lost race, and remembers: files already looked into are not read again, and survivors
already written are used as long as all the files that they came from are still in the table. So rows that others
append meanwhile are looked at too, and a delete that commits as version n has deleted every matching row of version n
- 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from tablelog.format.actions import removal
from tablelog.format.layout import column_sources
from tablelog.format.predicate import Truth
from tablelog.ops.known import Known
from tablelog.ops.planned import Planned
from tablelog.ops.scan import plan_scan
from tablelog.ops.write import write_rows
from tablelog.parquet.arrow import arrow_schema
from tablelog.parquet.reader import read_batches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any

    from tablelog.format.actions import Action, AddFile
    from tablelog.format.predicate import Predicate
    from tablelog.format.schema import Schema
    from tablelog.format.types import Field
    from tablelog.log.metadata import Metadata
    from tablelog.log.state import TableState
    from tablelog.store.base import ObjectStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A WHERE clause over one schema."""

    predicate: Predicate
    """What of it statistics can answer; complete, with UNKNOWN for parts that were not understood."""
    fields: tuple[Field, ...]
    """Columns that its evaluation needs; at least one."""
    evaluate: Callable[[pa.RecordBatchReader], Iterator[pa.BooleanArray]]
    """Its value for every row of a stream of those columns, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rewrite:
    """Survivors of some files, written once."""

    sources: Mapping[str, int]
    """Path of each rewritten file, and how many of its rows matched."""
    files: tuple[AddFile, ...]


class Deletion:
    """One delete on its way into the log. `plan` may be called any number of times."""

    def __init__(self, store: ObjectStore, condition_on: Callable[[Schema], Condition]) -> None:
        """Delete what the condition says; it is read anew if the schema changes on the way."""
        self._store = store
        self._condition_on = condition_on
        self._metadata: Metadata | None = None
        self._forget()

    def _forget(self) -> None:
        self._untouched: set[str] = set()
        self._whole: set[str] = set()
        self._rewrites: list[_Rewrite] = []

    def plan(self, state: TableState) -> tuple[list[Action], int]:
        """The actions that delete from this state, and how many rows that is."""
        if self._metadata is not state.metadata:
            self._forget()
            self._metadata = state.metadata
            self._condition = self._condition_on(state.schema)
        candidates = plan_scan(state, None, self._condition.predicate).files
        live = {file.path: file for file in candidates}
        self._rewrites = [rewrite for rewrite in self._rewrites if rewrite.sources.keys() <= live.keys()]
        settled = self._untouched | self._whole | {path for rewrite in self._rewrites for path in rewrite.sources}
        self._settle([file for file in candidates if file.path not in settled], state.metadata)

        whole = [file for path, file in live.items() if path in self._whole]
        removed = [*whole, *(live[path] for rewrite in self._rewrites for path in rewrite.sources)]
        added = [file for rewrite in self._rewrites for file in rewrite.files]
        row_count = sum(file.row_count for file in whole)
        row_count += sum(count for rewrite in self._rewrites for count in rewrite.sources.values())
        return [*map(removal, removed), *added], row_count

    def _settle(self, files: list[AddFile], metadata: Metadata) -> None:
        """Find out for each of the files which of the three answers holds."""
        candidates: list[AddFile] = []
        known = Known(metadata)
        for file in files:
            truth = known.outcomes(self._condition.predicate, file)
            if Truth.TRUE not in truth:
                self._untouched.add(file.path)
            elif truth == Truth.TRUE:
                self._whole.add(file.path)
            else:
                candidates.append(file)
        if candidates:
            sources: dict[str, int] = {}
            written = write_rows(self._store, metadata, self._survivors(candidates, metadata, sources), _unchecked)
            if sources:
                self._rewrites.append(_Rewrite(sources=sources, files=written.files))

    def _survivors(
        self, candidates: list[AddFile], metadata: Metadata, sources: dict[str, int]
    ) -> Iterator[pa.RecordBatch]:
        """Rows that stay, of files that lose some; notes in `sources` how many each file loses."""
        for file in candidates:
            written = metadata.schemas[file.schema_id]
            matches = self._matches(file, written)
            match_count = _true_count(matches)
            if match_count == 0:
                self._untouched.add(file.path)
            elif match_count == file.row_count:
                self._whole.add(file.path)
            else:
                sources[file.path] = match_count
                stays = pc.invert(matches)
                start = 0
                sources_of_all = column_sources(metadata.schema.fields, written)
                for batch in read_batches(self._store, file, sources_of_all, arrow_schema(metadata.schema)):
                    yield batch.filter(stays.slice(start, batch.num_rows).combine_chunks())
                    start += batch.num_rows

    def _matches(self, file: AddFile, written: Schema) -> pa.ChunkedArray[pa.BooleanScalar]:
        """For every row whether the condition is TRUE; one bit a row."""
        fields = self._condition.fields
        schema = arrow_schema(fields)
        batches = read_batches(self._store, file, column_sources(fields, written), schema)
        reader = pa.RecordBatchReader.from_batches(schema, batches)
        chunks = [values.fill_null(False) for values in self._condition.evaluate(reader)]
        return pa.chunked_array(chunks, type=pa.bool_())


def draft_delete(state: TableState, deletion: Deletion, info: Mapping[str, Any]) -> Planned:
    """Take the rows out that the deletion finds."""
    actions, rows_deleted = deletion.plan(state)
    return Planned(
        operation="delete",
        actions=actions,
        info={**info, "rows_deleted": rows_deleted},
    )


def _true_count(values: pa.ChunkedArray[pa.BooleanScalar]) -> int:
    return pc.sum(values).as_py() or 0  # type: ignore[type-var]  # the stubs sum no booleans


def _unchecked(batch: pa.RecordBatch) -> None:
    """Rows that are in the table already have been checked."""
