"""W3: planning a point over very many file entries, by the metadata alone."""

from __future__ import annotations

import os
import shutil
import signal
import time
from dataclasses import dataclass, field, replace
from threading import Timer
from typing import TYPE_CHECKING, Any, Final

from tests.bench.entries import points
from tests.bench.measure import footprint, median
from tests.bench.peers import Peer, PeerError
from tests.bench.report import Column, Section, Table

if TYPE_CHECKING:
    from tests.bench.bench import Bench
    from tests.bench.entries import Point
    from tests.bench.systems.base import Place
    from tests.bench.systems.catalog import Spec

KEY: Final = "W3"
_MODULES: Final = {
    "tablelog": "tablelog_entries",
    "deltalake": "delta_entries",
    "pyiceberg": "iceberg_entries",
    "lance": "lance_entries",
    "ducklake": "ducklake_entries",
}
_WAYS: Final = {
    "tablelog": ("scan",),
    "deltalake": ("file_uris", "get_add_actions"),
    "pyiceberg": ("plan_files",),
    "lance": ("get_fragments",),
    "ducklake": ("query", "catalog by SQL"),
}
_POINTS: Final = 21
_LIMIT_S: Final = 300
"""For building a table, and for planning on it in one process."""
_LIMIT_MB: Final = 8000
_ENOUGH_S: Final = 20.0
"""Who takes longer over its warm points is asked for no more of them, and only in one process."""
_COLUMNS: Final = (
    Column(name="cold ms"),
    Column(name="warm ms", digits=2),
    Column(name="files to read", digits=0, ranked=False),
    Column(name="MB after imports", digits=0, ranked=False),
    Column(name="peak MB", digits=0),
    Column(name="MB on disk"),
)
_TEXT: Final = (
    "A table of 1,000 rows a file whose files were never written: only what its log or catalog knows of them, added "
    "in a hundred commits. Each file holds a thousand consecutive ids, and which ones has nothing to do with the order "
    "of files; a timestamp and a text column have bounds as well. *Cold*: a new process, imports done, opens the table "
    f"and finds the files that may hold one id. *Warm*: the median of {_POINTS - 1} more ids on the same handle, "
    f"fewer and from one process only where these take more than {_ENOUGH_S:.0f} s. "
    "*Files to read* must be 1; who would read more is not ranked. *On disk* is all metadata of all versions. "
    "Ways: tablelog `scan(where=…).files`; delta-rs, from a checkpoint of its newest version, "
    "`file_uris(file_pruning_predicate=…)`, and `get_add_actions`, which gives all entries as Arrow, with a filter by "
    "NumPy, right where all have bounds; PyIceberg `scan(row_filter=…).plan_files()`; DuckLake a query until it asks for the one file, which is "
    "not there, and the question to its catalog that its specification has readers ask; Lance, whose fragments have no "
    "bounds, the list of all of them. Who cannot do it within "
    f"{_LIMIT_S // 60} minutes and {_LIMIT_MB // 1000} GB is left out and said so."
)


@dataclass(slots=True)
class _Costs:
    """What one way took, a process after the other."""

    cold_ms: list[float] = field(default_factory=list)
    warm_ms: list[float] = field(default_factory=list)
    before_mb: list[float] = field(default_factory=list)
    peak_mb: list[float] = field(default_factory=list)
    files: int = 1

    def add(self, answer: dict[str, Any]) -> None:
        self.cold_ms.append(answer["cold_ms"])
        self.warm_ms += answer["warm_ms"]
        self.before_mb.append(answer["before_mb"])
        self.peak_mb.append(answer["peak_mb"])
        self.files = max(found["files"] for found in answer["found"])


def run(bench: Bench) -> Section:
    specs = [replace(spec, module=_MODULES[spec.name], settings={}) for spec in bench.specs(*_MODULES)]
    sizes = sorted({max(100, bench.options.entries // part) for part in (100, 10, 1)})
    given_up: dict[str, str] = {}
    return Section(
        key=KEY,
        title="planning over many file entries",
        text=_TEXT,
        tables=[_measure(bench, specs, count, given_up) for count in sizes],
        notes=[f"{label} is left out {why}" for label, why in given_up.items()],
    )


def _measure(bench: Bench, specs: list[Spec], count: int, given_up: dict[str, str]) -> Table:
    """One size; systems and ways that fail are not asked about a larger one."""
    places: dict[str, Place] = {}
    for spec in specs:
        if spec.name not in given_up and any(f"{spec.name}: {way}" not in given_up for way in _WAYS[spec.name]):
            places[spec.name] = bench.place(f"entries-{count}", spec)
            with Peer(spec, places[spec.name]) as peer:
                _ask(peer, "build_entries", count=count)
            if peer.error is not None:
                shutil.rmtree(places.pop(spec.name).root)
                given_up[spec.name] = f"from {count:,} entries on, which it did not make: {peer.error}"
    os.sync()
    wanted = points(count, _POINTS)
    costs: dict[str, _Costs] = {}
    asked = [(spec, way) for spec in specs if spec.name in places for way in _WAYS[spec.name]]
    for turn in range(max(3, bench.options.repeat)):
        for spec, way in asked:
            label = f"{spec.name}: {way}"
            if label in given_up or (turn and len(costs[label].warm_ms) < turn * (_POINTS - 1)):
                continue
            try:
                costs.setdefault(label, _Costs()).add(_planned(spec, places[spec.name], way, wanted))
            except PeerError as error:
                given_up[label] = f"from {count:,} entries on: {error}"
                del costs[label]
    table = Table(title=f"{count:,} entries", columns=_COLUMNS, first="way")
    for spec, way in asked:
        if (cost := costs.get(f"{spec.name}: {way}")) is not None:
            table.rows[f"{spec.name}: {way}"] = _row(cost, places[spec.name])
    table.unranked = tuple(label for label, cost in costs.items() if cost.files > 1)
    for place in places.values():
        shutil.rmtree(place.root)
    return table


def _planned(spec: Spec, place: Place, way: str, wanted: list[Point]) -> dict[str, Any]:
    """What one new process says.

    Raises:
        PeerError: it did not find the files in time, or others.

    """
    with Peer(spec, place) as peer:
        answer = _ask(peer, "plan_entries", way=way, ids=[point.id for point in wanted], enough_s=_ENOUGH_S)
    if peer.error is not None:
        raise PeerError(peer.error)
    for point, found in zip(wanted, answer["found"], strict=False):
        if found["files"] == 0 or (found["files"] == 1 and not found["first"].endswith(point.path)):
            raise PeerError(f"found {found['files']} files for the id {point.id}, not the one that has it")
    checked: dict[str, Any] = answer
    return checked


def _ask(peer: Peer, verb: str, **arguments: Any) -> Any:
    """The answer within limits of memory and time; what breaks them ends the process."""
    peer.ask("limit_memory", mb=_LIMIT_MB)
    late = Timer(_LIMIT_S, os.kill, (peer.process_id, signal.SIGKILL))
    began_s = time.monotonic()
    late.start()
    answer = peer.ask(verb, **arguments)
    late.cancel()
    if peer.error is not None and time.monotonic() - began_s >= _LIMIT_S:
        peer.error = f"not done after {_LIMIT_S} s"
    return answer


def _row(costs: _Costs, place: Place) -> list[float | str | None]:
    return [
        median(costs.cold_ms),
        median(costs.warm_ms),
        costs.files,
        median(costs.before_mb),
        median(costs.peak_mb),
        footprint(place.root)[1],
    ]
