"""Filters as values, and what a file's statistics say about them.

A predicate is what could be understood of somebody's WHERE clause, in terms of field ids. What could not be
understood is `UNKNOWN`, so a predicate never says less than the clause: a file is left out only if no row of it can
be TRUE.

SQL has three truth values, so a question to statistics has as answer the *set* of truth values that rows of the file
may have. TRUE not in the set: skip the file. The set is {TRUE}: every row matches, and a delete can drop the file
unread. Sets combine by Kleene's tables, which keeps NOT, AND and OR right with nulls for free.

    x > 5   min 1 max 9, no nulls   {TRUE, FALSE}   read it
    x > 5   min 6 max 9, no nulls   {TRUE}          every row
    x > 5   min 1 max 4, 2 nulls    {FALSE, NULL}   skip

NaN is larger than every number and equal to itself, as in DuckDB and Polars.
"""

from __future__ import annotations

import math
import sys
from bisect import bisect_left
from dataclasses import dataclass
from enum import Flag, StrEnum, auto
from itertools import groupby
from typing import TYPE_CHECKING, Final, assert_never

from tablelog.format.statistics import UNKNOWN as NO_STATISTICS
from tablelog.format.statistics import FieldStatistics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

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
class IsIn:
    """A field equals one of some values; made by `is_in`."""

    field_id: int
    members: tuple[Scalar, ...]
    """In ascending order, each once, none of them NaN."""


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


Predicate = Comparison | IsIn | IsNull | IsTrue | Not | And | Or | Unknown

UNKNOWN: Final = Unknown()
ALWAYS: Final = And(())


_SURROGATES: Final = range(0xD800, 0xE000)
"""Code points that are no characters."""


def is_in(field_id: int, members: Iterable[Scalar]) -> Predicate:
    """The field equals one of the members, of which there may be thousands.

    >>> is_in(1, [3, 1, 3])
    IsIn(field_id=1, members=(1, 3))
    """
    each = tuple(members)
    try:
        ordered = sorted(each)
    except (TypeError, ArithmeticError):
        ordered = []
    if not ordered or any(isinstance(member, float) and math.isnan(member) for member in each):
        return Or(tuple(Comparison(field_id, Operator.EQUAL, member) for member in each))
    return IsIn(field_id, tuple(member for member, _ in groupby(ordered)))


def starts_with(field_id: int, prefix: str) -> Predicate:
    """A string field begins with the prefix."""
    lower = Comparison(field_id, Operator.GREATER_OR_EQUAL, prefix)
    after = _after_all(prefix)
    return lower if after is None else And((lower, Comparison(field_id, Operator.LESS, after)))


def _after_all(prefix: str) -> str | None:
    """The least string after all that begin with the prefix; None if none is."""
    while prefix:
        following = ord(prefix[-1]) + 1
        if following <= sys.maxunicode:
            return prefix[:-1] + chr(_SURROGATES.stop if following in _SURROGATES else following)
        prefix = prefix[:-1]
    return None


def equalities(predicate: Predicate) -> dict[int, tuple[Scalar, ...]]:
    """Fields that must equal one of some values for the predicate to be TRUE, and those values.

    >>> equalities(Or((Comparison(1, Operator.EQUAL, 5), And((IsNull(3), Comparison(1, Operator.EQUAL, 7))))))
    {1: (5, 7)}
    """
    match predicate:
        case Comparison(field_id=field_id, operator=Operator.EQUAL, value=value):
            return {field_id: (value,)}
        case IsIn(field_id=field_id, members=members):
            return {field_id: members}
        case And(operands=operands):
            return {field_id: values for operand in operands for field_id, values in equalities(operand).items()}
        case Or(operands=(first, *others)):
            every = [equalities(operand) for operand in (first, *others)]
            in_all = set(every[0]).intersection(*every[1:])
            return {field_id: tuple(value for each in every for value in each[field_id]) for field_id in sorted(in_all)}
        case _:
            return {}


def field_ids_of(predicate: Predicate) -> tuple[int, ...]:
    """Fields that a predicate speaks of, each once, in order.

    >>> field_ids_of(And((IsNull(3), Not(Comparison(1, Operator.EQUAL, 5)), IsNull(3))))
    (1, 3)
    """
    return tuple(sorted(set(_field_ids(predicate))))


def _field_ids(predicate: Predicate) -> Iterator[int]:
    match predicate:
        case And(operands=operands) | Or(operands=operands):
            for operand in operands:
                yield from _field_ids(operand)
        case Not(operand=operand):
            yield from _field_ids(operand)
        case Unknown():
            return
        case (
            Comparison(field_id=field_id)
            | IsIn(field_id=field_id)
            | IsNull(field_id=field_id)
            | IsTrue(field_id=field_id)
        ):
            yield field_id
        case _:
            assert_never(predicate)


class Truth(Flag):
    """A set of SQL truth values."""

    NONE = 0
    TRUE = auto()
    FALSE = auto()
    NULL = auto()
    ANY = TRUE | FALSE | NULL


