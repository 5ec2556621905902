"""W5p: what it costs to find the one file of a hundred."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from tests.bench.bench import turns
from tests.bench.dataset import dataset
from tests.bench.measure import median
from tests.bench.peers import started
from tests.bench.queries import point
from tests.bench.report import Column, Section, Table

if TYPE_CHECKING:
    from tests.bench.bench import Bench
    from tests.bench.peers import Peer

KEY: Final = "W5p"
SYSTEMS: Final = ("tablelog", "deltalake", "pyiceberg", "lance", "ducklake")
_FILES: Final = 100
_ROUNDS: Final = 30
_OWN: Final = ("sql", "explain", "DuckDB, files needed", "lazy", "Polars, files needed", "scan")


def run(bench: Bench) -> Section:
    source = dataset(bench.options.work, bench.options.rows)
    notes: list[str] = []
    costs: dict[str, list[float]] = defaultdict(list)
    specs = bench.specs(*SYSTEMS)
    with started((spec, bench.place("planning", spec)) for spec in specs) as peers:
        for peer in peers:
            peer.ask("create")
            for piece in turns(bench.options.rows, -(-bench.options.rows // _FILES)):
                peer.ask("append_slice", path=str(source), start=piece.start, count=len(piece))
        ways = {
            peer.name: [way for way in peer.ask("ways") or () if peer.name != "tablelog" or way in _OWN]
            for peer in peers
        }
        for number in range(_ROUNDS + 3):
            query = point(bench.options.rows, number)  # an answer that is remembered is no plan
            for peer in peers:
                _round(peer, ways[peer.name], asdict(query), costs if number >= 3 else {}, notes)
    return Section(
        key=KEY,
        title="planning a point query",
        text=(
            f"A table of {_FILES} files, made by {_FILES} appends of {bench.options.rows // _FILES:,} rows each, held "
            "open; one row by its id, another one each time. *Files needed* is the engine alone on the one file that "
            "holds the row, which it is told beforehand: what a table format adds is the rest. `explain` plans and "
            "reads nothing."
        ),
        tables=[_times(costs), _overheads(costs)],
        notes=sorted(set(notes)),
    )


def _round(peer: Peer, ways: list[str], query: dict[str, Any], costs: dict[str, list[float]], notes: list[str]) -> None:
    for way in ways:
        answer = peer.ask("ask", way=way, query=query)
        if answer is None:
            notes.append(f"{peer.name}, {way}: {peer.error}")
        else:
            costs.setdefault(f"{peer.name}: {way}", []).append(answer["ms"])


def _times(costs: dict[str, list[float]]) -> Table:
    table = Table(
        title="ms a query", columns=(Column(name="median", digits=2), Column(name="fastest", digits=2)), first="way"
    )
    table.rows = {label: [median(found), min(found)] for label, found in costs.items()}
    table.unranked = ("tablelog: explain", "tablelog: DuckDB, files needed", "tablelog: Polars, files needed")
    return table


def _overheads(costs: dict[str, list[float]]) -> Table:
    table = Table(
        title="what tablelog adds, ms",
        columns=(Column(name="median of differences", digits=2, ranked=False),),
        first="way",
    )
    for way, plain in (("sql", "DuckDB, files needed"), ("lazy", "Polars, files needed")):
        own, alone = costs.get(f"tablelog: {way}"), costs.get(f"tablelog: {plain}")
        if own and alone:
            table.rows[f"{way} minus {plain}"] = [median(a - b for a, b in zip(own, alone, strict=True))]
    return table
