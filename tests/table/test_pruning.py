"""Leaving files out never changes an answer, whatever the condition, the type and the history of the column.

One table has a column of every type and many small files, and as many small lots of rows inside the log; half of them
were written before columns were renamed, widened and added. For random conditions three things are compared with plain
Python over all rows:

    DuckDB      the rows of scan(where=…), and that it opens no file less than those with a matching row
    Polars      the rows of lazy().filter(…)
    the log     for every file, the truth values that the condition may have there: never too few, or a delete
                would drop or keep rows that it must not
"""

from __future__ import annotations

import datetime as dt
import itertools
import math
import random
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tablelog as tl
from tablelog.conditions import condition_on
from tablelog.engines.duckdb import ENGINE, evaluate
from tablelog.format.predicate import Truth
from tablelog.ops.known import Known
from tests.table.clauses import Between, Both, Clause, Compare, Either, In, Not, Null, Same

if TYPE_CHECKING:
    from collections.abc import Sequence

TRUTHS = {True: Truth.TRUE, False: Truth.FALSE, None: Truth.NULL}
DAY_US = 86_400_000_000
AT_US = 1_793_525_415_123_456
"""2026-11-01 09:30:15.123456"""
LONG = "long text that goes on beyond what a bound may hold, "

# Old name and type, new name, new type if widened, values.
COLUMNS: list[tuple[str, str, str, str | None, list[Any]]] = [
    ("b_", "boolean", "b", None, [True, False]),
    ("i8_", "int8", "i8", "int64", [-128, -1, 0, 1, 127]),
    ("i32_", "int32", "i32", "decimal(12, 2)", [-(2**31), -1, 0, 5, 2**31 - 1]),
    ("i64_", "int64", "i64", None, [-(2**63), -(2**53) - 1, -1, 0, 5, 2**53, 2**53 + 1, 2**63 - 1]),
    ("u64_", "uint64", "u64", None, [0, 1, 2**63 - 1, 2**63, 2**63 + 1, 2**64 - 1]),
    ("f32_", "float32", "f32", "float64", [-math.inf, -1.5, -0.0, 0.0, 0.25, 16_777_216.0, math.inf, math.nan]),
    ("f64_", "float64", "f64", None, [-math.inf, -1e308, -0.0, 0.0, 5e-324, 0.1, 2.0**53, math.inf, math.nan]),
    ("s_", "string", "s", None, ["", "a", "ab", "b", "B", "é", "\ud7ff", "\ue000", "\uffff", "\U0010ffff", "\x00"]),
    ("long_", "string", "long", None, [LONG, LONG + "a", LONG[:31] + "z", LONG[:31] + "\ud7ff" * 3, "\U0010ffff" * 40,
                                       LONG[:31] + "\U0010ffff" * 5, "é" * 33, "x" * 32, "x" * 33]),
    ("bin_", "binary", "bin", None, [b"", b"\x00", b"a", b"\xff", b"\xff" * 40, b"\xff" * 33 + b"\x00", b"a" * 31 + b"\xff" * 4]),
    ("d_", "date", "d", "timestamp", [-719_162, -1, 0, 1, 20_758, 2_932_896]),
    ("t_", "time[us]", "t", None, [0, 1, 34_215_123_456, DAY_US - 1]),
    ("tms_", "timestamp[ms]", "tms", None, [-1, 0, 1, AT_US // 1000]),
    ("tus_", "timestamp[us]", "tus", None, [-62_135_596_800_000_000, -1, 0, 1, AT_US]),
    ("tns_", "timestamp[ns]", "tns", None, [-1, 0, 1, AT_US * 1000, AT_US * 1000 + 1]),
    ("zus_", "timestamp[us, UTC]", "zus", None, [-1, 0, 1, AT_US]),
    ("zos_", "timestamp[us, Europe/Oslo]", "zos", None, [-1, 0, 1, AT_US]),
    ("zns_", "timestamp[ns, UTC]", "zns", None, [-1, 0, AT_US * 1000, AT_US * 1000 + 999]),
    ("dec_", "decimal(10, 2)", "dec", "decimal(14, 4)", [Decimal(n) / 100 for n in (-(10**10) + 1, -1, 0, 10, 1250, 10**10 - 1)]),
    ("big_", "decimal(38, 0)", "big", None, [Decimal(n) for n in (-(10**38) + 1, 0, 2**53, 2**53 + 1, 10**38 - 1)]),
]  # fmt: skip
INSIDE = [("st.i", "i64_"), ("st.f", "f64_")]
DEFAULTS = {"di": ("int64", 5), "df": ("float64", math.nan), "ds": ("string", "ab"), "dn": ("int64", None)}
POOLS: dict[str, list[Any]] = {
    **{name: values for _, _, name, _, values in COLUMNS},
    **{name: next(c[4] for c in COLUMNS if c[0] == source) for name, source in INSIDE},
    "di": [4, 5, 6], "df": [0.5, math.nan, math.inf], "ds": ["a", "ab", "b"], "dn": [1],
}  # fmt: skip
UNITS = {"d": 86_400_000_000, "tms": 1000, "tus": 1, "zus": 1, "zos": 1}
"""Microseconds in a step of the values above."""


class Fixture:
    """The table, its rows as plain values, and where each file's rows begin and end."""

    def __init__(self, lake: tl.Lake) -> None:
        dice = random.Random(20_261_101)
        self.table = lake.create_table("t", {"id": "int64", **{old: type_ for old, type_, *_ in COLUMNS},
                                             "st": "struct<i: int64, f: float64>"},
                                       properties={"auto_compact": "off"})  # fmt: skip
        self._count = itertools.count()
        self.append_some(dice, new=False)
        for old, _, name, wider, _ in COLUMNS:
            self.table.alter.rename_column(old, name)
            if wider is not None:
                self.table.alter.widen_column(name, wider)
        for name, (type_, default) in DEFAULTS.items():
            self.table.alter.add_column(name, type_, default=default)
        self.append_some(dice, new=True)
        self.snapshot = self.table.snapshot()
        self.arrow = self.snapshot.to_arrow()
        self.rows = plain_rows(self.arrow)
        self.frame = self.snapshot.to_polars()
        ends = list(itertools.accumulate(file.row_count for file in self.snapshot.files))
        self.files = list(zip(self.snapshot.files, [0, *ends[:-1]], ends, strict=True))

    def table_of(self, fields: tuple[tl.Field, ...]) -> pa.Table:
        """All rows of some columns."""
        return self.arrow.select([field.name for field in fields])

    def append_some(self, dice: random.Random, *, new: bool) -> None:
        """Some rows inside the log, and some in files."""
        for inline_max_bytes in (None, 0):
            self.table.alter.set_property("inline_max_bytes", inline_max_bytes)
            for size in [1] * 7 + [2] * 4 + [4] * 2:
                self.append(dice, size, new=new)

    def append(self, dice: random.Random, size: int, *, new: bool) -> None:
        types = self.table.scan().to_reader().schema
        data: dict[str, Any] = {"id": [next(self._count) for _ in range(size)]}
        for old, _, name, _, values in COLUMNS:
            column = name if new else old
            data[column] = stored([dice.choice([*values, None]) for _ in range(size)], name, types.field(column).type)
        if new:
            data |= {name: pa.array([dice.choice([*POOLS[name], None]) for _ in range(size)], types.field(name).type)
                     for name in DEFAULTS}  # fmt: skip
        inner = [[dice.choice([*POOLS[name], None]) for _ in range(size)] for name, _ in INSIDE]
        missing = pa.array([dice.random() < 0.3 for _ in range(size)])
        data["st"] = pa.StructArray.from_arrays([pa.array(inner[0], pa.int64()), pa.array(inner[1], pa.float64())],
                                                fields=list(types.field("st").type), mask=missing)  # fmt: skip
        self.table.append(pa.table(data))


def stored(values: Sequence[Any], name: str, type_: pa.DataType) -> pa.Array:
    """Values of the pools as an Arrow array; counts become dates, times and timestamps."""
    if name == "d" and pa.types.is_timestamp(type_):
        values = [None if value is None else value * DAY_US for value in values]
    if pa.types.is_temporal(type_):
        return pa.array(values, pa.int32() if pa.types.is_date(type_) else pa.int64()).cast(type_)
    return pa.array(values, type_)


def plain_rows(table: pa.Table) -> list[dict[str, Any]]:
    """Rows in the terms of the pools."""
    columns: dict[str, list[Any]] = {}
    for name in table.column_names:
        column = table[name]
        values = column.cast(pa.int64()).to_pylist() if pa.types.is_temporal(column.type) else column.to_pylist()
        columns[name] = [None if v is None else v // DAY_US for v in values] if name == "d" else values
    inside = columns.pop("st")
    columns |= {f"st.{part}": [None if each is None else each[part] for each in inside] for part in ("i", "f")}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


@pytest.fixture(scope="module")
def fixture(tmp_path_factory: pytest.TempPathFactory) -> Fixture:
    return Fixture(tl.connect(tmp_path_factory.mktemp("pruning")))


# --------------------------------------------------------------------------- conditions


def as_sql(column: str) -> Any:
    """How a value of a column is written in SQL; several ways are taken in turn, by the value."""

    def render(value: Any) -> str:
        match column, value:
            case "t", _:
                return f"TIME '{clock(value)}'"
            case "tns", _:
                return f"TIMESTAMP_NS '{moment(value // 1000)}{value % 1000:03}'"
            case "zns", _:
                return f"'{moment(value // 1000)}{value % 1000:03}+00'::TIMESTAMPTZ_NS"
            case "zus" | "zos", _:
                return f"TIMESTAMPTZ '{moment(value)}+00'" if value % 2 else f"'{moment(value)}+00:00'"
            case (("d" | "tms" | "tus"), _):
                text = moment(value * UNITS[column])
                return f"TIMESTAMP '{text}'" if value % 2 else f"'{text}'"
            case _, bool():
                return str(value)
            case _, float():
                return f"'{value!r}'::DOUBLE" if not math.isfinite(value) else f"{value!r}::DOUBLE"
            case _, bytes():
                return "'" + "".join(f"\\x{byte:02X}" for byte in value) + "'::BLOB"
            case _, str():
                return "'" + value.replace("'", "''") + "'"
            case _:
                return str(value)

    return render


def moment(count_us: int) -> str:
    return (dt.datetime(1970, 1, 1) + dt.timedelta(microseconds=count_us)).isoformat(sep=" ", timespec="microseconds")


def clock(count_us: int) -> str:
    return (dt.datetime(1970, 1, 1) + dt.timedelta(microseconds=count_us)).time().isoformat("microseconds")


def as_polars(frame: pl.DataFrame, column: str) -> Any:
    def literal(value: Any) -> pl.Expr:
        dtype = frame.schema[column]
        if column == "d":
            value *= DAY_US
        if column == "t":
            value *= 1000
        if dtype.is_temporal():
            return pl.lit(value, dtype=pl.Int64).cast(dtype)
        return pl.lit(value, dtype=dtype)

    return literal


@st.composite
def clauses(draw: st.DrawFn) -> tuple[Clause, Any]:
    """A clause on one or two columns, and the way to write each leaf."""
    columns = draw(st.lists(st.sampled_from(sorted(POOLS)), min_size=1, max_size=2, unique=True))

    def values(column: str) -> st.SearchStrategy[Any]:
        pool = POOLS[column]
        if column in {"i64", "i8", "u64", "st.i"}:
            return st.sampled_from(pool) | st.sampled_from(pool).map(lambda n: n + 1 if n < 2**63 - 1 else n - 1)
        if column in {"s", "long"}:
            return st.sampled_from(pool) | st.sampled_from(pool).map(lambda text: text[:32]) | st.text(max_size=2)
        return st.sampled_from(pool)

    def leaf() -> Clause:
        column = draw(st.sampled_from(columns))
        some = values(column)
        match draw(st.integers(0, 6)):
            case 0:
                return Null(column)
            case 1:
                return Same(column, draw(some))
            case 2:
                return In(column, tuple(draw(st.lists(some, min_size=1, max_size=3))))
            case 3:
                return Between(column, draw(some), draw(some))
            case _:
                return Compare(
                    column, draw(st.sampled_from(["=", "<>", "<", "<=", ">", ">="])), draw(some), draw(st.booleans())
                )

    def tree(depth: int) -> Clause:
        match draw(st.integers(0, 5)) if depth else 0:
            case 1:
                return Not(tree(depth - 1))
            case 2:
                return Both(tree(depth - 1), tree(depth - 1))
            case 3:
                return Either(tree(depth - 1), tree(depth - 1))
            case _:
                return leaf()

    return tree(3)


def check_log(fixture: Fixture, where: str, values: list[bool | None]) -> None:
    """What the log says about each file holds for each of its rows."""
    predicate = condition_on(where)(fixture.snapshot.schema).predicate
    for file, start, end in fixture.files:
        said = Known(fixture.snapshot.state.metadata).outcomes(predicate, file)
        for value in values[start:end]:
            assert TRUTHS[value] in said, f"{where}: {file.path} was said to give {said} but has {value}"


GIVEN = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def test_a_constant_with_a_nul_in_it_is_not_cut_off(lake: tl.Lake) -> None:
    """The file of `a` would be dropped for `a\\0b`, and that of `\\0c` left out."""
    table = lake.create_table("t", {"s": ["a"]})
    table.append({"s": ["\0c"]})
    for condition, found in (("s = 'a\0b'", []), ("s = '\0c'", ["\0c"]), ("s IN ('\0c', 'zz')", ["\0c"])):
        assert table.scan(where=condition).to_arrow()["s"].to_pylist() == found
        assert lake.sql(f"SELECT s FROM t WHERE {condition}").fetchall() == [(each,) for each in found]
    table.delete("s = 'a\0b'")
    assert table.row_count == 2
    table.delete("s = '\0c'")
    assert table.to_polars()["s"].to_list() == ["a"]


@GIVEN
@given(clause=clauses())
def test_duckdb_finds_every_row_in_the_files_that_are_left(fixture: Fixture, clause: Clause) -> None:
    where = render(clause)
    values = [clause.of(row) for row in fixture.rows]
    check_log(fixture, where, values)
    scan = fixture.snapshot.scan(["id"], where)
    assert sorted(scan.to_arrow()["id"].to_pylist()) == [
        row["id"] for row, value in zip(fixture.rows, values, strict=True) if value
    ]
    opened = {file.path for file in scan.files}
    needed = {file.path for file, start, end in fixture.files if True in values[start:end]}
    assert needed <= opened


def render(clause: Clause) -> str:
    """The clause in SQL, each leaf in the way of its own column."""
    match clause:
        case Not(inner=inner):
            return f"NOT ({render(inner)})"
        case Both(left=left, right=right):
            return f"({render(left)}) AND ({render(right)})"
        case Either(left=left, right=right):
            return f"({render(left)}) OR ({render(right)})"
        case _:
            return clause.sql(as_sql(clause.column))


def expression(clause: Clause, frame: pl.DataFrame) -> pl.Expr:
    """The clause for Polars."""
    match clause:
        case Not(inner=inner):
            return ~expression(inner, frame)
        case Both(left=left, right=right):
            return expression(left, frame) & expression(right, frame)
        case Either(left=left, right=right):
            return expression(left, frame) | expression(right, frame)
        case _:
            return clause.polars(as_polars(frame, clause.column))


def has_inside(clause: Clause) -> bool:
    match clause:
        case Not(inner=inner):
            return has_inside(inner)
        case Both(left=left, right=right) | Either(left=left, right=right):
            return has_inside(left) or has_inside(right)
        case _:
            return "." in clause.column


@GIVEN
@given(clause=clauses().filter(lambda clause: not has_inside(clause)))
def test_polars_finds_every_row_in_the_files_that_are_left(fixture: Fixture, clause: Clause) -> None:
    wanted = [row["id"] for row in fixture.rows if clause.of(row)]
    found = fixture.snapshot.lazy().filter(expression(clause, fixture.frame)).select("id").collect()
    assert sorted(found["id"].to_list()) == wanted


ODD = [
    # A double on either side makes both doubles, which do not tell large integers apart.
    "i64 = 9007199254740992e0",
    "i64 <> 9007199254740993e0",
    "i64 BETWEEN 9007199254740993e0 AND 9007199254740993e0",
    "i64::DOUBLE = 9007199254740992",
    "i64::HUGEINT IN (9007199254740992e0)",
    "i64::DECIMAL(38, 3) <> 9007199254740993e0",
    "u64 = 18446744073709551616e0",
    "u64 > 9223372036854775807",
    "u64 > -1",
    "st.i BETWEEN 9007199254740993e0 AND 9007199254740993e0",
    "big = 9007199254740992e0",
    "dec = 0.1e0",
    "dec < 12.504",
    "i8 = 5.0000000000000000001",
    "i8::DOUBLE = 5.0000000000000000001",
    "i32 > 4.5",
    "f32 = 0.25",
    "f32 > 1e400",
    "f32 = 1e400",
    "f32 < 'infinity'::FLOAT",
    "f64 = 0.1",
    "f64 = '0.1'",
    "f64 > 'nan'",
    "f64 = 9007199254740993",
    "i64 = '5'",
    "i64 = ' 5 '",
    "s = 5::VARCHAR",
    "s > 'a' AND s < 'b' OR s = 'é'",
    "s LIKE 'a%'",
    "s LIKE 'A%'",
    "s ILIKE 'A%'",
    "starts_with(s, 'a')",
    "s SIMILAR TO 'a.*'",
    "lower(s) = 'b'",
    "length(s) = 0",
    "long LIKE 'long text%bound%'",
    "bin = 'a'",
    "bin > '\\xFF'",
    "d = DATE '2026-11-01'",
    "d::DATE = '2026-11-01'",
    "year(d) = 2026",
    "year(tus) < 1970",
    "date_trunc('month', tus) = '2026-11-01'",
    "tus::DATE = '2026-11-01'",
    "tms > '2026-11-01 09:30:15.1229'",
    "tms = '1969-12-31 23:59:59.999999'",
    "tns > TIMESTAMP '2026-11-01 09:30:15.123456'",
    "tns > '2026-11-01 09:30:15.1234560005'",
    "zus > '2026-11-01'",
    "zus::DATE = '2026-11-01'",
    "zos > '2026-11-01 10:30:15.123455+01'",
    "zns = TIMESTAMPTZ '2026-11-01 09:30:15.123456+00'",
    "t < '10:00'",
    "tus < now()",
    "b > false",
    "b = 1",
    "dn IS NULL",
    "dn = 1 IS NULL",
    "coalesce(dn, di) = 5",
    "di + 1 = 6",
    "-di = -5",
    "NOT (df > 0)",
    "df = df",
    "(id, di) = (3, 5)",
    "di IN (5, NULL)",
    "NOT (di IN (5, NULL))",
    "list_contains([4, 5], di)",
    "CASE WHEN b THEN di = 5 ELSE i64 > 0 END",
    "st IS NULL",
    "st.f > 0",
    "st.i IS NULL",
    "t.st.i = 5",
    "st['i'] = 5",
    "struct_extract(st, 'i') = 5",
]


@pytest.mark.parametrize("where", ODD)
def test_odd_ways_to_say_it_mean_the_same_with_and_without_pruning(fixture: Fixture, where: str) -> None:
    condition = condition_on(where)(fixture.snapshot.schema)
    table = fixture.table_of(condition.fields)
    values = [value for chunk in evaluate(ENGINE, where, table.to_reader()) for value in chunk.to_pylist()]
    check_log(fixture, where, values)
    check_log(fixture, f"NOT ({where})", [None if value is None else not value for value in values])
    wanted = [row["id"] for row, value in zip(fixture.rows, values, strict=True) if value]
    assert sorted(fixture.snapshot.scan(["id"], where).to_arrow()["id"].to_pylist()) == wanted


@settings(GIVEN, max_examples=25)
@given(clause=clauses())
def test_a_delete_takes_out_exactly_the_rows_that_are_true(fixture: Fixture, clause: Clause) -> None:
    table = fixture.table
    left = [row["id"] for row in fixture.rows if clause.of(row) is not True]
    table.overwrite(fixture.snapshot.to_arrow()) if table.row_count < len(fixture.rows) else None
    assert table.delete(render(clause)).rows_deleted == len(fixture.rows) - len(left)
    assert sorted(table.to_arrow()["id"].to_pylist()) == left
