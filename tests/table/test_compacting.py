"""Files put together end to end: no version changes, no row that others change is lost, and the files are as promised.

Targets are so small that tables of a megabyte have all levels.
"""

from __future__ import annotations

import random
import warnings
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

import tablelog as tl
from tablelog.compacting import PASSING_EVERY, Progress, UntidyWarning
from tablelog.engines import arranged
from tablelog.errors import InvalidError
from tablelog.ops.policy import CUBE_LEVEL, thorough
from tablelog.ops.spans import span_of
from tablelog.store.memory import MemoryStore
from tablelog.testing import FaultyStore
from tests.table.keeping import assert_says, lake_on, said
from tests.table.meeting import Meeting, append, delete, merge, update, upsert
from tests.table.reading import assert_reads

if TYPE_CHECKING:
    from pathlib import Path

    from tests.table.meeting import Act

SMALL = {"target_file_size_bytes": 65536, "inline_max_bytes": 0}
LAYOUTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "sorted": {"sort_by": ["v desc", "id"]},
    "keyed": {"key": "id"},
    "clustered": {"cluster_by": ["id", "v"]},
    "partitioned": {"partition_by": "p", "sort_by": "v"},
    "keyed and partitioned": {"key": ["p", "id"], "partition_by": "bucket(2, p)"},
}
EVERY = pytest.mark.parametrize("layout", LAYOUTS)
WAYS = pytest.mark.parametrize("way", ["memory", "DuckDB"])


def force(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arranged, "_FEW_BYTES", 0 if way == "DuckDB" else 1 << 40)


def rows(dice: random.Random, ids: range) -> list[dict[str, Any]]:
    return [
        {
            "id": number,
            "v": dice.choice([None, dice.randrange(1000)]),
            "p": f"p{number % 2}",
            "text": str(dice.random()),
        }
        for number in ids
    ]


COLUMNS = {"id": "int64", "v": "int64", "p": "string", "text": "string"}


def grown(lake: tl.Lake, layout: str, *, properties: dict[str, object] | None = None) -> tl.Table:
    """A table with files of all sizes, rows in commits, vectors, and keys in random order."""
    dice = random.Random(1)
    given = {**SMALL, "auto_compact": "off", **(properties or {})}
    table = lake.create_table("t", COLUMNS, properties=given, **LAYOUTS[layout])
    ids = list(range(6000))
    dice.shuffle(ids)
    for start, count in ((0, 3000), (3000, 2000), *((5000 + 20 * each, 20) for each in range(20))):
        table.append(rows(dice, range(start, start + count)))
    table.alter.set_property("inline_max_bytes", "2000")
    for each in range(10):
        table.append(rows(dice, range(5500 + each, 5501 + each)))
    table.delete("id % 3 = 0")
    table.delete("id = 5501")
    table.update({"v": "v + 1"}, where="id % 50 = 1")
    table.upsert([{"id": 1, "v": 7, "p": "p1", "text": "x"}], on=["id", "p"])
    return table


