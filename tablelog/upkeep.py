"""What keeps a table in shape and changes no row: compaction, expiry, vacuum, verification, repair."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from tablelog import env
from tablelog.errors import ConflictError, CorruptionError, StoreError
from tablelog.format import names
from tablelog.format.actions import SetClone, SetVacuumed
from tablelog.log.history import TableHistory
from tablelog.ops.expire import Expiry, empty_commits, parse_keep, parse_span
from tablelog.ops.log_check import LogCheck
from tablelog.ops.needs import Asking, listed_commits
from tablelog.ops.planned import Planned
from tablelog.ops.vacuum import (
    Fate,
    clipped,
    decide,
    encode_list,
    is_named,
    look,
    store_time_us,
    unlisted,
)
from tablelog.ops.verify import verify_table
from tablelog.provenance import commit_info
from tablelog.store.base import is_far, sweep
from tablelog.store.together import together
from tablelog.vacuumed import Vacuum

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta
    from typing import Any

    from tablelog.committing import Committing
    from tablelog.format.actions import Action
    from tablelog.log.facts import Commit
    from tablelog.log.state import TableState
    from tablelog.ops.needs import Needs
    from tablelog.ops.vacuum import Verdict
    from tablelog.ops.verify import Verification

_LOOKS: Final = 2
"""How often a folder is listed that seems to lack something: it may have come, or have been removed, meanwhile."""


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


def vacuum(
    table: Committing, name: str, grace: str | timedelta, info: Mapping[str, Any] | None, *, dry_run: bool
) -> Vacuum:
    """See `Table.vacuum`."""
    about, grace_us = commit_info(info), parse_span("grace", grace)
    table.log.refresh()
    now_us = env.now_us() if dry_run else store_time_us(table.store)
    vacuuming = _Vacuuming(table, now_us, grace_us, is_dry=dry_run)
    needs, verdicts = vacuuming.first()
    answer = Vacuum(
        name=name, version=None, is_dry=dry_run, grace_us=grace_us, asked=needs.asked, objects=verdicts, leftovers=0
    )
    before_us = max(0, now_us - grace_us)
    if dry_run:
        return replace(answer, leftovers=sweep(table.store, "", before_us, dry_run=True))

    def plan(state: TableState) -> Planned | None:
        nonlocal needs, verdicts
        needs, verdicts = vacuuming.again(state)
        going = [verdict for verdict in verdicts if is_named(verdict)]
        if not going:
            return None
        counts = {"objects_removed": len(going), "bytes_removed": sum(verdict.size_bytes for verdict in going)}
        actions: list[Action] = [
            SetVacuumed(before_us=before_us),
            *(SetClone(name=clone, path=None) for clone in needs.done),
        ]
        return Planned(operation="vacuum", actions=actions, info={**counts, **about})

    if any(map(is_named, verdicts)):
        commit = table.commit_if_any(plan)
        answer = replace(answer, version=None if commit is None else commit.version)
    try:
        leftovers = vacuuming.carry_out(verdicts)
    except StoreError as error:
        raise StoreError(
            f"not all that nobody needs is removed: {error}; vacuum() will go on", maybe_applied=True
        ) from error
    return replace(answer, asked=needs.asked, objects=verdicts, leftovers=leftovers)


class _Vacuuming:
    """One vacuum: what was seen at its beginning, held against each state that the table has meanwhile."""

    def __init__(self, table: Committing, now_us: int, grace_us: int, *, is_dry: bool) -> None:
        self._table = table
        self._now_us = now_us
        self._grace_us = grace_us
        self._is_dry = is_dry
        self._asking = Asking(table.store, table.history)

    def first(self) -> tuple[Needs, tuple[Verdict, ...]]:
        """What is needed and what becomes of each object, at first sight.

        Raises:
            StoreError: the listing is not whole.
            CorruptionError: an object that is needed is missing.

        """
        store, before_us = self._table.store, self._now_us - self._grace_us
        lacking: list[str] = []
        for _ in range(_LOOKS):
            state = self._table.log.refresh()
            if not self._is_dry:
                self._asking.give_up(state, before_us)
            self._folder = look(store)
            commits = listed_commits(self._folder.listing).items()
            self._commits = [version for version, info in commits if info.size_bytes]
            self._actions = [
                key
                for key, info in self._folder.listing.items()
                if key.startswith(names.LOG + names.ACTIONS) and info.modified_us <= before_us
            ]
            needs, verdicts = self.again(state)
            lacking = unlisted(needs, self._folder)
            if not lacking:
                return needs, verdicts
        raise clipped(store, lacking)

    def again(self, state: TableState) -> tuple[Needs, tuple[Verdict, ...]]:
        """The same for another state; the folder is not listed again: what has come since is nobody's to remove."""
        commits = {*self._commits, *range(max(self._commits, default=-1) + 1, state.version + 1)}
        needs = self._asking.needs(state, self._actions, commits)
        return needs, decide(needs, self._folder, self._now_us, self._grace_us)

    def carry_out(self, verdicts: tuple[Verdict, ...]) -> int:
        """Write down what was found for the first time, and remove what may go; how many unfinished files went."""
        store, side_by_side = self._table.store, is_far(self._table.store)
        noted = [verdict.key for verdict in verdicts if verdict.fate is Fate.NOTED]
        if noted:
            store.put(names.vacuum_list(env.new_id()), encode_list(noted))
        going = [verdict.key for verdict in verdicts if verdict.fate is Fate.REMOVED]
        lists = [key for key in going if key.startswith(names.VACUUM)]
        together(store.delete, [key for key in going if key not in set(lists)], side_by_side=side_by_side)
        together(store.delete, lists, side_by_side=side_by_side)
        return sweep(store, "", max(0, self._now_us - self._grace_us))


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
