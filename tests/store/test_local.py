from __future__ import annotations

import errno
import multiprocessing
import os
import pickle
import re
import resource
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tablelog import env
from tablelog.errors import InvalidError, NotFoundError, StoreError
from tablelog.store import LocalStore, ObjectStore, PrefixedStore, sweep
from tablelog.testing import StoreConformance
from tests.store.children import check_race, race, write_for_ever

if TYPE_CHECKING:
    from collections.abc import Iterator

_HOUR_US = 3_600_000_000


class TestLocalStore(StoreConformance):
    race_rounds = 100

    @pytest.fixture
    def store(self, tmp_path: Path) -> ObjectStore:
        return LocalStore(tmp_path / "not" / "there yet")


class TestLocalStoreBehindASymlink(StoreConformance):
    race_rounds = 5

    @pytest.fixture
    def store(self, tmp_path: Path) -> ObjectStore:
        (tmp_path / "real").mkdir()
        (tmp_path / "link").symlink_to("real")
        return LocalStore(tmp_path / "link")


def test_of_processes_that_create_one_key_one_wins(tmp_path: Path) -> None:
    url = str(tmp_path / "lake")
    told = race(url, None, processes=4, turns=250)
    assert len(told) == 250
    check_race(url, None, told)


def files(folder: Path) -> list[str]:
    return sorted(str(each.relative_to(folder)) for each in folder.rglob("*") if each.is_file())


