"""`tablelog compact`; `--watch` as a process is under test in tests/table/test_watching.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tablelog as tl

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Run


def test_full_makes_one_sorted_run_and_says_what_it_did(run: Run, place: Path) -> None:
    before = tl.connect(place)["orders"]
    files = before.snapshot().state.file_count
    found = run("compact", place, "orders", "--full", "--json").json
    after = tl.connect(place)["orders"]
    assert found == {
        "version": after.version,
        "files_removed": files,
        "files_added": after.snapshot().state.file_count,
    }
    nothing = {"version": None, "files_removed": 0, "files_added": 0}
    assert run("compact", place, "orders", "--full", "--json").json == nothing
    assert run("compact", place, "orders").out == "orders: nothing to put together\n"


def test_full_and_watch_do_not_go_together(run: Run, place: Path) -> None:
    ran = run("compact", place, "orders", "--full", "--watch")
    assert ran.code != 0
    assert "--full and --watch do not go together; run --full once, then --watch" in ran.err
    assert tl.connect(place)["orders"].version == 2


def test_every_must_be_a_time(run: Run, place: Path) -> None:
    assert run("compact", place, "orders", "--watch", "--every", "0").code == 2
