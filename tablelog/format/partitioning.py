"""How rows are split over files: a list of transforms, each of one column.

The split is remembered in the log, not in paths, and nobody has to name a partition in a query: bounds and partition
values prune for them. Transforms and their results are those of Iceberg's specification
(https://iceberg.apache.org/spec/#partition-transforms):

    identity(x)       the value
    year(t) month(t) day(t) hour(t)    whole units since 1970-01-01 00:00 (UTC for instants)
    bucket(n, x)      (murmur3_x86_32(x, seed 0) & 0x7fffffff) % n
    truncate(w, x)    integers and decimals: x - (x mod w); strings: the first w characters; binary: the first w bytes

A null's partition value is null.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from tablelog.errors import CorruptionError, InvalidError
from tablelog.format.types import Decimal, List, Map, Primitive, Struct, Time, Timestamp, is_float, is_integer
from tablelog.format.values import count

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tablelog.format.schema import Schema
    from tablelog.format.types import DataType


class Transform(StrEnum):
    """What of a column's value decides the partition."""

    IDENTITY = "identity"
    YEAR = "year"
    MONTH = "month"
    DAY = "day"
    HOUR = "hour"
    BUCKET = "bucket"
    TRUNCATE = "truncate"


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionField:
    """One transform of one column."""

    source_id: int
    transform: Transform
    parameter: int | None = None
    """Bucket count or width; None for transforms without one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Partitioning:
    """Transforms in order; none means that rows are not split."""

    id: int
    fields: tuple[PartitionField, ...]


UNPARTITIONED: Final = Partitioning(id=0, fields=())
_TEXT: Final = re.compile(r"\s*(?P<name>\w+)\s*\(\s*(?P<arguments>.*?)\s*\)\s*$", re.DOTALL)
_PARAMETER_MAX: Final = 2**31 - 1


def parse_partitioning(texts: Iterable[str], schema: Schema, partitioning_id: int = 0) -> Partitioning:
    """Partitioning from texts such as `"region"`, `"month(placed_at)"`, `"bucket(16, user_id)"`.

    Raises:
        InvalidError: not a transform, or one that the column's type does not have.
        NotFoundError: no such column.

    """
    fields = tuple(_parse(text, schema) for text in texts)
    if len(set(fields)) < len(fields):
        raise InvalidError(
            f"the partitioning {', '.join(describe(each, schema) for each in fields)} says one thing twice"
        )
    return Partitioning(id=partitioning_id, fields=fields)


def _parse(text: str, schema: Schema) -> PartitionField:
    match = None if text in schema or not isinstance(text, str) else _TEXT.match(text)
    if match is None:
        return _checked(PartitionField(source_id=schema.field(text).id, transform=Transform.IDENTITY), schema)
    name = match["name"].lower().removesuffix("s")  # years(t) is how Spark writes it
    if name not in set(Transform):
        raise InvalidError(f"{text!r} is not a partition; use a column or one of {', '.join(Transform)} around one")
    transform, arguments = Transform(name), match["arguments"]
    parameter: int | None = None
    if transform in {Transform.BUCKET, Transform.TRUNCATE}:
        numbers = re.fullmatch(r"(?P<first>\d+)\s*,\s*(?P<column>.+)|(?P<other>.+?)\s*,\s*(?P<last>\d+)", arguments)
        if numbers is None:
            raise InvalidError(f"{text!r} needs a number and a column, for example {transform}(16, user_id)")
        parameter = int(numbers["first"] or numbers["last"])
        arguments = numbers["column"] or numbers["other"]
    column = arguments[1:-1].replace('""', '"') if arguments.startswith('"') and arguments.endswith('"') else arguments
    return _checked(PartitionField(source_id=schema.field(column).id, transform=transform, parameter=parameter), schema)


def check_applies(partitioning: Partitioning, schema: Schema) -> None:
    """Make sure that a partitioning splits rows of a schema.

    Raises:
        CorruptionError: it names a column that is not there, or a transform that the column's type does not have.

    """
    for field in partitioning.fields:
        try:
            _checked(field, schema)
        except InvalidError as error:
            raise CorruptionError(str(error)) from error


def _checked(field: PartitionField, schema: Schema) -> PartitionField:
    source = schema.by_id(field.source_id)
    if source is None:
        raise CorruptionError(f"the partitioning names the field {field.source_id}, which the schema does not have")
    if (field.parameter is not None) != (field.transform in {Transform.BUCKET, Transform.TRUNCATE}):
        raise InvalidError(f"{field.transform} of {source.name!r} cannot have the parameter {field.parameter}")
    if not _applies(field.transform, source.type):
        raise InvalidError(f"{field.transform} cannot partition the column {source.name!r} of type {source.type}")
    if field.parameter is not None and not 1 <= field.parameter <= _PARAMETER_MAX:
        raise InvalidError(
            f"{field.transform} of {source.name!r} needs a number from 1 to {_PARAMETER_MAX}, not {field.parameter}"
        )
    return field


def _applies(transform: Transform, type_: DataType) -> bool:
    match transform:
        case Transform.IDENTITY:
            return not isinstance(type_, List | Map | Struct) and not is_float(type_)
        case Transform.YEAR | Transform.MONTH | Transform.DAY:
            return type_ is Primitive.DATE or isinstance(type_, Timestamp)
        case Transform.HOUR:
            return isinstance(type_, Timestamp)
        case Transform.BUCKET:
            return (
                is_integer(type_)
                or type_ in {Primitive.STRING, Primitive.BINARY, Primitive.DATE}
                or isinstance(type_, Time | Timestamp | Decimal)
            )
        case Transform.TRUNCATE:
            return is_integer(type_) or type_ in {Primitive.STRING, Primitive.BINARY} or isinstance(type_, Decimal)


def result_type(field: PartitionField, source: DataType) -> DataType:
    """Type of a transform's result."""
    return source if field.transform in {Transform.IDENTITY, Transform.TRUNCATE} else Primitive.INT32


def describe(field: PartitionField, schema: Schema) -> str:
    """The text that `parse_partitioning` reads."""
    source = schema.by_id(field.source_id)
    name = source.name if source is not None else f"#{field.source_id}"
    if field.transform is Transform.IDENTITY:
        return name
    return f"{field.transform}({f'{field.parameter}, ' if field.parameter is not None else ''}{name})"


def encode_partitioning(partitioning: Partitioning) -> dict[str, Any]:
    """As a JSON object."""
    return {
        "id": partitioning.id,
        "fields": [
            {"source": field.source_id, "transform": str(field.transform)}
            | ({} if field.parameter is None else {"parameter": field.parameter})
            for field in partitioning.fields
        ],
    }


def decode_partitioning(data: Mapping[str, Any]) -> Partitioning:
    """The inverse of `encode_partitioning`.

    Raises:
        CorruptionError: the object is not a partitioning.

    """
    try:
        return Partitioning(
            id=count(data["id"]),
            fields=tuple(
                PartitionField(
                    source_id=count(field["source"]),
                    transform=Transform(field["transform"]),
                    parameter=None if field.get("parameter") is None else count(field["parameter"]),
                )
                for field in data["fields"]
            ),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CorruptionError(f"not a partitioning: {error!r}") from error
