"""The command `tablelog`: its commands, and what happens when one of them fails."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, Annotated, Any

import duckdb
import pyarrow as pa
import typer
from typer.core import TyperGroup

from tablelog.cli.append import append
from tablelog.cli.back import restore, revert, tag
from tablelog.cli.changes import changes
from tablelog.cli.compact import compact
from tablelog.cli.copy import copy
from tablelog.cli.demo import demo
from tablelog.cli.expire import expire
from tablelog.cli.failures import INTERRUPTED, report
from tablelog.cli.get import get
from tablelog.cli.health import health
from tablelog.cli.history import history
from tablelog.cli.ls import ls
from tablelog.cli.output import err
from tablelog.cli.show import show
from tablelog.cli.sql import sql
from tablelog.cli.vacuum import vacuum
from tablelog.cli.verify import verify
from tablelog.errors import TablelogError
from tablelog.provenance import VERSION

if TYPE_CHECKING:
    from types import FrameType


class Commands(TyperGroup):
    """A group of commands that leaves with one line and an exit code when something goes wrong (see `failures`)."""

    def main(self, args: Any = None, *positional: Any, **named: Any) -> Any:
        """Run one command and leave the process."""
        as_json = "--json" in (sys.argv[1:] if args is None else args)
        named["standalone_mode"] = False
        try:
            code = super().main(args, *positional, **named)
            sys.stdout.flush()
        except (TablelogError, typer.TyperException, duckdb.Error, pa.ArrowException, OSError) as failure:
            code = report(failure, as_json=as_json)
        sys.exit(code or 0)


app = typer.Typer(
    cls=Commands,
    name="tablelog",
    rich_markup_mode="markdown",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:  # noqa: FBT001 - how an option's callback is called
    if asked:
        sys.stdout.write(f"tablelog {VERSION}\n")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def tablelog(
    context: typer.Context,
    *,
    version: Annotated[  # noqa: ARG001 - its callback has done the work
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Versioned tables in a folder or a bucket: Parquet files and a log of commits.

    LAKE is a folder or a URL such as s3://bucket/prefix. Every command takes --json. Exit codes: 0 done, 2 bad usage,
    3 not found, 4 conflict, 5 fenced, 6 corrupt, 7 the storage failed, 130 interrupted.
    """
    if context.invoked_subcommand is None:
        sys.stdout.write(context.get_help() + "\n")


app.command()(demo)
app.command()(ls)
app.command()(show)
app.command()(history)
app.command()(health)
app.command()(sql)
app.command()(get)
app.command()(append)
app.command()(changes)
app.command()(tag)
app.command()(restore)
app.command()(revert)
app.command()(compact)
app.command()(expire)
app.command()(vacuum)
app.command()(verify)
app.command()(copy)


def main() -> None:
    """Run the command line of this process."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
    app()


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """Leave at once: an engine that is interrupted in the middle of a query may wait for its own threads for ever.

    Nothing is lost by it. A commit is there or it is not, and what a writer leaves behind is swept like any dead one's.
    """
    err().show_cursor()
    os._exit(INTERRUPTED)
