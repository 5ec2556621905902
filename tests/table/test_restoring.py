"""Going back: a whole version is restored, one commit is taken back and later ones stay, versions have names."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

import tablelog as tl
from tests.table.reading import bag, readings

IN_FILES = {"inline_max_bytes": "0"}
COLUMNS = {"id": "int64", "a": "int32", "s": "string"}


@pytest.fixture(params=[{}, IN_FILES], ids=["inside the log", "in files"])
def table(request: pytest.FixtureRequest, lake: tl.Lake) -> tl.Table:
    """Rows 1 to 4 in version 1, 5 and 6 in version 2."""
    table = lake.create_table("t", COLUMNS, properties=request.param)
    table.append({"id": [1, 2, 3, 4], "a": [10, 20, 30, 40], "s": ["a", "b", None, "d"]})
    table.append({"id": [5, 6], "a": [50, 60], "s": ["e", "f"]})
    return table


def rows(table: tl.Table | tl.Snapshot) -> Counter[str]:
    return Counter(bag(table.to_arrow().to_pylist()))


def ids(table: tl.Table) -> list[Any]:
    """Ids of the rows, after every way of reading was seen to say the same."""
    snapshot = table.snapshot()
    every = {way: bag(found) for way, found in readings(snapshot).items()}
    assert all(each == every["arrow"] for each in every.values())
    assert snapshot.row_count == len(every["arrow"])
    return sorted(snapshot.to_arrow()["id"].to_pylist())


# --------------------------------------------------------------------------- restore


def test_rows_columns_rules_and_settings_come_back(lake: tl.Lake, table: tl.Table) -> None:
    table.alter.add_check("small", "a < 100")
    table.alter.set_property("owner", "me")
    then = table.version
    wanted, schema = rows(table), table.schema
    table.delete("id = 1")
    table.alter.drop_check("small")
    table.alter.set_property("owner", None)
    table.alter.set_property("other", "x")
    table.alter.rename_column("a", "b")
    table.alter.drop_column("s")
    table.alter.add_column("c", "int64", default=7)
    table.append({"id": [7], "b": [700]})
    table.compact()
    table.update({"b": "b + 1"})
    before = table.version
    versions = {number: rows(table.at(version=number)) for number in range(before + 1)}
    commit = table.restore(then)
    assert (commit.operation, commit.version, commit.rows_added, commit.rows_deleted) == ("restore", before + 1, 6, 6)
    assert rows(table) == wanted
    assert table.schema.fields == schema.fields
    assert table.snapshot().checks == {"small": "a < 100"}
    assert table.properties == dict(table.at(version=then).properties)
    with pytest.raises(tl.InvalidError, match="small"):
        table.append({"id": [8], "a": [800]})
    table.append({"id": [8], "a": [80], "s": ["h"]})
    assert ids(table) == [1, 2, 3, 4, 5, 6, 8]
    table.alter.add_column("d", "int64")
    for opened in (table, tl.open_table(table.url)):
        for number, expected in versions.items():
            assert rows(opened.at(version=number)) == expected
    table.restore(before)
    assert rows(table) == versions[before]
    assert "owner" not in table.properties


def test_partitioning_sort_order_and_key_come_back(lake: tl.Lake) -> None:
    table = lake.create_table("p", COLUMNS, key="id", partition_by=["a"], sort_by=["s"], properties=IN_FILES)
    table.append({"id": [1], "a": [1], "s": ["x"]})
    table.alter.partition_by()
    table.alter.sort_by("id desc")
    table.append({"id": [2, 3], "a": [2, 3], "s": ["b", "a"]})
    table.restore(1)
    table.append({"id": [5, 4, 6], "a": [7, 7, 8], "s": ["b", "a", "c"]})
    assert {file.partition_values for file in table.snapshot().files} == {(1,), (7,), (8,)}
    assert table.scan(where="a = 7").to_arrow()["s"].to_pylist() == ["a", "b"]
    with pytest.raises(tl.InvalidError, match="id=1"):
        table.append({"id": [1], "a": [1], "s": ["x"]})
    assert ids(table) == [1, 4, 5, 6]


def test_to_restore_what_is_there_is_a_commit_that_changes_nothing(table: tl.Table) -> None:
    commit = table.restore(2)
    assert (commit.version, commit.rows_added, commit.rows_deleted, commit.files_added) == (3, 0, 0, 0)
    assert not table.changes(2, 3).to_arrow().num_rows


def test_deleted_rows_of_a_file_come_back_with_its_vector(table: tl.Table) -> None:
    table.delete("id = 2")
    table.delete("id = 3")
    table.restore(3)
    assert ids(table) == [1, 3, 4, 5, 6]
    table.restore(2)
    table.restore(4)
    assert ids(table) == [1, 4, 5, 6]
    table.restore(0)
    assert ids(table) == []
    table.restore(version=2)
    assert ids(table) == [1, 2, 3, 4, 5, 6]


def test_a_tag_and_a_moment_can_be_restored(table: tl.Table) -> None:
    table.tag("good")
    moment = table.at(version=2).timestamp
    table.delete("true")
    table.restore(tag="good")
    assert ids(table) == [1, 2, 3, 4, 5, 6]
    assert table.tags() == {"good": 2}
    table.delete("true")
    table.restore(timestamp=moment)
    assert ids(table) == [1, 2, 3, 4, 5, 6]


def test_what_is_not_there_cannot_be_restored(table: tl.Table) -> None:
    with pytest.raises(tl.NotFoundError):
        table.restore(9)
    with pytest.raises(tl.NotFoundError, match="no tag 'nope'"):
        table.restore(tag="nope")
    with pytest.raises(tl.InvalidError):
        table.restore()
    with pytest.raises(tl.InvalidError):
        table.restore(1, tag="x")


# --------------------------------------------------------------------------- revert

Act = "Callable[[tl.Table], Any]"

COMMITS: dict[str, Any] = {
    "append": lambda t: t.append({"id": [7], "a": [70], "s": ["g"]}),
    "delete": lambda t: t.delete("id = 2"),
    "delete of most": lambda t: t.delete("id IN (1, 2, 3)"),
    "delete of a file": lambda t: t.delete("id < 5"),
    "delete of all": lambda t: t.delete("true"),
    "update": lambda t: t.update({"a": "a + 1"}, "id IN (2, 5)"),
    "update of most": lambda t: t.update({"a": "a + 1"}, "id < 4"),
    "update of all": lambda t: t.update({"s": None}),
    "upsert": lambda t: t.upsert({"id": [2, 9], "a": [0, 0], "s": ["n", "n"]}, on="id"),
    "merge": lambda t: (
        t.merge({"id": [1, 2, 9], "a": [0, 1, 2]}, on="t.id = s.id")
        .when_matched_delete(where="s.a = 0")
        .when_matched_update()
        .when_not_matched_insert()
        .when_not_matched_by_source_update({"s": "'left'"}, where="t.id = 5")
        .execute()
    ),
    "overwrite": lambda t: t.overwrite({"id": [7], "a": [70], "s": ["g"]}),
    "overwrite where": lambda t: t.overwrite({"id": [2], "a": [0], "s": ["n"]}, where="id = 2"),
    "restore": lambda t: t.restore(1),
    "compact": lambda t: t.compact(),
    "add column": lambda t: t.alter.add_column("c", "int64", default=1),
    "rename column": lambda t: t.alter.rename_column("a", "b"),
    "drop column": lambda t: t.alter.drop_column("s"),
    "widen column": lambda t: t.alter.widen_column("a", "int64"),
    "set not null": lambda t: t.alter.set_not_null("a"),
    "add check": lambda t: t.alter.add_check("c", "a > 0"),
    "set property": lambda t: t.alter.set_property("owner", "me"),
    "partition by": lambda t: t.alter.partition_by("a"),
    "sort by": lambda t: t.alter.sort_by("a"),
}
UNDISTURBED = set(COMMITS) - {"widen column"}
"""By rows that are appended later; those of a wider type would stand in the way."""


@pytest.mark.parametrize("name", COMMITS)
def test_a_commit_that_is_taken_back_leaves_the_table_as_it_was(lake: tl.Lake, table: tl.Table, name: str) -> None:
    before, metadata = rows(table), (table.schema.fields, table.snapshot().checks, table.properties)
    COMMITS[name](table)
    after = rows(table)
    commit = table.revert(3)
    assert (commit.operation, commit.version) == ("revert", 4)
    assert rows(table) == before
    assert (table.schema.fields, table.snapshot().checks, table.properties) == metadata
    assert len(ids(table)) == 6
    table.revert(4)
    assert rows(table) == after
    table.revert(5)
    assert rows(table) == before
    ids(table)
    for version, expected in ((2, before), (3, after), (4, before), (5, after)):
        assert rows(tl.open_table(table.url).at(version=version)) == expected


@pytest.mark.parametrize("name", sorted(UNDISTURBED))
def test_what_came_later_stays(table: tl.Table, name: str) -> None:
    before = ids(table)
    COMMITS[name](table)
    new = {"id": [20, 21], "b" if name == "rename column" else "a": [1, 2]}
    table.append(new)
    table.delete("id = 21")
    table.revert(3)
    assert ids(table) == sorted([*before, 20])


@pytest.mark.parametrize("name", ["delete", "delete of most", "delete of a file", "delete of all"])
def test_deleted_rows_come_back_although_their_file_was_compacted_away(table: tl.Table, name: str) -> None:
    before = rows(table)
    COMMITS[name](table)
    table.append({"id": [20], "a": [1], "s": ["x"]})
    table.compact()
    table.alter.add_column("c", "int64", default=5)
    table.revert(3)
    assert ids(table) == [1, 2, 3, 4, 5, 6, 20]
    assert table.to_arrow()["c"].to_pylist() == [5] * 7
    table.alter.drop_column("c")
    table.delete("id = 20")
    assert rows(table) == before


def test_deletes_of_one_file_are_taken_back_in_any_order(table: tl.Table) -> None:
    for number in (1, 2, 3):
        table.delete(f"id = {number}")
    table.revert(4)
    assert ids(table) == [2, 4, 5, 6]
    table.revert(3)
    table.revert(5)
    assert ids(table) == [1, 2, 3, 4, 5, 6]
    with pytest.raises((tl.ConflictError, tl.InvalidError)):
        table.revert(5)


def test_what_is_taken_back_is_counted(table: tl.Table) -> None:
    table.delete("id = 1")
    assert [(c.rows_added, c.rows_deleted) for c in (table.revert(n) for n in (3, 4, 5))] == [(1, 0), (0, 1), (1, 0)]


def test_what_stands_in_the_way_is_listed(table: tl.Table) -> None:
    table.append({"id": [7, 8], "a": [70, 80], "s": ["g", "h"]})
    table.delete("id = 7")
    with pytest.raises(tl.ConflictError, match=r"version 3 cannot be taken back: version 4 \(delete by \S+\) changed "):
        table.revert(3)
    table.update({"a": "0"}, "id = 8")
    with pytest.raises(tl.ConflictError, match=r"version 4 \(delete by \S+\).*version 5 \(update by "):
        table.revert(3)
    table.revert(5)
    table.revert(4)
    table.revert(3)
    assert ids(table) == [1, 2, 3, 4, 5, 6]


def test_an_update_is_not_taken_back_over_a_later_one(table: tl.Table) -> None:
    table.update({"a": "a + 1"}, "id = 1")
    table.update({"a": "a + 1"}, "id = 1")
    with pytest.raises(tl.ConflictError, match=r"version 4 \(update by "):
        table.revert(3)
    table.revert(4)
    table.revert(3)
    assert sorted(table.to_arrow()["a"].to_pylist()) == [10, 20, 30, 40, 50, 60]


def test_rows_that_come_back_keep_rules_that_came_later(lake: tl.Lake) -> None:
    table = lake.create_table("k", COLUMNS, key="id")
    table.append({"id": [1, 2], "a": [1, None], "s": ["x", "y"]})
    table.delete("id = 1")
    table.append({"id": [1], "a": [5], "s": ["z"]})
    with pytest.raises(tl.InvalidError, match="id=1"):
        table.revert(2)
    table.delete("id = 1")
    table.alter.add_check("c", "s <> 'x'")
    with pytest.raises(tl.InvalidError, match="CHECK 'c'"):
        table.revert(2)
    table.alter.drop_check("c")
    table.delete("id = 2")
    table.alter.set_not_null("a")
    with pytest.raises(tl.InvalidError, match="'a' is not null"):
        table.revert(table.version - 1)
    table.revert(2)
    assert ids(table) == [1]


RULES: dict[str, tuple[Any, Any, Any, str]] = {
    "check": (
        lambda t: t.alter.add_check("c", "a < 100"),
        lambda t: t.alter.drop_check("c"),
        lambda t: t.append({"id": [7], "a": [100]}),
        "CHECK 'c'",
    ),
    "not null": (
        lambda t: t.alter.set_not_null("a"),
        lambda t: t.alter.drop_not_null("a"),
        lambda t: t.append({"id": [7]}),
        "'a' is not null",
    ),
    "type": (
        lambda t: t.alter.set_property("x", "y"),
        lambda t: t.alter.widen_column("a", "int64"),
        lambda t: t.append({"id": [7], "a": [1 << 40]}),
        "'a'",
    ),
}


@pytest.mark.parametrize("name", RULES)
def test_a_rule_does_not_come_back_over_rows_that_break_it(table: tl.Table, name: str) -> None:
    make, drop, use, message = RULES[name]
    make(table)
    drop(table)
    use(table)
    with pytest.raises((tl.InvalidError, tl.ConflictError), match=message):
        table.revert(4)
    assert table.version == 5
    table.delete("id = 7")
    if name != "type":
        table.revert(4)
        with pytest.raises(tl.InvalidError, match=message):
            use(table)
    assert ids(table) == [1, 2, 3, 4, 5, 6]


def test_columns_that_something_else_needs_by_now_do_not_go(table: tl.Table) -> None:
    table.alter.add_column("c", "int32", default=1)
    for make, undo in (
        (lambda: table.alter.partition_by("c"), table.alter.partition_by),
        (lambda: table.alter.sort_by("c"), table.alter.sort_by),
        (lambda: table.alter.add_check("positive", "c > 0"), lambda: table.alter.drop_check("positive")),
    ):
        make()
        version = table.version
        with pytest.raises((tl.ConflictError, tl.InvalidError), match="partition|sort order|c > 0"):
            table.revert(3)
        assert table.version == version
        undo()
    table.revert(3)
    assert table.schema.names == ["id", "a", "s"]


def test_settings_that_were_changed_again_are_not_taken_back(table: tl.Table) -> None:
    table.alter.set_property("owner", "me")
    table.alter.set_property("other", "x")
    table.alter.set_property("owner", "you")
    with pytest.raises(tl.ConflictError, match="property owner was changed again"):
        table.revert(3)
    table.revert(4)
    assert table.properties.get("owner") == "you"
    assert "other" not in table.properties
    table.alter.rename_column("a", "b")
    table.alter.add_column("c", "int64")
    with pytest.raises(tl.ConflictError, match="schema was changed again"):
        table.revert(7)


def test_what_changed_nothing_cannot_be_taken_back(table: tl.Table) -> None:
    with pytest.raises(tl.InvalidError, match="version 0 made the table"):
        table.revert(0)
    table.delete("false")
    table.tag("here")
    for version in (3, 4):
        with pytest.raises(tl.InvalidError, match="nothing to take back"):
            table.revert(version)
    with pytest.raises(tl.NotFoundError):
        table.revert(99)
    for nonsense in (-1, "1", None, 1.5, True):
        with pytest.raises(tl.InvalidError):
            table.revert(nonsense)  # type: ignore[arg-type]  # people do


# --------------------------------------------------------------------------- tags


def test_a_tag_names_one_version(table: tl.Table) -> None:
    table.tag("start", 0)
    table.tag("now")
    table.tag("then", timestamp=table.at(version=1).timestamp)
    assert table.tags() == {"start": 0, "now": 3, "then": 1}
    assert table.at(tag="then").row_count == 4
    assert table.at(tag="start").row_count == 0
    table.tag("start", 0)
    with pytest.raises(tl.InvalidError, match="'start' stands for version 0 already"):
        table.tag("start", 1)
    table.untag("start")
    table.tag("start", 1)
    assert tl.open_table(table.url).tags() == {"start": 1, "now": 3, "then": 1}
    assert ids(table) == [1, 2, 3, 4, 5, 6]


def test_tags_stay_when_the_table_goes_back(table: tl.Table) -> None:
    table.tag("first", 1)
    table.restore(1)
    table.tag("second")
    table.restore(2)
    assert table.tags() == {"first": 1, "second": 4}


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 300, 5, None])
def test_a_tag_has_a_name_that_can_be_said(table: tl.Table, name: Any) -> None:
    with pytest.raises(tl.InvalidError):
        table.tag(name)


def test_what_is_not_there_cannot_be_tagged(table: tl.Table) -> None:
    with pytest.raises(tl.NotFoundError):
        table.tag("x", 99)
    with pytest.raises(tl.NotFoundError, match="no tag 'x'; there are none"):
        table.untag("x")
    with pytest.raises(tl.NotFoundError, match="no tag 'x'"):
        table.at(tag="x")
    with pytest.raises(tl.InvalidError):
        table.tag("x", 1, timestamp="2026-11-01")
