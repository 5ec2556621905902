"""Deletion vectors: which rows of a Parquet file are deleted, as bytes that readers of Iceberg and Delta know.

    vector   length u32 BE │ D1 D3 39 64 │ number of keys u64 LE │ key u32 LE, roaring bitmap │ … │ CRC-32 BE
                           └──────────── so long, and covered by the CRC ────────────────────┘
    puffin   PFA1 │ vector │ vector │ … │ PFA1 │ JSON: what each is, where │ its length i32 LE │ 0000 │ PFA1

https://iceberg.apache.org/puffin-spec specifies both, a vector as the blob type `deletion-vector-v1`. Bitmaps are in
the portable format of https://github.com/RoaringBitmap/RoaringFormatSpec. A key is the upper half of 64-bit positions.
Positions here are row numbers of one file, from 0 and below 2**32, so the only key is 0, and there is none if nothing
is deleted. In memory a vector is a `BitMap` of pyroaring; none that is given is changed.

Bits of many rows are made without a loop over them: where a vector and itself moved by one row differ, a run of deleted
or of other rows ends, and Arrow writes runs out as bits. 50,000 positions among two million rows take 0.8 ms, 6,000
among 131,072 rows 0.1 ms; `pc.scatter` and a loop take four times, `pc.is_in` forty times as long.
"""

from __future__ import annotations

import json
import struct
import zlib
from array import array
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc
from pyroaring import BitMap

from tablelog.errors import CorruptionError
from tablelog.parquet.plain import falses

if TYPE_CHECKING:
    from collections.abc import Sequence

_MAGIC: Final = b"\xd1\xd3\x39\x64"
_WORD: Final = struct.Struct(">I")
_KEY_COUNT: Final = struct.Struct("<Q")
_KEY: Final = struct.Struct("<I")
_PUFFIN_MAGIC: Final = b"PFA1"
_PUFFIN_END: Final = struct.Struct("<i4x4s")
"""Length of the JSON, flags of which none is set, and the magic."""
NO_ROWS: Final = BitMap()
"""The vector of a file of which nothing is deleted; not to be changed, like every other."""
_RUNS: Final = pa.run_end_encoded(pa.int64(), pa.bool_())
_POSITION_ID: Final = 2_147_483_645
"""Iceberg's field id of `_pos`, the number of a row in its file: what its own writer says such a blob is about."""


# --------------------------------------------------------------------------- bytes


def encode_vector(rows: BitMap) -> bytes:
    """The blob of a vector, without what a file around it needs. Equal sets give equal bytes."""
    checked = _MAGIC + _KEY_COUNT.pack(bool(rows))
    if rows:
        checked += _KEY.pack(0) + BitMap(rows).serialize()  # a copy with runs where they are shorter
    return _WORD.pack(len(checked)) + checked + _WORD.pack(zlib.crc32(checked))


def decode_vector(blob: bytes, name: str) -> BitMap:
    """The rows of a vector that `encode_vector` or another writer made; `name` names it in messages.

    What a position is held against, the number of rows in the file, is not known here.

    Raises:
        CorruptionError: it is damaged or something else, or has positions of 2**32 or more.

    """
    checked = blob[_WORD.size : -_WORD.size]
    if len(checked) < len(_MAGIC) + _KEY_COUNT.size or not checked.startswith(_MAGIC):
        raise CorruptionError(f"{name}: it is no deletion vector; the object is damaged or something else")
    if _WORD.unpack_from(blob) != (len(checked),):
        raise CorruptionError(f"{name}: its {len(blob)} bytes are not as many as the deletion vector says")
    if _WORD.unpack(blob[-_WORD.size :]) != (zlib.crc32(checked),):
        raise CorruptionError(f"{name}: the checksum does not match; the deletion vector is damaged")
    return _decode_bitmaps(checked[len(_MAGIC) :], name)


def _decode_bitmaps(data: bytes, name: str) -> BitMap:
    (key_count,), bitmap = _KEY_COUNT.unpack_from(data), data[_KEY_COUNT.size + _KEY.size :]
    if not key_count and len(data) == _KEY_COUNT.size:
        return BitMap()
    if not key_count or not bitmap:
        raise CorruptionError(f"{name}: its length contradicts its {key_count} keys; the deletion vector is damaged")
    if key_count > 1 or _KEY.unpack_from(data, _KEY_COUNT.size) != (0,):
        raise CorruptionError(f"{name}: it has positions of 2**32 or more, and no file here has so many rows")
    return decode_bitmap(bitmap, name)


