"""`tablelog copy`: a table or a lake, at another place as well."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TimeElapsedColumn, TransferSpeedColumn

from tablelog.cli.arguments import AsJson, Options, storage_options
from tablelog.cli.failures import CORRUPT
from tablelog.cli.output import err, grid, out, plain, write_json
from tablelog.cli.verify import shown, verification_json, verified
from tablelog.copying import copy as copy_between
from tablelog.display import count, size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tablelog.copying import Copy


def copy(
    source: Annotated[
        str, typer.Argument(metavar="SRC", show_default=False, help="A lake's folder or URL, or a table's own folder.")
    ],
    target: Annotated[str, typer.Argument(metavar="DST", show_default=False, help="Where the copy shall be.")],
    *,
    verify: Annotated[bool, typer.Option("--verify", help="Read everything back from DST and check it.")] = False,
    option: Options = None,
    target_option: Annotated[
        list[str] | None,
        typer.Option("--target-option", metavar="KEY=VALUE", help="A storage option of DST; --option is for SRC."),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Copy a lake, or one table, with all its versions to another place; run again, it goes on or brings what is new.

    Stopped at any moment, the copy is an older version. Nothing at DST is overwritten. Exit code 6 if --verify finds
    damage.
    """
    with _progress() as on_progress:
        copied = copy_between(
            source,
            target,
            source_options=storage_options(option),
            target_options=storage_options(target_option),
            on_progress=on_progress,
        )
    found = list(verified(target, None, target_option, log_only=False, repair=False)) if verify else None
    if as_json:
        read_back = {} if found is None else {"verified": [verification_json(each) for each in found]}
        write_json(_facts(copied) | read_back)
    else:
        _tell(copied)
        if found is not None:
            out().print()
            shown(found)
    return 0 if all(each.ok for each in found or ()) else CORRUPT


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None] | None]:
    """Bytes of rows, counted on a terminal's stderr."""
    console = err()
    if not console.is_terminal:
        yield None
        return
    columns = (SpinnerColumn(), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _facts(copied: Copy) -> dict[str, object]:
    tables = [{"path": each.path, "version": each.version, "versions": each.versions} for each in copied.tables]
    return {
        "source": copied.source,
        "target": copied.target,
        "objects": copied.objects,
        "bytes": copied.size_bytes,
        "tables": tables,
    }


def _tell(copied: Copy) -> None:
    table = grid("", "version", "new versions", right=("version", "new versions"))
    for each in copied.tables:
        place = "/".join(part for part in (copied.target.rstrip("/"), each.path) if part)
        table.add_row(plain(place), f"{each.version:,}", f"{each.versions:,}")
    out().print(table)
    out().print()
    written = f"{count(copied.objects, 'object')} of {size(copied.size_bytes)}" if copied.objects else "nothing was new"
    out().print(plain(written))
