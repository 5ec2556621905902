"""The types that a text names: the inverse of a type's `str`, and lenient about other people's names.

Beside the names in `types` it reads those that SQL, Arrow, Polars and Python people use (`BIGINT`, `varchar`, `double`,
`timestamptz`, `int[]`, `STRUCT(a INT)`): see `_NAMES`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from tablelog.errors import InvalidError
from tablelog.format.types import DataType, Decimal, Field, List, Map, Primitive, Struct, Time, Timestamp, TimeUnit

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAMES: Final[dict[str, DataType]] = {
    **{str(primitive): primitive for primitive in Primitive},
    **dict.fromkeys(("bool", "logical"), Primitive.BOOLEAN),
    **dict.fromkeys(("tinyint", "int1", "byte"), Primitive.INT8),
    **dict.fromkeys(("smallint", "int2", "short"), Primitive.INT16),
    **dict.fromkeys(("int", "integer", "int4", "signed"), Primitive.INT32),
    **dict.fromkeys(("bigint", "long", "i64"), Primitive.INT64),
    **dict.fromkeys(("utinyint",), Primitive.UINT8),
    **dict.fromkeys(("usmallint",), Primitive.UINT16),
    **dict.fromkeys(("uinteger",), Primitive.UINT32),
    **dict.fromkeys(("ubigint",), Primitive.UINT64),
    **dict.fromkeys(("float", "real", "float4"), Primitive.FLOAT32),
    **dict.fromkeys(("double", "float8"), Primitive.FLOAT64),
    **dict.fromkeys(("str", "varchar", "text", "char", "bpchar", "utf8", "large_string"), Primitive.STRING),
    **dict.fromkeys(("bytes", "blob", "bytea", "varbinary", "large_binary"), Primitive.BINARY),
    **dict.fromkeys(("date32",), Primitive.DATE),
    "time": Time(TimeUnit.US),
    **dict.fromkeys(("timestamp", "datetime"), Timestamp(TimeUnit.US)),
    **dict.fromkeys(("timestamptz",), Timestamp(TimeUnit.US, "UTC")),
    "timestamp_s": Timestamp(TimeUnit.MS),
    "timestamp_ms": Timestamp(TimeUnit.MS),
    "timestamp_us": Timestamp(TimeUnit.US),
    "timestamp_ns": Timestamp(TimeUnit.NS),
    **dict.fromkeys(("decimal", "numeric"), Decimal(18, 3)),
}
_UNITS: Final = {"s": TimeUnit.MS, "ms": TimeUnit.MS, "us": TimeUnit.US, "ns": TimeUnit.NS}
_TOKEN: Final = re.compile(r'\s*(?:(?P<quoted>"(?:[^"]|"")*")|(?P<word>[\w+/\-]+)|(?P<mark>[<>()\[\],:]))')
_NESTING_MAX: Final = 64


def parse_type(text: str) -> DataType:
    """The type that a text names.

    >>> str(parse_type("BIGINT")), str(parse_type("decimal(10,2)")), str(parse_type("struct<a: int[], b: text>"))
    ('int64', 'decimal(10, 2)', 'struct<a: list<int32>, b: string>')

    Raises:
        InvalidError: the text names no type of tablelog.

    """
    reader = _TypeReader(text)
    type_ = reader.read_type(0)
    reader.end()
    return type_


class _TypeReader:
    """A recursive-descent reader over the tokens of one type text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = tuple(_tokens(text))
        self.at = 0

    def read_type(self, depth: int) -> DataType:
        if depth > _NESTING_MAX:
            raise self.error(f"nested deeper than {_NESTING_MAX}")
        name = self.next().lower()
        type_ = self.read_named(name, depth)
        while self.peek() == "[":  # DuckDB's int[] and int[3]
            self.next()
            if self.peek() != "]":
                self.number()
            self.expect("]")
            type_ = List(Field(name="element", type=type_))
        return type_

    def read_named(self, name: str, depth: int) -> DataType:
        match name:
            case "list" | "array":
                close = self.open_bracket()
                element = self.read_type(depth + 1)
                self.expect(close)
                return List(Field(name="element", type=element))
            case "map":
                close = self.open_bracket()
                key = self.read_type(depth + 1)
                self.expect(",")
                value = self.read_type(depth + 1)
                self.expect(close)
                return Map(Field(name="key", type=key, nullable=False), Field(name="value", type=value))
            case "struct" | "row":
                return Struct(self.read_fields(depth))
            case "decimal" | "numeric" if self.peek() == "(":
                self.next()
                precision, scale = self.number(), 0
                if self.peek() == ",":
                    self.next()
                    scale = self.number()
                self.expect(")")
                return Decimal(precision, scale)
            case "varchar" | "char" | "text" | "string" | "bpchar" if self.peek() == "(":
                self.next()  # SQL's length limit means nothing to DuckDB either
                self.number()
                self.expect(")")
                return Primitive.STRING
            case "timestamp" | "datetime" | "time" | "timestamptz":
                return self.read_temporal(name)
            case "double":
                if (self.peek() or "").lower() == "precision":
                    self.next()
                return Primitive.FLOAT64
        if name not in _NAMES:
            raise self.error(f"{name!r} is not a type")
        return _NAMES[name]

    def read_temporal(self, name: str) -> DataType:
        unit, zone = TimeUnit.US, "UTC" if name == "timestamptz" else None
        if self.peek() == "[" and self.peek(1) in _UNITS:
            self.next()
            unit = _UNITS[self.next()]
            if self.peek() == ",":
                self.next()
                zone = self.next()
                while self.peek() not in {"]", None}:  # +01:00 comes apart at the colon
                    zone += self.next()
            self.expect("]")
        if (self.peek() or "").lower() == "with":
            for word in ("with", "time", "zone"):
                self.expect(word)
            zone = "UTC"
        if name == "time":
            if zone is not None:
                raise self.error("a time of day has no zone")
            return Time(unit)
        return Timestamp(unit, zone)

    def read_fields(self, depth: int) -> tuple[Field, ...]:
        close = self.open_bracket()
        fields: list[Field] = []
        while self.peek() != close:
            if fields:
                self.expect(",")
            token = self.next()
            name = token[1:-1].replace('""', '"') if token.startswith('"') else token
            if self.peek() == ":":
                self.next()
            fields.append(Field(name=name, type=self.read_type(depth + 1)))
        self.expect(close)
        return tuple(fields)

    def open_bracket(self) -> str:
        token = self.next()
        if token not in {"<", "("}:
            raise self.error(f"expected < or ( but found {token!r}")
        return ">" if token == "<" else ")"

    def number(self) -> int:
        token = self.next()
        if not token.isdecimal():
            raise self.error(f"expected a number but found {token!r}")
        return int(token)

    def peek(self, ahead: int = 0) -> str | None:
        return self.tokens[self.at + ahead] if self.at + ahead < len(self.tokens) else None

    def next(self) -> str:
        token = self.peek()
        if token is None:
            raise self.error("it ends too early")
        self.at += 1
        return token

    def expect(self, token: str) -> None:
        found = self.next()
        if found.lower() != token:
            raise self.error(f"expected {token!r} but found {found!r}")

    def end(self) -> None:
        if self.peek() is not None:
            raise self.error(f"{self.peek()!r} is too much")

    def error(self, what: str) -> InvalidError:
        return InvalidError(
            f"cannot read the type {self.text!r}: {what}; types are for example int64, double, string, date, "
            f"timestamp[us, UTC], decimal(10, 2), list<string>, struct<a: int64>"
        )


def _tokens(text: str) -> Iterator[str]:
    position = 0
    while position < len(text.rstrip()):
        match = _TOKEN.match(text, position)
        if match is None:
            raise InvalidError(
                f"cannot read the type {text!r}: {text[position:].strip()[:1]!r} has no meaning in a type"
            )
        yield match.group().strip()
        position = match.end()