def test_nothing_but_the_object_is_left_behind(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.put("a/put", b"1")
    store.put("a/put", b"2")
    store.put_if_absent("a/created", b"1")
    store.put_if_absent("a/created", b"2")
    assert files(tmp_path) == ["a/created", "a/put"]


def test_writers_that_lose_the_race_leave_nothing_behind(tmp_path: Path) -> None:
    race(str(tmp_path), None, processes=2, turns=50)
    assert files(tmp_path) == sorted(["ready/0", "ready/1", *(f"race/{turn}" for turn in range(50))])


def test_an_object_is_a_plain_file_and_a_plain_file_is_an_object(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.put("data/a.parquet", b"abc")
    assert store.local_path("data/a.parquet") == tmp_path / "data" / "a.parquet"
    assert (tmp_path / "data" / "a.parquet").read_bytes() == b"abc"
    (tmp_path / "data" / "b.parquet").write_bytes(b"xyz")
    assert store.get("data/b.parquet") == b"xyz"
    assert sorted(info.key for info in store.list("data/")) == ["data/a.parquet", "data/b.parquet"]


def test_new_files_get_the_modes_that_the_umask_says(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        LocalStore(tmp_path / "lake").put("a/b", b"")
    finally:
        os.umask(before)
    assert (tmp_path / "lake" / "a" / "b").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "lake" / "a").stat().st_mode & 0o777 == 0o750


def test_listing_a_folder_that_is_not_there_finds_nothing(tmp_path: Path) -> None:
    assert list(LocalStore(tmp_path / "nowhere").list()) == []
    assert list(LocalStore(tmp_path).list("no/where/")) == []


def test_reading_makes_no_folder(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "nowhere")
    with pytest.raises(NotFoundError):
        store.get("a/b")
    store.delete("a/b")
    list(store.list())
    assert not (tmp_path / "nowhere").exists()


def test_a_listing_enters_only_folders_that_can_hold_what_is_asked_for(tmp_path: Path, calls: list[str]) -> None:
    store = LocalStore(tmp_path)
    for key in ("data/a/1", "data/b/1", "data/b/c/1", "log/1", "z"):
        store.put(key, b"")
    for prefix, start_after, entered, found in (
        ("", "", ["", "data/", "data/a/", "data/b/", "data/b/c/", "log/"], 5),
        ("data/b", "", ["data/", "data/b/", "data/b/c/"], 2),
        ("", "data/b/c/0", ["", "data/", "data/b/", "data/b/c/", "log/"], 3),
        ("data/", "data/b/z", ["data/", "data/b/"], 0),
        ("log/", "log/0", ["log/"], 1),
    ):
        calls.clear()
        assert len(list(store.list(prefix, start_after))) == found
        assert sorted(calls) == [f"scandir {tmp_path}/{folder}" for folder in entered]


def test_a_folder_is_not_an_object(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.put("folder/key", b"")
    with pytest.raises(NotFoundError):
        store.get("folder")
    with pytest.raises(NotFoundError):
        store.head("folder")
    store.delete("folder")
    assert store.get("folder/key") == b""


def test_a_key_below_an_object_is_refused(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.put("object", b"")
    with pytest.raises(InvalidError, match="object/below: not a directory"):
        store.put("object/below", b"")
    with pytest.raises(InvalidError, match="object/below: not a directory"):
        store.put_if_absent("object/below", b"")
    with pytest.raises(NotFoundError):
        store.get("object/below")
    store.delete("object/below")


def test_a_name_too_long_for_the_file_system_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match="too long"):
        LocalStore(tmp_path).put("x" * 300, b"")


def test_unfinished_writes_are_not_shown_and_are_swept_when_old(tmp_path: Path) -> None:
    store = PrefixedStore(LocalStore(tmp_path), "orders")
    store.put("data/a", b"")
    old, young = tmp_path / "orders/data/.old.tmp", tmp_path / "orders/data/.young.tmp"
    other = tmp_path / "stock/.old.tmp"
    other.parent.mkdir()
    now_us = env.now_us()
    for path, age_us in ((old, 3 * _HOUR_US), (young, 0), (other, 3 * _HOUR_US)):
        path.write_bytes(b"half")
        os.utime(path, ns=(0, (now_us - age_us) * 1000))
    assert [info.key for info in store.list()] == ["data/a"]
    assert sweep(store, "", now_us - _HOUR_US, dry_run=True) == 1
    assert old.exists()
    assert sweep(store, "", now_us - _HOUR_US) == 1
    assert files(tmp_path) == ["orders/data/.young.tmp", "orders/data/a", "stock/.old.tmp"]


def test_the_root_is_fixed_when_the_store_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    store = LocalStore("lake")
    monkeypatch.chdir(tmp_path / "elsewhere")
    store.put("a", b"")
    assert store.url == str(tmp_path / "lake")
    assert files(tmp_path) == ["lake/a"]


def test_a_store_travels_to_another_process(tmp_path: Path) -> None:
    store = pickle.loads(pickle.dumps(LocalStore(tmp_path)))
    store.put("a", b"1")
    assert LocalStore(tmp_path).get("a") == b"1"


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """System calls that order or look, as they are made, files and folders by their path."""
    made: list[str] = []

    def watch(name: str) -> None:
        call = getattr(os, name)

        def watched(*arguments: Any) -> Any:
            path = arguments[-1]
            shown = str(Path(f"/proc/self/fd/{path}").readlink() if isinstance(path, int) else path)
            made.append(f"{name} {re.sub(r'[.][^/]*[.]tmp', '.tmp', shown)}")
            return call(*arguments)

        monkeypatch.setattr(os, name, watched)

    for name in ("fsync", "link", "replace", "mkdir", "scandir"):
        watch(name)
    return made


def test_contents_are_on_disk_before_the_name_and_the_name_before_the_answer(tmp_path: Path, calls: list[str]) -> None:
    store = LocalStore(tmp_path)
    store.put_if_absent("a", b"")
    assert calls == [f"fsync {tmp_path}/.tmp", f"link {tmp_path}/a", f"fsync {tmp_path}"]
    calls.clear()
    store.put("a", b"")
    assert calls == [f"fsync {tmp_path}/.tmp", f"replace {tmp_path}/a", f"fsync {tmp_path}"]
    calls.clear()
    assert store.put_if_absent("a", b"") is False
    assert calls == []


def test_an_upload_is_an_object_once_it_is_finished_and_on_disk(tmp_path: Path, calls: list[str]) -> None:
    store = LocalStore(tmp_path)
    begun = store.upload("a")
    Path(begun.path).write_bytes(b"12345")
    assert list(store.list()) == []
    calls.clear()
    begun.finish()
    assert calls == [f"fsync {tmp_path}/.tmp", f"replace {tmp_path}/a", f"fsync {tmp_path}"]
    begun.abandon()
    assert store.get("a") == b"12345"


def test_an_upload_that_is_abandoned_leaves_nothing(tmp_path: Path) -> None:
    begun = LocalStore(tmp_path).upload("data/a")
    begun.abandon()
    begun.abandon()
    assert files(tmp_path) == []
    with pytest.raises(StoreError, match=r"cannot write .*/data/a: no such file or directory"):
        begun.finish()


def test_new_folders_are_on_disk_before_they_are_used(tmp_path: Path, calls: list[str]) -> None:
    LocalStore(tmp_path / "lake").put_if_absent("b/c", b"")
    lake = tmp_path / "lake"
    made = [f"mkdir {lake}/b", f"mkdir {lake}", f"fsync {tmp_path}", f"mkdir {lake}/b", f"fsync {lake}"]
    assert calls == [*made, f"fsync {lake}/b/.tmp", f"link {lake}/b/c", f"fsync {lake}/b"]


def test_a_create_whose_name_may_not_be_on_disk_may_have_happened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flush = os.fsync

    def faulty(file: int) -> None:
        if stat.S_ISDIR(os.fstat(file).st_mode):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        flush(file)

    monkeypatch.setattr(os, "fsync", faulty)
    store = LocalStore(tmp_path)
    with pytest.raises(StoreError, match="input/output error; the disk or the mount reports a fault") as caught:
        store.put_if_absent("a", b"data")
    assert caught.value.maybe_applied is True
    assert store.get("a") == b"data"
    assert files(tmp_path) == ["a"]


def test_a_file_system_without_links_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: str) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", no_links)
    with pytest.raises(InvalidError, match=r"its file system has no hard links.*use a folder on another file system"):
        LocalStore(tmp_path).put_if_absent("a", b"data")
    assert files(tmp_path) == []


@pytest.fixture
def small_files_only() -> Iterator[None]:
    """Let no file of this process grow beyond 100 kB."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("small_files_only")
def test_a_write_that_fails_half_way_leaves_nothing_and_says_so(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.put("replaced", b"before")
    for write in (store.put, store.put_if_absent):
        with pytest.raises(StoreError, match="file too large") as caught:
            write("created", b"x" * 200_000)
        assert caught.value.maybe_applied is False
    with pytest.raises(StoreError):
        store.put("replaced", b"x" * 200_000)
    assert store.get("replaced") == b"before"
    assert files(tmp_path) == ["replaced"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_a_store_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(StoreError, match=r"permission denied; check who may write there") as caught:
            LocalStore(tmp_path).put_if_absent("a", b"")
    finally:
        tmp_path.chmod(0o700)
    assert caught.value.maybe_applied is False


def test_a_writer_killed_at_any_moment_leaves_only_whole_objects(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    for turn in range(3):
        url = str(tmp_path / str(turn))
        store = LocalStore(url)
        writer = context.Process(target=write_for_ever, args=(url,))
        writer.start()
        deadline_s = env.monotonic_s() + 30
        while sum(1 for _ in store.list()) < 10 * (turn + 1):
            assert env.monotonic_s() < deadline_s, "the writer writes nothing"
        writer.kill()
        writer.join()
        sizes = {info.size_bytes for info in store.list()}
        assert sizes == {100_000}
        assert sweep(store, "", env.now_us() + _HOUR_US) <= 1
        assert all(name.startswith("log/0") for name in files(Path(url)))
