"""Every type of ours goes to Arrow and comes back, what people bring becomes the nearest, the rest is refused."""

from __future__ import annotations

import datetime as dt
import decimal
import io
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tablelog.errors import InvalidError
from tablelog.format.schema import new_schema
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
)
from tablelog.parquet.arrow import (
    FIELD_ID,
    arrow_scalar,
    arrow_schema,
    arrow_type,
    default_scalar,
    fields_from_arrow,
    physical_value,
    stored_value,
)

flat_types = st.one_of(
    st.sampled_from(list(Primitive)),
    st.builds(Time, st.sampled_from(list(TimeUnit))),
    st.builds(Timestamp, st.sampled_from(list(TimeUnit)), st.sampled_from([None, "UTC", "Europe/Oslo", "+01:00"])),
    st.integers(1, 38).flatmap(lambda precision: st.builds(Decimal, st.just(precision), st.integers(0, precision))),
)


def nested(inner: st.SearchStrategy[DataType]) -> st.SearchStrategy[DataType]:
    element = st.builds(Field, name=st.just("element"), type=inner, nullable=st.booleans())
    key = st.builds(Field, name=st.just("key"), type=inner, nullable=st.just(False))
    value = st.builds(Field, name=st.just("value"), type=inner, nullable=st.booleans())
    fields = st.lists(st.builds(Field, name=st.sampled_from("abc"), type=inner), min_size=1, max_size=3)
    return st.one_of(
        st.builds(List, element),
        st.builds(Map, key, value),
        st.builds(Struct, fields.map(lambda each: tuple({field.name: field for field in each}.values()))),
    )


types = st.recursive(flat_types, nested, max_leaves=5)


@settings(deadline=None)
@given(types, st.booleans())
def test_every_type_comes_back_from_arrow_as_it_was(type_: DataType, nullable: bool) -> None:
    field = Field(name="x", type=type_, nullable=nullable)
    assert fields_from_arrow(arrow_schema([field])) == (field,)


def test_ids_are_on_every_field_in_the_file() -> None:
    text = "struct<a: list<int64>, m: map<string, struct<z: date>>>"
    schema = new_schema([Field(name="s", type=parse_type(text)), Field(name="t", type=Primitive.STRING)])
    sink = io.BytesIO()
    pq.write_table(pa.table([[], []], schema=arrow_schema(schema)), sink)
    found: list[int] = []

    def collect(field: pa.Field[Any]) -> None:
        found.append(int((field.metadata or {})[FIELD_ID]))
        for child in range(field.type.num_fields):
            inner: Any = field.type.field(child)
            if pa.types.is_map(field.type):  # Arrow shows keys and values below an unnamed struct
                inner = field.type.field(0)
                for entry in (field.type.key_field, field.type.item_field):
                    collect(entry)
                return
            collect(inner)

    for field in pq.ParquetFile(sink).schema_arrow:
        collect(field)
    assert found == list(range(1, schema.last_field_id + 1))


@pytest.mark.parametrize(
    ("arrow", "ours"),
    [
        (pa.large_string(), "string"),
        (pa.string_view(), "string"),
        (pa.large_binary(), "binary"),
        (pa.binary_view(), "binary"),
        (pa.binary(16), "binary"),
        (pa.dictionary(pa.int32(), pa.string_view()), "string"),
        (pa.run_end_encoded(pa.int32(), pa.int64()), "int64"),
        (pa.large_list(pa.int8()), "list<int8>"),
        (pa.list_view(pa.int8()), "list<int8>"),
        (pa.large_list_view(pa.int8()), "list<int8>"),
        (pa.list_(pa.large_string(), 3), "list<string>"),
        (pa.timestamp("s"), "timestamp[ms]"),
        (pa.timestamp("s", "UTC"), "timestamp[ms, UTC]"),
        (pa.timestamp("us", ""), "timestamp[us]"),
        (pa.time32("s"), "time[ms]"),
        (pa.date64(), "date"),
        (pa.float16(), "float32"),
        (pa.uuid(), "binary"),
        (pa.json_(), "string"),
        (pa.bool8(), "int8"),
        (pa.decimal32(7, 2), "decimal(7, 2)"),
        (pa.decimal64(17, 0), "decimal(17, 0)"),
        (pa.decimal256(38, 4), "decimal(38, 4)"),
        (pa.map_(pa.large_string(), pa.float16()), "map<string, float32>"),
        (pa.struct([("a", pa.dictionary(pa.int8(), pa.large_string()))]), "struct<a: string>"),
    ],
)
def test_layouts_and_widths_we_do_not_have_become_the_nearest_type(arrow: pa.DataType, ours: str) -> None:
    (field,) = fields_from_arrow(pa.schema([("x", arrow)]))
    assert field.type == parse_type(ours)


@pytest.mark.parametrize(
    ("arrow", "says"),
    [
        (pa.null(), "only nulls"),
        (pa.duration("us"), "int64"),
        (pa.month_day_nano_interval(), "int64"),
        (pa.dense_union([pa.field("a", pa.int8())]), "struct"),
        (pa.decimal256(39, 0), "38 digits"),
        (pa.decimal128(5, -2), "38 digits"),
        (pa.list_(pa.duration("s")), r"'x\.element'"),
        (pa.struct([("deep", pa.null())]), r"'x\.deep'"),
        (pa.struct([]), "at least one field"),
        (pa.timestamp("us", "no such zone!"), "zone"),
    ],
)
def test_types_no_engine_agrees_on_are_refused_by_column(arrow: pa.DataType, says: str) -> None:
    with pytest.raises(InvalidError, match=says) as raised:
        fields_from_arrow(pa.schema([("x", arrow)]))
    assert "'x" in str(raised.value)


