"""One Parquet file: row groups in, its bytes to a sink and what the log says of them out."""

from __future__ import annotations

import math
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tablelog.format.actions import AddFile
from tablelog.format.types import Struct, is_float
from tablelog.parquet.arrow import arrow_schema
from tablelog.parquet.statistics import statistics_from_metadata

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tablelog.format.schema import Schema
    from tablelog.format.types import Field, Scalar
    from tablelog.parquet.encoding import Encoding
    from tablelog.parquet.key_filters import KeyCollector
    from tablelog.parquet.ordering import Ordering
    from tablelog.parquet.sink import Sink

MIB: Final = 1024 * 1024
GROUP_BYTES: Final = 16 * MIB
"""What a row group aims at, as Arrow: engines read many at once, and threads take turns at files without long waits."""
POINT_GROUP_BYTES: Final = 4 * MIB
"""The same where single rows are looked up: a lookup decodes a row group."""
GROUP_BYTES_MAX: Final = 64 * MIB
GROUP_ROWS_MIN: Final = 122_880
"""A row group is what one thread of DuckDB reads, and this is what its own have."""
GROUP_ROWS_MAX: Final = 1 << 20

_FOOTER_COLUMN_BYTES: Final = 6 * 1024
"""Measured per column and row group while Arrow's writer is open."""


def group_rows(row_bytes: float, group_bytes: float = GROUP_BYTES) -> int:
    """How many rows of that size as Arrow make a row group of about `group_bytes`."""
    count = min(max(int(group_bytes / row_bytes), GROUP_ROWS_MIN), GROUP_ROWS_MAX)
    return max(1, min(count, int(GROUP_BYTES_MAX / row_bytes)))


class FileEncoder:
    """Collects row groups. One thread at a time; Arrow lets go of the interpreter while it encodes."""

    def __init__(
        self,
        schema: Schema,
        encoding: Encoding,
        ordering: Ordering | None,
        sink: Sink,
        *,
        keys: KeyCollector | None = None,
        group_bytes: float = GROUP_BYTES,
    ) -> None:
        """Begin a file of rows under `schema` in `sink`; each piece sorted, if there is an ordering."""
        self._keys = keys
        self._group_bytes = group_bytes
        self.row_count = 0
        self._group_count = 0
        self._schema = schema
        self._ordering = ordering
        self._sink = sink
        self._footers: list[pq.FileMetaData] = []
        with _told_by(sink):
            self._writer = pq.ParquetWriter(
                sink.stream, arrow_schema(schema), metadata_collector=self._footers, **encoding.options
            )
        self._nan_counts = {field.id: 0 for field, _ in _float_leaves(schema.fields)}

    @property
    def size_bytes(self) -> int:
        """Of the file so far."""
        return self._sink.stream.tell()

    @property
    def memory_bytes(self) -> int:
        """About what it takes to keep the file open, with all that its footer will say."""
        return self._sink.held_bytes + self._group_count * len(self._schema.fields) * _FOOTER_COLUMN_BYTES

    def add(self, rows: pa.Table) -> None:
        """Rows for the end of the file: one row group, or if they are to be sorted as many as they need."""
        for group in (rows,) if self._ordering is None else self._sorted(rows, self._ordering):
            self._add_group(group)

    def _sorted(self, rows: pa.Table, ordering: Ordering) -> Iterator[pa.Table]:
        """Row groups in the sort order, nulls last; equal rows stay as they came."""
        rows = rows.combine_chunks()
        order = ordering.indices(rows)
        group_row_count = group_rows(rows.nbytes / rows.num_rows, self._group_bytes)
        for start in range(0, rows.num_rows, group_row_count):
            yield rows.take(order.slice(start, group_row_count))

    def _add_group(self, rows: pa.Table) -> None:
        with _told_by(self._sink):
            self._writer.write_table(rows, row_group_size=rows.num_rows)
        self.row_count += rows.num_rows
        self._group_count += 1
        if self._keys is not None:
            self._keys.add(rows)
        for field, places in _float_leaves(self._schema.fields):
            for chunk in rows.column(places[0]).chunks:
                self._nan_counts[field.id] += _nan_count(_inside(chunk, places[1:]))

    def finish(self, path: str, partitioning_id: int, values: tuple[Scalar | None, ...]) -> AddFile:
        """Complete the file, store it, and return the action that adds it under `path`."""
        with _told_by(self._sink):
            self._writer.close()
            content = self._sink.content()
        action = AddFile(
            path=path,
            size_bytes=content.nbytes,
            row_count=self.row_count,
            schema_id=self._schema.id,
            partitioning_id=partitioning_id,
            partition_values=values,
            statistics=statistics_from_metadata(self._footers[0], self._schema, self._nan_counts),
            crc32=zlib.crc32(content),
            key_filter=None if self._keys is None else self._keys.finish(),
        )
        self._sink.store()
        return action

    def discard(self) -> None:
        """Give the file up and leave nothing of it behind."""
        self._writer.is_open = False  # it would write a footer
        self._sink.discard()


@contextmanager
def _told_by(sink: Sink) -> Iterator[None]:
    """What the system refuses is said in the words of the store."""
    try:
        yield
    except OSError as error:
        raise sink.failure(error) from error


def _float_leaves(fields: Iterable[Field], *outer: int) -> Iterator[tuple[Field, tuple[int, ...]]]:
    """Float fields at the top or inside structs, each with its place at every level."""
    for place, field in enumerate(fields):
        if isinstance(field.type, Struct):
            yield from _float_leaves(field.type.fields, *outer, place)
        elif is_float(field.type):
            yield field, (*outer, place)


def _inside(array: Any, places: tuple[int, ...]) -> Any:
    for place in places:
        array = array.flatten()[place]  # null where the struct is
    return array


def _nan_count(floats: Any) -> int:
    """How many are NaN. A sum is twice as fast as a look at each, and is NaN if there is one (or both infinities)."""
    total = pc.sum(floats).as_py()
    return int(pc.sum(pc.is_nan(floats)).as_py()) if total is not None and math.isnan(total) else 0
