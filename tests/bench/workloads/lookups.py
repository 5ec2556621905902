"""W12: one row by its key."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from statistics import median
from typing import TYPE_CHECKING, Any, Final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from tablelog.lake import connect
from tablelog.store.local import LocalStore
from tablelog.table import Table as OpenTable
from tests.bench.dataset import dataset, mapped
from tests.bench.report import Column, Section, Table

if TYPE_CHECKING:
    from pathlib import Path

    from tests.bench.bench import Bench

KEY: Final = "W12"
_UPSERTS: Final = 100
_UPSERTED: Final = 1000
_LOOKUPS: Final = 200
_COLUMNS: Final = (
    Column(name="there, ms", digits=2),
    Column(name="not there, ms", digits=2),
    Column(name="first of a process, ms", digits=0),
    Column(name="files opened, most", digits=0, ranked=False),
    Column(name="files opened, mean", digits=1, ranked=False),
    Column(name="levels", digits=0, ranked=False),
    Column(name="live files", digits=0, ranked=False),
)
_TEXT: Final = (
    "{rows:,} rows in a table with a key, written at once in the order of ids; then {upserts} upserts of {upserted:,} "
    "random keys each, with what writers put together in passing and nothing else, and after `compact()`. `get(key)` of "
    "{lookups} random keys, medians, warm; *not there* are keys between those that are. The *first of a process* opens "
    "the table too; imports are not in it. DuckDB asks one Parquet file of the same rows, sorted by id, for all columns: "
    "`SELECT * FROM … WHERE id = …`."
)


def run(bench: Bench) -> Section:
    rows = bench.options.rows
    source = mapped(str(dataset(bench.options.work, rows, step=2)))
    root = bench.options.work / "lookups"
    table = connect(root).create_table("t", source, key="id")
    dice = random.Random(7)
    for _ in range(_UPSERTS):
        places = pa.array(dice.sample(range(rows), _UPSERTED))
        table.upsert(source.take(places))
    ids = [2 * dice.randrange(rows) for _ in range(_LOOKUPS)]
    found = Table(title=f"{rows:,} rows", columns=_COLUMNS, first="way")
    found.rows["tablelog, as upserts left it"] = _ours(root, ids)
    table.compact()
    found.rows["tablelog, compacted"] = _ours(root, ids)
    path = bench.options.work / "sorted.parquet"
    pq.write_table(source.sort_by("id"), path, compression="zstd", row_group_size=122_880)
    found.rows["DuckDB, one sorted file"] = _duckdb(path, ids)
    text = _TEXT.format(rows=rows, upserts=_UPSERTS, upserted=_UPSERTED, lookups=_LOOKUPS)
    return Section(key=KEY, title="one row by its key", text=text, tables=[found])


def _ours(root: Path, ids: list[int]) -> list[float | str | None]:
    opened = _Opened(LocalStore(root / "t"))
    table = OpenTable(opened, "t")
    snapshot = table.snapshot()
    assert all(row is not None and row["id"] == each for each in ids[:20] if (row := snapshot.get(each)) is not None)
    there = [_took_ms(lambda each=each: table.get(each)) for each in ids]
    absent = [_took_ms(lambda each=each: table.get(each + 1)) for each in ids]
    counts = []
    for each in ids:
        opened.paths.clear()
        table.get(each)
        counts.append(len(opened.paths))
    levels = len([level for level in table.health().levels if level.level])
    cold = [float(_child(f"tl.open_table({str(root / 't')!r}).get({each})")) for each in ids[:7]]
    return [
        median(there),
        median(absent),
        median(cold),
        max(counts),
        sum(counts) / len(counts),
        levels,
        len(snapshot.files),
    ]


class _Opened:
    """A store that notes which data files are asked for."""

    def __init__(self, inner: LocalStore) -> None:
        self.inner = inner
        self.paths: set[str] = set()

    def local_path(self, key: str) -> Any:
        if key.startswith("data/"):
            self.paths.add(key)
        return self.inner.local_path(key)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def _duckdb(path: Path, ids: list[int]) -> list[float | str | None]:
    connection = duckdb.connect()
    connection.execute("SET GLOBAL parquet_metadata_cache = true")

    def ask(each: int) -> object:
        return connection.execute(f"SELECT * FROM '{path}' WHERE id = ?", [each]).fetchall()

    for each in ids[:20]:
        assert ask(each)
    there = [_took_ms(lambda each=each: ask(each)) for each in ids]
    absent = [_took_ms(lambda each=each: ask(each + 1)) for each in ids]
    query = f"duckdb.connect().execute(\"SELECT * FROM '{path}' WHERE id = {ids[0]}\").fetchall()"
    return [median(there), median(absent), median(float(_child(query)) for _ in range(7)), 1, 1.0, None, 1]


def _child(expression: str) -> str:
    """Milliseconds of an expression in a new process that has imported what it needs."""
    code = (
        "import time, duckdb, pyarrow.parquet, tablelog as tl\n"
        f"began = time.perf_counter()\n{expression}\nprint(1e3 * (time.perf_counter() - began))"
    )
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def _took_ms(do: Any) -> float:
    began = time.perf_counter()
    do()
    return 1e3 * (time.perf_counter() - began)