def test_not_null_is_kept_at_every_level() -> None:
    inner = pa.struct([pa.field("a", pa.int8(), nullable=False)])
    (field,) = fields_from_arrow(
        pa.schema([pa.field("x", pa.list_(pa.field("item", inner, nullable=False)), nullable=False)])
    )
    assert not field.nullable
    assert isinstance(field.type, List)
    assert not field.type.element.nullable
    assert isinstance(field.type.element.type, Struct)
    assert not field.type.element.type.fields[0].nullable


@pytest.mark.parametrize(
    ("value", "type_", "physical"),
    [
        (5, "int8", 5),
        (2**64 - 1, "uint64", 2**64 - 1),
        (True, "boolean", True),
        (1, "double", 1.0),
        (0.1, "decimal(10, 2)", decimal.Decimal("0.10")),
        ("12.5", "decimal(10, 2)", decimal.Decimal("12.50")),
        (3, "decimal(10, 2)", decimal.Decimal("3.00")),
        ("a", "string", "a"),
        (b"a", "binary", b"a"),
        ("1970-01-02", "date", 1),
        (dt.date(1969, 12, 31), "date", -1),
        (dt.date(1970, 1, 2), "timestamp[ms]", 86_400_000),
        ("1970-01-01 00:00:01", "timestamp", 1_000_000),
        ("1970-01-01 00:00:01", "timestamptz", 1_000_000),
        ("1970-01-02", "timestamptz", 86_400_000_000),
        ("1970-01-01T01:00:01+01:00", "timestamptz", 1_000_000),
        ("1970-01-01T00:00:00.000000001", "timestamp[ns]", 1),
        (dt.datetime(1970, 1, 1, 0, 0, 1), "timestamp[ns]", 1_000_000_000),
        (dt.datetime(1970, 1, 1, 0, 0, 1), "timestamptz", 1_000_000),
        (dt.datetime(1970, 1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=1))), "timestamptz", 0),
        ("00:00:01", "time[ms]", 1000),
        ("10:00", "time", 36_000_000_000),
        ("00:00:00.000000001", "time[ns]", 1),
        (dt.time(0, 0, 1), "time", 1_000_000),
        (pa.scalar(7), "int8", 7),
        (pa.scalar(7, pa.timestamp("s")), "timestamp[ms]", 7000),
    ],
)
def test_a_value_from_a_person_is_held_as_the_log_holds_it(value: object, type_: str, physical: object) -> None:
    result = physical_value(value, parse_type(type_))
    assert result == physical
    assert type(result) is type(physical)


@pytest.mark.parametrize(
    ("value", "type_"),
    [
        (500, "int8"),
        (-1, "uint8"),
        (2**64, "uint64"),
        (True, "int8"),
        (1.0, "int8"),
        (1e300, "float32"),
        ("5", "int8"),
        ("a", "binary"),
        (b"a", "string"),
        ("\ud800", "string"),
        (0.125, "decimal(10, 2)"),
        ("2020-02-30", "date"),
        (dt.datetime(2020, 1, 1), "date"),
        (dt.datetime(2020, 1, 1, tzinfo=dt.UTC), "timestamp"),
        ("1970-01-01T00:00:00.0000001", "timestamp"),
        ("25:00", "time"),
        (None, "int8"),
        (pa.scalar(None, pa.int8()), "int8"),
        ([1], "int8"),
        ([1], "list<int8>"),
        (object(), "string"),
    ],
)
def test_a_value_that_is_not_of_the_type_is_refused(value: object, type_: str) -> None:
    with pytest.raises(InvalidError):
        physical_value(value, parse_type(type_))


@settings(deadline=None)
@given(st.data())
def test_a_scalar_goes_to_arrow_and_back(data: st.DataObject) -> None:
    type_ = data.draw(flat_types)
    match type_:
        case Primitive.BOOLEAN:
            value: Any = data.draw(st.booleans())
        case Primitive.STRING:
            value = data.draw(st.text())
        case Primitive.BINARY:
            value = data.draw(st.binary())
        case Primitive.FLOAT32 | Primitive.FLOAT64:
            value = data.draw(st.floats(allow_nan=False, width=32))
        case Decimal(precision=precision, scale=scale):
            unscaled = data.draw(st.integers(-(10**precision) + 1, 10**precision - 1))
            value = decimal.Decimal(f"{unscaled}E-{scale}")
        case _:
            value = data.draw(st.integers(0, 127))
    assert stored_value(arrow_scalar(value, type_)) == value
    assert stored_value(arrow_scalar(None, type_)) is None


def test_the_default_of_old_rows_is_the_initial_one() -> None:
    field = Field(name="x", type=Primitive.DATE, initial_default=3, write_default=4)
    assert default_scalar(field).as_py() == dt.date(1970, 1, 4)
    assert not default_scalar(Field(name="x", type=Primitive.DATE, write_default=4)).is_valid
    assert pc.is_null(default_scalar(Field(name="x", type=arrow_nested()))).as_py()


def arrow_nested() -> DataType:
    type_ = parse_type("struct<a: list<int8>>")
    assert arrow_type(type_) == pa.struct([("a", pa.list_(pa.int8()))])
    return type_
