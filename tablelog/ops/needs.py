"""Who may ask for which objects of a table: its versions, its clones, its log.

    versions     data files and vectors of all from the horizon on; tags and consumers hold the horizon (`ops.expire`)
    clones       what their own versions use of this table's files, by their logs
    commits      objects with file actions that a commit names which is not emptied

A clone that is being made has told this table so, and has no log yet: it uses files of the version with which it
begins, and until its log is there that version does not expire. If its maker has died, the name of its first commit is
taken by an empty object; whoever slept so long is refused then, and the clone never was.

An object with file actions is most often named by the commit made right after it, so commits are read in that order,
and only until all objects in question are found.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tablelog.errors import CorruptionError, NotFoundError
from tablelog.format import names
from tablelog.log.commits import CommitLog, FoldedError
from tablelog.log.followed import FollowedLog
from tablelog.log.history import TableHistory
from tablelog.log.positions import positions
from tablelog.log.retained import retained
from tablelog.store.base import exists, is_far
from tablelog.store.in_lake import place_of
from tablelog.store.prefixed import PrefixedStore
from tablelog.store.together import together

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from tablelog.format.actions import SetClone
    from tablelog.format.commits import CommitRecord
    from tablelog.log.retained import Span
    from tablelog.log.state import TableState
    from tablelog.store.base import ObjectInfo, ObjectStore

_AT_ONCE: Final = 64
"""Commits read together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What somebody may ask for."""

    objects: Mapping[str, str]
    """Keys of a table's objects, and who needs each."""
    newest: int
    """Version; there is a commit for each up to it."""
    base_last: int | None = None
    """Version up to which a base stands for commits."""
    asked: tuple[str, ...] = ()
    """Who was asked, for people."""
    done: tuple[str, ...] = ()
    """Ids of clones that use nothing of the table and never will."""


@dataclass(frozen=True, slots=True)
class _Lent:
    """What a clone uses."""

    said: str
    """For people."""
    paths: frozenset[str] = frozenset()
    is_done: bool = False


class Asking:
    """Asks who needs what of one table; again for each state that the table has meanwhile."""

    def __init__(self, store: ObjectStore, history: TableHistory) -> None:
        """Ask about the table in a store's root, whose log `history` has read."""
        self._store = store
        self._history = history
        self._clones: dict[str, tuple[TableHistory, FollowedLog[TableState]]] = {}
        self._named = _NamedActions(CommitLog(store, names.LOG), is_far=is_far(store))

    def give_up(self, state: TableState, before_us: int) -> None:
        """Make sure that clones which were begun before some moment, and have no log, will never have one."""
        for clone in state.metadata.clones.values():
            begun_us = names.made_us(names.data_file(clone.name))
            if begun_us is not None and begun_us < before_us:
                key = f"{clone.path}/{names.LOG}{names.commit(0)}"
                root = place_of(self._store).root
                if not exists(root, key):
                    root.put_if_absent(key, b"")

    def needs(self, state: TableState, actions: Collection[str], commits: Iterable[int]) -> Needs:
        """What is needed of the table in this state.

        `actions` are keys of objects with file actions in question, `commits` the versions whose objects are not empty.
        """
        metadata, history = state.metadata, self._history
        told: dict[Span, str] = {}
        objects: dict[str, str] = {}
        for path, span in retained(history).items():
            if not path.startswith((names.LOG, names.LAKE)):
                objects[path] = told.setdefault(span, _versions(span))
        asked = [f"{_versions((history.horizon, state.version))} of the table"]
        asked += [f"tag {name!r}: version {version}" for name, version in metadata.tags.items()]
        asked += [
            f"consumer {name!r}: has taken changes up to version {version}"
            for name, version in positions(self._store).items()
        ]
        done: list[str] = []
        for clone in metadata.clones.values():
            lent = self._lent(clone)
            asked.append(f"clone {clone.path!r}: {lent.said}")
            objects |= {path: f"clone {clone.path!r}" for path in lent.paths if path not in objects}
            done += [clone.name] * lent.is_done
        for key, version in self._named.find(actions, commits, history).items():
            objects[key] = f"holds the file actions of version {version}"
        base_last = metadata.horizon.base_last
        return Needs(
            objects=objects, newest=state.version, base_last=base_last, asked=tuple(asked), done=tuple(sorted(done))
        )

    def _lent(self, clone: SetClone) -> _Lent:
        """What a clone uses of this table. What opening its log costs, one get the next time."""
        place = place_of(self._store)
        store = PrefixedStore(place.root, str(clone.path))
        if clone.name not in self._clones:
            history = TableHistory(store)
            self._clones[clone.name] = history, FollowedLog(store, names.LOG, history)
        history, log = self._clones[clone.name]
        try:
            state = log.refresh()
        except NotFoundError:
            if clone.version < self._history.horizon:
                raise CorruptionError(
                    f"the clone at {clone.path!r} is being made from version {clone.version} of {self._store.url}, "
                    f"which has expired; nobody can say what it needs. Vacuum again when it is made, or when the "
                    f"grace has passed"
                ) from None
            return _Lent(f"is being made from version {clone.version}")
        except FoldedError:
            if exists(store, names.LOG + names.commit(1)):
                raise
            return _Lent("was never made", is_done=True)
        if state.metadata.table_id != clone.name:
            return _Lent("was never made; another table lies there", is_done=True)
        used = retained(history)
        lent = ((path, names.parse_lent(path)) for path in used)
        paths = frozenset(found[1] for _, found in lent if found is not None and found[0] == place.folder)
        said = f"{_versions((history.horizon, state.version))} use {len(paths):,} objects"
        return _Lent(said, paths, is_done=not paths)


