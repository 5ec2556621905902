from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tablelog import env
from tablelog.errors import NotFoundError, StoreError
from tablelog.store import ByteRange, LocalStore, MemoryStore, MeteredStore, ObjectStore, StoreStats, upload
from tablelog.testing import Fault, FaultyStore, StoreConformance


class TestMeteredStore(StoreConformance):
    race_rounds = 5

    def make_store(self) -> ObjectStore:
        return MeteredStore(MemoryStore())


class Ticking(env.Env):
    """A clock that is a second later whenever somebody looks at it."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic_s(self) -> float:
        self.now_s += 1.0
        return self.now_s


def test_each_verb_is_counted_with_its_bytes() -> None:
    store = MeteredStore(MemoryStore())
    store.put("a", b"12345")
    store.put_if_absent("b", memoryview(b"123"))
    store.put_if_absent("b", b"1234567")
    store.get("a")
    store.get("a", ByteRange(start=1, end=3))
    store.head("a")
    list(store.list())
    store.delete("a")
    stats = store.stats()
    assert (stats.put, stats.put_if_absent, stats.get, stats.head, stats.list, stats.delete) == (1, 2, 2, 1, 1, 1)
    assert (stats.requests, stats.errors, stats.bytes_up, stats.bytes_down) == (8, 0, 15, 7)


def test_an_upload_is_a_put_when_it_is_finished(tmp_path: Path) -> None:
    store = MeteredStore(LocalStore(tmp_path))
    begun = upload(store, "a")
    assert begun is not None
    Path(begun.path).write_bytes(b"12345")
    assert store.stats().requests == 0
    begun.finish()
    assert (store.stats().put, store.stats().bytes_up, store.get("a")) == (1, 5, b"12345")
    assert upload(MeteredStore(MemoryStore()), "a") is None


def test_what_happened_between_two_moments_is_their_difference() -> None:
    store = MeteredStore(MemoryStore())
    store.put("a", b"123")
    before = store.stats()
    store.get("a")
    after = store.stats()
    assert after - before == StoreStats(get=1, bytes_down=3, seconds=after.seconds - before.seconds)


def test_time_is_that_of_the_store_alone() -> None:
    store = MeteredStore(MemoryStore())
    with env.use(Ticking()) as clock:
        store.put("a", b"")
        listing = store.list()
        next(listing)
        clock.monotonic_s()
        list(listing)
    assert store.stats().seconds == 3.0


def test_failures_count_as_errors_and_missing_keys_do_not() -> None:
    faulty = FaultyStore(MemoryStore())
    store = MeteredStore(faulty)
    faulty.inject(Fault.FAILED, times=2)
    for call in (lambda: store.get("a"), lambda: list(store.list())):
        with pytest.raises(StoreError):
            call()
    with pytest.raises(NotFoundError):
        store.get("a")
    stats = store.stats()
    assert (stats.get, stats.list, stats.errors) == (2, 1, 2)


def test_threads_lose_no_counts() -> None:
    store = MeteredStore(MemoryStore())
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: store.put(f"{number}", b"12"), range(2000)))
    assert (store.stats().put, store.stats().bytes_up) == (2000, 4000)


def test_another_process_counts_for_itself(tmp_path: Path) -> None:
    store = MeteredStore(LocalStore(tmp_path))
    store.put("a", b"1")
    copy = pickle.loads(pickle.dumps(store))
    assert copy.get("a") == b"1"
    assert (copy.stats().requests, store.stats().requests) == (1, 1)
