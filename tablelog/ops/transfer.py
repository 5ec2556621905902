"""Objects on their way from one store to another: whole, held against what is known of them, never over another.

Many go side by side. What they take in memory is bounded: large ones go piece by piece where the target is a disk, and
elsewhere, where a store takes only whole objects, few at a time.
"""

from __future__ import annotations

import threading
import zlib
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from tablelog.errors import CorruptionError, InvalidError, NotFoundError, StoreError
from tablelog.log.commits import PUT_ATTEMPTS_MAX
from tablelog.ops.copy_plan import DataFile, VectorFile
from tablelog.parquet.vectors import decode_vector
from tablelog.store.base import ByteRange, is_far, upload
from tablelog.store.probe import require_put_if_absent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tablelog.store.base import ObjectStore, Upload

Task = TypeVar("Task")

_THREADS_MAX: Final = 16
_THREADS_OF_DISKS: Final = 4
_PIECE_BYTES: Final = 16 * 1024 * 1024
_HELD_BYTES_MAX: Final = 256 * 1024 * 1024
"""Bytes of objects in memory at a time, unless one alone is larger."""


class Transfer:
    """What goes from one store to another. Safe to share between threads."""

    def __init__(
        self, source: ObjectStore, target: ObjectStore, on_progress: Callable[[int, int], None] | None = None
    ) -> None:
        """Copy to `target`, of which all names are listed here; tell `on_progress` bytes of rows: done, and in all."""
        self.source: Final = source
        self.target: Final = target
        self.there: Final = {info.key: info.size_bytes for info in target.list()}
        """Bytes of the target's objects, by key."""
        self.object_count = 0
        """Objects written."""
        self.size_bytes = 0
        """Bytes of them."""
        self._on_progress = on_progress
        self._done_bytes = self._expected_bytes = 0
        self._written: dict[str, int] = {}
        self._lock = threading.Lock()
        self._held = _Held(_HELD_BYTES_MAX)
        self._is_proved = False
        self._threads = _THREADS_MAX if is_far(source) or is_far(target) else _THREADS_OF_DISKS

    def expect(self, size_bytes: int) -> None:
        """Say that so many bytes of rows more will come."""
        self._expected_bytes += size_bytes
        self._advance(0)

    def _advance(self, size_bytes: int) -> None:
        with self._lock:
            self._done_bytes += size_bytes
            if self._on_progress is not None:
                self._on_progress(self._done_bytes, self._expected_bytes)

    def _wrote(self, key: str, size_bytes: int) -> None:
        with self._lock:
            self.there[key] = self._written[key] = size_bytes
            self.object_count += 1
            self.size_bytes += size_bytes

    def side_by_side(self, do: Callable[[Task], object], tasks: Iterable[Task]) -> None:
        """Do something for each task on several threads; the first error ends it."""
        with ThreadPoolExecutor(self._threads) as pool:
            running = set()
            try:
                for task in tasks:
                    running.add(pool.submit(do, task))
                    if len(running) >= 2 * self._threads:
                        done, running = wait(running, return_when=FIRST_COMPLETED)
                        for each in done:
                            each.result()
                for each in running:
                    each.result()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    # ------------------------------------------------------------------ reading

    def read(self, key: str) -> bytes:
        """An object of the source that the log needs.

        Raises:
            CorruptionError: it is missing.

        """
        try:
            return self.source.get(key)
        except NotFoundError as error:
            raise CorruptionError(f"{self.source.url}/{key} is missing although the log needs it") from error

    # ------------------------------------------------------------------ writing

    def _prove(self) -> None:
        """Make sure, before anything is written, that the target refuses to create a name twice (P1)."""
        with self._lock:
            if not self._is_proved:
                require_put_if_absent(self.target)
                self._is_proved = True

    def create(self, key: str, data: bytes) -> None:
        """Make sure that the target has an object with these bytes. One put-if-absent, and a get if it was there.

        Raises:
            InvalidError: it has another one under the key.
            StoreError: the storage failed.

        """
        self._prove()
        for attempt in range(1, PUT_ATTEMPTS_MAX + 1):
            try:
                if self.target.put_if_absent(key, data):
                    self._wrote(key, len(data))
                    return
            except StoreError as error:
                if not error.maybe_applied or attempt == PUT_ATTEMPTS_MAX:
                    raise
            try:
                found = self.target.get(key)
            except NotFoundError:
                continue  # the answer was lost, and so was the object: the same bytes again can do no harm
            if found != data:
                raise other(self.target, key)
            self.there[key] = len(data)
            return
        raise StoreError(f"cannot tell whether {self.target.url}/{key} was written; copy again, it goes on")

    def has(self, key: str, size_bytes: int) -> bool:
        """Whether the target has an object of that size.

        Raises:
            InvalidError: it has one of another size.

        """
        found = self.there.get(key)
        if found is not None and found != size_bytes:
            raise InvalidError(
                f"{self.target.url}/{key} has {found:,} bytes, the one to copy has {size_bytes:,}; nothing is "
                f"overwritten: look what it is, and remove it or copy to another place"
            )
        return found is not None

    def bring(self, needed: DataFile | VectorFile, key: str) -> None:
        """Copy an object that is needed, if the target lacks it. One get and one put.

        Raises:
            CorruptionError: it is missing at the source, or not what the log says.
            InvalidError: the target has something else under its name.

        """
        if isinstance(needed, VectorFile):
            if key not in self.there:
                data = self.read(key)
                _check_vectors(data, needed, f"{self.source.url}/{key}")
                self._put(key, data)
            return
        if not self.has(key, needed.size_bytes):
            self._prove()
            begun = upload(self.target, key) if needed.size_bytes > _PIECE_BYTES else None
            if begun is not None:
                self._stream(needed, key, begun)
            else:
                with self._held.holding(needed.size_bytes):
                    data = self.read(key)
                    self._check(needed, key, len(data), zlib.crc32(data))
                    self._put(key, data)
        self._advance(needed.size_bytes)

    def delete(self, key: str) -> None:
        """Take an object away that was only there for the time of the copy."""
        self.target.delete(key)
        self._written.pop(key, None)

    def _put(self, key: str, data: bytes) -> None:
        self._prove()
        self.target.put(key, data)
        self._wrote(key, len(data))

    def _stream(self, needed: DataFile, key: str, begun: Upload) -> None:
        """Copy a file piece by piece; it gets its name when all of it is right."""
        checksum = length = 0
        try:
            with Path(begun.path).open("wb") as file:
                for piece in self._pieces(key, needed.size_bytes):
                    checksum = zlib.crc32(piece, checksum)
                    length += len(piece)
                    file.write(piece)
            self._check(needed, key, length, checksum)
            begun.finish()
        except OSError as error:
            raise begun.failure(error) from error
        finally:
            begun.abandon()
        self._wrote(key, length)

    def _pieces(self, key: str, size_bytes: int) -> Iterator[bytes]:
        """An object's bytes; one more than there should be tells that it is too long."""
        for start in range(0, size_bytes + 1, _PIECE_BYTES):
            span = ByteRange(start=start, end=min(start + _PIECE_BYTES, size_bytes + 1))
            with self._held.holding(_PIECE_BYTES):
                try:
                    yield self.source.get(key, span)
                except NotFoundError as error:
                    raise CorruptionError(f"{self.source.url}/{key} is missing although the log needs it") from error

    def _check(self, needed: DataFile, key: str, length: int, checksum: int) -> None:
        name = f"{self.source.url}/{key}"
        if length != needed.size_bytes:
            more = " or more" * (length > needed.size_bytes)
            raise CorruptionError(f"{name}: it has {length:,} bytes{more}, the log says {needed.size_bytes:,}")
        if needed.crc32 is not None and checksum != needed.crc32:
            raise CorruptionError(f"{name}: its bytes are not those that were written: the CRC-32 is another")

    def check(self) -> None:
        """Make sure that the target lists everything that was written, with its size. One list, if anything was.

        Raises:
            CorruptionError: it does not.

        """
        if not self._written:
            return
        found = {info.key: info.size_bytes for info in self.target.list()}
        for key, size_bytes in self._written.items():
            if found.get(key) != size_bytes:
                what = f"has {found[key]:,} bytes" if key in found else "is not there"
                raise CorruptionError(f"{self.target.url}/{key} {what} although {size_bytes:,} bytes were just written")


def other(target: ObjectStore, key: str) -> InvalidError:
    """What it means that the target has another object than the source."""
    return InvalidError(
        f"{target.url}/{key} is not the one to copy: another table is there, or somebody has written to this copy; "
        f"nothing is overwritten, copy to another place"
    )


def _check_vectors(data: bytes, needed: VectorFile, name: str) -> None:
    for vector in needed.vectors:
        rows = decode_vector(data[vector.offset : vector.offset + vector.size_bytes], name)
        if len(rows) != vector.row_count:
            raise CorruptionError(f"{name}: a deletion vector has {len(rows)} rows, the log says {vector.row_count}")


class _Held:
    """Memory for so many bytes; whoever wants more than is left waits."""

    def __init__(self, size_bytes: int) -> None:
        self._most = self._left = size_bytes
        self._changed = threading.Condition()

    @contextmanager
    def holding(self, size_bytes: int) -> Iterator[None]:
        """Hold some bytes; one that wants more than there are waits for all."""
        wanted = min(size_bytes, self._most)
        with self._changed:
            self._changed.wait_for(lambda: self._left >= wanted)
            self._left -= wanted
        try:
            yield
        finally:
            with self._changed:
                self._left += wanted
                self._changed.notify_all()
