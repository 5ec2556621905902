"""What goes wrong when several people change one table, by the names that it has, each as a short script."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

import tablelog as tl
from tablelog import env
from tablelog.store.memory import MemoryStore
from tablelog.testing import Fault, FaultyStore
from tests.log.test_merging_races import new_table
from tests.table.meeting import (
    FILES,
    Meeting,
    Still,
    append,
    as_rows,
    compact,
    delete,
    merge,
    pairs,
    update,
    upsert,
)
from tests.table.test_races import in_threads

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from pathlib import Path

    from tests.table.meeting import Act

PLACES = pytest.mark.parametrize("properties", [{}, FILES], ids=["inlined", "files"])


class TestTransactions:
    def test_lost_update_of_two_who_read_then_write(self, tmp_path: Path) -> None:
        """Both read 100 and take 10 away; under any isolation the second is told."""
        for number, isolation in enumerate(("snapshot", "serializable")):
            meeting = Meeting(tmp_path / isolation, [(1, 100)])
            with meeting.ours.transaction(isolation) as ours:
                read = ours.scan(where="id = 1").to_arrow()["v"][0].as_py()
                meeting.theirs.update({"v": "v - 10"}, "id = 1")
                ours.update({"v": read - 10}, "id = 1")
                with pytest.raises(
                    tl.ConflictError, match=r"version 2 \(update by .*\) took out rows of .*begin again"
                ):
                    ours.commit()
            meeting.holds([(1, 90)])
            assert number < 2

    def test_updates_without_a_transaction_are_computed_from_what_is_there(self, tmp_path: Path) -> None:
        meeting = Meeting(tmp_path, [(1, 100)])
        take = update({"v": "v - 10"}, "id = 1")
        meeting.run(take, take, take)
        meeting.holds([(1, 70)])

    @PLACES
    @pytest.mark.parametrize("isolation", ["snapshot", "serializable"])
    def test_write_skew(self, tmp_path: Path, isolation: str, properties: dict[str, str]) -> None:
        """Two doctors on call, each leaves because the other one stays."""
        meeting = Meeting(tmp_path, [(1, 1), (2, 1)], properties=properties)

        def leave(tx: tl.Transaction, doctor: int) -> None:
            if tx.scan(where="v = 1").to_arrow().num_rows > 1:
                tx.update({"v": 0}, f"id = {doctor}")

        ours, theirs = meeting.ours.transaction(isolation), meeting.theirs.transaction(isolation)
        leave(ours, 1)
        leave(theirs, 2)
        theirs.commit()
        if isolation == "snapshot":
            ours.commit()
            meeting.holds([(1, 0), (2, 0)])
        else:
            with pytest.raises(tl.ConflictError, match="changed rows that this transaction has read"):
                ours.commit()
            meeting.holds([(1, 1), (2, 0)])

    @pytest.mark.parametrize("isolation", ["snapshot", "serializable"])
    def test_phantom(self, tmp_path: Path, isolation: str) -> None:
        """Two book a free room: neither row was there to be read."""
        meeting = Meeting(tmp_path, [(1, 1)])
        ours, theirs = meeting.ours.transaction(isolation), meeting.theirs.transaction(isolation)
        for tx in (ours, theirs):
            assert tx.scan(where="id = 7").to_arrow().num_rows == 0
            tx.append(as_rows([(7, 1)]))
        theirs.commit()
        if isolation == "snapshot":
            ours.commit()
            meeting.holds([(1, 1), (7, 1), (7, 1)])
        else:
            with pytest.raises(tl.ConflictError, match=r"version 2 \(transaction by"):
                ours.commit()
            meeting.holds([(1, 1), (7, 1)])

    def test_rows_that_were_not_asked_for_are_no_phantoms(self, tmp_path: Path) -> None:
        meeting = Meeting(tmp_path, [(1, 1)])
        with meeting.ours.transaction("serializable") as ours:
            ours.scan(where="id = 7").to_arrow()
            ours.append(as_rows([(7, 1)]))
            meeting.theirs.append(as_rows([(8, 1)]))
            meeting.theirs.delete("id = 1")
        meeting.holds([(7, 1), (8, 1)])

    def test_read_only_anomaly(self, tmp_path: Path) -> None:
        """Checking and savings are 0. Somebody deposits 20 to savings; a statement shows it; who draws 10 did not see it.

        Fekete, O'Neil, O'Neil, 2004: each order of the three that explains the statement contradicts the fee.
        """
        for isolation, fee in (("snapshot", -11), ("serializable", None)):
            meeting = Meeting(tmp_path / isolation, [(1, 0), (2, 0)])
            draws = meeting.ours.transaction(isolation)
            total = sum(draws.snapshot().to_arrow()["v"].to_pylist())
            meeting.theirs.update({"v": "v + 20"}, "id = 2")
            assert pairs(meeting.theirs.to_arrow()) == Counter([(1, 0), (2, 20)])
            draws.update({"v": "v - 10" if total >= 10 else "v - 11"}, "id = 1")
            if fee is None:
                with pytest.raises(tl.ConflictError):
                    draws.commit()
            else:
                draws.commit()
                meeting.holds([(1, fee), (2, 20)])

    @PLACES
    def test_own_writes_are_seen_and_others_are_not(self, tmp_path: Path, properties: dict[str, str]) -> None:
        meeting = Meeting(tmp_path, [(1, 1), (2, 2)], properties=properties)
        with meeting.ours.transaction() as tx:
            tx.append(as_rows([(3, 3), (4, 4)]))
            meeting.theirs.append(as_rows([(9, 9)]))
            tx.update({"v": "v * 10"}, "id <> 1")
            tx.delete("id = 4")
            tx.upsert(as_rows([(1, 100), (5, 5)]), on="id")
            tx.merge(
                as_rows([(5, 55), (6, 6)]), on="t.id = s.id"
            ).when_matched_update().when_not_matched_insert().execute()
            seen = Counter([(1, 100), (2, 20), (3, 30), (5, 55), (6, 6)])
            assert pairs(tx.snapshot().to_arrow()) == seen
            assert pairs(tx.scan(where="true").to_arrow()) == seen
            assert tx.snapshot().row_count == 5
            assert pairs(meeting.cold().to_arrow()) == Counter([(1, 1), (2, 2), (9, 9)])
        # what came in meanwhile is under the update as well, as if the transaction had come after it
        meeting.holds([(1, 100), (2, 20), (3, 30), (5, 55), (6, 6), (9, 90)])
        assert meeting.ours.version == 3

    def test_rows_of_others_in_the_place_of_own_ones_are_not_taken_for_them(self, tmp_path: Path) -> None:
        """The first append of the transaction stands where the next version's rows will be: those of somebody else."""
        meeting = Meeting(tmp_path, [(1, 1)])
        with meeting.ours.transaction() as tx:
            tx.append(as_rows([(2, 2), (3, 3)]))
            tx.delete("id = 3")
            tx.upsert(as_rows([(2, 20)]), on="id")
            meeting.theirs.append(as_rows([(3, 33), (4, 44)]))
        meeting.holds([(1, 1), (2, 20), (4, 44)])

    def test_keys_of_others_in_the_place_of_own_ones_are_not_taken_for_them(self, tmp_path: Path) -> None:
        meeting = Meeting(tmp_path, [(1, 1)], key="id")
        tx = meeting.ours.transaction()
        tx.append(as_rows([(2, 2), (4, 4)]))
        tx.append(as_rows([(3, 3)]))
        meeting.theirs.append(as_rows([(3, 33)]))
        with pytest.raises(tl.ConflictError, match=r"id=3.*version 2 is append by"):
            tx.commit()
        meeting.holds([(1, 1), (3, 33)])

    def test_an_exception_inside_undoes_all(self, tmp_path: Path) -> None:
        meeting = Meeting(tmp_path, [(1, 1)])
        with pytest.raises(ZeroDivisionError), meeting.ours.transaction() as tx:  # noqa: PT012
            tx.delete("true")
            tx.append(as_rows([(2, 2)]))
            raise ZeroDivisionError
        meeting.holds([(1, 1)])
        assert meeting.cold().version == 1
        with pytest.raises(tl.InvalidError, match="ended"):
            tx.append(as_rows([(3, 3)]))

    def test_a_compaction_meanwhile_is_no_conflict(self, tmp_path: Path) -> None:
        for isolation in ("snapshot", "serializable"):
            meeting = Meeting(tmp_path / isolation, [(1, 1), (2, 2)])
            meeting.theirs.append(as_rows([(3, 3)]))
            with meeting.ours.transaction(isolation) as tx:
                assert tx.snapshot().row_count == 3
                tx.update({"v": "v + 1"}, "id >= 2")
                tx.delete("id = 1")
                assert meeting.theirs.compact() is not None
            meeting.holds([(2, 3), (3, 4)])

    def test_others_that_change_other_rows_of_the_same_file_are_no_conflict(self, tmp_path: Path) -> None:
        meeting = Meeting(tmp_path, [(n, n) for n in range(6)], properties=FILES)
        tx = meeting.ours.transaction()
        tx.update({"v": -1}, "id = 0")
        tx.delete("id = 1")

        def others(table: tl.Table) -> None:
            table.delete("id = 2")
            table.update({"v": -3}, "id = 3")

        meeting.run(lambda _: tx.commit(), others)
        meeting.holds([(0, -1), (3, -3), (4, 4), (5, 5)])

    def test_a_transaction_whose_past_has_expired_begins_again_and_loses_no_update(self, tmp_path: Path) -> None:
        meeting = Meeting(tmp_path, [(1, 100)], properties=FILES | {"log_fan_out": "2"})
        tx = meeting.ours.transaction()
        tx.update({"v": tx.scan(where="id = 1").to_arrow()["v"][0].as_py() - 10}, "id = 1")
        meeting.theirs.update({"v": "v - 10"}, "id = 1")
        for number in range(6):
            meeting.theirs.append(as_rows([(number + 2, 0)]))
        meeting.theirs.expire(1)
        with pytest.raises(tl.ConflictError, match="expired.*begin again"):
            tx.commit()
        assert pairs(meeting.cold().scan(where="id = 1").to_arrow()) == Counter([(1, 90)])

    @pytest.mark.parametrize("isolation", ["snapshot", "serializable"])
    def test_what_happened_meanwhile_is_looked_at_version_by_version_also_if_it_is_merged(
        self, tmp_path: Path, isolation: str
    ) -> None:
        meeting = Meeting(tmp_path, [(n, n) for n in range(12)], properties={"log_fan_out": "2"})
        tx = meeting.ours.transaction(isolation)
        tx.scan(where="id = 1").to_arrow()
        tx.upsert(as_rows([(1, 10)]), on="id")
        tx.update({"v": "v + 5"}, "id BETWEEN 1 AND 2")
        for number in range(3, 12):
            meeting.theirs.append(as_rows([(-number, 0), (number, 0)]))
            meeting.theirs.compact()
        meeting.ours.snapshot()
        tx.commit()
        expected = [(0, 0), (1, 15), (2, 7), *((n, n) for n in range(3, 12))]
        meeting.holds(expected + [(sign * n, 0) for n in range(3, 12) for sign in (-1, 1)])

    def test_columns_that_others_add_meanwhile_are_not_there_inside(self, tmp_path: Path) -> None:
        meeting = Meeting(tmp_path, [(1, 1)])
        with meeting.ours.transaction() as tx:
            meeting.theirs.alter.add_column("extra", "int64", default=7)
            meeting.ours.snapshot()
            tx.delete("id = 5")
            tx.append(as_rows([(2, 2)]))
            assert tx.snapshot().to_arrow().to_pylist() == as_rows([(1, 1), (2, 2)])
            tx.upsert(as_rows([(2, 20)]), on="id")
            tx.overwrite(as_rows([(1, 10)]), where="id = 1")
            assert pairs(tx.scan().to_arrow()) == Counter([(1, 10), (2, 20)])
        meeting.holds([(1, 10), (2, 20)])
        assert meeting.cold().to_arrow()["extra"].to_pylist() == [7, 7]

    def test_a_numbered_transaction_that_is_run_again_is_not_done_again(self, tmp_path: Path) -> None:
        meeting = Meeting(tmp_path, [(1, 1)], key="id")
        commits = []
        for table in (meeting.ours, meeting.ours, meeting.theirs, meeting.cold()):
            with table.transaction(idempotent=("load", 1)) as tx:
                tx.append(as_rows([(2, 2)]))
                tx.update({"v": "v + 1"}, "id = 1")
                commits.append(tx.commit())
        assert {commit.version for commit in commits if commit} == {2}
        meeting.holds([(1, 2), (2, 2)])


