"""Append and overwrite: what comes in is exactly what is there afterwards, and what does not fit changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import tablelog as tl
from tablelog.store.memory import MemoryStore
from tablelog.store.metrics import MeteredStore
from tablelog.store.open import register_store
from tests.table.reading import assert_reads, bag

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMA = {"id": "int64 not null", "region": "string", "price": "double"}


def row(number: int, region: str | None = "EU", price: float | None = 1.0) -> dict[str, Any]:
    return {"id": number, "region": region, "price": price}


@pytest.fixture
def table(lake: tl.Lake) -> tl.Table:
    return lake.create_table("t", SCHEMA)


class TestAppend:
    def test_columns_come_in_any_order_and_missing_ones_are_null(self, lake: tl.Lake, table: tl.Table) -> None:
        table.append({"price": [2.0], "ID": [1]})
        assert_reads(table.snapshot(), [row(1, None, 2.0)], lake)

    @pytest.mark.parametrize(
        ("data", "said"),
        [
            ({"region": ["x"]}, "not null"),
            ({"id": [None]}, "not null"),
            ({"id": [1], "nope": [1]}, "nope"),
            ({"id": ["1"]}, "int64"),
            ({"id": [1.5]}, "int64"),
            ({"id": [2**63]}, "int64"),
            ({"id": [1], "ID": [2]}, "ID"),
            ({"id": [1], "price": ["2"]}, "float64"),
            ({"id": [1, 2], "price": [1.0]}, "long"),
            (pa.table({"id": [1], "region": [b"\xff"]}), "string"),
            ([], "column"),
            (None, "NoneType"),
        ],
        ids=str,
    )
    def test_what_does_not_fit_is_refused_and_nothing_is_added(self, table: tl.Table, data: Any, said: str) -> None:
        with pytest.raises(tl.InvalidError, match=said):
            table.append(data)
        assert table.version == 0

    def test_no_rows_are_a_commit_without_files(self, table: tl.Table) -> None:
        empty = pa.table({"id": pa.array([], pa.int64())})
        readers = (empty, empty.to_reader(), pl.DataFrame(empty), [{"id": [1]}][:0] or empty, (b for b in [empty]))
        for version, data in enumerate(readers, start=1):
            commit = table.append(data)
            assert (commit.version, commit.rows, commit.files_added) == (version, 0, 0)
        assert_reads(table.snapshot(), [])

    def test_empty_batches_among_others_do_no_harm(self, table: tl.Table) -> None:
        full, empty = (pa.record_batch({"id": pa.array(ids, pa.int64())}) for ids in ([1, 2], []))
        table.append([empty, full, empty, empty, full, empty])
        assert table.to_arrow()["id"].to_pylist() == [1, 2, 1, 2]

    def test_streams_are_consumed_once_and_in_order(self, table: tl.Table) -> None:
        pulled: list[int] = []

        def batches() -> Iterator[pa.RecordBatch]:
            for number in range(5):
                pulled.append(number)
                yield pa.record_batch({"id": [number * 10, number * 10 + 1]})

        table.append(batches())
        reader = pa.RecordBatchReader.from_batches(pa.schema([("id", pa.int64())]), batches())
        table.append(reader)
        assert pulled == [*range(5), *range(5)]
        assert table.to_arrow()["id"].to_pylist() == [0, 1, 10, 11, 20, 21, 30, 31, 40, 41] * 2
        assert table.append(reader).rows == 0

    def test_a_source_that_fails_in_the_middle_adds_nothing(self, table: tl.Table) -> None:
        def batches() -> Iterator[pa.RecordBatch]:
            yield pa.record_batch({"id": [1]})
            raise RuntimeError("the source broke")

        with pytest.raises((RuntimeError, tl.InvalidError), match="the source broke"):
            table.append(batches())
        assert table.version == 0

    def test_a_batch_that_changes_its_columns_in_the_middle_adds_nothing(self, table: tl.Table) -> None:
        with pytest.raises(tl.InvalidError):
            table.append([pa.record_batch({"id": [1]}), pa.record_batch({"region": ["x"]})])
        assert table.version == 0

    def test_info_is_kept_in_the_history(self, table: tl.Table) -> None:
        commit = table.append([row(1)], info={"job": "nightly", "run": 17, "nested": {"a": [1, None]}})
        assert {key: commit.info[key] for key in ("job", "run", "nested")} == {
            "job": "nightly", "run": 17, "nested": {"a": [1, None]}
        }  # fmt: skip
        newest = table.history().row(0, named=True)
        assert newest["operation"] == "append"
        assert newest["rows_added"] == 1
        assert "job=nightly" in newest["info"]
        assert "@" in newest["who"]

    @pytest.mark.parametrize(
        "info",
        [{"by": "me"}, {"rows_added": 1}, {"x": 1j}, {"x": float("inf")}, {"x": {1, 2}}, 5, "text"],
        ids=str,
    )
    def test_info_that_cannot_be_kept_is_refused_before_anything_is_read(self, table: tl.Table, info: Any) -> None:
        def batches() -> Iterator[pa.RecordBatch]:
            raise AssertionError("was read")
            yield

        with pytest.raises(tl.InvalidError, match="info"):
            table.append(batches(), info=info)
        with pytest.raises(tl.InvalidError, match="info"):
            table.overwrite(batches(), info=info)
        with pytest.raises(tl.InvalidError, match="info"):
            table.delete("true", info=info)

    def test_progress_is_the_number_of_rows_so_far(self, table: tl.Table) -> None:
        for act in (table.append, table.overwrite):
            seen: list[int] = []
            act((pa.record_batch({"id": list(range(100))}) for _ in range(7)), on_progress=seen.append)
            assert seen == sorted(seen)
            assert seen[-1] == 700

    def test_a_progress_callback_that_raises_stops_the_append(self, table: tl.Table) -> None:
        def stop(row_count: int) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            table.append([row(1)], on_progress=stop)
        assert table.version == 0

    def test_checks_let_null_pass_and_refuse_false_with_an_example(self, lake: tl.Lake) -> None:
        table = lake.create_table("c", SCHEMA, checks={"cheap": "price < 10", "known": "region IN ('EU', 'US')"})
        table.append([row(1, None, None)])
        with pytest.raises(tl.InvalidError, match=r"1 of 3 rows.*cheap.*price=99"):
            table.append([row(2), row(3, "EU", 99.0), row(4)])
        with pytest.raises(tl.InvalidError, match="known"):
            table.append([row(2, "ASIA")])
        with pytest.raises(tl.InvalidError, match="cheap"):
            table.append([row(2, "EU", float("nan"))])
        assert table.row_count == 1

    def test_a_check_that_fails_to_compute_refuses_the_rows(self, lake: tl.Lake) -> None:
        table = lake.create_table("c", SCHEMA, checks={"number": "region::INT > 0"})
        table.append([row(1, "5")])
        with pytest.raises(tl.InvalidError, match="region::INT"):
            table.append([row(2, "five")])
        assert table.row_count == 1

    def test_pandas_with_an_index_nullable_integers_and_zoned_nanoseconds(self, lake: tl.Lake) -> None:
        at = pd.to_datetime(["2026-07-01 12:00:00.000000001", None]).tz_localize("Europe/Oslo")
        frame = pd.DataFrame(
            {
                "n": pd.array([1, None], dtype="Int64"),
                "u": pd.array([2**64 - 1, None], dtype="UInt64"),
                "b": pd.array([True, None], dtype="boolean"),
                "s": pd.array(["x", None], dtype="string"),
                "c": pd.Categorical(["low", None]),
                "at": at.as_unit("ns"),
            },
            index=pd.Index([10, 20], name="i"),
        )
        table = lake.create_table("p", frame)
        assert {field.name: str(field.type) for field in table.schema} == {
            "n": "int64", "u": "uint64", "b": "boolean", "s": "string", "c": "string",
            "at": "timestamp[ns, Europe/Oslo]",
        }  # fmt: skip
        back = table.to_arrow()
        assert back.drop_columns("at").to_pylist() == [
            {"n": 1, "u": 2**64 - 1, "b": True, "s": "x", "c": "low"},
            {"n": None, "u": None, "b": None, "s": None, "c": None},
        ]
        assert back["at"].cast(pa.int64()).to_pylist() == [1_782_900_000_000_000_001, None]
        table.append(table.to_pandas()[["s", "c", "at"]])
        assert table.to_arrow()["at"].cast(pa.int64()).to_pylist()[2:] == [1_782_900_000_000_000_001, None]


class TestOverwrite:
    def test_all_rows_are_replaced_in_one_commit(self, lake: tl.Lake, table: tl.Table) -> None:
        table.append([row(1), row(2)])
        commit = table.overwrite([row(3)])
        assert (commit.version, commit.operation, commit.rows_added, commit.rows_deleted) == (2, "overwrite", 1, 2)
        assert_reads(table.snapshot(), [row(3)], lake)
        assert_reads(table.at(version=1), [row(1), row(2)], lake)
        table.overwrite(pa.table({"id": pa.array([], pa.int64())}))
        assert_reads(table.snapshot(), [], lake)

    def test_rows_that_fulfil_the_condition_are_replaced(self, lake: tl.Lake, table: tl.Table) -> None:
        kept = [row(3, "US"), row(4, None), row(5, "US", None)]
        table.append([row(1), row(2), kept[0]])
        table.append(kept[1:])
        for _ in range(2):
            commit = table.overwrite([row(7), row(8)], where="region = 'EU'")
            assert commit.rows_deleted == 2
            assert_reads(table.snapshot(), [*kept, row(7), row(8)], lake)
        assert table.overwrite(pa.table({"id": pa.array([], pa.int64())}), where="region = 'EU'").rows_deleted == 2
        assert_reads(table.snapshot(), kept, lake)

    @pytest.mark.parametrize("region", ["US", None])
    def test_new_rows_must_fulfil_the_condition_themselves(self, table: tl.Table, region: str | None) -> None:
        table.append([row(1)])
        with pytest.raises(tl.InvalidError, match="overwritten"):
            table.overwrite([row(2), row(3, region)], where="region = 'EU'")
        assert table.version == 1

    @pytest.mark.parametrize(
        "where", ["", "nope = 1", "price", "count(*) > 0", "id = 1; SELECT 1", 5, "id IN (SELECT 1)"]
    )
    def test_a_condition_that_is_none_is_refused_before_anything_is_read(self, table: tl.Table, where: Any) -> None:
        def batches() -> Iterator[pa.RecordBatch]:
            raise AssertionError("was read")
            yield

        for act in (lambda: table.overwrite(batches(), where=where), lambda: table.delete(where)):
            with pytest.raises(tl.InvalidError):
                act()
        assert table.version == 0

    def test_rows_that_do_not_fit_leave_the_old_ones(self, table: tl.Table) -> None:
        table.append([row(1)])
        for data in ({"id": ["x"]}, {"nope": [1]}, {"id": [None]}):
            with pytest.raises(tl.InvalidError):
                table.overwrite(data)
        assert_reads(table.snapshot(), [row(1)])


class TestCosts:
    @pytest.fixture
    def metered(self) -> Iterator[tuple[tl.Table, MeteredStore]]:
        store = MeteredStore(MemoryStore())
        register_store("counted", lambda url, options: store)
        yield tl.connect("counted://x").create_table("t", SCHEMA), store

    @pytest.mark.parametrize("inline", [True, False], ids=["inlined", "files"])
    def test_an_append_is_one_put_per_file_and_one_for_the_commit(
        self, metered: tuple[tl.Table, MeteredStore], inline: bool
    ) -> None:
        table, store = metered
        table.alter.set_property("inline_max_bytes", None if inline else 0)
        before = store.stats()
        table.append([row(1)])
        spent = store.stats() - before
        assert (spent.put, spent.put_if_absent, spent.requests) == ((0, 1, 1) if inline else (1, 1, 2))

    @pytest.mark.parametrize("inline", [True, False], ids=["inlined", "files"])
    def test_an_overwrite_reads_no_row(self, metered: tuple[tl.Table, MeteredStore], inline: bool) -> None:
        table, store = metered
        table.alter.set_property("inline_max_bytes", None if inline else 0)
        table.append([row(1)])
        before = store.stats()
        table.overwrite([row(2)])
        spent = store.stats() - before
        assert (spent.put, spent.put_if_absent, spent.get) == (not inline, 1, 1), "the get asks for a newer version"

    def test_rows_ride_inside_the_commit_up_to_the_size_that_the_table_says(
        self, metered: tuple[tl.Table, MeteredStore]
    ) -> None:
        table, store = metered
        texts = [bytes(number * number % 251 for number in range(start, start + 2000)).hex() for start in range(40)]
        for inline_max_bytes, inlined in ((None, True), (2_000, False), (60_000, True)):
            table.alter.set_property("inline_max_bytes", inline_max_bytes)
            before = store.stats()
            table.append([row(number, text) for number, text in enumerate(texts)])
            spent = store.stats() - before
            assert (spent.put, spent.put_if_absent) == (not inlined, 1), inline_max_bytes
            assert table.snapshot().files[-1].is_inlined == inlined
        assert bag(table.to_arrow().to_pylist()) == bag([row(n, text) for n, text in enumerate(texts)] * 3)


def test_a_null_struct_around_a_not_null_field_goes_in_and_comes_out(lake: tl.Lake) -> None:
    inside = pa.struct([pa.field("a", pa.int32(), nullable=False), pa.field("m", pa.map_(pa.string(), pa.int8()))])
    table = lake.create_table("t", pa.schema([("id", pa.int64()), ("s", inside)]))
    rows = [{"id": 1, "s": None}, {"id": 2, "s": {"a": 7, "m": [("k", 1)]}}]
    table.append([{"id": 1}])
    table.append(pl.DataFrame({"id": [2, 3], "s": [{"a": 7}, None]}))
    table.delete("id = 3")
    table.overwrite(pa.Table.from_pylist(rows[1:], schema=pa.schema([("id", pa.int64()), ("s", inside)])), "id = 2")
    assert table.to_arrow().to_pylist() == rows
    assert table.scan(where="id < 3").to_arrow().to_pylist() == rows
    table.overwrite(table.scan(where="id < 3"))
    assert table.to_arrow().to_pylist() == rows
