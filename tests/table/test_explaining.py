"""The funnel of `explain` adds up to the table and ends in the plan, whatever the condition and the history."""

from __future__ import annotations

import random
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tablelog.format.actions import SetPartitioning
from tablelog.format.partitioning import parse_partitioning
from tablelog.format.statistics import UNKNOWN
from tablelog.log import segments
from tablelog.ops import explain
from tablelog.ops.explain import Knowledge, explain_scan
from tablelog.ops.partition_bounds import partition_statistics
from tablelog.ops.scan import plan_scan
from tablelog.parquet.transform import transform_scalar
from tablelog.store.memory import MemoryStore
from tablelog.table import Table
from tests.cli.test_display import text_of
from tests.log.histories import History
from tests.log.test_merging_races import commit, file, new_table
from tests.log.test_pruning_rows import Conditions
from tests.table.test_health import span

if TYPE_CHECKING:
    import tablelog as tl
    from tablelog.ops.explain import Funnel


@pytest.mark.parametrize("group_rows", [2, 32_768], ids=["many groups", "one group"])
@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(st.integers(0, 2**32).map(random.Random), st.sampled_from([2, 4]))
def test_every_file_is_ruled_out_once_or_read(group_rows: int, dice: random.Random, fan_out: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segments, "GROUP_ROWS", group_rows)
        patch.setattr(segments, "_TOGETHER_ROWS", 0 if group_rows == 2 else 8192)
        history = History(dice, MemoryStore(), fan_out)
        for _ in range(25):
            history.step()
        cold = Table(history.store, "cold")
        for state in (cold.snapshot().state, cold.at(version=dice.randrange(25)).state, history.table.snapshot().state):
            conditions = Conditions(dice, state.schema.fields)
            for _ in range(30):
                plan = plan_scan(state, None, conditions.one())
                funnel = explain_scan(plan)
                numbers = [number for _, number in funnel.ruled_out]
                assert min(numbers, default=0) >= 0, plan.predicate
                assert sum(numbers) + funnel.files == funnel.files_total == state.file_count
                assert funnel.files == len(plan.files)


def ruled_out(funnel: Funnel) -> dict[str, int]:
    return {str(how): number for how, number in funnel.ruled_out}


def test_what_partitions_rule_out_is_told_apart_from_what_columns_do(lake: tl.Lake) -> None:
    table = lake.create_table("t", {"p": "string", "x": "int64", "y": "int64"}, partition_by=["p", "bucket(4, x)"])
    for number in range(3):
        table.append([{"p": p, "x": x, "y": number} for p in "ab" for x in range(20)])
    for handle in (table, lake.table("t")):
        total = handle.snapshot().state.file_count
        assert total == 24
        where = {
            "p = 'a'": {"segments": 0, "partitions": 12, "columns": 0},
            "y = 1": {"segments": 0, "columns": 16},
            "x = 7 AND y < 2": {"segments": 0, "partitions": 18, "columns": 2},
            "p = 'a' AND x = 7": {"segments": 0, "partitions": 21, "columns": 0},
            "p = 'a' OR y = 1": {"segments": 0, "partitions": 0, "columns": 8},
            "NOT (p = 'a' OR y = 1)": {"segments": 0, "partitions": 12, "columns": 4},
            "x = 999": {"segments": 0, "partitions": 18, "columns": 6},
        }
        for condition, expected in where.items():
            assert ruled_out(handle.scan(where=condition).explain().funnel) == expected, condition


def test_a_partition_of_time_rules_out_whole_months_and_bounds_the_days(lake: tl.Lake) -> None:
    table = lake.create_table("t", {"at": "timestamp"}, partition_by="month(at)")
    for month in (1, 2, 3):
        for day in (3, 9, 20):
            table.append([{"at": datetime(2026, month, day, 10)}])
    funnel = table.scan(where="\"at\" >= '2026-02-05' AND \"at\" < '2026-02-10'").explain().funnel
    assert ruled_out(funnel) == {"segments": 0, "partitions": 6, "columns": 2}


