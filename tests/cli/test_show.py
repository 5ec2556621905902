from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

import tablelog as tl

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Run


def test_a_table_shows_columns_rules_and_amounts(run: Run, place: Path) -> None:
    out = run("show", place, "orders").out
    assert "orders · version 2 · " in out
    assert "3 rows · 2 files · " in out
    assert "not null" in next(line for line in out.splitlines() if line.startswith("id "))
    assert "partitioned by  month(at)" in out
    assert "sorted by  at, price desc" in out
    assert "check positive  price > 0" in out
    assert "property target_file_size_bytes  1000000" in out


def test_json_says_the_same(run: Run, place: Path) -> None:
    table = run("show", place, "orders", "--json").json
    assert table["columns"][0] == {
        "name": "id",
        "type": "int64",
        "nullable": False,
        "default": None,
        "comment": None,
    }
    assert [column["type"] for column in table["columns"]] == ["int64", "string", "decimal(8, 2)", "timestamp[us]"]
    assert (table["version"], table["rows"], table["files"]) == (2, 3, 2)
    assert table["partition_by"] == ["month(at)"]
    assert table["sort_by"] == ["at", "price desc"]
    assert table["checks"] == {"positive": "price > 0"}
    assert table["properties"] == {"target_file_size_bytes": "1000000"}
    assert "sample" not in table
    assert "file_list" not in table


def test_defaults_and_comments_are_shown_where_there_are_any(run: Run, place: Path) -> None:
    assert " default " not in run("show", place, "orders").out
    alter = tl.connect(place).table("orders").alter
    alter.add_column("unit", "string", default="kg")
    alter.set_comment("price", "in euro")
    out = run("show", place, "orders").out
    assert " default " in out
    assert "kg" in out
    assert "in euro" in out
    columns = run("show", place, "orders", "--json").json["columns"]
    assert columns[-1]["default"] == "kg"
    assert columns[2]["comment"] == "in euro"


def test_an_earlier_version_is_shown_by_number_or_time(run: Run, place: Path) -> None:
    first = run("show", place, "orders", "--version", "1", "--json").json
    assert (first["version"], first["rows"]) == (1, 2)
    then = run("show", place, "orders", "--timestamp", first["timestamp"], "--json").json
    assert then == first


def test_rows_and_files_are_shown_on_request(run: Run, place: Path) -> None:
    out = run("show", place, "orders", "--rows", "2", "--files").out
    assert "tea" in out
    assert out.count(".json#0") == 2
    table = run("show", place, "orders", "--rows", "2", "--files", "--json").json
    assert {"id": 1, "item": "tea", "price": 2.5, "at": "2026-01-05T10:00:00"} in table["sample"]
    assert len(table["sample"]) == 2
    assert sum(file["rows"] for file in table["file_list"]) == 3


def test_a_file_is_shown_with_the_rows_of_it_that_are_in_the_table(run: Run, place: Path) -> None:
    table = tl.connect(place).create_table("numbers", {"n": list(range(1000))})
    table.delete("n < 10")
    (file,) = run("show", place, "numbers", "--files", "--json").json["file_list"]
    assert file["path"].startswith("data/")
    assert file["rows"] == 990
    assert " 990 " in run("show", place, "numbers", "--files").out


def test_the_folder_of_a_table_is_enough(run: Run, place: Path, tmp_path: Path) -> None:
    shutil.move(place / "orders", tmp_path / "elsewhere")
    shutil.rmtree(place)
    assert run("show", tmp_path / "elsewhere", "--json").json["rows"] == 3


def test_a_name_is_enough_where_there_is_a_usual_lake(run: Run, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TABLELOG_LAKE", str(place))
    assert run("show", "orders", "--json").json["table"] == "orders"
    assert run("show", "nope").code == 3


def test_names_may_be_of_any_script(run: Run, place: Path) -> None:
    assert run("show", place, "größe.päron 梨", "--rows", "2", "--json").json["sample"] == [
        {"名前": "ざくろ"},
        {"名前": None},
    ]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["nope"], 3, "no table nope; there are "),
        (["orders", "--version", "9"], 3, "there is no version 9; the table has versions 0 to 2"),
        (["orders", "--version", "-1"], 2, "-1"),
        (["orders", "--timestamp", "1999-01-01"], 3, "the table did not exist"),
        (["orders", "--timestamp", "lately"], 2, "'lately' is not a timestamp"),
        (["orders", "--version", "1", "--timestamp", "2026-01-01"], 2, "not both"),
        ([], 2, "is a lake; say which of its tables: "),
    ],
)
def test_what_cannot_be_shown_is_said(run: Run, place: Path, words: list[str], code: int, said: str) -> None:
    ran = run("show", place, *words)
    assert (ran.code, ran.out) == (code, "")
    assert ran.err.startswith("error: ")
    assert said in ran.err


def test_a_place_with_nothing_in_it_is_neither_lake_nor_table(run: Run, tmp_path: Path) -> None:
    ran = run("show", tmp_path / "nowhere")
    assert ran.code == 3
    assert "there is no table at " in ran.err
