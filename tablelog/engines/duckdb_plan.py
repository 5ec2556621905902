"""What a query needs of its tables, asked of DuckDB's optimizer.

Queries are planned in a database of their own, on empty tables of the right shape. EXPLAIN says which filters arrive
at which scan: through joins and views, out of HAVING, with constants folded and casts moved over to them. The filters
go to the log, which says what files are left.

    planning.t7_0 (c1 BIGINT, c2 VARCHAR)        empty, for all tables of this shape; columns are called by field id
    TEMP VIEW orders AS SELECT c1 AS "id", c2 AS "status" FROM planning.t7_0

EXPLAIN is text for people and may change, so nothing rests on it alone: a filter that is not understood keeps files,
and a scan that the unoptimized plan has and the optimized one has not means that all files are read.
"""

from __future__ import annotations

import datetime as dt
import decimal
import json
import re
import threading
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import duckdb

from tablelog.engines.duckdb_clock import define_clock, reads_clock, set_clock
from tablelog.engines.duckdb_filters import predicate_of
from tablelog.engines.duckdb_parse import by_field_id, column_names, expressions, nodes, one_expression
from tablelog.engines.duckdb_text import first_line, quote, sql_type
from tablelog.engines.duckdb_tokens import tokens_of
from tablelog.errors import InvalidError
from tablelog.format.predicate import ALWAYS, UNKNOWN, And, Not, Or

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence

    from tablelog.engines.duckdb_tokens import Token
    from tablelog.format.predicate import Predicate
    from tablelog.format.schema import Schema

ROWS: Final = "t"
"""The name by which a condition may call the table, as in `t.price > 10`."""
_DISABLED: Final = (
    "statistics_propagation",  # empty tables would teach that nothing can be found
    "empty_result_pullup",
    "late_materialization",  # reads a table twice, once without the filters
    "common_subplan",  # these two take scans away, which is also what a plan that hides one looks like
    "join_elimination",
    "common_subexpressions",  # prints numbers for expressions
)
_SHAPES_MAX: Final = 1_000
"""Shapes of tables kept; more would only be memory."""
_ANSWERS_MAX: Final = 1_000
"""Answers kept, for the same reason."""
_PLAIN: Final = frozenset(
    (bool, int, float, str, bytes, type(None), decimal.Decimal, dt.date, dt.time, dt.datetime, dt.timedelta)
)
"""Types of parameters whose `repr` says all about them."""
_PLANNED: Final = re.compile(r"\bplanning\.(t\d+_\d+)$")
_BEYOND_A_ROW: Final = frozenset(("SUBQUERY", "WINDOW", "POSITIONAL_REFERENCE", "PARAMETER"))
"""Classes of expressions whose value is not one of the row's own columns' doing."""
_COUNT: Final = "count_star()"
"""The aggregate that needs no column. That a scan is said to have none proves nothing: sometimes it then has all."""
_DYNAMIC: Final = "Dynamic Filter"
"""How EXPLAIN announces a filter that is made while the query runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What a query needs of one table."""

    predicate: Predicate = ALWAYS
    """Rows that do not fulfil it make no difference."""
    counts_only: bool = False
    """No column is read: all that matters is how many rows there are."""


