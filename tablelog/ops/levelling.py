"""Files merged by their range: tables with an order, partition by partition."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING

from tablelog.ops.policy import TAIL_FILES, Compaction, Merge, first_step, is_small, is_to_purge, size_bytes
from tablelog.ops.spans import span_of
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
        self._spans = {file.path: span_of(file, metadata) for file in files}
        self._levels: dict[int, list[AddFile]] = defaultdict(list)
        for file in files:
            self._levels[file.level].append(file)
        for level, members in self._levels.items():
            if level:
                members.sort(key=lambda file: (self._spans[file.path].low, file.path))

    def next(self) -> Compaction | None:
        """What helps most: level 0 first, then levels from above, then what is deleted."""
        zero = self._levels[0]
        if len(zero) > self._policy.pieces and (found := self._from_zero(zero)) is not None:
            return found
        for level in sorted(self._levels):
            if level and size_bytes(self._levels[level]) > self._policy.room_bytes(level):
                found = self._down(level)
                if found is not None:
                    return found
        merges = tuple(Merge((file,), file.level) for file in self._files if file.level and is_to_purge(file))
        return Compaction(merges) if merges else None

    def whole(self) -> Compaction | None:
        """One run of all of it, unless it is one."""
        runs = [files for files in self._levels.values() if files]
        small = sum(is_small(file, self._policy) for file in self._files)
        if (
            len(runs) == 1
            and not self._levels[0]
            and small <= TAIL_FILES
            and not any(file.deleted for file in self._files)
        ):
            spans = [self._spans[file.path] for file in runs[0]]
            if not any(left.meets(right) for left, right in pairwise(spans)):
                return None
        return Compaction((Merge(tuple(self._files), self._policy.level_for(size_bytes(self._files)), sorts=True),))

    def _from_zero(self, zero: Sequence[AddFile]) -> Compaction | None:
        """Level 0 into the level that has room for it."""
        pieces = first_step(zero, self._policy)
        deepest = self._policy.level_for(size_bytes(self._files))
        free = [file for file in pieces if not is_small(file, self._policy) and self._is_alone(file, pieces)]
        moves = tuple((file, deepest) for file in free)
        rest = tuple(file for file in pieces if file not in free)
        if not rest:
            return Compaction((), moves)
        level = self._policy.level_for(size_bytes(rest))
        span = self._span(rest)
        below: list[AddFile] = []
        for each in range(1, level + 1):
            met = [file for file in self._levels[each] if self._meets(file, span)]
            below += met
            span = span.with_(self._spans[file.path] for file in met)
        if self._policy.tiers and size_bytes((*rest, *below)) > self._policy.step_bytes:
            chosen = of_a_size([file for file in rest if is_small(file, self._policy)], self._policy)
            return Compaction((Merge(chosen, 0, sorts=True),), moves) if chosen else None
        return Compaction((Merge((*rest, *below), level, sorts=True),), moves)

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
