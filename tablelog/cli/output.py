"""Where words go: answers to stdout, everything about the work itself to stderr.

Stdout carries colour only on a terminal. `--json` writes plain text and nothing but JSON. Text that comes from tables
is never taken for markup, and its control characters are spelled out: no value can move the cursor or end a line.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime


def out() -> Console:
    """The console of answers."""
    return Console(highlight=False, emoji=False, markup=False)


def err() -> Console:
    """The console of progress and errors."""
    return Console(stderr=True, highlight=False, emoji=False, markup=False)


def write_json(value: object) -> None:
    """One JSON value on stdout: an object over several lines, an array with one element on each."""
    if isinstance(value, list):
        write_json_rows(value)
    else:
        sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def write_json_line(value: object) -> None:
    """One JSON value on a line of stdout that is read at once."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def write_json_rows(rows: Iterable[Any]) -> None:
    """An array on stdout, each element on a line of its own as soon as it is known.

    Nothing is written before there is a first row or the end, so that a query which fails at once leaves stdout empty.
    """
    opening = "[\n"
    for row in rows:
        sys.stdout.write(opening + json.dumps(row, ensure_ascii=False))
        opening = ",\n"
    sys.stdout.write("[]\n" if opening == "[\n" else "\n]\n")


def grid(*columns: str, right: Sequence[str] = ()) -> Table:
    """An empty table under these headings; columns in `right` hold numbers."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for name in columns:
        number = name in right
        table.add_column(plain(name), justify="right" if number else "left", overflow="fold", no_wrap=number)
    return table


def note(text: str) -> None:
    """A remark below an answer."""
    console = out()
    console.print()
    console.print(plain(text, style="dim"))


def plain(text: str, style: str = "") -> Text:
    r"""Text as it is, control characters spelled out.

    >>> print(plain("a\tb").plain)
    a\tb
    """
    if not text.isprintable():
        text = "".join(_spelled(character) for character in text)
    return Text(text, style=style)


def _spelled(character: str) -> str:
    moves = unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"}
    return character.encode("unicode_escape").decode() if moves else character


def moment(when: datetime) -> str:
    """A time of the log for people: UTC, to the second."""
    return f"{when:%Y-%m-%d %H:%M:%S}"
