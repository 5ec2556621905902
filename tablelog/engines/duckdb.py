"""DuckDB over snapshots: plan on an empty copy, prune from the log, run on the files that are left.

    text ──> planning database: empty tables of the same shape; EXPLAIN says which filters reach which table
         ──> the log: those filters against statistics choose the files
         ──> a cursor: one temporary view per table over read_parquet of just those files ──> relation

Every query has a cursor of its own, which its relation keeps alive: views, file lists and the time of the query go when
the relation goes. All cursors share one database, and with it threads, memory and what is known of files.
"""

from __future__ import annotations

import os
import re
import tempfile
import threading
from typing import TYPE_CHECKING, Any, Final

import duckdb
import pyarrow as pa

from tablelog import env
from tablelog.engines.arrow import inlined_rows, numbered_rows
from tablelog.engines.duckdb_clock import define_clock, set_clock
from tablelog.engines.duckdb_files import StoreFileSystem
from tablelog.engines.duckdb_plan import Planner
from tablelog.engines.duckdb_text import (
    DELETED,
    OF_FILE,
    can_be_scanned,
    first_line,
    quote,
    quote_text,
    select_count,
    select_layout,
    select_mistyped,
    select_nothing,
    select_row_counts,
    select_rows,
    sql_type,
)
from tablelog.errors import CorruptionError, InvalidError, StoreError
from tablelog.parquet.arrow import type_from_arrow
from tablelog.parquet.contents import read_vectors
from tablelog.parquet.plain import blobs, ints, scalar
from tablelog.parquet.vectors import bits, positions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tablelog.format.actions import AddFile
    from tablelog.format.layout import Layout
    from tablelog.format.predicate import Predicate
    from tablelog.format.schema import Schema
    from tablelog.ops.scan import ScanPlan
    from tablelog.store.base import ObjectStore

_STORE_FAILURE: Final = re.compile(rf"^{StoreError.__name__}: (.*)$", re.MULTILINE)
_SETTINGS: Final = {
    # Nothing is fetched from the network behind the user's back.
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
}


_REVERSED: Final = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
"""Bytes with their bits in the opposite order."""
_PADDING: Final = ((100, 0), (10_000, 65_536), (25_000, 131_072))
"""Up to so many deleted rows, how many rows there shall be to look them up among; measured, see docs/benchmarks.md."""
_FEW: Final = _PADDING[-1][0]
_NOWHERE: Final = (1 << 64) - 1
"""The number of no file."""


_SORTING_MEMORY: Final = "2GB"
"""What sorting takes before it writes to disk; ten million rows of eight columns just about sort in it."""


def new_database() -> tuple[duckdb.DuckDBPyConnection, StoreFileSystem]:
    """An empty in-memory database that can open files of any store; time zone UTC."""
    files = StoreFileSystem()
    connection = duckdb.connect(":memory:", config=dict(_SETTINGS))
    connection.register_filesystem(files)
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    connection.execute("SET GLOBAL parquet_metadata_cache = true")  # files of a table never change
    connection.execute("SET GLOBAL async_threads = 64")  # so many requests at once; files on disk need none of them
    # Where all values of a struct's field fulfil a condition, DuckDB 2.0 asks no more than that the struct is not null:
    # `s.x IN (1, 2)` then finds rows whose `s.x` is null. Queries of 10 million rows are no slower without.
    connection.execute("SET GLOBAL disabled_optimizers = 'statistics_propagation'")
    return connection, files


def _own_database() -> tuple[duckdb.DuckDBPyConnection, StoreFileSystem]:
    """One that sees no Python variables: the nearest ones would be ours, not the user's."""
    connection, files = new_database()
    connection.execute("SET GLOBAL python_enable_replacements = false")
    return connection, files


