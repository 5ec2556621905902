"""Everything that people call data is read, in batches of bounded size; everything else is refused by name."""

from __future__ import annotations

import datetime as dt
import decimal
import gc
import itertools
import math
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pytest

from tablelog.errors import InvalidError
from tablelog.format.schema import new_schema
from tablelog.format.type_text import parse_type
from tablelog.format.types import Primitive
from tablelog.parquet.columns import fields_from_user_schema, looks_like_schema
from tablelog.parquet.input import BATCH_BYTES_MAX, BATCH_ROWS_MAX, open_data, size_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

TABLE = pa.table({"a": [1, 2, 3], "s": ["x", None, "z"]})
ROWS = [{"a": 1, "s": "x"}, {"a": 2, "s": None}, {"a": 3, "s": "z"}]


def batches() -> Iterator[pa.RecordBatch]:
    yield from TABLE.to_batches(max_chunksize=2)


class OnlyArray:
    def __arrow_c_array__(self, requested_schema: object = None) -> object:
        return TABLE.to_batches()[0].__arrow_c_array__(requested_schema)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(lambda: TABLE, id="table"),
        pytest.param(lambda: TABLE.to_batches()[0], id="batch"),
        pytest.param(TABLE.to_reader, id="reader"),
        pytest.param(lambda: ds.dataset(TABLE), id="dataset"),
        pytest.param(lambda: ds.dataset(TABLE).scanner(), id="scanner"),
        pytest.param(OnlyArray, id="array capsule"),
        pytest.param(lambda: pl.from_arrow(TABLE), id="polars"),
        pytest.param(lambda: pl.from_arrow(TABLE).lazy(), id="polars lazy"),
        pytest.param(lambda: pd.DataFrame(ROWS), id="pandas"),
        pytest.param(lambda: pd.DataFrame(ROWS, index=pd.Index(["k", "l", "m"], name="key")), id="pandas with index"),
        pytest.param(lambda: duckdb.sql("FROM (VALUES (1, 'x'), (2, NULL), (3, 'z')) t(a, s)"), id="duckdb"),
        pytest.param(lambda: {"a": [1, 2, 3], "s": ["x", None, "z"]}, id="dict of lists"),
        pytest.param(lambda: {"a": range(1, 4), "s": (s for s in ["x", None, "z"])}, id="dict of iterables"),
        pytest.param(lambda: {"a": np.array([1, 2, 3]), "s": pl.Series(["x", None, "z"])}, id="dict of arrays"),
        pytest.param(lambda: {"a": pd.Series([1, 2, 3]), "s": TABLE["s"]}, id="dict of series"),
        pytest.param(lambda: ROWS, id="rows"),
        pytest.param(lambda: tuple(ROWS), id="tuple of rows"),
        pytest.param(lambda: (row for row in ROWS), id="generator of rows"),
        pytest.param(batches, id="generator of batches"),
        pytest.param(lambda: [TABLE.slice(0, 1), TABLE.slice(1)], id="tables"),
        pytest.param(lambda: [pl.from_arrow(TABLE.slice(0, 2)), pl.from_arrow(TABLE.slice(2))], id="frames"),
    ],
)
def test_all_kinds_of_data_give_the_same_rows(data: Any) -> None:
    assert open_data(data()).read_all().to_pylist() == ROWS


def test_a_key_that_first_appears_in_a_later_row_is_a_column_all_the_same() -> None:
    rows = open_data([{"a": 1}, {"b": "x", "a": 2}, {"c": 1.5}]).read_all().to_pylist()
    assert rows == [{"a": 1, "b": None, "c": None}, {"a": 2, "b": "x", "c": None}, {"a": None, "b": None, "c": 1.5}]