class Planner:
    """The planning database. Safe to share between threads."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Take over an empty database."""
        define_clock(connection)
        connection.execute(f"SET GLOBAL disabled_optimizers = '{','.join(_DISABLED)}'")
        connection.execute("SET GLOBAL explain_output = 'all'")
        connection.execute("CREATE SCHEMA planning")
        self._connection = connection
        self._lock = threading.Lock()
        self._shapes: dict[str, int] = {}
        self._tables: set[str] = set()
        self._answers: dict[Hashable, Mapping[str, Need]] = {}

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A cursor with no names in it: for parsing, binding and planning."""
        with self._lock:
            return self._connection.cursor()

    @cached_property
    def reserved_words(self) -> frozenset[str]:
        """Words, in upper case, that are names of tables or aliases only in quotes."""
        with closing(self.cursor()) as cursor:
            words = cursor.execute(
                "SELECT upper(keyword_name) FROM duckdb_keywords() "
                "WHERE keyword_category IN ('reserved', 'type_function')"
            ).fetchall()
        return frozenset(word for (word,) in words)

    def evaluated(self, text: str, parameters: Any = None, now_us: int | None = None) -> tuple[Any, ...]:
        """The one row of a query that reads no tables.

        Raises:
            duckdb.Error: it makes no sense.

        """
        with closing(self.cursor()) as cursor:
            if now_us is not None:
                set_clock(cursor, now_us)
            row = cursor.execute(text, parameters).fetchone()
        assert row is not None
        return row

    def needs(
        self,
        text: str,
        tables: Mapping[str, Schema],
        parameters: Any = None,
        *,
        others: Mapping[str, Any] | None = None,
        now_us: int | None = None,
    ) -> Mapping[str, Need] | None:
        """What a query needs of each of its tables; None if DuckDB cannot plan it: running it will say why, and better.

        `tables` maps the names under which the query knows them to their columns, `others` names to Python's data
        frames and the like. `now_us` is the moment that `now()` and its relatives give.

        What was asked before is remembered, unless it depends on more than text, columns and parameters.
        """
        question = None if others or now_us is not None else _question(text, tables, parameters)
        known = None if question is None else self._answers.get(question)
        if known is None:
            known = self._needs(text, tables, parameters, others=others or {}, now_us=now_us)
            if known is not None and question is not None:
                with self._lock:
                    if len(self._answers) >= _ANSWERS_MAX:
                        self._answers.clear()
                    self._answers[question] = known
        return known

    def _needs(
        self,
        text: str,
        tables: Mapping[str, Schema],
        parameters: Any,
        *,
        others: Mapping[str, Any],
        now_us: int | None,
    ) -> Mapping[str, Need] | None:
        """The same, asked anew."""
        with closing(self.cursor()) as cursor:
            if now_us is not None:
                set_clock(cursor, now_us)
            planned = {name: self._show(cursor, name, tables) for name in tables}
            try:
                for name, value in others.items():
                    cursor.register(name, value)
                scans = _explained(cursor, text, parameters)
            except (duckdb.Error, ValueError, KeyError):
                return None
            if scans is None:
                return dict.fromkeys(tables, Need())
            _read_filters(cursor, scans, {planned[name]: schema for name, schema in tables.items()})
            return {name: _need([scan for scan in scans if scan.table == planned[name]]) for name in tables}

    def condition(self, text: str, schema: Schema, now_us: int | None = None) -> Predicate:
        """The predicate that a condition on a table's columns says: exact, with `UNKNOWN` for what is not understood.

        `now_us` is the moment at which the condition will be evaluated; without one, nothing is said about the time.

        Raises:
            InvalidError: not one boolean expression over the columns of a row.

        """
        with closing(self.cursor()) as cursor:
            refuse_beyond_a_row(one_expression(cursor, text), f"the condition {text!r}")
            planned = self._show(cursor, ROWS, {ROWS: schema})
            _check_boolean(cursor, text)
            if now_us is None and reads_clock(text):
                return UNKNOWN
            if now_us is not None:
                set_clock(cursor, now_us)
            bound = by_field_id(cursor, text, schema, ROWS)
            exact = UNKNOWN if bound is None else _bound_predicate(cursor, bound, planned, schema)
            if not _has_unknown(exact):
                return exact
        needs = self.needs(f"SELECT * FROM {ROWS} WHERE ({text}\n)", {ROWS: schema}, now_us=now_us)
        followed = UNKNOWN if needs is None else needs[ROWS].predicate
        return And((exact, followed, UNKNOWN))  # the optimizer's filters only follow from the condition

    def columns_of(self, text: str) -> frozenset[str]:
        """Names of the columns that an expression may read, as it writes them; `*` if it may read all."""
        with closing(self.cursor()) as cursor:
            return frozenset(column_names(one_expression(cursor, text)))

    def _show(self, cursor: duckdb.DuckDBPyConnection, name: str, tables: Mapping[str, Schema]) -> str:
        """Put an empty table under a name; tables of one shape under several names are several tables."""
        schema = tables[name]
        shape = _shape(schema)
        alike = [other for other in tables if _shape(tables[other]) == shape]
        table = self._table(cursor, shape, alike.index(name))
        columns = ", ".join(f"c{field.id} AS {quote(field.name)}" for field in schema.fields)
        cursor.execute(f"CREATE OR REPLACE TEMP VIEW {quote(name)} AS SELECT {columns} FROM planning.{table}")
        return table

    def _table(self, cursor: duckdb.DuckDBPyConnection, shape: str, number: int) -> str:
        with self._lock:
            table = f"t{self._shapes.setdefault(shape, len(self._shapes))}_{number}"
            if table not in self._tables:
                cursor.execute(f"CREATE TABLE planning.{table} ({shape})")
                self._tables.add(table)
            return table

    @property
    def is_full(self) -> bool:
        """Whether it is time to begin anew with another database."""
        return len(self._shapes) >= _SHAPES_MAX


def refuse_beyond_a_row(tree: Any, told: str) -> None:
    """Make sure that an expression's value is the doing of the row's own columns, as far as its text says that.

    Raises:
        InvalidError: it is not; `told` says which expression it is.

    """
    if any(part.get("class") in _BEYOND_A_ROW for part in nodes(tree)):
        raise InvalidError(f"{told} looks beyond one row: it has a subquery, a window, a position or a parameter")


def _question(text: str, tables: Mapping[str, Schema], parameters: Any) -> Hashable | None:
    """All that the needs of a query depend on; None if it cannot be told apart from others for sure."""
    given = parameters.items() if isinstance(parameters, Mapping) else enumerate(parameters or ())
    values = tuple((name, type(value), repr(value)) for name, value in given)
    if any(kind not in _PLAIN for _, kind, _ in values):
        return None
    return text, values, tuple((name, _columns(schema)) for name, schema in tables.items())


def _check_boolean(cursor: duckdb.DuckDBPyConnection, text: str) -> None:
    try:
        # In a WHERE, DuckDB itself refuses what gives more or fewer values than rows.
        described = cursor.execute(f"DESCRIBE SELECT ({text}\n) AS condition FROM {ROWS} WHERE ({text}\n)").fetchone()
    except duckdb.Error as error:
        raise InvalidError(f"the condition {text!r} does not fit the table: {first_line(error)}") from error
    assert described is not None
    if described[1] not in {"BOOLEAN", '"NULL"'}:
        raise InvalidError(f"the condition {text!r} is a {described[1]}, not true or false")


def _bound_predicate(cursor: duckdb.DuckDBPyConnection, bound: str, planned: str, schema: Schema) -> Predicate:
    """What DuckDB makes of an expression over planned columns, without changing its value for any row."""
    try:
        plans = dict(cursor.execute(f"EXPLAIN (FORMAT JSON) SELECT ({bound}\n) FROM planning.{planned}").fetchall())
        (top,) = json.loads(plans["physical_plan"])
        (tree,) = expressions(cursor, ["\n".join(_lines(top["extra_info"]["Projections"]))])
    except (duckdb.Error, ValueError, KeyError):
        return UNKNOWN
    return UNKNOWN if tree is None else predicate_of(tree, schema)


def _has_unknown(predicate: Predicate) -> bool:
    match predicate:
        case And(operands=operands) | Or(operands=operands):
            return any(map(_has_unknown, operands))
        case Not(operand=operand):
            return _has_unknown(operand)
        case _:
            return predicate == UNKNOWN


@dataclass(slots=True)
class _Scan:
    """One scan of a planned table in a plan."""

    table: str
    filters: list[str]
    counts_only: bool
    predicate: Predicate = ALWAYS


def _shape(schema: Schema) -> str:
    return ", ".join(f"c{field.id} {sql_type(field.type)}" for field in schema.fields)


def _columns(schema: Schema) -> Hashable:
    """What answers are about: DuckDB has one type for timestamps of milli- and microseconds, the log has not."""
    return tuple((field.id, field.name, field.type) for field in schema.fields)


def _explained(cursor: duckdb.DuckDBPyConnection, text: str, parameters: Any) -> list[_Scan] | None:
    """The scans of a query's plan; None if it may have more than the plan shows."""
    plans = dict(cursor.execute(f"EXPLAIN (FORMAT JSON) {text}", parameters).fetchall())
    unoptimized = [scan.table for scan in _scans(json.loads(plans["logical_plan"]))]
    scans = list(_scans(json.loads(plans["physical_plan"])))
    seen = [scan.table for scan in scans]
    return scans if all(seen.count(table) >= unoptimized.count(table) for table in set(unoptimized)) else None


