"""Single values: how statistics, defaults and predicates hold them, and how the log writes them.

A value is held the way Parquet stores it, so that comparing two values of a type is comparing two Python objects: dates are
days since 1970-01-01, times and timestamps are counts of their unit, strings compare by code point (the order of
their UTF-8 bytes), decimals are `decimal.Decimal`. JSON has no infinities and no bytes, hence:

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
from typing import Any, Final

from tablelog.errors import CorruptionError, InvalidError
from tablelog.format.types import (
    PER_SECOND,
    DataType,
    Decimal,
    Primitive,
    Scalar,
    Time,
    Timestamp,
    is_float,
    is_integer,
)

_SECONDS_PER_DAY: Final = 86_400
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_TEXT_FLOATS: Final = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}


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
            if isinstance(type_, Decimal):
                return decimal.Decimal(data)
        except (binascii.Error, decimal.InvalidOperation):
            pass
    raise CorruptionError(f"{data!r} is not a value of type {type_}")


def promote(value: Scalar, old: DataType, new: DataType) -> Scalar:
    """A value of a type as a value of the type that it was widened to (see `types.can_widen`)."""
    if old == new or is_integer(old) and is_integer(new):
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


def instant_us(moment: str | dt.datetime | dt.date) -> int:
    """A moment that a person gave, as microseconds since 1970-01-01 UTC. Without a zone it is UTC; a date is its midnight.

    >>> instant_us("1970-01-01 00:00:01"), instant_us("1970-01-01T01:00:00+01:00")
    (1000000, 0)

    Raises:
        InvalidError: text that is not ISO 8601, or another kind of value.

    """
    if isinstance(moment, str):
        try:
            moment = dt.datetime.fromisoformat(moment.strip())
        except ValueError as error:
            raise InvalidError(f"{moment!r} is not a timestamp; write it as 2026-11-01 or 2026-11-01 09:00:00+01:00") from error
    if isinstance(moment, dt.date) and not isinstance(moment, dt.datetime):
        moment = dt.datetime(moment.year, moment.month, moment.day)  # noqa: DTZ001 - the zone is set below
    if not isinstance(moment, dt.datetime):
        raise InvalidError(f"{moment!r} is not a timestamp; give a datetime or ISO text")
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    since = moment - _EPOCH
    return (since.days * _SECONDS_PER_DAY + since.seconds) * 1_000_000 + since.microseconds


def _is_stored_integer(type_: DataType) -> bool:
    return is_integer(type_) or type_ is Primitive.DATE or isinstance(type_, Time | Timestamp)
