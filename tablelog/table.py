"""A table: the object people hold.

A `Table` is live. Whatever asks it about rows or columns first looks whether there is a newer version, which costs
one get that finds nothing; `Table.at` and `Table.snapshot` give a `Snapshot` that stays as it is. Every change is one
commit, and every change that returns is durable.
"""

from __future__ import annotations

import operator
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import polars as pl
import pyarrow as pa

from tablelog.alter import Alter
from tablelog.changes import Changes
from tablelog.conditions import assignment_on, condition_on, merge_on, row_check
from tablelog.engines.duckdb_rows import meet
from tablelog.engines.duckdb_text import quote
from tablelog.errors import ConflictError, CorruptionError, FencedError, InvalidError, NotFoundError, StoreError
from tablelog.format import names
from tablelog.format.actions import SetApplication, SetFence, SetTag
from tablelog.format.schema import check_name
from tablelog.format.types import children
from tablelog.format.values import instant_us
from tablelog.log.changed import FileChanges
from tablelog.log.followed import FollowedLog
from tablelog.log.history import TableHistory
from tablelog.merge import Merge
from tablelog.ops.compact import Compacting
from tablelog.ops.delete import Deletion, draft_delete
from tablelog.ops.expire import Expiry, empty_commits, parse_keep
from tablelog.ops.keys import key_check, refuse_twice
from tablelog.ops.log_check import LogCheck
from tablelog.ops.merge import Clause, MergingRows, Then, When
from tablelog.ops.overwrite import draft_overwrite
from tablelog.ops.planned import Drafting, Planned
from tablelog.ops.restore import Reverting, restore
from tablelog.ops.update import Updating
from tablelog.ops.upsert import Upserting
from tablelog.ops.verify import verify_table
from tablelog.ops.write import draft_append, write_rows
from tablelog.parquet.conform import Conformer
from tablelog.parquet.input import open_data
from tablelog.provenance import commit_info, told
from tablelog.snapshot import Scan, Snapshot
from tablelog.store.open import open_store
from tablelog.writer import Writer

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import date, datetime, timedelta

    import pandas as pd

    from tablelog.format.schema import Schema
    from tablelog.format.types import Field
    from tablelog.log.commits import Draft
    from tablelog.log.facts import Commit
    from tablelog.log.metadata import Metadata
    from tablelog.log.state import TableState
    from tablelog.ops.verify import Verification
    from tablelog.store.base import ObjectStore


_WINNERS_SHOWN: Final = 5


