"""A delete takes out exactly the rows for which its condition is true, and reads no file that the log can answer for."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

import tablelog as tl
from tablelog.store.memory import MemoryStore
from tablelog.store.metrics import MeteredStore
from tablelog.store.open import register_store
from tablelog.testing import FaultyStore
from tests.table.reading import assert_reads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROWS = [
    {"id": 1, "s": "a", "x": 1.0, "b": True},
    {"id": 2, "s": "b", "x": math.nan, "b": False},
    {"id": 3, "s": None, "x": None, "b": None},
    {"id": 4, "s": "d", "x": math.inf, "b": True},
    {"id": 5, "s": "", "x": -math.inf, "b": False},
    {"id": 6, "s": "f", "x": -0.0, "b": None},
    {"id": 7, "s": None, "x": 0.0, "b": True},
]

CONDITIONS = {
    "true": {1, 2, 3, 4, 5, 6, 7},
    "false": set(),
    "NULL": set(),
    "id = 3": {3},
    "t.id >= 6": {6, 7},
    "ID = 1": {1},
    '"id" = 1': {1},
    "id = 1 OR id = 7": {1, 7},
    "id IN (1, 2, NULL)": {1, 2},
    "id NOT IN (1, 2)": {3, 4, 5, 6, 7},
    "id NOT IN (1, NULL)": set(),
    "s = 'a'": {1},
    "s <> 'a'": {2, 4, 5, 6},
    "NOT (s = 'a')": {2, 4, 5, 6},
    "s IS NULL": {3, 7},
    "s IS NOT NULL": {1, 2, 4, 5, 6},
    "s IS DISTINCT FROM 'a'": {2, 3, 4, 5, 6, 7},
    "s = NULL": set(),
    "s = ''": {5},
    "s LIKE 'a%'": {1},
    "upper(s) = 'B'": {2},
    "coalesce(s, 'f') = 'f'": {3, 6, 7},
    "b": {1, 4, 7},
    "NOT b": {2, 5},
    "b IS NOT TRUE": {2, 3, 5, 6},
    "b = true": {1, 4, 7},
    "x > 0.5": {1, 2, 4},
    "x > 'inf'": {2},
    "x = 'nan'": {2},
    "x <> 'nan'": {1, 4, 5, 6, 7},
    "isnan(x)": {2},
    "x = 'inf'": {4},
    "x < 0": {5},
    "x = 0": {6, 7},
    "x = -0.0": {6, 7},
    "x <= 0": {5, 6, 7},
    "x >= 'nan'": {2},
    "x < 'nan'": {1, 4, 5, 6, 7},
    "x BETWEEN -1 AND 1": {1, 6, 7},
    "x IS NULL OR s = 'a'": {1, 3},
    "CASE WHEN id % 2 = 0 THEN b END": {4},
    "id = 1 -- and nothing else": {1},
    "id /* the key */ = 1": {1},
    "id\n=\n1": {1},
    "id + 1 = 2": {1},
    "id > 3 AND id < 3": set(),
}

BEYOND = {
    "aggregate": "count(*) > 0",
    "aggregate of a column": "id = max(id)",
    "window": "row_number() OVER () = 1",
    "unnest": "unnest([true, true])",
    "subquery": "id IN (SELECT 1)",
    "subquery over itself": "id = (SELECT max(id) FROM t)",
    "exists": "EXISTS (SELECT 1)",
    "position": "#1 = 1",
    "parameter": "id = ?",
    "two conditions": "id = 1, true",
    "statements": "id = 1; DELETE FROM t",
    "select": "id = 1 FROM t",
    "where": "id = 1 WHERE true",
    "union": "true UNION ALL SELECT true",
    "closing parenthesis": "true) OR (true",
    "no condition": "",
    "comment": "-- nothing",
    "number": "1",
    "column of numbers": "id",
    "text": "'true'",
    "unknown column": "nope = 1",
    "unknown function": "nope(id)",
    "other table": "other.id = 1",
    "broken": "id = ",
}


@pytest.fixture(params=[{}, {"inline_max_bytes": 0}], ids=["inlined", "files"])
def table(lake: tl.Lake, request: pytest.FixtureRequest) -> tl.Table:
    """The rows in four files or commits, one of them with a single row."""
    columns = {"id": "int64", "s": "string", "x": "double", "b": "boolean"}
    table = lake.create_table("t", columns, properties=request.param)
    for part in (ROWS[:2], ROWS[2:3], ROWS[3:5], ROWS[5:]):
        table.append(part)
    return table


@pytest.mark.parametrize("where", CONDITIONS)
def test_rows_for_which_it_is_true_go_and_all_others_stay(lake: tl.Lake, table: tl.Table, where: str) -> None:
    gone = CONDITIONS[where]
    before = table.snapshot()
    assert {row["id"] for row in before.scan(where=where).to_arrow().to_pylist()} == gone
    commit = table.delete(where)
    assert (commit.operation, commit.rows_deleted) == ("delete", len(gone))
    assert_reads(table.snapshot(), [row for row in ROWS if row["id"] not in gone], lake)
    assert_reads(before, ROWS, lake)
    assert table.delete(where).rows_deleted == 0


@pytest.mark.parametrize("where", BEYOND.values(), ids=BEYOND.keys())
def test_what_is_no_condition_on_a_row_is_refused(table: tl.Table, where: str) -> None:
    for act in (
        lambda: table.delete(where),
        lambda: table.scan(where=where),
        lambda: table.alter.add_check("c", where),
    ):
        with pytest.raises(tl.InvalidError):
            act()
    assert table.version == 4


@pytest.mark.parametrize("where", ["s::INT > 0", "1 // (id - id) > 0 OR error('no')"])
def test_a_condition_that_fails_on_a_row_deletes_nothing(table: tl.Table, where: str) -> None:
    with pytest.raises(tl.InvalidError):
        table.delete(where)
    with pytest.raises(tl.InvalidError):
        table.scan(where=where).to_arrow()
    assert table.version == 4


def test_a_condition_on_a_struct_reaches_inside(lake: tl.Lake) -> None:
    rows = [
        {"s": {"a": 1, "t": {"b": "x"}}},
        {"s": {"a": None, "t": None}},
        {"s": None},
        {"s": {"a": 2, "t": {"b": "y"}}},
    ]
    table = lake.create_table("s", pa.schema([("s", pa.array([rows[0]["s"]]).type)]))
    for each in rows:
        table.append(pa.table({"s": pa.array([each["s"]], table.to_arrow().schema.field("s").type)}))
    assert table.scan(where="s.a = 1").to_arrow().num_rows == 1
    assert len(table.scan(where="s.a = 1").files) == 1
    assert len(table.scan(where="s.t.b IS NULL").files) == 2
    table.delete("s.t.b = 'x'")
    table.delete("s.a IS NULL AND s IS NOT NULL")
    assert_reads(table.snapshot(), [{"s": None}, rows[3]])


def test_rows_of_many_batches_are_matched_in_order(lake: tl.Lake) -> None:
    count = 400_000
    table = lake.create_table("big", pa.table({"id": pa.array(range(count))}))
    assert len(table.snapshot().files) == 1
    commit = table.delete("hash(id) % 7 = 3")
    left = table.to_arrow()["id"].to_pylist()
    assert commit.rows_deleted == count - len(left)
    assert left == sorted(left)
    assert table.scan(where="hash(id) % 7 = 3").to_arrow().num_rows == 0


class TestCosts:
    @pytest.fixture
    def counted(self) -> Iterator[tuple[tl.Table, MeteredStore]]:
        """Three files of three rows each, id 0 to 8; every third row of the last file has no price."""
        store = MeteredStore(MemoryStore())
        register_store("counted", lambda url, options: store)
        columns = {"id": "int64", "price": "double"}
        table = tl.connect("counted://x").create_table("t", columns, properties={"inline_max_bytes": 0})
        for start in (0, 3, 6):
            prices = [1.0, 2.0, None if start == 6 else 3.0]
            table.append({"id": [start, start + 1, start + 2], "price": prices})
        yield table, store

    @pytest.mark.parametrize(
        ("where", "removed", "rewritten", "looked_into"),
        [
            ("true", 3, 0, 0),
            ("false", 0, 0, 0),
            ("id >= 3", 2, 0, 0),
            ("id < 3", 1, 0, 0),
            ("id IS NULL", 0, 0, 0),
            ("id IS NOT NULL", 3, 0, 0),
            ("price IS NOT NULL AND id < 6", 2, 0, 0),
            ("id > 100 OR price < 0", 0, 0, 0),
            ("NOT (id < 3 OR id > 5)", 1, 0, 0),
            ("id BETWEEN 3 AND 5", 1, 0, 0),
            ("id = 4", 0, 0, 1),
            ("price = 2", 0, 0, 3),
            ("price >= 1", 3, 1, 1),
            ("id = 4 OR id >= 6", 1, 0, 1),
            ("id % 3 > 0 AND id < 6", 2, 2, 2),
        ],
    )
    def test_files_are_read_only_where_some_rows_may_differ(
        self, counted: tuple[tl.Table, MeteredStore], where: str, removed: int, rewritten: int, looked_into: int
    ) -> None:
        """A file is removed unread if every row goes, rewritten if most go, and gets a vector if few do."""
        table, store = counted
        before = store.stats()
        commit = table.delete(where)
        spent = store.stats() - before
        assert (commit.files_removed, commit.files_added) == (removed, rewritten)
        assert spent.put == rewritten
        assert spent.put_if_absent == 1
        one_for_a_newer_version = 1
        assert spent.get == one_for_a_newer_version + looked_into + rewritten
        assert spent.list == spent.head == spent.delete == 0

    def test_a_delete_of_few_rows_is_one_conditional_put(self, counted: tuple[tl.Table, MeteredStore]) -> None:
        table, store = counted
        paths = {file.path: place for place, file in enumerate(table.snapshot().files)}
        for where, deleted in (("id = 4", [0, 1, 0]), ("id IN (0, 8)", [1, 1, 1])):
            before = store.stats()
            commit = table.delete(where)
            spent = store.stats() - before
            assert (spent.put, spent.put_if_absent) == (0, 1)
            assert (commit.files_removed, commit.files_added, commit.bytes_added) == (0, 0, 0)
            files = sorted(table.snapshot().files, key=lambda file: paths[file.path])
            assert len(files) == 3
            assert [(file.row_count, file.deleted_row_count) for file in files] == [(3, each) for each in deleted]
        before = store.stats()
        assert table.delete("id = 5").files_removed == 1
        assert (store.stats() - before).put == 1, "two of three rows are gone: the third moves"
        assert sorted(table.to_arrow()["id"].to_pylist()) == [1, 2, 3, 6, 7]

    def test_large_vectors_of_a_commit_are_one_object(self) -> None:
        store = MeteredStore(MemoryStore())
        register_store("counted", lambda url, options: store)
        table = tl.connect("counted://x").create_table("t", {"id": "int64"}, properties={"inline_max_bytes": 0})
        for start in (0, 100_000, 200_000):
            table.append({"id": list(range(start, start + 100_000))})
        before = store.stats()
        commit = table.delete("hash(id) % 10 = 3")
        spent = store.stats() - before
        assert (spent.put, spent.put_if_absent) == (1, 1)
        assert (commit.files_removed, commit.files_added, commit.bytes_added) == (0, 0, 0)
        vectors = [file.deleted for file in table.snapshot().files]
        assert all(vectors)
        assert len({vector and vector.path for vector in vectors}) == 1
        reopened = tl.connect("counted://x").table("t")
        before = store.stats()
        assert reopened.scan(where="hash(id) % 10 = 3").to_arrow().num_rows == 0
        assert reopened.row_count == 300_000 - commit.rows_deleted
        before = store.stats()
        assert reopened.delete("id >= 0").files_removed == 3
        spent = store.stats() - before
        assert (spent.get, spent.put, spent.put_if_absent) == (1, 0, 1), "files without a row are removed unread"

    @pytest.mark.parametrize("where", ["id = 4", "id <> 4"])
    def test_rows_inside_the_log_are_never_moved(self, where: str) -> None:
        store = MeteredStore(MemoryStore())
        register_store("counted", lambda url, options: store)
        table = tl.connect("counted://x").create_table("t", {"id": "int64"})
        table.append({"id": list(range(1000))})
        (path,) = [file.path for file in table.snapshot().files]
        before = store.stats()
        commit = table.delete(where)
        spent = store.stats() - before
        assert (spent.get, spent.put, spent.put_if_absent) == (1, 0, 1)
        (file,) = table.snapshot().files
        assert (file.path, file.live_row_count) == (path, 1000 - commit.rows_deleted)

    def test_only_columns_of_the_condition_are_read_of_files_without_a_match(self) -> None:
        store = MeteredStore(MemoryStore())
        register_store("counted", lambda url, options: store)
        wide = {"id": [1, 3], **{f"c{number}": ["x" * 50_000, "y" * 50_000] for number in range(20)}}
        table = tl.connect("counted://x").create_table("t", wide)
        before = store.stats()
        assert table.delete("id = 2").files_removed == 0
        spent = store.stats() - before
        size_bytes: Any = table.snapshot().size_bytes
        assert spent.put == 0
        assert spent.bytes_down < max(size_bytes / 2, 100_000)


@pytest.mark.parametrize("place", [0, 2])
@pytest.mark.parametrize(
    "act",
    [
        lambda table: table.delete("id % 7 = 3"),
        lambda table: table.update({"id": "id + 100"}, "id % 7 = 3"),
        lambda table: table.scan(where="id % 7 = 3").to_arrow(),
    ],
    ids=["delete", "update", "scan"],
)
def test_a_storage_that_fails_in_the_middle_is_said_to_have_failed(
    act: Callable[[tl.Table], object], place: int
) -> None:
    """Whichever file it is: the first one is opened when the query is bound, the others when it runs."""
    failing: list[str] = []

    def before(verb: str, key: str) -> None:
        if verb == "get" and failing and key.endswith(failing[0]):
            failing.clear()
            raise tl.StoreError("the power went")

    store = FaultyStore(MemoryStore(), before=before)
    register_store("failing", lambda url, options: store)
    table = tl.connect("failing://x").create_table("t", {"id": "int64"}, properties={"inline_max_bytes": 0})
    for start in (0, 10, 20):
        table.append({"id": list(range(start, start + 10))})
    failing.append(table.snapshot().files[place].path)
    with pytest.raises(tl.StoreError, match=r"^the power went$"):
        act(table)
    assert table.version == 3
    assert table.delete("id % 7 = 3").rows_deleted == 4
