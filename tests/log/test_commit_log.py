"""The protocol: dense versions, one winner, own commits recognised, damage noticed."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

import pytest

from tablelog import env
from tablelog.errors import CorruptionError, StoreError
from tablelog.format import names
from tablelog.format.commits import CommitRecord, encode_commit
from tablelog.log import commits
from tablelog.log.commits import CommitLog, Committed, Draft, Head, Lost, head_of
from tablelog.log.opening import LogReader
from tablelog.store.memory import MemoryStore
from tablelog.store.metrics import MeteredStore
from tablelog.testing import Fault, FaultyStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tablelog.log.parts import Segment


class Clock(env.Env):
    """A clock that a test sets; sleeping moves it on."""

    def __init__(self) -> None:
        self.us = 1_700_000_000_000_000
        self.slept: list[float] = []

    def now_us(self) -> int:
        return self.us

    def sleep(self, wait_s: float) -> None:
        self.slept.append(wait_s)


@pytest.fixture(autouse=True)
def clock() -> Iterator[Clock]:
    with env.use(Clock()) as fake:
        assert isinstance(fake, Clock)
        yield fake


def draft(text: str = "x") -> Draft:
    return Draft(operation=text, actions=({"note": text},))


def append(log: CommitLog, text: str, after: Head | None) -> Head:
    outcome = log.append(draft(text), after=after)
    assert isinstance(outcome, Committed)
    return head_of(outcome.record)


def filled(log: CommitLog, count: int) -> list[Head]:
    heads: list[Head] = []
    for number in range(count):
        heads.append(append(log, str(number), heads[-1] if heads else None))
    return heads


def operations(parts: list[Segment | CommitRecord]) -> list[str]:
    return [record.operation for record in parts if isinstance(record, CommitRecord)]


def test_p3_versions_are_dense_from_zero_and_never_change() -> None:
    store = MemoryStore()
    log = CommitLog(store, "_log/")
    heads = filled(log, 5)
    assert [head.version for head in heads] == [0, 1, 2, 3, 4]
    before = {info.key: store.get(info.key) for info in store.list()}
    assert sorted(before) == [f"_log/{version:020}.json" for version in range(5)]
    assert isinstance(log.append(draft("late"), after=heads[1]), Lost)
    assert {info.key: store.get(info.key) for info in store.list()} == before


def test_p4_a_reader_sees_a_prefix_of_the_log_in_order() -> None:
    store = MemoryStore()
    heads = filled(CommitLog(store, "_log/"), 40)
    assert operations(LogReader(store, "_log/").follow(None)) == [str(n) for n in range(40)]
    assert operations(LogReader(store, "_log/").follow(heads[36])) == ["37", "38", "39"]
    assert LogReader(store, "_log/").follow(heads[-1]) == []


def test_the_loser_of_a_race_gets_the_winning_record_as_a_value() -> None:
    log = CommitLog(MemoryStore(), "_log/")
    head = append(log, "first", None)
    append(log, "winner", head)
    outcome = log.append(draft("loser"), after=head)
    assert isinstance(outcome, Lost)
    assert outcome.record.operation == "winner"


def test_of_threads_that_commit_one_version_one_wins() -> None:
    store = MemoryStore()
    log = CommitLog(store, "_log/")
    head: Head | None = None
    for _ in range(20):
        outcomes: list[Committed | Lost] = []
        barrier = threading.Barrier(8)

        def race(number: int, after: Head | None, found: list[Committed | Lost], start: threading.Barrier) -> None:
            start.wait()
            found.append(log.append(draft(str(number)), after=after))

        threads = [threading.Thread(target=race, args=(n, head, outcomes, barrier)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        won = [outcome.record for outcome in outcomes if isinstance(outcome, Committed)]
        assert len(won) == 1
        assert all(outcome.record.id == won[0].id for outcome in outcomes)
        head = head_of(won[0])


def test_warm_append_costs_one_put_and_warm_follow_one_get() -> None:
    store = MeteredStore(MemoryStore())
    log = CommitLog(store, "_log/")
    head = append(log, "first", None)
    before = store.stats()
    head = append(log, "second", head)
    assert LogReader(store, "_log/").follow(head) == []
    spent = store.stats()
    assert (spent.put_if_absent - before.put_if_absent, spent.get - before.get) == (1, 1)
    assert spent.requests - before.requests == 2


@pytest.mark.parametrize("fault", [Fault.ANSWER_LOST, Fault.SENT_TWICE], ids=lambda fault: fault.name)
def test_p2_a_commit_whose_answer_was_lost_is_recognised_as_our_own(fault: Fault) -> None:
    store = FaultyStore(MemoryStore())
    log = CommitLog(store, "_log/")
    head = append(log, "first", None)
    store.inject(fault, verb="put_if_absent")
    outcome = log.append(draft("mine"), after=head)
    assert isinstance(outcome, Committed)
    assert store.injected[fault] == 1
    assert operations(LogReader(store, "_log/").follow(None)) == ["first", "mine"]


def test_p2_an_answer_lost_while_somebody_else_won_is_a_lost_race() -> None:
    inner = MemoryStore()
    head = append(CommitLog(inner, "_log/"), "first", None)
    append(CommitLog(inner, "_log/"), "theirs", head)
    store = FaultyStore(inner)
    store.inject(Fault.ANSWER_LOST, verb="put_if_absent")
    outcome = CommitLog(store, "_log/").append(draft("mine"), after=head)
    assert isinstance(outcome, Lost)
    assert outcome.record.operation == "theirs"


class _SlowFirstPut(MemoryStore):
    """The first put is reported lost and arrives only after the next read found nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.delayed: tuple[str, bytes] | None = None
        self.puts: list[bytes] = []

    def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
        self.puts.append(bytes(data))
        if len(self.puts) == 1:
            self.delayed = (key, bytes(data))
            raise StoreError("no answer", maybe_applied=True)
        if self.delayed is not None:
            super().put_if_absent(*self.delayed)
        return super().put_if_absent(key, data)


