from __future__ import annotations

import multiprocessing
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tablelog import env
from tablelog.errors import InvalidError, NotFoundError, StoreError
from tablelog.store import ByteRange, ObjectStore, PrefixedStore, RetryingStore, S3Store, open_store, sweep
from tablelog.testing import StoreConformance
from tests.s3.moto_server import MotoServer, Trick
from tests.s3.server import S3Server, free_port
from tests.store.children import check_race, race, read_key

_MEGABYTE = 1_000_000
_SLOW_DOWN = Trick(do="refuse", status="503 Slow Down", code="SlowDown")
_CONFLICT = Trick(do="refuse", status="409 Conflict", code="ConditionalRequestConflict")


class TestS3StoreOnMoto(StoreConformance):
    page_keys = 10
    race_rounds = 10

    @pytest.fixture
    def store(self, moto: S3Server) -> ObjectStore:
        return PrefixedStore(S3Store("test", moto.storage_options, page_keys=self.page_keys), env.new_id())


@pytest.fixture
def bare(misbehaving: MotoServer) -> ObjectStore:
    """A store that tries once, on a server that can misbehave, already connected."""
    store = PrefixedStore(S3Store("test", misbehaving.server.storage_options, page_keys=10), env.new_id())
    list(store.list())
    misbehaving.misbehaviour.reset()
    return store


def retrying(store: ObjectStore) -> ObjectStore:
    return RetryingStore(store, wait_base_s=0.001)


def test_of_processes_that_create_one_key_one_wins(moto_url: tuple[str, dict[str, Any]]) -> None:
    url, options = moto_url
    check_race(url, options, race(url, options, processes=2, turns=25))


def test_each_verb_is_one_request(bare: ObjectStore, misbehaving: MotoServer) -> None:
    requests = misbehaving.misbehaviour.requests
    bare.put("a", b"123")
    bare.put_if_absent("b", b"123")
    bare.put_if_absent("b", b"456")
    assert requests == {"PUT": 3}
    bare.get("a")
    bare.get("a", ByteRange(start=1, end=2))
    assert requests == {"PUT": 3, "GET": 2}
    bare.head("a")
    list(bare.list())
    bare.delete("a")
    assert requests == {"PUT": 3, "GET": 3, "HEAD": 1, "DELETE": 1}


def test_a_create_that_is_refused_because_of_another_one_is_tried_again(
    bare: ObjectStore, misbehaving: MotoServer
) -> None:
    misbehaving.misbehaviour.plan("PUT", "/key", _CONFLICT, _CONFLICT, _CONFLICT)
    assert retrying(bare).put_if_absent("key", b"data") is True
    assert misbehaving.misbehaviour.requests["PUT"] == 4


def test_a_conflict_or_a_throttled_create_certainly_did_nothing(bare: ObjectStore, misbehaving: MotoServer) -> None:
    misbehaving.misbehaviour.plan("PUT", "/key", _CONFLICT, _SLOW_DOWN)
    for word in ("ConditionalRequestConflict", "SlowDown"):
        with pytest.raises(StoreError, match=word) as caught:
            bare.put_if_absent("key", b"data")
        assert (caught.value.maybe_applied, caught.value.transient) == (False, True)
    with pytest.raises(NotFoundError):
        bare.get("key")


def test_every_verb_rides_out_a_throttled_server(bare: ObjectStore, misbehaving: MotoServer) -> None:
    store = retrying(bare)
    misbehaving.misbehaviour.plan("PUT", "/key", _SLOW_DOWN, _SLOW_DOWN)
    assert store.put_if_absent("key", b"data") is True
    misbehaving.misbehaviour.plan("PUT", "/key", _SLOW_DOWN, Trick(do="refuse"))
    store.put("key", b"data")
    misbehaving.misbehaviour.plan("GET", "/key", _SLOW_DOWN, Trick(do="refuse", status="502 Bad Gateway", code=""))
    assert store.get("key") == b"data"
    misbehaving.misbehaviour.plan("HEAD", "/key", _SLOW_DOWN)
    assert store.head("key").size_bytes == 4
    misbehaving.misbehaviour.plan("GET", "/test", _SLOW_DOWN, Trick(do="hang_up"))
    assert [info.key for info in store.list()] == ["key"]
    misbehaving.misbehaviour.plan("DELETE", "/key", _SLOW_DOWN, Trick(do="refuse_after"))
    store.delete("key")
    assert list(store.list()) == []


def test_a_listing_that_fails_on_a_later_page_is_taken_up_there(bare: ObjectStore, misbehaving: MotoServer) -> None:
    keys = [f"{number:02d}" for number in range(35)]
    for key in keys:
        bare.put(key, b"")
    listing = retrying(bare).list()
    seen = [next(listing).key for _ in range(10)]
    misbehaving.misbehaviour.plan("GET", "/test", _SLOW_DOWN, Trick(do="hang_up"), Trick(do="cut"))
    seen += [info.key for info in listing]
    assert seen == keys


