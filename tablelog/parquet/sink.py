"""Where the bytes of a file go while it is encoded.

To its disk at once, where objects are plain files: a big write then takes a third less time and memory than if whole
files were first collected and then copied. Into memory elsewhere, to be put when the file is complete.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa

from tablelog.store.base import upload

if TYPE_CHECKING:
    from threading import Semaphore

    from tablelog.store.base import ObjectStore, Upload


class Sink(Protocol):
    """A place for one file. Used by one thread at a time."""

    @property
    def stream(self) -> pa.NativeFile:
        """What the file is written to."""

    @property
    def held_bytes(self) -> int:
        """Memory that it takes."""

    def content(self) -> memoryview:
        """All that was written; nothing more can be."""

    def store(self) -> None:
        """Make it an object of the store. After `content`."""

    def discard(self) -> None:
        """Leave nothing behind."""

    def failure(self, error: OSError) -> Exception:
        """What it means that writing to the stream failed."""


class MemorySink:
    """Bytes that are put when there will be no more."""

    def __init__(self, store: ObjectStore, path: str) -> None:
        """Collect the object `path`."""
        self.stream = pa.BufferOutputStream()
        self._store = store
        self._path = path
        self._content = memoryview(b"")

    @property
    def held_bytes(self) -> int:
        """All bytes so far."""
        return self.stream.tell()

    def content(self) -> memoryview:
        """The bytes, not copied."""
        self._content = memoryview(self.stream.getvalue())
        return self._content

    def store(self) -> None:
        """Put them."""
        self._store.put(self._path, self._content)

    def discard(self) -> None:
        """Nothing is anywhere."""

    def failure(self, error: OSError) -> Exception:
        """The error itself: memory has none of its own."""
        return error


class DiskSink:
    """A file that is written where it will stay."""

    held_bytes = 0

    def __init__(self, begun: Upload, places: Semaphore) -> None:
        """Write what was begun; give its place among `places` back when it is stored or discarded."""
        self._begun = begun
        self._places = places
        try:
            self.stream = pa.OSFile(begun.path, "wb")
        except OSError as error:
            begun.abandon()
            raise begun.failure(error) from error

    def content(self) -> memoryview:
        """The file, mapped."""
        self.stream.close()
        return memoryview(pa.memory_map(self._begun.path).read_buffer())

    def store(self) -> None:
        """Give it its name."""
        self._begun.finish()
        self._places.release()

    def discard(self) -> None:
        """Remove it."""
        with suppress(OSError):
            self.stream.close()
        self._begun.abandon()
        self._places.release()

    def failure(self, error: OSError) -> Exception:
        """What the store makes of it."""
        return self._begun.failure(error)


def open_sink(store: ObjectStore, path: str, places: Semaphore) -> Sink:
    """A place for the object `path`: on disk if the store has one and one of `places` is free, else in memory."""
    if not places.acquire(blocking=False):
        return MemorySink(store, path)
    begun = upload(store, path)
    if begun is None:
        places.release()
        return MemorySink(store, path)
    return DiskSink(begun, places)