VALUES: dict[str, list[Any]] = {
    "int32": [-(2**31), -11, -1, 0, 7, 2**31 - 1],
    "date": [-719_162, -1, 0, 45, 20_758],
    "timestamp[ms]": [-86_400_001, -1, 0, 1_793_525_415_123],
    "timestamp[us, UTC]": [-62_135_596_800_000_000, -1, 0, 1_793_525_415_123_456],
    "timestamp[ns]": [-1, 0, 1_793_525_415_123_456_789],
    "string": ["", "a", "ab", "abc", "\U0010ffff" * 3, "é" * 40],
    "binary": [b"", b"abc"],
    "decimal(9, 2)": [Decimal("-1.05"), Decimal("0.00"), Decimal("12.50")],
}
TIMES = ["date", "timestamp[ms]", "timestamp[us, UTC]", "timestamp[ns]"]


@pytest.mark.parametrize(
    ("transform", "types"),
    [
        ("{}", list(VALUES)),
        ("year({})", TIMES),
        ("month({})", TIMES),
        ("day({})", TIMES),
        ("hour({})", TIMES[1:]),
        ("truncate(2, {})", ["string", "binary", "decimal(9, 2)"]),
        ("truncate(10, {})", ["int32", "string"]),
        ("bucket(4, {})", list(VALUES)),
    ],
)
def test_every_value_lies_where_its_partition_says(transform: str, types: list[str]) -> None:
    for type_ in types:
        schema = new_table(MemoryStore(), {"x": type_}).schema
        partitioning = parse_partitioning([transform.format("x")], schema, 1)
        is_told = "bucket" not in transform and not ("truncate" in transform and type_ in {"binary", "decimal(9, 2)"})
        values = VALUES[type_][1:] if transform == "truncate(10, {})" else VALUES[type_]
        for value in values:
            partition = transform_scalar(value, partitioning.fields[0], schema.fields[0].type)
            known = partition_statistics(partitioning, (partition,), schema).get(1, UNKNOWN)
            assert known.min is None or known.min <= value, (type_, value)
            assert known.max is None or value <= known.max, (type_, value)
            assert known.null_count in {0, None}
            assert (known.min is not None) == is_told
        nothing = partition_statistics(partitioning, (None,), schema)[1]
        assert (nothing.min, nothing.null_count) == (None, 1)


def test_a_partition_that_no_calendar_knows_says_nothing() -> None:
    schema = new_table(MemoryStore(), {"x": "timestamp"}).schema
    partitioning = parse_partitioning(["year(x)"], schema, 1)
    assert partition_statistics(partitioning, (10**9,), schema) == {}


def test_a_file_whose_bounds_nobody_knows_is_read_whatever_its_partition() -> None:
    table = new_table(MemoryStore(), {"x": "int64"})
    commit(table, SetPartitioning(partitioning=parse_partitioning(["x"], table.schema, 1)))
    commit(table, *(file(str(each), partitioning_id=1, partition_values=(each,)) for each in range(3)))
    funnel = table.scan(where="x = 1").explain().funnel
    assert sum(number for _, number in funnel.ruled_out) + funnel.files == 3
    assert funnel.files == len(table.scan(where="x = 1").files)


def test_files_from_before_the_partitioning_are_not_ruled_out_by_it(lake: tl.Lake) -> None:
    table = lake.create_table("t", {"p": "string"})
    table.append([{"p": "b"}])
    table.alter.partition_by("p")
    table.append([{"p": "b"}])
    assert ruled_out(table.scan(where="p = 'a'").explain().funnel) == {"segments": 0, "partitions": 1, "columns": 1}


def test_files_of_a_large_log_are_ruled_out_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "GROUP_ROWS", 10)
    monkeypatch.setattr(segments, "_TOGETHER_ROWS", 0)
    store = MemoryStore()
    table = new_table(store, log_fan_out="4")
    for start in range(0, 60, 20):
        commit(table, *(span(f"{number:03}", number, number) for number in range(start, start + 20)))
    cold = Table(store, "cold")
    funnel = cold.scan(where="x = 33").explain().funnel
    assert ruled_out(funnel) == {"segments": 50, "columns": 9}
    assert (funnel.files, funnel.files_total) == (1, 60)


