"""A table with a key holds one row for each key, whoever writes."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

import tablelog as tl

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = {"id": "int64", "region": "string", "v": "double"}


def row(number: int, region: str = "EU", value: float = 0.0) -> dict[str, Any]:
    return {"id": number, "region": region, "v": value}


@pytest.fixture
def table(tmp_path: Path) -> tl.Table:
    table = tl.connect(tmp_path).create_table("t", SCHEMA, key=["id", "region"])
    table.append([row(1), row(2), row(1, "US")])
    return table


def test_key_columns_are_not_null(table: tl.Table) -> None:
    assert [field.nullable for field in table.schema] == [False, False, True]
    with pytest.raises(tl.InvalidError, match="not null"):
        table.append([{"id": None, "region": "EU"}])
    with pytest.raises(tl.InvalidError, match="key"):
        table.alter.drop_not_null("id")
    with pytest.raises(tl.InvalidError, match="key"):
        table.alter.drop_column("id")


@pytest.mark.parametrize(
    "rows", [[row(1)], [row(9), row(2)], [row(9), row(9)]], ids=["there", "one of two there", "twice among the new"]
)
def test_a_second_row_with_a_key_is_refused_with_an_example(table: tl.Table, rows: list[dict[str, Any]]) -> None:
    with pytest.raises(tl.InvalidError, match=r"for example id=\d, region='EU'"):
        table.append(rows)
    assert table.row_count == 3


def test_a_key_may_come_back_after_its_row_was_deleted_or_overwritten(table: tl.Table) -> None:
    table.delete(where="id = 1")
    table.append([row(1, value=5.0)])
    table.overwrite([row(1, value=6.0)], where="id = 1")
    table.overwrite([row(1), row(2)])
    assert table.row_count == 2


def test_an_overwrite_may_not_repeat_a_key_that_stays(table: tl.Table) -> None:
    with pytest.raises(tl.InvalidError, match="already"):
        table.overwrite([row(1, "US", 9.0)], where="v > 5")


def test_first_rows_are_checked_too(tmp_path: Path) -> None:
    with pytest.raises(tl.InvalidError, match="more than once"):
        tl.connect(tmp_path).create_table("t", {"id": [1, 1]}, key="id")


def test_files_with_other_keys_are_not_read(table: tl.Table, tmp_path: Path) -> None:
    table.alter.set_property("inline_max_bytes", 0)
    table.append([row(10), row(11)])
    for file in (tmp_path / "t" / "data").iterdir():
        file.write_bytes(b"not read")
    table.append([row(1000)])
    with pytest.raises(tl.CorruptionError):
        table.append([row(10)])


def test_a_key_may_have_any_name(tmp_path: Path) -> None:
    table = tl.connect(tmp_path).create_table("t", {"count_all": [1], "0": [1]}, key=["0", "count_all"])
    table.append({"count_all": [2], "0": [1]})
    with pytest.raises(tl.InvalidError, match="for example 0=3, count_all=3;"):
        table.append({"count_all": [3, 3], "0": [3, 3]})


def test_renamed_and_widened_keys_are_still_keys(table: tl.Table) -> None:
    table.alter.rename_column("region", "market")
    with pytest.raises(tl.InvalidError, match="market='EU'"):
        table.append([{"id": 1, "market": "EU"}])


@pytest.mark.parametrize("key", ["v", "nope", ["id", "id"]], ids=str)
def test_what_cannot_be_a_key_is_refused(tmp_path: Path, key: Any) -> None:
    with pytest.raises((tl.InvalidError, tl.NotFoundError)):
        tl.connect(tmp_path).create_table("t", SCHEMA, key=key)


def test_of_writers_that_add_one_key_at_once_one_wins(tmp_path: Path) -> None:
    tl.connect(tmp_path).create_table("t", SCHEMA, key="id")
    outcomes: list[str] = []
    barrier = threading.Barrier(6)

    def work() -> None:
        table = tl.open_table(tmp_path / "t")
        barrier.wait()
        for number in range(5):
            try:
                table.append([row(number)])
                outcomes.append("added")
            except (tl.ConflictError, tl.InvalidError):
                outcomes.append("refused")

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (outcomes.count("added"), outcomes.count("refused")) == (5, 25)
    assert sorted(tl.open_table(tmp_path / "t").to_polars()["id"].to_list()) == [0, 1, 2, 3, 4]


def test_a_key_that_somebody_else_added_meanwhile_is_a_conflict(tmp_path: Path) -> None:
    tl.connect(tmp_path).create_table("t", SCHEMA, key="id")
    ours, theirs = tl.open_table(tmp_path / "t"), tl.open_table(tmp_path / "t")

    def rows() -> Any:
        theirs.append([row(7)])
        yield pa.record_batch({"id": [7], "region": ["EU"]})

    with pytest.raises(tl.ConflictError, match="came in while"):
        ours.append(rows())


def test_a_table_without_a_key_holds_what_it_is_given() -> None:
    table = tl.connect("memory://keys-without").create_table("t", {"id": [1, 1]})
    table.append({"id": [1]})
    assert table.row_count == 3