class TestLostAnswers:
    @pytest.mark.parametrize(
        "act",
        [
            append((5, 5)),
            delete("id = 1"),
            update({"v": "v + 1"}, "id = 1"),
            upsert((1, 9), (5, 5)),
            merge((1, 9)),
            compact,
        ],
        ids=["append", "delete", "update", "upsert", "merge", "compact"],
    )
    def test_the_answer_decides_nothing(self, tmp_path: Path, act: Act) -> None:
        """Applied and answered; applied, answer lost; sent twice; not applied at all and then tried again by the user."""
        outcomes: list[Counter[tuple[Any, Any]]] = []
        for fault in (None, Fault.ANSWER_LOST, Fault.SENT_TWICE, Fault.FAILED):
            meeting = Meeting(tmp_path / str(fault), [(1, 1), (2, 2)])
            if fault is not None:
                meeting.store.inject(fault, verb="put_if_absent", key_ends=".json")
            with env.use(Still()):
                if fault is Fault.FAILED:
                    with pytest.raises(tl.StoreError) as caught:
                        act(meeting.ours)
                    assert not caught.value.maybe_applied
                    assert meeting.cold().version == 1
                assert act(meeting.ours).version == 2
            outcomes.append(pairs(meeting.cold().to_arrow()))
            meeting.holds(outcomes[0].elements())

    def test_a_late_duplicate_of_a_put_changes_nothing(self) -> None:
        """A put whose answer never came arrives when the same name was won by the retry, and again by nobody else."""
        late: list[tuple[str, bytes]] = []

        class Slow(MemoryStore):
            def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
                if not late and key.startswith("_log/") and armed:
                    late.append((key, bytes(data)))
                    raise tl.StoreError("no answer", maybe_applied=True)
                return super().put_if_absent(key, data)

        armed = False
        disk = Slow("late")
        table = new_table(disk, {"id": "int64", "v": "int64"})
        armed = True
        with env.use(Still()):
            commit = table.append(as_rows([(1, 1)]), idempotent=("n", 1))
        assert commit.version == 1
        assert disk.put_if_absent(*late[0]) is False
        assert table.append(as_rows([(1, 1)]), idempotent=("n", 1)).version == 1
        assert pairs(tl.Table(disk, "t").to_arrow()) == Counter([(1, 1)])


