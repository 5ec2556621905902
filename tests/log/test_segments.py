"""What is known of a log does not depend on how much of it is merged, by whom, or when."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tablelog.format import names
from tablelog.log import segments
from tablelog.log.followed import FollowedLog
from tablelog.log.history import TableHistory
from tablelog.log.merging import merge
from tablelog.store.memory import MemoryStore
from tablelog.table import Table
from tests.log.histories import History, assert_every_version

if TYPE_CHECKING:
    from collections.abc import Sequence

FAN_OUTS = (2, 3, 4, 16)
dices = st.integers(0, 2**32).map(random.Random)
few = settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None)


def grown(dice: random.Random, fan_out: int, steps: int) -> History:
    history = History(dice, MemoryStore(), fan_out)
    for _ in range(steps):
        history.step()
    return history


def segments_of(store: MemoryStore) -> list[str]:
    return [info.key for info in store.list(names.LOG + names.SEGMENTS)]


def without(store: MemoryStore, keys: Sequence[str]) -> MemoryStore:
    """A copy of a store that lacks some objects."""
    copy = MemoryStore()
    for info in store.list():
        if info.key not in keys:
            copy.put(info.key, store.get(info.key))
    return copy


@few
@given(dices, st.sampled_from(FAN_OUTS), st.integers(1, 40))
def test_every_version_is_what_its_commits_add_up_to(dice: random.Random, fan_out: int, steps: int) -> None:
    history = grown(dice, fan_out, steps)
    assert_every_version(Table(history.store, "cold"), history.versions)
    assert_every_version(history.table, history.versions)
    assert bool(segments_of(history.store)) == (steps + 1 >= fan_out)


@few
@given(dices, st.sampled_from(FAN_OUTS), st.integers(1, 40))
def test_segments_and_the_hint_decide_nothing(dice: random.Random, fan_out: int, steps: int) -> None:
    history = grown(dice, fan_out, steps)
    derived = [*segments_of(history.store), names.LOG + names.HINT]
    lacking = dice.sample(derived, dice.randrange(len(derived) + 1))
    for keys in (lacking, derived):
        assert_every_version(Table(without(history.store, keys), "t"), history.versions)


@few
@given(dices, st.sampled_from(FAN_OUTS), st.integers(1, 40))
def test_a_handle_that_falls_behind_catches_up(dice: random.Random, fan_out: int, steps: int) -> None:
    history = History(dice, MemoryStore(), fan_out)
    old = Table(history.store, "old")
    for _ in range(steps):
        if dice.random() < 0.1:
            old.snapshot()
        history.step()
    assert_every_version(old, history.versions)


@few
@given(dices, st.sampled_from(FAN_OUTS))
def test_whoever_merges_writes_the_same_bytes(dice: random.Random, fan_out: int) -> None:
    size = fan_out if fan_out > 4 else fan_out**2
    history = grown(dice, fan_out, size * 2 - 1)
    for first, last in ((0, size - 1), (size, size * 2 - 1), (0, size * 2 - 1)):
        own_name = names.LOG + names.segment(first, last)
        found = {history.store.get(own_name)} if own_name in segments_of(history.store) else set()
        later = [names.LOG + names.commit(version) for version in range(last + 1, size * 2)]
        larger = [
            key for key in segments_of(history.store) if names.parse_segment(key.removeprefix(names.LOG))[1] > last
        ]
        for _ in range(3):
            lacking = dice.sample(segments_of(history.store), dice.randrange(len(segments_of(history.store)) + 1))
            store = without(history.store, [*lacking, *later, *larger, own_name, names.LOG + names.HINT])
            own = TableHistory(store)
            FollowedLog(store, names.LOG, own).refresh()
            parts = [part for part in own.lineage.parts if first <= part.last]
            if parts[0].first == first:
                merging = own.merging(last)
                found.add(segments.encode_segment(merge(parts, merging.reader, merging.order))[0])
        assert len(found) <= 1
