"""Files that stand in segments are left out, column by column, only where looking at each would leave them out too."""

from __future__ import annotations

import decimal
import math
from typing import TYPE_CHECKING, Any

import pytest

from tablelog.format.actions import SetProperty
from tablelog.format.predicate import Comparison, Operator, is_in
from tablelog.format.statistics import FieldStatistics
from tablelog.ops.scan import plan_scan
from tablelog.store.memory import MemoryStore
from tests.log.test_merging_races import commit, file, new_table

if TYPE_CHECKING:
    from tablelog.format.predicate import Predicate


def kept(type_: str, bound: Any, predicate: Predicate) -> bool:
    """Whether the one file of a table, of which all rows are alike, is kept."""
    table = new_table(MemoryStore(), {"x": type_}, log_fan_out="2")
    known = FieldStatistics(min=bound, max=bound, null_count=0, nan_count=0)
    commit(table, file("a", statistics={1: known}))
    return bool(plan_scan(table.snapshot().state, None, predicate).files)


@pytest.mark.parametrize("bound", [math.inf, -math.inf])
def test_infinite_bounds_of_float32_are_bounds(bound: float) -> None:
    assert kept("float32", bound, Comparison(1, Operator.EQUAL, bound))
    assert not kept("float32", bound, Comparison(1, Operator.EQUAL, 0.0))


@pytest.mark.parametrize("value", [math.nan, math.inf, decimal.Decimal("Infinity"), "a", b"a", 1 << 70], ids=repr)
def test_whole_numbers_can_be_compared_with_anything(value: Any) -> None:
    for type_ in ("int64", "date", "timestamp[us]", "decimal(9, 2)"):
        bound = decimal.Decimal(5) if type_.startswith("decimal") else 5
        for operator in Operator:
            kept(type_, bound, Comparison(1, operator, value))
        kept(type_, bound, is_in(1, [1, 2, value]))
