"""Tables come from any schema and any data, under any name that SQL could say, and their options are checked first."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as pd_dataset
import pytest

import tablelog as tl
from tablelog.store.metrics import MeteredStore
from tablelog.store.open import register_store
from tests.table.reading import assert_reads

if TYPE_CHECKING:
    from collections.abc import Iterator

ROWS = [{"id": 1, "note": "a"}, {"id": 2, "note": None}, {"id": 3, "note": "c"}]
COLUMNS = {"id": [1, 2, 3], "note": ["a", None, "c"]}

SCHEMAS: dict[str, Any] = {
    "dict of text": {"id": "int64", "note": "string"},
    "dict of SQL": {"id": "BIGINT", "note": "VARCHAR"},
    "dict of Python types": {"id": int, "note": str},
    "dict of Arrow types": {"id": pa.int64(), "note": pa.string()},
    "dict of Polars types": {"id": pl.Int64, "note": pl.String()},
    "Arrow": pa.schema([("id", pa.int64()), ("note", pa.string())]),
    "Polars": pl.Schema({"id": pl.Int64, "note": pl.String}),
}


class Stream:
    """Nothing but the PyCapsule protocol."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self._table.__arrow_c_stream__(requested_schema)


def some_data(kind: str, folder: Path) -> Any:
    table = pa.table(COLUMNS)
    match kind:
        case "generator of batches":
            return (batch for batch in table.to_batches(max_chunksize=1))
        case "dataset":
            pd_dataset.write_dataset(table, folder / "dataset", format="parquet")
            return pd_dataset.dataset(folder / "dataset")
        case "relation":
            return duckdb.sql("SELECT * FROM (VALUES (1::BIGINT, 'a'), (2, NULL), (3, 'c')) AS v(id, note)")
    return {
        "dict of lists": COLUMNS,
        "list of dicts": ROWS,
        "Arrow table": table,
        "record batch": table.to_batches()[0],
        "reader": table.to_reader(),
        "capsule": Stream(table),
        "list of batches": table.to_batches(max_chunksize=2),
        "Polars": pl.DataFrame(COLUMNS),
        "Polars lazily": pl.LazyFrame(COLUMNS),
        "pandas": pd.DataFrame(COLUMNS),
    }[kind]


KINDS = [
    "dict of lists",
    "list of dicts",
    "Arrow table",
    "record batch",
    "reader",
    "capsule",
    "list of batches",
    "generator of batches",
    "dataset",
    "Polars",
    "Polars lazily",
    "pandas",
    "relation",
]


