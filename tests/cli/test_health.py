from __future__ import annotations

from typing import TYPE_CHECKING

import tablelog as tl

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Run


def test_health_is_a_table_of_levels_and_a_sentence(run: Run, place: Path) -> None:
    ran = run("health", place, "orders")
    lines = ran.out.splitlines()
    assert lines[0].startswith("orders · version 2 · 3 rows · 2 files, 2 of them inside the log · ")
    assert lines[2].split() == ["level", "in", "log", "files", "rows", "deleted", "mean", "size", "bytes", "share"]
    assert lines[4].split()[:5] == ["0", "2", "0", "3", "0%"]
    assert "to read  at most 1 file for one place of at, 2 files for everything" in lines
    assert lines[-1] == "compact() would put 2 lots of rows inside the log together."
    assert max(map(len, lines)) <= 80


def test_json_has_every_number(run: Run, place: Path) -> None:
    health = tl.connect(place).table("orders").health()
    told = run("health", place, "orders", "--json").json
    assert (told["table"], told["version"], told["rows"], told["files"]) == ("orders", 2, 3, 2)
    assert told["levels"][0]["inlined"] == 2
    assert told["read_amplification"] == 1
    assert told["write_amplification"] == 0.0
    assert told["work"] == {"inlined": 2, "small_files": 0, "deleted_files": 0}
    assert told["advice"] == health.advice


def test_a_table_without_files_has_no_levels(run: Run, place: Path) -> None:
    tl.connect(place).create_table("empty", {"x": "int64"})
    assert run("health", place, "empty", "--json").json["levels"] == []
    assert run("health", place, "empty").out.splitlines()[-1] == "compact() would find nothing to do."


def test_a_table_that_is_not_there_is_not_found(run: Run, place: Path) -> None:
    assert run("health", place, "nope").code == 3


def test_explain_says_what_rules_files_out(run: Run, place: Path) -> None:
    query = "FROM orders WHERE \"at\" < '2026-02-01'"
    (plan,) = run("sql", place, query, "--explain", "--json").json
    assert plan["ruled_out"] == {"segments": 0, "partitions": 1, "columns": 0}
    assert (plan["inlined"], plan["with_deletes"], plan["objects"]) == (1, 0, 1)
    assert sum(plan["ruled_out"].values()) + plan["files"] == plan["files_total"]
    out = run("sql", place, query, "--explain").out
    assert "by partition" in out
    assert "objects to open" in out
    assert run("sql", place, "SELECT 1", "--explain", "--json").json == []
    assert "objects to open" not in run("sql", place, "SELECT 1", "--explain").out
