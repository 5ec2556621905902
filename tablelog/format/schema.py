"""A table's columns at one time, how they may change, and their JSON.

Every field has an id that is given once and never again, in the whole life of the table; names are labels on ids.
That is why adding, renaming, dropping and widening a column touch no file: a reader looks for a column in an old file
by its id and finds it under the name it had then, or not at all. A column that was dropped and added again under the
same name has another id, so nothing of the old one shows.

Each change gives a new `Schema` with a new schema id; every file remembers the schema it was written under.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from tablelog.errors import CorruptionError, InvalidError, NotFoundError
from tablelog.format import values
from tablelog.format.type_text import parse_type
from tablelog.format.types import DataType, Field, List, Map, Struct, can_widen, children, with_children
from tablelog.format.values import count, member

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tablelog.format.types import Scalar

COLUMNS_MAX: Final = 10_000
NAME_BYTES_MAX: Final = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """Columns in order. Iterates over its fields; `names` and `field(name)` look them up."""

    id: int
    fields: tuple[Field, ...]
    last_field_id: int
    """The highest field id that the table ever gave, so that none is given twice."""

    @property
    def names(self) -> list[str]:
        """Column names in order."""
        return [field.name for field in self.fields]

    def __iter__(self) -> Iterator[Field]:
        return iter(self.fields)

    def __len__(self) -> int:
        return len(self.fields)

    def __contains__(self, name: object) -> bool:
        return any(field.name == name for field in self.fields)

    def __str__(self) -> str:
        return "\n".join(
            f"{field.name}: {field.type}{'' if field.nullable else ' not null'}"
            + (f"  -- {field.comment}" if field.comment else "")
            for field in self.fields
        )

    def field(self, name: str) -> Field:
        """The column of that name, exactly written or, failing that, the only one that differs by case.

        Raises:
            NotFoundError: there is none; the message lists what there is.
            InvalidError: it is no text.

        """
        if not isinstance(name, str):
            raise InvalidError(f"column names are text, not {name!r}")
        for field in self.fields:
            if field.name == name:
                return field
        for field in self.fields:
            if field.name.casefold() == name.casefold():
                return field
        raise NotFoundError(f"no column {name!r}; the columns are {', '.join(map(repr, self.names[:50]))}")

    def by_id(self, field_id: int) -> Field | None:
        """The column with that id, if this schema has it."""
        return next((field for field in self.fields if field.id == field_id), None)

    def part(self, field_id: int) -> Field | None:
        """The column with that id, or the field with that id inside a struct column."""
        return self.by_id(field_id) or _inside_structs(self.fields, field_id)


def _inside_structs(fields: Iterable[Field], field_id: int) -> Field | None:
    for field in fields:
        if isinstance(field.type, Struct):
            found = next((child for child in field.type.fields if child.id == field_id), None)
            found = found or _inside_structs(field.type.fields, field_id)
            if found is not None:
                return found
    return None


def new_schema(fields: Iterable[Field]) -> Schema:
    """Schema 0 of a table: ids are given in order, depth first.

    Raises:
        InvalidError: no columns, names that are empty, too long, or equal but for case.

    """
    counter = _Counter(0)
    schema = Schema(id=0, fields=tuple(counter.number(field) for field in fields), last_field_id=counter.last)
    return _checked(schema)


def add_column(schema: Schema, field: Field) -> Schema:
    """Schema with one more column at the end."""
    if not field.nullable and field.initial_default is None:
        raise InvalidError(f"column {field.name!r} cannot be not null: rows that exist need a default for it")
    counter = _Counter(schema.last_field_id)
    added = counter.number(field)
    return _checked(_next(schema, (*schema.fields, added), last_field_id=counter.last))


def rename_column(schema: Schema, old: str, new: str) -> Schema:
    """Schema where the column `old` is called `new`."""
    return replace_column(schema, replace(schema.field(old), name=new))


def drop_column(schema: Schema, name: str) -> Schema:
    """Schema without the column; its id is never used again."""
    dropped = schema.field(name)
    if len(schema.fields) == 1:
        raise InvalidError(f"column {name!r} is the last one and a table needs at least one; drop the table instead")
    return _next(schema, tuple(field for field in schema.fields if field.id != dropped.id))


def widen_column(schema: Schema, name: str, type_: DataType) -> Schema:
    """Schema where the column has a type that holds every value of its old one."""
    field = schema.field(name)
    if not can_widen(field.type, type_):
        raise InvalidError(
            f"column {field.name!r} cannot be widened from {field.type} to {type_}: not every value would fit; "
            f"add a new column and fill it instead"
        )
    initial, write = (
        None if default is None else values.promote(default, field.type, type_)
        for default in (field.initial_default, field.write_default)
    )
    return replace_column(schema, replace(field, type=type_, initial_default=initial, write_default=write))


def replace_column(schema: Schema, field: Field) -> Schema:
    """Schema where the column with the field's id is that field."""
    return _checked(_next(schema, tuple(field if old.id == field.id else old for old in schema.fields)))


def _next(schema: Schema, fields: tuple[Field, ...], *, last_field_id: int | None = None) -> Schema:
    return Schema(id=schema.id + 1, fields=fields, last_field_id=last_field_id or schema.last_field_id)


class _Counter:
    """Gives ids to a field and all that is inside it."""

    def __init__(self, last: int) -> None:
        self.last = last

    def number(self, field: Field) -> Field:
        self.last += 1
        field_id = self.last
        inner = tuple(self.number(child) for child in children(field.type))
        return replace(field, id=field_id, type=with_children(field.type, inner))


