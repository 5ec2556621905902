"""A table: the object people hold.

A `Table` is live. Whatever asks it about rows or columns first looks whether there is a newer version, which costs
one get that finds nothing; `Table.at` and `Table.snapshot` give a `Snapshot` that stays as it is. Every change is one
commit, and every change that returns is durable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tablelog import changing, compacting, upkeep, versions
from tablelog.alter import Alter
from tablelog.committing import Committing, application, take_over
from tablelog.consumer import Consumer
from tablelog.lease import PATIENCE_S
from tablelog.merge import Merge
from tablelog.ops.removing import Removing
from tablelog.provenance import commit_info
from tablelog.readable import Readable
from tablelog.snapshot import Snapshot
from tablelog.store.in_lake import open_table_store
from tablelog.transaction import Isolation, Transaction
from tablelog.watching import watch
from tablelog.writer import Writer

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence
    from datetime import date, datetime, timedelta

    import polars as pl

    from tablelog.changes import Changes
    from tablelog.format.schema import Schema
    from tablelog.log.facts import Commit
    from tablelog.log.history import TableHistory
    from tablelog.log.state import TableState
    from tablelog.ops.merge import Clause
    from tablelog.ops.planned import Planned
    from tablelog.ops.verify import Verification
    from tablelog.store.base import ObjectStore
    from tablelog.vacuumed import Vacuum
    from tablelog.watching import Event

    Info = Mapping[str, Any] | None
    """What the history shall say beside what it says anyway."""
    Number = tuple[str, int] | None
    """A name, and a number that grows from commit to commit under it."""
    Moment = str | datetime | date | None
    Progress = Callable[[int], None] | None


class Table(Readable):
    """A live table. Safe to share between threads, and to open in any number of processes."""

    def __init__(
        self, store: ObjectStore, name: str, history: TableHistory | None = None, *, base: Committing | None = None
    ) -> None:
        """Hold the table in a store's root; `open_table` and `Lake.table` are the ways to get one."""
        self.name: Final = name
        self._table = base or Committing(store, history)
        self._store: Final = store
        self._log, self._history = self._table.log, self._table.history

    # ------------------------------------------------------------------ looking

    @property
    def url(self) -> str:
        """Where its folder is."""
        return self._store.url

    @property
    def version(self) -> int:
        """The newest version. One get."""
        return self._log.refresh().version

    @property
    def schema(self) -> Schema:
        """Columns at the newest version. One get."""
        return self._log.refresh().schema

    @property
    def row_count(self) -> int:
        """Rows at the newest version, known from the log. One get."""
        return self._log.refresh().row_count

    @property
    def id(self) -> str:
        """Who the table is, whatever it is called and wherever it is moved."""
        return self._log.known().metadata.table_id

    def snapshot(self) -> Snapshot:
        """The newest version, to be read in peace. One get."""
        return Snapshot(self._log.refresh(), self._store, self.name)

    def at(self, version: int | None = None, timestamp: Moment = None, tag: str | None = None) -> Snapshot:
        """The table as it was: at a version, at a moment (the newest version committed by then), or at a tag.

        A timestamp without a zone is UTC. A moment in the future is the newest version.

        Raises:
            NotFoundError: there is no such version or tag, or the table is younger than that.
            InvalidError: not exactly one of the three is given, or it makes no sense.

        """
        return Snapshot(versions.state_at(self._table, version, timestamp, tag), self._store, self.name)

    def changes(self, since: int, until: int | None = None) -> Changes:
        """Rows that came and went after version `since`, up to version `until` or the newest one. One get.

        `since` is not included, so `changes(since=3, until=9)` are the changes that lead from version 3 to version 9;
        -1 stands for the time before version 0. Compactions change no rows.

        Raises:
            NotFoundError: there is no such version, or its history has expired.
            InvalidError: `until` comes before `since`.

        """
        return versions.changes(self._table, self.name, since, until)

    def consumer(self, name: str) -> Consumer:
        """A reader of changes under a name, whose position is stored beside the table; see `Consumer`."""
        return Consumer(self._store, name, self.changes)

    def tags(self) -> dict[str, int]:
        """Versions that have a name, by it. One get."""
        return dict(self._log.refresh().metadata.tags)

    def history(self) -> pl.DataFrame:
        """One row per version, newest first: when, what, by whom, how many rows and files."""
        return versions.history_frame(self._table)

    # ------------------------------------------------------------------ changing

    def append(
        self, data: object, *, idempotent: Number = None, info: Info = None, on_progress: Progress = None
    ) -> Commit:
        """Add rows. One put-if-absent; one put per file before that, if they are more than a commit holds itself.

        Appends never conflict with what others do to rows. `data` is anything that speaks the Arrow PyCapsule stream, a
        record batch reader (streamed, in bounded memory), a dict of columns or a list of dicts. Columns are found by
        name. `info` is kept in the history; `on_progress` is called with the number of rows stored so far.

        `idempotent` is a name and a number of your own, larger for each commit under that name, such as
        `("nightly-load", 17)`: if it was committed already, by whatever process, nothing is added and that commit is
        returned.

        Raises:
            InvalidError: the rows do not fit the table; nothing is added.
            ConflictError: a rule was added to the table while the rows were being written.

        """
        return self._do(lambda table, _: changing.appending(table, data, on_progress), idempotent, info)

    def writer(self, *, max_delay: float = 0.1, max_bytes: int = 8 * 1024 * 1024) -> Writer:
        """Gather many small appends, from any number of threads, into few commits.

        A commit is made when the oldest append has waited for `max_delay` seconds, or `max_bytes` of rows (in memory)
        have come together. `with table.writer() as writer: writer.append(rows)` gives a future of the commit.
        """
        return Writer(
            lambda data: changing.shaped(self._table, data),
            lambda tables: self.append(batch for table in tables for batch in table.to_batches()),
            max_delay_s=max_delay,
            bytes_max=max_bytes,
        )

    def overwrite(
        self,
        data: object,
        where: str | None = None,
        *,
        idempotent: Number = None,
        info: Info = None,
        on_progress: Progress = None,
    ) -> Commit:
        """Put rows in the place of all rows, or of those that fulfil `where`, in one commit.

        With `where`, the new rows must fulfil it too, so that running the same overwrite twice gives the same table.

        Raises:
            InvalidError: the rows do not fit the table or `where`; nothing is changed.
            ConflictError: a rule was added to the table while the rows were being written.

        """
        return self._do(
            lambda table, removing: changing.overwriting(table, removing, data, where, on_progress), idempotent, info
        )

    def delete(self, where: str, *, idempotent: Number = None, info: Info = None) -> Commit:
        """Take out the rows that fulfil a condition; `where="true"` takes all.

        Files in which every row matches are dropped unread, files in which none can are left alone; of the rest only
        the columns of the condition are read. Rows for which the condition is unknown (null) stay.

        Raises:
            InvalidError: `where` is not a condition on this table.

        """
        return self._do(lambda table, removing: changing.deleting(table, removing, where), idempotent, info)

    def update(
        self, values: Mapping[str, object], where: str | None = None, *, idempotent: Number = None, info: Info = None
    ) -> Commit:
        """Change columns of the rows that fulfil a condition, or of all rows.

        `values` maps columns to SQL expressions (text) or plain values: `{"price": "price * 1.1", "checked": True}`.
        Expressions see the rows as they were; what they give is cast to the column's type as SQL's UPDATE does.

        Raises:
            InvalidError: an expression makes no sense, or a changed row breaks a rule; nothing is changed.
            NotFoundError: no such column.

        """
        return self._do(lambda table, removing: changing.updating(table, removing, values, where), idempotent, info)

    def upsert(
        self, data: object, on: str | Sequence[str] | None = None, *, idempotent: Number = None, info: Info = None
    ) -> Commit:
        """Bring rows in by the table's key, or by the columns `on`: they replace the rows with the same values there.

        Of the table only those columns are read. The new rows are held in memory. If `data` lacks some columns, rows
        that are there keep theirs and new rows get the default.

        Raises:
            InvalidError: the data brings a key twice, or rows that do not fit the table; nothing is changed.

        """
        return self._do(lambda table, removing: changing.upserting(table, removing, data, on), idempotent, info)

    def merge(self, source: object, on: str, *, idempotent: Number = None) -> Merge[Commit]:
        """Let the rows of a source decide what becomes of the table's rows; see `Merge` for the clauses.

        `on` is an SQL condition that says which rows match; `t` is the table in it, `s` the source. The source is held
        in memory, the table is not.

            orders.merge(new, on="t.id = s.id").when_matched_update().when_not_matched_insert().execute()
        """
        application(idempotent)  # what makes no sense is said at once
        rows = changing.merge_source(source, on)

        def run(clauses: Sequence[Clause], info: Info) -> Commit:
            return self._do(
                lambda table, removing: changing.merging(table, removing, rows, on, clauses), idempotent, info
            )

        return Merge(run)

    def transaction(
        self, isolation: str = Isolation.SNAPSHOT, *, idempotent: Number = None, info: Info = None
    ) -> Transaction:
        """Several reads and changes of this table as one commit; see `Transaction`.

        with orders.transaction("serializable") as tx:
            if tx.scan(where="room = 7").to_polars().is_empty():
                tx.append(booking)
        """
        return Transaction(self._table, self.name, isolation, idempotent, info)

    # ------------------------------------------------------------------ versions

    def restore(
        self, version: int | None = None, timestamp: Moment = None, tag: str | None = None, *, info: Info = None
    ) -> Commit:
        """Make the table what it was at a version, a moment or a tag: rows, columns, rules and settings. A new version.

        No data is read or written. Tags stay, and so does the history: what is undone can be restored as well.

        Raises:
            NotFoundError, InvalidError: as `at`.

        """
        return versions.restore(self._table, version, timestamp, tag, info)

    def revert(self, version: int, *, info: Info = None) -> Commit:
        """Take one commit back and keep what came after it: its rows go, rows that it took away come back.

        Raises:
            ConflictError: later commits changed rows or settings that it brought; they are listed.
            InvalidError: rows that would come back break a rule of today or have a key that is there by now, or the
                version changed nothing that can be taken back.
            NotFoundError: there is no such version, or its history has expired.

        """
        return versions.revert(self._table, version, info)

    def tag(self, name: str, version: int | None = None, timestamp: Moment = None, *, info: Info = None) -> Commit:
        """Give a version a name, the newest one unless told otherwise; `at(tag=…)` finds it. It does not expire.

        Raises:
            InvalidError: the name stands for another version; `untag` it first.
            NotFoundError: there is no such version.

        """
        return versions.tag(self._table, name, version, timestamp, info)

    def untag(self, name: str, *, info: Info = None) -> Commit:
        """Take a tag away; its version stays as long as any other does."""
        return versions.untag(self._table, name, info)

    # ------------------------------------------------------------------ writing alone

    def exclusive(self, name: str, *, info: Info = None) -> Table:
        """Take over writing under a name: whoever held it before gets `FencedError` instead of a commit from now on.

        One commit. The table that is returned writes under the name; others that do not use the name are not affected.
        """
        return Table(self._store, self.name, base=take_over(self._table, name, commit_info(info)))

    # ------------------------------------------------------------------ upkeep

    def compact(
        self, *, full: bool = False, info: Info = None, on_progress: Callable[[compacting.Progress], None] | None = None
    ) -> Commit | None:
        """Put rows inside the log and small files together, bring levels into shape, leave out what is deleted.

        Goes on in steps, each a commit and of bounded work, until nothing is worth doing (see `ops.compaction`), and
        returns the last commit, None if there was nothing to do. With `full` every partition becomes one sorted run of
        full-sized files without deleted rows, whatever that costs.

        No version's rows change, and no writer fails because of it: what others do meanwhile is carried over, or the
        files in question are left for another time.
        """
        return compacting.compact(self._table, info, full=full, on_progress=on_progress)

    def keep_compact(
        self,
        *,
        every: float = 10.0,
        patience: float = PATIENCE_S,
        stop: Callable[[], bool] = lambda: False,
        on_event: Callable[[Event, Commit | None], None] = lambda _event, _commit: None,
        on_progress: Callable[[compacting.Progress], None] | None = None,
    ) -> None:
        """Compact whenever that is worth it, looking every so many seconds, until `stop()` says so.

        Of any number of processes that do this to one table one works; the others wait, and one of them takes over when
        the one that works ends or has given no sign of life for `patience` seconds. It is kept out by a fence in the
        log (see `exclusive`), so two never work on the table at once. `on_event` is told when that changes, and of each
        commit.
        """
        watch(self._table, every, patience, stop, on_event, on_progress)

    def expire(self, keep: int | str | timedelta, *, info: Info = None) -> Commit | None:
        """Stop keeping history: a number of newest versions stays, or what the table was since some time ago.

        `keep` is `"30 days"`, `"12 hours"`, a `timedelta` or a number of versions. Older versions can no longer be
        read, and the commits before them are folded into one object. Data files stay. None if nothing is older.

        Raises:
            InvalidError: `keep` makes no sense, or would keep nothing.

        """
        return upkeep.expire(self._table, self.name, keep, info)

    def vacuum(self, *, grace: str | timedelta = "7 days", dry_run: bool = False, info: Info = None) -> Vacuum:
        """Remove objects that no version and no clone needs; the answer says for each object why it stays or goes.

        They are written down first, and removed by a call that comes at least `grace` later. A writer who takes longer
        than that gets `ConflictError`. With `dry_run` nothing changes, and the time is this machine's. If a clock is
        wrong, or the listing lacks something (`StoreError`, `CorruptionError`), nothing is removed.
        """
        return upkeep.vacuum(self._table, self.name, grace, info, dry_run=dry_run)

    def verify(self, *, data: bool = True) -> Verification:
        """Look at everything that the table consists of, and say what is wrong and where. Changes nothing.

        Every object of the log is read, the chain of commits is walked, segments are made again and compared. Data
        files of all versions that can be read must be there and as large as the log says; with `data` each is read and
        held against its checksum as well.
        """
        return upkeep.verify(self._table, data=data)

    def repair(self) -> Verification:
        """Put right what can be derived from the commits: segments and the hint; then `verify` the log again.

        Nothing that commits say is changed. What is damaged beyond that stays, and is in the answer.
        """
        return upkeep.repair(self._table)

    @property
    def alter(self) -> Alter:
        """Changes of columns, rules and settings, each a commit of its own: `table.alter.add_column(…)`."""
        return Alter(self._log, self._commit, self._store)

    def _do(self, begin: Callable[[Committing, Removing], changing.Plan], number: Number, info: Info) -> Commit:
        return changing.carry_out(self._table, lambda: begin(self._table, Removing(self._table.store)), number, info)

    def _commit(self, plan: Callable[[TableState], Planned]) -> Commit:
        return self._table.commit(plan)


def open_table(url: str | os.PathLike[str], storage_options: Mapping[str, Any] | None = None) -> Table:
    """The table in a folder, without any catalog. A clone finds the lake that it lies in.

    Raises:
        NotFoundError: there is no table there.

    """
    store = open_table_store(url, storage_options)
    table = Table(store, str(store.url).rstrip("/").rpartition("/")[2])
    table.snapshot()
    return table
