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
import re
import sys
from typing import TYPE_CHECKING, Final

import duckdb
import pyarrow as pa
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
CORRUPT: Final = 6
INTERRUPTED: Final = 130
_CODES: Final[Mapping[type[TablelogError], int]] = {
    InvalidError: USAGE,
    NotFoundError: 3,
    FencedError: 5,
    ConflictError: 4,
    CorruptionError: CORRUPT,
    StoreError: 7,
}
"""The first kind that an error is decides, so a kind stands before what it is a kind of."""

Failure = TablelogError | typer.TyperException | duckdb.Error | pa.ArrowException | OSError
"""What a person can do something about. Anything else is a mistake of ours and shows its traceback."""

_OF_DUCKDB: Final = re.compile(r"[A-Z][\w ]* Error: ")
"""How DuckDB begins its messages. Those of a query that fails while it runs come through Arrow, even as an OSError."""
_DAMAGED: Final = re.compile(
    r"No files found|magic bytes|Failed to read file|decompression failure|corrupt", re.IGNORECASE
)
"""What DuckDB says of a file that is gone or is not what was written."""
_OURS: Final = re.compile(r"data/[0-9a-f-]{36}\.parquet")
"""The name of a table's file."""


def report(failure: Failure, *, as_json: bool) -> int:
    """Say on stderr what went wrong; the exit code to leave with."""
    kind, code = _kind(failure)
    message = _usage(failure) if isinstance(failure, typer.TyperException) else str(failure)
    if as_json:
        sys.stderr.write(json.dumps({"error": {"kind": kind, "message": message}}, ensure_ascii=False) + "\n")
    else:
        err().print(Text(f"error: {one_line(message)}", style="bold red"), soft_wrap=True)
    return code


def one_line(message: str) -> str:
    """The part of a message that says what happened, without what an engine draws beneath it."""
    return " ".join(message.strip().split("\n\n")[0].split())


def _usage(failure: typer.TyperException) -> str:
    """What was wrong with the command line, in the tone of our own messages."""
    message = failure.format_message().rstrip(".")
    context = getattr(failure, "ctx", None)
    hint = f"; see {context.command_path} --help" if context is not None else ""
    return message[:1].lower() + message[1:] + hint


def _kind(failure: Failure) -> tuple[str, int]:
    if isinstance(failure, TablelogError):
        return next((kind.__name__, code) for kind, code in _CODES.items() if isinstance(failure, kind))
    if isinstance(failure, typer.TyperException):
        return "UsageError", USAGE
    kind = _engine_kind(str(failure))
    return kind.__name__, _CODES[kind]


def _engine_kind(message: str) -> type[TablelogError]:
    """What kind of error an engine, or the machine, means by a message."""
    if _DAMAGED.search(message) and _OURS.search(message):
        return CorruptionError
    if _OF_DUCKDB.match(message) and not message.startswith("IO Error: "):
        return InvalidError
    return StoreError
