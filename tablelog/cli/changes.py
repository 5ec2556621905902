"""`tablelog changes`: which rows came and went between two versions."""

from __future__ import annotations

from typing import Annotated

import typer

from tablelog.cli.answers import Answer
from tablelog.cli.arguments import AsJson, LakeOrTable, Options, TableName, open_one
from tablelog.cli.output import write_json_rows
from tablelog.cli.pages import ROWS_SHOWN, print_answer
from tablelog.engines.duckdb import ENGINE


def changes(
    lake: LakeOrTable,
    table: TableName = None,
    *,
    since: Annotated[
        int,
        typer.Option("--since", min=-1, metavar="N", help="After version N; -1: all.", show_default=False),
    ],
    until: Annotated[
        int | None, typer.Option("--until", min=0, metavar="N", help="Up to version N; the newest unless said.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", "-l", min=0, metavar="N", help=f"Print N rows: {ROWS_SHOWN} unless said.")
    ] = None,
    option: Options = None,
    as_json: AsJson = False,
) -> None:
    """Show which rows came and went after a version: insert, delete, update_before, update_after.

    tablelog changes ./lake orders --since 3 --until 9
    """
    cursor = ENGINE.cursor()
    cursor.connection.register("changes", open_one(lake, table, option).changes(since, until))
    answer = Answer(cursor.relation("FROM changes"))
    if as_json:
        write_json_rows(answer.objects(limit))
    else:
        print_answer(answer, ROWS_SHOWN if limit is None else limit)
