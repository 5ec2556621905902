"""`tablelog append`: files into a table, in one commit."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import pyarrow as pa
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from tablelog.cli.arguments import AsJson, Options, storage_options
from tablelog.cli.output import err, out, plain, write_json
from tablelog.cli.sources import Files, find_sources
from tablelog.display import count, size
from tablelog.errors import InvalidError
from tablelog.format.schema import new_schema
from tablelog.lake import connect
from tablelog.parquet.columns import fields_from_user_schema

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tablelog.cli.sources import Source
    from tablelog.format.schema import Schema

_NAMES_TOLD: Final = 3
"""Names of files that the history tells of one commit."""


def append(
    lake: Annotated[str, typer.Argument(metavar="LAKE", show_default=False, help="The lake's folder or URL.")],
    table: Annotated[str, typer.Argument(metavar="TABLE", show_default=False, help="Where the rows go.")],
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE", show_default=False, help="Parquet, CSV or JSON, also .gz; patterns in quotes."),
    ],
    *,
    create: Annotated[
        bool, typer.Option("--create", help="Make the table, and the lake, if there is none; columns are the files'.")
    ] = False,
    types: Annotated[
        list[str] | None,
        typer.Option(
            "--type", metavar="COLUMN=TYPE", help="With --create: not the type that is guessed. May be repeated."
        ),
    ] = None,
    nulls: Annotated[
        list[str] | None,
        typer.Option("--null", metavar="TEXT", help="Text that means null in CSV, such as NA. May be repeated."),
    ] = None,
    option: Options = None,
    as_json: AsJson = False,
) -> None:
    """Add the rows of files to a table, all of them in one commit, or none.

    Columns are found by name. Values of CSV and JSON are cast to the table's types one by one: what does not fit is
    named with its file, row and column, and nothing is added. CSV files begin with a line of names.
    """
    sources = find_sources(files)
    wanted = fields_from_user_schema(_pairs(types)) if types else ()
    reading = Files(sources, nulls or ())
    opened = connect(lake, storage_options(option), create=create)
    if create and table not in opened:
        schema = new_schema(reading.fields(wanted))
        with _progress(reading, schema) as rows:
            target = opened.create_table(table, rows, info=_info(sources))
        version = 0
    else:
        if types:
            raise InvalidError(f"--type is for a table that --create makes; {table} is there and keeps its types")
        target = opened.table(table)
        with _progress(reading, target.schema) as rows:
            version = target.append(rows, info=_info(sources)).version
    commit = next(each for each in target.history().iter_rows(named=True) if each["version"] == version)
    if as_json:
        write_json(_facts(target.name, commit))
    else:
        out().print(plain(_told(target.name, commit, len(sources))))


def _pairs(types: Sequence[str]) -> dict[str, str]:
    """`--type` values as a dict from columns to types."""
    pairs: dict[str, str] = {}
    for text in types:
        name, equals, type_ = text.rpartition("=")
        if not equals:
            raise InvalidError(f"--type {text} has no type; write it as COLUMN=TYPE")
        pairs[name] = type_
    return pairs


def _info(sources: Sequence[Source]) -> dict[str, str]:
    """What the history shall say: names of files, without where they lay."""
    names = [Path(source.path).name for source in sources]
    more = f" and {count(len(names) - _NAMES_TOLD, 'file')} more" if len(names) > _NAMES_TOLD else ""
    return {"from": ", ".join(names[:_NAMES_TOLD]) + more}


@contextmanager
def _progress(files: Files, schema: Schema) -> Iterator[pa.RecordBatchReader]:
    """The files' rows, counted on a terminal's stderr as they are read."""
    reader = files.reader(schema)
    console = err()
    if not console.is_terminal:
        yield reader
        return
    columns = (SpinnerColumn(), BarColumn(), MofNCompleteColumn(), TextColumn("rows"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=files.row_count())

        def counted() -> Iterator[pa.RecordBatch]:
            for batch in reader:
                yield batch
                progress.advance(task, batch.num_rows)

        yield pa.RecordBatchReader.from_batches(reader.schema, counted())


def _facts(table: str, commit: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "table": table,
        "version": commit["version"],
        "timestamp": commit["timestamp"].isoformat(),
        "operation": commit["operation"],
        "rows": commit["rows_added"],
        "files": commit["files_added"],
        "bytes": commit["bytes_added"],
    }


def _told(table: str, commit: Mapping[str, Any], source_count: int) -> str:
    came = f"{count(commit['rows_added'], 'row')} from {count(source_count, 'file')}"
    stored = f"{count(commit['files_added'], 'file')} of {size(commit['bytes_added'])}"
    return f"{table} version {commit['version']}: {came}, stored in {stored}"
