"""A copy is the same table with all its versions; stopped anywhere it is an older one, or none; nothing wrong arrives."""

from __future__ import annotations

import datetime as dt
import itertools
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import tablelog as tl
from tablelog.committing import Committing
from tablelog.format import names
from tablelog.format.actions import DELETION_VECTORS, RequireFeature
from tablelog.log import actions_object
from tablelog.log.followed import FollowedLog
from tablelog.log.history import TableHistory
from tablelog.ops import copy_plan, removing, transfer
from tablelog.ops.planned import Planned
from tablelog.store.local import LocalStore
from tablelog.store.memory import MemoryStore
from tablelog.store.open import open_store
from tablelog.store.prefixed import PrefixedStore
from tablelog.testing import Fault, FaultyStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tablelog.store.base import ObjectStore

Place = tuple[str, dict[str, Any]]
_numbers = itertools.count()
GOLDEN = Path(__file__).parent.parent / "golden" / "lake-3"


def at(store: ObjectStore) -> str:
    """A URL under which a store is found."""
    scheme = f"copying{next(_numbers)}"
    tl.register_store(scheme, lambda url, options: store)
    return f"{scheme}://x"


def rows(snapshot: tl.Snapshot) -> list[str]:
    return sorted(map(repr, snapshot.to_arrow().to_pylist()))


def told(table: tl.Table) -> dict[str, Any]:
    """Everything that can be asked of a table."""
    versions = table.history()["version"].to_list()
    oldest = versions[-1]
    return {
        "id": table.id,
        "history": table.history().rows(),
        "tags": table.tags(),
        "rows": {version: rows(table.at(version=version)) for version in versions},
        "shape": [(str(each.schema), each.properties, each.checks) for each in map(table.at, versions)],
        "changes": sorted(map(repr, table.changes(since=oldest or -1).to_polars().rows())),
        "consumer": table.consumer("audit day").position,
    }


def rich(lake: tl.Lake, name: str, fan_out: int = 4) -> tl.Table:
    """A table with everything that a log can hold, but for an expiry."""
    table = lake.create_table(
        name,
        {"id": "int64", "town": "string", "at": "timestamp"},
        partition_by="town",
        properties={"log_fan_out": str(fan_out), "inline_max_bytes": "0"},
    )
    when = dt.datetime(2026, 1, 1)
    table.append({"id": range(600), "town": ["Oslo", "Rome"] * 300, "at": [when] * 600})
    table.delete("id IN (3, 5)")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(removing, "INLINE_BYTES_MAX", 0)
        table.delete("id % 5 = 1")
        merging = table.merge({"id": [0, 2, 4]}, on="t.id = s.id").when_matched_delete(where="t.id = 2")
        merging.when_matched_update({"at": "NULL"}).execute()
    table.tag("early")
    table.alter.rename_column("town", "city")
    table.alter.set_property("inline_max_bytes", None)
    table.append([{"id": 1000, "city": "Bern", "at": when}])
    table.delete("id = 1000")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(actions_object, "INLINE_MAX", 0)
        patch.setattr(removing, "INLINE_BYTES_MAX", 0)
        table.append({"id": range(2000, 6000), "city": [f"c{n % 9}" for n in range(4000)], "at": [when] * 4000})
        table.delete("id % 7 = 0")
    table.append([{"id": 1001, "city": "Rome"}])
    consumer = table.consumer("audit day")
    for until in (2, 5):
        with consumer.take(until):
            pass
    return table


def keep_only_what_is_needed(store: ObjectStore, table: tl.Table) -> int:
    """Do what a vacuum does: no file stays that only expired versions need; how many went."""
    versions = table.history()["version"].to_list()
    needed = {file.path for version in versions for file in table.at(version=version).files}
    gone = [info.key for info in store.list(names.DATA) if info.key not in needed]
    for key in gone:
        store.delete(key)
    return len(gone)


