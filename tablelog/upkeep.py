"""What keeps a table in shape and changes no row: compaction, expiry, verification, repair."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from tablelog.errors import ConflictError, CorruptionError, StoreError
from tablelog.format import names
from tablelog.log.history import TableHistory
from tablelog.ops.compact import Compacting
from tablelog.ops.expire import Expiry, empty_commits, parse_keep
from tablelog.ops.log_check import LogCheck
from tablelog.ops.verify import verify_table
from tablelog.provenance import commit_info

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta
    from typing import Any

    from tablelog.committing import Committing
    from tablelog.log.facts import Commit
    from tablelog.log.state import TableState
    from tablelog.ops.planned import Planned
    from tablelog.ops.verify import Verification


def compact(table: Committing, info: Mapping[str, Any] | None) -> Commit | None:
    """See `Table.compact`."""
    about = commit_info(info)
    compacting = Compacting(table.store)
    table.log.refresh()

    def plan(state: TableState) -> Planned:
        planned = compacting.plan(state, about)
        if planned is None:
            raise _NothingLeftError
        return planned

    try:
        return table.commit(plan)
    except _NothingLeftError:
        return None


class _NothingLeftError(Exception):
    """There is nothing to do, or somebody else did it meanwhile."""


def expire(table: Committing, name: str, keep: int | str | timedelta, info: Mapping[str, Any] | None) -> Commit | None:
    """See `Table.expire`."""
    about = commit_info(info)
    table.log.refresh()
    expiry = Expiry(table.store, table.history, parse_keep(keep))
    if expiry.plan(table.log.known(), about) is None:
        _empty_commits(table)
        return None

    def plan(state: TableState) -> Planned:
        planned = expiry.plan(state, about)
        if planned is None:
            raise ConflictError(f"somebody else expired as much of {name} meanwhile")
        return planned

    commit = table.commit(plan)
    try:
        table.log.tell()
        _empty_commits(table)
    except StoreError as error:
        raise StoreError(
            f"older versions have expired, but not all of their commits are emptied: {error}; expire() or repair() "
            f"will go on",
            maybe_applied=True,
        ) from error
    return commit


def _empty_commits(table: Committing) -> None:
    """Empty the commits that the base stands for, as far as somebody who died has not done so."""
    if table.history.base is not None:
        empty_commits(table.store, names.LOG, table.history.base, table.history.base_digest)


def verify(table: Committing, *, data: bool) -> Verification:
    """See `Table.verify`."""
    history = TableHistory(table.store)
    return verify_table(LogCheck(table.store, names.LOG, history).run(), history, read=data)


def repair(table: Committing) -> Verification:
    """See `Table.repair`."""
    LogCheck(table.store, names.LOG, TableHistory(table.store)).run().repair()
    with suppress(CorruptionError):
        table.log.reopen()
    return verify(table, data=False)
