"""Types have one text each; schemas give ids once and keep names apart."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tablelog.errors import CorruptionError, InvalidError, NotFoundError
from tablelog.format import schema as schemas
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
    can_widen,
    children,
)

flat_types = (
    st.sampled_from(Primitive)
    | st.builds(Time, st.sampled_from(TimeUnit))
    | st.builds(Timestamp, st.sampled_from(TimeUnit), st.sampled_from([None, "UTC", "Europe/Oslo", "+05:30"]))
    | st.integers(1, 38).flatmap(lambda precision: st.builds(Decimal, st.just(precision), st.integers(0, precision)))
)
word = st.text("abcxyz_", min_size=1, max_size=5)
types = st.recursive(
    flat_types,
    lambda inner: (
        st.builds(lambda t: List(Field(name="element", type=t)), inner)
        | st.builds(
            lambda k, v: Map(Field(name="key", type=k, nullable=False), Field(name="value", type=v)), flat_types, inner
        )
        | st.lists(st.tuples(word, inner), min_size=1, max_size=3, unique_by=lambda pair: pair[0]).map(
            lambda pairs: Struct(tuple(Field(name=name, type=t) for name, t in pairs))
        )
    ),
    max_leaves=6,
)


@given(types)
def test_the_text_of_a_type_reads_back_as_the_type(type_: DataType) -> None:
    assert parse_type(str(type_)) == type_


@given(st.lists(st.tuples(word, types), min_size=1, max_size=5, unique_by=lambda pair: pair[0]))
def test_a_schema_survives_json(columns: list[tuple[str, DataType]]) -> None:
    schema = schemas.new_schema(Field(name=name, type=type_) for name, type_ in columns)
    assert schemas.decode_schema(json.loads(json.dumps(schemas.encode_schema(schema)))) == schema


@pytest.mark.parametrize(
    ("text", "type_"),
    [
        ("BIGINT", "int64"),
        ("Int64", "int64"),
        ("double precision", "float64"),
        ("varchar(20)", "string"),
        ("DECIMAL(10)", "decimal(10, 0)"),
        ("timestamp with time zone", "timestamp[us, UTC]"),
        ("TIMESTAMPTZ", "timestamp[us, UTC]"),
        ("timestamp[s]", "timestamp[ms]"),
        ("timestamp[ns, America/New_York]", "timestamp[ns, America/New_York]"),
        ("int[][]", "list<list<int32>>"),
        ("integer[3]", "list<int32>"),
        ('STRUCT(a INT, "b c" VARCHAR)', "struct<a: int32, b c: string>"),
        ("map(varchar, double)", "map<string, float64>"),
        ("list<struct<x: date>>", "list<struct<x: date>>"),
    ],
)
def test_other_peoples_names_of_types_are_understood(text: str, type_: str) -> None:
    assert str(parse_type(text)) == type_


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nope",
        "int64 x",
        "decimal(0, 0)",
        "decimal(39, 1)",
        "decimal(5, 6)",
        "list<",
        "map<int64>",
        "a'b",
        "struct<a>",
        "timestamp[xs]",
        "time[us, UTC]",
        "list<" * 100 + "int" + ">" * 100,
    ],
)
def test_text_that_names_no_type_is_refused_with_examples(text: str) -> None:
    with pytest.raises(InvalidError):
        parse_type(text)


@given(types, types)
def test_widening_is_never_its_own_opposite(one: DataType, other: DataType) -> None:
    assert not (can_widen(one, other) and can_widen(other, one))


def ids(schema: schemas.Schema) -> list[int]:
    found: list[int] = []

    def walk(fields: tuple[Field, ...]) -> None:
        for field in fields:
            found.append(field.id)
            walk(children(field.type))

    walk(schema.fields)
    return found


def test_ids_are_unique_and_a_dropped_one_is_never_given_again() -> None:
    schema = schemas.new_schema(
        [Field(name="a", type=parse_type("struct<x: int64, y: list<string>>")), Field(name="b", type=Primitive.STRING)]
    )
    assert ids(schema) == [1, 2, 3, 4, 5]
    smaller = schemas.drop_column(schema, "b")
    again = schemas.add_column(smaller, Field(name="b", type=Primitive.STRING))
    assert again.field("b").id == 6
    assert again.id == schema.id + 2


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 256, "\ud800", "\x7f"])
def test_names_that_no_engine_could_say_are_refused(name: str) -> None:
    with pytest.raises(InvalidError):
        schemas.new_schema([Field(name=name, type=Primitive.INT64)])


def test_names_that_differ_only_by_case_are_refused_at_every_depth() -> None:
    with pytest.raises(InvalidError, match="same name"):
        schemas.new_schema([Field(name="a", type=Primitive.INT64), Field(name="A", type=Primitive.INT64)])
    with pytest.raises(InvalidError, match="same name"):
        schemas.new_schema([Field(name="s", type=parse_type("struct<ß: int64, SS: int64>"))])


def test_a_table_needs_a_column() -> None:
    with pytest.raises(InvalidError, match="at least one column"):
        schemas.new_schema([])
    with pytest.raises(InvalidError, match="last one"):
        schemas.drop_column(schemas.new_schema([Field(name="a", type=Primitive.INT64)]), "a")


def test_an_unknown_column_is_answered_with_those_there_are() -> None:
    schema = schemas.new_schema([Field(name="price", type=Primitive.INT64)])
    assert schema.field("PRICE").name == "price"
    with pytest.raises(NotFoundError, match="'price'"):
        schema.field("prise")


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"id": 0},
        {"id": 0, "last_field_id": 1, "fields": [{"id": 1, "name": "a", "type": "nope"}]},
        {"id": 0, "last_field_id": 1, "fields": []},
        {"id": 0, "last_field_id": 1, "fields": [{"id": 1, "name": "a", "type": {"x": 1}}]},
    ],
    ids=["empty", "no fields", "no type", "no columns", "no kind"],
)
def test_what_is_no_schema_is_corruption(data: dict[str, object]) -> None:
    with pytest.raises(CorruptionError):
        schemas.decode_schema(data)
