"""`get` gives the row that a scan would, and opens few files for it."""

from __future__ import annotations

import datetime as dt
import random
import subprocess
import sys
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tablelog as tl
from tablelog import env
from tablelog.format.actions import RowChange, removal
from tablelog.format.layout import column_sources
from tablelog.format.schema import new_schema
from tablelog.format.types import Field, Primitive
from tablelog.ops.planned import Planned
from tablelog.ops.removing import live_rows
from tablelog.ops.write import write_rows
from tablelog.parquet.columns import fields_from_user_schema
from tablelog.parquet.contents import read_vectors
from tablelog.parquet.point import _read_row
from tablelog.parquet.vectors import NO_ROWS
from tablelog.store.memory import MemoryStore
from tablelog.store.metrics import MeteredStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from tablelog.format.actions import Action, AddFile
    from tablelog.format.schema import Schema
    from tablelog.log.state import TableState

Model = dict[tuple[Any, ...], dict[str, Any]]

UTC = dt.UTC
VALUES: dict[str, list[Any]] = {
    "int8": [-128, 0, 127],
    "int16": [-5, 32_767],
    "int32": [-(2**31), 7],
    "int64": [-(2**63), -1, 2**63 - 1],
    "uint8": [0, 255],
    "uint16": [0, 65_535],
    "uint32": [0, 2**32 - 1],
    "uint64": [0, 2**63, 2**64 - 1],
    "boolean": [True, False],
    "string": ["", "a", "ø", "😀" * 40, "ø" * 32 + "a", "ø" * 32 + "b", "it's", "\U0010ffff" * 33],
    "binary": [b"", b"\x00", b"\xff" * 32, b"\xff" * 33, b"\xff" * 32 + b"\x00"],
    "date": [dt.date(1, 1, 1), dt.date(1969, 12, 31), dt.date(2026, 2, 28)],
    "time[ms]": [dt.time(0), dt.time(23, 59, 59, 999_000)],
    "time[us]": [dt.time(1, 2, 3, 4), dt.time(1, 2, 3, 5)],
    "timestamp[ms]": [dt.datetime(1960, 1, 1), dt.datetime(2026, 1, 1, 1, 1, 1, 1000)],
    "timestamp[us]": [dt.datetime(1960, 1, 1), dt.datetime(2026, 1, 1, 1, 1, 1, 1)],
    "timestamp[us, Europe/Oslo]": [dt.datetime(2026, 7, 1, tzinfo=UTC), dt.datetime(2026, 7, 1, 2, tzinfo=UTC)],
    "decimal(10, 2)": [Decimal("-1.50"), Decimal("0.00"), Decimal("99999999.99")],
    "decimal(38, 0)": [Decimal(10**37), Decimal(-(10**37)), Decimal(1)],
}


def move(table: tl.Table, choose: Callable[[Sequence[AddFile]], list[AddFile]], level: int) -> None:
    """Put the live rows of some files into one sorted file of a level, as a compaction does."""
    store = table.snapshot().store

    def plan(state: TableState) -> Planned:
        files = choose(list(state.files))
        vectors = read_vectors(store, files)
        batches = [
            batch for file in files for batch in live_rows(store, file, vectors.get(file.path, NO_ROWS), state.metadata)
        ]
        names = [field.name for field in state.metadata.key_fields]
        rows = pa.Table.from_batches(batches).sort_by([(name, "ascending") for name in names])
        written = write_rows(store, state.metadata, rows.to_batches(), inline=False, change=RowChange.NONE)
        actions: list[Action] = [removal(file) for file in files]
        actions += [replace(file, level=level, key_filter=None) for file in written.files]
        return Planned(operation="compact", actions=actions, info={})

    table._commit(plan)


@pytest.fixture
def counted() -> Iterator[tuple[tl.Lake, MeteredStore]]:
    store = MeteredStore(MemoryStore())
    tl.register_store("counted", lambda url, options: store)
    yield tl.connect("counted://lake"), store