class Table:
    """A live table. Safe to share between threads, and to open in any number of processes."""

    def __init__(
        self,
        store: ObjectStore,
        name: str,
        history: TableHistory | None = None,
        *,
        log: FollowedLog[TableState] | None = None,
        fence: SetFence | None = None,
    ) -> None:
        """Hold the table in a store's root; `open_table` and `Lake.table` are the ways to get one."""
        self.name: Final = name
        self._store: Final = store
        self._history = history or TableHistory(store)
        self._log: FollowedLog[TableState] = log or FollowedLog(store, names.LOG, self._history)
        self._fence = fence

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
    def properties(self) -> dict[str, str]:
        """Settings at the newest version. One get."""
        return self.snapshot().properties

    @property
    def id(self) -> str:
        """Who the table is, whatever it is called and wherever it is moved."""
        return self._log.known().metadata.table_id

    def __len__(self) -> int:
        return self.row_count

    def snapshot(self) -> Snapshot:
        """The newest version, to be read in peace. One get."""
        return Snapshot(self._log.refresh(), self._store, self.name)

    def at(
        self,
        version: int | None = None,
        timestamp: str | datetime | date | None = None,
        tag: str | None = None,
    ) -> Snapshot:
        """The table as it was: at a version, at a moment (the newest version committed by then), or at a tag.

        A timestamp without a zone is UTC. A moment in the future is the newest version.

        Raises:
            NotFoundError: there is no such version or tag, or the table is younger than that.
            InvalidError: not exactly one of the three is given, or it makes no sense.

        """
        return Snapshot(self._state_at(version, timestamp, tag), self._store, self.name)

    def _state_at(self, version: int | None, timestamp: str | datetime | date | None, tag: str | None) -> TableState:
        if [version, timestamp, tag].count(None) != 2:  # noqa: PLR2004 - of three
            raise InvalidError("give exactly one of version=, timestamp= and tag=")
        if version is not None:
            version = _version(version)
            if version > self._log.known().version:
                self._log.refresh()
        elif timestamp is not None:
            moment_us = instant_us(timestamp)
            self._log.refresh()
            version = self._log.look(lambda: self._history.version_at(moment_us))
        else:
            tags = self._log.refresh().metadata.tags
            if tag not in tags:
                known = ", ".join(map(repr, sorted(tags))) or "none"
                raise NotFoundError(f"table {self.name} has no tag {tag!r}; there are {known}")
            version = tags[tag]
        return self._log.look(lambda: self._history.state_at(version))

    def changes(self, since: int, until: int | None = None) -> Changes:
        """Rows that came and went after version `since`, up to version `until` or the newest one. One get.

        `since` is not included, so `changes(since=3, until=9)` are the changes that lead from version 3 to version 9;
        -1 stands for the time before version 0. Compactions change no rows.

        Raises:
            NotFoundError: there is no such version, or its history has expired.
            InvalidError: `until` comes before `since`.

        """
        since = -1 if since == -1 else _version(since)
        newest = self._log.refresh().version
        until = newest if until is None else _version(until)
        if until < since:
            raise InvalidError(f"changes from version {since} to version {until} go back in time; swap the two")
        return self._log.look(lambda: self._changes(since, until))

    def _changes(self, since: int, until: int) -> Changes:
        state = self._history.state_at(until)
        if since >= 0 or self._history.horizon:
            self._history.state_at(max(since, 0))
        files = self._history.file_changes(since, until)
        return Changes(
            name=self.name,
            since=since,
            until=until,
            _store=self._store,
            _schema=state.schema,
            _schemas=self._history.schemas,
            _files=files,
            _timestamps_us=self._history.timestamps_us(files),
        )

    def tags(self) -> dict[str, int]:
        """Versions that have a name, by it. One get."""
        return dict(self._log.refresh().metadata.tags)

    def history(self) -> pl.DataFrame:
        """One row per version, newest first: when, what, by whom, how many rows and files."""
        newest = self._log.refresh().version
        return history_frame(self._log.look(lambda: list(self._history.commits(newest))))

    def scan(self, columns: Iterable[str] | None = None, where: str | None = None) -> Scan:
        """Some columns of some rows of the newest version; see `Snapshot.scan`."""
        return self.snapshot().scan(columns, where)

    def lazy(self) -> pl.LazyFrame:
        """The newest version as a Polars `LazyFrame`."""
        return self.snapshot().lazy()

    def to_polars(self) -> pl.DataFrame:
        """The newest version as a Polars data frame."""
        return self.snapshot().to_polars()

    def to_arrow(self) -> pa.Table:
        """The newest version as an Arrow table."""
        return self.snapshot().to_arrow()

    def to_pandas(self) -> pd.DataFrame:
        """The newest version as a pandas data frame (pandas must be installed)."""
        return self.snapshot().to_pandas()

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The newest version as an Arrow stream (PyCapsule interface)."""
        return self.snapshot().__arrow_c_stream__(requested_schema)

    def __repr__(self) -> str:
        return repr(self.snapshot())

    def _repr_html_(self) -> str:
        return self.snapshot()._repr_html_()

    # ------------------------------------------------------------------ changing

    def append(
        self,
        data: object,
        *,
        idempotent: tuple[str, int] | None = None,
        info: Mapping[str, Any] | None = None,
        on_progress: Callable[[int], None] | None = None,
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
        about, number = commit_info(info), _application(idempotent)
        if (done := self._done(number)) is not None:
            return done
        reader = open_data(data)
        metadata = self._metadata_for(reader.schema.names)
        check, keys = row_check(metadata.checks), key_check(self._store, metadata)
        written = write_rows(self._store, metadata, reader, check, keys=keys, on_progress=on_progress)
        return self._commit(lambda state: draft_append(state, written, about), number)

    def writer(self, *, max_delay: float = 0.1, max_bytes: int = 8 * 1024 * 1024) -> Writer:
        """Gather many small appends, from any number of threads, into few commits.

        A commit is made when the oldest append has waited for `max_delay` seconds or `max_bytes` of rows (in memory) have
        come together. `with table.writer() as writer: writer.append(rows)` gives a future of the commit.
        """
        return Writer(self._gather, self._commit_gathered, max_delay_s=max_delay, bytes_max=max_bytes)

    def _gather(self, data: object) -> pa.Table:
        """Rows in the table's shape, checked, as a writer collects them."""
        reader = open_data(data)
        metadata = self._metadata_for(reader.schema.names)
        conform, check = Conformer(metadata.schema), row_check(metadata.checks)
        batches = [conform(batch) for batch in reader]
        for batch in batches:
            check(batch)
        return pa.Table.from_batches(batches, conform.arrow_schema)

    def _commit_gathered(self, tables: Sequence[pa.Table]) -> Commit:
        return self.append(batch for table in tables for batch in table.to_batches())

    def _metadata_for(self, names: Iterable[str]) -> Metadata:
        """What is known of the table; asked anew if it lacks a column, which somebody may have added or renamed."""
        metadata = self._log.known().metadata
        known = {field.name.casefold() for field in metadata.schema}
        return metadata if known.issuperset(map(str.casefold, names)) else self._log.refresh().metadata

    def overwrite(
        self,
        data: object,
        where: str | None = None,
        *,
        idempotent: tuple[str, int] | None = None,
        info: Mapping[str, Any] | None = None,
        on_progress: Callable[[int], None] | None = None,
    ) -> Commit:
        """Put rows in the place of all rows, or of those that fulfil `where`, in one commit.

        With `where`, the new rows must fulfil it too, so that running the same overwrite twice gives the same table.

        Raises:
            InvalidError: the rows do not fit the table or `where`; nothing is changed.
            ConflictError: a rule was added to the table while the rows were being written.

        """
        about, number = commit_info(info), _application(idempotent)
        metadata = self._log.refresh().metadata
        if (done := self._done(number)) is not None:
            return done
        deletion = None if where is None else Deletion(self._store, condition_on(where))
        if where is not None:
            condition_on(where)(metadata.schema)  # a condition that makes no sense is said before anything is written
        check, keys = row_check(metadata.checks, where), key_check(self._store, metadata)
        written = write_rows(self._store, metadata, open_data(data), check, keys=keys, on_progress=on_progress)
        return self._commit(lambda state: draft_overwrite(state, written, about, deletion), number)

    def delete(
        self, where: str, *, idempotent: tuple[str, int] | None = None, info: Mapping[str, Any] | None = None
    ) -> Commit:
        """Take out the rows that fulfil a condition; `where="true"` takes all.

        Files in which every row matches are dropped unread, files in which none can are left alone; of the rest only the
        columns of the condition are read. Rows for which the condition is unknown (null) stay.

        Raises:
            InvalidError: `where` is not a condition on this table.

        """
        about, number = commit_info(info), _application(idempotent)
        self._log.refresh()
        deletion = Deletion(self._store, condition_on(where))
        return self._commit(lambda state: draft_delete(state, deletion, about), number)

    def update(
        self,
        values: Mapping[str, object],
        where: str | None = None,
        *,
        idempotent: tuple[str, int] | None = None,
        info: Mapping[str, Any] | None = None,
    ) -> Commit:
        """Change columns of the rows that fulfil a condition, or of all rows.

        `values` maps columns to SQL expressions (text) or plain values: `{"price": "price * 1.1", "checked": True}`.
        Expressions see the rows as they were; what they give is cast to the column's type as SQL's UPDATE does.

        Raises:
            InvalidError: an expression makes no sense, or a changed row breaks a rule; nothing is changed.
            NotFoundError: no such column.

        """
        about, number = commit_info(info), _application(idempotent)
        self._log.refresh()
        updating = Updating(self._store, assignment_on(values, where))
        return self._commit(lambda state: updating.plan(state, about), number)

    def upsert(
        self,
        data: object,
        on: str | Sequence[str] | None = None,
        *,
        idempotent: tuple[str, int] | None = None,
        info: Mapping[str, Any] | None = None,
    ) -> Commit:
        """Bring rows in by the table's key, or by the columns `on`: they replace the rows with the same values there.

        Of the table only those columns are read. The new rows are held in memory. If `data` lacks some columns, rows
        that are there keep theirs and new rows get the default.

        Raises:
            InvalidError: the data brings a key twice, or rows that do not fit the table; nothing is changed.

        """
        about, number = commit_info(info), _application(idempotent)
        metadata = self._log.refresh().metadata
        if (done := self._done(number)) is not None:
            return done
        rows = open_data(data).read_all()
        keys = _key_columns(metadata, on)
        given = {name.casefold() for name in rows.column_names}
        missing = [field.name for field in keys if field.name.casefold() not in given]
        if missing:
            raise InvalidError(f"the data has no column {missing[0]!r}, by which rows are brought in")
        if any(field.name.casefold() not in given for field in metadata.schema):
            return self._upsert_some_columns(rows, keys, about, number)
        upserting = Upserting(self._store, rows, tuple(field.id for field in keys), meet, check_of)
        return self._commit(lambda state: upserting.plan(state, about), number)

    def _upsert_some_columns(
        self, rows: pa.Table, keys: Sequence[Field], about: Mapping[str, Any], number: SetApplication | None
    ) -> Commit:
        names = {name.casefold(): name for name in rows.column_names}
        refuse_twice(rows.select([names[field.name.casefold()] for field in keys]))
        extra = [name for name in rows.column_names if name.casefold() not in {f.name.casefold() for f in self.schema}]
        if extra:
            raise InvalidError(
                f"the table has no column {extra[0]!r}; drop it from the data or add it with alter.add_column"
            )
        on = " AND ".join(f"t.{quote(field.name)} = s.{quote(names[field.name.casefold()])}" for field in keys)
        clauses = [Clause(when=When.MATCHED, then=Then.UPDATE), Clause(when=When.NOT_MATCHED, then=Then.INSERT)]
        merging = MergingRows(self._store, merge_on(rows, on, clauses))
        return self._commit(lambda state: replace(merging.plan(state, about), operation="upsert"), number)

    def merge(self, source: object, on: str, *, idempotent: tuple[str, int] | None = None) -> Merge:
        """Let the rows of a source decide what becomes of the table's rows; see `Merge` for the clauses.

        `on` is an SQL condition that says which rows match; `t` is the table in it, `s` the source. The source is held
        in memory, the table is not.

            orders.merge(new, on="t.id = s.id").when_matched_update().when_not_matched_insert().execute()
        """
        number = _application(idempotent)
        if not isinstance(on, str):
            raise InvalidError(f"on={on!r} is no condition; give SQL text such as 't.id = s.id'")
        rows = open_data(source).read_all()

        def run(clauses: Sequence[Clause], info: Mapping[str, Any] | None) -> Commit:
            about = commit_info(info)
            self._log.refresh()
            merging = MergingRows(self._store, merge_on(rows, on, clauses))
            return self._commit(lambda state: merging.plan(state, about), number)

        return Merge(run)

    # ------------------------------------------------------------------ versions

    def restore(
        self,
        version: int | None = None,
        timestamp: str | datetime | date | None = None,
        tag: str | None = None,
        *,
        info: Mapping[str, Any] | None = None,
    ) -> Commit:
        """Make the table what it was at a version, a moment or a tag: rows, columns, rules and settings. A new version.

        No data is read or written. Tags stay, and so does the history: what is undone can be restored as well.

        Raises:
            NotFoundError, InvalidError: as `at`.

        """
        wanted = self._state_at(version, timestamp, tag)
        about = commit_info(info, change=f"back to version {wanted.version}")
        self._log.refresh()
        return self._commit(lambda state: restore(state, wanted, about))

    def revert(self, version: int, *, info: Mapping[str, Any] | None = None) -> Commit:
        """Take one commit back and keep what came after it: its rows go, rows that it took away come back.

        Raises:
            ConflictError: later commits changed rows or settings that it brought; they are listed.
            InvalidError: rows that would come back break a rule of today or have a key that is there by now, or the
                version changed nothing that can be taken back.
            NotFoundError: there is no such version, or its history has expired.

        """
        version = _version(version)
        about = commit_info(info, change=f"version {version} taken back")
        self._log.refresh()
        if version == 0:
            raise InvalidError("version 0 made the table and cannot be taken back; drop_table takes its name away")
        before, after = (self._log.look(lambda at=at: self._history.state_at(at)) for at in (version - 1, version))
        changes = self._log.look(lambda: self._history.file_changes(version - 1, version)).get(version, FileChanges())
        reverting = Reverting(self._store, version, changes, (before.metadata, after.metadata), check_of)
        later = self._history.later
        return self._commit(lambda state: reverting.plan(state, lambda: later(version, state.version), about))

    def tag(
        self,
        name: str,
        version: int | None = None,
        timestamp: str | datetime | date | None = None,
        *,
        info: Mapping[str, Any] | None = None,
    ) -> Commit:
        """Give a version a name, the newest one unless told otherwise; `at(tag=…)` finds it. It does not expire.

        Raises:
            InvalidError: the name stands for another version; `untag` it first.
            NotFoundError: there is no such version.

        """
        check_name(name, "tag")
        if version is None and timestamp is None:
            version = self._log.refresh().version
        tagged = self._state_at(version, timestamp, None).version
        about = commit_info(info, change=f"tag {name} at version {tagged}")

        def plan(state: TableState) -> Planned:
            known = state.metadata.tags.get(name)
            if known not in {None, tagged}:
                raise InvalidError(
                    f"the tag {name!r} stands for version {known} already; untag({name!r}) takes it away"
                )
            if tagged < state.metadata.horizon.version:
                raise NotFoundError(f"version {tagged} has expired meanwhile; it cannot be tagged any more")
            return Planned(operation="tag", actions=[SetTag(name=name, version=tagged)], info=about)

        return self._commit(plan)

    def untag(self, name: str, *, info: Mapping[str, Any] | None = None) -> Commit:
        """Take a tag away; its version stays as long as any other does."""
        about = commit_info(info, change=f"untag {name}")
        self._log.refresh()

        def plan(state: TableState) -> Planned:
            if name not in state.metadata.tags:
                known = ", ".join(map(repr, sorted(state.metadata.tags))) or "none"
                raise NotFoundError(f"table {self.name} has no tag {name!r}; there are {known}")
            return Planned(operation="untag", actions=[SetTag(name=name, version=None)], info=about)

        return self._commit(plan)

    # ------------------------------------------------------------------ writing alone

    def exclusive(self, name: str, *, info: Mapping[str, Any] | None = None) -> Table:
        """Take over writing under a name: whoever held it before gets `FencedError` instead of a commit from now on.

        One commit. The table that is returned writes under the name; others that do not use the name are not affected.
        """
        check_name(name, "name of a writer")
        about = commit_info(info)
        epoch = 0

        def plan(state: TableState) -> Planned:
            nonlocal epoch
            epoch = state.metadata.fences.get(name, 0) + 1
            told = {**about, "change": f"epoch {epoch} of {name}"}
            return Planned(operation="fence", actions=[SetFence(name=name, epoch=epoch)], info=told)

        self._commit(plan)
        return Table(self._store, self.name, self._history, log=self._log, fence=SetFence(name=name, epoch=epoch))

    # ------------------------------------------------------------------ upkeep

    def compact(self, *, info: Mapping[str, Any] | None = None) -> Commit | None:
        """Put rows inside the log, small files and mostly deleted ones together; None if there is nothing to do.

        No version's rows change, and no writer fails because of it: what others do meanwhile is carried over, or the
        files in question are left for another time.
        """
        about = commit_info(info)
        self._log.refresh()
        compacting = Compacting(self._store)
        try:
            return self._commit(lambda state: compacting.plan(state, about) or _nothing_left())
        except _NothingLeftError:
            return None

    def expire(self, keep: int | str | timedelta, *, info: Mapping[str, Any] | None = None) -> Commit | None:
        """Stop keeping history: a number of newest versions stays, or what the table was since some time ago.

        `keep` is `"30 days"`, `"12 hours"`, a `timedelta` or a number of versions. Older versions can no longer be
        read, and the commits before them are folded into one object. Data files stay where they are.

        Returns None if no version is older than that.

        Raises:
            InvalidError: `keep` makes no sense, or would keep nothing.

        """
        about = commit_info(info)
        self._log.refresh()
        expiry = Expiry(self._store, self._history, parse_keep(keep))
        if expiry.plan(self._log.known(), about) is None:
            self._empty_commits()
            return None

        def plan(state: TableState) -> Planned:
            planned = expiry.plan(state, about)
            if planned is None:
                raise ConflictError(f"somebody else expired as much of {self.name} meanwhile")
            return planned

        commit = self._commit(plan)
        try:
            self._log.tell()
            self._empty_commits()
        except StoreError as error:
            raise StoreError(
                f"older versions have expired, but not all of their commits are emptied: {error}; expire() or repair() "
                f"will go on",
                maybe_applied=True,
            ) from error
        return commit

    def _empty_commits(self) -> None:
        """Empty the commits that the base stands for, as far as somebody who died has not done so."""
        if self._history.base is not None:
            empty_commits(self._store, names.LOG, self._history.base, self._history.base_digest)

    def verify(self, *, data: bool = True) -> Verification:
        """Look at everything that the table consists of, and say what is wrong and where. Changes nothing.

        Every object of the log is read, the chain of commits is walked, segments are made again and compared. Data
        files of all versions that can be read must be there and as large as the log says; with `data` each is read and
        held against its checksum as well.
        """
        history = TableHistory(self._store)
        return verify_table(LogCheck(self._store, names.LOG, history).run(), history, read=data)

    def repair(self) -> Verification:
        """Put right what can be derived from the commits: segments and the hint; then `verify` the log again.

        Nothing that commits say is changed. What is damaged beyond that stays, and is in the answer.
        """
        LogCheck(self._store, names.LOG, TableHistory(self._store)).run().repair()
        with suppress(CorruptionError):
            self._log.reopen()
        return self.verify(data=False)

    @property
    def alter(self) -> Alter:
        """Changes of columns, rules and settings, each a commit of its own: `table.alter.add_column(…)`."""
        return Alter(self._log, self._commit, self._store)

    def _commit(self, plan: Callable[[TableState], Planned], number: SetApplication | None = None) -> Commit:
        """Commit what a plan wants, planned again after each lost race; see `ops.conflicts` for who wins."""
        drafting = Drafting(self._history, self._store)
        began: int | None = None

        def draft(state: TableState) -> Draft:
            nonlocal began
            began = state.version if began is None else began
            self._check_fence(state)
            self._refuse_done(number)
            try:
                planned = plan(state)
            except FencedError:
                raise
            except ConflictError as error:
                raise ConflictError(f"{error}{self._winners(began, state.version)}") from error
            return drafting.draft_of(planned if number is None else planned.numbered(number))

        try:
            record = self._log.commit(draft)
        except _DoneError as done:
            return done.commit
        return drafting.commit_of(record)

    def _check_fence(self, state: TableState) -> None:
        if self._fence is not None and state.metadata.fences.get(self._fence.name) != self._fence.epoch:
            newer = state.metadata.fences.get(self._fence.name)
            raise FencedError(
                f"{self._fence.name!r} was taken over: this writer has epoch {self._fence.epoch}, the table is at {newer} "
                f"since version {state.version} or before; stop, or take it over again with exclusive()"
            )

    def _done(self, number: SetApplication | None) -> Commit | None:
        """The commit that an application made under a number, as far as is known."""
        try:
            self._refuse_done(number)
        except _DoneError as done:
            return done.commit
        return None

    def _refuse_done(self, number: SetApplication | None) -> None:
        if number is None:
            return
        self._log.known()
        known = self._log.look(lambda: self._history.numbered(number.name))
        if number.number in known:
            raise _DoneError(self._log.look(lambda: self._history.commit_at(known[number.number])))
        newest = max(known, default=-1)
        if number.number < newest:
            raise ConflictError(
                f"{number.name!r} has committed number {newest} in version {known[newest]}, and nothing is known of a "
                f"number {number.number} before it; numbers of one name increase from commit to commit"
            )

    def _winners(self, since: int, until: int) -> str:
        """Who committed what meanwhile, for the message of a conflict."""
        commits = [commit for commit in self._history.commits(until) if commit.version > since][:_WINNERS_SHOWN]
        told = (f"version {each.version} is {each.operation} by {each.info.get('who', 'unknown')}" for each in commits)
        return f" ({', '.join(told)})" if commits else ""


