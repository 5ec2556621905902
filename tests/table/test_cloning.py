"""A clone is a table of its own: nothing is copied for it, nothing is lost by it, whatever becomes of the source."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

import tablelog as tl
from tablelog import env
from tablelog.committing import Committing
from tablelog.format import names
from tablelog.format.actions import SetClone
from tablelog.ops.planned import Planned
from tablelog.store.local import LocalStore
from tablelog.store.memory import MemoryStore
from tablelog.testing import FaultyStore

from .keeping import Clock, assert_says, busy_table, copied, lake_on, objects, said
from .reading import assert_reads

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOW = "0 seconds"


@pytest.fixture
def clock() -> Iterator[Clock]:
    with env.use(Clock()) as used:
        assert isinstance(used, Clock)
        yield used


@pytest.fixture(params=["memory", "local"])
def anywhere(request: pytest.FixtureRequest, tmp_path: Path) -> tl.Lake:
    return lake_on(MemoryStore() if request.param == "memory" else LocalStore(tmp_path))


def rows(table: tl.Table | tl.Snapshot) -> list[dict[str, Any]]:
    return table.to_arrow().to_pylist()


def grown(lake: tl.Lake) -> tl.Table:
    """A table that was altered, split anew and partly deleted, with rows in its log."""
    table = lake.create_table(
        "sales.orders",
        {"id": "int32 not null", "kind": "string", "price": "decimal(8, 2)"},
        key="id",
        partition_by=["kind"],
        checks={"positive": "id >= 0"},
        properties={"inline_max_bytes": "0", "log_fan_out": "3"},
    )
    table.append({"id": range(6000), "kind": ["a", "b"] * 3000, "price": [1] * 6000})
    table.alter.rename_column("kind", "sort")
    table.alter.add_column("note", "string", default="none")
    table.alter.partition_by("bucket(3, id)")
    table.append({"id": range(6000, 9000), "sort": ["c"] * 3000, "price": [2] * 3000, "note": ["x"] * 3000})
    table.delete("id % 4 = 1")
    table.alter.widen_column("id", "int64")
    table.alter.drop_column("price")
    table.alter.partition_by()
    table.alter.sort_by("id desc")
    table.alter.set_property("inline_max_bytes", "10000")
    table.append({"id": [10_000, 10_001], "sort": ["in", None], "note": ["side", "log"]})
    table.delete("id = 10000")
    table.tag("clone me")
    return table


def test_every_engine_reads_a_clone_as_its_source(anywhere: tl.Lake) -> None:
    table = grown(anywhere)
    expected = rows(table)
    before = objects(anywhere.store)
    clone = anywhere.clone_table("sales.orders", "dev.copy")
    assert_reads(clone.snapshot(), expected, anywhere)
    assert_reads(tl.Table(clone._store, clone.name).snapshot(), expected)
    assert not [key for key in objects(anywhere.store).keys() - before.keys() if "/data/" in key or "/deletes/" in key]
    assert clone.verify().ok, clone.verify()
    assert (clone.version, clone.tags(), clone.id != table.id) == (0, {}, True)
    mine, its = clone.snapshot(), table.snapshot()
    assert (mine.schema.fields, mine.checks, mine.properties) == (its.schema.fields, its.checks, its.properties)
    assert mine.state.metadata.key == its.state.metadata.key
    assert mine.state.metadata.sort_order == its.state.metadata.sort_order
    assert mine.state.metadata.partitioning.fields == ()
    assert clone.history()["info"][0] == f"of sales.orders version {table.version - 1}"
    assert clone.changes(since=-1).to_arrow().num_rows == clone.row_count
    connection = anywhere.duckdb()
    assert connection.execute("SELECT count(*) FROM dev.copy").fetchall() == [(len(expected),)]


def test_a_clone_goes_its_own_way(anywhere: tl.Lake) -> None:
    table = grown(anywhere)
    before = said(table)
    clone = anywhere.clone_table("sales.orders", "copy")
    whole = rows(clone)
    clone.update({"note": "'mine'"}, where="id < 100")
    clone.upsert({"id": [0, 20_000], "sort": ["u", "v"], "note": ["w", "x"]})
    clone.delete("id % 2 = 0")
    clone.alter.add_column("more", "int64")
    clone.alter.partition_by("sort")
    clone.append({"id": [30_000], "sort": ["z"], "note": [None], "more": [1]})
    clone.compact()
    changed = rows(clone)
    with pytest.raises(tl.InvalidError, match="positive"):
        clone.append({"id": [-1]})
    assert_reads(clone.snapshot(), changed, anywhere)
    clone.restore(0)
    assert sorted(map(str, rows(clone))) == sorted(str({**row}) for row in whole)
    assert clone.verify().ok
    assert_says(table, before)
    table.delete("true")
    assert clone.row_count == len(whole)


@pytest.mark.parametrize("how", ["version", "tag", "timestamp"])
def test_a_clone_can_begin_with_any_version(anywhere: tl.Lake, how: str) -> None:
    table = grown(anywhere)
    then = table.at(version=1)
    table.tag("early", 1)
    given: dict[str, Any] = {"version": 1} if how == "version" else {"tag": "early"}
    if how == "timestamp":
        given = {"timestamp": then.timestamp}
    clone = anywhere.clone_table("sales.orders", "early", info={"why": "test"}, **given)
    assert_reads(clone.snapshot(), rows(then), anywhere)
    assert clone.schema.fields == then.schema.fields
    assert clone.snapshot().state.metadata.partitioning.fields
    clone.append({"id": [7000], "kind": ["q"], "price": [3]})
    assert clone.row_count == 6001
    assert "why=test" in str(clone.history()["info"].to_list())


def test_a_clone_needs_a_source_a_version_and_a_free_name(anywhere: tl.Lake) -> None:
    table = anywhere.create_table("t", {"id": "int64"})
    for number in range(4):
        table.append({"id": [number]})
    table.expire(2)
    before = objects(anywhere.store)
    with pytest.raises(tl.NotFoundError, match="no table nowhere"):
        anywhere.clone_table("nowhere", "x")
    with pytest.raises(tl.InvalidError, match="there is a table t already"):
        anywhere.clone_table("t", "T")
    with pytest.raises(tl.NotFoundError, match="has expired"):
        anywhere.clone_table("t", "x", version=1)
    with pytest.raises(tl.NotFoundError, match="no tag"):
        anywhere.clone_table("t", "x", tag="x")
    with pytest.raises(tl.InvalidError, match="exactly one"):
        anywhere.clone_table("t", "x", tag="x", version=3)
    assert objects(anywhere.store) == before


def test_a_version_that_expires_meanwhile_is_not_cloned(clock: Clock) -> None:
    disk = MemoryStore()
    table = lake_on(disk).create_table("t", {"id": "int64"})
    for number in range(4):
        table.append({"id": [number]})
    done: list[bool] = []

    def expire(verb: str, key: str) -> None:
        if verb == "put_if_absent" and not done:
            done.append(True)
            table.expire(1)

    with pytest.raises(tl.NotFoundError, match="cannot be cloned"):
        lake_on(FaultyStore(disk, before=expire)).clone_table("t", "x", version=1)
    assert lake_on(disk).tables() == ["t"]


def test_an_empty_table_can_be_cloned(anywhere: tl.Lake) -> None:
    anywhere.create_table("t", {"id": "int64"})
    clone = anywhere.clone_table("t", "c")
    clone.append({"id": [1]})
    assert clone.row_count == 1


def test_a_file_that_no_clone_can_name_is_said_to_be_one(anywhere: tl.Lake) -> None:
    table = anywhere.create_table("t", {"id": "int64"}, properties={"inline_max_bytes": "0"})
    table.append({"id": [1]})
    (file,) = table.snapshot().files
    table._store.put("elsewhere.parquet", table._store.get(file.path))
    foreign = replace(file, path="elsewhere.parquet")
    Committing(table._store).commit(lambda _: Planned(operation="append", actions=[foreign]))
    with pytest.raises(tl.InvalidError, match="elsewhere.parquet of t cannot be lent"):
        anywhere.clone_table("t", "c")


# --------------------------------------------------------------------------- vacuum


def test_p7_vacuum_keeps_what_clones_and_their_clones_need(anywhere: tl.Lake) -> None:
    table = busy_table(anywhere)
    clone = anywhere.clone_table("t", "ns.one")
    clone.delete("id % 11 = 0")
    second = anywhere.clone_table("ns.one", "two", version=0)
    third = anywhere.clone_table("ns.one", "three")
    told = {each: said(each) for each in (clone, second, third)}
    table.overwrite({"id": [1], "part": ["a"], "text": ["only"]})
    table.expire(1)
    lent = {path for each in (clone, second, third) for path in _lent(each)}
    for each in (table, clone, second, third):
        answer = each.vacuum(grace=NOW)
        assert not [key for key in answer.removed if key.startswith(names.LAKE)]
    for each, before in told.items():
        assert_says(each, before)
    clone.overwrite({"id": [2], "part": ["b"], "text": ["mine"]})
    clone.expire(1)
    clone.vacuum(grace=NOW)
    table.vacuum(grace=NOW)
    for each in (second, third):
        assert_says(each, told[each])
    anywhere.drop_table("two")
    anywhere.drop_table("three")
    table.vacuum(grace=NOW)
    clone.vacuum(grace=NOW)
    for each in (second, third):
        assert_says(each, told[each])  # it has no name, and may get it back
    for each in (second, third):
        each.delete("true")
        each.expire(1)
    removed = {f"_lake/t/{key}" for key in table.vacuum(grace=NOW).removed}
    removed |= {f"_lake/ns/one/{key}" for key in clone.vacuum(grace=NOW).removed}
    assert lent <= removed
    assert table.snapshot().state.metadata.clones == {}
    assert all(each.ok for each in anywhere.verify())


def _lent(table: tl.Table) -> set[str]:
    files = table.snapshot().files
    paths = {file.path for file in files} | {file.deleted.path or "" for file in files if file.deleted}
    return {path for path in paths if path.startswith(names.LAKE)}


def test_the_source_says_which_clones_it_has_asked(anywhere: tl.Lake) -> None:
    table = busy_table(anywhere)
    clone = anywhere.clone_table("t", "ns.one")
    table.overwrite({"id": [1], "part": ["a"], "text": ["only"]})
    table.expire(1)
    answer = table.vacuum(grace=NOW)
    assert any(line.startswith("clone 'ns/one': version 0 use") for line in answer.asked)
    key = min(_lent(clone)).removeprefix("_lake/t/")
    assert answer.why(key) == "needed: clone 'ns/one'"


def test_verify_says_which_lent_file_is_missing(anywhere: tl.Lake) -> None:
    busy_table(anywhere)
    clone = anywhere.clone_table("t", "c")
    path = min(path for path in _lent(clone) if "/data/" in path)
    anywhere.store.delete(path.removeprefix(names.LAKE))
    verification = clone.verify(data=False)
    assert [problem.object for problem in verification.problems] == [path]
    with pytest.raises(tl.CorruptionError):
        clone.to_arrow()


# --------------------------------------------------------------------------- dying on the way


def test_dying_on_the_way_to_a_clone_leaves_a_sound_lake_and_is_given_up_later(clock: Clock) -> None:
    whole = MemoryStore()
    lake = lake_on(whole)
    lake.create_table("base", {"id": "int64", "part": "string", "text": "string"})
    busy_table(lake)
    lake.clone_table("t", "ns.middle")
    middle = lake.table("ns.middle")
    middle.append({"id": [1], "part": ["m"], "text": ["own"]})
    before, told = said(lake.table("t")), sorted(map(repr, rows(middle)))
    calls = 0
    while True:
        disk, left = copied(whole), calls

        def die(verb: str, key: str) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise KeyboardInterrupt

        try:
            lake_on(FaultyStore(disk, before=die)).clone_table("ns.middle", "late")
        except KeyboardInterrupt:
            pass
        else:
            break
        finally:
            calls += 1
        lake = lake_on(disk)
        source = lake.table("ns.middle")
        known = source.snapshot().state.metadata.clones
        pending = [each for each in known.values() if not _is_there(disk, str(each.path))]
        source.overwrite({"id": [2], "part": ["m"], "text": ["new"]})
        source.expire(1)
        assert source._history.horizon == (1 if pending else source.version - 1)
        for each in (source, lake.table("t")):
            each.vacuum()
        assert_says(lake.table("t"), before)
        if pending:
            assert sorted(map(repr, rows(tl.Table(source._store, "middle").at(version=1)))) == told
        clock.pass_days(10)
        source.vacuum()
        source.expire(1)
        assert source._history.horizon >= 2
        assert all(each.ok for each in lake.verify())
    assert calls > 15


def _is_there(store: MemoryStore, folder: str) -> bool:
    return any(store.list(f"{folder}/{names.LOG}"))


def test_a_clone_that_was_given_up_cannot_be_made_any_more(clock: Clock) -> None:
    disk = MemoryStore()
    lake = lake_on(disk)
    table = busy_table(lake)

    def sleep(verb: str, key: str) -> None:
        if verb == "put_if_absent" and key == f"c/{names.LOG}{names.commit(0)}":
            clock.pass_days(10)
            assert "clone 'c': was never made" in table.vacuum().asked

    with pytest.raises(tl.ConflictError, match="a vacuum has given it up; try again"):
        lake_on(FaultyStore(disk, before=sleep)).clone_table("t", "c")
    assert lake.tables() == ["t"]
    assert lake.clone_table("t", "c").row_count == table.row_count  # in another folder
    table.overwrite({"id": [1], "part": ["a"], "text": ["x"]})
    table.expire(1)
    clock.pass_days(10)
    assert table.vacuum(grace=NOW).version is not None
    assert len(table.snapshot().state.metadata.clones) == 1


def test_a_clone_whose_place_another_table_has_taken_was_never_made(anywhere: tl.Lake) -> None:
    table = busy_table(anywhere)
    anywhere.create_table("other", {"id": "int64"})
    lost = SetClone(name=env.new_id(), path="other", version=table.version)
    Committing(table._store).commit(lambda _: Planned(operation="clone", actions=[lost]))
    assert "clone 'other': was never made; another table lies there" in table.vacuum(grace=NOW).asked
    assert table.snapshot().state.metadata.clones == {}


def test_a_clone_of_an_expired_version_that_others_began_stops_the_vacuum(anywhere: tl.Lake) -> None:
    table = busy_table(anywhere)
    foreign = SetClone(name=env.new_id(), path="nowhere", version=0)
    Committing(table._store).commit(lambda _: Planned(operation="clone", actions=[foreign]))
    before = objects(anywhere.store)
    with pytest.raises(tl.CorruptionError, match="'nowhere' is being made from version 0"):
        table.vacuum()
    assert objects(anywhere.store) == before
    assert table.vacuum(grace=NOW).removed


def test_a_clone_whose_log_is_damaged_stops_the_vacuum(anywhere: tl.Lake) -> None:
    table = busy_table(anywhere)
    clone = anywhere.clone_table("t", "c")
    clone.append({"id": [1], "part": ["z"], "text": ["x"]})
    for info in list(anywhere.store.list(f"c/{names.LOG}{names.SEGMENTS}")):
        anywhere.store.delete(info.key)
    anywhere.store.put(f"c/{names.LOG}{names.commit(0)}", b"")
    before = objects(anywhere.store)
    with pytest.raises(tl.CorruptionError):
        table.vacuum(grace=NOW)
    assert objects(anywhere.store) == before


# --------------------------------------------------------------------------- places


def test_the_folder_of_a_clone_is_enough_as_long_as_it_lies_in_its_lake(tmp_path: Path) -> None:
    lake = tl.connect(tmp_path / "lake")
    busy_table(lake)
    clone = lake.clone_table("t", "ns.c")
    clone.delete("id = 7")
    clone.append({"id": [1], "part": ["a"], "text": ["own"]})
    alone = tl.open_table(tmp_path / "lake" / "ns" / "c")
    assert_reads(alone.snapshot(), rows(clone))
    assert alone.verify().ok
    alone.vacuum(grace=NOW)
    table = tl.open_table(tmp_path / "lake" / "t")
    table.overwrite({"id": [1], "part": ["a"], "text": ["own"]})
    table.expire(1)
    table.vacuum(grace=NOW)  # finds the clone by itself
    assert clone.verify().ok
    shutil.copytree(tmp_path / "lake", tmp_path / "moved")
    assert_reads(tl.connect(tmp_path / "moved").table("ns.c").snapshot(), rows(clone))
    shutil.copytree(tmp_path / "lake" / "ns" / "c", tmp_path / "alone" / "in" / "a" / "folder")
    with pytest.raises(tl.TablelogError, match="a clone cannot be moved without its lake"):
        tl.open_table(tmp_path / "alone" / "in" / "a" / "folder").to_arrow()


def test_a_table_with_clones_is_not_vacuumed_outside_its_lake(tmp_path: Path) -> None:
    lake = tl.connect(tmp_path / "lake")
    busy_table(lake)
    lake.clone_table("t", "c")
    shutil.copytree(tmp_path / "lake" / "t", tmp_path / "alone" / "in" / "a" / "folder")
    with pytest.raises(tl.InvalidError, match="lies in no lake"):
        tl.open_table(tmp_path / "alone" / "in" / "a" / "folder").vacuum(grace=NOW)


def test_one_query_reads_a_clone_and_its_source(anywhere: tl.Lake) -> None:
    table = grown(anywhere)
    anywhere.clone_table("sales.orders", "c").delete("id < 3000")
    query = "SELECT count(*) FROM sales.orders JOIN c USING (id)"
    assert anywhere.sql(query).fetchall() == [(sum(row["id"] >= 3000 for row in rows(table)),)]


def test_files_that_a_writer_put_together_in_passing_are_new_to_who_follows_the_clone() -> None:
    lake = tl.connect("memory://clones-in-passing")
    source = lake.create_table("source", {"x": "int64"})
    for number in range(40):
        source.append({"x": [number]})
    assert any(file.moved for file in source.snapshot().files)
    clone = lake.clone_table("source", "clone")
    assert sorted(clone.changes(-1).to_arrow()["x"].to_pylist()) == list(range(40))


def test_a_clone_of_a_clustered_table_is_clustered() -> None:
    lake = tl.connect("memory://clustered-clones")
    lake.create_table("source", {"x": "int64", "y": "int64"}, cluster_by=["x", "y"])
    assert "clustered by: x, y" in repr(lake.clone_table("source", "clone"))
