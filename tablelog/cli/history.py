"""`tablelog history`: what happened to a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from tablelog.cli.arguments import AsJson, LakeOrTable, Options, TableName, open_one
from tablelog.cli.output import grid, moment, note, out, plain, write_json
from tablelog.display import count, size

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.table import Table
    from rich.text import Text

_WIDE: Final = 110
"""Columns of a terminal that has room for who did it."""


def history(
    lake: LakeOrTable,
    table: TableName = None,
    *,
    limit: Annotated[int | None, typer.Option("--limit", "-l", min=1, metavar="N", help="Only the newest N.")] = None,
    option: Options = None,
    as_json: AsJson = False,
) -> None:
    """Show a table's versions, newest first: when, what, how many rows and files, and by whom.

    Every version can be read: tablelog sql LAKE "FROM table AT (VERSION => 3)".
    """
    opened = open_one(lake, table, option)
    frame = opened.history()
    rows = (frame if limit is None else frame.head(limit)).to_dicts()
    if as_json:
        write_json([{**row, "timestamp": row["timestamp"].isoformat()} for row in rows])
        return
    out().print(history_table(rows, wide=out().width >= _WIDE))
    if len(rows) < len(frame):
        note(f"the newest {len(rows):,} of {count(len(frame), 'version')}")


def history_table(rows: Iterable[dict[str, Any]], *, wide: bool) -> Table:
    """Rows of `Table.history` for people; `wide` has room for bytes and for who did it."""
    heads = (
        "version",
        "when (UTC)",
        "rows",
        "files",
        *(("written",) if wide else ()),
        "what",
        *(("who",) if wide else ()),
    )
    table = grid(*heads, right=("version", "rows", "files", "written"))
    for row in rows:
        cells: dict[str, str | Text] = {
            "version": str(row["version"]),
            "when (UTC)": moment(row["timestamp"]),
            "rows": change(row["rows_added"], row["rows_deleted"]),
            "files": change(row["files_added"], row["files_removed"]),
            "written": size(row["bytes_added"]) if row["bytes_added"] else "",
            "what": plain(": ".join(part for part in (row["operation"], row["info"]) if part)),
            "who": plain(row["who"]),
        }
        table.add_row(*(cells[head] for head in heads))
    return table


def change(added: int, removed: int) -> str:
    """How many came and how many went.

    >>> change(3, 0), change(1200, 3), change(0, 0)
    ('+3', '+1,200 -3', '')
    """
    return " ".join(part for part in (f"+{added:,}" if added else "", f"-{removed:,}" if removed else "") if part)