class TestNumbers:
    """`idempotent=(name, n)`: what a process did before it died is not done again by the next."""

    @pytest.mark.parametrize(
        "act",
        [
            lambda t, n: t.append(as_rows([(5, 5)]), idempotent=n),
            lambda t, n: t.delete("id = 1", idempotent=n),
            lambda t, n: t.update({"v": "v + 1"}, "id = 1", idempotent=n),
            lambda t, n: t.upsert(as_rows([(1, 7), (6, 6)]), on="id", idempotent=n),
            lambda t, n: t.overwrite(as_rows([(1, 8)]), "id = 1", idempotent=n),
            lambda t, n: t.merge(as_rows([(7, 7)]), on="t.id = s.id", idempotent=n).when_not_matched_insert().execute(),
        ],
        ids=["append", "delete", "update", "upsert", "overwrite", "merge"],
    )
    def test_killed_before_or_after_the_commit(self, tmp_path: Path, act: Callable[[tl.Table, Any], Any]) -> None:
        class KilledError(BaseException):
            pass

        def kill(table: tl.Table) -> None:
            raise KilledError

        found: list[Counter[tuple[Any, Any]]] = []
        for when in ("never", "before", "after"):
            meeting = Meeting(tmp_path / when, [(1, 1), (2, 2)])
            if when == "before":
                with pytest.raises(KilledError):
                    meeting.run(lambda table: act(table, ("n", 1)), kill)
            elif when == "after":
                act(meeting.theirs, ("n", 1))
            assert act(meeting.cold(), ("n", 1)).version == 2
            assert act(meeting.ours, ("n", 1)).version == 2, "a handle that knows nothing of it yet"
            found.append(pairs(meeting.cold().to_arrow()))
            meeting.holds(found[0].elements())

    def test_two_processes_with_the_same_number_at_once(self, tmp_path: Path) -> None:
        meeting = Meeting(tmp_path, [(1, 1)])
        act = lambda table: table.update({"v": "v + 1"}, "id = 1", idempotent=("n", 3))  # noqa: E731
        ours = meeting.run(act, append((2, 2)), act)
        assert ours.version == 3
        assert ours.operation == "update"
        meeting.holds([(1, 2), (2, 2)])

    def test_numbers_out_of_order_are_refused_unless_they_are_known(self, tmp_path: Path) -> None:
        meeting = Meeting(tmp_path)
        for number in (1, 5):
            meeting.theirs.append(as_rows([(number, 0)]), idempotent=("n", number))
        assert meeting.cold().append(as_rows([(1, 0)]), idempotent=("n", 1)).version == 1
        with pytest.raises(tl.ConflictError, match="number 5 in version 2.*number 3"):
            meeting.ours.append(as_rows([(3, 0)]), idempotent=("n", 3))
        assert meeting.ours.append(as_rows([(3, 0)]), idempotent=("other", 3)).version == 3
        meeting.holds([(1, 0), (5, 0), (3, 0)])

    @pytest.mark.parametrize("fan_out", ["2", "3", "16"])
    def test_numbers_are_known_after_segments_were_merged_and_history_has_expired(
        self, tmp_path: Path, fan_out: str
    ) -> None:
        meeting = Meeting(tmp_path, properties={"log_fan_out": fan_out} | FILES)
        for number in range(1, 40):
            meeting.theirs.append(as_rows([(number, 0)]), idempotent=("n" if number % 2 else "m", number))
        expected = [(number, 0) for number in range(1, 40)]
        for name, number in (("n", 1), ("m", 2), ("n", 17), ("n", 39)):
            for table in (meeting.cold(), meeting.ours, meeting.theirs):
                assert table.append(as_rows([(0, 0)]), idempotent=(name, number)).version == number
        meeting.theirs.expire(2)
        for table in (meeting.cold(), meeting.ours, meeting.theirs):
            for name, number in (("n", 39), ("m", 38)):
                assert table.append(as_rows([(0, 0)]), idempotent=(name, number)).version == number
            for name, number in (("n", 1), ("m", 2), ("n", 17)):  # it is not done again, whatever is still known of it
                try:
                    assert table.append(as_rows([(0, 0)]), idempotent=(name, number)).version == number
                except tl.ConflictError as error:
                    assert "numbers of one name increase" in str(error)
        meeting.holds(expected) if fan_out == "never" else None
        assert pairs(meeting.cold().to_arrow()) == Counter(expected)

    def test_numbers_are_known_when_everything_of_a_name_has_expired(self, tmp_path: Path) -> None:
        """The name was quiet for long: its last number must survive all that is folded."""
        meeting = Meeting(tmp_path, properties={"log_fan_out": "2"} | FILES)
        meeting.theirs.append(as_rows([(1, 1)]), idempotent=("n", 7))
        for number in range(20):
            meeting.theirs.alter.set_property("x", number)
        for keep in (5, 1):
            meeting.theirs.expire(keep)
            for table in (meeting.cold(), meeting.ours, meeting.theirs):
                assert table.append(as_rows([(1, 1)]), idempotent=("n", 7)).version == 1
                with pytest.raises(tl.ConflictError, match="numbers of one name increase"):
                    table.append(as_rows([(1, 1)]), idempotent=("n", 6))
        assert pairs(meeting.cold().to_arrow()) == Counter([(1, 1)])


ROWS = [(n, n) for n in range(8)]


