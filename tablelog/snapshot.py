"""A table at one version, and scans of it: what people read with.

A `Snapshot` never changes, whatever is committed after it. Reading one costs no request to the log; only files are
read, and only those that the log cannot rule out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from tablelog import display, plots
from tablelog.engines import arrow, polars
from tablelog.engines.duckdb import ENGINE, store_failure
from tablelog.engines.duckdb_clock import asked_at_us
from tablelog.engines.duckdb_plan import ROWS
from tablelog.engines.duckdb_text import first_line, quote
from tablelog.errors import InvalidError, StoreError
from tablelog.format.predicate import ALWAYS
from tablelog.health import health_of
from tablelog.log.facts import datetime_of
from tablelog.ops.lookup import look_up, parse_key
from tablelog.ops.scan import plan_scan
from tablelog.parquet.reader import check_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime
    from typing import Any

    import pandas as pd
    import polars as pl
    from matplotlib.figure import Figure

    from tablelog.format.actions import AddFile
    from tablelog.format.predicate import Predicate
    from tablelog.format.schema import Schema
    from tablelog.format.types import Field
    from tablelog.health import Health
    from tablelog.log.files import Files
    from tablelog.log.state import TableState
    from tablelog.ops.scan import ScanPlan
    from tablelog.store.base import ObjectStore


class Snapshot:
    """A table at one version."""

    def __init__(self, state: TableState, store: ObjectStore, name: str) -> None:
        """Made by `Table.at`."""
        self._state = state
        self._store = store
        self.name = name

    @property
    def store(self) -> ObjectStore:
        """Where its files are."""
        return self._store

    @property
    def state(self) -> TableState:
        """What the log says about this version."""
        return self._state

    def plan(self, predicate: Predicate) -> ScanPlan:
        """The files that a reader of all columns needs for the rows that fulfil a predicate."""
        return plan_scan(self._state, None, predicate)

    @property
    def version(self) -> int:
        """Its place in the log."""
        return self._state.version

    @property
    def timestamp(self) -> datetime:
        """When it was committed, UTC."""
        return datetime_of(self._state.timestamp_us)

    @property
    def schema(self) -> Schema:
        """Columns at this version."""
        return self._state.schema

    @property
    def row_count(self) -> int:
        """Rows at this version; known from the log."""
        return self._state.row_count

    @property
    def size_bytes(self) -> int:
        """Bytes of its files; known from the log."""
        return self._state.size_bytes

    @property
    def files(self) -> Files:
        """Its files, oldest first: a sequence that reads of the log what is asked of it."""
        return self._state.files

    @property
    def properties(self) -> dict[str, str]:
        """Settings at this version."""
        return dict(self._state.metadata.properties)

    @property
    def checks(self) -> dict[str, str]:
        """CHECK constraints at this version, name to expression."""
        return dict(self._state.metadata.checks)

    def health(self) -> Health:
        """How files and bytes are spread over the levels, what a look opens, what compaction would do. Prints itself.

        Only columns of the log are read, however many files there are.
        """
        return health_of(self.name, self._state)

    def plot_levels(self) -> Figure:
        """Where the files of each level lie in the table's order, how large they are, and what is deleted of them.

        A matplotlib figure, which notebooks show; `.savefig("levels.png")` stores it. `pip install 'tablelog[plot]'`.
        """
        return plots.plot_levels(self.name, self._state)

    def plot_history(self) -> Figure:
        """Rows, bytes and files after each commit that can be read, and what the commits were, as a figure."""
        return plots.plot_history(self.name, self._state)

    def scan(self, columns: Iterable[str] | None = None, where: str | None = None) -> Scan:
        """Plan to read some columns of the rows that fulfil a condition; reads nothing yet.

        `where` is an SQL expression in DuckDB's dialect. Columns come in the order given.

        Raises:
            NotFoundError: no such column.
            InvalidError: `where` is not a condition on this table.

        """
        fields, schema = self._fields(columns), self._state.schema
        now_us = None if where is None else asked_at_us(where)
        predicate = ALWAYS if where is None else ENGINE.parse_condition(where, schema, now_us)
        plan = plan_scan(self._state, fields, predicate)
        return Scan(plan=plan, store=self._store, name=self.name, where=where, now_us=now_us)

    def _fields(self, columns: Iterable[str] | None) -> tuple[Field, ...]:
        """The columns of these names, all if there are none."""
        schema = self._state.schema
        if isinstance(columns, str) or not isinstance(columns, Iterable | None):
            names = [columns] if isinstance(columns, str) else [field.name for field in schema.fields[:2]]
            raise InvalidError(f"columns={columns!r} is no list of names; give one such as {names}")
        fields = schema.fields if columns is None else tuple(schema.field(name) for name in columns)
        if not fields:
            raise InvalidError("a scan needs at least one column")
        if len({field.id for field in fields}) < len(fields):
            raise InvalidError(f"a column stands twice in {[field.name for field in fields]}")
        return fields

    def get(self, key: object, columns: Iterable[str] | None = None) -> dict[str, Any] | None:
        """The row with a key, as a dict of Python values; None if there is none.

        `key` is the value of the key column; of several columns a tuple of values in the key's order, or a dict. Reads
        the key of one row group a level, and of files that nobody compacted yet and whose key filters have it.

        Raises:
            InvalidError: the table has no key, or `key` is none of its values; the message names the column.
            NotFoundError: no such column.

        """
        return look_up(self._store, self._state, parse_key(self._state.metadata, key), self._fields(columns))

    def lazy(self) -> pl.LazyFrame:
        """A Polars `LazyFrame`; filters, columns and slices reach the log before a file is opened."""
        return self.scan().lazy()

    def to_polars(self) -> pl.DataFrame:
        """All rows as a Polars data frame."""
        return self.scan().to_polars()

    def to_arrow(self) -> pa.Table:
        """All rows as an Arrow table."""
        return self.scan().to_arrow()

    def to_pandas(self) -> pd.DataFrame:
        """All rows as a pandas data frame (pandas must be installed)."""
        return self.scan().to_pandas()

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """All rows as an Arrow stream, so that any library that speaks the PyCapsule interface can read it."""
        return self.scan().__arrow_c_stream__(requested_schema)

    def __len__(self) -> int:
        return self.row_count

    def __repr__(self) -> str:
        return display.snapshot_text(self.name, self._state)

    def _repr_html_(self) -> str:
        return display.snapshot_html(self.name, self._state)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """Columns and rows that somebody wants of a snapshot, and the files that this takes."""

    plan: ScanPlan
    store: ObjectStore
    name: str
    where: str | None = None
    now_us: int | None = None
    """The time of the condition, if it asks for it."""

    @property
    def files(self) -> Sequence[AddFile]:
        """The files that must be read; the others hold no row that fulfils the condition."""
        return self.plan.files

    @property
    def columns(self) -> list[str]:
        """Wanted columns in order."""
        return [field.name for field in self.plan.fields]

    def explain(self) -> display.Explanation:
        """What reading would touch: files, rows and bytes, of how many. Prints itself."""
        return display.explanation(self.name, self.plan, self.where)

    def lazy(self) -> pl.LazyFrame:
        """A Polars `LazyFrame` of the scan."""
        if self.where is None:
            return polars.scan_lazily(self.plan.state, self.store, self.plan.fields)
        return polars.query_lazily(self.plan.fields, lambda names: self._filtered(names).read_all())

    def to_reader(self) -> pa.RecordBatchReader:
        """The rows as a stream of Arrow batches, in bounded memory."""
        return arrow.read_plan(self.plan, self.store) if self.where is None else self._filtered(self.columns)

    def to_arrow(self) -> pa.Table:
        """The rows as an Arrow table."""
        return self.to_reader().read_all()

    def to_polars(self) -> pl.DataFrame:
        """The rows as a Polars data frame."""
        if self.where is not None:
            return polars.to_frame(self.to_arrow(), self.plan.fields)
        try:
            frame = self.lazy().collect()
        except Exception:
            self._check_files()
            raise
        if frame.height != self.plan.row_count_max:
            self._check_files()
        return frame

    def to_pandas(self) -> pd.DataFrame:
        """The rows as a pandas data frame (pandas must be installed)."""
        frame: pd.DataFrame = self.to_arrow().to_pandas()
        return frame

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The rows as an Arrow stream (PyCapsule interface)."""
        return self.to_reader().__arrow_c_stream__(requested_schema)  # type: ignore[no-untyped-call]  # the stubs say nothing

    def __repr__(self) -> str:
        return str(self.explain())

    def _repr_html_(self) -> str:
        return self.explain()._repr_html_()

    def _filtered(self, names: list[str]) -> pa.RecordBatchReader:
        """Rows that fulfil the condition, found by DuckDB, in the exact types of the table."""
        wanted = {field.name: field for field in self.plan.fields}
        schema = arrow.loose_schema(tuple(wanted[name] for name in names))
        cursor = ENGINE.cursor()
        if self.now_us is not None:
            cursor.set_clock(self.now_us)
        whole = plan_scan(self.plan.state, None, self.plan.predicate)
        columns = ", ".join(quote(name) for name in names)

        def batches() -> Iterator[pa.RecordBatch]:
            try:
                cursor.present(ROWS, whole, self.store)
                text = f"SELECT {columns} FROM {ROWS} WHERE ({self.where}\n)"
                for batch in cursor.relation(text).to_arrow_reader():
                    yield batch.cast(schema)
            except StoreError:
                raise
            except Exception as error:
                self._check_files()
                text = f"cannot read {self.name} where {self.where}: {first_line(error)}"
                raise store_failure(error) or InvalidError(text) from error

        return pa.RecordBatchReader.from_batches(schema, batches())

    def _check_files(self) -> None:
        """Raise `CorruptionError` if an engine failed because of a file; it names none or says something else."""
        for file in self.plan.files:
            check_file(self.store, file, self.plan.state.metadata.schemas[file.schema_id])
