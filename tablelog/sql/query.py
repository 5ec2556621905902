"""A SELECT over a lake: from text to a DuckDB relation over just the files that matter.

    1. tables     every reference is found; those with a clause, and dotted ones, get a name of their own in the text
    2. variables  names that are no tables may be Python's data frames
    3. planning   DuckDB says which filters reach which table; the log says which files those leave
    4. running    one view per table over its files, then the text

All tables of one query are looked up before any is read, each is read at one version throughout, and `now()` is when it
was asked.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import duckdb

from tablelog.engines.duckdb import ENGINE
from tablelog.engines.duckdb_clock import asked_at_us
from tablelog.engines.duckdb_plan import Need
from tablelog.engines.duckdb_tokens import with_plain_spaces
from tablelog.errors import InvalidError
from tablelog.sql import parameters
from tablelog.sql.messages import explained
from tablelog.sql.references import named_in_strings, references
from tablelog.sql.rewriting import Rewriting, rewrite
from tablelog.sql.settled import settle
from tablelog.sql.statement import begin_of_query, check_kind, shown_tables
from tablelog.sql.table_changes import calls, feeds
from tablelog.sql.variables import visible

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tablelog.engines.duckdb import Cursor
    from tablelog.ops.scan import ScanPlan
    from tablelog.snapshot import Snapshot
    from tablelog.sql.names import Names
    from tablelog.sql.parameters import Parameters, Stretch


@dataclass(frozen=True, slots=True, kw_only=True)
class _Query:
    """A query whose tables are settled."""

    rewriting: Rewriting
    parameters: Parameters
    snapshots: Mapping[str, Snapshot]
    """By the name that the rewritten text uses for each."""
    variables: Mapping[str, Any]
    """Python variables that the text may mean, and change feeds that it asks for."""
    now_us: int | None
    """The time of the query; None if it does not ask for it."""

    def needs(self, usable: Mapping[str, Any]) -> Mapping[str, Need] | None:
        """What it needs of each of its tables; None if DuckDB cannot plan it."""
        text = self.rewriting.after
        schemas = {name: snapshot.schema for name, snapshot in self.snapshots.items()}
        return ENGINE.planner.needs(
            text[begin_of_query(text) :], schemas, self.parameters, others=usable, now_us=self.now_us
        )

    @property
    def everything(self) -> Mapping[str, Need]:
        """All of each of its tables."""
        return dict.fromkeys(self.snapshots, Need())


def run(names: Names, text: str, given: Parameters = None) -> duckdb.DuckDBPyRelation:
    """The answer to a query, as a relation that is computed when it is used.

    Raises:
        InvalidError: DuckDB cannot make sense of it, or it is no query.
        NotFoundError: a table, version or moment that is not there.

    """
    query = _settled(names, text, given)
    cursor = ENGINE.cursor()
    if query.now_us is not None:
        cursor.set_clock(query.now_us)
    usable = _registered(cursor, query.variables)
    needs = query.needs(usable) if query.snapshots else {}
    for name, need in (query.everything if needs is None else needs).items():
        snapshot = query.snapshots[name]
        if need.counts_only:
            cursor.present_count(name, snapshot.plan(need.predicate))
        else:
            cursor.present(name, snapshot.plan(need.predicate), snapshot.store)
    try:
        relation = cursor.relation(query.rewriting.after, query.parameters)
    except duckdb.Error as error:
        unusable = {name: value for name, value in query.variables.items() if name not in usable}
        raise explained(
            error,
            cursor.connection,
            rewriting=query.rewriting,
            parameters=query.parameters,
            names=names,
            unusable=unusable,
        ) from error
    if relation is None:
        raise InvalidError(f"{text.strip()[:60]!r} gives no rows; sql() answers queries")
    return relation


def explain(names: Names, text: str, given: Parameters = None) -> list[tuple[Snapshot, ScanPlan]]:
    """For each table of a query, what it would read."""
    query = _settled(names, text, given)
    needs = query.needs(_registered(ENGINE.cursor(), query.variables))
    if needs is None:
        run(names, text, given)  # raises what is wrong with the query, if anything is
        needs = query.everything
    return [(query.snapshots[name], _plan(query.snapshots[name], need)) for name, need in needs.items()]


def _plan(snapshot: Snapshot, need: Need) -> ScanPlan:
    plan = snapshot.plan(need.predicate)
    return replace(plan, files=()) if need.counts_only else plan


def _settled(names: Names, text: str, given: Parameters) -> _Query:
    """Find the tables of a query, at their versions."""
    text = _readable(text)
    now_us = asked_at_us(text)
    found = references(text, ENGINE.planner.reserved_words)
    clauses = [reference.clause for reference in found if reference.clause is not None]
    called = calls(text)
    inner: list[Stretch] = [*clauses, *(argument for call in called for argument in call.arguments)]
    of_inner, of_query = parameters.split(text, inner, given)
    values = {each.start: value for each, value in zip(inner, of_inner, strict=True)}

    def evaluate(expression: str, start: int) -> tuple[str, str | None]:
        return _value(names, expression, values[start], now_us)

    settled = settle(names, text, found, evaluate)
    for name in named_in_strings(text):
        if (name,) in names:
            settled.snapshots.setdefault(name, names.snapshot((name,)))
    changes, splices = feeds(names, called, evaluate)
    rewriting = rewrite(text, [*settled.splices, *splices, *shown_tables(text, names)])
    try:
        check_kind(rewriting.after)
    except duckdb.Error as error:
        raise explained(
            error, ENGINE.planner.cursor(), rewriting=rewriting, parameters=of_query, names=names, unusable={}
        ) from error
    return _Query(
        rewriting=rewriting,
        parameters=of_query,
        snapshots=settled.snapshots,
        variables={**visible(settled.others), **changes},
        now_us=now_us,
    )


def _readable(text: str) -> str:
    if not isinstance(text, str):
        raise InvalidError(f"a query is text, not {text!r}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidError(f"the query is not valid unicode: {error}") from None
    return with_plain_spaces(text)


def _value(names: Names, expression: str, given: Parameters, now_us: int | None) -> tuple[str, str | None]:
    """The type and the text of an expression's value; no text for null."""
    asked = f"SELECT typeof(value), value::VARCHAR FROM (SELECT ({expression}\n) AS value)"
    if references(expression, ENGINE.planner.reserved_words):
        (row,) = run(names, asked, given).fetchall()
    else:
        row = ENGINE.planner.evaluated(asked, given, now_us)
    kind, text = row
    return str(kind), text


def _registered(cursor: Cursor, variables: Mapping[str, Any]) -> dict[str, Any]:
    """Make Python variables visible as tables; those that DuckDB can read."""
    usable: dict[str, Any] = {}
    for name, value in variables.items():
        try:
            cursor.connection.register(name, value)
        except (duckdb.Error, TypeError):
            continue
        usable[name] = value
    return usable
