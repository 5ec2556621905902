"""A store that takes as long to answer as one that is far away, and remembers what it was asked when."""

from __future__ import annotations

import threading
import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tablelog.store.base import ByteRange, ObjectInfo, ObjectStore


class LatentStore:
    """Another store behind a delay."""

    def __init__(self, inner: ObjectStore) -> None:
        self._inner = inner
        self._lock = threading.Lock()
        self.delay_s = 0.0
        self.counts: Counter[str] = Counter()
        self._spans: list[tuple[float, float]] = []

    @property
    def url(self) -> str:
        return self._inner.url

    def reset(self, *, delay_s: float) -> None:
        """Forget what was asked, and answer so much later from now on."""
        self.counts.clear()
        self._spans.clear()
        self.delay_s = delay_s

    def rounds(self) -> int:
        """The longest row of requests of which each began after the answer to the one before."""
        longest, busy_until = 0, float("-inf")
        for began, ended in sorted(self._spans, key=lambda span: span[1]):
            if began >= busy_until:
                longest, busy_until = longest + 1, ended
        return longest

    @contextmanager
    def _asked(self, verb: str, began: float | None = None) -> Iterator[None]:
        began = time.perf_counter() if began is None else began
        try:
            yield
        finally:
            time.sleep(self.delay_s)
            with self._lock:
                self.counts[verb] += 1
                self._spans.append((began, time.perf_counter()))

    def get(self, key: str, byte_range: ByteRange | None = None) -> bytes:
        with self._asked("GET"):
            return self._inner.get(key, byte_range)

    def put(self, key: str, data: bytes | memoryview) -> None:
        with self._asked("PUT"):
            self._inner.put(key, data)

    def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
        with self._asked("conditional PUT"):
            return self._inner.put_if_absent(key, data)

    def list(self, prefix: str = "", start_after: str = "") -> Iterator[ObjectInfo]:
        """One request for each thousand names that are looked at, in the order of names, as S3 gives them."""
        began: float | None = time.perf_counter()  # looking through a large memory is part of the first page
        found = sorted(self._inner.list(prefix, start_after), key=lambda info: info.key)
        for start in range(0, max(len(found), 1), 1000):
            with self._asked("LIST", began):
                page = found[start : start + 1000]
            began = None
            yield from page

    def delete(self, key: str) -> None:
        with self._asked("DELETE"):
            self._inner.delete(key)

    def head(self, key: str) -> ObjectInfo:
        with self._asked("HEAD"):
            return self._inner.head(key)
