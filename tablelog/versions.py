"""Operations on a table's versions: looking back, the changes in between, going back, names for versions."""

from __future__ import annotations

import operator
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import polars as pl

from tablelog.changes import Changes
from tablelog.changing import check_of
from tablelog.errors import InvalidError, NotFoundError
from tablelog.format.actions import SetTag
from tablelog.format.schema import check_name
from tablelog.format.values import instant_us
from tablelog.log.changed import FileChanges
from tablelog.ops.planned import Planned
from tablelog.ops.restore import Reverting, restore_to
from tablelog.provenance import commit_info, told

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date, datetime
    from typing import Any

    from tablelog.committing import Committing
    from tablelog.format.actions import SetClone
    from tablelog.log.facts import Commit
    from tablelog.log.state import TableState

    Info = Mapping[str, Any] | None
    Moment = str | datetime | date | None


def state_at(table: Committing, version: int | None, timestamp: Moment, tag: str | None) -> TableState:
    """See `Table.at`."""
    if [version, timestamp, tag].count(None) != 2:  # noqa: PLR2004 - of three
        raise InvalidError("give exactly one of version=, timestamp= and tag=")
    if version is not None:
        version = whole(version)
        if version > table.log.known().version:
            table.log.refresh()
    elif timestamp is not None:
        moment_us = instant_us(timestamp)
        table.log.refresh()
        version = table.log.look(lambda: table.history.version_at(moment_us))
    else:
        version = _tagged(table.log.refresh(), str(tag))
    return table.log.look(lambda: table.history.state_at(version))


def whole(value: object) -> int:
    """A version that a person or a data frame gave.

    Raises:
        InvalidError: it is no whole number from 0.

    """
    if isinstance(value, bool) or not hasattr(value, "__index__") or operator.index(value) < 0:
        raise InvalidError(f"version {value!r} is not a version; versions are whole numbers from 0")
    return operator.index(value)


def _tagged(state: TableState, tag: str) -> int:
    tags = state.metadata.tags
    if tag not in tags:
        raise NotFoundError(f"there is no tag {tag!r}; there are {', '.join(map(repr, sorted(tags))) or 'none'}")
    return tags[tag]


def changes(table: Committing, name: str, since: int, until: int | None) -> Changes:
    """See `Table.changes`."""
    since = -1 if since == -1 else whole(since)
    newest = table.log.refresh().version
    # A version that is not there yet is said to be just that.
    until = max(newest, since) if until is None else whole(until)
    if until < since:
        raise InvalidError(f"changes from version {since} to version {until} go back in time; swap the two")

    def look() -> Changes:
        state = table.history.state_at(until)
        table.history.state_at(max(since, 0))  # says so if it has expired
        files = table.history.file_changes(since, until)
        return Changes(
            name=name,
            since=since,
            until=until,
            _store=table.store,
            _schema=state.schema,
            _schemas=table.history.schemas,
            _files=files,
            _timestamps_us=table.history.timestamps_us(files),
        )

    return table.log.look(look)


def restore(table: Committing, version: int | None, timestamp: Moment, tag: str | None, info: Info) -> Commit:
    """See `Table.restore`."""
    wanted = state_at(table, version, timestamp, tag)
    about = commit_info(info, change=f"back to version {wanted.version}")
    table.log.refresh()

    def plan(state: TableState) -> Planned:
        _refuse_expired(state, wanted.version, "restored")
        return restore_to(state, wanted, about)

    return table.commit(plan)


def revert(table: Committing, version: int, info: Info) -> Commit:
    """See `Table.revert`."""
    version = whole(version)
    about = commit_info(info, change=f"version {version} taken back")
    table.log.refresh()
    if version == 0:
        raise InvalidError("version 0 made the table and cannot be taken back; drop_table takes its name away")
    look, history = table.log.look, table.history
    before, after = look(lambda: history.state_at(version - 1)), look(lambda: history.state_at(version))
    done = look(lambda: history.file_changes(version - 1, version)).get(version, FileChanges())
    reverting = Reverting(table.store, version, done, (before.metadata, after.metadata), check_of)

    def plan(state: TableState) -> Planned:
        _refuse_expired(state, version - 1, "brought back")
        return reverting.plan(state, lambda: history.later(version, state.version), about)

    return table.commit(plan)


def tag(table: Committing, name: str, version: int | None, timestamp: Moment, info: Info) -> Commit:
    """See `Table.tag`."""
    check_name(name, "tag")
    if version is None and timestamp is None:
        version = table.log.refresh().version
    tagged = state_at(table, version, timestamp, None).version
    about = commit_info(info, change=f"tag {name} at version {tagged}")

    def plan(state: TableState) -> Planned:
        known = state.metadata.tags.get(name)
        if known not in {None, tagged}:
            raise InvalidError(f"the tag {name!r} stands for version {known} already; untag({name!r}) takes it away")
        _refuse_expired(state, tagged, "tagged")
        return Planned(operation="tag", actions=[SetTag(name=name, version=tagged)], info=about)

    return table.commit(plan)


def register_clone(table: Committing, clone: SetClone, *, is_source: bool, info: Mapping[str, Any]) -> Commit:
    """Tell a table that a clone is about to use its files.

    Its source, that the clone begins with `clone.version`, which does not expire before the clone's log is there.
    Others whose files that version uses keep them as long as the source does; for them it is the version of now.

    Raises:
        NotFoundError: the version has expired meanwhile.

    """
    table.log.refresh()

    def plan(state: TableState) -> Planned:
        if not is_source:
            return Planned(operation="clone", actions=[replace(clone, version=state.version)], info=info)
        _refuse_expired(state, clone.version, "cloned")
        return Planned(operation="clone", actions=[clone], info=info)

    return table.commit(plan)


def _refuse_expired(state: TableState, version: int, what: str) -> None:
    """Stop if what a version was is not kept any more, such as rows inside its commits.

    Raises:
        NotFoundError: it is not.

    """
    if version < state.metadata.horizon.version:
        raise NotFoundError(f"version {version} has expired meanwhile; it cannot be {what} any more")


def untag(table: Committing, name: str, info: Info) -> Commit:
    """See `Table.untag`."""
    about = commit_info(info, change=f"untag {name}")
    table.log.refresh()

    def plan(state: TableState) -> Planned:
        _tagged(state, name)
        return Planned(operation="untag", actions=[SetTag(name=name, version=None)], info=about)

    return table.commit(plan)


def history_frame(table: Committing) -> pl.DataFrame:
    """See `Table.history`."""
    newest = table.log.refresh().version
    commits = table.log.look(lambda: list(table.history.commits(newest)))
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
