"""Text for DuckDB and from it: identifiers, types, literals, messages, and SELECTs that present files as a table."""

from __future__ import annotations

import decimal
import math
from typing import TYPE_CHECKING, Final, assert_never

from tablelog.engines.arrow import FILE_NUMBER, ROW_NUMBER
from tablelog.format.types import Decimal, List, Map, Primitive, Struct, Time, Timestamp, TimeUnit

if TYPE_CHECKING:
    from tablelog.format.layout import ColumnSource, Layout
    from tablelog.format.types import DataType, Field, Scalar

_PRIMITIVES: Final = {
    Primitive.BOOLEAN: "BOOLEAN",
    Primitive.INT8: "TINYINT",
    Primitive.INT16: "SMALLINT",
    Primitive.INT32: "INTEGER",
    Primitive.INT64: "BIGINT",
    Primitive.UINT8: "UTINYINT",
    Primitive.UINT16: "USMALLINT",
    Primitive.UINT32: "UINTEGER",
    Primitive.UINT64: "UBIGINT",
    Primitive.FLOAT32: "FLOAT",
    Primitive.FLOAT64: "DOUBLE",
    Primitive.STRING: "VARCHAR",
    Primitive.BINARY: "BLOB",
    Primitive.DATE: "DATE",
}

_MESSAGE_LINES_MAX: Final = 8
OF_FILE: Final = "\x1fof"
DELETED: Final = "\x1fdeleted"
_OF_FILE: Final = f'"{OF_FILE}"'
_DELETED: Final = f'"{DELETED}"'
_VIRTUAL: Final = frozenset(("file_index", "file_row_number"))
"""Columns of every scan of Parquet files, unless the files have ones of that name."""


def quote(name: str) -> str:
    """An identifier that means exactly this name."""
    return '"' + name.replace('"', '""') + '"'


def first_line(error: Exception) -> str:
    """The part of an engine's message that a person needs, without most of the forty functions of an operator."""
    lines = str(error).strip().split("\n\n")[0].split("\n")
    return "\n".join(lines if len(lines) <= _MESSAGE_LINES_MAX else [*lines[:_MESSAGE_LINES_MAX], "\t…"])


def quote_text(text: str) -> str:
    """A string literal."""
    return "'" + text.replace("'", "''") + "'"


def sql_type(type_: DataType) -> str:
    """The type as DuckDB reads such a column from Parquet."""
    match type_:
        case Primitive():
            return _PRIMITIVES[type_]
        case Decimal(precision=precision, scale=scale):
            return f"DECIMAL({precision},{scale})"
        case Time(unit=unit):
            return "TIME_NS" if unit is TimeUnit.NS else "TIME"
        case Timestamp(zone=zone, unit=unit):
            if zone is not None:
                return "TIMESTAMPTZ_NS" if unit is TimeUnit.NS else "TIMESTAMP WITH TIME ZONE"
            return "TIMESTAMP_NS" if unit is TimeUnit.NS else "TIMESTAMP"
        case List(element=element):
            return f"{sql_type(element.type)}[]"
        case Map(key=key, value=value):
            return f"MAP({sql_type(key.type)}, {sql_type(value.type)})"
        case Struct(fields=fields):
            return f"STRUCT({', '.join(f'{quote(field.name)} {sql_type(field.type)}' for field in fields)})"
        case _:
            assert_never(type_)


def literal(value: Scalar | None, type_: DataType) -> str:
    """A value as an expression of exactly that type."""
    target = sql_type(type_)
    match value:
        case None:
            return f"NULL::{target}"
        case bool():
            return f"{str(value).upper()}"
        case bytes():
            return "'" + "".join(f"\\x{byte:02X}" for byte in value) + "'::BLOB"
        case str():
            return f"{quote_text(value)}::{target}"
        case decimal.Decimal():
            return f"'{value:f}'::{target}"
        case float():
            text = repr(value) if math.isfinite(value) else "nan" if math.isnan(value) else f"{value}inity"
            return f"'{text}'::{target}"
        case int():
            return _integer(value, type_)
        case _:
            assert_never(value)


def _integer(value: int, type_: DataType) -> str:
    match type_:
        case Primitive.DATE:
            return f"(DATE '1970-01-01' + ({value})::INTEGER)"
        case Time(unit=unit) | Timestamp(unit=unit):
            nanoseconds = value * {TimeUnit.MS: 1_000_000, TimeUnit.US: 1_000, TimeUnit.NS: 1}[unit]
            if isinstance(type_, Time):
                return f"make_timestamp_ns(({nanoseconds})::BIGINT)::{sql_type(type_)}"
            made = (
                f"make_timestamp_ns(({nanoseconds})::BIGINT)"
                if unit is TimeUnit.NS
                else f"make_timestamp(({nanoseconds // 1_000})::BIGINT)"
            )
            return f"({made} AT TIME ZONE 'UTC')" if type_.zone is not None else made
        case _:
            return f"({value})::{sql_type(type_)}"


