"""DuckDB as an engine: what its settings are for."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import tablelog as tl
from tablelog import env

if TYPE_CHECKING:
    from pathlib import Path


def test_a_null_inside_a_struct_fulfils_no_condition() -> None:
    """DuckDB 2.0 by itself finds it where every other value of the field fulfils one."""
    lake = tl.connect("memory://structs")
    table = lake.create_table("t", [{"id": 1, "s": {"a": 1, "b": "ab"}}, {"id": 2, "s": {"a": 2, "b": None}}])
    for condition in ("prefix(s.b, 'a')", "s.b IN ('ab', 'b')", "s.b LIKE 'a%'"):
        query = f"SELECT id, s FROM t WHERE {condition}"
        answers = [
            lake.sql(query).fetchall(),
            lake.duckdb().sql(query).fetchall(),
            [(row["id"], row["s"]) for row in table.scan(where=condition).to_arrow().to_pylist()],
        ]
        assert answers == [[(1, {"a": 1, "b": "ab"})]] * 3
    table.delete("prefix(s.b, 'a')")
    assert table.to_polars()["id"].to_list() == [2]


def test_timestamps_of_milli_and_microseconds_are_told_apart_by_what_is_remembered(tmp_path: Path) -> None:
    """To DuckDB both are TIMESTAMP, so an answer about one was taken for the other, and files with the row left out."""
    moment = dt.datetime(1960, 1, 1)
    for unit in ("ms", "us", "ns", "ms"):
        lake = tl.connect(tmp_path / f"{unit}-{env.new_id()}")
        table = lake.create_table("t", {"moment": f"timestamp[{unit}]"})
        table.append([{"moment": moment}])
        assert lake.sql("SELECT count(*) FROM t WHERE moment = ?", [moment]).fetchall() == [(1,)], unit
