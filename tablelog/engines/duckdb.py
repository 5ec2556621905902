"""DuckDB over snapshots: plan on an empty copy, prune from the log, run on the files that are left.

    text ──> planning connection: empty tables of the same shape; EXPLAIN says which filters reach which table
         ──> the log: those filters against statistics choose the files
         ──> a cursor: one temporary view per table over read_parquet of just those files ──> relation

The user's text is given to DuckDB as it is. On the planning side a table is a view over columns named `c<field id>`, so what
EXPLAIN prints names fields by id and no user's column name has to be read back from it. Filters that are not understood keep
files. Every query has a cursor of its own, which its relation keeps alive: views and file lists go when the relation goes.
"""

from __future__ import annotations

import json
import os
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

import duckdb
import pyarrow as pa

from tablelog.engines.duckdb_files import StoreFileSystem
from tablelog.engines.duckdb_filters import find_in, predicate_of
from tablelog.engines.duckdb_text import quote, select_layout, select_nothing, sql_type
from tablelog.errors import InvalidError
from tablelog.format.predicate import ALWAYS, UNKNOWN, And, Comparison, Not, Operator, Or
from tablelog.format.types import Primitive, Struct, Time, Timestamp
from tablelog.parquet.arrow import type_from_arrow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tablelog.format.predicate import Predicate
    from tablelog.format.schema import Schema
    from tablelog.format.types import Field
    from tablelog.ops.scan import ScanPlan
    from tablelog.store.base import ObjectStore

Parameters = "Sequence[Any] | Mapping[str, Any] | None"

_SETTINGS: Final = {
    # Nothing is fetched from the network behind the user's back.
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
}
_CLOCK_WORDS: Final = ("now", "current_", "today", "localtime", "get_current", "transaction_timestamp", "age")
"""Parts of the names of functions whose value depends on when a query runs."""
_BEYOND_A_ROW: Final = frozenset(("SUBQUERY", "WINDOW", "POSITIONAL_REFERENCE"))
"""Classes of expressions whose value is not one of the row's own columns' doing."""


def new_database() -> tuple[duckdb.DuckDBPyConnection, StoreFileSystem]:
    """An empty in-memory database that can open files of any store; time zone UTC, sees Python's data frames by name."""
    files = StoreFileSystem()
    connection = duckdb.connect(":memory:", config=dict(_SETTINGS))
    connection.register_filesystem(files)
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    connection.execute("SET GLOBAL python_scan_all_frames = true")
    return connection, files


