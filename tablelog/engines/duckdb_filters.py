"""Conditions as DuckDB's optimizer prints them, turned into predicates over field ids.

What is read here is never what a user wrote but what DuckDB made of it: names are bound, every cast is there to be
seen, constants are folded and have the type of what they are compared with. Columns are called `c<field id>`.

    ((c1 >= 5) AND (CAST(c4 AS DECIMAL(11,3)) < 5.005))     prefix(c2, 'a')     (struct_extract(c8, 'x') IS NULL)

DuckDB serialises such a text as a tree (`json_serialize_sql`). What is not understood of it becomes `UNKNOWN`, which
keeps files, so DuckDB may say things differently tomorrow without making an answer wrong. A predicate is exact: where
it says FALSE or null the condition is FALSE or null. What only follows from a condition stands beside an `UNKNOWN`.
"""

from __future__ import annotations

import datetime as dt
import decimal
import math
import re
from dataclasses import dataclass
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
    is_in,
    starts_with,
)
from tablelog.format.types import (
    PER_SECOND,
    Decimal,
    Primitive,
    Struct,
    Time,
    Timestamp,
    children,
    is_integer,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tablelog.format.schema import Schema
    from tablelog.format.types import DataType, Field, Scalar

_COMPARISONS: Final = {
    "COMPARE_EQUAL": Operator.EQUAL,
    "COMPARE_NOTEQUAL": Operator.NOT_EQUAL,
    "COMPARE_LESSTHAN": Operator.LESS,
    "COMPARE_LESSTHANOREQUALTO": Operator.LESS_OR_EQUAL,
    "COMPARE_GREATERTHAN": Operator.GREATER,
    "COMPARE_GREATERTHANOREQUALTO": Operator.GREATER_OR_EQUAL,
}
_INTEGERS: Final = frozenset(
    f"{sign}{size}" for sign in ("", "U") for size in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
)
_FLOATS: Final = frozenset(("FLOAT", "DOUBLE"))
_BITS_OF_ROUNDING: Final = {"FLOAT": 22, "DOUBLE": 51}
"""A number and its nearest float differ by less than the number's 2^-bits-th part, and by far."""
_MOMENT: Final = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d)?[ T]?"
    r"(?P<time>\d\d:\d\d:\d\d)?(?:\.(?P<fraction>\d{1,9}))?(?P<zone>[+-]\d\d(?::?\d\d)?|Z)?"
)
_FRACTION_DIGITS: Final = 9
_EPOCH: Final = dt.date(1970, 1, 1)
_YEARS: Final = range(1, 9999)


def predicate_of(node: Mapping[str, Any], schema: Schema) -> Predicate:
    """The predicate that a parsed condition on planned columns says, as far as it is understood."""
    try:
        return _Reader(schema).read(node)
    except (KeyError, TypeError, ValueError, IndexError, RecursionError, decimal.InvalidOperation):
        return UNKNOWN


@dataclass(frozen=True, slots=True)
class _Operand:
    """A column, or a column under a cast, that is compared with constants of a type."""

    field: Field
    type_name: str
    """The constants' type, as DuckDB writes it."""
    rounds: bool = False
    """Whether a cast may have rounded."""


