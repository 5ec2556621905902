"""A log with the state that it adds up to beside it, and the loop that every change goes through.

Each operation is a function from a state to a draft of actions. `commit` plans on the newest known state and tries
the next version; if somebody else was there first it takes their commits in and plans again. What an operation did
already (files it wrote, files it looked into) it keeps to itself between plans, so planning again costs only what is
new; what can no longer be done on the new state it says with `ConflictError` from inside the plan.

The newest known state is planned on without asking the store whether it still is the newest: the put itself will
tell. After a lost race the writer waits for a random part of the time that its try took, longer after each loss, so
that many writers take turns instead of racing for ever.

Whoever commits the last version of a range that a segment covers writes that segment, and the hint. The commit stands
by then: if that fails, the writer is warned and readers read what the segment would have been merged from.
"""

from __future__ import annotations

import threading
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

from tablelog import env
from tablelog.errors import ConflictError, CorruptionError, NotFoundError, StoreError, TablelogError
from tablelog.format.commits import CommitRecord
from tablelog.log.commits import CommitLog, Committed, FoldedError
from tablelog.log.opening import LogReader, put_hint, put_segment
from tablelog.log.parts import Segment
from tablelog.log.segments import decode_segment
from tablelog.parquet.sealed import WHOLE_BYTES, written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tablelog.log.commits import Draft, Lost
    from tablelog.log.lineage import Lineage, Merging
    from tablelog.store.base import ObjectStore

State_co = TypeVar("State_co", covariant=True)
State = TypeVar("State")
Answer = TypeVar("Answer")

ATTEMPTS_MAX: Final = 100
"""How often one operation is planned again after lost races before it gives up."""
OPENINGS_MAX: Final = 100
"""How often a log is read anew because history expires meanwhile."""
_WAIT_MIN_S: Final = 0.001
_WAIT_MAX_S: Final = 1.0
_DOUBLINGS_MAX: Final = 6


class UnmergedWarning(UserWarning):
    """A commit stands, but what makes opening the log fast could not be written."""


class History(Protocol[State_co]):
    """What a log means: takes in commits, single or merged, in their order."""

    @property
    def lineage(self) -> Lineage:
        """The parts taken in so far."""

    def apply(self, record: CommitRecord) -> None:
        """Take the next commit in."""

    def load(self, segment: Segment) -> None:
        """Take the next commits in, merged."""

    def restart(self) -> None:
        """Begin before version 0."""

    @property
    def base(self) -> int | None:
        """Last version of the base that the log speaks of, if it does."""

    @property
    def base_digest(self) -> str | None:
        """Digest of that base."""

    def merging(self, version: int) -> Merging:
        """How segments are made that end with a version that was taken in."""

    def state(self) -> State_co:
        """What the commits so far add up to: an immutable value."""


