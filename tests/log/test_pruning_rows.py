"""Files that stand in segments are left out, column by column, only where looking at each would leave them out too."""

from __future__ import annotations

import decimal
import math
import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tablelog.format.actions import SetPartitioning, SetSchema
from tablelog.format.partitioning import parse_partitioning
from tablelog.format.predicate import And, Comparison, IsNull, IsTrue, Not, Operator, Or, Truth, Unknown, is_in
from tablelog.format.schema import add_column
from tablelog.format.statistics import FieldStatistics
from tablelog.format.types import Field, Primitive, is_float
from tablelog.log import segments
from tablelog.ops.buckets import Buckets
from tablelog.ops.known import Known
from tablelog.ops.scan import plan_scan
from tablelog.store.memory import MemoryStore
from tablelog.table import Table
from tests.log.histories import POOLS, History
from tests.log.test_merging_races import commit, file, new_table

if TYPE_CHECKING:
    from tablelog.format.actions import AddFile
    from tablelog.format.predicate import Predicate
    from tablelog.log.state import TableState


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


def test_a_condition_on_an_old_version_does_not_trip_over_what_came_later() -> None:
    store = MemoryStore()
    table = new_table(store, {"x": "int64", "y": "int64"}, log_fan_out="4")
    commit(table, file("a", statistics={1: FieldStatistics(min=1, max=1, null_count=0, nan_count=0)}))
    wider = add_column(table.schema, Field(name="z", type=Primitive.INT64))
    commit(table, SetSchema(schema=wider), SetPartitioning(partitioning=parse_partitioning(["bucket(2, x)"], wider, 1)))
    commit(table, file("b", schema_id=1, partitioning_id=1, partition_values=(0,)))
    for handle in (table, Table(store, "cold")):
        for predicate in (Comparison(1, Operator.EQUAL, 1), IsNull(2), is_in(1, [1, 2])):
            plan = plan_scan(handle.at(version=1).state, None, predicate)
            assert [each.path for each in plan.files] == ["data/a"]


def test_a_bucketed_column_can_be_compared_with_values_of_other_types() -> None:
    store = MemoryStore()
    table = new_table(store, {"x": "decimal(9, 2)"}, log_fan_out="2")
    commit(table, SetPartitioning(partitioning=parse_partitioning(["bucket(2, x)"], table.schema, 1)))
    commit(table, file("a", partitioning_id=1, partition_values=(0,)))
    for value in (0.5, 1, "a", b"a", math.nan):
        plan = plan_scan(table.snapshot().state, None, Comparison(1, Operator.EQUAL, value))
        assert len(plan.files) <= 1


STRANGE = [math.nan, math.inf, -math.inf, 0.5, 1e300, 5, 1 << 70, -(1 << 70), decimal.Decimal("0.5"), decimal.Decimal("1E+5"),
           decimal.Decimal(9) ** 60, True, "a", b"a"]  # fmt: skip


class Conditions:
    """Random predicates on the columns of a table."""

    def __init__(self, dice: random.Random, fields: tuple[Field, ...]) -> None:
        self.dice = dice
        self.fields = fields

    def one(self, depth: int = 2) -> Predicate:
        parts = tuple(self.one(depth - 1) for _ in range(self.dice.randrange(1, 4))) if depth else ()
        match self.dice.randrange(8) if depth else 9:
            case 0 | 1:
                return And(parts)
            case 2 | 3:
                return Or(parts)
            case 4 | 5:
                return Not(parts[0])
            case _:
                return self._leaf(self.dice.choice(self.fields))

    def _leaf(self, field: Field) -> Predicate:
        match self.dice.randrange(10):
            case 0:
                return IsNull(field.id)
            case 1:
                return Unknown() if self.dice.random() < 0.3 else IsTrue(1)
            case 2 | 3:
                return is_in(field.id, [self._value(field) for _ in range(self.dice.choice([1, 2, 5]))])
            case 4 if str(field.type) in {"int32", "int64", "date", "timestamp[us]"}:
                start = self.dice.randrange(-400, 400)
                return is_in(field.id, range(start, start + 600, self.dice.choice([1, 7])))
            case _:
                return Comparison(field.id, self.dice.choice(list(Operator)), self._value(field))

    def _value(self, field: Field) -> Any:
        pool = POOLS[str(field.type)] if self.dice.random() < 0.85 else STRANGE
        value = self.dice.choice(pool)
        # What else than a float is NaN is known without any statistics, and whoever looks says so or not.
        return 5 if value != value and not is_float(field.type) else value


def settled(file_: AddFile) -> AddFile:
    """Without NaN where every row is null: that is seen column by column, and one by one it is not."""
    known = {
        field_id: replace(each, nan_count=0) if each.null_count == file_.row_count else each
        for field_id, each in file_.statistics.items()
    }
    return replace(file_, statistics=known)


def kept_one_by_one(state: TableState, predicate: Predicate, files: tuple[AddFile, ...]) -> list[str]:
    buckets, known = Buckets(state.metadata, predicate), Known(state.metadata)
    return [
        each.path
        for each in files
        if Truth.TRUE in known.outcomes(predicate, each)
        and buckets.may_hold(each.partitioning_id, each.schema_id, each.partition_values)
    ]


@pytest.mark.parametrize("group_rows", [2, 32_768], ids=["many groups", "one group"])
@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(st.integers(0, 2**32).map(random.Random), st.sampled_from([2, 4]))
def test_column_by_column_leaves_out_what_one_by_one_does(group_rows: int, dice: random.Random, fan_out: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segments, "GROUP_ROWS", group_rows)
        patch.setattr(segments, "_TOGETHER_ROWS", 0 if group_rows == 2 else 8192)
        history = History(dice, MemoryStore(), fan_out)
        for _ in range(25):
            history.step()
        cold = Table(history.store, "cold")
        for state in (cold.snapshot().state, cold.at(version=dice.randrange(25)).state, history.table.snapshot().state):
            conditions, files = Conditions(dice, state.schema.fields), history.versions[state.version].files
            for _ in range(30):
                predicate = conditions.one()
                found = [each.path for each in plan_scan(state, None, predicate).files]
                most = kept_one_by_one(state, predicate, tuple(state.files))
                least = kept_one_by_one(state, predicate, tuple(map(settled, files)))
                assert [path for path in most if path in found] == found, predicate
                assert {*least} <= {*found}, predicate
