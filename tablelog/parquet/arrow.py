"""Our types as Arrow's and back.

    going out   one Arrow type per type of ours, with `PARQUET:field_id` on every field, nested ones too
    coming in   many Arrow types per type of ours: what differs only in layout (views, large offsets, dictionaries,
                runs, extension types) or in a width that we do not have (seconds, float16) becomes the nearest type
                that holds every value

What has no nearest type (null, duration, interval, union, decimals of more than 38 digits) is refused by name.
"""

from __future__ import annotations

import datetime as dt
import decimal
import re
from typing import TYPE_CHECKING, Any, Final, assert_never

import pyarrow as pa

from tablelog.errors import InvalidError
from tablelog.format.type_text import parse_type
from tablelog.format.types import (
    DataType,
    Decimal,
    Field,
    List,
    Map,
    Primitive,
    Struct,
    Time,
    Timestamp,
    TimeUnit,
    children,
)
from tablelog.parquet.casts import cast_exactly

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tablelog.format.types import Scalar

FIELD_ID: Final = b"PARQUET:field_id"
"""The metadata key under which PyArrow reads and writes a Parquet field's id."""

_DECIMAL_DIGITS_MAX: Final = 38
_ARROW: Final[dict[Primitive, pa.DataType]] = {
    Primitive.BOOLEAN: pa.bool_(),
    Primitive.INT8: pa.int8(),
    Primitive.INT16: pa.int16(),
    Primitive.INT32: pa.int32(),
    Primitive.INT64: pa.int64(),
    Primitive.UINT8: pa.uint8(),
    Primitive.UINT16: pa.uint16(),
    Primitive.UINT32: pa.uint32(),
    Primitive.UINT64: pa.uint64(),
    Primitive.FLOAT32: pa.float32(),
    Primitive.FLOAT64: pa.float64(),
    Primitive.STRING: pa.string(),
    Primitive.BINARY: pa.binary(),
    Primitive.DATE: pa.date32(),
}
_OURS: Final[dict[pa.DataType, DataType]] = {
    **{arrow: ours for ours, arrow in _ARROW.items()},
    pa.float16(): Primitive.FLOAT32,
    pa.large_string(): Primitive.STRING,
    pa.string_view(): Primitive.STRING,
    pa.large_binary(): Primitive.BINARY,
    pa.binary_view(): Primitive.BINARY,
    pa.date64(): Primitive.DATE,
}
_UNITS: Final = {"s": TimeUnit.MS, "ms": TimeUnit.MS, "us": TimeUnit.US, "ns": TimeUnit.NS}
_ZONE: Final = re.compile(r"(Z|:[^+-]*[+-]\d\d(:?\d\d)?)$", re.IGNORECASE)


def arrow_type(type_: DataType) -> pa.DataType:
    """The one Arrow type that holds a type of ours."""
    match type_:
        case Primitive():
            return _ARROW[type_]
        case Time(unit=unit):
            return pa.time32("ms") if unit is TimeUnit.MS else pa.time64("us" if unit is TimeUnit.US else "ns")
        case Timestamp(unit=unit, zone=zone):
            return pa.timestamp(unit.value, zone)
        case Decimal(precision=precision, scale=scale):
            return pa.decimal128(precision, scale)
        case List(element=element):
            return pa.list_(arrow_field(element))
        case Map(key=key, value=value):
            keys_and_values: pa.DataType = pa.map_(arrow_field(key), arrow_field(value))  # type: ignore[call-overload]  # fields are fine
            return keys_and_values
        case Struct(fields=fields):
            return pa.struct([arrow_field(field) for field in fields])
        case _:
            assert_never(type_)


def arrow_field(field: Field) -> pa.Field[Any]:
    """The Arrow field with the id that a Parquet file keeps; an id of 0 is none."""
    metadata = {FIELD_ID: str(field.id).encode()} if field.id else None
    return pa.field(field.name, arrow_type(field.type), nullable=field.nullable, metadata=metadata)


def arrow_schema(fields: Iterable[Field]) -> pa.Schema:
    """The schema of batches with those columns, in that order; a `Schema` is its columns."""
    return pa.schema([arrow_field(field) for field in fields])


def fields_from_arrow(schema: pa.Schema) -> tuple[Field, ...]:
    """Fields, without ids, that can hold what comes under an Arrow schema.

    Raises:
        InvalidError: a column has a type that tablelog does not store; the message says what to convert it to.

    """
    return tuple(_field(field, field.name) for field in schema)


def type_from_arrow(type_: pa.DataType, path: str) -> DataType:
    """The type that can hold every value of an Arrow type; `path` names the column in messages.

    Raises:
        InvalidError: there is none.

    """
    if type_ in _OURS:
        return _OURS[type_]
    if isinstance(type_, pa.BaseExtensionType):
        return type_from_arrow(type_.storage_type, path)
    if isinstance(type_, pa.DictionaryType | pa.RunEndEncodedType):
        return type_from_arrow(type_.value_type, path)
    if pa.types.is_fixed_size_binary(type_):
        return Primitive.BINARY
    if pa.types.is_decimal(type_):
        return _decimal(type_, path)
    if pa.types.is_temporal(type_):
        return _temporal(type_, path)
    return _nested(type_, path)


def _decimal(type_: Any, path: str) -> Decimal:
    if type_.precision > _DECIMAL_DIGITS_MAX or not 0 <= type_.scale <= type_.precision:
        raise _refusal(path, type_, f"cast it to a decimal of at most {_DECIMAL_DIGITS_MAX} digits, or to double")
    return Decimal(type_.precision, type_.scale)