class DuckDB:
    """One database for running and one for planning; safe to share between threads."""

    def __init__(self) -> None:
        """Connect lazily: importing and connecting costs tens of milliseconds."""
        self._lock = threading.Lock()
        self._running: tuple[duckdb.DuckDBPyConnection, StoreFileSystem] | None = None
        self._planning: duckdb.DuckDBPyConnection | None = None
        self._abandoned: list[object] = []

    def forget(self) -> None:
        """Begin anew: a child process has its parent's databases but none of their threads."""
        self._abandoned.append((self._running, self._planning))  # closing them would wait for those threads for ever
        self._lock = threading.Lock()
        self._running = self._planning = None

    def cursor(self) -> Cursor:
        """A fresh place to run one query in."""
        with self._lock:
            if self._running is None:
                self._running = new_database()
            connection, files = self._running
            cursor = connection.cursor()
            # DuckDB takes notebooks and `python -m` for somebody who waits at a prompt, and would draw over their output.
            cursor.execute("SET enable_progress_bar = false")
            return Cursor(cursor, files)

    def planning_cursor(self) -> duckdb.DuckDBPyConnection:
        """A cursor of the database that holds no rows: for parsing, binding and planning."""
        with self._lock:
            if self._planning is None:
                self._planning, _ = new_database()
                # Empty tables would otherwise teach the optimizer that nothing can be found.
                self._planning.execute("SET GLOBAL disabled_optimizers = 'statistics_propagation,empty_result_pullup'")
            return self._planning.cursor()

    def parse(self, text: str) -> dict[str, Any]:
        """DuckDB's tree of one SELECT.

        Raises:
            InvalidError: DuckDB cannot parse it, or it is no SELECT.

        """
        with closing(self.planning_cursor()) as cursor:
            return _parse(cursor, text)

    def parse_condition(self, text: str, schema: Schema) -> Predicate:
        """The predicate that a condition on a table's columns says, complete: parts not understood are UNKNOWN.

        Raises:
            InvalidError: not one boolean expression over the table's columns.

        """
        with closing(self.planning_cursor()) as cursor:
            node = _one_expression(cursor, text)
            if any(part.get("class") in _BEYOND_A_ROW for part in _nodes(node)):
                raise InvalidError(f"the condition {text!r} looks beyond one row: it has a subquery, a window or a position")
            _create_empty(cursor, "t", schema, 0)
            try:
                # In a WHERE, DuckDB itself refuses what gives more or fewer values than rows.
                bound = f"DESCRIBE SELECT ({text}\n) AS condition FROM t WHERE ({text}\n)"
                described = cursor.execute(bound).fetchone()
            except duckdb.Error as error:
                raise InvalidError(f"the condition {text!r} does not fit the table: {first_line(error)}") from error
            assert described is not None
            if described[1] not in {"BOOLEAN", '"NULL"'}:
                raise InvalidError(f"the condition {text!r} is a {described[1]}, not true or false")
            return predicate_of(node, find_in(schema.fields))

    def columns_of(self, text: str) -> frozenset[str]:
        """Names of the columns that an expression may read, as it writes them; `*` if it may read all."""
        with closing(self.planning_cursor()) as cursor:
            return frozenset(_column_names(_one_expression(cursor, text)))

    def filters(self, text: str, tables: Mapping[str, Schema], parameters: Any = None) -> dict[str, Predicate]:
        """For each table of a query, what its rows must fulfil to matter; `ALWAYS` where nothing is known.

        `tables` maps the names under which the query knows them to their columns.
        """
        with closing(self.planning_cursor()) as cursor:
            names = list(tables)
            for number, name in enumerate(names):
                _create_empty(cursor, name, tables[name], number)
            try:
                rows = cursor.execute(f"EXPLAIN (FORMAT JSON) {text}", parameters).fetchall()
                plan = json.loads(rows[0][1])
            except (duckdb.Error, ValueError, IndexError):
                return dict.fromkeys(names, ALWAYS)  # running it will say what is wrong, better than planning could
            found: dict[str, list[Predicate]] = {name: [] for name in names}
            reads_clock = any(word in text.lower() for word in _CLOCK_WORDS)
            for number, conditions in _scans(plan):
                schema = tables[names[number]]
                predicate = _conjunction(cursor, conditions, _find_by_id(schema))
                found[names[number]].append(_as_time_passes(predicate, schema) if reads_clock else predicate)
        return {name: Or(tuple(scans)) if scans else ALWAYS for name, scans in found.items()}


ENGINE: Final = DuckDB()
"""The one of this process."""
if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork either
    os.register_at_fork(after_in_child=ENGINE.forget)


class Cursor:
    """Where one query runs: temporary views over chosen files."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, files: StoreFileSystem) -> None:
        """Take over a cursor of the running database."""
        self.connection = connection
        self._files = files

    def present(self, name: str, plan: ScanPlan, store: ObjectStore, *, schema: str | None = None) -> None:
        """Make a plan's rows visible under a name: temporary, or in a schema of the database."""
        parts: list[str] = []
        for number, layout in enumerate(plan.layouts):
            variable = f"{schema or ''}.{name}:{number}"
            paths = [self._files.path(store, file) for file in layout.files]
            self.connection.execute(f"SET VARIABLE {quote(variable)} = $1", [paths])
            parts.append(select_layout(layout, variable))
        select = " UNION ALL ".join(parts) or select_nothing(plan.fields)
        target = f"TEMP VIEW {quote(name)}" if schema is None else f"VIEW {quote(schema)}.{quote(name)}"
        self.connection.execute(f"CREATE OR REPLACE {target} AS {select}")

    def relation(self, text: str, parameters: Any = None) -> duckdb.DuckDBPyRelation:
        """The query as a relation, which keeps this cursor alive."""
        return self.connection.sql(text) if parameters is None else self.connection.sql(text, params=parameters)


def evaluate(engine: DuckDB, expression: str, reader: pa.RecordBatchReader) -> Iterator[pa.BooleanArray]:
    """A condition's value for every row of a stream, in order; null where SQL says unknown.

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
    cursor.register("rows", pa.RecordBatchReader.from_batches(reader.schema, watched()))
    # Arrow has types that Parquet does not bring to DuckDB, such as TIMESTAMP_MS, and conditions are planned on Parquet's.
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


def first_line(error: Exception) -> str:
    """The part of an engine's message that a person needs."""
    return str(error).strip().split("\n\n")[0]


def _parse(cursor: duckdb.DuckDBPyConnection, text: str) -> dict[str, Any]:
    row = cursor.execute("SELECT json_serialize_sql($1::VARCHAR)", [text]).fetchone()
    assert row is not None
    tree: dict[str, Any] = json.loads(row[0])
    if tree["error"]:
        raise InvalidError(tree["error_message"])
    return tree


