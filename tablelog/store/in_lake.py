"""A table's folder as a store, from which files of other tables of its lake can be read.

    data/0192….parquet                   the table's own
    _lake/orders/data/0192….parquet      `data/0192….parquet` of the table in the lake's folder `orders`

Clones have files of the second kind. They are read from the lake's root, and nothing is ever written or deleted there.
Where the lake is, is asked when the first of them is read: a table that is opened by its folder alone looks for a
catalog in the three folders above its own.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

from tablelog.errors import InvalidError
from tablelog.format import names
from tablelog.store.base import exists, local_path, offered, sweep, upload
from tablelog.store.open import open_store
from tablelog.store.prefixed import PrefixedStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from tablelog.store.base import ByteRange, ObjectInfo, ObjectStore, Upload

_ABOVE_MAX: Final = 3
"""Folders above a table's that may be the lake's root: a namespace lies between at most, and room for one more."""
_PARENT: Final = re.compile(r"((?:[A-Za-z][A-Za-z0-9+.-]+://[^/]+|/).*?)/*([^/]+)/*")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a table lies."""

    root: ObjectStore
    """Its lake."""
    folder: str
    """Its folder there."""


class InLake(Protocol):
    """An extra that a store may offer: it is a table's folder, and knows in which lake."""

    def place(self) -> Place:
        """Where the folder lies."""


def place_of(store: ObjectStore) -> Place:
    """The lake that a table's store lies in. Looks through wrappers.

    Raises:
        InvalidError: there is none.

    """
    find: Callable[[], Place] | None = offered(store, "place")
    if find is None:
        raise InvalidError(f"{store.url} is not known to lie in a lake; open the table with connect(…).table(…)")
    return find()


class TableStore:
    """A table's folder, and what other tables of the lake lend it. Adds no request, but for finding the lake once."""

    def __init__(self, inner: ObjectStore, find: Callable[[], Place]) -> None:
        """Root where `inner` is; `find` is asked for the lake when that is needed."""
        self._inner = inner
        self._find = find
        self._place: Place | None = None

    def __repr__(self) -> str:
        """Show what stands in front of what."""
        return f"TableStore({self._inner!r})"

    @property
    def inner(self) -> ObjectStore:
        """The folder alone."""
        return self._inner

    @property
    def url(self) -> str:
        """The folder's address."""
        return self._inner.url

    def place(self) -> Place:
        """Where the folder lies. A head for each folder above it, the first time, if it was opened without its lake."""
        if self._place is None:
            self._place = self._find()
        return self._place

    def get(self, key: str, byte_range: ByteRange | None = None) -> bytes:
        """Bytes of the object, or of a part of it."""
        lent = _lent(key)
        return self._inner.get(key, byte_range) if lent is None else self.place().root.get(lent, byte_range)

    def put(self, key: str, data: bytes | memoryview) -> None:
        """Create or replace."""
        self._inner.put(_own(key), data)

    def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
        """Create and return True, or return False because the key exists."""
        return self._inner.put_if_absent(_own(key), data)

    def list(self, prefix: str = "", start_after: str = "") -> Iterator[ObjectInfo]:
        """The table's own objects whose key begins with `prefix` and sorts after `start_after`."""
        return self._inner.list(prefix, start_after)

    def delete(self, key: str) -> None:
        """Remove the object; no error if it is not there."""
        self._inner.delete(_own(key))

    def head(self, key: str) -> ObjectInfo:
        """Size and time of an object."""
        lent = _lent(key)
        return self._inner.head(key) if lent is None else replace(self.place().root.head(lent), key=key)

    def local_path(self, key: str) -> Path | None:
        """Absolute path of the object's file, None if the store keeps no files."""
        lent = _lent(key)
        return local_path(self._inner, key) if lent is None else local_path(self.place().root, lent)

    def upload(self, key: str) -> Upload | None:
        """Begin an object that is written piece by piece; None if it has to be put."""
        return upload(self._inner, _own(key))

    def sweep(self, prefix: str, older_than_us: int, *, dry_run: bool) -> int:
        """Remove what dead writers left behind below `prefix`; how many they were."""
        return sweep(self._inner, prefix, older_than_us, dry_run=dry_run)


def _lent(key: str) -> str | None:
    """The key in the lake of an object that another table lends; None if it is the table's own."""
    return key[len(names.LAKE) :] if key.startswith(names.LAKE) else None


def _own(key: str) -> str:
    if key.startswith(names.LAKE):
        raise InvalidError(f"{key!r} belongs to another table of the lake; a clone only reads it")
    return key


def table_store(root: ObjectStore, folder: str) -> TableStore:
    """The store of the table in a lake's folder."""
    return TableStore(PrefixedStore(root, folder), partial(Place, root, folder))


def open_table_store(url: str | os.PathLike[str], storage_options: Mapping[str, Any] | None = None) -> TableStore:
    """The store of the table in a folder. No request."""
    store = open_store(url, storage_options)
    text = os.fspath(url)
    address = text if "://" in text and not text.lower().startswith("file:") else store.url
    return TableStore(store, partial(_find_lake, address, storage_options))


def _find_lake(url: str, storage_options: Mapping[str, Any] | None) -> Place:
    """The nearest lake in one of the folders above a table's. A head each.

    Raises:
        InvalidError: there is none.

    """
    above, folder = url, ""
    for _ in range(_ABOVE_MAX):
        match = _PARENT.fullmatch(above)
        if match is None:
            break
        above, folder = match[1], f"{match[2]}/{folder}".rstrip("/")
        root = open_store(above, storage_options)
        if exists(root, names.CATALOG + names.commit(0)):
            return Place(root, folder)
    raise InvalidError(
        f"files of other tables are needed, and {url} lies in no lake that could have them: there is no catalog in the "
        f"{_ABOVE_MAX} folders above it; a clone cannot be moved without its lake"
    )
