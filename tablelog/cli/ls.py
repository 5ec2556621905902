"""`tablelog ls`: the tables of a lake."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from tablelog.cli.arguments import LAKE, AsJson, Options, open_lake
from tablelog.cli.output import grid, moment, note, out, plain, write_json
from tablelog.display import count, size

if TYPE_CHECKING:
    from tablelog.snapshot import Snapshot

_PARALLEL: Final = 16
"""Tables that are opened at once: on a network each costs a few round trips."""


def ls(
    lake: Annotated[
        str, typer.Argument(metavar="LAKE", envvar=LAKE, show_default=False, help="The lake's folder or URL.")
    ] = ".",
    *,
    namespace: Annotated[
        str | None,
        typer.Option("--namespace", "-n", metavar="NAME", help="Only this one's tables; '' for those in none."),
    ] = None,
    option: Options = None,
    as_json: AsJson = False,
) -> None:
    """List the tables of a lake: version, rows, files, size, last change.

    Without LAKE it is $TABLELOG_LAKE, or else the folder you are in.
    """
    opened = open_lake(lake, option)
    names = opened.tables(namespace)
    with ThreadPoolExecutor(_PARALLEL) as pool:
        snapshots = list(pool.map(lambda name: opened.table(name).snapshot(), names))
    if as_json:
        write_json([_facts(snapshot) for snapshot in snapshots])
        return
    if not snapshots:
        where = "" if namespace is None else f" in namespace {namespace!r}"
        out().print(plain(f"no tables{where} at {opened.url}"))
        return
    table = grid(
        "table", "version", "rows", "files", "size", "changed (UTC)", right=("version", "rows", "files", "size")
    )
    for snapshot in snapshots:
        facts = (
            f"{snapshot.version:,}",
            f"{snapshot.row_count:,}",
            f"{len(snapshot.files):,}",
            size(snapshot.size_bytes),
        )
        table.add_row(plain(snapshot.name), *facts, moment(snapshot.timestamp))
    out().print(table)
    note(f"{count(len(snapshots), 'table')} at {opened.url}")


def _facts(snapshot: Snapshot) -> dict[str, Any]:
    return {
        "table": snapshot.name,
        "version": snapshot.version,
        "rows": snapshot.row_count,
        "files": len(snapshot.files),
        "bytes": snapshot.size_bytes,
        "changed": snapshot.timestamp.isoformat(),
    }