def _scans(plan: list[dict[str, Any]], *, counted: bool = False) -> Iterator[_Scan]:
    """The scans of planned tables below some nodes; `counted` if all that is above them only counts their rows."""
    for node in plan:
        extra = node.get("extra_info", {})
        planned = _PLANNED.search(str(extra.get("Table", "")))
        if planned is not None:
            filters = _conditions("\n".join(_lines(extra.get("Filters", ""))))
            counts_only = counted and not any(_lines(extra.get("Projections", "all"))) and not extra.get("Filters")
            yield _Scan(planned[1], filters, counts_only)
        counts = extra.get("Aggregates") == _COUNT or (counted and _is_constant(extra))
        yield from _scans(node.get("children", []), counted=counts)


def _is_constant(extra: Mapping[str, Any]) -> bool:
    """Whether a node projects a number for every row, and nothing else."""
    return extra.keys() <= {"Projections", "Estimated Cardinality"} and str(extra.get("Projections")).isdecimal()


def _lines(value: str | list[str]) -> list[str]:
    """Lines of a text that EXPLAIN has cut into lines, unless it is only one."""
    return [value] if isinstance(value, str) else value


def _conditions(text: str) -> list[str]:
    r"""The filters of a scan: one a line, but text in them may have lines of its own.

    >>> _conditions("optional: (c1 IN (1, 9))\n(c2 = 'a\nb')\noptional: Dynamic Filter (c3)")
    ['(c1 IN (1, 9))', "(c2 = 'a\nb')"]
    """
    pieces: list[str] = []
    end = 0
    for token in _without_optional(tokens_of(text)):
        between = text[end : token.start]
        if not pieces or "\n" in between:
            pieces.append("")
        pieces[-1] += " " * bool(between) + token.text
        end = token.end
    return [piece.strip() for piece in pieces if not piece.strip().startswith(_DYNAMIC)]


