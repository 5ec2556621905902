"""Bounds from a footer hold every value, counts are exact, and what cannot be relied on is unknown."""

from __future__ import annotations

import datetime as dt
import decimal
import io
import math
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tablelog.format.schema import Schema, new_schema
from tablelog.format.statistics import BOUND_LENGTH_MAX, FieldStatistics, decode_statistics, encode_statistics
from tablelog.format.type_text import parse_type
from tablelog.format.types import Decimal, Time, Timestamp, is_float
from tablelog.parquet.arrow import arrow_schema, stored_value
from tablelog.parquet.columns import fields_from_user_schema
from tablelog.parquet.encoder import FileEncoder
from tablelog.parquet.encoding import Encoding
from tablelog.parquet.sink import MemorySink
from tablelog.parquet.statistics import statistics_from_metadata
from tablelog.store import LocalStore, MemoryStore

ENCODING = Encoding(options={"store_decimal_as_integer": True})


def schema_of(**columns: Any) -> Schema:
    return new_schema(fields_from_user_schema(columns))


def statistics_of(schema: Schema, *groups: dict[str, Any]) -> dict[int, FieldStatistics]:
    """What a file says that has those row groups."""
    encoder = FileEncoder(schema, ENCODING, None, MemorySink(MemoryStore(), "data/x.parquet"))
    for group in groups:
        encoder.add(pa.table(group, schema=arrow_schema(schema)))
    return dict(encoder.finish("data/x.parquet", 0, ()).statistics)


def values_of(type_: str) -> st.SearchStrategy[Any]:
    parsed = parse_type(type_)
    match parsed:
        case Decimal(precision=precision, scale=scale):
            unscaled = st.integers(-(10**precision) + 1, 10**precision - 1)
            return unscaled.map(lambda number: decimal.Decimal(f"{number}E-{scale}"))
        case Time():
            return st.integers(0, 86_399_999)
        case Timestamp():
            return st.integers(-(2**63), 2**63 - 1)
        case _ if type_.removeprefix("u").startswith("int"):
            return st.integers(*integer_range(type_))
        case _:
            return {
                "boolean": st.booleans(),
                "string": st.text() | st.text(min_size=BOUND_LENGTH_MAX - 1, max_size=BOUND_LENGTH_MAX + 2),
                "binary": st.binary() | st.binary(min_size=BOUND_LENGTH_MAX - 1, max_size=BOUND_LENGTH_MAX + 2),
                "date": st.integers(-(2**31), 2**31 - 1),
                "float32": st.floats(width=32),
                "float64": st.floats(),
            }[type_]


def integer_range(type_: str) -> tuple[int, int]:
    bits = int(type_.removeprefix("u").removeprefix("int"))
    return (0, 2**bits - 1) if type_.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


TYPES = [
    "boolean", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64", "string",
    "binary", "date", "time[ms]", "time[us]", "time[ns]", "timestamp[ms]", "timestamp[us]", "timestamp[ns]",
    "timestamp[ms, Europe/Oslo]", "timestamp[us, UTC]", "timestamp[ns, +01:00]", "decimal(9, 2)", "decimal(18, 18)",
    "decimal(19, 0)", "decimal(38, 10)",
]  # fmt: skip


