"""Whether everything that a log consists of is there and says the same, and putting right what can be derived.

    commits      each decoded, the chain of checksums walked, every action applied
    segments     every byte held against its checksums, then made again from the commits and compared
    bases        every byte, and the digest that the log gives for it; their commits are gone
    hint         whole, and not ahead of the log
    data files   those of every version that can still be read: there, as large as the log says, with its CRC-32

What is wrong is a `Problem`. Some are harmless: nothing reads a wrong answer because of them, and `repair` puts them
right. A commit, or a data file, that is damaged cannot be derived from anything.

Costs: a list of everything and a get of every object of the log; a get of every data file unless told otherwise.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tablelog.errors import CorruptionError, NotFoundError, TablelogError
from tablelog.format import names
from tablelog.format.hint import Hint, decode_hint
from tablelog.log.blocks import GroupBlock
from tablelog.log.commits import CommitLog, FoldedError, head_of
from tablelog.log.file_rows import file_actions
from tablelog.log.merging import merge
from tablelog.log.opening import put_hint
from tablelog.log.parts import Segment, Step
from tablelog.log.segments import encode_segment, read_segment, same_content
from tablelog.ops.expire import empty_commits
from tablelog.store.base import ByteRange, local_path
from tablelog.store.together import together

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tablelog.format.actions import AddFile
    from tablelog.format.commits import CommitRecord
    from tablelog.log.followed import History
    from tablelog.log.history import TableHistory
    from tablelog.store.base import ObjectStore

_BLOCK: Final = 256
_PIECE_BYTES: Final = 16 * 1024 * 1024
_SHOWN: Final = 20


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What was looked at, and what is wrong with it."""

    url: str
    versions: int
    """How many versions can be read."""
    objects: int
    size_bytes: int
    """Bytes of those objects."""
    problems: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong that could do harm."""
        return all(problem.harmless for problem in self.problems)

    def __repr__(self) -> str:
        verdict = "sound" if self.ok else "DAMAGED"
        checked = f"{self.url}: {verdict}; {self.versions:,} versions, {self.objects:,} objects checked"
        lines = [f"  {'(harmless) ' * problem.harmless}{problem}" for problem in self.problems[:_SHOWN]]
        more = len(self.problems) - len(lines)
        return "\n".join([checked, *lines, *([f"  and {more:,} more"] if more > 0 else [])])


@dataclass
class LogCheck:
    """One look at all of a log."""

    store: ObjectStore
    prefix: str
    history: History[object]
    """One that has read nothing; afterwards it holds every commit that is sound, none of them merged."""
    problems: list[Problem] = field(default_factory=list)
    objects: int = 0
    size_bytes: int = 0
    unwritten: list[Segment] = field(default_factory=list)
    """Segments that are missing or wrong."""
    unfounded: list[str] = field(default_factory=list)
    """Segments of commits that are not there."""
    sound_bases: dict[int, str] = field(default_factory=dict)
    """Their last versions and digests."""
    empty_until: int | None = None
    """Last version of a base whose commits are not all empty."""
    is_hint_wrong: bool = False

    def run(self) -> LogCheck:
        """Look at everything."""
        sizes = {info.key.removeprefix(self.prefix): info.size_bytes for info in self.store.list(self.prefix)}
        versions = {version: name for name in sizes if (version := names.parse_commit(name)) is not None}
        self.objects += len(sizes)
        self.size_bytes += sum(sizes.values())
        folded = [version for version, name in versions.items() if not sizes[name]]
        self._load_base(sizes, max(folded, default=-1))
        self._walk(versions)
        self._check_emptied(versions, sizes)
        self._check_segments(sizes)
        self._check_hint(sizes)
        return self

    def verdict(
        self, url: str, horizon: int = 0, more: Sequence[Problem] = (), objects: int = 0, size_bytes: int = 0
    ) -> Verification:
        """What was found, with what was found elsewhere."""
        return Verification(
            url=url,
            versions=self.history.lineage.newest + 1 - horizon,
            objects=self.objects + objects,
            size_bytes=self.size_bytes + size_bytes,
            problems=(*self.problems, *more),
        )

    def _report(self, name: str, problem: object, *, harmless: bool = False, can_repair: bool = False) -> None:
        key = self.prefix + name
        text = str(problem).removeprefix(f"{self.store.url}/").removeprefix(f"{key}: ")
        self.problems.append(Problem(object=key, problem=text, harmless=harmless, can_repair=can_repair))

    def _load_base(self, sizes: dict[str, int], last_empty: int) -> None:
        """Begin with the base that stands for the empty commits."""
        bases = {last: name for name in sizes if (last := names.parse_base(name)) is not None}
        for last, name in sorted(bases.items()):
            try:
                base = read_segment(self.store, self.prefix + name, (0, last))
                assert base.sealed is not None
                base.sealed.check_all()
            except CorruptionError as error:
                self._report(name, error)
                continue
            self.sound_bases[last] = base.sealed.digest
            if last_empty >= 0 and last >= last_empty and not self.history.lineage.parts:
                self.history.load(base)
        if last_empty >= 0 and not self.history.lineage.parts:
            name = names.commit(last_empty)
            self._report(name, "it is empty, and there is no sound base that stands for it")

    def _walk(self, versions: dict[int, str]) -> None:
        """Every commit from the base on, as far as they have no gap and no fault."""
        log = CommitLog(self.store, self.prefix)
        first = self.history.lineage.newest + 1
        end = first
        while end in versions:
            end += 1
        for version in sorted(version for version in versions if version >= end):
            self._report(versions[version], f"it is no part of the log, which has no version {end}")
        for start in range(first, end, _BLOCK):
            for record in self._read(log, start, min(_BLOCK, end - start)):
                if not self._apply(record):
                    return
            if self.history.lineage.newest + 1 < min(start + _BLOCK, end):
                return

    def _read(self, log: CommitLog, start: int, count: int) -> Iterator[CommitRecord]:
        """Commits up to the first that is damaged; all damaged ones are reported."""

        def read(version: int) -> CommitRecord | TablelogError | None:
            try:
                return log.read_if_there(version)
            except (CorruptionError, NotFoundError) as error:
                return error

        is_far = local_path(self.store, self.prefix + names.HINT) is None
        found = together(read, range(start, start + count), side_by_side=is_far)
        broken = False
        for version, record in enumerate(found, start):
            if isinstance(record, TablelogError) or record is None:
                if not isinstance(record, FoldedError):
                    self._report(names.commit(version), record or "it has just gone")
                broken = True
            elif not broken:
                yield record

    def _apply(self, record: CommitRecord) -> bool:
        head = self.history.lineage.head
        name = names.commit(record.version)
        if record.parent != (head.checksum if head else None):
            self._report(name, f"its parent is {record.parent}, but the commit before has another checksum")
            return False
        if head and head_of(record).timestamp_us <= head.timestamp_us:
            self._report(name, "its time is not after that of the commit before")
            return False
        try:
            self.history.apply(record)
            step = self.history.lineage.parts[-1]
            assert isinstance(step, Step)
            for block in (*step.blocks, *step.removed_blocks):
                if isinstance(block, GroupBlock):
                    block.sealed.check_all()
        except TablelogError as error:
            self._report(name, error)
            return False
        return True

    def _check_emptied(self, versions: dict[int, str], sizes: dict[str, int]) -> None:
        base = self.history.base if self.history.lineage.parts else None
        if base is not None and self.sound_bases.get(base) != self.history.base_digest:
            if names.base(base) not in sizes:
                self._report(names.base(base), "it is missing although the log speaks of it")
            elif base in self.sound_bases:
                self._report(names.base(base), "it is not the base that the log speaks of")
            return
        full = [version for version in versions if base is not None and version <= base and sizes[versions[version]]]
        if full:
            self.empty_until = base
            name = versions[min(full)]
            text = f"it and {len(full) - 1} more are not empty yet, although a base stands for them"
            self._report(name, text, harmless=True, can_repair=True)

    def _check_segments(self, sizes: dict[str, int]) -> None:
        there = {extent: name for name in sizes if (extent := names.parse_segment(name)) is not None}
        expected = {(segment.first, segment.last): segment for segment in self._expected()}
        newest = self.history.lineage.newest
        for extent, name in there.items():
            if extent[1] > newest:
                self.unfounded.append(name)
                self._report(name, f"it covers versions up to {extent[1]}, the log ends with {newest}", can_repair=True)
                continue
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
        """Every segment that the commits which are there can make up."""
        parts = self.history.lineage.parts
        if not parts:
            return
        steps = [part for part in parts if isinstance(part, Step)]
        first = steps[0].first if steps else self.history.lineage.newest + 1
        size = fan_out = self.history.merging(self.history.lineage.newest).fan_out
        below: Sequence[Segment | Step] = steps
        while size <= self.history.lineage.newest + 1:
            level: list[Segment] = []
            by_start = {part.first: part for part in below}
            for start in range(-(-first // size) * size, self.history.lineage.newest + 2 - size, size):
                inside = [by_start[at] for at in range(start, start + size, size // fan_out)]
                merging = self.history.merging(start + size - 1)
                level.append(merge(inside, merging.reader, merging.order))
            yield from level
            below, size = level, size * fan_out

    def _derived(self, extent: tuple[int, int]) -> Segment | None:
        """The segment of any other range; None if its commits are folded."""
        steps = [part for part in self.history.lineage.parts if extent[0] <= part.first and part.last <= extent[1]]
        if not steps or steps[0].first != extent[0] or any(isinstance(part, Segment) for part in steps):
            return None
        merging = self.history.merging(extent[1])
        return merge(steps, merging.reader, merging.order)

    def _segment_problem(self, name: str, extent: tuple[int, int], wanted: Segment | None) -> object | None:
        try:
            found = read_segment(self.store, self.prefix + name, extent)
            assert found.sealed is not None
            found.sealed.check_all()
        except TablelogError as error:
            return error
        if wanted is not None and not same_content(found, wanted):
            return "it does not say what its commits say"
        return None

    def _check_hint(self, sizes: dict[str, int]) -> None:
        newest = self.history.lineage.newest
        if names.HINT not in sizes:
            self.is_hint_wrong = newest >= 0
            return
        hint = decode_hint(self.store.get(self.prefix + names.HINT))
        if hint is None or hint.version > newest:
            self.is_hint_wrong = True
            what = (
                "it is damaged" if hint is None else f"it speaks of version {hint.version}, the log ends with {newest}"
            )
            self._report(names.HINT, f"{what}; reading is only slower", harmless=True, can_repair=True)

    def repair(self) -> None:
        """Write what can be derived: one put for each thing that is wrong."""
        for segment in self.unwritten:
            data, _ = encode_segment(segment)
            self.store.put(self.prefix + names.segment(segment.first, segment.last), data)
        for name in self.unfounded:
            self.store.delete(self.prefix + name)
        if self.empty_until is not None:
            empty_commits(self.store, self.prefix, self.empty_until, self.history.base_digest)
        if self.is_hint_wrong or self.unwritten:
            newest = self.history.lineage.newest
            fan_out = self.history.merging(newest).fan_out
            version = max(0, self.history.base or 0, newest - (newest + 1) % fan_out)
            put_hint(self.store, self.prefix, Hint(version=version, fan_out=fan_out, base=self.history.base))


def check_data_files(store: ObjectStore, history: TableHistory, *, read: bool) -> tuple[list[Problem], int, int]:
    """Hold the data files of all versions that can be read against the log; problems, objects and bytes.

    With `read` every byte is read; else only their names and sizes are.
    """
    sizes = {info.key: info.size_bytes for info in store.list("") if not info.key.startswith(names.LOG)}
    files = list(_retained_files(history))

    def problem(file: AddFile) -> Problem | None:
        if file.path not in sizes:
            return Problem(object=file.path, problem="the log needs it and it is missing")
        if sizes[file.path] != file.size_bytes:
            text = f"it has {sizes[file.path]:,} bytes, the log says {file.size_bytes:,}"
            return Problem(object=file.path, problem=text)
        if read and file.crc32 is not None and _crc32(store, file) != file.crc32:
            return Problem(object=file.path, problem="its bytes are not those that were written: the CRC-32 is another")
        return None

    is_far = local_path(store, names.LOG + names.HINT) is None
    problems = [found for found in together(problem, files, side_by_side=is_far and read) if found is not None]
    return problems, len(files), sum(file.size_bytes for file in files)


def _retained_files(history: TableHistory) -> Iterator[AddFile]:
    """Every file of any version that can be read."""
    parts = history.lineage.parts
    if not parts:
        return
    whole = merge(parts, history.reader)
    for block in (*whole.live, *whole.dead):
        ends = block.columns(("removed",))["removed"].to_pylist()
        places = [place for place, end in enumerate(ends) if end is None or end > history.horizon]
        yield from file_actions(block, places, history.reader)


def _crc32(store: ObjectStore, file: AddFile) -> int:
    checksum = 0
    for start in range(0, file.size_bytes, _PIECE_BYTES):
        checksum = zlib.crc32(store.get(file.path, ByteRange(start=start, end=start + _PIECE_BYTES)), checksum)
    return checksum