# Sets of truth values as three bits: combining two `Truth` takes a microsecond, a look into a table next to nothing,
# and a plan asks about every file.
_NONE, _TRUE, _FALSE, _NULL, _ANY = 0, 1, 2, 4, 7
_SETS: Final = tuple(Truth(bits) for bits in range(8))


def outcomes(predicate: Predicate, statistics_of: Callable[[int], FieldStatistics], row_count: int) -> Truth:
    """The truth values that rows of a file with those statistics may give; never too few.

    `statistics_of` gives a field's statistics by id, and `statistics.UNKNOWN` for what it does not know.
    """
    return _SETS[_outcomes(predicate, statistics_of, row_count)]


def _outcomes(predicate: Predicate, statistics_of: Callable[[int], FieldStatistics], row_count: int) -> int:
    match predicate:
        case Comparison(field_id=field_id, operator=operator, value=value):
            return _compare(statistics_of(field_id), operator, value, row_count)
        case And(operands=operands):
            bits = _TRUE
            for operand in operands:
                bits = _AND[bits][_outcomes(operand, statistics_of, row_count)]
            return bits
        case Or(operands=operands):
            bits = _FALSE  # De Morgan: one table is enough
            for operand in operands:
                bits = _NOT[_AND[_NOT[bits]][_NOT[_outcomes(operand, statistics_of, row_count)]]]
            return bits
        case Not(operand=operand):
            return _NOT[_outcomes(operand, statistics_of, row_count)]
        case IsIn(field_id=field_id, members=members):
            return _is_in(statistics_of(field_id), members, row_count)
        case IsNull(field_id=field_id):
            nulls = statistics_of(field_id).null_count
            if nulls is None:
                return _TRUE | _FALSE
            return (_TRUE if nulls else _NONE) | (_FALSE if nulls < row_count else _NONE)
        case IsTrue(field_id=field_id):
            return _compare(statistics_of(field_id), Operator.EQUAL, True, row_count)
        case Unknown():
            return _ANY
        case _:
            assert_never(predicate)


def _not(bits: int) -> int:
    return bits & _NULL | (_FALSE if bits & _TRUE else _NONE) | (_TRUE if bits & _FALSE else _NONE)


def _and(left: int, right: int) -> int:
    """Kleene's AND over every pair of one value from each set."""
    if not left or not right:
        return _NONE
    result = (left | right) & _FALSE | left & right & _TRUE
    if (left & _NULL and right & (_TRUE | _NULL)) or (right & _NULL and left & _TRUE):
        result |= _NULL
    return result


_NOT: Final = tuple(_not(bits) for bits in range(8))
_AND: Final = tuple(tuple(_and(left, right) for right in range(8)) for left in range(8))


def _compare(known: FieldStatistics, operator: Operator, value: Scalar, row_count: int) -> int:
    if known is NO_STATISTICS and not (isinstance(value, float) and math.isnan(value)):
        return _ANY
    nulls, nans = known.null_count, known.nan_count
    bits = _NULL if nulls is None or nulls > 0 else _NONE
    if nans is None or nans > 0:
        bits |= _compare_nan(operator, value)
    if nulls is not None and nans is not None and nulls + nans >= row_count:
        return bits
    return bits | _compare_bounds(known.min, known.max, operator, value)


def _is_in(known: FieldStatistics, members: tuple[Scalar, ...], row_count: int) -> int:
    """Truth values of `x IN members`: the least member that is not below all x says it for every other."""
    try:
        place = 0 if known.min is None else bisect_left(members, known.min)
    except TypeError:
        place = 0
    return _compare(known, Operator.EQUAL, members[min(place, len(members) - 1)], row_count)


def _compare_nan(operator: Operator, value: Scalar) -> int:
    if isinstance(value, float) and math.isnan(value):
        holds = operator in {Operator.EQUAL, Operator.LESS_OR_EQUAL, Operator.GREATER_OR_EQUAL}
    else:
        holds = operator in {Operator.NOT_EQUAL, Operator.GREATER, Operator.GREATER_OR_EQUAL}
    return _TRUE if holds else _FALSE


def _compare_bounds(low: Scalar | None, high: Scalar | None, operator: Operator, value: Scalar) -> int:
    """Truth values of `x operator value` for every x in [low, high]; a missing bound is no bound."""
    if isinstance(value, float) and math.isnan(value):  # NaN is larger than every x
        holds = operator in {Operator.NOT_EQUAL, Operator.LESS, Operator.LESS_OR_EQUAL}
        return _TRUE if holds else _FALSE
    try:
        below = low is None or low < value  # type: ignore[operator]  # some x may be smaller than the value
        above = high is None or high > value  # type: ignore[operator]  # some x may be larger
        equal = (low is None or low <= value) and (high is None or high >= value)  # type: ignore[operator]
    except TypeError:  # a literal of another type than the column's: nothing can be said
        return _TRUE | _FALSE
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
    return (_TRUE if holds else _NONE) | (_FALSE if fails else _NONE)
