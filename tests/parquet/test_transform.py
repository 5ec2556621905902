"""Partition transforms say what Iceberg's specification says, for columns and for single values alike."""

from __future__ import annotations

import datetime as dt
import decimal
import struct
from typing import TYPE_CHECKING, Any

import mmh3
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tablelog.errors import InvalidError
from tablelog.format.partitioning import PartitionField, Transform, parse_partitioning
from tablelog.format.schema import new_schema
from tablelog.format.type_text import parse_type
from tablelog.parquet.arrow import arrow_type, physical_value
from tablelog.parquet.columns import fields_from_user_schema
from tablelog.parquet.transform import partition_values, split_by_partition, transform_scalar

if TYPE_CHECKING:
    from tablelog.format.types import DataType

D = decimal.Decimal
MOMENT = dt.datetime(2017, 11, 16, 22, 31, 8)


def bucket(count: int) -> PartitionField:
    return PartitionField(source_id=1, transform=Transform.BUCKET, parameter=count)


def truncate(width: int) -> PartitionField:
    return PartitionField(source_id=1, transform=Transform.TRUNCATE, parameter=width)


def transform(value: object, type_: str, field: PartitionField) -> Any:
    parsed = parse_type(type_)
    return transform_scalar(physical_value(value, parsed), field, parsed)


@pytest.mark.parametrize(
    ("value", "type_", "digest"),
    [
        (34, "int8", 2017239379),
        (34, "int32", 2017239379),
        (34, "int64", 2017239379),
        (34, "uint64", 2017239379),
        ("14.20", "decimal(9, 2)", -500754589),
        ("14.20", "decimal(38, 2)", -500754589),
        (dt.date(2017, 11, 16), "date", -653330422),
        (dt.time(22, 31, 8), "time[ms]", -662762989),
        (dt.time(22, 31, 8), "time", -662762989),
        (dt.time(22, 31, 8), "time[ns]", -662762989),
        (MOMENT, "timestamp[ms]", -2047944441),
        (MOMENT, "timestamp", -2047944441),
        (MOMENT, "timestamp[ns]", -2047944441),
        (MOMENT, "timestamptz", -2047944441),
        ("2017-11-16T14:31:08-08:00", "timestamp[us, Europe/Oslo]", -2047944441),
        ("2017-11-16T22:31:08.000001", "timestamp", -1207196810),
        ("2017-11-16T22:31:08.000001001", "timestamp[ns]", -1207196810),
        ("iceberg", "string", 1210000089),
        (b"\x00\x01\x02\x03", "binary", -188683207),
    ],
)
def test_hashes_are_those_published_in_the_specification(value: object, type_: str, digest: int) -> None:
    for count in (1, 16, 1000, 2**31 - 1):
        assert transform(value, type_, bucket(count)) == (digest & 0x7FFFFFFF) % count


@settings(deadline=None)
@given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.none(), min_size=1))
def test_integers_hash_in_columns_as_they_do_one_by_one(values: list[int | None]) -> None:
    expected = [None if v is None else (mmh3.hash(struct.pack("<q", v)) & 0x7FFFFFFF) % 97 for v in values]
    assert partition_values(pa.array(values, pa.int64()), bucket(97)).to_pylist() == expected


@settings(deadline=None)
@given(st.lists(st.text() | st.none()), st.integers(1, 50))
def test_text_hashes_as_utf8_and_truncates_by_character(values: list[str | None], parameter: int) -> None:
    array = pa.array(values, pa.string())
    hashes = [None if v is None else (mmh3.hash(v.encode()) & 0x7FFFFFFF) % parameter for v in values]
    assert partition_values(array, bucket(parameter)).to_pylist() == hashes
    assert partition_values(array, truncate(parameter)).to_pylist() == [
        v if v is None else v[:parameter] for v in values
    ]


def fewest_bytes(number: int) -> bytes:
    for length in range(1, 17):
        try:
            return number.to_bytes(length, "big", signed=True)
        except OverflowError:
            continue
    raise AssertionError(number)


