"""Random histories against a model of a few lines: a list of rows for every version.

steps       append, overwrite, overwrite where, delete where, add, rename, drop, drop and add again, widen, not null,
            checks; each through one of two handles, taken at random
model       rows as dicts by column number; a version is a copy of them
held        after each step the step's counts; at the end every version, through both handles and a cold one, in
            Arrow, and some of them in Polars and DuckDB too
"""

from __future__ import annotations

import datetime as dt
import math
import shutil
import tempfile
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

import tablelog as tl
from tests.table.clauses import Both, Clause, Compare, Either, In, Not, Null
from tests.table.reading import assert_reads, bag

if TYPE_CHECKING:
    from collections.abc import Callable

POOLS: dict[str, list[Any]] = {
    "int32": [-(2**31), -1, 0, 1, 7, 2**31 - 1],
    "int64": [-(2**63), -1, 0, 1, 7, 2**63 - 1],
    "decimal(24, 1)": [Decimal("-1.5"), Decimal("0.0"), Decimal("1.0"), Decimal("7.5")],
    "float32": [-1.5, -0.0, 0.0, 1.0, math.inf, math.nan],
    "float64": [-1.5, -0.0, 0.0, 0.1, math.inf, math.nan],
    "string": ["", "a", "b", "it's", "é", "x" * 40, "x" * 39 + "y"],
    "boolean": [True, False],
    "date": [dt.date(1969, 12, 31), dt.date(1970, 1, 1), dt.date(2026, 11, 1)],
    "timestamp[us]": [dt.datetime(1969, 12, 31), dt.datetime(2026, 11, 1, 9, 30)],
}
WIDER = {"int32": "int64", "int64": "decimal(24, 1)", "float32": "float64", "date": "timestamp[us]"}
NAMES = ["a", "b", "c", "d e", 'q"q', "Order"]


@dataclass(frozen=True)
class Column:
    number: int
    name: str
    type: str
    default: Any = None
    nullable: bool = True


@dataclass(frozen=True)
class Version:
    columns: tuple[Column, ...]
    rows: tuple[dict[int, Any], ...]
    checks: tuple[tuple[str, int, Any], ...] = ()
    """Name, column and a value that it must not have."""

    def named(self) -> list[dict[str, Any]]:
        """The rows as a reader sees them."""
        return [{column.name: row[column.number] for column in self.columns} for row in self.rows]


def widened(value: Any, type_: str) -> Any:
    if value is None:
        return None
    if type_ == "decimal(24, 1)":
        return Decimal(value).quantize(Decimal("0.1"))
    if type_ == "timestamp[us]":
        return dt.datetime(value.year, value.month, value.day)
    return value


def comparable(value: Any) -> Any:
    """Times as text, because clauses compare numbers, text and nothing else."""
    return (
        value.isoformat(sep=" ")
        if isinstance(value, dt.datetime)
        else str(value)
        if isinstance(value, dt.date)
        else value
    )


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def literal(value: Any) -> str:
    match value:
        case bool():
            return str(value)
        case float():
            return f"'{value}'::DOUBLE"
        case str():
            return "'" + value.replace("'", "''") + "'"
        case dt.datetime() | dt.date():
            return f"'{value}'"
        case _:
            return str(value)


def as_clause(column: Column, kind: int, value: Any, other: Any) -> Clause:
    """A condition on a column, in Python's terms."""
    name = quoted(column.name)
    signs = ["=", "<>", "<", "<=", ">", ">="]
    if kind < len(signs):
        return Compare(name, signs[kind], comparable(value))
    if kind == len(signs):
        return Null(name)
    return In(name, (comparable(value), comparable(other)))


