"""A SELECT over a lake: from text to a DuckDB relation over just the files that matter.

    1. time travel     references with a clause become names of their own, clauses are evaluated to snapshots
    2. current tables  DuckDB says which other names the text uses; those that the lake has become snapshots too
    3. planning        DuckDB says which filters reach which table; the log says which files those leave
    4. running         one view per table over its files, then the text

All tables of one query are looked up before any is read, and each is read at one version throughout.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

import duckdb

from tablelog.engines.duckdb import ENGINE, first_line
from tablelog.errors import InvalidError, NotFoundError

from tablelog.sql import parameters
from tablelog.sql.references import Unit, qualified, replace, time_travels, tokens_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tablelog.ops.scan import ScanPlan
    from tablelog.snapshot import Snapshot
    from tablelog.sql.parameters import Parameters
    from tablelog.sql.references import Reference
    from tablelog.table import Table

_READING: Final = frozenset(("SELECT", "EXPLAIN", "COPY", "MULTI"))
_QUALIFIED: Final = 2


class Tables(Protocol):
    """What a query asks of a lake."""

    def find_table(self, parts: Sequence[str]) -> Table | None:
        """The table of that name, case ignored, or None."""

    def tables(self) -> list[str]:
        """All names, for messages."""


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A query whose tables are settled."""

    text: str
    snapshots: Mapping[str, Snapshot]
    """By the name that the text uses for it now."""
    parameters: Parameters

    def plans(self) -> dict[str, ScanPlan]:
        """For each table the files that the query may need."""
        schemas = {name: snapshot.schema for name, snapshot in self.snapshots.items()}
        filters = ENGINE.filters(self.text, schemas, self.parameters) if schemas else {}
        return {name: snapshot.plan(filters[name]) for name, snapshot in self.snapshots.items()}


def run(tables: Tables, text: str, given: Parameters = None) -> duckdb.DuckDBPyRelation:
    """The answer to a query, as a relation that is computed when it is used.

    Raises:
        InvalidError: DuckDB cannot make sense of it, or it is no query.
        NotFoundError: a table, version or moment that is not there.

    """
    prepared = _prepare(tables, text, given)
    cursor = ENGINE.cursor()
    for name, plan in prepared.plans().items():
        cursor.present(name, plan, prepared.snapshots[name].store)
    try:
        relation = cursor.relation(prepared.text, prepared.parameters)
    except duckdb.Error as error:
        raise _explained(error, tables) from error
    if relation is None:
        raise InvalidError(f"{text.strip()[:60]!r} gives no rows; sql() answers queries")
    return relation


def explain(tables: Tables, text: str, given: Parameters = None) -> list[tuple[Snapshot, ScanPlan]]:
    """For each table reference of a query, what it would read."""
    prepared = _prepare(tables, text, given)
    return [(prepared.snapshots[name], plan) for name, plan in prepared.plans().items()]


def _prepare(tables: Tables, text: str, given: Parameters) -> _Prepared:
    _check_kind(text)
    travels = time_travels(text)
    of_clauses, of_query = parameters.split(text, travels, given)
    snapshots: dict[str, Snapshot] = {}
    names: dict[int, str] = {}
    for reference, values in zip(travels, of_clauses, strict=True):
        snapshot = _travelled(tables, reference, values)
        names[reference.start] = f"{snapshot.name}@{snapshot.version}"
        snapshots[names[reference.start]] = snapshot
    text = replace(text, travels, lambda reference: names[reference.start])

    dotted = qualified(text, lambda parts: tables.find_table(parts) is not None)
    for reference in dotted:
        snapshots.setdefault(".".join(reference.parts), _require(tables, reference.parts).snapshot())
    text = replace(text, dotted, lambda reference: ".".join(reference.parts))

    for name in _plain_names(text) - snapshots.keys():
        table = tables.find_table((name,))
        if table is not None:
            snapshots[name] = table.snapshot()
    return _Prepared(text, snapshots, of_query)


def _check_kind(text: str) -> None:
    """Let one query through and nothing else."""
    with closing(ENGINE.planning_cursor()) as cursor:
        try:
            kinds = [str(statement.type).rpartition(".")[2] for statement in cursor.extract_statements(text)]
        except duckdb.Error:
            return  # perhaps only a spelling of time travel that DuckDB does not have; it gets its say later
    if not kinds:
        raise InvalidError("the query is empty")
    if len(kinds) > 1:
        raise InvalidError(f"there are {len(kinds)} statements; give one at a time")
    if kinds[0] not in _READING:
        raise InvalidError(
            f"sql() answers queries, and this is {kinds[0]}: {text.strip()[:60]!r}; change tables with table.append, overwrite, "
            f"delete and alter, or use lake.duckdb() for an ordinary connection"
        )


def _travelled(tables: Tables, reference: Reference, values: Parameters) -> Snapshot:
    table = _require(tables, reference.parts)
    value = _evaluate(reference, values)
    match reference.unit:
        case Unit.VERSION:
            if isinstance(value, bool) or not isinstance(value, int):
                raise InvalidError(f"VERSION => {reference.expression} is {value!r}, not a whole number")
            return table.at(version=value)
        case Unit.TIMESTAMP:
            return table.at(timestamp=value)
        case _:
            return table.at(tag=str(value))


def _evaluate(reference: Reference, values: Parameters) -> Any:
    """The value of a clause's expression; text in a TIMESTAMP clause stays text, and is UTC if it names no zone."""
    with closing(ENGINE.planning_cursor()) as cursor:
        try:
            row = cursor.execute(f"SELECT ({reference.expression}\n)", values).fetchone()
        except duckdb.Error as error:
            raise InvalidError(f"{reference.unit} => {reference.expression}: {first_line(error)}") from error
    if row is None or row[0] is None:
        raise InvalidError(f"{reference.unit} => {reference.expression} is null")
    value = row[0]
    if reference.unit is Unit.VERSION and isinstance(value, str) and value.strip().isdecimal():
        return int(value)
    return value


def _require(tables: Tables, parts: Sequence[str]) -> Table:
    table = tables.find_table(parts)
    if table is None:
        raise NotFoundError(f"no table {'.'.join(parts)}; there are {', '.join(tables.tables()[:20]) or 'none'}")
    return table


def _plain_names(text: str) -> set[str]:
    """Undotted names that a text may use for tables; too many rather than too few."""
    with closing(ENGINE.planning_cursor()) as cursor:
        try:
            return set(cursor.get_table_names(text))
        except duckdb.Error:  # DuckDB binds some statements before it can list their names
            return {token.text for token in tokens_of(text)}


def _explained(error: duckdb.Error, tables: Tables) -> InvalidError | NotFoundError:
    if isinstance(error, duckdb.CatalogException) and "Table with name" in str(error):
        return NotFoundError(f"{first_line(error)}; the lake has {', '.join(tables.tables()[:20]) or 'no tables'}")
    return InvalidError(str(error).strip())


