"""Rows of a table found and changed by DuckDB: streams of Arrow batches, each row with its place.

A place is the number of a file, counted as `ScanPlan.numbered_files` has them, and the row's number in that file. Only
live rows are seen. Every stream has a cursor of its own, and reads only as fast as somebody takes from it.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Final

import duckdb
import pyarrow as pa

from tablelog.engines.arrow import FILE_NUMBER, ROW_NUMBER
from tablelog.engines.duckdb import ENGINE, store_failure
from tablelog.engines.duckdb_parse import nodes, one_expression
from tablelog.engines.duckdb_plan import ROWS, refuse_beyond_a_row
from tablelog.engines.duckdb_text import first_line, quote, select_nothing, sql_type
from tablelog.errors import CorruptionError, InvalidError
from tablelog.format.types import Time, Timestamp, TimeUnit
from tablelog.parquet.plain import ints
from tablelog.parquet.reader import check_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from tablelog.engines.duckdb import Cursor, DuckDB
    from tablelog.format.actions import AddFile
    from tablelog.format.types import DataType, Field
    from tablelog.ops.scan import ScanPlan
    from tablelog.store.base import ObjectStore

SOURCE: Final = "s"
"""The name by which a condition calls the rows that are merged into a table."""
SOURCE_NUMBER: Final = "\x1fsource"
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
    value = f"{ROWS}.{quote(field.name)}" if expression is None else cast_to(field.type, expression)
    return f"{value} AS {quote(field.name)}"


def cast_to(type_: DataType, expression: str) -> str:
    """What an expression gives, as a column of the type takes it: rounded, as all casts of DuckDB are."""
    value = f"CAST(({expression}\n) AS {sql_type(type_)})"
    match type_:  # DuckDB reads milliseconds as microseconds
        case Timestamp(unit=TimeUnit.MS, zone=None):
            return f"{value}::TIMESTAMP_MS::TIMESTAMP"
        case Timestamp(unit=TimeUnit.MS):
            return f"(({value} AT TIME ZONE 'UTC')::TIMESTAMP_MS::TIMESTAMP AT TIME ZONE 'UTC')"
        case Time(unit=TimeUnit.MS):
            return f"(DATE '1970-01-01' + {value})::TIMESTAMP_MS::TIMESTAMP::TIME"
        case _:
            return value


def meet(plan: ScanPlan, store: ObjectStore, keys: pa.Table) -> Iterator[pa.RecordBatch]:
    """Places of rows whose columns equal those of a key, and the number of that key."""
    on = " AND ".join(f"{ROWS}.{quote(name)} = {SOURCE}.{quote(name)}" for name in keys.column_names)
    text = f"SELECT {PLACE}, {SOURCE}.{quote(SOURCE_NUMBER)} FROM {ROWS} JOIN {SOURCE} ON {on}"
    return stream(plan, store, text, source=numbered(keys, plan.fields))


def numbered(rows: pa.Table, fields: Sequence[Field]) -> tuple[pa.Table, str]:
    """Rows of a source with their number, and what shows them to DuckDB in the types of a table's columns."""
    types = {field.name: sql_type(field.type) for field in fields}
    columns = [f"{quote(name)}::{types[name]} AS {quote(name)}" for name in rows.column_names]
    return with_numbers(rows), ", ".join([*columns, quote(SOURCE_NUMBER)])


def with_numbers(rows: pa.Table) -> pa.Table:
    """Rows of a source, each with its number."""
    return rows.append_column(SOURCE_NUMBER, ints(range(rows.num_rows)).cast(pa.uint32()))


def bind(
    fields: tuple[Field, ...],
    text: str,
    told: str,
    *,
    type_: DataType | None = None,
    tables: str = ROWS,
    source: tuple[pa.Table, str] | None = None,
) -> None:
    """Make sure that an expression over a row of some tables makes sense: as a type's value, else as a condition.

    `told` says what a person wrote where.

    Raises:
        InvalidError: it does not, or looks beyond the row.

    """
    refuse_unnamed_columns(text, told)
    cursor = ENGINE.cursor()
    try:
        cursor.connection.execute(f"CREATE TEMP VIEW {ROWS} AS {select_nothing(fields)}")
        if source is not None:
            _show_source(cursor, *source)
        value = f"({text}\n)" if type_ is None else cast_to(type_, text)
        # In a WHERE, DuckDB itself refuses what gives more or fewer values than rows.
        found = cursor.relation(f"SELECT {value} FROM {tables} WHERE ({text}\n) IS NULL").types[0]
    except duckdb.Error as error:
        raise InvalidError(f"{told}: {first_line(error)}") from error
    finally:
        cursor.connection.close()
    if type_ is None and str(found) not in {"BOOLEAN", '"NULL"'}:
        raise InvalidError(f"{told} is a {found}, not true or false")


def refuse_unnamed_columns(text: str, told: str) -> None:
    """Make sure that an expression looks at one row, and has no `COLUMNS(*)`: with its place, a row has more columns.

    Raises:
        InvalidError: it does not, or it is no expression; `told` says what a person wrote where.

    """
    with closing(ENGINE.planner.cursor()) as cursor:
        try:
            tree = one_expression(cursor, text)
        except InvalidError as error:
            raise InvalidError(f"{told}: {error}") from error
    refuse_beyond_a_row(tree, told)
    if any(node.get("type") == "STAR" for node in nodes(tree)):
        raise InvalidError(f"{told} speaks of columns without naming them; name them")


def stream(
    plan: ScanPlan,
    store: ObjectStore,
    text: str,
    *,
    source: tuple[pa.Table, str] | None = None,
    now_us: int | None = None,
    engine: DuckDB = ENGINE,
) -> Iterator[pa.RecordBatch]:
    """The answer to a query over a plan's rows as `t`, with their places, and those of a source as `s`.

    Raises:
        InvalidError: the query fails.
        CorruptionError: a file is missing or damaged.
        StoreError: the storage failed.

    """
    cursor = engine.cursor()
    if now_us is not None:
        cursor.set_clock(now_us)
    try:
        cursor.present(ROWS, plan, store, numbered=True)
        if source is not None:
            _show_source(cursor, *source)
        _check(cursor.mistyped(ROWS, plan, first=True), plan, store)
        yield from cursor.relation(text).to_arrow_reader()
        _check((*cursor.mistyped(ROWS, plan), *cursor.miscounted(ROWS, plan)), plan, store)
    except (duckdb.Error, pa.ArrowException, OSError, CorruptionError) as error:
        _check(plan.files, plan, store)  # the engine names no file, or says something else
        if isinstance(error, CorruptionError):
            raise
        raise store_failure(error) or InvalidError(first_line(error)) from error
    finally:
        cursor.connection.close()


def _check(files: Iterable[AddFile], plan: ScanPlan, store: ObjectStore) -> None:
    """Raise what is wrong with files; what DuckDB reads as they are would be written into the log as true."""
    for file in files:
        check_file(store, file, plan.state.metadata.schemas[file.schema_id])


def _show_source(cursor: Cursor, rows: pa.Table, columns: str) -> None:
    cursor.connection.register("source rows", rows)
    cursor.connection.execute(f'CREATE TEMP VIEW {SOURCE} AS SELECT {columns} FROM "source rows"')
