"""Objects of any store as files that DuckDB can open.

DuckDB opens local files itself. For every other store it asks this file system, which answers each read with one ranged
get. Handles keep their position per thread, because DuckDB seeks and reads one handle from several threads at once, and
an ordinary file object would hand it the wrong bytes. Opening costs no request: the size is in the path.

    tablelog://<number of the store>/<size in bytes>/<key>
"""

from __future__ import annotations

import datetime as dt
import io
import threading
from typing import TYPE_CHECKING, Any, Final

from fsspec.spec import AbstractFileSystem

from tablelog.store.base import ByteRange, local_path

if TYPE_CHECKING:
    from tablelog.format.actions import AddFile
    from tablelog.store.base import ObjectStore

SCHEME: Final = "tablelog"
_UNCHANGED: Final = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)


class StoreFileSystem(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """Read-only files over any number of stores, for one DuckDB database."""

    protocol = SCHEME
    cachable = False

    def __init__(self) -> None:
        """Begin with no store."""
        super().__init__()
        self._stores: list[ObjectStore] = []
        self._numbers: dict[int, int] = {}
        self._lock = threading.Lock()

    def path(self, store: ObjectStore, file: AddFile) -> str:
        """The path under which DuckDB shall open a table's file: a plain one if there is one."""
        plain = local_path(store, file.path)
        if plain is not None:
            return str(plain)
        with self._lock:
            number = self._numbers.get(id(store))
            if number is None:
                number = self._numbers[id(store)] = len(self._stores)
                self._stores.append(store)
        return f"{SCHEME}://{number}/{file.size_bytes}/{file.path}"

    def _locate(self, path: str) -> tuple[ObjectStore, str, int]:
        number, size, key = path.removeprefix(f"{SCHEME}://").split("/", 2)
        return self._stores[int(number)], key, int(size)

    def open(self, path: str, mode: str = "rb", **_: Any) -> _Handle:
        """A handle for reading; no request."""
        if mode != "rb":
            raise PermissionError(f"{path} is part of a table and is only ever read")
        return _Handle(*self._locate(path))

    def size(self, path: str) -> int:
        """Bytes of the file; no request."""
        return self._locate(path)[2]

    def modified(self, path: str) -> dt.datetime:  # noqa: ARG002 - objects never change
        """A constant: files of a table never change."""
        return _UNCHANGED

    def glob(self, path: str, **_: Any) -> list[str]:
        """The path itself: names of files are never patterns here."""
        return [path]

    def unstrip_protocol(self, name: str) -> str:
        """The path as it is."""
        return name

    def isfile(self, path: str) -> bool:  # noqa: ARG002 - only paths that `path` gave are asked for
        """True: the log names only files."""
        return True

    def exists(self, path: str, **_: Any) -> bool:  # noqa: ARG002
        """True: a file that is missing is noticed when it is read."""
        return True

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Name, size and kind; no request."""
        return {"name": path, "size": self._locate(path)[2], "type": "file"}


class _Handle:
    """One open file. Every thread has a position of its own."""

    def __init__(self, store: ObjectStore, key: str, size_bytes: int) -> None:
        self._store = store
        self._key = key
        self._size_bytes = size_bytes
        self._local = threading.local()

    def tell(self) -> int:
        return getattr(self._local, "position", 0)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self.tell(), io.SEEK_END: self._size_bytes}[whence]
        self._local.position = base + offset
        return base + offset

    def read(self, length: int = -1) -> bytes:
        start = self.tell()
        end = self._size_bytes if length < 0 else min(self._size_bytes, start + length)
        data = self._store.get(self._key, ByteRange(start=start, end=end)) if end > start else b""
        self._local.position = start + len(data)
        return data

    def flush(self) -> None:
        """Nothing is ever written."""

    def close(self) -> None:
        """Nothing is held open."""
