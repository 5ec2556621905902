"""The loop that every change goes through: plan, commit, plan again; bounded, shared between threads, never lost or doubled."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from tablelog import env
from tablelog.errors import ConflictError, NotFoundError
from tablelog.format.action_json import ActionReader
from tablelog.log import followed
from tablelog.log.commits import Draft
from tablelog.log.followed import FollowedLog
from tablelog.log.lineage import Lineage, Merging
from tablelog.log.parts import Change, Segment, Step
from tablelog.store.memory import MemoryStore
from tablelog.store.metrics import MeteredStore
from tablelog.testing import Fault, FaultyStore

if TYPE_CHECKING:
    from tablelog.format.commits import CommitRecord
    from tablelog.store.base import ObjectStore


class Numbers:
    """The simplest history: every commit adds one number."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self.lineage = Lineage()
        self.numbers: list[int] = []

    def apply(self, record: CommitRecord) -> None:
        changes = tuple(Change(record.version, action) for action in record.actions)
        self.numbers += [change.action["add_number"] for change in changes]
        self.lineage.append(Step(record=record, changes=changes))

    def load(self, segment: Segment) -> None:
        self.numbers += [change.action["add_number"] for change in segment.changes]
        self.lineage.append(segment)

    @property
    def base(self) -> None:
        return None

    @property
    def base_digest(self) -> None:
        return None

    def merging(self, _: int) -> Merging:
        return Merging(16, ActionReader())

    def state(self) -> tuple[int, ...]:
        return tuple(self.numbers)


def follow(store: ObjectStore) -> FollowedLog[tuple[int, ...]]:
    return FollowedLog(store, "_log/", Numbers())


def add(number: int) -> Draft:
    return Draft(operation="add", actions=({"add_number": number},))


class Sleepless(env.Env):
    """Waits for nothing and notes how long it would have."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def sleep(self, wait_s: float) -> None:
        self.slept.append(wait_s)


def test_a_lost_race_is_planned_again_on_the_state_that_won() -> None:
    store = MemoryStore()
    follow(store).create(add(0))
    ours, theirs = follow(store), follow(store)
    ours.refresh()
    theirs.commit(lambda _: add(1))
    seen: list[tuple[int, ...]] = []

    def plan(state: tuple[int, ...]) -> Draft:
        seen.append(state)
        return add(sum(state) + 10)

    assert ours.commit(plan).version == 2
    assert seen == [(0,), (0, 1)]
    assert follow(store).refresh() == (0, 1, 11)


def test_nothing_is_planned_or_put_twice_when_nobody_is_in_the_way() -> None:
    store = MeteredStore(MemoryStore())
    log = follow(store)
    log.create(add(0))
    before = store.stats().requests
    for number in range(5):
        log.commit(lambda _, number=number: add(number))  # type: ignore[misc]  # a loop variable kept by default
    assert store.stats().requests - before == 5


def test_a_plan_that_refuses_leaves_nothing_behind() -> None:
    store = MemoryStore()
    log = follow(store)
    log.create(add(0))

    def plan(_: tuple[int, ...]) -> Draft:
        raise ConflictError("no")

    with pytest.raises(ConflictError):
        log.commit(plan)
    assert [info.key for info in store.list("_log/0")] == [f"_log/{0:020}.json"]


def test_retries_are_bounded_and_the_error_says_what_to_do() -> None:
    class Crowded(MemoryStore):
        """Somebody else is always a moment faster."""

        def __init__(self) -> None:
            super().__init__()
            self.busy = False

        def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
            if not self.busy and not key.endswith("/00000000000000000000.json"):
                self.busy = True
                follow(self).commit(lambda _: add(-1))
                self.busy = False
            return super().put_if_absent(key, data)

    with env.use(Sleepless()) as fake:
        assert isinstance(fake, Sleepless)
        store = Crowded()
        follow(store).create(add(0))
        with pytest.raises(ConflictError, match="100 other commits in a row"):
            follow(store).commit(lambda _: add(1))
        assert len(fake.slept) >= followed.ATTEMPTS_MAX
        assert max(fake.slept) <= 1.0


def test_a_log_that_is_not_there_is_not_found() -> None:
    with pytest.raises(NotFoundError, match="memory://"):
        follow(MemoryStore("nowhere")).refresh()


def test_create_is_won_by_one() -> None:
    store = MemoryStore()
    assert follow(store).create(add(1)) is not None
    assert follow(store).create(add(2)) is None
    assert follow(store).refresh() == (1,)


@pytest.mark.parametrize("shared", [True, False], ids=["one handle", "a handle each"])
def test_p2_threads_over_a_store_that_loses_answers_neither_lose_nor_double(*, shared: bool) -> None:
    inner = MemoryStore()
    follow(inner).create(add(-1))
    store = FaultyStore(inner, rates={Fault.ANSWER_LOST: 0.2, Fault.SENT_TWICE: 0.2}, seed=3)
    common = follow(store)

    def work(worker: int) -> None:
        log = common if shared else follow(store)
        for number in range(20):
            log.commit(lambda _, number=number: add(worker * 100 + number))  # type: ignore[misc]

    with env.use(Sleepless()):
        threads = [threading.Thread(target=work, args=(worker,)) for worker in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sum(store.injected.values()) > 20
    found = follow(inner).refresh()
    assert sorted(found) == sorted([-1, *(worker * 100 + number for worker in range(8) for number in range(20))])
    for worker in range(8):  # each writer's commits are in the order in which it made them
        own = [number for number in found if number >= 0 and number // 100 == worker]
        assert own == sorted(own)
