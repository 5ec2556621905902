"""Made `tests/golden/lake-1` when commits were settled, `lake-2` when segments, bases and objects of actions were, and
`lake-3` when deletion vectors, rows inside the log and what goes with them were, `lake-4` when levels, curves, key
filters, clones and vacuums were; each once, with what its tables say. Run again only for a new format version:

    python tests/golden/make_lake.py tests/golden/lake-5

Clock and names are fixed, so that the only things that may differ from run to run are the bytes of Parquet writers.
"""

from __future__ import annotations

import datetime as dt
import itertools
import json
import os
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import tablelog as tl
from tablelog import env, upkeep
from tablelog.log import actions_object
from tablelog.ops import removing

START_US = 1_767_225_600_000_000  # 2026-01-01 00:00:00 UTC
EVERY_TYPE = pa.schema(
    [
        pa.field("boolean", pa.bool_()),
        pa.field("int8", pa.int8()),
        pa.field("uint64", pa.uint64()),
        pa.field("float32", pa.float32()),
        pa.field("float64", pa.float64()),
        pa.field("string", pa.string()),
        pa.field("binary", pa.binary()),
        pa.field("date", pa.date32()),
        pa.field("time", pa.time64("us")),
        pa.field("wall_clock", pa.timestamp("us")),
        pa.field("instant", pa.timestamp("ms", "Europe/Oslo")),
        pa.field("nanoseconds", pa.timestamp("ns")),
        pa.field("decimal", pa.decimal128(20, 4)),
        pa.field("list", pa.list_(pa.int64())),
        pa.field("map", pa.map_(pa.string(), pa.int32())),
        pa.field("struct", pa.struct([("größe", pa.int64()), ("b c", pa.string())])),
    ]
)
ROW: dict[str, Any] = {
    "boolean": True,
    "int8": -128,
    "uint64": 2**64 - 1,
    "float32": 0.5,
    "float64": -0.0,
    "string": "é" * 40 + "\U0010ffff",
    "binary": b"\x00\xff",
    "date": dt.date(1969, 12, 31),
    "time": dt.time(23, 59, 59, 999_999),
    "wall_clock": dt.datetime(1582, 10, 15),
    "instant": dt.datetime(2026, 3, 29, 1, tzinfo=dt.UTC),
    "nanoseconds": dt.datetime(2026, 1, 1),
    "decimal": Decimal("-9999999999999999.9999"),
    "list": [1, None, 3],
    "map": [("a", 1)],
    "struct": {"größe": 7, "b c": None},
}


class Fixed(env.Env):
    """One second passes whenever the clock is looked at; names count up."""

    def __init__(self) -> None:
        self.clock = itertools.count(START_US, 1_000_000)
        self.bits = itertools.count(1)

    def now_us(self) -> int:
        return next(self.clock)

    def random_bits(self, count: int) -> int:
        return next(self.bits)

    def who(self) -> str:
        return "ada@lab"


def make(folder: Path) -> None:
    lake = tl.connect(folder)
    lake.create_table("every type", pa.Table.from_pylist([ROW, dict.fromkeys(ROW)], EVERY_TYPE))
    orders = lake.create_table(
        "sales.orders",
        {"id": "int32 not null", "region": "string", "price": "float", "at": "timestamp"},
        partition_by=["month(at)", "bucket(4, id)"],
        sort_by="price desc",
        checks={"positive": "id > 0"},
        properties={"target_file_size_bytes": "1000000"},
    )
    rows = [
        {
            "id": n,
            "region": ["EU", "US", None][n % 3],
            "price": [n / 2, float("nan")][n % 7 == 0],
            "at": dt.datetime(2026, 1 + n % 2, 1),
        }
        for n in range(1, 21)
    ]
    orders.append(rows, info={"message": "first"})
    orders.alter.rename_column("region", "market")
    orders.alter.add_column("note", "string", default="it's old")
    orders.alter.widen_column("id", "int64")
    orders.append([{"id": 2**40, "market": "EU", "price": 1.0, "note": "new"}])
    orders.delete(where="price < 3")
    orders.alter.drop_column("note")
    orders.alter.add_column("note", "int64")
    orders.overwrite([{"id": 2**40, "market": "EU", "price": 2.0, "note": 5}], where="market = 'EU'")
    lake.create_table("dropped", {"x": [1]})
    lake.drop_table("dropped")
    lake.create_table("old name", {"x": [1]})
    lake.rename_table("old name", "new name")
    lake.create_namespace("empty")


