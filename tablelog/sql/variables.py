"""Python variables that a query names as tables: found where `sql` was called, like any variable there.

DuckDB reads data frames, Arrow tables, and whatever speaks the Arrow stream. A relation is a query that only runs
where its tables are; here it is computed first.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final

import duckdb

from tablelog.engines.duckdb_text import first_line
from tablelog.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import FrameType

_PACKAGE: Final = __name__.partition(".")[0]
_WITHIN: Final = frozenset(("<listcomp>", "<dictcomp>", "<setcomp>", "<genexpr>"))
"""Code that sees the variables of the code around it, and has a frame of its own."""


def visible(names: Iterable[str]) -> dict[str, Any]:
    """Those of the names that are variables where this package was called from, local ones first, and their values."""
    wanted = set(names)
    if not wanted:
        return {}
    found: dict[str, Any] = {}
    frame = _caller()
    while frame is not None:
        for scope in (frame.f_locals, frame.f_globals):
            found.update((name, _as_rows(name, scope[name])) for name in wanted - found.keys() if name in scope)
        frame = frame.f_back if frame.f_code.co_name in _WITHIN else None
    return found


def _as_rows(name: str, value: Any) -> Any:
    if not isinstance(value, duckdb.DuckDBPyRelation):
        return value
    try:
        return value.to_arrow_table()
    except duckdb.Error as error:
        raise InvalidError(f"the relation {name} cannot be computed: {first_line(error)}") from error


def _caller() -> FrameType | None:
    """The nearest frame that is not of this package."""
    frame = inspect.currentframe()
    while frame is not None and str(frame.f_globals.get("__name__", "")).partition(".")[0] == _PACKAGE:
        frame = frame.f_back
    return frame
