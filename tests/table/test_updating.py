"""An update changes the rows for which its condition is true, computes from what they were, and keeps every rule."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

import tablelog as tl
from tablelog.store.local import LocalStore
from tablelog.testing import FaultyStore
from tests.table.reading import bag, readings

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

Row = dict[str, Any]
IN_FILES = {"inline_max_bytes": "0"}
ROWS: list[Row] = [
    {"id": 1, "a": 10, "b": 1, "s": "x"},
    {"id": 2, "a": 20, "b": 2, "s": None},
    {"id": 3, "a": None, "b": 3, "s": "z"},
    {"id": 4, "a": 40, "b": 4, "s": "w"},
]


@pytest.fixture(params=[{}, IN_FILES], ids=["inside the log", "in files"])
def table(request: pytest.FixtureRequest, lake: tl.Lake) -> tl.Table:
    """Four rows, in two commits."""
    table = lake.create_table("t", {"id": "int64", "a": "int64", "b": "int32", "s": "string"}, properties=request.param)
    table.append(ROWS[:3])
    table.append(ROWS[3:])
    return table


def assert_rows(table: tl.Table, expected: Iterable[Row], lake: tl.Lake | None = None) -> None:
    wanted = bag(expected)
    for way, rows in readings(table.snapshot(), lake).items():
        assert bag(rows) == wanted, way
    assert table.row_count == len(wanted)


def changed(where: Any, **values: Any) -> list[Row]:
    """The rows, those that fulfil a condition with other values."""
    return [row | {n: v(row) for n, v in values.items()} if where(row) else row for row in ROWS]


# --------------------------------------------------------------------------- which rows, and to what


@pytest.mark.parametrize(
    ("where", "ids"),
    [
        (None, {1, 2, 3, 4}),
        ("true", {1, 2, 3, 4}),
        ("false", set()),
        ("NULL", set()),
        ("a > 15", {2, 4}),
        ("NOT (a > 15)", {1}),
        ("a IS NULL", {3}),
        ("s = 'x' OR t.id = 4", {1, 4}),
        ("id > 100", set()),
    ],
)
def test_rows_for_which_the_condition_is_true_change(
    lake: tl.Lake, table: tl.Table, where: str | None, ids: set[int]
) -> None:
    before = table.snapshot()
    commit = table.update({"b": "b + 100"}, where)
    assert (commit.operation, commit.rows_added, commit.rows_deleted) == ("update", len(ids), len(ids))
    assert_rows(table, changed(lambda row: row["id"] in ids, b=lambda row: row["b"] + 100), lake)
    assert bag(before.to_arrow().to_pylist()) == bag(ROWS)


def test_expressions_see_the_row_as_it_was(table: tl.Table) -> None:
    table.update({"a": "b", "b": "a", "id": "id + a"}, "a IS NOT NULL")
    both = {"a": lambda row: row["b"], "b": lambda row: row["a"], "id": lambda row: row["id"] + row["a"]}
    assert_rows(table, changed(lambda row: row["a"] is not None, **both))


def test_names_are_matched_as_in_sql(table: tl.Table) -> None:
    table.update({"A": "T.B", "t.s": "upper(S)"}, "ID = 1")
    assert_rows(table, changed(lambda row: row["id"] == 1, a=lambda row: row["b"], s=lambda row: "X"))


def test_an_update_of_updated_rows_goes_on_from_them(lake: tl.Lake, table: tl.Table) -> None:
    for _ in range(5):
        table.update({"b": "b * 2"}, "id <= 2")
    table.delete("id = 1")
    table.update({"b": "b + 1"})
    wanted = [row | {"b": row["b"] * 32 + 1 if row["id"] == 2 else row["b"] + 1} for row in ROWS[1:]]
    assert_rows(table, wanted, lake)


def test_the_moment_is_the_same_for_every_row(lake: tl.Lake) -> None:
    table = lake.create_table("m", {"id": "int64", "at": "timestamp[ms, UTC]", "u": "timestamp"})
    table.append({"id": list(range(5_000))})
    table.update({"at": "now()", "u": "now()"}, "now() > TIMESTAMP '2020-01-01'")
    found = table.to_arrow()
    assert len(found["at"].unique()) == len(found["u"].unique()) == 1
    assert found["at"].null_count == 0


# --------------------------------------------------------------------------- rules


def test_nulls_go_where_they_may(table: tl.Table) -> None:
    table.update({"s": None, "a": "NULL"}, "id = 1")
    assert_rows(table, changed(lambda row: row["id"] == 1, s=lambda row: None, a=lambda row: None))
    table.alter.set_not_null("b")
    with pytest.raises(tl.InvalidError, match="'b' is not null, but 1 of"):
        table.update({"b": "CASE WHEN id = 2 THEN NULL ELSE b END"})


def test_checks_hold_for_what_rows_become(table: tl.Table) -> None:
    table.alter.add_check("small", "a < 100")
    with pytest.raises(tl.InvalidError, match=r"1 of \d rows do not fulfil the CHECK 'small' .*a=120"):
        table.update({"a": "a + 80"}, "a >= 20 AND id <> 2 OR a = 40")
    version = table.version
    table.update({"a": "a + 50"}, "id <= 3")
    assert table.version == version + 1


@pytest.mark.parametrize(
    ("column", "text"),
    [
        ("b", "1 << 40"),
        ("b", "'x'"),
        ("b", "b + 2147483647"),
        ("a", "1e30"),
        ("s", "error('no')"),
        ("b", "s"),
    ],
)
def test_a_value_that_does_not_fit_changes_nothing(table: tl.Table, column: str, text: str) -> None:
    with pytest.raises(tl.InvalidError):
        table.update({column: text})
    assert table.version == 2


def test_a_key_stays_unique(lake: tl.Lake) -> None:
    table = lake.create_table("k", {"id": "int64", "a": "int64"}, key="id", properties=IN_FILES)
    table.append({"id": [1, 2, 3], "a": [1, 2, 3]})
    table.append({"id": [4], "a": [4]})
    with pytest.raises(tl.InvalidError, match="in the table already, for example id=4"):
        table.update({"id": "4"}, "id = 1")
    with pytest.raises(tl.InvalidError, match="more than once among the new rows, for example id=9"):
        table.update({"id": "9"}, "id < 3")
    with pytest.raises(tl.InvalidError, match="not null"):
        table.update({"id": "NULL"}, "id = 1")
    table.update({"id": "5 - id"})
    table.update({"id": "id + 1"})
    assert_rows(table, [{"id": 6 - n, "a": n} for n in (1, 2, 3, 4)], lake)


def test_rows_of_a_commit_that_lost_are_not_taken_for_those_of_the_winner(tmp_path: Path) -> None:
    """Survivors that ride inside the commit would lie where the winner's rows came to lie: action 1 of that version."""
    theirs = tl.connect(tmp_path).create_table("k", {"id": "int64", "p": "int32"}, key="id", partition_by=["p"])
    theirs.append({"id": [100, 101], "p": [7, 7]})
    theirs.delete("id = 100")
    theirs.alter.set_property("inline_max_bytes", 0)
    theirs.append({"id": [1, 2, 5, 3, 20], "p": [0, 0, 0, 0, 0]})
    theirs.alter.set_property("inline_max_bytes", 65_536)
    waiting = [lambda: theirs.append({"id": [50, 11], "p": [1, 2]})]

    def before(verb: str, key: str) -> None:
        if verb == "put_if_absent" and key.startswith("_log/") and waiting:
            waiting.pop()()

    ours = tl.Table(FaultyStore(LocalStore(tmp_path / "k"), before=before), "k")
    with pytest.raises(tl.ConflictError, match="id=11"):
        ours.update({"id": "id + 10"}, "id IN (1, 2, 5)")
    assert not waiting


