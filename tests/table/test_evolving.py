"""Columns change without touching a file: old files read as the table is today, old versions as it was."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import polars as pl
import pyarrow as pa
import pytest

import tablelog as tl
from tests.table.reading import assert_reads, bag

if TYPE_CHECKING:
    from pathlib import Path

OSLO = ZoneInfo("Europe/Oslo")
INDIA = dt.timezone(dt.timedelta(hours=5, minutes=30))

# Type, what a person gives, what the rows read as; integers stand for nanoseconds, which Python's clocks do not have.
DEFAULTS: list[tuple[str, Any, Any]] = [
    ("boolean", True, True),
    ("boolean", False, False),
    ("int8", -128, -128),
    ("int16", -7, -7),
    ("int32", 2**31 - 1, 2**31 - 1),
    ("int64", -(2**63), -(2**63)),
    ("uint8", 255, 255),
    ("uint16", 65_535, 65_535),
    ("uint32", 2**32 - 1, 2**32 - 1),
    ("uint64", 2**64 - 1, 2**64 - 1),
    ("float32", 0.5, 0.5),
    ("float32", math.nan, math.nan),
    ("float64", 0.1, 0.1),
    ("float64", math.nan, math.nan),
    ("float64", math.inf, math.inf),
    ("float64", -math.inf, -math.inf),
    ("float64", -0.0, -0.0),
    ("string", 'it\'s "x" \\ \n ü \x00 {z} $1 ?', 'it\'s "x" \\ \n ü \x00 {z} $1 ?'),
    ("string", "", ""),
    ("binary", b"\x00\xff'\"\\", b"\x00\xff'\"\\"),
    ("binary", b"", b""),
    ("date", "1969-12-31", dt.date(1969, 12, 31)),
    ("date", dt.date(1, 1, 1), dt.date(1, 1, 1)),
    ("date", dt.date(9999, 12, 31), dt.date(9999, 12, 31)),
    ("time[ms]", "09:30:15.123", dt.time(9, 30, 15, 123_000)),
    ("time[us]", dt.time(23, 59, 59, 999_999), dt.time(23, 59, 59, 999_999)),
    ("time[ns]", "00:00:00.000000001", 1),
    ("timestamp[ms]", "1969-12-31 23:59:59.999", dt.datetime(1969, 12, 31, 23, 59, 59, 999_000)),
    ("timestamp[us]", "1969-12-31 23:59:59.999999", dt.datetime(1969, 12, 31, 23, 59, 59, 999_999)),
    ("timestamp[ns]", "2026-11-01 09:30:15.123456789", 1_793_525_415_123_456_789),
    ("timestamp[ns]", "1969-12-31 23:59:59.999999999", -1),
    ("timestamp[us, UTC]", "2026-11-01 09:30:15.5+01:00", dt.datetime(2026, 11, 1, 8, 30, 15, 500_000, dt.UTC)),
    ("timestamp[ns, UTC]", "2026-11-01 09:30:15.123456789", 1_793_525_415_123_456_789),
    ("timestamp[us, Europe/Oslo]", dt.datetime(2026, 7, 1, 9, tzinfo=OSLO), dt.datetime(2026, 7, 1, 7, tzinfo=dt.UTC)),
    ("timestamp[ms, Europe/Oslo]", "2026-07-01 07:00:00.125Z", dt.datetime(2026, 7, 1, 7, 0, 0, 125_000, dt.UTC)),
    ("timestamp[us, +05:30]", dt.datetime(2026, 7, 1, 9, tzinfo=INDIA), dt.datetime(2026, 7, 1, 3, 30, tzinfo=dt.UTC)),
    ("decimal(10, 2)", "12.5", Decimal("12.50")),
    (
        "decimal(38, 10)",
        Decimal("-1234567890123456789012345678.0123456789"),
        Decimal("-1234567890123456789012345678.0123456789"),
    ),
    ("decimal(38, 0)", "9" * 38, Decimal("9" * 38)),
    ("decimal(5, 5)", "-0.00001", Decimal("-0.00001")),
]

# From, to, values.
WIDENINGS: list[tuple[str, str, list[Any]]] = [
    ("int8", "int16", [-128, 127]),
    ("int8", "int64", [-128, 127]),
    ("int32", "int64", [-(2**31), 2**31 - 1]),
    ("uint8", "uint64", [0, 255]),
    ("uint32", "int64", [0, 2**32 - 1]),
    ("int32", "float64", [-(2**31), 2**31 - 1]),
    ("uint16", "float64", [0, 65_535]),
    ("float32", "float64", [0.10000000149011612, math.nan, math.inf, -0.0, 1.401298464324817e-45]),
    ("int32", "decimal(12, 2)", [-(2**31), 2**31 - 1]),
    ("int64", "decimal(38, 5)", [-(2**63), 2**63 - 1]),
    ("uint64", "decimal(20, 0)", [0, 2**64 - 1]),
    ("decimal(5, 2)", "decimal(7, 3)", [Decimal("-999.99"), Decimal("0.01")]),
    ("decimal(18, 0)", "decimal(38, 10)", [Decimal("9" * 18)]),
    ("date", "timestamp[us]", [dt.date(1, 1, 1), dt.date(1969, 12, 31), dt.date(9999, 12, 31)]),
    ("date", "timestamp[ms]", [dt.date(1969, 12, 31), dt.date(2026, 11, 1)]),
]


def stored(column: pa.ChunkedArray) -> list[Any]:
    """A column's values as plain Python: instants in UTC, nanoseconds as counts."""
    if pa.types.is_temporal(column.type) and getattr(column.type, "unit", None) == "ns":
        return column.cast(pa.int64()).to_pylist()
    values = column.to_pylist()
    return [each.astimezone(dt.UTC) if isinstance(each, dt.datetime) and each.tzinfo else each for each in values]


