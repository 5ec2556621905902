"""What belongs to files but lies elsewhere: deletion vectors, and rows that ride inside commits.

Both are small and asked for by every query, so they are fetched side by side and kept: 64 MB of each for the process.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, Final

from tablelog.errors import CorruptionError, NotFoundError
from tablelog.format import names
from tablelog.format.commits import decode_commit
from tablelog.format.vector import decode_base64
from tablelog.parquet.inlined import decode_rows
from tablelog.parquet.kept import Kept
from tablelog.parquet.vectors import decode_vector
from tablelog.store.base import ByteRange, is_far
from tablelog.store.together import together

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import pyarrow as pa
    from pyroaring import BitMap

    from tablelog.format.actions import AddFile
    from tablelog.format.schema import Schema
    from tablelog.format.vector import DeletionVector
    from tablelog.store.base import ObjectStore

_KEPT_BYTES: Final = 64 * 1024 * 1024
_VECTORS: Final[Kept[tuple[str, str, int], BitMap]] = Kept(_KEPT_BYTES)
"""By store, object and offset; names of objects are never used twice."""
_ROWS: Final[Kept[tuple[str, str, int, int], bytes]] = Kept(_KEPT_BYTES)
"""By store, path, size and checksum."""


def read_vector(store: ObjectStore, vector: DeletionVector, path: str, *, anew: bool = False) -> BitMap:
    """The rows that a vector says are deleted. No request if it is inline or, unless `anew`, was read before, else one.

    `path` is that of the file whose rows they are, for messages.

    Raises:
        CorruptionError: it is missing, damaged, or holds another number of rows.

    """
    if vector.inline is not None:
        name = f"the deletion vector of {path} in the log"
        return _checked(decode_vector(vector.inline, name), vector, name)
    assert vector.path is not None
    name, place = f"{store.url}/{vector.path}", (store.url, vector.path, vector.offset)
    rows = None if anew else _VECTORS.get(place)
    if rows is None:
        span = ByteRange(start=vector.offset, end=vector.offset + vector.size_bytes)
        try:
            blob = store.get(vector.path, span)
        except NotFoundError as error:
            raise CorruptionError(f"{name} is in the log but not in the store") from error
        rows = decode_vector(bytes(blob), name)
        _VECTORS.put(place, rows, vector.size_bytes)
    return _checked(rows, vector, name)


def _checked(rows: BitMap, vector: DeletionVector, name: str) -> BitMap:
    if len(rows) != vector.row_count:
        raise CorruptionError(f"{name}: it has {len(rows)} rows, the log says {vector.row_count}")
    return rows


def read_vectors(store: ObjectStore, files: Iterable[AddFile], *, anew: bool = False) -> dict[str, BitMap]:
    """Deleted rows of those files that have any, by path.

    One get for each that is not in memory, or for all that are not in the log if they are to be read `anew`; side by
    side.
    """
    dirty = [(file, file.deleted) for file in files if file.deleted is not None]

    def read(each: tuple[AddFile, DeletionVector]) -> BitMap:
        file, vector = each
        rows = read_vector(store, vector, file.path, anew=anew)
        if rows and rows.max() >= file.row_count:
            raise CorruptionError(f"row {rows.max()} of {file.path} is said to be deleted; it has {file.row_count}")
        return rows

    found = together(read, dirty, side_by_side=is_far(store))
    return {file.path: rows for (file, _), rows in zip(dirty, found, strict=True)}


def read_inlined(store: ObjectStore, files: Iterable[AddFile], schemas: Mapping[int, Schema]) -> list[pa.RecordBatch]:
    """All rows of files inside the log, deleted ones among them. One get for each that is not in memory, side by side.

    Raises:
        CorruptionError: a commit is missing or damaged, or does not hold what the log says.

    """

    def read(file: AddFile) -> pa.RecordBatch:
        return decode_rows(inlined_content(store, file), schemas[file.schema_id], file.row_count, file.path)

    return together(read, list(files), side_by_side=is_far(store))


def inlined_content(store: ObjectStore, file: AddFile) -> bytes:
    """The bytes of a file inside the log. One get if they are not in memory.

    Raises:
        CorruptionError: the commit is missing or damaged, or does not hold what the log says.

    """
    if file.crc32 is None:
        raise CorruptionError(f"the rows of {file.path} have no checksum in the log")
    place = (store.url, file.path, file.size_bytes, file.crc32)
    if file.content is not None:
        _ROWS.put(place, file.content, len(file.content))  # later commits may speak of the file without its rows
        return file.content
    return _ROWS.get(place) or _from_commit(store, file)


def _from_commit(store: ObjectStore, file: AddFile) -> bytes:
    parsed = names.parse_inlined(file.path)
    if parsed is None:
        raise CorruptionError(f"{file.path!r} names no rows inside the log")
    version, number = parsed
    key = names.LOG + names.commit(version)
    try:
        data = store.get(key)
    except NotFoundError as error:
        raise CorruptionError(f"{store.url}/{key} is missing although the rows of {file.path} are in it") from error
    if not data:
        raise CorruptionError(f"{store.url}/{key} is empty: its history has expired, and {file.path} with it; reload")
    record = decode_commit(bytes(data), key)
    found = dict(_contents(record.actions)) if record.version == version else {}
    content = found.get(number)
    if content is None:
        raise CorruptionError(f"{store.url}/{key}: its action {number} holds no rows, although the log says so")
    if _identity(content) != (file.size_bytes, file.crc32):
        raise CorruptionError(f"{store.url}/{key}: the rows of its action {number} are not those that the log means")
    for each, other in found.items():  # whoever wants some rows of a commit most often wants all
        _ROWS.put((store.url, names.inlined(version, each), *_identity(other)), other, len(other))
    return content


def _contents(actions: Sequence[Mapping[str, Any]]) -> Iterator[tuple[int, bytes]]:
    """Rows inside a commit, by the number of their action."""
    for number, action in enumerate(actions):
        body = action.get("add")
        if isinstance(body, dict) and "inline" in body:
            yield number, decode_base64(body["inline"])


def _identity(content: bytes) -> tuple[int, int]:
    return len(content), zlib.crc32(content)
