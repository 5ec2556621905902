"""Several reads and changes of one table as one commit.

Everything in it sees the version at which it began, and what it changed itself. At the end all of it becomes one
commit, or nothing does. If others committed meanwhile, what the transaction did is done again on top of them, unless
that would be wrong (see `ops.conflicts`):

    snapshot        rows that it changes were changed by somebody else             no update is lost
    serializable    also: rows that it read were changed, or new ones would        as if it had been alone
                    have been among them                                           (no write skew, no phantoms)
"""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self

from tablelog import changing
from tablelog.committing import application
from tablelog.conditions import condition_on
from tablelog.errors import ConflictError, CorruptionError, InvalidError, NotFoundError
from tablelog.format.actions import AddFile, RemoveFile, RowChange
from tablelog.log.changed import FileChanges
from tablelog.merge import Merge
from tablelog.ops.changes import BEFORE, DELETE, row_events
from tablelog.ops.conflicts import both_take, taken_rows, touches
from tablelog.ops.planned import Planned
from tablelog.ops.removing import Leaving, Removing
from tablelog.parquet.vectors import NO_ROWS
from tablelog.provenance import commit_info
from tablelog.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from types import TracebackType

    from pyroaring import BitMap

    from tablelog.committing import Committing
    from tablelog.format.actions import Action
    from tablelog.format.schema import Schema
    from tablelog.log.facts import Commit
    from tablelog.log.metadata import Metadata
    from tablelog.log.state import TableState
    from tablelog.ops.matching import Condition
    from tablelog.ops.merge import Clause
    from tablelog.snapshot import Scan
    from tablelog.store.base import ObjectStore

    Read = Callable[[Schema], Condition] | None
    """What was asked for; None for all rows."""


class Isolation(StrEnum):
    """What a transaction is kept apart from."""

    SNAPSHOT = "snapshot"
    SERIALIZABLE = "serializable"


class Transaction:
    """Reads and changes that become one commit. Use it in a `with`: an error inside means that nothing happens.

    Not to be shared between threads. Reading costs no request to the log.
    """

    def __init__(
        self,
        table: Committing,
        name: str,
        isolation: str,
        idempotent: tuple[str, int] | None = None,
        info: Mapping[str, Any] | None = None,
    ) -> None:
        """Made by `Table.transaction`. One get."""
        try:
            self.isolation = Isolation(isolation)
        except ValueError as error:
            raise InvalidError(f"isolation={isolation!r} is none of 'snapshot' and 'serializable'") from error
        self._table = table
        self._name = name
        self._number = application(idempotent)
        self._about = commit_info(info)
        self._state = table.log.refresh()
        self._committed = table.done(self._number)
        self._checked = self._state.version
        self._plans: list[changing.Plan] = []
        self._reads: list[Read] = []
        self._removing = Removing(table.store)
        self._ended = False

    # ------------------------------------------------------------------ reading

    def snapshot(self) -> Snapshot:
        """The table as the transaction sees it; counts as having read all of it."""
        self._reads.append(None)
        return Snapshot(self._state, self._table.store, self._name)

    def scan(self, columns: Iterable[str] | None = None, where: str | None = None) -> Scan:
        """Some columns of the rows that fulfil a condition; counts as having read those rows. See `Snapshot.scan`."""
        scan = Snapshot(self._state, self._table.store, self._name).scan(columns, where)
        self._reads.append(None if where is None else condition_on(where))
        return scan

    # ------------------------------------------------------------------ changing

    def append(self, data: object) -> None:
        """See `Table.append`."""
        self._do(lambda table: changing.appending(table, data))

    def overwrite(self, data: object, where: str | None = None) -> None:
        """See `Table.overwrite`."""
        self._do(lambda table: changing.overwriting(table, self._removed(), data, where))

    def delete(self, where: str) -> None:
        """See `Table.delete`."""
        self._do(lambda table: changing.deleting(table, self._removed(), where))

    def update(self, values: Mapping[str, object], where: str | None = None) -> None:
        """See `Table.update`."""
        self._do(lambda table: changing.updating(table, self._removed(), values, where))

    def upsert(self, data: object, on: str | Sequence[str] | None = None) -> None:
        """See `Table.upsert`."""
        self._do(lambda table: changing.upserting(table, self._removed(), data, on))

    def merge(self, source: object, on: str) -> Merge[None]:
        """See `Table.merge`; `execute` gives nothing here."""
        rows = changing.merge_source(source, on)

        def run(clauses: Sequence[Clause], info: Mapping[str, Any] | None) -> None:
            if info is not None:
                raise InvalidError("info is about the whole transaction; give it to transaction()")
            self._do(lambda table: changing.merging(table, self._removed(), rows, on, clauses))

        return Merge(run)

    def _removed(self) -> Removing:
        """Survivors stay where they are until the end: what was done is put together from where each row was."""
        return Removing(self._table.store, moves=False)

    def _do(self, begin: Callable[[_Seen], changing.Plan]) -> None:
        if self._ended:
            raise InvalidError("the transaction has ended; begin another one")
        if self._committed is not None:
            return
        plan = begin(_Seen(self._table.store, self._state.metadata))
        try:
            self._state = self._state.after(plan(self._state, {}).actions)
        except CorruptionError as error:
            if self._table.log.refresh().metadata.horizon.version <= self._checked:
                raise
            raise ConflictError(f"version {self._checked} expired while it was read; begin again") from error
        self._plans.append(plan)

    # ------------------------------------------------------------------ ending

    def commit(self) -> Commit | None:
        """Make it happen, once. None if there was nothing to do.

        If the number was committed already, by whatever process, that commit is returned and nothing happens.

        Raises:
            ConflictError: others committed what this cannot stand beside; nothing happened. Begin again.

        """
        if self._ended:
            raise InvalidError("the transaction has ended; begin another one")
        self._ended = True
        if not self._plans:
            return self._committed
        return self._table.commit(self._plan, self._number)

    def rollback(self) -> None:
        """Forget all of it."""
        self._ended = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._ended:
            return
        if error is None:
            self.commit()
        else:
            self.rollback()

    def _plan(self, state: TableState) -> Planned:
        for version in range(self._checked + 1, state.version + 1):
            self._refuse(version)
            self._checked = version
        done = _Done(self._table, state)
        for plan in self._plans:
            done.do(plan)
        actions, counts = done.actions(self._removing)
        return Planned(operation="transaction", actions=actions, info={**self._about, **counts})

    def _refuse(self, version: int) -> None:
        """Hold the transaction against a commit that won meanwhile."""
        history, store = self._table.history, self._table.store

        def happened() -> tuple[TableState, TableState, FileChanges | None]:
            before, after = history.state_at(version - 1), history.state_at(version)
            return before, after, history.file_changes(version - 1, version).get(version)

        try:
            before, after, changes = self._table.log.look(happened)
        except NotFoundError as error:
            raise ConflictError(f"nobody can tell any more what happened meanwhile: {error}; begin again") from error
        if changes is None:
            return
        done = _Done(self._table, before)
        for plan in self._plans:
            done.do(plan)
        path = both_take({each.file.path: each.rows for each in done.leaving()}, taken_rows(store, changes))
        if path is not None:
            raise self._conflict(version, f"took out rows of {path} that this transaction changes as well")
        if self.isolation is Isolation.SERIALIZABLE:
            for read in self._reads:
                if touches(store, (before, after), changes, read):
                    raise self._conflict(version, "changed rows that this transaction has read")

    def _conflict(self, version: int, did: str) -> ConflictError:
        commit = self._table.log.look(lambda: self._table.history.commit_at(version))
        who = commit.info.get("who", "unknown")
        return ConflictError(f"version {version} ({commit.operation} by {who}) {did}; begin again")