def columns_everywhere(table: tl.Table, lake: tl.Lake, name: str) -> dict[str, list[Any]]:
    """One column as each engine reads it."""
    arrow = table.to_arrow()
    own = arrow.schema.field(name).type
    in_utc = pa.timestamp(own.unit, "UTC") if pa.types.is_timestamp(own) and own.tz else own
    sql = lake.sql(f"SELECT {name} FROM {table.name}").to_arrow_table()
    return {
        "arrow": stored(arrow[name]),
        "polars": stored(table.to_polars().to_arrow()[name].cast(in_utc)),
        "polars, only this": stored(table.lazy().select(name).collect().to_arrow()[name].cast(in_utc)),
        "polars, scanned": stored(table.scan([name]).to_polars().to_arrow()[name].cast(in_utc)),
        "duckdb": stored(sql[name].cast(in_utc)),
        "duckdb filtered": stored(table.scan([name], where="true").to_arrow()[name]),
    }


class TestDefaults:
    @pytest.mark.parametrize(("type_", "given", "read"), DEFAULTS, ids=lambda value: ascii(value)[:40])
    def test_old_rows_and_short_appends_read_as_the_default(
        self, lake: tl.Lake, type_: str, given: Any, read: Any
    ) -> None:
        table = lake.create_table("t", {"id": [1, 2]})
        table.alter.add_column("d", type_, default=given)
        table.append({"id": [3]})
        table.alter.rename_column("id", "number")
        table.append({"number": [4]})
        for way, values in columns_everywhere(table, lake, "d").items():
            assert bag({"d": value} for value in values) == bag([{"d": read}] * 4), way
        assert table.delete("d IS NULL OR number = 1").rows_deleted == 1
        (cold,) = set(map(repr, stored(tl.connect(lake.url).table("t").to_arrow()["d"])))
        assert cold == repr(read)

    @pytest.mark.parametrize(
        ("type_", "given"),
        [
            ("int8", 128), ("int64", 1.5), ("int64", "5"), ("int64", True), ("uint8", -1), ("boolean", 1), ("string", 5),
            ("string", "\ud800"), ("date", "2026-13-01"), ("date", "yesterday"), ("time[ms]", "09:30:15.1234"),
            ("timestamp[ms]", "2026-01-01 00:00:00.0001"), ("decimal(5, 2)", "1.234"), ("decimal(5, 2)", 1000),
            ("decimal(5, 2)", "nan"), ("binary", "text"), ("list<int64>", [1]), ("struct<a: int64>", {"a": 1}),
            ("timestamp[us, UTC]", dt.date(2026, 1, 1)), ("float64", "0.1"),
        ],
        ids=str,
    )  # fmt: skip
    def test_a_default_that_is_no_such_value_is_refused(self, lake: tl.Lake, type_: str, given: Any) -> None:
        table = lake.create_table("t", {"id": [1]})
        with pytest.raises(tl.InvalidError):
            table.alter.add_column("d", type_, default=given)
        assert table.version == 0

    def test_a_new_default_is_for_new_rows_only(self, lake: tl.Lake) -> None:
        table = lake.create_table("t", {"id": [1]})
        table.alter.add_column("d", "string", default="old")
        table.alter.set_default("d", "new")
        table.append({"id": [2]})
        table.append({"id": [3], "d": [None]})
        table.alter.set_default("d", None)
        table.append({"id": [4]})
        wanted = ["old", "new", None, None]
        assert_reads(table.snapshot(), [{"id": n, "d": d} for n, d in enumerate(wanted, start=1)], lake)

    def test_a_column_of_nulls_is_of_every_type(self, lake: tl.Lake) -> None:
        table = lake.create_table("t", {"id": [1, 2]})
        types = [
            "list<int64>",
            "map<string, list<date>>",
            "struct<a: int64, b: struct<c: string>>",
            "time[ns]",
            "uint8",
        ]
        for number, type_ in enumerate(types):
            table.alter.add_column(f"c{number}", type_)
        table.append({"id": [3]})
        nothing = dict.fromkeys((f"c{number}" for number in range(len(types))), None)
        assert_reads(table.snapshot(), [{"id": n, **nothing} for n in (1, 2, 3)], lake)
        assert table.scan(["c0"]).lazy().collect().height == 3
        assert table.scan(["c2", "c1"], where="c3 IS NULL").to_arrow().num_rows == 3


