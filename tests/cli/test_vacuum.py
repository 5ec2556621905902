"""`tablelog vacuum` says what went, what would go, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import tablelog as tl

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Run


@pytest.fixture
def used(tmp_path: Path) -> Path:
    table = tl.connect(tmp_path / "lake").create_table("t", {"id": "int64"}, properties={"inline_max_bytes": "0"})
    table.append({"id": [1]})
    table.overwrite({"id": [2]})
    table.expire(1)
    return tmp_path / "lake"


def test_a_dry_run_says_of_every_object_why(run: Run, used: Path) -> None:
    found = run("vacuum", used, "t", "--grace", "0 seconds", "--dry-run", columns=200)
    assert "1 object would be removed" in found.out
    assert "data/" in found.out
    assert "needed:" in found.out
    assert tl.connect(used).table("t").version == 3


def test_what_went_is_told_to_people_and_programs(run: Run, used: Path) -> None:
    assert "0 objects removed" in run("vacuum", used, "t").out
    facts = run("vacuum", used, "t", "--grace", "0 seconds", "--json").json
    assert (facts["version"], facts["dry_run"]) == (4, False)
    assert [each["fate"] for each in facts["objects"]].count("removed") == 1
    assert facts["size_bytes"] > 0
    assert any("versions 2 to 3" in line for line in facts["asked"])
    assert "0 objects removed" in run("vacuum", used / "t", "--grace", "0 seconds").out
    assert tl.connect(used).table("t").row_count == 1


def test_a_grace_that_makes_no_sense_is_bad_usage(run: Run, used: Path) -> None:
    refused = run("vacuum", used, "t", "--grace", "soon")
    assert refused.code == 2
    assert "grace='soon'" in refused.err