@pytest.mark.parametrize("type_", TYPES)
@given(data=st.data())
@settings(deadline=None, max_examples=20)
def test_every_value_lies_between_the_bounds_and_counts_are_exact(data: st.DataObject, type_: str) -> None:
    groups = data.draw(st.lists(st.lists(values_of(type_) | st.none(), min_size=1), max_size=3))
    schema = schema_of(x=type_, s=f"struct<y: {type_}>")
    (arrow,) = {arrow_schema(schema).field("x").type}
    arrays = [pa.array(group, arrow) for group in groups]
    nested = [
        pa.StructArray.from_arrays([array], fields=list(arrow_schema(schema).field("s").type)) for array in arrays
    ]
    known = statistics_of(schema, *({"x": array, "s": struct} for array, struct in zip(arrays, nested, strict=True)))
    values = [stored_value(value) for array in arrays for value in array]
    numbers = [v for v in values if v is not None and not (isinstance(v, float) and math.isnan(v))]
    assert known.keys() == {1, 3}
    for field_id in (1, 3):
        entry = known[field_id]
        assert entry.null_count == values.count(None)
        assert entry.nan_count == len(values) - values.count(None) - len(numbers)
        for value in numbers:
            assert entry.min is None or entry.min <= value  # type: ignore[operator]
            assert entry.max is None or entry.max >= value  # type: ignore[operator]
        if numbers and type_ not in {"string", "binary"}:
            assert (entry.min, entry.max) == (min(numbers), max(numbers))
        if not numbers:
            assert (entry.min, entry.max) == (None, None)
    field = schema.field("x")
    round_trip = decode_statistics(encode_statistics({1: known[1]}), {1: field.type})
    assert round_trip[1] == known[1]


@pytest.mark.parametrize("type_", [type_ for type_ in TYPES if type_.removeprefix("u").startswith("int")])
def test_the_ends_of_an_integer_type_are_bounds_like_others(type_: str) -> None:
    low, high = integer_range(type_)
    known = statistics_of(schema_of(x=type_), {"x": [high, low]}, {"x": [high]})[1]
    assert (known.min, known.max) == (low, high)


@given(st.lists(st.text(st.sampled_from("a\ud7ff\ue000\U0010ffff\x00"), max_size=50), min_size=1))
@example(["\U0010ffff" * 40])
@example(["a" * 31 + "\ud7ff" + "z"])
@settings(deadline=None)
def test_long_text_is_cut_to_bounds_that_still_hold_it(values: list[str]) -> None:
    known = statistics_of(schema_of(x="string"), {"x": values})[1]
    assert isinstance(known.min, str)
    assert known.min <= min(values)
    assert len(known.min) <= BOUND_LENGTH_MAX
    if known.max is None:
        assert max(values).startswith("\U0010ffff" * BOUND_LENGTH_MAX)
    else:
        assert isinstance(known.max, str)
        assert known.max >= max(values)
        assert len(known.max) <= BOUND_LENGTH_MAX


def test_nan_is_counted_and_never_a_bound() -> None:
    nan, inf = math.nan, math.inf
    schema = schema_of(x="float64")
    assert statistics_of(schema, {"x": [nan, 1.0, None, 2.0]})[1] == FieldStatistics(
        min=1.0, max=2.0, null_count=1, nan_count=1
    )
    assert statistics_of(schema, {"x": [nan, nan]})[1] == FieldStatistics(null_count=0, nan_count=2)
    assert statistics_of(schema, {"x": [nan, nan]}, {"x": [5.0]})[1] == FieldStatistics(
        min=5.0, max=5.0, null_count=0, nan_count=2
    )
    assert statistics_of(schema, {"x": [inf, -inf]})[1] == FieldStatistics(min=-inf, max=inf, null_count=0, nan_count=0)


def test_the_two_zeros_are_inside_either_bound() -> None:
    for zeros in ([0.0], [-0.0], [0.0, -0.0]):
        known = statistics_of(schema_of(x="float64"), {"x": zeros})[1]
        assert [math.copysign(1, bound) for bound in (known.min, known.max) if isinstance(bound, float)] == [-1, 1]


def test_a_row_group_of_nulls_does_not_hide_the_bounds_of_others() -> None:
    schema = schema_of(x="int64", s="string")
    known = statistics_of(schema, {"x": [None, None], "s": ["b", None]}, {"x": [3, 4], "s": [None, None]})
    assert known[1] == FieldStatistics(min=3, max=4, null_count=2, nan_count=0)
    assert known[2] == FieldStatistics(min="b", max="b", null_count=3, nan_count=0)


def test_values_too_long_for_a_footer_leave_no_bounds_at_all() -> None:
    known = statistics_of(schema_of(x="string"), {"x": ["m"]}, {"x": ["a" * 100_000, "z" * 100_000]})[1]
    assert known == FieldStatistics(null_count=0, nan_count=0)