def _temporal(type_: Any, path: str) -> DataType:
    if pa.types.is_time(type_):
        return Time(_UNITS[type_.unit])
    if pa.types.is_timestamp(type_):
        ours = Timestamp(_UNITS[type_.unit], type_.tz or None)
        _check_zone(ours, path)
        return ours
    raise _refusal(path, type_, "cast it to int64, a count of one unit")


def _check_zone(type_: Timestamp, path: str) -> None:
    """Refuse a zone whose text would come back from the log as another one."""
    try:
        readable = parse_type(str(type_)) == type_
    except InvalidError:
        readable = False
    if not readable:
        raise InvalidError(f"column {path!r} has the time zone {type_.zone!r}, which is no zone's name; cast it to UTC")


def _nested(type_: Any, path: str) -> DataType:
    if pa.types.is_struct(type_) and type_.num_fields == 0:
        raise _refusal(path, type_, "a struct needs at least one field")
    if pa.types.is_struct(type_):
        return Struct(tuple(_field(field, f"{path}.{field.name}") for field in type_))
    if pa.types.is_map(type_):
        key, value = _field(type_.key_field, f"{path}.key"), _field(type_.item_field, f"{path}.value")
        return Map(
            Field(name="key", type=key.type, nullable=False),
            Field(name="value", type=value.type, nullable=value.nullable),
        )
    if isinstance(
        type_,
        pa.ListType | pa.LargeListType | pa.FixedSizeListType | pa.ListViewType | pa.LargeListViewType,
    ):
        element = _field(type_.value_field, f"{path}.element")
        return List(Field(name="element", type=element.type, nullable=element.nullable))
    if pa.types.is_null(type_):
        raise InvalidError(
            f"column {path!r} has only nulls, so nothing says what its type is; give it one, for example by a schema"
        )
    if pa.types.is_union(type_):
        raise _refusal(path, type_, "make it a struct with one field for each alternative")
    raise _refusal(path, type_, "cast it to a type of tablelog's")


def _field(field: pa.Field[Any], path: str) -> Field:
    return Field(name=field.name, type=type_from_arrow(field.type, path), nullable=field.nullable)


def _refusal(path: str, type_: pa.DataType, what_now: str) -> InvalidError:
    return InvalidError(f"column {path!r} has the type {type_}, which tablelog does not store; {what_now}")


# --------------------------------------------------------------------------- single values


def arrow_scalar(value: Scalar | None, type_: DataType) -> pa.Scalar[Any]:
    """A value as the log holds it, as Arrow holds it; None is null."""
    return pa.scalar(value, type=arrow_type(type_))


def default_scalar(field: Field) -> pa.Scalar[Any]:
    """What rows read as that are older than the field."""
    return arrow_scalar(field.initial_default, field.type)


def stored_value(scalar: pa.Scalar[Any]) -> Scalar | None:
    """A flat Arrow value as the log holds it; null is None.

    >>> import datetime as dt
    >>> stored_value(pa.scalar(dt.date(1970, 1, 3)))
    2
    """
    if not scalar.is_valid:
        return None
    value: Scalar = scalar.value if pa.types.is_temporal(scalar.type) else scalar.as_py()  # type: ignore[attr-defined]  # the stubs give .value to no base class
    return value


def physical_value(value: object, type_: DataType) -> Scalar:
    """A value that a person or Arrow gave, as the log holds it.

    What an append would accept is accepted, and ISO text for dates, times, timestamps and decimals. A wall clock where
    an instant is wanted is UTC.

    >>> physical_value("1970-01-02", Primitive.DATE), physical_value("00:00:01.5", Time(TimeUnit.MS))
    (1, 1500)

    Raises:
        InvalidError: it is null, of another type, or would lose something.

    """
    if children(type_):
        raise InvalidError(f"{value!r} cannot be a single value of type {type_}; only flat types have those")
    try:
        physical = stored_value(cast_exactly(_single(value, type_), arrow_type(type_), "value")[0])
    except (InvalidError, pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        raise InvalidError(f"{value!r} is not a value of type {type_}; convert it first") from error
    if physical is None:
        raise InvalidError(f"null is not a value of type {type_}; leave it out")
    return physical


def _single(value: object, type_: DataType) -> pa.Array[Any]:
    match value:
        case pa.Scalar():
            return pa.array([value], value.type)
        case str() if isinstance(type_, Time):
            # Arrow reads no time of day, but a timestamp of the first day is one.
            return pa.array([f"1970-01-01T{value}"]).cast(pa.timestamp(type_.unit.value)).cast(arrow_type(type_))
        case str() if isinstance(type_, Timestamp) and type_.zone is not None and not _ZONE.search(value):
            return pa.array([value]).cast(pa.timestamp(type_.unit.value)).cast(arrow_type(type_))
        case str() if isinstance(type_, Timestamp | Decimal) or type_ is Primitive.DATE:
            return pa.array([value]).cast(arrow_type(type_))
        case dt.datetime(tzinfo=None) if isinstance(type_, Timestamp) and type_.zone is not None:
            return pa.array([value.replace(tzinfo=dt.UTC)])
        case int() if not isinstance(value, bool):
            return pa.array([decimal.Decimal(value)])  # Arrow's own guess ends at 63 bits
        case _:
            return pa.array([value])


def column_values(columns: Iterable[pa.Array[Any]]) -> Iterable[tuple[Scalar | None, ...]]:
    """Rows of flat arrays of one length, as the log holds them."""
    return zip(*([stored_value(scalar) for scalar in column] for column in columns), strict=True)
