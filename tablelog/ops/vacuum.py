"""Objects that nothing needs: found by what is needed and what is there, written down, and removed some time later.

    needs     (`ops.needs`)      who may ask for what
    listing   of the folder      what is there
    lists     `_vacuum/….json`   what earlier runs found, and when by the store's clock

`decide` makes of these, without any I/O, for each object what becomes of it and why:

    needed ─ somebody may ask for it, or it is part of the log
    young ── nobody needs it, but a writer may be about to commit it: it, or its name, is younger than the grace
    noted ── found for the first time: written down now
    waiting  written down, the grace is not over
    removed  written down long enough ago
    unknown  not of a name that tablelog makes

What keeps a slow writer's file from being removed under it is the log. Before objects are removed that writers name,
`vacuum` with a moment is committed; from then on nobody may commit a name that was made before it, unless some version
that is kept has it (`refuse_late`), and only such names are removed. Bases are named again by later expiries, so only
those behind the one that the log speaks of are removed, which no expiry can come back to.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from tablelog import env
from tablelog.errors import ConflictError, CorruptionError, NotFoundError, StoreError
from tablelog.format import names
from tablelog.format.actions import AddFile, RemoveFile
from tablelog.log.facts import datetime_of
from tablelog.log.retained import retained
from tablelog.ops.needs import listed_commits

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from tablelog.format.actions import Action
    from tablelog.log.history import TableHistory
    from tablelog.ops.needs import Needs
    from tablelog.store.base import ObjectInfo, ObjectStore

_SKEW_MAX_US: Final = 5 * 60 * 1_000_000
"""How far this machine's clock and the store's may be apart."""
_PROBE_US: Final = 60 * 60 * 1_000_000
"""How long somebody may be about to look at a probe, or to write a list, whatever the grace."""
_LIST_VERSION: Final = 1
_SHOWN: Final = 3


class Fate(StrEnum):
    """What becomes of an object."""

    NEEDED = "needed"
    YOUNG = "young"
    NOTED = "noted"
    WAITING = "waiting"
    REMOVED = "removed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What becomes of one object, and why."""

    key: str
    size_bytes: int
    fate: Fate
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """What is in a table's folder."""

    listing: Mapping[str, ObjectInfo]
    """By key."""
    lists: Mapping[str, tuple[str, ...] | None]
    """What earlier runs have written down, by the key of the list; None for one that is damaged."""


def decide(needs: Needs, folder: Folder, now_us: int, grace_us: int) -> tuple[Verdict, ...]:
    """What becomes of each object of a folder, by key. `now_us` is the store's clock, or one that is behind it."""
    before_us = now_us - grace_us
    noted: dict[str, int] = {}
    for name, keys in folder.lists.items():
        if keys is not None and not any(key in needs.objects for key in keys):  # or it is no proof any more
            for key in keys:
                written_us = folder.listing[name].modified_us
                noted[key] = min(noted.get(key, written_us), written_us)

    def fate_of(key: str, info: ObjectInfo) -> tuple[Fate, str]:
        needed = needs.objects.get(key) or _part_of_log(key, needs)
        if needed is not None:
            return Fate.NEEDED, needed
        if not _is_ours(key):
            return Fate.UNKNOWN, "tablelog makes no such name"
        made_us = names.made_us(key)
        if info.modified_us > before_us or (made_us is not None and made_us >= before_us):
            born_us = max(info.modified_us, made_us or 0)
            return Fate.YOUNG, f"from {_moment(born_us)}; a writer may be about to commit it"
        useless = "no version, clone or commit needs it" if made_us is not None else "a base stands for what it says"
        if grace_us == 0:
            return Fate.REMOVED, useless
        if key not in noted:
            return Fate.NOTED, f"{useless}; written down now"
        told = f"{useless}; written down on {_moment(noted[key])}"
        return (Fate.REMOVED if noted[key] <= before_us else Fate.WAITING), told

    lists = [key for key in folder.listing if key.startswith(names.VACUUM)]
    fates = {key: fate_of(key, info) for key, info in folder.listing.items() if not key.startswith(names.VACUUM)}
    waiting = {key for key, (fate, _) in fates.items() if fate is Fate.WAITING}
    fates |= {key: _fate_of_list(key, folder, waiting, now_us, before_us) for key in lists}
    return tuple(
        Verdict(key=key, size_bytes=folder.listing[key].size_bytes, fate=fate, why=why)
        for key, (fate, why) in sorted(fates.items())
    )


