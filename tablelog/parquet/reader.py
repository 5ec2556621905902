"""Parquet files in, Arrow batches of the wanted columns out, whatever names and types the file was written with.

Columns are found by name in the file's own schema of the time (`ColumnSource.physical`), cast to today's type if they
were widened, and filled with their default if the file is older than the column. Rows inside the log are read in the
same way, and rows that a deletion vector names are left out.
"""

from __future__ import annotations

import io
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tablelog.errors import CorruptionError, InvalidError, NotFoundError
from tablelog.format.layout import column_sources
from tablelog.format.types import Field, Timestamp, children, with_children
from tablelog.parquet.arrow import arrow_schema, arrow_type, default_scalar, type_from_arrow
from tablelog.parquet.contents import read_inlined, read_vectors
from tablelog.parquet.vectors import deleted_mask
from tablelog.store.base import ByteRange, is_far, local_path
from tablelog.store.together import together

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from tablelog.format.actions import AddFile
    from tablelog.format.layout import ColumnSource
    from tablelog.format.schema import Schema
    from tablelog.format.types import DataType
    from tablelog.store.base import ObjectStore

BATCH_ROWS: Final = 131_072
_READ_AHEAD_BYTES: Final = 1 << 20
_WINDOW_BYTES: Final = 4 << 20
"""Files that are read side by side; ten times as much in memory."""
_WINDOW_FILES: Final = 64


def read_batches(
    store: ObjectStore, file: AddFile, written: Schema, fields: Sequence[Field], schema: pa.Schema | None = None
) -> Iterator[pa.RecordBatch]:
    """Rows of one file that are in the table, in order, in batches of at most 131,072.

    `written` is the schema that the file was written under, `schema` one of Arrow's for `fields`, by default theirs.

    Raises:
        CorruptionError: the file is missing, is not Parquet, or does not hold what the log says.

    """
    start = 0
    deleted = None if file.deleted is None else read_vectors(store, [file])[file.path]
    for batch in read_every_row(store, file, written, fields, schema):
        live = batch if deleted is None else batch.filter(pc.invert(deleted_mask(deleted, start, batch.num_rows)))
        start += batch.num_rows
        if live.num_rows:
            yield live


def read_files(
    store: ObjectStore, files: Iterable[AddFile], schemas: Mapping[int, Schema], fields: Sequence[Field]
) -> Iterator[pa.RecordBatch]:
    """Rows of files that are in the table, file by file; small files are read side by side, some MB ahead.

    Raises:
        CorruptionError: as `read_batches`.

    """

    def rows_of(file: AddFile) -> Iterator[pa.RecordBatch]:
        return read_batches(store, file, schemas[file.schema_id], fields)

    for window in _windows(files):
        if len(window) == 1:
            yield from rows_of(window[0])
            continue
        for batches in together(lambda file: list(rows_of(file)), window, side_by_side=is_far(store)):
            yield from batches


def _windows(files: Iterable[AddFile]) -> Iterator[list[AddFile]]:
    """Files in a row that are read together."""
    window: list[AddFile] = []
    size_bytes = 0
    for file in files:
        if window and (size_bytes + file.size_bytes > _WINDOW_BYTES or len(window) == _WINDOW_FILES):
            yield window
            window, size_bytes = [], 0
        window.append(file)
        size_bytes += file.size_bytes
    if window:
        yield window


def read_every_row(
    store: ObjectStore, file: AddFile, written: Schema, fields: Sequence[Field], schema: pa.Schema | None = None
) -> Iterator[pa.RecordBatch]:
    """The same with rows that are deleted, so that rows can be counted."""
    columns, schema = column_sources(fields, written), schema or arrow_schema(fields)
    if file.is_inlined:
        (rows,) = read_inlined(store, [file], {file.schema_id: written})
        for start in range(0, rows.num_rows, BATCH_ROWS):
            batch = rows.slice(start, BATCH_ROWS)
            yield pa.RecordBatch.from_arrays([shaped_column(batch, column) for column in columns], schema=schema)
        return
    physical = [column.physical.name for column in columns if column.physical is not None]
    with open_parquet(store, file, columns) as parquet:
        # A file without any wanted column still says how many rows of defaults there are.
        read = physical or parquet.schema_arrow.names[:1]
        # Columns of a small file are decoded before another thread would be awake.
        is_large = file.size_bytes > _READ_AHEAD_BYTES
        for batch in parquet.iter_batches(batch_size=BATCH_ROWS, columns=read, use_threads=is_large):
            yield pa.RecordBatch.from_arrays([shaped_column(batch, column) for column in columns], schema=schema)