def can_be_scanned(layout: Layout, *, numbered: bool = False) -> bool:
    """Whether DuckDB can read a layout's files as they are wanted: not if the names of row numbers are taken."""
    if layout.is_inlined:
        return False
    if not layout.is_dirty and not numbered:
        return True
    return not layout.names & _VIRTUAL


def select_layout(
    layout: Layout, paths: str, deleted: str | None = None, first: int | None = None, *, by_bits: bool = False
) -> str:
    """The live rows of a layout's files as the wanted columns; `paths` is an expression for the list of them.

    `deleted` names a table of deleted rows, which files that have any need: of their numbers or, `by_bits`, of a bit
    for each row. With `first` rows are numbered: by file, from that number on, and by row.
    """
    columns = [_projection(column) for column in layout.columns] or ["NULL"]
    if first is not None:
        columns += [
            f"(file_index + {first})::BIGINT AS {quote(FILE_NUMBER)}",
            f"file_row_number AS {quote(ROW_NUMBER)}",
        ]
    # Parquet bounds leave NaN out, but NaN > 5 is true: without the option DuckDB would skip row groups with it.
    nan = ", can_have_nan=true" if layout.may_have_nan else ""
    scan = f"read_parquet({paths}, hive_partitioning=false, union_by_name=false{nan})"
    select = f"SELECT {', '.join(columns)} FROM {scan}"
    if deleted is None:
        return select
    # The bits must stay on the side of the join that gives no columns: carried into another join, each row takes them.
    same_row = (
        f"get_bit({_DELETED}, file_row_number::UINTEGER::INTEGER) = 1" if by_bits else f"{_DELETED} = file_row_number"
    )
    values = f"{_DELETED}::BLOB::BIT AS {_DELETED}" if by_bits else _DELETED
    return (
        f"{select} AS rows ANTI JOIN (SELECT {_OF_FILE}, {values} FROM {deleted}) AS gone "
        f"ON {_OF_FILE} = file_index AND {same_row}"
    )


def select_row_counts(paths: str) -> str:
    """How many rows each of some Parquet files has; `paths` is an expression for the list of them."""
    return f"SELECT num_rows FROM parquet_file_metadata({paths})"


def select_mistyped(layout: Layout, paths: str) -> str:
    """A row if a column of some file of a layout is of another type than the log says."""
    columns = [column.physical for column in layout.columns if column.physical is not None]
    wanted = [f"({quote_text(each.name)}, {each.id}, typeof({literal(None, each.type)}))" for each in columns]
    if not wanted:
        return "SELECT 1 WHERE false"
    return (
        f"SELECT 1 FROM parquet_schema({paths}) AS found, (VALUES {', '.join(wanted)}) AS wanted(name, id, type) "
        "WHERE found.name = wanted.name AND coalesce(found.field_id, id) = id AND duckdb_type <> wanted.type LIMIT 1"
    )


def select_rows(fields: tuple[Field, ...], table: str, *, numbered: bool = False) -> str:
    """Rows of a table of Arrow as DuckDB would have read them from Parquet."""
    columns = [f"{quote(field.name)}::{sql_type(field.type)} AS {quote(field.name)}" for field in fields]
    columns += [quote(FILE_NUMBER), quote(ROW_NUMBER)] if numbered else []
    return f"SELECT {', '.join(columns)} FROM {table}"


def select_nothing(fields: tuple[Field, ...], *, numbered: bool = False) -> str:
    """No rows, in the right columns."""
    columns = [f"{literal(None, field.type)} AS {quote(field.name)}" for field in fields]
    columns += [f"NULL::BIGINT AS {quote(name)}" for name in (FILE_NUMBER, ROW_NUMBER)] if numbered else []
    return f"SELECT {', '.join(columns)} WHERE false"


def select_count(fields: tuple[Field, ...], row_count: int) -> str:
    """As many rows, for those who only count them; reading a column of them fails rather than being wrong."""
    columns = ", ".join(
        f"error('a column is read of a table that was to be counted')::{sql_type(field.type)} AS {quote(field.name)}"
        for field in fields
    )
    return f"SELECT {columns} FROM range({row_count})"


def _projection(column: ColumnSource) -> str:
    if column.physical is None:
        return f"{literal(column.field.initial_default, column.field.type)} AS {quote(column.field.name)}"
    source = quote(column.physical.name)
    if sql_type(column.physical.type) != sql_type(column.field.type):
        return f"CAST({source} AS {sql_type(column.field.type)}) AS {quote(column.field.name)}"
    return f"{source} AS {quote(column.field.name)}"