class TestCompaction:
    @PLACES
    @pytest.mark.parametrize("options", [{}, {"sort_by": "v desc"}], ids=["in order", "sorted"])
    @pytest.mark.parametrize("first", ["delete", "compact"])
    def test_deleted_rows_stay_deleted(
        self, tmp_path: Path, first: str, options: dict[str, Any], properties: dict[str, str]
    ) -> None:
        """Whichever is planned first, the other one is committed before it."""
        meeting = Meeting(tmp_path, ROWS[:4], properties=properties, **options)
        meeting.theirs.append(as_rows(ROWS[4:]))
        gone = delete("id IN (1, 4, 6)")
        assert meeting.run(*((gone, compact) if first == "delete" else (compact, gone))) is not None or options
        meeting.holds([row for row in ROWS if row[0] not in {1, 4, 6}])
        meeting.theirs.compact()
        meeting.holds([row for row in ROWS if row[0] not in {1, 4, 6}])

    @PLACES
    def test_deletes_before_during_and_after(self, tmp_path: Path, properties: dict[str, str]) -> None:
        """Rows that were deleted before it do not move; the places of those deleted meanwhile are counted without them."""
        rows = [(n, n) for n in range(20)]
        meeting = Meeting(tmp_path, rows[:10], properties=properties)
        meeting.theirs.append(as_rows(rows[10:]))
        meeting.theirs.delete("id IN (0, 3, 11)")
        commit = meeting.run(compact, delete("id = 4"), delete("id IN (10, 16)"))
        gone = {0, 3, 11, 4, 10, 16}
        assert commit.files_removed == 2
        meeting.holds([row for row in rows if row[0] not in gone])
        meeting.theirs.delete("id = 7")
        meeting.holds([row for row in rows if row[0] not in gone | {7}])

    @PLACES
    def test_partitioned(self, tmp_path: Path, properties: dict[str, str]) -> None:
        meeting = Meeting(tmp_path, partition_by="p", properties=properties)
        for start in (0, 4):
            meeting.theirs.append([{"id": n, "v": n, "p": "ab"[n % 2]} for n in range(start, start + 4)])
        meeting.run(compact, delete("id IN (1, 2)"), delete("p = 'a' AND id > 4"))
        meeting.holds([(0, 0), (3, 3), (4, 4), (5, 5), (7, 7)])
        assert {file.partition_values for file in meeting.cold().snapshot().files} == {("a",), ("b",)}

    def test_a_partitioning_that_came_later_mixes_rows(self, tmp_path: Path) -> None:
        meeting = Meeting(tmp_path, ROWS[:4])
        meeting.theirs.append(as_rows(ROWS[4:]))
        meeting.theirs.alter.partition_by("bucket(2, id)")
        meeting.run(compact, delete("id IN (1, 4)"))
        meeting.holds([row for row in ROWS if row[0] not in {1, 4}])

    def test_many_rows_in_several_files(self, tmp_path: Path) -> None:
        """What is deleted meanwhile is found in the right one of the files that are written."""
        rows = [(n, n * 7919 % 1_000_003) for n in range(30_000)]
        meeting = Meeting(tmp_path, properties=FILES | {"target_file_size_bytes": str(64 * 1024)})
        for start in range(0, 30_000, 2_000):
            meeting.theirs.append(as_rows(rows[start : start + 2_000]))
        meeting.theirs.delete("id % 5 = 0")
        commit = meeting.run(compact, delete("id % 7 = 0"))
        assert commit is not None
        assert len(meeting.cold().snapshot().files) > 1
        meeting.holds([row for row in rows if row[0] % 5 and row[0] % 7])

    @PLACES
    @pytest.mark.parametrize(
        ("act", "expected"),
        [
            (update({"v": "v + 100"}, "id < 2"), [(0, 100), (1, 101), *ROWS[2:]]),
            (upsert((1, 100), (9, 9)), [(0, 0), (1, 100), *ROWS[2:], (9, 9)]),
            (merge((1, 100), (9, 9)), [(0, 0), (1, 100), *ROWS[2:], (9, 9)]),
            (lambda t: t.overwrite(as_rows([(0, 1)]), "id < 5"), [(0, 1), *ROWS[5:]]),
            (lambda t: t.delete("true"), []),
        ],
        ids=["update", "upsert", "merge", "overwrite", "delete all"],
    )
    def test_beside_other_changes(
        self, tmp_path: Path, act: Act, expected: list[tuple[int, int]], properties: dict[str, str]
    ) -> None:
        for number, order in enumerate(
            ((act, compact), (compact, act), (act, append((50, 0)), delete("id = 50"), compact))
        ):
            meeting = Meeting(tmp_path / str(number), ROWS[:4], properties=properties)
            meeting.theirs.append(as_rows(ROWS[4:]))
            meeting.run(*order)
            meeting.holds(expected)
            meeting.theirs.compact()
            meeting.holds(expected)

    def test_two_at_once_do_it_once(self, tmp_path: Path) -> None:
        meeting = Meeting(tmp_path, ROWS[:4])
        meeting.theirs.append(as_rows(ROWS[4:]))
        assert meeting.run(compact, compact) is None
        meeting.holds(ROWS)

    def test_files_that_went_and_came_back_meanwhile(self, tmp_path: Path) -> None:
        meeting = Meeting(tmp_path, ROWS[:4])
        meeting.theirs.append(as_rows(ROWS[4:]))
        meeting.theirs.delete("id = 7")

        def there_and_back(table: tl.Table) -> None:
            table.compact()
            table.delete("id = 0")
            table.restore(2)

        meeting.run(compact, there_and_back)
        meeting.holds(ROWS)


