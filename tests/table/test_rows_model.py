"""Random changes of rows against a model of a few lines: for every version, its columns and a list of rows.

steps       append (few rows, that stay inside the log, or many, that become files), delete, update, upsert, merge,
            overwrite where, compact, restore, revert, tag; add, rename, widen and drop a column
tables      with and without a key, a partitioning, a sort order and rows inside the log; segments of 2 to 4 commits
model       rows as dicts by column number; a version is a copy of them
held        after each step: every way of reading, a filtered scan, the row count, the counts of the commit
            at the end: every version in a handle that has just been opened, before and after segments and hints are
            deleted; and for any two versions the changes between them lead from one to the other
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

import tablelog as tl
from tests.table.reading import bag, readings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

ID, A, B = 1, 2, 3
LETTERS = ("x", "y", "é", None)
WHOLE = (0, 1, 2, 7, None)
Values = dict[int, Any]
Holds = "tuple[str, Callable[[Values], bool | None]]"


@dataclass(frozen=True)
class Column:
    number: int
    name: str
    type: str
    default: Any = None


@dataclass(frozen=True)
class Version:
    columns: tuple[Column, ...]
    rows: tuple[Values, ...]

    def named(self) -> list[dict[str, Any]]:
        """The rows as a reader sees them."""
        return [{column.name: row[column.number] for column in self.columns} for row in self.rows]

    def under(self, columns: Iterable[Column]) -> Counter[tuple[Any, ...]]:
        """The rows in some columns, those that they lack at their default."""
        columns = tuple(columns)
        return Counter(tuple(row.get(column.number, column.default) for column in columns) for row in self.rows)


@dataclass(frozen=True)
class Expression:
    """The same in SQL and in Python."""

    sql: str
    of: Callable[[Values], Any]

    def __call__(self, row: Values) -> Any:
        return self.of(row)


def compare(name: str, get: Callable[[Values], Any], sign: str, value: int) -> Expression:
    def of(row: Values) -> bool | None:
        found = get(row)
        if found is None:
            return None
        return {"=": found == value, "<>": found != value, "<": found < value, ">=": found >= value}[sign]

    return Expression(f"{name} {sign} {value}", of)


def plus(value: Any, more: Any) -> Any:
    return None if value is None else value + more


def first(clauses: Sequence[Any], row: Values) -> Any:
    """The clause that counts."""
    return next((clause for clause in clauses if clause[1] is None or clause[1](row) is True), None)


class Rows(RuleBasedStateMachine):
    @initialize(
        keyed=st.booleans(),
        partition=st.sampled_from([(), ("a",), ("bucket(2, id)",)]),
        sort=st.sampled_from([(), ("b", "id desc")]),
        inline=st.sampled_from([0, None]),
        fan_out=st.integers(2, 4),
    )
    def create(self, keyed: bool, partition: Any, sort: Any, inline: int | None, fan_out: int) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.lake = tl.connect(self.folder)
        properties = {"log_fan_out": str(fan_out)} | ({} if inline is None else {"inline_max_bytes": str(inline)})
        self.table = self.lake.create_table(
            "t",
            {"id": "int64", "a": "int32", "b": "string"},
            key="id" if keyed else None,
            partition_by=partition,
            sort_by=sort,
            properties=properties,
        )
        self.keyed = keyed
        self.fixed = {ID, A, B}
        self.given = 3
        columns = (Column(ID, "id", "int64"), Column(A, "a", "int32"), Column(B, "b", "string"))
        self.versions = [Version(columns, ())]
        self.operations = ["create"]

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

    @property
    def extra(self) -> list[Column]:
        return [column for column in self.now.columns if column.number not in self.fixed]

    def new_row(self, data: st.DataObject, id_: int | None = None) -> Values:
        row: Values = {
            ID: data.draw(st.integers(0, 30)) if id_ is None else id_,
            A: data.draw(st.sampled_from(WHOLE)),
            B: data.draw(st.sampled_from(LETTERS)),
        }
        return row | {column.number: data.draw(st.sampled_from(WHOLE)) for column in self.extra}

    def as_table(self, rows: Sequence[Values], columns: Iterable[Column] | None = None) -> pa.Table:
        schema = self.table.scan().to_reader().schema
        given = self.now.columns if columns is None else tuple(columns)
        arrays = [pa.array([row[c.number] for row in rows], schema.field(c.name).type) for c in given]
        return pa.Table.from_arrays(arrays, names=[column.name for column in given])

    def condition(self, data: st.DataObject) -> Expression:
        kind = data.draw(st.integers(0, 6))
        value = data.draw(st.integers(0, 8))
        match kind:
            case 0:
                return Expression("b IS NULL", lambda row: row[B] is None)
            case 1:
                return Expression("b = 'x'", lambda row: None if row[B] is None else row[B] == "x")
            case 2:
                return Expression(f"id % 3 = {value % 3}", lambda row: row[ID] % 3 == value % 3)
            case 3:
                return Expression("true", lambda row: True)
            case _:
                number, name = data.draw(st.sampled_from([(ID, "id"), (A, "a")]))
                sign = data.draw(st.sampled_from(["=", "<>", "<", ">="]))
                return compare(f"t.{name}", lambda row: row[number], sign, value)

    def assignment(self, data: st.DataObject) -> dict[int, tuple[str, Expression | None, Any]]:
        """By column: its name, and what it becomes."""
        choices: dict[int, list[Expression]] = {
            A: [
                Expression("a + 1", lambda row: plus(row[A], 1)),
                Expression("NULL", lambda row: None),
                Expression("id % 3", lambda row: row[ID] % 3),
            ],
            B: [
                Expression("b || '!'", lambda row: plus(row[B], "!")),
                Expression("a::VARCHAR", lambda row: None if row[A] is None else str(row[A])),
            ],
            ID: [
                Expression("id + 40", lambda row: row[ID] + 40),
                Expression("coalesce(a, 3)", lambda row: 3 if row[A] is None else row[A]),
            ],
        } | {column.number: [Expression("a", lambda row: row[A])] for column in self.extra}
        names = {column.number: column.name for column in self.now.columns}
        numbers = data.draw(st.lists(st.sampled_from(sorted(choices)), min_size=1, max_size=3, unique=True))
        return {n: (names[n], data.draw(st.sampled_from(choices[n])), None) for n in numbers}

    # ------------------------------------------------------------------ stepping

    def commit(self, act: Callable[[], tl.Commit], rows: Iterable[Values], columns: Any = None) -> None:
        """A step that leads to these rows, or is refused because a key would be there twice."""
        rows = tuple(rows)
        columns = columns or self.now.columns
        if self.keyed and len({row[ID] for row in rows}) < len(rows):
            with pytest.raises(tl.InvalidError, match=r"id="):
                act()
            return
        commit = act()
        assert commit.version == len(self.versions)
        assert commit.rows_added - commit.rows_deleted == len(rows) - len(self.now.rows)
        self.versions.append(Version(columns, rows))
        self.operations.append(commit.operation)
        self.look()

    def look(self) -> None:
        snapshot = self.table.snapshot()
        wanted = bag(self.now.named())
        for way, rows in readings(snapshot, self.lake).items():
            assert bag(rows) == wanted, way
        assert snapshot.row_count == len(wanted)
        some = [row for row, values in zip(self.now.named(), self.now.rows, strict=True) if values[ID] % 2 == 0]
        assert bag(snapshot.scan(where="id % 2 = 0").to_arrow().to_pylist()) == bag(some)

    @rule(data=st.data(), many=st.booleans())
    def append(self, data: st.DataObject, many: bool) -> None:
        if many:
            rows = [self.new_row(data, id_=start) for start in range(31, 61) if start % 2]
        else:
            rows = [self.new_row(data) for _ in range(data.draw(st.integers(0, 4)))]
        self.commit(lambda: self.table.append(self.as_table(rows)), (*self.now.rows, *rows))

    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        where = self.condition(data)
        self.commit(lambda: self.table.delete(where.sql), [row for row in self.now.rows if where(row) is not True])

    @rule(data=st.data())
    def update(self, data: st.DataObject) -> None:
        where, values = self.condition(data), self.assignment(data)
        rows = [self.changed(row, values) if where(row) is True else row for row in self.now.rows]
        given = {name: expression.sql for name, expression, _ in values.values() if expression is not None}
        self.commit(lambda: self.table.update(given, where.sql), rows)

    def changed(self, row: Values, values: dict[int, Any]) -> Values:
        """The row as it is written anew: columns that are gone are not."""
        return {c.number: values[c.number][1](row) if c.number in values else row[c.number] for c in self.now.columns}

    @rule(data=st.data(), on=st.sampled_from([(ID,), (A,), (A, B)]), given=st.booleans())
    def upsert(self, data: st.DataObject, on: tuple[int, ...], given: bool) -> None:
        """Some of the columns may be missing."""
        if self.keyed and not given:
            on = (ID,)
        rows = [self.new_row(data) for _ in range(data.draw(st.integers(0, 4)))]
        left_out = {c.number for c in self.now.columns if c.number not in on and data.draw(st.integers(0, 4)) == 0}
        if self.keyed:
            left_out -= {ID}
        columns = [column for column in self.now.columns if column.number not in left_out]
        names = [column.name for column in self.now.columns if column.number in on]
        source = data.draw(st.permutations(columns))

        def act() -> tl.Commit:
            return self.table.upsert(
                self.as_table(rows, source), on=None if self.keyed and not given else sorted(names)
            )

        keys = [tuple(row[number] for number in on) for row in rows]
        whole = [key for key in keys if None not in key]
        if len(set(whole)) < len(whole):
            with pytest.raises(tl.InvalidError, match="more than once"):
                act()
            return
        result: list[Values] = []
        news = {key: row for key, row in zip(keys, rows, strict=True) if None not in key}
        met = set()
        for row in self.now.rows:
            new = news.get(tuple(row[number] for number in on))
            if new is None:
                result.append(row)
                continue
            met.add(id(new))
            result.append({c.number: (row if c.number in left_out else new)[c.number] for c in self.now.columns})
        defaults = {column.number: column.default for column in self.now.columns}
        for row in rows:
            if id(row) not in met:
                result.append({n: defaults[n] if n in left_out else row[n] for n in defaults})
        if ID in left_out and any(row[ID] is None for row in result):
            return  # `id % 3` and its like would have to know of nulls
        self.commit(act, result)

    @rule(data=st.data())
    def merge(self, data: st.DataObject) -> None:
        on = data.draw(st.sampled_from([ID, ID, A]))
        name = {ID: "id", A: "a"}[on]
        source = [
            {"k": data.draw(st.integers(0, 12)), "v": data.draw(st.sampled_from(WHOLE))}
            for _ in range(data.draw(st.integers(0, 5)))
        ]
        merge = self.table.merge(
            pa.table(
                {
                    "k": pa.array([row["k"] for row in source], pa.int16()),
                    "v": pa.array([row["v"] for row in source], pa.int32()),
                }
            ),
            on=f"t.{name} = s.k",
        )
        plans: dict[str, list[tuple[str, Any]]] = {"matched": [], "new": [], "left": []}
        for kind, done in (("matched", "udn"), ("new", "in"), ("left", "udn")):
            for number in range(data.draw(st.integers(0, 2))):
                condition = data.draw(st.sampled_from(["half", "all"])) if number == 0 else "all"
                if kind == "new":
                    sql, holds = "s.v >= 2", lambda t, s: s["v"] is not None and s["v"] >= 2
                else:
                    sql, holds = "t.id % 2 = 0", lambda t, s: t[ID] % 2 == 0
                does = data.draw(st.sampled_from(done))
                plans[kind].append((does, holds if condition == "half" else None))
                where = sql if condition == "half" else None
                match kind, does:
                    case "matched", "u":
                        merge.when_matched_update({"a": "s.v", "b": "t.b || '?'"}, where=where)
                    case "matched", "d":
                        merge.when_matched_delete(where=where)
                    case "matched", _:
                        merge.when_matched_do_nothing(where=where)
                    case "new", "i":
                        merge.when_not_matched_insert({"id": "s.k", "a": "s.v", "b": "'new'"}, where=where)
                    case "new", _:
                        merge.when_not_matched_do_nothing(where=where)
                    case _, "u":
                        merge.when_not_matched_by_source_update({"b": "'left'"}, where=where)
                    case _, "d":
                        merge.when_not_matched_by_source_delete(where=where)
                    case _, _:
                        merge.when_not_matched_by_source_do_nothing(where=where)
                if condition == "all":
                    break
        if not any(plans.values()):
            return
        result, twice = self.merged(on, source, plans)
        if twice:
            with pytest.raises(tl.InvalidError, match="more than one row of the source"):
                merge.execute()
            return
        self.commit(merge.execute, result)

    def merged(self, on: int, source: list[dict[str, Any]], plans: Any) -> tuple[list[Values], bool]:
        """What a merge gives, and whether a row would be changed more than once."""
        result: list[Values] = []

        def does(kind: str, t: Values | None, s: Any) -> str:
            return next((does for does, holds in plans[kind] if holds is None or holds(t, s)), "n")

        twice = False
        for row in self.now.rows:
            matches = [each for each in source if each["k"] == row[on]]
            deeds = [(does("matched", row, each), each) for each in matches] or [(does("left", row, None), None)]
            deeds = [deed for deed in deeds if deed[0] != "n"]
            twice |= len(deeds) > 1
            match deeds:
                case []:
                    result.append(row)
                case [("u", None), *_]:
                    result.append(self.changed(row, {B: (0, lambda row: "left", 0)}))
                case [("u", each), *_]:
                    result.append(
                        self.changed(
                            row, {A: (0, lambda row, s=each: s["v"], 0), B: (0, lambda row: plus(row[B], "?"), 0)}
                        )
                    )
        ours = {row[on] for row in self.now.rows}
        defaults = {column.number: column.default for column in self.now.columns}
        for each in source:
            if each["k"] not in ours and does("new", None, each) == "i":
                result.append(defaults | {ID: each["k"], A: each["v"], B: "new"})
        return result, twice

    @rule(data=st.data())
    def overwrite_where(self, data: st.DataObject) -> None:
        where = self.condition(data)
        rows = [row for row in (self.new_row(data) for _ in range(3)) if where(row) is True]
        left = [row for row in self.now.rows if where(row) is not True]
        self.commit(lambda: self.table.overwrite(self.as_table(rows), where.sql), (*left, *rows))

    @rule()
    def compact(self) -> None:
        before = self.table.version
        commit = self.table.compact()
        if commit is None:
            assert self.table.version == before
            assert not any(file.is_inlined for file in self.table.snapshot().files)
            return
        assert (commit.rows_added, commit.rows_deleted) in {(0, 0), (commit.rows_added, commit.rows_added)}
        self.versions.append(self.now)
        self.operations.append("compact")
        self.look()

    @rule(data=st.data())
    def restore(self, data: st.DataObject) -> None:
        version = data.draw(st.integers(0, len(self.versions) - 1))
        then = self.versions[version]
        self.commit(lambda: self.table.restore(version), then.rows, then.columns)

    @rule(data=st.data())
    def tag(self, data: st.DataObject) -> None:
        version = data.draw(st.integers(0, len(self.versions) - 1))
        self.commit(lambda: self.table.tag(f"tag {len(self.versions)}", version), self.now.rows)
        assert bag(self.table.at(tag=f"tag {len(self.versions) - 1}").to_arrow().to_pylist()) == bag(
            self.versions[version].named()
        )

    @precondition(lambda self: len(self.versions) > 1)
    @rule(data=st.data())
    def revert(self, data: st.DataObject) -> None:
        """Often the last version, which nothing can stand in the way of."""
        last = len(self.versions) - 1
        version = data.draw(st.sampled_from([last, last, *range(1, last)]))
        before, after = self.versions[version - 1], self.versions[version]
        is_last = version == last or self.operations[version + 1 :] == ["tag"] * (last - version)
        if before.columns != after.columns and not is_last:
            return  # columns come back with what is left of them; see test_restoring
        columns = before.columns if before.columns != after.columns else self.now.columns
        went, came = before.under(columns), after.under(columns)
        if is_last:
            result = before.under(columns)
        else:
            result = self.now.under(columns)
            result.update(went - came)
            result.subtract(came - went)
        nothing = (tl.InvalidError,) if self.operations[version] == "tag" or went == came else ()
        keyed = (tl.InvalidError,) if self.keyed and not is_last else ()
        try:
            commit = self.table.revert(version)
        except (*nothing, *keyed):
            return
        except tl.ConflictError:
            assert not is_last
            return
        assert min(result.values(), default=0) >= 0
        numbers = [column.number for column in columns]
        rows = tuple(dict(zip(numbers, values, strict=True)) for values in result.elements())
        assert commit.rows_added - commit.rows_deleted == len(rows) - len(self.now.rows)
        self.versions.append(Version(columns, rows))
        self.operations.append("revert")
        self.look()

    # ------------------------------------------------------------------ columns

    @rule(default=st.sampled_from([None, 5]))
    @precondition(lambda self: len(self.now.columns) < 5)
    def add_column(self, default: int | None) -> None:
        self.given = max(self.given, self.table.schema.last_field_id) + 1
        column = Column(self.given, f"c{len(self.versions)}", "int32", default)
        rows = [{**row, column.number: default} for row in self.now.rows]
        self.commit(
            lambda: self.table.alter.add_column(column.name, "int32", default=default),
            rows,
            (*self.now.columns, column),
        )

    @precondition(lambda self: self.extra)
    @rule(data=st.data(), kind=st.sampled_from(["rename", "widen", "drop"]))
    def change_column(self, data: st.DataObject, kind: str) -> None:
        column = data.draw(st.sampled_from(self.extra))
        others = tuple(each for each in self.now.columns if each != column)
        alter = self.table.alter
        if kind == "drop":
            self.commit(lambda: alter.drop_column(column.name), self.now.rows, others)
            return
        name = f"r{len(self.versions)}"
        new = replace(column, name=name) if kind == "rename" else replace(column, type="int64")
        columns = tuple(new if each == column else each for each in self.now.columns)
        act = (
            (lambda: alter.rename_column(column.name, name))
            if kind == "rename"
            else (lambda: alter.widen_column(column.name, "int64"))
        )
        if new != column:
            self.commit(act, self.now.rows, columns)

    # ------------------------------------------------------------------ checking

    def check_all(self) -> None:
        folder = Path(self.table.url.removeprefix("file://"))
        self.check_versions(tl.open_table(folder))
        self.check_changes(tl.open_table(folder))
        logs = [path for path in (folder / "_log").rglob("*") if path.is_file() and path.suffix != ".json"]
        assert len(self.versions) < 4 or logs
        for path in logs:
            path.unlink()
        for path in (folder / "_log").glob("*hint*"):
            path.unlink()
        opened = tl.open_table(folder)
        self.check_versions(opened)
        self.check_changes(opened)

    def check_versions(self, table: tl.Table) -> None:
        assert table.version == len(self.versions) - 1
        for number, version in enumerate(self.versions):
            snapshot = table.at(version=number)
            assert snapshot.schema.names == [column.name for column in version.columns]
            assert snapshot.row_count == len(version.rows)
            assert bag(snapshot.to_arrow().to_pylist()) == bag(version.named())

    def check_changes(self, table: tl.Table) -> None:
        """From any version to the last, and from each to the next."""
        last = len(self.versions) - 1
        pairs = {(since, last) for since in range(last)} | {(since, since + 1) for since in range(last)}
        for since, until in sorted(pairs):
            changes = table.changes(since, until).to_arrow().to_pylist()
            columns = self.lasting(since, until)
            rows = self.versions[since].under(columns)
            kinds = Counter((change["_version"], change["_change"]) for change in changes)
            for change in changes:
                assert since < change["_version"] <= until
                sign = 1 if change["_change"] in {"insert", "update_after"} else -1
                rows[tuple(change[column.name] for column in columns)] += sign
            assert +rows == self.versions[until].under(columns), (since, until)
            assert not -rows
            for version in range(since + 1, until + 1):
                if self.operations[version] == "compact":
                    assert not any(each == version for each, _ in kinds)
                assert kinds[version, "update_before"] == kinds[version, "update_after"]

    def lasting(self, since: int, until: int) -> list[Column]:
        """Columns of a version that were not away for a while before it: rows written meanwhile lack them."""
        found = []
        for column in self.versions[until].columns:
            there = [column.number in {c.number for c in version.columns} for version in self.versions[: until + 1]]
            if all(there[there.index(True) :]) or all(there[max(since, 0) :]):
                found.append(column)
        return found


Rows.TestCase.settings = settings(
    max_examples=10, stateful_step_count=14, deadline=None, suppress_health_check=list(HealthCheck), database=None
)
TestRows = Rows.TestCase
