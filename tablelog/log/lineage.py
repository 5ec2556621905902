"""The parts that make up what is known of a log, in a row from version 0, and how they become fewer.

    16 steps ──> segment of 16      16 of those ──> segment of 256      …

When a version is taken in that ends ranges, the largest of them whose parts are all in memory is merged. So a process
that follows a log holds at most the digits of its length, as one that has just opened it does.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from tablelog.log.merging import merge
from tablelog.log.parts import Segment
from tablelog.log.segments import extent_of
from tablelog.parquet.sealed import WHOLE_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tablelog.format.actions import ActionReader
    from tablelog.format.hint import Extent
    from tablelog.log.commits import Head
    from tablelog.log.parts import Part


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

    @property
    def base(self) -> int | None:
        """Last version of the base that it begins with, if it begins with one."""
        first = self.parts[0] if self.parts else None
        return first.last if isinstance(first, Segment) and first.is_base else None

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
        """Hold a segment in the place of what it was merged from."""
        with self._lock:
            before = (part for part in self.parts if part.last < segment.first)
            after = (part for part in self.parts if part.first > segment.last)
            self.parts = (*before, segment, *after)

    def merged(self, version: int, fan_out: int, reader: ActionReader, order: Sequence[str] = ()) -> Segment | None:
        """The largest segment that ends with a version; None if none does, or if the base stands in for its beginning.

        What is not in memory is read.
        """
        size = _largest(version, fan_out)
        parts = self._ending(version, size)
        if size == 1 or not parts:
            return None
        if len(parts) == 1 and isinstance(parts[0], Segment):
            return parts[0]
        return merge(parts, reader, order)

    def fold(self, version: int, fan_out: int, reader: ActionReader, order: Sequence[str] = ()) -> None:
        """Merge the largest range that ends with a version and is in memory."""
        size = _largest(version, fan_out)
        while size > 1:
            parts = self._ending(version, size)
            if parts and all(part.is_held for part in parts):
                self.replace(merge(parts, reader, order))
                return
            size //= fan_out

    def _ending(self, version: int, size: int) -> list[Part]:
        """The parts that make up a range; none if they do not begin where it does."""
        parts = [part for part in self.parts if version - size < part.last <= version]
        return parts if parts and parts[0].first == version + 1 - size else []


def _largest(version: int, fan_out: int) -> int:
    """How many commits the largest range has that ends with a version."""
    size = 1
    while (version + 1) % (size * fan_out) == 0:
        size *= fan_out
    return size
