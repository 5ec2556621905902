"""W1: many commits of a hundred rows each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.bench.growth import BUDGET_S, grown
from tests.bench.measure import footprint, median
from tests.bench.report import Column, Section, Table

if TYPE_CHECKING:
    from tests.bench.bench import Bench

KEY: Final = "W1"
_EDGE: Final = 100
_COLUMNS: Final = (
    Column(name="ms, first 100"),
    Column(name="ms, last 100"),
    Column(name="CPU ms, first 100"),
    Column(name="CPU ms, last 100"),
    Column(name="total s"),
    Column(name="objects", digits=0),
    Column(name="MB"),
    Column(name="a commit survives", ranked=False),
)


def run(bench: Bench) -> Section:
    notes: list[str] = []
    return Section(
        key=KEY,
        title="small commits",
        text=(
            "A warm writer appends 100 rows of 8 columns again and again; systems take turns of ten appends. Medians "
            f"of the first and the last 100 commits. A system is stopped once its appends have taken {BUDGET_S} s. "
            "`floor` is the same job by hand: one Parquet file and one `link()` of a commit, with the same fsyncs as "
            "tablelog, `floor-cached` without any. Beware of comparing across the last column: most systems leave a "
            "commit in the page cache, where a power cut takes it."
        ),
        tables=[_measure(bench, commits, notes) for commits in (bench.options.commits, bench.options.long)],
        notes=notes,
    )


def _measure(bench: Bench, commits: int, notes: list[str]) -> Table:
    result = grown(bench, commits)
    edge = max(1, min(_EDGE, commits // 2))
    table = Table(
        title=f"{commits:,} appends of 100 rows from one process",
        columns=_COLUMNS,
        unranked=("floor", "floor-cached"),
    )
    for spec in result.specs:
        wall_ms, cpu_ms = result.wall_ms.get(spec.name, []), result.cpu_ms.get(spec.name, [])
        if len(wall_ms) < commits:
            continue
        count, size_mb = footprint(result.places[spec.name].root)
        medians = [median(part) for costs in (wall_ms, cpu_ms) for part in (costs[:edge], costs[-edge:])]
        table.rows[spec.name] = [*medians, sum(wall_ms) / 1e3, count, size_mb, spec.durable]
    notes += [f"{name} at {commits:,} commits: {error}" for name, error in result.errors.items()]
    return table
