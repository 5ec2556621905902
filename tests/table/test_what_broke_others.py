"""What went wrong in other table formats, each as a test that it does not happen here.

Each docstring says in a sentence what went wrong elsewhere. Names of products are left out; what matters is the mistake.
"""

from __future__ import annotations

import ast
import warnings
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import tablelog as tl
from tablelog import env
from tablelog.testing import Fault, FaultyStore
from tests.table.meeting import (
    FILES,
    Meeting,
    Still,
    append,
    as_rows,
    compact,
    delete,
    difference,
    merge,
    pairs,
    update,
    upsert,
)
from tests.table.test_races import in_threads

if TYPE_CHECKING:
    from tests.table.meeting import Act

SOURCES = Path(tl.__file__).parent


class TestInlinedRows:
    def test_moving_rows_to_files_keeps_every_version(self, tmp_path: Path) -> None:
        """Elsewhere: flushing inlined rows wrote them as new rows of the flushing version, and older versions lost them."""
        meeting = Meeting(tmp_path, [(1, 1)])
        meeting.theirs.append(as_rows([(2, 2), (3, 3)]))
        meeting.theirs.delete("id = 2")
        meeting.theirs.update({"v": "v + 10"}, "id = 3")
        before = {version: pairs(meeting.cold().at(version=version).to_arrow()) for version in range(5)}
        moments = {version: meeting.cold().at(version=version).timestamp for version in range(5)}
        assert meeting.theirs.compact() is not None
        for table in (meeting.ours, meeting.theirs, meeting.cold()):
            for version, rows in before.items():
                assert pairs(table.at(version=version).to_arrow()) == rows
                assert pairs(table.at(timestamp=moments[version]).to_arrow()) == rows
                assert table.at(version=version).row_count == rows.total()
                assert difference(table, -1, version) == rows
            assert pairs(table.at(version=5).to_arrow()) == before[4]
        meeting.holds([(1, 1), (3, 13)])

    @pytest.mark.parametrize(
        "ours",
        [compact, delete("id = 1"), update({"v": 5}, "id = 1"), upsert((1, 5))],
        ids=["compact", "delete", "update", "upsert"],
    )
    def test_rows_inside_commits_are_counted_once(self, tmp_path: Path, ours: Act) -> None:
        """Elsewhere: rows stood inlined and in a file at once while a flush was under way, and counts had them twice."""
        meeting = Meeting(tmp_path, [(1, 1), (2, 2)])
        counts: list[tuple[int, int]] = []

        def look(table: tl.Table) -> None:
            for handle in (meeting.cold(), table):
                counts.append((handle.row_count, handle.to_arrow().num_rows))
            table.append(as_rows([(9, 9)]))

        meeting.run(ours, look)
        look(meeting.theirs)
        meeting.theirs.compact()
        look(meeting.theirs)
        assert all(known == read for known, read in counts), counts
        assert [known for known, _ in counts[:2]] == [2, 2]
        assert meeting.cold().row_count == counts[-1][0] + 1

    def test_rows_that_come_in_while_others_move_stay(self, tmp_path: Path) -> None:
        """Elsewhere: a flush read the inlined rows, and then deleted all there were, also those that came in between."""
        meeting = Meeting(tmp_path, [(1, 1)])
        meeting.run(compact, append((2, 2)), append((3, 3)))
        meeting.holds([(1, 1), (2, 2), (3, 3)])
        handles = [meeting.cold() for _ in range(5)]

        def work(number: int) -> None:
            for turn in range(8):
                if number == 0:
                    handles[0].compact()
                else:
                    handles[number].append(as_rows([(number, turn)]))

        in_threads([lambda number=number: work(number) for number in range(5)])
        meeting.holds([(1, 1), (2, 2), (3, 3), *((number, turn) for number in range(1, 5) for turn in range(8))])

    def test_a_move_that_dies_half_way_has_not_happened(self, tmp_path: Path) -> None:
        """Elsewhere: a flush that was killed between its two steps left the rows in both places, or in none."""
        meeting = Meeting(tmp_path, [(1, 1), (2, 2)])
        for verb in ("put", "put_if_absent"):
            meeting.store.inject(Fault.FAILED, verb=verb)
            with pytest.raises(tl.StoreError):
                meeting.ours.compact()
            meeting.holds([(1, 1), (2, 2)])
        meeting.ours.compact()
        meeting.holds([(1, 1), (2, 2)])