def small_base(lake: tl.Lake) -> tl.Table:
    """A base that ends so early that the commits behind it are where a reader looks for a young log."""
    table = lake.create_table("t", {"id": "int64"}, properties={"log_fan_out": "2", "inline_max_bytes": "0"})
    for number in range(9):
        table.append({"id": [number]})
        if number == 4:
            table.delete("id < 2")
    table.expire(3)
    table.append({"id": [20]})
    table.delete("id = 5")
    return table


def two_bases(lake: tl.Lake) -> tl.Table:
    table = small_base(lake)
    table.append({"id": range(30, 36)})
    table.expire(3)
    table.tag("after")
    return table


def long_base(lake: tl.Lake) -> tl.Table:
    """The usual fan-out: a base up to 15, and its horizon in commit 22."""
    table = lake.create_table("t", {"id": "int64"}, properties={"inline_max_bytes": "0"})
    for number in range(20):
        table.append({"id": [number]})
        if number == 4:
            table.delete("id < 2")
    table.expire(3)
    for number in range(20, 23):
        table.append({"id": [number]})
    return table


def horizon_without_base(lake: tl.Lake) -> tl.Table:
    """The first commit has rows that are still needed, so none is emptied; files of other versions are gone."""
    table = lake.create_table("t", {"id": "int64"})
    table.append({"id": [0]})
    table.alter.set_property("inline_max_bytes", 0)
    for number in range(1, 5):
        table.append({"id": [number]})
    table.delete("id IN (1, 2)")
    table.append({"id": [5]})
    table.expire(2)
    table.append({"id": [9]})
    return table


HISTORIES: dict[str, Callable[[tl.Lake], tl.Table]] = {
    "rich": lambda lake: rich(lake, "t"),
    "small base": small_base,
    "two bases": two_bases,
    "long base": long_base,
    "horizon without base": horizon_without_base,
}


def made(kind: str) -> tuple[MemoryStore, tl.Table]:
    """A table of a kind, alone in its store, without files that nobody needs."""
    store, folder = MemoryStore(kind), MemoryStore(f"{kind} alone")
    HISTORIES[kind](tl.connect(at(store)))
    for info in store.list("t/"):
        folder.put(info.key.removeprefix("t/"), store.get(info.key))
    table = tl.Table(folder, "t")
    gone = keep_only_what_is_needed(folder, table)
    assert gone or kind == "rich"
    return folder, table


# --------------------------------------------------------------------------- whole copies


@pytest.fixture
def places(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[str], Place]:
    def place(kind: str) -> Place:
        match kind:
            case "local":
                return str(tmp_path / f"place{next(_numbers)}"), {}
            case "memory":
                return f"memory://copying/{tmp_path.name}{next(_numbers)}", {}
            case _:
                url, options = request.getfixturevalue("moto_url")
                return f"{url}/{next(_numbers)}", options

    return place


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("local", "memory"),
        ("local", "local"),
        ("memory", "local"),
        pytest.param("local", "s3", marks=pytest.mark.xdist_group("moto")),
        pytest.param("s3", "memory", marks=pytest.mark.xdist_group("moto")),
        pytest.param("s3", "s3", marks=pytest.mark.xdist_group("moto")),
    ],
)
def test_a_lake_is_the_same_at_another_place(source: str, target: str, places: Callable[[str], Place]) -> None:
    (url, options), (elsewhere, other_options) = places(source), places(target)
    lake = tl.connect(url, options)
    rich(lake, "sales.orders")
    lake.create_table("dropped", {"x": [1]})
    lake.drop_table("dropped")
    lake.create_table("old", {"x": [2]})
    lake.rename_table("old", "new")
    lake.create_namespace("empty")
    seen: list[tuple[int, int]] = []
    copied = tl.copy(
        url,
        elsewhere,
        source_options=options,
        target_options=other_options,
        on_progress=lambda done, total: seen.append((done, total)),
    )
    again = tl.connect(elsewhere, other_options, create=False)
    assert again.tables() == lake.tables() == ["new", "sales.orders"]
    assert again.namespaces() == lake.namespaces() == ["empty", "sales"]
    assert told(again["sales.orders"]) == told(lake["sales.orders"])
    assert again.undrop_table("dropped").to_polars().rows() == [(1,)]
    assert all(not each.problems for each in again.verify())
    assert [(each.path, each.version) for each in copied.tables] == [
        ("sales/orders", lake["sales.orders"].version),
        ("dropped", 0),
        ("old", 0),
    ]
    there = [info.size_bytes for info in open_store(elsewhere, other_options).list()]
    assert copied.objects > 20
    assert copied.size_bytes < sum(there)  # the hints, and an undropped table
    assert seen[-1][0] == seen[-1][1] > 0
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_what_nobody_needs_stays_behind(tmp_path: Path) -> None:
    store, table = made("long base")
    for key in ("data/stray.parquet", "_vacuum/a.json", "_leases/a.json", "_log/notes.txt", "readme", "_log/base/x"):
        store.put(key, b"x")
    target = MemoryStore()
    tl.copy(at(store), at(target))
    versions = table.history()["version"].to_list()
    needed = {file.path for version in versions for file in table.at(version=version).files}
    assert {info.key for info in target.list(names.DATA)} == needed
    others = {info.key.partition("/")[0] for info in target.list()}
    assert others == {"data", "_log"}
    assert {info.key for info in target.list("_log/")} <= {info.key for info in store.list("_log/")}