def check_file(store: ObjectStore, file: AddFile, written: Schema) -> None:
    """Make sure that the file's footer says what the log says: so many rows, and the columns of the schema `written`.

    Rows inside the log are decoded, and the deletion vector is read.

    Raises:
        CorruptionError: it does not.

    """
    read_vectors(store, [file])
    if file.is_inlined:
        read_inlined(store, [file], {file.schema_id: written})
        return
    with open_parquet(store, file, column_sources(written.fields, written)):
        pass


@contextmanager
def open_parquet(
    store: ObjectStore,
    file: AddFile,
    columns: Sequence[ColumnSource],
    footer: pq.FileMetaData | None = None,
    encoded: Sequence[str] = (),
) -> Iterator[pq.ParquetFile]:
    """The file, its footer checked; a `footer` that is known is not read. What goes wrong in the block is its fault.

    Columns named in `encoded` come as dictionaries.

    Raises:
        CorruptionError: the file is missing, is not Parquet, or does not hold what the log says.

    """
    place = f"{store.url}/{file.path}"
    try:
        with _open(store, file) as source:
            parquet = pq.ParquetFile(
                source, metadata=footer, read_dictionary=list(encoded), pre_buffer=file.size_bytes > _READ_AHEAD_BYTES
            )
            if parquet.metadata.num_rows != file.row_count:
                raise CorruptionError(f"{place} has {parquet.metadata.num_rows} rows, the log says {file.row_count}")
            stored = parquet.schema_arrow
            for field in (column.physical for column in columns if column.physical is not None):
                if not _holds(stored.field(field.name).type, field.type):
                    found = type_from_arrow(stored.field(field.name).type, field.name)
                    raise CorruptionError(
                        f"{place} has the column {field.name!r} as {found}, the log says {field.type}"
                    )
            yield parquet
    except (FileNotFoundError, NotFoundError) as error:
        raise CorruptionError(f"{place} is in the log but not in the store") from error
    except (pa.ArrowException, KeyError, OSError, InvalidError) as error:
        raise CorruptionError(f"{place} cannot be read as the log describes it: {error}") from error


@lru_cache(maxsize=1024)  # the same for all files of a table
def _holds(stored: pa.DataType, type_: DataType) -> bool:
    """Whether a column of Parquet is one of a type."""
    try:
        return _bare(type_from_arrow(stored, "")) == _bare(type_)
    except InvalidError:
        return False


def _bare(type_: DataType) -> DataType:
    """A type as Parquet holds it: instants in UTC, no ids, nothing about nulls."""
    match type_:
        case Timestamp(unit=unit, zone=str()):
            return Timestamp(unit, "UTC")
        case _:
            inside = (Field(name=child.name, type=_bare(child.type)) for child in children(type_))
            return with_children(type_, tuple(inside))


def shaped_column(batch: pa.RecordBatch | pa.Table, column: ColumnSource) -> Any:
    """A wanted column out of rows as their file has them: found, cast to today's type, or filled with its default."""
    target = arrow_type(column.field.type)
    if column.physical is None:
        return pa.repeat(default_scalar(column.field), batch.num_rows)  # type: ignore[call-overload]  # any scalar will do
    array = batch.column(column.physical.name)
    return array if array.type == target else array.cast(target)


def _open(store: ObjectStore, file: AddFile) -> pa.NativeFile:
    path = local_path(store, file.path)
    if path is not None:
        return pa.memory_map(str(path))
    if file.size_bytes <= _READ_AHEAD_BYTES:  # its end alone would be a request as well
        return pa.BufferReader(store.get(file.path))
    return pa.PythonFile(io.BufferedReader(_ObjectFile(store, file), _READ_AHEAD_BYTES), mode="r")


class _ObjectFile(io.RawIOBase):
    """An object as a seekable file; each read is one ranged get."""

    def __init__(self, store: ObjectStore, file: AddFile) -> None:
        self._store = store
        self._file = file
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._file.size_bytes}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed's buffer type has no len
        end = min(self._position + len(buffer), self._file.size_bytes)
        if end <= self._position:
            return 0
        data = self._store.get(self._file.path, ByteRange(start=self._position, end=end))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)