def _without_optional(tokens: Sequence[Token]) -> Iterator[Token]:
    """Tokens but for `optional:`, which says that a filter is checked a second time elsewhere."""
    skipped = {
        place
        for first in range(len(tokens) - 1)
        if tokens[first].text == "optional" and tokens[first + 1].text == ":"
        for place in (first, first + 1)
    }
    return (token for place, token in enumerate(tokens) if place not in skipped)


def _read_filters(cursor: duckdb.DuckDBPyConnection, scans: Sequence[_Scan], schemas: Mapping[str, Schema]) -> None:
    trees = iter(expressions(cursor, [condition for scan in scans for condition in scan.filters]))
    for scan in scans:
        found = [next(trees) for _ in scan.filters]
        read = (UNKNOWN if tree is None else predicate_of(tree, schemas[scan.table]) for tree in found)
        scan.predicate = And(tuple(read))


def _need(scans: Sequence[_Scan]) -> Need:
    """What several scans of one table need together; everything if there is none, for then nothing is known."""
    if not scans:
        return Need()
    some = [scan.predicate for scan in scans]
    predicate = ALWAYS if ALWAYS in some else some[0] if len(some) == 1 else Or(tuple(some))
    return Need(predicate=predicate, counts_only=all(scan.counts_only for scan in scans))