def grow(folder: Path) -> None:
    """A table whose log has three levels of segments, a commit with an object of actions, and a base."""
    grown = tl.connect(folder).create_table(
        "grown",
        {"id": "int32 not null", "name": "string", "score": "float", "at": "timestamp[ms, Europe/Oslo]"},
        key="id",
        partition_by="bucket(2, id)",
        properties={"log_fan_out": "3"},
    )
    for number in range(24):
        seen = dt.datetime(2026, 1, 1, number, tzinfo=dt.UTC)
        score = [0.1, None, float("-inf"), float("nan")][number % 4]
        grown.append([{"id": number, "name": "é" * (number * 3), "score": score, "at": seen}])
    grown.alter.widen_column("id", "int64")
    grown.alter.widen_column("score", "double")
    grown.delete(where="id IN (3, 17)")
    grown.expire(keep=15)
    grown.alter.rename_column("name", "title")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(actions_object, "INLINE_MAX", 1)
        grown.append([{"id": 2**40 + number, "title": "many"} for number in range(4)])
        grown.overwrite([{"id": 5, "title": "again"}], where="id = 5")
    for number in range(100, 106):
        grown.append([{"id": number}])


def mark(folder: Path) -> None:
    """A table with everything that came with deletion vectors and rows inside the log, in commits and in segments."""
    marked = tl.connect(folder).create_table(
        "marked",
        {"id": "int64 not null", "name": "string", "score": "double"},
        key="id",
        properties={"log_fan_out": "4"},
    )
    marked.append([{"id": number, "name": "inside", "score": number / 2} for number in range(10)])
    marked.append([{"id": 10 + number, "name": "é" * number} for number in range(3)], idempotent=("nightly load", 1))
    marked.delete("id IN (3, 11)")
    marked.alter.set_property("inline_max_bytes", 0)
    marked.append([{"id": number, "name": "file", "score": 0.5} for number in range(1000, 1030)])
    marked.append([{"id": number, "name": "other file"} for number in range(2000, 2010)])
    marked.tag("before the deletes")
    marked.delete("id BETWEEN 1010 AND 1012 OR id = 2000")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(removing, "INLINE_BYTES_MAX", 0)  # as if they were many
        marked.delete("id >= 1000 AND id % 3 = 0")
    marked.alter.set_property("inline_max_bytes", None)
    marked.update({"score": "score + 1", "name": "'changed'"}, "id < 5")
    marked.exclusive("cleaner").delete("id = 1001")
    marked.upsert([{"id": 5, "name": "upserted", "score": None}, {"id": 20, "name": "new", "score": -0.0}])
    source = {"id": [6, 7, 1003, 21], "name": ["m"] * 4}
    merging = marked.merge(source, on="t.id = s.id").when_matched_delete(where="s.id IN (7, 1003)")
    merging.when_matched_update({"name": "s.name"}).when_not_matched_insert().execute()
    marked.delete("id >= 1000 AND id % 3 = 1")  # most of the file is gone now: the rest moves
    wrong = marked.append([{"id": 30, "name": "wrong"}], idempotent=("nightly load", 2))
    marked.append([{"id": 31, "name": "right"}])
    marked.revert(wrong.version)
    marked.tag("in between")
    marked.overwrite([{"id": 40, "name": "alone"}])
    marked.restore(tag="in between")
    marked.compact()
    marked.untag("in between")
    marked.exclusive("cleaner")
    for number in range(50, 55):
        marked.append([{"id": number, "name": "late"}])
    marked.delete("id IN (51, 1007, 2003)")
    folded = tl.connect(folder).create_table("folded", {"id": "int64"}, properties={"log_fan_out": "2"})
    for number in range(4):
        folded.append([{"id": number}, {"id": -number}], idempotent=("counter", number))
    folded.delete("id < -1")
    folded.compact()
    folded.append([{"id": 100}])
    folded.delete("id = 2")
    folded.expire(keep=3)
    folded.append([{"id": 101}])


