"""Files merged by their size: tables without an order, and the small files of all others."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from tablelog.ops.policy import (
    CUBE_FILES,
    CUBE_LEVEL,
    FAN_OUT,
    TAIL_FILES,
    Compaction,
    Merge,
    first_step,
    is_small,
    is_to_purge,
    size_bytes,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tablelog.format.actions import AddFile
    from tablelog.log.metadata import Metadata
    from tablelog.ops.policy import Policy


def by_size(files: Sequence[AddFile], metadata: Metadata, policy: Policy) -> Compaction | None:
    """Small files of about one size together, and files without what is deleted of them."""
    sorts = bool(metadata.order)
    small = [file for file in files if is_small(file, policy)]
    chosen = of_a_size(small, policy) if policy.tiers else _worth_it(small, policy)
    merges: list[Merge] = []
    if chosen:
        is_at_home = metadata.curve or not sorts or chosen[0].partitioning_id == metadata.partitioning.id
        level = policy.level_for(size_bytes(chosen)) if is_at_home else 0
        merges.append(Merge(chosen, level, sorts))
    if metadata.curve:
        cube = [file for file in files if file.level < CUBE_LEVEL and not is_small(file, policy)][:CUBE_FILES]
        if len(cube) == CUBE_FILES and size_bytes(cube) <= 2 * policy.step_bytes:
            merges.append(Merge(tuple(cube), CUBE_LEVEL, sorts))
    merged = {file.path for merge in merges for file in merge.files}
    merges += [Merge((file,), file.level) for file in files if is_to_purge(file) and file.path not in merged]
    return Compaction(tuple(merges)) if merges else None


def of_a_size(small: Sequence[AddFile], policy: Policy) -> tuple[AddFile, ...]:
    """All small files up to the largest size of which there are as many as make one of the next size."""
    sizes: dict[int, int] = defaultdict(int)
    for file in small:
        sizes[_size_of(file, policy)] += 1
    due = [size for size, count in sizes.items() if count > (FAN_OUT - 1 if size else policy.pieces)]
    if not due:
        return ()
    return first_step([file for file in small if _size_of(file, policy) <= max(due)], policy)


def _size_of(file: AddFile, policy: Policy) -> int:
    """Which size a file has: 0 for a piece as it was written, however small what it became is."""
    is_piece = file.is_inlined or (file.level == 0 and file.size_bytes <= policy.unit_bytes)
    return 0 if is_piece else policy.level_for(file.size_bytes)


def _worth_it(small: Sequence[AddFile], policy: Policy) -> tuple[AddFile, ...]:
    """The small files without those that are more than ten times what they would be put together with."""
    by_size = sorted(small, key=lambda file: file.size_bytes)
    total_bytes, count = 0, 0
    for place, file in enumerate(by_size):
        weight = max(file.size_bytes, policy.unit_bytes)
        if weight <= FAN_OUT * total_bytes:
            count = place + 1
        total_bytes += weight
    if not count:
        return tuple(file for file in small if file.is_inlined)
    paths = {file.path for file in by_size[:count]}
    return first_step([file for file in small if file.path in paths or file.is_inlined], policy)


def moved_over(files: Sequence[AddFile], metadata: Metadata, policy: Policy) -> Compaction:
    """All of a partition of an older partitioning, split as the table is now."""
    level = CUBE_LEVEL + 1 if metadata.curve else policy.level_for(size_bytes(files))
    return Compaction((Merge(tuple(files), level, sorts=bool(metadata.order)),))


def whole_by_size(files: Sequence[AddFile], metadata: Metadata, policy: Policy) -> Compaction | None:
    """Everything that is not as it would be in an ideal copy."""
    if metadata.curve:
        small = [file for file in files if is_small(file, policy)]
        done = all(file.level > CUBE_LEVEL and not file.deleted for file in files) and len(small) <= TAIL_FILES
        return None if done else Compaction((Merge(tuple(files), CUBE_LEVEL + 1, sorts=True),))
    found = tuple(file for file in files if is_small(file, policy) or file.deleted)
    if len(found) <= 1 and not any(file.is_inlined or file.deleted for file in found):
        return None
    return Compaction((Merge(found, policy.level_for(size_bytes(found)), sorts=bool(metadata.order)),))
