"""History that is not kept: a horizon in the log, a base in the place of the commits before it.

    1  the base: one object that stands for the commits from 0 to its last, written and read back
    2  the commit: versions before the horizon can no longer be read; the base, by its digest
    3  the commit objects that the base stands for are emptied

A commit's object is emptied and never deleted: a store forgets the names of deleted objects, and a writer that was
asleep would win an old version again. Whoever dies on the way has lost nothing: after 1 there is an object that nobody
speaks of, after 2 some commits are still there, which the next `expire` or `repair` empties. Data files are not
touched, nor are segments and older bases: they are what `vacuum` removes.

The base ends with a whole range of the log's fan-out, so up to that many commits before the horizon stay as they are.
It also ends before the first commit that holds rows which somebody may still read: `compact` moves them to files, and
an expiry after that goes on.

Three things hold the horizon, so that it does not pass their version: a tag; the position of a consumer, who has not
taken the changes after it yet; and a clone whose log is not there yet. Whoever makes it has told this table with which
version it begins, and nobody can see yet which files it uses.
"""

from __future__ import annotations

import datetime as dt
import operator
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tablelog import env
from tablelog.errors import CorruptionError, InvalidError, NotFoundError
from tablelog.format import names
from tablelog.format.actions import SetHorizon
from tablelog.log.merging import cut, fold, merge
from tablelog.log.opening import put_segment
from tablelog.log.parts import Segment
from tablelog.log.positions import positions
from tablelog.ops.planned import Planned
from tablelog.parquet.sealed import open_sealed
from tablelog.store.base import exists, is_far
from tablelog.store.in_lake import place_of
from tablelog.store.together import together

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from tablelog.log.history import TableHistory
    from tablelog.log.state import TableState
    from tablelog.store.base import ObjectStore