# --------------------------------------------------------------------------- partitions and sort order


def test_rows_move_to_their_partition(lake: tl.Lake) -> None:
    table = lake.create_table("p", {"id": "int64", "p": "string"}, partition_by=["p"], sort_by=["id desc"])
    table.append({"id": [1, 2, 3, 4], "p": ["a", "b", "a", None]})
    table.update({"p": "CASE WHEN id > 2 THEN 'b' ELSE p END"})
    assert_rows(table, [{"id": n, "p": p} for n, p in ((1, "a"), (2, "b"), (3, "b"), (4, "b"))], lake)
    assert {file.partition_values for file in table.scan(where="p = 'b'").files} == {("b",)}
    table.update({"p": None})
    assert table.scan(where="p IS NOT NULL").files == ()


def test_new_images_stand_in_the_order_of_the_table(lake: tl.Lake) -> None:
    table = lake.create_table("o", {"id": "int64", "a": "int64"}, sort_by=["a"], properties=IN_FILES)
    table.append({"id": [1, 2, 3], "a": [1, 2, 3]})
    table.update({"a": "-a"})
    assert table.to_arrow()["a"].to_pylist() == [-3, -2, -1]


# --------------------------------------------------------------------------- types

VALUES: list[tuple[str, Any, Any]] = [
    ("boolean", True, False),
    ("int8", -128, 127),
    ("uint64", 2**64 - 1, 0),
    ("int64", -(2**63), 2**63 - 1),
    ("float32", 0.5, math.nan),
    ("float64", -0.0, math.inf),
    ("decimal(10, 2)", Decimal("-1.25"), Decimal("99999999.99")),
    ("decimal(38, 0)", Decimal("9" * 38), Decimal("-" + "9" * 38)),
    ("string", 'it\'s \\ "é"', ""),
    ("binary", b"\x00'\\\xff", b""),
    ("date", dt.date(1, 1, 1), dt.date(2026, 11, 1)),
    ("time[ms]", dt.time(1, 2, 3, 4000), dt.time(0)),
    ("time[us]", dt.time(23, 59, 59, 999999), dt.time(0)),
    ("timestamp[ms]", dt.datetime(1969, 12, 31, 23, 59, 59, 999000), dt.datetime(2026, 11, 1)),
    ("timestamp[us]", dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31, 23, 59, 59, 999999)),
    (
        "timestamp[us, UTC]",
        dt.datetime(2026, 11, 1, tzinfo=ZoneInfo("UTC")),
        dt.datetime(1900, 1, 1, tzinfo=ZoneInfo("UTC")),
    ),
]


