"""WHERE clauses as values that say the same to plain Python, to DuckDB and to Polars.

Python's reading is the model: three truth values, NaN above every number and equal to itself, text and bytes in the
order of their bytes. Values are what `Table.to_arrow` gives a person, except that instants are counts of their unit.
"""

from __future__ import annotations

import functools
import math
import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Render = Callable[[Any], str]
    Literal = Callable[[Any], pl.Expr]

Row = "Mapping[str, Any]"

OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def key(value: Any) -> Any:
    """What two values compare by."""
    if isinstance(value, float):
        return (1, 0.0) if math.isnan(value) else (0, value)
    return value.encode() if isinstance(value, str) else value


def compare(left: Any, sign: str, right: Any) -> bool | None:
    """SQL's comparison; None is unknown."""
    return None if left is None or right is None else OPERATORS[sign](key(left), key(right))


@dataclass(frozen=True)
class Compare:
    column: str
    sign: str
    value: Any
    mirrored: bool = False

    def of(self, row: Mapping[str, Any]) -> bool | None:
        return compare(row[self.column], self.sign, self.value)

    def sql(self, render: Render) -> str:
        if self.mirrored:
            mirror = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
            return f"{render(self.value)} {mirror.get(self.sign, self.sign)} {self.column}"
        return f"{self.column} {self.sign} {render(self.value)}"

    def polars(self, literal: Literal) -> pl.Expr:
        return OPERATORS[self.sign](pl.col(self.column), literal(self.value))


@dataclass(frozen=True)
class Null:
    column: str

    def of(self, row: Mapping[str, Any]) -> bool | None:
        return row[self.column] is None

    def sql(self, render: Render) -> str:
        return f"{self.column} IS NULL"

    def polars(self, literal: Literal) -> pl.Expr:
        return pl.col(self.column).is_null()


@dataclass(frozen=True)
class Same:
    """IS NOT DISTINCT FROM: never unknown."""

    column: str
    value: Any

    def of(self, row: Mapping[str, Any]) -> bool | None:
        return row[self.column] is not None and compare(row[self.column], "=", self.value)

    def sql(self, render: Render) -> str:
        return f"{self.column} IS NOT DISTINCT FROM {render(self.value)}"

    def polars(self, literal: Literal) -> pl.Expr:
        return pl.col(self.column).eq_missing(literal(self.value))


@dataclass(frozen=True)
class In:
    column: str
    values: tuple[Any, ...]

    def of(self, row: Mapping[str, Any]) -> bool | None:
        found = [compare(row[self.column], "=", value) for value in self.values]
        return True if True in found else None if None in found else False

    def sql(self, render: Render) -> str:
        return f"{self.column} IN ({', '.join(map(render, self.values))})"

    def polars(self, literal: Literal) -> pl.Expr:
        return functools.reduce(operator.or_, (pl.col(self.column) == literal(value) for value in self.values))


@dataclass(frozen=True)
class Between:
    column: str
    low: Any
    high: Any

    def of(self, row: Mapping[str, Any]) -> bool | None:
        return conjunction([compare(row[self.column], ">=", self.low), compare(row[self.column], "<=", self.high)])

    def sql(self, render: Render) -> str:
        return f"{self.column} BETWEEN {render(self.low)} AND {render(self.high)}"

    def polars(self, literal: Literal) -> pl.Expr:
        return pl.col(self.column).is_between(literal(self.low), literal(self.high))


@dataclass(frozen=True)
class Not:
    inner: Clause

    def of(self, row: Mapping[str, Any]) -> bool | None:
        value = self.inner.of(row)
        return None if value is None else not value

    def sql(self, render: Render) -> str:
        return f"NOT ({self.inner.sql(render)})"

    def polars(self, literal: Literal) -> pl.Expr:
        return ~self.inner.polars(literal)


@dataclass(frozen=True)
class Both:
    left: Clause
    right: Clause

    def of(self, row: Mapping[str, Any]) -> bool | None:
        return conjunction([self.left.of(row), self.right.of(row)])

    def sql(self, render: Render) -> str:
        return f"({self.left.sql(render)}) AND ({self.right.sql(render)})"

    def polars(self, literal: Literal) -> pl.Expr:
        return self.left.polars(literal) & self.right.polars(literal)


@dataclass(frozen=True)
class Either:
    left: Clause
    right: Clause

    def of(self, row: Mapping[str, Any]) -> bool | None:
        values = [self.left.of(row), self.right.of(row)]
        return True if True in values else None if None in values else False

    def sql(self, render: Render) -> str:
        return f"({self.left.sql(render)}) OR ({self.right.sql(render)})"

    def polars(self, literal: Literal) -> pl.Expr:
        return self.left.polars(literal) | self.right.polars(literal)


Clause = Compare | Null | Same | In | Between | Not | Both | Either


def conjunction(values: list[bool | None]) -> bool | None:
    return False if False in values else None if None in values else True
