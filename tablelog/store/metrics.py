"""Counting what is asked of a store: the price of an operation is its requests."""

from __future__ import annotations

import threading
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from tablelog import env
from tablelog.errors import StoreError
from tablelog.store.base import upload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tablelog.store.base import ByteRange, ObjectInfo, ObjectStore, Upload

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreStats:
    """What a store was asked for. Subtract two to learn what happened between them."""

    get: int = 0
    put: int = 0
    put_if_absent: int = 0
    list: int = 0
    """Listings, however many pages each took."""
    delete: int = 0
    head: int = 0
    errors: int = 0
    """Calls that ended in a `StoreError`; a key that is not there is an answer, not an error."""
    bytes_down: int = 0
    bytes_up: int = 0
    seconds: float = 0.0
    """Time spent waiting for the store, added up over threads."""

    @property
    def requests(self) -> int:
        """Calls of all six verbs."""
        return self.get + self.put + self.put_if_absent + self.list + self.delete + self.head

    def __sub__(self, before: StoreStats) -> StoreStats:
        """What was added since `before`."""
        return StoreStats(**{each.name: getattr(self, each.name) - getattr(before, each.name) for each in fields(self)})


class MeteredStore:
    """`inner`, with every call counted. Adds about a microsecond to each."""

    def __init__(self, inner: ObjectStore) -> None:
        """Start counting from zero."""
        self._inner = inner
        self._lock = threading.Lock()
        self._counts: dict[str, int] = {}
        self._seconds = 0.0

    def __repr__(self) -> str:
        """Show what stands in front of what."""
        return f"MeteredStore({self._inner!r})"

    def __reduce__(self) -> tuple[type[MeteredStore], tuple[ObjectStore]]:
        """Travel to another process as the same store with fresh counts."""
        return (MeteredStore, (self._inner,))

    @property
    def inner(self) -> ObjectStore:
        """The store behind."""
        return self._inner

    @property
    def url(self) -> str:
        """The address of the store behind."""
        return self._inner.url

    def stats(self) -> StoreStats:
        """Everything counted so far."""
        with self._lock:
            return StoreStats(**self._counts, seconds=self._seconds)

    def get(self, key: str, byte_range: ByteRange | None = None) -> bytes:
        """Bytes of the object, or of a part of it."""
        data = self._measure("get", lambda: self._inner.get(key, byte_range))
        self._add("bytes_down", len(data))
        return data

    def put(self, key: str, data: bytes | memoryview) -> None:
        """Create or replace."""
        self._add("bytes_up", memoryview(data).nbytes)
        self._measure("put", lambda: self._inner.put(key, data))

    def upload(self, key: str) -> Upload | None:
        """Begin an object that is written piece by piece; a put when it is finished."""
        begun = upload(self._inner, key)
        return None if begun is None else _MeteredUpload(begun, self._finish)

    def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
        """Create and return True, or return False because the key exists."""
        self._add("bytes_up", memoryview(data).nbytes)
        return self._measure("put_if_absent", lambda: self._inner.put_if_absent(key, data))

    def list(self, prefix: str = "", start_after: str = "") -> Iterator[ObjectInfo]:
        """Objects whose key begins with `prefix` and sorts after `start_after`; counted at the first step."""
        listing = self._inner.list(prefix, start_after)
        info = self._measure("list", lambda: next(listing, None))
        while info is not None:
            yield info
            info = self._measure(None, lambda: next(listing, None))

    def delete(self, key: str) -> None:
        """Remove the object; no error if it is not there."""
        self._measure("delete", lambda: self._inner.delete(key))

    def head(self, key: str) -> ObjectInfo:
        """Size and time of an object."""
        return self._measure("head", lambda: self._inner.head(key))

    def _finish(self, begun: Upload) -> None:
        self._add("bytes_up", Path(begun.path).stat().st_size)
        self._measure("put", begun.finish)

    def _measure(self, verb: str | None, request: Callable[[], T]) -> T:
        """The request's result; counts it under `verb`, its time, and whether the store failed."""
        failed = False
        start_s = env.monotonic_s()
        try:
            return request()
        except StoreError:
            failed = True
            raise
        finally:
            took_s = env.monotonic_s() - start_s
            with self._lock:
                self._seconds += took_s
                if verb is not None:
                    self._counts[verb] = self._counts.get(verb, 0) + 1
                if failed:
                    self._counts["errors"] = self._counts.get("errors", 0) + 1

    def _add(self, counter: str, amount: int) -> None:
        with self._lock:
            self._counts[counter] = self._counts.get(counter, 0) + amount


class _MeteredUpload:
    """An upload that is counted when it is finished."""

    def __init__(self, begun: Upload, finish: Callable[[Upload], None]) -> None:
        self._begun = begun
        self._finish = finish
        self.path = begun.path
        self.abandon = begun.abandon
        self.failure = begun.failure

    def finish(self) -> None:
        self._finish(self._begun)
