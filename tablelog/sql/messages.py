"""DuckDB's errors in the words of whoever asked: about the text that they wrote and the tables that they have."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import duckdb

from tablelog.engines.duckdb_text import first_line
from tablelog.errors import InvalidError
from tablelog.sql.rewriting import line_with_mark
from tablelog.sql.statement import begin_of_query

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tablelog.errors import NotFoundError
    from tablelog.sql.names import Names
    from tablelog.sql.parameters import Parameters
    from tablelog.sql.rewriting import Rewriting

_NO_TABLE: Final = re.compile(r'Table with name "?(?P<name>[^\n]+?)"? does not exist')
_KIND: Final = re.compile(r"^[A-Z][A-Za-z ]* Error: ")
_EXPLAIN: Final = "EXPLAIN "


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in a text an error is, in characters."""

    start: int
    length: int


def explained(
    error: duckdb.Error,
    cursor: duckdb.DuckDBPyConnection,
    *,
    rewriting: Rewriting,
    parameters: Parameters,
    names: Names,
    unusable: Mapping[str, Any],
) -> InvalidError | NotFoundError:
    """What an error in binding a text means. Uses up the cursor; `unusable` are Python variables that are no tables."""
    message = _KIND.sub("", first_line(error))
    missing = _NO_TABLE.search(message) if isinstance(error, duckdb.CatalogException) else None
    if missing is not None:
        name = missing["name"]
        if name in unusable:
            kind = type(unusable[name]).__name__
            return InvalidError(
                f"{name} is no table, and the Python variable {name} is a {kind}, which cannot be read as one"
            )
        if not names.knows(name):
            return names.not_found(name)
        message = f"the table {name} cannot be read from here; name it after FROM or JOIN"
    place = _place(rewriting.after, cursor, parameters)
    if place is None:
        return InvalidError(message)
    start = rewriting.place_before(place.start)
    end = rewriting.place_before(place.start + max(place.length, 1) - 1) + 1
    return InvalidError(f"{message}\n\n{line_with_mark(rewriting.before, start, end - start)}")


def _place(text: str, cursor: duckdb.DuckDBPyConnection, parameters: Parameters) -> _Place | None:
    """Where DuckDB sees the error, if it says so."""
    begin = begin_of_query(text)
    query = text[begin:]
    try:
        cursor.execute("SET errors_as_json = true")
        cursor.execute(_EXPLAIN + query, parameters)
    except duckdb.Error as error:
        try:
            told = json.loads(_KIND.sub("", str(error)))
            first, length = json.loads(told["location"])
        except (ValueError, KeyError, TypeError):
            return None
        data = (_EXPLAIN + query).encode()
        start = len(data[:first].decode(errors="ignore")) - len(_EXPLAIN)
        return _Place(begin + start, len(data[first : first + length].decode(errors="ignore"))) if start >= 0 else None
    return None