class _Reader:
    def __init__(self, schema: Schema) -> None:
        self.columns = {f"c{field.id}": field for field in schema.fields}

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
                operand, *members = node["children"]
                return _one_of(self.compare(operand, Operator.EQUAL, member) for member in members)
            case "COMPARE_BETWEEN":
                lower = self.compare(node["input"], Operator.GREATER_OR_EQUAL, node["lower"])
                return And((lower, self.compare(node["input"], Operator.LESS_OR_EQUAL, node["upper"])))
            case "COMPARE_DISTINCT_FROM":
                return Not(self.same(node["left"], node["right"]))
            case "COMPARE_NOT_DISTINCT_FROM":
                return self.same(node["left"], node["right"])
            case "FUNCTION":
                return self.function(node)
            case "VALUE_CONSTANT" if node["literal"]["kind"] == "BOOLEAN":
                return ALWAYS if node["literal"]["text"].lower() == "true" else Or(())
            case kind if kind in _COMPARISONS:
                return self.compare(node["left"], _COMPARISONS[kind], node["right"])
            case _:
                return self.is_true(node)

    def compare(self, left: Mapping[str, Any], operator: Operator, right: Mapping[str, Any]) -> Predicate:
        if left["type"] == "VALUE_CONSTANT" or _is_cast_text(left):
            left, right, operator = right, left, MIRRORED[operator]
        if left["type"] == "FUNCTION" and left["function_name"] == "year":
            return self.compare_year(_arguments(left)[0], operator, right)
        operand = self.operand(left)
        value = None if operand is None else _constant(right, operand)
        if operand is None or value is None:
            return UNKNOWN
        return (
            _compare_rounded(operand, operator, value)
            if operand.rounds
            else Comparison(operand.field.id, operator, value)
        )

    def compare_year(self, node: Mapping[str, Any], operator: Operator, right: Mapping[str, Any]) -> Predicate:
        """`year(x) = 2026` as a range of x. Years of infinity are null, so the range only follows."""
        operand = self.operand(node)
        if operand is None or right["type"] != "VALUE_CONSTANT" or int(right["literal"]["text"]) not in _YEARS:
            return UNKNOWN
        year = int(right["literal"]["text"])
        begin, end = _begin_of_year(year, operand.field.type), _begin_of_year(year + 1, operand.field.type)
        if begin is None or end is None:
            return UNKNOWN
        field_id = operand.field.id
        from_begin = Comparison(field_id, Operator.GREATER_OR_EQUAL, begin)
        from_end = Comparison(field_id, Operator.GREATER_OR_EQUAL, end)
        ranges: dict[Operator, Predicate] = {
            Operator.EQUAL: And((from_begin, Not(from_end))),
            Operator.NOT_EQUAL: Or((Not(from_begin), from_end)),
            Operator.LESS: Not(from_begin),
            Operator.LESS_OR_EQUAL: Not(from_end),
            Operator.GREATER: from_end,
            Operator.GREATER_OR_EQUAL: from_begin,
        }
        return _implied(ranges[operator])

    def same(self, left: Mapping[str, Any], right: Mapping[str, Any]) -> Predicate:
        """`x IS NOT DISTINCT FROM constant`: never null."""
        equal = self.compare(left, Operator.EQUAL, right)
        return And((equal, Not(IsNull(equal.field_id)))) if isinstance(equal, Comparison) else UNKNOWN

    def function(self, node: Mapping[str, Any]) -> Predicate:
        name, arguments = node["function_name"], _arguments(node)
        if name not in {"prefix", "~~"}:
            return self.is_true(node)
        operand = self.operand(arguments[0])
        if operand is None or operand.field.type is not Primitive.STRING:
            return UNKNOWN
        pattern = _constant(arguments[1], operand)
        if not isinstance(pattern, str):
            return UNKNOWN
        if name == "prefix":
            return starts_with(operand.field.id, pattern)
        return _implied(starts_with(operand.field.id, re.split("[%_]", pattern)[0]))

    def is_null(self, node: Mapping[str, Any]) -> Predicate:
        operand = self.operand(node)
        return UNKNOWN if operand is None else IsNull(operand.field.id)

    def is_true(self, node: Mapping[str, Any]) -> Predicate:
        operand = self.operand(node)
        return UNKNOWN if operand is None or operand.type_name != "BOOLEAN" else IsTrue(operand.field.id)

    def operand(self, node: Mapping[str, Any]) -> _Operand | None:
        """A flat column, also under a cast that keeps order and what is null."""
        if node["type"] == "OPERATOR_CAST":
            inner = None if node.get("try_cast") else self.operand(node["child"])
            return None if inner is None or inner.rounds else _under_cast(inner, node["type_expr"])
        field = self.field(node)
        # Of a struct that is read in part DuckDB prints the struct where it means the part.
        return None if field is None or children(field.type) else _Operand(field, sql_type(field.type))

    def field(self, node: Mapping[str, Any]) -> Field | None:
        if node["type"] == "COLUMN_REF":
            first, *rest = node["column_names"]
            field = self.columns.get(first)
            # Names inside structs are printed without quotes: `c8.x` is only clear if no name is odd.
            if field is None or (rest and not _names_are_plain(field)):
                return None
            return _inside(field, rest)
        if node["type"] == "FUNCTION" and node["function_name"] == "struct_extract":
            struct, name = _arguments(node)
            outer = self.field(struct)
            return (
                None
                if outer is None or name["literal"]["kind"] != "STRING"
                else _inside(outer, [name["literal"]["text"]])
            )
        return None


