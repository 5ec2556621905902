"""A part of a store as a store of its own: a table's folder inside a lake, a lake inside a bucket."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tablelog.store.base import ObjectInfo, check_key, local_path, sweep, upload

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tablelog.store.base import ByteRange, ObjectStore, Upload


class PrefixedStore:
    """`inner` rooted lower: key `k` here is `prefix/k` there. Adds no request."""

    def __init__(self, inner: ObjectStore, prefix: str) -> None:
        """Root at the folder `prefix` of `inner`, written with or without a `/` at its end."""
        folder = prefix.removesuffix("/")
        check_key(folder)
        self._inner = inner
        self._prefix = folder + "/"

    def __repr__(self) -> str:
        """Show what stands in front of what."""
        return f"PrefixedStore({self._inner!r}, {self._prefix!r})"

    @property
    def inner(self) -> ObjectStore:
        """The whole store."""
        return self._inner

    @property
    def prefix(self) -> str:
        """What every key begins with in the whole store; ends with `/`."""
        return self._prefix

    @property
    def url(self) -> str:
        """The whole store's address and the prefix."""
        return f"{self._inner.url.removesuffix('/')}/{self._prefix.removesuffix('/')}"

    def get(self, key: str, byte_range: ByteRange | None = None) -> bytes:
        """Bytes of the object, or of a part of it."""
        return self._inner.get(self._prefix + key, byte_range)

    def put(self, key: str, data: bytes | memoryview) -> None:
        """Create or replace."""
        self._inner.put(self._prefix + key, data)

    def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
        """Create and return True, or return False because the key exists."""
        return self._inner.put_if_absent(self._prefix + key, data)

    def list(self, prefix: str = "", start_after: str = "") -> Iterator[ObjectInfo]:
        """Objects whose key begins with `prefix` and sorts after `start_after`."""
        inner_start = self._prefix + start_after if start_after else ""
        for info in self._inner.list(self._prefix + prefix, inner_start):
            key = info.key[len(self._prefix) :]
            yield ObjectInfo(key=key, size_bytes=info.size_bytes, modified_us=info.modified_us)

    def delete(self, key: str) -> None:
        """Remove the object; no error if it is not there."""
        self._inner.delete(self._prefix + key)

    def head(self, key: str) -> ObjectInfo:
        """Size and time of an object."""
        info = self._inner.head(self._prefix + key)
        return ObjectInfo(key=key, size_bytes=info.size_bytes, modified_us=info.modified_us)

    def local_path(self, key: str) -> Path | None:
        """Absolute path of the object's file, None if the whole store keeps no files."""
        return local_path(self._inner, self._prefix + key)

    def upload(self, key: str) -> Upload | None:
        """Begin an object that is written piece by piece; None if it has to be put."""
        return upload(self._inner, self._prefix + key)

    def sweep(self, prefix: str, older_than_us: int, *, dry_run: bool) -> int:
        """Remove what dead writers left behind below `prefix`; how many they were."""
        return sweep(self._inner, self._prefix + prefix, older_than_us, dry_run=dry_run)
