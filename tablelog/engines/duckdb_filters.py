"""DuckDB's own parse tree of a condition, turned into a predicate over field ids.

DuckDB serialises an expression as JSON (`json_serialize_sql`); whatever of it is not understood here becomes `UNKNOWN`, which
keeps files, so DuckDB may change the tree without making an answer wrong. Understood are: AND, OR, NOT, comparisons of a
column with a constant on either side, BETWEEN, IN, IS [NOT] NULL, IS [NOT] DISTINCT FROM a constant, boolean columns, constants
with a cast to the column's own type, and columns under a cast between numbers.
"""

from __future__ import annotations

import datetime as dt
import decimal
import re
from typing import TYPE_CHECKING, Any, Final

from tablelog.engines.duckdb_text import sql_type
from tablelog.format.predicate import (
    ALWAYS,
    MIRRORED,
    UNKNOWN,
    And,
    Comparison,
    IsNull,
    IsTrue,
    Not,
    Operator,
    Or,
    Predicate,
)
from tablelog.format.types import PER_SECOND, Decimal, Primitive, Struct, Time, Timestamp, is_float, is_integer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tablelog.format.types import DataType, Field, Scalar

_COMPARISONS: Final = {
    "COMPARE_EQUAL": Operator.EQUAL,
    "COMPARE_NOTEQUAL": Operator.NOT_EQUAL,
    "COMPARE_LESSTHAN": Operator.LESS,
    "COMPARE_LESSTHANOREQUALTO": Operator.LESS_OR_EQUAL,
    "COMPARE_GREATERTHAN": Operator.GREATER,
    "COMPARE_GREATERTHANOREQUALTO": Operator.GREATER_OR_EQUAL,
}
_WHOLE_SECONDS: Final = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d)?[ T]?(?P<time>\d\d:\d\d:\d\d)?(?:\.(?P<fraction>\d{1,9}))?(?P<zone>[+-]\d\d(?::?\d\d)?|Z)?"
)
_FRACTION_DIGITS: Final = 9
_EXACT_CASTS: Final = frozenset(("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "DECIMAL"))
_EXACT_IN_DOUBLE: Final = frozenset(
    (Primitive.INT8, Primitive.INT16, Primitive.INT32, Primitive.UINT8, Primitive.UINT16, Primitive.UINT32)
)
_DOUBLE_INTEGERS_END: Final = 2**53
"""Below it every integer is a double."""
_DOUBLE_DIGITS: Final = 15
"""Decimals of so many digits stay different as doubles."""
_DECIMAL_DIGITS_MAX: Final = 38
"""A literal with more digits is a double to DuckDB."""
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def predicate_of(node: Mapping[str, Any], find: Callable[[Sequence[str]], Field | None]) -> Predicate:
    """The predicate that a parsed condition says, as far as it is understood.

    `find` gives the field that a column reference such as `("t", "x")` or `("s", "inner")` means, or None.
    """
    try:
        return _Reader(find).read(node)
    except (KeyError, TypeError, ValueError, IndexError, RecursionError):
        return UNKNOWN


def find_in(fields: Sequence[Field]) -> Callable[[Sequence[str]], Field | None]:
    """References by column name, ignoring case, and into structs by field name."""

    def find(path: Sequence[str]) -> Field | None:
        inside: Sequence[Field] = fields
        found: Field | None = None
        for name in path:
            found = next((field for field in inside if field.name.casefold() == name.casefold()), None)
            if found is None:
                return None
            inside = found.type.fields if isinstance(found.type, Struct) else ()
        return found

    return find


class _Reader:
    def __init__(self, find: Callable[[Sequence[str]], Field | None]) -> None:
        self.find = find

    def read(self, node: Mapping[str, Any]) -> Predicate:
        match node["type"]:
            case "CONJUNCTION_AND":
                return And(tuple(self.read(child) for child in node["children"]))
            case "CONJUNCTION_OR":
                return Or(tuple(self.read(child) for child in node["children"]))
            case "OPERATOR_NOT":
                return Not(self.read(node["children"][0]))
            case "OPERATOR_IS_NULL":
                return self.is_null(node["children"][0])
            case "OPERATOR_IS_NOT_NULL":
                return Not(self.is_null(node["children"][0]))
            case "COMPARE_IN":
                return self.is_in(node["children"])
            case "COMPARE_NOT_IN":
                return Not(self.is_in(node["children"]))
            case "COMPARE_BETWEEN":
                return self.between(node)
            case "COMPARE_DISTINCT_FROM":
                return Not(self.same(node))
            case "COMPARE_NOT_DISTINCT_FROM":
                return self.same(node)
            case "COLUMN_REF":
                return self.is_true(node)
            case "VALUE_CONSTANT" if node["literal"]["kind"] == "BOOLEAN":
                return ALWAYS if node["literal"]["text"].lower() == "true" else Or(())
            case kind if kind in _COMPARISONS:
                return self.compare(node["left"], _COMPARISONS[kind], node["right"])
            case _:
                return UNKNOWN

    def column(self, node: Mapping[str, Any]) -> Field | None:
        """The field of a column reference, also under a cast that changes no value of it."""
        if node["type"] == "COLUMN_REF":
            return self.find(node["column_names"])
        if node["type"] != "OPERATOR_CAST" or node.get("try_cast"):
            return None
        field, target = self.column(node["child"]), node["type_expr"]["type_name"]
        if field is None or not is_integer(field.type):
            return None  # casting a fraction may round, and text has another order altogether
        exact = target in _EXACT_CASTS or (target == "DOUBLE" and field.type in _EXACT_IN_DOUBLE)
        return field if exact else None

    def compare(self, left: Mapping[str, Any], operator: Operator, right: Mapping[str, Any]) -> Predicate:
        field = self.column(left)
        if field is None:
            field, right, operator = self.column(right), left, MIRRORED[operator]
        if field is None:
            return UNKNOWN
        value = _constant(right, field.type)
        return UNKNOWN if value is None else Comparison(field.id, operator, value)

    def between(self, node: Mapping[str, Any]) -> Predicate:
        return And(
            (
                self.compare(node["input"], Operator.GREATER_OR_EQUAL, node["lower"]),
                self.compare(node["input"], Operator.LESS_OR_EQUAL, node["upper"]),
            )
        )

    def is_in(self, children: Sequence[Mapping[str, Any]]) -> Predicate:
        return Or(tuple(self.compare(children[0], Operator.EQUAL, child) for child in children[1:]))

    def is_null(self, node: Mapping[str, Any]) -> Predicate:
        field = self.column(node)
        return UNKNOWN if field is None else IsNull(field.id)

    def is_true(self, node: Mapping[str, Any]) -> Predicate:
        field = self.column(node)
        return IsTrue(field.id) if field is not None and field.type is Primitive.BOOLEAN else UNKNOWN

    def same(self, node: Mapping[str, Any]) -> Predicate:
        """`x IS NOT DISTINCT FROM constant`: never null."""
        equal = self.compare(node["left"], Operator.EQUAL, node["right"])
        return UNKNOWN if not isinstance(equal, Comparison) else And((equal, Not(IsNull(equal.field_id))))


def _constant(node: Mapping[str, Any], type_: DataType) -> Scalar | None:
    """The value of a constant as the column holds it; None if it is null or not understood.

    A cast is looked through only if it is text that becomes the column's own type: any other may round or reorder.
    """
    if node["type"] == "OPERATOR_CAST":
        target, node = node["type_expr"]["type_name"], node["child"]
        if target != sql_type(type_) or node["type"] != "VALUE_CONSTANT" or node["literal"]["kind"] != "STRING":
            return None
    if node["type"] != "VALUE_CONSTANT" or "literal" not in node:
        return None
    kind, text = node["literal"]["kind"], node["literal"].get("text")
    if text is None or kind not in {"INTEGER", "NUMERIC", "STRING", "BOOLEAN"}:
        return None
    try:
        return _text_value(text, type_) if kind == "STRING" else _number_value(kind, text, type_)
    except (ValueError, decimal.InvalidOperation):
        return None


def _number_value(kind: str, text: str, type_: DataType) -> Scalar | None:
    if kind == "BOOLEAN":
        return {"true": True, "false": False}.get(text.lower()) if type_ is Primitive.BOOLEAN else None
    if is_float(type_):
        return float(text)
    if is_integer(type_):
        return int(text) if kind == "INTEGER" else _beside_integers(text)
    return _beside_decimals(kind, text, type_) if isinstance(type_, Decimal) else None


def _beside_integers(text: str) -> Scalar | None:
    """A number with a point or an exponent that an integer column is compared with; None if rounding may decide.

    With a double on either side DuckDB compares doubles: then integers from 2**53 on are no longer told apart, and a number
    may be rounded to, or past, an integer.
    """
    exact, double = decimal.Decimal(text), float(text)
    if abs(double) >= _DOUBLE_INTEGERS_END:
        return None
    number = decimal.Decimal(double)
    same_place = exact.to_integral_value(decimal.ROUND_FLOOR) == number.to_integral_value(decimal.ROUND_FLOOR)
    if not same_place or (exact == exact.to_integral_value()) != (number == number.to_integral_value()):
        return None
    return int(exact) if exact == exact.to_integral_value() else exact


def _beside_decimals(kind: str, text: str, type_: Decimal) -> Scalar | None:
    """A number that a decimal column is compared with; None if both become doubles that may be rounded."""
    number = decimal.Decimal(text)
    digit_count = len(number.as_tuple().digits)
    if kind == "INTEGER" or ("e" not in text.lower() and digit_count <= _DECIMAL_DIGITS_MAX):
        return number
    return number if max(digit_count, type_.precision) <= _DOUBLE_DIGITS else None


def _text_value(text: str, type_: DataType) -> Scalar | None:
    if type_ is Primitive.STRING:
        return text
    if type_ is Primitive.BINARY:
        return _bytes(text)
    if is_float(type_):
        return float(text)
    if is_integer(type_):
        return int(text)
    return _temporal(text, type_)  # text for a decimal would have to be rounded as DuckDB does: not understood


def _bytes(text: str) -> bytes | None:
    """DuckDB's text for a BLOB: ASCII, with every other byte as \\xAB."""
    if not text.isascii():
        return None
    return re.sub(rb"\\x([0-9A-Fa-f]{2})", lambda match: bytes.fromhex(match[1].decode()), text.encode())


def _temporal(text: str, type_: DataType) -> int | None:
    """Days, or units since midnight or 1970-01-01; None if the text says more than the unit can hold."""
    match = _WHOLE_SECONDS.fullmatch(text)
    if match is None:
        return None
    date, time = match["date"], match["time"]
    if type_ is Primitive.DATE:
        if date is None or time is not None:
            return None
        return (dt.date.fromisoformat(date) - _EPOCH.date()).days
    seconds = 0
    if time is not None:
        hours, minutes, whole = (int(part) for part in time.split(":"))
        seconds = hours * 3600 + minutes * 60 + whole
    nanoseconds = int((match["fraction"] or "").ljust(_FRACTION_DIGITS, "0"))
    if isinstance(type_, Timestamp):
        if date is None or (match["zone"] is not None) != (type_.zone is not None):
            return None
        seconds += (dt.date.fromisoformat(date) - _EPOCH.date()).days * 86_400 - _offset_s(match["zone"])
    elif not isinstance(type_, Time) or date is not None or time is None or match["zone"] is not None:
        return None
    per_unit = PER_SECOND[type_.unit]
    whole_units, rest = divmod(nanoseconds * per_unit, 10**_FRACTION_DIGITS)
    return None if rest else seconds * per_unit + whole_units


def _offset_s(zone: str | None) -> int:
    if zone is None or zone == "Z":
        return 0
    digits = zone[1:].replace(":", "").ljust(4, "0")
    offset = int(digits[:2]) * 3600 + int(digits[2:]) * 60
    return -offset if zone[0] == "-" else offset
