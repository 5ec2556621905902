"""A merge does what the same MERGE does to a table of DuckDB's own, and says what is wrong with one that makes no sense."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tablelog as tl
from tests.table.reading import bag, readings

if TYPE_CHECKING:
    from collections.abc import Callable

COLUMNS = {"id": "int64", "a": "int32", "b": "string"}
ROWS = [
    {"id": 1, "a": 10, "b": "x"},
    {"id": 2, "a": 20, "b": None},
    {"id": 3, "a": None, "b": "z"},
    {"id": 4, "a": 40, "b": "w"},
]
SOURCE = [{"id": 2, "v": 7}, {"id": 3, "v": None}, {"id": 9, "v": 90}, {"id": None, "v": 100}]


@pytest.fixture(params=[{}, {"inline_max_bytes": "0"}], ids=["inside the log", "in files"])
def table(request: pytest.FixtureRequest, lake: tl.Lake) -> tl.Table:
    """Four rows, in two commits."""
    table = lake.create_table("t", COLUMNS, properties=request.param)
    table.append(ROWS[:3])
    table.append(ROWS[3:])
    return table


def source(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=pa.schema([("id", pa.int64()), ("v", pa.int32())]))


def rows_of(table: tl.Table) -> list[tuple[Any, ...]]:
    return sorted((tuple(row.values()) for row in table.to_arrow().to_pylist()), key=repr)


# --------------------------------------------------------------------------- against DuckDB

ON = ("t.id = s.id", "t.a = s.v", "t.id = s.id AND t.a > 1", "t.id < s.id", "t.id = 2", "s.v > 1 AND t.id = s.id",
      "t.id = s.id OR t.a = s.v", "false", "t.id + 1 = s.id", "s.id = t.id AND t.b = 'x'")  # fmt: skip
ABOUT_T = ("t.a > 2", "t.b = 'x'", "t.id % 2 = 0", "t.a IS NULL", "NULL")
ABOUT_S = ("s.v > 2", "s.id % 2 = 0", "s.v IS NULL", "NULL")
VALUES_T = {
    "a": ("t.a + 1", "NULL", "length(t.b)"),
    "b": ("t.b || '!'", "'new'", "t.a::VARCHAR"),
    "id": ("t.id + 100",),
}
VALUES_S = {"a": ("s.v", "s.v * 2 + 1"), "b": ("s.v::VARCHAR", "'s'"), "id": ("s.id",)}
VALUES_BOTH = {"a": ("s.v + t.a", *VALUES_S["a"], *VALUES_T["a"]), "b": ("concat(t.b, s.v)", *VALUES_T["b"])}


@st.composite
def clauses(draw: st.DrawFn) -> list[tuple[str, str, str | None, dict[str, str] | None]]:
    """About what, what is done, on what condition, and to which values."""
    found: list[tuple[str, str, str | None, dict[str, str] | None]] = []
    for when, thens, conditions, values in (
        ("matched", ("update", "delete", "nothing"), (*ABOUT_T, *ABOUT_S, "t.a < s.v"), VALUES_BOTH),
        ("not matched", ("insert", "nothing"), ABOUT_S, VALUES_S),
        ("not matched by source", ("update", "delete", "nothing"), ABOUT_T, VALUES_T),
    ):
        for _ in range(draw(st.integers(0, 3))):
            condition = draw(st.sampled_from([None, *conditions]))
            then = draw(st.sampled_from(thens))
            names = draw(st.lists(st.sampled_from(sorted(values)), min_size=1, unique=True))
            assigned = {name: draw(st.sampled_from(values[name])) for name in names}
            found.append((when, then, condition, assigned if then in {"update", "insert"} else None))
            if condition is None:
                break
    return draw(st.permutations(found)) if found and all(condition for _, _, condition, _ in found) else found


@st.composite
def cases(draw: st.DrawFn) -> tuple[Any, ...]:
    small = st.one_of(st.none(), st.integers(0, 5))
    rows = draw(st.lists(st.tuples(st.integers(0, 6), small, st.sampled_from(["x", "yy", None])), max_size=8))
    brought = draw(st.lists(st.tuples(small, small), max_size=5))
    return rows, brought, draw(st.sampled_from(ON)), draw(clauses())


def as_sql(when: str, then: str, condition: str | None, values: dict[str, str] | None) -> str:
    match then:
        case "update":
            assert values is not None
            does = "UPDATE SET " + ", ".join(f"{name} = {text}" for name, text in values.items())
        case "insert":
            assert values is not None
            does = f"INSERT ({', '.join(values)}) VALUES ({', '.join(values.values())})"
        case "delete":
            does = "DELETE"
        case _:
            does = "DO NOTHING"
    return f"WHEN {when.upper()} {'' if condition is None else f'AND {condition} '}THEN {does}"


def add(merge: tl.Merge, when: str, then: str, condition: str | None, values: dict[str, str] | None) -> None:
    name = f"when_{when.replace(' ', '_')}_{'do_nothing' if then == 'nothing' else then}"
    arguments = () if values is None else (values,)
    getattr(merge, name)(*arguments, where=condition)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(case=cases(), inline=st.booleans(), cuts=st.integers(1, 3))
def test_it_does_what_duckdb_does_to_its_own_table(
    tmp_path_factory: pytest.TempPathFactory, case: Any, inline: bool, cuts: int
) -> None:
    rows, brought, on, given_clauses = case
    if not given_clauses:
        return
    own = duckdb.connect()
    own.execute("CREATE TABLE t (id BIGINT, a INTEGER, b VARCHAR)")
    own.execute("CREATE TABLE s (id BIGINT, v INTEGER)")
    for name, values in (("t", rows), ("s", brought)):
        if values:
            own.executemany(f"INSERT INTO {name} VALUES ({', '.join('?' * len(values[0]))})", values)
    text = f"MERGE INTO t USING s ON ({on}) " + " ".join(as_sql(*clause) for clause in given_clauses)
    try:
        own.execute(text)
        wanted = own.sql("FROM t").fetchall()
    except duckdb.Error as error:
        assert "more than once" in str(error), text
        wanted = None
    lake = tl.connect(tmp_path_factory.mktemp("lake"))
    table = lake.create_table("t", COLUMNS, properties={} if inline else {"inline_max_bytes": "0"})
    for start in range(cuts):
        table.append([dict(zip(COLUMNS, row, strict=True)) for row in rows[start::cuts]] or pa.table(table).slice(0, 0))
    before = table.version
    merge = table.merge(source(*({"id": id_, "v": v} for id_, v in brought)), on=on)
    for clause in given_clauses:
        add(merge, *clause)
    if wanted is None:
        with pytest.raises(tl.InvalidError, match="more than one row of the source"):
            merge.execute()
        assert table.version == before
        return
    commit = merge.execute()
    assert Counter(rows_of(table)) == Counter(wanted), text
    assert table.row_count == len(wanted) == len(rows) + commit.rows_added - commit.rows_deleted
    for way, found in readings(table.snapshot(), lake).items():
        assert bag(found) == bag(table.to_arrow().to_pylist()), way


# --------------------------------------------------------------------------- one by one


def test_of_several_clauses_the_first_that_holds_counts(table: tl.Table) -> None:
    commit = (
        table.merge(source(*SOURCE), on="t.id = s.id")
        .when_matched_delete(where="s.v IS NULL")
        .when_matched_update({"a": "t.a + s.v"}, where="s.v < 10")
        .when_matched_update({"a": "-1"})
        .when_not_matched_do_nothing(where="s.id IS NULL")
        .when_not_matched_insert()
        .when_not_matched_by_source_update({"b": "'left'"}, where="t.a < 20")
        .execute()
    )
    assert rows_of(table) == [(1, 10, "left"), (2, 27, None), (4, 40, "w"), (9, None, None)]
    assert (commit.operation, commit.rows_added, commit.rows_deleted) == ("merge", 3, 3)


def test_without_values_columns_are_taken_by_name_and_others_left_alone(table: tl.Table) -> None:
    new = pa.table({"extra": [1, 2], "B": ["new", "too"], "ID": pa.array([1, 9], pa.int8())})
    table.merge(new, on="t.id = s.id").when_matched_update().when_not_matched_insert().execute()
    assert (1, 10, "new") in rows_of(table)
    assert (9, None, "too") in rows_of(table)
    assert len(rows_of(table)) == 5


def test_columns_that_an_insert_leaves_out_get_their_default(table: tl.Table) -> None:
    table.alter.add_column("c", "int64", default=5)
    table.alter.set_default("c", 6)
    table.merge(source({"id": 9, "v": 1}), on="t.id = s.id").when_not_matched_insert({"id": "s.id"}).execute()
    assert Counter(row[3] for row in rows_of(table)) == {5: 4, 6: 1}


@pytest.mark.parametrize(
    ("act", "changed"),
    [
        (lambda m: m.when_matched_update({"a": "s.v"}), False),
        (lambda m: m.when_not_matched_insert(), False),
        (lambda m: m.when_not_matched_by_source_delete(), True),
    ],
    ids=["update", "insert", "delete"],
)
def test_an_empty_source_matches_nothing(table: tl.Table, act: Callable[[tl.Merge], tl.Merge], changed: bool) -> None:
    act(table.merge(source(), on="t.id = s.id")).execute()
    assert len(rows_of(table)) == (0 if changed else 4)


def test_an_empty_table_takes_all_rows(lake: tl.Lake) -> None:
    table = lake.create_table("e", COLUMNS)
    table.merge(source(*SOURCE), on="t.id = s.id").when_matched_delete().when_not_matched_insert().execute()
    assert len(rows_of(table)) == 4


TWICE = source({"id": 2, "v": 1}, {"id": 2, "v": 5}, {"id": 9, "v": 1}, {"id": 9, "v": 1})


@pytest.mark.parametrize(
    "act",
    [
        lambda m: m.when_matched_update({"a": "s.v"}),
        lambda m: m.when_matched_delete(),
        lambda m: m.when_matched_update({"a": "s.v"}, where="s.v = 1").when_matched_delete(),
        lambda m: m.when_matched_delete(where="s.v = 5").when_matched_update({"a": "s.v"}),
    ],
    ids=["update", "delete", "update and delete", "delete and update"],
)
def test_rows_of_the_source_that_change_one_row_are_refused_with_the_row(
    table: tl.Table, act: Callable[[tl.Merge], tl.Merge]
) -> None:
    with pytest.raises(tl.InvalidError, match=r"more than one row of the source .* id=2, a=20, b=None"):
        act(table.merge(TWICE, on="t.id = s.id")).execute()
    assert table.version == 2


def test_rows_of_the_source_that_change_nothing_may_come_twice(table: tl.Table) -> None:
    merge = table.merge(TWICE, on="t.id = s.id")
    merge.when_matched_update({"a": "s.v"}, where="s.v = 5").when_not_matched_insert().execute()
    assert Counter(rows_of(table))[9, None, None] == 2
    assert (2, 5, None) in rows_of(table)


def test_a_table_with_a_key_takes_no_key_twice(lake: tl.Lake) -> None:
    table = lake.create_table("k", COLUMNS, key="id")
    table.append(ROWS)
    with pytest.raises(tl.InvalidError, match="id=9"):
        table.merge(TWICE, on="t.id = s.id").when_not_matched_insert().execute()
    with pytest.raises(tl.InvalidError, match="id=4"):
        table.merge(source({"id": 1, "v": 0}), on="t.id = s.id").when_matched_update({"id": "4"}).execute()
    swap = table.merge(source({"id": 1, "v": 4}, {"id": 4, "v": 1}), on="t.id = s.id")
    swap.when_matched_update({"id": "s.v"}).execute()
    assert {(4, 10, "x"), (1, 40, "w")} < set(rows_of(table))
    moved = table.merge(source({"id": 1, "v": 0}, {"id": 7, "v": 0}), on="t.id = s.id")
    moved.when_matched_delete().when_not_matched_insert({"id": "1"}).execute()
    assert (1, None, None) in rows_of(table)


def test_new_rows_keep_the_rules_of_the_table(table: tl.Table) -> None:
    table.alter.add_check("small", "a < 100")
    table.alter.set_not_null("id")
    merge = table.merge(source({"id": 2, "v": 100}), on="t.id = s.id").when_matched_update({"a": "s.v"})
    with pytest.raises(tl.InvalidError, match="small"):
        merge.execute()
    with pytest.raises(tl.InvalidError, match="'id' is not null"):
        table.merge(source({"id": None, "v": 1}), on="t.id = s.id").when_not_matched_insert().execute()
    with pytest.raises(tl.InvalidError, match="out of range"):
        table.merge(source({"id": 2, "v": 1}), on="t.id = s.id").when_matched_update({"a": "1 << 40"}).execute()
    assert table.version == 4


def test_a_changed_row_moves_to_its_partition(lake: tl.Lake) -> None:
    table = lake.create_table("p", COLUMNS, partition_by=["a"], properties={"inline_max_bytes": "0"})
    table.append(ROWS)
    table.merge(source({"id": 1, "v": 40}), on="t.id = s.id").when_matched_update({"a": "s.v"}).execute()
    assert table.scan(where="a = 40").to_arrow().num_rows == 2
    assert all(40 in file.partition_values for file in table.scan(where="a = 40").files)


def test_files_of_other_keys_are_left_alone(lake: tl.Lake) -> None:
    table = lake.create_table("f", COLUMNS, properties={"inline_max_bytes": "0"})
    for start in range(0, 40, 10):
        table.append([{"id": start + number} for number in range(10)])
    new = source({"id": 12, "v": 1}, {"id": 99, "v": 1})
    merge = table.merge(new, on="s.id = t.id AND t.id > 0").when_matched_update({"a": "s.v"}).when_not_matched_insert()
    for file in table.scan(where="id < 10 OR id >= 20").files:
        Path(table.url.removeprefix("file://"), file.path).unlink()
    commit = merge.execute()
    assert (commit.rows_added, commit.rows_deleted) == (2, 1)


def test_the_second_of_two_clauses_without_a_condition_is_refused(table: tl.Table) -> None:
    merge = table.merge(source(), on="t.id = s.id").when_matched_update({"a": "1"}).when_not_matched_insert()
    with pytest.raises(tl.InvalidError, match="an earlier clause takes every row that is matched"):
        merge.when_matched_delete(where="t.a = 1")
    merge.when_not_matched_by_source_delete()


def test_a_merge_without_clauses_is_refused(table: tl.Table) -> None:
    with pytest.raises(tl.InvalidError, match="without clauses"):
        table.merge(source(), on="t.id = s.id").execute()


@pytest.mark.parametrize(
    ("on", "message"),
    [
        ("t.id", "not true or false"),
        ("t.nope = s.id", "nope"),
        ("id = s.id", "Ambiguous"),
        ("t.id = (SELECT max(id) FROM s)", "looks beyond one row"),
        ("row_number() OVER () = 1", "looks beyond one row"),
        ("sum(t.id) = 1", "aggregates"),
        ("unnest([true, false])", "UNNEST"),
        ("t.id = s.id) OR (true", "not one condition"),
        ("COLUMNS(*) = 1", "without naming"),
        ("t.id = ?", "looks beyond one row"),
        ("", "not one condition"),
    ],
)
def test_a_condition_that_makes_no_sense_is_refused(table: tl.Table, on: str, message: str) -> None:
    for act in (lambda m: m.when_matched_delete(), lambda m: m.when_not_matched_by_source_delete()):
        with pytest.raises(tl.InvalidError, match=message) as error:
            act(table.merge(source(*SOURCE), on=on)).execute()
        assert repr(on) in str(error.value)
    assert table.version == 2


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda m: m.when_matched_update({"a": "s.nope"}), r"when matched then update: a = s.nope.*nope"),
        (lambda m: m.when_matched_update({"nope": "s.v"}), "nope"),
        (lambda m: m.when_matched_update({"a": "1", "A": "2"}), "'a' is assigned to twice"),
        (lambda m: m.when_matched_update({"a": "(SELECT 1)"}), "then update: a = .*looks beyond one row"),
        (lambda m: m.when_matched_update({"a": "unnest([1, 2])"}), "then update: a = .*UNNEST"),
        (lambda m: m.when_matched_update({"a": "max(s.v)"}), "then update: a = .*aggregates"),
        (lambda m: m.when_matched_delete(where="s.v"), "when matched then delete: where 's.v' is a INTEGER"),
        (lambda m: m.when_not_matched_insert({"a": "t.a"}), 'when not matched then insert: a = t.a.*"t"'),
        (lambda m: m.when_not_matched_insert(where="t.a = 1"), 'when not matched then insert: where .*"t"'),
        (lambda m: m.when_not_matched_by_source_update({"a": "s.v"}), r"by source then update: a = s.v.*"),
        (lambda m: m.when_not_matched_by_source_delete(where="s.v > 1"), "by source then delete: where 's.v > 1'"),
    ],
    ids=range(11),
)
def test_a_clause_that_makes_no_sense_is_refused_by_name(
    table: tl.Table, act: Callable[[tl.Merge], tl.Merge], message: str
) -> None:
    with pytest.raises((tl.InvalidError, tl.NotFoundError), match=f"(?s){message}"):
        act(table.merge(source(*SOURCE), on="t.id = s.id")).execute()
    assert table.version == 2


def test_a_source_without_any_column_of_the_table_is_refused(table: tl.Table) -> None:
    with pytest.raises(tl.InvalidError, match="none of the table's columns; it has x"):
        table.merge({"x": [1]}, on="t.id = s.x").when_matched_update().execute()


@pytest.mark.parametrize("name", ["s", "t", "#file", "#row", "#source", "file_row_number", "file_index", "*", 'q"q', "rows", "^a.*$"])  # fmt: skip
def test_a_column_may_have_any_name(lake: tl.Lake, name: str) -> None:
    table = lake.create_table("n", {"id": "int64", name: "int64"}, properties={"inline_max_bytes": "0"})
    table.append({"id": [1, 2, 3, 4, 5], name: [10, 20, 30, 40, 50]})
    new = {"id": [2, 9], name: [21, 90]}
    table.merge(new, on="t.id = s.id").when_matched_update().when_not_matched_insert().execute()
    quoted = '"' + name.replace('"', '""') + '"'
    merge = table.merge(new, on=f"t.{quoted} = s.{quoted}").when_matched_update({name: f"t.{quoted} + 1"})
    merge.when_not_matched_by_source_delete(where=f"t.{quoted} > 35").execute()
    assert rows_of(table) == [(1, 10), (2, 22), (3, 30), (9, 91)]
    with pytest.raises(tl.InvalidError, match="id=1"):
        table.merge({"x": [1, 1]}, on="t.id = s.x").when_matched_delete().execute()


def test_values_may_be_plain(table: tl.Table) -> None:
    merge = table.merge(source(*SOURCE), on="t.id = s.id").when_matched_update({"a": 5, "b": None})
    merge.when_not_matched_insert({"id": "s.id", "a": -1}, where="s.id = 9").execute()
    assert rows_of(table) == [(1, 10, "x"), (2, 5, None), (3, 5, None), (4, 40, "w"), (9, -1, None)]


def test_the_source_may_be_read_once(table: tl.Table) -> None:
    batches = source(*SOURCE).to_batches(max_chunksize=1)
    reader = pa.RecordBatchReader.from_batches(batches[0].schema, iter(batches))
    merge = table.merge(reader, on="t.id = s.id").when_matched_update({"a": "s.v"})
    merge.execute()
    assert (2, 7, None) in rows_of(table)