@pytest.mark.parametrize("kind", list(HISTORIES))
def test_a_copy_says_the_same_in_the_same_bytes(kind: str) -> None:
    source, table = made(kind)
    target = MemoryStore()
    copied = tl.copy(at(source), at(target))
    for info in target.list():
        if not info.key.endswith(names.HINT):
            assert target.get(info.key) == source.get(info.key), info.key
    again = tl.Table(target, "t")
    assert told(again) == told(table)
    assert not [each for each in again.verify().problems if not each.harmless]
    assert again.append({"id": [77]}).version == table.version + 1
    assert tl.Table(target, "t").row_count == table.row_count + 1
    assert copied.tables[0].version == table.version


def test_golden_lakes_are_copied_byte_for_byte(tmp_path: Path) -> None:
    tl.copy(GOLDEN, tmp_path / "copy")
    found = {path.relative_to(tmp_path / "copy"): path for path in (tmp_path / "copy").rglob("*") if path.is_file()}
    assert len(found) > 100
    for name, path in found.items():
        assert path.read_bytes() == (GOLDEN / name).read_bytes(), name
    left = {path.relative_to(GOLDEN) for path in GOLDEN.rglob("*") if path.is_file()} - set(found)
    assert {path.parent for path in left} == {Path("folded/_log/segments")}  # those that a base stands for


# --------------------------------------------------------------------------- interrupted


class StoppedError(Exception):
    """The process died."""


def dying(store: MemoryStore, after: int) -> FaultyStore:
    """A store that answers so many requests, and then none."""
    turns = itertools.count()

    def count(verb: str, key: str) -> None:
        if next(turns) >= after:
            raise StoppedError

    return FaultyStore(store, before=count)


def contents(store: ObjectStore) -> dict[str, bytes]:
    """All objects but what is left of a probe."""
    return {info.key: store.get(info.key) for info in store.list() if "probe" not in info.key}


def check_prefix_of(target: ObjectStore, truth: dict[str, Any]) -> int:
    """What stands at the target is an older version of the table, whole, or nothing at all; its version."""
    table = tl.Table(target, "t")
    try:
        version = table.version
    except tl.NotFoundError:
        return -1
    for each in table.history()["version"].to_list():
        assert rows(table.at(version=each)) == truth["rows"][each]
    assert not [problem for problem in table.verify().problems if not problem.harmless]
    return version


@pytest.mark.parametrize("kind", list(HISTORIES))
@pytest.mark.parametrize("batch", [1, 64])
def test_stopped_after_any_request_it_is_an_older_table_and_goes_on(
    kind: str, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copy_plan, "COMMITS_AT_ONCE", batch)
    source, table = made(kind)
    truth, url, whole = told(table), at(source), MemoryStore()
    tl.copy(url, at(whole))
    assert told(tl.Table(whole, "t")) == truth
    versions: list[int] = []
    for after in itertools.count():
        target = MemoryStore(f"after {after}")
        try:
            tl.copy(url, at(dying(target, after)))
            break
        except StoppedError:
            pass
        versions.append(check_prefix_of(target, truth))
        tl.copy(url, at(target))
        assert contents(target) == contents(whole), after
    assert versions[0] == -1
    assert max(versions) == table.version
    assert len({*versions}) > 2
    assert after > 15