_UNITS: Final = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400, "week": 604_800}
_SPAN: Final = re.compile(r"\s*(\d{1,9})\s*(second|minute|hour|day|week)s?\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Keep:
    """How much history to keep: some newest versions, or what the table was since some time ago."""

    versions: int | None
    span_us: int | None

    def horizon(self, history: TableHistory, newest: int, now_us: int) -> int:
        """The oldest version to keep."""
        if self.versions is not None:
            return max(0, newest + 1 - self.versions)
        assert self.span_us is not None
        try:
            return min(newest, history.version_at(now_us - self.span_us))
        except NotFoundError:  # it is younger, or expired already
            return 0


def parse_keep(keep: object) -> Keep:
    """What to keep, from a number of versions, a `timedelta`, or text such as `"30 days"`.

    >>> parse_keep("2 weeks") == parse_keep(dt.timedelta(days=14))
    True

    Raises:
        InvalidError: it is none of these, negative, or no version at all.

    """
    if isinstance(keep, str | dt.timedelta):
        return Keep(None, parse_span("keep", keep, "a number of versions or a timedelta"))
    if isinstance(keep, bool) or not hasattr(keep, "__index__"):
        raise InvalidError(f"keep={keep!r} says not what to keep; give '30 days', a timedelta or a number of versions")
    versions = operator.index(keep)
    if versions < 1:
        raise InvalidError(f"keep={keep!r} would keep no version; the newest one always stays, so give 1 or more")
    return Keep(versions, None)


def parse_span(option: str, span: str | dt.timedelta, other: str = "a timedelta") -> int:
    """Microseconds in a span of time, `"7 days"` or a timedelta. `option` and `other` are for the message.

    Raises:
        InvalidError: it is none, or negative.

    """
    if isinstance(span, dt.timedelta):
        if span < dt.timedelta(0):
            raise InvalidError(f"{option}={span!r} is in the future; give how long ago, as a span that is not negative")
        return span // dt.timedelta(microseconds=1)
    match = _SPAN.fullmatch(span) if isinstance(span, str) else None
    if match is None:
        raise InvalidError(
            f"{option}={span!r} is no span of time; write it as '30 days', '12 hours' or '2 weeks', or give {other}"
        )
    return int(match[1]) * _UNITS[match[2].lower()] * 1_000_000


class Expiry:
    """One expiry on its way into the log. `plan` may be called any number of times."""

    def __init__(self, store: ObjectStore, history: TableHistory, keep: Keep) -> None:
        """Expire what is not kept."""
        self._store = store
        self._history = history
        self._keep = keep
        self._now_us = env.now_us()
        self._digests: dict[int, str] = {}

    def plan(self, state: TableState, info: Mapping[str, Any]) -> Planned | None:
        """The new horizon and base; None if nothing is older than the horizon there is."""
        before = state.metadata.horizon
        horizon = self._keep.horizon(self._history, state.version, self._now_us)
        horizon = min((*state.metadata.tags.values(), horizon))  # what has a name does not expire
        if horizon <= before.version:
            return None
        horizon = min((*map(_position, positions(self._store).values()), *self._begun(state), horizon))
        if horizon <= before.version:
            return None
        base_last, digest = before.base_last, before.base_digest
        fan_out = self._history.merging(state.version).fan_out
        last = min(horizon, self._first_with_rows(horizon)) // fan_out * fan_out - 1
        if last > (-1 if base_last is None else base_last):
            base_last, digest = last, self._put_base(last)
        action = SetHorizon(version=horizon, base_last=base_last, base_digest=digest)
        return Planned(
            operation="expire", actions=(action,), info={**info, "change": f"keep from version {horizon} on"}
        )

    def _begun(self, state: TableState) -> Iterator[int]:
        """Versions with which clones begin that have no log yet. A head for each clone."""
        for clone in state.metadata.clones.values():
            if not exists(place_of(self._store).root, f"{clone.path}/{names.LOG}{names.commit(0)}"):
                yield clone.version

    def _first_with_rows(self, horizon: int) -> int:
        """The first commit whose rows inside it are in the table at the horizon or later: it cannot be emptied.

        Rows may have come back since the horizon, by `restore` or `revert`.
        """
        paths = [*self._history.state_at(horizon).files.paths, *self._history.paths_added(horizon)]
        parsed = map(names.parse_inlined, paths)
        return min((place[0] for place in parsed if place is not None), default=horizon)

    def _put_base(self, last: int) -> str:
        """Write the base of the commits up to a version, or find it, and read it back; its digest. A put and a get."""
        if last not in self._digests:
            merging = self._history.merging(last)
            parts = [
                # Cut before it is merged: an older base knows the facts of its last commit only, and cannot be cut.
                cut(part, last) if isinstance(part, Segment) else part
                for part in self._history.lineage.parts
                if part.first <= last
            ]
            base = fold(merge(parts, merging.reader, merging.order))
            data, digest = put_segment(self._store, names.LOG, base)
            key = names.LOG + names.base(last)
            try:
                sealed = open_sealed(self._store, key)
                sealed.check_all()
                digest = sealed.digest
            except (CorruptionError, NotFoundError):  # left by somebody who died, or vacuumed; nothing speaks of it yet
                self._store.put(key, data)
            self._digests[last] = digest
        return self._digests[last]


def _position(version: int) -> int:
    """The version that a consumer who has taken the changes up to another one must be able to read."""
    return max(version, 0)


def empty_commits(store: ObjectStore, prefix: str, last: int, digest: str | None) -> int:
    """Empty the objects of commits up to a version that are not empty yet; how many. A list, and one put each.

    The base that stands for them is read first: without it they are all that there is.

    Raises:
        CorruptionError: the base is missing, damaged, or not the one with this digest; nothing was emptied.

    """
    listed = ((names.parse_commit(info.key.removeprefix(prefix)), info) for info in store.list(f"{prefix}0"))
    keys = [info.key for version, info in listed if version is not None and version <= last and info.size_bytes]
    if keys:
        _check_base(store, prefix + names.base(last), digest)
    together(lambda key: store.put(key, b""), keys, side_by_side=is_far(store))
    return len(keys)


def _check_base(store: ObjectStore, key: str, digest: str | None) -> None:
    """Make sure that a base is there, whole, and the one that the log speaks of."""
    try:
        sealed = open_sealed(store, key)
    except NotFoundError as error:
        raise CorruptionError(f"{store.url}/{key} is missing; its commits are kept as they are") from error
    sealed.check_all()
    if sealed.digest != digest:
        raise CorruptionError(f"{sealed.name}: it is not the base that the log speaks of")
