"""Rows are split by transforms, and readers open only the partitions that a condition can meet."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

import tablelog as tl
from tests.table.reading import assert_reads, bag

UTC = dt.UTC


def at(*parts: int) -> dt.datetime:
    return dt.datetime(*parts)


# Transform, type, values of one partition each (a list is one partition), a condition and the partitions it may open.
SPLITS: list[tuple[str, str, list[list[Any]], str, set[int]]] = [
    ("x", "string", [["a", "a"], ["b"], [""], [None, None], ["é"]], "x = 'b'", {1}),
    ("x", "int64", [[1, 1], [-1], [0], [None]], "x < 0", {1}),
    ("x", "boolean", [[True, True], [False], [None]], "NOT x", {1}),
    ("x", "date", [[dt.date(2026, 1, 1)] * 2, [dt.date(1969, 12, 31)], [None]], "x < '1970-01-01'", {1}),
    ("x", "decimal(5, 2)", [[Decimal("1.00")], [Decimal("-1.00")]], "x > 0", {0}),
    ("x", "binary", [[b"\x00"], [b"\xff", b"\xff"]], "x = '\\x00'::BLOB", {0}),
    ("x", "timestamp[us, Europe/Oslo]", [[dt.datetime(2026, 1, 1, tzinfo=UTC)], [None]], "x IS NULL", {1}),
    ("year(x)", "date", [[dt.date(1969, 1, 1), dt.date(1969, 12, 31)], [dt.date(1970, 1, 1)], [dt.date(1, 1, 1)], [None]],
     "x >= '1969-06-01' AND x < '1970-01-01'", {0}),
    ("years(x)", "timestamp", [[at(2025, 12, 31, 23, 59, 59)], [at(2026, 1, 1), at(2026, 12, 31)]], "year(x) = 2026", {1}),
    ("month(x)", "date", [[dt.date(2026, 2, 1), dt.date(2026, 2, 28)], [dt.date(2026, 3, 1)], [dt.date(1969, 12, 31)]],
     "x = '2026-02-14'", {0}),
    ("month(x)", "timestamp[ns]", [[at(2026, 1, 31, 23)], [at(2026, 2, 1)], [None]], "x >= '2026-02-01'", {1}),
    ("day(x)", "timestamp[us, Europe/Oslo]",
     [[dt.datetime(2026, 7, 1, 23, tzinfo=UTC)], [dt.datetime(2026, 7, 2, tzinfo=UTC), dt.datetime(2026, 7, 2, 23, tzinfo=UTC)]],
     "x >= '2026-07-02 00:00:00+00'", {1}),
    ("day(x)", "timestamp[ms]", [[at(1969, 12, 31, 23, 59, 59)], [at(1970, 1, 1)]], "x < '1970-01-01'", {0}),
    ("hour(x)", "timestamp", [[at(1969, 12, 31, 23), at(1969, 12, 31, 23, 59)], [at(1970, 1, 1)], [None]],
     "x BETWEEN '1969-12-31 23:30:00' AND '1969-12-31 23:59:00'", {0}),
    ("truncate(10, x)", "int64", [[0, 9], [10], [-1, -10], [-11], [None], [2**63 - 1], [-(2**63)]], "x = -5", {2}),
    ("truncate(10, x)", "uint64", [[0, 9], [2**64 - 1]], "x > 9223372036854775808", {1}),
    ("truncate(2, x)", "string", [["ab", "abc", "abz"], ["a"], [""], ["éé", "ééx"], [None]], "x LIKE 'abc%'", {0}),
    ("truncate(2, x)", "binary", [[b"ab", b"abc"], [b"\xff\xff\xff"], [b""]], "x >= '\\xFF'::BLOB", {1}),
    ("truncate(100, x)", "decimal(9, 2)", [[Decimal("0.00"), Decimal("0.99")], [Decimal("-0.01")], [Decimal("1.00")]],
     "x < 0", {1}),
]  # fmt: skip

BUCKETED: list[tuple[str, list[Any], str, Any]] = [
    ("int32", [0, 1, -1, 34, 2**31 - 1, None], "{}", 34),
    ("int64", [0, 1, -1, 34, 2**63 - 1, -(2**63)], "{}", 2**63 - 1),
    ("uint64", [0, 2**63, 2**64 - 1], "{}", 2**64 - 1),
    ("string", ["", "iceberg", "é", "\U0010ffff", None], "'{}'", "iceberg"),
    ("binary", [b"", b"abc", b"\x00"], "'{}'::BLOB", b"abc"),
    ("date", [dt.date(2017, 11, 16), dt.date(1969, 12, 31), None], "'{}'", dt.date(1969, 12, 31)),
    ("time[us]", [dt.time(22, 31, 8), dt.time(0)], "'{}'", dt.time(22, 31, 8)),
    ("timestamp", [at(2017, 11, 16, 22, 31, 8), at(1969, 12, 31, 23, 59, 59)], "'{}'", at(1969, 12, 31, 23, 59, 59)),
    ("timestamp[ns]", [at(2017, 11, 16, 22, 31, 8), at(1969, 12, 31)], "'{}'", at(1969, 12, 31)),
    (
        "timestamp[us, UTC]",
        [dt.datetime(2017, 11, 16, tzinfo=UTC), None],
        "'{}'",
        dt.datetime(2017, 11, 16, tzinfo=UTC),
    ),
    ("decimal(9, 2)", [Decimal("14.20"), Decimal("-1.00"), Decimal("0.00")], "{}", Decimal("14.20")),
]


def typed(lake: tl.Lake, type_: str, values: list[Any]) -> pa.Table:
    """A column of a type, from what Python calls such values."""
    probe = lake.create_table(f"probe{len(lake.tables())}", {"x": type_})
    return pa.table({"x": pa.array(values, probe.scan().to_reader().schema.field("x").type)})


@pytest.mark.parametrize("properties", [{"inline_max_bytes": 0}, {}], ids=["files", "inlined"])
@pytest.mark.parametrize(("transform", "type_", "parts", "where", "opened"), SPLITS, ids=lambda value: str(value)[:40])
def test_each_partition_is_a_file_and_conditions_open_only_theirs(
    lake: tl.Lake,
    transform: str,
    type_: str,
    parts: list[list[Any]],
    where: str,
    opened: set[int],
    properties: dict[str, int],
) -> None:
    rows = [value for group in zip(*([*part, *part] for part in parts), strict=False) for value in group]
    rows += [value for part in parts for value in part]
    data = typed(lake, type_, rows)
    table = lake.create_table("t", {"x": type_}, partition_by=transform, properties=properties)
    table.append(data)
    files = table.snapshot().files
    assert {file.is_inlined for file in files} == {not properties}
    assert len(files) == len(parts)
    assert len({file.partition_values for file in files}) == len(parts)
    assert bag(table.to_arrow().to_pylist()) == bag(data.to_pylist())
    scan = table.scan(where=where)
    assert len(scan.files) == len(opened)
    found = scan.to_arrow().num_rows
    assert found == lake.sql(f"SELECT count(*) FROM t WHERE {where}").fetchall()[0][0]
    assert table.delete(where).rows_deleted == found
    assert table.row_count == len(rows) - found


@pytest.mark.parametrize("properties", [{"inline_max_bytes": 0}, {}], ids=["files", "inlined"])
@pytest.mark.parametrize(("type_", "values", "literal", "one"), BUCKETED, ids=lambda value: str(value)[:20])
def test_equality_on_a_bucketed_column_opens_its_buckets_only(
    lake: tl.Lake, type_: str, values: list[Any], literal: str, one: Any, properties: dict[str, int]
) -> None:
    table = lake.create_table("t", {"x": type_}, partition_by="bucket(1000, x)", properties=properties)
    table.append(typed(lake, type_, values))
    assert len(table.snapshot().files) == len(values)
    text = literal.format(one.decode() if isinstance(one, bytes) else one)
    for where in (f"x = {text}", f"x IN ({text}, {text})", f"x = {text} AND x IS NOT NULL", f"{text} = x"):
        scan = table.scan(where=where)
        assert len(scan.files) == 1, where
        assert scan.to_arrow().num_rows == 1
    assert table.scan(where=f"NOT (x = {text})").to_arrow().num_rows == len([v for v in values if v not in {one, None}])
    assert len(table.scan(where="x IS NULL").files) == values.count(None)
    if not isinstance(one, bytes | Decimal | dt.time):
        assert (
            table.lazy().filter(pl.col("x") == pl.lit(one, dtype=table.lazy().collect_schema()["x"])).collect().height
            == 1
        )


class TestBuckets:
    def test_values_that_no_row_can_have_open_nothing(self, lake: tl.Lake) -> None:
        table = lake.create_table("t", {"x": "int32"}, partition_by="bucket(4, x)")
        table.append({"x": list(range(100))})
        for where in (
            "x = 1.5",
            "x = 3000000000",
            "x = -0.5",
            "x IN (1.5, 99999999999999999999999)",
            "x = 1e0 AND x = 2.5",
        ):
            assert table.scan(where=where).to_arrow().num_rows == 0, where
        assert table.scan(where="x IN (1.5, 7)").to_arrow()["x"].to_pylist() == [7]
        assert table.scan(where="x = 7.0").to_arrow()["x"].to_pylist() == [7]
        assert table.lazy().filter(pl.col("x") == 1.5).collect().height == 0
        assert table.lazy().filter(pl.col("x").is_in([7, 3_000_000_000])).collect()["x"].to_list() == [7]

    @pytest.mark.parametrize(
        ("old", "new", "values", "where"),
        [
            ("int32", "int64", [1, 2, 34], "x = 34"),
            ("uint8", "int64", [1, 2, 34], "x = 34"),
            ("int32", "decimal(12, 2)", [1, 2, 34], "x = 34"),
            ("int64", "decimal(20, 0)", [1, 2, 34], "x = 34"),
            ("decimal(5, 2)", "decimal(9, 4)", [Decimal("1.00"), Decimal("14.20")], "x = 14.2"),
            ("date", "timestamp", [dt.date(2026, 1, 1), dt.date(1969, 12, 31)], "x = '1969-12-31'"),
            ("date", "timestamp[ms]", [dt.date(2026, 1, 1), dt.date(1969, 12, 31)], "x = '1969-12-31'"),
        ],
        ids=str,
    )
    def test_a_bucketed_column_that_was_widened_is_still_found(
        self, lake: tl.Lake, old: str, new: str, values: list[Any], where: str
    ) -> None:
        data = typed(lake, old, values)
        table = lake.create_table("t", {"x": old}, partition_by="bucket(1000, x)")
        table.append(data)
        table.alter.widen_column("x", new)
        table.append(table.to_arrow())
        assert table.scan(where=where).to_arrow().num_rows == 2
        assert table.delete(where).rows_deleted == 2

    def test_an_or_of_different_columns_is_no_equality(self, lake: tl.Lake) -> None:
        table = lake.create_table("t", {"x": "int64", "y": "int64"}, partition_by=["bucket(8, x)", "bucket(8, y)"])
        table.append({"x": list(range(20)), "y": list(range(20, 40))})
        assert table.scan(where="x = 3 OR y = 30").to_arrow().num_rows == 2
        assert table.scan(where="x = 3 AND y = 23").to_arrow().num_rows == 1
        assert len(table.scan(where="x = 3 AND y = 23").files) == 1
        assert table.scan(where="x = 3 AND (x = 4 OR y = 23)").to_arrow().num_rows == 1
        assert table.scan(where="x = 3 AND x = 4").to_arrow().num_rows == 0
        assert table.scan(where="NOT (x <> 3)").to_arrow().num_rows == 1


class TestSeveralAndChanging:
    def test_transforms_combine_and_nulls_are_a_partition(self, lake: tl.Lake) -> None:
        rows = [{"r": r, "n": n} for r in ("EU", "US", None) for n in (1, 2, None)]
        table = lake.create_table("t", {"r": "string", "n": "int64"}, partition_by=["r", "truncate(2, n)"])
        table.append(rows * 2)
        assert len(table.snapshot().files) == 9
        assert_reads(table.snapshot(), rows * 2, lake)
        assert len(table.scan(where="r = 'EU'").files) == 3
        assert len(table.scan(where="r IS NULL AND n = 1").files) == 1
        assert len(table.scan(where="n IS NULL").files) == 3

    def test_a_new_partitioning_is_for_new_files(self, lake: tl.Lake) -> None:
        rows = [{"id": n, "at": dt.date(2026, 1 + n, 1)} for n in range(6)]
        table = lake.create_table("t", rows)
        for transforms in (["month(at)"], ["bucket(3, id)"], [], ["at", "id"]):
            table.alter.partition_by(*transforms)
            table.append(rows)
        assert [len(set(file.partition_values)) for file in table.snapshot().files].count(0) == 2
        assert_reads(table.snapshot(), rows * 5, lake)
        cold = tl.connect(lake.url).table("t")
        assert bag(cold.scan(where="id = 3 AND \"at\" = '2026-04-01'").to_arrow().to_pylist()) == bag([rows[3]] * 5)
        assert len(cold.scan(where="id = 3").files) == 5
        cold.delete("id = 3")
        assert_reads(cold.snapshot(), [row for row in rows if row["id"] != 3] * 5)

    def test_survivors_of_a_delete_are_split_as_the_table_is_now(self, lake: tl.Lake) -> None:
        table = lake.create_table("t", {"id": list(range(10)), "r": ["a", "b"] * 5})
        table.alter.partition_by("r")
        table.delete("id = 4")
        (file,) = table.snapshot().files
        assert (file.partition_values, file.row_count, file.live_row_count) == ((), 10, 9), "it is marked where it is"
        table.delete("id BETWEEN 3 AND 8")
        assert sorted(file.partition_values for file in table.snapshot().files) == [("a",), ("b",)]
        assert sorted(table.to_arrow()["id"].to_pylist()) == [0, 1, 2, 9]

    def test_a_partitioned_column_may_be_renamed_and_widened(self, lake: tl.Lake) -> None:
        table = lake.create_table("t", {"x": "int32"}, partition_by="x")
        table.append({"x": [1, 2]})
        table.alter.rename_column("x", "y")
        table.alter.widen_column("y", "int64")
        table.append({"y": [2, 3]})
        table.alter.widen_column("y", "decimal(20, 1)")
        table.append({"y": [Decimal("3.0"), Decimal("4.5")]})
        for handle in (table, tl.connect(lake.url).table("t")):
            assert len(handle.scan(where="y = 2").files) == 2
            assert sorted(handle.to_arrow()["y"].to_pylist()) == [Decimal(n) / 10 for n in (10, 20, 20, 30, 30, 45)]

    def test_many_partitions_at_once(self, lake: tl.Lake) -> None:
        table = lake.create_table("t", {"id": "int64"}, partition_by="id")
        table.append({"id": [*range(300), *range(300)]})
        assert len(table.snapshot().files) == 300
        assert len(table.scan(where="id IN (5, 250)").files) == 2
        assert sorted(table.to_arrow()["id"].to_pylist()) == sorted([*range(300)] * 2)

    def test_a_partition_too_far_away_is_refused(self, lake: tl.Lake) -> None:
        table = lake.create_table("t", {"x": "timestamp[ms]"}, partition_by="hour(x)")
        far = pa.table({"x": pa.array([2**60], pa.int64()).cast(pa.timestamp("ms"))})
        with pytest.raises(tl.InvalidError, match="hour"):
            table.append(far)
        assert table.version == 0

    @pytest.mark.parametrize(
        "texts", [["nope"], ["f"], ["year(s)"], ["hour(d)"], ["bucket(f)"], ["s", "s"], ["bucket(0, s)"]]
    )
    def test_what_is_no_partitioning_is_refused(self, lake: tl.Lake, texts: list[str]) -> None:
        table = lake.create_table("t", {"f": "double", "s": "string", "d": "date"})
        with pytest.raises((tl.InvalidError, tl.NotFoundError)):
            table.alter.partition_by(*texts)
        assert table.version == 0

    def test_rows_are_sorted_inside_new_files(self, lake: tl.Lake) -> None:
        rows = [{"a": a, "b": b} for a, b in [(2, "x"), (1, None), (None, "y"), (2, "a"), (1, "z")]]
        table = lake.create_table("t", rows, sort_by=["a desc", "b"])
        assert [(row["a"], row["b"]) for row in table.to_arrow().to_pylist()] == [
            (2, "a"), (2, "x"), (1, "z"), (1, None), (None, "y")
        ]  # fmt: skip
        table.alter.sort_by()
        table.append(rows)
        assert table.to_arrow().slice(5).to_pylist() == rows

    @pytest.mark.parametrize(
        ("type_", "values"),
        [
            ("boolean", [True, None, False]), ("int8", [1, None, -1]), ("uint64", [2**64 - 1, 0]), ("float64", [1.0, None, -1.0]),
            ("string", ["b", None, "a"]), ("binary", [b"b", b"a"]), ("date", [dt.date(2026, 1, 1), dt.date(1969, 1, 1)]),
            ("time[us]", [dt.time(1), dt.time(0)]), ("timestamp[ms]", [at(2026, 1, 1), at(1969, 1, 1)]),
            ("timestamp[us, UTC]", [dt.datetime(2026, 1, 1, tzinfo=UTC), None, dt.datetime(1969, 1, 1, tzinfo=UTC)]),
            ("decimal(5, 2)", [Decimal("1.00"), Decimal("-1.00")]), ("decimal(38, 0)", [Decimal(10**37), Decimal(0)]),
        ],
        ids=str,
    )  # fmt: skip
    def test_every_flat_type_sorts_nulls_last(self, lake: tl.Lake, type_: str, values: list[Any]) -> None:
        for order in ("x", "x desc"):
            name = f"t{len(lake.tables())}"
            table = lake.create_table(name, {"x": type_}, sort_by=order)
            table.append(typed(lake, type_, values))
            known = sorted((value for value in values if value is not None), reverse=order == "x desc")
            assert table.to_arrow()["x"].to_pylist() == [*known, *[None] * values.count(None)]
