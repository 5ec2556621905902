from __future__ import annotations

import shutil
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import tablelog as tl

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.cli.conftest import Run


def test_tables_are_listed_with_what_the_log_knows(run: Run, place: Path) -> None:
    ran = run("ls", place)
    assert ran.code == 0
    assert ran.err == ""
    lines = ran.out.splitlines()
    assert lines[0].split() == ["table", "version", "rows", "files", "size", "changed", "(UTC)"]
    assert lines[2].split()[:4] == ["orders", "2", "3", "2"]
    assert "größe.päron 梨" in lines[3]


def test_json_is_one_object_a_table(run: Run, place: Path) -> None:
    listed = run("ls", place, "--json").json
    assert [table["table"] for table in listed] == ["orders", "größe.päron 梨"]
    orders = listed[0]
    assert (orders["version"], orders["rows"], orders["files"]) == (2, 3, 2)
    assert orders["bytes"] == tl.connect(place).table("orders").snapshot().size_bytes
    assert datetime.fromisoformat(orders["changed"]).tzinfo == UTC


def test_a_namespace_is_listed_alone(run: Run, place: Path) -> None:
    assert [table["table"] for table in run("ls", place, "--namespace", "größe", "--json").json] == ["größe.päron 梨"]
    assert [table["table"] for table in run("ls", place, "--namespace", "", "--json").json] == ["orders"]
    assert "no tables in namespace 'nope'" in run("ls", place, "--namespace", "nope").out


def test_a_table_that_cannot_be_read_is_named_after_the_others(run: Run, place: Path) -> None:
    shutil.rmtree(place / "orders")
    for arguments in ((), ("--json",)):
        ran = run("ls", place, *arguments)
        assert "größe.päron 梨" in ran.out
        assert ran.code == 3
        assert "table orders: there is nothing at " in ran.err


def test_an_empty_lake_has_no_tables(run: Run, tmp_path: Path) -> None:
    tl.connect(tmp_path / "empty")
    assert "no tables" in run("ls", tmp_path / "empty").out
    assert run("ls", tmp_path / "empty", "--json").json == []


def test_a_lake_that_is_not_there_is_not_made(run: Run, tmp_path: Path) -> None:
    ran = run("ls", tmp_path / "nowhere")
    assert ran.code == 3
    assert ran.err.startswith("error: there is no lake at ")
    assert not (tmp_path / "nowhere").exists()


def test_without_a_word_it_is_the_usual_lake_or_else_this_folder(
    run: Run, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    assert len(run("ls", "--json").json) == 2
    monkeypatch.chdir(tmp_path)
    assert run("ls").code == 3
    monkeypatch.setenv("TABLELOG_LAKE", str(place))
    assert len(run("ls", "--json").json) == 2
