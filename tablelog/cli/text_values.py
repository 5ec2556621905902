"""Text from CSV and JSON as values of a table's types, in SQL: every value exactly, or not at all.

DuckDB's own casts round `12.5` to 13, cut the time off a date and the zone off a clock. So each type has a guard: what
the text must look like for the cast to keep all of it.

    integers             digits, and with at most 15 of them a point and zeros
    decimal(p, s)        at most s digits after the point that are not zeros
    float32              rounding is what it means, overflowing is not
    date                 no time of day but midnight
    time, timestamp      no digits beyond the unit; without a zone, the text has none either
    timestamp[…, zone]   text without a zone is UTC
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tablelog.engines.duckdb_text import quote_text, sql_type
from tablelog.format.types import Decimal, Primitive, Time, Timestamp, TimeUnit, is_integer

if TYPE_CHECKING:
    from tablelog.format.types import DataType

_DIGITS: Final = {TimeUnit.MS: 3, TimeUnit.US: 6, TimeUnit.NS: 9}
_DOUBLE_DIGITS: Final = 15
"""Decimal digits that a float of 64 bits keeps for certain."""
_WORD: Final = r"\s*[+-]?[a-zA-Z]+\s*"
"""How infinity and NaN are written, in contrast to a number that is too large."""
_ZONE_AT_END: Final = r".*:\d\d(\.\d+)?\s*([zZ]|UTC|[+-]\d\d.*)"


def value_of(text: str, type_: DataType) -> str:
    """SQL for the value of a flat type that an SQL expression of text stands for."""
    return text if type_ is Primitive.STRING else f"TRY_CAST({_known(text)} AS {sql_type(type_)})"


def misfits(text: str, type_: DataType) -> str | None:
    """SQL that is true where the text is there and is no value of the type; None if every text is one."""
    if type_ is Primitive.STRING:
        return None
    known = _known(text)
    guard = _guard(known, value_of(text, type_), type_)
    fits = f"{value_of(text, type_)} IS NOT NULL{f' AND {guard}' if guard else ''}"
    return f"({known} IS NOT NULL AND NOT coalesce({fits}, false))"


def rounded_in_json(json: str, text: str) -> str:
    """SQL that is true where a number was written with more digits than a JSON reader keeps.

    DuckDB reads every number with a point as a float of 64 bits, and gives as text what is left of it.
    """
    digits = f"length(regexp_replace({text}, '[^0-9]', '', 'g'))"
    return f"coalesce(json_type({json}) = 'DOUBLE' AND {digits} > {_DOUBLE_DIGITS}, false)"


def _known(text: str) -> str:
    """The text, or NULL for the empty text, which only a text column takes for a value."""
    return f"nullif({text}, '')"


def _guard(text: str, value: str, type_: DataType) -> str | None:
    match type_:
        case Primitive() if is_integer(type_):
            return _matches(text, rf"\s*[+-]?(\d+|\d{{1,{_DOUBLE_DIGITS}}}\.0*)\s*")
        case Decimal(scale=scale):
            return _matches(text, rf"\s*[+-]?(\d+(\.\d{{0,{scale}}}0*)?|\.\d{{0,{scale}}}0*)\s*")
        case Primitive.FLOAT32 | Primitive.FLOAT64:
            return f"(isfinite({value}) OR {_matches(text, _WORD)})"
        case Primitive.DATE:
            return f"TRY_CAST({text} AS TIMESTAMP) = {value}"
        case Time(unit=unit):
            return f"NOT {_too_fine(text, unit)}"
        case Timestamp(unit=unit, zone=None):
            return f"NOT {_too_fine(text, unit)} AND NOT {_matches(text, _ZONE_AT_END)}"
        case Timestamp(unit=unit):
            return f"NOT {_too_fine(text, unit)}"
        case _:
            return None


def _matches(text: str, pattern: str) -> str:
    return f"regexp_full_match({text}, {quote_text(pattern)})"


def _too_fine(text: str, unit: TimeUnit) -> str:
    pattern = rf"\.\d{{{_DIGITS[unit]}}}\d*[1-9]"
    return f"regexp_matches({text}, {quote_text(pattern)})"
