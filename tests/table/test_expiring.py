"""History that has expired is gone, and says so; what is kept answers as before, whoever reads and whoever died."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import tablelog as tl
from tablelog.store.local import LocalStore
from tablelog.testing import FaultyStore


def facts(snapshot: tl.Snapshot) -> dict[str, Any]:
    """What a version says about itself and its rows."""
    return {
        "version": snapshot.version,
        "timestamp": snapshot.timestamp,
        "schema": snapshot.schema,
        "properties": snapshot.properties,
        "checks": snapshot.checks,
        "row_count": snapshot.row_count,
        "size_bytes": snapshot.size_bytes,
        "files": [(file.path, file.row_count, file.size_bytes) for file in snapshot.files],
        "rows": sorted(map(repr, snapshot.to_arrow().to_pylist())),
    }


def test_a_second_base_that_cuts_a_segment_still_counts_what_the_first_stands_for(lake: tl.Lake) -> None:
    table = lake.create_table("t", {"id": "int64"}, properties={"log_fan_out": "2"})
    for number in range(6):
        table.append({"id": [number]})
        if number == 3:
            table.expire(1)
    before = facts(table.snapshot())
    table.expire(1)
    assert facts(table.at(version=before["version"])) == before


def died_before_emptying(table: tl.Table, keep: int) -> None:
    """Expire, and die when the first commit is to be emptied."""

    def refuse(verb: str, key: str) -> None:
        if verb == "put" and key.endswith(".json") and not key.endswith("head.json"):
            raise tl.StoreError("the power went")

    dying = tl.Table(FaultyStore(LocalStore(Path(table.url)), before=refuse), "t")
    with pytest.raises(tl.StoreError, match=r"the power went; .*repair\(\)") as caught:
        dying.expire(keep)
    assert caught.value.maybe_applied


@pytest.mark.parametrize("what", ["expire", "repair"])
@pytest.mark.parametrize("damage", ["flipped", "gone"])
def test_commits_whose_base_is_not_sound_are_never_emptied(lake: tl.Lake, what: str, damage: str) -> None:
    table = lake.create_table("t", {"id": "int64"}, properties={"log_fan_out": "2", "inline_max_bytes": 0})
    for number in range(8):
        table.append({"id": [number]})
    died_before_emptying(table, 5)
    warm = tl.open_table(table.url)
    (base,) = (Path(table.url) / "_log" / "base").iterdir()
    if damage == "gone":
        base.unlink()
    else:
        base.write_bytes(base.read_bytes()[:-40] + b"x" * 40)
    if what == "repair":
        assert warm.repair().ok  # made again from its commits, which stay until the next time
    else:
        with pytest.raises(tl.CorruptionError, match=base.name):
            warm.expire(5)
    commits = sorted((Path(table.url) / "_log").glob("0*.json"))
    assert all(path.stat().st_size for path in commits)
    base.unlink(missing_ok=True)
    assert tl.open_table(table.url).row_count == 8
