"""What the log knows of a file's columns: bounds, nulls and NaNs per field id.

`min` and `max` are bounds, not witnesses: every value that is neither null nor NaN lies in [min, max]. Long strings
and bytes are cut, the lower bound down and the upper bound up (`shorten_min`, `shorten_max`), so a bound need not
occur in the file. A missing bound means nothing is known. NaN is never a bound; -0.0 and 0.0 are one number, written
as the wider bound.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tablelog.errors import CorruptionError
from tablelog.format import values
from tablelog.format.types import is_float

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tablelog.format.types import DataType, Scalar

BOUND_LENGTH_MAX: Final = 32
"""Characters of a string bound, bytes of a binary one."""
_CODE_POINT_MAX: Final = 0x10FFFF
_SURROGATES: Final = range(0xD800, 0xE000)
_BYTE_MAX: Final = 0xFF


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldStatistics:
    """One column in one file."""

    min: Scalar | None = None
    """Nothing that is neither null nor NaN is smaller; None if unknown."""
    max: Scalar | None = None
    """Nothing that is neither null nor NaN is larger; None if unknown."""
    null_count: int | None = None
    """Rows that are null; None if unknown."""
    nan_count: int | None = None
    """Rows that are NaN; None if unknown, 0 for types that have none."""


UNKNOWN: Final = FieldStatistics()


def shorten_min(value: Scalar) -> Scalar:
    """A lower bound of at most `BOUND_LENGTH_MAX`: a prefix sorts before what it begins."""
    return value[:BOUND_LENGTH_MAX] if isinstance(value, str | bytes) else value


def shorten_max(value: Scalar) -> Scalar | None:
    """An upper bound of at most `BOUND_LENGTH_MAX`, or None if there is none that short.

    >>> shorten_max("a" * 40) == "a" * 31 + "b"
    True
    """
    if not isinstance(value, str | bytes) or len(value) <= BOUND_LENGTH_MAX:
        return value
    prefix = value[:BOUND_LENGTH_MAX]
    while prefix:
        if isinstance(prefix, bytes):
            if prefix[-1] < _BYTE_MAX:
                return prefix[:-1] + bytes((prefix[-1] + 1,))
        else:
            code_point = ord(prefix[-1]) + 1
            if code_point in _SURROGATES:
                code_point = _SURROGATES.stop
            if code_point <= _CODE_POINT_MAX:
                return prefix[:-1] + chr(code_point)
        prefix = prefix[:-1]
    return None


def encode_statistics(statistics: Mapping[int, FieldStatistics]) -> dict[str, Any]:
    """As a JSON object from field id to what is known; a NaN count of 0 is left out where it goes without saying."""
    encoded: dict[str, Any] = {}
    for field_id, known in statistics.items():
        entry: dict[str, Any] = {}
        if known.min is not None:
            entry["min"] = values.encode_value(known.min)
        if known.max is not None:
            entry["max"] = values.encode_value(known.max)
        if known.null_count is not None:
            entry["nulls"] = known.null_count
        if known.nan_count or (known.nan_count is not None and isinstance(known.min, float | None)):
            entry["nans"] = known.nan_count
        encoded[str(field_id)] = entry
    return encoded


def decode_statistics(data: Mapping[str, Any], types: Mapping[int, DataType]) -> dict[int, FieldStatistics]:
    """The inverse of `encode_statistics` for a file whose fields have those types.

    Raises:
        CorruptionError: a field that the schema does not have, or a value that is not of its type.

    """
    decoded: dict[int, FieldStatistics] = {}
    for text, entry in data.items():
        type_ = types.get(int(text)) if text.isdecimal() else None
        if type_ is None:
            raise CorruptionError(f"statistics name the field {text!r}, which the file's schema does not have")
        low, high = entry.get("min"), entry.get("max")
        nulls, nans = entry.get("nulls"), entry.get("nans", None if is_float(type_) else 0)
        known = FieldStatistics(
            min=None if low is None else values.decode_value(low, type_),
            max=None if high is None else values.decode_value(high, type_),
            null_count=None if nulls is None else values.count(nulls),
            nan_count=None if nans is None else values.count(nans),
        )
        if not _is_range(known.min, known.max):
            raise CorruptionError(
                f"statistics of the field {text} are from {known.min!r} to {known.max!r}, which is no range"
            )
        decoded[int(text)] = known
    return decoded


def _is_range(low: Any, high: Any) -> bool:
    """Whether two bounds, or one, can be bounds; NaN cannot."""
    numbers = [bound for bound in (low, high) if isinstance(bound, float)]
    return not any(map(math.isnan, numbers)) and (low is None or high is None or bool(low <= high))
