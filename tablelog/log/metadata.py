"""Everything about a table but its files, and how actions change it: values, no I/O."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeVar, assert_never

from tablelog.errors import CorruptionError
from tablelog.format.actions import (
    AddFile,
    FileActions,
    RemoveFile,
    RequireFeature,
    SetApplication,
    SetCheck,
    SetClone,
    SetFence,
    SetHorizon,
    SetKey,
    SetPartitioning,
    SetProperty,
    SetSchema,
    SetSortOrder,
    SetTag,
    SetVacuumed,
    SortField,
    TableIdentity,
)
from tablelog.format.partitioning import UNPARTITIONED, Partitioning, check_applies
from tablelog.format.types import children

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tablelog.format.actions import Action
    from tablelog.format.schema import Schema
    from tablelog.format.types import Field


Setting = TypeVar("Setting")
NO_HORIZON: Final = SetHorizon(version=0)


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
    curve: bool = False
    """Whether that is a Hilbert curve through these columns."""
    key: tuple[int, ...] = ()
    properties: Mapping[str, str] = field(default_factory=dict)
    checks: Mapping[str, str] = field(default_factory=dict)
    """CHECK constraints, name to expression."""
    horizon: SetHorizon = NO_HORIZON
    """What can still be read."""
    features: frozenset[str] = frozenset()
    """What a reader must know of."""
    fences: Mapping[str, int] = field(default_factory=dict)
    """The newest epoch of each name that somebody writes under alone."""
    tags: Mapping[str, int] = field(default_factory=dict)
    """Versions with a name."""
    clones: Mapping[str, SetClone] = field(default_factory=dict)
    """Tables that use files of this one, by their id."""
    vacuumed_us: int = 0
    """Names of files that come in for the first time are not older than this."""

    @property
    def order(self) -> tuple[SortField, ...]:
        """What files are merged by: the sort order, else the key."""
        return self.sort_order or tuple(SortField(field_id=field_id) for field_id in self.key)

    @property
    def key_fields(self) -> tuple[Field, ...]:
        """The columns of the key, in its order; none if there is no key."""
        return tuple(field for field_id in self.key if (field := self.schema.by_id(field_id)) is not None)


def begin(actions: list[Action]) -> Metadata:
    """The metadata after the two actions that every table begins with.

    Raises:
        CorruptionError: they are others.

    """
    match actions:
        case [TableIdentity(id=table_id), SetSchema(schema=schema), *_]:
            return Metadata(table_id=table_id, schema=schema, schemas={schema.id: schema})
        case _:
            raise CorruptionError("a table begins with its identity and its schema")


def changed(metadata: Metadata, actions: Iterable[Action]) -> Metadata:
    """The metadata after the actions of a commit; the very same object if they change none.

    Raises:
        CorruptionError: they contradict it, or it would contradict itself.

    """
    after = metadata
    for action in actions:
        after = _change(after, action)
    if after is not metadata:
        _check_references(after)
    return after


def _change(metadata: Metadata, action: Action) -> Metadata:
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
        case SetSortOrder(fields=fields, curve=curve):
            return replace(metadata, sort_order=fields, curve=curve)
        case SetKey(field_ids=field_ids):
            return replace(metadata, key=field_ids)
        case SetProperty(name=name, value=value):
            return replace(metadata, properties=_with(metadata.properties, name, value))
        case SetCheck(name=name, expression=expression):
            return replace(metadata, checks=_with(metadata.checks, name, expression))
        case SetHorizon():
            return replace(metadata, horizon=action)
        case RequireFeature(name=name):
            return metadata if name in metadata.features else replace(metadata, features=metadata.features | {name})
        case SetFence(name=name, epoch=epoch):
            return replace(metadata, fences={**metadata.fences, name: epoch})
        case SetTag(name=name, version=version):
            return replace(metadata, tags=_with(metadata.tags, name, version))
        case SetClone(name=name, path=path):
            return replace(metadata, clones=_with(metadata.clones, name, None if path is None else action))
        case SetVacuumed(before_us=before_us):
            return replace(metadata, vacuumed_us=max(metadata.vacuumed_us, before_us))
        case AddFile() | RemoveFile() | FileActions() | SetApplication():
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


def _with(settings: Mapping[str, Setting], name: str, value: Setting | None) -> Mapping[str, Setting]:
    rest = {key: setting for key, setting in settings.items() if key != name}
    return rest if value is None else {**rest, name: value}