class TestUpserts:
    @PLACES
    def test_of_two_with_a_new_key_one_row_is_left(self, tmp_path: Path, properties: dict[str, str]) -> None:
        meeting = Meeting(tmp_path, [(1, 1)], properties=properties)
        meeting.run(upsert((5, 50)), upsert((5, 51)), upsert((5, 52), (6, 60)))
        meeting.holds([(1, 1), (5, 50), (6, 60)])
        assert meeting.ours.version == 4

    @PLACES
    @pytest.mark.parametrize("options", [{}, {"key": "id"}], ids=["unkeyed", "keyed"])
    def test_of_two_with_a_known_key_the_later_version_wins(
        self, tmp_path: Path, options: dict[str, Any], properties: dict[str, str]
    ) -> None:
        meeting = Meeting(tmp_path, [(1, 1), (2, 2)], properties=properties, **options)
        meeting.run(upsert((1, 10)), upsert((1, 11)), compact, upsert((1, 12), (2, 20)))
        meeting.holds([(1, 10), (2, 20)])

    def test_in_a_keyed_table_of_two_appends_of_one_key_one_is_told_which_who_and_when(self, tmp_path: Path) -> None:
        meeting = Meeting(tmp_path, [(1, 1)], key="id")
        with pytest.raises(tl.ConflictError, match=rf"id=5.*version 2 is append by {env.who()}"):
            meeting.run(append((4, 4), (5, 50)), append((5, 51)))
        meeting.holds([(1, 1), (5, 51)])

    def test_an_append_of_a_key_that_is_upserted_meanwhile_is_told(self, tmp_path: Path) -> None:
        meeting = Meeting(tmp_path, [(1, 1)], key="id")
        with pytest.raises(tl.ConflictError, match="id=5.*version 2 is upsert by"):
            meeting.run(append((5, 50)), upsert((5, 51)))
        meeting.run(upsert((6, 60)), append((6, 61)))
        meeting.holds([(1, 1), (5, 51), (6, 60)])

    def test_a_key_that_is_deleted_meanwhile_may_come_in(self, tmp_path: Path) -> None:
        meeting = Meeting(tmp_path, [(1, 1), (2, 2)], key="id")
        meeting.run(upsert((1, 10)), delete("id = 1"))
        meeting.run(update({"id": 3}, "id = 2"), append((9, 9)), delete("id = 9"))
        meeting.holds([(1, 10), (3, 2)])

    def test_of_two_updates_to_one_key_one_is_told_as_if_it_came_later(self, tmp_path: Path) -> None:
        meeting = Meeting(tmp_path, [(1, 1), (2, 2)], key="id")
        with pytest.raises((tl.ConflictError, tl.InvalidError), match="id=3"):
            meeting.run(update({"id": 3}, "id = 1"), update({"id": 3}, "id = 2"))
        meeting.holds([(1, 1), (3, 2)])

    @PLACES
    def test_a_row_that_replaces_two_of_which_one_goes_meanwhile_is_there_once(
        self, tmp_path: Path, properties: dict[str, str]
    ) -> None:
        meeting = Meeting(tmp_path, [(1, 1), (1, 2), (2, 2)], properties=properties)
        meeting.run(upsert((1, 10)), delete("v = 1"))
        meeting.holds([(1, 10), (2, 2)])

    def test_columns_that_came_meanwhile_keep_what_others_put_there(self, tmp_path: Path) -> None:
        meeting = Meeting(tmp_path, [(1, 1), (2, 2)])

        def others(table: tl.Table) -> None:
            table.alter.add_column("x", "int64", default=5)
            table.update({"x": 9}, "id = 1")

        meeting.run(upsert((1, 10), (3, 30)), others)
        assert sorted(map(tuple, (row.values() for row in meeting.cold().to_arrow().to_pylist()))) == [
            (1, 10, 9),
            (2, 2, 5),
            (3, 30, 5),
        ]


class TestInlinedRows:
    def test_update_of_a_row_inside_a_commit_that_others_change_as_well(self, tmp_path: Path) -> None:
        meeting = Meeting(tmp_path, [(1, 1), (2, 2)])
        meeting.run(update({"v": "v * 10"}, "id = 1"), update({"v": "v + 1"}, "true"), delete("id = 2"))
        meeting.holds([(1, 20)])

    def test_delete_of_a_row_while_it_moves_to_a_file(self, tmp_path: Path) -> None:
        for number, order in enumerate(((delete("id = 1"), compact), (compact, delete("id = 1")))):
            meeting = Meeting(tmp_path / str(number), [(1, 1), (2, 2)])
            meeting.run(*order)
            meeting.holds([(2, 2)])
            assert not any(file.is_inlined for file in meeting.cold().snapshot().files)
            assert pairs(meeting.cold().at(version=1).to_arrow()) == Counter([(1, 1), (2, 2)])

    def test_delete_of_all_rows_while_they_move_to_a_file(self, tmp_path: Path) -> None:
        for number, order in enumerate(((delete("true"), compact), (compact, delete("true")))):
            meeting = Meeting(tmp_path / str(number), [(1, 1), (2, 2)])
            meeting.run(*order)
            meeting.holds([])


class TestDeletes:
    @PLACES
    def test_of_different_rows_of_one_file(self, tmp_path: Path, properties: dict[str, str]) -> None:
        meeting = Meeting(tmp_path, ROWS, properties=properties)
        meeting.run(delete("id = 1"), delete("id = 2"), delete("id IN (3, 4)"))
        meeting.holds([row for row in ROWS if row[0] not in {1, 2, 3, 4}])
        meeting.run(delete("id = 5"), delete("id = 0"))
        meeting.run(delete("id = 6"), delete("id = 7"))
        meeting.holds([])

    @PLACES
    def test_of_the_same_rows(self, tmp_path: Path, properties: dict[str, str]) -> None:
        meeting = Meeting(tmp_path, ROWS, properties=properties)
        assert meeting.run(delete("id < 3"), delete("id BETWEEN 1 AND 5")).rows_deleted == 1
        assert meeting.run(delete("id >= 6"), delete("id >= 6")).rows_deleted == 0
        meeting.holds([])

    @PLACES
    def test_against_a_restore(self, tmp_path: Path, properties: dict[str, str]) -> None:
        """A delete after a restore deletes what came back, a restore after a delete brings it back."""
        for number, (order, expected) in enumerate(
            (
                ((delete("id < 4"), lambda t: t.restore(1)), ROWS[4:]),
                ((lambda t: t.restore(1), delete("id < 4")), ROWS),
                ((update({"v": -1}, "id < 2"), lambda t: t.restore(1)), [(0, -1), (1, -1), *ROWS[2:]]),
                ((upsert((0, -1), (9, 9)), lambda t: t.restore(1)), [(0, -1), *ROWS[1:], (9, 9)]),
            )
        ):
            meeting = Meeting(tmp_path / str(number), ROWS, properties=properties)
            meeting.theirs.delete("id IN (0, 2)")
            meeting.theirs.append(as_rows([(10, 0)]))
            meeting.run(*order)
            meeting.holds(expected)

    @PLACES
    def test_against_a_revert(self, tmp_path: Path, properties: dict[str, str]) -> None:
        def revert(version: int) -> Act:
            return lambda table: table.revert(version)

        for number, (order, expected) in enumerate(
            (
                ((delete("id < 4"), revert(2)), [*ROWS[4:], (8, 8)]),
                ((revert(2), delete("id < 4")), [(0, 0), (2, 2), *ROWS[4:], (8, 8)]),
                ((revert(2), compact), [*ROWS, (8, 8)]),
                ((revert(2), delete("true")), [(0, 0), (2, 2)]),
                ((compact, revert(2)), [*ROWS, (8, 8)]),
            )
        ):
            meeting = Meeting(tmp_path / str(number), ROWS, properties=properties)
            meeting.theirs.delete("id IN (0, 2)")
            meeting.theirs.append(as_rows([(8, 8)]))
            meeting.run(*order)
            meeting.holds(expected)

    def test_a_revert_of_rows_that_others_delete_meanwhile_says_who(self, tmp_path: Path) -> None:
        meeting = Meeting(tmp_path, ROWS)
        with pytest.raises(tl.ConflictError, match=r"version 1 cannot be taken back: version 2 \(delete by"):
            meeting.run(lambda table: table.revert(1), delete("id = 1"))
        meeting.holds([row for row in ROWS if row[0] != 1])

    @pytest.mark.parametrize("verb", ["restore", "revert"])
    def test_rows_inside_commits_that_expire_meanwhile_do_not_come_back_as_a_ruin(
        self, tmp_path: Path, verb: str
    ) -> None:
        meeting = Meeting(tmp_path, ROWS, properties={"log_fan_out": "2"})
        meeting.theirs.delete("true")

        def expire(table: tl.Table) -> None:
            for number in range(6):
                table.alter.set_property("x", number)
            table.expire(1)

        with pytest.raises(tl.NotFoundError, match="expired"):
            meeting.run(lambda table: table.restore(1) if verb == "restore" else table.revert(2), expire)
        assert pairs(meeting.cold().to_arrow()) == Counter()

    @pytest.mark.parametrize("verb", ["restore", "revert"])
    def test_rows_inside_a_commit_that_came_back_do_not_expire(self, tmp_path: Path, verb: str) -> None:
        """At the horizon they are not in the table, but later they are again."""
        meeting = Meeting(tmp_path, ROWS, properties={"log_fan_out": "2"})
        meeting.theirs.delete("true")
        for number in range(8):
            meeting.theirs.alter.set_property("x", number)
        meeting.theirs.restore(1) if verb == "restore" else meeting.theirs.revert(2)
        meeting.theirs.expire(2)
        assert pairs(meeting.cold().to_arrow()) == Counter(ROWS)
        assert not [problem for problem in meeting.cold().verify().problems if not problem.harmless]


