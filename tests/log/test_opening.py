"""A log is opened with few requests, and right whatever happened to its segments and its hint."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from tablelog.errors import CorruptionError
from tablelog.format import names
from tablelog.format.actions import removal
from tablelog.format.commits import decode_commit
from tablelog.format.hint import Extent, Hint, encode_hint
from tablelog.format.statistics import FieldStatistics
from tablelog.log import actions_object, commits, files, opening
from tablelog.parquet import fetched, sealed
from tablelog.store.memory import MemoryStore
from tablelog.table import Table
from tests.log.test_merging_races import commit, file, new_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tablelog.store.base import ByteRange, ObjectInfo


@pytest.mark.parametrize("size", [1 << 62, (1 << 63) - 1, 1 << 45], ids=["huge", "most", "large"])
def test_a_hint_that_claims_more_bytes_than_there_is_memory_does_no_harm(size: int) -> None:
    store = MemoryStore()
    table = new_table(store, log_fan_out="2")
    commit(table, file("a"))
    store.put(
        names.LOG + names.HINT, encode_hint(Hint(version=1, fan_out=2, extents=(Extent(0, 1, size, size - 100),)))
    )
    assert Table(store, "t").snapshot().files.paths == ["data/a"]


def test_a_segment_of_one_commit_by_its_name_does_no_harm() -> None:
    store = MemoryStore()
    table = new_table(store, log_fan_out="2")
    commit(table, file("a"))
    store.delete(names.LOG + names.HINT)
    store.put(names.LOG + names.segment(1, 1), b"x")
    assert Table(store, "t").snapshot().files.paths == ["data/a"]


class Watched(MemoryStore):
    """Notes every request."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, str]] = []

    def get(self, key: str, byte_range: ByteRange | None = None) -> bytes:
        self.calls.append(("get", key))
        return super().get(key, byte_range)

    def put(self, key: str, data: bytes | memoryview) -> None:
        self.calls.append(("put", key))
        super().put(key, data)

    def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
        self.calls.append(("put_if_absent", key))
        return super().put_if_absent(key, data)

    def list(self, prefix: str = "", start_after: str = "") -> Iterator[ObjectInfo]:
        self.calls.append(("list", prefix))
        return super().list(prefix, start_after)

    def head(self, key: str) -> ObjectInfo:
        self.calls.append(("head", key))
        return super().head(key)