def test_objects_are_files_commits_and_vectors(lake: tl.Lake) -> None:
    table = lake.create_table("t", {"p": "int64", "x": "int64"}, partition_by="p")
    for _ in range(2):
        table.append([{"p": p, "x": 1} for p in range(5)])
    table.append({"p": [0] * 50_000, "x": list(range(50_000))})
    table.append({"p": [1] * 50_000, "x": list(range(50_000))})
    table.delete("p = 0 AND hash(x) % 3 = 0")
    table.delete("p = 1 AND x = 7")
    vectors = [each.deleted for each in table.snapshot().files if each.deleted and not each.is_inlined]
    outside = sum(vector.inline is None for vector in vectors)
    assert (len(vectors), outside) == (2, 1)
    for scanned in (table.scan(), table.scan(where="x >= 0")):
        funnel = scanned.explain().funnel
        assert (funnel.files, funnel.commits, funnel.vectors) == (funnel.inlined + 2, 2, outside)
        assert funnel.objects == 2 + 2 + outside
        assert funnel.with_deletes == sum(each.deleted is not None for each in table.snapshot().files)
    assert table.scan(where="p = 1 AND x = 20000").explain().funnel.objects == 1


def test_a_count_needs_no_file(lake: tl.Lake) -> None:
    lake.create_table("t", {"x": [1, 2]}).append([{"x": 3}])
    (counted,) = lake.explain("SELECT count(*) FROM t")
    assert counted.funnel.ruled_out == ((Knowledge.COUNTS, 2),)
    assert (counted.files, counted.funnel.objects) == (0, 0)
    (empty,) = lake.explain("SELECT count(*) FROM t AT (VERSION => 0) WHERE x = 5")
    assert ruled_out(empty.funnel)["columns"] == 1


def test_what_a_transaction_is_about_to_commit_is_explained_like_anything_else(lake: tl.Lake) -> None:
    table = lake.create_table("t", {"x": "int64"})
    with table.transaction() as transaction:
        transaction.append([{"x": 1}])
        for scanned in (transaction.scan(), transaction.scan(where="x = 1")):
            funnel = scanned.explain().funnel
            assert (funnel.files, funnel.inlined) == (1, 1)
        transaction.append([{"x": 2}])


def test_a_scan_of_everything_and_of_nothing_has_a_short_funnel(lake: tl.Lake) -> None:
    table = lake.create_table("t", {"x": "int64"})
    for scanned in (table.scan(), table.scan(where="x = 1")):
        assert scanned.explain().funnel.files_total == 0
    table.append([{"x": 1}])
    assert table.scan().explain().funnel.ruled_out == ()


def test_only_who_asks_pays_for_it(lake: tl.Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    table = lake.create_table("t", {"x": [1, 2]})

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("nobody has asked")

    monkeypatch.setattr(explain.Funnel, "__init__", refuse)
    assert table.scan(where="x = 1").to_polars().height == 1
    assert lake.sql("FROM t WHERE x = 2").fetchall() == [(2,)]
    with pytest.raises(AssertionError, match="nobody has asked"):
        table.scan(where="x = 1").explain()


def test_it_says_more_the_more_it_is_asked(lake: tl.Lake) -> None:
    table = lake.create_table("t", {"x": "int64"})
    for number in range(12):
        table.append([{"x": number}])
    table.delete("x = 3")
    found = table.scan(where="x < 5").explain()
    assert "\n" not in str(found)
    assert repr(found).splitlines() == [
        str(found),
        "  files             11",
        "  ruled out unread   0  bounds of row groups of the log",
        "  by columns        -7  bounds of each file's columns",
        "  left to read       4  4 inside the log",
        "  objects to open    4  4 commits",
    ]
    said = text_of(found._repr_html_())
    assert said[said.index("by columns") + 1] == "-7"
    assert "bounds of each file's columns" in said
