"""When merging files is worth it, and what a step of compaction is; `ops.compaction` has the theory."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tablelog.errors import InvalidError
from tablelog.ops.write import target_file_size_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tablelog.format.actions import AddFile

FAN_OUT: Final = 10
"""How much more room each level has than the one above, and how many files of one size become one."""
FULL: Final = 0.5
"""Of the target size: files that are as large are not put together with others any more."""
PURGE: Final = 0.25
"""The share of deleted rows from which on a file is written again without them."""
CUBE_FILES: Final = 16
"""Full-sized files that are clustered together along a curve."""
CUBE_LEVEL: Final = 5
"""The level of those; what a full compaction clusters is one deeper."""
TAIL_FILES: Final = 2
"""Files of less than half the target size that a sorted run may end with: its last two share what is left."""
_UNITS: Final = 1024
_STEP_TARGETS: Final = 16
_PIECES_MAX: Final = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """When merging is worth it."""

    target_bytes: int
    step_bytes: int
    """About what one step may read."""
    pieces: int
    """Files, or rows inside the log, that may lie side by side at level 0 of a partition."""
    tiers: bool
    """Whether small files wait for nine others of their size; else they are merged unless it moves much for little."""
    full: bool = False
    """Whether everything becomes one run."""

    @property
    def full_bytes(self) -> int:
        """A file as large as that is full-sized."""
        return int(self.target_bytes * FULL)

    @property
    def unit_bytes(self) -> int:
        """Smaller files cost as much as one of this size."""
        return max(self.target_bytes // _UNITS, 1)

    def room_bytes(self, level: int) -> int:
        """What a level has room for."""
        return int(self.unit_bytes * FAN_OUT**level)

    def level_for(self, size_bytes: int) -> int:
        """The level with room for so much; 1 at least.

        >>> [thorough({}).level_for(size) for size in (0, 655_360, 655_361, 60_000_000, 10**9)]
        [1, 1, 2, 3, 5]
        """
        return max(1, math.ceil(math.log(max(size_bytes, 1) / self.unit_bytes, FAN_OUT) - 1e-9))


AUTO_COMPACT: Final = "auto_compact"


def compacts_itself(properties: Mapping[str, str]) -> bool:
    """Whether writers put files together in passing, from a table's properties; they do unless told not to.

    Raises:
        InvalidError: the property is neither `on` nor `off`.

    """
    text = properties.get(AUTO_COMPACT, "on")
    if text not in {"on", "off"}:
        raise InvalidError(f"property {AUTO_COMPACT} is {text!r}; it must be 'on' or 'off'")
    return text == "on"


def thorough(properties: Mapping[str, str], *, full: bool = False) -> Policy:
    """For somebody who asks for it: whatever is worth it, in steps of up to 16 targets."""
    target = target_file_size_bytes(properties)
    return Policy(target_bytes=target, step_bytes=_STEP_TARGETS * target, pieces=0, tiers=False, full=full)


def frugal(properties: Mapping[str, str]) -> Policy:
    """For a writer in passing: when there are many pieces, and one target at most."""
    target = target_file_size_bytes(properties)
    return Policy(target_bytes=target, step_bytes=target, pieces=_PIECES_MAX, tiers=True)


@dataclass(frozen=True, slots=True)
class Merge:
    """Files of one partition that become others."""

    files: tuple[AddFile, ...]
    level: int
    """Of the files that they become."""
    sorts: bool = False
    """Whether their rows are put in the table's order; else they stay in that of the files."""

    @property
    def size_bytes(self) -> int:
        """What it reads."""
        return size_bytes(self.files)


@dataclass(frozen=True, slots=True)
class Compaction:
    """One step."""

    merges: tuple[Merge, ...] = ()
    moves: tuple[tuple[AddFile, int], ...] = ()
    """Files that change their level and stay as they are."""

    @property
    def files(self) -> Iterator[tuple[AddFile, int]]:
        """All files that it is about, and the level that their rows get."""
        yield from ((file, merge.level) for merge in self.merges for file in merge.files)
        yield from self.moves

    @property
    def row_count(self) -> int:
        """Rows that are written again."""
        return sum(file.live_row_count for merge in self.merges for file in merge.files)


def size_bytes(files: Iterable[AddFile]) -> int:
    """Bytes of files."""
    return sum(file.size_bytes for file in files)


def is_small(file: AddFile, policy: Policy) -> bool:
    """Whether a file is not full-sized yet."""
    return file.is_inlined or file.size_bytes < policy.full_bytes


def is_to_purge(file: AddFile) -> bool:
    """Whether too many of its rows are deleted."""
    return file.deleted_row_count > file.row_count * PURGE


def first_step(files: Iterable[AddFile], policy: Policy) -> tuple[AddFile, ...]:
    """The first of some files, as many as one step may read; two at least."""
    taken: list[AddFile] = []
    read_bytes = 0
    for file in files:
        if len(taken) > 1 and read_bytes + file.size_bytes > policy.step_bytes:
            break
        taken.append(file)
        read_bytes += file.size_bytes
    return tuple(taken)