class _Seen:
    """The table as a transaction sees it, for operations that begin inside it."""

    def __init__(self, store: ObjectStore, metadata: Metadata) -> None:
        self.store = store
        self._metadata = metadata

    def newest(self) -> Metadata:
        return self._metadata

    def metadata_for(self, _: Iterable[str]) -> Metadata:
        return self._metadata


class _Done:
    """What plans do to a state one after the other, put together as if they were one."""

    def __init__(self, table: Committing, state: TableState) -> None:
        self._store = table.store
        self._base = self._state = state
        self._files: dict[str, AddFile] = {}
        """Files of the base of which rows go."""
        self._gone: dict[str, dict[str, BitMap]] = {DELETE: {}, BEFORE: {}}
        self._fresh: dict[str, AddFile] = {}
        self._others: list[Action] = []

    def do(self, plan: changing.Plan) -> None:
        """Carry a plan out in memory."""
        actions = self._state.placed(plan(self._state, {}).actions)
        added = {action.path: action for action in actions if isinstance(action, AddFile)}
        removed = self._state.find({action.path for action in actions if isinstance(action, RemoveFile)})
        replaces = False
        for event in row_events(self._store, FileChanges([*added.values()], [*removed.values()])):
            path = event.file.path
            if event.kind in self._gone and path not in self._fresh:
                replaces |= event.kind == BEFORE
                rows = self._gone[event.kind]
                rows[path] = rows.get(path, NO_ROWS) | event.rows
                self._files.setdefault(path, removed[path])
        for path in removed.keys() & self._fresh.keys():
            gone = self._fresh.pop(path)
            if path in added:
                self._fresh[path] = replace(added.pop(path), change=gone.change, gone=None)
        new = {path: file for path, file in added.items() if path not in removed}
        if not replaces:  # images of rows that nobody else has seen are new ones to everybody else
            new = {path: replace(file, change=RowChange.INSERT) for path, file in new.items()}
        self._fresh |= new
        self._others += [action for action in actions if not isinstance(action, AddFile | RemoveFile)]
        self._state = self._state.after(actions)

    def leaving(self) -> list[Leaving]:
        """Rows of the base that go."""
        deleted, updated = self._gone[DELETE], self._gone[BEFORE]
        return [
            Leaving(file=file, deleted=deleted.get(path, NO_ROWS), updated=updated.get(path, NO_ROWS))
            for path, file in self._files.items()
        ]

    def actions(self, removing: Removing) -> tuple[list[Action], dict[str, int]]:
        """What it all comes to, and how many rows come and go."""
        leaving = self.leaving()
        actions = [*self._others, *removing.actions(self._base.metadata, leaving)]
        actions += [file if file.content is None else replace(file, path="") for file in self._fresh.values()]
        rows_added = sum(file.live_row_count for file in self._fresh.values())
        return actions, {"rows_added": rows_added, "rows_deleted": sum(len(each.rows) for each in leaving)}
