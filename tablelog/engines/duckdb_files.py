"""Objects of any store as files that DuckDB can open.

DuckDB opens local files itself. For every other store it asks this file system, which answers each read with one ranged
get. Handles keep their position per thread, because DuckDB seeks and reads one handle from several threads at once, and
an ordinary file object would hand it the wrong bytes. Opening costs no request: the size is in the path.

    s3n://<number of the store>/<size in bytes>/<key>

DuckDB keeps what it has read of files that are far away, and knows by the scheme which are. `s3n` is such a scheme, and
one that nobody uses any more.
"""

from __future__ import annotations

import datetime as dt
import glob
import io
import threading
from itertools import count
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakValueDictionary, finalize

from fsspec.spec import AbstractFileSystem

from tablelog.store.base import ByteRange, local_path

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tablelog.format.actions import AddFile
    from tablelog.store.base import ObjectStore

SCHEME: Final = "s3n"
_PLAIN_MAX: Final = 100_000
_UNCHANGED: Final = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)


class StoreFileSystem(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """Read-only files over any number of stores, for one DuckDB database."""

    protocol = SCHEME
    cachable = False

    def __init__(self) -> None:
        """Begin with no store."""
        super().__init__()
        self._stores: WeakValueDictionary[int, ObjectStore] = WeakValueDictionary()
        self._numbers: dict[int, int] = {}
        self._next = count()
        self._plain: dict[tuple[int, str], str | None] = {}
        self._lock = threading.Lock()

    def paths(self, store: ObjectStore, files: Iterable[AddFile], reader: object) -> list[str]:
        """The paths under which DuckDB shall open a table's files: plain ones if there are any.

        The store is kept as long as `reader`. As long as it lives, it keeps its number, and DuckDB what it has read.
        """
        number = self._number(store)
        finalize(reader, _let_go, store).atexit = False
        return [
            self._plain_path(store, number, file.path) or f"{SCHEME}://{number}/{file.size_bytes}/{file.path}"
            for file in files
        ]

    def _plain_path(self, store: ObjectStore, number: int, key: str) -> str | None:
        """The path of a file on disk; remembered, because a query may ask for ten thousand."""
        try:
            return self._plain[number, key]
        except KeyError:
            pass
        plain = local_path(store, key)
        if len(self._plain) > _PLAIN_MAX:
            self._plain.clear()
        path = None if plain is None else glob.escape(str(plain))  # DuckDB takes paths for patterns
        self._plain[number, key] = path
        return path

    def _number(self, store: ObjectStore) -> int:
        with self._lock:
            number = self._numbers.get(id(store))
            if number is None:
                number = self._numbers[id(store)] = next(self._next)
                self._stores[number] = store
                finalize(store, self._numbers.pop, id(store)).atexit = False
            return number

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


def _let_go(store: ObjectStore) -> None:
    """The last use of a store: until here it was kept."""


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
