"""A table: the object people hold.

A `Table` is live. Whatever asks it about rows or columns first looks whether there is a newer version, which costs
one get that finds nothing; `Table.at` and `Table.snapshot` give a `Snapshot` that stays as it is. Every change is one
commit, and every change that returns is durable.
"""

from __future__ import annotations

import operator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from tablelog.alter import Alter
from tablelog.conditions import condition_on, row_check
from tablelog.errors import ConflictError, CorruptionError, InvalidError, NotFoundError, StoreError
from tablelog.format import names
from tablelog.format.values import instant_us
from tablelog.log.followed import FollowedLog
from tablelog.log.history import TableHistory
from tablelog.ops.delete import Deletion, draft_delete
from tablelog.ops.expire import Expiry, empty_commits, parse_keep
from tablelog.ops.keys import key_check
from tablelog.ops.log_check import LogCheck
from tablelog.ops.overwrite import draft_overwrite
from tablelog.ops.planned import Drafting
from tablelog.ops.verify import verify_table
from tablelog.ops.write import draft_append, write_rows
from tablelog.parquet.input import open_data
from tablelog.provenance import commit_info, told
from tablelog.snapshot import Scan, Snapshot
from tablelog.store.open import open_store

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping
    from datetime import date, datetime, timedelta

    import pandas as pd
    import pyarrow as pa

    from tablelog.format.schema import Schema
    from tablelog.log.facts import Commit
    from tablelog.log.state import TableState
    from tablelog.ops.planned import Planned
    from tablelog.ops.verify import Verification
    from tablelog.store.base import ObjectStore


class Table:
    """A live table. Safe to share between threads, and to open in any number of processes."""

    def __init__(self, store: ObjectStore, name: str, history: TableHistory | None = None) -> None:
        """Hold the table in a store's root; `open_table` and `Lake.table` are the ways to get one."""
        self.name: Final = name
        self._store: Final = store
        self._history = history or TableHistory(store)
        self._log: FollowedLog[TableState] = FollowedLog(store, names.LOG, self._history)

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
        """The table as it was: at a version, or at a moment (the newest version committed by then).

        A timestamp without a zone is UTC. A moment in the future is the newest version.

        Raises:
            NotFoundError: there is no such version, or the table is younger than that.
            InvalidError: not exactly one of the two is given, or it makes no sense.

        """
        if tag is not None:
            raise NotFoundError(f"table {self.name} has no tag {tag!r}")
        if (version is None) == (timestamp is None):
            raise InvalidError("give exactly one of version= and timestamp=")
        if version is not None:
            version = _version(version)
            newest = self._log.known()
            if version > newest.version:
                self._log.refresh()
        else:
            assert timestamp is not None
            moment_us = instant_us(timestamp)
            newest = self._log.refresh()
            version = self._log.look(lambda: self._history.version_at(moment_us))
        return Snapshot(self._log.look(lambda: self._history.state_at(version)), self._store, self.name)

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
        info: Mapping[str, Any] | None = None,
        on_progress: Callable[[int], None] | None = None,
    ) -> Commit:
        """Add rows. One put per file and one for the commit; never in conflict with what others do to rows.

        `data` is anything that speaks the Arrow PyCapsule stream, a record batch reader (streamed, in bounded
        memory), a dict of columns or a list of dicts. Columns are found by name. `info` is kept in the history;
        `on_progress` is called with the number of rows stored so far.

        Raises:
            InvalidError: the rows do not fit the table; nothing is added.
            ConflictError: a rule was added to the table while the rows were being written.

        """
        about = commit_info(info)
        reader = open_data(data)
        metadata = self._log.known().metadata
        if any(name not in metadata.schema for name in reader.schema.names):  # somebody may have added or renamed it
            metadata = self._log.refresh().metadata
        check, keys = row_check(metadata.checks), key_check(self._store, metadata)
        written = write_rows(self._store, metadata, reader, check, keys=keys, on_progress=on_progress)
        return self._commit(lambda state: draft_append(state, written, about))

    def overwrite(
        self,
        data: object,
        where: str | None = None,
        *,
        info: Mapping[str, Any] | None = None,
        on_progress: Callable[[int], None] | None = None,
    ) -> Commit:
        """Put rows in the place of all rows, or of those that fulfil `where`, in one commit.

        With `where`, the new rows must fulfil it too, so that running the same overwrite twice gives the same table.

        Raises:
            InvalidError: the rows do not fit the table or `where`; nothing is changed.
            ConflictError: a rule was added to the table while the rows were being written.

        """
        about = commit_info(info)
        metadata = self._log.refresh().metadata
        deletion = None if where is None else Deletion(self._store, condition_on(where))
        if where is not None:
            condition_on(where)(metadata.schema)  # a condition that makes no sense is said before anything is written
        check, keys = row_check(metadata.checks, where), key_check(self._store, metadata)
        written = write_rows(self._store, metadata, open_data(data), check, keys=keys, on_progress=on_progress)
        return self._commit(lambda state: draft_overwrite(state, written, about, deletion))

    def delete(self, where: str, *, info: Mapping[str, Any] | None = None) -> Commit:
        """Take out the rows that fulfil a condition; `where="true"` takes all.

        Files in which every row matches are dropped unread, files in which none can are left alone, the rest are
        rewritten without the rows. Rows for which the condition is unknown (null) stay.

        Raises:
            InvalidError: `where` is not a condition on this table.

        """
        about = commit_info(info)
        self._log.refresh()
        deletion = Deletion(self._store, condition_on(where))
        return self._commit(lambda state: draft_delete(state, deletion, about))

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

    def _commit(self, plan: Callable[[TableState], Planned]) -> Commit:
        drafting = Drafting(self._history, self._store)
        record = self._log.commit(lambda state: drafting.draft_of(plan(state)))
        return drafting.commit_of(record)


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
