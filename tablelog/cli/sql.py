"""`tablelog sql`: a question to a lake."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tablelog.cli.answers import Answer
from tablelog.cli.arguments import LAKE, AsJson, Options, open_lake
from tablelog.cli.output import out, write_json, write_json_rows
from tablelog.cli.pages import ROWS_SHOWN, print_answer
from tablelog.cli.plans import funnel_table, plan_facts, plan_table
from tablelog.errors import InvalidError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Sequence


def sql(
    lake: Annotated[
        str | None,
        typer.Argument(
            metavar="LAKE", show_default=False, help=f"A lake's folder or URL; may be left out if ${LAKE} is set."
        ),
    ] = None,
    query: Annotated[
        str | None,
        typer.Argument(metavar="QUERY", show_default=False, help="The query in quotes; '-' reads it from stdin."),
    ] = None,
    *,
    file: Annotated[
        str | None, typer.Option("--file", "-f", metavar="PATH", help="Read the query from a file.")
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit", "-l", min=0, metavar="N", help=f"Print N rows: {ROWS_SHOWN} unless said, all as JSON or CSV."
        ),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Print what the query would read, and do not run it.")
    ] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    option: Options = None,
    as_json: AsJson = False,
) -> None:
    """Ask a lake in DuckDB's SQL. A table may stand at any of its versions.

    tablelog sql ./lake "SELECT carrier, count(*) FROM flights GROUP BY ALL ORDER BY ALL"

    tablelog sql ./lake "FROM flights AT (VERSION => 3) LIMIT 5"

    tablelog sql ./lake "FROM flights AT (TIMESTAMP => '2026-11-01 09:00') LIMIT 5"
    """
    if as_csv and as_json:
        raise InvalidError("give --csv or --json, not both")
    url, text = _lake_and_query([word for word in (lake, query) if word is not None], file)
    opened = open_lake(url, option)
    if explain:
        plan = opened.explain(text)
        if as_json:
            write_json([plan_facts(part) for part in plan])
        else:
            out().print(plan_table(plan))
            if plan:
                out().print()
                out().print(funnel_table(plan))
        return
    answer = Answer(opened.sql(text))
    if as_json:
        write_json_rows(answer.objects(limit))
    elif as_csv:
        sys.stdout.writelines(line + "\n" for line in answer.lines(limit))
    else:
        print_answer(answer, ROWS_SHOWN if limit is None else limit)


def _lake_and_query(words: Sequence[str], file: str | None) -> tuple[str | None, str]:
    """The lake that is named, if one is, and the query's text."""
    if file is not None:
        if len(words) > 1:
            raise InvalidError("give the query or --file, not both")
        return next(iter(words), None), _read(file)
    if not words:
        raise InvalidError("there is no query; give one in quotes after the lake, '-' for stdin, or --file PATH")
    if len(words) == 1 and not os.environ.get(LAKE):
        raise InvalidError(
            f"no lake is named, or no query: there is only {words[0]!r}; write tablelog sql LAKE QUERY, or set {LAKE}"
        )
    return (words[0] if len(words) > 1 else None), (sys.stdin.read() if words[-1] == "-" else words[-1])


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise NotFoundError(f"there is no file {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidError(f"cannot read the query from {path}: {error}") from error
