"""What a copy of a log has to bring, and in which order: from the log's history and the names at the target, no I/O.

    a history from version 0      0 ─ 1 ─ 2 ─ …             what each commit needs, then the commit
    one that expired, to 3        ┌ 1 ─ 2 ─ 3 … horizon ┐  0   all together, what the log begins with last:
    … with a base up to 15        └ 16 ─ …  … horizon ┘ base   commit 0, or the base

Files that only versions before the horizon need are not copied, for they may be gone. So no version before the commit
that says so could be shown at the target, and everything up to there is one unit: a log without a beginning is none.
Afterwards each commit is a version that can be read.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from tablelog.format import names
from tablelog.log.retained import VECTORS, kept_rows, vectors_of
from tablelog.parquet.plain import ints, scalar

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tablelog.format.vector import DeletionVector
    from tablelog.log.history import TableHistory

COMMITS_AT_ONCE: Final = 64
BYTES_AT_ONCE: Final = 1024 * 1024 * 1024
"""What the commits of a batch bring, unless one alone brings more."""
_COLUMNS: Final = pa.schema(
    {"added": pa.int64(), "path": pa.string(), "size": pa.int64(), "crc32": pa.int64()}  # type: ignore[arg-type]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFile:
    """A file of rows."""

    path: str
    size_bytes: int
    crc32: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorFile:
    """An object with deletion vectors, and those in it that are known."""

    path: str
    vectors: tuple[DeletionVector, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """Objects beside the log that versions need which can be read, each by the first version that needs it."""

    files: pa.Table
    """`path`, `size`, `crc32`, `added`: ascending, and each path once."""
    vectors: tuple[tuple[int, DeletionVector], ...] = ()
    """Vectors in objects, by version."""

    @property
    def size_bytes(self) -> int:
        """Bytes of all files of rows."""
        return int(pc.sum(self.files.column("size")).as_py() or 0)

    @property
    def foreign(self) -> str | None:
        """The first path of a file that is another table's."""
        paths = self.files.column("path")
        found = paths.filter(pc.starts_with(paths, names.LAKE))
        of_vectors = (str(vector.path) for _, vector in self.vectors)
        return (
            found[0].as_py() if len(found) else next((path for path in of_vectors if path.startswith(names.LAKE)), None)
        )

    def between(self, first: int, last: int) -> Iterator[DataFile | VectorFile]:
        """What versions `first` to `last` need that no version before did."""
        added = self.files.column("added")
        inside: Any = pc.and_(
            pc.greater_equal(added, scalar(first, pa.int64())), pc.less_equal(added, scalar(last, pa.int64()))
        )
        for batch in self.files.filter(inside).to_batches(max_chunksize=COMMITS_AT_ONCE):
            for path, size, crc32 in zip(*(_values(batch, name) for name in _COLUMNS.names[1:]), strict=True):
                yield DataFile(path=names.check_path(path), size_bytes=size, crc32=crc32)
        places: dict[str, list[DeletionVector]] = defaultdict(list)
        for version, vector in self.vectors:
            if first <= version <= last:
                places[str(vector.path)].append(vector)
        for path, vectors in places.items():
            yield VectorFile(path=path, vectors=tuple(vectors))

    def batches(self, first: int, last: int, together_until: int) -> Iterator[tuple[int, int]]:
        """Versions whose objects are copied side by side before their commits; those up to one of them at once."""
        sizes: dict[int, int] = defaultdict(int)
        for version, size in zip(_values(self.files, "added"), _values(self.files, "size"), strict=True):
            sizes[version] += size
        if first <= together_until <= last:
            yield first, together_until
            first = together_until + 1
        begin, held = first, 0
        for version in range(first, last + 1):
            if version > begin and (version - begin >= COMMITS_AT_ONCE or held + sizes[version] > BYTES_AT_ONCE):
                yield begin, version - 1
                begin, held = version, 0
            held += sizes[version]
        if begin <= last:
            yield begin, last


def needs_of(history: TableHistory, since: int) -> Needs:
    """What the versions of a history need that can be read, and that versions up to `since` did not bring."""
    rows = [
        block.table([*_COLUMNS.names, *(name for name in VECTORS if name in block.column_names)]).take(ints(places))
        for block, places in kept_rows(history, since)
    ]
    files = pa.concat_tables([_COLUMNS.empty_table(), *(each.select(_COLUMNS.names) for each in rows)])
    files = files.filter(pc.invert(pc.starts_with(files.column("path"), names.LOG)))
    once = files.group_by("path").aggregate([("added", "min"), ("size", "max"), ("crc32", "max")])
    once = once.rename_columns({"added_min": "added", "size_max": "size", "crc32_max": "crc32"})
    vectors = [
        (row["added"], vector)
        for table in rows
        if table.num_columns > len(_COLUMNS)
        for row in table.to_pylist()
        for vector, _ in vectors_of(row, history.horizon)
    ]
    return Needs(
        files=once.select(_COLUMNS.names).sort_by([("added", "ascending"), ("path", "ascending")]),
        vectors=tuple(sorted(vectors, key=lambda each: each[0])),
    )


def _values(rows: pa.Table | pa.RecordBatch, name: str) -> list[Any]:
    return rows.column(name).to_pylist()


def last_horizon(history: TableHistory) -> int:
    """The last version that changed what can be read; -1 if none did."""
    changes = (change for part in history.lineage.parts for change in part.changes)
    return max((change.version for change in changes if "horizon" in change.action), default=-1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How far a log has come at the target, from the names and sizes of its objects."""

    commits: Mapping[int, int]
    """Bytes of the commits' objects by version."""
    bases: frozenset[int] = field(default_factory=frozenset)
    """Last versions of the bases."""

    @property
    def has_begun(self) -> bool:
        """Whether there is what a log begins with, so that somebody may read it."""
        return bool(self.bases) or self.commits.get(0, 0) > 0

    @property
    def newest(self) -> int:
        """The newest version; -1 for none."""
        version = -1
        while self.has_begun and version + 1 in self.commits:
            version += 1
        return version

    @property
    def oldest(self) -> int:
        """The oldest version of which the commit may not be empty."""
        return max(self.bases, default=-1) + 1


def standing(sizes: Mapping[str, int], prefix: str) -> Standing:
    """How far the log under a prefix has come where these objects are."""
    inside = {key.removeprefix(prefix): size for key, size in sizes.items() if key.startswith(prefix)}
    parsed = ((names.parse_commit(name), size) for name, size in inside.items())
    bases = (names.parse_base(name) for name in inside)
    return Standing(
        commits={version: size for version, size in parsed if version is not None},
        bases=frozenset(last for last in bases if last is not None),
    )
