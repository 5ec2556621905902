"""A log is opened with few requests, and right whatever happened to its segments and its hint."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tablelog.format import names
from tablelog.format.hint import Extent, Hint, encode_hint
from tablelog.parquet import sealed
from tablelog.store.memory import MemoryStore
from tablelog.table import Table
from tests.log.test_merging_races import commit, file, new_table

if TYPE_CHECKING:
    from collections.abc import Sequence


@pytest.mark.parametrize("size", [1 << 62, (1 << 63) - 1, 1 << 45], ids=["huge", "most", "large"])
def test_a_hint_that_claims_more_bytes_than_there_is_memory_does_no_harm(size: int) -> None:
    store = MemoryStore()
    table = new_table(store, log_fan_out="2")
    commit(table, file("a"))
    store.put(names.LOG + names.HINT, encode_hint(Hint(version=1, fan_out=2, extents=(Extent(0, 1, size, size - 100),))))
    assert Table(store, "t").snapshot().files.paths == ["data/a"]


def test_a_segment_of_one_commit_by_its_name_does_no_harm() -> None:
    store = MemoryStore()
    table = new_table(store, log_fan_out="2")
    commit(table, file("a"))
    store.delete(names.LOG + names.HINT)
    store.put(names.LOG + names.segment(1, 1), b"x")
    assert Table(store, "t").snapshot().files.paths == ["data/a"]
