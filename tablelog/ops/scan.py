"""Which files a scan must open: a state and a predicate in, a plan out.

A file is left out only if its statistics, its partition values or its key filter prove that no row of it makes the
predicate TRUE.
Files that stand in segments are looked at column by column first (`ops.pruning`), then, those that are left, one by
one like all others.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from tablelog.format.layout import Layout, group_by_layout
from tablelog.format.predicate import ALWAYS, Truth
from tablelog.log.files import Files
from tablelog.ops.buckets import Buckets
from tablelog.ops.known import Known
from tablelog.ops.pruning import Pruning
from tablelog.ops.sought import sought_by

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tablelog.format.actions import AddFile
    from tablelog.format.predicate import Predicate
    from tablelog.format.types import Field
    from tablelog.log.state import TableState
    from tablelog.ops.sought import SoughtKeys


@dataclass(frozen=True)
class ScanPlan:
    """What to read of one version of a table."""

    state: TableState
    fields: tuple[Field, ...]
    """Wanted columns, in the order wanted."""
    predicate: Predicate
    files: Sequence[AddFile]
    """Files that may hold a matching row, in the table's order."""

    @cached_property
    def layouts(self) -> tuple[Layout, ...]:
        """The files by where they have the wanted columns."""
        return group_by_layout(self.fields, self.files, self.state.metadata.schemas)

    @cached_property
    def numbered_files(self) -> tuple[AddFile, ...]:
        """The files, layout by layout: the order in which engines number them where a row's place is asked for."""
        return tuple(file for layout in self.layouts for file in layout.files)

    @property
    def row_count_max(self) -> int:
        """Rows in the files to read: no scan gives more."""
        return (
            self.files.row_count if isinstance(self.files, Files) else sum(file.live_row_count for file in self.files)
        )

    @property
    def size_bytes(self) -> int:
        """Bytes of the files to read."""
        return self.files.size_bytes if isinstance(self.files, Files) else sum(file.size_bytes for file in self.files)


def plan_scan(
    state: TableState,
    fields: tuple[Field, ...] | None = None,
    predicate: Predicate = ALWAYS,
    limit: int | None = None,
    *,
    sought: SoughtKeys | None = None,
) -> ScanPlan:
    """The files that a scan for `predicate` must open, and no more of them than `limit` rows need.

    `limit` counts only where there is no predicate: what a filter leaves over is not known beforehand. `sought` are the
    only keys that are wanted, where more is known of them than the predicate says.
    """
    files: Sequence[AddFile]
    if predicate != ALWAYS:
        files = matching(state, predicate, sought or sought_by(state.metadata, predicate))
    else:
        files = state.files if limit is None else tuple(_first_rows(state.files, limit))
    return ScanPlan(state, state.schema.fields if fields is None else fields, predicate, files)


def matching(state: TableState, predicate: Predicate, sought: SoughtKeys | None) -> tuple[AddFile, ...]:
    """The files that may hold a row for which a predicate is TRUE, and one of some keys if those are given."""
    buckets, known = Buckets(state.metadata, predicate), Known(state.metadata)
    return tuple(
        file
        for file in state.files_for(Pruning(state.metadata, predicate, buckets, sought))
        if Truth.TRUE in known.outcomes(predicate, file)
        and buckets.may_hold(file.partitioning_id, file.schema_id, file.partition_values)
        and (sought is None or sought.may_be_in(file))
    )


def _first_rows(files: Iterable[AddFile], limit: int) -> Iterator[AddFile]:
    remaining = limit
    for file in files:
        if remaining <= 0:
            return
        yield file
        remaining -= file.live_row_count
