"""Partition transforms on Arrow arrays, and rows split by their results.

The rules are those of `format.partitioning`. Dates and timestamps are counted in UTC with floors, so what lies before
1970 has negative numbers and no unit of time is twice as long as the others. A bucket is a hash of

    integers, dates                8 bytes, little-endian
    times, timestamps              microseconds, in the same way (nanoseconds rounded down)
    decimals                       the unscaled value, big-endian, in as few bytes as hold it
    strings, binary                their bytes (UTF-8)

as in https://iceberg.apache.org/spec/#appendix-b-32-bit-hash-requirements, whose test vectors are in the tests.
Integers are hashed a column at a time, the others once for every different value.
"""

from __future__ import annotations

import decimal
from functools import reduce
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from tablelog.errors import InvalidError
from tablelog.format.partitioning import Transform
from tablelog.parquet.arrow import arrow_scalar, stored_value
from tablelog.parquet.murmur import hash_bytes, hash_longs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tablelog.format.partitioning import PartitionField, Partitioning
    from tablelog.format.schema import Schema
    from tablelog.format.types import DataType, Scalar

_PER_DAY: Final = {"ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}
_HOURS_PER_DAY: Final = 24
_DECIMAL256_DIGITS: Final = 76
_INT64_MIN: Final = -(2**63)
_HASH_MASK: Final = 0x7FFFFFFF


def transform_scalar(value: Scalar | None, field: PartitionField, type_: DataType) -> Scalar | None:
    """A partition's value for one value of a column of type `type_`, both as the log holds them.

    Raises:
        InvalidError: the value has no such partition.

    """
    try:
        array = pa.array([arrow_scalar(value, type_)])
    except (pa.ArrowException, OverflowError) as error:
        raise InvalidError(f"{value!r} is not a value of type {type_}: {error}") from error
    return stored_value(partition_values(array, field)[0])


def partition_values(array: Any, field: PartitionField) -> Any:
    """Each value's partition as an array as long as the given one, null for null.

    Raises:
        InvalidError: a date so far away that its hours or days do not fit 32 bits.

    """
    try:
        match field.transform:
            case Transform.IDENTITY:
                return array
            case Transform.BUCKET:
                return _buckets(array, field.parameter or 1)
            case Transform.TRUNCATE:
                return _truncated(array, field.parameter or 1)
            case _:
                return _periods(array, field.transform)
    except pa.ArrowInvalid as error:
        raise InvalidError(f"cannot partition by {field.transform}: {error}") from error


def split_by_partition(
    batch: pa.RecordBatch, partitioning: Partitioning, schema: Schema
) -> Iterator[tuple[tuple[Scalar | None, ...], pa.RecordBatch]]:
    """The batch's rows by partition, partitions in order of their first row, rows in their old order.

    Only if all rows are in one partition is their batch the given one; otherwise they are copies, so a small part does
    not keep a big batch in memory.
    """
    if not batch.num_rows:
        return
    places = {field.id: place for place, field in enumerate(schema.fields)}
    results = [partition_values(batch.column(places[field.source_id]), field) for field in partitioning.fields]
    groups = reduce(_numbered, results, None)
    counts = pc.value_counts(groups).field("counts").to_pylist()
    if len(counts) == 1:
        yield _values_at(results, 0), batch
        return
    order = pc.sort_indices(groups)  # stable, and groups are numbered in order of their first row
    start = 0
    for count in counts:
        rows = order.slice(start, count)
        yield _values_at(results, rows[0].as_py()), batch.take(rows)
        start += count


def _numbered(groups: Any, values: Any) -> Any:
    """Numbers for the different pairs of group and value, in order of their first row."""
    numbers = values.dictionary_encode(null_encoding="encode")
    if groups is None:
        return numbers.indices
    width = pa.scalar(len(numbers.dictionary), pa.int64())
    pairs = pc.add(pc.multiply(groups.cast(pa.int64()), width), numbers.indices.cast(pa.int64()))
    return pairs.dictionary_encode().indices


def _values_at(results: list[pa.Array[Any]], row: int) -> tuple[Scalar | None, ...]:
    return tuple(stored_value(result[row]) for result in results)


# --------------------------------------------------------------------------- time


def _periods(array: Any, transform: Transform) -> Any:
    """Whole hours, days, months or years since 1970-01-01 00:00 UTC."""
    if pa.types.is_date(array.type):
        days = array
    else:
        per_day, counts = _PER_DAY[array.type.unit], array.cast(pa.int64())
        if transform is Transform.HOUR:
            return _floor_divide(counts, per_day // _HOURS_PER_DAY).cast(pa.int32())
        days = _floor_divide(counts, per_day).cast(pa.int32()).cast(pa.date32())
    if transform is Transform.DAY:
        return days.cast(pa.int32())
    years = pc.subtract(pc.year(days), 1970)
    if transform is Transform.YEAR:
        return years.cast(pa.int32())
    return pc.add(pc.multiply(years, 12), pc.subtract(pc.month(days), 1)).cast(pa.int32())


def _floor_divide(numbers: Any, divisor: int) -> Any:
    """Arrow divides towards zero."""
    by = pa.scalar(divisor, numbers.type)
    quotients = pc.divide(numbers, by)
    return pc.subtract(quotients, pc.less(numbers, pc.multiply(quotients, by)).cast(numbers.type))


# --------------------------------------------------------------------------- truncate


def _truncated(array: Any, width: int) -> Any:
    if pa.types.is_string(array.type):
        return pc.utf8_slice_codeunits(array, 0, width)
    if pa.types.is_binary(array.type):
        return pc.binary_slice(array, 0, width)
    if pa.types.is_decimal(array.type):
        wide_enough = pa.decimal256(_DECIMAL256_DIGITS, array.type.scale)
        return _for_each_value(array, lambda value: _truncated_decimal(value, width), wide_enough)
    numbers = array if pa.types.is_uint64(array.type) else array.cast(pa.int64())
    lower = pc.multiply(_floor_divide(numbers, width), pa.scalar(width, numbers.type))
    # Next to the smallest number of 64 bits the next one down wraps around; it stays at the smallest instead.
    return pc.if_else(pc.greater(lower, numbers), pa.scalar(_INT64_MIN).cast(numbers.type, safe=False), lower)


def _truncated_decimal(value: decimal.Decimal, width: int) -> decimal.Decimal:
    unscaled = _unscaled(value)
    lower = unscaled - unscaled % width
    return decimal.Decimal((int(lower < 0), tuple(map(int, str(abs(lower)))), int(value.as_tuple().exponent)))


# --------------------------------------------------------------------------- bucket


def _buckets(array: Any, count: int) -> Any:
    if pa.types.is_string(array.type) or pa.types.is_binary(array.type):
        hashes = _for_each_value(array, hash_bytes, pa.uint32())
    elif pa.types.is_decimal(array.type):
        hashes = _for_each_value(array, lambda value: hash_bytes(_big_endian(_unscaled(value))), pa.uint32())
    else:
        hashes = hash_longs(_longs(array))
    positive = pc.bit_wise_and(hashes.view(pa.int32()), pa.scalar(_HASH_MASK, pa.int32()))
    quotients = pc.divide(positive, pa.scalar(count, pa.int32()))
    return pc.subtract(positive, pc.multiply(quotients, pa.scalar(count, pa.int32())))


def _longs(array: Any) -> Any:
    """What of a value is hashed as a 64-bit integer."""
    if pa.types.is_date(array.type):
        return array.cast(pa.int32()).cast(pa.int64())
    if pa.types.is_time32(array.type):
        return pc.multiply(array.cast(pa.int32()).cast(pa.int64()), 1000)
    if pa.types.is_time64(array.type) or pa.types.is_timestamp(array.type):
        counts = array.cast(pa.int64())
        match array.type.unit:
            case "ms":
                return pc.multiply(counts, 1000)
            case "ns":
                return _floor_divide(counts, 1000)
            case _:
                return counts
    return array.view(pa.int64()) if pa.types.is_uint64(array.type) else array.cast(pa.int64())


def _unscaled(value: decimal.Decimal) -> int:
    """A decimal's digits as an integer; a decimal of Arrow's has exactly its type's scale."""
    sign, digits, _ = value.as_tuple()
    number = int("".join(map(str, digits)))
    return -number if sign else number


def _big_endian(number: int) -> bytes:
    """Two's complement in as few bytes as hold it."""
    return number.to_bytes(((number if number >= 0 else ~number).bit_length() + 8) // 8, "big", signed=True)


def _for_each_value(array: Any, function: Callable[[Any], Any], type_: pa.DataType) -> Any:
    """The function of every value, computed once for each different one."""
    encoded = array.dictionary_encode()
    results = pa.array([function(value) for value in encoded.dictionary.to_pylist()], type_)
    return results.take(encoded.indices)