def test_a_copy_that_dies_again_and_again_gets_there() -> None:
    source, table = made("rich")
    target, url = MemoryStore(), at(source)
    newest = -1
    for _ in range(100):
        try:
            tl.copy(url, at(dying(target, 12)))
            break
        except StoppedError:
            version = check_prefix_of(target, told(table))
            assert version >= newest
            newest = version
    assert told(tl.Table(target, "t")) == told(table)


def test_a_lake_that_is_stopped_is_an_older_lake_or_none() -> None:
    source = MemoryStore("a lake")
    lake = tl.connect(at(source))
    lake.create_table("a", {"x": [1]})
    lake.create_table("b", {"x": [2]})
    lake.rename_table("b", "c")
    url, found = at(source), set()
    for after in itertools.count():
        target = MemoryStore()
        try:
            tl.copy(url, at(dying(target, after)))
            break
        except StoppedError:
            pass
        try:
            there = tl.connect(at(target), create=False)
        except tl.NotFoundError:
            found.add(("none",))
        else:
            found.add(tuple(there.tables()))
            assert [there[name].to_polars().rows() for name in there.tables()] in ([], [[(1,)]], [[(1,)], [(2,)]])
        tl.copy(url, at(target))
        assert tl.connect(at(target), create=False).tables() == ["a", "c"]
    assert found == {("none",), (), ("a",), ("a", "b"), ("a", "c")}


def test_an_unfinished_copy_says_so_and_a_damaged_log_says_that_it_is_damaged() -> None:
    source, _ = made("horizon without base")
    target = MemoryStore()

    def refuse(verb: str, key: str) -> None:
        if verb == "put_if_absent" and key.endswith(names.commit(0)):
            raise StoppedError

    with pytest.raises(StoppedError):
        tl.copy(at(source), at(FaultyStore(target, before=refuse)))
    with pytest.raises(tl.NotFoundError, match="copy at .* is not complete.*copy again"):
        tl.open_table(at(target))
    target.delete(names.LOG + names.COPYING)
    with pytest.raises(tl.CorruptionError, match=names.commit(0)):
        tl.open_table(at(target))


def test_lost_and_doubled_answers_change_nothing() -> None:
    source, table = made("rich")
    target = MemoryStore()
    shaky = FaultyStore(target, rates={Fault.SENT_TWICE: 0.5})
    shaky.inject(Fault.ANSWER_LOST, verb="put_if_absent", key_ends=".json", times=5)
    tl.copy(at(source), at(shaky))
    assert shaky.injected[Fault.SENT_TWICE] > 3
    assert told(tl.Table(target, "t")) == told(table)


def test_a_create_that_never_arrives_is_not_said_to_have() -> None:
    class Deaf(FaultyStore):
        def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
            if key.endswith(names.commit(1)):
                raise tl.StoreError("no answer", maybe_applied=True)
            return super().put_if_absent(key, data)

    source, table = made("rich")
    target = MemoryStore()
    with pytest.raises(tl.StoreError, match="no answer"):
        tl.copy(at(source), at(Deaf(target)))
    assert check_prefix_of(target, told(table)) == 0


# --------------------------------------------------------------------------- again


def test_a_second_copy_brings_what_is_new_and_no_more() -> None:
    source, table = made("rich")
    target, url = MemoryStore(), at(source)
    tl.copy(url, at(target))
    asked: list[tuple[str, str]] = []
    watched = at(FaultyStore(target, before=lambda verb, key: asked.append((verb, key))))
    assert tl.copy(url, watched).objects == 0
    assert {verb for verb, _ in asked} == {"list", "get"}
    before = {info.key for info in source.list()}
    table.append({"id": range(9000, 9500), "city": ["Rome"] * 500})
    table.delete("id = 9001")
    table.restore(tag="early")
    with table.consumer("audit day").take():
        pass
    asked.clear()
    copied = tl.copy(url, watched)
    put = {key for verb, key in asked if verb.startswith("put") and "probe" not in key}
    assert put - {key for key in put if key.endswith(names.HINT)} == {info.key for info in source.list()} - before
    assert copied.tables[0].versions == 3
    assert told(tl.Table(target, "t")) == told(table)


