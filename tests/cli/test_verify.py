from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

import tablelog as tl

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Run


@pytest.fixture
def grown(tmp_path: Path) -> Path:
    """A lake with a table of 21 versions and one with a single one."""
    lake = tl.connect(tmp_path / "grown")
    table = lake.create_table("orders", {"id": "int64"}, properties={"inline_max_bytes": 0})
    for number in range(20):
        table.append({"id": [number]})
    lake.create_table("small", {"id": [1]})
    return tmp_path / "grown"


def damage(path: Path) -> Path:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    return path


def segment(lake: Path) -> Path:
    (path,) = (lake / "orders" / "_log" / "segments").iterdir()
    return path


def test_a_sound_lake_is_said_to_be_sound_table_by_table(run: Run, grown: Path) -> None:
    rows = run("verify", grown, columns=200).out.splitlines()[2:]
    assert [row.split()[0] for row in rows] == [str(grown), str(grown / "orders"), str(grown / "small")]
    assert all(row.split()[-1] == "sound" for row in rows)
    assert [each["ok"] for each in run("verify", grown, "--json").json] == [True] * 3


def test_damage_is_named_with_what_can_be_done_and_the_others_are_still_shown(run: Run, grown: Path) -> None:
    path = damage(segment(grown))
    found = run("verify", grown, columns=200)
    assert found.code == 6
    assert "DAMAGED" in found.out
    assert path.name in found.out
    assert "--repair puts it right" in found.out
    assert sum(row.split()[-1:] == ["sound"] for row in found.out.splitlines()) == 2
    problems = json.loads(run("verify", grown, "orders", "--json").out)[0]["problems"]
    assert [(each["object"].rpartition("/")[2], each["can_repair"]) for each in problems] == [(path.name, True)]


def test_repair_puts_right_what_can_be_derived(run: Run, grown: Path) -> None:
    damage(segment(grown))
    (grown / "orders" / "_log" / "head.json").unlink()
    assert "sound" in run("verify", grown, "--repair").out
    assert run("verify", grown, "orders", "--json").json[0]["problems"] == []
    assert tl.connect(grown).table("orders").row_count == 20


def test_what_is_only_slower_is_no_failure(run: Run, grown: Path) -> None:
    shutil.rmtree(grown / "orders" / "_log" / "segments")
    out = run("verify", grown, "orders").out
    assert "sound" in out
    assert "harmless" in out


def test_data_files_are_read_unless_told_otherwise(run: Run, grown: Path) -> None:
    path = damage(next((grown / "orders" / "data").iterdir()))
    found = run("verify", grown, "orders", columns=200)
    assert found.code == 6
    assert path.name in found.out
    assert run("verify", grown, "orders", "--log-only", "--json").json[0]["ok"]


def test_the_folder_of_a_table_is_enough(run: Run, grown: Path) -> None:
    assert run("verify", grown / "orders", "--json").json[0]["versions"] == 21
    missing = run("verify", grown / "nowhere")
    assert missing.code == 3
    assert "there is no table" in missing.err


def test_expiry_says_what_is_left(run: Run, grown: Path) -> None:
    assert "version 21: versions 16 to 21 can be read" in run("expire", grown, "orders", "--keep", "5").out
    assert run("expire", grown, "orders", "--keep", "30 days", "--json").json == {
        "version": None,
        "oldest": 16,
        "newest": 21,
    }
    assert "nothing is older" in run("expire", grown, "orders", "--keep", "2 weeks").out
    assert "version 3 has expired" in run("show", grown, "orders", "--version", "3").err


@pytest.mark.parametrize("keep", ["a while", "0", "-3", "3 months"])
def test_a_span_that_makes_no_sense_is_refused(run: Run, grown: Path, keep: str) -> None:
    refused = run("expire", grown, "orders", f"--keep={keep}")
    assert refused.code == 2
    assert "keep=" in refused.err
    assert tl.connect(grown).table("orders").version == 20
