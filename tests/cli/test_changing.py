"""Commands about changed rows and older versions: what they do, what they print, what they say when they cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import tablelog as tl

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Run


@pytest.fixture
def changed(tmp_path: Path) -> Path:
    """A lake with a table of four versions: three rows, one more, one less, one changed."""
    table = tl.connect(tmp_path / "lake").create_table("orders", {"id": [1, 2, 3], "v": ["a", "b", "c"]})
    table.append({"id": [4], "v": ["d"]})
    table.delete("id = 2")
    table.update({"v": "upper(v)"}, where="id = 3")
    return tmp_path / "lake"


def orders(lake: Path) -> tl.Table:
    return tl.connect(lake).table("orders")


def test_changes_are_listed_version_by_version(run: Run, changed: Path) -> None:
    rows = run("changes", changed, "orders", "--since", "0", "--json").json
    assert [(row["id"], row["v"], row["_change"], row["_version"]) for row in rows] == [
        (4, "d", "insert", 1),
        (2, "b", "delete", 2),
        (3, "c", "update_before", 3),
        (3, "C", "update_after", 3),
    ]
    assert [row["id"] for row in run("changes", changed, "orders", "--since", "1", "--until", "2", "--json").json] == [
        2
    ]
    assert "4 rows, 5 columns" in run("changes", changed, "orders", "--since", "0").out
    assert "1 of 4 rows" in run("changes", changed, "orders", "--since", "0", "--limit", "1").out


def test_changes_of_versions_that_are_not_there_are_an_error(run: Run, changed: Path) -> None:
    found = run("changes", changed, "orders", "--since", "9")
    assert found.code == 3
    assert "no version 9; the table has versions 0 to 3" in found.err
    assert run("changes", changed, "orders", "--since", "2", "--until", "1").code == 2


def test_versions_get_names_and_lose_them(run: Run, changed: Path) -> None:
    assert run("tag", changed, "orders").out == "orders: no tags\n"
    assert run("tag", changed, "orders", "--name", "q3", "--version", "1", "--json").json == {"q3": 1}
    assert run("tag", changed, "orders", "--name", "now", "--json").json == {"q3": 1, "now": 4}
    assert run("tag", changed, "orders").out.split()[-4:] == ["q3", "1", "now", "4"]
    assert "tag q3" in run("show", changed, "orders").out
    assert run("show", changed, "orders", "--json").json["tags"] == {"now": 4, "q3": 1}
    assert run("tag", changed, "orders", "--delete", "now", "--json").json == {"q3": 1}
    missing = run("tag", changed, "orders", "--delete", "now")
    assert (missing.code, "there are 'q3'" in missing.err) == (3, True)
    for wrong in (["--name", "a", "--delete", "q3"], ["--version", "1"], ["--name", "q3", "--version", "2"]):
        assert run("tag", changed, "orders", *wrong).code == 2


def test_a_table_becomes_what_it_was(run: Run, changed: Path) -> None:
    before = orders(changed).at(version=1).to_polars().sort("id").rows()
    found = run("restore", changed, "orders", "--version", "1")
    assert found.out == "orders version 4: back to version 1 (+3 -2)\n"
    assert orders(changed).to_polars().sort("id").rows() == before
    orders(changed).tag("q", 3)
    assert run("restore", changed, "orders", "--tag", "q", "--json").json["version"] == 6
    assert run("restore", changed, "orders").code == 2
    assert run("restore", changed, "orders", "--version", "99").code == 3


def test_one_version_is_taken_back(run: Run, changed: Path) -> None:
    assert run("revert", changed, "orders", "--version", "2", "--json").json == {
        "version": 4,
        "rows_added": 1,
        "rows_deleted": 0,
    }
    assert orders(changed).to_polars()["id"].sort().to_list() == [1, 2, 3, 4]
    orders(changed).delete("id = 4")
    stuck = run("revert", changed, "orders", "--version", "1")
    assert stuck.code == 4
    assert "version 5 (delete by" in stuck.err


def test_small_files_become_one_and_then_there_is_nothing_to_do(run: Run, changed: Path) -> None:
    before = orders(changed).to_polars().sort("id").rows()
    files = len(orders(changed).snapshot().files)
    assert run("compact", changed, "orders").out == f"orders version 4: {files} files became 1\n"
    assert run("compact", changed, "orders").out == "orders: nothing to put together\n"
    assert run("compact", changed, "orders", "--json").json == {"version": None, "files_removed": 0, "files_added": 0}
    assert orders(changed).to_polars().sort("id").rows() == before


def test_files_are_shown_with_their_deleted_rows(run: Run, tmp_path: Path) -> None:
    table = tl.connect(tmp_path / "lake").create_table("t", {"id": list(range(10))})
    assert "deleted" not in run("show", tmp_path / "lake", "t", "--files").out
    table.delete("id = 3")
    listed = run("show", tmp_path / "lake", "t", "--files").out.splitlines()
    assert listed[-3].split() == ["file", "rows", "deleted", "size"]
    assert listed[-1].split()[1:3] == ["9", "1"]
    (facts,) = run("show", tmp_path / "lake", "t", "--files", "--json").json["file_list"]
    assert (facts["rows"], facts["deleted"]) == (9, 1)
