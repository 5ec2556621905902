"""Columns as people write them down, before there is any data.

    {"id": "int64 not null", "price": "decimal(10, 2)", "seen": dt.datetime}
    pa.schema(…)    pl.Schema(…)    whatever else has `__arrow_c_schema__`

A dict whose values are types is a schema; a dict whose values are lists is data (`input.open_data`).
"""

from __future__ import annotations

import datetime as dt
import decimal
import re
import sys
from collections.abc import Mapping
from typing import Any, Final

import pyarrow as pa

from tablelog.errors import InvalidError
from tablelog.format.schema import Schema
from tablelog.format.type_text import parse_type
from tablelog.format.types import DataType, Field, Primitive, Time, Timestamp, TimeUnit
from tablelog.parquet.arrow import fields_from_arrow, type_from_arrow

_PYTHON: Final[dict[type, DataType]] = {
    bool: Primitive.BOOLEAN,
    int: Primitive.INT64,
    float: Primitive.FLOAT64,
    str: Primitive.STRING,
    bytes: Primitive.BINARY,
    dt.date: Primitive.DATE,
    dt.datetime: Timestamp(TimeUnit.US),
    dt.time: Time(TimeUnit.US),
    decimal.Decimal: parse_type("decimal"),
}
_NOT_NULL: Final = re.compile(r"\s+not\s+null\s*$", re.IGNORECASE)


def looks_like_schema(obj: object) -> bool:
    """Whether it says what columns are and brings no rows; see `fields_from_user_schema`."""
    if isinstance(obj, Schema | pa.Schema):
        return True
    if hasattr(obj, "__arrow_c_stream__") or hasattr(obj, "__arrow_c_array__"):
        return False
    if hasattr(obj, "__arrow_c_schema__"):
        return True
    return isinstance(obj, Mapping) and bool(obj) and all(map(_is_type, obj.values()))


def fields_from_user_schema(obj: object) -> tuple[Field, ...]:
    """The fields, without ids, that a schema of any of the kinds above describes.

    >>> [str(field.type) for field in fields_from_user_schema({"id": "bigint NOT NULL", "note": str})]
    ['int64', 'string']

    Raises:
        InvalidError: it is no schema, or a type in it is none of tablelog's.

    """
    if isinstance(obj, Schema):
        return obj.fields
    if isinstance(obj, pa.Schema):
        return fields_from_arrow(obj)
    if hasattr(obj, "__arrow_c_schema__"):
        try:
            return fields_from_arrow(pa.schema(obj))  # type: ignore[arg-type]  # the protocol is younger than the stubs
        except (pa.ArrowException, TypeError) as error:
            raise InvalidError(f"{type(obj).__name__} is no schema of columns: {error}") from error
    if isinstance(obj, Mapping):
        return tuple(_field(name, type_) for name, type_ in obj.items())
    raise InvalidError(
        f"{type(obj).__name__} is no schema; give a dict of names and types, or an Arrow or Polars schema"
    )


def _is_type(value: object) -> bool:
    return isinstance(value, str | DataType | pa.DataType) or _is_python_type(value) or _is_polars_type(value)


def _is_python_type(value: object) -> bool:
    return isinstance(value, type) and value in _PYTHON


def _is_polars_type(value: object) -> bool:
    """A Polars type, as a class (`pl.Int64`) or an object (`pl.Decimal(10, 2)`)."""
    kind = value if isinstance(value, type) else type(value)
    return kind.__module__.startswith("polars.datatypes") and kind.__name__ != "Object"


def _field(name: object, type_: Any) -> Field:
    if not isinstance(name, str):
        raise InvalidError(f"column names are text, not {name!r}")
    if isinstance(type_, DataType) and not isinstance(type_, str):
        return Field(name=name, type=type_)
    if isinstance(type_, str):
        text, not_null = _NOT_NULL.subn("", type_)
        try:
            return Field(name=name, type=parse_type(text), nullable=not not_null)
        except InvalidError as error:
            raise InvalidError(f"column {name!r}: {error}") from error
    if isinstance(type_, pa.DataType):
        return Field(name=name, type=type_from_arrow(type_, name))
    if _is_python_type(type_):
        return Field(name=name, type=_PYTHON[type_])
    if _is_polars_type(type_):
        return _polars_field(name, type_)
    raise InvalidError(f"column {name!r}: {type_!r} is no type; use text such as 'int64' or 'string not null'")


def _polars_field(name: str, type_: Any) -> Field:
    """Polars tells Arrow about schemas only; whoever gave us one of its types has imported it."""
    try:
        whole = type_() if isinstance(type_, type) else type_
        (field,) = fields_from_arrow(pa.schema(sys.modules["polars"].Schema({name: whole})))
    except (pa.ArrowException, TypeError) as error:
        raise InvalidError(f"column {name!r}: {type_!r} is no type of tablelog: {error}") from error
    return field
