"""What kind of statement a text is: one query, and what of it is planned.

Only what answers a question is let through. SHOW TABLES is a question to the lake, not to DuckDB, which never sees it.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Final

from tablelog.engines.duckdb import ENGINE
from tablelog.engines.duckdb_text import quote_text, sql_type
from tablelog.engines.duckdb_tokens import tokens_of
from tablelog.errors import InvalidError
from tablelog.sql.rewriting import Splice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tablelog.engines.duckdb_tokens import Token
    from tablelog.sql.names import Names

_READING: Final = frozenset(("SELECT", "EXPLAIN", "COPY", "MULTI"))
_INSTEAD: Final = {
    "INSERT": "append rows with lake.table(…).append(data)",
    "DELETE": "delete rows with lake.table(…).delete(where=…)",
    "UPDATE": "change rows through lake.table(…)",
    "MERGE_INTO": "change rows through lake.table(…)",
    "CREATE": "make a table with lake.create_table(name, data)",
    "DROP": "drop a table with lake.drop_table(name)",
    "ALTER": "change columns and rules with lake.table(…).alter",
    "COPY": "read a file with SELECT * FROM 'file.csv' and append what it gives",
}


def begin_of_query(text: str) -> int:
    """Where the query of an EXPLAIN begins; 0 for anything else.

    >>> (
    ...     begin_of_query("EXPLAIN ANALYZE FROM t"),
    ...     begin_of_query("EXPLAIN (FORMAT json) FROM t"),
    ...     begin_of_query("FROM t"),
    ... )
    (16, 22, 0)
    """
    tokens = tokens_of(text)
    words = [token.word for token in tokens]
    if not words or words[0] != "EXPLAIN":
        return 0
    place = 2 if words[1:2] == ["ANALYZE"] else words.index(")") + 1 if words[1:2] == ["("] and ")" in words else 1
    return tokens[place].start if place < len(tokens) else len(text)


def check_kind(text: str) -> None:
    """Let one query through and nothing else.

    Raises:
        InvalidError: it is none, several, or something that changes what it names.
        duckdb.Error: DuckDB cannot parse it.

    """
    kinds = _kinds(text)
    if not kinds:
        raise InvalidError("the query is empty")
    if len(kinds) > 1:
        raise InvalidError(f"there are {len(kinds)} statements; give one at a time")
    if kinds == ["EXPLAIN"]:
        kinds = _kinds(text[begin_of_query(text) :])
    if kinds[0] not in _READING or (kinds == ["COPY"] and _copies_in(text)):
        instead = _INSTEAD.get(kinds[0], "lake.duckdb() gives an ordinary connection for everything else")
        raise InvalidError(f"sql() answers queries, and this is {kinds[0]}: {text.strip()[:60]!r}; {instead}")


def _kinds(text: str) -> list[str]:
    with closing(ENGINE.planner.cursor()) as cursor:
        return [str(statement.type).rpartition(".")[2] for statement in cursor.extract_statements(text)]


def _copies_in(text: str) -> bool:
    """Whether a COPY is one into a table: FROM stands outside all parentheses."""
    depth = 0
    for token in tokens_of(text):
        depth += {"(": 1, ")": -1}.get(token.word, 0)
        if depth == 0 and token.word in {"FROM", "TO"}:
            return token.word == "FROM"
    return False


def shown_tables(text: str, names: Names) -> list[Splice]:
    """Each SHOW [ALL] TABLES [FROM namespace] as a query over names that are written out."""
    tokens = tokens_of(text)
    words = [token.word for token in tokens] + [""] * 4
    splices: list[Splice] = []
    for place in range(len(tokens)):
        if words[place] != "SHOW":
            continue
        if words[place + 1 : place + 3] == ["ALL", "TABLES"]:
            splices.append(Splice(tokens[place].start, tokens[place + 2].end, _all_tables(names)))
        elif words[place + 1] == "TABLES":
            namespace = _namespace(tokens[place + 2 : place + 4])
            end = tokens[place + (1 if namespace is None else 3)].end
            splices.append(Splice(tokens[place].start, end, _tables(names, namespace)))
    return splices


def _namespace(following: Sequence[Token]) -> str | None:
    return following[1].name if len(following) > 1 and following[0].word == "FROM" else None


def _tables(names: Names, namespace: str | None) -> str:
    shown = sorted(
        str(name) if namespace is None else name.name
        for name in names
        if namespace is None or name.namespace.casefold() == namespace.casefold()
    )
    return f"SELECT unnest([{', '.join(map(quote_text, shown))}]::VARCHAR[]) AS name"


def _all_tables(names: Names) -> str:
    """Every table with its columns, in the columns that DuckDB shows. One get for each table."""
    rows: list[str] = []
    for name in sorted(names):
        schema = names.snapshot([part for part in (name.namespace, name.name) if part]).schema
        columns = ", ".join(quote_text(field.name) for field in schema)
        types = ", ".join(quote_text(sql_type(field.type)) for field in schema)
        where = quote_text(name.namespace or "main")
        rows.append(f"('lake', {where}, {quote_text(name.name)}, [{columns}], [{types}], false)")
    nothing = "('', '', '', []::VARCHAR[], []::VARCHAR[], false)"
    return (
        f"SELECT * FROM (VALUES {', '.join(rows) or nothing}) AS "
        f"shown(database, schema, name, column_names, column_types, temporary){'' if rows else ' WHERE false'}"
    )