@pytest.mark.parametrize("type_", VALUES, ids=str)
@pytest.mark.parametrize("inline_max", [0, 65_536], ids=["files", "inside commits"])
def test_a_key_of_any_type_is_found_by_get_and_by_sql(tmp_path: Path, type_: str, inline_max: int) -> None:
    lake = tl.connect(tmp_path)
    table = lake.create_table(
        "t", {"k": type_, "v": "int64"}, key="k", properties={"inline_max_bytes": str(inline_max)}
    )
    table.append({"k": VALUES[type_], "v": list(range(len(VALUES[type_])))})
    for number, value in enumerate(VALUES[type_]):  # one file each
        table.upsert([{"k": value, "v": 100 + number}])
    assert all(file.key_filter is not None for file in table.snapshot().files)
    rows = {row["v"]: row for row in table.to_arrow().to_pylist()}
    for number, value in enumerate(VALUES[type_]):
        assert table.get(value) == table.get({"K": value}) == table.get((value,)) == rows[100 + number]
        assert table.get(value, columns=["v"]) == {"v": 100 + number}
        found = lake.sql("SELECT v FROM t WHERE k = ?", [rows[100 + number]["k"]]).fetchall()
        assert found == [(100 + number,)]
        assert table.at(version=1).get(value) == {"k": rows[100 + number]["k"], "v": number}
    table.delete(where="v = 100")
    assert table.get(VALUES[type_][0]) is None


def test_values_come_as_arrow_gives_them(tmp_path: Path) -> None:
    row = {
        "k": 1,
        "list": [1, None, 3],
        "struct": {"a": Decimal("1.50"), "b": None},
        "at": dt.datetime(2026, 1, 1, tzinfo=UTC),
        "none": None,
    }
    table = tl.connect(tmp_path).create_table(
        "t",
        {
            "k": "int64",
            "list": "list<int64>",
            "struct": "struct<a: decimal(5, 2), b: string>",
            "at": "timestamp[us, UTC]",
            "none": "string",
        },
        key="k",
        properties={"inline_max_bytes": "0"},
    )
    table.append([row])
    assert table.get(1) == table.to_arrow().to_pylist()[0] == row
    assert list(table.get(1, columns=["none", "k"]) or ()) == ["none", "k"]


def test_keys_of_several_columns_are_tuples_in_their_order_or_dicts(tmp_path: Path) -> None:
    table = tl.connect(tmp_path).create_table(
        "t", {"n": "int64", "region": "string", "v": "int64"}, key=["region", "n"]
    )
    table.append([{"n": n, "region": region, "v": n} for n in range(5) for region in ("eu", "us")])
    assert (
        table.get(("eu", 3))
        == table.get(["eu", 3])
        == table.get({"n": 3, "REGION": "eu"})
        == {"n": 3, "region": "eu", "v": 3}
    )
    assert table.get(("xx", 3)) is None


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (7, r"7 has 1 value, and the key has 2 columns: region, n; give a value for each"),
        (("eu", 7, 8), r"3 values, and the key has 2 columns: region, n"),
        ((7, "eu"), r"column 'region' of the key: 7 is not a value of type string"),
        (("eu", "7"), r"column 'n' of the key: '7' is not a value of type int8"),
        (("eu", 1000), r"column 'n' of the key: 1000 is not a value of type int8"),
        (("eu", None), r"column 'n' of the key: "),
        (("eu", True), r"column 'n' of the key: "),
        ({"region": "eu"}, r"the columns \['region'\] are not those of the key, \['region', 'n'\]"),
        ({"region": "eu", "n": 1, "N": 1}, r"are not those of the key"),
    ],
    ids=str,
)
def test_what_is_no_key_is_refused_with_the_column(tmp_path: Path, key: object, message: str) -> None:
    table = tl.connect(tmp_path).create_table("t", {"region": "string", "n": "int8"}, key=["region", "n"])
    table.append([{"region": "eu", "n": 1}])
    with pytest.raises(tl.InvalidError, match=message):
        table.get(key)


def test_a_table_without_a_key_has_no_get(tmp_path: Path) -> None:
    table = tl.connect(tmp_path).create_table("t", {"id": [1]})
    with pytest.raises(tl.InvalidError, match="has no key"):
        table.get(1)


def test_columns_that_are_not_there_are_refused(tmp_path: Path) -> None:
    table = tl.connect(tmp_path).create_table("t", {"id": [1]}, key="id")
    with pytest.raises(tl.NotFoundError, match="nope"):
        table.get(1, columns=["nope"])
    with pytest.raises(tl.InvalidError, match="no list of names"):
        table.get(1, columns="id")


