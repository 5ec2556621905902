"""Paths stay inside, values keep their meaning in JSON, bounds stay bounds when cut."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import math
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tablelog import env
from tablelog.errors import CorruptionError, InvalidError
from tablelog.format import names
from tablelog.format.statistics import BOUND_LENGTH_MAX, shorten_max, shorten_min
from tablelog.format.types import DataType, Decimal, Primitive, Timestamp, TimeUnit
from tablelog.format.values import decode_value, encode_value, instant_us, promote

LENT = "_lake/sales/%C3%A5r/data/0192f3c4-0000-7abc-8def-0123456789ab.parquet"


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "../x",
        "a/../../b",
        "a//b",
        "a/./b",
        "s3://b/x",
        "file:x",
        "a\\b",
        "a\x00b",
        "a/",
        "C:/x",
        None,
        3,
        "x" * 2000,
        "a\nb",
        "*",
        "_lake/x.parquet",
        "_lake/data/x.parquet",
        "_lake/orders/x.parquet",
        "_lake/orders/data/deep/x.parquet",
        "_lake/orders/_log/data/x.parquet",
        "_lake/orders/_log/00000000000000000000.json",
        "_lake/_catalog/data/x.parquet",
        "_lake/../data/x.parquet",
        "_lake/orders/../data/x.parquet",
        "_lake//data/x.parquet",
        "_lake/orders/data/.x.tmp",
        "_lake/orders/data/",
        "_lake/",
    ],
)
def test_a_path_that_could_leave_the_table_is_refused(path: object) -> None:
    with pytest.raises(CorruptionError):
        names.check_path(path)


@pytest.mark.parametrize(
    "path", ["data/a.parquet", "a", "data/år/b c.parquet", "..a/b..", "data/%20.parquet", LENT, "_lakes/x"]
)
def test_a_path_inside_the_table_is_accepted(path: str) -> None:
    assert names.check_path(path) == path


@given(st.integers(0, 10**20 - 1))
def test_commit_names_sort_as_versions_do_and_read_back(version: int) -> None:
    assert names.parse_commit(names.commit(version)) == version
    if version:
        assert names.commit(version - 1) < names.commit(version)


@given(st.text(min_size=1))
def test_a_folder_is_one_safe_part_of_a_path(name: str) -> None:
    try:
        folder = names.folder(name)
    except UnicodeEncodeError:
        return
    assert names.check_path(folder) == folder
    assert "/" not in folder


@given(st.lists(st.sampled_from(["orders", "sales", "data", "deletes", "%5Fx"]), min_size=1, max_size=3))
def test_a_lent_path_reads_back_as_what_it_was_made_of(folders: list[str]) -> None:
    folder = "/".join(folders)
    for path in ("data/a.parquet", "deletes/b.puffin"):
        lent = names.check_path(names.lent(folder, path))
        assert names.parse_lent(lent) == (folder, path)
        assert names.lent("other", lent) == lent


def test_a_name_says_when_it_was_made() -> None:
    class Then(env.Env):
        def now_us(self) -> int:
            return 1_700_000_000_123_456

    with env.use(Then()):
        file_id = env.new_id()
    for key in (names.data_file(file_id), names.deletes_file(file_id), names.LOG + names.actions_file(file_id)):
        assert names.made_us(key) == 1_700_000_000_123_000
    for key in ("data/a.parquet", LENT, names.LOG + names.commit(0), f"x/{names.data_file(file_id)}"):
        assert names.made_us(key) is None


VALUES: list[tuple[DataType, Any]] = [
    (Primitive.BOOLEAN, True),
    (Primitive.INT64, -(2**63)),
    (Primitive.UINT64, 2**64 - 1),
    (Primitive.FLOAT64, 0.1),
    (Primitive.FLOAT64, math.inf),
    (Primitive.FLOAT64, -math.inf),
    (Primitive.FLOAT64, 5e-324),
    (Primitive.STRING, "é\U0010ffff\n"),
    (Primitive.STRING, "nan"),
    (Primitive.BINARY, b"\x00\xff"),
    (Primitive.DATE, -719_162),
    (Timestamp(TimeUnit.NS, "UTC"), -1),
    (Decimal(38, 10), decimal.Decimal("-1234567890123456789012345678.0123456789")),
]


@pytest.mark.parametrize(("type_", "value"), VALUES, ids=str)
def test_a_value_survives_json(type_: DataType, value: Any) -> None:
    back = decode_value(json.loads(json.dumps(encode_value(value), allow_nan=False)), type_)
    assert (back, type(back)) == (value, type(value))


def test_nan_survives_json() -> None:
    assert math.isnan(decode_value(encode_value(math.nan), Primitive.FLOAT64))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("data", "type_"),
    [
        ("x", Primitive.INT64),
        (1.5, Primitive.INT64),
        (True, Primitive.INT64),
        (1, Primitive.STRING),
        (1, Primitive.BOOLEAN),
        ("x y", Primitive.BINARY),
        ("x", Decimal(5, 1)),
        ("NaN", Decimal(5, 1)),
        ("1E+400000000", Decimal(5, 1)),
        ("1_0", Decimal(5, 1)),
        (" 1", Decimal(5, 1)),
        ("\u0661", Decimal(5, 1)),
        ("9" * 101, Decimal(5, 1)),
        ([], Primitive.STRING),
        (None, Primitive.STRING),
        ("1", Primitive.FLOAT64),
    ],
    ids=str,
)
def test_json_of_another_type_is_corruption(data: Any, type_: DataType) -> None:
    with pytest.raises(CorruptionError):
        decode_value(data, type_)


@given(st.text(min_size=0, max_size=80) | st.binary(max_size=80))
def test_cut_bounds_still_enclose_the_value(value: Any) -> None:
    low, high = shorten_min(value), shorten_max(value)
    assert low <= value
    assert len(low) <= BOUND_LENGTH_MAX
    assert high is None or (high >= value and len(high) <= BOUND_LENGTH_MAX)


def test_there_is_no_short_upper_bound_of_the_largest_text() -> None:
    assert shorten_max("\U0010ffff" * 40) is None
    assert shorten_max(b"\xff" * 40) is None
    assert shorten_max("a" + "\U0010ffff" * 40) == "b"
    assert shorten_max("\ud7ff" * 40) == "\ud7ff" * 31 + "\ue000"


def test_a_date_is_promoted_to_its_midnight() -> None:
    assert promote(1, Primitive.DATE, Timestamp(TimeUnit.MS)) == 86_400_000
    assert promote(7, Primitive.INT32, Decimal(20, 2)) == decimal.Decimal(7)


@pytest.mark.parametrize(
    ("moment", "microseconds"),
    [
        ("1970-01-01", 0),
        ("1970-01-01T00:00:00.000001Z", 1),
        (dt.date(1970, 1, 2), 86_400_000_000),
        (dt.datetime(1969, 12, 31, 23, 59, 59), -1_000_000),
        (dt.datetime(1970, 1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=1))), 0),
    ],
    ids=str,
)
def test_moments_without_a_zone_are_utc(moment: Any, microseconds: int) -> None:
    assert instant_us(moment) == microseconds


@pytest.mark.parametrize("moment", ["yesterday", "", "2026-13-01", 5, None, 1.5, pd.NaT], ids=str)
def test_what_is_no_moment_is_refused(moment: Any) -> None:
    with pytest.raises(InvalidError):
        instant_us(moment)
