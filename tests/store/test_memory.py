from __future__ import annotations

from tablelog.store import MemoryStore, ObjectStore
from tablelog.testing import StoreConformance


class TestMemoryStore(StoreConformance):
    race_rounds = 100

    def make_store(self) -> ObjectStore:
        return MemoryStore("conformance")


def test_a_listing_is_of_the_moment_it_began() -> None:
    store = MemoryStore()
    store.put("a", b"")
    store.put("b", b"")
    seen = []
    for info in store.list():
        seen.append(info.key)
        store.delete("b")
        store.put("c", b"")
    assert sorted(seen) == ["a", "b"]


def test_what_the_caller_does_to_his_buffer_later_does_not_matter() -> None:
    store = MemoryStore()
    buffer = bytearray(b"before")
    store.put("put", memoryview(buffer))
    store.put_if_absent("created", memoryview(buffer))
    buffer[:] = b"after!"
    assert (store.get("put"), store.get("created")) == (b"before", b"before")