class TestShapes:
    def test_add_rename_and_drop_touch_no_file_and_no_old_version(self, lake: tl.Lake, tmp_path: Path) -> None:
        table = lake.create_table("t", {"id": [1, 2], "a": ["x", None]})
        files = {path: path.read_bytes() for path in tmp_path.rglob("*.parquet")}
        table.alter.rename_column("a", "b")
        table.alter.add_column("a", "int64", default=7)
        table.alter.drop_column("b")
        table.alter.rename_column("a", "c")
        assert {path: path.read_bytes() for path in tmp_path.rglob("*.parquet")} == files
        expected: list[list[dict[str, Any]]] = [
            [{"id": 1, "a": "x"}, {"id": 2, "a": None}],
            [{"id": 1, "b": "x"}, {"id": 2, "b": None}],
            [{"id": 1, "b": "x", "a": 7}, {"id": 2, "b": None, "a": 7}],
            [{"id": 1, "a": 7}, {"id": 2, "a": 7}],
            [{"id": 1, "c": 7}, {"id": 2, "c": 7}],
        ]
        cold = tl.connect(lake.url).table("t")
        for version, rows in enumerate(expected):
            assert_reads(table.at(version=version), rows, lake)
            assert_reads(cold.at(version=version), rows)

    def test_a_column_that_was_dropped_leaves_no_ghost_under_its_name(self, lake: tl.Lake) -> None:
        table = lake.create_table("t", {"id": [1, 2], "x": ["old", "older"]})
        for type_, value in (("int64", 5), ("date", dt.date(2026, 1, 1)), ("string", "new")):
            table.alter.drop_column("x")
            table.alter.add_column("x", type_)
            before = table.row_count
            assert table.to_polars()["x"].null_count() == before
            assert table.scan(where="x IS NOT NULL").to_arrow().num_rows == 0
            assert table.delete("x IS NOT NULL").rows_deleted == 0
            table.append({"id": [before + 1], "x": [value]})
            assert table.scan(where="x IS NOT NULL").to_arrow()["x"].to_pylist() == [value]
            assert table.lazy().filter(pl.col("x").is_not_null()).collect()["x"].to_list() == [value]
            table.overwrite(table.to_arrow().slice(0, 0), where="x IS NOT NULL")

    def test_two_columns_may_exchange_their_names(self, lake: tl.Lake) -> None:
        table = lake.create_table("t", {"a": [1], "b": ["x"]})
        table.alter.rename_column("a", "c")
        table.alter.rename_column("b", "a")
        table.alter.rename_column("c", "b")
        table.append({"b": [2], "a": ["y"]})
        assert_reads(table.snapshot(), [{"b": 1, "a": "x"}, {"b": 2, "a": "y"}], lake)
        assert table.scan(where="b = 1 AND a = 'x'").to_arrow().num_rows == 1
        assert len(table.scan(where="b = 1").files) == 1
        assert table.lazy().filter(pl.col("b") == 2).collect().to_dicts() == [{"b": 2, "a": "y"}]

    @pytest.mark.parametrize(("old", "new", "values"), WIDENINGS, ids=lambda value: str(value)[:20])
    def test_widened_values_are_the_same_values(self, lake: tl.Lake, old: str, new: str, values: list[Any]) -> None:
        table = lake.create_table("t", {"x": old})
        table.append(pa.table({"x": pa.array([*values, None], table.to_arrow().schema.field("x").type)}))
        table.alter.widen_column("x", new)
        table.append(table.to_arrow())
        target = table.to_arrow().schema.field("x").type
        wanted = [dt.datetime(v.year, v.month, v.day) if isinstance(v, dt.date) else v for v in values]
        wanted = pa.array([*wanted, None] * 2, target).to_pylist()
        for way, read in columns_everywhere(table, lake, "x").items():
            assert bag({"x": value} for value in read) == bag({"x": value} for value in wanted), way
        for value in dict.fromkeys(map(repr, values)):
            each = next(candidate for candidate in values if repr(candidate) == value)
            literal = (
                f"'{each}'"
                if isinstance(each, dt.date) or each in {math.inf} or each != each
                else repr(each).strip("Decimal()")
            )
            found = table.scan(where=f"x = {literal}").to_arrow().num_rows
            assert found == 2 * len([v for v in values if v == each or (v != v and each != each)]), each
        assert table.delete("x IS NOT NULL").rows_deleted == 2 * len(values)

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ("int64", "int32"), ("int64", "float64"), ("uint64", "float64"), ("float64", "float32"), ("int32", "uint64"),
            ("uint64", "int64"), ("string", "binary"), ("date", "timestamp[ns]"), ("date", "timestamp[us, UTC]"),
            ("timestamp[ms]", "timestamp[us]"), ("int64", "decimal(18, 0)"), ("decimal(5, 2)", "decimal(6, 4)"),
            ("int32", "string"), ("int32", "int32"), ("boolean", "int8"), ("decimal(5, 2)", "float64"),
        ],
    )  # fmt: skip
    def test_what_is_not_wider_is_refused(self, lake: tl.Lake, old: str, new: str) -> None:
        table = lake.create_table("t", {"x": old})
        with pytest.raises(tl.InvalidError, match="widened"):
            table.alter.widen_column("x", new)

    def test_dates_that_microseconds_do_not_reach_stay_dates(self, lake: tl.Lake) -> None:
        days = pa.array([0, 106_751_992, None], pa.int32()).view(pa.date32())
        table = lake.create_table("t", {"d": days})
        table.append({"d": days.slice(0, 1)})
        with pytest.raises(tl.InvalidError, match="106751992.* is no timestamp"):
            table.alter.widen_column("d", "timestamp")
        table.alter.widen_column("d", "timestamp[ms]")
        assert table.to_arrow()["d"].cast(pa.int64()).to_pylist() == [0, 106_751_992 * 86_400_000, None, 0]

    def test_a_widened_column_keeps_its_defaults(self, lake: tl.Lake) -> None:
        table = lake.create_table("t", {"id": [1]})
        for name, old, default, new in (
            ("n", "int32", 7, "decimal(12, 2)"),
            ("d", "date", "1969-12-31", "timestamp"),
            ("f", "float32", 0.1, "double"),
            ("i", "int8", -1, "int64"),
        ):
            table.alter.add_column(name, old, default=default)
            table.alter.widen_column(name, new)
        table.append({"id": [2]})
        both = {"n": Decimal("7.00"), "d": dt.datetime(1969, 12, 31), "f": 0.10000000149011612, "i": -1}
        assert_reads(table.snapshot(), [{"id": 1, **both}, {"id": 2, **both}], lake)
        assert table.scan(where="n = 7 AND d < '1970-01-01' AND i = -1").to_arrow().num_rows == 2

    def test_many_schemas_in_one_table_read_as_one(self, lake: tl.Lake) -> None:
        nested = {"t": "timestamp[ms, Europe/Oslo]", "l": "list<timestamp[us, Europe/Oslo]>", "m": "map<string, int64>",
                  "tm": "time[ms]", "d": "decimal(9, 3)", "s": "struct<a: date, b: list<int8>>"}  # fmt: skip
        at = dt.datetime(2026, 7, 1, 12, tzinfo=OSLO)
        row = {"t": at, "l": [at, None], "m": [("k", 1)], "tm": dt.time(1, 2, 3), "d": Decimal("1.500"),
               "s": {"a": dt.date(2026, 1, 1), "b": [1]}}  # fmt: skip
        table = lake.create_table("t", nested)
        data = pa.Table.from_pylist([row], table.to_arrow().schema)
        for number in range(4):
            table.append(data)
            table.alter.add_column(f"extra{number}", "int64", default=number)
        rows = table.to_arrow().select(list(nested))
        assert rows == pa.concat_tables([data] * 4).combine_chunks()
        assert table.to_polars().select(list(nested)).equals(pl.from_arrow(rows))
        assert table.scan(["l", "s"], where="extra0 = 0").to_arrow() == rows.select(["l", "s"])
        assert table.scan(["extra3"]).to_polars()["extra3"].to_list() == [3] * 4


