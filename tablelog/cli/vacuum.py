"""`tablelog vacuum`: objects that nothing needs go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tablelog.cli.arguments import AsJson, LakeOrTable, Options, TableName, open_one
from tablelog.cli.output import out, plain, write_json

if TYPE_CHECKING:
    from tablelog.vacuumed import Vacuum


def vacuum(
    lake: LakeOrTable,
    table: TableName = None,
    *,
    grace: Annotated[
        str, typer.Option("--grace", metavar="SPAN", help="How long nobody must have needed what goes.")
    ] = "7 days",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Change nothing; say of every object why it stays or goes.")
    ] = False,
    option: Options = None,
    as_json: AsJson = False,
) -> None:
    """Remove data files and other objects that no version, tag, consumer or clone needs.

    They are written down by one run and removed by a later one, when the grace is over. What is too young, needed, or
    of a name that tablelog does not make stays.
    """
    answer = open_one(lake, table, option).vacuum(grace=grace, dry_run=dry_run)
    if as_json:
        write_json(_facts(answer))
    else:
        for line in str(answer).splitlines():
            out().print(plain(line), soft_wrap=True)


def _facts(answer: Vacuum) -> dict[str, Any]:
    return {
        "version": answer.version,
        "dry_run": answer.is_dry,
        "size_bytes": answer.size_bytes,
        "unfinished_files": answer.leftovers,
        "asked": answer.asked,
        "objects": [
            {"key": each.key, "size_bytes": each.size_bytes, "fate": each.fate, "why": each.why}
            for each in answer.objects
        ],
    }