class _DoneError(Exception):
    """A numbered commit is there already."""

    def __init__(self, commit: Commit) -> None:
        super().__init__()
        self.commit = commit


class _NothingLeftError(Exception):
    """Somebody else did it meanwhile."""


def _nothing_left() -> Planned:
    raise _NothingLeftError


def check_of(metadata: Metadata) -> Callable[[pa.RecordBatch], None]:
    """What raises for rows that a table's CHECKs do not allow."""
    return row_check(metadata.checks)


def _key_columns(metadata: Metadata, on: str | Sequence[str] | None) -> list[Field]:
    """Columns by which rows are brought in."""
    if on is None:
        fields = [field for field_id in metadata.key if (field := metadata.schema.by_id(field_id)) is not None]
        if not fields:
            raise InvalidError("the table has no key; say by which columns rows are brought in: on='id'")
        return fields
    names = [on] if isinstance(on, str) else list(on)
    if not names:
        raise InvalidError("on=[] names no column; say by which columns rows are brought in")
    fields = [metadata.schema.field(name) for name in names]
    for field in fields:
        if children(field.type):
            raise InvalidError(f"rows cannot be brought in by column {field.name!r} of type {field.type}")
    if len({field.id for field in fields}) < len(fields):
        raise InvalidError(f"on={names} names a column twice")
    return fields


