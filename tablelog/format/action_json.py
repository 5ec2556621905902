"""Actions as JSON objects with one member, the action's kind.

The kinds are those of `format.actions`. Rows inside the log and deletion vectors are base64 of their bytes. A reader
that meets an action, or a feature, that it does not know stops.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Final, assert_never

from tablelog.errors import CorruptionError, InvalidError, TablelogError
from tablelog.format import names
from tablelog.format.actions import (
    FEATURES,
    FORMAT_VERSION,
    AddFile,
    FileActions,
    RemoveFile,
    RequireFeature,
    RowChange,
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
from tablelog.format.key_filter import decode_key_filter, encode_key_filter
from tablelog.format.partitioning import Partitioning, decode_partitioning, encode_partitioning, result_type
from tablelog.format.schema import decode_schema, encode_schema
from tablelog.format.statistics import decode_statistics, encode_statistics
from tablelog.format.types import Struct, children
from tablelog.format.values import count, decode_value, encode_value, member
from tablelog.format.vector import (
    decode_base64,
    decode_gone,
    decode_vector_place,
    encode_gone,
    encode_vector_place,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tablelog.format.actions import Action
    from tablelog.format.types import DataType, Field, Scalar


_HILBERT: Final = "hilbert"


def encode_action(action: Action) -> dict[str, Any]:
    """As a JSON object with one member, the action's kind."""
    match action:
        case TableIdentity(id=id_, format_version=version):
            return {"table": {"id": id_, "format_version": version}}
        case SetSchema(schema=schema):
            return {"schema": encode_schema(schema)}
        case SetPartitioning(partitioning=partitioning):
            return {"partitioning": encode_partitioning(partitioning)}
        case SetSortOrder(fields=fields, curve=curve):
            encoded = [{"field": f.field_id} | ({"descending": True} if f.descending else {}) for f in fields]
            return {"sort_order": {"fields": encoded} | ({"curve": _HILBERT} if curve else {})}
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
        case RequireFeature(name=name):
            return {"feature": {"name": name}}
        case SetApplication(name=name, number=number):
            return {"application": {"name": name, "number": number}}
        case SetFence(name=name, epoch=epoch):
            return {"fence": {"name": name, "epoch": epoch}}
        case SetTag(name=name, version=tagged):
            return {"tag": {"name": name, "version": tagged}}
        case SetClone(name=name, path=path, version=version):
            return {"clone": {"name": name, "path": path} | ({} if path is None else {"version": version})}
        case SetVacuumed(before_us=before_us):
            return {"vacuum": {"before": before_us}}
        case _:
            assert_never(action)