merge_some = merge((1, 9), (5, 5))


class TestShapes:
    """Columns and rules that change while rows are written."""

    @PLACES
    @pytest.mark.parametrize(
        ("act", "error"),
        [
            (append((5, 500)), tl.ConflictError),
            (update({"v": 500}, "id = 1"), tl.InvalidError),
            (upsert((1, 500)), tl.InvalidError),
            (merge((5, 500)), tl.InvalidError),
            (lambda t: t.overwrite(as_rows([(1, 500)])), tl.ConflictError),
        ],
        ids=["append", "update", "upsert", "merge", "overwrite"],
    )
    def test_a_check_that_comes_meanwhile_is_not_broken(
        self, tmp_path: Path, act: Act, error: type[tl.TablelogError], properties: dict[str, str]
    ) -> None:
        meeting = Meeting(tmp_path, [(1, 1)], properties=properties)
        with pytest.raises(error, match="small"):
            meeting.run(act, lambda table: table.alter.add_check("small", "v < 100"))
        meeting.holds([(1, 1)])

    @PLACES
    def test_a_check_does_not_come_in_over_rows_that_break_it(self, tmp_path: Path, properties: dict[str, str]) -> None:
        acts = [append((5, 500)), update({"v": 500}, "id = 1"), upsert((1, 500)), merge((5, 500))]
        for number, act in enumerate(acts):
            meeting = Meeting(tmp_path / str(number), [(1, 1)], properties=properties)
            with pytest.raises(tl.InvalidError):
                meeting.run(lambda table: table.alter.add_check("small", "v < 100"), act)
            assert meeting.cold().version == 2

    @pytest.mark.parametrize("act", [update({"v": "v + 1"}, "id = 1"), upsert((1, 2))], ids=["update", "upsert"])
    def test_a_check_that_holds_is_no_conflict(self, tmp_path: Path, act: Act) -> None:
        meeting = Meeting(tmp_path, [(1, 1)])
        meeting.run(act, lambda table: table.alter.add_check("small", "v < 100"))
        meeting.holds([(1, 2)])

    @PLACES
    @pytest.mark.parametrize(
        ("act", "expected"),
        [
            (append((5, 5)), [(1, 1), (2, 2), (5, 5)]),
            (delete("v = 1"), [(2, 2)]),
            (update({"v": "v + 1"}, "id = 1"), [(1, 2), (2, 2)]),
            (upsert((1, 9), (5, 5)), [(1, 9), (2, 2), (5, 5)]),
            (merge_some, [(1, 9), (2, 2), (5, 5)]),
            (lambda table: table.compact() or True, [(1, 1), (2, 2)]),
        ],
        ids=["append", "delete", "update", "upsert", "merge", "compact"],
    )
    @pytest.mark.parametrize("change", ["rename id", "rename v", "drop v", "widen v", "add w"])
    def test_columns_that_change_meanwhile(
        self, tmp_path: Path, act: Act, expected: list[tuple[int, int]], change: str, properties: dict[str, str]
    ) -> None:
        """What was done is there in the new shape, or an error names the column and nothing is changed."""
        meeting = Meeting(tmp_path, [(1, 1)], properties=properties)
        meeting.theirs.append(as_rows([(2, 2)]))
        changes: dict[str, Act] = {
            "rename id": lambda table: table.alter.rename_column("id", "key"),
            "rename v": lambda table: table.alter.rename_column("v", "value"),
            "drop v": lambda table: table.alter.drop_column("v"),
            "widen v": lambda table: table.alter.widen_column("v", "decimal(24, 2)"),
            "add w": lambda table: table.alter.add_column("w", "int64", default=3),
        }
        is_merge = act is merge_some
        try:
            meeting.run(act, changes[change])
        except (tl.InvalidError, tl.NotFoundError) as error:
            assert change[-2:].strip() in str(error)
            assert change not in {"widen v", "add w"}
            expected = [(1, 1), (2, 2)]
        for table in (meeting.ours, meeting.theirs, meeting.cold()):
            found = table.to_arrow().to_pylist()
            assert Counter(row.get("id", row.get("key")) for row in found) == Counter(key for key, _ in expected)
            if change != "drop v" and not (is_merge and change == "rename v"):  # a source may have other columns
                assert Counter(row.get("v", row.get("value")) for row in found) == Counter(v for _, v in expected)
            if change == "add w":
                assert {row["w"] for row in found} == {3}
        assert not [problem for problem in meeting.cold().verify().problems if not problem.harmless]