def _checked(schema: Schema) -> Schema:
    if not schema.fields:
        raise InvalidError("a table needs at least one column")
    if len(schema.fields) > COLUMNS_MAX:
        raise InvalidError(f"{len(schema.fields)} columns are too many; a table has at most {COLUMNS_MAX}")
    _check_names(schema.fields, "")
    return schema


def _check_names(fields: Iterable[Field], inside: str) -> None:
    seen: dict[str, str] = {}
    for field in fields:
        check_name(field.name, f"column name{inside}")
        folded = field.name.casefold()
        if folded in seen:
            raise InvalidError(
                f"columns {seen[folded]!r} and {field.name!r}{inside} are the same name to SQL, which ignores "
                f"case; rename one"
            )
        seen[folded] = field.name
        _check_names_inside(field.type, f" in {field.name!r}")


def _check_names_inside(type_: DataType, inside: str) -> None:
    if isinstance(type_, Struct):
        if not type_.fields:
            raise InvalidError(f"a struct{inside} has no fields; it needs at least one")
        _check_names(type_.fields, inside)
    for child in children(type_):
        _check_names_inside(child.type, inside)


def check_name(name: str, what: str) -> None:
    """Refuse names that no engine could say.

    Raises:
        InvalidError: no text, empty, longer than 255 bytes of UTF-8, or with control characters or lone surrogates.

    """
    if not isinstance(name, str):
        raise InvalidError(f"{what} {name!r} is not text")
    try:
        length = len(name.encode())
    except UnicodeEncodeError:
        raise InvalidError(f"{what} {name!r} is not valid unicode") from None
    if not name.strip():
        raise InvalidError(f"{what} {name!r} is empty")
    if length > NAME_BYTES_MAX:
        raise InvalidError(f"{what} {name[:40]!r}… is {length} bytes long; at most {NAME_BYTES_MAX} are allowed")
    if any(ord(character) < 0x20 or ord(character) == 0x7F for character in name):  # noqa: PLR2004 - ASCII's controls
        raise InvalidError(f"{what} {name!r} has a control character in it")


# --------------------------------------------------------------------------- JSON


def encode_schema(schema: Schema) -> dict[str, Any]:
    """Schema as a JSON object (docs/format.md, "Schema")."""
    return {"id": schema.id, "last_field_id": schema.last_field_id, "fields": [_encode_field(f) for f in schema.fields]}


def decode_schema(data: Mapping[str, Any]) -> Schema:
    """The inverse of `encode_schema`.

    Raises:
        CorruptionError: the object is not a schema.

    """
    try:
        fields = tuple(_decode_field(field, 0) for field in data["fields"])
        schema = _checked(Schema(id=count(data["id"]), fields=fields, last_field_id=count(data["last_field_id"])))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CorruptionError(f"not a schema: {error!r}") from error
    ids = list(_ids(schema.fields))
    if len(set(ids)) < len(ids) or not all(1 <= field_id <= schema.last_field_id for field_id in ids):
        raise CorruptionError(
            f"not a schema: its field ids {ids[:50]} are not different numbers from 1 to {schema.last_field_id}"
        )
    return schema


def _ids(fields: Iterable[Field]) -> Iterator[int]:
    for field in fields:
        yield field.id
        yield from _ids(children(field.type))


def _encode_field(field: Field) -> dict[str, Any]:
    encoded: dict[str, Any] = {"id": field.id, "name": field.name, "type": _encode_type(field.type)}
    if not field.nullable:
        encoded["nullable"] = False
    if field.initial_default is not None:
        encoded["initial_default"] = values.encode_value(field.initial_default)
    if field.write_default is not None:
        encoded["write_default"] = values.encode_value(field.write_default)
    if field.comment is not None:
        encoded["comment"] = field.comment
    return encoded


def _decode_field(data: Mapping[str, Any], depth: int) -> Field:
    if depth > _DEPTH_MAX:
        raise CorruptionError(f"schema is nested deeper than {_DEPTH_MAX}")
    type_ = _decode_type(data["type"], depth)
    comment = data.get("comment")
    return Field(
        id=count(data["id"]),
        name=member(str, data["name"]),
        type=type_,
        nullable=member(bool, data.get("nullable", True)),
        initial_default=_decode_default(data.get("initial_default"), type_),
        write_default=_decode_default(data.get("write_default"), type_),
        comment=None if comment is None else member(str, comment),
    )


def _decode_default(data: Any, type_: DataType) -> Scalar | None:
    """A default must be a value of its type, because every reader makes one of it."""
    value = None if data is None else values.decode_value(data, type_)
    if value is not None and values.demote(value, type_, type_) is None:
        raise CorruptionError(f"the default {data!r} is not a value of type {type_}")
    return value


_DEPTH_MAX: Final = 64


def _encode_type(type_: DataType) -> str | dict[str, Any]:
    match type_:
        case List(element=element):
            return {"list": _encode_field(element)}
        case Map(key=key, value=value):
            return {"map": [_encode_field(key), _encode_field(value)]}
        case Struct(fields=fields):
            return {"struct": [_encode_field(field) for field in fields]}
        case _:
            return str(type_)


def _decode_type(data: Any, depth: int) -> DataType:
    if isinstance(data, str):
        return parse_type(data)
    ((kind, inner),) = data.items()
    match kind:
        case "list":
            return List(_decode_field(inner, depth + 1))
        case "map":
            return Map(*(_decode_field(field, depth + 1) for field in inner))
        case "struct":
            return Struct(tuple(_decode_field(field, depth + 1) for field in inner))
        case _:
            raise CorruptionError(f"{kind!r} is not a nested type")
