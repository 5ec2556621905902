"""A log with the state that its commits add up to beside it, and the loop that every change goes through.

Each operation is a function from a state to a draft of actions. `commit` plans on the newest known state and tries
the next version; if somebody else was there first it takes their commits in and plans again. What an operation did
already (files it wrote, files it looked into) it keeps to itself between plans, so planning again costs only what is
new; what can no longer be done on the new state it says with `ConflictError` from inside the plan.

The newest known state is planned on without asking the store whether it still is the newest: the put itself will
tell. After a lost race the writer waits for a random part of the time that its try took, longer after each loss, so
that many writers take turns instead of racing for ever.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

from tablelog import env
from tablelog.errors import ConflictError, NotFoundError
from tablelog.log.commits import CommitLog, Committed, Head, head_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tablelog.format.commits import CommitRecord
    from tablelog.log.commits import Draft
    from tablelog.store.base import ObjectStore

State_co = TypeVar("State_co", covariant=True)
State = TypeVar("State")

ATTEMPTS_MAX: Final = 100
"""How often one operation is planned again after lost races before it gives up."""
_WAIT_MIN_S: Final = 0.001
_WAIT_MAX_S: Final = 1.0
_DOUBLINGS_MAX: Final = 6


class History(Protocol[State_co]):
    """Commits applied in order."""

    @property
    def head(self) -> Head | None:
        """The newest applied commit."""

    def apply(self, record: CommitRecord) -> None:
        """Take the next commit in."""

    def state(self) -> State_co:
        """What the commits so far add up to: an immutable value."""


class FollowedLog(Generic[State]):
    """One log, as far as this process has read it. Safe to share between threads."""

    def __init__(self, store: ObjectStore, prefix: str, history: History[State]) -> None:
        """Follow the log under `prefix`; reads nothing yet."""
        self._place: Final = f"{store.url}/{prefix}"
        self._log = CommitLog(store, prefix)
        self._history = history
        self._lock = threading.RLock()

    def refresh(self) -> State:
        """The newest state. Warm: one get that finds nothing, plus one per new commit.

        Raises:
            NotFoundError: there is no log here.

        """
        with self._lock:
            for record in self._log.follow(self._history.head):
                self._history.apply(record)
            return self._state()

    def known(self) -> State:
        """The newest state that was already read; reads the log only if it never was."""
        with self._lock:
            return self._state() if self._history.head else self.refresh()

    def commit(self, plan: Callable[[State], Draft]) -> CommitRecord:
        """Plan, commit, and plan again after each lost race. One put if there is none.

        Raises:
            ConflictError: from the plan, or after 100 lost races.
            StoreError: the storage failed.

        """
        for attempt in range(ATTEMPTS_MAX):
            with self._lock:
                state, head = self.known(), self._history.head
            draft = plan(state)
            began_s = env.monotonic_s()
            outcome = self._log.append(draft, after=head)
            took_s = env.monotonic_s() - began_s
            self._take(outcome.record)
            if isinstance(outcome, Committed):
                return outcome.record
            wait_s = env.backoff_s(min(attempt, _DOUBLINGS_MAX), base_s=max(took_s, _WAIT_MIN_S), max_s=_WAIT_MAX_S)
            env.sleep(wait_s)
            self.refresh()
        raise ConflictError(
            f"{self._place}: {ATTEMPTS_MAX} other commits in a row were faster than this one; try again when fewer "
            f"writers are at it"
        )

    def create(self, draft: Draft) -> CommitRecord | None:
        """Commit version 0, or return None because there is a log here already. One put."""
        outcome = self._log.append(draft, after=None)
        self._take(outcome.record)
        return outcome.record if isinstance(outcome, Committed) else None

    def _take(self, record: CommitRecord) -> None:
        """Apply a record that is known to be in the log, unless another thread was faster."""
        with self._lock:
            known = self._history.head
            if record.version == (known.version + 1 if known else 0):
                self._history.apply(record)
            elif known is None or known.version < record.version:
                self.refresh()
            assert self._history.head is None or self._history.head.version >= head_of(record).version

    def _state(self) -> State:
        if self._history.head is None:
            raise NotFoundError(f"there is nothing at {self._place}; check the path")
        return self._history.state()