class History(RuleBasedStateMachine):
    @initialize(partition=st.sampled_from([(), ("a",), ("bucket(3, a)",)]))
    def create(self, partition: tuple[str, ...]) -> None:
        self.folder = tempfile.mkdtemp()
        self.lake = tl.connect(self.folder)
        self.columns_given = 2
        columns = (Column(1, "id", "int64"), Column(2, "a", "int32"))
        first = self.lake.create_table("t", {"id": "int64", "a": "int32"}, partition_by=partition)
        self.handles = [first, tl.connect(self.folder).table("t")]
        self.fixed = {1, 2} if partition else {1}
        self.versions = [Version(columns, ())]

    def teardown(self) -> None:
        if not hasattr(self, "versions"):
            return
        try:
            self.check_all()
        finally:
            shutil.rmtree(self.folder)

    # ------------------------------------------------------------------ drawing

    @property
    def now(self) -> Version:
        return self.versions[-1]

    def column(self, data: st.DataObject, *, free: bool = False) -> Column:
        columns = [column for column in self.now.columns if not free or column.number not in self.fixed]
        return data.draw(st.sampled_from(columns))

    def value(self, data: st.DataObject, column: Column) -> Any:
        pool = POOLS[column.type]
        return data.draw(st.sampled_from([*pool, None] if column.nullable else pool))

    def new_rows(self, data: st.DataObject) -> tuple[pa.Table, list[dict[int, Any]]]:
        """Rows to write, perhaps without some columns, and the rows as they will be."""
        left_out = {
            column.number
            for column in self.now.columns
            if column.number != 1
            and data.draw(st.integers(0, 9)) == 0
            and (column.nullable or column.default is not None)
        }
        rows = [
            {c.number: c.default if c.number in left_out else self.value(data, c) for c in self.now.columns}
            for _ in range(data.draw(st.integers(0, 4)))
        ]
        schema = self.handles[0].scan().to_reader().schema
        brought = [column for column in self.now.columns if column.number not in left_out]
        arrays = [pa.array([row[c.number] for row in rows], schema.field(c.name).type) for c in brought]
        return pa.Table.from_arrays(arrays, names=[column.name for column in brought]), rows

    def clause(self, data: st.DataObject) -> Clause:
        def leaf() -> Clause:
            column = self.column(data)
            pool = POOLS[column.type]
            return as_clause(
                column, data.draw(st.integers(0, 7)), data.draw(st.sampled_from(pool)), data.draw(st.sampled_from(pool))
            )

        match data.draw(st.integers(0, 5)):
            case 0:
                return Not(leaf())
            case 1:
                return Both(leaf(), leaf())
            case 2:
                return Either(leaf(), leaf())
            case _:
                return leaf()

    def holds(self, clause: Clause, row: dict[int, Any]) -> bool:
        return clause.of({quoted(c.name): comparable(row[c.number]) for c in self.now.columns}) is True

    def handle(self, data: st.DataObject) -> tl.Table:
        return data.draw(st.sampled_from(self.handles))

    # ------------------------------------------------------------------ stepping

    def step(self, commit: tl.Commit, version: Version, *, added: int = 0, deleted: int = 0) -> None:
        assert (commit.version, commit.rows_added, commit.rows_deleted) == (len(self.versions), added, deleted)
        self.versions.append(version)

    def broken_check(self, rows: list[dict[int, Any]]) -> bool:
        return any(same(row[number], value) for _, number, value in self.now.checks for row in rows)

    def write(self, rows: list[dict[int, Any]], act: Callable[[], tl.Commit], left: tuple[dict[int, Any], ...]) -> None:
        """Rows that a check refuses change nothing; others join those that are left."""
        if self.broken_check(rows):
            with pytest.raises(tl.InvalidError, match="CHECK"):
                act()
        else:
            deleted = len(self.now.rows) - len(left)
            self.step(act(), replace(self.now, rows=(*left, *rows)), added=len(rows), deleted=deleted)

    @rule(data=st.data())
    def append(self, data: st.DataObject) -> None:
        table, rows = self.new_rows(data)
        handle = self.handle(data)
        handle.snapshot()
        self.write(rows, lambda: handle.append(table), self.now.rows)

    @rule(data=st.data())
    def overwrite(self, data: st.DataObject) -> None:
        table, rows = self.new_rows(data)
        self.write(rows, lambda: self.handle(data).overwrite(table), ())

    @rule(data=st.data())
    def overwrite_where(self, data: st.DataObject) -> None:
        clause = self.clause(data)
        table, rows = self.new_rows(data)
        keep = [self.holds(clause, row) for row in rows]
        rows = [row for row, holds in zip(rows, keep, strict=True) if holds]
        left = tuple(row for row in self.now.rows if not self.holds(clause, row))
        where = clause.sql(literal)
        self.write(rows, lambda: self.handle(data).overwrite(table.filter(pa.array(keep, pa.bool_())), where), left)

    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        clause = self.clause(data)
        left = tuple(row for row in self.now.rows if not self.holds(clause, row))
        commit = self.handle(data).delete(clause.sql(literal))
        self.step(commit, replace(self.now, rows=left), deleted=len(self.now.rows) - len(left))

    @rule(data=st.data(), type_=st.sampled_from(sorted(POOLS)), with_default=st.booleans(), nullable=st.booleans())
    def add_column(self, data: st.DataObject, type_: str, with_default: bool, nullable: bool) -> None:
        free = [name for name in NAMES if name.casefold() not in {c.name.casefold() for c in self.now.columns}]
        if not free:
            return
        default = data.draw(st.sampled_from(POOLS[type_])) if with_default else None
        nullable = nullable or default is None
        self.columns_given += 1
        column = Column(self.columns_given, data.draw(st.sampled_from(free)), type_, default, nullable)
        commit = self.handle(data).alter.add_column(column.name, type_, default=default, nullable=nullable)
        rows = tuple({**row, column.number: default} for row in self.now.rows)
        self.step(commit, replace(self.now, columns=(*self.now.columns, column), rows=rows))

    @rule(data=st.data(), name=st.sampled_from(NAMES))
    def rename_column(self, data: st.DataObject, name: str) -> None:
        column = self.column(data)
        others = {each.name.casefold() for each in self.now.columns if each != column}
        alter = self.handle(data).alter
        if name.casefold() in others or any(number == column.number for _, number, _ in self.now.checks):
            with pytest.raises(tl.InvalidError):
                alter.rename_column(column.name, name)
            return
        self.step(alter.rename_column(column.name, name), self.with_column(replace(column, name=name)))

    @precondition(lambda self: len(self.now.columns) > 2)
    @rule(data=st.data())
    def drop_column(self, data: st.DataObject) -> None:
        column = self.column(data, free=True)
        alter = self.handle(data).alter
        if any(number == column.number for _, number, _ in self.now.checks):
            with pytest.raises(tl.InvalidError, match="CHECK"):
                alter.drop_column(column.name)
            return
        columns = tuple(each for each in self.now.columns if each != column)
        self.step(alter.drop_column(column.name), replace(self.now, columns=columns))

    @rule(data=st.data())
    def widen_column(self, data: st.DataObject) -> None:
        column = self.column(data)
        if column.type not in WIDER or any(number == column.number for _, number, _ in self.now.checks):
            return
        type_ = WIDER[column.type]
        commit = self.handle(data).alter.widen_column(column.name, type_)
        rows = tuple({**row, column.number: widened(row[column.number], type_)} for row in self.now.rows)
        wider = replace(column, type=type_, default=widened(column.default, type_))
        self.step(commit, replace(self.with_column(wider), rows=rows))

    @rule(data=st.data(), nullable=st.booleans())
    def set_nullable(self, data: st.DataObject, nullable: bool) -> None:
        column = self.column(data)
        alter = self.handle(data).alter
        if not nullable and any(row[column.number] is None for row in self.now.rows):
            with pytest.raises(tl.InvalidError, match="nulls"):
                alter.set_not_null(column.name)
            return
        commit = alter.drop_not_null(column.name) if nullable else alter.set_not_null(column.name)
        self.step(commit, self.with_column(replace(column, nullable=nullable)))

    @rule(data=st.data())
    def add_check(self, data: st.DataObject) -> None:
        column = self.column(data)
        value = data.draw(st.sampled_from(POOLS[column.type]))
        name = f"c{len(self.versions)}"
        alter, text = self.handle(data).alter, f"{quoted(column.name)} <> {literal(value)}"
        if any(same(row[column.number], value) for row in self.now.rows):
            with pytest.raises(tl.InvalidError, match=name):
                alter.add_check(name, text)
            return
        self.step(
            alter.add_check(name, text), replace(self.now, checks=(*self.now.checks, (name, column.number, value)))
        )

    @precondition(lambda self: self.now.checks)
    @rule(data=st.data())
    def drop_check(self, data: st.DataObject) -> None:
        check = data.draw(st.sampled_from(self.now.checks))
        left = tuple(each for each in self.now.checks if each != check)
        self.step(self.handle(data).alter.drop_check(check[0]), replace(self.now, checks=left))

    @rule(data=st.data())
    def look_at_some_rows(self, data: st.DataObject) -> None:
        clause = self.clause(data)
        scan = self.handle(data).scan(where=clause.sql(literal))
        columns = [column.name for column in self.now.columns]
        wanted = [dict(zip(columns, (row[c.number] for c in self.now.columns), strict=True)) for row in self.now.rows
                  if self.holds(clause, row)]  # fmt: skip
        assert bag(scan.to_arrow().to_pylist()) == bag(wanted)

    def with_column(self, column: Column) -> Version:
        columns = tuple(column if each.number == column.number else each for each in self.now.columns)
        return replace(self.now, columns=columns)

    # ------------------------------------------------------------------ checking

    def check_all(self) -> None:
        cold = tl.connect(self.folder)
        handles = [*self.handles, cold.table("t")]
        for number, version in enumerate(self.versions):
            rows = bag(version.named())
            for handle in handles:
                snapshot = handle.at(version=number)
                assert snapshot.schema.names == [column.name for column in version.columns]
                assert snapshot.row_count == len(rows)
                assert list(snapshot.checks) == [name for name, _, _ in version.checks]
            assert bag(snapshot.to_arrow().to_pylist()) == rows
        for number in {0, len(self.versions) // 2, len(self.versions) - 1}:
            assert_reads(handles[-1].at(version=number), self.versions[number].named(), cold)


def same(value: Any, other: Any) -> bool:
    """Whether `value <> other` is false."""
    if isinstance(value, float) and isinstance(other, float) and math.isnan(value):
        return math.isnan(other)
    return value is not None and value == other


History.TestCase.settings = settings(
    max_examples=25, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
TestHistory = History.TestCase
