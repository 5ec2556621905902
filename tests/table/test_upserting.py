"""An upsert replaces the rows that have the new rows' key, adds the others, and leaves what the data does not bring."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa
import pytest

import tablelog as tl
from tests.table.reading import bag, readings

if TYPE_CHECKING:
    from collections.abc import Callable

IN_FILES = {"inline_max_bytes": "0"}
COLUMNS = {"id": "int64 not null", "p": "string", "v": "int64"}


@pytest.fixture(params=[{}, IN_FILES], ids=["inside the log", "in files"])
def properties(request: pytest.FixtureRequest) -> dict[str, str]:
    settings: dict[str, str] = request.param
    return settings


@pytest.fixture
def keyed(lake: tl.Lake, properties: dict[str, str]) -> tl.Table:
    """Rows 1 to 3 in one commit, 4 in another."""
    table = lake.create_table("k", COLUMNS, key="id", properties=properties)
    table.append({"id": [1, 2, 3], "p": ["a", "b", None], "v": [10, 20, 30]})
    table.append({"id": [4], "p": ["d"], "v": [40]})
    return table


def rows(table: tl.Table) -> list[tuple[Any, ...]]:
    """The rows, after every way of reading was seen to say the same."""
    snapshot = table.snapshot()
    every = {way: bag(found) for way, found in readings(snapshot).items()}
    assert all(each == every["arrow"] for each in every.values())
    assert snapshot.row_count == len(every["arrow"])
    return sorted((tuple(row.values()) for row in snapshot.to_arrow().to_pylist()), key=repr)


BEFORE = [(1, "a", 10), (2, "b", 20), (3, None, 30), (4, "d", 40)]


def test_rows_replace_those_with_their_key_and_others_are_added(keyed: tl.Table) -> None:
    commit = keyed.upsert({"id": [2, 4, 9], "p": ["B", None, "n"], "v": [0, 1, None]})
    assert (commit.operation, commit.rows_added, commit.rows_deleted) == ("upsert", 3, 2)
    assert rows(keyed) == [(1, "a", 10), (2, "B", 0), (3, None, 30), (4, None, 1), (9, "n", None)]
    again = keyed.upsert({"id": [2, 4, 9], "p": ["B", None, "n"], "v": [0, 1, None]})
    assert (again.rows_added, again.rows_deleted) == (3, 3)
    assert len(rows(keyed)) == 5


def test_columns_are_found_by_name(keyed: tl.Table) -> None:
    keyed.upsert({"V": [0], "ID": [2], "p": ["B"]})
    assert rows(keyed)[1] == (2, "B", 0)


@pytest.mark.parametrize(
    "brought",
    [
        lambda data: data,
        lambda data: pl.from_arrow(data).lazy(),
        lambda data: data.to_pylist(),
        lambda data: iter(data.to_batches(max_chunksize=1)),
        lambda data: pa.RecordBatchReader.from_batches(data.schema, iter(data.to_batches(max_chunksize=2))),
        lambda data: data.set_column(0, "id", data["id"].cast(pa.int16())),
        lambda data: data.set_column(1, "p", data["p"].dictionary_encode()),
    ],
    ids=["arrow", "polars", "dicts", "batches", "reader", "int16", "dictionary"],
)
def test_data_may_be_anything_that_fits_exactly(keyed: tl.Table, brought: Callable[[pa.Table], Any]) -> None:
    keyed.upsert(brought(pa.table({"id": [4, 1, 9], "p": ["x", "y", "z"], "v": [0, 1, 2]})))
    assert rows(keyed) == [(1, "y", 1), (2, "b", 20), (3, None, 30), (4, "x", 0), (9, "z", 2)]


def test_no_rows_are_a_commit_that_changes_nothing(keyed: tl.Table) -> None:
    none = keyed.to_arrow().slice(0, 0)
    for data in (none, none.drop_columns("v")):
        commit = keyed.upsert(data)
        assert (commit.rows_added, commit.rows_deleted, commit.files_added) == (0, 0, 0)
    assert rows(keyed) == BEFORE


def test_an_empty_table_takes_all_rows(lake: tl.Lake, properties: dict[str, str]) -> None:
    table = lake.create_table("e", COLUMNS, key="id", properties=properties)
    table.upsert({"id": [2, 1], "v": [0, 1]})
    table.upsert({"id": [2, 3], "p": ["x", "y"], "v": [5, 6]})
    assert rows(table) == [(1, None, 1), (2, "x", 5), (3, "y", 6)]


# --------------------------------------------------------------------------- by which columns


def test_several_columns_identify_a_row_and_null_is_like_nothing(lake: tl.Lake, properties: dict[str, str]) -> None:
    table = lake.create_table("o", {"a": "int64", "b": "string", "v": "int64"}, properties=properties)
    table.append({"a": [1, 1, None, 2], "b": ["x", "y", "x", None], "v": [1, 2, 3, 4]})
    commit = table.upsert({"b": ["x", "x", None, None], "a": [1, None, 2, None], "v": [10, 30, 40, 50]}, on=["a", "b"])
    assert (commit.rows_added, commit.rows_deleted) == (4, 1)
    kept = [(1, "x", 10), (1, "y", 2), (2, None, 4), (2, None, 40), (None, "x", 3), (None, "x", 30), (None, None, 50)]
    assert rows(table) == sorted(kept, key=repr)
    table.upsert({"b": ["y"], "v": [0]}, on=("B",))
    assert (1, "y", 0) in rows(table)


@pytest.mark.parametrize("partly", [False, True])
def test_every_row_with_the_same_values_is_replaced(lake: tl.Lake, properties: dict[str, str], partly: bool) -> None:
    table = lake.create_table("d", {"a": "int64", "v": "int64", "w": "int64"}, properties=properties)
    table.append({"a": [1, 1, 2], "v": [1, 2, 3], "w": [1, 2, 3]})
    table.append({"a": [1], "v": [4], "w": [4]})
    commit = table.upsert({"a": [1], "v": [9]} | ({} if partly else {"w": [9]}), on="a")
    assert (commit.rows_added, commit.rows_deleted) == (3, 3)
    assert rows(table) == sorted([(1, 9, w if partly else 9) for w in (1, 2, 4)] + [(2, 3, 3)])
    kinds = table.changes(commit.version - 1, commit.version).to_arrow()["_change"].to_pylist()
    assert sorted(kinds) == ["update_after"] * 3 + ["update_before"] * 3


def test_a_key_stays_unique_where_rows_come_by_other_columns(keyed: tl.Table) -> None:
    keyed.upsert({"id": [7], "p": ["a"], "v": [0]}, on="p")
    assert rows(keyed)[-1] == (7, "a", 0)
    with pytest.raises(tl.InvalidError, match="in the table already, for example id=2"):
        keyed.upsert({"id": [2], "p": ["a"], "v": [0]}, on="p")
    with pytest.raises(tl.InvalidError, match="id"):
        keyed.upsert({"p": ["new"], "v": [0]}, on="p")
    keyed.upsert({"p": ["a"], "v": [5]}, on="p")
    assert rows(keyed)[-1] == (7, "a", 5)


KEYS: list[tuple[str, Any, Any]] = [
    ("boolean", True, False),
    ("int8", -128, 127),
    ("uint64", 2**64 - 1, 0),
    ("string", "a\x00b", "é"),
    ("binary", b"\x00\xff", b""),
    ("decimal(10, 2)", Decimal("-1.10"), Decimal("2.00")),
    ("decimal(38, 10)", Decimal("1.1"), Decimal(2)),
    ("date", dt.date(1, 1, 1), dt.date(2026, 11, 1)),
    ("time[ms]", dt.time(1), dt.time(2)),
    ("time[ns]", dt.time(1), dt.time(2)),
    ("timestamp[ms]", dt.datetime(1969, 1, 1), dt.datetime(2026, 11, 1)),
    ("timestamp[ns]", dt.datetime(1969, 1, 1), dt.datetime(2026, 11, 1)),
    ("timestamp[us, Europe/Berlin]", dt.datetime(1969, 1, 1, tzinfo=dt.UTC), dt.datetime(2026, 11, 1, tzinfo=dt.UTC)),
]


@pytest.mark.parametrize(("type_", "first", "second"), KEYS, ids=[type_ for type_, _, _ in KEYS])
def test_keys_may_be_of_any_flat_type_but_floats(
    lake: tl.Lake, properties: dict[str, str], type_: str, first: Any, second: Any
) -> None:
    table = lake.create_table("t", {"id": type_, "v": "int64", "w": "int64"}, key="id", properties=properties)
    arrow = table.to_arrow().schema.field("id").type
    table.append({"id": pa.array([first, second], arrow), "v": [1, 2], "w": [1, 2]})
    table.upsert({"id": pa.array([first], arrow), "v": [5], "w": [5]})
    table.upsert({"id": pa.array([second], arrow), "v": [6]})
    assert sorted(table.to_arrow().select(["v", "w"]).to_pylist(), key=repr) == [{"v": 5, "w": 5}, {"v": 6, "w": 2}]


def test_floats_are_equal_as_in_sql(lake: tl.Lake, properties: dict[str, str]) -> None:
    table = lake.create_table("f", {"x": "float64", "v": "int64"}, properties=properties)
    table.append({"x": [0.0, 1.0, math.nan, None], "v": [1, 2, 3, 4]})
    table.upsert({"x": [-0.0, math.nan, None], "v": [10, 30, 40]}, on="x")
    assert sorted(table.to_arrow()["v"].to_pylist()) == [2, 4, 10, 30, 40]
    for twice in ([0.0, -0.0], [math.nan, math.nan]):
        with pytest.raises(tl.InvalidError, match="more than once"):
            table.upsert({"x": twice, "v": [1, 2]}, on="x")


# --------------------------------------------------------------------------- some columns


def test_columns_that_the_data_lacks_stay_and_new_rows_get_the_default(keyed: tl.Table) -> None:
    keyed.alter.set_default("p", "none")
    keyed.upsert({"id": [2, 9], "v": [0, 1]})
    assert rows(keyed) == [(1, "a", 10), (2, "b", 0), (3, None, 30), (4, "d", 40), (9, "none", 1)]
    keyed.upsert({"id": [1, 8]})
    assert rows(keyed)[4] == (8, "none", None)


def test_a_new_row_must_have_what_may_not_be_null(keyed: tl.Table) -> None:
    keyed.alter.set_not_null("v")
    keyed.upsert({"id": [1], "p": ["z"]})
    with pytest.raises(tl.InvalidError, match="'v' is not null"):
        keyed.upsert({"id": [1, 9], "p": ["z", "z"]})
    assert rows(keyed)[0] == (1, "z", 10)


# --------------------------------------------------------------------------- partitions


def test_a_row_that_changes_its_partition_leaves_the_old_one(lake: tl.Lake, properties: dict[str, str]) -> None:
    table = lake.create_table("p", COLUMNS, key="id", partition_by=["p"], sort_by=["v desc"], properties=properties)
    table.append({"id": [1, 2, 3], "p": ["a", "a", "b"], "v": [1, 2, 3]})
    table.upsert({"id": [1, 9], "p": ["b", "c"], "v": [5, 6]})
    table.upsert({"id": [2], "p": [None]})
    assert rows(table) == [(1, "b", 5), (2, None, 2), (3, "b", 3), (9, "c", 6)]
    for partition, count in (("a", 0), ("b", 2), ("c", 1)):
        assert table.scan(where=f"p = '{partition}'").to_arrow().num_rows == count


# --------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("partly", [False, True])
def test_a_key_that_comes_twice_is_refused_with_an_example(keyed: tl.Table, partly: bool) -> None:
    data: dict[str, Any] = {"id": [1, 7, 7], "v": [1, 2, 3]} | ({} if partly else {"p": ["x", "y", "z"]})
    with pytest.raises(tl.InvalidError, match="1 keys are there more than once among the new rows, for example id=7"):
        keyed.upsert(data)
    assert rows(keyed) == BEFORE


@pytest.mark.parametrize(
    ("data", "on", "message"),
    [
        ({"id": [1], "p": ["x"], "v": [1], "x": [1]}, None, "no column 'x'"),
        ({"id": [1], "v": [1], "x": [1]}, None, "no column 'x'"),
        ({"p": ["x"], "v": [1]}, None, "no column 'id', by which"),
        ({"id": [None], "p": ["x"], "v": [1]}, None, "'id' is not null"),
        ({"id": ["1"], "p": ["x"], "v": [1]}, None, "'id' is int64"),
        ({"id": [1.5], "p": ["x"], "v": [1]}, None, "'id' is int64"),
        ({"id": [1]}, [], "names no column"),
        ({"id": [1]}, ["id", "ID"], "twice"),
        ({"id": [1]}, "nope", "nope"),
        (None, None, "cannot read data"),
    ],
    ids=range(10),
)
def test_what_does_not_fit_is_refused_and_nothing_changes(keyed: tl.Table, data: Any, on: Any, message: str) -> None:
    with pytest.raises((tl.InvalidError, tl.NotFoundError), match=message):
        keyed.upsert(data, on=on)
    assert rows(keyed) == BEFORE


@pytest.mark.parametrize(
    "data",
    [
        {"id": ["1"]},
        {"id": [1.0]},
        {"id": [1], "v": [1.5]},
        pa.table([pa.array([1]), pa.array([2])], names=["id", "id"]),
    ],
    ids=["text", "float", "fraction", "twice"],
)
def test_columns_of_fewer_have_to_fit_as_exactly(keyed: tl.Table, data: Any) -> None:
    with pytest.raises(tl.InvalidError):
        keyed.upsert(data)


def test_a_table_without_a_key_wants_to_know_the_columns(lake: tl.Lake) -> None:
    table = lake.create_table("n", {"id": "int64", "l": "list<int64>"})
    with pytest.raises(tl.InvalidError, match="no key; say by which columns"):
        table.upsert({"id": [1]})
    with pytest.raises(tl.InvalidError, match="cannot be brought in by column 'l'"):
        table.upsert({"id": [1], "l": [[1]]}, on="l")


def test_new_rows_keep_the_rules_of_the_table(keyed: tl.Table) -> None:
    keyed.alter.add_check("small", "v < 100")
    for data in ({"id": [1], "p": ["x"], "v": [100]}, {"id": [1], "v": [100]}):
        with pytest.raises(tl.InvalidError, match="CHECK 'small'"):
            keyed.upsert(data)
    assert rows(keyed) == BEFORE


def test_thousands_of_keys_meet_in_many_files(lake: tl.Lake, properties: dict[str, str]) -> None:
    table = lake.create_table("m", {"id": "int64", "v": "int64"}, key="id", properties=properties)
    for start in range(0, 5_000, 1_000):
        table.append({"id": list(range(start, start + 1_000)), "v": [0] * 1_000})
    ids = list(range(0, 9_000, 3))
    commit = table.upsert({"v": [1] * len(ids), "id": ids[::-1]})
    assert (commit.rows_added, commit.rows_deleted) == (3_000, 1_667)
    found = table.to_arrow().sort_by("id")
    assert found["id"].to_pylist() == sorted({*range(5_000), *ids})
    assert [row["id"] for row in found.to_pylist() if row["v"]] == ids
