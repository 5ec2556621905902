"""Single values: how statistics, defaults and predicates hold them, and how the log writes them.

A value is held the way Parquet stores it, so that comparing two values of a type is comparing two Python objects:
dates are days since 1970-01-01, times and timestamps are counts of their unit, strings compare by code point (the
order of their UTF-8 bytes), decimals are `decimal.Decimal`. JSON has no infinities and no bytes, hence:

    float    a number, or "inf", "-inf", "nan"
    binary   base64
    decimal  its digits as text, "12.50"
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import decimal
import math
import re
from typing import Any, Final, TypeVar

from tablelog.errors import CorruptionError, InvalidError
from tablelog.format.types import (
    PER_SECOND,
    DataType,
    Decimal,
    Primitive,
    Scalar,
    Time,
    Timestamp,
    TimeUnit,
    is_float,
    is_integer,
)

T = TypeVar("T")

_SECONDS_PER_DAY: Final = 86_400
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_ALL_DIGITS: Final = decimal.Context(prec=400)
_DIGITS: Final = re.compile(r"-?[0-9]{1,100}(\.[0-9]{1,100})?")
"""No exponents: a few bytes of log could then stand for more digits than there is memory."""
_TEXT_FLOATS: Final = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}


def member(kind: type[T], value: Any) -> T:
    """A member of a JSON object that must be of a type; True is no number.

    Raises:
        TypeError: it is of another one.

    """
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise TypeError(f"expected {kind.__name__}, found {value!r:.60}")
    return value


def count(value: Any) -> int:
    """A member of a JSON object that must be a whole number from 0 to 2^63 - 1.

    Raises:
        TypeError: it is none.

    """
    if not 0 <= member(int, value) < 1 << 63:
        raise TypeError(f"expected a number from 0 to 2^63 - 1, found {value!r:.60}")
    return int(value)


def encode_value(value: Scalar) -> bool | int | float | str:
    """The value as JSON holds it."""
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    return value


def decode_value(data: Any, type_: DataType) -> Scalar:
    """The inverse of `encode_value` for a column of type `type_`.

    Raises:
        CorruptionError: the JSON value cannot be of that type.

    """
    if type_ is Primitive.BOOLEAN and isinstance(data, bool):
        return data
    if _is_stored_integer(type_) and isinstance(data, int) and not isinstance(data, bool):
        return data
    if is_float(type_) and isinstance(data, int | float) and not isinstance(data, bool):
        return float(data)
    if isinstance(data, str):
        if type_ is Primitive.STRING:
            return data
        if is_float(type_) and data in _TEXT_FLOATS:
            return _TEXT_FLOATS[data]
        try:
            if type_ is Primitive.BINARY:
                return base64.b64decode(data, validate=True)
            if isinstance(type_, Decimal) and _DIGITS.fullmatch(data):
                return decimal.Decimal(data)
        except binascii.Error:
            pass
    raise CorruptionError(f"{data!r} is not a value of type {type_}")


def promote(value: Scalar, old: DataType, new: DataType) -> Scalar:
    """A value of a type as a value of the type that it was widened to (see `types.can_widen`)."""
    if old == new or (is_integer(old) and is_integer(new)):
        return value
    match new:
        case Primitive.FLOAT64 if isinstance(value, int | float):
            return float(value)
        case Decimal() if isinstance(value, int):
            return decimal.Decimal(value)
        case Timestamp(unit=unit) if old is Primitive.DATE and isinstance(value, int):
            return value * _SECONDS_PER_DAY * PER_SECOND[unit]
        case _:
            return value


def stored_range(type_: DataType) -> range:
    """Every value of a type that is stored as an integer.

    >>> stored_range(Primitive.INT8), stored_range(Primitive.UINT8)
    (range(-128, 128), range(0, 256))
    """
    match type_:
        case Primitive() if is_integer(type_):
            unsigned, _, digits = type_.partition("int")
            bits = int(digits)
            return range(1 << bits) if unsigned else range(-(1 << (bits - 1)), 1 << (bits - 1))
        case Primitive.DATE | Time(unit=TimeUnit.MS):
            return range(-(1 << 31), 1 << 31)
        case _:
            return range(-(1 << 63), 1 << 63)


def demote(value: Scalar, old: DataType, new: DataType) -> Scalar | None:
    """The value that `promote` makes a value of `new` from; None if there is none. `value` may be any number.

    >>> demote(decimal.Decimal("7.00"), Primitive.INT32, Decimal(12, 2))
    7
    >>> demote(decimal.Decimal("7.50"), Primitive.INT32, Decimal(12, 2)) is None
    True
    """
    if old is Primitive.DATE and isinstance(new, Timestamp) and isinstance(value, int):
        value, rest = divmod(value, _SECONDS_PER_DAY * PER_SECOND[new.unit])
        return None if rest else value
    if _is_stored_integer(old) and isinstance(value, int | float | decimal.Decimal):
        try:
            whole = int(value)
        except (OverflowError, ValueError):  # infinities and NaN
            return None
        return whole if whole == value and whole in stored_range(old) else None
    if isinstance(old, Decimal) and isinstance(value, int | decimal.Decimal):
        digits = decimal.Decimal(value).scaleb(old.scale, _ALL_DIGITS)
        fits = digits.is_finite() and digits == digits.to_integral_value() and digits.copy_abs() < 10**old.precision
        return decimal.Decimal(value) if fits else None
    return value


def instant_us(moment: str | dt.datetime | dt.date) -> int:
    """A moment that a person gave, as microseconds since 1970-01-01 UTC. No zone is UTC; a date is its midnight.

    >>> instant_us("1970-01-01 00:00:01"), instant_us("1970-01-01T01:00:00+01:00")
    (1000000, 0)

    Raises:
        InvalidError: text that is not ISO 8601, or another kind of value.

    """
    if isinstance(moment, str):
        try:
            moment = dt.datetime.fromisoformat(moment.strip())
        except ValueError as error:
            raise InvalidError(
                f"{moment!r} is not a timestamp; write it as 2026-11-01 or 2026-11-01 09:00:00+01:00"
            ) from error
    if isinstance(moment, dt.date) and not isinstance(moment, dt.datetime):
        moment = dt.datetime(moment.year, moment.month, moment.day)  # noqa: DTZ001 - the zone is set below
    if not isinstance(moment, dt.datetime) or moment != moment:  # noqa: PLR0124 - pandas' NaT says that it is one
        raise InvalidError(f"{moment!r} is not a timestamp; give a datetime or ISO text")
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    since = moment - _EPOCH
    return (since.days * _SECONDS_PER_DAY + since.seconds) * 1_000_000 + since.microseconds


def _is_stored_integer(type_: DataType) -> bool:
    return is_integer(type_) or type_ is Primitive.DATE or isinstance(type_, Time | Timestamp)
