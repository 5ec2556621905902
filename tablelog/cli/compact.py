"""`tablelog compact`: many small files become few, once or for as long as it runs."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from tablelog.cli.arguments import AsJson, LakeOrTable, Options, TableName, open_one
from tablelog.cli.output import err, out, plain, write_json, write_json_line
from tablelog.display import count, size
from tablelog.errors import InvalidError
from tablelog.watching import Event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tablelog.compacting import Progress
    from tablelog.log.facts import Commit
    from tablelog.table import Table


def compact(
    lake: LakeOrTable,
    table: TableName = None,
    *,
    full: Annotated[
        bool, typer.Option("--full", help="Make one sorted run of every partition, whatever that costs.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on for ever. Of many that watch a table one works, others wait.")
    ] = False,
    every: Annotated[
        float, typer.Option("--every", metavar="SECONDS", min=0.1, help="How often --watch looks.")
    ] = 10.0,
    option: Options = None,
    as_json: AsJson = False,
) -> None:
    """Put small files, rows inside the log and mostly deleted files together. No version's rows change.

    Safe at any time: no writer fails because of it, and what others do meanwhile stays done.
    """
    if full and watch:
        raise InvalidError("--full and --watch do not go together; run --full once, then --watch")
    opened = open_one(lake, table, option)
    if watch:
        _watch(opened, every, as_json=as_json)
        return
    before = opened.version
    with _bar() as on_progress:
        commit = opened.compact(full=full, on_progress=on_progress)
    if commit is None:
        facts: dict[str, int | None] = {"version": None, "files_removed": 0, "files_added": 0}
    else:
        facts = {"version": commit.version, **_steps(opened, before)}
    if as_json:
        write_json(facts)
    elif commit is None:
        out().print(plain(f"{opened.name}: nothing to put together"))
    else:
        what = f"{count(facts['files_removed'] or 0, 'file')} became {facts['files_added']:,}"
        out().print(plain(f"{opened.name} version {commit.version}: {what}"))


def _steps(table: Table, before: int) -> dict[str, int]:
    """What the compactions since a version add up to."""
    history = table.history()
    done = history.filter((history["version"] > before) & (history["operation"] == "compact"))
    return {name: int(done[name].sum()) for name in ("files_removed", "files_added")}


@contextmanager
def _bar() -> Iterator[Callable[[Progress], None] | None]:
    """Rows written, on a terminal's stderr."""
    console = err()
    if not console.is_terminal:
        yield None
        return
    columns = (SpinnerColumn(), BarColumn(), MofNCompleteColumn(), TextColumn("rows"), TimeElapsedColumn())
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda progress: bar.update(task, completed=progress.rows, total=progress.rows_total)


def _watch(table: Table, every: float, *, as_json: bool) -> None:
    """Until a signal says stop; what is under way is finished first, a second signal leaves at once."""
    stopped = False

    def stop(number: int, _frame: Any) -> None:
        nonlocal stopped
        stopped = True
        err().print(plain("stopping after this step; once more to leave at once"))
        signal.signal(number, before[signal.Signals(number)])

    def tell(event: Event, commit: Commit | None) -> None:
        if as_json:
            write_json_line({"event": event.value, "version": None if commit is None else commit.version})
        else:
            out().print(plain(f"{table.name}: {_told(event, commit)}"))

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}
    for number in numbers:
        signal.signal(number, stop)
    try:
        table.keep_compact(every=every, stop=lambda: stopped, on_event=tell)
    finally:
        for number in numbers:
            signal.signal(number, before[number])


def _told(event: Event, commit: Commit | None) -> str:
    match event:
        case Event.WAITING:
            return "somebody else keeps it compact; waiting"
        case Event.WORKING:
            return "keeping it compact"
        case Event.LOST:
            return "somebody else has taken over; waiting"
        case Event.COMPACTED:
            assert commit is not None
            what = f"{count(commit.files_removed, 'file')} became {commit.files_added:,}"
            return f"version {commit.version}: {what}, {size(commit.bytes_added)} written"