def _one_expression(cursor: duckdb.DuckDBPyConnection, text: str) -> dict[str, Any]:
    """The tree of a text that must be one expression, so that it can be put between parentheses safely."""
    try:
        statements = _parse(cursor, f"SELECT {text}\n")["statements"]
        node: dict[str, Any] = statements[0]["node"]
        plain = (
            len(statements) == 1
            and node["type"] == "SELECT_NODE"
            and len(node["select_list"]) == 1
            and node["from_table"]["type"] == "EMPTY"
            and not any(node.get(part) for part in ("where_clause", "group_expressions", "having", "qualify", "modifiers"))
            and not node["select_list"][0].get("alias")
        )
    except (InvalidError, KeyError, IndexError) as error:
        raise InvalidError(f"cannot read the condition {text!r}: {error}") from error
    if not plain:
        raise InvalidError(f"{text!r} is not one condition")
    expression: dict[str, Any] = node["select_list"][0]
    return expression


def _column_names(node: Any) -> Iterator[str]:
    """Every part of every column reference in a tree: `t.x.y` may mean the column t, x or y."""
    for part in _nodes(node):
        if part.get("type") == "COLUMN_REF":
            yield from part["column_names"]
        elif part.get("type") == "STAR":
            yield "*"


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Every object in a tree."""
    if isinstance(tree, dict):
        yield tree
        for child in tree.values():
            yield from _nodes(child)
    elif isinstance(tree, list):
        for child in tree:
            yield from _nodes(child)


def _create_empty(cursor: duckdb.DuckDBPyConnection, name: str, schema: Schema, number: int) -> None:
    """An empty table of a schema's shape, behind a view that knows the columns by their names."""
    columns = ", ".join(f"c{field.id} {sql_type(field.type)}" for field in schema.fields)
    aliases = ", ".join(f"c{field.id} AS {quote(field.name)}" for field in schema.fields)
    cursor.execute(f"CREATE TEMP TABLE planned_{number} ({columns})")
    cursor.execute(f"CREATE TEMP VIEW {quote(name)} AS SELECT {aliases} FROM planned_{number}")


def _scans(plan: list[dict[str, Any]]) -> Iterator[tuple[int, list[str]]]:
    """Every scan of a planned table in an EXPLAIN: the table's number and the filters that reached it."""
    for node in plan:
        extra = node.get("extra_info", {})
        table = str(extra.get("Table", "")).rpartition(".")[2].strip('"')
        if table.startswith("planned_") and table[8:].isdecimal():
            conditions = extra.get("Filters", [])
            yield int(table[8:]), [conditions] if isinstance(conditions, str) else list(conditions)
        yield from _scans(node.get("children", []))


def _conjunction(
    cursor: duckdb.DuckDBPyConnection, conditions: list[str], find: Callable[[Sequence[str]], Field | None]
) -> Predicate:
    parts: list[Predicate] = []
    for condition in conditions:
        try:
            node = _one_expression(cursor, condition.removeprefix("optional: "))
        except InvalidError:
            parts.append(UNKNOWN)
        else:
            parts.append(predicate_of(node, find))
    return And(tuple(parts))


def _as_time_passes(predicate: Predicate, schema: Schema) -> Predicate:
    """A predicate that still holds when the query runs later than it was planned.

    Planning folds `now()` into a constant, and a relation may run much later. A bound from below only rises with the clock, so
    it may stay; a bound from above would leave out rows that are yet to be passed by.
    """
    match predicate:
        case And(operands=operands):
            return And(tuple(_as_time_passes(operand, schema) for operand in operands))
        case Or(operands=operands):
            return Or(tuple(_as_time_passes(operand, schema) for operand in operands))
        case Comparison(field_id=field_id, operator=operator, value=value):
            field = schema.by_id(field_id)
            if field is not None and field.type is not Primitive.DATE and not isinstance(field.type, Timestamp | Time):
                return predicate
            if operator in {Operator.EQUAL, Operator.GREATER, Operator.GREATER_OR_EQUAL}:
                return Comparison(field_id, Operator.GREATER_OR_EQUAL, value)
            return UNKNOWN
        case Not():
            return UNKNOWN
        case _:
            return predicate


def _find_by_id(schema: Schema) -> Callable[[Sequence[str]], Field | None]:
    """References as the planning connection prints them: `c<field id>`, then names inside structs."""
    columns = {f"c{field.id}": field for field in schema.fields}

    def find(path: Sequence[str]) -> Field | None:
        field = columns.get(path[0])
        if field is None or len(path) == 1:
            return field
        return find_in(field.type.fields)(path[1:]) if isinstance(field.type, Struct) else None

    return find