def _application(idempotent: object) -> SetApplication | None:
    """A name and number that a person gave."""
    if idempotent is None:
        return None
    match idempotent:
        case (str(name), int(number)) if not isinstance(number, bool) and 0 <= number < 1 << 63:
            check_name(name, "name of a writer")
            return SetApplication(name=name, number=number)
        case _:
            raise InvalidError(f"idempotent={idempotent!r} is no name and number, such as ('nightly-load', 17)")


def _version(value: object) -> int:
    """A version that a person or a data frame gave."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or operator.index(value) < 0:
        raise InvalidError(f"version {value!r} is not a version; versions are whole numbers from 0")
    return operator.index(value)


def open_table(url: str | os.PathLike[str], storage_options: Mapping[str, Any] | None = None) -> Table:
    """The table in a folder, without any catalog.

    Raises:
        NotFoundError: there is no table there.

    """
    store = open_store(url, storage_options)
    table = Table(store, str(store.url).rstrip("/").rpartition("/")[2])
    table.snapshot()
    return table


def history_frame(commits: Iterable[Commit]) -> pl.DataFrame:
    """Commits, newest first, as a data frame."""
    rows = [
        {
            "version": commit.version,
            "timestamp": commit.timestamp,
            "operation": commit.operation,
            "rows_added": commit.rows_added,
            "rows_deleted": commit.rows_deleted,
            "files_added": commit.files_added,
            "files_removed": commit.files_removed,
            "bytes_added": commit.bytes_added,
            "who": str(commit.info.get("who", "")),
            "info": told(commit.info),
        }
        for commit in commits
    ]
    return pl.DataFrame(rows, schema=_HISTORY)


_HISTORY: Final[dict[str, pl.DataType]] = {
    "version": pl.Int64(),
    "timestamp": pl.Datetime("us", "UTC"),
    "operation": pl.String(),
    "rows_added": pl.Int64(),
    "rows_deleted": pl.Int64(),
    "files_added": pl.Int64(),
    "files_removed": pl.Int64(),
    "bytes_added": pl.Int64(),
    "who": pl.String(),
    "info": pl.String(),
}