class TestFences:
    def test_the_old_holder_is_kept_out_whatever_it_wants(self, tmp_path: Path) -> None:
        meeting = Meeting(tmp_path, [(1, 1), (2, 2)])
        meeting.theirs.append(as_rows([(3, 3)]))
        old = meeting.ours.exclusive("loader")
        old.append(as_rows([(4, 4)]))
        new = meeting.theirs.exclusive("loader")
        acts: list[Act] = [
            append((9, 9)),
            delete("id = 1"),
            update({"v": 0}, "true"),
            upsert((9, 9)),
            merge((9, 9)),
            compact,
            lambda table: table.overwrite(as_rows([(9, 9)])),
            lambda table: table.restore(1),
            lambda table: table.revert(1),
            lambda table: table.tag("x"),
            lambda table: table.alter.add_column("x", "int64"),
            lambda table: table.expire(1),
            lambda table: table.exclusive("another"),
            lambda table: table.append(as_rows([(9, 9)]), idempotent=("n", 1)),
        ]
        for act in acts:
            with pytest.raises(tl.FencedError, match="'loader' was taken over.*epoch 1.*epoch 2"):
                act(old)
        with pytest.raises(tl.FencedError), old.transaction() as tx:
            tx.append(as_rows([(9, 9)]))
        with old.writer(max_delay=0) as writer:
            future = writer.append(as_rows([(9, 9)]))
            with pytest.raises(tl.FencedError):
                future.result()
            with pytest.raises(tl.FencedError):
                writer.flush()
        new.append(as_rows([(5, 5)]))
        meeting.theirs.append(as_rows([(6, 6)]))
        meeting.ours.append(as_rows([(7, 7)]))
        meeting.holds([(n, n) for n in range(1, 8)])

    def test_the_old_holder_is_kept_out_after_a_lost_race(self, tmp_path: Path) -> None:
        """Its put is on the way when it is replaced: the fence takes the version, and the next try is refused."""
        for number, theirs in enumerate(
            (
                [lambda table: table.exclusive("loader")],
                [append((2, 2)), lambda table: table.exclusive("loader")],
                [lambda table: table.exclusive("other"), lambda table: table.exclusive("loader")],
            )
        ):
            meeting = Meeting(tmp_path / str(number), [(1, 1)])
            old = meeting.ours.exclusive("loader")
            with pytest.raises(tl.FencedError):
                meeting.run(lambda _, old=old: old.append(as_rows([(9, 9)])), *theirs)
            assert (9, 9) not in pairs(meeting.cold().to_arrow())

    def test_a_holder_beside_ordinary_writers_and_other_names(self, tmp_path: Path) -> None:
        meeting = Meeting(tmp_path, [(1, 1)])
        holder = meeting.ours.exclusive("loader")
        meeting.run(
            lambda _: holder.append(as_rows([(2, 2)])),
            append((3, 3)),
            lambda table: table.exclusive("another"),
            compact,
        )
        meeting.holds([(1, 1), (2, 2), (3, 3)])
        history = meeting.cold().history()
        assert history["operation"].to_list().count("fence") == 2

    def test_of_many_that_take_over_at_once_each_has_an_epoch_of_its_own(self, tmp_path: Path) -> None:
        meeting = Meeting(tmp_path)
        holders: list[tl.Table] = []
        in_threads([lambda: holders.append(meeting.cold().exclusive("loader")) for _ in range(6)])
        served = 0
        for number, holder in enumerate(holders):
            try:
                holder.append(as_rows([(number, 0)]))
                served += 1
            except tl.FencedError:
                pass
        assert served == 1
        assert meeting.cold().row_count == 1


class TestWriter:
    def test_many_threads_few_commits_every_row_once(self, tmp_path: Path) -> None:
        meeting = Meeting(tmp_path)
        futures: dict[tuple[int, int], Future[tl.Commit]] = {}
        with meeting.ours.writer(max_delay=0.02) as writer:

            def work(worker: int) -> None:
                for number in range(40):
                    futures[worker, number] = writer.append(as_rows([(worker, number)]))

            in_threads([lambda worker=worker: work(worker) for worker in range(8)])
        meeting.holds([(worker, number) for worker in range(8) for number in range(40)])
        assert meeting.cold().version < 100
        cold = meeting.cold()
        for (worker, number), future in futures.items():
            assert future.done()
            assert future.result().version <= cold.version
            if number % 13 == 0:
                came = cold.changes(future.result().version - 1, future.result().version)
                assert (worker, number) in pairs(came.to_arrow())
        for worker in range(8):
            versions = [futures[worker, number].result().version for number in range(40)]
            assert versions == sorted(versions), "what a thread handed over first is there first"

    def test_one_bad_batch_fails_alone_and_at_once(self, tmp_path: Path) -> None:
        meeting = Meeting(tmp_path, checks={"small": "v < 100"})
        with meeting.ours.writer(max_delay=60) as writer:
            good = [writer.append(as_rows([(n, n)])) for n in range(3)]
            for bad in ({"id": [1], "v": ["x"]}, {"id": [1], "v": [100]}, {"nope": [1]}):
                with pytest.raises(tl.InvalidError):
                    writer.append(bad)
            good.append(writer.append(as_rows([(3, 3)])))
            assert not any(future.done() for future in good)
            writer.flush()
            assert {future.result().version for future in good} == {1}
        meeting.holds([(n, n) for n in range(4)])

    def test_an_error_of_a_commit_reaches_its_futures_and_the_next_flush_and_nobody_else(self, tmp_path: Path) -> None:
        meeting = Meeting(tmp_path, [(1, 1)], key="id")
        with meeting.ours.writer(max_delay=60) as writer:
            failed = [writer.append(as_rows([(n, 0)])) for n in (5, 1)]
            with pytest.raises(tl.InvalidError, match="id=1"):
                writer.flush()
            for future in failed:
                with pytest.raises(tl.InvalidError, match="id=1"):
                    future.result()
            writer.append(as_rows([(6, 6)]))
            writer.flush()
            writer.append(as_rows([(1, 6)]))
            with pytest.raises(tl.InvalidError):
                writer.close()
        meeting.holds([(1, 1), (6, 6)])
        with pytest.raises(tl.InvalidError, match="closed"):
            writer.append(as_rows([(7, 7)]))

    def test_a_future_that_is_cancelled_takes_its_rows_back_and_harms_nobody(self, tmp_path: Path) -> None:
        meeting = Meeting(tmp_path)
        with meeting.ours.writer(max_delay=60) as writer:
            first, second = writer.append(as_rows([(1, 1)])), writer.append(as_rows([(2, 2)]))
            assert first.cancel()
            writer.flush()
            assert second.result().version == 1
            writer.append(as_rows([(3, 3)])).cancel()
            writer.flush()
            writer.append(as_rows([(4, 4)]))
        meeting.holds([(2, 2), (4, 4)])

    def test_a_flush_waits_for_what_was_there_and_not_for_what_comes(self, tmp_path: Path) -> None:
        """Another thread goes on appending; two flushes at once; nobody waits for `max_delay`."""
        meeting = Meeting(tmp_path)
        done = threading.Event()
        with meeting.ours.writer(max_delay=3600, max_bytes=1 << 30) as writer:

            def chatter() -> None:
                number = 0
                while not done.is_set():
                    writer.append(as_rows([(1, number)]))
                    number += 1
                    done.wait(0.001)

            thread = threading.Thread(target=chatter)
            thread.start()
            try:
                for _ in range(3):
                    mine = [writer.append(as_rows([(2, 2)])) for _ in range(2)]
                    in_threads([writer.flush, writer.flush])
                    assert all(future.done() for future in mine)
            finally:
                done.set()
                thread.join()
        assert pairs(meeting.cold().to_arrow())[2, 2] == 6

    def test_what_waits_is_bounded(self, tmp_path: Path) -> None:
        """While a commit is stuck, whoever appends waits."""
        stuck, go_on = threading.Event(), threading.Event()

        def before(verb: str, key: str) -> None:
            if verb == "put_if_absent":
                stuck.set()
                assert go_on.wait(60)

        meeting = Meeting(tmp_path)
        table = tl.Table(FaultyStore(meeting.store.inner, before=before), "t")
        rows = {"id": list(range(1000)), "v": [0] * 1000}
        handed: list[int] = []
        with table.writer(max_delay=0, max_bytes=20_000) as writer:

            def work() -> None:
                for number in range(20):
                    writer.append(rows)
                    handed.append(number)

            thread = threading.Thread(target=work)
            thread.start()
            assert stuck.wait(60)
            thread.join(0.3)
            assert thread.is_alive()
            assert len(handed) <= 8, "16 KB each, twice 20 KB wait, as much is on its way"
            go_on.set()
            thread.join()
        assert meeting.cold().row_count == 20_000

    def test_columns_that_others_change_between_two_appends(self, tmp_path: Path) -> None:
        meeting = Meeting(tmp_path, [(1, 1)])
        with meeting.ours.writer(max_delay=60) as writer:
            old = writer.append(as_rows([(2, 2)]))
            meeting.theirs.alter.add_column("w", "int64", default=7)
            new = writer.append({"id": [3], "v": [3], "w": [3]})
            writer.flush()
            assert old.result().version >= 3
            assert new.result().version >= 3
        assert sorted(tuple(row.values()) for row in meeting.cold().to_arrow().to_pylist()) == [
            (1, 1, 7),
            (2, 2, 7),
            (3, 3, 3),
        ]

    def test_close_is_final_and_can_be_said_twice(self, tmp_path: Path) -> None:
        meeting = Meeting(tmp_path)
        writer = meeting.ours.writer(max_delay=60)
        future = writer.append(as_rows([(1, 1)]))
        writer.close()
        writer.close()
        writer.flush()
        assert future.result().version == 1
        meeting.holds([(1, 1)])