class TestSources:
    @pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS.keys())
    def test_every_kind_of_schema_makes_an_empty_table(self, lake: tl.Lake, schema: Any) -> None:
        table = lake.create_table("t", schema)
        assert [(field.name, str(field.type)) for field in table.schema] == [("id", "int64"), ("note", "string")]
        assert_reads(table.snapshot(), [], lake)
        table.append(ROWS)
        assert_reads(table.snapshot(), ROWS, lake)

    def test_a_schema_of_another_table_makes_one_like_it(self, lake: tl.Lake) -> None:
        first = lake.create_table("a", {"id": "int64 not null", "s": "struct<x: int64>"})
        first.alter.drop_column("s")
        first.alter.add_column("at", "timestamp[us, UTC]", default="2026-11-01")
        second = lake.create_table("b", first.schema)
        assert [str(field.type) for field in second.schema] == ["int64", "timestamp[us, UTC]"]
        assert [field.nullable for field in second.schema] == [False, True]

    @pytest.mark.parametrize("kind", KINDS)
    def test_every_kind_of_data_is_in_version_0(self, lake: tl.Lake, tmp_path: Path, kind: str) -> None:
        table = lake.create_table("t", some_data(kind, tmp_path))
        assert table.version == 0
        assert_reads(table.at(version=0), ROWS, lake)

    @pytest.mark.parametrize("kind", KINDS)
    def test_every_kind_of_data_can_be_appended(self, lake: tl.Lake, tmp_path: Path, kind: str) -> None:
        table = lake.create_table("t", SCHEMAS["Arrow"])
        assert table.append(some_data(kind, tmp_path)).rows == 3
        assert_reads(table.snapshot(), ROWS)

    @pytest.mark.parametrize(
        "data",
        [{}, pa.schema([]), pl.DataFrame(), pd.DataFrame(), [], [{}], pl.Schema(), pa.table({}), (), iter(())],
        ids=["dict", "schema", "Polars", "pandas", "list", "empty row", "Polars schema", "Arrow", "tuple", "iterator"],
    )
    def test_no_columns_make_no_table(self, lake: tl.Lake, data: Any) -> None:
        with pytest.raises(tl.InvalidError, match="column"):
            lake.create_table("t", data)
        assert lake.tables() == []

    @pytest.mark.parametrize("data", [None, 5, "text", b"bytes", 1j, {"id": 5}, [1, 2], {"id": object}, {5: [1]}])
    def test_what_is_no_data_is_refused_by_name_of_its_kind(self, lake: tl.Lake, data: Any) -> None:
        with pytest.raises(tl.InvalidError):
            lake.create_table("t", data)
        assert lake.tables() == []

    def test_rows_with_no_rows_keep_their_columns(self, lake: tl.Lake) -> None:
        table = lake.create_table("t", pa.table(COLUMNS).slice(0, 0))
        assert table.snapshot().files == ()
        assert_reads(table.snapshot(), [], lake)

    @pytest.mark.parametrize(
        "names",
        [["a", "a"], ["a", "A"], ["straße", "STRASSE"], [""], ["  "], ["x" * 256], ["ü" * 128], ["a\nb"], ["a\x00"]],
        ids=ascii,
    )
    def test_names_that_sql_could_not_tell_apart_or_say_are_refused(self, lake: tl.Lake, names: list[str]) -> None:
        with pytest.raises(tl.InvalidError, match="name"):
            lake.create_table("t", pa.schema([(name, pa.int64()) for name in names]))

    def test_names_inside_structs_are_held_to_the_same_rules(self, lake: tl.Lake) -> None:
        for names in (["x", "X"], [""], ["a\tb"]):
            inner = pa.struct([pa.field(name, pa.int64()) for name in names])
            for type_ in (inner, pa.list_(inner), pa.list_(pa.list_(inner)), pa.map_(pa.string(), inner)):
                with pytest.raises(tl.InvalidError):
                    lake.create_table("t", pa.schema([("s", type_)]))

    def test_ten_thousand_columns_are_a_table_and_more_are_not(self, lake: tl.Lake) -> None:
        lake.create_table("wide", pa.schema([(f"x{number}", pa.int8()) for number in range(10_000)]))
        with pytest.raises(tl.InvalidError, match="too many"):
            lake.create_table("wider", pa.schema([(f"x{number}", pa.int8()) for number in range(10_001)]))


