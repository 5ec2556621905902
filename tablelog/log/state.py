"""What the commits of a table add up to: its history in memory, and the state at any version.

Every file is kept with the half-open interval of versions [added, removed) in which it was live, so one structure
answers for every version: file f is in version v if added <= v < removed. Applying a commit costs what the commit
changes, not what the table holds. What changes rarely (schema, partitioning, settings) is an immutable `Metadata`
value, remembered for each version where it changed.

A `TableState` is a value: the same version is the same state for ever (P3), whatever is committed later.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, assert_never

from tablelog.errors import CorruptionError, InvalidError, NotFoundError, TablelogError
from tablelog.format.actions import (
    ActionReader,
    AddFile,
    RemoveFile,
    SetCheck,
    SetKey,
    SetPartitioning,
    SetProperty,
    SetSchema,
    SetSortOrder,
    SortField,
    TableIdentity,
)
from tablelog.format.partitioning import UNPARTITIONED, Partitioning, check_applies
from tablelog.format.types import children
from tablelog.log.commits import Head, head_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tablelog.format.actions import Action
    from tablelog.format.commits import CommitRecord
    from tablelog.format.schema import Schema

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """Everything about a table but its files."""

    table_id: str
    schema: Schema
    schemas: Mapping[int, Schema]
    """Every schema so far by id; files name the one they were written under."""
    partitioning: Partitioning = UNPARTITIONED
    partitionings: Mapping[int, Partitioning] = field(default_factory=lambda: MappingProxyType({0: UNPARTITIONED}))
    sort_order: tuple[SortField, ...] = ()
    key: tuple[int, ...] = ()
    properties: Mapping[str, str] = field(default_factory=dict)
    checks: Mapping[str, str] = field(default_factory=dict)
    """CHECK constraints, name to expression."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """One step of a table's history, as people see it."""

    version: int
    timestamp: datetime
    """When it was committed, UTC; later than every commit before."""
    operation: str
    rows_added: int
    rows_deleted: int
    files_added: int
    files_removed: int
    bytes_added: int
    info: Mapping[str, Any] = field(default_factory=dict)
    """Who did it, with what, and what they wanted to say."""
    id: str

    @property
    def rows(self) -> int:
        """Rows that the operation added, or deleted if it only deleted."""
        return self.rows_added or self.rows_deleted


@dataclass(slots=True)
class _Interval:
    file: AddFile
    added: int
    removed: int | None = None


class TableState:
    """A table at one version: an immutable value."""

    def __init__(self, history: TableHistory, version: int) -> None:
        """Take the state of `history` at `version`, which it must have reached."""
        self._history = history
        self.version: Final = version
        self.head: Final = history.heads[version]
        self.metadata: Final = history.metadata_at(version)

    @property
    def timestamp_us(self) -> int:
        """When the version was committed, microseconds since 1970-01-01 UTC."""
        return self.head.timestamp_us

    @property
    def schema(self) -> Schema:
        """The columns at this version."""
        return self.metadata.schema

    @cached_property
    def files(self) -> tuple[AddFile, ...]:
        """Live files in the order in which they were added."""
        return self._history.files_at(self.version)

    @cached_property
    def row_count(self) -> int:
        """Rows in the table; from the log alone."""
        return sum(file.row_count for file in self.files)

    @cached_property
    def size_bytes(self) -> int:
        """Bytes of the live files."""
        return sum(file.size_bytes for file in self.files)


class TableHistory:
    """The commits of one table, applied in order. Grows by `apply`; states taken earlier never change."""

    def __init__(self) -> None:
        """Begin before version 0."""
        self.heads: list[Head] = []
        self.commits: list[Commit] = []
        self._reader = ActionReader()
        self._intervals: list[_Interval] = []
        self._live: dict[str, _Interval] = {}
        self._lock = threading.Lock()
        self._metadata_versions: list[int] = []
        self._metadata_values: list[Metadata] = []

    @property
    def head(self) -> Head | None:
        """The newest applied commit."""
        return self.heads[-1] if self.heads else None

    def apply(self, record: CommitRecord) -> None:
        """Take the next commit in.

        Raises:
            CorruptionError: its actions contradict themselves or the table.
            InvalidError: a newer tablelog wrote it.

        """
        assert record.version == len(self.heads)
        try:
            actions = [self._reader.read(action) for action in record.actions]
            if self._metadata_values:
                metadata, changes = self._metadata_values[-1], actions
            else:
                metadata, changes = _begin(actions), actions[2:]
            before = metadata
            for action in changes:
                metadata = _change(metadata, action)
            if metadata is not before or not self._metadata_values:
                _check_references(metadata)
            self._check_files(actions)
        except TablelogError as error:
            raise type(error)(f"version {record.version} of the log: {error}") from error
        with self._lock:
            self._take(record, actions, metadata)

    def check(self, actions: Iterable[Mapping[str, Any]]) -> None:
        """Make sure that what is about to be committed can be read again: what stands in the log stands there for ever.

        Raises:
            InvalidError: it cannot.

        """
        reader = self._reader.copy()
        try:
            for action in actions:
                reader.read(action)
        except CorruptionError as error:
            raise InvalidError(f"nothing was committed, because nobody could read it: {error}") from error

    def _take(self, record: CommitRecord, actions: list[Action], metadata: Metadata) -> None:
        """Make a commit that was found right part of the history."""
        if not self._metadata_values or metadata is not self._metadata_values[-1]:
            self._metadata_versions.append(record.version)
            self._metadata_values.append(metadata)
        for action in actions:
            if isinstance(action, RemoveFile):
                self._live.pop(action.path).removed = record.version
        for action in actions:
            if isinstance(action, AddFile):
                interval = _Interval(action, record.version)
                self._intervals.append(interval)
                self._live[action.path] = interval
        self.commits.append(_facts(record, actions))
        self.heads.append(head_of(record))

    def _check_files(self, actions: list[Action]) -> None:
        """Refuse removes of files that are not live and adds of files that were ever added."""
        removed: set[str] = set()
        added: set[str] = set()
        for action in actions:
            if isinstance(action, RemoveFile):
                if action.path not in self._live or action.path in removed:
                    raise CorruptionError(f"it removes {action.path!r}, which is not in the table")
                removed.add(action.path)
            elif isinstance(action, AddFile):
                if action.path in self._live or action.path in added:
                    raise CorruptionError(f"it adds {action.path!r}, which is already in the table")
                added.add(action.path)

    def state(self) -> TableState:
        """The table at the newest version applied."""
        return TableState(self, len(self.heads) - 1)

    def state_at(self, version: int) -> TableState:
        """The table at a version.

        Raises:
            NotFoundError: there is no such version.

        """
        newest = len(self.heads) - 1
        if not 0 <= version <= newest:
            raise NotFoundError(f"there is no version {version}; the table has versions 0 to {newest}")
        return TableState(self, version)

    def version_at(self, timestamp_us: int) -> int:
        """The newest version committed at or before that time.

        Raises:
            NotFoundError: the table is younger than that.

        """
        position = bisect_right(self.heads, timestamp_us, key=lambda head: head.timestamp_us)
        if position == 0:
            first = datetime_of(self.heads[0].timestamp_us)
            raise NotFoundError(f"the table did not exist at {datetime_of(timestamp_us)}; version 0 is from {first}")
        return position - 1

    def metadata_at(self, version: int) -> Metadata:
        """Everything but files at a version."""
        return self._metadata_values[bisect_right(self._metadata_versions, version) - 1]

    def files_at(self, version: int) -> tuple[AddFile, ...]:
        """Files live at a version, in the order in which they were added."""
        with self._lock:
            if version == len(self.heads) - 1:
                return tuple(interval.file for interval in self._live.values())
            return tuple(
                interval.file
                for interval in self._intervals
                if interval.added <= version and (interval.removed is None or version < interval.removed)
            )


