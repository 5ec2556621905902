"""What statistics say about a condition is never less than what a row does."""

from __future__ import annotations

import math
import operator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tablelog.format.predicate import (
    ALWAYS,
    MIRRORED,
    UNKNOWN,
    And,
    Comparison,
    IsIn,
    IsNull,
    IsTrue,
    Not,
    Operator,
    Or,
    Predicate,
    Truth,
    is_in,
    outcomes,
    starts_with,
)
from tablelog.format.statistics import UNKNOWN as NO_STATISTICS
from tablelog.format.statistics import FieldStatistics

COMPARE = {
    Operator.EQUAL: operator.eq,
    Operator.NOT_EQUAL: operator.ne,
    Operator.LESS: operator.lt,
    Operator.LESS_OR_EQUAL: operator.le,
    Operator.GREATER: operator.gt,
    Operator.GREATER_OR_EQUAL: operator.ge,
}


def order(value: float) -> tuple[bool, float]:
    """NaN above everything and equal to itself."""
    return (True, 0.0) if math.isnan(value) else (False, value)


def evaluate(predicate: Predicate, row: dict[int, Any]) -> Truth:
    """A condition's value for one row, by SQL's rules; the model that statistics are held against."""
    match predicate:
        case Comparison(field_id=field_id, operator=how, value=value):
            if row[field_id] is None:
                return Truth.NULL
            return Truth.TRUE if COMPARE[how](order(row[field_id]), order(value)) else Truth.FALSE
        case IsIn(field_id=field_id, members=members):
            return evaluate(Or(tuple(Comparison(field_id, Operator.EQUAL, member) for member in members)), row)
        case IsNull(field_id=field_id):
            return Truth.TRUE if row[field_id] is None else Truth.FALSE
        case IsTrue(field_id=field_id):
            return Truth.NULL if row[field_id] is None else Truth.TRUE if row[field_id] else Truth.FALSE
        case Not(operand=operand):
            return {Truth.TRUE: Truth.FALSE, Truth.FALSE: Truth.TRUE, Truth.NULL: Truth.NULL}[evaluate(operand, row)]
        case And(operands=operands):
            values = [evaluate(each, row) for each in operands]
            return Truth.FALSE if Truth.FALSE in values else Truth.NULL if Truth.NULL in values else Truth.TRUE
        case Or(operands=operands):
            values = [evaluate(each, row) for each in operands]
            return Truth.TRUE if Truth.TRUE in values else Truth.NULL if Truth.NULL in values else Truth.FALSE
    raise AssertionError(predicate)


def statistics_of(values: list[float | None]) -> FieldStatistics:
    numbers = [value for value in values if value is not None and not math.isnan(value)]
    return FieldStatistics(
        min=min(numbers, default=None),
        max=max(numbers, default=None),
        null_count=values.count(None),
        nan_count=sum(value is not None and math.isnan(value) for value in values),
    )


numbers = st.sampled_from([-math.inf, -1.5, -0.0, 0.0, 1.0, 2.0, 3.0, math.inf, math.nan])
comparisons = st.builds(Comparison, st.integers(1, 2), st.sampled_from(Operator), numbers)
leaves = comparisons | st.builds(IsNull, st.integers(1, 2)) | st.builds(is_in, st.integers(1, 2), st.lists(numbers))
predicates = st.recursive(
    leaves,
    lambda inner: (
        st.builds(Not, inner)
        | st.builds(And, st.lists(inner, max_size=3).map(tuple))
        | st.builds(Or, st.lists(inner, max_size=3).map(tuple))
    ),
    max_leaves=8,
)
rows = st.lists(st.fixed_dictionaries({1: numbers | st.none(), 2: numbers | st.none()}), min_size=1, max_size=6)


@given(predicates, rows)
def test_every_value_that_some_row_has_is_among_the_outcomes(predicate: Predicate, table: list[dict[int, Any]]) -> None:
    known = {field_id: statistics_of([row[field_id] for row in table]) for field_id in (1, 2)}
    said = outcomes(predicate, known.__getitem__, len(table))
    for row in table:
        assert evaluate(predicate, row) in said


@given(predicates, rows)
def test_unknown_statistics_never_rule_out_a_row(predicate: Predicate, table: list[dict[int, Any]]) -> None:
    said = outcomes(predicate, lambda _: NO_STATISTICS, len(table))
    assert all(evaluate(predicate, row) in said for row in table)


@pytest.mark.parametrize(
    ("low", "high", "nulls", "predicate", "said"),
    [
        (1, 9, 0, Comparison(1, Operator.GREATER, 5), Truth.TRUE | Truth.FALSE),
        (6, 9, 0, Comparison(1, Operator.GREATER, 5), Truth.TRUE),
        (1, 4, 0, Comparison(1, Operator.GREATER, 5), Truth.FALSE),
        (1, 4, 2, Comparison(1, Operator.GREATER, 5), Truth.FALSE | Truth.NULL),
        (6, 9, 2, Not(Comparison(1, Operator.GREATER, 5)), Truth.FALSE | Truth.NULL),
        (7, 7, 0, Comparison(1, Operator.EQUAL, 7), Truth.TRUE),
        (7, 7, 0, Comparison(1, Operator.NOT_EQUAL, 7), Truth.FALSE),
        (1, 9, 0, Comparison(1, Operator.EQUAL, "text"), Truth.TRUE | Truth.FALSE),
        (1, 9, 0, UNKNOWN, Truth.ANY),
        (1, 9, 0, ALWAYS, Truth.TRUE),
        (1, 9, 10, IsNull(1), Truth.TRUE),
        (False, True, 0, IsTrue(1), Truth.TRUE | Truth.FALSE),
        (True, True, 0, IsTrue(1), Truth.TRUE),
    ],
    ids=str,
)
def test_bounds_decide_as_the_table_says(low: Any, high: Any, nulls: int, predicate: Predicate, said: Truth) -> None:
    known = FieldStatistics(min=low, max=high, null_count=nulls, nan_count=0)
    assert outcomes(predicate, lambda _: known, 10) == said


@given(st.text(min_size=0, max_size=4), st.text(max_size=6))
def test_a_prefix_condition_keeps_every_text_with_the_prefix(prefix: str, rest: str) -> None:
    value = prefix + rest
    known = FieldStatistics(min=value, max=value, null_count=0, nan_count=0)
    assert Truth.TRUE in outcomes(starts_with(1, prefix), lambda _: known, 1)


def test_mirroring_twice_changes_nothing() -> None:
    assert all(MIRRORED[MIRRORED[each]] is each for each in Operator)