class TestEndToEnd:
    @EVERY
    @WAYS
    @pytest.mark.parametrize("full", [False, True])
    def test_every_version_and_every_change_reads_the_same(
        self, layout: str, way: str, full: bool, lake: tl.Lake, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        force(way, monkeypatch)
        table = grown(lake, layout)
        before, expected = said(table), table.to_arrow().to_pylist()
        newest = table.version
        commit = table.compact(full=full)
        assert commit is not None
        assert commit.operation == "compact"
        assert (commit.rows_added, commit.rows_deleted) == (0, 0)
        assert_says(table, before)
        assert_reads(table.snapshot(), expected, lake)
        assert table.changes(since=newest).to_arrow().num_rows == 0
        assert table.compact(full=full) is None, "nothing is left to do"
        assert not any(file.is_inlined for file in table.snapshot().files)
        if full:
            assert not any(file.deleted for file in table.snapshot().files)

    @pytest.mark.parametrize("layout", ["sorted", "keyed", "partitioned", "keyed and partitioned"])
    def test_levels_part_and_have_no_key_filters(self, layout: str, lake: tl.Lake) -> None:
        table = grown(lake, layout)
        table.compact()
        assert_levels(table)
        for number in range(5):
            table.append(rows(random.Random(number), range(10_000 + 40 * number, 10_040 + 40 * number)))
            table.compact()
            assert_levels(table)

    def test_in_memory_too(self) -> None:
        table = grown(lake_on(MemoryStore()), "sorted")
        before = said(table)
        table.compact()
        assert_says(table, before)

    def test_a_file_that_moves_keeps_its_path_and_its_rows(self, lake: tl.Lake) -> None:
        table = lake.create_table("t", {"id": "int64"}, sort_by="id", properties=SMALL)
        dice = random.Random(1)
        for number in range(3):
            low = number << 40
            table.append({"id": [low + dice.getrandbits(40) for _ in range(9000)]})
        table.delete(f"id < {1 << 30}")
        paths = table.snapshot().files.paths
        before = said(table)
        commit = table.compact()
        assert commit is not None
        assert commit.files_added == commit.files_removed == 0
        assert sorted(table.snapshot().files.paths) == sorted(paths)
        assert all(file.level for file in table.snapshot().files)
        assert_says(table, before)

    def test_progress_ends_with_all_rows(self, lake: tl.Lake) -> None:
        table = grown(lake, "sorted")
        seen: list[Progress] = []
        table.compact(on_progress=seen.append)
        assert [each.rows for each in seen] == sorted(each.rows for each in seen)
        assert seen[-1].rows == seen[-1].rows_total
        assert seen[-1].steps >= 1

    @EVERY
    def test_rows_of_which_a_quarter_is_deleted_are_written_without_them(self, layout: str, lake: tl.Lake) -> None:
        table = lake.create_table("t", COLUMNS, properties=SMALL, **LAYOUTS[layout])
        table.append(rows(random.Random(1), range(4000)))
        table.compact(full=True)
        table.delete("id % 10 = 0")
        assert table.compact() is None
        table.delete("id % 3 = 0")
        before = said(table)
        assert table.compact() is not None
        assert not any(file.deleted for file in table.snapshot().files)
        assert_says(table, before)

    @pytest.mark.parametrize("change", ["sort_by", "cluster_by", "partition_by", "widen_column", "rename_column"])
    @pytest.mark.parametrize("layout", ["plain", "sorted", "clustered"])
    def test_another_order_or_shape_comes_to_all_rows_with_full(self, layout: str, change: str, lake: tl.Lake) -> None:
        table = lake.create_table("t", {**COLUMNS, "w": "int32"}, properties=SMALL, **LAYOUTS[layout])
        table.append([{**row, "w": row["id"] % 100} for row in rows(random.Random(1), range(12_000))])
        table.compact(full=True)
        given = {
            "sort_by": ("text",),
            "cluster_by": ("text", "w"),
            "partition_by": ("bucket(3, w)",),
            "widen_column": ("w", "int64"),
            "rename_column": ("w", "q"),
        }
        getattr(table.alter, change)(*given[change])
        before = said(table)
        commit = table.compact(full=True)
        files = table.snapshot().files
        assert commit is not None or change not in {"sort_by", "partition_by"}
        if change == "sort_by":
            ends = sorted((file.statistics[4].min, file.statistics[4].max) for file in files)
            assert all(left[1] <= right[0] for left, right in pairwise(ends))
        if change == "partition_by":
            assert {file.partitioning_id for file in files} == {1}
        assert table.compact(full=True) is None
        assert_says(table, before)


def assert_levels(table: tl.Table) -> None:
    state = table.snapshot().state
    policy = thorough(state.metadata.properties)
    levels: dict[Any, list[Any]] = {}
    for file in state.files:
        assert file.level >= 1
        assert file.key_filter is None or file.key_filter.read() is None
        levels.setdefault((file.level, file.partition_values), []).append(file)
    for (level, _), files in levels.items():
        assert sum(file.size_bytes for file in files) <= policy.room_bytes(level)
        spans = sorted((span_of(file, state.metadata) for file in files), key=lambda span: span.low)
        assert not any(left.meets(right) for left, right in pairwise(spans))


ACTS: dict[str, Act] = {
    "delete some": delete("id % 4 = 1"),
    "delete all": delete("true"),
    "update": update({"v": "v * 10"}, "id % 5 = 2"),
    "upsert": upsert((3, 33), (5, 55), (1000, 1)),
    "merge": merge((7, 77), (2000, 2)),
    "append": append((3000, 3)),
    "compact": lambda table: table.compact(),
    "compact fully": lambda table: table.compact(full=True),
    "overwrite": lambda table: table.overwrite([{"id": 1, "v": 1}], where="id = 1"),
    "restore": lambda table: table.restore(version=2),
    "sort": lambda table: table.alter.sort_by("v"),
    "add a column": lambda table: table.alter.add_column("extra", "int64"),
}
MET: dict[str, dict[str, Any]] = {
    "plain": {},
    "sorted": {"sort_by": "v desc"},
    "clustered": {"cluster_by": ["id", "v"]},
    "keyed": {"key": "id"},
}


class TestMeetingWriters:
    @WAYS
    @pytest.mark.parametrize("full", [False, True])
    @pytest.mark.parametrize("layout", MET)
    @pytest.mark.parametrize("act", ACTS)
    def test_what_others_commit_meanwhile_stays(
        self, act: str, layout: str, full: bool, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        force(way, monkeypatch)
        properties = {"inline_max_bytes": "0"}
        twin = Meeting(
            tmp_path / "twin", [(number, number % 17) for number in range(60)], properties=properties, **MET[layout]
        )
        met = Meeting(
            tmp_path / "met", [(number, number % 17) for number in range(60)], properties=properties, **MET[layout]
        )
        for meeting in (twin, met):
            meeting.theirs.append([{"id": number, "v": number % 7} for number in range(60, 90)])
            meeting.theirs.delete("id % 9 = 4")
        met.run(lambda table: table.compact(full=full), ACTS[act])
        ACTS[act](twin.theirs)
        assert sorted(map(repr, met.cold().to_arrow().to_pylist())) == sorted(
            map(repr, twin.cold().to_arrow().to_pylist())
        )
        met.holds([(row["id"], row["v"]) for row in twin.cold().to_arrow().to_pylist()])
        met.ours.compact()
        met.holds([(row["id"], row["v"]) for row in twin.cold().to_arrow().to_pylist()])

    @pytest.mark.parametrize("layout", MET)
    def test_rows_deleted_between_any_two_requests_stay_deleted(self, layout: str, tmp_path: Path) -> None:
        """Somebody deletes one row and updates another right before each request in turn."""
        number = 0
        while True:
            requests = _compacted_with_a_change_before_request(tmp_path / f"{layout}{number}", number, MET[layout])
            if requests <= number:
                break
            number += 1
        assert number > 5


def _compacted_with_a_change_before_request(folder: Path, chosen: int, options: dict[str, Any]) -> int:
    """How many requests the compaction made."""
    folder.mkdir()
    meeting = Meeting(folder, [(each, each) for each in range(50)], properties={"inline_max_bytes": "0"}, **options)
    meeting.theirs.append([{"id": each, "v": each} for each in range(50, 60)])
    meeting.theirs.delete("id = 0")
    counted = 0

    def before(verb: str, key: str) -> None:
        nonlocal counted
        counted += 1
        if counted == chosen + 1:
            meeting.theirs.delete("id IN (7, 8, 55)")
            meeting.theirs.update({"v": "v + 1000"}, "id IN (9, 56)")

    table = tl.Table(FaultyStore(meeting.theirs._store, before=before), "t")
    table.compact()
    gone = {0, 7, 8, 55} if counted > chosen else {0}
    new = {9, 56} if counted > chosen else set()
    meeting.holds([(each, each + 1000 if each in new else each) for each in range(60) if each not in gone])
    return counted


class TestInPassing:
    @pytest.mark.parametrize("layout", MET)
    def test_appends_are_as_many_versions_as_there_are_and_files_are_few(self, layout: str, lake: tl.Lake) -> None:
        table = lake.create_table("t", {"id": "int64", "v": "int64"}, **MET[layout])
        most = 0
        for number in range(150):
            commit = table.append([{"id": (number * 7919) % 1009, "v": number}])
            assert (commit.version, commit.operation, commit.rows_added) == (number + 1, "append", 1)
            most = max(most, table.snapshot().state.file_count)
        assert most <= 24 + 2 * PASSING_EVERY
        history = table.history()
        assert history["operation"].to_list() == ["append"] * 150 + ["create"]
        assert history["rows_added"].to_list() == [1] * 150 + [0]
        feed = table.changes(since=0).to_arrow().to_pylist()
        assert [(row["_change"], row["_version"], row["v"]) for row in feed] == [
            ("insert", number + 1, number) for number in range(150)
        ]
        for number in (1, 40, 64, 100, 150):
            assert table.at(version=number).to_arrow().num_rows == number
        assert table.verify().ok

    @pytest.mark.parametrize("layout", MET)
    @pytest.mark.parametrize("act", ["delete some", "delete all", "update", "upsert", "merge", "append", "overwrite"])
    def test_any_operation_may_carry_a_step(self, act: str, layout: str, tmp_path: Path) -> None:
        """The same operation beside, with nothing put together in passing, is the model."""
        met = carrying(tmp_path / "met", MET[layout])
        twin = carrying(tmp_path / "twin", MET[layout], auto_compact="off")
        assert met.version + 2 == 2 * PASSING_EVERY
        commits = [ACTS[act](table) for table in (met, twin)]
        assert [(each.version, each.operation, each.rows_added, each.rows_deleted) for each in commits[:1]] == [
            (each.version, each.operation, each.rows_added, each.rows_deleted) for each in commits[1:]
        ]
        newest = met.version
        assert said_rows(met) == said_rows(twin)
        assert feed_of(met, newest - 1) == feed_of(twin, newest - 1)
        assert met.verify().ok
        assert any(file.level for file in met.snapshot().files) or act in {
            "delete all",
            "overwrite",
            "merge",
            "upsert",
            "update",
        }
        outcomes = []
        for table in (met, twin):
            table.revert(newest)
            outcomes.append((said_rows(table), feed_of(table, newest)))
            table.restore(version=newest)
            outcomes.append((said_rows(table),))
            table.restore(version=newest - 1)
            outcomes.append((said_rows(table),))
            assert table.verify().ok
        assert outcomes[:3] == outcomes[3:]

    @pytest.mark.parametrize("isolation", ["snapshot", "serializable"])
    @pytest.mark.parametrize("layout", MET)
    def test_a_transaction_that_meets_one_is_not_disturbed_by_it(
        self, layout: str, isolation: str, tmp_path: Path
    ) -> None:
        table = carrying(tmp_path, MET[layout])
        with table.transaction(isolation) as tx:
            assert tx.scan(where="id = 3").to_arrow()["v"].to_pylist() == [3]
            tx.update({"v": 30}, where="id = 3")
            other = tl.open_table(tmp_path / "t").append([{"id": 500, "v": 500}])
            assert other.files_removed > 0, "it carried a step"
            tx.commit()
        assert table.scan(where="id = 3").to_arrow()["v"].to_pylist() == [30]
        assert table.row_count == 29
        assert table.verify().ok

    def test_it_can_be_switched_off(self, lake: tl.Lake) -> None:
        table = lake.create_table("t", {"id": "int64"}, properties={"auto_compact": "off"})
        for number in range(70):
            table.append([{"id": number}])
        assert table.snapshot().state.file_count == 70

    def test_what_makes_no_sense_is_refused_where_it_is_set(self, lake: tl.Lake) -> None:
        with pytest.raises(InvalidError, match="auto_compact is 'maybe'; it must be 'on' or 'off'"):
            lake.create_table("t", {"id": "int64"}, properties={"auto_compact": "maybe"})
        table = lake.create_table("t", {"id": "int64"})
        with pytest.raises(InvalidError, match="auto_compact is 'no'; it must be 'on' or 'off'"):
            table.alter.set_property("auto_compact", "no")

    def test_a_step_that_fails_is_a_warning_and_the_rows_are_committed(self, tmp_path: Path) -> None:
        carrying(tmp_path, {})

        def before(verb: str, key: str) -> None:
            if verb == "put" and key.startswith("data/"):
                raise tl.StoreError("the disk is full")

        table = tl.Table(FaultyStore(tl.open_table(tmp_path / "t")._store, before=before), "t")
        with pytest.warns(UntidyWarning, match="could not be put together in passing: the disk is full"):
            commit = table.append([{"id": 99, "v": 99}])
        assert commit.rows_added == 1
        assert table.scan(where="id = 99").to_arrow().num_rows == 1
        assert table.verify().ok

    def test_a_lost_race_carries_the_step_with_what_others_deleted(self, tmp_path: Path) -> None:
        meeting = Meeting(tmp_path, [])
        for number in range(30):
            meeting.theirs.append([{"id": number, "v": number}, {"id": number + 1000, "v": number}])

        def without_a_step(act: Act) -> Act:
            def run(table: tl.Table) -> Any:
                table._table.is_calm = False
                return act(table)

            return run

        assert meeting.ours.version == 2 * PASSING_EVERY - 2
        others = delete("id IN (3, 4)"), update({"v": 50}, "id = 5")
        commit = meeting.run(append((100, 100)), *map(without_a_step, others))
        assert commit.files_removed > 0
        left = [(n, 50 if n == 5 else n) for n in range(30) if n not in {3, 4}]
        meeting.holds([*left, *((n + 1000, n) for n in range(30)), (100, 100)])

    def test_it_is_counted_as_compaction_where_bytes_are_counted(self, tmp_path: Path) -> None:
        table = carrying(tmp_path, {})
        table.append([{"id": 99, "v": 99}])
        assert table.health().write_amplification > 0


def carrying(folder: Path, options: dict[str, Any], **properties: str) -> tl.Table:
    """A table whose next commit carries a step."""
    table = tl.connect(folder).create_table("t", {"id": "int64", "v": "int64"}, properties=properties, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for number in range(2 * PASSING_EVERY - 3):
            table.append([{"id": number, "v": number}])
        table.delete("id = 0")
    return table


def said_rows(table: tl.Table) -> list[str]:
    return sorted(map(repr, table.to_arrow().to_pylist()))


def feed_of(table: tl.Table, since: int) -> list[str]:
    feed = table.changes(since=since).to_arrow().drop_columns(["_timestamp"])
    return sorted(map(repr, feed.to_pylist()))


class TestClustered:
    def test_a_box_on_either_column_reads_about_the_root_of_the_files(self, lake: tl.Lake) -> None:
        dice = random.Random(1)
        points = {name: [dice.random() for _ in range(200_000)] for name in ("x", "y")}
        read: dict[str, dict[str, float]] = {}
        for way, options in {"clustered": {"cluster_by": ["x", "y"]}, "sorted": {"sort_by": ["x", "y"]}}.items():
            table = lake.create_table(way, {"x": "float64", "y": "float64"}, properties=SMALL, **options)
            for start in range(0, 200_000, 20_000):
                table.append({name: values[start : start + 20_000] for name, values in points.items()})
            table.compact(full=True)
            files = table.snapshot().state.file_count
            assert files >= 16
            read[way] = {
                name: sum(
                    len(table.scan(where=f"{name} BETWEEN {low} AND {low + 0.01}").files) / files
                    for low in (0.13, 0.37, 0.62, 0.81)
                ) / 4
                for name in ("x", "y")
            }  # fmt: skip
            if way == "clustered":
                root = files**-0.5
                assert max(file.level for file in table.snapshot().files) == CUBE_LEVEL + 1
        assert read["sorted"]["x"] <= 0.1
        assert read["sorted"]["y"] == 1
        for name in ("x", "y"):
            assert root / 2 <= read["clustered"][name] <= 2.5 * root
