"""Which files had better be merged: a state and a policy in, a choice out. `ops.compact` does it.

The files of a table are the levels of a log-structured merge tree, one tree per partition. Level 0 is what writers
wrote.

    no order       small files, by size:    ten of one size ─▶ one of the next ─▶ … ─▶ full-sized, never touched again
    order or key   0  ▪ ▪ ▪ ▪                as written; they overlap
                   1  ▬▬ ▬▬                  sorted, and no two overlap; 10 times more bytes from level to level
                   2  ▬▬▬▬ ▬▬▬▬ ▬▬▬▬
    a curve        small files by size; then full-sized ones once more, sixteen at a time

Level n has room for `unit · 10ⁿ` bytes, a unit being 1/1024 of the target size of files. What level 0 has is merged
into the level with room for as much, together with the files there, and in the levels between, that overlap it. A level
that has too much hands a run of neighbours of about one target size to the next one, with what they overlap there: the
run for which that is least. So a step reads about 11 targets, and a row whose key is anywhere is written about 11 / 2
times on each level, one whose key grows once (O'Neil et al., The log-structured merge-tree, Acta Informatica 1996).

Readers never merge, so levels are advice and nothing depends on them: files of one level that overlap after all (two
compactions at once, a restored version, another sort order) part when they are merged the next time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tablelog.ops.levelling import Levels
from tablelog.ops.policy import Compaction, Merge
from tablelog.ops.tiering import by_size, moved_over, whole_by_size
from tablelog.ops.trees import partitions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tablelog.format.actions import AddFile
    from tablelog.log.metadata import Metadata
    from tablelog.log.state import TableState
    from tablelog.ops.policy import Policy


def choose(state: TableState, policy: Policy) -> Compaction | None:
    """The next step; None if nothing is worth doing. A pure function: reads nothing but the log."""
    metadata = state.metadata
    trees = partitions(state, policy, ordered=_has_levels(metadata))
    older = [files for files in trees if files[0].partitioning_id != metadata.partitioning.id]
    merges: list[Merge] = []
    moves: list[tuple[AddFile, int]] = []
    size_bytes = 0
    for files in older if policy.full and older else trees:
        found = _in_partition(files, metadata, policy)
        reads = 0 if found is None else sum(merge.size_bytes for merge in found.merges)
        if found is None or (size_bytes and size_bytes + reads > policy.step_bytes):
            continue
        merges += found.merges
        moves += found.moves
        size_bytes += reads
    return Compaction(tuple(merges), tuple(moves)) if merges or moves else None


def _has_levels(metadata: Metadata) -> bool:
    return bool(metadata.order) and not metadata.curve


def _in_partition(files: Sequence[AddFile], metadata: Metadata, policy: Policy) -> Compaction | None:
    is_older = files[0].partitioning_id != metadata.partitioning.id
    if policy.full and is_older:
        return moved_over(files, metadata, policy)
    if policy.full:
        return (
            Levels(files, metadata, policy).whole() if _has_levels(metadata) else whole_by_size(files, metadata, policy)
        )
    if _has_levels(metadata) and not is_older:
        return Levels(files, metadata, policy).next()
    return by_size(files, metadata, policy)
