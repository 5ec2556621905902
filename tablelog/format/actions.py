"""What a commit of a table does: a closed set of actions. `format.action_json` has their bytes.

    table         the table's identity and format version; first action of version 0, once
    schema        the columns from here on
    partitioning  how new files are split from here on
    sort_order    how rows are sorted inside new files from here on
    key           which columns identify a row
    property      one setting, or its removal
    check         one CHECK constraint, or its removal
    add           a file's rows are in the table from here on
    remove        a file's rows are no longer in the table from here on
    actions       where the adds and removes of this commit stand, if they are very many
    horizon       versions before it can no longer be read
    feature       something that a reader must know of to read the table right from here on
    application   a writer's own number for this commit, so that nothing is done twice
    fence         who may write under a name from here on
    tag           a name for a version, or its removal
    clone         another table that uses files of this one, or that it does not any more
    vacuum        files older than this that no version needed are gone

A reader that meets an action, or a feature, that it does not know stops: it cannot tell what it would miss.

An `add` of a path that the same commit removes changes what is known of the file: most often which of its rows are
deleted. An `add` with rows of its own (`inline`) has no path in the commit; `format.names.inlined` gives it one.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from tablelog.format import names

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tablelog.format.key_filter import KeyKnowledge
    from tablelog.format.partitioning import Partitioning
    from tablelog.format.schema import Schema
    from tablelog.format.statistics import FieldStatistics
    from tablelog.format.types import Scalar
    from tablelog.format.vector import DeletionVector, Gone

FORMAT_VERSION: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TableIdentity:
    """Who the table is, wherever its folder is moved."""

    id: str
    format_version: int = FORMAT_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class SetSchema:
    """The columns from this version on."""

    schema: Schema


@dataclass(frozen=True, slots=True, kw_only=True)
class SetPartitioning:
    """How files written from this version on are split."""

    partitioning: Partitioning


@dataclass(frozen=True, slots=True, kw_only=True)
class SortField:
    """One column of a sort order."""

    field_id: int
    descending: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SetSortOrder:
    """How rows are sorted inside files written from this version on; nulls last."""

    fields: tuple[SortField, ...]
    curve: bool = False
    """Whether they are sorted by their place on a Hilbert curve through these columns; directions mean nothing then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetKey:
    """Which columns identify a row; none for a table without a key."""

    field_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SetProperty:
    """One setting; a value of None removes it."""

    name: str
    value: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SetCheck:
    """One CHECK constraint in DuckDB's dialect; an expression of None removes it."""

    name: str
    expression: str | None


class RowChange(StrEnum):
    """What the rows of a file are to those who follow the table's changes."""

    INSERT = "insert"
    """New ones."""
    UPDATE = "update"
    """New images of rows that the same commit takes out."""
    NONE = "none"
    """Rows that were in the table before, in another file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddFile:
    """A Parquet file, or rows inside the log, that belong to the table."""

    path: str
    """Relative to the table's folder; empty for rows on their way into a commit."""
    size_bytes: int
    row_count: int
    """Rows that it has, deleted ones among them."""
    schema_id: int
    """The schema that the file was written under: it says under which names and types its field ids are."""
    partitioning_id: int = 0
    partition_values: tuple[Scalar | None, ...] = ()
    """One per field of that partitioning."""
    statistics: Mapping[int, FieldStatistics] = field(default_factory=dict)
    """By field id; nested fields that statistics make sense for are in it too."""
    crc32: int | None = None
    """CRC-32 (ISO-HDLC, as zlib computes it) of the whole object."""
    deleted: DeletionVector | None = None
    """Which of its rows are not in the table any more."""
    change: RowChange = RowChange.INSERT
    level: int = 0
    """Of the tree: 0 as a writer wrote it, more for what compactions made of that (see `ops.compaction`)."""
    moved: tuple[str, ...] = ()
    """Files that the same commit removes and whose rows are in this one now, if the commit does more than that."""
    gone: Gone | None = None
    key_filter: KeyKnowledge | None = field(default=None, compare=False, repr=False)
    """Which keys it may have, of small files of tables with a key; nothing in the table depends on it."""
    content: bytes | None = field(default=None, compare=False, repr=False)
    """Rows inside the log, if they are at hand; see `parquet.inlined`."""

    @property
    def is_inlined(self) -> bool:
        """Whether its rows are inside the log."""
        return not self.path or self.path.startswith(names.LOG)

    @property
    def deleted_row_count(self) -> int:
        """Rows of it that do not belong to the table any more."""
        return self.deleted.row_count if self.deleted else 0

    @property
    def live_row_count(self) -> int:
        """Rows of it that belong to the table."""
        return self.row_count - self.deleted_row_count


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveFile:
    """A file whose rows no longer belong to the table; the object itself stays for older versions."""

    path: str
    row_count: int | None = None
    """Rows of it that were in the table; None if the writer did not say."""
    size_bytes: int | None = None
    """Bytes that the file had; None if the writer did not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileActions:
    """A Parquet object that holds adds and removes of a commit, so that the commit itself stays small."""

    path: str
    """Relative to the log's folder."""
    size_bytes: int
    digest: str
    """Of the object; see `parquet.sealed`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetHorizon:
    """Versions before this one can no longer be read."""

    version: int
    base_last: int | None = None
    """The base that folds the commits from 0 to this version, if there is one."""
    base_digest: str | None = None
    """Of the base object; see `parquet.sealed`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequireFeature:
    """Something that a reader must know of from here on."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SetApplication:
    """A writer's own number for what this commit does; each name's numbers increase."""

    name: str
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SetFence:
    """Only holders of this epoch of a name may commit under it from here on."""

    name: str
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SetTag:
    """A name for a version; a version of None takes it away."""

    name: str
    version: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SetClone:
    """A table in the same lake that uses files of this one; a path of None says that it does not any more."""

    name: str
    """The id of that table."""
    path: str | None
    """Its folder, relative to the lake's root."""
    version: int = 0
    """The version of this table that it began with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetVacuumed:
    """Files that no version needed are gone: none whose name is older may come into the table for the first time."""

    before_us: int
    """Names made before, microseconds since 1970-01-01 UTC."""


DELETION_VECTORS: Final = "deletion_vectors"
INLINED_ROWS: Final = "inlined_rows"
FEATURES: Final = frozenset((DELETION_VECTORS, INLINED_ROWS))
"""Those that this tablelog knows."""

Action = (
    TableIdentity
    | SetSchema
    | SetPartitioning
    | SetSortOrder
    | SetKey
    | SetProperty
    | SetCheck
    | AddFile
    | RemoveFile
    | FileActions
    | SetHorizon
    | RequireFeature
    | SetApplication
    | SetFence
    | SetTag
    | SetClone
    | SetVacuumed
)


def removal(file: AddFile) -> RemoveFile:
    """The action that takes a file out again."""
    return RemoveFile(path=file.path, row_count=file.live_row_count, size_bytes=file.size_bytes)


def again(
    file: AddFile, *, deleted: DeletionVector | None, gone: Gone | None = None, level: int | None = None
) -> AddFile:
    """A file that a commit adds once more; what it said about the commit that brought it is over."""
    level = file.level if level is None else level
    return replace(file, deleted=deleted, gone=gone, level=level, change=RowChange.INSERT, moved=())


def features_of(actions: Iterable[Action]) -> frozenset[str]:
    """What a reader must know of to read the files that actions add."""
    added = [action for action in actions if isinstance(action, AddFile)]
    vectors = {DELETION_VECTORS} if any(file.deleted for file in added) else set()
    return frozenset(vectors | ({INLINED_ROWS} if any(file.is_inlined for file in added) else set()))