@settings(deadline=None)
@given(st.lists(st.integers(-(10**18) + 1, 10**18 - 1)), st.integers(1, 10**6))
def test_decimals_hash_and_truncate_by_their_digits(unscaled: list[int], parameter: int) -> None:
    array = pa.array([D(each).scaleb(-4) for each in unscaled], pa.decimal128(18, 4))
    hashes = [(mmh3.hash(fewest_bytes(each)) & 0x7FFFFFFF) % parameter for each in unscaled]
    assert partition_values(array, bucket(parameter)).to_pylist() == hashes
    lower = [D(each // parameter * parameter).scaleb(-4) for each in unscaled]
    assert partition_values(array, truncate(parameter)).to_pylist() == lower


def test_a_decimal_of_38_digits_truncates_exactly() -> None:
    assert transform("-" + "9" * 38, "decimal(38, 0)", truncate(1000)) == D("-1" + "0" * 38)


@pytest.mark.parametrize(
    ("value", "type_", "width", "expected"),
    [
        (1, "int8", 10, 0),
        (-1, "int8", 10, -10),
        (-128, "int8", 100, -200),
        (-(2**31), "int32", 10, -(2**31) - 2),
        (2**64 - 1, "uint64", 10, 2**64 - 6),
        (-(2**63), "int64", 10, -(2**63)),
        (-(2**63) + 9, "int64", 10, -(2**63) + 8),
        ("10.65", "decimal(9, 2)", 50, D("10.50")),
        ("-0.05", "decimal(9, 2)", 10, D("-0.10")),
        ("iceberg", "string", 3, "ice"),
        ("ééé", "string", 2, "éé"),
        ("😀😀", "string", 1, "😀"),
        (b"abc", "binary", 2, b"ab"),
    ],
)
def test_truncation_goes_down_to_whole_steps(value: object, type_: str, width: int, expected: object) -> None:
    assert transform(value, type_, truncate(width)) == expected


@settings(deadline=None)
@given(
    st.datetimes(dt.datetime(1700, 1, 1), dt.datetime(2250, 1, 1)),
    st.sampled_from(["timestamp[ms]", "timestamp[us]", "timestamp[ns]", "timestamp[us, Asia/Tokyo]", "date"]),
)
def test_periods_are_whole_units_since_1970_in_utc(moment: dt.datetime, type_: str) -> None:
    if type_ == "date":
        value, moment = moment.date(), dt.datetime.combine(moment.date(), dt.time())
    else:
        moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
        value = moment
    since = moment - dt.datetime(1970, 1, 1)
    expected = {
        "year": moment.year - 1970,
        "month": (moment.year - 1970) * 12 + moment.month - 1,
        "day": since // dt.timedelta(days=1),
        "hour": since // dt.timedelta(hours=1),
    }
    for name, period in expected.items():
        if type_ != "date" or name != "hour":
            assert transform(value, type_, PartitionField(source_id=1, transform=Transform(name))) == period


def test_a_nanosecond_before_1970_is_in_the_year_before() -> None:
    for name in ("year", "month", "day", "hour"):
        assert (
            transform(
                "1969-12-31T23:59:59.999999999", "timestamp[ns]", PartitionField(source_id=1, transform=Transform(name))
            )
            == -1
        )


def test_a_moment_too_far_for_32_bits_is_refused() -> None:
    with pytest.raises(InvalidError, match="hour"):
        transform_scalar(2**62, PartitionField(source_id=1, transform=Transform.HOUR), parse_type("timestamp[ms]"))


def test_a_value_that_the_type_cannot_hold_has_no_partition() -> None:
    for value, type_ in ((300, "int8"), (2**70, "int64"), (D("1.234"), "decimal(3, 1)")):
        with pytest.raises(InvalidError, match="is not a value"):
            transform_scalar(value, bucket(4), parse_type(type_))


@pytest.mark.parametrize("text", ["identity", "bucket", "truncate"])
@pytest.mark.parametrize("type_", ["int8", "uint32", "string", "binary", "decimal(9, 2)", "decimal(38, 10)"])
def test_null_has_no_partition_but_null(text: str, type_: str) -> None:
    field = PartitionField(source_id=1, transform=Transform(text), parameter=3)
    parsed: DataType = parse_type(type_)
    assert transform_scalar(None, field, parsed) is None
    assert partition_values(pa.array([None, None], arrow_type(parsed)), field).to_pylist() == [None, None]
    assert len(partition_values(pa.array([], arrow_type(parsed)), field)) == 0


SCHEMA = new_schema(fields_from_user_schema({"n": "int64", "s": "string", "d": "date", "f": "boolean", "row": "int64"}))
rows = st.fixed_dictionaries(
    {
        "n": st.integers(-20, 20) | st.none(),
        "s": st.sampled_from(["a", "b", "ab", ""]) | st.none(),
        "d": st.dates(dt.date(1969, 1, 1), dt.date(1971, 1, 1)) | st.none(),
        "f": st.booleans() | st.none(),
    }
)


@settings(deadline=None)
@given(
    st.lists(rows),
    st.lists(
        st.sampled_from(
            ["n", "s", "d", "f", "truncate(10, n)", "truncate(1, s)", "bucket(3, n)", "month(d)", "year(d)"]
        ),
        min_size=1,
        max_size=3,
        unique=True,
    ),
)
def test_every_row_is_in_its_partition_once_and_in_order(data: list[dict[str, Any]], texts: list[str]) -> None:
    partitioning = parse_partitioning(texts, SCHEMA)
    table = [row | {"row": number} for number, row in enumerate(data)]
    batch = pa.RecordBatch.from_pylist(table, schema=pa.schema([(f.name, arrow_type(f.type)) for f in SCHEMA]))
    parts = list(split_by_partition(batch, partitioning, SCHEMA))
    assert len({values for values, _ in parts}) == len(parts)
    seen: list[int] = []
    for values, part in parts:
        for row in part.to_pylist():
            expected = []
            for field in partitioning.fields:
                source = SCHEMA.by_id(field.source_id)
                assert source is not None
                value = row[source.name]
                physical = None if value is None else physical_value(value, source.type)
                expected.append(transform_scalar(physical, field, source.type))
            assert tuple(expected) == values
        numbers = part["row"].to_pylist()
        assert numbers == sorted(numbers)
        seen.extend(numbers)
    assert sorted(seen) == list(range(len(table)))
    assert [part["row"][0].as_py() for _, part in parts] == sorted(part["row"][0].as_py() for _, part in parts)


def test_a_small_part_does_not_keep_its_batch_in_memory() -> None:
    batch = pa.record_batch({"n": [0] * 100_000 + [1], "s": ["x"] * 100_001})
    schema = new_schema(fields_from_user_schema({"n": "int64", "s": "string"}))
    _, (_, part) = split_by_partition(batch, parse_partitioning(["n"], schema), schema)
    assert part.num_rows == 1
    assert part.get_total_buffer_size() < 1000
