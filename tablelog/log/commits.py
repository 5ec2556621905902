"""The one protocol: commits in a row, decided by put-if-not-exists and nothing else.

A log is a folder of objects named by dense version numbers. To commit is to create the next number; whoever creates it
has won and everybody else reads what won, looks whether it matters, and tries the number after. There is no lock, no
pointer to swap and nothing to clean up after a crash: an object is there, whole, or it is not.

The subtle part is the answer. A store's client may retry a put by itself and be refused by its own first try, and an
answer may be lost after the put happened. So neither a refusal nor an error says who won. The object does: every
commit carries an `id`, and after anything but a plain yes the slot is read back (P2):

    slot holds our id        -> we won
    slot holds another id    -> we lost; the record found is part of the answer
    slot is empty            -> put the very same bytes again: a first put still under way can only write the same

Losing is a value (`Lost`), not an error. `CommitLog` knows nothing of tables; a catalog is a log as well.

Costs in requests: append 1 put, plus 1 get if the put was refused; `follow` from a known head 1 get when nothing is
new, 1 more per new commit; `follow` from nothing 1 list and 1 get per commit.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from tablelog import env
from tablelog.errors import CorruptionError, NotFoundError, StoreError
from tablelog.format import names
from tablelog.format.commits import CommitRecord, decode_commit, encode_commit
from tablelog.store.base import local_path

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tablelog.store.base import ObjectStore

PUT_ATTEMPTS_MAX: Final = 8
"""How often one commit is put again while its slot stays empty after an error."""
_PARALLEL_GETS: Final = 16
_PARALLEL_FROM: Final = 2
_PARALLEL_FROM_ON_DISK: Final = 32
"""Fewer gets than this are not worth a pool of threads where each takes no time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The newest commit that somebody knows: what a next commit must build on."""

    version: int
    checksum: str
    timestamp_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A commit before it has a place."""

    operation: str
    actions: tuple[Mapping[str, Any], ...]
    info: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Committed:
    """The draft is in the log, as this record."""

    record: CommitRecord


@dataclass(frozen=True, slots=True)
class Lost:
    """Somebody else's record took the place."""

    record: CommitRecord


def head_of(record: CommitRecord) -> Head:
    """The head that a log has with this record as its newest."""
    return Head(version=record.version, checksum=record.checksum, timestamp_us=record.timestamp_us)


class CommitLog:
    """Commits under one prefix of a store. Holds no state; safe to share between threads."""

    def __init__(self, store: ObjectStore, prefix: str) -> None:
        """Speak of the log whose objects are named `prefix` + version."""
        self._store = store
        self._prefix = prefix

    def follow(self, after: Head | None) -> list[CommitRecord]:
        """The commits after `after`, oldest first; all of them for None; empty if there are none.

        Raises:
            CorruptionError: an object is damaged, missing from the row, or does not continue the one before.
            StoreError: the storage failed.

        """
        records = [] if after is not None else self._read_listed()
        head = head_of(records[-1]) if records else after
        # A listing may be stale, so its end is not the log's: the end is the first number that is not there.
        while (record := self._read_if_there((head.version + 1) if head else 0)) is not None:
            _check_continues(head, record, self._name(record.version))
            records.append(record)
            head = head_of(record)
        return records

    def read(self, version: int) -> CommitRecord:
        """One commit. One get.

        Raises:
            NotFoundError: the log does not reach that version.

        """
        record = self._read_if_there(version)
        if record is None:
            raise NotFoundError(f"version {version} is not in the log {self._store.url}/{self._prefix}")
        return record

    def append(self, draft: Draft, *, after: Head | None) -> Committed | Lost:
        """Try to commit the draft as the version after `after` (0 for None).

        Raises:
            StoreError: the storage failed; with `maybe_applied` if even reading back did not settle what happened.

        """
        record = CommitRecord(
            version=after.version + 1 if after else 0,
            id=env.new_id(),
            parent=after.checksum if after else None,
            timestamp_us=max(env.now_us(), after.timestamp_us + 1 if after else 0),
            operation=draft.operation,
            info=draft.info,
            actions=draft.actions,
        )
        data, checksum = encode_commit(record)
        record = replace(record, checksum=checksum)
        found = self._settle(record, data)
        if found.id == record.id:
            if found.checksum != checksum:
                raise CorruptionError(f"{self._name(record.version)}: the store holds other bytes than were put")
            return Committed(found)
        _check_continues(after, found, self._name(found.version))
        return Lost(found)

    def _settle(self, record: CommitRecord, data: bytes) -> CommitRecord:
        """Put until the slot is known to be taken, and say by what."""
        key = self._name(record.version)
        error: StoreError | None = None
        for attempt in range(PUT_ATTEMPTS_MAX):
            if attempt:
                env.sleep(env.backoff_s(attempt, base_s=0.05, max_s=2.0))
            try:
                if self._store.put_if_absent(key, data):
                    return record
            except StoreError as failure:
                if not failure.maybe_applied and error is None:
                    raise
                error = failure
            try:
                found = self._read_if_there(record.version)
            except StoreError as failure:
                error = failure
                continue
            if found is not None:
                return found
        raise StoreError(
            f"cannot tell whether {self._store.url}/{key} was written: the store kept failing and commit {record.id} "
            f"may still appear there; look at the history before trying again",
            maybe_applied=True,
        ) from error

    def _read_listed(self) -> list[CommitRecord]:
        """Every commit up to the newest that a listing shows, chain verified."""
        listed = (names.parse_commit(info.key.removeprefix(self._prefix)) for info in self._store.list(self._prefix))
        there = {version for version in listed if version is not None}
        newest = max(there, default=-1)
        for version in range(newest):  # a hole is said at once, whatever number the newest object bears
            if version not in there and self._read_if_there(version) is None:
                raise _missing(self._name(version), newest)
        versions = range(newest + 1)
        on_disk = local_path(self._store, self._name(0)) is not None
        if len(versions) < (_PARALLEL_FROM_ON_DISK if on_disk else _PARALLEL_FROM):
            found = [self._read_if_there(version) for version in versions]
        else:
            with ThreadPoolExecutor(_PARALLEL_GETS) as pool:
                found = list(pool.map(self._read_if_there, versions))
        records: list[CommitRecord] = []
        head: Head | None = None
        for version, record in zip(versions, found, strict=True):
            name = self._name(version)
            if record is None:
                raise _missing(name, newest)
            _check_continues(head, record, name)
            records.append(record)
            head = head_of(record)
        return records

    def _read_if_there(self, version: int) -> CommitRecord | None:
        key = self._name(version)
        try:
            data = self._store.get(key)
        except NotFoundError:
            return None
        return decode_commit(data, key)

    def _name(self, version: int) -> str:
        return self._prefix + names.commit(version)


def _missing(name: str, newest: int) -> CorruptionError:
    return CorruptionError(f"{name} is missing although version {newest} exists; the log cannot be trusted")


def _check_continues(head: Head | None, record: CommitRecord, name: str) -> None:
    """Refuse a record that cannot be the one after `head`."""
    version, parent = (head.version + 1, head.checksum) if head else (0, None)
    if record.version != version:
        raise CorruptionError(f"{name}: it says that it is version {record.version}")
    if record.parent != parent:
        raise CorruptionError(f"{name}: its parent is {record.parent}, but version {version - 1} is {parent}")
    if head and record.timestamp_us <= head.timestamp_us:
        raise CorruptionError(f"{name}: its time is not after that of version {head.version}")
