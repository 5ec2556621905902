"""W4: millions of rows into a new table, from memory and as a stream."""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from tests.bench.dataset import dataset
from tests.bench.measure import footprint, median
from tests.bench.peers import Peer
from tests.bench.report import Column, Section, Table

if TYPE_CHECKING:
    from pathlib import Path

    from tests.bench.bench import Bench
    from tests.bench.systems.catalog import Spec

KEY: Final = "W4"
SYSTEMS: Final = ("tablelog", "floor", "deltalake", "pyiceberg", "lance", "ducklake")
_COLUMNS: Final = (
    Column(name="s", digits=2),
    Column(name="s until on disk", digits=2),
    Column(name="CPU s", digits=2),
    Column(name="million rows/s", ranked=False, digits=2),
    Column(name="files", digits=0, ranked=False),
    Column(name="MB"),
    Column(name="peak MB", digits=0),
)
_STREAM_COLUMNS: Final = (
    Column(name="s", digits=2),
    Column(name="peak MB", digits=0),
    Column(name="s, twice the rows", digits=2),
    Column(name="peak MB, twice the rows", digits=0),
)


def run(bench: Bench) -> Section:
    source = dataset(bench.options.work, bench.options.rows)
    specs = bench.specs(*SYSTEMS)
    notes: list[str] = []
    memory = Table(title=f"{bench.options.rows:,} rows from memory", columns=_COLUMNS, unranked=("floor",))
    stream = Table(title="the same as a stream", columns=_STREAM_COLUMNS, unranked=("floor",))
    _write_from_memory(bench, specs, source, memory, notes)
    _write_streams(bench, specs, source, stream, notes)
    size_mb = source.stat().st_size / 1e6
    return Section(
        key=KEY,
        title="bulk write",
        text=(
            f"One new table from {size_mb:,.0f} MB of Arrow, 8 columns. *From memory*: one Arrow table over a mapped "
            "file, whose pages count as the process's memory. *As a stream*: a record batch reader of 250,000 rows a "
            "batch, read from disk on the way, once and then twice over: memory that does not grow with the input is "
            "bounded. *Until on disk* adds an fsync of whatever the system has not flushed by itself. `floor` is "
            "PyArrow's writer into one file, with one thread."
        ),
        tables=[memory, stream],
        notes=notes,
    )


def _write_from_memory(bench: Bench, specs: list[Spec], source: Path, table: Table, notes: list[str]) -> None:
    costs: dict[str, list[dict[str, float]]] = defaultdict(list)
    for _ in range(bench.options.repeat):
        for spec in specs:
            bench.written[spec.name] = bench.place("bulk", spec)
            os.sync()  # what the last one left in the cache shall not slow down this one
            with Peer(spec, bench.written[spec.name]) as peer:
                answer = peer.ask("write", path=str(source), times=0)
            if answer is None:
                notes.append(f"{spec.name}: {peer.error}")
                del bench.written[spec.name]
            else:
                costs[spec.name].append(answer)
    for name, found in costs.items():
        seconds, flush_s, cpu_s, peak = (
            median(each[key] for each in found) for key in ("s", "flush_s", "cpu_s", "peak_mb")
        )
        count, size_mb = footprint(bench.written[name].root)
        table.rows[name] = [seconds, seconds + flush_s, cpu_s, bench.options.rows / seconds / 1e6, count, size_mb, peak]


def _write_streams(bench: Bench, specs: list[Spec], source: Path, table: Table, notes: list[str]) -> None:
    for spec in specs:
        figures: list[float | str | None] = []
        for times in (1, 2):
            place = bench.place("stream", spec)
            os.sync()
            with Peer(spec, place) as peer:
                answer = peer.ask("write", path=str(source), times=times)
            shutil.rmtree(place.root, ignore_errors=True)
            if answer is None:
                notes.append(f"{spec.name}, as a stream: {peer.error}")
            figures += [None, None] if answer is None else [answer["s"], answer["peak_mb"]]
        table.rows[spec.name] = figures
