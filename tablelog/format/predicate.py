"""Filters as values, and what a file's statistics say about them.

A predicate is what could be understood of somebody's WHERE clause, in terms of field ids. What could not be understood is
`UNKNOWN`, so a predicate never says less than the clause: a file is left out only if no row of it can be TRUE.

SQL has three truth values, so a question to statistics has as answer the *set* of truth values that rows of the file may
have. TRUE not in the set: skip the file. The set is {TRUE}: every row matches, and a delete can drop the file unread.
Sets combine by Kleene's tables, which keeps NOT, AND and OR right with nulls for free.

    x > 5   min 1 max 9, no nulls   {TRUE, FALSE}   read it
    x > 5   min 6 max 9, no nulls   {TRUE}          every row
    x > 5   min 1 max 4, 2 nulls    {FALSE, NULL}   skip

NaN is larger than every number and equal to itself, as in DuckDB and Polars.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Flag, StrEnum, auto
from functools import reduce
from typing import TYPE_CHECKING, Final, assert_never

from tablelog.format.statistics import UNKNOWN as NO_STATISTICS
from tablelog.format.statistics import FieldStatistics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tablelog.format.types import Scalar


class Operator(StrEnum):
    """How a column is compared with a value."""

    EQUAL = "="
    NOT_EQUAL = "<>"
    LESS = "<"
    LESS_OR_EQUAL = "<="
    GREATER = ">"
    GREATER_OR_EQUAL = ">="


MIRRORED: Final = {
    Operator.EQUAL: Operator.EQUAL,
    Operator.NOT_EQUAL: Operator.NOT_EQUAL,
    Operator.LESS: Operator.GREATER,
    Operator.LESS_OR_EQUAL: Operator.GREATER_OR_EQUAL,
    Operator.GREATER: Operator.LESS,
    Operator.GREATER_OR_EQUAL: Operator.LESS_OR_EQUAL,
}
"""The operator that says the same with its two sides exchanged."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A field compared with a value that is not null."""

    field_id: int
    operator: Operator
    value: Scalar


@dataclass(frozen=True, slots=True)
class IsNull:
    """A field is null. Never itself null."""

    field_id: int


@dataclass(frozen=True, slots=True)
class IsTrue:
    """A boolean field, standing as a condition of its own."""

    field_id: int


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite."""

    operand: Predicate


@dataclass(frozen=True, slots=True)
class And:
    """All of them; TRUE if there are none."""

    operands: tuple[Predicate, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one of them; FALSE if there are none."""

    operands: tuple[Predicate, ...]


@dataclass(frozen=True, slots=True)
class Unknown:
    """A condition that was not understood."""


Predicate = Comparison | IsNull | IsTrue | Not | And | Or | Unknown

UNKNOWN: Final = Unknown()
ALWAYS: Final = And(())


def is_in(field_id: int, members: Iterable[Scalar]) -> Predicate:
    """The field equals one of the members."""
    return Or(tuple(Comparison(field_id, Operator.EQUAL, member) for member in members))


def starts_with(field_id: int, prefix: str) -> Predicate:
    """A string field begins with the prefix."""
    lower = Comparison(field_id, Operator.GREATER_OR_EQUAL, prefix)
    if not prefix or ord(prefix[-1]) >= 0xD7FF:  # noqa: PLR2004 - the next code point is no character
        return lower
    return And((lower, Comparison(field_id, Operator.LESS, prefix[:-1] + chr(ord(prefix[-1]) + 1))))


class Truth(Flag):
    """A set of SQL truth values."""

    NONE = 0
    TRUE = auto()
    FALSE = auto()
    NULL = auto()
    ANY = TRUE | FALSE | NULL


