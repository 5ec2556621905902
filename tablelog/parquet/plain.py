"""Arrow values of plain Python ones, made without PyArrow's converter.

The converter imports pandas at its first use, wherever that is installed: a tenth of a second, which is more than it
takes to open a table of ten thousand commits. What follows hands over bytes.
"""

from __future__ import annotations

from array import array
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


TRUE: Final[Any] = pa.Array.from_buffers(pa.bool_(), 1, [None, pa.py_buffer(b"\1")])[0]
"""True as a scalar."""


def ints(values: Iterable[int]) -> Any:
    """An int64 array.

    >>> ints([1, 2]).to_pylist()
    [1, 2]
    """
    data = array("q", values)
    return pa.Array.from_buffers(pa.int64(), len(data), [None, pa.py_buffer(data)])


def blobs(values: Sequence[bytes]) -> Any:
    """A large_binary array.

    >>> blobs([b"ab", b""]).to_pylist()
    [b'ab', b'']
    """
    ends = array("q", accumulate(map(len, values), initial=0))
    return pa.Array.from_buffers(
        pa.large_binary(), len(values), [None, pa.py_buffer(ends), pa.py_buffer(b"".join(values))]
    )


def falses(count: int) -> Any:
    """A boolean array of nothing but False."""
    return pa.Array.from_buffers(pa.bool_(), count, [None, pa.py_buffer(bytes((count + 7) // 8))])


def scalar(value: float | str | bytes, type_: pa.DataType) -> Any:
    """A scalar of an integer, float, text or binary type.

    >>> scalar(5, pa.int32()), scalar("å", pa.string())
    (<pyarrow.Int32Scalar: 5>, <pyarrow.StringScalar: 'å'>)

    Raises:
        OverflowError, pa.ArrowInvalid: the type cannot hold the value.

    """
    if isinstance(value, str | bytes):
        data = value.encode() if isinstance(value, str) else value
        ends = pa.py_buffer(array("i", (0, len(data))))
        return pa.Array.from_buffers(type_, 1, [None, ends, pa.py_buffer(data)])[0]
    if pa.types.is_floating(type_):
        return pa.Array.from_buffers(pa.float64(), 1, [None, pa.py_buffer(array("d", (value,)))])[0].cast(type_)
    if pa.types.is_uint64(type_):
        return pa.Array.from_buffers(type_, 1, [None, pa.py_buffer(array("Q", (int(value),)))])[0]
    return ints((int(value),))[0].cast(type_)
