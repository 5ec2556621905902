"""A folder of the local (or a mounted) file system as a store: one object, one file.

    put_if_absent   write .<id>.tmp beside it · fsync · link() to the final name · unlink .tmp · fsync the folder
    put             write .<id>.tmp beside it · fsync · rename() to the final name           · fsync the folder
    upload          the same, but somebody else does the writing

`link()` fails when the name exists, so it decides between writers of any number of processes, and a file only gets its
final name when it is whole and on disk. The folder's fsync makes the name itself survive a power cut; it covers every
earlier name in that folder too, so whoever commits after a commit that he has read makes both last.

A writer that dies leaves a `.tmp` file that no verb shows; `sweep` removes those. Folders are made on demand and never
removed. A delete is not fsynced: after a power cut the object may be back.

Left out: file systems without hard links (FAT, some network mounts) are refused at the first create.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tablelog import env
from tablelog.errors import InvalidError, NotFoundError, StoreError
from tablelog.store.base import ByteRange, ObjectInfo, check_key, check_prefix

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_READ_BYTES: Final = 1 << 30
"""Linux reads at most 2 GiB in one call."""

_WRONG_PLACE: Final = frozenset({errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP})
"""The key itself cannot be a file here: part of it is a file already, it is a folder, or it is too long."""

_NO_LINKS: Final = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS})
"""What `link()` says on a file system that has no hard links."""

_ADVICE: Final = {
    errno.EACCES: "check who may write there",
    errno.EPERM: "check who may write there",
    errno.EROFS: "the file system is mounted read-only",
    errno.ENOSPC: "free some space and try again",
    errno.EDQUOT: "free some of the quota and try again",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.EIO: "the disk or the mount reports a fault",
    errno.ESTALE: "the mount went away; mount it again",
}

_REFUSALS: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EMFILE})
"""Answers that mean that the kernel changed nothing."""


class LocalStore:
    """Objects as files below `root`, which need not exist yet. Safe among threads and processes.

    A put costs two fsyncs; every other verb is two to four system calls.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        """Keep the absolute form of `root`; nothing is touched."""
        self._root = os.path.abspath(os.fspath(root))  # noqa: PTH100 - paths are joined as text for speed
        self._base = self._root.rstrip("/") + "/"

    def __repr__(self) -> str:
        """Name the folder."""
        return f"LocalStore({self._root!r})"

    @property
    def url(self) -> str:
        """The folder's absolute path."""
        return self._root

    def local_path(self, key: str) -> Path:
        """Absolute path of the object's file, whether or not it exists."""
        return Path(self._path(key))

    def get(self, key: str, byte_range: ByteRange | None = None) -> bytes:
        """Bytes of the object, or of a part of it."""
        path = self._path(key)
        try:
            file = os.open(path, os.O_RDONLY)
            try:
                status = os.fstat(file)
                if not stat.S_ISREG(status.st_mode):
                    raise _not_found(path)
                if byte_range is None:
                    return _read(file, 0, status.st_size)
                return _read(file, byte_range.start, min(byte_range.end, status.st_size))
            finally:
                os.close(file)
        except (FileNotFoundError, NotADirectoryError):
            raise _not_found(path) from None
        except OSError as error:
            raise _failure("read", path, error) from error

    def put(self, key: str, data: bytes | memoryview) -> None:
        """Create or replace, whole or not at all; on disk when this returns."""
        self._write(self._path(key), data, os.replace)

    def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
        """Create and return True, or return False because the key exists; on disk when this returns."""
        path = self._path(key)
        # Only link() decides. This look merely spares a writer that has lost already its write and two fsyncs.
        if os.path.lexists(path):
            return False
        try:
            self._write(path, data, _link)
        except FileExistsError:
            return False
        return True

    def upload(self, key: str) -> LocalUpload:
        """Begin an object by making the `.tmp` file beside it, to be written by whoever asked."""
        path = self._path(key)
        unfinished = _beside(path)
        try:
            os.close(self._create(unfinished))
        except OSError as error:
            raise _failure("write", path, error) from error
        return LocalUpload(unfinished, path)

    def list(self, prefix: str = "", start_after: str = "") -> Iterator[ObjectInfo]:
        """Objects whose key begins with `prefix` and sorts after `start_after`, in any order.

        One `scandir` per folder that can hold such keys, one `stat` per object.
        """
        check_prefix(prefix)
        for key, entry in self._walk(prefix, start_after):
            if not _is_unfinished(entry.name):
                try:
                    status = entry.stat()
                except FileNotFoundError:
                    continue  # Deleted since its name was read, so it may be left out.
                except OSError as error:
                    raise _failure("list", entry.path, error) from error
                if stat.S_ISREG(status.st_mode):
                    yield _info(key, status)

    def delete(self, key: str) -> None:
        """Remove the object; no error if it is not there."""
        path = self._path(key)
        try:
            os.unlink(path)  # noqa: PTH108 - see __init__
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return
        except OSError as error:
            raise _failure("delete", path, error, changing=True) from error

    def head(self, key: str) -> ObjectInfo:
        """Size and time of an object."""
        path = self._path(key)
        try:
            status = os.stat(path)  # noqa: PTH116 - see __init__
        except (FileNotFoundError, NotADirectoryError):
            raise _not_found(path) from None
        except OSError as error:
            raise _failure("look at", path, error) from error
        if not stat.S_ISREG(status.st_mode):
            raise _not_found(path)
        return _info(key, status)

    def sweep(self, prefix: str, older_than_us: int, *, dry_run: bool) -> int:
        """Remove the `.tmp` files of dead writers below `prefix` last written before `older_than_us`; how many."""
        check_prefix(prefix)
        count = 0
        for _, entry in self._walk(prefix, ""):
            if _is_unfinished(entry.name):
                try:
                    if entry.stat().st_mtime_ns // 1_000 < older_than_us:
                        if not dry_run:
                            os.unlink(entry.path)  # noqa: PTH108 - see __init__
                        count += 1
                except FileNotFoundError:
                    continue  # Its writer lives and has just finished.
                except OSError as error:
                    raise _failure("sweep", entry.path, error, changing=True) from error
        return count

    def _path(self, key: str) -> str:
        """Where the object's file is. A checked key has no part that leads out of the root."""
        check_key(key)
        return self._base + key

    def _walk(self, prefix: str, start_after: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
        """Files, unfinished ones included, with their keys; enters only folders that can hold what is asked for."""
        pending = [prefix[: prefix.rfind("/") + 1]]
        while pending:
            folder = pending.pop()
            try:
                with os.scandir(self._base + folder) as entries:
                    for entry in entries:
                        key = folder + entry.name
                        if entry.is_dir():
                            inside = key + "/"
                            # Every key in there begins with `inside`, so a look at that beginning is enough.
                            wanted = inside.startswith(prefix) or prefix.startswith(inside)
                            if wanted and (inside > start_after or start_after.startswith(inside)):
                                pending.append(inside)
                        elif key > start_after and key.startswith(prefix):
                            yield key, entry
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                raise _failure("list", self._base + folder, error) from error

    def _write(self, path: str, data: bytes | memoryview, place: Callable[[str, str], None]) -> None:
        """Write a file aside, flush it, `place` it under its final name and flush the name."""
        unfinished = _beside(path)
        placing = False
        try:
            file = self._create(unfinished)
            try:
                try:
                    _fill(file, data)
                finally:
                    os.close(file)
                placing = True
                place(unfinished, path)
            finally:
                with suppress(FileNotFoundError):  # A rename took it away.
                    os.unlink(unfinished)  # noqa: PTH108 - see __init__
            _flush_folder(os.path.dirname(path))  # noqa: PTH120 - see __init__
        except FileExistsError:
            raise
        except OSError as error:
            raise _failure("write", path, error, changing=placing) from error

    def _create(self, path: str) -> int:
        """Open a new file for writing; makes its folder only when the first try says that there is none."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        try:
            return os.open(path, flags, 0o666)
        except FileNotFoundError:
            _make_folder(os.path.dirname(path))  # noqa: PTH120 - see __init__
            return os.open(path, flags, 0o666)


class LocalUpload:
    """A `.tmp` file that becomes an object."""

    def __init__(self, unfinished: str, final: str) -> None:
        """Made by `LocalStore.upload`."""
        self._unfinished = unfinished
        self._final = final

    @property
    def path(self) -> str:
        """The file to write."""
        return self._unfinished

    def finish(self) -> None:
        """Flush the file, give it its final name, and flush the name."""
        placing = False
        try:
            file = os.open(self._unfinished, os.O_WRONLY)
            try:
                os.fsync(file)
            finally:
                os.close(file)
            placing = True
            os.replace(self._unfinished, self._final)  # noqa: PTH105 - see LocalStore.__init__
            _flush_folder(os.path.dirname(self._final))  # noqa: PTH120 - see LocalStore.__init__
        except OSError as error:
            raise _failure("write", self._final, error, changing=placing) from error

    def abandon(self) -> None:
        """Remove the file, unless it is the object by now."""
        with suppress(OSError):
            os.unlink(self._unfinished)  # noqa: PTH108 - see LocalStore.__init__

    def failure(self, error: OSError) -> InvalidError | StoreError:
        """What it means that somebody could not write the file, in the system's words."""
        plain = error if error.errno is None else OSError(error.errno, os.strerror(error.errno))
        return _failure("write", self._final, plain)


def _beside(path: str) -> str:
    """A name in the same folder for a file that is not finished."""
    return f"{os.path.dirname(path)}/.{env.new_id()}.tmp"  # noqa: PTH120 - see LocalStore.__init__


def _is_unfinished(name: str) -> bool:
    """Whether a file of this name belongs to a write that has not placed it yet."""
    return name.startswith(".") and name.endswith(".tmp")


def _info(key: str, status: os.stat_result) -> ObjectInfo:
    return ObjectInfo(key=key, size_bytes=status.st_size, modified_us=status.st_mtime_ns // 1_000)


def _read(file: int, start: int, end: int) -> bytes:
    """Bytes `[start, end)` of an open file, fewer only if it ends earlier."""
    parts = []
    while start < end and (part := os.pread(file, min(end - start, _READ_BYTES), start)):
        parts.append(part)
        start += len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _fill(file: int, data: bytes | memoryview) -> None:
    """Write all of `data` and wait until it is on disk."""
    rest = memoryview(data).cast("B")
    while rest:
        rest = rest[os.write(file, rest) :]
    os.fsync(file)


def _link(unfinished: str, path: str) -> None:
    try:
        os.link(unfinished, path)
    except OSError as error:
        if error.errno in _NO_LINKS:
            message = (
                f"cannot create {path}: its file system has no hard links, which is how a local folder decides who "
                "creates a name first; use a folder on another file system"
            )
            raise InvalidError(message) from error
        raise


def _make_folder(path: str) -> None:
    """Make a folder and its missing parents, each one's name on disk before it is used.

    The parent is flushed also when another process made the folder just now: its own flush may still be under way.
    """
    parent = os.path.dirname(path)  # noqa: PTH120 - see LocalStore.__init__
    try:
        os.mkdir(path)  # noqa: PTH102 - see LocalStore.__init__
    except FileExistsError:
        pass
    except FileNotFoundError:
        _make_folder(parent)
        with suppress(FileExistsError):
            os.mkdir(path)  # noqa: PTH102 - see LocalStore.__init__
    _flush_folder(parent)


def _flush_folder(path: str) -> None:
    """Wait until the names in a folder are on disk."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _not_found(path: str) -> NotFoundError:
    return NotFoundError(f"there is no object {path}")


def _failure(verb: str, path: str, error: OSError, *, changing: bool = False) -> InvalidError | StoreError:
    """What a failed system call means. `changing`: the call was one that changes what readers see."""
    if error.errno in _WRONG_PLACE:
        return InvalidError(f"cannot {verb} {path}: {_reason(error)}; choose another key")
    advice = _ADVICE.get(error.errno or 0, "")
    message = f"cannot {verb} {path}: {_reason(error)}" + (f"; {advice}" if advice else "")
    return StoreError(message, maybe_applied=changing and error.errno not in _REFUSALS)


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
