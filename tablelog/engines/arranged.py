"""Rows of a plan in the table's order, each behind its place; what compactions write.

Few rows are sorted in memory. Many are sorted by DuckDB, which writes to disk what does not fit. Places on a curve are
found from the columns that it goes through; DuckDB then brings the rows into the order of their places.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import duckdb
import pyarrow as pa

from tablelog.engines.arrow import FILE_NUMBER, ROW_NUMBER, numbered_rows
from tablelog.engines.duckdb import SORTER
from tablelog.engines.duckdb_plan import ROWS
from tablelog.engines.duckdb_rows import PLACE, SOURCE, SOURCE_NUMBER, stream, with_numbers
from tablelog.engines.duckdb_text import quote
from tablelog.errors import InvalidError
from tablelog.format.types import is_float
from tablelog.parquet.ordering import ordering

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tablelog.log.metadata import Metadata
    from tablelog.ops.scan import ScanPlan
    from tablelog.parquet.ordering import Ordering
    from tablelog.store.base import ObjectStore

_FEW_BYTES: Final = 16 * 1024 * 1024
"""Files of so many bytes, which are some ten times as large in memory, are sorted there."""


def arranged(plan: ScanPlan, store: ObjectStore) -> Iterator[pa.RecordBatch]:
    """The rows of a plan's files in the table's order, nulls last, behind the numbers of their file and row in it."""
    order = _order(plan.state.metadata)
    places = [FILE_NUMBER, ROW_NUMBER]
    if plan.size_bytes <= _FEW_BYTES:
        rows = numbered_rows([*enumerate(plan.numbered_files)], plan.fields, store, plan.state.metadata.schemas)
        names = [*places, *(field.name for field in plan.fields)]
        yield from rows.take(order.indices(rows)).select(names).to_batches(max_chunksize=1 << 17)
        return
    columns = ", ".join(f"{ROWS}.{quote(field.name)}" for field in plan.fields)
    if not order.curve:
        floats = {field.name for field in plan.fields if is_float(field.type)}
        by = ", ".join(
            _by(f"{ROWS}.{quote(name)}", direction, may_be_nan=name in floats) for name, direction in order.keys
        )
        yield from _spilled(plan, store, f"SELECT {PLACE}, {columns} FROM {ROWS} ORDER BY {by}")
        return
    keys = ", ".join(f"{ROWS}.{quote(name)}" for name, _ in order.keys)
    found = pa.Table.from_batches(stream(plan, store, f"SELECT {PLACE}, {keys} FROM {ROWS}"))
    source = with_numbers(found.select(places).take(order.indices(found)))
    same = " AND ".join(f"{ROWS}.{quote(place)} = {SOURCE}.{quote(place)}" for place in places)
    text = f"SELECT {PLACE}, {columns} FROM {ROWS} JOIN {SOURCE} ON {same} ORDER BY {SOURCE}.{quote(SOURCE_NUMBER)}"
    yield from _spilled(plan, store, text, (source, "*"))


def _spilled(
    plan: ScanPlan, store: ObjectStore, text: str, source: tuple[pa.Table, str] | None = None
) -> Iterator[pa.RecordBatch]:
    """Rows that are sorted in little memory, or in as much as there is if DuckDB cannot do with little."""
    batches = stream(plan, store, text, source=source, engine=SORTER)
    try:
        first = next(batches, None)  # there is none before all are sorted
    except InvalidError as error:
        if not isinstance(error.__cause__, duckdb.OutOfMemoryException):
            raise
        yield from stream(plan, store, text, source=source)
        return
    if first is not None:
        yield first
        yield from batches


def _order(metadata: Metadata) -> Ordering:
    order = ordering(metadata.order, metadata.schema, curve=metadata.curve)
    assert order is not None
    return order


def _by(column: str, direction: str, *, may_be_nan: bool) -> str:
    """A column of an order as Arrow sorts it: NaN after all numbers and before null, in both directions."""
    if direction == "ascending":
        return f"{column} ASC NULLS LAST"
    return f"isnan({column}) ASC NULLS LAST, {column} DESC NULLS LAST" if may_be_nan else f"{column} DESC NULLS LAST"
