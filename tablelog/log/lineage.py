"""The parts that make up what is known of a log, in a row from version 0, and how they become fewer.

    16 steps ──> segment of 16      16 of those ──> segment of 256      …

When a version is taken in that ends ranges, those whose parts are all in memory are merged. So a process
that follows a log holds at most the digits of its length, as one that has just opened it does.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tablelog.log.merging import merge
from tablelog.log.parts import Segment
from tablelog.log.segments import extent_of
from tablelog.parquet.sealed import WHOLE_BYTES

if TYPE_CHECKING:
    from tablelog.format.action_json import ActionReader
    from tablelog.format.hint import Extent
    from tablelog.log.commits import Head
    from tablelog.log.parts import Part


@dataclass(frozen=True, slots=True)
class Merging:
    """How a log is merged."""

    fan_out: int
    """How many parts become one."""
    reader: ActionReader
    """What has read the schemas that files name."""
    order: tuple[str, ...] = ()
    """Columns by which live files are sorted before their age."""


class Lineage:
    """Parts of one log. Safe to share between threads."""

    def __init__(self) -> None:
        """Begin before version 0."""
        self._lock = threading.Lock()
        self.parts: tuple[Part, ...] = ()

    @property
    def head(self) -> Head | None:
        """The newest commit."""
        return self.parts[-1].head if self.parts else None

    @property
    def newest(self) -> int:
        """The newest version; -1 before there is one."""
        return self.parts[-1].last if self.parts else -1

    def extents(self) -> tuple[Extent, ...]:
        """Segments that are so large that a reader had better know how large."""
        segments = (part for part in self.parts if isinstance(part, Segment) and part.sealed is not None)
        return tuple(extent_of(each) for each in segments if each.sealed and each.sealed.size_bytes > WHOLE_BYTES)

    def append(self, part: Part) -> None:
        """Take in what follows."""
        assert part.first == self.newest + 1
        with self._lock:
            self.parts = (*self.parts, part)

    def replace(self, segment: Segment) -> None:
        """Hold a segment in the place of what it was merged from, unless that was merged further meanwhile."""
        with self._lock:
            inside = [part for part in self.parts if segment.first <= part.last <= segment.last]
            if not inside or (inside[0].first, inside[-1].last) != (segment.first, segment.last):
                return
            before = (part for part in self.parts if part.last < segment.first)
            after = (part for part in self.parts if part.first > segment.last)
            self.parts = (*before, segment, *after)

    def fold(self, version: int, merging: Merging, *, only_held: bool) -> list[Segment]:
        """Merge the ranges that end with a version; the segments of them, each larger than the one before.

        With `only_held` as far as they are in memory, else what is not is read. No range reaches into the base, which
        stands for its first commits without having all of them.
        """
        segments: list[Segment] = []
        size = merging.fan_out
        while (version + 1) % size == 0:
            first = version + 1 - size
            parts = [part for part in self.parts if first <= part.last <= version]
            if not parts or any(isinstance(part, Segment) and part.is_base for part in parts):
                break
            whole = parts[0]
            if len(parts) == 1 and isinstance(whole, Segment) and whole.first <= first:
                segments += [whole] if whole.first == first else []  # somebody else was faster
            elif whole.first != first or (only_held and not all(part.is_held for part in parts)):
                break
            else:
                segments.append(merge(parts, merging.reader, merging.order))
                self.replace(segments[-1])
            size *= merging.fan_out
        return segments