@pytest.mark.parametrize(("type_", "before", "after"), VALUES, ids=[type_ for type_, _, _ in VALUES])
def test_plain_values_are_stored_as_they_are(lake: tl.Lake, type_: str, before: Any, after: Any) -> None:
    table = lake.create_table("v", {"id": "int64", "v": type_, "n": type_})
    schema = table.to_arrow().schema
    table.append(pa.table({"id": [1, 2], "v": [before, before], "n": [before, None]}, schema))
    value = f"'{after}'" if isinstance(after, str) else after
    table.update({"v": value, "n": None}, "id = 1")
    assert_rows(table, [{"id": 1, "v": after, "n": None}, {"id": 2, "v": before, "n": None}], lake)
    table.update({"v": "n", "n": "v"}, "id = 1")
    assert_rows(table, [{"id": 1, "v": None, "n": after}, {"id": 2, "v": before, "n": None}], lake)


@pytest.mark.parametrize(
    "value", [True, 2.5, "x'", b"x", [1], {"a": 1}, dt.date(2026, 11, 1), Decimal("1.5"), object()]
)
def test_plain_values_of_another_type_are_refused(table: tl.Table, value: Any) -> None:
    with pytest.raises(tl.InvalidError):
        table.update({"a": value})
    assert table.version == 2


def nested() -> pa.Table:
    inner = pa.struct([pa.field("n", pa.int64(), nullable=False), ("at", pa.timestamp("ns"))])
    types = {
        "id": pa.int64(),
        "i": pa.int64(),
        "l": pa.list_(pa.int16()),
        "ls": pa.list_(inner),
        "m": pa.map_(pa.string(), pa.float64()),
        "st": inner,
        "deep": pa.struct([pa.field("inner", inner), pa.field("l", pa.list_(pa.string()))]),
        "z": pa.timestamp("us", "Europe/Berlin"),
        "zs": pa.list_(pa.timestamp("ms", "UTC")),
        "ms": pa.timestamp("ms"),
        "ns": pa.timestamp("ns"),
        "tns": pa.time64("ns"),
        "tms": pa.time32("ms"),
        "dec": pa.decimal128(20, 3),
        "u": pa.uint64(),
        "bin": pa.binary(),
        "f": pa.float32(),
        "d": pa.float64(),
    }
    at = dt.datetime(2026, 11, 1, 9, 30)
    full = {
        "id": 1, "i": 0, "l": [1, None], "ls": [{"n": 1, "at": None}, None], "m": [("a", -0.0), ("b", None)],
        "st": {"n": 5, "at": at}, "deep": {"inner": {"n": 1, "at": at}, "l": ["x", None]},
        "z": at.replace(tzinfo=dt.UTC), "zs": [at.replace(tzinfo=dt.UTC), None], "ms": at, "ns": at,
        "tns": dt.time(1), "tms": dt.time(2, 0, 0, 5000), "dec": Decimal("-1.250"), "u": 2**64 - 1, "bin": b"\x00\xff",
        "f": math.nan, "d": -0.0,
    }  # fmt: skip
    empty = dict.fromkeys(types) | {"id": 2, "i": 0}
    odd = empty | {"id": 3, "l": [], "ls": [], "m": [], "deep": {"inner": None, "l": None}, "f": -0.0, "d": math.nan}
    return pa.Table.from_pylist([full, empty, odd, full | {"id": 4}], pa.schema(list(types.items())))