def test_renamed_widened_added_and_dropped_columns_are_read_as_scans_do(tmp_path: Path) -> None:
    table = tl.connect(tmp_path).create_table(
        "t", {"id": "int8", "a": "int32", "b": "string"}, key="id", properties={"inline_max_bytes": "0"}
    )
    table.append([{"id": n, "a": n, "b": f"b{n}"} for n in range(10)])
    table.alter.widen_column("id", "int64")
    table.alter.rename_column("id", "key")
    table.alter.widen_column("a", "int64")
    table.alter.rename_column("b", "c")
    table.alter.drop_column("c")
    table.alter.add_column("b", "string", default="new")
    table.append([{"key": 1000, "a": 2**40, "b": "x"}])
    rows = {row["key"]: row for row in table.to_arrow().to_pylist()}
    assert {key: table.get(key) for key in rows} == rows
    assert table.get(3) == {"key": 3, "a": 3, "b": "new"}
    assert table.get(3, columns=["b"]) == {"b": "new"}
    assert table.get(128) is None


def test_the_newest_commit_wins_whatever_clocks_say(tmp_path: Path) -> None:
    class Clock(env.Env):
        def __init__(self, offset_us: int) -> None:
            self.offset_us = offset_us

        def now_us(self) -> int:
            return super().now_us() + self.offset_us

    hour_us = 3_600_000_000
    tl.connect(tmp_path).create_table("t", {"id": [1, 2], "who": ["", ""]}, key="id")
    ours, theirs = tl.open_table(tmp_path / "t"), tl.open_table(tmp_path / "t")
    for number, (first, second) in enumerate(((ours, theirs), (theirs, ours))):
        for table, name, offset_us in ((first, "first", 9 * hour_us), (second, "second", -9 * hour_us)):
            with env.use(Clock(offset_us)):
                table.upsert([{"id": 1, "who": f"{name} {number}"}])
        for table in (ours, theirs):
            assert table.get(1) == {"id": 1, "who": f"second {number}"}
            assert table.row_count == 2
    version = ours.version
    assert [ours.at(version=version - back).get(1)["who"] for back in range(4)] == [
        "second 1",
        "first 1",
        "second 0",
        "first 0",
    ]  # type: ignore[index]


def test_a_writer_that_lost_the_race_comes_after_the_one_that_won(tmp_path: Path) -> None:
    tl.connect(tmp_path).create_table("t", {"id": [1], "who": [""]}, key="id")
    ours, theirs = tl.open_table(tmp_path / "t"), tl.open_table(tmp_path / "t")

    def rows() -> Iterator[pa.RecordBatch]:
        theirs.upsert([{"id": 1, "who": "theirs"}])
        yield pa.record_batch({"id": [1], "who": ["ours"]})

    ours.snapshot()
    ours.upsert(rows())
    assert theirs.get(1) == {"id": 1, "who": "ours"}
    assert theirs.row_count == 1


def test_a_row_that_was_deleted_and_brought_again_is_the_new_one(tmp_path: Path) -> None:
    table = tl.connect(tmp_path).create_table(
        "t", {"id": "int64", "v": "int64"}, key="id", properties={"inline_max_bytes": "0"}
    )
    table.append({"id": list(range(10)), "v": [0] * 10})
    table.delete(where="id = 3")
    assert table.get(3) is None
    table.append([{"id": 3, "v": 1}])
    table.upsert([{"id": 3, "v": 2}])
    table.update({"v": "v + 1"}, where="id = 3")
    assert table.get(3) == {"id": 3, "v": 3}
    assert [(table.at(version=version).get(3) or {}).get("v") for range_ in [range(1, 6)] for version in range_] == [
        0,
        None,
        1,
        2,
        3,
    ]


