from __future__ import annotations

import pytest

from tablelog.errors import InvalidError
from tablelog.store import MemoryStore, ObjectStore, PrefixedStore
from tablelog.testing import StoreConformance


class TestPrefixedStore(StoreConformance):
    race_rounds = 5

    def make_store(self) -> ObjectStore:
        whole = MemoryStore()
        for key in ("lake", "lake2/key", "lak/key", "lake-/key", "other", "z"):
            whole.put(key, b"of somebody else")
        return PrefixedStore(whole, "lake/orders")


def test_keys_lead_below_the_prefix_and_back() -> None:
    whole = MemoryStore()
    PrefixedStore(PrefixedStore(whole, "a"), "b/c/").put("d", b"data")
    assert whole.get("a/b/c/d") == b"data"
    assert [info.key for info in PrefixedStore(whole, "a/b").list("c/")] == ["c/d"]
    assert PrefixedStore(whole, "a/b").head("c/d").key == "c/d"


@pytest.mark.parametrize("prefix", ["", "/", "/a", "a//", "a/../b", ".."])
def test_what_is_not_a_folder_is_refused(prefix: str) -> None:
    with pytest.raises(InvalidError):
        PrefixedStore(MemoryStore(), prefix)
