"""How an operation on a table becomes a commit: planned, tried, planned again after each lost race.

Here is what all operations have in common: the log that they commit to, the numbers by which nothing is done twice, the
epoch by which an owner that was replaced is kept out, and what a conflict says about those who won. `ops.conflicts` has
the rules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tablelog.errors import ConflictError, CorruptionError, FencedError, InvalidError
from tablelog.format import names
from tablelog.format.actions import SetApplication, SetFence
from tablelog.format.schema import check_name
from tablelog.log.followed import FollowedLog
from tablelog.log.history import TableHistory
from tablelog.ops.planned import Drafting, Planned
from tablelog.ops.vacuum import refuse_late

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from tablelog.log.commits import Draft
    from tablelog.log.facts import Commit
    from tablelog.log.metadata import Metadata
    from tablelog.log.state import TableState
    from tablelog.store.base import ObjectStore

_WINNERS_SHOWN: Final = 5


class Committing:
    """One table's log and what was read of it. Safe to share between threads."""

    def __init__(self, store: ObjectStore, history: TableHistory | None = None) -> None:
        """Commit to the log of the table in a store's root."""
        self.store: Final = store
        self.history: Final = history or TableHistory(store)
        self.log: Final[FollowedLog[TableState]] = FollowedLog(store, names.LOG, self.history)
        self._fence: SetFence | None = None
        self.is_calm = True
        """Whether nobody else committed at the same time, the last time."""

    def fenced(self, fence: SetFence) -> Committing:
        """The same for whoever holds an epoch of a name."""
        other = Committing.__new__(Committing)
        other.__dict__.update(self.__dict__, _fence=fence)
        return other

    def commit(self, plan: Callable[[TableState], Planned], number: SetApplication | None = None) -> Commit:
        """Commit what a plan wants. One put-if-absent if nobody else commits meanwhile.

        With a number that was committed already, nothing is committed, and that commit is the answer.

        Raises:
            ConflictError: somebody else committed what this cannot stand beside; who, what and which version is said.
                Or it took so long that a vacuum may have removed what it brings.
            FencedError: somebody else took the name over.
            StoreError: the storage failed.

        """
        drafting = Drafting(self.history, self.store)
        began: int | None = None
        vacuumed_us = 0

        def draft(state: TableState) -> Draft:
            nonlocal began, vacuumed_us
            self.is_calm = began is None
            if began is None:
                began, vacuumed_us = state.version, state.metadata.vacuumed_us
            self._refuse_fenced(state)
            self._refuse_done(number)
            try:
                planned = plan(state)
            except ConflictError as error:
                raise ConflictError(f"{error}{self._winners(began, state.version)}") from error
            except CorruptionError as error:
                if state.metadata.vacuumed_us == vacuumed_us:
                    raise
                raise ConflictError(
                    f"a vacuum came while this was on its way, and may have removed what it had stored; write again, "
                    f"in less time than the grace of vacuum(): {error}"
                ) from error
            refuse_late(planned.actions, state.metadata.vacuumed_us, self.history)
            numbered = planned if number is None else planned.numbered(number)
            return drafting.draft_of(numbered, state.metadata.vacuumed_us)

        try:
            record = self.log.commit(draft)
        except _DoneError as done:
            return done.commit
        return drafting.commit_of(record)

    def commit_if_any(self, plan: Callable[[TableState], Planned | None]) -> Commit | None:
        """Commit what a plan wants, as `commit` does; None, and no commit, once it wants nothing."""

        def wanted(state: TableState) -> Planned:
            planned = plan(state)
            if planned is None:
                raise _NothingLeftError
            return planned

        try:
            return self.commit(wanted)
        except _NothingLeftError:
            return None

    def done(self, number: SetApplication | None) -> Commit | None:
        """The commit that was made under a number, as far as is known without asking the store."""
        try:
            self._refuse_done(number)
        except _DoneError as done:
            return done.commit
        return None

    def newest(self) -> Metadata:
        """What the table is now. One get."""
        return self.log.refresh().metadata

    def metadata_for(self, columns: Iterable[str]) -> Metadata:
        """What is known of the table; asked anew if it lacks a column, which somebody may have added or renamed."""
        metadata = self.log.known().metadata
        known = {field.name.casefold() for field in metadata.schema}
        return metadata if known.issuperset(map(str.casefold, columns)) else self.log.refresh().metadata

    def _refuse_fenced(self, state: TableState) -> None:
        newest = None if self._fence is None else state.metadata.fences.get(self._fence.name)
        if self._fence is not None and newest != self._fence.epoch:
            raise FencedError(
                f"{self._fence.name!r} was taken over: this writer has epoch {self._fence.epoch}, version "
                f"{state.version} of the table is at epoch {newest}; stop, or take it over again with exclusive()"
            )

    def _refuse_done(self, number: SetApplication | None) -> None:
        if number is None:
            return
        self.log.known()
        known = self.log.look(lambda: self.history.numbered(number.name))
        if number.number in known:
            raise _DoneError(self.log.look(lambda: self.history.commit_at(known[number.number])))
        newest = max(known, default=-1)
        if number.number < newest:
            raise ConflictError(
                f"{number.name!r} has committed number {newest} in version {known[newest]}, and nothing is known of a "
                f"number {number.number} before it; numbers of one name increase from commit to commit"
            )

    def _winners(self, since: int, until: int) -> str:
        """Who committed what meanwhile, for the message of a conflict."""
        commits = self.log.look(lambda: [each for each in self.history.commits(until) if each.version > since])
        told = [f"version {each.version} is {each.operation} by {each.info.get('who', 'unknown')}" for each in commits]
        return f" ({', '.join(told[:_WINNERS_SHOWN])})" if told else ""


def take_over(table: Committing, name: str, about: Mapping[str, Any]) -> Committing:
    """See `Table.exclusive`."""
    check_name(name, "name of a writer")
    fence = SetFence(name=name, epoch=0)

    def plan(state: TableState) -> Planned:
        nonlocal fence
        fence = SetFence(name=name, epoch=state.metadata.fences.get(name, 0) + 1)
        told = {**about, "change": f"epoch {fence.epoch} of {name}"}
        return Planned(operation="fence", actions=[fence], info=told)

    table.commit(plan)
    return table.fenced(fence)


class _NothingLeftError(Exception):
    """There is nothing to commit, or somebody else did it meanwhile."""


class _DoneError(Exception):
    """A numbered commit is there already."""

    def __init__(self, commit: Commit) -> None:
        super().__init__()
        self.commit = commit


def application(idempotent: object) -> SetApplication | None:
    """The name and number that a person gave to a commit.

    Raises:
        InvalidError: it is something else.

    """
    if idempotent is None:
        return None
    match idempotent:
        case (str(name), int(number)) if not isinstance(number, bool) and 0 <= number < 1 << 63:
            check_name(name, "name of a writer")
            return SetApplication(name=name, number=number)
        case _:
            raise InvalidError(f"idempotent={idempotent!r} is no name and number, such as ('nightly-load', 17)")
