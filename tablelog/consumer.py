"""A reader of changes that remembers how far it has come, across restarts and machines.

    with orders.consumer("daily-report").take() as changes:
        write_report(changes.to_polars())        # the position moves on when the block ends without an error

The position is the newest entry of a log beside the table's, `_consumers/<name>/`, decided by put-if-not-exists like
every other: of two processes that work on the same changes one moves the position, the other gets `ConflictError` and
has done its work in vain, but never unnoticed. The table's own log does not grow by it.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from tablelog.errors import ConflictError, InvalidError, NotFoundError
from tablelog.format import names
from tablelog.format.schema import check_name
from tablelog.log.commits import Draft
from tablelog.log.followed import FollowedLog
from tablelog.log.positions import BEGINNING, Positions
from tablelog.provenance import commit_info

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tablelog.changes import Changes
    from tablelog.store.base import ObjectStore


class Consumer:
    """Reads a table's changes from where it was the last time."""

    def __init__(self, store: ObjectStore, name: str, changes: Callable[[int, int | None], Changes]) -> None:
        """Made by `Table.consumer`."""
        check_name(name, "name of a consumer")
        self.name: Final = name
        self._changes = changes
        self._log: FollowedLog[int] = FollowedLog(store, names.consumer(name), Positions())

    @property
    def position(self) -> int:
        """The version up to which changes were taken; -1 if none ever were. One get."""
        try:
            return self._log.refresh()
        except NotFoundError:
            return BEGINNING

    def changes(self, until: int | None = None) -> Changes:
        """What has changed since; nothing is remembered by asking."""
        position = self.position
        return self._changes(position, until if until is None else max(until, position))

    @contextmanager
    def take(self, until: int | None = None) -> Iterator[Changes]:
        """What has changed since; it counts as taken when the block ends without an error.

        Raises:
            ConflictError: somebody else took changes under this name meanwhile; what the block did was done twice.

        """
        changes = self.changes(until)
        yield changes
        self.advance(changes)

    def advance(self, changes: Changes, *, info: Mapping[str, Any] | None = None) -> None:
        """Remember that changes were taken. One put-if-absent, none if there were no new versions.

        Raises:
            ConflictError: the position is not where these changes begin any more.

        """
        if changes.until == changes.since:
            return

        def plan(position: int) -> Draft:
            if position != changes.since:
                raise ConflictError(
                    f"consumer {self.name!r} is at version {position}, these changes begin after {changes.since}; "
                    f"somebody else took them"
                )
            return self._draft(changes.until, info)

        self._commit(plan)

    def seek(self, version: int, *, info: Mapping[str, Any] | None = None) -> None:
        """Go to a version, back or forth: its changes count as taken, those after it do not. -1 for the beginning.

        Raises:
            NotFoundError: there is no such version, or its history has expired.

        """
        if isinstance(version, bool) or not hasattr(version, "__index__") or version < BEGINNING:
            raise InvalidError(f"version {version!r} is no position; give a version, or -1 for the beginning")
        self._changes(version, None)  # a version that is not there, or not any more, is said to be just that
        self._commit(lambda _: self._draft(version, info))

    def _draft(self, version: int, info: Mapping[str, Any] | None) -> Draft:
        return Draft(operation="position", actions=({"position": {"version": version}},), info=commit_info(info))

    def _commit(self, plan: Callable[[int], Draft]) -> None:
        try:
            self._log.known()
        except NotFoundError:
            if self._log.create(plan(BEGINNING)) is not None:
                return
        self._log.commit(plan)

    def __repr__(self) -> str:
        return f"consumer {self.name!r} at version {self.position}"
