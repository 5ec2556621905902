"""`tablelog expire`: stop keeping history."""

from __future__ import annotations

from typing import Annotated

import typer

from tablelog.cli.arguments import AsJson, LakeOrTable, Options, TableName, open_one
from tablelog.cli.output import out, plain, write_json


def expire(
    lake: LakeOrTable,
    table: TableName = None,
    *,
    keep: Annotated[
        str, typer.Option("--keep", metavar="HOW-MUCH", help="'30 days', '12 hours', or a number of versions.")
    ],
    option: Options = None,
    as_json: AsJson = False,
) -> None:
    """Stop keeping old versions: they can no longer be read, and the log gets shorter. Data files stay.

    What is kept reads as before: all versions since some time ago, or so many of the newest.
    """
    opened = open_one(lake, table, option)
    commit = opened.expire(int(keep) if keep.strip().isdecimal() else keep)
    history = opened.history()
    oldest, newest = history["version"][-1], history["version"][0]
    if as_json:
        write_json({"version": None if commit is None else commit.version, "oldest": oldest, "newest": newest})
    elif commit is None:
        out().print(plain(f"{opened.name}: nothing is older than that; versions {oldest} to {newest} can be read"))
    else:
        out().print(plain(f"{opened.name} version {commit.version}: versions {oldest} to {newest} can be read"))
