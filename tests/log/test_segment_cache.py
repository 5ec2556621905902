"""What is read of large segments of a remote log is kept: in memory, and on disk where a folder is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tablelog.errors import StoreError
from tablelog.format import names
from tablelog.format.statistics import FieldStatistics
from tablelog.log import followed, lineage
from tablelog.parquet import fetched, sealed
from tablelog.store.memory import MemoryStore
from tablelog.store.metrics import MeteredStore
from tablelog.table import Table
from tests.log.test_merging_races import commit, file, new_table

if TYPE_CHECKING:
    from pathlib import Path

FILES = 600


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> MeteredStore:
    """A table of 600 files whose segments are large enough to be read in pieces."""
    for module in (sealed, lineage, followed):
        monkeypatch.setattr(module, "WHOLE_BYTES", 1000)
    inner = MemoryStore("cached")
    grow(inner, "")
    return MeteredStore(inner)


def grow(store: MemoryStore, prefix: str) -> None:
    """A file in every commit, whose rows all have the file's number as `x`."""
    table = new_table(store)
    for number in range(FILES):
        known = FieldStatistics(min=number, max=number, null_count=0, nan_count=0)
        commit(table, file(f"{prefix}{number}", statistics={1: known}))


def opened(store: MeteredStore) -> tuple[int, int, int]:
    """Gets and bytes that a new reader costs who opens the table and looks for one file; and how many he finds."""
    before = store.stats()
    table = Table(store, "t")
    found = len(table.scan(where="x = 333").files)
    after = store.stats()
    return after.get - before.get, after.bytes_down - before.bytes_down, found


def test_without_a_folder_every_process_fetches_what_it_needs(
    store: MeteredStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TABLELOG_CACHE", raising=False)
    first = opened(store)
    assert first[2] == 1
    assert opened(store) == first


def test_a_handle_asks_for_nothing_twice(store: MeteredStore) -> None:
    table = Table(store, "t")
    snapshot = table.snapshot()
    assert len(snapshot.scan(where="x = 333").files) == 1
    before = store.stats().get
    assert len(snapshot.scan(where="x = 333").files) == 1
    assert store.stats().get == before


def test_with_a_folder_the_second_process_fetches_less(
    store: MeteredStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TABLELOG_CACHE", str(tmp_path / "cache"))
    gets, size_bytes, found = opened(store)
    again = opened(store)
    assert found == again[2] == 1
    assert again[0] < gets
    assert again[1] < size_bytes / 2
    assert Table(store, "t").snapshot().files.paths == [f"data/{number}" for number in range(FILES)]


def test_what_is_damaged_in_the_folder_is_fetched_again(
    store: MeteredStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "cache"
    monkeypatch.setenv("TABLELOG_CACHE", str(folder))
    first = opened(store)
    for path in folder.iterdir():
        data = path.read_bytes()
        path.write_bytes(bytes(each ^ 0x55 for each in data) if path.suffix != ".json" else data)
    assert opened(store)[2] == first[2] == 1
    for path in folder.iterdir():
        path.write_bytes(b"torn" if path.suffix == ".json" else path.read_bytes()[:100])
    assert opened(store)[2] == 1


def test_another_table_under_the_same_name_is_not_mistaken_for_the_old_one(
    store: MeteredStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TABLELOG_CACHE", str(tmp_path / "cache"))
    opened(store)
    other = MemoryStore("cached")
    grow(other, "new-")
    found = Table(MeteredStore(other), "t").scan(where="x = 333").files
    assert [each.path for each in found] == ["data/new-333"]


def test_verify_reads_the_store_and_not_the_folder(
    store: MeteredStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TABLELOG_CACHE", str(tmp_path / "cache"))
    opened(store)
    key = f"{names.LOG}{names.segment(0, 255)}"
    data = store.get(key)
    store.put(key, data[:500] + b"#" + data[501:])
    found = Table(store, "t").verify(data=False)
    assert key in {problem.object for problem in found.problems}


def test_old_files_make_room(store: MeteredStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts: list[int] = []
    for name, most in (("large", fetched.DISK_BYTES_MAX), ("small", 0)):
        monkeypatch.setenv("TABLELOG_CACHE", str(tmp_path / name))
        monkeypatch.setattr(fetched, "DISK_BYTES_MAX", most)
        assert opened(store)[2] == opened(store)[2] == 1
        counts.append(sum(path.suffix == "" for path in (tmp_path / name).iterdir()))
    assert counts[1] < counts[0]


def test_a_folder_that_cannot_be_written_is_said_to_be_one(
    store: MeteredStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("TABLELOG_CACHE", str(tmp_path / "file"))
    with pytest.raises(StoreError, match="TABLELOG_CACHE"):
        opened(store)
