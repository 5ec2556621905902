"""How tables show themselves: lines of text in a terminal, a small page in a notebook.

Pages name no colours: they take those of the notebook, light or dark, and tell apart by weight and opacity. Numbers
stand on the right, everything else on the left. What is long scrolls inside a page of limited height.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Final

from tablelog.format.partitioning import describe
from tablelog.log.facts import datetime_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tablelog.format.schema import Schema
    from tablelog.log.state import TableState
    from tablelog.ops.scan import ScanPlan

_STEP: Final = 1024


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


def partition_by(state: TableState) -> list[str]:
    """How new files are split, as `partition_by=` takes it."""
    return [describe(field, state.schema) for field in state.metadata.partitioning.fields]


def sort_by(state: TableState) -> list[str]:
    """How rows are sorted inside new files, as `sort_by=` takes it."""
    order = ((state.schema.by_id(field.field_id), field.descending) for field in state.metadata.sort_order)
    return [f"{field.name}{' desc' if descending else ''}" for field, descending in order if field is not None]


def key(state: TableState) -> list[str]:
    """Columns that identify a row."""
    fields = (state.schema.by_id(field_id) for field_id in state.metadata.key)
    return [field.name for field in fields if field is not None]


def rules(state: TableState) -> list[tuple[str, str]]:
    """What is fixed about a table beside its columns: a word and what it says."""
    metadata = state.metadata
    lines = [
        ("partitioned by", ", ".join(partition_by(state))),
        ("sorted by", ", ".join(sort_by(state))),
        ("key", ", ".join(key(state))),
        *((f"check {name}", expression) for name, expression in metadata.checks.items()),
        *((f"property {name}", value) for name, value in metadata.properties.items()),
        *((f"tag {name}", f"version {version}") for name, version in metadata.tags.items()),
    ]
    return [(word, said) for word, said in lines if said]


def snapshot_text(name: str, state: TableState) -> str:
    """One line about a table at a version, then its columns and rules."""
    title = f"{name} · version {state.version} · {datetime_of(state.timestamp_us):%Y-%m-%d %H:%M:%S} UTC"
    columns = _columns_text(state.schema)
    return "\n".join(
        (" · ".join((title, *_amounts(state))), *columns, *(f"{word}: {said}" for word, said in rules(state)))
    )


def snapshot_html(name: str, state: TableState) -> str:
    """The same as a small page."""
    moment = f"{datetime_of(state.timestamp_us):%Y-%m-%d %H:%M:%S} UTC"
    said = "".join(f"<div>{_faint(escape(word))} <code>{escape(text)}</code></div>" for word, text in rules(state))
    return page(
        f"<b>{escape(name)}</b> version {state.version} {_faint('· ' + ' · '.join((moment, *_amounts(state))))}",
        _columns_html(state.schema) + said,
    )


def lake_html(url: str, tables: list[tuple[str, TableState]]) -> str:
    """A lake as a small page: one row a table."""
    rows = [
        (
            f"<b>{escape(name)}</b>",
            f"{table.version:,}",
            f"{table.row_count:,}",
            f"{table.file_count:,}",
            size(table.size_bytes),
            _unbroken(f"{datetime_of(table.timestamp_us):%Y-%m-%d %H:%M:%S}"),
        )
        for name, table in tables
    ]
    heads = ("table", "version", "rows", "files", "size", "changed (UTC)")
    body = table(heads, rows, right=frozenset(range(1, 5))) if rows else _faint("no tables yet")
    return page(f"<b>lake</b> <code>{escape(url)}</code> {_faint('· ' + count(len(tables), 'table'))}", body)


def _amounts(state: TableState) -> tuple[str, str, str]:
    return count(state.row_count, "row"), count(state.file_count, "file"), size(state.size_bytes)


def _columns_text(schema: Schema) -> list[str]:
    """A line per column, types under each other."""
    width = min(max(len(field.name) for field in schema), _NAME_WIDTH_MAX)
    return [
        f"  {field.name:<{width}}  {field.type}{'' if field.nullable else ' not null'}"
        + (f"  -- {field.comment}" if field.comment else "")
        for field in schema
    ]


_NAME_WIDTH_MAX: Final = 32


def _columns_html(schema: Schema) -> str:
    rows = [
        (
            escape(field.name),
            f"<code>{escape(str(field.type))}</code>",
            "" if field.nullable else _unbroken("not null"),
            _faint(escape(field.comment or "")),
        )
        for field in schema
    ]
    heads = ("column", "type", "", "comment" if any(field.comment for field in schema) else "")
    return table(heads, rows)


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
            f"{self.name} version {self.version}{condition}: "
            f"reads {self.files:,} of {count(self.files_total, 'file')}, "
            f"at most {self.rows_max:,} of {count(self.rows_total, 'row')}, "
            f"{size(self.size_bytes)} of {size(self.size_bytes_total)}"
        )

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        condition = f" where <code>{escape(self.where)}</code>" if self.where else ""
        rows = [
            ("files", f"{self.files:,}", f"{self.files_total:,}", _bar(self.files, self.files_total)),
            ("rows, at most", f"{self.rows_max:,}", f"{self.rows_total:,}", _bar(self.rows_max, self.rows_total)),
            (
                "bytes, at most",
                size(self.size_bytes),
                size(self.size_bytes_total),
                _bar(self.size_bytes, self.size_bytes_total),
            ),
        ]
        title = f"<b>{escape(self.name)}</b> version {self.version}{condition}"
        return page(title, table(("reads", "", "of", ""), rows, right=frozenset((1, 2))))


def explanation(name: str, plan: ScanPlan, where: str | None = None) -> Explanation:
    """What a plan touches."""
    return Explanation(
        name=name,
        version=plan.state.version,
        files=len(plan.files),
        files_total=plan.state.file_count,
        rows_max=plan.row_count_max,
        rows_total=plan.state.row_count,
        size_bytes=plan.size_bytes,
        size_bytes_total=plan.state.size_bytes,
        where=where,
    )


# --------------------------------------------------------------------------- HTML

_PAGE: Final = "max-height:32em;overflow:auto;line-height:1.5"
_TABLE: Final = (
    "border-collapse:collapse;margin:.5em 0;color:inherit;font-size:inherit;font-variant-numeric:tabular-nums"
)
_CELL: Final = "padding:.15em 1.2em .15em 0;background:transparent;border:0;vertical-align:top;overflow-wrap:anywhere"
_RULE: Final = "border-bottom:1px solid rgba(128,128,128,.5)"


def page(title: str, body: str) -> str:
    """A small page of HTML."""
    return f"<div style='{_PAGE}'><div>{title}</div>{body}</div>"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], right: frozenset[int] = frozenset()) -> str:
    """A table of HTML; columns whose place is in `right` hold numbers."""
    head = "".join(
        f"<th style='{_CELL};{_RULE};{_side(place, right)};font-weight:normal'>{_faint(title)}</th>"
        for place, title in enumerate(heads)
    )
    lines = (
        "".join(f"<td style='{_CELL};{_side(place, right)}'>{cell}</td>" for place, cell in enumerate(row))
        for row in rows
    )
    body = "".join(f"<tr style='background:transparent'>{line}</tr>" for line in lines)
    return f"<table style='{_TABLE}'><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _side(place: int, right: frozenset[int]) -> str:
    return "text-align:right;white-space:nowrap" if place in right else "text-align:left"


def _faint(html: str) -> str:
    return f"<span style='opacity:.65'>{html}</span>" if html else ""


def _unbroken(html: str) -> str:
    return f"<span style='white-space:nowrap'>{html}</span>"


def _bar(part: int, total: int) -> str:
    """A share as a bar of the text's own colour; what is there at all can be seen."""
    percent = 0 if not part else max(1, round(100 * part / total))
    return (
        "<div style='width:8em;height:.6em;margin-top:.45em;border:1px solid rgba(128,128,128,.5)'>"
        f"<div style='width:{percent}%;height:100%;background:currentColor;opacity:.6'></div></div>"
    )