@pytest.mark.parametrize("options", [{}, {"sort_by": "v desc"}], ids=["in order", "sorted"])
@pytest.mark.parametrize("properties", [{}, FILES], ids=["inlined", "files"])
def test_rows_that_were_deleted_before_files_are_put_together_do_not_come_back(
    tmp_path: Path, properties: dict[str, str], options: dict[str, Any]
) -> None:
    """Elsewhere: compaction read whole files without their deletion vectors, or lost a vector that came while it worked."""
    rows = [(n, n) for n in range(12)]
    meeting = Meeting(tmp_path, rows[:6], properties=properties, **options)
    meeting.theirs.append(as_rows(rows[6:]))
    meeting.theirs.delete("id IN (1, 7)")
    meeting.run(compact, delete("id = 2"))
    left = [row for row in rows if row[0] not in {1, 7, 2}]
    meeting.holds(left)
    meeting.theirs.delete("id = 3")
    meeting.theirs.append(as_rows([(12, 12)]))
    meeting.theirs.compact()
    meeting.holds([row for row in left if row[0] != 3] + [(12, 12)])


class Clock(env.Env):
    """A machine whose clock is wrong."""

    def __init__(self, hours: float) -> None:
        self._off_us = int(hours * 3_600_000_000)

    def now_us(self) -> int:
        return super().now_us() + self._off_us


@pytest.mark.parametrize("key", [None, "id"], ids=["unkeyed", "keyed"])
@pytest.mark.parametrize("properties", [{}, FILES], ids=["inlined", "files"])
def test_the_later_version_wins_whatever_clocks_say(
    tmp_path: Path, key: str | None, properties: dict[str, str]
) -> None:
    """Elsewhere: of two rows with a key the one with the larger timestamp or counter of its writer won, so a machine
    whose clock ran ahead overwrote what came after it, for ever."""
    meeting = Meeting(tmp_path, [(1, 0)], key=key, properties=properties)
    for number, hours in enumerate((+5, -7, 0, +48, -1000), start=1):
        with env.use(Clock(hours)):
            tl.open_table(meeting.folder).upsert(as_rows([(1, number), (2, number)]), on="id")
        meeting.holds([(1, number), (2, number)])
    with env.use(Clock(-30)):
        meeting.run(upsert((1, 100)), upsert((1, 99)), compact)
        meeting.ours.delete("id = 2")
    meeting.holds([(1, 100)])
    history = meeting.cold().history()
    assert history["timestamp"].is_sorted(descending=True)
    assert history["timestamp"].n_unique() == history.height
    for version in range(1, 6):
        moment = meeting.cold().at(version=version + 1).timestamp
        assert meeting.cold().at(timestamp=moment).version == version + 1


@pytest.mark.parametrize("fault", [Fault.ANSWER_LOST, Fault.SENT_TWICE], ids=lambda fault: fault.name)
@pytest.mark.parametrize("key", [None, "id"], ids=["unkeyed", "keyed"])
def test_no_conflict_is_reported_for_a_commit_that_landed(tmp_path: Path, fault: Fault, key: str | None) -> None:
    """Elsewhere: the storage client retried a put by itself, was refused by its own first try, and the writer said that
    somebody else had won; whoever tried again then added everything twice."""
    acts: list[Act] = [
        append((5, 5)),
        upsert((5, 50), (6, 60)),
        update({"v": "v + 1"}, "id = 6"),
        merge((6, 66), (7, 7)),
        delete("id = 7"),
        compact,
        lambda table: table.alter.add_check("small", "v < 1000"),
        lambda table: table.tag("x"),
        lambda table: table.restore(3),
        lambda table: table.exclusive("loader") and table,
    ]
    meeting = Meeting(tmp_path, [(1, 1)], key=key)
    for number, act in enumerate(acts, start=2):
        meeting.store.inject(fault, verb="put_if_absent", key_ends=".json")
        with env.use(Still()):
            act(meeting.ours)
        assert meeting.cold().version == number
        assert meeting.store.injected[fault] == number - 1
    meeting.holds([(1, 1), (5, 50), (6, 60)])


def test_a_transaction_and_a_numbered_commit_whose_answers_are_lost_are_there_once(tmp_path: Path) -> None:
    """Elsewhere: the check for what was done already ran before the first try only, and the retry did it again."""
    meeting = Meeting(tmp_path, [(1, 1)])
    meeting.store.inject(Fault.ANSWER_LOST, verb="put_if_absent", key_ends=".json")
    with env.use(Still()), meeting.ours.transaction("serializable", idempotent=("n", 1)) as tx:
        tx.update({"v": "v + 1"}, "id = 1")
    numbered = lambda table: table.update({"v": "v + 1"}, "id = 1", idempotent=("n", 2))  # noqa: E731
    meeting.run(numbered, append((2, 2)), numbered)
    meeting.holds([(1, 2 + 1), (2, 2)])


