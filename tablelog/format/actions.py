"""What a commit of a table does: a closed set of actions, and their JSON.

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

A reader that meets an action it does not know stops: it cannot tell what it would miss.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, assert_never

from tablelog.errors import CorruptionError, InvalidError, TablelogError
from tablelog.format import names
from tablelog.format.partitioning import Partitioning, decode_partitioning, encode_partitioning, result_type
from tablelog.format.schema import Schema, decode_schema, encode_schema
from tablelog.format.statistics import FieldStatistics, decode_statistics, encode_statistics
from tablelog.format.types import Struct, children
from tablelog.format.values import count, decode_value, encode_value, member

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tablelog.format.types import DataType, Field, Scalar

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


@dataclass(frozen=True, slots=True, kw_only=True)
class AddFile:
    """A Parquet file whose rows belong to the table."""

    path: str
    """Relative to the table's folder."""
    size_bytes: int
    row_count: int
    schema_id: int
    """The schema that the file was written under: it says under which names and types its field ids are."""
    partitioning_id: int = 0
    partition_values: tuple[Scalar | None, ...] = ()
    """One per field of that partitioning."""
    statistics: Mapping[int, FieldStatistics] = field(default_factory=dict)
    """By field id; nested fields that statistics make sense for are in it too."""
    crc32: int | None = None
    """CRC-32 (ISO-HDLC, as zlib computes it) of the whole object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveFile:
    """A file whose rows no longer belong to the table; the object itself stays for older versions."""

    path: str
    row_count: int | None = None
    """Rows that the file had; None if the writer did not say."""
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
)


def removal(file: AddFile) -> RemoveFile:
    """The action that takes a file out again."""
    return RemoveFile(path=file.path, row_count=file.row_count, size_bytes=file.size_bytes)


def encode_action(action: Action) -> dict[str, Any]:
    """As a JSON object with one member, the action's kind."""
    match action:
        case TableIdentity(id=id_, format_version=version):
            return {"table": {"id": id_, "format_version": version}}
        case SetSchema(schema=schema):
            return {"schema": encode_schema(schema)}
        case SetPartitioning(partitioning=partitioning):
            return {"partitioning": encode_partitioning(partitioning)}
        case SetSortOrder(fields=fields):
            encoded = [{"field": f.field_id} | ({"descending": True} if f.descending else {}) for f in fields]
            return {"sort_order": {"fields": encoded}}
        case SetKey(field_ids=field_ids):
            return {"key": {"fields": list(field_ids)}}
        case SetProperty(name=name, value=value):
            return {"property": {"name": name, "value": value}}
        case SetCheck(name=name, expression=expression):
            return {"check": {"name": name, "expression": expression}}
        case AddFile():
            return {"add": _encode_add(action)}
        case RemoveFile(path=path, row_count=rows, size_bytes=size):
            counts = {"rows": rows, "size": size}
            return {"remove": {"path": path} | {name: each for name, each in counts.items() if each is not None}}
        case FileActions(path=path, size_bytes=size, digest=digest):
            return {"actions": {"path": path, "size": size, "digest": digest}}
        case SetHorizon(version=version, base_last=last, base_digest=digest):
            base = {} if last is None else {"base": {"last": last, "digest": digest}}
            return {"horizon": {"version": version} | base}
        case _:
            assert_never(action)


def _encode_add(add: AddFile) -> dict[str, Any]:
    encoded: dict[str, Any] = {
        "path": add.path,
        "size": add.size_bytes,
        "rows": add.row_count,
        "schema": add.schema_id,
    }
    if add.partition_values:
        partition = [None if value is None else encode_value(value) for value in add.partition_values]
        encoded |= {"partitioning": add.partitioning_id, "partition": partition}
    if add.crc32 is not None:
        encoded["crc32"] = add.crc32
    encoded["statistics"] = encode_statistics(add.statistics)
    return encoded


