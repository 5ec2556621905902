"""A store in this process's memory: for tests, demonstrations and throw-away tables.

A dict behind a lock; the lock is what makes a create atomic. `memory://name` is one store per name and process.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tablelog import env
from tablelog.errors import NotFoundError
from tablelog.store.base import ByteRange, ObjectInfo, check_key, check_prefix

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True, kw_only=True)
class _Object:
    data: bytes
    modified_us: int


class MemoryStore:
    """Objects in a dict, gone with the process. Safe among threads."""

    def __init__(self, name: str = "") -> None:
        """Make an empty store of its own; `name` only shows in `url`."""
        self._name = name
        self._objects: dict[str, _Object] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        """Name the store and count its objects."""
        return f"MemoryStore({self._name!r}, {len(self._objects)} objects)"

    @property
    def url(self) -> str:
        """`memory://name`."""
        return f"memory://{self._name}"

    def get(self, key: str, byte_range: ByteRange | None = None) -> bytes:
        """Bytes of the object, or of a part of it."""
        data = self._object(key).data
        return data if byte_range is None else data[byte_range.start : byte_range.end]

    def put(self, key: str, data: bytes | memoryview) -> None:
        """Create or replace."""
        check_key(key)
        new = _Object(data=bytes(data), modified_us=env.now_us())
        with self._lock:
            self._objects[key] = new

    def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
        """Create and return True, or return False because the key exists."""
        check_key(key)
        new = _Object(data=bytes(data), modified_us=env.now_us())
        with self._lock:
            return self._objects.setdefault(key, new) is new

    def list(self, prefix: str = "", start_after: str = "") -> Iterator[ObjectInfo]:
        """Objects whose key begins with `prefix` and sorts after `start_after`, as they are at the first step."""
        check_prefix(prefix)
        with self._lock:
            found = [item for item in self._objects.items() if item[0] > start_after and item[0].startswith(prefix)]
        for key, stored in found:
            yield _info(key, stored)

    def delete(self, key: str) -> None:
        """Remove the object; no error if it is not there."""
        check_key(key)
        with self._lock:
            self._objects.pop(key, None)

    def head(self, key: str) -> ObjectInfo:
        """Size and time of an object."""
        return _info(key, self._object(key))

    def _object(self, key: str) -> _Object:
        check_key(key)
        stored = self._objects.get(key)
        if stored is None:
            message = f"there is no object {self.url}/{key}"
            raise NotFoundError(message)
        return stored


def _info(key: str, stored: _Object) -> ObjectInfo:
    return ObjectInfo(key=key, size_bytes=len(stored.data), modified_us=stored.modified_us)


_named: Final[dict[str, MemoryStore]] = {}
_named_lock: Final = threading.Lock()


def named_memory_store(name: str) -> MemoryStore:
    """The one store of this name in this process, made at the first call and kept for good."""
    with _named_lock:
        return _named.setdefault(name, MemoryStore(name))
