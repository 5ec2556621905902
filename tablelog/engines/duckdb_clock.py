"""The time in queries: every function that reads the clock gives the moment that a query was asked.

A relation may run long after it was planned, and more than once. If `now()` moved meanwhile, files that were left out
for it could hold rows that it has come to. So `now()` and its relatives are macros over a variable of the connection;
DuckDB looks for a macro before it looks for its own function of that name.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from tablelog import env
from tablelog.engines.duckdb_tokens import tokens_of
from tablelog.errors import InvalidError

if TYPE_CHECKING:
    import duckdb

_VARIABLE: Final = "tablelog_now"
_NOW: Final = f"coalesce(getvariable('{_VARIABLE}'), system.main.now())"
_MACROS: Final = {
    "now": f"() AS {_NOW}",
    "get_current_timestamp": f"() AS {_NOW}",
    "transaction_timestamp": f"() AS {_NOW}",
    "current_date": f"() AS {_NOW}::DATE",
    "today": f"() AS {_NOW}::DATE",
    "get_current_time": f"() AS {_NOW}::TIMESTAMP::TIME::TIMETZ",
    "current_localtimestamp": f"() AS {_NOW}::TIMESTAMP",
    "current_localtime": f"() AS {_NOW}::TIMESTAMP::TIME",
    "age": (
        f"(moment) AS system.main.age({_NOW}::DATE::TIMESTAMP, moment), "
        f"(later, earlier) AS system.main.age(later, earlier)"
    ),
}
_WORDS: Final = frozenset(
    (*(name.upper() for name in _MACROS), "CURRENT_TIMESTAMP", "CURRENT_TIME", "LOCALTIMESTAMP", "LOCALTIME")
)
_SAID: Final = re.compile("|".join(_WORDS), re.IGNORECASE)
"""Whatever may be such a word: a long text without one need not be taken apart."""


def define_clock(connection: duckdb.DuckDBPyConnection) -> None:
    """Make every cursor of a database read the clock through `set_clock`; until then, it reads the machine's."""
    for name, definition in _MACROS.items():
        connection.execute(f"CREATE MACRO {name}{definition}")


def set_clock(cursor: duckdb.DuckDBPyConnection, now_us: int) -> None:
    """Let a cursor's time stand still at a moment, in microseconds since 1970-01-01 UTC."""
    cursor.execute(f"SET VARIABLE {_VARIABLE} = make_timestamp({now_us})::TIMESTAMPTZ")


def asked_at_us(text: str) -> int | None:
    """The moment that a text is asked at, if it asks for the time; microseconds since 1970-01-01 UTC.

    Raises:
        InvalidError: it is no text.

    """
    if not isinstance(text, str):
        raise InvalidError(f"{text!r} is no condition; give SQL text such as 'price > 10'")
    return env.now_us() if reads_clock(text) else None


def reads_clock(text: str) -> bool:
    """Whether a text has a word that stands for a time.

    >>> reads_clock("ts > now() - INTERVAL 1 DAY"), reads_clock("'now'")
    (True, False)
    """
    return _SAID.search(text) is not None and any(token.word in _WORDS for token in tokens_of(text))
