"""Bytes of an object that is read in pieces, kept in memory, or in a folder on disk that outlives the process.

The folder is the one that the environment variable `TABLELOG_CACHE` names; without it nothing is kept on disk. A file
there is named by the digest of its object and is as large, with holes where nothing was asked for; beside it stands
which ranges are there. Objects never change, and a digest names one for ever, so nothing in the folder is ever out of
date, whatever happens to the key that the object had. What lies there is held against its checksums like what comes
from the store, and fetched again if it is damaged. The files used longest ago go when all of them weigh a gigabyte.
"""

from __future__ import annotations

import json
import mmap
import os
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from tablelog import env
from tablelog.errors import CorruptionError, StoreError
from tablelog.store.base import ByteRange
from tablelog.store.together import together

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from tablelog.store.base import ObjectStore

DISK_BYTES_MAX: Final = 1024**3
"""What files of the folder may weigh together."""
_HOLE_BYTES: Final = 256 * 1024
"""What lies between two wanted ranges is fetched as well if it is less than this."""
_BLOCK_BYTES: Final = 512
"""What `stat` counts in."""


class FetchedBytes:
    """Bytes of an object of a store, as far as they were asked for; nothing is fetched twice."""

    def __init__(self, store: ObjectStore, key: str, size_bytes: int, digest: str | None = None) -> None:
        """Have room for an object; on disk if its digest is known and there is a folder.

        Raises:
            CorruptionError: nothing can be as large as it is said to be.

        """
        self._store = store
        self._key = key
        self._there: list[tuple[int, int]] = []
        folder = env.cache_folder() if digest is not None else None
        self._file: Final = None if folder is None else _file(folder, str(digest), size_bytes)
        self._ranges: Final = None if folder is None else folder / f"{digest}.json"
        if self._file is not None:
            weakref.finalize(self, os.close, self._file)
        try:
            self._memory = mmap.mmap(-1 if self._file is None else self._file, size_bytes)
        except (OSError, OverflowError, ValueError) as error:  # whoever said how large it is was wrong
            raise CorruptionError(f"{store.url}/{key}: there is no memory for {size_bytes} bytes") from error
        if self._ranges is not None:
            with suppress(OSError, ValueError, TypeError):  # not there yet, or torn
                self._there = [(int(start), int(end)) for start, end in json.loads(self._ranges.read_bytes())]
        self.buffer: Final = pa.py_buffer(self._memory)

    def fetch(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Make sure that these ranges of bytes are there; side by side what lies apart.

        Raises:
            StoreError: the storage failed, or the folder cannot be written.

        """
        missing = [each for each in ranges if not any(a <= each[0] and each[1] <= b for a, b in self._there)]
        if missing:
            together(self._fetch, _joined(missing, _HOLE_BYTES))
            self._remember(_joined([*self._there, *missing], 1))

    def forget(self) -> bool:
        """Take nothing for fetched that came from the folder; whether there may have been anything."""
        if self._ranges is None or not self._there:
            return False
        self._remember([])
        return True

    def _fetch(self, part: tuple[int, int]) -> None:
        start, end = part
        data = self._store.get(self._key, ByteRange(start=start, end=end))
        if self._file is None:
            self._memory[start : start + len(data)] = data
            return
        try:
            os.pwrite(self._file, data, start)  # a full disk would kill a process that writes to mapped memory
        except OSError as error:
            raise _unwritable(error) from error

    def _remember(self, ranges: list[tuple[int, int]]) -> None:
        self._there = ranges
        if self._ranges is not None:
            aside = self._ranges.with_suffix(f".{env.new_id()}")
            with suppress(OSError):  # somebody made room, or there is none: then it is fetched again next time
                aside.write_text(json.dumps(ranges))
                aside.replace(self._ranges)


def _file(folder: Path, digest: str, size_bytes: int) -> int:
    """An open file of a size in the folder, in whose holes nothing was written yet."""
    path = folder / digest
    try:
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            _make_room(folder)
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        if os.fstat(file).st_size != size_bytes:
            (folder / f"{digest}.json").unlink(missing_ok=True)
            os.ftruncate(file, size_bytes)
        os.utime(file)  # it was used just now
    except OSError as error:
        raise _unwritable(error) from error
    return file


def _make_room(folder: Path) -> None:
    """Remove the files used longest ago until the rest weighs less than it may."""
    with suppress(OSError):  # somebody else is at it
        known = sorted((path.stat().st_mtime, path.stat().st_blocks * _BLOCK_BYTES, path) for path in folder.iterdir())
        weight = sum(each for _, each, _ in known)
        for _, each, path in known:
            if weight <= DISK_BYTES_MAX:
                return
            path.unlink(missing_ok=True)
            weight -= each


def _unwritable(error: OSError) -> StoreError:
    return StoreError(f"cannot write to the folder that TABLELOG_CACHE names: {error}; free space there, or unset it")


def _joined(ranges: Iterable[tuple[int, int]], hole_bytes: int) -> list[tuple[int, int]]:
    """The ranges in order, those with less than that between them as one."""
    joined: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if joined and start - joined[-1][1] < hole_bytes:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((start, end))
    return joined