class TestOptions:
    def test_right_options_are_kept(self, lake: tl.Lake) -> None:
        table = lake.create_table(
            "t",
            {"id": "int64", "at": "timestamp", "price": "double"},
            key="id",
            partition_by=["month(at)", "bucket(4, id)"],
            sort_by=["price desc", "id"],
            checks={"positive": "price > 0"},
            properties={"target_file_size_bytes": 1_000_000, "owner": "ada"},
        )
        snapshot = lake.table("t").snapshot()
        metadata = snapshot.state.metadata
        assert snapshot.properties == {"target_file_size_bytes": "1000000", "owner": "ada"}
        assert snapshot.checks == {"positive": "price > 0"}
        assert metadata.key == (1,)
        assert [(field.field_id, field.descending) for field in metadata.sort_order] == [(3, True), (1, False)]
        assert [str(field.transform) for field in metadata.partitioning.fields] == ["month", "bucket"]
        assert table.schema.field("id").nullable is False

    @pytest.mark.parametrize(
        "options",
        [
            {"key": "nope"},
            {"key": ["id", "ID"]},
            {"key": "price"},
            {"key": "tags"},
            {"partition_by": "nope"},
            {"partition_by": "price"},
            {"partition_by": "tags"},
            {"partition_by": "week(at)"},
            {"partition_by": "year(id)"},
            {"partition_by": "hour(day)"},
            {"partition_by": "bucket(id)"},
            {"partition_by": "bucket(0, id)"},
            {"partition_by": "bucket(-1, id)"},
            {"partition_by": "bucket(3000000000, id)"},
            {"partition_by": "truncate(0, note)"},
            {"partition_by": ["id", "id"]},
            {"partition_by": ["id", "ID"]},
            {"partition_by": "year(at"},
            {"partition_by": ""},
            {"sort_by": "nope"},
            {"sort_by": "id down"},
            {"sort_by": "tags"},
            {"sort_by": ["id", "id desc"]},
            {"key": 5},
            {"key": [5]},
            {"partition_by": 5},
            {"partition_by": [None]},
            {"sort_by": 5},
            {"sort_by": [5]},
            {"checks": "id > 1"},
            {"checks": ["id > 1"]},
            {"checks": {5: "id > 1"}},
            {"properties": "many"},
            {"properties": {5: "many"}},
            {"checks": {"c": "nope > 1"}},
            {"checks": {"c": "id"}},
            {"checks": {"c": "id >"}},
            {"checks": {"c": "count(*) > 1"}},
            {"checks": {"c": "id IN (SELECT 1)"}},
            {"checks": {"c": "true; DROP TABLE t"}},
            {"checks": {"": "id > 1"}},
            {"properties": {"target_file_size_bytes": "many"}},
            {"properties": {"target_file_size_bytes": 1}},
            {"properties": {"target_file_size_bytes": -5}},
            {"properties": {"a\nb": "x"}},
            {"info": {"rows_added": 5}},
            {"info": {"object": 1j}},
            {"info": {"number": float("nan")}},
        ],
        ids=str,
    )
    def test_wrong_options_are_refused_and_leave_nothing_behind(self, tmp_path: Path, options: dict[str, Any]) -> None:
        lake = tl.connect(tmp_path)
        before = sorted(tmp_path.rglob("*"))
        schema = {
            "id": "int64",
            "note": "string",
            "price": "double",
            "at": "timestamp",
            "day": "date",
            "tags": "list<int64>",
        }
        data = pa.table(
            {
                "id": [1],
                "note": ["x"],
                "price": [1.0],
                "at": [dt.datetime(2026, 1, 1)],
                "day": [dt.date(2026, 1, 1)],
                "tags": [[1]],
            }
        )
        for source in (schema, data):
            with pytest.raises((tl.InvalidError, tl.NotFoundError)):
                lake.create_table("t", source, **options)
        assert sorted(tmp_path.rglob("*")) == before
        assert lake.tables() == []

    def test_first_rows_that_break_a_rule_make_no_table(self, lake: tl.Lake) -> None:
        with pytest.raises(tl.InvalidError, match="positive"):
            lake.create_table("t", {"id": [1, -1]}, checks={"positive": "id > 0"})
        with pytest.raises(tl.InvalidError, match="not null"):
            lake.create_table("t", {"id": [1, None]}, key="id")
        assert lake.tables() == []
        lake.create_table("t", {"id": [1, 2]}, checks={"positive": "id > 0"}, key="id")

    def test_progress_counts_the_rows_of_every_part(self, lake: tl.Lake) -> None:
        seen: list[int] = []
        batches = (pa.record_batch({"id": list(range(1000))}) for _ in range(5))
        lake.create_table("t", batches, on_progress=seen.append)
        assert seen == sorted(seen)
        assert seen[-1] == 5000