def _part_of_log(key: str, needs: Needs) -> str | None:
    """Why an object stays that no version names; None if it may go."""
    if key.startswith(names.CONSUMERS) and names.parse_consumer(key) is not None:
        return "the position of a consumer"
    if key.startswith(names.LEASES) and key.endswith(".json"):
        return "says who does something that one of many shall do"
    name = key.removeprefix(names.LOG)
    if name == key:
        return None
    if name == names.HINT:
        return "says where the log ends"
    if names.parse_commit(name) is not None:
        return "a commit; its name stays taken for ever"
    base_last, extent = names.parse_base(name), names.parse_segment(name)
    covered = -1 if needs.base_last is None else needs.base_last
    if base_last is not None and base_last >= covered:
        is_spoken = base_last == needs.base_last
        return f"stands for versions 0 to {base_last}" if is_spoken else "an expiry may be about to name it"
    if extent is not None and extent[1] > covered:
        return f"versions {extent[0]} to {extent[1]} of the log, merged"
    return None


def _is_ours(key: str) -> bool:
    """Whether tablelog makes such a name for something that may become useless."""
    name = key.removeprefix(names.LOG)
    is_merged = name != key and (names.parse_base(name) is not None or names.parse_segment(name) is not None)
    return is_merged or names.made_us(key) is not None


def _fate_of_list(key: str, folder: Folder, waiting: set[str], now_us: int, before_us: int) -> tuple[Fate, str]:
    """What becomes of what other runs left behind, or are just working with."""
    is_old = folder.listing[key].modified_us <= min(before_us, now_us - _PROBE_US)
    if key in folder.lists:
        keys = folder.lists[key]
        if keys is not None and not waiting.isdisjoint(keys):
            return Fate.NEEDED, "says since when nobody needs some objects"
        if keys is None and not is_old:
            return Fate.YOUNG, "a list that cannot be read"
        return Fate.REMOVED, "a list that cannot be read" if keys is None else "what it lists is gone or needed"
    if names.made_us(key) is None or key.endswith(".json"):
        return Fate.UNKNOWN, "not a list that this tablelog can read"
    return (Fate.REMOVED if is_old else Fate.YOUNG), "asked the store for the time"


def is_named(verdict: Verdict) -> bool:
    """Whether it is an object that goes and that a writer could name in a commit."""
    return (
        verdict.fate is Fate.REMOVED
        and names.made_us(verdict.key) is not None
        and not verdict.key.startswith(names.VACUUM)
    )


# --------------------------------------------------------------------------- looking


def store_time_us(store: ObjectStore) -> int:
    """What time it is by the store's clock. A put, a head and a delete.

    Raises:
        StoreError: this machine's clock says something else, or it was asleep meanwhile.

    """
    key = names.vacuum_probe(env.new_id())
    store.put(key, b"")
    try:
        now_us = store.head(key).modified_us
    except NotFoundError as error:  # an hour has passed since, and another vacuum
        raise StoreError(
            f"{store.url}/{key} was removed before the store could be asked for its time; nothing else was removed. "
            f"This machine was asleep for long; vacuum again"
        ) from error
    finally:
        store.delete(key)
    own_us = env.now_us()
    if abs(own_us - now_us) > _SKEW_MAX_US:
        raise StoreError(
            f"{store.url}: the store's clock says {_moment(now_us)}, this machine's {_moment(own_us)}; nothing was "
            f"removed, because nobody can tell what is old. Set the clock that is wrong"
        )
    return now_us


