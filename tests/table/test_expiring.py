"""History that has expired is gone, and says so; what is kept answers as before, whoever reads and whoever died."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tablelog as tl


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
