"""Small files of tables with a key say which keys they have: in commits, in segments, and as long as it is true."""

from __future__ import annotations

import copy
import datetime as dt
import random
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pytest

import tablelog as tl
from tablelog import env
from tablelog.format import names
from tablelog.format.commits import decode_commit, encode_commit
from tablelog.format.key_filter import KeyFilter, encode_key_filter
from tablelog.log.file_rows import key_filter_in

if TYPE_CHECKING:
    from pathlib import Path

FILES = {"inline_max_bytes": "0"}


def adds(store: Any, version: int) -> list[dict[str, Any]]:
    record = decode_commit(store.get(names.LOG + names.commit(version)), "x")
    return [action["add"] for action in record.actions if "add" in action]


def filters(table: tl.Table | tl.Snapshot) -> list[KeyFilter | None]:
    files = (table.snapshot() if isinstance(table, tl.Table) else table).files
    return [None if file.key_filter is None else file.key_filter.read() for file in files]


@pytest.mark.parametrize("properties", [{}, FILES], ids=["inlined", "files"])
def test_what_writers_add_has_a_filter(tmp_path: Path, properties: dict[str, str]) -> None:
    table = tl.connect(tmp_path).create_table("t", {"id": "int64", "v": "int64"}, key="id", properties=properties)
    table.append({"id": list(range(100)), "v": [0] * 100})
    table.upsert({"id": [5, 1000], "v": [1, 1]})
    table.merge({"id": [6, 1001]}, on="t.id = s.id").when_matched_update({"v": "9"}).when_not_matched_insert(
        {"id": "s.id"}
    ).execute()
    table.update({"v": "v + 1"}, where="id < 3")
    store = table.snapshot().store
    for version in range(1, 5):
        assert all(add["key_filter"]["fields"] == [1] for add in adds(store, version) if add.get("rows"))
    assert all(filters(table))


def test_tables_without_a_key_and_files_of_many_rows_have_none(tmp_path: Path) -> None:
    lake = tl.connect(tmp_path)
    assert filters(lake.create_table("plain", {"id": [1]})) == [None]
    assert filters(lake.create_table("many", {"id": list(range(5001))}, key="id")) == [None]
    assert all(filters(lake.create_table("few", {"id": list(range(5000))}, key="id")))


def test_one_write_brings_only_so_many(tmp_path: Path) -> None:
    table = tl.connect(tmp_path).create_table(
        "t", {"id": "int64", "p": "int64"}, key="id", partition_by="p", properties=FILES
    )
    table.append({"id": list(range(40_000)), "p": [number % 10 for number in range(40_000)]})
    assert [known is not None for known in filters(table)] == [True] * 5 + [False] * 5
    assert all(table.get(key) == {"id": key, "p": key % 10} for key in range(0, 40_000, 3999))
    table.delete(where="true")
    table.append({"id": list(range(1000)), "p": [number % 200 for number in range(1000)]})  # an object of actions
    assert len(filters(table)) == 200
    assert all(filters(table))
    assert table.get(777) == {"id": 777, "p": 177}


def test_a_filter_stays_when_rows_of_its_file_go_or_come_back(tmp_path: Path) -> None:
    table = tl.connect(tmp_path).create_table("t", {"id": list(range(100))}, key="id")
    before = filters(table)
    assert before[0] is not None
    table.delete(where="id = 5")
    assert filters(table) == before
    table.restore(0)
    assert filters(table) == before
    assert table.get(5) == {"id": 5}