class DuckDB:
    """One database for running and one for planning; safe to share between threads."""

    def __init__(self, **settings: str) -> None:
        """Connect lazily: importing and connecting costs tens of milliseconds. Settings are of what runs."""
        self._settings = settings
        self._lock = threading.Lock()
        self._running: tuple[duckdb.DuckDBPyConnection, StoreFileSystem] | None = None
        self._planner: Planner | None = None
        self._abandoned: list[object] = []

    def forget(self) -> None:
        """Begin anew: a child process has its parent's databases but none of their threads."""
        self._abandoned.append((self._running, self._planner))  # closing them would wait for those threads for ever
        self._lock = threading.Lock()
        self._running = self._planner = None

    def cursor(self) -> Cursor:
        """A fresh place to run one query in."""
        with self._lock:
            if self._running is None:
                self._running = _own_database()
                # What does not fit into memory goes to a folder of its own, which DuckDB makes and removes.
                spill = f"{tempfile.gettempdir()}/tablelog-{env.new_id()}"
                for name, value in {"temp_directory": spill, **self._settings}.items():
                    self._running[0].execute(f"SET GLOBAL {name} = {quote_text(value)}")
                define_clock(self._running[0])
            connection, files = self._running
            cursor = connection.cursor()
        # DuckDB takes notebooks and `python -m` for somebody who waits at a prompt, and would draw over their output.
        cursor.execute("SET enable_progress_bar = false")
        return Cursor(cursor, files)

    @property
    def planner(self) -> Planner:
        """The database that holds no rows: for parsing, binding and planning."""
        with self._lock:
            if self._planner is None or self._planner.is_full:
                self._planner = Planner(_own_database()[0])
            return self._planner

    def parse_condition(self, text: str, schema: Schema, now_us: int | None = None) -> Predicate:
        """See `Planner.condition`."""
        return self.planner.condition(text, schema, now_us)

    def columns_of(self, text: str) -> frozenset[str]:
        """See `Planner.columns_of`."""
        return self.planner.columns_of(text)


ENGINE: Final = DuckDB()
"""The one of this process,"""
SORTER: Final = DuckDB(memory_limit=_SORTING_MEMORY)
"""and one that writes to disk what takes more memory."""
if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork either
    os.register_at_fork(after_in_child=ENGINE.forget)
    os.register_at_fork(after_in_child=SORTER.forget)