class TestNames:
    def test_a_name_that_is_taken_is_refused_before_any_row_is_read(self, lake: tl.Lake) -> None:
        lake.create_table("orders", {"id": "int64"})

        def rows() -> Iterator[pa.RecordBatch]:
            raise AssertionError("was read")
            yield

        for name in ("orders", "ORDERS", '"orders"'):
            with pytest.raises(tl.InvalidError, match="already"):
                lake.create_table(name, rows())

    @pytest.mark.parametrize("name", ["", " ", "a.b.c", ".", "a.", ".a", '"a', '"a"b', "a\nb", "x" * 256, None, 5])
    def test_what_is_no_name_is_refused(self, lake: tl.Lake, name: Any) -> None:
        with pytest.raises(tl.InvalidError):
            lake.create_table(name, {"id": "int64"})
        with pytest.raises(tl.TablelogError):
            lake.table(name)
        assert name not in lake

    @pytest.mark.parametrize(
        "name",
        ["a b", "it's", 'a"', '"a""b"', '"a.b"', "año", "日本", "select", "table", "t", "rows", "_log", "data", "_catalog",
         "_probe", "con", "-", "%41", "x" * 255, "ü" * 127, "*", "?", "a:b", "a/b", "..", "#", "a\\b", "🦆"],
    )  # fmt: skip
    def test_any_other_name_is_a_table_for_every_reader(self, lake: tl.Lake, name: str) -> None:
        quoted = '"..."' if name == ".." else name
        for table_name in (quoted, f"ns.{quoted}", f"{quoted}.t"):
            table = lake.create_table(table_name, ROWS)
            table.append(ROWS)
            assert table_name in lake
            assert lake.tables() == [table.name]
            assert lake.table(table.name).row_count == 6
            assert bool(lake.sql(f"SELECT count(*) = 6 FROM {as_sql(table_name)}").fetchall()[0][0])
            assert lake.duckdb().execute(f"SELECT count(*) FROM {as_sql(table_name)}").fetchall() == [(6,)]
            lake.drop_table(table_name)
            assert lake.create_table(table_name, {"id": "int64"}).row_count == 0
            lake.drop_table(table_name)
            assert lake.tables() == []

    @pytest.mark.parametrize("name", ["main", "Main", "memory", "temp", "system", "information_schema", "pg_catalog"])
    def test_schemas_of_duckdb_s_own_are_tables_but_no_namespaces(self, lake: tl.Lake, name: str) -> None:
        lake.create_table(name, ROWS)
        assert lake.sql(f"SELECT count(*) FROM {name}").fetchall() == [(3,)]
        assert lake.duckdb().execute(f"SELECT count(*) FROM {name}").fetchall() == [(3,)]
        for act in (
            lambda: lake.create_table(f"{name}.t", ROWS),
            lambda: lake.create_namespace(name),
            lambda: lake.rename_table(name, f"{name}.t"),
        ):
            with pytest.raises(tl.InvalidError, match="DuckDB"):
                act()

    def test_a_table_does_not_lie_inside_another_ones_folder(self, lake: tl.Lake, tmp_path: Path) -> None:
        lake.create_table("a", ROWS)
        for name in ("a.data", "a._log", "_catalog", "_log"):
            lake.create_table(name, ROWS)
        names = {path.relative_to(tmp_path / "lake").parts[0] for path in (tmp_path / "lake").rglob("*.json")}
        assert len(names) == 6, names
        assert sum(1 for _ in (tmp_path / "lake" / "a" / "data").rglob("*.parquet")) == 1

    def test_drop_undrop_and_rename_move_nothing(self, lake: tl.Lake, tmp_path: Path) -> None:
        table = lake.create_table("orders", ROWS)
        files = {path: path.stat().st_mtime_ns for path in (tmp_path / "lake" / "orders").rglob("*") if path.is_file()}
        lake.drop_table("orders")
        assert "orders" not in lake
        with pytest.raises(tl.NotFoundError, match="orders"):
            lake.table("orders")
        assert_reads(lake.undrop_table("orders").snapshot(), ROWS, lake)
        renamed = lake.rename_table("orders", "sales.orders")
        assert renamed.name == "sales.orders"
        assert renamed.id == table.id
        assert_reads(renamed.snapshot(), ROWS, lake)
        assert {path: path.stat().st_mtime_ns for path in files} == files

    def test_a_name_is_used_again_with_another_folder(self, lake: tl.Lake, tmp_path: Path) -> None:
        old = lake.create_table("t", {"id": [1]})
        lake.drop_table("t")
        new = lake.create_table("t", {"id": [2]})
        assert old.url != new.url
        assert old.id != new.id
        with pytest.raises(tl.InvalidError, match="already"):
            lake.undrop_table("t")
        lake.rename_table("t", "u")
        assert lake.undrop_table("t").to_arrow().to_pylist() == [{"id": 1}]
        assert lake.table("u").to_arrow().to_pylist() == [{"id": 2}]
        lake.drop_table("t")
        lake.drop_table("u")
        lake.create_table("T", {"id": [3]})
        lake.drop_table("t")
        assert lake.undrop_table("t").to_arrow().to_pylist() == [{"id": 3}]

    def test_undrop_brings_back_the_one_dropped_last(self, lake: tl.Lake) -> None:
        for number in range(3):
            lake.create_table("t", {"id": [number]})
            lake.drop_table("t")
        assert lake.undrop_table("t").to_arrow().to_pylist() == [{"id": 2}]
        lake.rename_table("t", "last")
        assert lake.undrop_table("t").to_arrow().to_pylist() == [{"id": 1}]

    def test_what_is_not_there_cannot_be_dropped_undropped_or_renamed(self, lake: tl.Lake) -> None:
        lake.create_table("there", {"id": "int64"})
        for act in (
            lambda: lake.drop_table("nope"),
            lambda: lake.undrop_table("nope"),
            lambda: lake.undrop_table("there.nope"),
            lambda: lake.rename_table("nope", "x"),
            lambda: lake["nope"],
        ):
            with pytest.raises(tl.NotFoundError):
                act()
        lake.create_table("other", {"id": "int64"})
        with pytest.raises(tl.InvalidError, match="already"):
            lake.rename_table("other", "There")
        lake.rename_table("other", "Other")
        assert lake.tables() == ["Other", "there"]

    def test_namespaces_exist_while_created_or_used(self, lake: tl.Lake) -> None:
        assert lake.namespaces() == []
        lake.create_namespace("empty")
        lake.create_table("sales.orders", {"id": "int64"})
        assert lake.namespaces() == ["empty", "sales"]
        assert lake.tables("sales") == ["sales.orders"]
        assert lake.tables("") == lake.tables("empty") == []
        with pytest.raises(tl.InvalidError, match="namespace=5 is no name"):
            lake.tables(5)  # type: ignore[arg-type]
        with pytest.raises(tl.InvalidError, match="already"):
            lake.create_namespace("Empty")
        with pytest.raises(tl.InvalidError, match="still holds"):
            lake.drop_namespace("sales")
        with pytest.raises(tl.InvalidError, match="still holds"):
            lake.drop_namespace("SALES")
        with pytest.raises(tl.NotFoundError):
            lake.drop_namespace("nope")
        with pytest.raises(tl.InvalidError):
            lake.create_namespace("a.b")
        lake.drop_table("sales.orders")
        lake.drop_namespace("EMPTY")
        assert lake.namespaces() == []

    def test_namespaces_that_differ_by_case_are_one(self, lake: tl.Lake) -> None:
        lake.create_namespace("Sales")
        lake.create_table("sales.orders", {"id": "int64"})
        assert lake.namespaces() == ["Sales"]
        assert lake.tables("SALES") == ["Sales.orders"]