class TestConsumers:
    def take(self, consumer: Any, until: int | None = None) -> Counter[tuple[Any, Any]]:
        with consumer.take(until) as changes:
            return pairs(changes.to_arrow())

    def test_every_change_once_across_restarts(self, tmp_path: Path) -> None:
        meeting = Meeting(tmp_path, [(1, 1)])
        assert self.take(meeting.ours.consumer("report")) == Counter([(1, 1)])
        meeting.theirs.append(as_rows([(2, 2)]))
        assert self.take(meeting.cold().consumer("report")) == Counter([(2, 2)])
        assert self.take(meeting.cold().consumer("report")) == Counter()
        assert self.take(meeting.cold().consumer("other")) == Counter([(1, 1), (2, 2)])
        meeting.holds([(1, 1), (2, 2)])

    def test_a_block_that_fails_has_taken_nothing(self, tmp_path: Path) -> None:
        meeting = Meeting(tmp_path, [(1, 1)])
        consumer = meeting.ours.consumer("report")
        with pytest.raises(ZeroDivisionError), consumer.take():
            raise ZeroDivisionError
        assert self.take(consumer) == Counter([(1, 1)])

    def test_of_two_that_take_the_same_changes_one_is_told(self, tmp_path: Path) -> None:
        meeting = Meeting(tmp_path, [(1, 1)])
        for _ in range(2):  # the first time there is no position yet
            with pytest.raises(tl.ConflictError, match="somebody else took them"), meeting.ours.consumer("c").take():
                self.take(meeting.theirs.consumer("c"))
            meeting.theirs.append(as_rows([(2, 2)]))
        assert self.take(meeting.ours.consumer("c")) == Counter([(2, 2)])

    @pytest.mark.parametrize("fault", [Fault.ANSWER_LOST, Fault.SENT_TWICE], ids=lambda fault: fault.name)
    def test_a_lost_answer_moves_the_position_once(self, tmp_path: Path, fault: Fault) -> None:
        meeting = Meeting(tmp_path, [(1, 1)])
        consumer = meeting.ours.consumer("c")
        for number in range(2, 5):
            meeting.store.inject(fault, verb="put_if_absent", key_ends=".json")
            with env.use(Still()):
                self.take(consumer)
            assert meeting.cold().consumer("c").position == meeting.cold().version
            meeting.theirs.append(as_rows([(number, number)]))

    def test_many_processes_share_the_work_and_nothing_is_taken_twice(self, tmp_path: Path) -> None:
        meeting = Meeting(tmp_path)
        for number in range(40):
            meeting.theirs.append(as_rows([(number, number)]))
        taken: list[tuple[Any, Any]] = []

        def work() -> None:
            consumer = meeting.cold().consumer("c")
            while (position := consumer.position) < 40:
                try:
                    with consumer.take(position + 1) as changes:
                        rows = changes.to_arrow()
                except tl.ConflictError:
                    continue
                taken.extend(pairs(rows))

        in_threads([work] * 4)
        assert Counter(taken) == Counter((number, number) for number in range(40))
        assert meeting.cold().consumer("c").position == 40, "found again among merged positions"

    def test_seek(self, tmp_path: Path) -> None:
        meeting = Meeting(tmp_path, [(1, 1)])
        meeting.theirs.append(as_rows([(2, 2)]))
        consumer = meeting.ours.consumer("c")
        consumer.seek(1)
        assert self.take(consumer) == Counter([(2, 2)])
        consumer.seek(-1)
        assert self.take(meeting.theirs.consumer("c"), until=1) == Counter([(1, 1)])
        assert meeting.ours.consumer("c").position == 1
        for wrong, error in ((99, tl.NotFoundError), (-2, tl.InvalidError), ("1", tl.InvalidError)):
            with pytest.raises(error):
                consumer.seek(wrong)  # type: ignore[arg-type]  # that is what is refused

    def test_what_a_consumer_has_not_taken_does_not_expire(self, tmp_path: Path) -> None:
        meeting = Meeting(tmp_path, [(1, 1)], properties=FILES | {"log_fan_out": "2"})
        consumer = meeting.ours.consumer("c")
        self.take(consumer)
        for number in range(2, 9):
            meeting.theirs.append(as_rows([(number, number)]))
        meeting.theirs.expire(2)  # as far as it may
        assert self.take(meeting.cold().consumer("c")) == Counter((number, number) for number in range(2, 9))
        assert meeting.theirs.expire(2) is not None
        with pytest.raises(tl.NotFoundError, match="expired"):
            consumer.seek(3)

    def test_history_that_has_expired_is_said_and_the_way_out_is_a_seek(self, tmp_path: Path) -> None:
        meeting = Meeting(tmp_path, [(1, 1)], properties=FILES | {"log_fan_out": "2"})
        consumer = meeting.ours.consumer("c")  # has taken nothing yet, so nobody knows of it
        for number in range(2, 9):
            meeting.theirs.append(as_rows([(number, number)]))
        meeting.theirs.expire(2)
        for table in (meeting.ours, meeting.cold()):
            with pytest.raises(tl.NotFoundError, match="expired"), table.consumer("c").take():
                pytest.fail("it must not come so far")
        consumer.seek(7)
        assert self.take(consumer) == Counter([(8, 8)])
