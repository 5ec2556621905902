from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import tablelog as tl

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Run


def test_versions_are_listed_newest_first(run: Run, place: Path) -> None:
    lines = run("history", place, "orders").out.splitlines()
    assert [line.split()[0] for line in lines[2:]] == ["2", "1", "0"]
    assert "+2" in lines[3]
    assert "append: month=January" in lines[3]
    assert "create" in lines[4]


def test_every_line_fits_a_narrow_terminal_and_a_wide_one_says_who(run: Run, place: Path) -> None:
    narrow, wide = run("history", place, "orders"), run("history", place, "orders", columns=140)
    assert max(map(len, narrow.out.splitlines())) <= 80
    assert "who" not in narrow.out
    assert "who" in wide.out


def test_json_has_every_column_of_the_history(run: Run, place: Path) -> None:
    told = run("history", place, "orders", "--json").json
    frame = tl.connect(place).table("orders").history()
    assert list(told[0]) == frame.columns
    assert [row["version"] for row in told] == [2, 1, 0]
    assert [datetime.fromisoformat(row["timestamp"]) for row in told] == frame["timestamp"].to_list()


def test_rows_and_files_that_went_are_told(run: Run, place: Path) -> None:
    tl.connect(place).table("orders").delete("id = 2")
    newest = run("history", place, "orders").out.splitlines()[2]
    assert newest.split()[0] == "3"
    assert " -1 " in newest


def test_a_limit_leaves_the_newest_and_says_so(run: Run, place: Path) -> None:
    ran = run("history", place, "orders", "--limit", "1")
    assert "the newest 1 of 3 versions" in ran.out
    assert len(run("history", place, "orders", "--limit", "1", "--json").json) == 1
    assert run("history", place, "orders", "--limit", "0").code == 2


def test_a_table_that_is_not_there_has_no_history(run: Run, place: Path) -> None:
    assert run("history", place, "nope").code == 3
    assert run("history", place, "nope", "--json").error["kind"] == "NotFoundError"


def test_text_of_the_history_is_no_markup(run: Run, place: Path) -> None:
    tl.connect(place).table("orders").alter.add_column("[bold]", "int32")
    assert "add column [bold]" in " ".join(run("history", place, "orders").out.split())