def test_segments_have_the_filters_of_live_files() -> None:
    table = tl.connect(f"memory://{env.new_id()}").create_table(
        "t", {"id": "int64", "v": "int64"}, key="id", properties=FILES | {"log_fan_out": "4", "auto_compact": "off"}
    )
    for number in range(40):
        table.append({"id": [number, 10**6 - number], "v": [number] * 2})
    table.delete(where="id = 3")
    table.delete(where="id = 999997")
    for number in range(5):
        table.alter.set_property("note", str(number))
    cold = tl.Table(table.snapshot().store, "cold")
    assert any("segments/" in info.key for info in table.snapshot().store.list(names.LOG))
    assert filters(cold) == filters(table)
    assert len(filters(cold)) == 39
    assert all(filters(cold))
    assert len(cold.scan(where="id = 7").files) == 1
    assert cold.get(3) is None
    assert cold.at(version=30).get(3) == {"id": 3, "v": 3}
    # What is gone needs no filter any more; whoever looks back opens more files, and finds the same.
    assert cold.at(version=30).get(7) == {"id": 7, "v": 7}
    assert table.verify().ok


@pytest.mark.parametrize("fan_out", ["4", "1000"], ids=["segments", "commits"])
def test_a_key_that_changed_its_type_is_found_and_others_are_still_ruled_out_if_they_hash_alike(fan_out: str) -> None:
    lake = tl.connect(f"memory://widened-{fan_out}")
    for name, old, new, values, ruled_out in (
        ("a", "int32", "int64", [1, 5, 9], True),
        ("b", "int32", "decimal(12, 2)", [1, 5, 9], False),
        ("c", "date", "timestamp[us]", [10, 50, 90], False),
    ):
        table = lake.create_table(
            name, {"id": old, "v": "int64"}, key="id", properties=FILES | {"log_fan_out": fan_out}
        )
        for shift in range(3):
            rows = [{"id": _of(old, value + shift), "v": shift} for value in values]
            table.append(rows)
        table.alter.widen_column("id", new)
        for number in range(6):
            table.alter.set_property("n", str(number))
        every = table.to_arrow().to_pylist()
        assert len(every) == 9
        for row in every:
            assert table.get(row["id"]) == row
        snapshot = table.snapshot()
        literal = {"a": "6", "b": "6.00", "c": "TIMESTAMP '1970-02-21'"}[name]
        assert snapshot.scan(where=f"id = {literal}").to_arrow().num_rows == 1
        assert len(snapshot.scan(where=f"id = {literal}").files) == (1 if ruled_out else 3)
        assert table.get(every[0]["id"], columns=["v"]) == {"v": every[0]["v"]}


def _of(type_: str, value: int) -> Any:
    return dt.date(1970, 1, 1) + dt.timedelta(days=value) if type_ == "date" else value


def test_logs_without_filters_are_read_like_before(tmp_path: Path) -> None:
    table = tl.connect(tmp_path).create_table("t", {"id": "int64"}, key="id", properties=FILES)
    for number in range(3):
        table.append({"id": [number, 100 - number]})
    _rewrite(tmp_path / "t", lambda add: add.pop("key_filter"))
    old = tl.open_table(tmp_path / "t")
    assert filters(old) == [None] * 3
    assert [old.get(key) for key in (0, 50, 98)] == [{"id": 0}, None, {"id": 98}]
    assert len(old.scan(where="id = 50").files) == 3
    old.upsert({"id": [50, 1]})
    assert [known is None for known in filters(old)][:2] == [True, True]
    assert old.row_count == 7


@pytest.mark.parametrize(
    ("field", "value"),
    [("hashes", "AAAA"), ("hashes", ""), ("modulus", 8), ("modulus", 12), ("fields", "x")],
    ids=str,
)
def test_a_damaged_filter_is_corruption_and_rules_nothing_out(tmp_path: Path, field: str, value: Any) -> None:
    table = tl.connect(tmp_path).create_table("t", {"id": "int64"}, key="id", properties=FILES)
    table.append({"id": [0, 100]})

    def damage(add: dict[str, Any]) -> None:
        add["key_filter"][field] = value

    _rewrite(tmp_path / "t", damage)
    with pytest.raises(tl.CorruptionError):
        tl.open_table(tmp_path / "t").get(50)


@pytest.mark.parametrize("text", ["nope", "[]", "{}", '{"fields": [1], "modulus": 4096}', "null"])
def test_a_damaged_filter_in_a_segment_is_corruption(text: str) -> None:
    with pytest.raises(tl.CorruptionError):
        key_filter_in(text, "a segment")


