"""`tablelog verify`: whether everything that a lake or a table consists of is there and says the same."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tablelog.cli.arguments import AsJson, LakeOrTable, Options, TableName, open_lake, open_one
from tablelog.cli.failures import CORRUPT
from tablelog.cli.output import grid, out, plain, write_json
from tablelog.display import size
from tablelog.errors import InvalidError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tablelog.ops.verify import Verification


def verify(
    lake: LakeOrTable,
    table: TableName = None,
    *,
    log_only: Annotated[
        bool, typer.Option("--log-only", help="Leave data files unread; names and sizes only.")
    ] = False,
    repair: Annotated[bool, typer.Option("--repair", help="Put right first what can be derived from commits.")] = False,
    option: Options = None,
    as_json: AsJson = False,
) -> int:
    """Look at every object of a lake, or of one table, and say what is wrong and where.

    Without TABLE the whole lake is looked at: its names and all its tables. Nothing is changed but by --repair. Exit
    code 6 if anything is damaged.
    """
    found = list(verified(lake, table, option, log_only=log_only, repair=repair))
    if as_json:
        write_json([verification_json(each) for each in found])
    else:
        shown(found)
    return 0 if all(each.ok for each in found) else CORRUPT


def verified(
    place: str, name: str | None, options: list[str] | None, *, log_only: bool, repair: bool
) -> Iterable[Verification]:
    """What is found in a lake, in one of its tables, or in a table's own folder."""
    if name is None:
        try:
            whole = open_lake(place, options)
        except (NotFoundError, InvalidError):
            pass  # a table's own folder, or nothing at all
        else:
            if repair:
                whole.repair()
            return whole.verify(data=not log_only)
    opened = open_one(place, name, options)
    if repair:
        opened.repair()
    return [opened.verify(data=not log_only)]


def shown(found: list[Verification]) -> None:
    """Print what was found, for people."""
    table = grid("", "versions", "objects", "size", "", right=("versions", "objects", "size"))
    for each in found:
        verdict = plain("sound") if each.ok else plain("DAMAGED", style="bold red")
        table.add_row(plain(each.url), f"{each.versions:,}", f"{each.objects:,}", size(each.size_bytes), verdict)
    out().print(table)
    for each in found:
        for problem in each.problems:
            remark = "harmless" if problem.harmless else "DAMAGED"
            remark += "; --repair puts it right" if problem.can_repair else ""
            out().print()
            out().print(plain(f"{each.url.rstrip('/')}/{problem.object}"))
            out().print(plain(f"  {problem.problem} ({remark})", style="dim" if problem.harmless else "red"))


def verification_json(each: Verification) -> dict[str, Any]:
    """What was found, for programs."""
    return {
        "url": each.url,
        "ok": each.ok,
        "versions": each.versions,
        "objects": each.objects,
        "bytes": each.size_bytes,
        "problems": [asdict(problem) for problem in each.problems],
    }
