"""A table's store reads what other tables of its lake lend it, and nothing else of them; it never changes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tablelog.errors import InvalidError, NotFoundError
from tablelog.store import LocalStore, MemoryStore, TableStore, local_path, upload
from tablelog.store.base import is_far
from tablelog.store.in_lake import open_table_store, place_of, table_store
from tablelog.store.memory import named_memory_store
from tablelog.testing import FaultyStore, StoreConformance

if TYPE_CHECKING:
    from pathlib import Path

CATALOG = "_catalog/00000000000000000000.json"
LENT = "_lake/orders/data/x.parquet"


class TestTableStoreConforms(StoreConformance):
    def make_store(self) -> TableStore:
        return table_store(MemoryStore(), "dev/orders")


@pytest.fixture
def root() -> MemoryStore:
    store = MemoryStore()
    store.put("orders/data/x.parquet", b"rows")
    return store


def test_what_is_lent_is_read_from_the_lake(root: MemoryStore) -> None:
    store = table_store(root, "dev/orders")
    assert store.get(LENT) == b"rows"
    assert (store.head(LENT).key, store.head(LENT).size_bytes) == (LENT, 4)
    assert list(store.list("")) == []
    with pytest.raises(NotFoundError):
        store.get("_lake/orders/data/y.parquet")


def test_what_is_lent_is_never_changed(root: MemoryStore) -> None:
    store = table_store(root, "dev/orders")
    for change in (store.delete, lambda key: store.put(key, b""), lambda key: store.put_if_absent(key, b"")):
        with pytest.raises(InvalidError, match="belongs to another table"):
            change(LENT)
    with pytest.raises(InvalidError, match="belongs to another table"):
        upload(store, LENT)
    assert root.get("orders/data/x.parquet") == b"rows"


def test_a_file_on_disk_is_a_file_on_disk_in_either_folder(tmp_path: Path) -> None:
    store = table_store(LocalStore(tmp_path), "dev/orders")
    assert local_path(store, LENT) == tmp_path / "orders/data/x.parquet"
    assert local_path(store, "data/y.parquet") == tmp_path / "dev/orders/data/y.parquet"
    assert not is_far(store)
    assert is_far(table_store(MemoryStore(), "t"))


@pytest.mark.parametrize("folder", ["orders", "ns/orders", "a/ns/orders"])
def test_a_folder_alone_finds_the_lake_above_it(folder: str, tmp_path: Path) -> None:
    lake = LocalStore(tmp_path)
    lake.put(CATALOG, b"{}")
    lake.put("orders/data/x.parquet", b"rows")
    for url in (str(tmp_path), f"file://{tmp_path}"):
        store = open_table_store(f"{url}/{folder}/")
        assert store.get(LENT) == b"rows"
        assert store.place().folder == folder


def test_in_memory_the_lake_is_found_in_the_same_way() -> None:
    root = named_memory_store("above")
    root.put("lake/" + CATALOG, b"{}")
    root.put("lake/orders/data/x.parquet", b"rows")
    assert open_table_store("memory://above/lake/ns/t").get(LENT) == b"rows"


def test_a_folder_outside_any_lake_says_so_when_a_lent_file_is_wanted(tmp_path: Path) -> None:
    store = open_table_store(tmp_path / "a/b/c/d/e")
    store.put("data/x.parquet", b"own")
    assert store.get("data/x.parquet") == b"own"
    for read in (store.get, store.head, store.local_path):
        with pytest.raises(InvalidError, match="no catalog in the 3 folders above"):
            read(LENT)
    LocalStore(tmp_path).put(CATALOG, b"{}")  # five folders up is too far
    with pytest.raises(InvalidError, match="no catalog"):
        store.get(LENT)
    with pytest.raises(InvalidError, match="no catalog"):
        open_table_store("memory://nothing-above").get(LENT)


def test_wrappers_do_not_hide_the_lake(root: MemoryStore) -> None:
    assert place_of(FaultyStore(table_store(root, "t"))).folder == "t"
    with pytest.raises(InvalidError, match="not known to lie in a lake"):
        place_of(MemoryStore())