def look(store: ObjectStore) -> Folder:
    """What is in a table's folder. A list, and a get for each list that earlier runs left."""
    listing = {info.key: info for info in store.list("")}
    lists: dict[str, tuple[str, ...] | None] = {}
    for key in listing:
        if key.startswith(names.VACUUM) and key.endswith(".json") and names.made_us(key) is not None:
            try:
                lists[key] = _decode_list(bytes(store.get(key)))
            except (CorruptionError, NotFoundError):
                lists[key] = None
            except _NewerError:
                continue
    return Folder(listing=listing, lists=lists)


def encode_list(keys: Iterable[str]) -> bytes:
    """A list of objects that nothing needs."""
    said = {"version": _LIST_VERSION, "keys": sorted(keys)}
    return json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()


class _NewerError(Exception):
    """A newer tablelog wrote it."""


def _decode_list(data: bytes) -> tuple[str, ...]:
    try:
        said = json.loads(data)
        version = said["version"]
        if isinstance(version, int) and version > _LIST_VERSION:
            raise _NewerError
        keys = said["keys"]
        if version != _LIST_VERSION or not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            raise CorruptionError("it is no list of objects")
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptionError(f"it is no list of objects: {error!r}") from error
    return tuple(keys)


def unlisted(needs: Needs, folder: Folder) -> list[str]:
    """Keys of objects that are needed and that a listing does not show."""
    commits = listed_commits(folder.listing)
    lacking = [names.LOG + names.commit(version) for version in range(needs.newest + 1) if version not in commits]
    base = [] if needs.base_last is None else [names.LOG + names.base(needs.base_last)]
    return lacking + [key for key in (*base, *needs.objects) if key not in folder.listing]


def clipped(store: ObjectStore, lacking: Sequence[str]) -> StoreError | CorruptionError:
    """What it means that a listing lacks objects that are needed. A head for each."""
    for key in lacking:
        try:
            store.head(key)
        except NotFoundError:
            return CorruptionError(
                f"{store.url}/{key} is missing although the log needs it; nothing was removed. verify() says what else "
                f"is wrong"
            )
    more = f" and {len(lacking) - _SHOWN:,} more" if len(lacking) > _SHOWN else ""
    return StoreError(
        f"the listing of {store.url} lacks objects that are there and needed, {', '.join(lacking[:_SHOWN])}{more}; "
        f"nothing was removed, because such a listing proves nothing. Try again, and look whether the store is sound"
    )


# --------------------------------------------------------------------------- writers


def refuse_late(actions: Sequence[Action], before_us: int, history: TableHistory) -> None:
    """Stop a commit that brings objects which a vacuum may have removed: older than it, and in no version that is kept.

    No request; looks at the parts of the log only if a name is old and its file is not just changed.

    Raises:
        ConflictError: it brings one.

    """
    if not before_us:
        return
    removed = {action.path for action in actions if isinstance(action, RemoveFile)}
    late = {path for path in _brought(actions) if path not in removed and _is_older(path, before_us)}
    if late:
        late.difference_update(retained(history))
    if late:
        path = min(late)
        raise ConflictError(
            f"{path} was begun at {_moment(names.made_us(path) or 0)}, and a vacuum has removed since what was older "
            f"than {_moment(before_us)} and in no version; write again, in less time than the grace of vacuum(), and "
            f"look whether this machine's clock is right"
        )


def _brought(actions: Iterable[Action]) -> Iterator[str]:
    """Paths of objects that adds name."""
    for action in actions:
        if isinstance(action, AddFile):
            yield action.path
            gone = action.gone
            for vector in (action.deleted, *((gone.deleted, gone.updated) if gone else ())):
                if vector is not None and vector.path is not None:
                    yield vector.path


def _is_older(path: str, before_us: int) -> bool:
    made_us = names.made_us(path)
    return made_us is not None and made_us < before_us


def _moment(moment_us: int) -> str:
    return f"{datetime_of(moment_us):%Y-%m-%d %H:%M:%S} UTC"
