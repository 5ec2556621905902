"""Whether everything that a table consists of is there and says the same: its log (`ops.log_check`) and its data files.

Costs: a list of everything and a get of every object of the log; a get of every data file unless told otherwise.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tablelog.errors import NotFoundError, TablelogError
from tablelog.format import names
from tablelog.log.file_rows import file_actions
from tablelog.log.retained import kept_rows
from tablelog.ops.log_check import LogCheck, Problem
from tablelog.parquet.contents import read_inlined, read_vectors
from tablelog.store.base import ByteRange, is_far
from tablelog.store.together import together

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tablelog.format.actions import AddFile
    from tablelog.log.history import TableHistory
    from tablelog.store.base import ObjectStore

_PIECE_BYTES: Final = 16 * 1024 * 1024
_SHOWN: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What was looked at, and what is wrong with it."""

    url: str
    versions: int
    """How many versions can be read."""
    objects: int
    size_bytes: int
    """Bytes of those objects."""
    problems: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong that could do harm."""
        return all(problem.harmless for problem in self.problems)

    def __repr__(self) -> str:
        verdict = "sound" if self.ok else "DAMAGED"
        checked = f"{self.url}: {verdict}; {self.versions:,} versions, {self.objects:,} objects checked"
        lines = [f"  {'(harmless) ' * problem.harmless}{problem}" for problem in self.problems[:_SHOWN]]
        more = len(self.problems) - len(lines)
        return "\n".join([checked, *lines, *([f"  and {more:,} more"] if more > 0 else [])])


def verify_log(check: LogCheck, url: str) -> Verification:
    """What a look at a log without data files has found."""
    return Verification(
        url=url,
        versions=check.newest + 1,
        objects=len(check.sizes),
        size_bytes=sum(check.sizes.values()),
        problems=tuple(check.problems),
    )


def verify_table(check: LogCheck, history: TableHistory, *, read: bool) -> Verification:
    """What a look at a table's log has found, and what its data files are like.

    Data files of all versions that can be read are held against the log; with `read` every byte of them, else only
    their names and sizes.
    """
    store = check.store
    sizes = {info.key: info.size_bytes for info in store.list("") if not info.key.startswith(names.LOG)}
    files = list(_retained_files(history))
    sizes |= _lent_sizes(store, files)
    once = {(file.path, file.size_bytes, file.crc32): file for file in files}  # each comes again with each vector
    dirty = [file for file in files if file.deleted is not None]
    schemas = history.schemas if history.lineage.parts else {}

    def of_data(file: AddFile) -> Problem | None:
        if file.is_inlined:
            return _told(file.path, lambda: read_inlined(store, [file], schemas))
        if file.path not in sizes:
            return Problem(object=file.path, problem="the log needs it and it is missing")
        if sizes[file.path] != file.size_bytes:
            text = f"it has {sizes[file.path]:,} bytes, the log says {file.size_bytes:,}"
            return Problem(object=file.path, problem=text)
        if read and file.crc32 is not None and _crc32(store, file) != file.crc32:
            return Problem(object=file.path, problem="its bytes are not those that were written: the CRC-32 is another")
        return None

    def of_vector(file: AddFile) -> Problem | None:
        assert file.deleted is not None
        place = file.deleted.path
        if place is not None and place not in sizes:
            return Problem(object=place, problem="the log needs it and it is missing")
        return (
            _told(place or file.path, lambda: read_vectors(store, [file], anew=True)) if read or place is None else None
        )

    side_by_side = read and is_far(store)
    found = [
        *together(of_data, list(once.values()), side_by_side=side_by_side),
        *together(of_vector, dirty, side_by_side=side_by_side),
    ]
    stored = [file for file in once.values() if not file.is_inlined]
    vectors = {file.deleted.path for file in dirty if file.deleted is not None and file.deleted.path is not None}
    return Verification(
        url=store.url,
        versions=max(0, check.newest + 1 - history.horizon),
        objects=len(check.sizes) + len(stored) + len(vectors),
        size_bytes=sum(check.sizes.values())
        + sum(file.size_bytes for file in stored)
        + sum(sizes.get(path, 0) for path in vectors),
        problems=(*check.problems, *(each for each in found if each is not None)),
    )


def _lent_sizes(store: ObjectStore, files: Iterable[AddFile]) -> dict[str, int]:
    """Bytes of files that other tables lend, as far as they are there. A head for each."""
    vectors = (file.deleted.path for file in files if file.deleted is not None and file.deleted.path is not None)
    lent = sorted({path for path in (*(file.path for file in files), *vectors) if path.startswith(names.LAKE)})

    def size(path: str) -> int | None:
        try:
            return store.head(path).size_bytes
        except NotFoundError:
            return None

    found = together(size, lent, side_by_side=is_far(store))
    return {path: each for path, each in zip(lent, found, strict=True) if each is not None}


def _told(place: str, look: Callable[[], object]) -> Problem | None:
    """What looking at an object says of it."""
    try:
        look()
    except TablelogError as error:
        return Problem(object=place, problem=str(error))
    return None


def _retained_files(history: TableHistory) -> Iterator[AddFile]:
    """Every file of any version that can be read."""
    for block, places in kept_rows(history):
        yield from file_actions(block, places, history.reader)


def _crc32(store: ObjectStore, file: AddFile) -> int:
    checksum = 0
    for start in range(0, file.size_bytes, _PIECE_BYTES):
        checksum = zlib.crc32(store.get(file.path, ByteRange(start=start, end=start + _PIECE_BYTES)), checksum)
    return checksum
