"""Which keys a few rows have, in two to three bytes each: what rules small files out when one key is looked for.

A key's hash is murmur3_x86_32 with seed 0 of its value's bytes; of several columns h = 31 h + the next column's hash,
modulo 2^32, in the order of the key.

    integers, booleans, dates, times, timestamps    the stored number, 8 bytes, little-endian
    decimals                                        the unscaled number, 16 bytes, little-endian, two's complement
    strings, binary                                 their bytes (UTF-8)

The filter of n keys is the set of their hashes modulo m, the smallest power of two that is at least 4096 n and 65,536
(the span of one container of the bitmap, which costs nothing), as a roaring bitmap. So a key that is not there passes
one time in 4096 or less often: a filter that a thousand new keys are held against needs such odds. Measured bytes a key
and odds, for powers of two just reached and just missed:

    128 n     2.0          1 : 130 to 250
    1024 n    2.1 to 2.3   1 : 1,050 to 2,150
    4096 n    2.5 to 3.0   1 : 4,900 to 8,300
    16384 n   4.0 to 5.6   1 : 15,000 to 27,000

A container of the bitmap costs 8 bytes for every 65,536 hashes that there may be, however few are in it.
"""

from __future__ import annotations

import decimal
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from tablelog.errors import CorruptionError
from tablelog.format.key_filter import MODULUS_MAX, KeyFilter
from tablelog.format.types import Decimal, Primitive, is_integer
from tablelog.parquet.murmur import hash_bytes, hash_each, hash_longs
from tablelog.parquet.plain import scalar
from tablelog.parquet.vectors import bitmap_of, decode_bitmap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyroaring import BitMap

    from tablelog.format.types import DataType, Field, Scalar

KEYS_MAX: Final = 5000
"""Keys of a filter at most: 14 KB, or 19 KB of base64."""
_ROOM: Final = 4096
_MODULUS_MIN: Final = 1 << 16
_FACTOR: Final = 31
_BITS: Final = 0xFFFFFFFF
_LONG: Final = (1 << 64) - 1
_DECIMAL_BYTES: Final = 16
_SCALES: Final = decimal.Context(prec=100)


class KeyCollector:
    """Takes the keys of a file's rows while it is being written."""

    def __init__(self, fields: Sequence[Field]) -> None:
        """Collect the keys that these columns make, in their order."""
        self._fields = fields
        self._hashes: list[Any] = []
        self._row_count = 0

    def add(self, rows: pa.Table | pa.RecordBatch) -> None:
        """Some more rows of the file."""
        self._row_count += rows.num_rows
        if self._row_count <= KEYS_MAX:
            self._hashes.append(key_hashes([rows.column(field.name) for field in self._fields]))

    def finish(self) -> KeyFilter | None:
        """The filter of all rows; None if they are too many for one, or there are none."""
        if not 0 < self._row_count <= KEYS_MAX:
            return None
        return key_filter(tuple(field.id for field in self._fields), pa.concat_arrays(self._hashes))


def key_filter(field_ids: tuple[int, ...], hashes: Any) -> KeyFilter:
    """The filter of keys with these hashes, as many as there are."""
    modulus = min(max(1 << (_ROOM * len(hashes) - 1).bit_length(), _MODULUS_MIN), MODULUS_MAX)
    return KeyFilter(field_ids=field_ids, modulus=modulus, hashes=modulo(hashes, modulus).serialize())


def modulo(hashes: Any, modulus: int) -> BitMap:
    """Hashes of a uint32 array modulo a power of two, as a set."""
    return bitmap_of(pc.bit_wise_and(hashes, scalar(modulus - 1, pa.uint32())))


def hashes_in(known: KeyFilter, name: str) -> BitMap:
    """The hashes in a filter; `name` names it in messages.

    Raises:
        CorruptionError: it is damaged.

    """
    hashes = decode_bitmap(known.hashes, name)
    if not hashes or hashes.max() >= known.modulus:
        raise CorruptionError(f"{name}: its hashes are not those of keys modulo {known.modulus}; it is damaged")
    return hashes


def agrees(written: DataType, today: DataType) -> bool:
    """Whether equal values of a column have equal hashes, in files that have it as one type and as the other."""
    return written == today or (is_integer(written) and is_integer(today))


# --------------------------------------------------------------------------- hashes


def key_hashes(columns: Sequence[Any]) -> Any:
    """The hashes of keys, whose columns are arrays (or chunked ones) of the table's types without nulls, as uint32."""
    first, *others = map(_column_hashes, columns)
    for hashes in others:
        first = pc.add(pc.multiply(first, scalar(_FACTOR, pa.uint32())), hashes)
    return first


def combined(hashes: Sequence[int]) -> int:
    """The hash of a key from those of its columns."""
    result = 0
    for each in hashes:
        result = (result * _FACTOR + each) & _BITS
    return result


def value_hash(value: Scalar, type_: DataType) -> int:
    """The hash of one value of a column, as the log holds it, in a key of that column alone."""
    if isinstance(value, str | bytes):
        return hash_bytes(value)
    if isinstance(type_, Decimal):
        unscaled = int(decimal.Decimal(value).scaleb(type_.scale, _SCALES))
        return hash_bytes(unscaled.to_bytes(_DECIMAL_BYTES, "little", signed=True))
    return hash_bytes((int(value) & _LONG).to_bytes(8, "little"))


def is_value(value: Scalar, type_: DataType) -> bool:
    """Whether a value is one that a column of the type can hold, and is held as its values are."""
    match type_:
        case Primitive.STRING:
            return isinstance(value, str)
        case Primitive.BINARY:
            return isinstance(value, bytes)
        case Primitive.BOOLEAN:
            return isinstance(value, bool)
        case Decimal():
            return isinstance(value, decimal.Decimal)
        case _:
            return isinstance(value, int) and not isinstance(value, bool)


def _column_hashes(column: Any) -> Any:
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    type_ = array.type
    if pa.types.is_string(type_) or pa.types.is_binary(type_):
        values: list[Any] = array.to_pylist()
        return hash_each(values)
    if pa.types.is_decimal(type_):
        _, data = array.buffers()
        start = _DECIMAL_BYTES * array.offset
        stop = start + _DECIMAL_BYTES * len(array)
        numbers = memoryview(data or b"").cast("B")
        return hash_each(bytes(numbers[place : place + _DECIMAL_BYTES]) for place in range(start, stop, _DECIMAL_BYTES))
    if pa.types.is_date(type_) or pa.types.is_time32(type_):
        array = array.view(pa.int32())
    elif pa.types.is_time64(type_) or pa.types.is_timestamp(type_) or pa.types.is_uint64(type_):
        array = array.view(pa.int64())
    return hash_longs(array.cast(pa.int64()))
