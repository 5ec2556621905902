"""W2: a new process opens a table with a long history."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from tests.bench.growth import grown
from tests.bench.measure import median
from tests.bench.peers import Peer
from tests.bench.report import Column, Section, Table
from tests.bench.rows import APPEND_ROWS

if TYPE_CHECKING:
    from tests.bench.bench import Bench

KEY: Final = "W2"
_SAME: Final = {"floor-cached": "floor", "deltalake-handle": "deltalake"}
"""Ways to write what another system writes in the same format."""
_COLUMNS: Final = (
    Column(name="open ms"),
    Column(name="+ files ms"),
    Column(name="+ rows ms"),
    Column(name="sum ms"),
    Column(name="sum CPU ms"),
    Column(name="time travel ms"),
    Column(name="live files", digits=0, ranked=False),
)


def run(bench: Bench) -> Section:
    sizes = sorted({max(2, bench.options.commits // 10), bench.options.commits, bench.options.long})
    notes: list[str] = []
    return Section(
        key=KEY,
        title="cold open",
        text=(
            "A new process, imports done, opens the table and learns its version; then lists its live files; then "
            "counts its rows. Another new process opens it as it was half way and counts the rows. The page cache is "
            "warm. DuckLake's catalog was left by a process that ended without closing it, so what opens it reads a "
            "write-ahead log first; closed properly, it opened in 24 to 30 ms in earlier runs."
        ),
        tables=[_measure(bench, commits, notes) for commits in sizes],
        notes=notes,
    )


def _measure(bench: Bench, commits: int, notes: list[str]) -> Table:
    result = grown(bench, commits)
    whole = {_SAME.get(spec.name, spec.name): spec for spec in reversed(result.specs) if spec.name not in result.errors}
    specs = [spec for spec in result.specs if spec.name in whole]
    places = {name: result.places[spec.name] for name, spec in whole.items()}
    opened: dict[str, list[dict[str, float]]] = defaultdict(list)
    travelled: dict[str, list[float]] = defaultdict(list)
    for _ in range(max(3, bench.options.repeat)):
        for spec in specs:
            with Peer(spec, places[spec.name]) as peer:
                _collect(peer.ask("open"), commits, peer, opened[spec.name])
            with Peer(spec, places[spec.name]) as peer:
                answer = peer.ask("travel", commits=commits // 2)
                kept: list[dict[str, float]] = []
                _collect(answer, commits // 2, peer, kept)
                travelled[spec.name] += [each["ms"] for each in kept]
            if peer.error:
                notes.append(f"{spec.name} at {commits:,} commits: {peer.error}")
    table = Table(title=f"{commits:,} commits", columns=_COLUMNS, unranked=("floor",))
    for spec in specs:
        if opened[spec.name]:
            table.rows[spec.name] = _row(opened[spec.name], travelled[spec.name])
    return table


def _collect(answer: Any, commits: int, peer: Peer, kept: list[dict[str, float]]) -> None:
    if answer is None:
        return
    if answer["rows"] != commits * APPEND_ROWS:
        peer.error = f"counted {answer['rows']} rows instead of {commits * APPEND_ROWS}"
        return
    kept.append(answer)


def _row(opened: list[dict[str, float]], travelled: list[float]) -> list[float | str | None]:
    steps = [median(each[name] for each in opened) for name in ("open_ms", "files_ms", "rows_ms")]
    return [
        *steps,
        sum(steps),
        median(each["cpu_ms"] for each in opened),
        median(travelled) if travelled else None,
        opened[0]["files"],
    ]
