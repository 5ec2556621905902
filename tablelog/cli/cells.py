"""Values of DuckDB's types as cells of a table for people, and as values of JSON for programs.

    type                    for people                              JSON
    NULL                    NULL (the text NULL stands in quotes)   null
    integers, decimals      their digits                            a number; text if a number would lose digits
    floats                  at most six decimals                    a number; "nan", "inf", "-inf"
    dates, times            2026-11-01 09:00:00                     ISO 8601: "2026-11-01T09:00:00+00:00"
    lists, structs, maps    as DuckDB writes them                   arrays and objects
    all others              as DuckDB writes them                   the same as text

What Arrow and Python both say exactly is taken as it is. All else comes as text from DuckDB, which alone can write
every one of its types.
"""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from tablelog.cli.output import plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.text import Text

_INTEGERS: Final = frozenset(
    ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")
)
_WIDE_INTEGERS: Final = frozenset(("HUGEINT", "UHUGEINT", "BIGNUM"))
_FLOATS: Final = frozenset(("FLOAT", "DOUBLE"))
_NESTED: Final = re.compile(r"(STRUCT|MAP|TUPLE|UNION|VARIANT|JSON)\b|.*\]$", re.DOTALL)
_DECIMALS_MAX: Final = 6


def expression(column: str, type_: str, *, for_json: bool) -> str:
    """SQL that gives a column's values in the form that `cell` or `converter` take."""
    if type_ in _INTEGERS | _FLOATS | {"BOOLEAN", "VARCHAR"}:
        return column
    if for_json and _NESTED.match(type_):
        return f"to_json({column})::VARCHAR"
    return f"{column}::VARCHAR"


def is_number(type_: str) -> bool:
    """Whether cells of that type stand on the right."""
    return type_ in _INTEGERS | _WIDE_INTEGERS | _FLOATS or type_.startswith("DECIMAL(")


def cell(value: Any, type_: str) -> Text:
    """A value for people; what is NULL looks different from every text."""
    if value is None:
        return plain("NULL", style="dim")
    if type_ in _FLOATS:
        return plain(float_text(value))
    text = str(value).lower() if type_ == "BOOLEAN" else str(value)
    return plain(f"'{text}'" if text == "NULL" else text)


def float_text(value: float) -> str:
    """A float in as few digits as it takes, at most six decimals unless nothing would be left of it.

    >>> float_text(20.846331791143808), float_text(2.0), float_text(0.00000125), float_text(1e300)
    ('20.846332', '2.0', '1.25e-06', '1e+300')
    """
    exact = repr(value)
    if "e" in exact or len(exact.partition(".")[2]) <= _DECIMALS_MAX:
        return exact
    return repr(round(value, _DECIMALS_MAX)) if abs(value) >= 1 else f"{value:.{_DECIMALS_MAX}g}"


def converter(type_: str) -> Callable[[Any], Any]:
    """What makes JSON of a type's values."""
    if type_ in _FLOATS:
        return _json_float
    if type_ in _WIDE_INTEGERS:
        return lambda text: None if text is None else int(text)
    if type_.startswith("DECIMAL("):
        return _json_decimal
    if _NESTED.match(type_):
        return lambda text: None if text is None else _finite(json.loads(text))
    if type_.startswith("TIMESTAMP"):
        return _json_timestamp
    return lambda value: value


def _json_float(value: float | None) -> float | str | None:
    return value if value is None or math.isfinite(value) else str(value)


def _json_decimal(text: str | None) -> float | int | str | None:
    """A number where it reads back as the same decimal, else the digits as text."""
    if text is None or "." not in text:
        return None if text is None else int(text)
    return float(text) if Decimal(repr(float(text))) == Decimal(text) else text


def _json_timestamp(text: str | None) -> str | None:
    """DuckDB's text in ISO 8601; instants are in UTC, which DuckDB writes as +00."""
    if text is None:
        return None
    return text.replace(" ", "T", 1) + (":00" if text.endswith("+00") else "")


def _finite(value: Any) -> Any:
    """The same value with text where JSON has no number."""
    match value:
        case float():
            return _json_float(value)
        case list():
            return [_finite(each) for each in value]
        case dict():
            return {name: _finite(each) for name, each in value.items()}
        case _:
            return value
