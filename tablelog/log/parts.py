"""The parts that a log's history consists of: single commits, and segments, in which many are merged.

    0 ─────────── segment ─────────── 255   256 ── segment ── 271   272 step   273 step

Parts follow one another without a gap. A part knows for every version inside it which of the files that it brought are
live there, and which files of parts before it it takes away. So the table at version v is what the parts up to v
brought, less what later ones of them take away: one structure answers for every version, and nothing in it ever
changes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from tablelog.log.commits import head_of
from tablelog.log.facts import NUMBERS_SCHEMA, Totals, exact_sum, facts_table, totals_until
from tablelog.parquet.plain import scalar

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tablelog.format.actions import AddFile, RemoveFile, SetApplication
    from tablelog.format.commits import CommitRecord
    from tablelog.log.blocks import Block, Column
    from tablelog.log.commits import Head
    from tablelog.parquet.sealed import Sealed

_REMOVE_TYPES: Final[dict[str, pa.DataType]] = {"path": pa.string(), "removed": pa.int64()}
REMOVE_SCHEMA: Final = pa.schema(_REMOVE_TYPES)


@dataclass(frozen=True, slots=True)
class Change:
    """An action that is not about a file."""

    version: int
    action: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Rows:
    """A block of files, of which some may not be live at a version."""

    block: Block
    begins: bool = False
    """Whether some may be added later."""
    ends: bool = False
    """Whether some may be removed by then."""

    def mask_at(self, version: int) -> Column | None:
        """Which of its rows are live there, as far as their part knows; None for all."""
        mask = (
            pc.less_equal(self.block.columns(("added",))["added"], scalar(version, pa.int64())) if self.begins else None
        )
        if not self.ends:
            return mask
        alive = pc.greater(self.block.columns(("removed",))["removed"], scalar(version, pa.int64()))
        return alive if mask is None else pc.and_(mask, alive)


@dataclass(frozen=True, kw_only=True)
class Step:
    """One commit."""

    record: CommitRecord
    """Without its file actions."""
    added: tuple[AddFile, ...] = ()
    removed: tuple[RemoveFile, ...] = ()
    changes: tuple[Change, ...] = ()
    blocks: tuple[Block, ...] = ()
    """Files that it added and keeps in an object of their own."""
    removed_blocks: tuple[Block, ...] = ()
    """Files that it removed and keeps there."""
    application: SetApplication | None = None
    """The writer's own number for it."""

    @property
    def first(self) -> int:
        """The version."""
        return self.record.version

    @property
    def last(self) -> int:
        """The version."""
        return self.record.version

    @property
    def head(self) -> Head:
        """What a next commit must build on."""
        return head_of(self.record)

    @property
    def parent(self) -> str | None:
        """Checksum of the commit before."""
        return self.record.parent

    @property
    def first_timestamp_us(self) -> int:
        """When it was committed."""
        return self.record.timestamp_us

    @property
    def is_held(self) -> bool:
        """Whether everything about it is in memory."""
        return not self.blocks and not self.removed_blocks

    @cached_property
    def renewed(self) -> frozenset[str]:
        """Paths that it both removes and adds: of files of which other rows are deleted from here on."""
        added = {file.path for file in self.added}.union(*map(_paths, self.blocks))
        return frozenset(
            added.intersection({file.path for file in self.removed}.union(*map(_paths, self.removed_blocks)))
        )

    @cached_property
    def files_added(self) -> int:
        """How many files it added."""
        return len(self.added) + sum(block.row_count for block in self.blocks) - len(self.renewed)

    @cached_property
    def files_removed(self) -> int:
        """How many files it removed."""
        return len(self.removed) + sum(block.row_count for block in self.removed_blocks) - len(self.renewed)

    @cached_property
    def bytes_added(self) -> int:
        """Bytes of the files that it added."""
        size = sum(file.size_bytes for file in self.added if file.path not in self.renewed)
        for block in self.blocks:
            sizes = block.columns(("size",))["size"].to_pylist()
            paths = block.columns(("path",))["path"].to_pylist() if self.renewed else sizes
            size += sum(each for each, path in zip(sizes, paths, strict=True) if path not in self.renewed)
        return size

    @cached_property
    def totals(self) -> Totals:
        """What it adds to the table, less what it removes."""
        blocks = self.removed_blocks
        rows_removed = _sum_known(
            *(file.row_count for file in self.removed), *(_total(each, "rows") for each in blocks)
        )
        bytes_removed = _sum_known(
            *(file.size_bytes for file in self.removed), *(_total(each, "size") for each in blocks)
        )
        rows_added = sum(file.live_row_count for file in self.added)
        rows_added += sum((_total(each, "rows") or 0) - deleted_rows(each) for each in self.blocks)
        bytes_added = sum(file.size_bytes for file in self.added) + sum(
            _total(each, "size") or 0 for each in self.blocks
        )
        return Totals(
            self.files_added - self.files_removed,
            None if rows_removed is None else rows_added - rows_removed,
            None if bytes_removed is None else bytes_added - bytes_removed,
        )

    def totals_at(self, version: int) -> Totals:  # noqa: ARG002 - it is one version
        """See `Segment.totals_at`."""
        return self.totals

    def rows_at(self, version: int) -> Iterator[Rows]:  # noqa: ARG002
        """See `Segment.rows_at`."""
        return (Rows(block) for block in self.blocks)

    def removed_at(self, version: int) -> Iterator[Column]:  # noqa: ARG002
        """See `Segment.removed_at`."""
        if self.removed:
            yield pa.array([file.path for file in self.removed], pa.string())
        for block in self.removed_blocks:
            yield block.columns(("path",))["path"]

    def facts(self, names: tuple[str, ...]) -> pa.Table:
        """See `Segment.facts`."""
        return facts_table([self]).select(list(names))

    def numbers(self) -> pa.Table:
        """Which numbers writers gave to its commits: `added`, `application`, `number`; null where they gave none."""
        return (
            facts_table([self]).select(NUMBERS_SCHEMA.names)
            if self.application
            else pa.Table.from_batches([], NUMBERS_SCHEMA)
        )


