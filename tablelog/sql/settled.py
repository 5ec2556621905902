"""References to tables, settled: which table at which version each is, and what the text has to say instead.

A plain name of a current table stays as it is. Anything else becomes a name that the text cannot mean otherwise, under
the alias that it had or would have had:

    orders AT (VERSION => 3)                  "orders@3"  AS "orders"
    sales.orders o                            "sales.orders" o
    SELECT sales.orders.id FROM sales.orders  SELECT "orders".id FROM "sales.orders" AS "orders"
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import duckdb

from tablelog.engines.duckdb_text import first_line, quote
from tablelog.engines.duckdb_tokens import Kind, tokens_of
from tablelog.errors import InvalidError
from tablelog.sql.references import Unit, column_references
from tablelog.sql.rewriting import Splice

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tablelog.snapshot import Snapshot
    from tablelog.sql.names import Names
    from tablelog.sql.references import Clause, ColumnReference, Reference

    Evaluate = Callable[[str, int], tuple[str, str | None]]
    """From an expression and the place of its clause to its value's type and text."""

_INTEGERS = frozenset(
    f"{sign}{size}" for sign in ("", "U") for size in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
)


@dataclass(slots=True)
class Settled:
    """What was found about a text's tables."""

    snapshots: dict[str, Snapshot] = field(default_factory=dict)
    """By the name that the text uses for each once it is rewritten."""
    splices: list[Splice] = field(default_factory=list)
    others: set[str] = field(default_factory=set)
    """Plain names of no table: of a CTE, a Python variable, or nothing."""


def settle(names: Names, text: str, references: Sequence[Reference], evaluate: Evaluate) -> Settled:
    """Look every reference up.

    Raises:
        NotFoundError: no table, version or moment.
        InvalidError: a clause whose value makes no sense.

    """
    settled = Settled()
    spelled: dict[str, str] = {}
    renamed: list[tuple[Reference, str]] = []
    quoted = {token.name.casefold() for token in tokens_of(text) if token.kind is Kind.NAME}
    for reference in references:
        if reference.clause is not None:
            snapshot = _travelled(names, reference.parts, reference.clause, evaluate)
            name = _unlike(f"{snapshot.name}@{snapshot.version}", quoted)
            renamed.append((reference, name))
        elif reference.parts not in names:
            settled.others.update(reference.parts if len(reference.parts) == 1 else ())
            continue
        elif len(reference.parts) > 1:
            snapshot = names.snapshot(reference.parts)
            name = _unlike(snapshot.name, quoted)
            renamed.append((reference, name))
        else:
            snapshot = names.snapshot(reference.parts)
            name = spelled.setdefault(reference.parts[0].casefold(), reference.parts[0])
        settled.snapshots[name] = snapshot
    settled.splices += _renamings(text, references, renamed, quoted)
    return settled


def _renamings(
    text: str, references: Sequence[Reference], renamed: Sequence[tuple[Reference, str]], quoted: set[str]
) -> list[Splice]:
    """The changes of the text that give some references other names."""
    splices: dict[Splice, None] = {}
    columns = column_references(text, references)
    visible = Counter(reference.visible_name for reference in references)
    for reference, name in renamed:
        new = quote(name)
        if reference.alias is None and not reference.alone:
            by_full_name = [column for column in columns if _folded(column.parts) == _folded(reference.parts)]
            alias = reference.parts[-1]
            if visible[reference.visible_name] > 1 and len(reference.parts) > 1:
                alias = _clear_alias(reference, columns, quoted, needed=bool(by_full_name))
            new += f" AS {quote(alias)}"
            splices |= dict.fromkeys(Splice(column.start, column.end, quote(alias)) for column in by_full_name)
        splices[Splice(reference.start, reference.end, new)] = None
        if reference.clause is not None:
            splices[Splice(reference.clause.start, reference.clause.end, "")] = None
    return list(splices)


def _clear_alias(reference: Reference, columns: Sequence[ColumnReference], quoted: set[str], *, needed: bool) -> str:
    """An alias for a dotted name whose last part means other tables of the text too."""
    last = reference.parts[-1]
    if not any(_folded(column.parts) == (last.casefold(),) for column in columns):
        return _unlike(".".join(reference.parts), quoted)
    if needed:
        name = ".".join(reference.parts)
        raise InvalidError(f"{last} may be {name} or another table of the query; write {name} AS … and use that alias")
    return last


def _travelled(names: Names, parts: Sequence[str], clause: Clause, evaluate: Evaluate) -> Snapshot:
    """The table as a clause wants it."""
    table = names.table(parts)
    told = f"{clause.unit} => {clause.expression}"
    try:
        kind, value = evaluate(clause.expression, clause.start)
    except duckdb.Error as error:
        raise InvalidError(f"{told}: {first_line(error)}") from error
    if value is None:
        raise InvalidError(f"{told} is null")
    match clause.unit:
        case Unit.VERSION:
            if not (kind in _INTEGERS or (kind == "VARCHAR" and value.strip().isdecimal())):
                raise InvalidError(f"{told} is {value}, a {kind}; versions are whole numbers from 0")
            return table.at(version=int(value))
        case Unit.TIMESTAMP:
            return table.at(timestamp=value)
        case Unit.TAG:
            return table.at(tag=value)


def _unlike(name: str, quoted: set[str]) -> str:
    """A name that no quoted name of the text is, and no word can be."""
    while name.casefold() in quoted or name.isidentifier():
        name += "@"
    return name


def _folded(parts: Sequence[str]) -> tuple[str, ...]:
    return tuple(part.casefold() for part in parts)
