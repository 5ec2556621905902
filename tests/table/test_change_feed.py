"""The changes between two versions say row by row what came and went, and nothing about what only moved."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa
import pytest

import tablelog as tl
from tests.table.reading import bag

if TYPE_CHECKING:
    from collections.abc import Callable

IN_FILES = {"inline_max_bytes": "0"}
COLUMNS = {"id": "int64", "a": "int64"}


@pytest.fixture(params=[{}, IN_FILES], ids=["inside the log", "in files"])
def table(request: pytest.FixtureRequest, lake: tl.Lake) -> tl.Table:
    """Rows 1 to 4 in version 1."""
    table = lake.create_table("t", COLUMNS, properties=request.param | {"log_fan_out": "3"})
    table.append({"id": [1, 2, 3, 4], "a": [10, 20, 30, 40]})
    return table


def told(table: tl.Table, since: int, until: int | None = None) -> Counter[tuple[Any, ...]]:
    """Kind, version and values of each change."""
    changes = table.changes(since, until).to_arrow().to_pylist()
    return Counter((c["_change"], c["_version"], c["id"], c["a"]) for c in changes)


STEPS: dict[str, tuple[Callable[[tl.Table], Any], set[tuple[Any, ...]]]] = {
    "append": (lambda t: t.append({"id": [5], "a": [50]}), {("insert", 5, 50)}),
    "delete": (lambda t: t.delete("id = 2"), {("delete", 2, 20)}),
    "delete of most": (lambda t: t.delete("id > 1"), {("delete", n, 10 * n) for n in (2, 3, 4)}),
    "delete of all": (lambda t: t.delete("true"), {("delete", n, 10 * n) for n in (1, 2, 3, 4)}),
    "delete of none": (lambda t: t.delete("false"), set()),
    "update": (lambda t: t.update({"a": "0"}, "id = 2"), {("update_before", 2, 20), ("update_after", 2, 0)}),
    "update of most": (
        lambda t: t.update({"a": "0"}, "id > 1"),
        {(kind, n, a) for n in (2, 3, 4) for kind, a in (("update_before", 10 * n), ("update_after", 0))},
    ),
    "update of all": (
        lambda t: t.update({"a": "a"}),
        {(kind, n, 10 * n) for n in (1, 2, 3, 4) for kind in ("update_before", "update_after")},
    ),
    "upsert": (
        lambda t: t.upsert({"id": [1, 9], "a": [0, 90]}, on="id"),
        {("update_before", 1, 10), ("update_after", 1, 0), ("insert", 9, 90)},
    ),
    "merge": (
        lambda t: (
            t.merge({"id": [1, 2, 9], "a": [0, 5, 90]}, on="t.id = s.id")
            .when_matched_delete(where="s.a = 0")
            .when_matched_update()
            .when_not_matched_insert()
            .execute()
        ),
        {("delete", 1, 10), ("update_before", 2, 20), ("update_after", 2, 5), ("insert", 9, 90)},
    ),
    "merge of most": (
        lambda t: (
            t.merge({"id": [1, 2, 3], "a": [0, 0, 5]}, on="t.id = s.id")
            .when_matched_delete(where="s.a = 0")
            .when_matched_update()
            .execute()
        ),
        {("delete", 1, 10), ("delete", 2, 20), ("update_before", 3, 30), ("update_after", 3, 5)},
    ),
    "merge of all": (
        lambda t: (
            t.merge({"id": [1]}, on="t.id = s.id")
            .when_matched_delete()
            .when_not_matched_by_source_update({"a": "0"})
            .execute()
        ),
        {("delete", 1, 10)}
        | {(kind, n, a) for n in (2, 3, 4) for kind, a in (("update_before", 10 * n), ("update_after", 0))},
    ),
    "overwrite": (
        lambda t: t.overwrite({"id": [7], "a": [70]}),
        {("delete", n, 10 * n) for n in (1, 2, 3, 4)} | {("insert", 7, 70)},
    ),
    "overwrite where": (
        lambda t: t.overwrite({"id": [2], "a": [0]}, where="id = 2"),
        {("delete", 2, 20), ("insert", 2, 0)},
    ),
    "restore": (lambda t: t.restore(0), {("delete", n, 10 * n) for n in (1, 2, 3, 4)}),
    "revert": (lambda t: t.revert(1), {("delete", n, 10 * n) for n in (1, 2, 3, 4)}),
    "alter": (lambda t: t.alter.set_property("x", "y"), set()),
    "tag": (lambda t: t.tag("x"), set()),
}


@pytest.mark.parametrize("name", STEPS)
def test_each_operation_is_told_as_what_it_did(table: tl.Table, name: str) -> None:
    act, expected = STEPS[name]
    act(table)
    wanted = Counter((kind, 2, id_, a) for kind, id_, a in expected)
    assert told(table, 1) == wanted
    for _ in range(9):  # by then segments hold it
        table.tag(f"tag {table.version}")
    assert told(table, 1, 2) == told(table, 1) == told(tl.open_table(table.url), 1) == wanted
    assert told(table, 2) == Counter()


@pytest.mark.parametrize("name", STEPS)
def test_what_is_taken_back_is_told_the_other_way_round(table: tl.Table, name: str) -> None:
    act, expected = STEPS[name]
    act(table)
    if not expected:
        return
    table.revert(2)
    went = {"delete": -1, "update_before": -1, "insert": 1, "update_after": 1}
    balance: Counter[tuple[Any, ...]] = Counter()
    for (kind, _, *values), count in told(table, 1).items():
        balance[tuple(values)] += went[kind] * count
    assert not any(balance.values())
    assert {version for _, version, *_ in told(table, 2)} == {3}


def test_rows_that_only_go_are_deletes_although_others_are_updated(table: tl.Table) -> None:
    table.append({"id": [5], "a": [50]})
    merge = table.merge({"id": [5, 1, 2], "a": [0, 0, 1]}, on="t.id = s.id")
    merge.when_matched_delete(where="s.a = 0 AND t.id = 5").when_matched_update().execute()
    assert Counter(kind for kind, *_ in told(table, 2)) == {"delete": 1, "update_before": 2, "update_after": 2}
    assert ("delete", 3, 5, 50) in told(table, 2)
    assert table.row_count == 4


def test_compactions_are_not_told(table: tl.Table) -> None:
    table.append({"id": [5], "a": [50]})
    table.delete("id = 1")
    table.append({"id": [6], "a": [60]})
    version = table.version
    assert table.compact() is not None
    table.delete("id = 2")
    assert told(table, version) == Counter([("delete", version + 2, 2, 20)])
    assert told(table, version, version + 1) == Counter()
    table.update({"a": "0"}, "id = 3")
    table.compact()
    assert {kind for kind, *_ in told(table, version + 2)} == {"update_before", "update_after"}


def test_rows_that_went_come_before_those_that_came_and_versions_in_their_order(table: tl.Table) -> None:
    table.update({"a": "0"}, "id <= 2")
    table.append({"id": [5], "a": [50]})
    table.upsert({"id": [5, 6], "a": [0, 0]}, on="id")
    changes = table.changes(1).to_arrow()
    assert changes["_version"].to_pylist() == [2, 2, 2, 2, 3, 4, 4, 4]
    kinds = changes["_change"].to_pylist()
    assert kinds[:5] == ["update_before"] * 2 + ["update_after"] * 2 + ["insert"]
    assert kinds[5] == "update_before"
    when = {row["version"]: row["timestamp"] for row in table.history().to_dicts()}
    for row in changes.to_pylist():
        assert row["_timestamp"].timestamp() == when[row["_version"]].timestamp()


def test_from_the_beginning_all_rows_came(table: tl.Table) -> None:
    assert told(table, -1) == told(table, 0) == Counter([("insert", 1, n, 10 * n) for n in (1, 2, 3, 4)])
    created = tl.connect(table.url.rpartition("/")[0]).create_table("c", {"id": [1], "a": [2]})
    assert told(created, -1) == Counter([("insert", 0, 1, 2)])
    assert told(created, 0) == Counter()


def test_columns_are_those_of_the_last_version(table: tl.Table) -> None:
    table.alter.add_column("c", "int32", default=7)
    table.alter.rename_column("a", "b")
    table.delete("id = 1")
    table.alter.widen_column("c", "int64")
    table.append({"id": [5]})
    changes = table.changes(0).to_arrow()
    assert changes.schema.names == ["id", "b", "c", "_change", "_version", "_timestamp"]
    assert changes.schema.field("c").type == pa.int64()
    assert {row["id"]: (row["b"], row["c"]) for row in changes.to_pylist() if row["_change"] == "insert"} == {
        1: (10, 7), 2: (20, 7), 3: (30, 7), 4: (40, 7), 5: (None, 7),
    }  # fmt: skip
    assert table.changes(0, 1).to_arrow().schema.names[:2] == ["id", "a"]
    table.alter.drop_column("c")
    assert table.changes(0).to_arrow().schema.names[:3] == ["id", "b", "_change"]


def test_every_library_gets_the_same_rows(table: tl.Table) -> None:
    table.update({"a": "0"}, "id = 2")
    changes = table.changes(1)
    wanted = bag(changes.to_arrow().drop_columns("_timestamp").to_pylist())
    for frame in (changes.to_polars(), changes.lazy().collect(), pl.DataFrame(pa.table(changes))):
        assert bag(frame.drop("_timestamp").to_dicts()) == wanted
    assert len(changes.to_pandas()) == len(wanted)
    assert sum(batch.num_rows for batch in changes.to_reader()) == len(wanted)


@pytest.mark.parametrize(
    ("since", "until", "error"),
    [
        (2, 1, tl.InvalidError),
        (0, 99, tl.NotFoundError),
        (-2, 1, tl.InvalidError),
        ("0", 1, tl.InvalidError),
        (True, 1, tl.InvalidError),
        (None, 1, tl.InvalidError),
    ],
)
def test_versions_that_make_no_sense_are_refused(table: tl.Table, since: Any, until: Any, error: type) -> None:
    with pytest.raises(error):
        table.changes(since, until)


def test_large_vectors_and_many_rows_are_told_exactly(lake: tl.Lake) -> None:
    count = 200_000
    table = lake.create_table("big", pa.table({"id": pa.array(range(count)), "a": pa.array([0] * count)}))
    table.delete("hash(id) % 3 = 0")
    table.update({"a": "1"}, "hash(id) % 3 = 1 AND id < 100000")
    ids = {kind: set() for kind in ("delete", "update_before", "update_after")}
    for row in table.changes(0).to_reader():
        for kind, number in zip(row["_change"].to_pylist(), row["id"].to_pylist(), strict=True):
            assert number not in ids[kind]
            ids[kind].add(number)
    assert ids["delete"] == set(range(count)) - set(table.to_arrow()["id"].to_pylist())
    assert ids["update_before"] == ids["update_after"] == set(table.scan(where="a = 1").to_arrow()["id"].to_pylist())