def decode_bitmap(data: bytes, name: str) -> BitMap:
    """A 32-bit roaring bitmap in the portable format; `name` says in messages what it is.

    Raises:
        CorruptionError: it is none, or has more bytes than it needs.

    """
    try:
        rows = BitMap.deserialize(data)  # stays inside the bytes, and checks the order and number of values
    except (ValueError, IndexError) as error:  # of no bytes at all it reads the first
        raise CorruptionError(f"{name}: its bitmap cannot be read: {error}") from error
    # Values have only one form in each kind of container; what else there is would be bytes that nobody has read.
    if rows.serialize() != data:
        raise CorruptionError(f"{name}: its bitmap has more bytes than it needs, or others; it is damaged")
    return rows


def encode_puffin(vectors: Sequence[tuple[str, BitMap]]) -> tuple[bytes, tuple[tuple[int, int], ...]]:
    """A Puffin file with a vector for each (path of a data file, deleted rows); and where each is: (offset, length).

    A vector is complete in itself: whoever knows where it stands need not read the rest.
    """
    blobs = [encode_vector(rows) for _, rows in vectors]
    places: list[tuple[int, int]] = []
    offset = len(_PUFFIN_MAGIC)
    for blob in blobs:
        places.append((offset, len(blob)))
        offset += len(blob)
    described = [_description(*vector, *place) for vector, place in zip(vectors, places, strict=True)]
    footer = {"blobs": described, "properties": {"created-by": "tablelog"}}
    payload = json.dumps(footer, ensure_ascii=False, separators=(",", ":")).encode()
    end = _PUFFIN_END.pack(len(payload), _PUFFIN_MAGIC)
    return b"".join((_PUFFIN_MAGIC, *blobs, _PUFFIN_MAGIC, payload, end)), tuple(places)


def _description(path: str, rows: BitMap, offset: int, length: int) -> dict[str, Any]:
    return {
        "type": "deletion-vector-v1",
        "fields": [_POSITION_ID],
        "snapshot-id": -1,  # the specification wants both so, because the file is written before its commit
        "sequence-number": -1,
        "offset": offset,
        "length": length,
        "properties": {"referenced-data-file": path, "cardinality": str(len(rows))},
    }


# --------------------------------------------------------------------------- Arrow


def positions(rows: BitMap) -> pa.UInt32Array:
    """The rows in ascending order: what the bitmap writes out, 4 bytes each, without another copy."""
    data = rows.to_array()
    return pa.Array.from_buffers(pa.uint32(), len(data), [None, pa.py_buffer(data)])  # type: ignore[return-value]  # the stubs know no type of its result


def bitmap_of(positions: pa.Array[Any] | pa.ChunkedArray[Any]) -> BitMap:
    """Row numbers as a bitmap, in any order and as often as they come: integers without nulls, best uint32.

    A few ns for each that comes in ascending order.

    Raises:
        pa.ArrowInvalid: one is negative, or 2**32 or more.

    """
    assert not positions.null_count
    data = array("I")
    chunks = positions.chunks if isinstance(positions, pa.ChunkedArray) else [positions]
    for chunk in chunks:
        numbers = chunk.cast(pa.uint32())
        start, end = 4 * numbers.offset, 4 * (numbers.offset + len(numbers))
        data.frombytes(memoryview(numbers.buffers()[1] or b"")[start:end])
    return BitMap(data)


def deleted_mask(rows: BitMap, start: int, count: int) -> pa.BooleanArray:
    """For each of the `count` rows from `start` on whether it is deleted."""
    mask: pa.BooleanArray = _mask((rows & BitMap(range(start, start + count))).shift(-start), count)
    return mask


def bits(rows: BitMap, row_count: int) -> bytes:
    """One bit for each row of a file, set where it is deleted: row 0 is the lowest bit of the first byte.

    Bits that fill the last byte are not set; positions from `row_count` on are left out.
    """
    size = (row_count + 7) // 8
    _, data = _mask(rows & BitMap(range(row_count)), 8 * size).buffers()
    return bytes(memoryview(data or b"")[:size])


def _mask(rows: BitMap, count: int) -> Any:
    """True at those rows, all of which are below `count`."""
    if not rows:
        return falses(count)
    ends = rows ^ rows.shift(1)
    ends.add(count)
    first_deleted = 0 in rows
    ends.discard(0)
    # From the first run on they are deleted and not in turn: every second bit.
    alternating = bytes((0b01010101 if first_deleted else 0b10101010,)) * ((len(ends) + 7) // 8)
    deleted: Any = pa.Array.from_buffers(pa.bool_(), len(ends), [None, pa.py_buffer(alternating)])
    run_ends = positions(ends).cast(pa.int64())
    # Not `from_arrays`, which imports pandas wherever that is installed; see `parquet.plain`.
    runs: Any = pa.Array.from_buffers(_RUNS, count, [None], children=[run_ends, deleted])
    return pc.run_end_decode(runs)  # type: ignore[attr-defined]  # the stubs do not have it
