"""W9: up to which size rows had better ride inside their commit than lie in a file of their own."""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from tablelog.lake import connect
from tablelog.store.memory import named_memory_store
from tablelog.store.prefixed import PrefixedStore
from tablelog.table import Table as OpenTable
from tests.bench.latent import LatentStore
from tests.bench.report import Column, Section, Table
from tests.bench.rows import SCHEMA, append_rows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.bench.bench import Bench

KEY: Final = "W9"
_ROWS: Final = (10, 100, 1000, 3000, 10_000)
_APPENDS: Final = 60
_DELAY_S: Final = 0.03
_WAYS: Final = {"in the commit": 1024 * 1024, "in a file": 0}
_COLUMNS: Final = (
    Column(name="KB each", ranked=False),
    Column(name="append, disk, ms", digits=2),
    Column(name="append, far, ms", digits=0),
    Column(name="open and scan, disk, ms", digits=0),
    Column(name="open and scan, far, ms", digits=0),
    Column(name="scan again, disk, ms"),
)
_TEXT: Final = (
    f"{_APPENDS} appends of so many rows of eight columns, inside their commits (`inline_max_bytes` at its most) and as "
    "files (0): on disk with fsync, and in memory behind a store that answers after 30 ms (*far*). *Open and scan* is a "
    "handle that knows nothing and sums a column of all of them; *again* the same handle, warm. KB are those of the "
    "folder by append."
)


def run(bench: Bench) -> Section:
    return Section(key=KEY, title="rows inside commits", text=_TEXT, tables=[_measure(bench, rows) for rows in _ROWS])


def _measure(bench: Bench, row_count: int) -> Table:
    measured = Table(title=f"{row_count:,} rows an append", columns=_COLUMNS, first="rows")
    batches = [_rows(number, row_count) for number in range(_APPENDS)]
    for way, most in _WAYS.items():
        root = bench.options.work / f"inlining-{row_count}-{most}"
        near = connect(root).create_table("t", SCHEMA, properties={"inline_max_bytes": most})
        on_disk = [_took_ms(near.append, batch) for batch in batches]
        size_kb = sum(path.stat().st_size for path in root.rglob("*") if path.is_file()) / 1e3 / _APPENDS
        name = f"inlining-{row_count}-{most}"
        connect(f"memory://{name}").create_table("t", SCHEMA, properties={"inline_max_bytes": most})
        store = LatentStore(PrefixedStore(named_memory_store(name), "t"))
        far = OpenTable(store, "t")
        far.version  # noqa: B018 - opening is not part of what is measured
        store.reset(delay_s=_DELAY_S)
        away = [_took_ms(far.append, batch) for batch in batches[:15]]
        store.reset(delay_s=0.0)
        for batch in batches[15:]:
            far.append(batch)
        store.reset(delay_s=_DELAY_S)
        again = connect(root).table("t")
        measured.rows[way] = [
            size_kb,
            median(on_disk),
            median(away),
            median(_took_ms(_open_and_sum, root) for _ in range(5)),
            _took_ms(_sum, OpenTable(store, "t")),
            median(_took_ms(_sum, again) for _ in range(9)),
        ]
    return measured


def _rows(number: int, row_count: int) -> pa.Table:
    """Some rows; those of one append of the other workloads, as often as it takes."""
    pieces = -(-row_count // append_rows(0).num_rows)
    every = pa.concat_tables(append_rows(number * pieces + piece) for piece in range(pieces))
    return every.slice(0, row_count)


def _open_and_sum(root: Path) -> None:
    _sum(connect(root).table("t"))


def _sum(table: OpenTable) -> None:
    pc.sum(table.scan(columns=["quantity"]).to_arrow().column(0))


def _took_ms(do: Callable[..., object], *arguments: object) -> float:
    began = time.perf_counter()
    do(*arguments)
    return 1e3 * (time.perf_counter() - began)