def test_a_copy_follows_an_expiry() -> None:
    source, table = made("small base")
    target, url = MemoryStore(), at(source)
    tl.copy(url, at(target))
    for number in range(40, 45):
        table.append({"id": [number]})
    tl.copy(url, at(target))
    table.expire(3)
    keep_only_what_is_needed(source, table)
    table.append({"id": [50]})
    assert tl.copy(url, at(target)).tables[0].versions == 2
    again = tl.Table(target, "t")
    assert told(again) == told(table)
    assert not again.verify().problems
    base = max(copy_plan.standing(_sizes(target), names.LOG).bases)
    assert not any(target.get(names.LOG + names.commit(version)) for version in range(base + 1))


def _sizes(store: ObjectStore) -> dict[str, int]:
    return {info.key: info.size_bytes for info in store.list()}


def test_a_copy_that_ends_where_the_base_does_goes_on() -> None:
    store = MemoryStore("short")
    table = tl.connect(at(store)).create_table("t", {"id": "int64"}, properties={"log_fan_out": "2"})
    for number in range(3):
        table.append({"id": [number]})
    target = MemoryStore()
    tl.copy(at(store), at(target))
    table.compact()
    table.append({"id": [4]})
    table.expire(1)
    assert tl.copy(at(store), at(target)).tables[0].versions == 3
    assert rows(tl.connect(at(target))["t"].snapshot()) == rows(table.snapshot())


def test_a_copy_whose_next_commits_have_expired_cannot_go_on() -> None:
    source, table = made("small base")
    target, url = MemoryStore(), at(source)
    tl.copy(url, at(target))
    before = _sizes(target)
    for number in range(60, 70):
        table.append({"id": [number]})
    table.expire(1)
    with pytest.raises(tl.InvalidError, match="has expired since.*copy to another place"):
        tl.copy(url, at(target))
    assert _sizes(target) == before


def test_writers_may_go_on_meanwhile() -> None:
    source, table = made("rich")
    version, truth = table.version, told(table)
    target = MemoryStore()
    copied: list[int] = []

    def write(verb: str, key: str) -> None:
        if key.startswith(names.DATA):
            copied.append(table.append([{"id": -1}]).version)

    tl.copy(at(FaultyStore(source, before=write)), at(target))
    assert max(copied) > version + 1
    assert told(tl.Table(target, "t")) == truth


def test_history_that_expires_meanwhile_is_a_conflict_and_the_next_copy_goes_on() -> None:
    source, table = made("small base")
    target = MemoryStore()
    done: list[bool] = []

    def expire(verb: str, key: str) -> None:
        if key.startswith(names.DATA) and not done:
            done.append(True)
            for number in range(70, 75):
                table.append({"id": [number]})
            table.expire(1)

    with pytest.raises(tl.ConflictError, match="expired while it was copied; copy again"):
        tl.copy(at(FaultyStore(source, before=expire)), at(target))
    tl.copy(at(source), at(target))
    assert told(tl.Table(target, "t")) == told(table)


# --------------------------------------------------------------------------- refused


def test_another_table_at_the_target_is_named_and_left_alone() -> None:
    (source, _), (target, other) = made("rich"), made("long base")
    before, truth = _sizes(target), told(other)
    with pytest.raises(tl.InvalidError, match=r"_log/0+(\d+)\.json is not the one to copy: another table"):
        tl.copy(at(source), at(target))
    assert _sizes(target) == before
    assert told(other) == truth


