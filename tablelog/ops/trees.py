"""The files of a table by the tree that they belong to: one per partition. Found column by column, not file by file."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from tablelog.log.file_rows import partition_text
from tablelog.ops.policy import CUBE_LEVEL, PURGE
from tablelog.parquet.plain import ints, scalar

if TYPE_CHECKING:
    from collections.abc import Callable

    from tablelog.format.actions import AddFile
    from tablelog.log.blocks import Block, Column
    from tablelog.log.metadata import Metadata
    from tablelog.log.state import TableState
    from tablelog.ops.policy import Policy


def _tree_of(file: AddFile) -> tuple[int, str | None]:
    """Which tree a file belongs to: its partitioning, and its values as the log has them."""
    return file.partitioning_id, partition_text(file)


def partitions(state: TableState, policy: Policy, *, ordered: bool) -> list[list[AddFile]]:
    """Files that matter, partition by partition, those first of which there are most."""
    if not ordered:
        sifting = _Sifting(lambda block: _unfit(block, policy, state.metadata))
    else:
        restless = None if policy.full else _restless(state, policy)
        sifting = _Sifting(lambda block: _in_partitions(block, restless))
    trees: dict[tuple[int, str | None], list[AddFile]] = defaultdict(list)
    for file in state.files_for(sifting):
        trees[_tree_of(file)].append(file)
    if ordered and restless is not None:
        trees = defaultdict(list, {tree: files for tree, files in trees.items() if tree in restless})
    return sorted(trees.values(), key=len, reverse=True)


@dataclass(frozen=True, slots=True)
class _Sifting:
    """A `Narrowing` by what kind of files they are: the columns of blocks are asked, not files one by one."""

    of_block: Callable[[Block], Column | None]

    @property
    def field_ids(self) -> tuple[int, ...]:
        """See `Narrowing`."""
        return ()

    def rules_out(self, block: Block) -> bool:  # noqa: ARG002 - sizes are read to tell
        """See `Narrowing`."""
        return False

    def columns(self, block: Block) -> tuple[str, ...]:
        """See `Narrowing`."""
        return tuple(name for name in _COLUMNS if name in block.column_names)

    def mask(self, block: Block) -> Column | None:
        """See `Narrowing`."""
        return self.of_block(block)


_COLUMNS: Final = ("path", "size", "rows", "deleted", "level", "partitioning", "partition")


def _number(block: Block, name: str) -> Column:
    """An optional column of counts, 0 where there is none."""
    column = block.column(name)
    return ints([0] * block.row_count) if column is None else column.fill_null(scalar(0, pa.int64()))


def _unfit(block: Block, policy: Policy, metadata: Metadata) -> Column:
    """Files that are small, or have many deleted rows; with a curve also those that are not clustered yet."""
    small = pc.less(_number(block, "size"), scalar(policy.full_bytes, pa.int64()))
    if policy.full and metadata.curve:
        return pc.greater_equal(_number(block, "size"), scalar(0, pa.int64()))
    deleted = _number(block, "deleted")
    limit = scalar(0.0 if policy.full else PURGE, pa.float64())
    unfit = pc.or_(small, pc.greater(deleted.cast(pa.float64()), pc.multiply(_number(block, "rows"), limit)))
    if policy.full:
        now = scalar(metadata.partitioning.id, pa.int64())
        unfit = pc.or_(unfit, pc.not_equal(_number(block, "partitioning"), now))
    if metadata.curve:
        unfit = pc.or_(unfit, pc.less(_number(block, "level"), scalar(CUBE_LEVEL, pa.int64())))
    return unfit


def _in_partitions(block: Block, trees: frozenset[tuple[int, str | None]] | None) -> Column | None:
    if trees is None:
        return None
    wanted = pc.is_in(_number(block, "partitioning"), value_set=ints({number for number, _ in trees}))
    texts = [text for _, text in trees]
    if None in texts:
        return wanted
    return pc.and_(wanted, pc.is_in(block.columns(("partition",))["partition"], value_set=pa.array(texts, pa.string())))


def _restless(state: TableState, policy: Policy) -> frozenset[tuple[int, str | None]]:
    """Partitions in which something may be worth doing, from the sums of what each has on each level."""
    files = state.file_columns(_COLUMNS)
    deleted, level = (files.column(name).fill_null(scalar(0, pa.int64())) for name in ("deleted", "level"))
    purged = pc.greater(deleted.cast(pa.float64()), pc.multiply(files.column("rows"), PURGE))
    sums = (
        files.drop_columns(["level"])
        .append_column("level", level)
        .append_column("purged", purged.cast(pa.int64()))
        .group_by(["partitioning", "partition", "level"])
        .aggregate([("size", "sum"), ("size", "count"), ("purged", "max")])
    )
    return frozenset(
        (row["partitioning"], row["partition"])
        for row in sums.to_pylist()
        if row["purged_max"]
        or (
            row["size_count"] > policy.pieces
            if row["level"] == 0
            else row["size_sum"] > policy.room_bytes(row["level"])
        )
    )
