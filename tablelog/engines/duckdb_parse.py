"""DuckDB's own parse trees, as it serialises them (`json_serialize_sql`)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from tablelog.errors import InvalidError
from tablelog.format.types import Struct
from tablelog.parquet.kept import Kept

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import duckdb

    from tablelog.format.schema import Schema


_INNER: Final = (dict, list)
_TREES: Final[Kept[str, dict[str, Any]]] = Kept(1024 * 1024)
"""Trees of expressions by their text, which every step of a change asks for again."""


def one_expression(cursor: duckdb.DuckDBPyConnection, text: str) -> dict[str, Any]:
    """The tree of a text that must be one expression, so that it can be put between parentheses safely.

    Raises:
        InvalidError: it is not.

    """
    known = _TREES.get(text)
    if known is not None:
        return known
    try:
        (expression,) = _select_list(cursor, text)
    except (ValueError, KeyError, IndexError) as error:
        raise InvalidError(
            f"{text!r} is not one condition: {error}" if str(error) else f"{text!r} is not one condition"
        ) from error
    _TREES.put(text, expression, len(text))
    return expression


def expressions(cursor: duckdb.DuckDBPyConnection, texts: Sequence[str]) -> list[dict[str, Any] | None]:
    """The trees of several expressions; None for those that DuckDB cannot read."""
    try:
        found = _select_list(cursor, ", ".join(texts)) if texts else []
        if len(found) == len(texts):
            return [*found]
    except (ValueError, KeyError, IndexError):
        pass
    return [None] * len(texts) if len(texts) == 1 else [expressions(cursor, [text])[0] for text in texts]


def column_names(tree: Any) -> Iterator[str]:
    """Every part of every column reference in a tree: `t.x.y` may mean the column t, x or y. `*` for all columns."""
    for node in nodes(tree):
        if node.get("type") == "COLUMN_REF":
            yield from node["column_names"]
        elif node.get("type") == "STAR":
            yield "*"


def nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Every object in a tree, each before what is inside it."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            waiting += [child for child in reversed(node.values()) if isinstance(child, _INNER)]
        elif isinstance(node, list):
            waiting += reversed(node)


def by_field_id(cursor: duckdb.DuckDBPyConnection, text: str, schema: Schema, table: str) -> str | None:
    """An expression over a table's columns, each called `c<field id>`; None if that may mean something else.

    Raises:
        InvalidError: it is not one expression.

    """
    if "\0" in text:  # json_deserialize_sql ends constants there: 'a\0b' would become 'a'
        return None
    tree = parse(cursor, f"SELECT {text}\n")
    for node in nodes(tree):
        if node.get("type") == "LAMBDA":  # its parameters look like columns
            return None
        if node.get("type") == "COLUMN_REF":
            path = _path_by_field_id(node["column_names"], schema, table)
            if path is None:
                return None
            node["column_names"] = path
    row = cursor.execute("SELECT json_deserialize_sql($1::JSON)", [json.dumps(tree)]).fetchone()
    assert row is not None
    select: str = row[0]
    return select.removeprefix("SELECT ")


def _path_by_field_id(path: list[str], schema: Schema, table: str) -> list[str] | None:
    columns = {field.name.casefold(): field for field in schema}
    if len(path) > 1 and path[0].casefold() == table and path[1].casefold() in columns:
        path = path[1:]
    field = columns.get(path[0].casefold())
    if field is None or (len(path) > 1 and not isinstance(field.type, Struct)):
        return None
    return [f"c{field.id}", *path[1:]]


def _select_list(cursor: duckdb.DuckDBPyConnection, text: str) -> list[dict[str, Any]]:
    """The trees of expressions with commas between them, and nothing else after or between them.

    Raises:
        ValueError: DuckDB cannot parse it, or it is more than expressions.

    """
    statements = parse(cursor, f"SELECT {text}\n")["statements"]
    node: dict[str, Any] = statements[0]["node"]
    plain = (
        len(statements) == 1
        and node["type"] == "SELECT_NODE"
        and node["from_table"]["type"] == "EMPTY"
        and not any(
            node.get(part) for part in ("where_clause", "group_expressions", "having", "qualify", "modifiers", "sample")
        )
        and not any(expression.get("alias") for expression in node["select_list"])
    )
    if not plain:
        raise ValueError
    found: list[dict[str, Any]] = node["select_list"]
    return found


def parse(cursor: duckdb.DuckDBPyConnection, text: str) -> dict[str, Any]:
    """DuckDB's tree of SELECT statements.

    Raises:
        InvalidError: DuckDB cannot parse them, or they are something else.

    """
    row = cursor.execute("SELECT json_serialize_sql($1::VARCHAR)", [text]).fetchone()
    assert row is not None
    tree: dict[str, Any] = json.loads(row[0])
    if tree["error"]:
        raise InvalidError(tree["error_message"])
    return tree
