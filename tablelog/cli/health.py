"""`tablelog health`: what shape a table is in."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tablelog.cli.arguments import AsJson, LakeOrTable, Options, TableName, open_one
from tablelog.cli.output import grid, note, out, plain, write_json
from tablelog.health import HEADS, amounts, facts, level_rows

if TYPE_CHECKING:
    from tablelog.health import Health


def health(lake: LakeOrTable, table: TableName = None, *, option: Options = None, as_json: AsJson = False) -> None:
    """Show how files and bytes are spread over the levels, what a look has to open, and what compact would do.

    Only columns of the log are read, however many files there are.
    """
    found = open_one(lake, table, option).health()
    if as_json:
        write_json(_facts(found))
    else:
        _print(found)


def _facts(health: Health) -> dict[str, Any]:
    return {
        "table": health.name,
        "version": health.version,
        "rows": health.rows,
        "files": health.files,
        "bytes": health.size_bytes,
        "inlined": health.inlined,
        "small_files": health.small_files,
        "small_file_share": health.small_file_share,
        "small_byte_share": health.small_byte_share,
        "deleted_rows": health.deleted_rows,
        "deleted_share": health.deleted_share,
        "vector_bytes": health.vector_bytes,
        "partitions": health.partitions,
        "order": health.order,
        "read_amplification": health.read_amplification,
        "write_amplification": health.write_amplification,
        "compactions": health.compactions,
        "versions": health.versions,
        "horizon": health.horizon,
        "older_bytes": health.older_bytes,
        "levels": [
            {
                "level": level.level,
                "inlined": level.inlined,
                "files": level.files,
                "rows": level.rows,
                "deleted_rows": level.deleted_rows,
                "bytes": level.size_bytes,
                "inlined_bytes": level.inlined_bytes,
                "small_files": level.small_files,
                "share": level.share,
            }
            for level in health.levels
        ],
        "work": asdict(health.work),
        "advice": health.advice,
    }


def _print(health: Health) -> None:
    title = plain(health.name, style="bold")
    title.append(f" · version {health.version} · {' · '.join(amounts(health))}", style="not bold")
    out().print(title, soft_wrap=True)
    out().print()
    if health.levels:
        levels = grid(*HEADS, right=HEADS)
        for row in level_rows(health):
            levels.add_row(*row)
        out().print(levels)
        out().print()
    for word, said in facts(health):
        line = plain(f"{word}  ", style="dim")
        line.append_text(plain(said))
        out().print(line, soft_wrap=True)
    note(health.advice)
