"""`tablelog restore`, `tablelog revert` and `tablelog tag`: back to a version, one commit less, names for versions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tablelog.cli.arguments import AsJson, LakeOrTable, Options, TableName, open_one
from tablelog.cli.history import change
from tablelog.cli.output import grid, out, plain, write_json
from tablelog.errors import InvalidError

if TYPE_CHECKING:
    from tablelog.log.facts import Commit
    from tablelog.table import Table


def restore(
    lake: LakeOrTable,
    table: TableName = None,
    *,
    version: Annotated[int | None, typer.Option("--version", min=0, metavar="N", help="As of version N.")] = None,
    timestamp: Annotated[
        str | None, typer.Option("--timestamp", metavar="TIME", help="As it was then, such as '2026-11-01 09:00'.")
    ] = None,
    tag: Annotated[str | None, typer.Option("--tag", metavar="NAME", help="As it was at a tag.")] = None,
    option: Options = None,
    as_json: AsJson = False,
) -> None:
    """Make a table what it was: rows, columns, rules. A new version; what is undone stays in the history."""
    opened = open_one(lake, table, option)
    _print(opened, opened.restore(version, timestamp, tag), as_json=as_json)


def revert(
    lake: LakeOrTable,
    table: TableName = None,
    *,
    version: Annotated[int, typer.Option("--version", min=0, metavar="N", help="The version.", show_default=False)],
    option: Options = None,
    as_json: AsJson = False,
) -> None:
    """Take one version back and keep what came after it; an error that lists why if that cannot be."""
    opened = open_one(lake, table, option)
    _print(opened, opened.revert(version), as_json=as_json)


def tag(
    lake: LakeOrTable,
    table: TableName = None,
    *,
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="Give this name to a version.")] = None,
    version: Annotated[
        int | None, typer.Option("--version", min=0, metavar="N", help="The version; the newest unless said.")
    ] = None,
    delete: Annotated[str | None, typer.Option("--delete", metavar="NAME", help="Take a tag away.")] = None,
    option: Options = None,
    as_json: AsJson = False,
) -> None:
    """List the names of versions, give one, or take one away. A version with a name does not expire."""
    if delete is not None and (name is not None or version is not None):
        raise InvalidError("give --name, or --delete, not both")
    if name is None and version is not None:
        raise InvalidError("say what to call the version: --name NAME")
    opened = open_one(lake, table, option)
    if name is not None:
        opened.tag(name, version)
    if delete is not None:
        opened.untag(delete)
    tags = opened.tags()
    if as_json:
        write_json(tags)
        return
    listed = grid("tag", "version", right=("version",))
    for each, at in sorted(tags.items(), key=lambda item: (item[1], item[0])):
        listed.add_row(plain(each), str(at))
    out().print(listed if tags else plain(f"{opened.name}: no tags"))


def _print(table: Table, commit: Commit, *, as_json: bool) -> None:
    facts = {"version": commit.version, "rows_added": commit.rows_added, "rows_deleted": commit.rows_deleted}
    if as_json:
        write_json(facts)
        return
    rows = change(commit.rows_added, commit.rows_deleted) or "no rows changed"
    out().print(plain(f"{table.name} version {commit.version}: {commit.info.get('change', commit.operation)} ({rows})"))