def test_a_filter_of_other_columns_is_ignored(tmp_path: Path) -> None:
    table = tl.connect(tmp_path).create_table("t", {"id": "int64", "v": "int64"}, key="id", properties=FILES)
    table.append({"id": [0, 100], "v": [1, 2]})

    def change(add: dict[str, Any]) -> None:
        add["key_filter"] = encode_key_filter(KeyFilter(field_ids=(2,), modulus=4096, hashes=b"whatever"))

    _rewrite(tmp_path / "t", change)
    old = tl.open_table(tmp_path / "t")
    assert old.get(100) == {"id": 100, "v": 2}
    assert len(old.scan(where="id = 50").files) == 1


def _rewrite(folder: Path, change: Any) -> None:
    """Commits as if somebody else had written them."""
    parent: str | None = None
    for version in range(len(list((folder / "_log").glob("0*.json")))):
        path = folder / "_log" / names.commit(version)
        record = decode_commit(path.read_bytes(), "x")
        actions = copy.deepcopy(record.actions)
        for action in actions:
            if "add" in action:
                change(action["add"])
        data, parent = encode_commit(replace(record, actions=actions, parent=parent))
        path.write_bytes(data)


@pytest.mark.parametrize(
    "type_", ["int8", "int32", "int64", "uint64", "string", "binary", "boolean", "date", "decimal(10, 2)"]
)
def test_larger_files_in_no_order_have_filters_of_parquet_that_hide_no_key(tmp_path: Path, type_: str) -> None:
    """Only of types that keys mostly have, and not where the order makes them useless."""
    lake = tl.connect(tmp_path)
    dice = random.Random(5)
    numbers = dice.sample(range(-(10**6), 10**6), 20_000)
    key = ["k", "n"] if type_ in {"int8", "boolean", "date"} else ["k"]  # few values need another column
    rows = pa.table({"k": _column(type_, numbers), "n": pa.array(numbers), "v": pa.array(range(20_000))})
    schema = {"k": type_, "n": "int64", "v": "int64"}
    table, by_key = (lake.create_table(name, schema, key=key, sort_by=by) for name, by in (("t", None), ("o", ["k"])))
    for each in (table, by_key):
        each.append(rows)
        assert filters(each) == [None]
    has_them = int(pa.__version__.partition(".")[0]) >= 26 and (len(key) > 1 or type_ in {"int32", "int64", "string"})
    assert _has_filter(tmp_path / "t" / table.snapshot().files[0].path) == has_them
    assert not _has_filter(tmp_path / "o" / by_key.snapshot().files[0].path)
    for row in rows.take(dice.sample(range(20_000), 40)).to_pylist():
        assert lake.sql("SELECT v FROM t WHERE k = ? AND n = ?", [row["k"], row["n"]]).fetchall() == [(row["v"],)]
        assert table.get({name: row[name] for name in key}, columns=["v"]) == {"v": row["v"]}


def _column(type_: str, values: list[Any]) -> pa.Array[Any]:
    match type_:
        case "int8":
            return pa.array([value % 100 for value in values], pa.int8())
        case "uint64":
            return pa.array([value + 10**6 for value in values], pa.uint64())
        case "binary":
            return pa.array([str(value).encode() for value in values])
        case "boolean":
            return pa.array([value % 2 == 0 for value in values])
        case "date":
            return pa.array([value % 1000 for value in values], pa.int32()).cast(pa.date32())
        case "decimal(10, 2)":
            return pa.array([Decimal(value) / 4 for value in values], pa.decimal128(10, 2))
        case "int32":
            return pa.array(values, pa.int32())
        case "string":
            return pa.array([f"ø{value}" for value in values])
        case _:
            return pa.array(values)


def _has_filter(path: Path) -> bool:
    found = duckdb.sql(f"SELECT max(bloom_filter_offset) FROM parquet_metadata('{path}')").fetchall()
    return bool(found[0][0])
