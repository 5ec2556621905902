"""`tablelog ls`: the tables of a lake."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from tablelog.cli.arguments import LAKE, AsJson, Options, open_lake
from tablelog.cli.output import grid, moment, note, out, plain, write_json
from tablelog.display import count, size
from tablelog.errors import TablelogError

if TYPE_CHECKING:
    from tablelog.lake import Lake
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

    Without LAKE it is $TABLELOG_LAKE, or else the folder you are in. Tables that cannot be read are named after the
    others.
    """
    opened = open_lake(lake, option)
    names = opened.tables(namespace)
    with ThreadPoolExecutor(_PARALLEL) as pool:
        found = list(pool.map(lambda name: _look(opened, name), names))
    snapshots = [each for each in found if not isinstance(each, TablelogError)]
    if as_json:
        write_json([_facts(snapshot) for snapshot in snapshots])
    elif names:
        _print(snapshots, opened.url)
    else:
        where = "" if namespace is None else f" in namespace {namespace!r}"
        out().print(plain(f"no tables{where} at {opened.url}"))
    for name, each in zip(names, found, strict=True):
        if isinstance(each, TablelogError):
            raise type(each)(f"table {name}: {each}") from each


def _look(lake: Lake, name: str) -> Snapshot | TablelogError:
    try:
        return lake.table(name).snapshot()
    except TablelogError as error:
        return error


def _print(snapshots: list[Snapshot], url: str) -> None:
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
    note(f"{count(len(snapshots), 'table')} at {url}")


def _facts(snapshot: Snapshot) -> dict[str, Any]:
    return {
        "table": snapshot.name,
        "version": snapshot.version,
        "rows": snapshot.row_count,
        "files": len(snapshot.files),
        "bytes": snapshot.size_bytes,
        "changed": snapshot.timestamp.isoformat(),
    }