class Cursor:
    """Where one query runs: temporary views over chosen files."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, files: StoreFileSystem) -> None:
        """Take over a cursor of the running database."""
        self.connection = connection
        self._files = files

    def set_clock(self, now_us: int) -> None:
        """What `now()` and its relatives give from here on."""
        set_clock(self.connection, now_us)

    def present(self, name: str, plan: ScanPlan, store: ObjectStore, *, numbered: bool = False) -> None:
        """Make a plan's rows visible under a name, to this cursor alone.

        `numbered` adds `FILE_NUMBER`, a place in `plan.numbered_files`, and `ROW_NUMBER`, a row's number in its file.

        Raises:
            CorruptionError: a file is missing, or is no Parquet file.
            StoreError: the storage failed.

        """
        parts: list[str] = []
        first = 0
        for number, layout in enumerate(plan.layouts):
            own = f"{name}:{number}"
            start = first if numbered else None
            first += len(layout.files)
            if not can_be_scanned(layout, numbered=numbered):
                self.connection.register(own, _rows(layout, plan, store, start))
                parts.append(select_rows(plan.fields, quote(own), numbered=numbered))
                continue
            paths = self._files.paths(store, layout.files, self.connection)
            # A list in the text of the view would cost more than the query.
            self.connection.execute(f"SET VARIABLE {quote(own)} = $1", [paths])
            deleted, by_bits = None, False
            if layout.is_dirty:
                rows, by_bits = _deleted(layout, store)
                deleted = f"{own}:deleted"
                self.connection.register(deleted, rows)
                deleted = quote(deleted)
            parts.append(select_layout(layout, f"getvariable({quote_text(own)})", deleted, start, by_bits=by_bits))
        self._show(f"TEMP VIEW {quote(name)}", parts, plan, store, numbered=numbered)

    def mistyped(self, name: str, plan: ScanPlan, *, first: bool = False) -> Iterator[AddFile]:
        """Files of what was presented, numbered, of which one has other types than the log says; most often none.

        No request for files of which something was read, because DuckDB keeps their ends: where nothing was yet, that
        is the `first` one of each layout, whose types the others are cast to.
        """
        for paths, layout in self._scanned(name, plan):
            text = select_mistyped(layout, f"{paths}[:1]" if first else paths)
            if self.connection.execute(
                text
            ).fetchall():  # an answer that is not taken to its end keeps the connection busy
                yield from layout.files

    def miscounted(self, name: str, plan: ScanPlan) -> Iterator[AddFile]:
        """Likewise, files with other row counts than the log says."""
        for paths, layout in self._scanned(name, plan):
            counts = self.connection.execute(select_row_counts(paths)).fetchall()
            every = zip(layout.files, counts, strict=True)
            yield from (file for file, (count,) in every if count != file.row_count)

    def _scanned(self, name: str, plan: ScanPlan) -> Iterator[tuple[str, Layout]]:
        """Layouts that DuckDB reads itself where rows are numbered, and an expression for the paths of their files."""
        for number, layout in enumerate(plan.layouts):
            if can_be_scanned(layout, numbered=True):
                yield f"getvariable({quote_text(f'{name}:{number}')})", layout

    def present_to_all(self, schema: str, name: str, plan: ScanPlan, store: ObjectStore) -> None:
        """The same in a schema of the database, where every cursor of it sees them; what is no file is copied there."""
        parts: list[str] = []
        for number, layout in enumerate(plan.layouts):
            own = f"{quote(schema)}.{quote(f'{name}:{number}')}"
            if not can_be_scanned(layout):
                self._copy(own, _rows(layout, plan, store, None))
                parts.append(select_rows(plan.fields, own))
                continue
            by_bits = False
            if layout.is_dirty:
                rows, by_bits = _deleted(layout, store)
                self._copy(own, rows)
            paths = self._files.paths(store, layout.files, self.connection)
            listed = f"[{', '.join(map(quote_text, paths))}]"
            parts.append(select_layout(layout, listed, own if layout.is_dirty else None, by_bits=by_bits))
        self._show(f"VIEW {quote(schema)}.{quote(name)}", parts, plan, store)

    def _copy(self, target: str, rows: pa.Table) -> None:
        self.connection.register("copied", rows)
        self.connection.execute(f"CREATE TABLE {target} AS FROM copied")
        self.connection.unregister("copied")

    def present_count(self, name: str, plan: ScanPlan) -> None:
        """Make as many rows visible as the table has, of which no column can be read."""
        select = select_count(plan.fields, plan.state.row_count)
        self.connection.execute(f"CREATE OR REPLACE TEMP VIEW {quote(name)} AS {select}")

    def _show(
        self, target: str, parts: list[str], plan: ScanPlan, store: ObjectStore, *, numbered: bool = False
    ) -> None:
        select = " UNION ALL ".join(parts) or select_nothing(plan.fields, numbered=numbered)
        try:
            self.connection.execute(f"CREATE OR REPLACE {target} AS {select}")
        except duckdb.Error as error:
            raise _unreadable(error, store) from error

    def relation(self, text: str, parameters: Any = None) -> duckdb.DuckDBPyRelation:
        """The query as a relation, which keeps this cursor alive."""
        return self.connection.sql(text) if parameters is None else self.connection.sql(text, params=parameters)


def _rows(layout: Layout, plan: ScanPlan, store: ObjectStore, first: int | None) -> pa.Table:
    """Live rows of files that DuckDB cannot open, or not as it has to; numbered, from file `first` on, if given."""
    schemas = plan.state.metadata.schemas
    if first is None:
        return inlined_rows(layout.files, plan.fields, store, schemas)
    return numbered_rows(list(enumerate(layout.files, first)), plan.fields, store, schemas)


def _deleted(layout: Layout, store: ObjectStore) -> tuple[pa.Table, bool]:
    """Deleted rows of a layout's files, and whether as bits; see `select_layout`.

    A few rows are told by their numbers. The table of them is made larger than it is by many copies of a row that is
    nowhere: most places of the hash table are then empty, and a row that stays, as most do, is seen to stay at once.
    Many rows are told by bits, which cost the same however many they are.
    """
    vectors = read_vectors(store, layout.files)
    total = sum(len(rows) for rows in vectors.values())
    if total > _FEW:
        # Bits are numbered from the lowest of each byte on, DuckDB counts from the highest.
        columns = [bits(vectors[file.path], file.row_count).translate(_REVERSED) for file in layout.files]
        files = ints(range(len(columns))).cast(pa.uint64())
        return pa.table({OF_FILE: files, DELETED: blobs(columns)}), True
    padding = next(size for most, size in _PADDING if total <= most) - total
    rows = [positions(vectors[file.path]).cast(pa.int64()) for file in layout.files]
    of_files = [pa.repeat(scalar(number, pa.uint64()), len(each)) for number, each in enumerate(rows)]
    if padding > 0:
        of_files.append(pa.repeat(scalar(_NOWHERE, pa.uint64()), padding))
        rows.append(pa.repeat(scalar(-1, pa.int64()), padding))
    return pa.table({OF_FILE: pa.chunked_array(of_files), DELETED: pa.chunked_array(rows)}), False


def _unreadable(error: duckdb.Error, store: ObjectStore) -> CorruptionError | StoreError:
    """What it means that DuckDB cannot open a table's files."""
    message = first_line(error).rpartition("\n")[2].partition(": ")[2]
    return store_failure(error) or CorruptionError(f"a file in {store.url} is not what the log says: {message}")


