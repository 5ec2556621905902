"""Logs and what they need, from one place to another, in an order in which the copy can always be read.

    objects of some commits, side by side  →  those commits, in order  →  the next ones …  →  segments  →  the hint

So whoever stops a copy leaves an older version of the table, and the next copy goes on from there; when the source has
grown, it copies what is new. A history that has expired has no older versions that are whole: until its unit is
complete (see `ops.copy_plan`), `_log/copying.json` tells readers that there is no table yet.

Commits decide what is copied, by bytes that are held against their checksums and their chain; nothing at the target is
replaced, but for the hint, and commits that were emptied at the source because a base stands for them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tablelog.errors import ConflictError, CorruptionError, InvalidError, NotFoundError
from tablelog.format import names
from tablelog.format.action_json import ActionReader
from tablelog.format.actions import FileActions
from tablelog.format.commits import decode_commit
from tablelog.format.hint import FAN_OUT_DEFAULT
from tablelog.log.commits import check_continues, head_of
from tablelog.log.followed import FollowedLog
from tablelog.log.history import TableHistory
from tablelog.log.opening import put_hint
from tablelog.log.segments import decode_segment
from tablelog.ops.copy_plan import COMMITS_AT_ONCE, last_horizon, needs_of, standing
from tablelog.ops.expire import empty_commits
from tablelog.ops.transfer import other
from tablelog.parquet.sealed import written
from tablelog.store.base import is_far
from tablelog.store.prefixed import PrefixedStore
from tablelog.store.together import together

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import TypeAlias

    from tablelog.format.actions import Action
    from tablelog.format.commits import CommitRecord
    from tablelog.format.hint import Extent
    from tablelog.log.commits import Head
    from tablelog.ops.copy_plan import DataFile, VectorFile
    from tablelog.ops.transfer import Transfer

    _Commit: TypeAlias = tuple[CommitRecord, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class TableCopy:
    """One table that was copied."""

    path: str
    """Its folder in the lake; empty for a table that was copied alone."""
    version: int
    """The newest version, at both places."""
    versions: int
    """How many commits were copied now."""


class LogCopy:
    """One log on its way. Its chain is walked from what the target has to the newest version."""

    def __init__(
        self, transfer: Transfer, prefix: str, newest: int, base: int | None = None, base_digest: str | None = None
    ) -> None:
        """Copy the log under `prefix` up to version `newest`; a base stands for the commits up to `base`.

        Raises:
            InvalidError: the target has another log there, or one that went on by itself, or one whose next commits
                the source has not got any more.

        """
        self._transfer = transfer
        self._prefix = prefix
        self._source = f"{transfer.source.url}/{prefix}"
        self._target = f"{transfer.target.url}/{prefix}"
        self.base = -1 if base is None else base
        self._base_digest = base_digest
        self.newest = newest
        self.at = standing(transfer.there, prefix)
        self.count = 0
        """Commits copied."""
        if self.at.has_begun and self.at.newest < self.base:
            raise InvalidError(
                f"the copy at {self._target} ends with version {self.at.newest}, and the history of {self._source} up "
                f"to {self.base} has expired since, so it cannot go on from there; copy to another place"
            )
        self.head = self._common_head(min(self.at.newest, newest))
        if self.at.newest > newest:
            raise InvalidError(
                f"{self._target}{names.commit(newest + 1)} is no commit of {self._source}, which ends with version "
                f"{newest}: somebody has written to this copy; copy to another place"
            )

    def _common_head(self, newest: int) -> Head | None:
        """The newest commit that both may have, which must be the same; None if there is none."""
        if newest < 0:
            return None
        if newest == self.base:  # the source has no such commit any more, but knows its checksum
            head = self._base()[0]
            theirs = decode_commit(self._transfer.target.get(self._name(newest)), self._target + names.commit(newest))
            if theirs.checksum != head.checksum:
                raise other(self._transfer.target, self._name(newest))
            return head
        if self._differs(newest):
            low, high = max(self.at.oldest, self.base + 1), newest
            while low < high:  # commits are a chain: those after one that differs differ as well
                middle = (low + high) // 2
                low, high = (low, middle) if self._differs(middle) else (middle + 1, high)
            raise other(self._transfer.target, self._name(low))
        return head_of(self._decoded(newest, self._transfer.read(self._name(newest))))

    def _differs(self, version: int) -> bool:
        return self._transfer.target.get(self._name(version)) != self._transfer.read(self._name(version))

    def _name(self, version: int) -> str:
        return self._prefix + names.commit(version)

    # ------------------------------------------------------------------ commits

    def copy(self, first: int, last: int) -> None:
        """Copy commits in order, each after the object that holds its actions, if one does.

        Raises:
            CorruptionError: one is damaged, missing, or does not continue the one before.
            ConflictError: history expired meanwhile.
            InvalidError: the target has another one.

        """
        for records in self._read(first, last):
            self._bring_actions(records)
            for each in records:
                self._put(each)

    def begin_late(self, last: int) -> None:
        """Copy commits up to a version before which nothing can be read, so that they are seen together or not at all.

        What the log begins with, commit 0 or the base, is put last.
        """
        transfer = self._transfer
        marker = self._prefix + names.COPYING
        transfer.create(marker, b"{}\n")
        if self.base < 0:
            (beginning,) = next(self._read(0, 0))
            self._bring_actions([beginning])
        else:
            self.head, base = self._base()
            untaken = (each for each in range(self.base + 1) if each not in self.at.commits)
            transfer.side_by_side(lambda version: transfer.create(self._name(version), b""), untaken)
        for records in self._read(max(self.base, 0) + 1, last):
            self._bring_actions(records)
            transfer.side_by_side(self._put, records)
        if self.base < 0:
            self._put(beginning)
        else:
            transfer.create(self._prefix + names.base(self.base), base)
        transfer.delete(marker)

    def bring_base(self) -> None:
        """Copy the base that the next commits speak of, if the target has not got it."""
        if self.base >= 0 and self._prefix + names.base(self.base) not in self._transfer.there:
            self._transfer.create(self._prefix + names.base(self.base), self._base()[1])

    def _base(self) -> tuple[Head, bytes]:
        """What continues the base, and its bytes."""
        data = self._sealed(self._prefix + names.base(self.base), self._base_digest)
        return decode_segment(written(data, self._source + names.base(self.base))).head, data

    def _read(self, first: int, last: int) -> Iterator[list[_Commit]]:
        """Commits of the source, some at a time, walked along their chain."""
        transfer = self._transfer
        for start in range(first, last + 1, COMMITS_AT_ONCE):
            versions = range(start, min(start + COMMITS_AT_ONCE, last + 1))
            keys = [self._name(version) for version in versions]
            found = together(transfer.read, keys, side_by_side=is_far(transfer.source))
            commits: list[_Commit] = []
            for version, data in zip(versions, found, strict=True):
                record = self._decoded(version, data)
                check_continues(self.head, record, f"{transfer.source.url}/{self._name(version)}")
                self.head = head_of(record)
                commits.append((record, data))
            yield commits

    def _decoded(self, version: int, data: bytes) -> CommitRecord:
        name = f"{self._transfer.source.url}/{self._name(version)}"
        if not data:
            raise ConflictError(f"{name} is empty: history expired while it was copied; copy again, it goes on")
        record = decode_commit(data, name)
        if record.version != version:
            raise CorruptionError(f"{name}: it says that it is version {record.version}")
        return record

    def _put(self, commit: _Commit) -> None:
        record, data = commit
        self._transfer.create(self._name(record.version), data)
        self.count += 1

    def _bring_actions(self, commits: Iterable[_Commit]) -> None:
        """Copy the objects that hold actions of commits."""
        actions = (action for record, _ in commits for action in record.actions if "actions" in action)
        self._transfer.side_by_side(self._bring_object, map(ActionReader().read, actions))

    def _bring_object(self, action: Action) -> None:
        assert isinstance(action, FileActions)
        key = self._prefix + action.path
        if not self._transfer.has(key, action.size_bytes):
            self._transfer.create(key, self._sealed(key, action.digest))

    def _sealed(self, key: str, digest: str | None) -> bytes:
        """The bytes of a sealed object of which the log gives the digest."""
        data = self._transfer.read(key)
        sealed = written(data, f"{self._transfer.source.url}/{key}")
        sealed.check_all()
        if sealed.digest != digest:
            raise CorruptionError(f"{sealed.name}: it is not the object that the log speaks of")
        return data

    # ------------------------------------------------------------------ what makes reading fast

    def bring_segments(self) -> None:
        """Copy segments of the commits that were copied, as far as there are any."""
        keys: list[str] = []
        for info in self._transfer.source.list(self._prefix + names.SEGMENTS):
            extent = names.parse_segment(info.key.removeprefix(self._prefix))
            wanted = extent is not None and self.base < extent[0] and extent[1] <= self.newest
            if wanted and info.key not in self._transfer.there:
                keys.append(info.key)
        self._transfer.side_by_side(self._bring_segment, keys)

    def _bring_segment(self, key: str) -> None:
        try:
            data = self._transfer.source.get(key)
        except NotFoundError:
            return  # it may be deleted at any time
        sealed = written(data, f"{self._transfer.source.url}/{key}")
        sealed.check_all()
        segment = decode_segment(sealed)
        if (segment.first, segment.last) != names.parse_segment(key.removeprefix(self._prefix)):
            raise CorruptionError(f"{sealed.name}: it covers versions {segment.first} to {segment.last}")
        self._transfer.create(key, data)

    def put_hint(self, fan_out: int, extents: Iterable[Extent] = ()) -> None:
        """Say where the copy's segments end, unless somebody has and nothing is new."""
        if self.count or self._prefix + names.HINT not in self._transfer.there:
            base = self.base if self.base >= 0 else None
            there = [each for each in extents if each.first > self.base or base == each.last]
            put_hint(self._transfer.target, self._prefix, self.newest, fan_out=fan_out, base=base, extents=there)

    def tidy(self) -> None:
        """Empty the commits of an older copy that a base stands for by now; finish what somebody died before."""
        if self._prefix + names.COPYING in self._transfer.there and self.at.has_begun:
            self._transfer.delete(self._prefix + names.COPYING)
        if any(size and version <= self.base for version, size in self.at.commits.items()):
            empty_commits(self._transfer.target, self._prefix, self.base, self._base_digest)