class TestFilesOpened:
    """Beside the one get that finds nothing newer."""

    def test_of_overlapping_files_only_the_one_with_the_key_is_opened(
        self, counted: tuple[tl.Lake, MeteredStore]
    ) -> None:
        lake, store = counted
        table = lake.create_table("t", {"id": "int64", "v": "int64"}, key="id", properties={"inline_max_bytes": "0"})
        for number in range(30):
            table.append({"id": [number, 1000 + number, 10**6 - number], "v": [number] * 3})
        for number in range(30):
            before = store.stats()
            assert table.get(1000 + number) == {"id": 1000 + number, "v": number}
            assert (store.stats() - before).get == 2
        before = store.stats()
        assert table.get(500_000) is None
        assert (store.stats() - before).get == 1

    def test_at_most_one_file_a_level_is_opened(self, counted: tuple[tl.Lake, MeteredStore]) -> None:
        lake, store = counted
        table = lake.create_table("t", {"id": "int64", "v": "int64"}, key="id", properties={"inline_max_bytes": "0"})
        table.append({"id": list(range(0, 9000, 3)), "v": [2] * 3000})
        move(table, list, 2)
        table.append({"id": list(range(1, 9000, 3)), "v": [1] * 3000})
        move(table, lambda files: [file for file in files if not file.level], 1)
        for number in range(10):
            table.append({"id": list(range(2 + 900 * number, 900 * number + 900, 3)), "v": [0] * 300})
        assert sorted(file.level for file in table.snapshot().files) == [0] * 10 + [1, 2]
        snapshot = table.snapshot()
        for key, gets in ((2, 1), (4501, 1), (4500, 2)):  # newest level first
            before = store.stats()
            assert snapshot.get(key) == {"id": key, "v": (2, 1, 0)[key % 3]}
            assert (store.stats() - before).get == gets

    def test_a_footer_is_read_once(self, counted: tuple[tl.Lake, MeteredStore]) -> None:
        lake, store = counted
        table = lake.create_table(
            "t", {"id": pa.array(range(400_000)), "s": [f"{n * n}" for n in range(400_000)]}, key="id"
        )
        assert table.snapshot().files[0].size_bytes > 1 << 20
        gets = []
        for _ in range(2):
            before = store.stats()
            assert table.get(77_777, columns=["id"]) == {"id": 77_777}
            gets.append((store.stats() - before).get)
        assert gets[1] < gets[0]

    def test_row_groups_without_the_key_are_not_read(self, counted: tuple[tl.Lake, MeteredStore]) -> None:
        lake, store = counted
        dice = random.Random(1)
        table = lake.create_table(
            "t", {"id": pa.array(range(600_000)), "x": [dice.random() for _ in range(600_000)]}, key="id"
        )
        (file,) = table.snapshot().files
        table.get(1)
        before = store.stats()
        assert table.get(5, columns=["id"]) == {"id": 5}
        assert (store.stats() - before).bytes_down < file.size_bytes / 2

    def test_sql_polars_and_upserts_leave_the_same_files_alone(self, counted: tuple[tl.Lake, MeteredStore]) -> None:
        lake, store = counted
        table = lake.create_table("t", {"id": "int64", "v": "int64"}, key="id", properties={"inline_max_bytes": "0"})
        for number in range(20):
            table.append({"id": [number, 1000 + number, 10**6 - number], "v": [number] * 3})
        assert len(table.scan(where="id = 1007").files) == 1
        assert len(table.scan(where="id IN (1007, 1008, 500000)").files) == 2
        assert len(table.scan(where="id = 500000 AND v > 3").files) == 0
        assert len(table.scan(where="id = 1007 OR (id = 1008 AND v = 8)").files) == 2
        assert len(table.scan(where="id = 1007 OR v = 3").files) == 20
        assert len(table.scan(where="id <> 1007").files) == 20
        for is_read in (
            lambda: lake.sql("SELECT v FROM t WHERE id = 1007").fetchall() == [(7,)],
            lambda: table.lazy().filter(pl.col("id") == 1007).collect()["v"].to_list() == [7],
        ):
            before = store.stats()
            assert is_read()
            assert (store.stats() - before).get <= 3
        before = store.stats()
        table.append([{"id": 500_000, "v": 1}])
        assert (store.stats() - before).get == 0
        before = store.stats()
        table.upsert([{"id": 1009, "v": -1}, {"id": 600_000, "v": -1}])
        assert (store.stats() - before).get == 2  # nothing newer, and the file of 1009
        assert table.get(1009) == {"id": 1009, "v": -1}
        assert table.row_count == 62


def test_a_missing_file_is_corruption(tmp_path: Path) -> None:
    table = tl.connect(tmp_path).create_table("t", {"id": [1, 2]}, key="id")
    (file,) = table.snapshot().files
    (tmp_path / "t" / file.path).unlink()
    with pytest.raises(tl.CorruptionError, match="not in the store"):
        table.get(1)
    assert table.get(3) is None


