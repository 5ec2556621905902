"""W10: what many small appends cost when writers put files together in passing, and what it saves readers."""

from __future__ import annotations

import math
import random
import time
from statistics import mean, median
from typing import TYPE_CHECKING, Any, Final

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from tablelog.lake import connect
from tests.bench.report import Column, Section, Table
from tests.bench.rows import APPEND_ROWS, SCHEMA, append_rows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.bench.bench import Bench

KEY: Final = "W10"
_ORDERS: Final[dict[str, tuple[dict[str, Any], bool]]] = {
    "no order": ({}, False),
    "sorted, growing": ({"sort_by": "id"}, False),
    "sorted, random": ({"sort_by": "id"}, True),
    "no order, never": ({"properties": {"auto_compact": "off"}}, False),
}
"""Options of the table, and whether ids come in random order."""
_COLUMNS: Final = (
    Column(name="ms an append", digits=2),
    Column(name="slowest append, ms", digits=0),
    Column(name="files, most", digits=0),
    Column(name="files, mean", digits=0),
    Column(name="files at the end", digits=0),
    Column(name="levels", digits=0, ranked=False),
    Column(name="write amplification"),
    Column(name="in theory", ranked=False),
    Column(name="read amplification, a key", digits=0),
    Column(name="scan / ideal, SQL", digits=2),
    Column(name="scan / ideal, Polars", digits=2),
    Column(name="files after compact()", digits=0),
    Column(name="then SQL", digits=2),
    Column(name="then Polars", digits=2),
)
_TEXT: Final = (
    "Appends of {rows} rows of eight columns from one writer, nothing else: `compact()` is only called in the end. *Files* are what "
    "a scan of the version after each append opens, rows inside commits by commit. *Write amplification* is bytes of "
    "files and commits written again for each byte appended. *In theory*: one write for each size or level that rows pass, "
    "and (10 + 1) / 2 for each level if keys come in random order and everything overlaps. *Read amplification* is in how "
    "many files a key may be. The *ideal* is one sorted Parquet file of the same rows, zstd, row groups of 122,880, read by the same engine "
    "itself; medians of {rounds} rounds in turns, a sum of all numbers and the longest text."
)
_ROUNDS: Final = 15
_SQL: Final = "SELECT sum(id), sum(price), sum(weight), sum(quantity), max(name), count(active) FROM {}"


def run(bench: Bench) -> Section:
    return Section(
        key=KEY,
        title="the tree of data files",
        text=_TEXT.format(rows=APPEND_ROWS, rounds=_ROUNDS),
        tables=[_measure(bench, bench.options.long)],
    )


def _measure(bench: Bench, commits: int) -> Table:
    found = Table(title=f"{commits:,} appends of {APPEND_ROWS} rows", columns=_COLUMNS, first="table")
    for name, (options, is_random) in _ORDERS.items():
        numbers = list(range(commits))
        if is_random:
            random.Random(7).shuffle(numbers)
        found.rows[name] = _grow(bench.options.work / f"tree-{name.replace(' ', '-')}", options, numbers)
    return found


def _grow(root: Path, options: dict[str, Any], numbers: list[int]) -> list[float | str | None]:
    lake = connect(root)
    table = lake.create_table("t", SCHEMA, **options)
    took_ms: list[float] = []
    files: list[int] = []
    for number in numbers:
        rows = append_rows(number)
        took_ms.append(_took_ms(lambda rows=rows: table.append(rows)))
        files.append(table._log.known().file_count)
    health = table.health()
    levels = len([level for level in health.levels if level.level])
    ideal = root / "ideal.parquet"
    pq.write_table(
        pa.concat_tables(append_rows(number) for number in sorted(numbers)),
        ideal,
        compression="zstd",
        row_group_size=122_880,
    )

    def scans() -> list[float]:
        return [
            _ratio(lambda: lake.sql(_SQL.format("t")).fetchall(), lambda: _of_duckdb(ideal)),
            _ratio(lambda: _of_polars(table.lazy()), lambda: _of_polars(pl.scan_parquet(ideal))),
        ]

    before = scans()
    table.compact()
    after = scans()
    return [
        mean(took_ms),
        max(took_ms),
        max(files),
        mean(files),
        files[-1],
        levels,
        health.write_amplification,
        _theory(levels, is_random=numbers != sorted(numbers)),
        health.read_amplification,
        *before,
        table.snapshot().state.file_count,
        *after,
    ]


def _theory(levels: int, *, is_random: bool) -> float:
    return levels * ((10 + 1) / 2 if is_random else 1)


_CONNECTION: Final = duckdb.connect()


def _of_duckdb(path: Path) -> None:
    _CONNECTION.sql(_SQL.format(f"'{path}'")).fetchall()


def _of_polars(frame: pl.LazyFrame) -> None:
    numbers = pl.col("id", "price", "weight", "quantity").sum()
    frame.select(numbers, pl.col("name").max(), pl.col("active").count()).collect()


def _ratio(ours: Callable[[], object], ideal: Callable[[], object]) -> float:
    """Ours by the ideal, each as often first; the first rounds warm up."""
    ratios = []
    for number in range(_ROUNDS + 2):
        both = (ours, ideal) if number % 2 else (ideal, ours)
        took = {do: _took_ms(do) for do in both}
        ratios.append(took[ours] / took[ideal])
    ratio = median(ratios[2:])
    assert math.isfinite(ratio)
    return ratio


def _took_ms(do: Callable[[], object]) -> float:
    began = time.perf_counter()
    do()
    return 1e3 * (time.perf_counter() - began)
