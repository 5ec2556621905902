"""The change feed: which rows came and went between two versions, from what the log knows anyway.

    a file that came               its rows: `insert`, or `update_after` if they are new images
    a file that went               the rows it had left: `delete`, or `update_before` in a commit with new images
    a file with another vector     the rows that only one of the two vectors has
    a compaction                   nothing: its files say that their rows were there before

Where a commit says more (`Gone`: some rows of a file deleted, others updated, the rest moved), that counts. Nothing is
written for the feed; inlined rows, vectors and moved rows are looked at with their own eyes, so it is exact.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
from pyroaring import BitMap

from tablelog.format.actions import RowChange
from tablelog.parquet.arrow import arrow_schema
from tablelog.parquet.contents import read_vectors
from tablelog.parquet.reader import read_every_row
from tablelog.parquet.vectors import NO_ROWS, deleted_mask

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tablelog.format.actions import AddFile
    from tablelog.format.schema import Schema
    from tablelog.log.changed import FileChanges
    from tablelog.store.base import ObjectStore

INSERT: Final = "insert"
DELETE: Final = "delete"
BEFORE: Final = "update_before"
AFTER: Final = "update_after"
FEED_FIELDS: Final = (
    pa.field("_change", pa.string(), nullable=False),
    pa.field("_version", pa.int64(), nullable=False),
    pa.field("_timestamp", pa.timestamp("us", "UTC"), nullable=False),
)


@dataclass(frozen=True, slots=True)
class RowEvent:
    """Rows of one file that came or went together."""

    kind: str
    file: AddFile
    rows: BitMap


def row_events(store: ObjectStore, changes: FileChanges) -> Iterator[RowEvent]:
    """What a commit did to rows, those that went first. One get for each vector that is not in memory."""
    gone = {file.gone.path: file.gone for file in changes.added if file.gone is not None}
    if not gone and any(file.change is RowChange.NONE for file in changes.added):
        return
    renewed = changes.renewed
    is_update = any(file.change is RowChange.UPDATE for file in changes.added if file.path not in renewed)
    before, after = read_vectors(store, changes.removed), read_vectors(store, changes.added)
    for file in changes.removed:
        if file.path in gone:
            for kind, vector in ((DELETE, gone[file.path].deleted), (BEFORE, gone[file.path].updated)):
                if vector is not None:
                    taken = read_vectors(store, [replace(file, deleted=vector)])[file.path]
                    yield RowEvent(kind, file, taken)
            continue
        left = after.get(file.path, NO_ROWS) if file.path in renewed else BitMap(range(file.row_count))
        went = left - before.get(file.path, NO_ROWS)
        if went:
            yield RowEvent(BEFORE if is_update else DELETE, file, went)
    for file in changes.added:
        if file.change is RowChange.NONE:
            continue
        if file.path in renewed:
            came = before.get(file.path, NO_ROWS) - after.get(file.path, NO_ROWS)
        else:
            came = BitMap(range(file.row_count)) - after.get(file.path, NO_ROWS)
        if came:
            yield RowEvent(AFTER if file.change is RowChange.UPDATE else INSERT, file, came)


def feed_schema(schema: Schema) -> pa.Schema:
    """The table's columns without field ids, then `_change`, `_version` and `_timestamp`."""
    return pa.schema([*(pa.field(each.name, each.type) for each in arrow_schema(schema)), *FEED_FIELDS])


def feed(
    store: ObjectStore,
    changes: Mapping[int, FileChanges],
    timestamps_us: Mapping[int, int],
    schemas: Mapping[int, Schema],
    schema: Schema,
) -> Iterator[pa.RecordBatch]:
    """The rows of some commits' events, version by version, under `feed_schema(schema)`. Reads files as it goes."""
    shape = feed_schema(schema)
    for version, each in changes.items():
        for event in row_events(store, each):
            start = 0
            for batch in read_every_row(store, event.file, schemas[event.file.schema_id], schema.fields):
                rows = batch.filter(deleted_mask(event.rows, start, batch.num_rows))
                start += batch.num_rows
                if rows.num_rows:
                    told = (event.kind, version, timestamps_us[version])
                    columns = [
                        _repeated(pa.scalar(value, type_), rows.num_rows)
                        for value, type_ in zip(told, shape.types[-len(told) :], strict=True)
                    ]
                    yield pa.RecordBatch.from_arrays([*rows.columns, *columns], schema=shape)


def _repeated(value: Any, count: int) -> pa.Array[Any]:
    array: pa.Array[Any] = pa.repeat(value, count)
    return array