def datetime_of(timestamp_us: int) -> datetime:
    """A count of microseconds since 1970-01-01 UTC as a datetime with a zone; clipped to what datetime can say."""
    try:
        return EPOCH + timedelta(microseconds=timestamp_us)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC) if timestamp_us > 0 else datetime.min.replace(tzinfo=UTC)


def _begin(actions: list[Action]) -> Metadata:
    """The metadata after the two actions that every table begins with."""
    match actions:
        case [TableIdentity(id=table_id), SetSchema(schema=schema), *_]:
            return Metadata(table_id=table_id, schema=schema, schemas={schema.id: schema})
        case _:
            raise CorruptionError("a table begins with its identity and its schema")


def _change(metadata: Metadata, action: Action) -> Metadata:
    """The metadata after an action; the very same object if it changes none."""
    match action:
        case TableIdentity():
            raise CorruptionError("it creates a table that already exists")
        case SetSchema(schema=schema):
            if schema.id in metadata.schemas:
                raise CorruptionError(f"schema {schema.id} is there already")
            return replace(metadata, schema=schema, schemas={**metadata.schemas, schema.id: schema})
        case SetPartitioning(partitioning=partitioning):
            if partitioning.id in metadata.partitionings and metadata.partitionings[partitioning.id].fields:
                raise CorruptionError(f"partitioning {partitioning.id} is there already")
            every = {**metadata.partitionings, partitioning.id: partitioning}
            return replace(metadata, partitioning=partitioning, partitionings=every)
        case SetSortOrder(fields=fields):
            return replace(metadata, sort_order=fields)
        case SetKey(field_ids=field_ids):
            return replace(metadata, key=field_ids)
        case SetProperty(name=name, value=value):
            return replace(metadata, properties=_with(metadata.properties, name, value))
        case SetCheck(name=name, expression=expression):
            return replace(metadata, checks=_with(metadata.checks, name, expression))
        case AddFile() | RemoveFile():
            return metadata
        case _:
            assert_never(action)


def _check_references(metadata: Metadata) -> None:
    """Refuse a layout that speaks of columns that are not there."""
    check_applies(metadata.partitioning, metadata.schema)
    for what, field_ids in (("key", metadata.key), ("sort order", [each.field_id for each in metadata.sort_order])):
        for field_id in field_ids:
            column = metadata.schema.by_id(field_id)
            if column is None or children(column.type):
                raise CorruptionError(f"the {what} names the field {field_id}, which is no flat column")
        if len(set(field_ids)) < len(field_ids):
            raise CorruptionError(f"the {what} names a field twice: {list(field_ids)}")


def _with(settings: Mapping[str, str], name: str, value: str | None) -> Mapping[str, str]:
    rest = {key: setting for key, setting in settings.items() if key != name}
    return rest if value is None else {**rest, name: value}


def _facts(record: CommitRecord, actions: list[Action]) -> Commit:
    added = [action for action in actions if isinstance(action, AddFile)]
    return Commit(
        version=record.version,
        timestamp=datetime_of(record.timestamp_us),
        operation=record.operation,
        rows_added=_count(record.info, "rows_added"),
        rows_deleted=_count(record.info, "rows_deleted"),
        files_added=len(added),
        files_removed=sum(isinstance(action, RemoveFile) for action in actions),
        bytes_added=sum(file.size_bytes for file in added),
        info={key: value for key, value in record.info.items() if key not in {"rows_added", "rows_deleted"}},
        id=record.id,
    )


def _count(info: Mapping[str, Any], name: str) -> int:
    value = info.get(name, 0)
    return value if isinstance(value, int) else 0