def test_p2_a_put_that_arrives_late_is_still_recognised_because_the_same_bytes_are_put_again() -> None:
    store = _SlowFirstPut()
    outcome = CommitLog(store, "_log/").append(draft("mine"), after=None)
    assert isinstance(outcome, Committed)
    assert len(store.puts) == 2
    assert store.puts[0] == store.puts[1]


def test_a_store_that_never_answers_is_an_error_that_says_that_the_outcome_is_open(clock: Clock) -> None:
    with pytest.raises(StoreError, match="cannot tell whether") as raised:
        CommitLog(_Mute(), "_log/").append(draft(), after=None)
    assert raised.value.maybe_applied
    assert len(clock.slept) == commits.PUT_ATTEMPTS_MAX - 1


class _Mute(MemoryStore):
    """Loses every put and says so in the vaguest way."""

    def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
        raise StoreError("no answer", maybe_applied=True)


def test_a_put_that_certainly_failed_is_reported_as_such_at_once(clock: Clock) -> None:
    class Full(MemoryStore):
        def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
            raise StoreError("disk full")

    with pytest.raises(StoreError, match="disk full") as raised:
        CommitLog(Full(), "_log/").append(draft(), after=None)
    assert not raised.value.maybe_applied
    assert clock.slept == []


def test_timestamps_increase_strictly_even_if_the_clock_goes_back(clock: Clock) -> None:
    log = CommitLog(MemoryStore(), "_log/")
    head = append(log, "0", None)
    clock.us -= 3_600_000_000
    later = append(log, "1", head)
    assert later.timestamp_us == head.timestamp_us + 1
    clock.us += 7_200_000_000
    assert append(log, "2", later).timestamp_us == clock.us


def test_a_listing_that_is_behind_does_not_hide_commits() -> None:
    class Behind(MemoryStore):
        def list(self, prefix: str = "", start_after: str = "") -> Iterator:  # type: ignore[type-arg]
            found = sorted(super().list(prefix, start_after), key=lambda info: info.key)
            return iter(found[::-1][3:])  # the newest three are not there yet, and the order is odd

    store = Behind()
    filled(CommitLog(store, "_log/"), 10)
    assert operations(LogReader(store, "_log/").follow(None)) == [str(n) for n in range(10)]


def test_other_objects_beside_the_commits_are_ignored() -> None:
    store = MemoryStore()
    filled(CommitLog(store, "_log/"), 2)
    for name in ("head.json", "segments/x.parquet", "base/x.parquet", "0001.json", "00000000000000000009.json.bak"):
        store.put(f"_log/{name}", b"?")
    assert len(LogReader(store, "_log/").follow(None)) == 2


def test_an_empty_log_has_no_commits() -> None:
    assert LogReader(MemoryStore(), "_log/").follow(None) == []
    assert CommitLog(MemoryStore(), "_log/").read_if_there(0) is None


@pytest.mark.parametrize("count", [5, 40])
def test_p6_a_missing_commit_is_corruption_that_names_it(count: int) -> None:
    store = MemoryStore()
    filled(CommitLog(store, "_log/"), count)
    store.delete("_log/" + names.commit(2))
    with pytest.raises(CorruptionError, match="00000000000000000002.json is missing"):
        LogReader(store, "_log/").follow(None)


def test_p6_commits_that_changed_places_are_corruption() -> None:
    store = MemoryStore()
    filled(CommitLog(store, "_log/"), 4)
    one, two = (store.get("_log/" + names.commit(n)) for n in (1, 2))
    store.put("_log/" + names.commit(1), two)
    store.put("_log/" + names.commit(2), one)
    with pytest.raises(CorruptionError, match="00000000000000000001.json"):
        LogReader(store, "_log/").follow(None)


def test_p6_a_rewritten_commit_breaks_the_chain_although_its_checksum_is_right() -> None:
    store = MemoryStore()
    filled(CommitLog(store, "_log/"), 4)
    record = CommitLog(store, "_log/").read_if_there(1)
    assert record is not None
    forged, _ = encode_commit(
        CommitRecord(
            version=1,
            id=record.id,
            parent=record.parent,
            timestamp_us=record.timestamp_us,
            operation="forged",
            actions=(),
        )
    )
    store.put("_log/" + names.commit(1), forged)
    with pytest.raises(CorruptionError, match="its parent is"):
        LogReader(store, "_log/").follow(None)


def test_two_histories_that_parted_are_noticed_by_a_warm_reader() -> None:
    ours, theirs = MemoryStore(), MemoryStore()
    head = filled(CommitLog(ours, "_log/"), 2)[-1]
    filled(CommitLog(theirs, "_log/"), 4)
    for info in theirs.list("_log/"):
        ours.put(info.key, theirs.get(info.key))
    with pytest.raises(CorruptionError, match="its parent is"):
        LogReader(ours, "_log/").follow(head)


def test_commits_are_json_that_a_person_can_read() -> None:
    store = MemoryStore()
    append(CommitLog(store, "_log/"), "größer", None)
    lines = store.get("_log/" + names.commit(0)).decode().splitlines()
    assert json.loads("".join(lines))["operation"] == "größer"
    assert '{"note":"größer"}' in lines
