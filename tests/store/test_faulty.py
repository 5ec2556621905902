"""The tools that tests rest on are tested: `FaultyStore` fails as it says, `StoreConformance` finds planted bugs."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from tablelog import env
from tablelog.errors import InvalidError, NotFoundError, StoreError
from tablelog.store import LocalStore, MemoryStore, ObjectInfo, ObjectStore
from tablelog.testing import Fault, FaultyStore, StoreConformance

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class TestFaultyStoreWithoutFaults(StoreConformance):
    race_rounds = 5

    def make_store(self) -> ObjectStore:
        return FaultyStore(MemoryStore())


def test_a_failed_request_did_nothing() -> None:
    store = FaultyStore(MemoryStore())
    store.inject(Fault.FAILED, times=2)
    for call in (lambda: store.put("a", b""), lambda: store.put_if_absent("a", b"")):
        with pytest.raises(StoreError) as caught:
            call()
        assert (caught.value.maybe_applied, caught.value.transient) == (False, True)
    assert list(store.list()) == []


def test_a_lost_answer_did_everything() -> None:
    store = FaultyStore(MemoryStore())
    for call, keys in (
        (lambda: store.put("a", b""), ["a"]),
        (lambda: store.put_if_absent("b", b""), ["a", "b"]),
        (lambda: store.delete("a"), ["b"]),
    ):
        store.inject(Fault.ANSWER_LOST)
        with pytest.raises(StoreError) as caught:
            call()
        assert (caught.value.maybe_applied, caught.value.transient) == (True, True)
        assert [info.key for info in store.list()] == keys


def test_a_create_sent_twice_is_refused_for_its_own_object() -> None:
    store = FaultyStore(MemoryStore())
    store.inject(Fault.SENT_TWICE)
    assert store.put_if_absent("a", b"mine") is False
    assert store.get("a") == b"mine"


def test_an_overwriting_store_says_true_to_everybody() -> None:
    store = FaultyStore(MemoryStore(), rates={Fault.OVERWRITTEN: 1.0})
    assert store.put_if_absent("a", b"first") is True
    assert store.put_if_absent("a", b"second") is True
    assert store.get("a") == b"second"


def test_a_stale_listing_lacks_the_newest_objects() -> None:
    class Clock(env.Env):
        now = 0

        def now_us(self) -> int:
            self.now += 1
            return self.now

    store = FaultyStore(MemoryStore())
    with env.use(Clock()):
        for key in "dbca":
            store.put(key, b"")
    store.inject(Fault.STALE)
    assert sorted(info.key for info in store.list()) == ["b", "d"]
    assert sorted(info.key for info in store.list()) == ["a", "b", "c", "d"]


def test_a_shuffled_listing_has_the_same_keys_in_another_order() -> None:
    store = FaultyStore(MemoryStore(), rates={Fault.SHUFFLED: 1.0})
    keys = [f"{number:03d}" for number in range(100)]
    for key in keys:
        store.put(key, b"")
    shuffled = [info.key for info in store.list()]
    assert shuffled != keys
    assert sorted(shuffled) == keys


def test_injected_faults_wait_for_their_verb_and_key() -> None:
    store = FaultyStore(MemoryStore())
    store.inject(Fault.FAILED, verb="get", key_ends=".json", times=2)
    store.put("a.json", b"")
    store.put("a.parquet", b"")
    store.get("a.parquet")
    for _ in range(2):
        with pytest.raises(StoreError):
            store.get("a.json")
    store.get("a.json")
    assert store.injected == {Fault.FAILED: 2}
    with pytest.raises(InvalidError, match="'stale' cannot happen to 'get', only to list"):
        store.inject(Fault.STALE, verb="get")


def test_a_healed_store_does_not_fail() -> None:
    store = FaultyStore(MemoryStore(), rates={Fault.FAILED: 1.0})
    store.inject(Fault.FAILED)
    store.heal()
    store.put("a", b"")
    assert store.injected == {}


def outcomes(seed: int, order: list[int]) -> dict[int, bool]:
    """Which of 200 creates fail, asked for in this order."""
    store = FaultyStore(MemoryStore(), rates={Fault.FAILED: 0.3}, seed=seed)
    failed = {}
    for number in order:
        try:
            store.put(f"{number}", b"")
        except StoreError:
            failed[number] = True
        else:
            failed[number] = False
    return failed


def test_chance_depends_on_the_seed_and_not_on_the_order_of_requests() -> None:
    forward, backward = list(range(200)), list(range(199, -1, -1))
    assert outcomes(1, forward) == outcomes(1, backward)
    assert outcomes(1, forward) != outcomes(2, forward)
    assert 30 < sum(outcomes(1, forward).values()) < 90


def test_the_hook_runs_before_each_request() -> None:
    seen: list[tuple[str, str]] = []
    store = FaultyStore(MemoryStore(), before=lambda verb, key: seen.append((verb, key)))
    store.put("a", b"")
    store.put_if_absent("a", b"")
    store.get("a")
    store.head("a")
    list(store.list("a"))
    store.delete("a")
    assert seen == [(verb, "a") for verb in ("put", "put_if_absent", "get", "head", "list", "delete")]


class LooksFirst(MemoryStore):
    """Checks, then puts."""

    def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
        try:
            self.get(key)
        except NotFoundError:
            env.sleep(0.005)
            self.put(key, data)
            return True
        return False


class SwapsBodies(MemoryStore):
    """Decides rightly who wins, and stores what came last."""

    def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
        created = super().put_if_absent(key, data)
        self.put(key, data)
        return created


class WritesInPlace(LocalStore):
    """Creates with O_EXCL under the final name, so that readers see half a file."""

    def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
        path = self.local_path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with path.open("xb", buffering=0) as file:
                file.write(data[: len(data) // 2])
                env.sleep(0.02)
                file.write(data[len(data) // 2 :])
        except FileExistsError:
            return False
        return True


class CachesListings(MemoryStore):
    """Lists what it listed before."""

    _cached: list[ObjectInfo] | None = None

    def list(self, prefix: str = "", start_after: str = "") -> Iterator[ObjectInfo]:
        if self._cached is None:
            self._cached = list(super().list())
        return (info for info in self._cached if info.key.startswith(prefix) and info.key > start_after)


class ListsInclusively(MemoryStore):
    """Takes `start_after` for `start_at`."""

    def list(self, prefix: str = "", start_after: str = "") -> Iterator[ObjectInfo]:
        return (info for info in super().list(prefix) if info.key >= start_after)


class SlowLock(MemoryStore):
    """Creates atomically, but lets a thread that is late replace the winner's object."""

    def __init__(self) -> None:
        super().__init__()
        self._late = threading.Event()

    def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
        if super().put_if_absent(key, data):
            return True
        if not self._late.is_set():
            self._late.set()
            self.put(key, data)
        return False


