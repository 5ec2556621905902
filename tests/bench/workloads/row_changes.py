"""W5: rows replaced, added and taken out in a table of millions."""

from __future__ import annotations

import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import polars as pl

from tests.bench.dataset import dataset, random_rows, write_rows
from tests.bench.measure import MB, flush, measured, median
from tests.bench.peers import Peer, PeerError, started
from tests.bench.queries import Query, fingerprint
from tests.bench.report import Column, Section, Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.bench.bench import Bench
    from tests.bench.systems.base import Place
    from tests.bench.systems.catalog import Spec

    _Scans: TypeAlias = dict[str, list[tuple[float, float]]]
    """By `system: way`, each round's milliseconds with the table as it was and with the changed one."""

KEY: Final = "W5"
_WAYS: Final = {
    "tablelog": ("sql", "lazy"),
    "tablelog-keyed": ("sql", "lazy"),
    "deltalake": ("pl.scan_delta", "QueryBuilder"),
    "pyiceberg": ("pl.scan_iceberg",),
    "lance": ("own SQL", "DuckDB"),
    "ducklake": ("sql",),
}
_QUERY: Final = Query(kind="columns")
_STEP: Final = 2
"""Ids of the table are even, so that there are others between them."""
_SEED: Final = 7
_ROUNDS: Final = 5
_COLUMNS: Final = (
    Column(name="s", digits=3),
    Column(name="s until on disk", digits=3),
    Column(name="CPU s", digits=3),
    Column(name="MB written", digits=2),
    Column(name="new files", digits=0),
    Column(name="peak MB", digits=0),
    Column(name="growth MB", digits=0),
)
_TEXT: Final = (
    "A table of {rows:,} rows with even ids was written at once, in the order of ids. A new process opens a copy and "
    "changes it in one commit. An *upsert* brings {upserted:,} rows in random order, half with ids that are there and "
    "half with new ones: *random* ones all over the table, the new ones odd and so between the others; *recent* ones "
    "from the newest 1 % and right after it. A *delete* takes out {deleted:,} rows, one of every thousand, or random "
    "ones that it lists by their ids. *MB written* is what files there grew by and *new files* how many came, catalogs "
    "included; *growth* is the peak of memory less what the process had when the table was open. *Until on disk* adds "
    "an fsync of whatever the system has not flushed by itself. Rows are verified after each run. The full scan "
    "aggregates every column, in a process that has the table as it was and one that has the changed one, all systems "
    "in turns, with a warm page cache. `tablelog` is told the key with `on=`, `tablelog-keyed` is a table that has "
    "one. Lance has no index here. delta-rs and PyIceberg write anew every file that a row is in, and PyIceberg's "
    "conditions have no arithmetic."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Change:
    """One thing that all are asked to do."""

    name: str
    row_count: int
    verb: str
    arguments: Mapping[str, str]
    right: list[float]
    """Fingerprint of the changed table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tables:
    """One system's."""

    spec: Spec
    place: Place
    """Where it was written and is changed."""
    kept: Place
    """A copy of it as it was written. Iceberg's paths are absolute, and lead from here to the old files there."""

    def renew(self) -> None:
        """Undo all changes."""
        shutil.rmtree(self.place.root)
        shutil.copytree(self.kept.root, self.place.root)
        os.sync()  # what a copy left in the cache shall not slow down what comes after it

    def sizes(self) -> dict[Path, int]:
        """Of every file."""
        return {path: path.stat().st_size for path in Path(self.place.root).rglob("*") if path.is_file()}


def run(bench: Bench) -> Section:
    notes: dict[str, None] = {}
    source = dataset(bench.options.work, bench.options.rows, step=_STEP)
    right = fingerprint(_QUERY.polars(pl.scan_ipc(source)))
    tables = [each for spec in bench.specs(*_WAYS) if (each := _written(bench, spec, source, notes)) is not None]
    costs: list[Table] = []
    scans: dict[str, _Scans] = {}
    for change in _changes(bench, source):
        table = Table(title=f"{change.name}: {change.row_count:,} rows", columns=_COLUMNS)
        table.rows = _change(bench, tables, change, notes)
        costs.append(table)
        changed = [each for each in tables if each.spec.name in table.rows]
        scans[change.name] = _scan(changed, change, right, notes)
    return Section(
        key=KEY,
        title="rows change",
        text=_TEXT.format(
            rows=bench.options.rows, upserted=bench.options.rows // 200 * 2, deleted=bench.options.rows // 1000
        ),
        tables=[*costs, _ratios(scans), _times(scans)],
        notes=list(notes),
    )


def _written(bench: Bench, spec: Spec, source: Path, notes: dict[str, None]) -> _Tables | None:
    tables = _Tables(spec=spec, place=bench.place("changes", spec), kept=bench.place("changes-kept", spec))
    with Peer(spec, tables.place) as peer:
        peer.ask("write", path=str(source), times=0)
    if peer.error is not None:
        notes[f"{spec.name}, write: {peer.error}"] = None
        return None
    shutil.copytree(tables.place.root, tables.kept.root, dirs_exist_ok=True)
    return tables


def _changes(bench: Bench, source: Path) -> list[_Change]:
    rows, folder = bench.options.rows, bench.options.work
    half, newest = rows // 200, rows // 100
    random = np.random.default_rng(_SEED)
    listed = np.sort(random.choice(rows, rows // 1000, replace=False)) * _STEP
    return [
        _upsert(
            "random",
            source,
            folder,
            random.choice(rows, half, replace=False) * _STEP,
            random.choice(rows, half, replace=False) * _STEP + 1,
        ),
        _upsert(
            "recent",
            source,
            folder,
            (rows - 1 - random.choice(newest, half, replace=False)) * _STEP,
            (rows + np.arange(half)) * _STEP,
        ),
        _delete(
            "one of every thousand", source, f"id % {1000 * _STEP} = 14", np.arange(14, rows * _STEP, 1000 * _STEP)
        ),
        _delete("by a list of ids", source, Query(kind="ids", ids=tuple(listed.tolist())).where, listed),
    ]


def _upsert(keys: str, source: Path, folder: Path, known: Any, new: Any) -> _Change:
    """Rows with ids that are there and with new ones, in random order."""
    random = np.random.default_rng(_SEED)
    ids = random.permutation(np.concatenate([known, new]))
    path = folder / f"upsert-{keys}.arrow"
    write_rows(path, [random_rows(random, ids)])
    return _Change(
        name=f"upsert, {keys} keys",
        row_count=len(ids),
        verb="upsert",
        arguments={"path": str(path)},
        right=fingerprint(_QUERY.polars(pl.concat([_without(source, ids), pl.scan_ipc(path)]))),
    )


def _delete(which: str, source: Path, where: str | None, ids: Any) -> _Change:
    """The rows with these ids, which a condition tells."""
    assert where is not None
    return _Change(
        name=f"delete, {which}",
        row_count=len(ids),
        verb="delete",
        arguments={"where": where},
        right=fingerprint(_QUERY.polars(_without(source, ids))),
    )


def _without(source: Path, ids: Any) -> pl.LazyFrame:
    return pl.scan_ipc(source).join(pl.LazyFrame({"id": ids}), on="id", how="anti")


def _change(
    bench: Bench, tables: Sequence[_Tables], change: _Change, notes: dict[str, None]
) -> dict[str, list[float | str | None]]:
    """Medians by system, without those that failed; tables stay as the last run left them."""
    found: dict[str, list[list[float]]] = {each.spec.name: [] for each in tables}
    for _ in range(bench.options.repeat):
        for each in tables:
            if each.spec.name in found:
                try:
                    found[each.spec.name].append(_measured(each, change))
                except PeerError as error:
                    notes[f"{each.spec.name}, {change.name}: {error}"] = None
                    del found[each.spec.name]
    return {name: [median(figures) for figures in zip(*runs, strict=True)] for name, runs in found.items()}


def _measured(tables: _Tables, change: _Change) -> list[float]:
    """One run on the table as it was written.

    Raises:
        PeerError: the system could not do it, or its table now has other rows than it should.

    """
    tables.renew()
    before = tables.sizes()
    with Peer(tables.spec, tables.place) as peer:
        cost = peer.need(change.verb, **change.arguments)
        with measured() as flushed:
            flush(tables.place.root)
        after = tables.sizes()
    with Peer(tables.spec, tables.place) as peer:
        peer.need("ways")
        there = peer.need("ask", way=_WAYS[tables.spec.name][0], query=asdict(_QUERY))["print"]
        if there != change.right:
            raise PeerError(f"WRONG, {there} instead of {change.right}")
    return [
        cost["s"],
        cost["s"] + flushed.wall_ms / 1e3,
        cost["cpu_s"],
        sum(max(0, size - before.get(path, 0)) for path, size in after.items()) / MB,
        len(after.keys() - before.keys()),
        cost["peak_mb"],
        cost["peak_mb"] - cost["before_mb"],
    ]


def _scan(tables: Sequence[_Tables], change: _Change, right: list[float], notes: dict[str, None]) -> _Scans:
    """Rounds in which all have their turn; the first one warms up and is left out."""
    found: _Scans = {}
    with started((each.spec, place) for each in tables for place in (each.kept, each.place)) as peers:
        for peer in peers:
            peer.ask("ways")
        for number in range(_ROUNDS + 1):
            for before, after in zip(peers[::2], peers[1::2], strict=True):
                for way in _WAYS[before.name]:
                    label = f"{before.name}: {way}"
                    try:
                        took = _round((before, after), way, number, (right, change.right))
                    except PeerError as error:
                        notes[f"{label} after {change.name}: {error}"] = None
                    else:
                        if number:
                            found.setdefault(label, []).append(took)
    return found


def _round(peers: Sequence[Peer], way: str, number: int, right: Sequence[list[float]]) -> tuple[float, float]:
    """Milliseconds of the table as it was and of the changed one, now one first and now the other.

    Raises:
        PeerError: one of them cannot answer, or answers wrong.

    """
    turn = 1 if number % 2 else -1
    before, after = [peer.need("ask", way=way, query=asdict(_QUERY)) for peer in peers[::turn]][::turn]
    there = (before["print"], after["print"])
    if there != tuple(right):
        raise PeerError(f"WRONG, {there} instead of {right}")
    return before["ms"], after["ms"]


def _ratios(scans: Mapping[str, _Scans]) -> Table:
    """Medians of the ratios of neighbours in time."""
    table = Table(
        title="full scan, time after / time before",
        columns=tuple(Column(name=f"after {name}", digits=2) for name in scans),
        first="way",
    )
    for label in _labels(scans):
        rounds = [found.get(label) for found in scans.values()]
        table.rows[label] = [median(after / before for before, after in each) if each else None for each in rounds]
    return table


def _times(scans: Mapping[str, _Scans]) -> Table:
    table = Table(
        title="full scan, ms",
        columns=(Column(name="before"), *(Column(name=f"after {name}") for name in scans)),
        first="way",
    )
    for label in _labels(scans):
        rounds = [found.get(label, []) for found in scans.values()]
        afters = [median(after for _, after in each) if each else None for each in rounds]
        table.rows[label] = [median(before for each in rounds for before, _ in each), *afters]
    return table


def _labels(scans: Mapping[str, _Scans]) -> list[str]:
    """All, in the order of systems."""
    return [
        label
        for label in (f"{name}: {way}" for name, ways in _WAYS.items() for way in ways)
        if any(label in found for found in scans.values())
    ]
