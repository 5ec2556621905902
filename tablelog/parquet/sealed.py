"""Parquet objects whose every byte can be checked, and of which a reader fetches only the columns that it needs.

    PAR1 │ column chunks │ CRC-32 of each chunk │ their number │ SHA-256 │ Parquet footer │ length │ PAR1
         └─ row group by row group                                       └─ of all around it, from the CRCs on

It is an ordinary Parquet file for everybody else: nothing in the footer speaks of the bytes in between. The SHA-256,
over the checksums and the footer, is the object's *digest*: whoever knows it can trust every part of the object that
he reads, without reading the rest, because each chunk is held against its checksum before it is decoded.

Objects on a local disk are mapped. Of others only what is asked for is fetched (`parquet.fetched`), into memory of the
object's size, of which the system gives only the pages that are written, or into a file of a cache on disk.
"""

from __future__ import annotations

import hashlib
import struct
import threading
import zlib
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from tablelog.errors import CorruptionError, NotFoundError, StoreError
from tablelog.parquet.fetched import FetchedBytes
from tablelog.store.base import local_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from tablelog.store.base import ObjectStore

WHOLE_BYTES: Final = 1024 * 1024
"""Objects up to this size are fetched whole: a second request would cost more than their bytes."""
_MAGIC: Final = b"PAR1"
_END: Final = struct.Struct("<I4s")
"""Length of the footer, and the magic."""
_COUNT: Final = struct.Struct("<I")
_DIGEST_LENGTH: Final = 32


def encode_sealed(
    groups: Iterable[pa.Table],
    schema: pa.Schema,
    properties: Mapping[str, str],
    bounded: Sequence[str] = (),
    ascending: Sequence[str] = (),
) -> tuple[bytes, str]:
    """A sealed object with one row group per table, and its digest.

    `properties` stand in the footer, and so does what the columns named in `bounded` hold least and most. Columns of
    integers named in `ascending` are kept as differences.
    """
    sink = pa.BufferOutputStream()
    options: Any = {
        "write_statistics": list(bounded) or False,
        "column_encoding": dict.fromkeys(ascending, "DELTA_BINARY_PACKED") or None,
    }
    with pq.ParquetWriter(
        sink, schema, compression="zstd", use_dictionary=False, store_schema=False, **options
    ) as writer:
        for group in groups:
            writer.write_table(group, row_group_size=max(group.num_rows, 1))
        writer.add_key_value_metadata(dict(properties))
    return _seal(memoryview(sink.getvalue()))


def _seal(plain: memoryview) -> tuple[bytes, str]:
    footer_length, _ = _END.unpack(plain[-_END.size :])
    footer_start = len(plain) - _END.size - footer_length
    metadata = pq.read_metadata(pa.BufferReader(pa.py_buffer(plain)))
    chunks = [_chunk(metadata, group, column) for group, column in _places(metadata)]
    checksums = struct.pack(f"<{len(chunks)}I", *(zlib.crc32(plain[start:end]) for start, end in chunks))
    checksums += _COUNT.pack(len(chunks))
    digest = hashlib.sha256(checksums)
    digest.update(plain[footer_start:])
    return b"".join((plain[:footer_start], checksums, digest.digest(), plain[footer_start:])), digest.hexdigest()


def _places(metadata: pq.FileMetaData) -> Iterable[tuple[int, int]]:
    return ((group, column) for group in range(metadata.num_row_groups) for column in range(metadata.num_columns))


def _chunk(metadata: pq.FileMetaData, group: int, column: int) -> tuple[int, int]:
    """Where a column chunk begins and ends."""
    chunk = metadata.row_group(group).column(column)
    start = chunk.data_page_offset
    if chunk.has_dictionary_page and chunk.dictionary_page_offset is not None:
        start = min(start, chunk.dictionary_page_offset)
    return start, start + chunk.total_compressed_size