def test_an_empty_result_still_has_its_columns() -> None:
    for data in (
        TABLE.slice(0, 0),
        pl.from_arrow(TABLE).lazy().filter(pl.lit(value=False)),  # type: ignore[union-attr]
        duckdb.sql("SELECT 1 AS a, 'x' AS s WHERE false"),
        {"a": pa.array([], pa.int64()), "s": pa.array([], pa.string())},
    ):
        reader = open_data(data)
        assert reader.schema.names == ["a", "s"]
        assert reader.read_all().num_rows == 0


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ([], "list without anything in it"),
        (iter([]), "without anything in it"),
        ({}, "no columns"),
        ([{}], "no columns"),
        (None, "NoneType"),
        (5, "int"),
        ("orders.csv", "str"),
        (b"abc", "bytes"),
        (object(), "object"),
        ([1, 2], "list of int"),
        ([[1, 2]], "list of list"),
        ([{"a": 1}, 5], "row 1"),
        (pl.Series([1]), "Series"),
        ({"a": 1}, "column 'a'"),
        ({"a": "abc"}, "column 'a'"),
        ({1: [1]}, "column names are text"),
        ({"a": [1, 2], "b": [1]}, "equally long"),
        ({"a": [1, "x"]}, "column 'a'"),
        ({"a": [object()]}, "column 'a'"),
        ({"a": ["\ud800"]}, "column 'a'"),
        ({"a": [2**70]}, "64 bits"),
        ({"a": np.zeros((2, 2))}, "column 'a'"),
        ({"a": [dt.date(2020, 1, 1), dt.datetime(2020, 1, 1, 9)]}, "mixes date and datetime"),
        ({"a": [dt.datetime(2020, 1, 1), 5]}, "mixes datetime and int"),
        ({"a": [dt.datetime(2020, 1, 1), dt.datetime(2020, 1, 1, tzinfo=dt.UTC)]}, "time zone"),
        ({"a": [[dt.date(2020, 1, 1), None], None, [dt.datetime(2020, 1, 1, 9)]]}, "mixes date and datetime"),
        ({"a": [None, {"b": dt.datetime(2020, 1, 1)}, {"b": dt.datetime(2020, 1, 1, tzinfo=dt.UTC)}]}, "'a.b' mixes"),
        ({"a": np.array([dt.date(2020, 1, 1), dt.datetime(2020, 1, 1, 9)])}, "mixes date and datetime"),
        (pd.DataFrame({"a": [dt.date(2020, 1, 1), None, dt.datetime(2020, 1, 1, 9)]}), "mixes date and datetime"),
        ({"a": [dt.time(1), dt.time(1, tzinfo=dt.UTC)]}, "time zone"),
        ({"a": [dt.time(1, tzinfo=dt.UTC)]}, "time of day has no zone"),
        ({"a": [pd.Timestamp("2020-01-01 00:00:00.000000001")]}, "nanoseconds"),
        (pl.DataFrame({"a": pl.Series([object()], dtype=pl.Object)}), "Python objects"),
        ({"a": pl.Series([object()], dtype=pl.Object)}, "Python objects"),
        (pl.DataFrame({"a": [1]}, schema={"a": pl.Int128}), "'a' is Int128"),
        (pd.Series([1]), "Series.*no columns|no columns.*Series"),
        (pd.DataFrame({"a": [1, "x"]}), "DataFrame"),
    ],
)
def test_what_is_no_data_is_refused_by_name(data: object, says: str) -> None:
    with pytest.raises(InvalidError, match=says):
        open_data(data)


def test_integers_above_int64_are_unsigned() -> None:
    assert open_data({"a": [2**63, 1]}).read_all().to_pydict() == {"a": [2**63, 1]}


def test_parts_with_other_columns_than_the_first_are_refused() -> None:
    reader = open_data([TABLE, pa.table({"b": [1]})])
    with pytest.raises(InvalidError, match="part 2"):
        reader.read_all()


def test_a_source_that_fails_halfway_is_an_invalid_call_and_a_generators_own_error_stays() -> None:
    query = "SELECT CASE WHEN range > 300000 THEN error('went wrong') ELSE range END AS a FROM range(500000)"
    with pytest.raises(InvalidError, match="went wrong"):
        open_data(duckdb.sql(query)).read_all()

    def failing() -> Iterator[pa.RecordBatch]:
        yield from batches()
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        open_data(failing()).read_all()


def test_big_batches_are_handed_on_in_slices_of_bounded_size() -> None:
    many = pa.record_batch({"a": pa.array(np.arange(3_000_000, dtype=np.int32))})
    wide = pa.record_batch({"s": ["x" * 1_000_000] * 200})
    for batch in (many, wide, pa.record_batch({"s": wide["s"].cast(pa.string_view())})):
        slices = list(open_data(batch))
        assert pa.Table.from_batches(slices).equals(pa.Table.from_batches([batch]))
        assert len(slices) > 1
        assert all(each.num_rows <= BATCH_ROWS_MAX for each in slices)
        assert all(size_bytes(each) <= BATCH_BYTES_MAX * 1.1 for each in slices)


