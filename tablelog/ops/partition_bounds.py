"""What a partition's values alone say of the columns that it is made of: the transforms, turned round.

    identity(x) = 5      x = 5                    month(t) = 10      1970-11-01 <= t < 1970-12-01
    truncate(10, x) = 20     20 <= x < 30         bucket(n, x)       nothing that bounds could say

A file's own bounds lie inside these, if the log knows them.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Final

from tablelog.format.partitioning import Transform
from tablelog.format.statistics import UNKNOWN, FieldStatistics, shorten_max
from tablelog.format.types import PER_SECOND, Primitive, Timestamp, is_float, is_integer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tablelog.format.partitioning import PartitionField, Partitioning
    from tablelog.format.schema import Schema
    from tablelog.format.types import DataType, Scalar

_EPOCH: Final = date(1970, 1, 1)
_HOURS_PER_DAY: Final = 24
_SECONDS_PER_HOUR: Final = 3600
_MONTHS: Final = {Transform.YEAR: 12, Transform.MONTH: 1}
_HOURS: Final = {Transform.DAY: 24, Transform.HOUR: 1}
_LAST: Final = "\U0010ffff" * 64
"""What follows a prefix comes before the prefix with this behind it."""


def partition_statistics(
    partitioning: Partitioning, values: Sequence[Scalar | None], written: Schema
) -> dict[int, FieldStatistics]:
    """By field, what is known of one row of a partition, in the types of the schema that its file was written under."""
    known: dict[int, FieldStatistics] = {}
    for field, value in zip(partitioning.fields, values, strict=True):
        source = written.by_id(field.source_id)
        statistics = UNKNOWN if source is None else _statistics(field, value, source.type)
        if statistics is not UNKNOWN:
            known.setdefault(field.source_id, statistics)
    return known


def _statistics(field: PartitionField, value: Scalar | None, type_: DataType) -> FieldStatistics:
    if value is None:
        return FieldStatistics(null_count=1, nan_count=0)
    span = _span(field, value, type_)
    return UNKNOWN if span is None else FieldStatistics(min=span[0], max=span[1], null_count=0, nan_count=0)


def _span(field: PartitionField, value: Scalar, type_: DataType) -> tuple[Scalar, Scalar | None] | None:
    """Between which values of the column a partition lies, bounds included; None if nothing is known."""
    match field.transform:
        case Transform.IDENTITY:
            return None if is_float(type_) else (value, value)
        case Transform.TRUNCATE if isinstance(value, int) and is_integer(type_) and field.parameter:
            return value, value + field.parameter - 1
        case Transform.TRUNCATE if isinstance(value, str) and field.parameter:
            return value, (value if len(value) < field.parameter else shorten_max(value + _LAST))
        case Transform.YEAR | Transform.MONTH | Transform.DAY | Transform.HOUR if isinstance(value, int):
            begin, end = _hour(field.transform, value), _hour(field.transform, value + 1)
            return None if begin is None or end is None else _between(begin, end, type_)
        case _:
            return None


def _hour(transform: Transform, number: int) -> int | None:
    """When a unit of time begins, in hours since 1970-01-01; None if no calendar goes that far."""
    if transform in _HOURS:
        return number * _HOURS[transform]
    year, month = divmod(number * _MONTHS[transform], 12)
    try:
        return (date(_EPOCH.year + year, month + 1, 1) - _EPOCH).days * _HOURS_PER_DAY
    except (ValueError, OverflowError):
        return None


def _between(begin: int, end: int, type_: DataType) -> tuple[int, int] | None:
    """Hours as the first and the last value of a type."""
    if type_ is Primitive.DATE:
        return begin // _HOURS_PER_DAY, (end - 1) // _HOURS_PER_DAY
    if isinstance(type_, Timestamp):
        per_hour = PER_SECOND[type_.unit] * _SECONDS_PER_HOUR
        return begin * per_hour, end * per_hour - 1
    return None
