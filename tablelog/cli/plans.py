"""What a query would read of each of its tables, beside what there is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tablelog.cli.output import grid, plain
from tablelog.display import size, steps_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.table import Table

    from tablelog.display import Explanation

_NUMBERS: Final = ("version", "files", "rows at most", "bytes at most")


def plan_table(plan: Iterable[Explanation]) -> Table:
    """For people: one line for each time that a table is named."""
    table = grid("table", *_NUMBERS, right=_NUMBERS)
    for part in plan:
        table.add_row(
            plain(part.name),
            str(part.version),
            f"{part.files:,} of {part.files_total:,}",
            f"{part.rows_max:,} of {part.rows_total:,}",
            f"{size(part.size_bytes)} of {size(part.size_bytes_total)}",
        )
    return table


def funnel_table(plan: Iterable[Explanation]) -> Table:
    """For people: what rules files out, one kind of knowledge after the other, and what has to be opened in the end."""
    table = grid("table", "", "files", "", right=("files",))
    for part in plan:
        for place, (word, files, said) in enumerate(steps_of(part.funnel)):
            table.add_row(plain("" if place else part.name), word, f"{files:,}", plain(said, style="dim"))
    return table


def plan_facts(part: Explanation) -> dict[str, Any]:
    """For programs."""
    return {
        "table": part.name,
        "version": part.version,
        "files": part.files,
        "files_total": part.files_total,
        "rows_max": part.rows_max,
        "rows_total": part.rows_total,
        "bytes_max": part.size_bytes,
        "bytes_total": part.size_bytes_total,
        "ruled_out": {str(how): files for how, files in part.funnel.ruled_out},
        "inlined": part.funnel.inlined,
        "with_deletes": part.funnel.with_deletes,
        "objects": part.funnel.objects,
    }
