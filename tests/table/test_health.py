"""What `health` says of a table is what a look at every file would say, and it looks at none."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import FrozenInstanceError
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tablelog as tl
from tablelog.format.actions import (
    AddFile,
    RemoveFile,
    SetKey,
    SetProperty,
    SetSchema,
    SetSortOrder,
    SortField,
    removal,
)
from tablelog.format.schema import add_column, rename_column, widen_column
from tablelog.format.statistics import UNKNOWN, FieldStatistics
from tablelog.format.type_text import parse_type
from tablelog.format.types import Field
from tablelog.format.vector import DeletionVector
from tablelog.log import actions_object, file_rows, files, segments
from tablelog.ops import health as ops_health
from tablelog.ops.picture import course_of
from tablelog.ops.planned import Planned
from tablelog.ops.ranges import Ranges, depth, order_field, range_columns, ranges_of
from tablelog.store.memory import MemoryStore
from tablelog.table import Table
from tests.cli.test_display import text_of
from tests.log.histories import History
from tests.log.test_merging_races import commit, file, new_table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tablelog.log.state import TableState

MIB = 1024 * 1024


def known(low: Any, high: Any, nulls: int = 0) -> FieldStatistics:
    return FieldStatistics(min=low, max=high, null_count=nulls, nan_count=0)


def span(name: str, low: Any, high: Any, **members: Any) -> AddFile:
    """A file of ten rows with such bounds of the field 1."""
    return file(name, **{"row_count": 10, "statistics": {1: known(low, high)}, **members})


def sorted_table(columns: dict[str, str] | None = None, **properties: str) -> Table:
    table = new_table(MemoryStore(), columns, **properties)
    commit(table, SetSortOrder(fields=(SortField(field_id=1),)))
    return table


def compact(table: Table, removed: Iterable[AddFile], added: Iterable[AddFile]) -> None:
    actions = [*map(removal, removed), *added]
    table._commit(lambda _: Planned(operation="compact", actions=actions))


# --------------------------------------------------------------------------- ranges


def deepest(ranges: list[tuple[int | None, int | None]]) -> int:
    """How many ranges hold the place that most do; the ends of ranges are places enough."""
    places = [bound for each in ranges for bound in each if bound is not None] or [0]
    return max(
        (sum((low is None or low <= at) and (high is None or at <= high) for low, high in ranges) for at in places),
        default=0,
    )


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.none() | st.integers(0, 20), st.none() | st.integers(0, 20), st.booleans()),
        max_size=30,
    )
)
def test_depth_is_that_of_the_deepest_place_of_any_group(
    files_: list[tuple[int, int | None, int | None, bool]],
) -> None:
    each = [
        (group, *((low, high) if low is None or high is None else sorted((low, high))), nowhere)
        for group, low, high, nowhere in files_
    ]
    columns = [pa.array([row[place] for row in each], pa.int64()) for place in range(3)]
    ranges = Ranges(columns[1], columns[2], pa.array([row[3] for row in each], pa.bool_()))
    expected = [deepest([row[1:3] for row in each if row[0] == group and not row[3]]) for group in range(4)]
    assert depth(ranges, columns[0]) == max(expected)


@pytest.mark.parametrize(
    ("type_", "values"),
    [
        ("boolean", [False, True]),
        ("string", ["a", "é", "\uffff", "\U0010ffff"]),
        ("binary", [b"", b"a", b"\xff"]),
        ("date", [-5, 0, 5]),
        ("time[us]", [0, 1, 2]),
        ("timestamp[ns, UTC]", [-1, 0, 10**18]),
        ("decimal(38, 2)", [Decimal("-1.00"), Decimal("0.00"), Decimal(10**30)]),
        ("uint64", [0, 2**63, 2**64 - 1]),
        ("float32", [float("-inf"), -0.0, 0.25, float("inf")]),
    ],
)
def test_ranges_of_every_type_are_compared(type_: str, values: list[Any]) -> None:
    table = sorted_table({"x": type_})
    commit(table, *(span(str(place), value, value) for place, value in enumerate(values)))
    assert table.health().read_amplification == 1
    commit(table, span("all", values[0], values[-1]), span("unknown", None, None))
    assert table.health().read_amplification == 3


# --------------------------------------------------------------------------- one number after the other


def test_a_table_without_files_is_in_perfect_health() -> None:
    health = new_table(MemoryStore()).health()
    assert (health.version, health.levels, health.files, health.rows, health.size_bytes) == (0, (), 0, 0, 0)
    assert (health.small_file_share, health.small_byte_share, health.deleted_share) == (0.0, 0.0, 0.0)
    assert (health.partitions, health.read_amplification, health.write_amplification) == (0, None, 0.0)
    assert health.advice == "compact() would find nothing to do."
    assert sorted_table().health().read_amplification == 0


def test_levels_add_up_to_the_table() -> None:
    table = new_table(MemoryStore())
    deleted = DeletionVector(row_count=4, inline=b"12345")
    commit(table, file("a", size_bytes=MIB, row_count=10), file("b", size_bytes=3 * MIB, row_count=30, deleted=deleted))
    commit(table, file("c", size_bytes=60 * MIB, row_count=600, level=3), file("d", size_bytes=MIB, level=1))
    health = table.health()
    assert [level.level for level in health.levels] == [0, 1, 3]
    first, _, last = health.levels
    assert (first.files, first.rows, first.deleted_rows, first.size_bytes) == (2, 36, 4, 4 * MIB)
    assert first.deleted_share == pytest.approx(0.1)
    assert first.file_size_bytes_mean == 2 * MIB
    assert (last.share, last.small_files, first.small_files) == (60 / 65, 0, 2)
    assert sum(level.share for level in health.levels) == pytest.approx(1.0)
    assert (health.files, health.rows, health.size_bytes) == (4, table.row_count, table.snapshot().size_bytes)
    assert (health.small_file_share, health.small_byte_share) == (0.75, pytest.approx(5 / 65))
    assert health.deleted_rows == 4
    assert health.vector_bytes == 5


def test_rows_inside_the_log_are_on_level_0_and_no_objects(lake: tl.Lake) -> None:
    table = lake.create_table("t", {"id": "int64"})
    for number in range(3):
        table.append([{"id": number}])
    table.append({"id": list(range(50_000))})
    health = table.health()
    (level,) = health.levels
    assert (level.inlined, level.files, health.files, health.inlined) == (3, 1, 4, 3)
    assert level.inlined_bytes == sum(each.size_bytes for each in table.snapshot().files if each.is_inlined)
    assert level.file_size_bytes_mean == next(each.size_bytes for each in table.snapshot().files if not each.is_inlined)
    assert "4 files, 3 of them inside the log" in str(health)
    assert "put 1 small file and 3 lots of rows inside the log together" in health.advice


def test_vectors_beside_the_log_are_counted_as_they_lie_there(lake: tl.Lake) -> None:
    table = lake.create_table("t", {"id": list(range(40_000))})
    table.delete("hash(id) % 3 = 0")
    table.append({"id": list(range(40_000))})
    table.delete("id = 39999")
    vectors = [each.deleted for each in table.snapshot().files if each.deleted is not None]
    assert {vector.inline is None for vector in vectors} == {True, False}
    assert table.health().vector_bytes == sum(
        vector.size_bytes if vector.inline is None else len(vector.inline) for vector in vectors
    )


def test_a_table_with_a_key_is_ordered_by_it_and_one_without_any_order_by_nothing() -> None:
    table = new_table(MemoryStore(), {"x": "int64 not null", "y": "int64"})
    commit(table, span("a", 0, 5), span("b", 5, 9), span("c", 6, 7))
    assert (table.health().order, table.health().read_amplification) == (None, None)
    commit(table, SetKey(field_ids=(1,)))
    assert (table.health().order, table.health().read_amplification) == ("x", 2)
    commit(table, SetSortOrder(fields=(SortField(field_id=2, descending=True),)))
    assert (table.health().order, table.health().read_amplification) == ("y", 3), "nothing is known of y"


def test_unknown_bounds_overlap_everything_and_a_file_of_nulls_nothing() -> None:
    table = sorted_table()
    commit(table, span("a", 0, 5), span("b", 7, 9))
    assert table.health().read_amplification == 1
    commit(table, file("nulls", row_count=3, statistics={1: FieldStatistics(null_count=3)}))
    assert table.health().read_amplification == 1
    commit(table, span("from 8 on", 8, None))
    assert table.health().read_amplification == 2
    commit(table, file("unknown"), span("also", None, None))
    assert table.health().read_amplification == 4


def test_read_amplification_is_that_of_the_worst_partition(lake: tl.Lake) -> None:
    table = lake.create_table("t", {"p": "string", "x": "int64"}, partition_by="p", sort_by="x")
    for number in range(4):
        table.append([{"p": "a", "x": x} for x in (number, number + 1)] + [{"p": "b", "x": number * 9}])
    health = table.health()
    assert (health.read_amplification, health.partitions, health.files) == (2, 2, 8)
    table.append([{"p": None, "x": 1}] * 2)
    assert table.health().partitions == 3
    assert "partitions: 3" in str(table.health())


def test_columns_are_compared_in_the_type_and_under_the_name_of_today() -> None:
    table = sorted_table({"x": "int32"})
    commit(table, span("a", -5, 5), span("b", 10, 20))
    for name, type_ in (("y", "int64"), ("z", "decimal(24, 1)")):
        commit(table, SetSchema(schema=rename_column(table.schema, table.schema.fields[0].name, name)))
        commit(table, SetSchema(schema=widen_column(table.schema, name, parse_type(type_))))
        newest = table.schema.id
        low, high = (5, 10) if type_ == "int64" else (Decimal("10.0"), Decimal("19.5"))
        commit(table, span(name, low, high, schema_id=newest))
    assert (table.health().order, table.health().read_amplification) == ("z", 3)


def test_a_date_that_became_a_timestamp_lies_at_midnight() -> None:
    table = sorted_table({"x": "date"})
    commit(table, span("day", 1, 1))
    commit(table, SetSchema(schema=widen_column(table.schema, "x", parse_type("timestamp[us]"))))
    day_us = 86_400_000_000
    commit(table, span("before", 0, day_us - 1, schema_id=1), span("after", day_us + 1, day_us * 2, schema_id=1))
    assert table.health().read_amplification == 1
    commit(table, span("midnight", day_us, day_us, schema_id=1))
    assert table.health().read_amplification == 2


@pytest.mark.parametrize(("default", "depth_"), [(7, 3), (None, 2)])
def test_files_that_are_older_than_the_column_lie_where_its_default_is(default: int | None, depth_: int) -> None:
    table = new_table(MemoryStore())
    commit(table, file("a"), file("b"))
    field = Field(name="y", type=parse_type("int64"), initial_default=default)
    commit(table, SetSchema(schema=add_column(table.schema, field)))
    commit(table, SetSortOrder(fields=(SortField(field_id=2),)))
    new = {"schema_id": 1, "row_count": 10}
    commit(table, file("c", statistics={2: known(0, 7)}, **new), file("d", statistics={2: known(0, 6)}, **new))
    assert table.health().read_amplification == depth_


def test_what_compactions_wrote_is_held_against_what_others_wrote() -> None:
    table = new_table(MemoryStore())
    some = [file(str(number), size_bytes=100) for number in range(4)]
    for each in some:
        commit(table, each)
    assert (table.health().write_amplification, table.health().compactions) == (0.0, 0)
    assert "written again" not in str(table.health())
    compact(table, some, [file("merged", size_bytes=300, level=1)])
    health = table.health()
    assert (health.write_amplification, health.compactions, health.older_bytes) == (0.75, 1, 400)
    assert "written again: 0.75 bytes for each byte, by 1 compaction" in str(health)
    assert health.advice.endswith("expire() and then vacuum() can free up to 400 B that only older versions need.")
    assert table.at(version=3).health().older_bytes == 0


def test_only_versions_that_can_be_read_count(lake: tl.Lake) -> None:
    table = lake.create_table("t", {"x": "int64"}, properties={"inline_max_bytes": "0"})
    for number in range(5):
        table.append([{"x": number}])
    table.compact()
    table.expire(1)
    health = table.health()
    assert (health.versions, health.horizon, health.version) == (health.version - health.horizon + 1, 6, 7)
    assert (health.compactions, health.write_amplification, health.older_bytes) == (1, None, 0)
    assert "all bytes, by 1 compaction" in str(health)


def test_what_a_base_keeps_of_expired_commits_is_no_history(lake: tl.Lake) -> None:
    table = lake.create_table("t", {"x": "int64"}, properties={"inline_max_bytes": "0", "log_fan_out": "4"})
    for number in range(12):
        table.append([{"x": number}] * (number + 1), idempotent=(f"job {number}", 1))
    table.expire(4)
    horizon = table.health().horizon
    for handle in (table, tl.open_table(table.url)):
        for version in range(horizon, handle.version + 1):
            snapshot = handle.at(version=version)
            course = course_of(snapshot.state)
            assert course.versions == tuple(range(course.versions[0], version + 1))
            known = [rows for each, rows in zip(course.versions, course.rows, strict=True) if each >= horizon]
            assert known == [handle.at(version=each).row_count for each in range(horizon, version + 1)]
            assert snapshot.health().versions == len(course.versions)


def test_removals_that_do_not_say_how_much_leave_it_open() -> None:
    table = new_table(MemoryStore())
    commit(table, file("a"))
    commit(table, RemoveFile(path="data/a"))
    assert table.health().older_bytes is None


def test_a_compaction_would_take_what_lies_together_and_what_is_mostly_deleted() -> None:
    table = new_table(MemoryStore())
    big, gone = 50 * MIB, DeletionVector(row_count=3, inline=b"x")
    commit(table, file("big", size_bytes=big), file("small"))
    assert not table.health().work
    commit(table, file("small too", partitioning_id=0), file("half gone", size_bytes=big, row_count=10, deleted=gone))
    work = table.health().work
    assert (work.inlined, work.small_files, work.deleted_files) == (0, 2, 1)
    assert "put 2 small files together and rewrite 1 file of which more than a quarter" in table.health().advice


def test_small_files_above_level_0_of_an_ordered_table_are_where_they_belong() -> None:
    table = sorted_table()
    commit(table, *(span(str(number), number, number, level=1) for number in range(5)))
    assert not table.health().work
    commit(table, span("a", 0, 9), span("b", 0, 9))
    assert table.health().work.small_files == 2


def test_a_target_that_makes_no_sense_does_no_harm_where_it_stands() -> None:
    table = new_table(MemoryStore())
    commit(table, SetProperty(name="target_file_size_bytes", value="enormous"))
    commit(table, file("a", size_bytes=33 * MIB), file("b", size_bytes=31 * MIB))
    assert table.health().small_files == 1


# --------------------------------------------------------------------------- all of it


def by_hand(state: TableState) -> tuple[Any, ...]:
    """Levels and partitions from the value of each file."""
    levels: dict[int, Counter[str]] = {}
    for each in state.files:
        level = levels.setdefault(each.level, Counter())
        level.update(files=1, rows=each.live_row_count, deleted=each.deleted_row_count, size=each.size_bytes)
    return (
        {number: (level["files"], level["rows"], level["deleted"], level["size"]) for number, level in levels.items()},
        len({(each.partitioning_id, each.partition_values) for each in state.files}),
    )


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(st.integers(0, 2**32).map(random.Random), st.sampled_from([2, 4]))
def test_columns_of_the_log_say_what_its_files_say(dice: random.Random, fan_out: int) -> None:
    history = History(dice, MemoryStore(), fan_out)
    for _ in range(25):
        history.step()
    cold = Table(history.store, "cold")
    for snapshot in (cold.snapshot(), cold.at(version=dice.randrange(25)), history.table.snapshot()):
        health, state = snapshot.health(), snapshot.state
        levels, partitions = by_hand(state)
        assert {
            level.level: (level.files, level.rows, level.deleted_rows, level.size_bytes) for level in health.levels
        } == levels
        assert health.partitions == partitions
        field = order_field(state.metadata)
        assert (health.read_amplification is None) == (field is None)
        if field is not None:
            check_ranges(state, field)


def check_ranges(state: TableState, field: Field) -> None:
    """Bounds of files whose schema has the field as it is today are those that their values have."""
    columns = state.file_columns(["schema", "rows", *range_columns(state.metadata, field)])
    ranges = ranges_of(columns, state.metadata, field)
    target = file_rows.plain_type(field.type)
    for place, each in enumerate(state.files):
        physical = state.metadata.schemas[each.schema_id].by_id(field.id)
        if physical is not None and physical.type == field.type:
            statistics = each.statistics.get(field.id, UNKNOWN)
            found = [bounds[place].cast(target).as_py() for bounds in (ranges.low, ranges.high)]
            assert found == [statistics.min, statistics.max]
            assert ranges.nowhere[place].as_py() == (statistics.null_count == each.row_count)


def test_no_value_is_made_for_a_file_of_a_large_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actions_object, "INLINE_MAX", 10)
    monkeypatch.setattr(segments, "GROUP_ROWS", 1000)
    monkeypatch.setattr(segments, "_TOGETHER_ROWS", 0)
    store = MemoryStore()
    table = new_table(store, log_fan_out="4")
    commit(table, SetSortOrder(fields=(SortField(field_id=1),)))
    for part in range(10):
        commit(table, *(span(f"{part}-{number}", number, number + 1, size_bytes=1000) for number in range(1000)))

    def refuse(*_: Any) -> None:
        raise AssertionError("a file became a value")

    monkeypatch.setattr(files, "file_actions", refuse)
    for handle in (table, Table(store, "cold")):
        health = handle.health()
        assert (health.files, health.rows, health.size_bytes) == (10_000, 100_000, 10_000_000)
        assert health.read_amplification == 20
        assert handle.scan().explain().funnel.objects == 10_000


def test_columns_that_health_needs_are_all_that_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    table = sorted_table({"x": "int64", "y": "string"})
    commit(table, span("a", 1, 2))
    columns = ops_health.shape_columns(table.snapshot().state.metadata)
    assert "path" not in columns, "no rows are inside the log"
    assert [name for name in columns if ":" in name] == ["1:int64:min", "1:int64:max", "1:nulls"]


def test_it_is_an_immutable_value_that_prints_itself(lake: tl.Lake) -> None:
    table = lake.create_table("<b>t</b>", {"x": list(range(1000))}, sort_by="x")
    table.append([{"x": 3}])
    table.delete("x < 10")
    health = table.health()
    assert health == table.snapshot().health() == table.at(version=2).health()
    with pytest.raises(FrozenInstanceError):
        health.version = 3  # type: ignore[misc]
    title, heads, level, *facts = repr(health).splitlines()
    assert title.startswith("<b>t</b> · version 2 · 990 rows · ")
    assert heads.split()[0] == "level"
    assert level.split()[0] == "0"
    assert any(line.startswith("to read: at most ") for line in facts)
    assert facts[-1] == health.advice
    html = health._repr_html_()
    said = text_of(html)
    assert "<b>t</b>" in said
    assert health.advice in said
    assert "width:100%" in html