def test_an_empty_file_knows_its_counts() -> None:
    schema = schema_of(x="int64", f="float32")
    assert statistics_of(schema) == {
        1: FieldStatistics(null_count=0, nan_count=0),
        2: FieldStatistics(null_count=0, nan_count=0),
    }


def test_nulls_inside_structs_are_counted_as_sql_sees_them(tmp_path: Any) -> None:
    schema = schema_of(s="struct<a: int64, t: struct<f: double>>")
    array = pa.array(
        [None, {"a": 1, "t": None}, {"a": None, "t": {"f": math.nan}}, {"a": 3, "t": {"f": None}}],
        arrow_schema(schema).field(0).type,
    )
    store = LocalStore(tmp_path)
    encoder = FileEncoder(schema, ENCODING, None, MemorySink(store, "data/x.parquet"))
    encoder.add(pa.table({"s": array}, schema=arrow_schema(schema)))
    action = encoder.finish("data/x.parquet", 0, ())
    query = f"SELECT count(*) FILTER (s.a IS NULL), count(*) FILTER (s.t.f IS NULL) FROM '{store.local_path('data/x.parquet')}'"
    assert duckdb.sql(query).fetchall() == [(2, 3)]
    assert action.statistics == {
        2: FieldStatistics(min=1, max=3, null_count=2, nan_count=0),
        4: FieldStatistics(null_count=3, nan_count=1),
    }


def test_nan_under_a_null_struct_is_not_there() -> None:
    schema = schema_of(s="struct<f: double>")
    hidden = pa.StructArray.from_arrays(
        [pa.array([math.nan, 1.0])], fields=list(arrow_schema(schema).field(0).type), mask=pa.array([True, False])
    )
    assert statistics_of(schema, {"s": hidden})[2] == FieldStatistics(min=1.0, max=1.0, null_count=1, nan_count=0)


def test_fields_under_lists_and_maps_have_no_statistics() -> None:
    schema = schema_of(
        l="list<struct<a: int64>>", m="map<string, double>", x="int64", s="struct<l: list<int8>, z: date>"
    )
    rows = {"l": [[{"a": 1}]], "m": [[("k", 1.0)]], "x": [7], "s": [{"l": [1], "z": dt.date(1970, 1, 2)}]}
    known = statistics_of(schema, rows)
    assert known == {
        schema.field("x").id: FieldStatistics(min=7, max=7, null_count=0, nan_count=0),
        schema.last_field_id: FieldStatistics(min=1, max=1, null_count=0, nan_count=0),
    }


def test_a_footer_without_statistics_says_nothing() -> None:
    schema = schema_of(x="int64", f="double")
    footers: list[pq.FileMetaData] = []
    table = pa.table({"x": [1], "f": [1.0]}, schema=arrow_schema(schema))
    pq.write_table(table, io.BytesIO(), write_statistics=False, metadata_collector=footers)
    assert statistics_from_metadata(footers[0], schema, {}) == {1: FieldStatistics(nan_count=0), 2: FieldStatistics()}


def test_bounds_of_floats_whose_nans_nobody_counted_need_every_row_group() -> None:
    schema = schema_of(f="double")
    footers: list[pq.FileMetaData] = []
    with pq.ParquetWriter(io.BytesIO(), arrow_schema(schema), metadata_collector=footers) as writer:
        for values in ([1.0], [math.nan]):
            writer.write_table(pa.table({"f": values}, schema=arrow_schema(schema)))
    assert statistics_from_metadata(footers[0], schema, {})[1] == FieldStatistics(null_count=0)
    assert statistics_from_metadata(footers[0], schema, {1: 1})[1].max == 1.0


@pytest.mark.parametrize("type_", TYPES)
def test_only_floats_may_have_nans(type_: str) -> None:
    schema = schema_of(x=type_)
    footers: list[pq.FileMetaData] = []
    pq.write_table(pa.table({"x": []}, schema=arrow_schema(schema)), io.BytesIO(), metadata_collector=footers)
    known = statistics_from_metadata(footers[0], schema, {})[1]
    assert known.nan_count == (None if is_float(schema.field("x").type) else 0)