def _encode_add(add: AddFile) -> dict[str, Any]:
    encoded: dict[str, Any] = {"path": add.path, "size": add.size_bytes} if add.path else {}
    encoded |= {"rows": add.row_count, "schema": add.schema_id}
    if add.partition_values:
        partition = [None if value is None else encode_value(value) for value in add.partition_values]
        encoded |= {"partitioning": add.partitioning_id, "partition": partition}
    if add.crc32 is not None:
        encoded["crc32"] = add.crc32
    if add.deleted is not None:
        encoded["deletes"] = encode_vector_place(add.deleted)
    if add.change is not RowChange.INSERT:
        encoded["change"] = add.change.value
    if add.level:
        encoded["level"] = add.level
    if add.moved:
        encoded["moved"] = list(add.moved)
    if add.gone is not None:
        encoded["gone"] = encode_gone(add.gone)
    if add.key_filter is not None and (known := add.key_filter.read()) is not None:
        encoded["key_filter"] = encode_key_filter(known)
    encoded["statistics"] = encode_statistics(add.statistics)
    if not add.path:
        assert add.content is not None
        encoded["inline"] = base64.b64encode(add.content).decode()
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

    def read(self, data: Mapping[str, Any], version: int = 0, number: int = 0) -> Action:
        """The action in a JSON object, which is action `number` of a version: rows inside the log are found by that.

        Raises:
            CorruptionError: it contradicts itself or what came before.
            InvalidError: it was written by a newer tablelog.

        """
        ((kind, body),) = data.items()
        if kind not in _KINDS:
            raise InvalidError(f"the log has an action {kind!r} that this tablelog does not know; upgrade tablelog")
        try:
            return self._read(kind, body, version, number)
        except TablelogError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise CorruptionError(f"the action {kind!r} is not well formed: {error}") from error

    def _read(self, kind: str, body: Any, version: int, number: int) -> Action:
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
                return SetSortOrder(fields=tuple(fields), curve=body.get("curve") == _HILBERT)
            case "key":
                return SetKey(field_ids=tuple(count(field_id) for field_id in body["fields"]))
            case "property":
                return SetProperty(name=member(str, body["name"]), value=_text(body["value"]))
            case "check":
                return SetCheck(name=member(str, body["name"]), expression=_text(body["expression"]))
            case "add":
                return self._read_add(body, version, number)
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
            case "feature":
                return _read_feature(body)
            case "application":
                return SetApplication(name=member(str, body["name"]), number=count(body["number"]))
            case "fence":
                return SetFence(name=member(str, body["name"]), epoch=count(body["epoch"]))
            case "tag":
                tagged = body["version"]
                return SetTag(name=member(str, body["name"]), version=None if tagged is None else count(tagged))
            case "clone":
                path = body["path"]
                return SetClone(
                    name=member(str, body["name"]),
                    path=None if path is None else names.check_path(path),
                    version=count(body.get("version", 0)),
                )
            case "vacuum":
                return SetVacuumed(before_us=count(body["before"]))
            case _:
                raise AssertionError(kind)

    def _read_add(self, body: Mapping[str, Any], version: int, number: int) -> AddFile:
        content = decode_base64(body["inline"]) if "inline" in body else None
        if content is not None and ("path" in body or "size" in body):
            raise CorruptionError("rows that stand in the commit have no path and no size of their own")
        path = names.check_path(body["path"]) if content is None else names.inlined(version, number)
        schema_id, partitioning_id = count(body["schema"]), count(body.get("partitioning", 0))
        if schema_id not in self._types:
            raise CorruptionError(f"file {path!r} was written under schema {schema_id}, which the log does not have")
        checksum = body.get("crc32")
        deleted = decode_vector_place(body["deletes"]) if "deletes" in body else None
        rows = count(body["rows"])
        if deleted is not None and deleted.row_count > rows:
            raise CorruptionError(f"of {path!r} with {rows} rows {deleted.row_count} are said to be deleted")
        return AddFile(
            path=path,
            size_bytes=count(body["size"]) if content is None else len(content),
            row_count=rows,
            schema_id=schema_id,
            partitioning_id=partitioning_id,
            partition_values=self.read_partition(member(list, body.get("partition", [])), partitioning_id, schema_id),
            statistics=decode_statistics(body.get("statistics", {}), self._types[schema_id]),
            crc32=None if checksum is None else count(checksum),
            deleted=deleted,
            change=RowChange(body.get("change", RowChange.INSERT)),
            level=count(body.get("level", 0)),
            moved=tuple(map(names.check_path, member(list, body.get("moved", [])))),
            gone=decode_gone(body["gone"]) if "gone" in body else None,
            key_filter=decode_key_filter(body["key_filter"]) if "key_filter" in body else None,
            content=content,
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
        "feature",
        "application",
        "fence",
        "tag",
        "clone",
        "vacuum",
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


def _read_feature(body: Mapping[str, Any]) -> RequireFeature:
    name = member(str, body["name"])
    if name not in FEATURES:
        raise InvalidError(f"the table needs the feature {name!r}, which this tablelog does not know; upgrade tablelog")
    return RequireFeature(name=name)


def _text(value: Any) -> str | None:
    return None if value is None else member(str, value)


def _leaf_types(fields: Iterable[Field]) -> Iterable[tuple[int, DataType]]:
    """Types of the fields that can have statistics: flat ones, at the top or inside structs."""
    for each in fields:
        if isinstance(each.type, Struct):
            yield from _leaf_types(each.type.fields)
        elif not children(each.type):
            yield each.id, each.type
