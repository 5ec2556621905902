"""Small appends ride inside their commit: one request, and a file like any other to everything that comes after."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

import tablelog as tl
from tablelog.store.memory import MemoryStore
from tablelog.store.metrics import MeteredStore
from tablelog.store.open import register_store
from tests.table.reading import assert_reads

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def counted() -> Iterator[tuple[tl.Lake, MeteredStore]]:
    store = MeteredStore(MemoryStore())
    register_store("counted", lambda url, options: store)
    yield tl.connect("counted://x"), store


class TestCosts:
    def test_a_small_append_on_a_warm_handle_is_exactly_one_request(
        self, counted: tuple[tl.Lake, MeteredStore]
    ) -> None:
        lake, store = counted
        table = lake.create_table("t", {"id": "int64", "note": "string"})
        for number in range(14):  # before the first segment is due
            before = store.stats()
            table.append({"id": [number], "note": ["x" * number]})
            spent = store.stats() - before
            assert (spent.requests, spent.put_if_absent) == (1, 1)

    @pytest.mark.parametrize("rows", [1, 100])
    def test_a_small_change_of_inlined_rows_is_one_put(self, counted: tuple[tl.Lake, MeteredStore], rows: int) -> None:
        lake, store = counted
        table = lake.create_table("t", {"id": "int64", "v": "int64"}, key="id")
        table.append({"id": range(rows), "v": [0] * rows})
        for change in (
            lambda: table.upsert({"id": [0], "v": [1]}),
            lambda: table.update({"v": "v + 1"}, where="id = 0"),
            lambda: table.delete("id = 0"),
        ):
            before = store.stats()
            change()
            spent = store.stats() - before
            assert (spent.put, spent.put_if_absent) == (0, 1)
            assert spent.get <= 1  # whether there is a newer version

    def test_rows_that_are_too_many_are_a_file(self, counted: tuple[tl.Lake, MeteredStore]) -> None:
        lake, store = counted
        table = lake.create_table("t", {"id": "int64"}, properties={"inline_max_bytes": 1000})
        table.append({"id": range(10)})
        assert [file.is_inlined for file in table.snapshot().files] == [True]
        before = store.stats()
        table.append({"id": [number * 7919 % 1_000_003 for number in range(5000)]})
        assert (store.stats() - before).put == 1
        assert [file.is_inlined for file in table.snapshot().files] == [True, False]
        assert table.row_count == 5010


def test_the_limit_is_a_property_and_can_be_nothing(tmp_path: Path) -> None:
    lake = tl.connect(tmp_path)
    table = lake.create_table("t", {"id": "int64"}, properties={"inline_max_bytes": 0})
    table.append({"id": [1]})
    assert not table.snapshot().files[0].is_inlined
    for wrong in ("-1", "many", "1048577", ""):
        with pytest.raises(tl.InvalidError, match="inline_max_bytes"):
            table.alter.set_property("inline_max_bytes", wrong)


def test_inlined_rows_are_pruned_like_files(tmp_path: Path) -> None:
    lake = tl.connect(tmp_path)
    table = lake.create_table("t", {"id": "int64", "day": "date"}, partition_by="day")
    for number in range(5):
        table.append(pa.table({"id": [number, number + 100], "day": pa.array([number, number + 1], pa.date32())}))
    assert len(table.snapshot().files) == 10
    assert len(table.scan(where="id = 3").files) == 1
    assert len(table.scan(where="day = DATE '1970-01-03'").files) == 2
    assert lake.sql("SELECT count(*) FROM t WHERE id > 100").fetchall() == [(4,)]


def test_they_outlive_the_commits_of_their_segments_and_every_cache(tmp_path: Path) -> None:
    lake = tl.connect(tmp_path)
    table = lake.create_table("t", {"id": "int64"}, properties={"log_fan_out": 2})
    for number in range(20):
        table.append({"id": [number]})
    rows = [{"id": number} for number in range(20)]
    assert_reads(tl.open_table(tmp_path / "t").snapshot(), rows)
    assert_reads(tl.connect(tmp_path).table("t").at(version=7), rows[:7])


def test_expiry_keeps_the_commits_that_hold_rows_until_they_are_moved(tmp_path: Path) -> None:
    table = tl.connect(tmp_path).create_table("t", {"id": "int64"}, properties={"log_fan_out": 2})
    for number in range(12):
        table.append({"id": [number]})
    table.expire(keep=1)
    assert tl.open_table(tmp_path / "t").to_polars()["id"].sort().to_list() == list(range(12))
    assert table.verify().ok
    table.compact()
    for _ in range(3):
        table.append({"id": [99]})
    table.expire(keep=1)
    commits = sorted((tmp_path / "t" / "_log").glob("*0.json"))
    assert commits[0].stat().st_size == 0
    assert tl.open_table(tmp_path / "t").row_count == 15
    assert table.verify().ok
