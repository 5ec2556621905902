"""Batches become batches of the table without a value changing, or are refused with column, types and value."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import io
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tablelog.errors import InvalidError
from tablelog.format.schema import Schema, new_schema
from tablelog.format.types import Field, List, Primitive, Struct
from tablelog.parquet.arrow import arrow_schema
from tablelog.parquet.columns import fields_from_user_schema
from tablelog.parquet.conform import Conformer
from tablelog.parquet.input import open_data


def schema_of(**columns: Any) -> Schema:
    return new_schema(fields_from_user_schema(columns))


def conform(data: Any, schema: Schema) -> list[dict[str, Any]]:
    batch = data if isinstance(data, pa.RecordBatch) else pa.record_batch(data)
    result = Conformer(schema)(batch)
    result.validate(full=True)
    assert result.schema.equals(arrow_schema(schema), check_metadata=True)
    return result.to_pylist()


def test_columns_are_matched_by_name_in_any_order_and_by_case_only_if_need_be() -> None:
    assert conform({"B": ["x"], "a": [1]}, schema_of(a="int8", b="string")) == [{"a": 1, "b": "x"}]
    assert conform({"A": [2], "a": [1]}, Schema(id=0, last_field_id=2, fields=(
        Field(name="a", type=Primitive.INT8, id=1), Field(name="A", type=Primitive.INT8, id=2),
    ))) == [{"a": 1, "A": 2}]  # fmt: skip


def test_one_conformer_takes_batches_of_different_shapes() -> None:
    conformer = Conformer(schema_of(a="int64", b="string"))
    results = [
        conformer(pa.record_batch(batch)).to_pylist()
        for batch in ({"a": [1], "b": ["x"]}, {"b": ["y"], "a": [2]}, {"a": [3]}, {"a": pa.array([4], pa.int8())})
    ]
    assert results == [[{"a": 1, "b": "x"}], [{"a": 2, "b": "y"}], [{"a": 3, "b": None}], [{"a": 4, "b": None}]]


def test_what_already_fits_is_passed_on_without_a_copy() -> None:
    batch = pa.record_batch({"a": [1, 2], "s": ["x", "y"], "l": [[1], [2]]})
    result = Conformer(schema_of(a="int64", s="string", l="list<int64>"))(batch)
    addresses = [[buffer and buffer.address for buffer in column.buffers()] for column in (batch["a"], batch["s"])]
    assert [[buffer and buffer.address for buffer in column.buffers()] for column in result.columns[:2]] == addresses
    assert result["l"].flatten().buffers()[1].address == batch["l"].flatten().buffers()[1].address


def test_a_missing_column_is_its_default_or_null() -> None:
    fields = (
        Field(name="a", type=Primitive.INT8, nullable=False, write_default=7),
        Field(name="b", type=Primitive.DATE, write_default=1),
        *fields_from_user_schema({"c": "struct<x: list<int8>>", "d": "string"}),
    )
    assert conform({"d": ["x", "y"]}, new_schema(fields)) == [
        {"a": 7, "b": dt.date(1970, 1, 2), "c": None, "d": "x"},
        {"a": 7, "b": dt.date(1970, 1, 2), "c": None, "d": "y"},
    ]


@pytest.mark.parametrize(
    ("data", "schema", "says"),
    [
        ({"b": [1]}, {"a": "int8 not null", "b": "int64"}, "'a' is not null and has no default"),
        ({"a": [1], "x": [1], "y": [2]}, {"a": "int64"}, r"no column 'x', 'y';.*alter\.add_column"),
        ({"a": [1, None, None]}, {"a": "int64 not null"}, "2 of 3 values are null, first in row 1"),
        ({"a": [1, 300]}, {"a": "int8"}, r"'a' is int8, the data brings int64, and 300 \(row 1"),
        ({"a": [{"z": 1, "q": 2}]}, {"a": "struct<z: int64>"}, r"'a\.q'"),
        ({"a": [[1, 300]]}, {"a": "list<int8>"}, r"'a\.element' is int8"),
        ({"a": [5]}, {"a": "struct<z: int64>"}, "'a' is struct"),
        ({"a": ["5"]}, {"a": "int8"}, "never parsed"),
        ({"a": [dt.datetime(2020, 1, 1)]}, {"a": "timestamptz"}, "assume_timezone"),
        ({"a": [dt.datetime(2020, 1, 1, tzinfo=dt.UTC)]}, {"a": "timestamp"}, "local_timestamp"),
    ],
)
def test_the_message_says_column_types_value_and_what_to_do(data: Any, schema: Any, says: str) -> None:
    with pytest.raises(InvalidError, match=says):
        conform(data, schema_of(**schema))


def test_two_columns_of_one_name_are_refused() -> None:
    batch = pa.RecordBatch.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    with pytest.raises(InvalidError, match="more than one column 'a'"):
        conform(batch, schema_of(a="int64"))


DAY = dt.date(2020, 1, 1)
NOON = dt.datetime(2020, 1, 1, 12, tzinfo=dt.UTC)
D = decimal.Decimal


@pytest.mark.parametrize(
    ("array", "type_", "expected"),
    [
        (pa.array([1, None], pa.int64()), "int8", [1, None]),
        (pa.array([255], pa.uint64()), "int16", [255]),
        (pa.array([2**53], pa.int64()), "double", [2.0**53]),
        (pa.array([0.1, float("inf")], pa.float64()), "float32", [pytest.approx(0.1), float("inf")]),
        (pa.array([0.5], pa.float32()), "double", [0.5]),
        (pa.array([0.5], pa.float16()), "float32", [0.5]),
        (pa.array([1, 2], pa.int64()), "decimal(3, 2)", [D("1.00"), D("2.00")]),
        (pa.array([2**64 - 1], pa.uint64()), "decimal(38, 18)", [D(2**64 - 1)]),
        (pa.array([0.25, None], pa.float64()), "decimal(3, 2)", [D("0.25"), None]),
        (pa.array([None], pa.float64()), "decimal(3, 2)", [None]),
        (pa.array([D("1.50")]), "decimal(2, 1)", [D("1.5")]),
        (pa.array([D("1.50")], pa.decimal256(60, 2)), "decimal(2, 1)", [D("1.5")]),
        (pa.array([D("1.50")], pa.decimal32(3, 2)), "decimal(38, 10)", [D("1.5")]),
        (pa.array([D("7.00")]), "int8", [7]),
        (pa.array([D("1.25")]), "double", [1.25]),
        (pa.array([DAY]), "timestamp[ns]", [dt.datetime(2020, 1, 1)]),
        (pa.array([DAY], pa.date64()), "date", [DAY]),
        (pa.array([NOON], pa.timestamp("s", "Europe/Oslo")), "timestamp[ms, UTC]", [NOON]),
        (pa.array([NOON], pa.timestamp("ns", "UTC")), "timestamp[us, Europe/Oslo]", [NOON]),
        (pa.array([dt.time(1)], pa.time32("s")), "time[ns]", [dt.time(1)]),
        (pa.array(["x", None], pa.large_string()), "string", ["x", None]),
        (pa.array(["é", None], pa.string_view()), "string", ["é", None]),
        (pa.array(["x", None, "x"]).dictionary_encode(), "string", ["x", None, "x"]),
        (pa.array([1, None, 1]).dictionary_encode(), "int8", [1, None, 1]),
        (pc.run_end_encode(pa.array(["x", "x", None])), "string", ["x", "x", None]),
        (pa.array([b"ab"], pa.binary(2)), "binary", [b"ab"]),
        (pa.array([b"ab"], pa.binary_view()), "binary", [b"ab"]),
        (pa.array(['{"a": 1}'], pa.json_()), "string", ['{"a": 1}']),
        (pa.nulls(2), "int8", [None, None]),
        (pa.nulls(2), "list<struct<a: int8>>", [None, None]),
        (pa.array([[None]], pa.list_(pa.null())), "list<string>", [[None]]),
    ],
)
def test_a_conversion_that_changes_nothing_happens(array: Any, type_: str, expected: list[object]) -> None:
    assert [row["a"] for row in conform({"a": array}, schema_of(a=type_))] == expected


@pytest.mark.parametrize(
    ("array", "type_"),
    [
        (pa.array([128]), "int8"),
        (pa.array([-1]), "uint64"),
        (pa.array([2**53 + 1]), "double"),
        (pa.array([1.0]), "int64"),
        (pa.array([1e300]), "float32"),
        (pa.array([True]), "int8"),
        (pa.array([1]), "boolean"),
        (pa.array([100]), "decimal(3, 1)"),
        (pa.array([0.125]), "decimal(3, 2)"),
        (pa.array([float("nan")]), "decimal(3, 2)"),
        (pa.array([D("1.55")]), "decimal(3, 1)"),
        (pa.array([D("100")]), "decimal(3, 1)"),
        (pa.array([D("1.5")]), "int8"),
        (pa.array([D("300")]), "int8"),
        (pa.array([D("0.12345678901234567890")]), "double"),
        (pa.array([dt.datetime(2020, 1, 1, microsecond=1)]), "timestamp[ms]"),
        (pa.array([dt.date(9999, 1, 1)]), "timestamp[ns]"),
        (pa.array([2**62], pa.timestamp("s")), "timestamp[ms]"),
        (pa.array([106_751_992], pa.int32()).view(pa.date32()), "timestamp[us]"),
        (pa.array([-1], pa.int32()).view(pa.time32("ms")), "time[ms]"),
        (pa.array([0, 86_400_000_000], pa.time64("us")), "time[us]"),
        (pa.array([0, 86_400], pa.time32("s")), "time[ms]"),
        (pa.array([[2**62]], pa.list_(pa.time64("ns"))), "list<time[ns]>"),
        (pa.array([dt.datetime(2020, 1, 1)]), "date"),
        (pa.array([DAY]), "timestamptz"),
        (pa.array([86_400_001], pa.timestamp("ms")).cast(pa.date64(), safe=False), "string"),
        (pa.array([1], pa.time64("ns")), "time[us]"),
        (pa.array(["1"]), "int8"),
        (pa.array(["x"]), "binary"),
        (pa.array([b"x"]), "string"),
        (pa.array([5]), "string"),
        (pa.array([dt.timedelta(1)]), "int64"),
        (pa.array([[1]]), "int64"),
        (pa.array([1]), "list<int64>"),
        (pa.array([{"a": 1}]), "map<string, int64>"),
    ],
)
def test_a_conversion_that_could_change_something_is_refused(array: Any, type_: str) -> None:
    with pytest.raises(InvalidError, match="'a"):
        conform({"a": array}, schema_of(a=type_))


@settings(deadline=None)
@given(
    st.lists(st.integers(-(2**63), 2**63 - 1) | st.none()),
    st.sampled_from(["int8", "uint16", "int32", "uint64", "double"]),
)
def test_integers_arrive_unchanged_or_not_at_all(values: list[int | None], type_: str) -> None:
    try:
        result = conform({"a": pa.array(values, pa.int64())}, schema_of(a=type_))
    except InvalidError:
        return
    assert [row["a"] for row in result] == values


@settings(deadline=None)
@given(st.lists(st.floats(allow_infinity=False, allow_nan=False)), st.integers(1, 38), st.integers(0, 10))
def test_floats_in_decimals_read_back_as_the_same_floats(values: list[float], precision: int, scale: int) -> None:
    try:
        result = conform(
            {"a": pa.array(values, pa.float64())}, schema_of(a=f"decimal({max(precision, scale)}, {scale})")
        )
    except InvalidError:
        return
    assert [float(row["a"]) for row in result] == values


@pytest.mark.parametrize("type_", [pa.string(), pa.large_string(), pa.string_view()])
def test_bytes_that_are_no_utf8_are_refused_before_they_are_stored(type_: pa.DataType) -> None:
    broken = pa.array([b"fine", b"\xff\xfe broken, and longer than a view"], pa.binary())
    text = pa.Array.from_buffers(pa.string(), 2, broken.buffers()).cast(type_)
    for array in (text, text.slice(1)):
        with pytest.raises(InvalidError, match="'s' has text that is not valid UTF-8"):
            conform({"s": array}, schema_of(s="string"))
    assert conform({"s": text.slice(0, 1)}, schema_of(s="string")) == [{"s": "fine"}]


LISTS = [pa.list_, pa.large_list, pa.list_view, pa.large_list_view, lambda item: pa.list_(item, 2)]


@pytest.mark.parametrize("list_type", LISTS)
@pytest.mark.parametrize("item", [pa.int64(), pa.string_view()])
@pytest.mark.parametrize(("start", "stop"), [(0, 4), (1, 3), (2, 4), (4, 4)])
def test_lists_of_every_layout_become_lists(list_type: Any, item: pa.DataType, start: int, stop: int) -> None:
    is_text = pa.types.is_string_view(item)
    values = [["1", "2"], None, ["3", None], ["5", "6"]] if is_text else [[1, 2], None, [3, None], [5, 6]]
    try:
        array = pa.array(values, list_type(item))
    except pa.ArrowNotImplementedError:
        pytest.skip("Arrow cannot build it")
    rows = conform({"a": array.slice(start, stop - start)}, schema_of(a="list<string>" if is_text else "list<int8>"))
    assert [row["a"] for row in rows] == values[start:stop]


@pytest.mark.parametrize(("start", "stop"), [(0, 3), (1, 3), (1, 2), (3, 3)])
def test_maps_become_maps(start: int, stop: int) -> None:
    values = [[("a", 1)], None, [("b", 2), ("c", None)]]
    array = pa.array(values, pa.map_(pa.string(), pa.int64()))
    rows = conform({"m": array.slice(start, stop - start)}, schema_of(m="map<string, int8>"))
    assert [row["m"] for row in rows] == values[start:stop]


@pytest.mark.parametrize(
    ("type_", "key", "one", "two"),
    [
        ("string", pa.string(), "é", "x"),
        ("string", pa.string_view(), "é", "x"),
        ("int8", pa.int64(), 1, 2),
        ("decimal(5, 1)", pa.decimal128(3, 1), 1, 2),
    ],
)
def test_a_map_has_each_key_once(type_: str, key: pa.DataType, one: object, two: object) -> None:
    schema, map_type = schema_of(m=f"map<{type_}, int8>"), pa.map_(key, pa.int8())
    good = pa.array([[(one, 1), (two, 2)], None, [], [(one, 3)]], map_type)
    assert len(conform({"m": good}, schema)) == 4
    bad = pa.array([[(one, 1)], None, [(two, 1), (one, 2), (two, 3)]], map_type)
    with pytest.raises(InvalidError, match=r"'m' has a map with the key .* twice, in row 2"):
        conform({"m": bad}, schema)
    assert len(conform({"m": bad.slice(0, 2)}, schema)) == 2


def test_fields_inside_structs_are_matched_by_name_too() -> None:
    array = pa.array([{"B": "x", "a": 1}, None, {"B": None, "a": 3}])
    schema = schema_of(s="struct<a: int8, b: string, new: double>")
    expected = [{"a": 1, "b": "x", "new": None}, None, {"a": 3, "b": None, "new": None}]
    assert [row["s"] for row in conform({"s": array}, schema)] == expected
    assert [row["s"] for row in conform({"s": array.slice(1)}, schema)] == expected[1:]


def test_not_null_inside_a_struct_counts_only_where_the_struct_is() -> None:
    inner = Struct((Field(name="a", type=Primitive.INT64, nullable=False),))
    schema = new_schema([Field(name="s", type=inner)])
    assert conform({"s": pa.array([{"a": 1}, None])}, schema) == [{"s": {"a": 1}}, {"s": None}]
    with pytest.raises(InvalidError, match=r"'s\.a' is not null, but 1 of 2"):
        conform({"s": pa.array([{"a": None}, None, {"a": 1}])}, schema)


def shapes(*, nullable: bool) -> dict[str, pa.DataType]:
    """Structs whose fields may be null, or not."""
    inner = pa.struct([pa.field("a", pa.int32(), nullable=nullable), pa.field("t", pa.string(), nullable=nullable)])
    parts = {"s": inner, "l": pa.list_(pa.field("element", inner)), "m": pa.map_(pa.string(), pa.int8())}
    around = {name: pa.struct([pa.field(name, part, nullable=nullable)]) for name, part in parts.items()}
    return {"flat": inner, "list": parts["l"], **around}


ITEM = {"a": 7, "t": "é"}
INSIDE = {"flat": ITEM, "list": [ITEM, None], "s": {"s": ITEM}, "l": {"l": [ITEM, None]}, "m": {"m": [("k", 1)]}}


@pytest.mark.parametrize("shape", INSIDE)
def test_a_null_around_a_not_null_field_can_be_stored(shape: str) -> None:
    loose, strict = shapes(nullable=True)[shape], shapes(nullable=False)[shape]
    conformer = Conformer(new_schema(fields_from_user_schema(pa.schema([("x", strict)]))))
    for column in (pa.nulls(3), pa.nulls(3, loose), pa.array([None, INSIDE[shape], None], loose).slice(1)):
        batch = conformer(pa.record_batch({"x": column}))
        stored = io.BytesIO()
        pq.write_table(pa.Table.from_batches([batch]), stored)
        assert pq.read_table(stored)["x"].to_pylist() == column.to_pylist()


def test_not_null_inside_a_list_counts_elements() -> None:
    schema = new_schema([Field(name="l", type=List(Field(name="element", type=Primitive.INT64, nullable=False)))])
    assert conform({"l": pa.array([[1], None, []])}, schema) == [{"l": [1]}, {"l": None}, {"l": []}]
    with pytest.raises(InvalidError, match=r"'l\.element' is not null, but 1 of 2"):
        conform({"l": pa.array([[1], None, [None]])}, schema)


def test_everything_polars_has_arrives() -> None:
    frame = pl.DataFrame(
        {
            "text": ["x", "some longer text than a view holds"],
            "category": pl.Series(["x", None], dtype=pl.Categorical),
            "enum": pl.Series(["x", None], dtype=pl.Enum(["x", "y"])),
            "array": pl.Series([[1, 2], None], dtype=pl.Array(pl.Int8, 2)),
            "nested": [[{"q": ["é"]}], None],
            "blob": [b"x", None],
            "time": [dt.time(1, 2, 3), None],
            "price": pl.Series([D("1.50"), None], dtype=pl.Decimal(10, 2)),
            "flag": [True, None],
        }
    )
    fields = fields_from_user_schema(frame.schema)
    batch = open_data(frame).read_next_batch()
    assert conform(batch, new_schema(fields)) == frame.to_dicts()


def test_the_default_is_not_asked_for_when_the_column_comes() -> None:
    (field,) = fields_from_user_schema({"a": "int8"})
    schema = new_schema([dataclasses.replace(field, write_default=5)])
    assert conform({"a": [None, 1]}, schema) == [{"a": None}, {"a": 1}]