class TestUnknownOutcomes:
    @pytest.mark.parametrize(
        "act",
        [append((5, 5)), delete("id < 3"), update({"v": 0}, "id < 3"), upsert((1, 9)), merge((1, 9)), compact],
        ids=["append", "delete", "update", "upsert", "merge", "compact"],
    )
    def test_every_file_stays_if_nobody_knows_whether_the_commit_landed(self, tmp_path: Path, act: Act) -> None:
        """Elsewhere: a writer that got an error removed the files it had written; the commit had landed, and the table
        was ruined."""
        for verb in ("put_if_absent", "get"):
            meeting = Meeting(tmp_path / verb, [(n, n) for n in range(8)], properties=FILES)
            meeting.theirs.append(as_rows([(8, 8)]))
            meeting.ours.snapshot()
            put: list[str] = []
            deleted: list[str] = []
            broken = False

            def before(call: str, key: str, put: list[str] = put, deleted: list[str] = deleted) -> None:
                nonlocal broken
                if call == "put":
                    put.append(key)
                if call == "delete":
                    deleted.append(key)
                if call == "put_if_absent" and key.endswith(".json"):
                    broken = True
                elif broken and call == "get":  # nobody can look what happened either
                    raise tl.StoreError("unreachable", transient=True)

            store = FaultyStore(meeting.store.inner, before=before)
            table = tl.Table(store, "t")
            table.snapshot()
            store.inject(Fault.ANSWER_LOST, verb="put_if_absent", key_ends=".json", times=20)
            with env.use(Still()), pytest.raises(tl.StoreError) as caught:
                act(table)
            assert caught.value.maybe_applied
            assert deleted == []
            for key in put:
                meeting.store.inner.head(key)
            assert meeting.cold().version == 3, "it had landed"
            meeting.holds(pairs(meeting.cold().to_arrow()).elements())

    def test_files_of_commits_that_failed_or_lost_stay_as_well(self, tmp_path: Path) -> None:
        """Elsewhere: cleaning up after a conflict removed a file that another try of the same writer had committed."""
        meeting = Meeting(tmp_path, [(1, 1)], key="id", properties=FILES)
        before = {info.key for info in meeting.store.inner.list("data/")}
        with suppress(tl.ConflictError):
            meeting.run(append((5, 5)), append((5, 6)))
        meeting.run(upsert((5, 50)), upsert((5, 51)), compact)
        after = {info.key for info in meeting.store.inner.list("data/")}
        assert before < after
        assert not [key for key in before if key not in after]
        meeting.holds([(1, 1), (5, 50)])

    def test_no_line_of_the_library_deletes_data(self) -> None:
        """Elsewhere: a clean-up that was meant for files nobody needs met files that somebody was about to commit."""
        found = {
            f"{path.relative_to(SOURCES)}: {ast.unparse(node)}"
            for path in SOURCES.rglob("*.py")
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "delete"
        }
        stores = {each for each in found if each.startswith(("store/", "testing/"))}
        assert found - stores == {
            "ops/log_check.py: self.store.delete(self.prefix + name)",  # a base of which every commit is still there
            "ops/vacuum.py: store.delete(key)",  # what nothing needs, after a commit that says so, and the clock's probe
            "ops/copy.py: transfer.delete(marker)",  # what says that a copy has no beginning yet
            "ops/copy.py: self._transfer.delete(self._prefix + names.COPYING)",
            "ops/transfer.py: self.target.delete(key)",
        }

    def test_no_operation_asks_a_store_to_delete_data_or_to_replace_it(self, tmp_path: Path) -> None:
        """Elsewhere: expiry, compaction and restore removed or overwrote files that older versions still had."""
        meeting = Meeting(tmp_path, [(n, n) for n in range(8)], properties=FILES | {"log_fan_out": "2"})
        calls: list[tuple[str, str]] = []
        store = FaultyStore(meeting.store.inner, before=lambda verb, key: calls.append((verb, key)))
        table = tl.Table(store, "t")
        acts: list[Act] = [
            append((20, 20)),
            delete("id < 6"),
            update({"v": 0}, "id = 7"),
            upsert((7, 9), (30, 30)),
            merge((7, 10)),
            compact,
            lambda t: t.overwrite(as_rows([(1, 1)])),
            lambda t: t.restore(5),
            lambda t: t.revert(1),
            lambda t: t.expire(2),
            lambda t: t.repair(),
        ]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for act in acts:
                with suppress(tl.ConflictError):
                    act(table)
        assert {verb for verb, _ in calls} >= {"put", "put_if_absent"}
        assert not [key for verb, key in calls if verb == "delete" and not key.startswith("_log/")]
        put = [key for verb, key in calls if verb == "put" and not key.startswith("_log/")]
        assert len(put) == len(set(put)), "no object is put twice"
        assert pairs(meeting.cold().to_arrow()) == pairs(table.to_arrow()) != Counter()