def rounds_of(store: Watched, work: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> int:
    """Requests after one another; those that are asked for together count once."""
    rounds = 0

    def counted(ask: Callable[[Any], Any], arguments: Sequence[Any], *, side_by_side: bool = True) -> list[Any]:
        nonlocal rounds
        before = len(store.calls)
        answers = [ask(argument) for argument in arguments]
        rounds -= max(0, len(store.calls) - before - 1)
        return answers

    with monkeypatch.context() as patch:
        for module in (opening, commits, files, fetched):
            patch.setattr(module, "together", counted)
        before = len(store.calls)
        work()
        return rounds + len(store.calls) - before


def long_table(store: MemoryStore, fan_out: int, length: int) -> Table:
    table = new_table(store, log_fan_out=str(fan_out))
    for number in range(1, length):
        commit(table, file(str(number)), *([removal(file(str(number - 3)))] if number % 4 == 0 else []))
    return table


@pytest.mark.parametrize("length", [1, 5, 16, 17, 64, 100, 257])
def test_opening_takes_two_round_trips_with_a_hint_and_three_without(
    length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Watched()
    long_table(store, 4, length)
    assert rounds_of(store, Table(store, "t").snapshot, monkeypatch) <= 2
    store.delete(names.LOG + names.HINT)
    assert rounds_of(store, Table(store, "t").snapshot, monkeypatch) <= 3


def test_a_warm_handle_reads_once_and_writes_once() -> None:
    store = Watched()
    table = long_table(store, 16, 20)
    for number in range(20, 30):
        store.calls.clear()
        assert table.version == number - 1
        assert [verb for verb, _ in store.calls] == ["get"]
        store.calls.clear()
        commit(table, file(str(number)))
        assert [verb for verb, _ in store.calls] == ["put_if_absent"]


def test_merging_costs_few_requests() -> None:
    store = Watched()
    long_table(store, 16, 512)
    assert len(store.calls) - 512 <= 0.2 * 512


def described(store: MemoryStore) -> object:
    """All that a reader can know."""
    table = Table(store, "t")
    states = [table.at(version=version).state for version in range(table.version + 1)]
    every = [[(each, dict(each.statistics)) for each in state.files] for state in states]
    return (
        every,
        table.history().to_dicts(),
        [(state.row_count, state.timestamp_us, state.metadata) for state in states],
    )


LIES = [0, 1, 5, 6, 7, 8, 11, 12, 13, 14, 100, 10**20 - 1]


@pytest.mark.parametrize("fan_out", [2, 3, 16, 1024])
def test_a_hint_that_lies_changes_nothing(fan_out: int) -> None:
    store = MemoryStore()
    long_table(store, 3, 13)
    truth = described(store)
    for version in LIES:
        for base in (None, 0, min(version, 8)):
            extents = tuple(Extent(first, last, 1 << 21, 7) for first, last in ((0, 8), (9, 11), (0, 2)))
            hint = Hint(version=version, fan_out=fan_out, base=base, extents=extents)
            store.put(names.LOG + names.HINT, encode_hint(hint))
            assert described(store) == truth
    for garbage in (b"", b"{}", b"\x00" * 100, encode_hint(hint)[:-3]):
        store.put(names.LOG + names.HINT, garbage)
        assert described(store) == truth


def test_a_warm_handle_is_not_led_astray_by_a_hint() -> None:
    store = MemoryStore()
    table = new_table(store, log_fan_out="3")
    old = [Table(store, "t") for _ in LIES]
    for handle in old:
        handle.snapshot()
    for number in range(1, 150):
        commit(table, file(str(number)))
    for handle, version in zip(old, [*LIES[1:], 149], strict=True):
        store.put(
            names.LOG + names.HINT,
            encode_hint(Hint(version=version + 60, fan_out=2 + version % 3)) if version < 10**20 - 1 else b"",
        )
        assert handle.snapshot().files.paths == table.snapshot().files.paths


@pytest.mark.parametrize("is_merged", [True, False], ids=["merged", "commits alone"])
def test_a_flipped_byte_is_an_error_that_names_the_object(is_merged: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    table = long_table(store, 3, 2)
    monkeypatch.setattr(actions_object, "INLINE_MAX", 0)
    known = FieldStatistics(min=1, max=5, null_count=0, nan_count=0)
    commit(table, file("s", statistics={1: known}))
    monkeypatch.setattr(actions_object, "INLINE_MAX", 9)
    commit(table, removal(file("s")))
    for info in [] if is_merged else [*store.list(names.LOG + names.SEGMENTS), *store.list(names.LOG + names.HINT)]:
        store.delete(info.key)
    truth, dice = described(store), random.Random(1)
    for info in list(store.list(names.LOG)):
        data = store.get(info.key)
        looked_at = {*dice.sample(range(len(data)), min(len(data), 150))}
        for place in range(len(data)):
            flipped = data[:place] + bytes([data[place] ^ 1 << dice.randrange(8)]) + data[place + 1 :]
            if info.key.endswith(".parquet"):
                with pytest.raises(CorruptionError, match=info.key):
                    sealed.written(flipped, info.key).check_all()
            elif not info.key.endswith(names.HINT):
                with pytest.raises(CorruptionError, match=info.key):
                    decode_commit(flipped, info.key)
            if place not in looked_at:
                continue
            store.put(info.key, flipped)
            try:
                assert described(store) == truth, (info.key, place)
            except CorruptionError as error:
                assert info.key in str(error)
        store.put(info.key, data)


@pytest.mark.parametrize("version", [(1 << 62) - 1, 3**30 - 1, (1 << 63) - 1])
def test_a_hint_of_a_version_that_never_was_costs_few_requests(version: int) -> None:
    class Patient(Watched):
        def get(self, key: str, byte_range: ByteRange | None = None) -> bytes:
            assert len(self.calls) < 500
            return super().get(key, byte_range)

    store = Patient()
    paths = long_table(store, 3, 13).snapshot().files.paths
    for fan_out in (2, 3, 16):
        store.put(names.LOG + names.HINT, encode_hint(Hint(version=version, fan_out=fan_out)))
        store.calls.clear()
        assert Table(store, "t").snapshot().files.paths == paths


def test_a_stray_name_beyond_all_versions_is_an_error_that_says_what_is_missing() -> None:
    store = MemoryStore()
    long_table(store, 3, 13)
    store.delete(names.LOG + names.HINT)
    store.put(names.LOG + names.segment(names.VERSION_MAX - 2, names.VERSION_MAX), b"")
    with pytest.raises(CorruptionError, match=r"\.json is missing although version 9{20} exists"):
        Table(store, "t").snapshot()
