"""Polars' filters, turned into predicates over field ids.

Polars tells a scan its filters also as text: Python source of a PyArrow expression, such as
`((pa.compute.field('id') >= 1) & (pa.compute.field('id') <= 2))`. It is read with Python's own parser and never run; a
closed set of shapes is understood and anything else is `UNKNOWN`, which keeps files.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Final

from tablelog.format.predicate import (
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
from tablelog.format.types import PER_SECOND, Primitive, Struct, Timestamp, TimeUnit, is_float, is_integer

if TYPE_CHECKING:
    from tablelog.format.schema import Schema
    from tablelog.format.types import DataType, Field, Scalar

_OPERATORS: Final[dict[type[ast.cmpop], Operator]] = {
    ast.Eq: Operator.EQUAL,
    ast.NotEq: Operator.NOT_EQUAL,
    ast.Lt: Operator.LESS,
    ast.LtE: Operator.LESS_OR_EQUAL,
    ast.Gt: Operator.GREATER,
    ast.GtE: Operator.GREATER_OR_EQUAL,
}
_UNITS: Final = {"ms": TimeUnit.MS, "us": TimeUnit.US, "ns": TimeUnit.NS}


def predicate_of(source: str | None, schema: Schema) -> Predicate:
    """The predicate that a filter says, as far as it is understood; `UNKNOWN` for None."""
    if source is None:
        return UNKNOWN
    try:
        return _read(ast.parse(source, mode="eval").body, schema)
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return UNKNOWN


def _read(node: ast.expr, schema: Schema) -> Predicate:
    match node:
        case ast.BinOp(left=left, op=ast.BitAnd(), right=right):
            return And((_read(left, schema), _read(right, schema)))
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return Or((_read(left, schema), _read(right, schema)))
        case ast.UnaryOp(op=ast.Invert(), operand=operand):
            return Not(_read(operand, schema))
        case ast.Compare(left=left, ops=[operator], comparators=[right]) if type(operator) in _OPERATORS:
            return _compare(left, _OPERATORS[type(operator)], right, schema)
        case ast.Call(func=ast.Attribute(value=target, attr="is_null"), args=[]):
            field = _field(target, schema)
            return UNKNOWN if field is None else IsNull(field.id)
        case ast.Call(func=ast.Attribute(value=target, attr="isin"), args=[ast.List(elts=members)]):
            return _is_in(_field(target, schema), members)
        case ast.Call(func=ast.Attribute(attr="starts_with"), args=[target], keywords=[keyword]):
            return _starts_with(_field(target, schema), keyword)
        case ast.Call():
            field = _field(node, schema)
            return IsTrue(field.id) if field is not None and field.type is Primitive.BOOLEAN else UNKNOWN
        case _:
            return UNKNOWN


def _compare(left: ast.expr, operator: Operator, right: ast.expr, schema: Schema) -> Predicate:
    field = _field(left, schema)
    if field is None:
        field, right, operator = _field(right, schema), left, MIRRORED[operator]
    value = None if field is None else _value(right, field.type)
    return UNKNOWN if field is None or value is None else Comparison(field.id, operator, value)


def _is_in(field: Field | None, members: list[ast.expr]) -> Predicate:
    if field is None:
        return UNKNOWN
    values = [_value(member, field.type) for member in members]
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return UNKNOWN
    # The text does not tell whether the filter was is_in(…, nulls_equal=True), which is false for null, not null.
    return And((is_in(field.id, known), Or((Not(IsNull(field.id)), UNKNOWN))))


def _starts_with(field: Field | None, keyword: ast.keyword) -> Predicate:
    match keyword:
        case ast.keyword(arg="pattern", value=ast.Constant(value=str(prefix))) if field is not None:
            return starts_with(field.id, prefix) if field.type is Primitive.STRING else UNKNOWN
        case _:
            return UNKNOWN


def _field(node: ast.expr, schema: Schema) -> Field | None:
    """The field of `pa.compute.field('a')` or, inside a struct, `pa.compute.field('a', 'b')`."""
    match node:
        case ast.Call(func=ast.Attribute(attr="field"), args=arguments):
            inside, found = schema.fields, None
            for argument in arguments:
                name = argument.value if isinstance(argument, ast.Constant) else None
                found = next((field for field in inside if field.name == name), None)
                if found is None:
                    return None
                inside = found.type.fields if isinstance(found.type, Struct) else ()
            return found
        case _:
            return None


def _value(node: ast.expr, type_: DataType) -> Scalar | None:
    """A constant as a column of that type holds it; None if it is null or of another kind."""
    match node:
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return _number(-value, type_)
        case ast.Constant(value=bool(value)):
            return value if type_ is Primitive.BOOLEAN else None
        case ast.Constant(value=int() | float() as value):
            return _number(value, type_)
        case ast.Constant(value=str(value)):
            return value if type_ is Primitive.STRING else None
        case ast.Call(func=ast.Name(id="to_py_date"), args=[ast.Constant(value=int(days))]):
            return days if type_ is Primitive.DATE else None
        case ast.Call(func=ast.Name(id="to_py_datetime"), args=[ast.Constant(value=int(count)), unit, *zone]):
            return _timestamp(count, unit, zoned=bool(zone), type_=type_)
        case _:
            return None


def _number(value: float, type_: DataType) -> Scalar | None:
    if is_float(type_):
        return float(value)
    return value if is_integer(type_) else None


def _timestamp(count: int, unit: ast.expr, *, zoned: bool, type_: DataType) -> Scalar | None:
    match type_, unit:
        case Timestamp(unit=own, zone=zone), ast.Constant(value="ms" | "us" | "ns" as given):
            whole, rest = divmod(count * PER_SECOND[own], PER_SECOND[_UNITS[given]])
            return whole if rest == 0 and zoned == (zone is not None) else None
        case _:
            return None