class _Bytes(Protocol):
    """An object's bytes, of which some may have to be fetched first."""

    @property
    def buffer(self) -> pa.Buffer:
        """All of them; what was not fetched is zero."""

    def fetch(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Make sure that these ranges of bytes are there."""

    def forget(self) -> bool:
        """Fetch again what is asked for next; whether that may make a difference."""


class _Held:
    """All bytes are there."""

    def __init__(self, buffer: pa.Buffer) -> None:
        self.buffer = buffer

    def fetch(self, ranges: Sequence[tuple[int, int]]) -> None:
        pass

    def forget(self) -> bool:
        return False


class Sealed:
    """A sealed object, open. Safe to share between threads."""

    def __init__(self, content: _Bytes, name: str) -> None:
        """Check the end of an object; `open_sealed` is the way to get one.

        Raises:
            CorruptionError: it is damaged or something else.

        """
        self.name: Final = name
        self._content = content
        self._lock = threading.Lock()
        self.is_far: Final = isinstance(content, FetchedBytes)
        self._checked: set[tuple[int, int]] = set()
        view = memoryview(content.buffer)
        self.size_bytes: Final = len(view)
        self._checksums, self.digest, self.tail_start = _check_end(view, name)
        try:
            self._file = pq.ParquetFile(pa.BufferReader(content.buffer))
        except (pa.ArrowException, OSError) as error:
            raise CorruptionError(f"{name}: its footer cannot be read: {error}") from error
        self.metadata: Final = self._file.metadata
        columns = self.metadata.num_columns
        if len(self._checksums) != self.metadata.num_row_groups * columns:
            raise CorruptionError(f"{name}: it has {len(self._checksums)} checksums for another number of chunks")
        names = (self.metadata.schema.column(place).path for place in range(columns))
        self._columns: Final = {column: place for place, column in enumerate(names)}

    def __contains__(self, column: object) -> bool:
        return column in self._columns

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(self._columns)

    @property
    def schema(self) -> pa.Schema:
        """Names and types of the columns."""
        return self._file.schema_arrow

    @property
    def properties(self) -> dict[str, str]:
        """What was written into the footer."""
        return {name.decode(): value.decode() for name, value in (self.metadata.metadata or {}).items()}

    def row_count(self, group: int) -> int:
        """Rows of a row group."""
        return self.metadata.row_group(group).num_rows

    def chunk(self, group: int, column: str) -> pq.ColumnChunkMetaData:
        """What the footer knows of a column in a row group."""
        return self.metadata.row_group(group).column(self._columns[column])

    def start_of(self, group: int, column: str) -> int:
        """Where a column of a row group begins."""
        return _chunk(self.metadata, group, self._columns[column])[0]

    def lacks(self, places: Iterable[tuple[int, str]]) -> bool:
        """Whether a column of a row group was not asked for yet."""
        return any((group, self._columns[column]) not in self._checked for group, column in places)

    def fetch(self, places: Iterable[tuple[int, str]]) -> None:
        """Make sure that columns of row groups are here and as they were written; at once what lies apart.

        Raises:
            CorruptionError: a chunk is not what was written.

        """
        with self._lock:
            wanted = [(group, self._columns[column]) for group, column in places]
            missing = [place for place in wanted if place not in self._checked]
            if not missing:
                return
            chunks = [_chunk(self.metadata, group, column) for group, column in missing]
            if any(end > self.tail_start for _, end in chunks):
                raise CorruptionError(f"{self.name}: its footer points behind its data")
            self._content.fetch(chunks)
            if not self._are_right(missing, chunks):
                if self._content.forget():
                    self._content.fetch(chunks)
                if not self._are_right(missing, chunks):
                    raise _damaged(self.name)
            self._checked.update(missing)

    def _are_right(self, places: Iterable[tuple[int, int]], chunks: Iterable[tuple[int, int]]) -> bool:
        """Whether column chunks are what was written."""
        view = memoryview(self._content.buffer)
        return all(
            zlib.crc32(view[start:end]) == self._checksums[group * len(self._columns) + column]
            for (group, column), (start, end) in zip(places, chunks, strict=True)
        )

    def read(self, group: int, columns: Sequence[str]) -> pa.Table:
        """Columns of a row group, in the order given.

        Raises:
            CorruptionError: a chunk is not what was written.

        """
        self.fetch((group, column) for column in columns)
        try:
            with self._lock:
                table = self._file.read_row_group(group, columns=list(columns), use_threads=False)
        except (pa.ArrowException, OSError) as error:
            raise CorruptionError(f"{self.name}: row group {group} cannot be read: {error}") from error
        return table.select(list(columns))

    def check_all(self) -> None:
        """Hold every byte against what was written.

        Raises:
            CorruptionError: one is another.

        """
        self.fetch((group, column) for group in range(self.metadata.num_row_groups) for column in self._columns)
        chunks = sorted(_chunk(self.metadata, group, column) for group, column in _places(self.metadata))
        ends = [len(_MAGIC), *(end for _, end in chunks)]
        self._content.fetch([(0, len(_MAGIC))])
        begins = bytes(memoryview(self._content.buffer)[: len(_MAGIC)])
        if begins != _MAGIC or ends != [*(start for start, _ in chunks), self.tail_start]:
            raise _damaged(self.name)


def _check_end(view: memoryview, name: str) -> tuple[tuple[int, ...], str, int]:
    """The checksums, the digest and the offset at which the checksums begin."""
    if len(view) < len(_MAGIC) + _COUNT.size + _DIGEST_LENGTH + _END.size:
        raise _damaged(name)
    footer_length, magic = _END.unpack(view[-_END.size :])
    footer_start = len(view) - _END.size - footer_length
    digest_start = footer_start - _DIGEST_LENGTH
    count_start = digest_start - _COUNT.size
    if magic != _MAGIC or count_start < 0:
        raise _damaged(name)
    (count,) = _COUNT.unpack(view[count_start:digest_start])
    start = count_start - 4 * count
    if start < 0:
        raise _damaged(name)
    digest = hashlib.sha256(view[start:digest_start])
    digest.update(view[footer_start:])
    if digest.digest() != bytes(view[digest_start:footer_start]):
        raise _damaged(name)
    return struct.unpack(f"<{count}I", view[start:count_start]), digest.hexdigest(), start


def _damaged(name: str) -> CorruptionError:
    return CorruptionError(f"{name}: the checksum does not match; the object is damaged or something else")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """What somebody says of an object before it is opened."""

    size_bytes: int
    tail_start: int | None = None
    """Where the part begins that opening it needs."""
    digest: str | None = None
    """Whether it is that one can be told, so what is kept of it on disk is of use."""


def open_sealed(store: ObjectStore, key: str, stated: Stated | None = None) -> Sealed:
    """Open a sealed object. One request, for its end if its size and where that begins are stated, else for all of it.

    What is stated wrongly costs another request and does no other harm.

    Raises:
        NotFoundError: it is not there.
        CorruptionError: it is damaged or something else.
        StoreError: the storage failed.

    """
    name = f"{store.url}/{key}"
    path = local_path(store, key)
    if path is not None:
        return _open_file(path, name)
    if stated is not None and stated.size_bytes > WHOLE_BYTES:
        size = stated.size_bytes
        tail = (max(0, size - WHOLE_BYTES) if stated.tail_start is None else stated.tail_start), size
        with suppress(CorruptionError):
            content = FetchedBytes(store, key, size, stated.digest)
            content.fetch([tail])
            try:
                return Sealed(content, name)
            except CorruptionError:
                if content.forget():
                    content.fetch([tail])
                    return Sealed(content, name)
    return Sealed(_Held(pa.py_buffer(store.get(key))), name)


def _open_file(path: Path, name: str) -> Sealed:
    try:
        with pa.memory_map(str(path)) as file:
            return Sealed(_Held(file.read_buffer()), name)
    except FileNotFoundError:
        raise NotFoundError(f"there is no object {name}") from None
    except OSError as error:  # also a file of no bytes
        if path.exists() and not path.stat().st_size:
            raise _damaged(name) from error
        raise StoreError(f"cannot read {name}: {error}") from error


def written(data: bytes, name: str) -> Sealed:
    """A sealed object that was just encoded."""
    return Sealed(_Held(pa.py_buffer(data)), name)
