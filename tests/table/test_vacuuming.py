"""A vacuum removes what nothing needs, and never anything else: P7, whoever dies, races, sleeps or lies meanwhile."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

import tablelog as tl
from tablelog import env
from tablelog.committing import Committing
from tablelog.format import names
from tablelog.log.retained import retained
from tablelog.ops import needs as needs_module
from tablelog.ops.planned import Planned
from tablelog.ops.write import write_rows
from tablelog.parquet import contents
from tablelog.parquet.input import open_data
from tablelog.parquet.kept import Kept
from tablelog.store.in_lake import table_store
from tablelog.store.local import LocalStore
from tablelog.store.memory import MemoryStore
from tablelog.testing import Fault, FaultyStore

from .keeping import Clock, assert_says, busy_table, copied, lake_on, objects, said

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
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


@pytest.fixture
def small(clock: Clock) -> tl.Table:
    """Version 3, of which versions 2 and 3 can be read; the file of version 1 is in neither."""
    lake = lake_on(MemoryStore())
    table = lake.create_table("t", {"id": "int64"}, properties={"inline_max_bytes": "0"})
    table.append({"id": [1]})
    table.overwrite({"id": [2]})
    table.expire(1)
    return table


def useless(table: tl.Table) -> set[str]:
    return set(table.vacuum(grace=NOW, dry_run=True).removed)


def hooked(table: tl.Table, hook: Callable[[], object], verb: str = "put_if_absent") -> tl.Table:
    """The same table, for somebody before whose first commit (or other request) something happens."""
    done: list[bool] = []

    def before(asked: str, key: str) -> None:
        if asked == verb and not done:
            done.append(True)
            hook()

    return tl.Table(FaultyStore(table._store, before=before), table.name)


# --------------------------------------------------------------------------- P7


def test_p7_what_can_be_read_reads_as_before(anywhere: tl.Lake) -> None:
    table = busy_table(anywhere)
    before = said(table)
    answer = table.vacuum(grace=NOW)
    assert {name.partition("/")[0] for name in answer.removed} == {"data", "deletes", "_log"}
    assert_says(table, before)
    assert not useless(table)
    table.restore(min(version for version in before if version != "changes"))
    table.compact()
    assert_says(table, before)


def test_p7_a_wrong_decision_would_be_noticed(anywhere: tl.Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    table = busy_table(anywhere)
    table.overwrite({"id": [1], "part": ["a"], "text": ["only the newest"]})
    before = said(table)

    def wrong(history: Any) -> Mapping[str, Any]:
        return {path: span for path, span in retained(history).items() if span[1] == history.lineage.newest}

    monkeypatch.setattr(needs_module, "retained", wrong)
    table.vacuum(grace=NOW)
    with pytest.raises((tl.CorruptionError, AssertionError)):
        assert_says(table, before)


def test_p7_vectors_of_the_change_feed_stay_as_long_as_the_feed_can_be_read(clock: Clock) -> None:
    lake = lake_on(MemoryStore())
    table = lake.create_table("t", {"id": "int64", "v": "int64"}, properties={"inline_max_bytes": "0"})
    table.append({"id": range(20_000), "v": [0] * 20_000})
    source = [{"id": number, "gone": number % 4 == 0} for number in range(0, 20_000, 2)]
    merge = table.merge(source, on="t.id = s.id").when_matched_delete(where="s.gone")
    merge.when_matched_update({"v": "1"}).execute()
    before = said(table)
    gone = [
        vector.path
        for file in table.snapshot().files
        if file.gone is not None
        for vector in (file.gone.deleted, file.gone.updated)
        if vector is not None and vector.path is not None
    ]
    assert gone
    table.vacuum(grace=NOW)
    assert_says(table, before)


@pytest.mark.parametrize("grace", [NOW, "7 days"])
def test_p7_dying_between_any_two_requests_harms_nobody(clock: Clock, grace: str) -> None:
    whole = MemoryStore()
    table = busy_table(lake_on(whole))
    before = said(table)
    if grace != NOW:
        clock.pass_days(8)
        table.vacuum(grace=grace)
        clock.pass_days(8)
    calls = 0
    while True:
        disk = copied(whole)
        table = lake_on(disk).table("t")
        left = calls

        def die(verb: str, key: str) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise KeyboardInterrupt

        dying = tl.Table(table_store(FaultyStore(disk, before=die), "t"), "t")
        try:
            dying.vacuum(grace=grace)
        except KeyboardInterrupt:
            assert_says(table, before)
        else:
            break
        clock.pass_days(8)
        table.vacuum(grace=NOW)  # goes on where that one ended
        assert not useless(table)
        if calls % 8 == 0:
            assert_says(table, before)
        calls += 1
    assert calls > 20


# --------------------------------------------------------------------------- two phases


def test_what_nothing_needs_is_removed_by_the_second_run_after_the_grace(small: tl.Table, clock: Clock) -> None:
    assert small.vacuum().scheduled == ()  # too young to say
    clock.pass_days(8)
    first = small.vacuum()
    assert (first.removed, first.version) == ((), None)
    (key,) = first.scheduled
    assert key.startswith("data/")
    assert "written down now" in first.why(key)
    clock.pass_days(6)
    assert small.vacuum().scheduled == (key,)
    assert small.version == 3
    clock.pass_days(2)
    last = small.vacuum(info={"job": "weekly"})
    assert (last.removed[0], last.version) == (key, 4)
    assert last.size_bytes > 0
    history = small.history().row(0, named=True)
    assert history["operation"] == "vacuum"
    assert "objects_removed=1" in history["info"]
    assert "job=weekly" in history["info"]
    assert not [key for key in objects(small._store) if key.startswith(names.VACUUM)]
    assert small.vacuum().version is None


def test_without_anything_to_remove_there_is_no_commit(small: tl.Table) -> None:
    small.vacuum(grace=NOW)
    before = objects(small._store)
    answer = small.vacuum(grace=NOW)
    assert (answer.version, answer.removed) == (None, ())
    assert objects(small._store) == before


def test_a_dry_run_changes_nothing_and_says_the_same(small: tl.Table, clock: Clock) -> None:
    clock.pass_days(30)
    before = objects(small._store)
    dry = small.vacuum(grace=NOW, dry_run=True)
    assert objects(small._store) == before
    assert "would be removed" in str(dry)
    real = small.vacuum(grace=NOW)
    assert (dry.removed, real.is_dry) == (real.removed, False)
    assert (dry.version, real.version) == (None, 4)


def test_a_list_of_a_commit_or_of_what_is_needed_removes_nothing(small: tl.Table, clock: Clock) -> None:
    clock.pass_days(30)
    store = small._store
    before = said(small)
    needed = [file.path for file in small.snapshot().files]
    hostile = [*needed, "_log/" + names.commit(0), "_log/head.json", "../x", "notes.txt", "", "_vacuum/x"]
    store.put("notes.txt", b"mine")
    for content in (
        b'{"version":1,"keys":' + str(hostile).replace("'", '"').encode() + b"}",
        b"torn{",
        b"[]",
        b'{"version":1,"keys":[1]}',
        b'{"version":1}',
        b"\xff\xfe",
        b'{"version":"x","keys":[]}',
    ):
        store.put(names.vacuum_list(env.new_id()), content)
    newer = names.vacuum_list(env.new_id())
    store.put(newer, b'{"version":2,"things":[]}')
    clock.pass_days(30)
    answer = small.vacuum()
    assert answer.unknown == (newer, "notes.txt")
    assert_says(small, before)
    left = {key: content for key, content in objects(store).items() if key.startswith(names.VACUUM)}
    assert left.pop(newer)
    assert [key for key in small.vacuum().scheduled if key.startswith("data/")]
    assert all(content.startswith(b'{"version":1,"keys":["') for content in left.values())  # what it wrote itself
    assert store.get("notes.txt") == b"mine"


# --------------------------------------------------------------------------- refusals


def test_clocks_that_disagree_are_refused(tmp_path: Path) -> None:
    table = lake_on(LocalStore(tmp_path)).create_table("t", {"id": "int64"})
    before = objects(table._store)
    with env.use(Clock()), pytest.raises(tl.StoreError, match="the store's clock says .* this machine's 2027-01-15"):
        table.vacuum(grace=NOW)
    assert objects(table._store) == before


def test_the_probe_is_taken_away_when_the_store_fails(small: tl.Table) -> None:
    before = objects(small._store)
    store = FaultyStore(small._store)
    store.inject(Fault.FAILED, verb="head")
    with pytest.raises(tl.StoreError):
        tl.Table(store, "t").vacuum(grace=NOW)
    assert objects(small._store) == before


def test_a_listing_that_is_clipped_is_refused(small: tl.Table) -> None:
    before = objects(small._store)
    store = FaultyStore(small._store)
    store.inject(Fault.STALE, verb="list", times=10)
    with pytest.raises(tl.StoreError, match="the listing of .* lacks objects that are there and needed"):
        tl.Table(store, "t").vacuum(grace=NOW)
    assert objects(small._store) == before
    store.heal()
    store.inject(Fault.STALE, verb="list")  # once: the next one is whole
    assert tl.Table(store, "t").vacuum(grace=NOW).removed


def test_a_vacuum_that_was_asleep_until_its_probe_was_removed_is_told_so(small: tl.Table, clock: Clock) -> None:
    before = said(small)

    def oversleep() -> None:
        clock.pass_days(1)
        assert small.vacuum(grace=NOW).removed

    with pytest.raises(tl.StoreError, match="asleep for long; vacuum again"):
        hooked(small, oversleep, "head").vacuum(grace=NOW)
    assert_says(small, before)
    small.vacuum(grace=NOW)
    assert_says(small, before)


@pytest.mark.parametrize("what", ["data", "commit", "base"])
def test_something_needed_that_is_missing_is_damage_and_nothing_is_removed(what: str, clock: Clock) -> None:
    table = busy_table(lake_on(MemoryStore()))
    key = {
        "data": next(file.path for file in table.snapshot().files if not file.is_inlined),
        "commit": names.LOG + names.commit(0),
        "base": names.LOG + names.base(table._history.base or 0),
    }[what]
    table._store.delete(key)
    before = objects(table._store)
    with pytest.raises(tl.CorruptionError, match="is missing although the log needs it"):
        table.vacuum(grace=NOW)
    assert objects(table._store) == before


@pytest.mark.parametrize("grace", ["a while", "-1 days", 7, None, "3 months"])
def test_a_grace_that_makes_no_sense_is_refused(small: tl.Table, grace: Any) -> None:
    with pytest.raises(tl.InvalidError, match="grace="):
        small.vacuum(grace=grace)


def test_a_failure_while_objects_go_says_that_the_rest_goes_later(small: tl.Table) -> None:
    store = FaultyStore(small._store)
    key = next(each for each in useless(small) if each.startswith("data/"))
    store.inject(Fault.FAILED, verb="delete", key_ends=key)
    with pytest.raises(tl.StoreError, match=r"vacuum\(\) will go on") as caught:
        tl.Table(store, "t").vacuum(grace=NOW)
    assert caught.value.maybe_applied
    assert small.vacuum(grace=NOW).removed == (key,)


def test_a_table_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(tl.NotFoundError):
        tl.Table(MemoryStore(), "t").vacuum()


# --------------------------------------------------------------------------- races


def test_a_writer_slower_than_the_grace_is_told_to_write_again(small: tl.Table) -> None:
    slow = hooked(small, lambda: small.vacuum(grace=NOW))
    with pytest.raises(tl.ConflictError, match="was begun at .* write again"):
        slow.append({"id": [7]})
    slow.append({"id": [8]})
    assert sorted(small.to_arrow().column("id").to_pylist()) == [2, 8]
    assert small.verify().ok


def test_a_transaction_slower_than_the_grace_is_told_to_write_again(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = lake_on(MemoryStore()).create_table("t", {"id": "int64"}, properties={"inline_max_bytes": "0"})
    table.append({"id": range(20_000)})
    table.overwrite({"id": range(20_000)})
    table.expire(1)
    other = tl.Table(table._store, "t")
    tx = table.transaction()
    tx.delete("id % 3 = 0")  # its vector is an object that no version has
    assert [key for key in other.vacuum(grace=NOW).removed if key.startswith("deletes/")]
    monkeypatch.setattr(contents, "_VECTORS", Kept(1000))  # as if it had been long ago
    other.append({"id": [1]})
    with pytest.raises(tl.ConflictError, match="write again"):
        tx.commit()
    assert table.row_count == 20_001


def test_a_vacuum_that_loses_against_a_slow_writer_leaves_his_file(small: tl.Table) -> None:
    store, about = small._store, {"who": "slow"}
    metadata = small.snapshot().state.metadata
    files = write_rows(store, metadata, open_data({"id": [9]}), inline=False).files
    assert files[0].path in useless(small)

    def commit() -> None:
        Committing(store).commit(lambda _: Planned(operation="append", actions=files, info=about))

    answer = hooked(small, commit).vacuum(grace=NOW)
    assert files[0].path not in answer.removed
    assert "version 4" in answer.why(files[0].path)
    assert answer.version == 5
    assert sorted(small.to_arrow().column("id").to_pylist()) == [2, 9]


def test_an_expiry_in_the_middle_frees_nothing_that_this_run_saw_as_needed_too_late(small: tl.Table) -> None:
    small.overwrite({"id": [3]})

    def more() -> None:
        small.expire(1)

    hooked(small, more).vacuum(grace=NOW)
    assert small.to_arrow().column("id").to_pylist() == [3]
    assert small.verify().ok


@pytest.mark.parametrize("what", ["restore", "revert", "tag", "delete", "clone"])
def test_whatever_comes_in_between_finds_what_it_needs(what: str, clock: Clock) -> None:
    lake = lake_on(MemoryStore())
    table = lake.create_table("t", {"id": "int64"}, properties={"inline_max_bytes": "0"})
    table.append({"id": range(6000)})
    table.overwrite({"id": [-1]})
    table.expire(1)
    table.append({"id": range(5000)})
    table.overwrite({"id": [4, 5]})
    before = said(table)

    def between() -> None:
        match what:
            case "restore":
                table.restore(4)
            case "revert":
                table.revert(5)
            case "tag":
                table.tag("here", 4)
            case "delete":
                table.delete("id = 4")
            case _:
                lake.clone_table("t", "c", version=4)

    answer = hooked(table, between).vacuum(grace=NOW)
    assert any(key.startswith("data/") for key in answer.removed)
    assert_says(table, before)
    if what == "clone":
        assert lake.table("c").row_count == 5001
        table.overwrite({"id": [1]})
        table.expire(1)
        table.vacuum(grace=NOW)
        assert lake.table("c").row_count == 5001
        assert lake.table("c").verify().ok


def test_files_that_are_known_may_come_back_however_old_they_are(small: tl.Table, clock: Clock) -> None:
    small.append({"id": range(20_000)})
    small.delete("id % 3 = 0")  # a vector in an object
    full = small.version
    clock.pass_days(30)
    assert small.vacuum(grace="1 day").scheduled
    clock.pass_days(2)
    assert small.vacuum(grace="1 day").version is not None
    small.delete("id < 100")
    small.overwrite({"id": [1]})
    small.restore(full)
    small.compact()
    small.revert(full)
    assert small.row_count == 20_001
    assert small.verify().ok


@pytest.mark.parametrize("part", ["file", "vector"])
def test_names_older_than_a_vacuum_are_refused_unless_a_version_has_them(
    small: tl.Table, clock: Clock, part: str
) -> None:
    small.append({"id": range(20_000)})
    small.delete("id % 3 = 0")
    (file,) = [each for each in small.snapshot().files if each.deleted is not None]
    assert file.deleted is not None
    old = env.new_id()
    small.vacuum(grace=NOW)
    if part == "file":
        late = replace(file, path=names.data_file(old))
    else:
        late = replace(file, path="data/x", deleted=replace(file.deleted, path=names.deletes_file(old)))
    with pytest.raises(tl.ConflictError, match=old):
        Committing(small._store).commit(lambda _: Planned(operation="append", actions=[late]))
    inlined = small.alter.set_property("inline_max_bytes", None)
    assert inlined.version < small.append({"id": [1]}).version  # rows in a commit have no name of their own


# --------------------------------------------------------------------------- the log's own objects


def many(lake: tl.Lake) -> tl.Table:
    """A table of which commits have so many files that they stand in an object."""
    table = lake.create_table("t", {"id": "int64"}, partition_by=["id"], properties={"inline_max_bytes": "0"})
    table.append({"id": range(140)})
    return table


def action_objects(table: tl.Table) -> list[str]:
    return [info.key for info in table._store.list(names.LOG + names.ACTIONS)]


def test_objects_with_file_actions_stay_as_long_as_their_commit(clock: Clock) -> None:
    table = many(lake_on(MemoryStore()))
    table.append({"id": range(140)})
    orphan = names.LOG + names.actions_file(env.new_id())
    table._store.put(orphan, b"of a writer who died")
    clock.pass_days(30)
    answer = table.vacuum(grace=NOW)
    assert answer.removed == (orphan,)
    assert answer.version is not None  # whoever is about to name it must learn of it
    assert "version 1" in answer.why(action_objects(table)[0])
    assert_says(table, said(table))
    for _ in range(20):
        table.alter.set_property("x", "y")
    table.expire(1)
    clock.pass_days(30)
    assert len(action_objects(table)) == 2
    table.vacuum(grace=NOW)
    assert not action_objects(table)
    assert tl.Table(table._store, "t").row_count == 280
    assert table.verify().ok


def test_an_object_with_file_actions_that_a_slow_writer_has_put_is_put_again(clock: Clock) -> None:
    table = many(lake_on(MemoryStore()))
    table.delete("id = 3")
    table.expire(1)  # so that there is something to remove

    def sleep() -> None:
        assert table.vacuum(grace=NOW).version is not None

    hooked(table, sleep).delete("true")
    assert tl.Table(table._store, "t").row_count == 0
    assert table.verify().ok


def test_older_bases_and_what_they_stood_for_go(anywhere: tl.Lake) -> None:
    table = busy_table(anywhere)
    names_before = set(objects(table._store))
    bases = [key for key in names_before if key.startswith(names.LOG + names.BASES)]
    assert len(bases) == 2
    table.vacuum(grace=NOW)
    left = set(objects(table._store))
    assert [key for key in left if key.startswith(names.LOG + names.BASES)] == [min(bases)]
    assert {key for key in names_before if names.parse_commit(key.removeprefix(names.LOG)) is not None} <= left
    hint = table._store
    hint.delete(names.LOG + names.HINT)
    fresh = tl.Table(table._store, "t")
    assert (fresh.version, fresh.row_count) == (table.version, table.row_count)


def test_unfinished_files_of_dead_writers_go(tmp_path: Path) -> None:
    table = lake_on(LocalStore(tmp_path)).create_table("t", {"id": "int64"})
    unfinished = tmp_path / "t" / "data" / ".x.tmp"
    unfinished.parent.mkdir(exist_ok=True)
    unfinished.write_bytes(b"half")
    assert table.vacuum(grace=NOW, dry_run=True).leftovers == 1
    assert table.vacuum().leftovers == 0
    assert unfinished.exists()
    assert table.vacuum(grace=NOW).leftovers == 1
    assert not unfinished.exists()


# --------------------------------------------------------------------------- who holds the horizon


def test_consumers_hold_the_horizon_until_they_have_gone_on(clock: Clock) -> None:
    table = lake_on(MemoryStore()).create_table("t", {"id": "int64"})
    for number in range(5):
        table.append({"id": [number]})
    consumer = table.consumer("daily report")
    consumer.seek(2)
    table.expire(1)
    assert table._history.horizon == 2
    table.vacuum(grace=NOW)
    answer = table.vacuum(grace=NOW, dry_run=True)
    assert any("daily%20report" in line and "version 2" in line for line in answer.asked)
    with consumer.take(until=4) as changes:
        assert changes.to_arrow().column("id").to_pylist() == [2, 3]
    table.expire(1)
    assert table._history.horizon == 4
    assert [key for key in objects(table._store) if key.startswith(names.CONSUMERS)]
    consumer.seek(table.version)
    assert table.expire(1) is not None


def test_a_consumer_at_the_beginning_holds_everything(clock: Clock) -> None:
    table = lake_on(MemoryStore()).create_table("t", {"id": "int64"})
    table.append({"id": [1]})
    table.consumer("slow").seek(1)
    table.consumer("slow").seek(-1)
    assert table.expire(1) is None


def test_tags_hold_files(small: tl.Table) -> None:
    small.tag("here", 2)
    small.overwrite({"id": [5]})
    small.expire(1)
    answer = small.vacuum(grace=NOW)
    assert "tag 'here': version 2" in answer.asked
    assert small.at(tag="here").to_arrow().column("id").to_pylist() == [2]


# --------------------------------------------------------------------------- for people


def test_the_answer_is_a_proof_that_people_can_read(small: tl.Table, clock: Clock) -> None:
    small._store.put("<b>.txt", b"")
    answer = small.vacuum(grace=NOW)
    text = str(answer)
    assert text.startswith("t version 4 · 1 object removed (")
    assert "asked versions 2 to 3 of the table" in text
    assert f"{answer.removed[0]}: no version, clone or commit needs it" in text
    assert "left alone: tablelog makes no such names:\n  <b>.txt" in text
    assert answer.why(small.snapshot().files[0].path) == "needed: versions 2 to 3"
    assert answer.why("nowhere") == ""
    assert answer.needed_count == len([each for each in answer.objects if each.fate == "needed"])
    html = answer._repr_html_()
    assert "&lt;b&gt;.txt" in html
    assert "<b>.txt" not in html


def test_a_long_answer_is_cut(small: tl.Table) -> None:
    for number in range(30):
        small._store.put(f"x{number}", b"")
    assert "and 10 more" in str(small.vacuum(grace=NOW))


def test_a_folder_without_its_lake_can_be_vacuumed(tmp_path: Path) -> None:
    lake = lake_on(LocalStore(tmp_path / "lake"))
    busy_table(lake)
    shutil.copytree(tmp_path / "lake" / "t", tmp_path / "alone")
    alone = tl.open_table(tmp_path / "alone")
    before = said(alone)
    assert alone.vacuum(grace=NOW).removed
    assert_says(alone, before)
