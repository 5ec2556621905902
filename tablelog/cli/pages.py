"""Rows as a page for people, however wide the table and however narrow the terminal.

Columns that do not fit beside each other are continued below, in as many blocks as it takes, and then every row has a
number by which the eye finds it again. A row is one line; what is too long for a cell ends in `…`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.cells import cell_len

from tablelog.cli.cells import cell, is_number
from tablelog.cli.output import grid, note, out, plain
from tablelog.display import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.text import Text

    from tablelog.cli.answers import Answer

ROWS_SHOWN: Final = 40
"""Rows of a page if nobody says how many."""
_COUNTED_MAX: Final = 1_000_000
"""Rows that are counted after those that are shown, before the page says `more than`."""
_PLAN: Final = ["explain_key", "explain_value"]
_GAP: Final = 2


def print_answer(answer: Answer, limit: int = ROWS_SHOWN) -> None:
    """The first `limit` rows on stdout, then how many there are.

    Raises:
        duckdb.Error: the query fails on some row.

    """
    shown, rest = answer.page(limit, _COUNTED_MAX)
    if answer.names == _PLAN:  # DuckDB has drawn it already
        out().print("\n".join(str(row[1]) for row in shown), soft_wrap=True)
        return
    cells = [[cell(value, type_) for value, type_ in zip(row, answer.types, strict=True)] for row in shown]
    numeric = [is_number(type_) for type_ in answer.types]
    print_cells(answer.names, cells, numeric)
    note(_tail(len(shown), rest, len(answer.names)))


def print_cells(names: Sequence[str], rows: Sequence[Sequence[Text]], numeric: Sequence[bool]) -> None:
    """Cells under their names on stdout, in blocks that fit the terminal."""
    width = out().width
    widest = width if len(names) == 1 else max(24, width // 2)
    widths = [
        min(widest, max([cell_len(plain(name).plain), *(cell_len(row[place].plain) for row in rows)]))
        for place, name in enumerate(names)
    ]
    blocks = (
        [list(range(len(names)))] if _total(widths) <= width else _blocks(widths, width - len(f"{len(rows):,}") - _GAP)
    )
    for number, block in enumerate(blocks):
        if number:
            out().print()
        table = grid()
        if len(blocks) > 1:
            table.add_column("", justify="right", style="dim", no_wrap=True)
        for place in block:
            table.add_column(
                plain(names[place]),
                justify="right" if numeric[place] else "left",
                no_wrap=True,
                overflow="ellipsis",
                width=widths[place],
            )
        for row_number, row in enumerate(rows, start=1):
            table.add_row(*([f"{row_number:,}"] if len(blocks) > 1 else []), *(row[place] for place in block))
        out().print(table)


def _blocks(widths: Sequence[int], width: int) -> list[list[int]]:
    """Columns, by their places, in runs that fit into a width; at least one in each.

    >>> _blocks([10, 10, 30, 5], 25)
    [[0, 1], [2], [3]]
    """
    blocks: list[list[int]] = [[]]
    for place in range(len(widths)):
        if blocks[-1] and _total([widths[each] for each in (*blocks[-1], place)]) > width:
            blocks.append([])
        blocks[-1].append(place)
    return blocks


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + _GAP * (len(widths) - 1)


def _tail(shown: int, rest: int, columns: int) -> str:
    if rest > _COUNTED_MAX:
        rows = f"the first {shown:,} of more than {count(_COUNTED_MAX, 'row')}; --limit N shows more"
    elif rest:
        rows = f"the first {shown:,} of {count(shown + rest, 'row')}; --limit N shows more"
    else:
        rows = count(shown, "row")
    return rows if rest else f"{rows}, {count(columns, 'column')}"