@pytest.mark.parametrize(
    ("make", "claim"),
    [
        pytest.param(lambda _: LooksFirst(), "test_of_threads_that_create_one_key_one_wins", id="looks first"),
        pytest.param(lambda _: SwapsBodies(), "test_of_threads_that_create_one_key_one_wins", id="swaps bodies"),
        pytest.param(lambda _: SlowLock(), "test_of_threads_that_create_one_key_one_wins", id="slow lock"),
        pytest.param(
            lambda _: FaultyStore(MemoryStore(), rates={Fault.OVERWRITTEN: 1.0}),
            "test_a_key_that_exists_is_not_created_again",
            id="overwrites",
        ),
        pytest.param(
            lambda _: FaultyStore(MemoryStore(), rates={Fault.SENT_TWICE: 1.0}),
            "test_an_object_reads_back_as_it_was_written",
            id="denies its own",
        ),
        pytest.param(WritesInPlace, "test_readers_see_whole_objects_or_none", id="writes in place"),
        pytest.param(
            lambda _: CachesListings(), "test_list_shows_at_once_what_was_written_and_deleted", id="caches listings"
        ),
        pytest.param(lambda _: ListsInclusively(), "test_list_starts_after_a_key", id="lists inclusively"),
        pytest.param(
            lambda _: FaultyStore(MemoryStore(), rates={Fault.STALE: 1.0}),
            "test_list_finds_each_of_many_keys_once",
            id="lists what was",
        ),
    ],
)
def test_the_conformance_suite_finds_planted_bugs(
    make: Callable[[Path], ObjectStore], claim: str, tmp_path: Path
) -> None:
    with pytest.raises(AssertionError):
        getattr(StoreConformance(), claim)(make(tmp_path))
