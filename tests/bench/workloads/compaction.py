"""W11: a thousand small files put together."""

from __future__ import annotations

import os
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

import polars as pl

from tests.bench.dataset import dataset
from tests.bench.measure import MB, flush, measured, median
from tests.bench.peers import Peer, PeerError
from tests.bench.queries import Query, fingerprint
from tests.bench.report import Column, Section, Table

if TYPE_CHECKING:
    from tests.bench.bench import Bench
    from tests.bench.systems.base import Place
    from tests.bench.systems.catalog import Spec

KEY: Final = "W11"
_WAYS: Final = {
    "tablelog-plain": "sql",
    "tablelog-sorted": "sql",
    "deltalake": "pl.scan_delta",
    "ducklake": "sql",
    "lance": "own SQL",
}
_FILES: Final = 1000
_QUERY: Final = Query(kind="columns")
_COLUMNS: Final = (
    Column(name="s", digits=2),
    Column(name="s until on disk", digits=2),
    Column(name="CPU s", digits=2),
    Column(name="peak MB", digits=0),
    Column(name="MB written", digits=0),
    Column(name="files after", digits=0, ranked=False),
)
_TEXT: Final = (
    "{rows:,} rows were appended in {files:,} commits of one file each; a new process opens a copy and puts the files "
    "together: `compact()`, `optimize.compact()`, `merge_adjacent_files`, `compact_files()`, each with its defaults, in "
    "turns. `tablelog-sorted` is a table with a sort order of which files overlap a little, and sorts. *Until on disk* adds an fsync of what "
    "the system has not flushed itself. Rows are verified after each run."
)


def run(bench: Bench) -> Section:
    source = dataset(bench.options.work, bench.options.rows)
    right = fingerprint(_QUERY.polars(pl.scan_ipc(source)))
    notes: dict[str, None] = {}
    kept = {
        spec.name: (spec, place)
        for spec in bench.specs(*_WAYS)
        if (place := _written(bench, spec, source, notes)) is not None
    }
    runs: dict[str, list[list[float]]] = {name: [] for name in kept}
    for _ in range(bench.options.repeat):
        for name, (spec, place) in kept.items():
            try:
                runs[name].append(_measured(bench, spec, place, right))
            except PeerError as error:
                notes[f"{name}: {error}"] = None
    table = Table(title=f"{_FILES:,} files", columns=_COLUMNS)
    table.rows = {name: [median(each) for each in zip(*found, strict=True)] for name, found in runs.items() if found}
    text = _TEXT.format(rows=bench.options.rows, files=_FILES)
    return Section(key=KEY, title="small files put together", text=text, tables=[table], notes=list(notes))


def _written(bench: Bench, spec: Spec, source: Path, notes: dict[str, None]) -> Place | None:
    place, count = bench.place("compaction", spec), bench.options.rows // _FILES
    with Peer(spec, place) as peer:
        peer.ask("create")
        for number in range(_FILES):
            peer.ask("append_slice", path=str(source), start=number * count, count=count)
    if peer.error is not None:
        notes[f"{spec.name}, append: {peer.error}"] = None
        return None
    kept = bench.place("compaction-kept", spec)
    shutil.copytree(place.root, kept.root, dirs_exist_ok=True)
    return kept


def _measured(bench: Bench, spec: Spec, kept: Place, right: list[float]) -> list[float]:
    place = bench.place("compaction", spec)
    shutil.copytree(kept.root, place.root, dirs_exist_ok=True)
    os.sync()
    before = _size(place.root)
    with Peer(spec, place) as peer:
        cost = peer.need("compact")
        with measured() as flushed:
            flush(place.root)
    written_mb = (_size(place.root) - before) / MB
    with Peer(spec, place) as peer:
        peer.need("ways")
        there = peer.need("ask", way=_WAYS[spec.name], query=asdict(_QUERY))["print"]
        files = peer.need("open")["files"]
    if there != right:
        raise PeerError(f"WRONG, {there} instead of {right}")
    on_disk_s = cost["s"] + flushed.wall_ms / 1e3
    return [cost["s"], on_disk_s, cost["cpu_s"], cost["peak_mb"], written_mb, files]


def _size(folder: str) -> int:
    return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
