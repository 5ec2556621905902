"""Tables of many small commits, grown side by side."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tests.bench.bench import turns
from tests.bench.measure import median
from tests.bench.peers import started

if TYPE_CHECKING:
    from tests.bench.bench import Bench
    from tests.bench.systems.base import Place
    from tests.bench.systems.catalog import Spec

SYSTEMS: Final = (
    "tablelog",
    "floor",
    "floor-cached",
    "deltalake",
    "deltalake-handle",
    "pyiceberg",
    "lance",
    "ducklake",
    "ducklake-inline",
)
_TURN: Final = 10
BUDGET_S: Final = 300
"""A system that needs longer for its appends has grown enough."""


@dataclass(slots=True)
class Grown:
    """What came of it, by system."""

    specs: list[Spec]
    places: dict[str, Place]
    wall_ms: dict[str, list[float]] = field(default_factory=dict)
    cpu_ms: dict[str, list[float]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)


def grown(bench: Bench, commits: int) -> Grown:
    """Tables of that many appends of a hundred rows each, ten at a time in turns; made once in a run."""
    if commits not in bench.grown:
        bench.grown[commits] = _grow(bench, commits)
    return bench.grown[commits]


def _grow(bench: Bench, commits: int) -> Grown:
    specs = bench.specs(*SYSTEMS)
    result = Grown(specs, {spec.name: bench.place(f"grown-{commits}", spec) for spec in specs})
    with started((spec, result.places[spec.name]) for spec in specs) as peers:
        for peer in peers:
            peer.ask("create")
        for turn in turns(commits, _TURN):
            for peer in peers:
                wall_ms = result.wall_ms.setdefault(peer.name, [])
                if peer.error is None and sum(wall_ms) > 1e3 * BUDGET_S:
                    last = median(wall_ms[-_TURN:])
                    peer.error = f"stopped after {len(wall_ms):,} appends in {BUDGET_S} s, the last at {last:.0f} ms"
                for wall, cpu in peer.ask("append", first=turn.start, count=len(turn)) or ():
                    wall_ms.append(wall)
                    result.cpu_ms.setdefault(peer.name, []).append(cpu)
        result.errors = {peer.name: peer.error for peer in peers if peer.error is not None}
    return result
