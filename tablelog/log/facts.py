"""What a log says about each of its commits, for people and for finding versions: as values and as rows of Arrow.

    added      version               files_added files_removed bytes_added    what the history shows
    id checksum timestamp operation  file_change row_change byte_change       what the totals of a version add up from
    info       JSON                  rows_added rows_deleted                  what the writer counted
    application number               a writer's own number for the commit; columns that few logs have

`row_change` and `byte_change` are null for commits that remove files without saying how large they were.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from tablelog.parquet.plain import scalar

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tablelog.log.blocks import Column
    from tablelog.log.parts import Step

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_COUNT_MAX: Final = (1 << 63) - 1
_WIDE: Final = pa.decimal128(38, 0)

_FACTS_TYPES: Final[dict[str, pa.DataType]] = {
    "added": pa.int64(),
    "id": pa.string(),
    "checksum": pa.string(),
    "timestamp": pa.timestamp("us", "UTC"),
    "operation": pa.string(),
    "info": pa.string(),
    "rows_added": pa.int64(),
    "rows_deleted": pa.int64(),
    "files_added": pa.int64(),
    "files_removed": pa.int64(),
    "bytes_added": pa.int64(),
    "file_change": pa.int64(),
    "row_change": pa.int64(),
    "byte_change": pa.int64(),
}
FACTS_SCHEMA: Final = pa.schema(_FACTS_TYPES)
_NUMBERS_TYPES: Final[dict[str, pa.DataType]] = {"added": pa.int64(), "application": pa.string(), "number": pa.int64()}
NUMBERS_SCHEMA: Final = pa.schema(_NUMBERS_TYPES)
OPTIONAL_FACTS: Final = {name: type_ for name, type_ in _NUMBERS_TYPES.items() if name not in _FACTS_TYPES}
"""Columns that are left out where no commit has a value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """One step of a table's history, as people see it."""

    version: int
    timestamp: datetime
    """When it was committed, UTC; later than every commit before."""
    operation: str
    rows_added: int
    rows_deleted: int
    files_added: int
    files_removed: int
    bytes_added: int
    info: Mapping[str, Any] = field(default_factory=dict)
    """Who did it, with what, and what they wanted to say."""
    id: str

    @property
    def rows(self) -> int:
        """Rows that the operation added, or deleted if it only deleted."""
        return self.rows_added or self.rows_deleted


@dataclass(frozen=True, slots=True)
class Totals:
    """Files, rows and bytes that commits add to a table, less what they remove; None where nobody said how many."""

    file_count: int = 0
    row_count: int | None = 0
    size_bytes: int | None = 0

    def __add__(self, other: Totals) -> Totals:
        """Both together."""
        return Totals(
            self.file_count + other.file_count,
            _sum(self.row_count, other.row_count),
            _sum(self.size_bytes, other.size_bytes),
        )


def _sum(left: int | None, right: int | None) -> int | None:
    return None if left is None or right is None else left + right


def datetime_of(timestamp_us: int) -> datetime:
    """A count of microseconds since 1970-01-01 UTC as a datetime with a zone; clipped to what datetime can say."""
    try:
        return EPOCH + timedelta(microseconds=timestamp_us)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC) if timestamp_us > 0 else datetime.min.replace(tzinfo=UTC)


def commit_of(step: Step) -> Commit:
    """A commit as people see it."""
    record = step.record
    return Commit(
        version=record.version,
        timestamp=datetime_of(record.timestamp_us),
        operation=record.operation,
        rows_added=_count(record.info, "rows_added"),
        rows_deleted=_count(record.info, "rows_deleted"),
        files_added=step.files_added,
        files_removed=step.files_removed,
        bytes_added=min(step.bytes_added, _COUNT_MAX),
        info={key: value for key, value in record.info.items() if key not in {"rows_added", "rows_deleted"}},
        id=record.id,
    )


def facts_table(steps: Sequence[Step]) -> pa.Table:
    """Commits as rows."""
    numbered = any(step.application for step in steps)
    schema = pa.schema([*FACTS_SCHEMA, *(list(NUMBERS_SCHEMA)[1:] if numbered else ())])
    return pa.Table.from_pylist([_fact(step) for step in steps], schema=schema)


def _fact(step: Step) -> dict[str, Any]:
    commit, totals = commit_of(step), step.totals
    return {
        "added": commit.version,
        "id": commit.id,
        "checksum": step.record.checksum,
        "timestamp": max(-_COUNT_MAX, min(step.record.timestamp_us, _COUNT_MAX)),
        "operation": commit.operation,
        "info": json.dumps(commit.info, ensure_ascii=False, separators=(",", ":")),
        "rows_added": commit.rows_added,
        "rows_deleted": commit.rows_deleted,
        "files_added": commit.files_added,
        "files_removed": commit.files_removed,
        "bytes_added": commit.bytes_added,
        "file_change": totals.file_count,
        "row_change": _if_it_fits(totals.row_count),
        "byte_change": _if_it_fits(totals.size_bytes),
        "application": step.application.name if step.application else None,
        "number": step.application.number if step.application else None,
    }


def commits_of(facts: pa.Table) -> Iterator[Commit]:
    """Rows as commits."""
    plain = facts.set_column(
        facts.column_names.index("timestamp"), "timestamp", facts.column("timestamp").cast(pa.int64())
    )
    for row in plain.to_pylist():
        yield Commit(
            version=row["added"],
            timestamp=datetime_of(row["timestamp"]),
            operation=row["operation"],
            rows_added=row["rows_added"],
            rows_deleted=row["rows_deleted"],
            files_added=row["files_added"],
            files_removed=row["files_removed"],
            bytes_added=row["bytes_added"],
            info=json.loads(row["info"]),
            id=row["id"],
        )


def totals_until(facts: Mapping[str, Column], version: int) -> Totals:
    """What the commits up to a version add up to; `facts` has their versions and changes."""
    until = pc.less_equal(facts["added"], scalar(version, pa.int64()))
    changes = [facts[name].filter(until) for name in ("file_change", "row_change", "byte_change")]
    files, rows, size = (exact_sum(change) for change in changes)
    return Totals(files or 0, rows, size)


def exact_sum(counts: Column) -> int | None:
    """The sum of whole numbers, which Arrow would let overflow; None if one is missing."""
    return None if counts.null_count else int(pc.sum(counts.cast(_WIDE)).as_py() or 0)


def _if_it_fits(count: int | None) -> int | None:
    return None if count is None or abs(count) > _COUNT_MAX else count


def _count(info: Mapping[str, Any], name: str) -> int:
    value = info.get(name, 0)
    return value if isinstance(value, int) and 0 <= value <= _COUNT_MAX else 0