class TestRules:
    def test_not_null_is_refused_while_there_are_nulls(self, lake: tl.Lake) -> None:
        table = lake.create_table("t", {"id": [1, 2], "x": ["a", None]})
        table.append({"id": [3], "x": ["c"]})
        with pytest.raises(tl.InvalidError, match="1 nulls"):
            table.alter.set_not_null("x")
        table.delete("x IS NULL")
        table.alter.set_not_null("x")
        with pytest.raises(tl.InvalidError, match="not null"):
            table.append({"id": [4]})
        table.alter.drop_not_null("x")
        table.append({"id": [4]})
        assert table.row_count == 3

    def test_not_null_is_refused_while_older_files_lack_the_column(self, lake: tl.Lake) -> None:
        table = lake.create_table("t", {"id": [1]})
        table.alter.add_column("x", "string")
        with pytest.raises(tl.InvalidError, match="nulls"):
            table.alter.set_not_null("x")
        with pytest.raises(tl.InvalidError, match="default"):
            table.alter.add_column("y", "string", nullable=False)
        table.alter.add_column("y", "string not null", default="-")
        table.append({"id": [2], "x": ["b"]})
        assert_reads(table.snapshot(), [{"id": 1, "x": None, "y": "-"}, {"id": 2, "x": "b", "y": "-"}], lake)
        with pytest.raises(tl.InvalidError, match="not null"):
            table.append({"id": [3], "y": [None]})

    def test_a_check_is_refused_while_rows_fail_it(self, lake: tl.Lake) -> None:
        table = lake.create_table("t", {"id": [1, 2, 3], "x": [1.0, None, -1.0]})
        table.alter.rename_column("x", "price")
        with pytest.raises(tl.InvalidError, match="price=-1.0"):
            table.alter.add_check("positive", "price > 0")
        table.delete("id = 3")
        table.alter.add_check("positive", "price > 0")
        with pytest.raises(tl.InvalidError, match="already"):
            table.alter.add_check("positive", "price > 1")
        with pytest.raises(tl.InvalidError, match="positive"):
            table.append({"id": [4], "price": [0.0]})
        table.alter.drop_check("positive")
        with pytest.raises(tl.NotFoundError, match="positive"):
            table.alter.drop_check("positive")
        table.append({"id": [4], "price": [0.0]})
        assert table.row_count == 3

    def test_a_check_is_held_against_defaults_of_older_files(self, lake: tl.Lake) -> None:
        table = lake.create_table("t", {"id": [1]})
        table.alter.add_column("x", "int64", default=-1)
        with pytest.raises(tl.InvalidError, match="x=-1"):
            table.alter.add_check("positive", "x > 0")

    @pytest.mark.parametrize("act", ["rename", "drop"])
    def test_columns_that_a_check_speaks_of_stay(self, lake: tl.Lake, act: str) -> None:
        table = lake.create_table(
            "t",
            {"a": "int64", "B": "int64", "s": "struct<x: int64>", "free": "int64"},
            checks={"c": "t.a > b AND s.x > 0"},
        )

        def change(name: str) -> None:
            if act == "drop":
                table.alter.drop_column(name)
            else:
                table.alter.rename_column(name, "other")

        for name in ("a", "B", "b", "s"):
            with pytest.raises(tl.InvalidError, match="CHECK 'c'"):
                change(name)
        change("free")

    def test_columns_that_the_layout_needs_may_be_renamed_but_not_dropped(self, lake: tl.Lake) -> None:
        table = lake.create_table(
            "t",
            {"id": "int64", "at": "date", "n": "int64", "free": "int64"},
            key="id",
            partition_by="month(at)",
            sort_by="n",
        )
        for name in ("id", "at", "n"):
            with pytest.raises(tl.InvalidError, match="needs it"):
                table.alter.drop_column(name)
        for name in ("id", "at", "n"):
            table.alter.rename_column(name, f"{name}2")
        table.append({"id2": [2, 1], "at2": [dt.date(2026, 1, 1)] * 2, "n2": [2, 1], "free": [None, None]})
        assert table.to_arrow()["n2"].to_pylist() == [1, 2]
        table.alter.partition_by()
        table.alter.sort_by()
        table.alter.drop_column("at2")
        table.alter.drop_column("n2")

    def test_what_cannot_be_is_refused_and_leaves_no_version(self, lake: tl.Lake) -> None:
        table = lake.create_table("t", {"id": "int64", "x": "int64"}, key="id")
        alter = table.alter
        for act in (
            lambda: alter.add_column("X", "int64"),
            lambda: alter.add_column("", "int64"),
            lambda: alter.add_column("y", "nonsense"),
            lambda: alter.add_column("y", "null"),
            lambda: alter.rename_column("x", "ID"),
            lambda: alter.rename_column("x", "a\nb"),
            lambda: alter.drop_not_null("id"),
            lambda: alter.set_default("x", "text"),
            lambda: alter.add_check("", "x > 0"),
            lambda: alter.add_check("c", "nope > 0"),
            lambda: alter.set_property("target_file_size_bytes", "big"),
            lambda: alter.set_property("", "x"),
            lambda: alter.partition_by("year(x)"),
            lambda: alter.sort_by("x", "x desc"),
        ):
            with pytest.raises(tl.InvalidError):
                act()
        for act in (
            lambda: alter.rename_column("nope", "y"),
            lambda: alter.drop_column("nope"),
            lambda: alter.widen_column("nope", "int64"),
            lambda: alter.set_not_null("nope"),
            lambda: alter.drop_not_null("nope"),
            lambda: alter.set_default("nope", 1),
            lambda: alter.set_comment("nope", "x"),
            lambda: alter.partition_by("nope"),
            lambda: alter.sort_by("nope"),
        ):
            with pytest.raises(tl.NotFoundError):
                act()
        assert table.version == 0

    def test_the_last_column_stays(self, lake: tl.Lake) -> None:
        table = lake.create_table("t", {"id": "int64"})
        with pytest.raises(tl.InvalidError, match="last one"):
            table.alter.drop_column("id")

    def test_comments_and_properties_come_and_go(self, lake: tl.Lake) -> None:
        table = lake.create_table("t", {"id": "int64"})
        table.alter.set_comment("id", "who it is")
        table.alter.set_property("owner", "ada")
        table.alter.set_property("answer", 42)
        assert table.schema.field("id").comment == "who it is"
        assert table.properties == {"owner": "ada", "answer": "42"}
        assert "who it is" in table._repr_html_()
        table.alter.set_comment("id", None)
        table.alter.set_property("owner", None)
        assert table.schema.field("id").comment is None
        assert table.properties == {"answer": "42"}
        assert [change["info"] for change in table.history().to_dicts()][:2] == ["set property owner", "comment on id"]
