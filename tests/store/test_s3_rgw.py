"""The same claims on Ceph's gateway, a server that real people run, with checks of its own on every request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tablelog import env
from tablelog.errors import StoreError
from tablelog.store import ByteRange, ObjectStore, PrefixedStore, S3Store, open_store, require_put_if_absent, sweep
from tablelog.testing import StoreConformance
from tests.store.children import check_race, race

if TYPE_CHECKING:
    from tests.s3.server import S3Server

pytestmark = pytest.mark.xdist_group("rgw")


class TestS3StoreOnCeph(StoreConformance):
    page_keys = 50

    @pytest.fixture
    def store(self, rgw: S3Server) -> ObjectStore:
        return PrefixedStore(S3Store("test", rgw.storage_options, page_keys=self.page_keys), env.new_id())


def test_of_processes_that_create_one_key_one_wins(rgw_url: tuple[str, dict[str, Any]]) -> None:
    url, options = rgw_url
    check_race(url, options, race(url, options, processes=4, turns=40))


def test_the_gateway_honours_put_if_not_exists(rgw_url: tuple[str, dict[str, Any]]) -> None:
    store = open_store(*rgw_url)
    require_put_if_absent(store)
    assert list(store.list()) == []


def test_a_wrong_secret_is_refused_and_not_shown(rgw: S3Server) -> None:
    store = open_store(rgw.fresh_url(), rgw.storage_options | {"secret": "hunter2"})
    with pytest.raises(StoreError, match="403 SignatureDoesNotMatch; check the credentials") as caught:
        store.put_if_absent("key", b"")
    assert (caught.value.maybe_applied, caught.value.transient) == (False, False)
    assert "hunter2" not in str(caught.value)


def test_a_put_in_parts_comes_back_whole(rgw_url: tuple[str, dict[str, Any]]) -> None:
    store = open_store(*rgw_url)
    data = b"0123456789" * 7_000_000
    store.put("key", data)
    assert store.get("key") == data
    assert store.get("key", ByteRange(start=33_000_000, end=34_000_000)) == data[:1_000_000]
    assert sweep(store, "", env.now_us() + 10**9) == 0


def test_a_big_create_is_decided_like_a_small_one(rgw_url: tuple[str, dict[str, Any]]) -> None:
    store = open_store(*rgw_url)
    data = bytes(65 << 20)
    assert store.put_if_absent("key", data) is True
    assert store.put_if_absent("key", b"small") is False
    assert store.head("key").size_bytes == len(data)


def test_uploads_of_dead_writers_are_swept_when_old(rgw: S3Server) -> None:
    folder = env.new_id()
    store = open_store(f"s3://test/{folder}", rgw.storage_options)
    client: Any = S3Store("test", rgw.storage_options)._filesystem()
    client.call_s3("create_multipart_upload", Bucket="test", Key=f"{folder}/a")
    client.call_s3("create_multipart_upload", Bucket="test", Key=f"{folder}-other/a")
    assert sweep(store, "", env.now_us() - 10**9) == 0
    assert sweep(store, "", env.now_us() + 10**9, dry_run=True) == 1
    assert sweep(store, "", env.now_us() + 10**9) == 1
    assert sweep(store, "", env.now_us() + 10**9) == 0