def copy_plain(log: LogCopy) -> None:
    """Copy a log that never expires: names of tables, positions of a consumer."""
    log.copy(log.at.newest + 1, log.newest)
    log.bring_segments()
    log.put_hint(FAN_OUT_DEFAULT)


def copy_table(transfer: Transfer, folder: str) -> TableCopy:
    """Copy the table in a folder of the source; an empty one is its root. `folder` ends with `/`.

    Raises:
        NotFoundError: there is no table.
        InvalidError: the target has another one, or files of it are another table's and it is copied alone.
        CorruptionError: something that the log needs is missing or damaged.

    """
    source = PrefixedStore(transfer.source, folder) if folder else transfer.source
    consumers = _consumers(transfer, folder)  # before the table's newest version, which they are never ahead of
    history = TableHistory(source)
    FollowedLog(source, names.LOG, history).refresh()
    newest = history.lineage.newest
    log = LogCopy(transfer, folder + names.LOG, newest, history.base, history.base_digest if newest >= 0 else None)
    since = log.at.newest
    needs = needs_of(history, since)
    if needs.foreign is not None and not folder:
        raise InvalidError(
            f"{transfer.source.url} needs {needs.foreign}, a file of another table that it was cloned from; copy the "
            f"whole lake, or first let it have its files to itself with compact(full=True) and expire()"
        )
    transfer.expect(needs.size_bytes)
    horizon = last_horizon(history)
    for first, last in needs.batches(since + 1, newest, horizon):
        bring_needed(transfer, folder, needs.between(first, last))
        if last == horizon and not log.at.has_begun:
            log.begin_late(last)
        else:
            log.bring_base()
            log.copy(first, last)
    log.bring_segments()
    log.tidy()
    log.put_hint(history.merging(newest).fan_out, history.lineage.extents())
    for consumer in consumers:
        copy_plain(consumer)
    return TableCopy(path=folder.rstrip("/"), version=newest, versions=log.count)


def bring_needed(transfer: Transfer, folder: str, needed: Iterable[DataFile | VectorFile]) -> None:
    """Copy objects that versions of the table in a folder need."""
    transfer.side_by_side(lambda each: transfer.bring(each, _key_of(each.path, folder)), needed)


def _key_of(path: str, folder: str) -> str:
    """Where the object lies that a table's log names."""
    return path.removeprefix(names.LAKE) if path.startswith(names.LAKE) else folder + path


def _consumers(transfer: Transfer, folder: str) -> list[LogCopy]:
    """The logs of those who read a table's changes, as far as they have come now."""
    prefix = folder + names.CONSUMERS
    sizes = {info.key: info.size_bytes for info in transfer.source.list(prefix)}
    logs = sorted({key[: key.index("/", len(prefix)) + 1] for key in sizes if "/" in key[len(prefix) :]})
    return [LogCopy(transfer, log, newest) for log in logs if (newest := standing(sizes, log).newest) >= 0]