@pytest.mark.parametrize("properties", [{}, IN_FILES], ids=["inside the log", "in files"])
def test_columns_of_every_type_survive_when_another_one_changes(lake: tl.Lake, properties: dict[str, str]) -> None:
    rows = nested()
    table = lake.create_table("n", rows, properties=properties)
    before = table.to_arrow()
    for where in ("id <= 3", "id >= 2", "true"):
        table.update({"i": "i + 1"}, where)
    table.merge({"id": [1, 3], "i": [5, 6]}, on="t.id = s.id").when_matched_update().execute()
    table.upsert({"id": [2], "i": [7]}, on="id")
    after = table.to_arrow().sort_by("id")
    assert after.schema == before.schema
    assert after["i"].to_pylist() == [5, 7, 6, 2]
    assert bag(after.drop_columns("i").to_pylist()) == bag(before.drop_columns("i").to_pylist())


def test_nested_columns_can_be_assigned(lake: tl.Lake) -> None:
    table = lake.create_table("n", nested())
    table.update({"l": "[id, 7]", "st": "{'at': NULL, 'n': id}", "m": "MAP {'k': 1.5}", "ls": "[st]"}, "id = 1")
    (row,) = table.scan(where="id = 1").to_arrow().to_pylist()
    assert (row["l"], row["m"], row["st"]) == ([1, 7], [("k", 1.5)], {"n": 1, "at": None})
    assert row["ls"][0]["n"] == 5
    with pytest.raises(tl.InvalidError, match=r"st\.n"):
        table.update({"st": "{'n': NULL, 'at': NULL}"})


@pytest.mark.parametrize(
    ("type_", "text", "value"),
    [
        ("timestamp[ms]", "TIMESTAMP '2026-11-01 00:00:00.123999'", dt.datetime(2026, 11, 1, 0, 0, 0, 124000)),
        (
            "timestamp[ms, UTC]",
            "'2026-11-01 00:00:00.123999+00'",
            dt.datetime(2026, 11, 1, 0, 0, 0, 124000, ZoneInfo("UTC")),
        ),
        ("time[ms]", "TIME '01:02:03.456789'", dt.time(1, 2, 3, 457000)),
        ("timestamp[us]", "TIMESTAMP_NS '2026-11-01 00:00:00.123456789'", dt.datetime(2026, 11, 1, 0, 0, 0, 123457)),
        ("date", "TIMESTAMP '2026-11-01 23:00:00'", dt.date(2026, 11, 1)),
        ("int64", "2.5", 3),
        ("decimal(5, 1)", "1.25", Decimal("1.3")),
        ("float32", "0.1", 0.10000000149011612),
        ("string", "id", "1"),
        ("int64", "'12'", 12),
        ("binary", "'ab'", b"ab"),
    ],
)
def test_what_an_expression_gives_is_cast_as_an_assignment_is(lake: tl.Lake, type_: str, text: str, value: Any) -> None:
    table = lake.create_table("c", {"id": "int64", "v": type_})
    table.append({"id": [1]})
    table.update({"v": text})
    assert table.to_arrow()["v"].to_pylist() == [value]


# --------------------------------------------------------------------------- names

NAMES = ["#file", "#row", "t", "s", "rows", "deleted", "bits", "*", "^a.*$", 'q"q', "a b", "É", "select", "d.x"]  # fmt: skip


