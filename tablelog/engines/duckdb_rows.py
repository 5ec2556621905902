"""Rows of a table found and changed by DuckDB: streams of Arrow batches, each row with its place.

A place is the number of a file, counted as `ScanPlan.numbered_files` has them, and the row's number in that file. Only
live rows are seen. Every stream has a cursor of its own, and reads only as fast as somebody takes from it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import duckdb
import pyarrow as pa

from tablelog.engines.arrow import FILE_NUMBER, ROW_NUMBER
from tablelog.engines.duckdb import ENGINE
from tablelog.engines.duckdb_plan import ROWS
from tablelog.engines.duckdb_text import first_line, quote, select_nothing, sql_type
from tablelog.errors import CorruptionError, InvalidError
from tablelog.parquet.reader import check_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from tablelog.engines.duckdb import Cursor
    from tablelog.format.actions import AddFile
    from tablelog.format.types import Field
    from tablelog.ops.scan import ScanPlan
    from tablelog.store.base import ObjectStore

SOURCE: Final = "s"
"""The name by which a condition calls the rows that are merged into a table."""
SOURCE_NUMBER: Final = "#source"
PLACE: Final = f"{ROWS}.{quote(FILE_NUMBER)}, {ROWS}.{quote(ROW_NUMBER)}"


def find(plan: ScanPlan, store: ObjectStore, where: str, now_us: int | None) -> Iterator[pa.RecordBatch]:
    """Places of the rows that fulfil a condition.

    Raises:
        InvalidError: the condition fails on some row.

    """
    return stream(plan, store, f"SELECT {PLACE} FROM {ROWS} WHERE ({where}\n)", now_us=now_us)


def change(
    plan: ScanPlan, store: ObjectStore, values: Mapping[str, str], where: str, now_us: int | None
) -> Iterator[pa.RecordBatch]:
    """Places of the rows that fulfil a condition, and what they become: columns by name, expressions for some.

    Raises:
        InvalidError: the condition or an expression fails on some row.

    """
    columns = ", ".join(assigned(field, values.get(field.name)) for field in plan.fields)
    return stream(plan, store, f"SELECT {PLACE}, {columns} FROM {ROWS} WHERE ({where}\n)", now_us=now_us)


def assigned(field: Field, expression: str | None) -> str:
    """A column as it becomes: what an expression gives, cast as an assignment is, or what it was."""
    value = f"{ROWS}.{quote(field.name)}" if expression is None else f"CAST(({expression}\n) AS {sql_type(field.type)})"
    return f"{value} AS {quote(field.name)}"


def meet(plan: ScanPlan, store: ObjectStore, keys: pa.Table) -> Iterator[pa.RecordBatch]:
    """Places of rows whose columns equal those of a key, and the number of that key."""
    on = " AND ".join(f"{ROWS}.{quote(name)} = {SOURCE}.{quote(name)}" for name in keys.column_names)
    text = f"SELECT {PLACE}, {SOURCE}.{quote(SOURCE_NUMBER)} FROM {ROWS} JOIN {SOURCE} ON {on}"
    return stream(plan, store, text, source=numbered(keys, plan.fields))


def numbered(rows: pa.Table, fields: Sequence[Field]) -> tuple[pa.Table, str]:
    """Rows of a source with their number, and what shows them to DuckDB in the types of a table's columns."""
    numbers = pa.array(range(rows.num_rows), pa.uint32()) if rows.num_rows else pa.array([], pa.uint32())
    types = {field.name: sql_type(field.type) for field in fields}
    columns = [f"{quote(name)}::{types[name]} AS {quote(name)}" for name in rows.column_names]
    return rows.append_column(SOURCE_NUMBER, numbers), ", ".join([*columns, quote(SOURCE_NUMBER)])


def bind(fields: tuple[Field, ...], text: str, told: str, source: tuple[pa.Table, str] | None = None) -> None:
    """Make sure that a SELECT over the columns of a table makes sense; `told` is what a person wrote.

    Raises:
        InvalidError: it does not.

    """
    cursor = ENGINE.cursor()
    try:
        cursor.connection.execute(f"CREATE TEMP VIEW {ROWS} AS {select_nothing(fields, numbered=True)}")
        if source is not None:
            _show_source(cursor, *source)
        cursor.relation(text)
    except duckdb.Error as error:
        raise InvalidError(f"{told}: {first_line(error)}") from error
    finally:
        cursor.connection.close()


def stream(
    plan: ScanPlan,
    store: ObjectStore,
    text: str,
    *,
    source: tuple[pa.Table, str] | None = None,
    now_us: int | None = None,
) -> Iterator[pa.RecordBatch]:
    """The answer to a query over a plan's rows as `t`, with their places, and those of a source as `s`.

    Raises:
        InvalidError: the query fails.
        CorruptionError: a file is missing or damaged.

    """
    cursor = ENGINE.cursor()
    if now_us is not None:
        cursor.set_clock(now_us)
    try:
        cursor.present(ROWS, plan, store, numbered=True)
        if source is not None:
            _show_source(cursor, *source)
        yield from cursor.relation(text).to_arrow_reader()
        suspects = list(cursor.suspects(ROWS, plan))
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        _check(plan.files, plan, store)  # the engine names no file, or says something else
        raise InvalidError(first_line(error)) from error
    except CorruptionError:
        _check(plan.files, plan, store)
        raise
    finally:
        cursor.connection.close()
    _check(suspects, plan, store)


def _check(files: Iterable[AddFile], plan: ScanPlan, store: ObjectStore) -> None:
    for file in files:
        check_file(store, file, plan.state.metadata.schemas[file.schema_id])


def _show_source(cursor: Cursor, rows: pa.Table, columns: str) -> None:
    cursor.connection.register("source rows", rows)
    cursor.connection.execute(f'CREATE TEMP VIEW {SOURCE} AS SELECT {columns} FROM "source rows"')
