from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tablelog import env
from tablelog.errors import InvalidError
from tablelog.store import (
    LocalStore,
    MemoryStore,
    ObjectStore,
    PrefixedStore,
    RetryingStore,
    local_path,
    open_store,
    register_store,
)

if TYPE_CHECKING:
    from collections.abc import Mapping


def test_plain_paths_are_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for path, where in {
        "lake": tmp_path / "lake",
        "./lake": tmp_path / "lake",
        "../lake": tmp_path.parent / "lake",
        "~/lake": tmp_path / "home" / "lake",
        str(tmp_path): tmp_path,
        "C:\\lake": tmp_path / "C:\\lake",
        "c:/lake": tmp_path / "c:" / "lake",
        "a?b#c%20d": tmp_path / "a?b#c%20d",
    }.items():
        store = open_store(path)
        assert isinstance(store, LocalStore)
        assert store.url == str(where)
    assert open_store(Path("lake")).url == str(tmp_path / "lake")
    assert open_store(Path("~/lake")).url == str(tmp_path / "home" / "lake")


def test_file_urls_are_folders(tmp_path: Path) -> None:
    folder = tmp_path / "with space" / "ü%"
    assert open_store(folder.as_uri()).url == str(folder)
    assert open_store("file://localhost/a/b").url == "/a/b"
    assert open_store("FILE:///a/b").url == "/a/b"
    for url in ("file://elsewhere/a", "file://a"):
        with pytest.raises(InvalidError, match="not on this machine"):
            open_store(url)


def test_what_a_store_says_of_its_place_opens_it_again(tmp_path: Path) -> None:
    for url in (str(tmp_path), f"memory://{env.new_id()}", f"memory://{env.new_id()}/a/b"):
        open_store(url).put("key", b"data")
        assert open_store(open_store(url).url).get("key") == b"data"


def test_memory_stores_of_one_name_are_one_store() -> None:
    name = env.new_id()
    open_store(f"memory://{name}").put("lake/key", b"data")
    assert open_store(f"memory://{name}").get("lake/key") == b"data"
    assert open_store(f"memory://{name}/lake").get("key") == b"data"
    assert open_store(f"memory://{name}/lake/").get("key") == b"data"
    assert list(open_store(f"memory://{name}2").list()) == []


def test_s3_urls_are_folders_of_a_bucket_behind_retries() -> None:
    for url in ("s3://bucket/a/b", "s3a://bucket/a/b/", "S3://bucket/a/b"):
        store = open_store(url)
        assert isinstance(store, PrefixedStore)
        assert isinstance(store.inner, RetryingStore)
        assert store.url == "s3://bucket/a/b"
    assert open_store("s3://bucket").url == "s3://bucket"


def test_credentials_in_a_url_are_refused_and_not_repeated() -> None:
    with pytest.raises(InvalidError, match="credentials belong into storage_options") as caught:
        open_store("s3://me:hunter2@bucket/lake")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("url", ["s3://", "s3:///lake", "s3://b u/lake", "s3://bucket:80/lake", "s3://-/lake"])
def test_what_is_not_a_bucket_is_refused(url: str) -> None:
    with pytest.raises(InvalidError, match="not a bucket's name"):
        open_store(url)


@pytest.mark.parametrize("url", ["s3://bucket/a//b", "s3://bucket/a/../b", "memory://name/../b", "memory://name/a\\b"])
def test_folders_that_are_no_keys_are_refused(url: str) -> None:
    with pytest.raises(InvalidError, match="cannot name an object"):
        open_store(url)


@pytest.mark.parametrize("path", ["", "a\0b", None, 5, b"folder"])
def test_what_is_not_a_path_is_refused(path: Any) -> None:
    with pytest.raises(InvalidError, match="is not a folder's path"):
        open_store(path)


@pytest.mark.parametrize("url", ["s3://bucket/lake", "memory://name", "file:///a"])
def test_a_url_squashed_into_a_path_is_not_taken_for_a_folder(url: str) -> None:
    with pytest.raises(InvalidError, match="a Path cannot hold a URL"):
        open_store(Path(url))


@pytest.mark.parametrize("scheme", ["gs", "az", "abfs", "http", "https", "ftp", "hdfs", "local", "sftp", "github"])
def test_schemes_that_are_not_known_to_create_atomically_are_refused(scheme: str) -> None:
    with pytest.raises(InvalidError, match=f"no store for {scheme}://.*register_store\\('{scheme}', factory\\)"):
        open_store(f"{scheme}://somewhere/lake")


@pytest.mark.parametrize("url", ["lake", "file:///lake", "memory://name"])
def test_folders_and_memory_take_no_options(url: str) -> None:
    with pytest.raises(InvalidError, match="takes no storage options, and was given 'key', 'region'") as caught:
        open_store(url, {"region": "x", "key": "hunter2"})
    assert "hunter2" not in str(caught.value)
    assert open_store(url, {}).url


def test_a_registered_scheme_opens_what_its_factory_makes() -> None:
    asked: list[tuple[str, Mapping[str, Any]]] = []
    made = MemoryStore()

    def factory(url: str, storage_options: Mapping[str, Any]) -> ObjectStore:
        asked.append((url, storage_options))
        return made

    register_store("Test-Scheme", factory)
    assert open_store("test-scheme://a/b?c=d", {"x": 1}) is made
    assert asked == [("test-scheme://a/b?c=d", {"x": 1})]
    other = MemoryStore()
    register_store("test-scheme", lambda _url, _options: other)
    assert open_store("TEST-SCHEME://a") is other


@pytest.mark.parametrize(
    ("scheme", "message"),
    [
        ("s3", "built in"),
        ("FILE", "built in"),
        ("x", "not a URL scheme"),
        ("a b", "not a URL scheme"),
        ("", "not a URL"),
    ],
)
def test_some_schemes_cannot_be_registered(scheme: str, message: str) -> None:
    with pytest.raises(InvalidError, match=message):
        register_store(scheme, lambda _url, _options: MemoryStore())


def test_files_are_found_through_any_number_of_wrappers(tmp_path: Path) -> None:
    store: ObjectStore = LocalStore(tmp_path)
    wrapped = PrefixedStore(RetryingStore(PrefixedStore(RetryingStore(store), "a/b")), "c/")
    assert local_path(wrapped, "d") == tmp_path / "a" / "b" / "c" / "d"
    assert wrapped.url == f"{tmp_path}/a/b/c"
    assert local_path(PrefixedStore(RetryingStore(MemoryStore()), "a"), "b") is None
    with pytest.raises(InvalidError):
        local_path(wrapped, "../../x")
