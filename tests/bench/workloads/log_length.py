"""W8: what opening a table asks of an object store, and how often it has to wait, as the history grows."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from tablelog.format import names
from tablelog.format.actions import AddFile
from tablelog.format.statistics import FieldStatistics
from tablelog.lake import connect
from tablelog.ops.planned import Planned
from tablelog.store.memory import named_memory_store
from tablelog.store.prefixed import PrefixedStore
from tablelog.table import Table as OpenTable
from tests.bench.latent import LatentStore
from tests.bench.report import Column, Section, Table

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.bench.bench import Bench

KEY: Final = "W8"
_DELAY_S: Final = 0.05
_SIZES: Final = (100, 1000, 10_000)
_COLUMNS: Final = (
    Column(name="requests", digits=0, ranked=False),
    Column(name="of these", ranked=False),
    Column(name="round trips", digits=0, ranked=False),
    Column(name="ms", digits=0, ranked=False),
)
_FAN_OUTS: Final = (4, 8, 16, 32, 64)
_FAN_OUT_COMMITS: Final = 5000
_FAN_OUT_PROBE: Final = 137
_FAN_OUT_COLUMNS: Final = (
    Column(name="extra requests per append", digits=3),
    Column(name="CPU ms per append", digits=2),
    Column(name="MB of segments"),
    Column(name="gets to open, mean"),
    Column(name="gets to open, most", digits=0),
)
_TEXT: Final = (
    "A log in memory behind a store that answers after 50 ms and counts. Round trips are the longest row of requests of "
    "which each began after the answer to the one before. *open* is a handle that knows nothing, asked for the newest "
    "version and its row count; *version n/2* one that is asked for the rows of the version half way; *no hint* one that "
    "finds no `head.json`; *no segments* one that finds neither hint nor segments. Appends are over the last 512 commits, "
    "per commit, data file included; *refresh* asks a warm handle for its version."
)


def run(bench: Bench) -> Section:
    sizes = sorted({*_SIZES, bench.options.entries // 10})
    tables = [*(_measure(size) for size in sizes), _fan_outs()]
    return Section(key=KEY, title="requests by length of history", text=_TEXT, tables=tables)


def _measure(commits: int) -> Table:
    lake = connect(f"memory://log-length-{commits}")
    table = lake.create_table("t", {"id": "int64", "name": "string"})
    store = LatentStore(PrefixedStore(named_memory_store(f"log-length-{commits}"), "t"))
    writer = OpenTable(store, "t")
    measured = Table(title=f"{commits:,} commits", columns=_COLUMNS, first="operation")
    last = min(512, commits // 2)
    for number in range(commits - last):
        _append(writer, number)
    store.reset(delay_s=0.0)
    for number in range(commits - last, commits):
        store.put(f"data/{number:032x}.parquet", b"")
        _append(writer, number)
    each = {verb: count / last for verb, count in sorted(store.counts.items())}
    measured.rows["append, warm"] = [None, ", ".join(f"{verb} {count:.3f}" for verb, count in each.items()), None, None]
    measured.rows["refresh"] = _asked(store, lambda: writer.version)
    measured.rows["open"] = _asked(store, lambda: OpenTable(store, "t").row_count)
    measured.rows["version n/2"] = _asked(store, lambda: OpenTable(store, "t").at(version=commits // 2).row_count)
    store.delete(f"{names.LOG}{names.HINT}")
    measured.rows["open, no hint"] = _asked(store, lambda: OpenTable(store, "t").row_count)
    for info in list(store.list(f"{names.LOG}{names.SEGMENTS}")):
        store.delete(info.key)
    measured.rows["open, no segments"] = _asked(store, lambda: OpenTable(store, "t").row_count)
    assert table.row_count == commits * 100
    return measured


def _fan_outs() -> Table:
    """What the fan-out costs writers and readers."""
    measured = Table(title=f"fan-out, {_FAN_OUT_COMMITS:,} commits", columns=_FAN_OUT_COLUMNS, first="fan-out")
    for fan_out in _FAN_OUTS:
        name = f"fan-out-{fan_out}"
        connect(f"memory://{name}").create_table("t", {"id": "int64"}, properties={"log_fan_out": fan_out})
        store = LatentStore(PrefixedStore(named_memory_store(name), "t"))
        writer = OpenTable(store, "t")
        writer.version  # noqa: B018 - opening is not part of what is measured
        opened: list[int] = []
        began = time.process_time()
        store.reset(delay_s=0.0)
        puts = 0
        for number in range(_FAN_OUT_COMMITS):
            _append(writer, number)
            if number % _FAN_OUT_PROBE == _FAN_OUT_PROBE - 1:
                puts += store.counts["PUT"] + store.counts["conditional PUT"]
                store.reset(delay_s=0.0)
                OpenTable(store, "t").version  # noqa: B018 - asking is what is measured
                opened.append(store.counts.total())
                store.reset(delay_s=0.0)
        spent_ms = 1e3 * (time.process_time() - began) / _FAN_OUT_COMMITS
        merged = sum(info.size_bytes for info in store.list(f"{names.LOG}{names.SEGMENTS}"))
        extra = puts / _FAN_OUT_COMMITS - 1
        measured.rows[str(fan_out)] = [extra, spent_ms, merged / 1e6, sum(opened) / len(opened), max(opened)]
    return measured


def _append(table: OpenTable, number: int) -> None:
    """The second half of `Table.append`, whose first half writes the file."""
    known = FieldStatistics(min=number, max=number + 99, null_count=0, nan_count=0)
    file = AddFile(
        path=f"data/{number:032x}.parquet", size_bytes=4000, row_count=100, schema_id=0, statistics={1: known}, crc32=1
    )
    table._commit(lambda _: Planned(operation="append", actions=(file,), info={"rows_added": 100}))


def _asked(store: LatentStore, ask: Callable[[], object]) -> list[float | str | None]:
    store.reset(delay_s=_DELAY_S)
    began = time.perf_counter()
    ask()
    took_ms = 1e3 * (time.perf_counter() - began)
    counts = ", ".join(f"{verb} {count}" for verb, count in sorted(store.counts.items()))
    row: list[float | str | None] = [store.counts.total(), counts, store.rounds(), took_ms]
    store.reset(delay_s=0.0)
    return row
