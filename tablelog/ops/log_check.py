"""One look at all of a log: what is not as it must be, and what of that can be made again.

    commits    decoded, the chain of checksums walked, every action applied, up to the first that is damaged or missing
    actions    objects that commits name: every byte, and the digest that the commit gives
    bases      every byte, and the digest that the log gives; the names of the commits behind must still be taken
    segments   every byte; those of sound commits are made again and compared
    hint       whole, and not ahead of the log

Repairing writes what commits can give. Nothing is ever deleted but a base of which all commits are still there: what a
damaged commit keeps from being compared may be all that is left of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tablelog.errors import CorruptionError, NotFoundError, TablelogError
from tablelog.format import names
from tablelog.format.action_json import ActionReader
from tablelog.format.actions import FileActions
from tablelog.format.hint import decode_hint
from tablelog.log.commits import CommitLog, FoldedError
from tablelog.log.merging import fold, merge
from tablelog.log.opening import put_hint
from tablelog.log.parts import Segment, Step
from tablelog.log.segments import encode_segment, read_segment, same_content
from tablelog.ops.expire import empty_commits
from tablelog.parquet.sealed import open_sealed
from tablelog.store.base import is_far
from tablelog.store.together import together

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tablelog.format.commits import CommitRecord
    from tablelog.log.followed import History
    from tablelog.store.base import ObjectStore

_AT_ONCE: Final = 256
"""Commits read together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something that is not as it must be, or not as it might be."""

    object: str
    """Key of the object."""
    problem: str
    harmless: bool = False
    """Whether nobody reads a wrong answer or fails because of it."""
    can_repair: bool = False
    """Whether `repair` puts it right."""

    def __str__(self) -> str:
        return f"{self.object}: {self.problem}"


@dataclass
class LogCheck:
    """A log, and what was found in it."""

    store: ObjectStore
    prefix: str
    history: History[object]
    """One that has read nothing; afterwards it holds every commit up to the first that is not sound, none merged."""
    problems: list[Problem] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)
    """Bytes of the log's objects by name."""
    unwritten: list[Segment] = field(default_factory=list)
    """Segments, or a base, that are missing or wrong."""
    useless: list[str] = field(default_factory=list)
    """Bases that are damaged or missing while all their commits are there."""
    free_names: list[str] = field(default_factory=list)
    """Names of folded commits that are not taken any more."""
    empty_until: int | None = None
    """Last version of a base whose commits are not all empty."""
    is_hint_wrong: bool = False
    _versions: dict[int, str] = field(default_factory=dict)
    _bases: dict[int, Segment] = field(default_factory=dict)

    def run(self) -> LogCheck:
        """Look at everything. A list, and a get of every object."""
        self.sizes = {info.key.removeprefix(self.prefix): info.size_bytes for info in self.store.list(self.prefix)}
        self._versions = {each: name for name in self.sizes if (each := names.parse_commit(name)) is not None}
        damaged = self._read_bases()
        empty = [version for version, name in self._versions.items() if not self.sizes[name]]
        if empty and self._bases:
            covering = (last for last in self._bases if last >= max(empty))
            self.history.load(self._bases[min(covering, default=max(self._bases))])
        self._walk()
        self._check_base(damaged)
        self._check_segments()
        self._check_hint()
        return self

    @property
    def newest(self) -> int:
        """The last version that is sound; -1 if none is."""
        return self.history.lineage.newest

    @property
    def _end(self) -> int:
        """The last version that there is an object of."""
        return max(self._versions, default=-1)

    def _report(self, name: str, problem: object, *, harmless: bool = False, can_repair: bool = False) -> None:
        key = self.prefix + name
        text = str(problem).removeprefix(f"{self.store.url}/").removeprefix(f"{key}: ")
        self.problems.append(Problem(object=key, problem=text, harmless=harmless, can_repair=can_repair))

    # ------------------------------------------------------------------ commits

    def _walk(self) -> None:
        """Every commit from the base on, as far as they have no gap and no fault."""
        log = CommitLog(self.store, self.prefix)
        first = end = self.newest + 1
        while end in self._versions:
            end += 1
        if end <= self._end or end == 0:
            after = f" although {names.commit(self._end)} exists" if end else ""
            self._report(names.commit(end), f"it is missing{after}; the log cannot be read from there on")
        for start in range(first, end, _AT_ONCE):
            for record in self._read(log, start, min(_AT_ONCE, end - start)):
                if not self._apply(record):
                    return
            if self.newest + 1 < min(start + _AT_ONCE, end):
                return

    def _read(self, log: CommitLog, start: int, count: int) -> Iterator[CommitRecord]:
        """Commits up to the first that is damaged; all that are damaged are reported."""

        def read(version: int) -> CommitRecord | TablelogError | None:
            try:
                return log.read_if_there(version)
            except (CorruptionError, NotFoundError) as error:
                return error

        found = together(read, range(start, start + count), side_by_side=is_far(self.store))
        is_broken = is_folded = False
        for version, record in enumerate(found, start):
            if isinstance(record, FoldedError):
                if not is_folded:  # the first says it for all
                    self._report(names.commit(version), "it is empty, and there is no sound base that stands for it")
                is_broken = is_folded = True
            elif isinstance(record, TablelogError) or record is None:
                self._report(names.commit(version), record or "it has just gone")
                is_broken = True
            elif not is_broken:
                yield record

    def _apply(self, record: CommitRecord) -> bool:
        """Take a commit in, unless it is not sound."""
        head, name = self.history.lineage.head, names.commit(record.version)
        if record.parent != (head.checksum if head else None):
            self._report(name, f"its parent is {record.parent}, but the commit before has another checksum")
            return False
        if head and record.timestamp_us <= head.timestamp_us:
            self._report(name, "its time is not after that of the commit before")
            return False
        if not all([self._check_object(action) for action in record.actions if "actions" in action]):  # noqa: C419 - each
            return False
        try:
            self.history.apply(record)
        except TablelogError as error:
            self._report(name, error)
            return False
        return True

    def _check_object(self, action: object) -> bool:
        """Hold an object with the file actions of a commit against what the commit says."""
        try:
            stated = ActionReader().read(action)  # type: ignore[arg-type]  # a JSON object
            assert isinstance(stated, FileActions)
        except TablelogError:
            return True  # whoever applies the commit says what is wrong with it
        try:
            sealed = open_sealed(self.store, self.prefix + stated.path)
            sealed.check_all()
        except TablelogError as error:
            self._report(stated.path, error)
            return False
        if (sealed.digest, sealed.size_bytes) != (stated.digest, stated.size_bytes):
            self._report(stated.path, "it is not the object that the log speaks of")
            return False
        return True

    # ------------------------------------------------------------------ bases

    def _read_bases(self) -> dict[int, TablelogError]:
        """Find the sound bases; what is wrong with the others."""
        damaged: dict[int, TablelogError] = {}
        for last, name in self._named_bases():
            try:
                base = read_segment(self.store, self.prefix + name, (0, last))
                assert base.sealed is not None
                base.sealed.check_all()
                self._bases[last] = base
            except TablelogError as error:
                damaged[last] = error
        return damaged

    def _named_bases(self) -> list[tuple[int, str]]:
        return sorted((last, name) for name in self.sizes if (last := names.parse_base(name)) is not None)

    def _check_base(self, damaged: dict[int, TablelogError]) -> None:
        """Hold the base that the log speaks of against what it says, and the commits behind it against the base."""
        last = self.history.base if self.history.lineage.parts else None
        for each, error in damaged.items():
            whole = all(self.sizes.get(names.commit(version)) for version in range(each + 1))
            self._report(names.base(each), error, harmless=each != last, can_repair=whole)
            if whole:
                self.useless.append(names.base(each))
        if last is None or last in damaged:
            return
        base = self._bases.get(last)
        if base is None or base.sealed is None or base.sealed.digest != self.history.base_digest:
            what = "it is missing although the log speaks of it" if base is None else "it is not what the log speaks of"
            whole = all(self.sizes.get(names.commit(version)) for version in range(last + 1))
            self._report(names.base(last), what, harmless=whole, can_repair=whole)
            self.useless += [names.base(last)] * whole
            return
        self.free_names = [name for version in range(last + 1) if (name := names.commit(version)) not in self.sizes]
        if self.free_names:
            text = f"its name, and {len(self.free_names) - 1} more, must stay taken by empty objects, and are free"
            self._report(self.free_names[0], text, can_repair=True)
        full = [version for version in range(last + 1) if self.sizes.get(names.commit(version))]
        if full:
            self.empty_until = last
            text = f"it and {len(full) - 1} more are not empty yet, although a base stands for them"
            self._report(names.commit(full[0]), text, harmless=True, can_repair=True)

    # ------------------------------------------------------------------ segments

    def _check_segments(self) -> None:
        there = {extent: name for name in self.sizes if (extent := names.parse_segment(name)) is not None}
        expected = {(segment.first, segment.last): segment for segment in self._expected()}
        for extent, name in sorted(there.items()):
            wanted = expected.get(extent) or self._derived(extent)
            problem = self._segment_problem(name, extent, wanted)
            if problem is not None:
                self._report(name, problem, can_repair=wanted is not None)
                self.unwritten += [] if wanted is None else [wanted]
        missing = [segment for extent, segment in expected.items() if extent not in there]
        for segment in missing:
            name = names.segment(segment.first, segment.last)
            self._report(name, "it is missing; reading is only slower", harmless=True, can_repair=True)
        self.unwritten += missing

    def _expected(self) -> Iterator[Segment]:
        """Every segment that the sound commits can make up."""
        steps = [part for part in self.history.lineage.parts if isinstance(part, Step)]
        if not steps:
            return
        size = fan_out = self.history.merging(self.newest).fan_out
        below: Sequence[Segment | Step] = steps
        while size <= self.newest + 1:
            level: list[Segment] = []
            by_start = {part.first: part for part in below}
            for start in range(-(-steps[0].first // size) * size, self.newest + 2 - size, size):
                inside = [by_start[at] for at in range(start, start + size, size // fan_out)]
                merging = self.history.merging(start + size - 1)
                level.append(merge(inside, merging.reader, merging.order))
            yield from level
            below, size = level, size * fan_out

    def _derived(self, extent: tuple[int, int]) -> Segment | None:
        """The segment of any other range; None if its commits are folded or not sound."""
        steps = [part for part in self.history.lineage.parts if extent[0] <= part.first and part.last <= extent[1]]
        if not steps or (steps[0].first, steps[-1].last) != extent or any(isinstance(part, Segment) for part in steps):
            return None
        merging = self.history.merging(extent[1])
        return merge(steps, merging.reader, merging.order)

    def _segment_problem(self, name: str, extent: tuple[int, int], wanted: Segment | None) -> object | None:
        try:
            found = read_segment(self.store, self.prefix + name, extent)
            assert found.sealed is not None
            found.sealed.check_all()
            if wanted is not None and not same_content(found, wanted):
                return "it does not say what its commits say"
        except TablelogError as error:
            return error
        if extent[1] > self._end:
            return f"it has commits up to version {extent[1]}, but their objects are missing after {self._end}"
        return None

    # ------------------------------------------------------------------ hint

    def _check_hint(self) -> None:
        if self._end < 0:
            return
        try:
            data = self.store.get(self.prefix + names.HINT)
        except NotFoundError:
            data = None
        hint = None if data is None else decode_hint(data)
        if hint is not None and hint.version <= self._end:
            return
        self.is_hint_wrong = True
        what = "it is missing" if data is None else "it is damaged"
        if hint is not None:
            what = f"it speaks of version {hint.version}, the log ends with {self._end}"
        self._report(names.HINT, f"{what}; reading is only slower", harmless=True, can_repair=self.newest >= 0)

    # ------------------------------------------------------------------ putting right

    def repair(self) -> None:
        """Write what can be derived: one put for each thing that is wrong."""
        for name in self.useless:
            self.store.delete(self.prefix + name)
            self._rebuild_base(name)
        for segment in self.unwritten:
            data, _ = encode_segment(segment)
            self.store.put(self.prefix + names.segment(segment.first, segment.last), data)
        for name in self.free_names:
            self.store.put_if_absent(self.prefix + name, b"")
        if self.empty_until is not None:
            empty_commits(self.store, self.prefix, self.empty_until, self.history.base_digest)
        is_whole = all(problem.harmless or problem.can_repair for problem in self.problems)
        if (self.is_hint_wrong or self.unwritten or self.useless) and is_whole and self.newest >= 0:
            fan_out = self.history.merging(self.newest).fan_out
            base = self.history.base if self.history.base in self._bases else None
            put_hint(self.store, self.prefix, self.newest, fan_out=fan_out, base=base)

    def _rebuild_base(self, name: str) -> None:
        """Write a base again of which all commits are there, if it comes out as the log says; else it is not needed."""
        last = names.parse_base(name)
        steps = [part for part in self.history.lineage.parts if last is not None and part.last <= last]
        if last is None or last != self.history.base or not steps or steps[-1].last != last:
            return
        merging = self.history.merging(last)
        data, digest = encode_segment(fold(merge(steps, merging.reader, merging.order)))
        if digest == self.history.base_digest:
            self.store.put(self.prefix + name, data)
            self._bases[last] = read_segment(self.store, self.prefix + name, (0, last))