class FollowedLog(Generic[State]):
    """One log, as far as this process has read it. Safe to share between threads."""

    def __init__(self, store: ObjectStore, prefix: str, history: History[State]) -> None:
        """Follow the log under `prefix`; reads nothing yet."""
        self._place: Final = f"{store.url}/{prefix}"
        self._store = store
        self._prefix = prefix
        self._log = CommitLog(store, prefix)
        self._reader = LogReader(store, prefix)
        self._history = history
        self._lock = threading.RLock()

    def refresh(self) -> State:
        """The newest state. Warm: one get that finds nothing, plus one per new commit.

        Raises:
            NotFoundError: there is no log here.

        """
        with self._lock:
            head = self._history.lineage.head
            try:
                if head is not None:
                    self._load(self._reader.follow(head))
            except FoldedError:
                head = None
            if head is None:
                self._open()
            return self._state()

    def _open(self) -> None:
        """Read everything anew; nothing is known if that fails.

        A listing shows bases of which the log does not speak, because their writers died, or are about to say so. Such
        a base lacks versions that can be read, so it is only good for finding out which one the log speaks of.
        """
        base_max: int | None = None
        for _ in range(OPENINGS_MAX):
            self._history.restart()
            try:
                self._load(self._reader.follow(None, base_max=base_max))
            except FoldedError:
                if base_max is None:
                    raise
                base_max = None  # the log speaks of another one by now
                continue
            except BaseException:
                self._history.restart()
                raise
            first = next(iter(self._history.lineage.parts), None)
            spoken = -1 if self._history.base is None else self._history.base
            if not isinstance(first, Segment) or not first.is_base or first.last <= spoken:
                return
            base_max = spoken
        self._history.restart()
        raise ConflictError(f"{self._place}: history expired {OPENINGS_MAX} times while it was read; try again")

    def _load(self, parts: Sequence[Segment | CommitRecord]) -> None:
        for part in parts:
            if isinstance(part, CommitRecord):
                self._apply(part, ours=False)
            else:
                self._history.load(part)

    def reopen(self) -> State:
        """The newest state, read anew from the first object to the last."""
        with self._lock:
            self._history.restart()
            return self.refresh()

    def look(self, back: Callable[[], Answer]) -> Answer:
        """Ask the history something while nothing is taken in."""
        with self._lock:
            return back()

    def known(self) -> State:
        """The newest state that was already read; reads the log only if it never was."""
        with self._lock:
            return self._state() if self._history.lineage.head else self.refresh()

    def commit(self, plan: Callable[[State], Draft]) -> CommitRecord:
        """Plan, commit, and plan again after each lost race. One put if there is none.

        Raises:
            ConflictError: from the plan, or after 100 lost races.
            StoreError: the storage failed.

        """
        for attempt in range(ATTEMPTS_MAX):
            with self._lock:
                state, head = self.known(), self._history.lineage.head
            try:
                draft = plan(state)
            except CorruptionError:
                self.refresh()
                if self._history.lineage.head == head:
                    raise
                continue  # what it was to read may have moved and expired meanwhile, and be gone
            began_s = env.monotonic_s()
            try:
                outcome = self._log.append(draft, after=head)
            except FoldedError:  # the version was taken so long ago that its history has expired
                self.refresh()
                continue
            took_s = env.monotonic_s() - began_s
            ours = isinstance(outcome, Committed)
            self._take_outcome(outcome)
            if ours:
                self._merge(outcome.record.version)
                return outcome.record
            wait_s = env.backoff_s(min(attempt, _DOUBLINGS_MAX), base_s=max(took_s, _WAIT_MIN_S), max_s=_WAIT_MAX_S)
            env.sleep(wait_s)
            self.refresh()
        raise ConflictError(
            f"{self._place}: {ATTEMPTS_MAX} other commits in a row were faster than this one; try again when fewer "
            f"writers are at it"
        )

    def create(self, draft: Draft) -> CommitRecord | None:
        """Commit version 0, or return None because there is a log here already. Two puts: the commit and a hint."""
        outcome = self._log.append(draft, after=None)
        ours = isinstance(outcome, Committed)
        self._take_outcome(outcome)
        if not ours:
            return None
        with self._warned(0):
            self.tell()
        return outcome.record

    def _apply(self, record: CommitRecord, *, ours: bool) -> None:
        """Take a commit in, and merge what it completes; `_merge` does that for our own."""
        self._history.apply(record)
        if not ours:
            self._history.lineage.fold(record.version, self._history.merging(record.version), only_held=True)

    def _take_outcome(self, outcome: Committed | Lost) -> None:
        """Take in what stands in the log after a try; its objects may have to be read back."""
        try:
            self._take(outcome.record, ours=isinstance(outcome, Committed))
        except StoreError as error:
            if not isinstance(outcome, Committed):
                raise
            message = f"{self._place}: version {outcome.record.version} is committed, but cannot be read back: {error}"
            raise StoreError(message, maybe_applied=True) from error

    def _take(self, record: CommitRecord, *, ours: bool) -> None:
        """Apply a record that is known to be in the log, unless another thread was faster."""
        with self._lock:
            known = self._history.lineage.head
            if record.version == (known.version + 1 if known else 0):
                self._apply(record, ours=ours)
            elif known is None or known.version < record.version:
                self.refresh()
            assert self._history.lineage.head is None or self._history.lineage.head.version >= record.version

    def _merge(self, version: int) -> None:
        """Write the segments that end with a version, and a hint; one put each, if there are any."""
        merging = self._history.merging(version)
        if (version + 1) % merging.fan_out:
            return
        with self._warned(version):
            with self._lock:
                segments = self._history.lineage.fold(version, merging, only_held=False)
            for segment in segments:
                data, _ = put_segment(self._store, self._prefix, segment)
                if segment is segments[-1]:  # if it is large, it takes less memory as its object has it
                    held = decode_segment(written(data, self._place)) if len(data) > WHOLE_BYTES else segment
                    self._history.lineage.replace(held)
            self.tell()

    @contextmanager
    def _warned(self, version: int) -> Iterator[None]:
        """Errors inside are no errors of the commit: it stands. A lost answer is none at all: nobody waits for it."""
        try:
            yield
        except TablelogError as error:
            if isinstance(error, StoreError) and error.maybe_applied:
                return
            message = f"{self._place}: version {version} is committed, but opening the log will be slower: {error}"
            warnings.warn(message, UnmergedWarning, stacklevel=2)

    def tell(self) -> None:
        """Leave a hint for those who open the log. One put."""
        with self._lock:
            lineage, base = self._history.lineage, self._history.base
            fan_out = self._history.merging(lineage.newest).fan_out
            newest, extents = lineage.newest, lineage.extents()
        put_hint(self._store, self._prefix, newest, fan_out=fan_out, base=base, extents=extents)

    def _state(self) -> State:
        if self._history.lineage.head is None:
            raise NotFoundError(f"there is nothing at {self._place}; check the path")
        return self._history.state()
