"""Reading a log: which objects, in which order, and how few.

    hint                    the last version of some segment                         1 get
    segments, next commits  all by names that can be computed, side by side          one round trip

The commits 0 to n are covered by as many segments as n has digits in the base of the fan-out, each digit as often as it
says, and by fewer commits than the fan-out. A segment that is missing is covered by its parts, in another round trip.
Without a hint (torn, wrong, absent) one page of a listing says where the segments end: their names sort newest first.
Commits are never listed: the log ends where the next number is not there.

A base stands for all commits from 0 to its last. Where a commit's object is empty, or a hint's base is gone, history
has expired meanwhile: the bases are listed and reading begins anew.

Costs, for a log of n commits and a fan-out of f: cold 1 get, then at most (f - 1) log_f(n) + f gets in one round trip;
without a hint 1 get, then 2 lists and f gets, then the rest: three. Known head: 1 get that finds nothing; behind by m
commits: about log2(m) round trips of gets.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from tablelog.errors import CorruptionError, NotFoundError
from tablelog.format import names
from tablelog.format.commits import CommitRecord
from tablelog.format.hint import FAN_OUT_DEFAULT, Extent, Hint, decode_hint, encode_hint
from tablelog.log.commits import CommitLog, FoldedError, check_continues, head_of, missing
from tablelog.log.segments import encode_segment, read_segment
from tablelog.store.base import is_far
from tablelog.store.together import together

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tablelog.log.commits import Head
    from tablelog.log.parts import Segment
    from tablelog.store.base import ObjectStore

_BLOCK_MAX: Final = 1024
"""Commits asked for at once, at most."""
_BEHIND: Final = 64
"""A reader behind by more commits looks for segments."""
_LISTED_MAX: Final = 1000
"""Names that one page of a listing has."""


@dataclass(frozen=True, slots=True)
class _Range:
    """Commits that one object may stand for."""

    first: int
    last: int
    is_base: bool = False


class LogReader:
    """Reads the log under one prefix of a store. Holds no state; safe to share between threads."""

    def __init__(self, store: ObjectStore, prefix: str) -> None:
        """Speak of the log whose objects are named `prefix` + name."""
        self._store = store
        self._prefix = prefix
        self._commits = CommitLog(store, prefix)
        self._is_far = is_far(store)

    def follow(self, after: Head | None, *, base_max: int | None = None) -> list[Segment | CommitRecord]:
        """What the log holds after `after`, oldest first, each part continuing the one before; all of it for None.

        All of it begins with a base if there is one, whose last version is not after `base_max` if that is given.

        Raises:
            FoldedError: history has expired beyond `after`; read from None.
            NotFoundError: it is a copy that is not complete, and has no version yet.
            CorruptionError: an object is damaged, missing from the row, or does not continue the one before.
            StoreError: the storage failed.

        """
        parts = self._open(base_max) if after is None else self._catch_up(after)
        head = after
        for part in parts:
            if isinstance(part, CommitRecord):
                check_continues(head, part, self._commits.name_of(part.version))
                head = head_of(part)
            else:
                self._check_segment(head, part)
                head = part.head
        return parts

    def _check_segment(self, head: Head | None, segment: Segment) -> None:
        expected = (head.version + 1, head.checksum) if head else (0, None)
        if (segment.first, segment.parent) != expected:
            assert segment.sealed is not None
            raise CorruptionError(
                f"{segment.sealed.name}: it follows commit {segment.first - 1} with checksum {segment.parent}, "
                f"the log has {expected[1]} at {expected[0] - 1}"
            )

    def _catch_up(self, after: Head) -> list[Segment | CommitRecord]:
        parts: list[Segment | CommitRecord] = []
        first, size, looked = after.version + 1, 1, False
        while True:
            block = self._commits.read_from(first, size)
            parts += block
            first += len(block)
            if len(block) < size:
                return parts
            size = min(2 * size, _BLOCK_MAX)
            if first - after.version > _BEHIND and not looked:
                looked = True
                hint = self._read_hint()
                if hint is not None and hint.version >= first + hint.fan_out:
                    with suppress(_GoneError):
                        parts += self._covering(list(_cover(first, hint.version, hint.fan_out)), hint)
                        first = hint.version + 1

    def _open(self, base_max: int | None) -> list[Segment | CommitRecord]:
        hint = self._read_hint() if base_max is None else None
        if hint is not None:
            with suppress(_GoneError, FoldedError):  # it is wrong, or history has expired since it was written
                return self._open_at(hint, [])
        tried: list[int | None] = []
        while True:
            looks: tuple[Callable[[], Any], ...] = (self._first_commits, lambda: self._list(base_max))
            young, listed = together(lambda look: look(), looks, side_by_side=self._is_far)
            try:
                return self._open_young(young) if listed is None else self._open_at(listed, young or [])
            except (_GoneError, FoldedError) as error:
                base = None if listed is None else listed.base
                if base in tried:
                    raise FoldedError(str(error)) from error
                tried.append(base)  # history may have expired since the listing: there is another base then

    def _open_young(self, young: list[CommitRecord] | None) -> list[Segment | CommitRecord]:
        """All of a log that has neither segments nor a base."""
        if young is None:
            try:
                young = self._commits.read_from(0, FAN_OUT_DEFAULT)  # says which is empty, or missing
            except CorruptionError as error:
                self._refuse_unfinished(error)
                raise
        more = self._catch_up(head_of(young[-1])) if len(young) == FAN_OUT_DEFAULT else []
        return [*young, *more]

    def _refuse_unfinished(self, error: CorruptionError) -> None:
        """Say of a log without a beginning that it is a copy which is not complete, if it is one.

        Raises:
            NotFoundError: it is.

        """
        try:
            self._store.get(self._prefix + names.COPYING)
        except NotFoundError:
            return
        raise NotFoundError(
            f"the copy at {self._store.url}/{self._prefix} is not complete, and no version of it can be read yet; copy "
            f"again, it goes on"
        ) from error

    def _first_commits(self) -> list[CommitRecord] | None:
        """The first commits, as many as a segment has; None if they are folded or the first of all is not there."""
        try:
            return self._commits.read_from(0, FAN_OUT_DEFAULT)
        except FoldedError:
            return None
        except CorruptionError:
            if self._commits.read_if_there(0) is not None:
                raise
            return None

    def _open_at(self, hint: Hint, known: list[CommitRecord]) -> list[Segment | CommitRecord]:
        """All of a log that reaches at least to the version of a hint."""
        ranges = [] if hint.base is None else [_Range(0, hint.base, is_base=True)]
        ranges += _cover(0 if hint.base is None else hint.base + 1, hint.version, hint.fan_out)
        parts = self._covering(ranges, hint, {record.version: record for record in known}, ahead=hint.fan_out)
        last = parts[-1]
        head = head_of(last) if isinstance(last, CommitRecord) else last.head
        return [*parts, *self._catch_up(head)] if head.version >= hint.version + hint.fan_out else parts

    def _covering(
        self,
        ranges: list[_Range],
        hint: Hint,
        known: dict[int, CommitRecord] | None = None,
        ahead: int = 0,
    ) -> list[Segment | CommitRecord]:
        """Segments and commits that cover the ranges, and up to `ahead` commits after them; those `known` are not read.

        Raises:
            _GoneError: a commit is not there, or folded.

        """
        extents = {(extent.first, extent.last): extent for extent in hint.extents}
        found: dict[int, Segment | CommitRecord] = dict(known or {})
        last = ranges[-1].last
        wanted = [each for each in ranges if each.last > each.first or each.first not in found]
        wanted += [_Range(version, version) for version in range(last + 1, min(last + ahead, names.VERSION_MAX) + 1)]
        # No hint is worth looking for the parts of what may never have been: its last commit is there, or it is wrong.
        witness = None if ranges[-1].first == last or ranges[-1].is_base else _Range(last, last)
        wanted += [] if witness is None else [witness]
        while wanted:
            objects = together(lambda each: self._read(each, extents), wanted, side_by_side=self._is_far)
            parts: list[_Range] = []
            for each, part in zip(wanted, objects, strict=True):
                if part is None:
                    parts += self._instead_of(each, hint, last)
                elif each is not witness:
                    found[each.first] = part
            wanted = [each for each in parts if each.last > each.first or each.first not in found]
        return self._row(found, ranges[0].first, last + 1)

    def _instead_of(self, range_: _Range, hint: Hint, last: int) -> list[_Range]:
        """What to read because the object of a range is not there."""
        if range_.is_base:
            raise _GoneError(f"the base of versions 0 to {range_.last} is missing although the log needs it")
        if range_.first == range_.last <= last:
            raise _GoneError(str(missing(self._commits.name_of(range_.first), hint.version)))
        return _parts_of(range_, hint.fan_out) if range_.last > range_.first else []

    def _row(self, found: dict[int, Segment | CommitRecord], first: int, after: int) -> list[Segment | CommitRecord]:
        """What was found, in order, as far as it has no gap."""
        row: list[Segment | CommitRecord] = []
        version = first
        while (part := found.get(version)) is not None:
            row.append(part)
            version = (part.version if isinstance(part, CommitRecord) else part.last) + 1
        beyond = [each for each in found if each > version]
        if beyond:  # asked for when it was not there yet, or missing
            row += self._commits.read_from(version, max(beyond) - version + 1)
            version = max(beyond) + 1
        assert version >= after
        return row

    def _read(self, range_: _Range, extents: dict[tuple[int, int], Extent]) -> Segment | CommitRecord | None:
        """The object of a range; None if it is not there."""
        first, last = range_.first, range_.last
        if first == last and not range_.is_base:
            try:
                return self._commits.read_if_there(first)
            except FoldedError as error:
                raise _GoneError(str(error)) from error
        name = names.base(last) if range_.is_base else names.segment(first, last)
        try:
            return read_segment(self._store, self._prefix + name, (first, last), extents.get((first, last)))
        except NotFoundError:
            return None

    def _read_hint(self) -> Hint | None:
        try:
            return decode_hint(self._store.get(self._prefix + names.HINT))
        except NotFoundError:
            return None

    def _list(self, base_max: int | None) -> Hint | None:
        """What a page of a listing of the segments, and one of the bases, say; None if there are none."""
        folders = (names.SEGMENTS, names.BASES)
        segments, bases = together(lambda folder: list(self._listed(folder)), folders, side_by_side=self._is_far)
        extents = [(names.parse_segment(name), size) for name, size in segments]
        known = [Extent(*extent, size, 0) for extent, size in extents if extent and extent[0] < extent[1]]
        lasts = (last for name, _ in bases if (last := names.parse_base(name)) is not None)
        base = max((last for last in lasts if base_max is None or last <= base_max), default=None)
        newest = max((extent.last for extent in known), default=-1)
        if base is None and newest < 0:
            return None
        fan_out = min((each.last - each.first + 1 for each in known), default=FAN_OUT_DEFAULT)
        return Hint(version=max(newest, -1 if base is None else base), fan_out=fan_out, base=base)

    def _listed(self, folder: str) -> Iterator[tuple[str, int]]:
        infos = self._store.list(self._prefix + folder)
        pages = infos if not self._is_far else islice(infos, _LISTED_MAX)
        return ((info.key.removeprefix(self._prefix), info.size_bytes) for info in pages)


class _GoneError(Exception):
    """Something that a hint speaks of is not there."""


def _cover(first: int, last: int, fan_out: int) -> Iterator[_Range]:
    """The fewest aligned ranges that make up `first` to `last`, both included, in order."""
    while first <= last:
        size = 1
        while first % (size * fan_out) == 0 and first + size * fan_out - 1 <= last:
            size *= fan_out
        yield _Range(first, first + size - 1)
        first += size


def _parts_of(range_: _Range, fan_out: int) -> list[_Range]:
    """The ranges that the segment of a range is merged from; its commits if it is none of this fan-out."""
    size, rest = divmod(range_.last - range_.first + 1, fan_out)
    step = 1 if rest else size
    return [_Range(first, first + step - 1) for first in range(range_.first, range_.last + 1, step)]


def put_segment(store: ObjectStore, prefix: str, segment: Segment) -> tuple[bytes, str]:
    """Write a segment, or a base, under its name, unless it is there already; its bytes and their digest. One put."""
    data, digest = encode_segment(segment)
    name = names.base(segment.last) if segment.is_base else names.segment(segment.first, segment.last)
    store.put_if_absent(prefix + name, data)
    return data, digest


def put_hint(
    store: ObjectStore,
    prefix: str,
    newest: int,
    *,
    fan_out: int,
    base: int | None,
    extents: Iterable[Extent] = (),
) -> None:
    """Say where the segments of a log end whose newest version is known, and which are large. One put."""
    version = max(0, base or 0, newest - (newest + 1) % fan_out)
    large = tuple(extent for extent in extents if extent.last <= version)
    hint = Hint(version=version, fan_out=fan_out, base=base, extents=large)
    store.put(prefix + names.HINT, encode_hint(hint))
