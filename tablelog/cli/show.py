"""`tablelog show`: what a table is at one version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from tablelog.cli.answers import Answer
from tablelog.cli.arguments import AsJson, LakeOrTable, Options, TableName, open_one
from tablelog.cli.output import grid, moment, note, out, plain, write_json
from tablelog.cli.pages import print_answer
from tablelog.display import count, key, partition_by, rules, size, sort_by
from tablelog.engines.duckdb import ENGINE
from tablelog.errors import InvalidError
from tablelog.format.predicate import ALWAYS
from tablelog.parquet.arrow import arrow_scalar

if TYPE_CHECKING:
    from tablelog.format.types import Field
    from tablelog.snapshot import Snapshot

_FILES_SHOWN: Final = 100


def show(
    lake: LakeOrTable,
    table: TableName = None,
    *,
    version: Annotated[int | None, typer.Option("--version", "-v", metavar="N", help="As of this version.")] = None,
    timestamp: Annotated[
        str | None, typer.Option("--timestamp", "-t", metavar="TIME", help="As of then; ISO, UTC if it names no zone.")
    ] = None,
    rows: Annotated[int, typer.Option("--rows", "-r", min=0, metavar="N", help="Also show N rows.")] = 0,
    files: Annotated[bool, typer.Option("--files", "-f", help="Also list the files.")] = False,
    option: Options = None,
    as_json: AsJson = False,
) -> None:
    """Show a table: columns, rules, layout, rows, files, size; now or at an earlier version.

    Besides a lake and a table, the folder of a table will do: tablelog show ./lake/flights
    """
    if version is not None and timestamp is not None:
        raise InvalidError("give --version or --timestamp, not both")
    opened = open_one(lake, table, option)
    now = version is None and timestamp is None
    snapshot = opened.snapshot() if now else opened.at(version=version, timestamp=timestamp)
    sample = _sample(snapshot, rows) if rows else None
    if as_json:
        write_json(
            {"table": opened.name, "url": opened.url, "id": opened.id}
            | _facts(snapshot)
            | ({"sample": list(sample.objects())} if sample else {})
            | ({"file_list": _file_facts(snapshot)} if files else {})
        )
        return
    _print_facts(snapshot, opened.url)
    if sample is not None:
        out().print()
        print_answer(sample, rows)
    if files:
        _print_files(snapshot)


def _sample(snapshot: Snapshot, rows: int) -> Answer:
    cursor = ENGINE.cursor()
    cursor.present("rows", snapshot.plan(ALWAYS), snapshot.store)
    return Answer(cursor.relation(f"FROM rows LIMIT {rows}"))


def _facts(snapshot: Snapshot) -> dict[str, Any]:
    return {
        "version": snapshot.version,
        "timestamp": snapshot.timestamp.isoformat(),
        "rows": snapshot.row_count,
        "files": len(snapshot.files),
        "bytes": snapshot.size_bytes,
        "columns": [_column(field) for field in snapshot.schema],
        "partition_by": partition_by(snapshot.state),
        "sort_by": sort_by(snapshot.state),
        "key": key(snapshot.state),
        "checks": snapshot.checks,
        "properties": snapshot.properties,
        "tags": dict(snapshot.state.metadata.tags),
    }


def _column(field: Field) -> dict[str, Any]:
    return {
        "name": field.name,
        "type": str(field.type),
        "nullable": field.nullable,
        "default": _default(field),
        "comment": field.comment,
    }


def _default(field: Field) -> str | None:
    """What an append without the column stores, as text."""
    return None if field.write_default is None else str(arrow_scalar(field.write_default, field.type).as_py())


def _file_facts(snapshot: Snapshot) -> list[dict[str, Any]]:
    return [
        {"path": file.path, "rows": file.live_row_count, "deleted": file.deleted_row_count, "bytes": file.size_bytes}
        for file in snapshot.files
    ]


def _print_facts(snapshot: Snapshot, url: str) -> None:
    title = plain(snapshot.name, style="bold")
    title.append(f" · version {snapshot.version} · {moment(snapshot.timestamp)} UTC", style="not bold")
    facts = f"{count(snapshot.row_count, 'row')} · {count(len(snapshot.files), 'file')} · {size(snapshot.size_bytes)}"
    out().print(title, soft_wrap=True)
    out().print(plain(facts))
    out().print(plain(url, style="dim"), soft_wrap=True)
    out().print()
    _print_columns(snapshot)
    for name, values in rules(snapshot.state):
        line = plain(f"{name}  ", style="dim")
        line.append_text(plain(values))
        out().print(line)


def _print_columns(snapshot: Snapshot) -> None:
    fields = snapshot.schema.fields
    cells = [
        (field.name, str(field.type), "" if field.nullable else "not null", _default(field) or "", field.comment or "")
        for field in fields
    ]
    heads = ("column", "type", "", "default", "comment")
    used = [place for place in range(len(heads)) if any(row[place] for row in cells)]
    table = grid(*(heads[place] for place in used))
    for row in cells:
        table.add_row(*(plain(row[place]) for place in used))
    out().print(table)
    out().print()


def _print_files(snapshot: Snapshot) -> None:
    shown = snapshot.files[:_FILES_SHOWN]
    has_deleted = any(file.deleted for file in shown)
    table = grid("file", "rows", *(("deleted",) if has_deleted else ()), "size", right=("rows", "deleted", "size"))
    for file in shown:
        deleted = (f"{file.deleted_row_count:,}" if file.deleted else "",) if has_deleted else ()
        table.add_row(plain(file.path), f"{file.live_row_count:,}", *deleted, size(file.size_bytes))
    out().print()
    out().print(table)
    rest = len(snapshot.files) - _FILES_SHOWN
    if rest > 0:
        note(f"and {count(rest, 'file')} more; --json lists all")