def test_views_into_one_big_buffer_are_not_taken_for_big_rows() -> None:
    whole = pa.array(["some text of more than twelve bytes"] * 4_000_000, pa.string_view())
    small = pa.record_batch({"s": whole.slice(0, 1000)})
    assert small.nbytes > BATCH_BYTES_MAX  # what Arrow thinks
    assert len(list(open_data(small))) == 1


def test_a_stream_is_read_only_as_far_as_it_is_asked_for() -> None:
    made = itertools.count()

    def endless() -> Iterator[pa.RecordBatch]:
        while True:
            yield pa.record_batch({"a": [next(made)]})

    reader = open_data(endless())
    assert [reader.read_next_batch()["a"][0].as_py() for _ in range(3)] == [0, 1, 2]
    assert next(made) <= 5


def test_a_duckdb_relation_is_streamed() -> None:
    reader = open_data(duckdb.sql("SELECT range AS a, repeat('x', 1000) AS s FROM range(10_000_000)"))
    before = pa.total_allocated_bytes()
    assert reader.read_next_batch().num_rows < 1_000_000
    assert pa.total_allocated_bytes() - before < 10_000_000
    del reader
    gc.collect()


class OnlySchema:
    def __arrow_c_schema__(self) -> object:
        return TABLE.schema.__arrow_c_schema__()


@pytest.mark.parametrize(
    "schema",
    [
        TABLE.schema,
        new_schema(fields_from_user_schema(TABLE.schema)),
        OnlySchema(),
        pl.Schema({"a": pl.Int64, "s": pl.String}),
        {"a": "bigint", "s": "text"},
        {"a": int, "s": str},
        {"a": pa.int64(), "s": pa.large_string()},
        {"a": pl.Int64, "s": pl.String()},
        {"a": Primitive.INT64, "s": parse_type("string")},
        {"a": "int64", "s": pl.Enum(["x"])},
    ],
)
def test_all_kinds_of_schema_give_the_same_columns(schema: object) -> None:
    assert looks_like_schema(schema)
    assert [(field.name, str(field.type), field.nullable) for field in fields_from_user_schema(schema)] == [
        ("a", "int64", True),
        ("s", "string", True),
    ]


@pytest.mark.parametrize(
    "data", [TABLE, ROWS, {"a": [1]}, {"a": np.array([1])}, {}, pl.DataFrame({"a": [1]}), 5, "int64"]
)
def test_data_is_not_taken_for_a_schema(data: object) -> None:
    assert not looks_like_schema(data)


def test_not_null_is_written_after_the_type() -> None:
    fields = fields_from_user_schema({"a": "int NOT NULL", "b": "decimal(10, 2)  not null ", "c": "list<int>"})
    assert [(str(field.type), field.nullable) for field in fields] == [
        ("int32", False),
        ("decimal(10, 2)", False),
        ("list<int32>", True),
    ]


def test_python_types_have_the_meaning_that_sql_gives_them() -> None:
    python = [bool, int, float, str, bytes, dt.date, dt.datetime, dt.time, decimal.Decimal]
    fields = fields_from_user_schema({kind.__name__: kind for kind in python})
    assert [str(field.type) for field in fields] == [
        "boolean", "int64", "float64", "string", "binary", "date", "timestamp[us]", "time[us]", "decimal(18, 3)",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ({"a": "bigin"}, "'a'.*bigin"),
        ({"a": [1]}, "'a'"),
        ({"a": complex}, "'a'"),
        ({"a": pl.Object}, "'a'"),
        ({"a": pl.Duration}, "duration"),
        ({"a": pl.List}, "'a'"),
        ({"a": pl.Null}, "only nulls"),
        ({"a": pa.duration("s")}, "duration"),
        ({3: "int64"}, "text"),
        (5, "int"),
    ],
)
def test_a_schema_with_something_else_in_it_is_refused(schema: object, says: str) -> None:
    with pytest.raises(InvalidError, match=says):
        fields_from_user_schema(schema)


def test_nulls_of_pandas_in_rows_and_lists_are_nulls() -> None:
    frame = pd.DataFrame(
        {"n": pd.array([1, None], "Int64"), "at": [pd.Timestamp("2026-01-01"), pd.NaT], "x": [math.nan, 1.0]}
    )
    expected = [{"n": 1, "at": dt.datetime(2026, 1, 1)}, {"n": None, "at": None}]
    for data in (frame.to_dict("records"), frame.to_dict("list")):
        rows = open_data(data).read_all()
        assert rows.select(["n", "at"]).to_pylist() == expected
        assert rows["x"].null_count == 0