def test_a_row_group_that_ends_too_soon_is_corruption(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": [1, 2]}), tmp_path / "x.parquet")
    (source,) = column_sources([Field(name="id", type=Primitive.INT64, id=1)], _schema())
    with pq.ParquetFile(tmp_path / "x.parquet") as parquet:
        assert _read_row(parquet, 0, [source], 1).to_pylist() == [{"id": 2}]
        with pytest.raises(tl.CorruptionError, match="fewer rows"):
            _read_row(parquet, 0, [source], 2)


def _schema() -> Schema:
    return new_schema(fields_from_user_schema({"id": "int64"}))


def test_get_does_not_import_pandas(tmp_path: Path) -> None:
    """A tenth of a second, which is more than all the rest."""
    tl.connect(tmp_path).create_table("t", {"id": list(range(10)), "s": ["x"] * 10}, key="id")
    code = (
        "import sys, tablelog\n"
        f"table = tablelog.open_table({str(tmp_path / 't')!r})\n"
        "assert table.get(3) == {'id': 3, 's': 'x'}\n"
        "print('pandas' in sys.modules)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=100)
    assert run.stdout == "False\n"


class History:
    """Random changes of a table with a key, and what it must hold at every version."""

    def __init__(self, dice: random.Random, composite: bool) -> None:
        self.dice = dice
        self.key = ("b", "a") if composite else ("a",)
        self.table = tl.connect(f"memory://{env.new_id()}").create_table(
            "t",
            {"a": "int64", "b": "string", "v": "int64"},
            key=self.key,
            properties={"inline_max_bytes": dice.choice(["0", "65536"]), "log_fan_out": dice.choice(["2", "4", "16"])},
        )
        self.rows: Model = {}
        self.models: list[Model] = [{}]

    def keys(self) -> list[tuple[Any, ...]]:
        return [self.of(self.row()) for _ in range(4)] + list(self.rows)[:8]

    def of(self, row: dict[str, Any]) -> tuple[Any, ...]:
        return tuple(row[name] for name in self.key)

    def row(self) -> dict[str, Any]:
        return {"a": self.dice.randrange(40), "b": self.dice.choice("xyø"), "v": self.dice.randrange(10**6)}

    def step(self) -> None:
        brought = {self.of(row): row for row in (self.row() for _ in range(self.dice.randint(1, 12)))}
        match self.dice.choice(["upsert", "upsert", "append", "delete", "update", "move", "restore"]):
            case "upsert":
                self.table.upsert(list(brought.values()))
                after = self.rows | brought
            case "append":
                if brought.keys() & self.rows.keys():
                    with pytest.raises(tl.InvalidError, match="already"):
                        self.table.append(list(brought.values()))
                    return
                self.table.append(list(brought.values()))
                after = self.rows | brought
            case "delete":
                modulus = self.dice.randint(2, 5)
                self.table.delete(where=f"a % {modulus} = 0")
                after = {key: row for key, row in self.rows.items() if row["a"] % modulus}
            case "update":
                self.table.update({"v": "v + 1"}, where="a < 10")
                after = {key: row | {"v": row["v"] + (row["a"] < 10)} for key, row in self.rows.items()}
            case "move":
                files = list(self.table.snapshot().files)
                if not files:
                    return
                some = {file.path for file in self.dice.sample(files, self.dice.randint(1, len(files)))}
                move(self.table, lambda now: [file for file in now if file.path in some], self.dice.randint(1, 3))
                after = self.rows
            case _:
                version = self.dice.randrange(len(self.models))
                self.table.restore(version)
                after = self.models[version]
        while len(self.models) <= self.table.version:
            self.models.append(after)
        self.rows = after


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None)
@given(st.integers(0, 2**32).map(random.Random), st.booleans(), st.integers(1, 30))
def test_get_is_what_a_scan_finds_at_every_version_of_any_history(
    dice: random.Random, composite: bool, steps: int
) -> None:
    history = History(dice, composite)
    for _ in range(steps):
        history.step()
    cold = tl.Table(history.table.snapshot().store, "cold")
    for version, model in enumerate(history.models):
        snapshot = dice.choice([history.table, cold]).at(version=version)
        rows = snapshot.to_arrow().to_pylist()
        assert len(rows) == len(model)
        assert {history.of(row): row for row in rows} == model
        for key in {*history.keys(), *dice.sample(list(model), min(3, len(model)))}:
            assert snapshot.get(key) == model.get(key), (version, key)
