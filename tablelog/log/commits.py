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

An object of no bytes is a commit whose history has expired: its name stays taken for ever, because a store forgets the
names of deleted objects and a writer that was asleep would win an old one again.

Costs in requests: append 1 put, plus 1 get if the put was refused; reading 1 get per commit.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from tablelog import env
from tablelog.errors import CorruptionError, NotFoundError, StoreError
from tablelog.format import names
from tablelog.format.commits import CommitRecord, decode_commit, encode_commit
from tablelog.store.base import is_far
from tablelog.store.together import together

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tablelog.store.base import ObjectStore

PUT_ATTEMPTS_MAX: Final = 8
"""How often one commit is put again while its slot stays empty after an error."""


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


class FoldedError(CorruptionError):
    """A commit's object is empty: its content stands in a base, or is lost."""


class CommitLog:
    """Commits under one prefix of a store. Holds no state; safe to share between threads."""

    def __init__(self, store: ObjectStore, prefix: str) -> None:
        """Speak of the log whose objects are named `prefix` + version."""
        self._store = store
        self._prefix = prefix
        self._is_far = is_far(store)

    def read_from(self, first: int, count: int) -> list[CommitRecord]:
        """The commits that there are among the `count` ones from `first` on, asked for all at once.

        Raises:
            CorruptionError: one is damaged, or is missing although a later one is there.
            FoldedError: one is empty.
            StoreError: the storage failed.

        """
        found = together(self.read_if_there, range(first, first + count), side_by_side=self._is_far)
        newest = max((record.version for record in found if record is not None), default=first - 1)
        return [
            record or self._read_again(version, newest)
            for version, record in zip(range(first, newest + 1), found, strict=False)
        ]

    def _read_again(self, version: int, newest: int) -> CommitRecord:
        """A commit that was not there when it was asked for: it was written since, or is missing."""
        record = self.read_if_there(version)
        if record is None:
            raise missing(self.name_of(version), newest)
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
                raise CorruptionError(f"{self.name_of(record.version)}: the store holds other bytes than were put")
            return Committed(found)
        check_continues(after, found, self.name_of(found.version))
        return Lost(found)

    def _settle(self, record: CommitRecord, data: bytes) -> CommitRecord:
        """Put until the slot is known to be taken, and say by what."""
        key = self.name_of(record.version)
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
                found = self.read_if_there(record.version)
            except StoreError as failure:
                error = failure
                continue
            except FoldedError:
                if error is None:  # refused, and never in doubt: it was somebody else's, long ago
                    raise
                break
            if found is not None:
                return found
        raise StoreError(
            f"cannot tell whether {self._store.url}/{key} was written: the store kept failing and commit {record.id} "
            f"may still appear there; look at the history before trying again",
            maybe_applied=True,
        ) from error

    def read_if_there(self, version: int) -> CommitRecord | None:
        """One commit, or None if the log does not reach so far. One get.

        Raises:
            CorruptionError: it is damaged.
            FoldedError: it is empty.
            StoreError: the storage failed.

        """
        key = self.name_of(version)
        try:
            data = self._store.get(key)
        except NotFoundError:
            return None
        if not data:
            raise FoldedError(f"{key} is empty although no base covers it; the object is damaged")
        record = decode_commit(data, key)
        if record.version != version:
            raise CorruptionError(f"{key}: it says that it is version {record.version}")
        return record

    def name_of(self, version: int) -> str:
        """The key of a commit's object."""
        return self._prefix + names.commit(version)


def missing(name: str, newest: int) -> CorruptionError:
    """What it means that a commit's object is not there although the log goes on after it."""
    return CorruptionError(f"{name} is missing although version {newest} exists; the log cannot be trusted")


def check_continues(head: Head | None, record: CommitRecord, name: str) -> None:
    """Refuse a record that cannot be the one after `head`.

    Raises:
        CorruptionError: it cannot.

    """
    version, parent = (head.version + 1, head.checksum) if head else (0, None)
    assert record.version == version
    if record.parent != parent:
        raise CorruptionError(f"{name}: its parent is {record.parent}, but version {version - 1} is {parent}")
    if head and record.timestamp_us <= head.timestamp_us:
        raise CorruptionError(f"{name}: its time is not after that of version {head.version}")
