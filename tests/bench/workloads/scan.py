"""W4s: reading what the bulk write left."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from tests.bench.measure import median
from tests.bench.peers import Peer, started
from tests.bench.queries import scan_queries
from tests.bench.report import Column, Section, Table
from tests.bench.workloads import bulk_write

if TYPE_CHECKING:
    from tests.bench.bench import Bench
    from tests.bench.queries import Query

KEY: Final = "W4s"
_PLAIN: Final = {"sql": "DuckDB, all files", "lazy": "Polars, all files"}
_ROUNDS_MIN: Final = 14
_LEFT_OUT: Final = frozenset({"explain", "DuckDB, files needed", "Polars, files needed"})
_FILTERS_ONLY: Final = frozenset({"scan", "to_table"})
"""Ways that give rows and compute nothing."""


def run(bench: Bench) -> Section:
    if not bench.written:
        bulk_write.run(bench)
    queries = scan_queries(bench.options.rows)
    notes: dict[str, None] = {}
    costs = _measure(bench, queries, notes)
    return Section(
        key=KEY,
        title="scans of those tables",
        text=(
            "Each system asks its own files in its own best ways, twice in a row, of which the second time counts; the "
            "page cache is warm, all give the same answers. *DuckDB, all files* is `read_parquet` and *Polars, all "
            "files* `scan_parquet` of exactly the files that tablelog wrote, in the same process in turns with "
            "`lake.sql` and `table.lazy()`, now one first and now the other: their ratio is what tablelog adds. Lance "
            "has no index here; DuckLake runs on DuckDB 1.5."
        ),
        tables=[_times(queries, costs), _ratios(queries, costs)],
        notes=list(notes),
    )


def _measure(bench: Bench, queries: dict[str, Query], notes: dict[str, None]) -> dict[str, dict[str, list[float]]]:
    """Milliseconds by `system: way` and question."""
    costs: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    specs = bench.specs(*(name for name in bulk_write.SYSTEMS if name in bench.written and name != "floor"))
    with started((spec, bench.written[spec.name]) for spec in specs) as peers:
        ways = {peer.name: [way for way in peer.ask("ways") or () if way not in _LEFT_OUT] for peer in peers}
        for question, query in queries.items():
            right: Any = None
            for number in range(max(_ROUNDS_MIN, bench.options.repeat) + 1):
                for peer in peers:
                    for way in ways[peer.name][
                        :: 1 if number % 2 else -1
                    ]:  # neither is always the one after another system
                        if way in _FILTERS_ONLY and query.where is None:
                            continue
                        peer.ask("ask", way=way, query=asdict(query))  # after another engine all are slower
                        answer = peer.ask("ask", way=way, query=asdict(query))
                        if answer is None:
                            notes[f"{peer.name}, {way}, {question}: {peer.error}"] = None
                            continue
                        right = right or answer["print"]
                        if answer["print"] != right:
                            wrong = f"{peer.name}, {way}, {question}: WRONG, {answer['print']} instead of {right}"
                            notes[wrong] = None
                        if number:
                            costs[_label(peer, way)][question].append(answer["ms"])
    return costs


def _label(peer: Peer, way: str) -> str:
    return f"{peer.name}: {way}" if peer.name != "tablelog" or way not in _PLAIN.values() else way


def _times(queries: dict[str, Query], costs: dict[str, dict[str, list[float]]]) -> Table:
    table = Table(
        title="ms",
        columns=tuple(Column(name=question) for question in queries),
        unranked=tuple(_PLAIN.values()),
        first="way",
    )
    for label, found in costs.items():
        table.rows[label] = [median(found[question]) if found.get(question) else None for question in queries]
    return table


def _ratios(queries: dict[str, Query], costs: dict[str, dict[str, list[float]]]) -> Table:
    """Medians of the ratios of neighbours in time."""
    table = Table(
        title="time of tablelog / time of the engine alone on all the files",
        columns=tuple(Column(name=question, digits=2, ranked=False) for question in queries),
        first="way",
    )
    for way, plain in _PLAIN.items():
        own, alone = costs.get(f"tablelog: {way}"), costs.get(plain)
        if own and alone:
            table.rows[f"{way} / {plain}"] = [
                median(a / b for a, b in zip(own[question], alone[question], strict=True)) for question in queries
            ]
    return table
