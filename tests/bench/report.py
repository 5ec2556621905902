"""What a run says: tables for the console and for `docs/benchmarks.md`, and in words who was ahead."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table as ConsoleTable

if TYPE_CHECKING:
    from pathlib import Path

OURS: Final = "tablelog"
_HEAD: Final = """# Benchmarks

tablelog beside other table formats, in one run on one machine, every system in processes of its own, turns taken. Times
are medians. Absolute times belong to the machine; what travels is the ratio between two rows of one table. Requests and
bytes do not depend on the machine at all.

`make bench` repeats everything; the command under a heading repeats that part and rewrites it here. Systems that are
not installed are left out. A figure in **bold** is the best of its column, whoever has it. Rows that are there to
compare with, such as `floor` or an engine alone, win nothing.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of figures."""

    name: str
    digits: int = 1
    ranked: bool = True
    """Whether less is better, so that somebody is ahead."""


@dataclass(slots=True, kw_only=True)
class Table:
    """One system, or one way, a row."""

    title: str
    columns: tuple[Column, ...]
    rows: dict[str, list[float | str | None]] = field(default_factory=dict)
    """Figures by name; text is shown as it is, None as a dash."""
    unranked: tuple[str, ...] = ()
    """Rows that are there to compare with and win nothing."""
    first: str = "system"

    def best(self, place: int) -> float | None:
        """The least figure of a column."""
        figures = [row[place] for name, row in self.rows.items() if name not in self.unranked]
        numbers = [figure for figure in figures if isinstance(figure, int | float)]
        return min(numbers) if numbers and self.columns[place].ranked else None


@dataclass(slots=True, kw_only=True)
class Section:
    """One workload's answer."""

    key: str
    title: str
    text: str
    """What is measured, and how."""
    tables: list[Table]
    notes: list[str] = field(default_factory=list)
    command: str = ""
    circumstances: str = ""


def shown(figure: float | str | None, digits: int) -> str:
    """A figure as people read it."""
    if figure is None:
        return "-"
    return figure if isinstance(figure, str) else f"{figure:,.{digits}f}"


def verdicts(table: Table) -> list[str]:
    """For each ranked column, in words, who is ahead and by how much."""
    said = []
    for place, column in enumerate(table.columns):
        figures = {
            name: row[place]
            for name, row in table.rows.items()
            if name not in table.unranked and isinstance(row[place], int | float) and column.ranked
        }
        own = [figure for name, figure in figures.items() if _is_ours(name)]
        others = {name: figure for name, figure in figures.items() if not _is_ours(name)}
        if own and others and any(figures.values()):
            said.append(f"{column.name}: {_verdict(min(own), others, column.digits)}")
    return said


def _is_ours(name: str) -> bool:
    """Whether a row is tablelog's, or one of its ways, or tables set up in another way."""
    return name == OURS or name.startswith((f"{OURS}: ", f"{OURS}-"))


def _verdict(own: float, others: dict[str, float], digits: int) -> str:
    nearest = min(others, key=lambda name: others[name])
    rival = others[nearest]
    figures = f"{shown(own, digits)} against {shown(rival, digits)}"
    if own == rival:
        return f"tablelog and {nearest} are level ({figures})"
    if own < rival:
        factor = f", {rival / own:.1f} times less" if own > 0 else ""
        return f"tablelog is ahead of {nearest}{factor} ({figures})"
    factor = f", {own / rival:.1f} times less" if rival > 0 else ""
    ahead = [name for name, figure in sorted(others.items(), key=lambda item: item[1]) if figure < own]
    also = f"; also ahead: {', '.join(ahead[1:])}" if len(ahead) > 1 else ""
    return f"**{nearest} is ahead of tablelog**{factor} ({figures}){also}"


def print_section(section: Section) -> None:
    """To the console."""
    console = Console(width=160)
    console.rule(f"{section.key}: {section.title}")
    for table in section.tables:
        output = ConsoleTable(title=table.title, title_justify="left")
        output.add_column(table.first)
        for column in table.columns:
            output.add_column(column.name, justify="right")
        for name, row in table.rows.items():
            figures = [shown(figure, column.digits) for figure, column in zip(row, table.columns, strict=True)]
            output.add_row(name, *figures)
        console.print(output)
        for verdict in verdicts(table):
            console.print("  " + verdict.replace("**", ""), highlight=False)
    for note in (*section.notes, section.circumstances):
        console.print("  " + note, highlight=False)


def markdown(section: Section) -> str:
    """The section as it stands in the document, markers included."""
    parts = [f"<!-- {section.key} -->", f"## {section.key}: {section.title}", f"`{section.command}`", section.text]
    for table in section.tables:
        parts.append(f"**{table.title}**")
        parts.append(_markdown_table(table))
        said = verdicts(table)
        if said:
            parts.append("\n".join(f"* {each}" for each in said))
    if section.notes:
        parts.append("\n".join(f"* {note}" for note in section.notes))
    parts += [f"*{section.circumstances}*", f"<!-- /{section.key} -->"]
    return "\n\n".join(parts)


def _markdown_table(table: Table) -> str:
    lines = [
        f"| {table.first} | {' | '.join(column.name for column in table.columns)} |",
        f"|---|{'---:|' * len(table.columns)}",
    ]
    for name, row in table.rows.items():
        cells = []
        for place, (figure, column) in enumerate(zip(row, table.columns, strict=True)):
            text = shown(figure, column.digits)
            leads = isinstance(figure, int | float) and figure == table.best(place) and name not in table.unranked
            cells.append(f"**{text}**" if leads else text)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def write_section(document: Path, section: Section, order: tuple[str, ...]) -> None:
    """Put the section into the document in the place of its older self; other sections stay."""
    known = _sections(document.read_text() if document.exists() else "", order)
    known[section.key] = markdown(section)
    document.write_text("\n\n".join([_HEAD.strip(), *(known[key] for key in order if key in known)]) + "\n")


def _sections(text: str, order: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for key in order:
        begin, end = f"<!-- {key} -->", f"<!-- /{key} -->"
        if begin in text and end in text:
            found[key] = text[text.index(begin) : text.index(end) + len(end)]
    return found