def _versions(span: Span) -> str:
    first, last = span
    return f"version {first}" if first == last else f"versions {first} to {last}"


@dataclass
class _NamedActions:
    """Which objects with file actions some commit names. Commits are read once."""

    log: CommitLog
    is_far: bool
    named: dict[str, int] = field(default_factory=dict)
    """By key, the version of the commit."""
    read: set[int] = field(default_factory=set)

    def find(self, keys: Collection[str], versions: Iterable[int], history: TableHistory) -> dict[str, int]:
        """Those of some keys that one of the commits names. A get for each commit that is read."""
        wanted = {key for key in keys if key not in self.named}
        if wanted:
            pending = sorted(set(versions) - self.read)
            times = history.timestamps_us(pending)
            made = sorted(names.made_us(key) or 0 for key in wanted)
            pending.sort(key=lambda version: _wait_us(made, times.get(version, 0)))
            for start in range(0, len(pending), _AT_ONCE):
                if not wanted:
                    break
                self._take(pending[start : start + _AT_ONCE])
                wanted.difference_update(self.named)
        return {key: self.named[key] for key in keys if key in self.named}

    def _take(self, versions: list[int]) -> None:
        for record in together(self._read, versions, side_by_side=self.is_far):
            for action in () if record is None else record.actions:
                body = action.get("actions")
                if record is not None and isinstance(body, dict):
                    self.named[f"{names.LOG}{body.get('path')}"] = record.version
        self.read.update(versions)

    def _read(self, version: int) -> CommitRecord | None:
        try:
            return self.log.read_if_there(version)
        except FoldedError:  # its history has expired meanwhile, and what it named is in the base
            return None


def _wait_us(made: list[int], committed_us: int) -> int:
    """How long before a commit the last of some names was made; those after all commits come last."""
    place = bisect_left(made, committed_us)
    return committed_us - made[place - 1] if place else 1 << 62


def listed_commits(listing: Mapping[str, ObjectInfo]) -> dict[int, ObjectInfo]:
    """The commits that a listing of a table shows, by version."""
    parsed = ((names.parse_commit(key.removeprefix(names.LOG)), info) for key, info in listing.items())
    return {version: info for version, info in parsed if version is not None and info.key.startswith(names.LOG)}
