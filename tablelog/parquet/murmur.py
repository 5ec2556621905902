"""murmur3_x86_32 with seed 0, the hash of partition buckets and key filters, of whole columns of Arrow."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any, Final

import mmh3
import pyarrow as pa
import pyarrow.compute as pc

from tablelog.parquet.plain import scalar

if TYPE_CHECKING:
    from collections.abc import Iterable


def hash_bytes(value: str | bytes) -> int:
    """The hash of bytes, or of text as UTF-8, from 0 to 2^32 - 1.

    >>> hash_bytes("iceberg")
    1210000089
    """
    return mmh3.hash(value, 0, signed=False)


def hash_each(values: Iterable[str | bytes]) -> Any:
    """The hashes of some values as a uint32 array."""
    data = array("I", map(hash_bytes, values))
    return pa.Array.from_buffers(pa.uint32(), len(data), [None, pa.py_buffer(data)])


def hash_longs(longs: Any) -> Any:
    """The hashes of 8 little-endian bytes each of an int64 or uint64 array, as uint32.

    A column at a time (`mmh3` takes one value). The steps are those of
    https://en.wikipedia.org/wiki/MurmurHash#Algorithm; uint32 arithmetic wraps around.
    """
    bits = longs.view(pa.uint64())
    result = pc.multiply(pc.bit_wise_and(bits, _NOTHING).cast(pa.uint32()), _u32(0))
    for shift in _SHIFTS:
        word = pc.bit_wise_and(pc.shift_right(bits, shift), _LOW).cast(pa.uint32())
        word = pc.multiply(_rotated(pc.multiply(word, _C1), 15), _C2)
        result = _rotated(pc.bit_wise_xor(result, word), 13)
        result = pc.add(pc.multiply(result, _FIVE), _N)
    result = pc.bit_wise_xor(result, _EIGHT)
    for shift, factor in _MIXES:
        result = pc.multiply(pc.bit_wise_xor(result, pc.shift_right(result, shift)), factor)
    return result


def _rotated(words: Any, left: int) -> Any:
    return pc.bit_wise_or(pc.shift_left(words, _u32(left)), pc.shift_right(words, _u32(32 - left)))


def _u32(value: int) -> Any:
    return scalar(value, pa.uint32())


def _u64(value: int) -> Any:
    return scalar(value, pa.uint64())


_NOTHING: Final = _u64(0)
_LOW: Final = _u64(0xFFFFFFFF)
_SHIFTS: Final = (_u64(0), _u64(32))
_C1: Final = _u32(0xCC9E2D51)
_C2: Final = _u32(0x1B873593)
_FIVE: Final = _u32(5)
_N: Final = _u32(0xE6546B64)
_EIGHT: Final = _u32(8)
_MIXES: Final = tuple((_u32(shift), _u32(factor)) for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)))