@dataclass(frozen=True, kw_only=True)
class Segment:
    """Many commits, merged; see `log.merging` for how, and `log.segments` for its bytes."""

    first: int
    last: int
    parent: str | None
    """Checksum of the commit before the first."""
    head: Head
    """What a commit after the last must build on."""
    first_timestamp_us: int
    """When the first commit was made, or the first whose facts are kept."""
    totals: Totals
    is_base: bool = False
    changes: tuple[Change, ...] = ()
    """In the order of the log."""
    live: tuple[Block, ...] = ()
    """Files added here that are live after the last commit."""
    dead: tuple[Block, ...] = ()
    """Files added and removed here."""
    removals: tuple[Block, ...] = ()
    """Files removed here that were added before."""
    facts_blocks: tuple[Block, ...] = ()
    sealed: Sealed | None = field(default=None, repr=False)
    """The object that it was read from."""

    @property
    def is_held(self) -> bool:
        """Whether everything about it is in memory."""
        return self.sealed is None

    @property
    def added(self) -> tuple[AddFile, ...]:
        """Files that are values: none."""
        return ()

    def totals_at(self, version: int) -> Totals:
        """What its commits up to a version add to the table, less what they remove."""
        if version >= self.last:
            return self.totals
        total = Totals()
        for block in self.facts_blocks:
            total += totals_until(block.columns(("added", "file_change", "row_change", "byte_change")), version)
        return total

    def rows_at(self, version: int) -> Iterator[Rows]:
        """Files that it brought and had not removed at a version, block by block."""
        inside = version < self.last
        yield from (Rows(block, begins=inside) for block in self.live)
        yield from (Rows(block, begins=True, ends=True) for block in self.dead if inside)

    def removed_at(self, version: int) -> Iterator[Column]:
        """Paths of files of earlier parts that it had removed at a version."""
        for block in self.removals:
            columns = block.columns(("path", "removed"))
            whole = version >= self.last
            yield (
                columns["path"]
                if whole
                else columns["path"].filter(pc.less_equal(columns["removed"], scalar(version, pa.int64())))
            )

    def facts(self, names: tuple[str, ...]) -> pa.Table:
        """Facts about its commits, oldest first; see `log.facts`."""
        return pa.concat_tables(pa.table(block.columns(names)) for block in self.facts_blocks)

    def numbers(self) -> pa.Table:
        """See `Step.numbers`."""
        tables = [block.table(NUMBERS_SCHEMA.names) for block in self.facts_blocks if "number" in block.column_names]
        return pa.concat_tables(tables or [pa.Table.from_batches([], NUMBERS_SCHEMA)])


Part = Step | Segment


def deleted_rows(block: Block) -> int:
    """Rows of its files that are not in the table any more."""
    deleted = block.column("deleted")
    return 0 if deleted is None else int(pc.sum(deleted).as_py() or 0)


def _paths(block: Block) -> list[str]:
    paths: list[str] = block.columns(("path",))["path"].to_pylist()
    return paths


def _total(block: Block, column: str) -> int | None:
    """Sum of a column; None if a value is missing."""
    return exact_sum(block.columns((column,))[column])


def _sum_known(*counts: int | None) -> int | None:
    """The sum; None if one is missing."""
    known = [each for each in counts if each is not None]
    return sum(known) if len(known) == len(counts) else None
