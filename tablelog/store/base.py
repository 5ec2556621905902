"""What tablelog asks of a storage: six verbs over named, immutable byte strings.

Keys are relative, `/`-separated and never begin with `/`; a store is rooted at one folder or bucket prefix. A key must
not be the folder of another one (`a` beside `a/b`): a bucket could hold both, a folder cannot.
The one thing everything rests on is `put_if_absent`: of any number of writers that create one key, exactly one is
told True, and the object is whole from the moment it can be seen. A store that cannot promise this must not
implement the protocol; `tablelog.testing.StoreConformance` says whether it does.

Two limits of what an answer can say, both resolved by reading the object back and comparing it with what was sent:

* `StoreError` with `maybe_applied=True`: the answer was lost, so the change may or may not have happened.
* False from `put_if_absent`: the key exists, but the object may be the caller's own. HTTP clients send a request again
  when a connection breaks, and the second one is refused because of the first. True is always the truth.

Errors: `NotFoundError` for a key that is not there, `InvalidError` for a key that no store could hold, `StoreError` for
everything that the storage does wrong, with `maybe_applied=True` whenever a change may have happened although no answer
says so.

Stores stack: a wrapper offers the same six verbs and its `inner` store. What a store can do beyond the verbs
(`LocalFiles`, `Leftovers`, …) is asked for with a function that looks through the wrappers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from tablelog.errors import InvalidError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectInfo:
    """What a store knows of an object without reading it."""

    key: str
    size_bytes: int
    modified_us: int
    """When it was written by the store's own clock, microseconds since 1970-01-01 UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ByteRange:
    """A half-open range of bytes, `[start, end)`; what lies past the object's last byte is left out.

    So `get(key, ByteRange(start=a, end=b))` is always `get(key)[a:b]`.
    """

    start: int
    end: int

    def __post_init__(self) -> None:
        """Refuse ranges that count from the end or run backwards."""
        if not 0 <= self.start <= self.end:
            message = f"byte range [{self.start}, {self.end}) is not one; it needs 0 <= start <= end"
            raise InvalidError(message)


class ObjectStore(Protocol):
    """Six verbs. Implementations are safe to call from several threads."""

    @property
    def url(self) -> str:
        """Where it is, for people and messages; never holds a secret."""

    def get(self, key: str, byte_range: ByteRange | None = None) -> bytes:
        """Bytes of the object, or of a part of it. One request."""

    def put(self, key: str, data: bytes | memoryview) -> None:
        """Create or replace, whole or not at all. One request."""

    def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
        """Create and return True, or return False because the key exists. Atomic. One request."""

    def list(self, prefix: str = "", start_after: str = "") -> Iterator[ObjectInfo]:
        """Objects whose key begins with `prefix` and sorts after `start_after`, in any order.

        `prefix` is any beginning of a key, not only a folder. Keys sort by code point, which is also the order of their
        UTF-8 bytes. An object that is written or deleted meanwhile may or may not be seen; all others are, once.
        """

    def delete(self, key: str) -> None:
        """Remove the object; no error if it is not there. One request."""

    def head(self, key: str) -> ObjectInfo:
        """Size and time of an object. One request."""


class Wrapper(Protocol):
    """A store in front of another one. One that changes keys must offer the extras below itself."""

    @property
    def inner(self) -> ObjectStore:
        """The store behind."""


class LocalFiles(Protocol):
    """An extra that a store may offer: objects are plain files that engines can open by path."""

    def local_path(self, key: str) -> Path | None:
        """Absolute path of the object's file, whether or not it exists; None if there is no such thing here."""


class Upload(Protocol):
    """An object on its way: its bytes are written to a file, and appear under the key all together or never."""

    @property
    def path(self) -> str:
        """The file, empty at first, in which nobody else looks."""

    def finish(self) -> None:
        """Make what the file holds the object; as durable as after a `put` when this returns."""

    def abandon(self) -> None:
        """Forget it; no error if it is finished or forgotten already."""

    def failure(self, error: OSError) -> Exception:
        """What it means that writing the file failed."""


class Uploads(Protocol):
    """An extra that a store may offer: big objects are written piece by piece and never held in memory whole."""

    def upload(self, key: str) -> Upload | None:
        """Begin an object; None if it has to be `put` after all."""


class Leftovers(Protocol):
    """An extra that a store may offer: it can find what writers that died left behind under no key at all."""

    def sweep(self, prefix: str, older_than_us: int, *, dry_run: bool) -> int:
        """Remove unfinished writes below `prefix` last touched before `older_than_us` (µs since 1970); how many."""


def exists(store: ObjectStore, key: str) -> bool:
    """Whether there is an object of this name. A head."""
    try:
        store.head(key)
    except NotFoundError:
        return False
    return True


def local_path(store: ObjectStore, key: str) -> Path | None:
    """Absolute path of the file behind `key`, or None where objects are not files. No request.

    Looks through wrappers.
    """
    find: Callable[[str], Path | None] | None = offered(store, "local_path")
    return None if find is None else find(key)


def is_far(store: ObjectStore) -> bool:
    """Whether objects are no local files, so that requests take long and had better go side by side. No request."""
    return local_path(store, "object") is None


def upload(store: ObjectStore, key: str) -> Upload | None:
    """Begin an object that is written piece by piece; None where it has to be `put`. Looks through wrappers."""
    begin: Callable[[str], Upload | None] | None = offered(store, "upload")
    return None if begin is None else begin(key)


def sweep(store: ObjectStore, prefix: str, older_than_us: int, *, dry_run: bool = False) -> int:
    """Remove what dead writers left behind below `prefix`, where a store can have such things; how many they were.

    Unfinished writes have no key: `list` does not show them and `delete` cannot name them. Only those last touched
    before `older_than_us` (µs since 1970-01-01 UTC, the store's clock) go, so writes under way are safe. With `dry_run`
    they are only counted. Looks through wrappers.
    """
    remove: Callable[..., int] | None = offered(store, "sweep")
    return 0 if remove is None else remove(prefix, older_than_us, dry_run=dry_run)


def offered(store: ObjectStore, extra: str) -> Any:
    """The method of this name that the store, or the nearest one behind it, has.

    Asking for a name is ten times faster than `isinstance` with a protocol, and planning asks for every file.
    """
    behind: ObjectStore | None = store
    while behind is not None:
        method = getattr(behind, extra, None)
        if method is not None:
            return method
        behind = getattr(behind, "inner", None)
    return None


# Names like `.….tmp` belong to `LocalStore`'s unfinished writes. They are refused everywhere, so that any table can be
# copied from any store to any other.
_PART: Final = r"(?!\.\.?(?:/|\Z))(?!\.[^/]*\.tmp(?:/|\Z))[^/\\\x00-\x1f\x7f\ud800-\udfff]+"
_KEY: Final = re.compile(rf"{_PART}(?:/{_PART})*")


def check_key(key: str) -> None:
    """Raise `InvalidError` unless every store can hold an object of this name."""
    if not _KEY.fullmatch(key):
        message = (
            f"key {key!r} cannot name an object: a key is one or more parts joined by '/', and a part is not empty, "
            "not '.' or '..', not of the form '.….tmp', and has no backslash, control character or lone surrogate"
        )
        raise InvalidError(message)


def check_prefix(prefix: str) -> None:
    """Raise `InvalidError` unless some key could begin with `prefix`."""
    if prefix and not _KEY.fullmatch(prefix + "x"):
        message = f"prefix {prefix!r} cannot begin a key; use parts joined by '/', none of them empty, '.' or '..'"
        raise InvalidError(message)