class TestPlaces:
    def test_no_lake_is_made_in_a_table_s_folder(self, lake: tl.Lake) -> None:
        lake.create_table("orders", ROWS)
        for create in (True, False):
            with pytest.raises((tl.InvalidError, tl.NotFoundError), match="open_table"):
                tl.connect(f"{lake.url}/orders", create=create)
        assert not any(path.name == "_catalog" for path in Path(f"{lake.url}/orders").iterdir())

    def test_a_table_opens_by_its_path_without_a_catalog(self, lake: tl.Lake) -> None:
        lake.create_table("sales.orders", ROWS).append(ROWS)
        table = tl.open_table(f"{lake.url}/sales/orders")
        assert table.name == "orders"
        assert_reads(table.snapshot(), ROWS + ROWS)
        table.append(ROWS)
        assert lake.table("sales.orders").row_count == 9

    def test_a_place_without_a_table_is_said_to_be_one(self, lake: tl.Lake, tmp_path: Path) -> None:
        for place in (tmp_path, tmp_path / "nowhere", lake.url):
            with pytest.raises(tl.NotFoundError, match="nothing at"):
                tl.open_table(place)
        with pytest.raises(tl.NotFoundError, match="no lake"):
            tl.connect(tmp_path / "nowhere", create=False)
        assert not (tmp_path / "nowhere").exists()

    def test_a_lake_that_was_moved_has_its_whole_history(self, lake: tl.Lake, tmp_path: Path) -> None:
        table = lake.create_table("sales.orders", ROWS)
        table.alter.rename_column("note", "text")
        table.append([{"id": 4, "text": "d"}])
        table.delete("id = 1")
        versions = [table.at(version=version).to_arrow() for version in range(4)]
        (tmp_path / "lake").rename(tmp_path / "moved")
        moved = tl.connect(tmp_path / "moved", create=False).table("sales.orders")
        assert moved.id == table.id
        assert [moved.at(version=version).to_arrow() for version in range(4)] == versions
        assert moved.to_polars().equals(pl.from_arrow(versions[3]))
        assert moved.append([{"id": 5, "text": "e"}]).version == 4

    def test_a_handle_sees_what_another_handle_does(self, lake: tl.Lake) -> None:
        other = tl.connect(lake.url)
        ours = lake.create_table("t", {"id": [1]})
        theirs = other.table("t")
        theirs.append({"id": [2]})
        assert (ours.version, ours.row_count, len(ours.to_arrow())) == (1, 2, 2)
        theirs.alter.add_column("note", "string")
        assert ours.schema.names == ["id", "note"]
        other.rename_table("t", "u")
        assert lake.tables() == ["u"]
        assert lake.table("u").row_count == 2
        other.drop_table("u")
        assert lake.tables() == []
        assert ours.row_count == 2, "a table that is held outlives its name"

    def test_appends_follow_what_another_handle_did_to_the_columns(self, lake: tl.Lake) -> None:
        ours = lake.create_table("t", {"id": [1]})
        theirs = tl.connect(lake.url).table("t")
        theirs.alter.add_column("note", "string")
        ours.append({"id": [2], "note": ["x"]})
        theirs.alter.rename_column("note", "text")
        ours.append({"id": [3], "text": ["y"]})
        theirs.alter.rename_column("text", "words")
        ours.append({"id": [4], "text": ["z"]})
        assert_reads(ours.snapshot(), [{"id": n + 1, "words": word} for n, word in enumerate([None, "x", "y", "z"])])

    def test_opening_and_listing_cost_few_requests(self, lake: tl.Lake) -> None:
        stores: list[MeteredStore] = []

        def metered(url: str, options: Any) -> MeteredStore:
            stores.append(MeteredStore(lake.store))
            return stores[-1]

        for number in range(3):
            lake.create_table(f"t{number}", ROWS)
        register_store("metered", metered)
        seen = tl.connect("metered://x")
        store = stores[0]
        for act, requests in ((seen.tables, 1), (lambda: "t1" in seen, 1), (lambda: seen.table("t1"), 1)):
            before = store.stats()
            act()
            assert (store.stats() - before).requests == requests


def as_sql(name: str) -> str:
    """A table's name with each part quoted."""
    from tablelog.catalog import parse_name  # noqa: PLC0415 - only this needs it

    parsed = parse_name(name)
    parts = [part for part in (parsed.namespace, parsed.name) if part]
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts)
