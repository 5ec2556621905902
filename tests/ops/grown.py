"""A table of very many files in segments of its log, and how many of them become values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tablelog.log import actions_object, file_rows
from tablelog.log import files as log_files
from tablelog.ops.compaction import choose
from tablelog.ops.policy import thorough
from tablelog.store.memory import MemoryStore
from tablelog.table import Table
from tests.log.test_merging_races import commit, file, new_table
from tests.ops.forest import TARGET

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from tablelog.ops.policy import Compaction
    from tablelog.store.base import ObjectStore


@dataclass(frozen=True)
class Grown:
    store: ObjectStore

    def chosen(self) -> Compaction | None:
        """What a process that has just come chooses."""
        return choose(Table(self.store, "t")._log.refresh(), thorough({}))


def grown_table(count: int, *, small: int, monkeypatch: pytest.MonkeyPatch) -> tuple[Grown, Callable[[], int]]:
    store = MemoryStore()
    table = new_table(store, log_fan_out="2")
    commit(table, *(file(f"full{number}", size_bytes=TARGET) for number in range(count)))
    for number in range(small):
        commit(table, file(f"small{number}", size_bytes=1000))
    made = 0
    before = file_rows.file_actions

    def counted(block: Any, rows: Any, *rest: Any) -> Any:
        nonlocal made
        made += len(rows)
        return before(block, rows, *rest)

    monkeypatch.setattr(log_files, "file_actions", counted)
    assert count > actions_object.INLINE_MAX
    return Grown(store), lambda: made