def shape(folder: Path) -> None:
    """A tree of files: steps of compaction on their own and in passing, keys with filters, a curve, a clone, a vacuum."""
    lake = tl.connect(folder)
    keyed = lake.create_table("keyed", {"id": "int64", "v": "string"}, key="id", properties={"log_fan_out": "4"})
    for number in range(30):
        keyed.append([{"id": 7 * number, "v": f"a{number}"}, {"id": 1000 - number, "v": "b"}])
    keyed.delete("id = 14")
    keyed.upsert([{"id": 21, "v": "new"}, {"id": 22, "v": "new"}])
    keyed.tag("before")
    keyed.compact()
    clone = lake.clone_table("keyed", "kept.clone", version=31)
    clone.delete("id = 0")
    keyed.delete("id < 50")
    keyed.untag("before")
    keyed.compact(full=True)
    keyed.expire(keep=2)
    keyed.upsert([{"id": 2000, "v": "later"}, {"id": 1000, "v": "later"}])
    passing = lake.create_table("passing", {"id": "int64", "v": "int64"}, sort_by="id desc")
    for number in range(30):
        passing.append([{"id": number % 7, "v": number}, {"id": number, "v": -number}])
    passing.delete("v = 3")  # takes a step along
    passing.append([{"id": 1, "v": 100}])
    curved = lake.create_table(
        "curved", {"x": "int32", "y": "double"}, cluster_by=["x", "y"], properties={"inline_max_bytes": "0"}
    )
    for number in range(3):
        curved.append({"x": [number, 5 - number, 3], "y": [0.5 * number, None, -1.0]})
    curved.compact()
    for path in (folder / "curved").rglob("*.parquet"):
        os.utime(path, (1_700_000_000, 1_700_000_000))
    with pytest.MonkeyPatch.context() as patch:  # clocks are fixed, and those of files are not
        patch.setattr(upkeep, "store_time_us", lambda _: env.now_us())
        curved.expire(keep=1)
        curved.vacuum(grace="0 seconds")
    curved.append({"x": [9], "y": [9.0]})


def rows_of(snapshot: tl.Snapshot) -> list[str]:
    """Rows as sorted text, which tells -0.0, NaN and types apart."""
    return sorted(map(repr, snapshot.to_arrow().to_pylist()))


def changes_of(table: tl.Table, version: int) -> list[str]:
    """What a version did to rows, as sorted text."""
    return sorted(map(repr, table.changes(since=version - 1, until=version).to_arrow().to_pylist()))


def describe(lake: tl.Lake) -> dict[str, Any]:
    """Everything that the golden lake says, in a form that JSON can hold."""
    described: dict[str, Any] = {"namespaces": lake.namespaces(), "tables": {}}
    for name in lake.tables():
        table = lake.table(name)
        versions = []
        for version in table.history().reverse()["version"]:
            snapshot = table.at(version=version)
            versions.append(
                {
                    "timestamp": snapshot.timestamp.isoformat(),
                    "schema": str(snapshot.schema).splitlines(),
                    "files": len(snapshot.files),
                    "rows": rows_of(snapshot),
                }
            )
        history = table.history().reverse().select("operation", "rows_added", "rows_deleted", "who", "info").rows()
        described["tables"][name] = {"versions": versions, "history": [list(row) for row in history]}
        if name in {"marked", "passing"}:  # what came with it
            described["tables"][name] |= {
                "changes": [changes_of(table, version) for version in range(len(versions))],
                "tags": table.tags(),
            }
    return described


if __name__ == "__main__":
    target = Path(sys.argv[1])
    with env.use(Fixed()):
        make(target)
        grow(target)
        mark(target)
        shape(target)
    expected = json.dumps(describe(tl.connect(target, create=False)), indent=1, ensure_ascii=False)
    target.with_suffix(".json").write_text(expected + "\n")