def test_a_create_answered_with_500_may_have_happened_and_is_not_sent_again(
    bare: ObjectStore, misbehaving: MotoServer
) -> None:
    misbehaving.misbehaviour.plan("PUT", "/key", Trick(do="refuse_after"))
    with pytest.raises(StoreError, match="500") as caught:
        retrying(bare).put_if_absent("key", b"data")
    assert caught.value.maybe_applied is True
    assert misbehaving.misbehaviour.requests["PUT"] == 1
    assert bare.get("key") == b"data"


def test_a_create_whose_connection_breaks_never_says_true_for_another_ones_object(
    bare: ObjectStore, misbehaving: MotoServer
) -> None:
    # The HTTP client may send the request again by itself; then the server refuses it because of the first one.
    misbehaving.misbehaviour.plan("PUT", "/key", Trick(do="hang_up_after"))
    try:
        created = retrying(bare).put_if_absent("key", b"data")
    except StoreError as error:
        assert error.maybe_applied is True
    else:
        assert created is False
    assert bare.get("key") == b"data"


def test_a_body_that_breaks_off_is_read_again(bare: ObjectStore, misbehaving: MotoServer) -> None:
    data = bytes(range(256)) * 100
    bare.put("key", data)
    misbehaving.misbehaviour.plan("GET", "/key", Trick(do="cut"), Trick(do="cut"), Trick(do="cut"))
    with pytest.raises(StoreError) as caught:
        bare.get("key")
    assert caught.value.transient is True
    assert retrying(bare).get("key") == data


def test_a_server_that_ignores_ranges_is_read_right(bare: ObjectStore, misbehaving: MotoServer) -> None:
    bare.put("key", b"0123456789")
    misbehaving.misbehaviour.plan("GET", "/key", Trick(do="drop", names=("HTTP_RANGE",)))
    assert bare.get("key", ByteRange(start=2, end=5)) == b"234"


def test_a_server_that_ignores_start_after_is_listed_right(bare: ObjectStore, misbehaving: MotoServer) -> None:
    keys = [f"{number:02d}" for number in range(35)]
    for key in keys:
        bare.put(key, b"")
    misbehaving.misbehaviour.plan("GET", "/test", Trick(do="drop", names=("start-after",)))
    assert [info.key for info in bare.list("", "20")] == keys[21:]


def test_folder_markers_of_other_tools_are_not_objects(moto: S3Server, bare: ObjectStore) -> None:
    bare.put("folder/key", b"")
    assert isinstance(bare, PrefixedStore)
    client: Any = S3Store("test", moto.storage_options)._filesystem()
    client.call_s3("put_object", Bucket="test", Key=bare.prefix + "folder/", Body=b"")
    assert [info.key for info in bare.list()] == ["folder/key"]


def test_a_bucket_that_is_not_there_is_no_empty_store(moto: S3Server) -> None:
    store = S3Store("nowhere", moto.storage_options)
    for call in (
        lambda: store.get("key"),
        lambda: store.put("key", b""),
        lambda: store.put_if_absent("key", b""),
        lambda: list(store.list()),
        lambda: store.delete("key"),
    ):
        with pytest.raises(StoreError, match=r"NoSuchBucket.*; create the bucket or check its name") as caught:
            call()
        assert (caught.value.maybe_applied, caught.value.transient) == (False, False)


def test_a_server_that_is_not_there_certainly_did_nothing() -> None:
    endpoint_url = f"http://127.0.0.1:{free_port()}"
    store = S3Store("test", {"endpoint_url": endpoint_url, "key": "k", "secret": "s"})
    with pytest.raises(StoreError, match=endpoint_url) as caught:
        store.put_if_absent("key", b"")
    assert (caught.value.maybe_applied, caught.value.transient) == (False, True)


def test_missing_credentials_are_said_to_be_missing(moto: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    store = S3Store("test", {"endpoint_url": moto.endpoint_url})
    with pytest.raises(StoreError, match="credentials") as caught:
        store.put_if_absent("key", b"")
    assert (caught.value.maybe_applied, caught.value.transient) == (False, False)


def test_credentials_come_from_the_environment_as_usual(moto: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", moto.key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", moto.secret)
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto.endpoint_url)
    store = open_store(moto.fresh_url())
    assert store.put_if_absent("key", b"data") is True
    assert store.get("key") == b"data"