def store_failure(error: Exception) -> StoreError | None:
    """The error of a store that DuckDB passes on while it reads, as text with a traceback; None if it is another."""
    found = _STORE_FAILURE.search(str(error))
    return StoreError(found[1]) if found else None


def evaluate(
    engine: DuckDB, expression: str, reader: pa.RecordBatchReader, now_us: int | None = None
) -> Iterator[pa.BooleanArray]:
    """A condition's value for every row of a stream, in order; null where SQL says unknown.

    `now_us` is the moment that `now()` and its relatives give, if it is not the present one.

    Raises:
        InvalidError: the condition fails on some row. What the stream itself raises goes through as it is.

    """
    failures: list[Exception] = []

    def watched() -> Iterator[pa.RecordBatch]:
        try:
            yield from reader
        except Exception as error:
            failures.append(error)
            raise

    cursor = engine.cursor().connection
    if now_us is not None:
        set_clock(cursor, now_us)
    cursor.register("rows", pa.RecordBatchReader.from_batches(reader.schema, watched()))
    # Arrow has types that Parquet does not bring to DuckDB, such as TIMESTAMP_MS; conditions are planned on Parquet's.
    columns = ", ".join(
        f"{quote(field.name)}::{sql_type(type_from_arrow(field.type, field.name))} AS {quote(field.name)}"
        for field in reader.schema
    )
    try:
        text = f"SELECT ({expression}\n)::BOOLEAN AS holds FROM (SELECT {columns} FROM rows) AS t"
        for batch in cursor.sql(text).to_arrow_reader():
            yield batch.column(0)
    except (duckdb.Error, pa.ArrowException, OSError) as error:  # a stream that breaks off is an OSError to Arrow
        if failures:
            raise failures[0] from error
        raise InvalidError(f"cannot evaluate {expression!r}: {first_line(error)}") from error
    finally:
        cursor.close()
