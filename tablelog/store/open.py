"""From a URL to a store.

    ./lake  ~/lake  /data/lake  file:///data/lake     a folder
    memory://name  memory://name/lake                 this process's memory
    s3://bucket/lake  s3a://bucket/lake               a bucket of Amazon S3, or of any server that speaks its protocol
    other://…                                         whatever `register_store` was told

A scheme is accepted when a create that fails if the name exists is known to be atomic there. Everything else is
refused with `InvalidError`, also where some library could read and write it: to look first and write afterwards is not
a create.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import unquote

from tablelog.errors import InvalidError
from tablelog.store.local import LocalStore
from tablelog.store.memory import named_memory_store
from tablelog.store.prefixed import PrefixedStore
from tablelog.store.retry import RetryingStore
from tablelog.store.s3 import S3Store

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tablelog.store.base import ObjectStore

    Factory: TypeAlias = Callable[[str, Mapping[str, Any]], ObjectStore]

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
"""At least two letters: `C:` is a drive."""

_SQUASHED: Final = re.compile(r"(file|memory|s3a?|gs|az|abfss?|https?):/")
"""What `pathlib` leaves of a URL's `//`."""


def open_store(url: str | os.PathLike[str], storage_options: Mapping[str, Any] | None = None) -> ObjectStore:
    """The store at `url`, rooted there. No request; a folder is made when something is first written to it.

    Options are for S3 (see `docs/object-stores.md`) and registered schemes; folders and memory take none. A store on a
    network comes wrapped in `RetryingStore`. Raises `InvalidError` for a scheme that is not known to create atomically,
    for an unknown option, and for a URL with credentials in it.
    """
    options = dict(storage_options or {})
    if isinstance(url, os.PathLike):
        return _open_path(os.fspath(url), options)
    if not isinstance(url, str):
        raise InvalidError(f"{url!r} is not a folder's path or a URL; give text or a Path")
    match = _SCHEME.match(url)
    if match is None:
        return _open_folder(url, options)
    scheme, rest = match[1].lower(), url[match.end() :]
    factory = _registered.get(scheme)
    if factory is not None:
        return factory(url, options)
    builtin = _BUILTIN.get(scheme)
    if builtin is not None:
        return builtin(rest, options)
    message = (
        f"no store for {scheme}:// URLs: tablelog needs an atomic create that fails when the name exists, and knows of "
        f"one in plain folders and {', '.join(sorted(known + '://' for known in _BUILTIN | _registered))}. If your "
        f"storage has it, write a class with the six verbs and call tablelog.register_store({scheme!r}, factory)"
    )
    raise InvalidError(message)


def register_store(scheme: str, factory: Factory) -> None:
    """Open URLs that begin with `scheme://` with `factory(url, storage_options)`, from now on in this process.

    The factory is given the whole URL and returns a store rooted there, wrapped in `RetryingStore` if it is on a
    network. A scheme registered before is replaced. Raises `InvalidError` for the schemes that are built in.
    """
    if not _SCHEME.fullmatch(scheme + "://"):
        message = f"{scheme!r} is not a URL scheme; use letters, digits, '+', '.' and '-', at least two of them"
        raise InvalidError(message)
    if scheme.lower() in _BUILTIN:
        message = f"{scheme}:// is built in and cannot be registered; choose another scheme"
        raise InvalidError(message)
    _registered[scheme.lower()] = factory


def _open_path(path: str, options: Mapping[str, Any]) -> ObjectStore:
    if _SQUASHED.match(path):
        message = f"a Path cannot hold a URL, this one has become {path!r}; pass the URL as text"
        raise InvalidError(message)
    return _open_folder(path, options)


def _open_folder(path: str, options: Mapping[str, Any]) -> ObjectStore:
    _refuse_options("a local folder", options)
    if not path or "\0" in path:
        message = f"{path!r} is not a folder's path"
        raise InvalidError(message)
    return LocalStore(os.path.expanduser(path))  # noqa: PTH111 - a path stays text


def _open_file_url(rest: str, options: Mapping[str, Any]) -> ObjectStore:
    host, slash, path = rest.partition("/")
    if host not in {"", "localhost"} or not slash:
        message = f"file://{rest} is not on this machine; write file:/// and an absolute path"
        raise InvalidError(message)
    return _open_folder("/" + unquote(path), options)


def _open_memory(rest: str, options: Mapping[str, Any]) -> ObjectStore:
    _refuse_options("a memory store", options)
    name, _, folder = rest.partition("/")
    return _rooted(named_memory_store(name), folder)


def _open_s3(rest: str, options: Mapping[str, Any]) -> ObjectStore:
    bucket, _, folder = rest.partition("/")
    return _rooted(RetryingStore(S3Store(bucket, options)), folder)


def _rooted(store: ObjectStore, folder: str) -> ObjectStore:
    folder = folder.strip("/")
    return PrefixedStore(store, folder) if folder else store


def _refuse_options(what: str, options: Mapping[str, Any]) -> None:
    if options:
        message = f"{what} takes no storage options, and was given {', '.join(sorted(map(repr, options)))}"
        raise InvalidError(message)


_BUILTIN: Final[dict[str, Callable[[str, Mapping[str, Any]], ObjectStore]]] = {
    "file": _open_file_url,
    "memory": _open_memory,
    "s3": _open_s3,
    "s3a": _open_s3,
}
_registered: Final[dict[str, Factory]] = {}