def test_a_refusal_says_what_to_check_and_does_not_say_the_secret(bare: ObjectStore, misbehaving: MotoServer) -> None:
    misbehaving.misbehaviour.plan("PUT", "/key", Trick(do="refuse", status="403 Forbidden", code="AccessDenied"))
    with pytest.raises(StoreError, match="403 AccessDenied as told; check the credentials") as caught:
        bare.put_if_absent("key", b"data")
    assert (caught.value.maybe_applied, caught.value.transient) == (False, False)
    assert misbehaving.server.secret not in f"{caught.value} {bare!r} {bare.url}"


def test_a_server_without_conditional_writes_is_told_apart(bare: ObjectStore, misbehaving: MotoServer) -> None:
    trick = Trick(do="refuse", status="501 Not Implemented", code="NotImplemented")
    misbehaving.misbehaviour.plan("PUT", "/key", trick)
    with pytest.raises(StoreError, match="lacks something that tablelog needs"):
        bare.put_if_absent("key", b"data")


def test_a_big_put_goes_up_in_parts_and_a_big_create_in_one(bare: ObjectStore, misbehaving: MotoServer) -> None:
    data = b"0123456789" * 7 * _MEGABYTE
    requests = misbehaving.misbehaviour.requests
    bare.put("put", memoryview(data))
    assert requests == {"POST": 2, "PUT": 3}
    assert bare.head("put").size_bytes == len(data)
    assert bare.get("put", ByteRange(start=33_000_000, end=34_000_000)) == data[:_MEGABYTE]
    requests.clear()
    assert bare.put_if_absent("created", data) is True
    assert requests == {"PUT": 1}


def test_a_put_in_parts_that_fails_leaves_no_parts(bare: ObjectStore, misbehaving: MotoServer) -> None:
    data = bytes(65 << 20)
    misbehaving.misbehaviour.plan("PUT", "/key", Trick(do="refuse", status="400 Bad Request", code="Bad"))
    with pytest.raises(StoreError, match="400 Bad"):
        bare.put("key", data)
    assert sweep(bare, "", env.now_us() + 10**9, dry_run=True) == 0


def test_many_threads_share_one_store(moto_url: tuple[str, dict[str, Any]]) -> None:
    store = open_store(*moto_url)
    start = threading.Barrier(32, timeout=30)

    def work(number: int) -> bytes:
        start.wait()
        store.put(f"{number}", f"{number}".encode())
        return store.get(f"{number}")

    with ThreadPoolExecutor(32) as pool:
        assert list(pool.map(work, range(32))) == [f"{number}".encode() for number in range(32)]


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_a_store_in_use_works_in_a_child_process(method: str, moto_url: tuple[str, dict[str, Any]]) -> None:
    store = open_store(*moto_url)
    store.put("key", b"data")
    context: Any = multiprocessing.get_context(method)
    results = context.SimpleQueue()
    child = context.Process(target=read_key, args=(store, results))
    child.start()
    child.join(60)
    assert child.exitcode == 0
    assert results.get() == b"data"
    assert store.get("key") == b"data"


def test_a_pickled_store_is_the_same_store(moto_url: tuple[str, dict[str, Any]]) -> None:
    store = open_store(*moto_url)
    store.put("key", b"data")
    copy = pickle.loads(pickle.dumps(store))
    assert copy.url == store.url
    assert copy.get("key") == b"data"


@pytest.mark.parametrize(
    "names",
    [
        {"key": "key", "secret": "secret", "endpoint_url": "endpoint_url"},
        {"key": "aws_access_key_id", "secret": "aws_secret_access_key", "endpoint_url": "endpoint"},
        {"key": "AWS_ACCESS_KEY_ID", "secret": "AWS_SECRET_ACCESS_KEY", "endpoint_url": "AWS_ENDPOINT_URL"},
    ],
)
def test_options_may_be_spelled_as_elsewhere(names: dict[str, str], moto: S3Server) -> None:
    options = {names[name]: moto.storage_options[name] for name in names}
    store = S3Store(
        "test", options | {"client_kwargs": {"verify": False}, "config_kwargs": {"max_pool_connections": 2}}
    )
    assert store.put_if_absent(env.new_id(), b"data") is True


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"acces_key": "hunter2"}, "unknown S3 option 'acces_key'; known are .*aws_access_key_id"),
        ({"key": "hunter2", "aws_access_key_id": "hunter2"}, "says 'key' a second time"),
        ({"endpoint_url": "https://me:hunter2@example.org"}, "holds a password"),
        ({"client_kwargs": {"endpoint_url": "https://me:hunter2@example.org"}}, "holds a password"),
    ],
)
def test_wrong_options_are_refused_without_saying_their_values(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidError, match=message) as caught:
        S3Store("test", options)
    assert "hunter2" not in str(caught.value)
