"""`tablelog compact`: many small files become few."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tablelog.cli.arguments import AsJson, LakeOrTable, Options, TableName, open_one
from tablelog.cli.output import out, plain, write_json
from tablelog.display import count

if TYPE_CHECKING:
    from tablelog.log.facts import Commit


def compact(lake: LakeOrTable, table: TableName = None, *, option: Options = None, as_json: AsJson = False) -> None:
    """Put small files, rows inside the log and mostly deleted files together. No version's rows change.

    Safe at any time: no writer fails because of it, and what others do meanwhile stays done.
    """
    opened = open_one(lake, table, option)
    commit = opened.compact()
    if as_json:
        write_json(_facts(commit))
    elif commit is None:
        out().print(plain(f"{opened.name}: nothing to put together"))
    else:
        what = f"{count(commit.files_removed, 'file')} became {commit.files_added:,}"
        out().print(plain(f"{opened.name} version {commit.version}: {what}"))


def _facts(commit: Commit | None) -> dict[str, int | None]:
    if commit is None:
        return {"version": None, "files_removed": 0, "files_added": 0}
    return {
        "version": commit.version,
        "files_removed": commit.files_removed,
        "files_added": commit.files_added,
    }