def test_a_copy_that_somebody_wrote_to_is_refused_with_the_commit() -> None:
    source, table = made("rich")
    target, url = MemoryStore(), at(source)
    tl.copy(url, at(target))
    version = tl.Table(target, "t").append([{"id": 1}]).version
    with pytest.raises(tl.InvalidError, match=f"{names.commit(version)} is no commit of .* written to this copy"):
        tl.copy(url, at(target))
    for _ in range(5):
        table.append([{"id": 2}])
    tl.Table(target, "t").append([{"id": 3}])
    before = _sizes(target)
    with pytest.raises(tl.InvalidError, match=f"{names.commit(version)} is not the one to copy"):
        tl.copy(url, at(target))
    assert _sizes(target) == before


def test_a_commit_that_wins_meanwhile_is_not_overwritten() -> None:
    source, _ = made("rich")
    target = MemoryStore()

    def intrude(verb: str, key: str) -> None:
        if verb == "put_if_absent" and key.endswith(names.commit(3)):
            target.put_if_absent(key, b"mine")

    with pytest.raises(tl.InvalidError, match=f"{names.commit(3)} is not the one to copy"):
        tl.copy(at(source), at(FaultyStore(target, before=intrude)))
    assert target.get(names.LOG + names.commit(3)) == b"mine"


@pytest.mark.parametrize("name", ["data/", "_log/actions/"])
def test_an_object_of_another_size_at_the_target_is_not_overwritten(name: str) -> None:
    source, _ = made("rich")
    key = next(info.key for info in source.list(name))
    target = MemoryStore()
    target.put(key, b"mine")
    with pytest.raises(tl.InvalidError, match=f"{key} has 4 bytes.*nothing is overwritten"):
        tl.copy(at(source), at(target))
    assert target.get(key) == b"mine"


def test_p1_a_target_that_overwrites_is_refused_before_anything_is_written() -> None:
    source, _ = made("rich")
    target = MemoryStore()
    with pytest.raises(tl.InvalidError, match="put-if-not-exists"):
        tl.copy(at(source), at(FaultyStore(target, rates={Fault.OVERWRITTEN: 1.0})))
    assert not _sizes(target)


