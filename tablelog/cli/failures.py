"""What went wrong, as a line for people, an object for programs and an exit code.

    2  bad usage, InvalidError     fix the command
    3  NotFoundError               check the name
    4  ConflictError               somebody else won; try again
    5  FencedError                 a newer owner exists; stop
    6  CorruptionError             stop, repair
    7  StoreError                  the storage failed
    130                            interrupted
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Final

import duckdb
import typer
from rich.text import Text

from tablelog.cli.output import err
from tablelog.errors import (
    ConflictError,
    CorruptionError,
    FencedError,
    InvalidError,
    NotFoundError,
    StoreError,
    TablelogError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

USAGE: Final = 2
_CODES: Final[Mapping[type[TablelogError], int]] = {
    InvalidError: USAGE,
    NotFoundError: 3,
    FencedError: 5,
    ConflictError: 4,
    CorruptionError: 6,
    StoreError: 7,
}
"""The first kind that an error is decides, so a kind stands before what it is a kind of."""

Failure = TablelogError | typer.TyperException | OSError | duckdb.Error
"""What a person can do something about. Anything else is a mistake of ours and shows its traceback."""


def report(failure: Failure, *, as_json: bool) -> int:
    """Say on stderr what went wrong; the exit code to leave with."""
    kind, code = _kind(failure)
    message = failure.format_message() if isinstance(failure, typer.TyperException) else str(failure)
    if as_json:
        sys.stderr.write(json.dumps({"error": {"kind": kind, "message": message}}, ensure_ascii=False) + "\n")
    else:
        err().print(Text(f"error: {one_line(message)}", style="bold red"), soft_wrap=True)
    return code


def one_line(message: str) -> str:
    """The part of a message that says what happened, without what an engine draws beneath it."""
    return " ".join(message.strip().split("\n\n")[0].split())


def _kind(failure: Failure) -> tuple[str, int]:
    if isinstance(failure, TablelogError):
        return next((kind.__name__, code) for kind, code in _CODES.items() if isinstance(failure, kind))
    if isinstance(failure, OSError | duckdb.IOException):
        return StoreError.__name__, _CODES[StoreError]
    if isinstance(failure, duckdb.Error):
        return InvalidError.__name__, USAGE
    return "UsageError", USAGE