@pytest.mark.parametrize("properties", [{}, IN_FILES], ids=["inside the log", "in files"])
@pytest.mark.parametrize("name", NAMES)
def test_a_column_may_have_any_name(lake: tl.Lake, name: str, properties: dict[str, str]) -> None:
    assert_name_serves(lake, name, properties)


@pytest.mark.parametrize("name", ["file_index", "file_row_number", "#of", "#deleted"])
def test_a_column_may_be_called_like_what_scans_of_files_add(lake: tl.Lake, name: str) -> None:
    assert_name_serves(lake, name, IN_FILES)


def assert_name_serves(lake: tl.Lake, name: str, properties: dict[str, str]) -> None:
    table = lake.create_table("n", {"id": "int64", name: "int64"}, properties=properties)
    table.append({"id": [1, 2, 3, 4, 5], name: [2, 2, 2, 2, 0]})
    quoted = '"' + name.replace('"', '""') + '"'
    table.update({"id": "id + 10"}, "id = 2")
    table.update({name: f"{quoted} + 1"}, f"id <> 3 AND {quoted} > 0")
    table.delete("id = 3")
    table.update({name: f"t.{quoted} + t.id"}, f"t.{quoted} = 0")
    assert_rows(table, [{"id": n, name: 5 if n == 5 else 3} for n in (1, 12, 4, 5)], lake)
    assert table.scan(columns=["id"]).to_arrow()["id"].to_pylist() == table.to_arrow()["id"].to_pylist()


# --------------------------------------------------------------------------- what makes no sense


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("(SELECT max(a) FROM t)", "looks beyond one row"),
        ("EXISTS (SELECT 1)", "looks beyond one row"),
        ("row_number() OVER ()", "looks beyond one row"),
        ("#1", "looks beyond one row"),
        ("?", "looks beyond one row"),
        ("sum(a)", "aggregates"),
        ("unnest([1, 2])", "UNNEST"),
        ("*", "without naming"),
        ("COLUMNS(*)", "without naming"),
        ("a, a", "not one"),
        ("a) + (a", "not one"),
        ("1 AS x", "not one"),
        ("a FROM t", "not one"),
        ("a; DELETE FROM t", "not one"),
        ("", "not one"),
        ("-- nothing", "not one"),
        ("nope", 'a = nope.*"nope" not found'),
        ("nope(a)", "a = nope"),
    ],
)
def test_an_expression_that_is_not_one_of_a_row_is_refused(table: tl.Table, text: str, message: str) -> None:
    for where in (None, "false"):
        with pytest.raises(tl.InvalidError, match=message) as error:
            table.update({"a": text}, where)
        assert str(error.value).startswith(f"a = {text}")
    assert table.version == 2


@pytest.mark.parametrize("where", ["a", "nope = 1", "id = (SELECT 1)", "count(*) > 1", "a = 1) OR (true", "COLUMNS(*) > 5", ""])  # fmt: skip
def test_a_condition_that_is_not_one_of_a_row_is_refused(table: tl.Table, where: str) -> None:
    with pytest.raises(tl.InvalidError):
        table.update({"a": "1"}, where)
    with pytest.raises(tl.InvalidError):
        table.delete(where)
    assert table.version == 2


def test_columns_are_assigned_to_once_and_exist(table: tl.Table) -> None:
    with pytest.raises(tl.NotFoundError, match="nope"):
        table.update({"nope": "1"})
    with pytest.raises(tl.InvalidError, match="'a' is assigned to twice"):
        table.update({"a": "1", "A": "2"})
    for nothing in ({}, None, [("a", "1")], "a = 1"):
        with pytest.raises(tl.InvalidError, match="assigns nothing"):
            table.update(nothing)  # type: ignore[arg-type]  # people do
    assert table.version == 2


def test_many_rows_in_many_files_change_together(lake: tl.Lake) -> None:
    table = lake.create_table("big", pa.table({"id": pa.array(range(300_000)), "x": pa.array([0] * 300_000)}))
    table.append({"id": [300_000], "x": [0]})
    commit = table.update({"x": "id"}, "id % 3 = 0")
    assert commit.rows_added == 100_001
    found = table.to_arrow()
    assert found.num_rows == 300_001
    assert sum(found["x"].to_pylist()) == sum(range(0, 300_001, 3))