def test_places_that_cannot_be_copied_say_why(tmp_path: Path) -> None:
    lake = tl.connect(tmp_path / "lake")
    lake.create_table("t", {"x": [1]})
    alone = tl.copy(tmp_path / "lake" / "t", tmp_path / "alone")
    assert [each.path for each in alone.tables] == [""]
    with pytest.raises(tl.NotFoundError, match="nothing at"):
        tl.copy(tmp_path / "nowhere", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    with pytest.raises(tl.InvalidError, match="cannot be copied to itself"):
        tl.copy(tmp_path / "lake", f"{tmp_path}/lake/")
    with pytest.raises(tl.InvalidError, match="is a table, and .* a lake"):
        tl.copy(tmp_path / "lake", tmp_path / "alone")
    with pytest.raises(tl.InvalidError, match="is a lake, and .* a table"):
        tl.copy(tmp_path / "alone", tmp_path / "lake")
    tl.connect(tmp_path / "another")
    with pytest.raises(tl.InvalidError, match="_catalog/.* is not the one to copy"):
        tl.copy(tmp_path / "lake", tmp_path / "another")
    assert not (tmp_path / "another" / "t").exists()


def test_a_table_that_is_gone_is_missed_only_if_it_has_a_name(tmp_path: Path) -> None:
    lake = tl.connect(tmp_path / "lake")
    lake.create_table("kept", {"x": [1]})
    lake.create_table("gone", {"x": [1]})
    shutil.rmtree(tmp_path / "lake" / "gone")
    with pytest.raises(tl.CorruptionError, match="names gone, which is not there"):
        tl.copy(tmp_path / "lake", tmp_path / "copy")
    lake.drop_table("gone")
    assert [each.path for each in tl.copy(tmp_path / "lake", tmp_path / "copy").tables] == ["kept"]


# --------------------------------------------------------------------------- damaged


def flip(store: ObjectStore, key: str) -> None:
    data = bytearray(store.get(key))
    data[20 if key.startswith(names.DELETES) else len(data) // 2] ^= 1  # what stands behind vectors nobody reads
    store.put(key, bytes(data))


@pytest.mark.parametrize("how", ["flipped", "gone", "cut", "longer"])
def test_damage_at_the_source_is_named_and_does_not_arrive(how: str) -> None:
    sound, table = made("rich")
    truth = told(table)
    keys = [info.key for info in sound.list()]
    tried = 0
    for key in keys:
        optional = key.startswith(("_log/segments", "_consumers")) or key.endswith(names.HINT)
        if optional and how != "flipped":
            continue  # without them it is only slower
        if key.startswith("_log/0") and how == "gone" and int(key[-25:-5]) == table.version:
            continue  # then the log ends earlier
        if key.startswith("deletes") and how == "longer":
            continue  # nothing says how long it is; what the log names of it is sound
        source, target = MemoryStore("damaged"), MemoryStore()
        for each in keys:
            source.put(each, sound.get(each))
        match how:
            case "flipped":
                flip(source, key)
            case "gone":
                source.delete(key)
            case "cut":
                source.put(key, sound.get(key)[:-1])
            case _:
                source.put(key, sound.get(key) + b"x")
        if key.endswith(names.HINT):
            tl.copy(at(source), at(target))
            continue
        tried += 1
        if key.startswith("deletes") and how == "cut":
            continue  # its end is of no use to anybody here
        with pytest.raises(tl.CorruptionError) as raised:
            tl.copy(at(source), at(target))
        assert key.rpartition("/")[2] in str(raised.value), key
        assert key not in _sizes(target)
        check_prefix_of(target, truth)
    assert tried > 10


def test_a_base_that_is_not_the_one_the_log_speaks_of_is_refused() -> None:
    source, _ = made("small base")
    (key,) = [info.key for info in source.list("_log/base/")]
    other, _ = made("two bases")
    base = max(info.key for info in other.list("_log/base/"))
    source.put(key, other.get(base))
    with pytest.raises(tl.CorruptionError, match="base"):
        tl.copy(at(source), at(MemoryStore()))


def test_a_segment_under_the_name_of_another_is_refused() -> None:
    source, _ = made("rich")
    first, second = sorted(info.key for info in source.list("_log/segments/") if info.key.endswith("-4.parquet"))[:2]
    source.put(first, source.get(second))
    with pytest.raises(tl.CorruptionError, match="it covers versions"):
        tl.copy(at(source), at(MemoryStore()))


def test_a_target_that_forgets_what_was_written_is_found_out() -> None:
    class Forgetful(FaultyStore):
        def list(self, prefix: str = "", start_after: str = "") -> Iterator[Any]:
            return (info for info in super().list(prefix, start_after) if not info.key.startswith("data/"))

    source, _ = made("rich")
    with pytest.raises(tl.CorruptionError, match="data/.* is not there although .* were just written"):
        tl.copy(at(source), at(Forgetful(MemoryStore())))


# --------------------------------------------------------------------------- large objects


@pytest.mark.parametrize("how", ["sound", "flipped", "longer", "cut", "gone"])
def test_large_files_go_to_a_disk_piece_by_piece(how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "_PIECE_BYTES", 100)
    source, table = made("long base")
    key = next(info.key for info in source.list("data/"))
    data = source.get(key)
    match how:
        case "flipped":
            flip(source, key)
        case "longer":
            source.put(key, data + b"x")
        case "cut":
            source.put(key, data[:-1])
        case "gone":
            source.delete(key)
    ranges: list[int] = []

    class Watched(FaultyStore):
        def get(self, key: str, byte_range: Any = None) -> bytes:
            if key.startswith("data/"):
                ranges.append(byte_range.end - byte_range.start)
            return super().get(key, byte_range)

    url = at(Watched(source))
    if how == "sound":
        tl.copy(url, tmp_path / "copy")
        assert told(tl.open_table(tmp_path / "copy")) == told(table)
        assert max(ranges) == 100
    else:
        with pytest.raises(tl.CorruptionError, match=key):
            tl.copy(url, tmp_path / "copy")
        assert key not in {info.key for info in LocalStore(tmp_path / "copy").list()}
    assert not list((tmp_path / "copy").rglob(".*.tmp"))


def test_a_disk_that_cannot_be_written_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "_PIECE_BYTES", 100)
    source, _ = made("long base")

    class Full(LocalStore):
        def upload(self, key: str) -> Any:
            begun = super().upload(key)
            Path(begun.path).unlink()
            Path(begun.path).mkdir()
            return begun

    with pytest.raises(tl.InvalidError, match="cannot write"):
        tl.copy(at(source), at(Full(tmp_path / "copy")))


def test_memory_for_objects_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    source, table = made("long base")
    monkeypatch.setattr(transfer, "_HELD_BYTES_MAX", min(info.size_bytes for info in source.list("data/")))
    target = MemoryStore()
    held: list[int] = [0]

    class Source(FaultyStore):
        def get(self, key: str, byte_range: Any = None) -> bytes:
            if key.startswith("data/"):
                held.append(held[-1] + 1)
            return super().get(key, byte_range)

    class Target(FaultyStore):
        def put(self, key: str, data: bytes | memoryview) -> None:
            super().put(key, data)
            if key.startswith("data/"):
                held.append(held[-1] - 1)

    tl.copy(at(Source(source)), at(Target(target)))
    assert max(held) == 1
    assert told(tl.Table(target, "t")) == told(table)


# --------------------------------------------------------------------------- files of other tables


def cloned(lake: tl.Lake) -> tuple[str, str]:
    """A table that names a file and a vector of another one, which does not need them any more; their keys."""
    origin = lake.create_table("origin", {"id": "int64"}, properties={"inline_max_bytes": "0"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(removing, "INLINE_BYTES_MAX", 0)
        origin.append({"id": range(100)})
        origin.delete("id < 10")
    (file,) = origin.snapshot().files
    assert file.deleted is not None
    path, vector = f"_lake/origin/{file.path}", f"_lake/origin/{file.deleted.path}"
    clone = lake.create_table("clone", {"id": "int64"})
    action = replace(file, path=path, deleted=replace(file.deleted, path=vector))
    actions = (RequireFeature(name=DELETION_VECTORS), action)
    Committing(PrefixedStore(lake.store, "clone")).commit(
        lambda _: Planned(operation="clone", actions=actions, info={})
    )
    assert clone.row_count == 90
    origin.delete("true")
    origin.expire(1)
    return f"origin/{file.path}", f"origin/{file.deleted.path}"


def test_files_of_other_tables_are_copied_with_the_lake_and_not_alone() -> None:
    source, target = MemoryStore("cloned"), MemoryStore()
    lake = tl.connect(at(source))
    file, vector = cloned(lake)
    tl.copy(at(source), at(target))
    assert target.get(file) == source.get(file)
    assert target.get(vector) == source.get(vector)
    assert tl.connect(at(target))["clone"].row_count == 90
    alone = MemoryStore("alone")
    with pytest.raises(tl.InvalidError, match=r"needs _lake/origin/data/.*copy the whole lake, or .*compact"):
        tl.copy(at(PrefixedStore(source, "clone")), at(alone))
    assert not _sizes(alone)
    lake["clone"].restore(version=0)
    lake["clone"].expire(1)
    tl.copy(at(PrefixedStore(source, "clone")), at(alone))
    assert tl.open_table(at(alone)).row_count == 0


def test_a_batch_ends_where_its_bytes_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    source, table = made("rich")
    history = TableHistory(source)
    FollowedLog(source, names.LOG, history).refresh()
    needs = copy_plan.needs_of(history, -1)
    newest = table.version
    assert list(needs.batches(0, newest, -1)) == [(0, newest)]
    monkeypatch.setattr(copy_plan, "BYTES_AT_ONCE", 1)
    assert next(needs.batches(0, newest, 4)) == (0, 4)
    found = list(needs.batches(0, newest, 1))
    assert len(found) > 2
    assert [version for first, last in found for version in range(first, last + 1)] == list(range(newest + 1))
    brought = [each.path for first, last in found for each in needs.between(first, last)]
    assert len(brought) == len({*brought}) > 5