def outcomes(predicate: Predicate, statistics_of: Callable[[int], FieldStatistics], row_count: int) -> Truth:
    """The truth values that rows of a file with those statistics may give; never too few.

    `statistics_of` gives a field's statistics by id, and `statistics.UNKNOWN` for what it does not know.
    """
    match predicate:
        case Comparison(field_id=field_id, operator=operator, value=value):
            return _compare(statistics_of(field_id), operator, value, row_count)
        case IsNull(field_id=field_id):
            nulls = statistics_of(field_id).null_count
            if nulls is None:
                return Truth.TRUE | Truth.FALSE
            return (Truth.TRUE if nulls else Truth.NONE) | (Truth.FALSE if nulls < row_count else Truth.NONE)
        case IsTrue(field_id=field_id):
            return _compare(statistics_of(field_id), Operator.EQUAL, True, row_count)  # noqa: FBT003
        case Not(operand=operand):
            return _not(outcomes(operand, statistics_of, row_count))
        case And(operands=operands):
            return reduce(_and, (outcomes(operand, statistics_of, row_count) for operand in operands), Truth.TRUE)
        case Or(operands=operands):
            negated = (_not(outcomes(operand, statistics_of, row_count)) for operand in operands)
            return _not(reduce(_and, negated, Truth.TRUE))
        case Unknown():
            return Truth.ANY
        case _:
            assert_never(predicate)


def _not(truth: Truth) -> Truth:
    return (
        truth & Truth.NULL
        | (Truth.FALSE if Truth.TRUE in truth else Truth.NONE)
        | (Truth.TRUE if Truth.FALSE in truth else Truth.NONE)
    )


def _and(left: Truth, right: Truth) -> Truth:
    """Kleene's AND over every pair of one value from each set."""
    if not left or not right:
        return Truth.NONE
    both = left | right
    result = both & Truth.FALSE
    if Truth.TRUE in left and Truth.TRUE in right:
        result |= Truth.TRUE
    if (Truth.NULL in left and right & (Truth.TRUE | Truth.NULL)) or (Truth.NULL in right and Truth.TRUE in left):
        result |= Truth.NULL
    return result


def _compare(known: FieldStatistics, operator: Operator, value: Scalar, row_count: int) -> Truth:
    if known is NO_STATISTICS:
        return Truth.ANY
    nulls, nans = known.null_count, known.nan_count
    truth = Truth.NULL if nulls is None or nulls > 0 else Truth.NONE
    if nans is None or nans > 0:
        truth |= _compare_nan(operator, value)
    if nulls is not None and nans is not None and nulls + nans >= row_count:
        return truth
    return truth | _compare_bounds(known.min, known.max, operator, value)


def _compare_nan(operator: Operator, value: Scalar) -> Truth:
    if isinstance(value, float) and math.isnan(value):
        holds = operator in {Operator.EQUAL, Operator.LESS_OR_EQUAL, Operator.GREATER_OR_EQUAL}
    else:
        holds = operator in {Operator.NOT_EQUAL, Operator.GREATER, Operator.GREATER_OR_EQUAL}
    return Truth.TRUE if holds else Truth.FALSE


def _compare_bounds(low: Scalar | None, high: Scalar | None, operator: Operator, value: Scalar) -> Truth:
    """Truth values of `x operator value` for every x in [low, high]; a missing bound is no bound."""
    if isinstance(value, float) and math.isnan(value):  # NaN is larger than every x
        holds = operator in {Operator.NOT_EQUAL, Operator.LESS, Operator.LESS_OR_EQUAL}
        return Truth.TRUE if holds else Truth.FALSE
    try:
        below = low is None or low < value  # type: ignore[operator]  # some x may be smaller than the value
        above = high is None or high > value  # type: ignore[operator]  # some x may be larger
        equal = (low is None or low <= value) and (high is None or high >= value)  # type: ignore[operator]
    except TypeError:  # a literal of another type than the column's: nothing can be said
        return Truth.TRUE | Truth.FALSE
    match operator:
        case Operator.EQUAL:
            holds, fails = equal, below or above
        case Operator.NOT_EQUAL:
            holds, fails = below or above, equal
        case Operator.LESS:
            holds, fails = below, equal or above
        case Operator.LESS_OR_EQUAL:
            holds, fails = below or equal, above
        case Operator.GREATER:
            holds, fails = above, equal or below
        case Operator.GREATER_OR_EQUAL:
            holds, fails = above or equal, below
        case _:
            assert_never(operator)
    return (Truth.TRUE if holds else Truth.NONE) | (Truth.FALSE if fails else Truth.NONE)
