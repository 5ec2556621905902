"""What every store must do, as tests that a store's owner runs; see `tablelog.testing`."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, ClassVar, Final

import pytest

from tablelog import env
from tablelog.errors import InvalidError, NotFoundError
from tablelog.store.base import ByteRange

if TYPE_CHECKING:
    from tablelog.store.base import ObjectStore

_ODD_KEYS: Final = (
    "a",
    "with space/and  two",
    "plus+sign/100%/a%2Fb/%",
    "region=EU West/day=2026-11-01/part.parquet",
    "quotes'\"`/$(x)/{y}/[z]",
    "question?mark/hash#mark/amp&ersand;semi,colon:at@",
    "<tag>/a>b&amp;",
    ".hidden/.dotfile",
    "...",
    "dots../..dots/a..b",
    "ends.tmp/x.tmp",
    "Ünïcödé/Straße/ñ",
    "e\u0301 is not \u00e9",
    "日本語/キー",
    "🦆/👩‍👩‍👧",
    "~tilde/-dash/_under",
    "deep/" * 20 + "leaf",
    "n" * 200,
)

_BAD_KEYS: Final = (
    "",
    "/",
    "/absolute",
    "folder/",
    "a//b",
    ".",
    "..",
    "../escape",
    "a/../b",
    "a/..",
    "a/./b",
    "back\\slash",
    "..\\escape",
    "nul\0byte",
    "new\nline",
    "\x7f",
    "lone\ud800surrogate",
    "a/.unfinished.tmp",
    ".x.tmp/a",
)

_THREADS: Final = 8


class StoreConformance:
    """What tablelog relies on, as tests. Subclass, define `make_store` (or a fixture `store`), run with pytest.

    The races make it likely, not certain, that a store without an atomic create is found out; more `race_rounds` make
    it likelier.
    """

    race_rounds: ClassVar[int] = 20
    """How often eight threads race for one key."""

    page_keys: ClassVar[int] = 1000
    """How many keys the store's listing brings in one request; the suite lists more than twice as many."""

    def make_store(self) -> ObjectStore:
        """Make a new empty store, one for each test."""
        message = "define make_store, or a fixture named store"
        raise NotImplementedError(message)

    @pytest.fixture
    def store(self) -> ObjectStore:
        """Give the store under test, empty."""
        return self.make_store()

    def test_an_object_reads_back_as_it_was_written(self, store: ObjectStore) -> None:
        """All 256 values of a byte, so that nothing takes it for text."""
        data = bytes(range(256)) * 3
        store.put("folder/put", data)
        assert store.put_if_absent("folder/created", data) is True
        assert store.get("folder/put") == data
        assert store.get("folder/created") == data
        assert type(store.get("folder/put")) is bytes

    def test_memoryviews_are_written_like_bytes(self, store: ObjectStore) -> None:
        """Also one whose items are wider than a byte."""
        data = bytes(range(64))
        store.put("put", memoryview(data)[8:16])
        assert store.put_if_absent("created", memoryview(data).cast("Q")) is True
        assert store.get("put") == data[8:16]
        assert store.get("created") == data

    def test_put_replaces(self, store: ObjectStore) -> None:
        """By something longer and by something shorter."""
        for data in (b"first", b"the second is longer", b"3"):
            store.put("key", data)
            assert store.get("key") == data
            assert store.head("key").size_bytes == len(data)

    def test_a_key_that_exists_is_not_created_again(self, store: ObjectStore) -> None:
        """However it came to exist, and the object stays as it is."""
        store.put("put", b"kept")
        assert store.put_if_absent("created", b"kept") is True
        for key in ("put", "created"):
            assert store.put_if_absent(key, b"other") is False
            assert store.put_if_absent(key, b"kept") is False
            assert store.get(key) == b"kept"

    def test_a_deleted_key_can_be_created_again(self, store: ObjectStore) -> None:
        """Stores forget deleted names; the log above does not delete names that it decides by."""
        assert store.put_if_absent("key", b"first") is True
        store.delete("key")
        assert store.put_if_absent("key", b"second") is True
        assert store.get("key") == b"second"

    def test_empty_objects_are_objects(self, store: ObjectStore) -> None:
        """They exist, take a name, and read back as nothing."""
        assert store.put_if_absent("empty", b"") is True
        assert store.put_if_absent("empty", b"something") is False
        assert store.get("empty") == b""
        assert store.get("empty", ByteRange(start=0, end=10)) == b""
        assert store.head("empty").size_bytes == 0
        assert [info.key for info in store.list()] == ["empty"]

    def test_an_object_of_five_megabytes_comes_back_whole_and_in_parts(self, store: ObjectStore) -> None:
        """Beyond what fits into the buffers of a socket."""
        data = b"".join(number.to_bytes(4, "big") for number in range(1_250_000))
        assert store.put_if_absent("big", data) is True
        assert store.head("big").size_bytes == len(data)
        assert store.get("big") == data
        assert store.get("big", ByteRange(start=4_999_990, end=5_000_000)) == data[-10:]
        assert store.get("big", ByteRange(start=1_000_000, end=4_000_000)) == data[1_000_000:4_000_000]

    def test_what_is_not_there_is_not_found(self, store: ObjectStore) -> None:
        """In an empty store, beside an object, and for a name that only begins a key."""
        store.put("folder/key", b"data")
        for key in ("nothing", "folder/nothing", "folder", "nowhere/at/all", "folder/ke", "folder/key2"):
            with pytest.raises(NotFoundError, match=key):
                store.get(key)
            with pytest.raises(NotFoundError):
                store.get(key, ByteRange(start=0, end=1))
            with pytest.raises(NotFoundError):
                store.get(key, ByteRange(start=3, end=3))
            with pytest.raises(NotFoundError):
                store.head(key)

    def test_delete_removes_one_object_and_may_be_repeated(self, store: ObjectStore) -> None:
        """Deleting what is not there is no error, so that a retry is none."""
        store.put("folder/key", b"data")
        store.put("folder/key2", b"data")
        store.delete("folder/nothing")
        store.delete("nowhere/nothing")
        for _ in range(2):
            store.delete("folder/key")
            with pytest.raises(NotFoundError):
                store.get("folder/key")
        assert [info.key for info in store.list()] == ["folder/key2"]

    def test_a_range_is_a_slice(self, store: ObjectStore) -> None:
        """Empty, whole, one byte, past the end, and wholly past the end."""
        data = bytes(range(100))
        store.put("key", data)
        ends = (0, 1, 2, 50, 99, 100, 101, 1 << 40)
        for start in ends:
            for end in ends:
                if start <= end:
                    assert store.get("key", ByteRange(start=start, end=end)) == data[start:end], (start, end)

    def test_head_tells_size_and_the_time_of_writing(self, store: ObjectStore) -> None:
        """By the store's clock, which may be off by some minutes but not by a day; the listing says the same."""
        store.put("key", b"12345")
        info = store.head("key")
        assert (info.key, info.size_bytes) == ("key", 5)
        assert abs(info.modified_us - env.now_us()) < 86_400_000_000
        (listed,) = store.list("key")
        assert (listed.key, listed.size_bytes) == ("key", 5)
        # Some servers tell the one in whole seconds and the other in fractions.
        assert abs(listed.modified_us - info.modified_us) < 1_000_000

    def test_list_finds_every_key_that_begins_with_the_prefix(self, store: ObjectStore) -> None:
        """A prefix may end anywhere in a key."""
        keys = ["a.b", "a/b.c", "a/b/c", "a/b/d/e", "a/bc/d", "ab/c", "ab.c", "b", "z/a/b"]
        for key in keys:
            store.put(key, key.encode())
        for prefix in ("", "a", "a/", "a/b", "a/b/", "a/b/c", "a/bc", "ab", "b", "z/a", "c", "a/c", "a/b/c/d", "zz/"):
            found = sorted(info.key for info in store.list(prefix))
            assert found == sorted(key for key in keys if key.startswith(prefix)), prefix

    def test_list_starts_after_a_key(self, store: ObjectStore) -> None:
        """Excluding it, whether or not it exists, in the order of code points, and together with a prefix."""
        keys = ["a-b", "a/1", "a/2/x", "a/2-", "a/3", "a0", "b/10", "b/2", "b/é", "b/字", "b/🦆", "B"]
        for key in keys:
            store.put(key, b"")
        for prefix in ("", "a", "a/", "b/"):
            for after in (*keys, "a", "a/", "a/1/", "a/2", "a/2/", "a/2/w", "a/4", "b/1", "b/zz", "zzz"):
                found = sorted(info.key for info in store.list(prefix, after))
                assert found == sorted(key for key in keys if key.startswith(prefix) and key > after), (prefix, after)

    def test_list_finds_each_of_many_keys_once(self, store: ObjectStore) -> None:
        """More than two pages, from the beginning and from the middle."""
        keys = [f"many/{number:020d}.json" for number in range(2 * self.page_keys + 40)]
        with ThreadPoolExecutor(2 * _THREADS) as pool:
            list(pool.map(lambda key: store.put(key, b"{}"), keys))
        assert sorted(info.key for info in store.list("many/")) == keys
        assert sorted(info.key for info in store.list("many/", keys[30])) == keys[31:]
        assert list(store.list("many/", keys[-1])) == []

    def test_list_shows_at_once_what_was_written_and_deleted(self, store: ObjectStore) -> None:
        """No cache, no delay."""
        assert list(store.list()) == []
        for size_bytes in (1, 2, 3):
            store.put("key", b"x" * size_bytes)
            assert [(info.key, info.size_bytes) for info in store.list()] == [("key", size_bytes)]
        store.delete("key")
        assert list(store.list()) == []

    def test_odd_keys_are_kept_to_the_letter(self, store: ObjectStore) -> None:
        """Nothing is decoded, normalized, folded or trimmed."""
        for key in _ODD_KEYS:
            assert store.put_if_absent(key, key.encode()) is True, key
        assert sorted(info.key for info in store.list()) == sorted(_ODD_KEYS)
        for key in _ODD_KEYS:
            assert store.get(key) == key.encode(), key
            assert store.head(key).key == key
            assert [info.key for info in store.list(key) if info.key == key] == [key]
            store.delete(key)
        assert list(store.list()) == []

    def test_keys_that_some_store_could_not_hold_are_refused(self, store: ObjectStore) -> None:
        """Above all those that lead out of the store. `tablelog.store.check_key` is the rule."""
        for key in _BAD_KEYS:
            with pytest.raises(InvalidError):
                store.put(key, b"")
            with pytest.raises(InvalidError):
                store.put_if_absent(key, b"")
            with pytest.raises(InvalidError):
                store.get(key)
            with pytest.raises(InvalidError):
                store.head(key)
            with pytest.raises(InvalidError):
                store.delete(key)
        for prefix in ("/", "../", "a//", "a/../b", "\\", "./", "a/\0"):
            with pytest.raises(InvalidError):
                list(store.list(prefix))
        assert list(store.list()) == []

    def test_of_threads_that_create_one_key_one_wins(self, store: ObjectStore) -> None:
        """And what is stored is the winner's."""
        start = threading.Barrier(_THREADS, timeout=60)

        def create(key: str, number: int) -> bool:
            start.wait()
            return store.put_if_absent(key, f"writer {number}".encode() * 50)

        with ThreadPoolExecutor(_THREADS) as pool:
            for turn in range(self.race_rounds):
                key = f"race/{turn:04d}"
                won = list(pool.map(create, [key] * _THREADS, range(_THREADS)))
                assert won.count(True) == 1, f"{won.count(True)} of {_THREADS} writers of {key} were told that they won"
                assert store.get(key) == f"writer {won.index(True)}".encode() * 50, f"{key} is not its winner's"

    def test_readers_see_whole_objects_or_none(self, store: ObjectStore) -> None:
        """While objects of 300 kB are created, and while one is replaced again and again."""
        rounds = 10
        bodies = [bytes([number]) * 300_000 for number in range(rounds)]
        store.put("replaced", bodies[0])
        done = threading.Event()
        faults: list[str] = []

        def read() -> None:
            while not done.is_set():
                if (replaced := store.get("replaced")) not in bodies:
                    faults.append(f"replaced, {len(replaced)} bytes")
                faults.extend(
                    f"{info.key} listed with {info.size_bytes} bytes"
                    for info in store.list()
                    if info.size_bytes != len(bodies[0])
                )
                for number, body in enumerate(bodies):
                    try:
                        if store.get(f"created/{number}") != body:
                            faults.append(f"created/{number}")
                    except NotFoundError:
                        break

        with ThreadPoolExecutor(2) as pool:
            reading = [pool.submit(read) for _ in range(2)]
            try:
                for number, body in enumerate(bodies):
                    store.put("replaced", body)
                    assert store.put_if_absent(f"created/{number}", body) is True
            finally:
                done.set()
            for each in reading:
                each.result()
        assert faults == []

    def test_threads_do_not_disturb_each_other(self, store: ObjectStore) -> None:
        """Each with keys of its own, all verbs."""

        def work(number: int) -> None:
            for turn in range(3):
                key, data = f"thread/{number}/{turn}", f"{number} {turn}".encode() * 1000
                assert store.put_if_absent(key, data) is True
                assert store.get(key) == data
                assert store.get(key, ByteRange(start=3, end=9)) == data[3:9]
                assert store.head(key).size_bytes == len(data)
                assert [info.key for info in store.list(key)] == [key]
                store.delete(key)

        with ThreadPoolExecutor(_THREADS) as pool:
            list(pool.map(work, range(_THREADS)))
        assert list(store.list()) == []