def _arguments(node: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [argument["expression"] for argument in node["arguments"]]


def _inside(field: Field, names: Sequence[str]) -> Field | None:
    """The field at the end of a path of struct members."""
    found: Field | None = field
    for name in names:
        members = found.type.fields if found is not None and isinstance(found.type, Struct) else ()
        found = next((member for member in members if member.name == name), None)
    return found


def _one_of(comparisons: Iterable[Predicate]) -> Predicate:
    """That a column equals one of some constants."""
    each = tuple(comparisons)
    plain = [found for found in each if isinstance(found, Comparison) and found.operator is Operator.EQUAL]
    if len(plain) == len(each) and len({found.field_id for found in plain}) == 1:
        return is_in(plain[0].field_id, (found.value for found in plain))
    return Or(each)


def _names_are_plain(field: Field) -> bool:
    """Whether every name inside a column is one word of ASCII letters, digits and underscores."""
    return all(
        child.name.isascii() and child.name.isidentifier() and _names_are_plain(child) for child in children(field.type)
    )


def _under_cast(operand: _Operand, target: Mapping[str, Any]) -> _Operand | None:
    name, type_ = target["type_name"], operand.field.type
    if is_integer(type_) and name in _INTEGERS:
        return _Operand(operand.field, name)  # what does not fit is an error, not another value
    if is_integer(type_) and name == "DECIMAL":
        return _Operand(operand.field, name)
    if isinstance(type_, Decimal) and name == "DECIMAL":
        scale = int(target["children"][1]["literal"]["text"])
        return _Operand(operand.field, name) if scale >= type_.scale else None
    if type_ is Primitive.FLOAT32 and name == "DOUBLE":
        return _Operand(operand.field, name)
    if (is_integer(type_) or isinstance(type_, Decimal)) and name in _FLOATS:
        return _Operand(operand.field, name, rounds=True)
    return None


def _compare_rounded(operand: _Operand, operator: Operator, value: Scalar) -> Predicate:
    """What follows for exact numbers if their nearest floats compare so: rounding keeps order, but may make equal."""
    if not isinstance(value, float) or not math.isfinite(value):
        return UNKNOWN
    number = decimal.Decimal(value)
    margin = abs(number) / 2 ** _BITS_OF_ROUNDING[operand.type_name]
    field_id = operand.field.id
    above = Comparison(field_id, Operator.GREATER_OR_EQUAL, number - margin)
    below = Comparison(field_id, Operator.LESS_OR_EQUAL, number + margin)
    match operator:
        case Operator.EQUAL:
            return _implied(above, below)
        case Operator.GREATER | Operator.GREATER_OR_EQUAL:
            return _implied(above)
        case Operator.LESS | Operator.LESS_OR_EQUAL:
            return _implied(below)
        case _:
            return UNKNOWN


def _implied(*consequences: Predicate) -> Predicate:
    """A condition of which only consequences are known: where they do not hold, it does not."""
    return And((*consequences, UNKNOWN))


def _is_cast_text(node: Mapping[str, Any]) -> bool:
    """Whether a node is a constant such as `'2026-11-01'::DATE`."""
    return bool(node["type"] == "OPERATOR_CAST" and node["child"]["type"] == "VALUE_CONSTANT")


def _constant(node: Mapping[str, Any], operand: _Operand) -> Scalar | None:
    """The value of a constant that an operand is compared with; None if it is null or not understood."""
    literal = _literal(node, operand.type_name)
    if literal is None or literal.get("text") is None:
        return None
    kind, text = literal["kind"], literal["text"]
    if operand.type_name in _FLOATS:
        return float(text) if kind in {"INTEGER", "NUMERIC", "STRING"} else None
    if operand.type_name in _INTEGERS or operand.type_name.startswith("DECIMAL"):
        return _number(kind, text)
    match kind, operand.type_name:
        case "BOOLEAN", "BOOLEAN":
            return bool(text.lower() == "true")
        case "STRING", "VARCHAR":
            return str(text)
        case "STRING", "BLOB":
            return _bytes(text)
        case "STRING", _:
            return _temporal(text, operand.field.type)
        case _:
            return None


def _literal(node: Mapping[str, Any], type_name: str) -> Mapping[str, Any] | None:
    """The literal of a constant, which may be text with a cast to the type that it is compared as."""
    if _is_cast_text(node):
        literal: Mapping[str, Any] = node["child"]["literal"]
        return literal if node["type_expr"]["type_name"] == type_name and literal["kind"] == "STRING" else None
    return node["literal"] if node["type"] == "VALUE_CONSTANT" else None


def _number(kind: str, text: str) -> Scalar | None:
    if kind not in {"INTEGER", "NUMERIC"}:
        return None
    number = decimal.Decimal(text)
    return int(number) if kind == "INTEGER" or number == number.to_integral_value() else number


def _bytes(text: str) -> bytes | None:
    r"""DuckDB's text for a BLOB: ASCII, with every other byte as \xAB."""
    if not text.isascii():
        return None
    return re.sub(rb"\\x([0-9A-Fa-f]{2})", lambda match: bytes.fromhex(match[1].decode()), text.encode())


def _begin_of_year(year: int, type_: DataType) -> int | None:
    days = (dt.date(year, 1, 1) - _EPOCH).days
    if type_ is Primitive.DATE:
        return days
    return days * 86_400 * PER_SECOND[type_.unit] if isinstance(type_, Timestamp) else None


def _temporal(text: str, type_: DataType) -> Scalar | None:
    """Days, or units since midnight or 1970-01-01; a fraction if the unit cannot hold it."""
    match = _MOMENT.fullmatch(text)
    if match is None:
        return None
    date, time = match["date"], match["time"]
    days = None if date is None else (dt.date.fromisoformat(date) - _EPOCH).days
    if type_ is Primitive.DATE:
        return days if time is None else None
    seconds = 0
    if time is not None:
        hours, minutes, whole = (int(part) for part in time.split(":"))
        seconds = hours * 3600 + minutes * 60 + whole
    if isinstance(type_, Timestamp):
        if days is None or (match["zone"] is not None) != (type_.zone is not None):
            return None
        seconds += days * 86_400 - _offset_s(match["zone"])
    elif not isinstance(type_, Time) or days is not None or time is None or match["zone"] is not None:
        return None
    nanoseconds = int((match["fraction"] or "").ljust(_FRACTION_DIGITS, "0"))
    per_unit = PER_SECOND[type_.unit]
    whole_units, rest = divmod(nanoseconds * per_unit, 10**_FRACTION_DIGITS)
    units = seconds * per_unit + whole_units
    return units if not rest else units + decimal.Decimal(rest).scaleb(-_FRACTION_DIGITS)


def _offset_s(zone: str | None) -> int:
    if zone is None or zone == "Z":
        return 0
    digits = zone[1:].replace(":", "").ljust(4, "0")
    offset = int(digits[:2]) * 3600 + int(digits[2:]) * 60
    return -offset if zone[0] == "-" else offset
