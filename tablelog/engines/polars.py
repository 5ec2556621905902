"""A scan as a Polars `LazyFrame` whose filters, columns and slice reach the log before a file is opened.

Polars asks a resolver for a frame when a query is collected, and says which rows and columns it wants
(`LazyFrameResolver`, public, called unstable by Polars). The answer is `scan_parquet` over the files that the log
leaves, one scan per layout, with old names projected to new; Polars pushes everything further into those and applies
the filters itself.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Final

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from polars.lazyframe.resolver import LazyFrameResolver
from polars.selectors import by_name

from tablelog.engines.arrow import ROW_NUMBER, inlined_rows, plain_schema, read_plan
from tablelog.engines.polars_filters import predicate_of
from tablelog.format.predicate import ALWAYS, And
from tablelog.format.types import PER_SECOND, Primitive, Time, Timestamp, TimeUnit, children, with_children
from tablelog.ops.scan import plan_scan
from tablelog.parquet.arrow import arrow_schema
from tablelog.parquet.contents import read_vectors
from tablelog.parquet.plain import scalar
from tablelog.parquet.vectors import positions
from tablelog.store.base import local_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from polars.lazyframe.resolver import FilterExpr
    from pyroaring import BitMap

    from tablelog.format.actions import AddFile
    from tablelog.format.layout import ColumnSource, Layout
    from tablelog.format.schema import Schema
    from tablelog.format.types import DataType, Field, Scalar
    from tablelog.log.state import TableState
    from tablelog.ops.scan import ScanPlan
    from tablelog.store.base import ObjectStore


_ROWS_MAX: Final = (1 << 32) - 1
"""Rows that Polars can number."""


def polars_schema(fields: tuple[Field, ...]) -> pl.Schema:
    """The columns as Polars has them. Instants in a zone that Polars does not know are shown in UTC."""
    return _schema(tuple(_with_zones(field, _known_zone) for field in fields))


def scan_lazily(state: TableState, store: ObjectStore, fields: tuple[Field, ...]) -> pl.LazyFrame:
    """The fields of a table at one version, files chosen when the frame is collected."""
    return _TableResolver(state, store, fields).lazy()


def query_lazily(fields: tuple[Field, ...], run: Callable[[list[str]], pa.Table]) -> pl.LazyFrame:
    """The result of `run`, which is given the wanted columns when the frame is collected."""
    return _QueryResolver(fields, run).lazy()


def to_frame(table: pa.Table, fields: tuple[Field, ...]) -> pl.DataFrame:
    """An Arrow table of these columns as a data frame; no copy where layouts agree."""
    shown = plain_schema(tuple(_with_zones(field, _known_zone) for field in fields))
    return _frame(table if table.schema == shown else table.cast(shown))


class _TableResolver(LazyFrameResolver):
    """A table at one version. Pickles as far as its store does."""

    def __init__(self, state: TableState, store: ObjectStore, fields: tuple[Field, ...]) -> None:
        self._state = state
        self._store = store
        self._fields = fields

    def schema(self) -> Mapping[str, pl.DataType]:
        return polars_schema(self._fields)

    def resolve_lazyframe(
        self,
        *,
        projection: list[str] | None,
        limit: int | None,
        filters: list[FilterExpr],
        filter_columns: list[str],  # noqa: ARG002 - the projection is left to Polars
        filter_drop_columns_idx: int | None,  # noqa: ARG002
        existing_resolved_version_key: str | None,  # noqa: ARG002 - a version never changes
    ) -> pl.LazyFrame:
        del projection  # Polars projects the scans by itself, and reads only what it needs
        schema = self._state.schema
        predicate = And(tuple(predicate_of(each.pyarrow_str, schema) for each in filters)) if filters else ALWAYS
        return scan_files(plan_scan(self._state, self._fields, predicate, limit), self._store)


class _QueryResolver(LazyFrameResolver):
    """Rows that another engine computes on demand."""

    def __init__(self, fields: tuple[Field, ...], run: Callable[[list[str]], pa.Table]) -> None:
        self._fields = fields
        self._run = run

    def schema(self) -> Mapping[str, pl.DataType]:
        return polars_schema(self._fields)

    def resolve_lazyframe(
        self,
        *,
        projection: list[str] | None,
        limit: int | None,  # noqa: ARG002 - Polars slices what it is given
        filters: list[FilterExpr],  # noqa: ARG002 - Polars applies them
        filter_columns: list[str],
        filter_drop_columns_idx: int | None,  # noqa: ARG002
        existing_resolved_version_key: str | None,  # noqa: ARG002
    ) -> pl.LazyFrame:
        names = [field.name for field in self._fields]
        if projection is not None:
            wanted = {*projection, *filter_columns}
            names = [name for name in names if name in wanted] or names[:1]
        fields = {field.name: field for field in self._fields}
        return to_frame(self._run(names), tuple(fields[name] for name in names)).lazy()


def scan_files(plan: ScanPlan, store: ObjectStore) -> pl.LazyFrame:
    """The rows of a plan; one `scan_parquet` per layout where files are plain files."""
    target = polars_schema(plan.fields)
    if not plan.files:
        return pl.DataFrame(schema=target).lazy()
    if local_path(store, plan.files[0].path) is None:
        return query_lazily(plan.fields, _arrow_reader(plan, store))
    frames = [_scan_layout(layout, store, plan, target) for layout in plan.layouts]
    return frames[0] if len(frames) == 1 else pl.concat(frames, how="vertical")


def _arrow_reader(plan: ScanPlan, store: ObjectStore) -> Callable[[list[str]], pa.Table]:
    def run(names: list[str]) -> pa.Table:
        fields = tuple(field for field in plan.fields if field.name in names)
        narrowed = plan_scan(plan.state, fields, plan.predicate)
        return read_plan(narrowed, store).read_all()

    return run


def _scan_layout(layout: Layout, store: ObjectStore, plan: ScanPlan, target: pl.Schema) -> pl.LazyFrame:
    schemas = plan.state.metadata.schemas
    if layout.is_inlined:
        return to_frame(inlined_rows(layout.files, plan.fields, store, schemas), plan.fields).lazy()
    if not layout.is_dirty:
        return _scan_parquet(layout, layout.files, store, target, schemas)
    vectors = read_vectors(store, layout.files)
    frames: list[pl.LazyFrame] = []
    for files in _countable(layout.files):
        taken = {source.physical.name for source in layout.columns if source.physical is not None}
        row = _unlike(ROW_NUMBER, taken | set(target))
        gone = _positions(files, vectors)
        frames.append(_scan_parquet(layout, files, store, target, schemas, row=row, gone=gone))
    return frames[0] if len(frames) == 1 else pl.concat(frames, how="vertical")


def _countable(files: Sequence[AddFile]) -> Iterator[list[AddFile]]:
    """The files in stretches whose rows Polars can number."""
    stretch: list[AddFile] = []
    row_count = 0
    for file in files:
        if stretch and row_count + file.row_count > _ROWS_MAX:
            yield stretch
            stretch, row_count = [], 0
        stretch.append(file)
        row_count += file.row_count
    yield stretch


def _positions(files: Iterable[AddFile], vectors: Mapping[str, BitMap]) -> pl.Series:
    """Deleted rows of files, numbered over all of them as if they were one."""
    start, parts = 0, []
    for file in files:
        parts.append(pc.add(positions(vectors[file.path]).cast(pa.int64()), scalar(start, pa.int64())))
        start += file.row_count
    return pl.Series(pa.concat_arrays(parts)).cast(pl.get_index_type())


def _unlike(name: str, taken: set[str]) -> str:
    return name if name not in taken else _unlike(f"{name}#", taken)


def _scan_parquet(
    layout: Layout,
    files: Iterable[AddFile],
    store: ObjectStore,
    target: pl.Schema,
    schemas: Mapping[int, Schema],
    *,
    row: str | None = None,
    gone: pl.Series | None = None,
) -> pl.LazyFrame:
    paths = [local_path(store, file.path) for file in files]
    physical = [source.physical for source in layout.columns if source.physical is not None]
    as_written = _schema(tuple(_with_zones(field, _utc) for field in physical))
    written = {schemas[file.schema_id].id for file in layout.files}
    frame = pl.scan_parquet(
        [path for path in paths if path is not None],
        glob=False,
        hive_partitioning=False,
        # Files of one layout agree on the wanted columns but may differ in others.
        extra_columns="ignore" if len(written) > 1 else "raise",
        schema=as_written if len(written) > 1 else None,
        row_index_name=row,
    )
    if row is not None:
        assert gone is not None
        frame = frame.filter(~by_name(row).as_expr().is_in(gone.implode()))
    # A select of nothing but defaults would have one row; with_columns has as many as the files.
    columns = frame.with_columns(_projection(source, as_written, target) for source in layout.columns)
    return columns.select(by_name(source.field.name) for source in layout.columns)


def _projection(source: ColumnSource, as_written: pl.Schema, target: pl.Schema) -> pl.Expr:
    name = source.field.name
    dtype = target[name]
    if source.physical is None:
        return _literal(source.field.initial_default, source.field.type, dtype).alias(name)
    column = by_name(source.physical.name).as_expr()  # pl.col would read "*" and "^a.*$" as patterns
    return (column if as_written[source.physical.name] == dtype else column.cast(dtype)).alias(name)


def _with_zones(field: Field, zone_of: Callable[[str], str]) -> Field:
    """The field with other zones in its type, at any depth; the instants stay."""
    match field.type:
        case Timestamp(unit=unit, zone=str(zone)):
            return replace(field, type=Timestamp(unit, zone_of(zone)))
        case type_:
            inner = tuple(_with_zones(child, zone_of) for child in children(type_))
            return replace(field, type=with_children(type_, inner)) if inner else field


def _utc(_: str) -> str:
    """The zone of every instant in a Parquet file."""
    return "UTC"


@cache
def _known_zone(zone: str) -> str:
    """The zone if Polars knows it (it knows names but no offsets), else UTC."""
    try:
        pl.Series(dtype=pl.Int64).cast(pl.Datetime("us", zone))
    except pl.exceptions.ComputeError:
        return "UTC"
    return zone


def _literal(value: Scalar | None, type_: DataType, dtype: pl.DataType) -> pl.Expr:
    """A value as the log holds it as a constant of exactly that type."""
    match type_:
        case Time(unit=unit) if isinstance(value, int):
            value *= PER_SECOND[TimeUnit.NS] // PER_SECOND[unit]
        case Timestamp() | Primitive.DATE:
            pass
        case _:
            return pl.lit(value, dtype=dtype)
    return pl.lit(value, dtype=pl.Int64).cast(dtype)


@lru_cache(maxsize=256)
def _schema(fields: tuple[Field, ...]) -> pl.Schema:
    return _frame(arrow_schema(fields).empty_table()).schema


def _frame(table: pa.Table) -> pl.DataFrame:
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame
