from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tablelog import env
from tablelog.errors import InvalidError, NotFoundError, StoreError
from tablelog.store import MemoryStore, ObjectInfo, ObjectStore, RetryingStore
from tablelog.testing import Fault, FaultyStore, StoreConformance

if TYPE_CHECKING:
    from collections.abc import Iterator


class TestRetryingStore(StoreConformance):
    race_rounds = 5

    def make_store(self) -> ObjectStore:
        return RetryingStore(MemoryStore())


class TestRetryingStoreOverOneThatFailsNowAndThen(StoreConformance):
    race_rounds = 5

    @pytest.fixture
    def store(self) -> Iterator[ObjectStore]:
        faulty = FaultyStore(MemoryStore(), rates={Fault.FAILED: 0.3}, seed=3)
        with env.use(Patient()):
            yield RetryingStore(faulty, tries_max=50, total_max_s=1e9)


class Patient(env.Env):
    """A machine on which waiting takes no time; its clock shows how long it would have been."""

    def __init__(self, chance: float = 0.999) -> None:
        self.chance = chance
        self.waits_s: list[float] = []

    def sleep(self, wait_s: float) -> None:
        self.waits_s.append(wait_s)

    def monotonic_s(self) -> float:
        return sum(self.waits_s)

    def random(self) -> float:
        return self.chance


def broken(**rates: float) -> tuple[RetryingStore, Counter[str]]:
    """A store that fails at these rates, and what it was asked."""
    asked: Counter[str] = Counter()
    faulty = FaultyStore(
        MemoryStore(),
        rates={Fault[name.upper()]: rate for name, rate in rates.items()},
        before=lambda verb, _: asked.update([verb]),
    )
    return RetryingStore(faulty, tries_max=5), asked


def test_every_verb_is_tried_until_it_works() -> None:
    faulty = FaultyStore(MemoryStore())
    store = RetryingStore(faulty, tries_max=4)
    with env.use(Patient()):
        for call in (
            lambda: store.put_if_absent("a", b"1"),
            lambda: store.put("a", b"2"),
            lambda: store.get("a"),
            lambda: store.head("a"),
            lambda: list(store.list()),
            lambda: store.delete("a"),
        ):
            faulty.inject(Fault.FAILED, times=3)
            call()
    assert faulty.injected == {Fault.FAILED: 18}
    assert list(store.list()) == []


def test_tries_are_bounded_and_the_last_error_goes_up() -> None:
    store, asked = broken(failed=1.0)
    with env.use(Patient()), pytest.raises(StoreError, match="did not reach the store"):
        store.get("a")
    assert asked == {"get": 5}


def test_time_is_bounded() -> None:
    faulty = FaultyStore(MemoryStore(), rates={Fault.FAILED: 1.0})
    machine = Patient()
    with env.use(machine), pytest.raises(StoreError):
        RetryingStore(faulty, tries_max=1000, total_max_s=30.0).put("a", b"")
    assert 30.0 <= sum(machine.waits_s) < 30.0 + 10.0


def test_waits_grow_exponentially_up_to_a_bound() -> None:
    faulty = FaultyStore(MemoryStore(), rates={Fault.FAILED: 1.0})
    store = RetryingStore(faulty, tries_max=8, total_max_s=1e9, wait_base_s=1.0, wait_max_s=20.0)
    machine = Patient(chance=0.5)
    with env.use(machine), pytest.raises(StoreError):
        store.get("a")
    assert machine.waits_s == [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]


def test_what_would_fail_again_is_not_tried_again() -> None:
    class Forbidden(MemoryStore):
        asked = 0

        def get(self, key: str, byte_range: object = None) -> bytes:
            del key, byte_range
            self.asked += 1
            message = "you may not"
            raise StoreError(message)

    inner = Forbidden()
    with env.use(Patient()), pytest.raises(StoreError, match="you may not"):
        RetryingStore(inner).get("a")
    assert inner.asked == 1


def test_answers_are_not_failures() -> None:
    store, asked = broken()
    with pytest.raises(NotFoundError):
        store.get("a")
    with pytest.raises(InvalidError):
        store.put("../a", b"")
    assert store.put_if_absent("a", b"") is True
    assert store.put_if_absent("a", b"") is False
    assert asked == {"get": 1, "put": 1, "put_if_absent": 2}


def test_a_create_whose_answer_was_lost_is_not_sent_again() -> None:
    store, asked = broken(answer_lost=1.0)
    with env.use(Patient()), pytest.raises(StoreError) as caught:
        store.put_if_absent("a", b"data")
    assert caught.value.maybe_applied is True
    assert asked == {"put_if_absent": 1}
    assert store.get("a") == b"data"


def test_a_create_that_failed_first_and_lost_its_answer_then_may_have_happened() -> None:
    faulty = FaultyStore(MemoryStore())
    faulty.inject(Fault.FAILED, verb="put_if_absent")
    faulty.inject(Fault.ANSWER_LOST, verb="put_if_absent")
    with env.use(Patient()), pytest.raises(StoreError) as caught:
        RetryingStore(faulty).put_if_absent("a", b"data")
    assert caught.value.maybe_applied is True


def test_puts_and_deletes_are_sent_again_when_the_answer_was_lost() -> None:
    faulty = FaultyStore(MemoryStore())
    store = RetryingStore(faulty)
    faulty.inject(Fault.ANSWER_LOST, times=2)
    with env.use(Patient()):
        store.put("a", b"data")
        assert store.get("a") == b"data"
        faulty.inject(Fault.ANSWER_LOST, times=2)
        store.delete("a")
    assert list(store.list()) == []


class BreaksOff(MemoryStore):
    """Lists three keys at a time in the given order, and fails where more would come."""

    def __init__(self, *, reverse: bool = False) -> None:
        super().__init__()
        self._reverse = reverse

    def list(self, prefix: str = "", start_after: str = "") -> Iterator[ObjectInfo]:
        infos = sorted(super().list(prefix, start_after), key=lambda info: info.key, reverse=self._reverse)
        yield from infos[:3]
        if infos[3:]:
            message = "the connection broke"
            raise StoreError(message, transient=True)


def test_a_listing_that_breaks_off_is_taken_up_behind_the_last_key() -> None:
    inner = BreaksOff()
    keys = [f"{number:02d}" for number in range(50)]
    for key in keys:
        inner.put(key, b"")
    with env.use(Patient()):
        assert [info.key for info in RetryingStore(inner, tries_max=1).list()] == keys


def test_a_listing_out_of_order_that_breaks_off_fails_rather_than_leaves_keys_out() -> None:
    inner = BreaksOff(reverse=True)
    for key in "abcdef":
        inner.put(key, b"")
    with env.use(Patient()), pytest.raises(StoreError, match="the connection broke"):
        list(RetryingStore(inner).list())