class ActionReader:
    """Decodes a table's actions in the order of the log; files are read under the schema they name."""

    def __init__(self) -> None:
        """Begin before version 0."""
        self._types: dict[int, dict[int, DataType]] = {}
        self._partitionings: dict[int, Partitioning] = {}

    def types_of(self, schema_id: int) -> Mapping[int, DataType]:
        """Types of the fields that can have statistics in files of a schema that was read, by field id.

        Raises:
            CorruptionError: there is no such schema.

        """
        if schema_id not in self._types:
            raise CorruptionError(f"a file was written under schema {schema_id}, which the log does not have")
        return self._types[schema_id]

    def copy(self) -> ActionReader:
        """A reader that has read the same actions."""
        other = ActionReader()
        other._types, other._partitionings = dict(self._types), dict(self._partitionings)
        return other

    def read(self, data: Mapping[str, Any]) -> Action:
        """The action in a JSON object.

        Raises:
            CorruptionError: it contradicts itself or what came before.
            InvalidError: it was written by a newer tablelog.

        """
        ((kind, body),) = data.items()
        if kind not in _KINDS:
            raise InvalidError(f"the log has an action {kind!r} that this tablelog does not know; upgrade tablelog")
        try:
            return self._read(kind, body)
        except TablelogError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise CorruptionError(f"the action {kind!r} is not well formed: {error}") from error

    def _read(self, kind: str, body: Any) -> Action:
        match kind:
            case "table":
                return _read_identity(body)
            case "schema":
                schema = decode_schema(body)
                self._types[schema.id] = dict(_leaf_types(schema.fields))
                return SetSchema(schema=schema)
            case "partitioning":
                partitioning = decode_partitioning(body)
                self._partitionings[partitioning.id] = partitioning
                return SetPartitioning(partitioning=partitioning)
            case "sort_order":
                fields = (
                    SortField(field_id=count(f["field"]), descending=member(bool, f.get("descending", False)))
                    for f in body["fields"]
                )
                return SetSortOrder(fields=tuple(fields))
            case "key":
                return SetKey(field_ids=tuple(count(field_id) for field_id in body["fields"]))
            case "property":
                return SetProperty(name=member(str, body["name"]), value=_text(body["value"]))
            case "check":
                return SetCheck(name=member(str, body["name"]), expression=_text(body["expression"]))
            case "add":
                return self._read_add(body)
            case "remove":
                rows, size = body.get("rows"), body.get("size")
                return RemoveFile(
                    path=names.check_path(body["path"]),
                    row_count=None if rows is None else count(rows),
                    size_bytes=None if size is None else count(size),
                )
            case "actions":
                return FileActions(
                    path=names.check_path(body["path"]),
                    size_bytes=count(body["size"]),
                    digest=member(str, body["digest"]),
                )
            case "horizon":
                return _read_horizon(body)
            case _:
                raise AssertionError(kind)

    def _read_add(self, body: Mapping[str, Any]) -> AddFile:
        path = names.check_path(body["path"])
        schema_id, partitioning_id = count(body["schema"]), count(body.get("partitioning", 0))
        if schema_id not in self._types:
            raise CorruptionError(f"file {path!r} was written under schema {schema_id}, which the log does not have")
        checksum = body.get("crc32")
        return AddFile(
            path=path,
            size_bytes=count(body["size"]),
            row_count=count(body["rows"]),
            schema_id=schema_id,
            partitioning_id=partitioning_id,
            partition_values=self.read_partition(member(list, body.get("partition", [])), partitioning_id, schema_id),
            statistics=decode_statistics(body.get("statistics", {}), self._types[schema_id]),
            crc32=None if checksum is None else count(checksum),
        )

    def read_partition(self, encoded: list[Any], partitioning_id: int, schema_id: int) -> tuple[Scalar | None, ...]:
        """Values of the types that the columns had in the file's schema."""
        if not encoded:
            return ()
        fields, types = self._partitionings[partitioning_id].fields, self._types[schema_id]
        return tuple(
            None
            if value is None
            else decode_value(value, result_type(partition_field, types[partition_field.source_id]))
            for value, partition_field in zip(encoded, fields, strict=True)
        )


_KINDS: Final = frozenset(
    (
        "table",
        "schema",
        "partitioning",
        "sort_order",
        "key",
        "property",
        "check",
        "add",
        "remove",
        "actions",
        "horizon",
    )
)


def _read_identity(body: Mapping[str, Any]) -> TableIdentity:
    identity = TableIdentity(id=member(str, body["id"]), format_version=count(body["format_version"]))
    if identity.format_version > FORMAT_VERSION:
        raise InvalidError(
            f"the table has format version {identity.format_version}, this tablelog reads up to {FORMAT_VERSION}; "
            f"upgrade tablelog"
        )
    return identity


def _read_horizon(body: Mapping[str, Any]) -> SetHorizon:
    base = member(dict, body.get("base", {}))
    return SetHorizon(
        version=count(body["version"]),
        base_last=count(base["last"]) if base else None,
        base_digest=member(str, base["digest"]) if base else None,
    )


def _text(value: Any) -> str | None:
    return None if value is None else member(str, value)


def _leaf_types(fields: Iterable[Field]) -> Iterable[tuple[int, DataType]]:
    """Types of the fields that can have statistics: flat ones, at the top or inside structs."""
    for each in fields:
        if isinstance(each.type, Struct):
            yield from _leaf_types(each.type.fields)
        elif not children(each.type):
            yield each.id, each.type
