"""Things that were used last, as many as a budget allows. Safe to share between threads."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class Kept(Generic[Key, Value]):
    """A cache by weight: what was used longest ago goes first."""

    def __init__(self, bytes_max: int) -> None:
        """Keep up to so many bytes, and at least one thing."""
        self._bytes_max = bytes_max
        self._lock = threading.Lock()
        self._values: OrderedDict[Key, tuple[Value, int]] = OrderedDict()
        self._weight_bytes = 0

    def get(self, key: Key) -> Value | None:
        """What is kept under a key."""
        with self._lock:
            if key not in self._values:
                return None
            self._values.move_to_end(key)
            return self._values[key][0]

    def put(self, key: Key, value: Value, weight_bytes: int) -> None:
        """Keep something, unless there is something under its key already."""
        with self._lock:
            if key not in self._values:
                self._values[key] = value, weight_bytes
                self._weight_bytes += weight_bytes
            while self._weight_bytes > self._bytes_max and len(self._values) > 1:
                _, (_, dropped_bytes) = self._values.popitem(last=False)
                self._weight_bytes -= dropped_bytes
