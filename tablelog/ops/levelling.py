"""Files merged by their range: tables with an order, partition by partition."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING

from tablelog.ops.policy import (
    FAN_OUT,
    TAIL_FILES,
    Compaction,
    Merge,
    first_step,
    is_small,
    is_to_purge,
    size_bytes,
)
from tablelog.ops.spans import span_of, sure_span_of
from tablelog.ops.tiering import of_a_size

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tablelog.format.actions import AddFile
    from tablelog.log.metadata import Metadata
    from tablelog.ops.policy import Policy
    from tablelog.ops.spans import Span


class Levels:
    """The tree of one partition of a table with an order."""

    def __init__(self, files: Sequence[AddFile], metadata: Metadata, policy: Policy) -> None:
        self._policy = policy
        self._files = files
        self._metadata = metadata
        self._spans = {file.path: span_of(file, metadata) for file in files}
        self._levels: dict[int, list[AddFile]] = defaultdict(list)
        for file in files:
            self._levels[file.level].append(file)
        for level, members in self._levels.items():
            if level:
                members.sort(key=lambda file: (self._spans[file.path].low, file.path))

    def next(self) -> Compaction | None:
        """What helps most: levels into their budgets before more comes to them, then what is deleted.

        A writer in passing, who does one step, first does something about level 0, which readers suffer from.
        """
        turns = (self._from_zero, self._from_above) if self._policy.tiers else (self._from_above, self._from_zero)
        for turn in turns:
            if (found := turn()) is not None:
                return found
        merges = tuple(Merge((file,), file.level) for file in self._files if file.level and is_to_purge(file))
        return Compaction(merges) if merges else None

    def whole(self) -> Compaction | None:
        """One run of all of it, unless it is one."""
        runs = [files for files in self._levels.values() if files]
        small = sum(is_small(file, self._policy) for file in self._files)
        is_clean = not self._levels[0] and not any(file.deleted for file in self._files)
        if len(runs) == 1 and is_clean and small <= TAIL_FILES:
            spans = sorted(
                (sure_span_of(file, self._metadata) for file in runs[0]), key=lambda span: (span.low, span.high)
            )
            if not any(left.meets(right) for left, right in pairwise(spans)):
                return None
        return Compaction((Merge(tuple(self._files), self._policy.level_for(size_bytes(self._files)), sorts=True),))

    def _from_zero(self) -> Compaction | None:
        """Level 0, as much of it as one step may merge, into the level that has room for it."""
        zero = self._levels[0]
        if len(zero) <= self._policy.pieces:
            return None
        pieces = first_step(zero, self._policy)
        while True:
            free = [file for file in pieces if not is_small(file, self._policy) and self._is_alone(file, pieces)]
            rest = tuple(file for file in pieces if file not in free)
            level, below = self._beneath(rest)
            if len(rest) <= 1 or size_bytes((*rest, *below)) <= self._policy.step_bytes:
                break
            pieces = pieces[: (len(pieces) + 1) // 2]
        deepest = self._policy.level_for(size_bytes(self._files))
        moves = tuple((file, deepest) for file in free)
        if not rest:
            return Compaction((), moves)
        if self._policy.tiers and not self._is_cheap(rest, below):
            chosen = of_a_size([file for file in zero if is_small(file, self._policy)], self._policy)
            merges = (Merge(chosen, 0, sorts=True),) if chosen else ()
            return Compaction(merges, moves) if merges or moves else None
        return Compaction((Merge((*rest, *below), level, sorts=True),), moves)

    def _beneath(self, rest: Sequence[AddFile]) -> tuple[int, tuple[AddFile, ...]]:
        """The level with room for some files, and the files there and above that overlap them."""
        level = self._policy.level_for(size_bytes(rest))
        below: list[AddFile] = []
        if not rest:
            return level, ()
        span = self._span(rest)
        for each in range(1, level + 1):
            met = [file for file in self._levels[each] if self._meets(file, span)]
            below += met
            span = span.with_(self._spans[file.path] for file in met)
        return level, tuple(below)

    def _is_cheap(self, rest: Sequence[AddFile], below: Sequence[AddFile]) -> bool:
        """Whether files may be merged into their level in passing: levels in their budgets are not larger than that."""
        weight = max(size_bytes(rest), self._policy.unit_bytes)
        return size_bytes((*rest, *below)) <= min(self._policy.step_bytes, (FAN_OUT + 2) * weight)

    def _from_above(self) -> Compaction | None:
        """The first level that has more than it has room for, and a way to be rid of it."""
        for level in sorted(self._levels):
            if level and size_bytes(self._levels[level]) > self._policy.room_bytes(level):
                found = self._down(level)
                if found is not None:
                    return found
        return None

    def _down(self, level: int) -> Compaction | None:
        """A run of neighbours to the next level, with what they overlap there."""
        files, below = self._levels[level], self._levels[level + 1]
        wanted_bytes = min(self._policy.room_bytes(level), self._policy.target_bytes)
        best: tuple[float, tuple[AddFile, ...], tuple[AddFile, ...]] | None = None
        for start in range(len(files)):
            run: list[AddFile] = []
            for file in files[start:]:
                run.append(file)
                if size_bytes(run) >= wanted_bytes:
                    break
            if best is not None and size_bytes(run) < wanted_bytes:
                break
            span = self._span(run)
            met = tuple(file for file in below if self._meets(file, span))
            if self._policy.tiers and size_bytes((*run, *met)) > self._policy.step_bytes:
                continue
            price = size_bytes(met) / max(size_bytes(run), 1)
            if best is None or price < best[0]:
                best = price, tuple(run), met
        if best is None:
            return None
        _, chosen, met = best
        if not met and (len(chosen) == 1 or not any(is_small(file, self._policy) for file in chosen)):
            return Compaction((), tuple((file, level + 1) for file in chosen))
        return Compaction((Merge((*chosen, *met), level + 1, sorts=True),))

    def _is_alone(self, file: AddFile, pieces: Iterable[AddFile]) -> bool:
        others = (*pieces, *(other for level, files in self._levels.items() if level for other in files))
        return not any(self._meets(other, self._spans[file.path]) for other in others if other.path != file.path)

    def _meets(self, file: AddFile, span: Span) -> bool:
        return self._spans[file.path].meets(span)

    def _span(self, files: Iterable[AddFile]) -> Span:
        first, *rest = (self._spans[file.path] for file in files)
        return first.with_(rest)
