"""Column types: a small closed set, each with exactly one text and one meaning in Parquet.

    boolean  int8 int16 int32 int64  uint8 uint16 uint32 uint64  float32 float64
    string  binary  date
    time[ms|us|ns]                   time of day
    timestamp[ms|us|ns]              wall clock without a zone
    timestamp[us, Europe/Oslo]       an instant; the zone says how to show it
    decimal(precision, scale)        at most 38 digits
    list<T>  map<K, V>  struct<a: T, b: U>

The text of a type is what the log stores for every type that holds no fields of its own. Nested types are stored as
JSON objects because each field inside them has an id. `type_text` reads the texts.

What is left out: interval, duration, and anything wider than 38 decimal digits. No engine here reads those the same
way.
"""

from __future__ import annotations

import decimal
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, assert_never

from tablelog.errors import InvalidError


class Primitive(StrEnum):
    """Types that need no parameter; the value is the type's text."""

    BOOLEAN = "boolean"
    INT8 = "int8"
    INT16 = "int16"
    INT32 = "int32"
    INT64 = "int64"
    UINT8 = "uint8"
    UINT16 = "uint16"
    UINT32 = "uint32"
    UINT64 = "uint64"
    FLOAT32 = "float32"
    FLOAT64 = "float64"
    STRING = "string"
    BINARY = "binary"
    DATE = "date"


class TimeUnit(StrEnum):
    """What one step of a time or timestamp is."""

    MS = "ms"
    US = "us"
    NS = "ns"


PER_SECOND: Final = {TimeUnit.MS: 1_000, TimeUnit.US: 1_000_000, TimeUnit.NS: 1_000_000_000}


@dataclass(frozen=True, slots=True)
class Time:
    """Time of day; stored as a count of units since midnight."""

    unit: TimeUnit

    def __str__(self) -> str:
        return f"time[{self.unit}]"


@dataclass(frozen=True, slots=True)
class Timestamp:
    """A count of units since 1970-01-01: an instant (UTC) if there is a zone, a wall clock if there is none."""

    unit: TimeUnit
    zone: str | None = None

    def __str__(self) -> str:
        return f"timestamp[{self.unit}]" if self.zone is None else f"timestamp[{self.unit}, {self.zone}]"


@dataclass(frozen=True, slots=True)
class Decimal:
    """Exact numbers of at most `precision` digits, `scale` of them after the point."""

    precision: int
    scale: int

    def __post_init__(self) -> None:
        if not (1 <= self.precision <= _DECIMAL_DIGITS_MAX and 0 <= self.scale <= self.precision):
            raise InvalidError(
                f"decimal({self.precision}, {self.scale}) is not a type: precision is 1 to {_DECIMAL_DIGITS_MAX} and "
                f"scale 0 to the precision"
            )

    def __str__(self) -> str:
        return f"decimal({self.precision}, {self.scale})"


@dataclass(frozen=True, slots=True)
class List:
    """Values of one type in an order; the field is named `element`."""

    element: Field

    def __str__(self) -> str:
        return f"list<{self.element.type}>"


@dataclass(frozen=True, slots=True)
class Map:
    """Keys to values; the fields are named `key` (never null) and `value`."""

    key: Field
    value: Field

    def __str__(self) -> str:
        return f"map<{self.key.type}, {self.value.type}>"


@dataclass(frozen=True, slots=True)
class Struct:
    """Named fields side by side."""

    fields: tuple[Field, ...]

    def __str__(self) -> str:
        return f"struct<{', '.join(f'{field.name}: {field.type}' for field in self.fields)}>"


DataType = Primitive | Time | Timestamp | Decimal | List | Map | Struct

Scalar = bool | int | float | str | bytes | decimal.Decimal
"""A value as statistics, defaults and predicates hold it: dates, times and timestamps are stored integers (days, or
units since midnight or 1970-01-01)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A column, or a part of a nested one."""

    name: str
    type: DataType
    nullable: bool = True
    id: int = 0
    """Unique in the table for ever, also written into every Parquet file; 0 until a schema assigns one."""
    initial_default: Scalar | None = None
    """What rows read as that were written before the field existed."""
    write_default: Scalar | None = None
    """What an append stores when it does not bring the column."""
    comment: str | None = None


def children(type_: DataType) -> tuple[Field, ...]:
    """The fields directly inside a type, in order; none for a flat one."""
    match type_:
        case List(element=element):
            return (element,)
        case Map(key=key, value=value):
            return (key, value)
        case Struct(fields=fields):
            return fields
        case Primitive() | Time() | Timestamp() | Decimal():
            return ()
        case _:
            assert_never(type_)


def with_children(type_: DataType, fields: tuple[Field, ...]) -> DataType:
    """The same type around other fields, as many as `children` gave."""
    match type_:
        case List():
            return List(fields[0])
        case Map():
            return Map(fields[0], fields[1])
        case Struct():
            return Struct(fields)
        case Primitive() | Time() | Timestamp() | Decimal():
            return type_
        case _:
            assert_never(type_)


_DECIMAL_DIGITS_MAX: Final = 38

_INTEGERS: Final = (Primitive.INT8, Primitive.INT16, Primitive.INT32, Primitive.INT64)
_UNSIGNED: Final = (Primitive.UINT8, Primitive.UINT16, Primitive.UINT32, Primitive.UINT64)
_DIGITS: Final = {Primitive.INT8: 3, Primitive.INT16: 5, Primitive.INT32: 10, Primitive.INT64: 19} | {
    Primitive.UINT8: 3,
    Primitive.UINT16: 5,
    Primitive.UINT32: 10,
    Primitive.UINT64: 20,
}
"""Decimal digits that hold every value of an integer type."""


def is_integer(type_: DataType) -> bool:
    """Whether it is one of the eight integer types."""
    return type_ in _DIGITS


def is_float(type_: DataType) -> bool:
    """Whether values may be NaN."""
    return type_ in {Primitive.FLOAT32, Primitive.FLOAT64}


def can_widen(old: DataType, new: DataType) -> bool:
    """Whether every value of `old` is also a value of `new`, so that files of `old` can stay as they are."""
    match old, new:
        case Primitive(), Primitive() if old in _INTEGERS and new in _INTEGERS:
            return _INTEGERS.index(old) < _INTEGERS.index(new)
        case Primitive(), Primitive() if old in _UNSIGNED and new in _UNSIGNED:
            return _UNSIGNED.index(old) < _UNSIGNED.index(new)
        case Primitive(), Primitive() if old in _UNSIGNED and new in _INTEGERS:
            return _UNSIGNED.index(old) < _INTEGERS.index(new)
        case Primitive.FLOAT32, Primitive.FLOAT64:
            return True
        case Primitive(), Primitive.FLOAT64:
            return old in {*_INTEGERS[:3], *_UNSIGNED[:3]}
        case Primitive(), Decimal() if old in _DIGITS:
            return new.precision - new.scale >= _DIGITS[old]
        case Decimal(), Decimal():
            return old != new and new.scale >= old.scale and new.precision - new.scale >= old.precision - old.scale
        case Primitive.DATE, Timestamp(zone=None):
            return new.unit is not TimeUnit.NS  # nanoseconds reach only from 1677 to 2262
        case _:
            return False
