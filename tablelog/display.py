"""How tables show themselves: one line of text in a terminal, a small page in a notebook."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from tablelog.format.partitioning import describe
from tablelog.log.state import datetime_of

if TYPE_CHECKING:
    from tablelog.format.schema import Schema
    from tablelog.log.state import TableState
    from tablelog.ops.scan import ScanPlan

_STEP = 1024
_CELL = "text-align:left;padding:2px 12px 2px 0"


def size(size_bytes: float) -> str:
    """Bytes as people read them.

    >>> size(0), size(1536), size(5_000_000)
    ('0 B', '1.5 KiB', '4.8 MiB')
    """
    if size_bytes < _STEP:
        return f"{size_bytes:.0f} B"
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        size_bytes /= _STEP
        if size_bytes < _STEP:
            return f"{size_bytes:.1f} {unit}"
    return f"{size_bytes / _STEP:.1f} PiB"


def count(number: int, noun: str) -> str:
    """A number with its noun.

    >>> count(1, "file"), count(12345, "row")
    ('1 file', '12,345 rows')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def snapshot_text(name: str, state: TableState) -> str:
    """One line about a table at a version, then its columns."""
    return f"{_summary(name, state)}\n{state.schema}"


def snapshot_html(name: str, state: TableState) -> str:
    """The same as a small page: title, facts, columns."""
    metadata = state.metadata
    facts = [count(state.row_count, "row"), count(len(state.files), "file"), size(state.size_bytes)]
    if metadata.partitioning.fields:
        split = ", ".join(describe(field, state.schema) for field in metadata.partitioning.fields)
        facts.append(f"partitioned by {escape(split)}")
    checks = "".join(f"<li>CHECK {escape(check)}: <code>{escape(sql)}</code></li>" for check, sql in metadata.checks.items())
    return (
        f"<div><b>{escape(name)}</b> <span style='opacity:.7'>version {state.version} · "
        f"{datetime_of(state.timestamp_us):%Y-%m-%d %H:%M:%S} UTC · {' · '.join(facts)}</span>"
        f"{_columns_html(state.schema)}{f'<ul>{checks}</ul>' if checks else ''}</div>"
    )


def _summary(name: str, state: TableState) -> str:
    return (
        f"{name} · version {state.version} · {datetime_of(state.timestamp_us):%Y-%m-%d %H:%M:%S} UTC · "
        f"{count(state.row_count, 'row')} · {count(len(state.files), 'file')} · {size(state.size_bytes)}"
    )


def _columns_html(schema: Schema) -> str:
    commented = any(field.comment for field in schema)
    heads = ("column", "type", "", "comment") if commented else ("column", "type", "")
    head = "".join(f"<th style='{_CELL}'>{title}</th>" for title in heads)
    rows = "".join(
        f"<tr><td style='{_CELL}'>{escape(field.name)}</td><td style='{_CELL}'><code>{escape(str(field.type))}</code></td>"
        f"<td style='{_CELL}'>{'' if field.nullable else 'not null'}</td>"
        + (f"<td style='{_CELL}'>{escape(field.comment or '')}</td>" if commented else "")
        + "</tr>"
        for field in schema
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What a scan of one table touches, of what there is. `str` is a line for people."""

    name: str
    version: int
    files: int
    files_total: int
    rows_max: int
    """Rows in the files that are read: an upper bound of the result."""
    rows_total: int
    size_bytes: int
    """Bytes of the files that are read; engines read less of them, as they skip columns and row groups."""
    size_bytes_total: int
    where: str | None = None

    def __str__(self) -> str:
        condition = f" where {self.where}" if self.where else ""
        return (
            f"{self.name} version {self.version}{condition}: reads {self.files:,} of {count(self.files_total, 'file')}, "
            f"at most {self.rows_max:,} of {count(self.rows_total, 'row')}, "
            f"{size(self.size_bytes)} of {size(self.size_bytes_total)}"
        )

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return f"<div>{escape(str(self))}</div>"


def explanation(name: str, plan: ScanPlan, where: str | None = None) -> Explanation:
    """What a plan touches."""
    return Explanation(
        name=name,
        version=plan.state.version,
        files=len(plan.files),
        files_total=len(plan.state.files),
        rows_max=plan.row_count_max,
        rows_total=plan.state.row_count,
        size_bytes=plan.size_bytes,
        size_bytes_total=plan.state.size_bytes,
        where=where,
    )


def lake_html(url: str, tables: list[tuple[str, TableState]]) -> str:
    """A lake as a small page: one row a table."""
    head = "".join(f"<th style='{_CELL}'>{title}</th>" for title in ("table", "version", "rows", "files", "size"))
    rows = "".join(
        f"<tr><td style='{_CELL}'>{escape(name)}</td><td style='{_CELL}'>{table.version:,}</td>"
        f"<td style='{_CELL}'>{table.row_count:,}</td><td style='{_CELL}'>{len(table.files):,}</td>"
        f"<td style='{_CELL}'>{size(table.size_bytes)}</td></tr>"
        for name, table in tables
    )
    return f"<div><b>lake</b> <code>{escape(url)}</code><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
