"""What one handle knows of a log when its threads, its settings and large commits meet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import tablelog as tl
from tablelog import env
from tablelog.errors import InvalidError, StoreError
from tablelog.format import names
from tablelog.format.action_json import encode_action
from tablelog.format.actions import AddFile, SetProperty, removal
from tablelog.log import actions_object
from tablelog.log.commits import Draft
from tablelog.log.history import TableHistory
from tablelog.log.merging import merge
from tablelog.log.segments import encode_segment
from tablelog.ops.create import TableOptions, draft_create, new_metadata
from tablelog.ops.planned import Drafting, Planned
from tablelog.parquet.columns import fields_from_user_schema
from tablelog.store.memory import MemoryStore
from tablelog.table import Table

if TYPE_CHECKING:
    from tablelog.format.actions import Action
    from tablelog.store.base import ByteRange, ObjectStore


def new_table(store: ObjectStore, columns: dict[str, str] | None = None, **properties: str) -> Table:
    """A table without files; writes nothing but its log."""
    fields = fields_from_user_schema(columns or {"x": "int64"})
    history = TableHistory(store)
    table = Table(store, "t", history)
    planned = draft_create(new_metadata(fields, TableOptions(properties=properties)), None, {})
    table._log.create(Drafting(history, store).draft_of(planned))
    return table


def commit(table: Table, *actions: Action) -> None:
    table._commit(lambda _: Planned(operation="test", actions=actions))


def file(name: str, **members: Any) -> AddFile:
    return AddFile(**{"path": f"data/{name}", "size_bytes": 1, "row_count": 1, "schema_id": 0, **members})


def paths(store: ObjectStore) -> list[str]:
    return Table(store, "t").snapshot().files.paths


def test_a_segment_that_was_written_slowly_does_not_turn_a_handle_back() -> None:
    class Slow(MemoryStore):
        """While a segment is put, other threads of the same handle commit."""

        def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
            if key.endswith("-2.parquet") and not self.seen:
                self.seen = True
                for number in range(2):
                    commit(table, file(f"other{number}"))
            return super().put_if_absent(key, data)

        seen = False

    store = Slow()
    table = new_table(store, log_fan_out="2")
    commit(table, file("a"))
    assert table._log.known().version == 3
    assert table.version == 3
    assert table.snapshot().files.paths == ["data/a", "data/other0", "data/other1"]


def test_a_table_can_begin_with_so_many_files_that_they_need_an_object(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actions_object, "INLINE_MAX", 1)
    table = tl.connect("memory://begin-with-many").create_table("t", {"x": list(range(5))}, partition_by="x")
    assert sorted(table.to_polars()["x"]) == [0, 1, 2, 3, 4]


def test_a_file_from_before_the_fan_out_was_lowered_can_be_removed() -> None:
    store = MemoryStore()
    table = new_table(store)
    for name in "abcde":
        commit(table, file(name))
    commit(table, SetProperty(name="log_fan_out", value="2"))
    commit(table, file("f"))
    commit(table, removal(file("b")))
    commit(table, file("b"))
    assert paths(store) == table.snapshot().files.paths == ["data/" + name for name in "acdefb"]


def test_a_path_comes_back_beside_files_that_stand_in_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    table = new_table(store)
    for inline_max in (9, 0):
        commit(table, file("a"))
        monkeypatch.setattr(actions_object, "INLINE_MAX", inline_max)
        commit(table, removal(file("a")))
        monkeypatch.setattr(actions_object, "INLINE_MAX", 9)
        commit(table, file("a"))
        monkeypatch.setattr(actions_object, "INLINE_MAX", inline_max)
        commit(table, removal(file("a")))
        monkeypatch.setattr(actions_object, "INLINE_MAX", 9)
    assert table.snapshot().files.paths == []


@pytest.mark.parametrize(
    "text", ["1", "1025", "abc", "", "-2", "9" * 5000], ids=["low", "high", "word", "none", "negative", "long"]
)
def test_a_fan_out_that_makes_no_sense_is_refused_and_does_no_harm_where_it_stands(text: str) -> None:
    store = MemoryStore()
    table = new_table(store)
    with pytest.raises(InvalidError, match="from 2 to 1024"):
        table.alter.set_property("log_fan_out", text)
    with pytest.raises(InvalidError, match="from 2 to 1024"):
        new_table(MemoryStore(), log_fan_out=text)
    assert table.version == 0
    draft = Draft(operation="test", actions=(encode_action(SetProperty(name="log_fan_out", value=text)),))
    table._log.commit(lambda _: draft)
    for number in range(20):
        commit(table, file(str(number)))
    assert Table(store, "t").snapshot().row_count == 20


def test_numbers_too_large_for_a_column_stop_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    table = new_table(store, log_fan_out="2")
    huge = (1 << 63) - 1
    for inline_max in (9, 0):
        monkeypatch.setattr(actions_object, "INLINE_MAX", inline_max)
        for number in range(3):
            names = (f"{inline_max}-{number}{letter}" for letter in "abc")
            commit(table, *(file(name, size_bytes=huge, row_count=huge) for name in names))
    with env.use(Late()):
        commit(table, file("late"))
    commit(table, file("later"))
    for handle in (table, Table(store, "t")):
        rows = [handle.at(version=version).row_count for version in range(9)]
        assert rows == [0, *(huge * 3 * version for version in range(1, 7)), huge * 18 + 1, huge * 18 + 2]
        assert handle.snapshot().size_bytes == huge * 18 + 2
        assert handle.history()["bytes_added"].max() == huge
        assert repr(handle)


def test_removals_stand_in_one_order_however_they_were_merged(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    table = new_table(store)
    commit(table, file("a"), file("b"))
    monkeypatch.setattr(actions_object, "INLINE_MAX", 0)
    commit(table, removal(file("b")))
    monkeypatch.setattr(actions_object, "INLINE_MAX", 9)
    commit(table, removal(file("a")))
    reader, (_, _, *steps) = table._history.reader, table._log.known()._parts
    alone = [merge([step], reader) for step in steps]
    assert encode_segment(merge(alone, reader)) == encode_segment(merge(steps, reader))


def test_a_commit_that_stands_is_not_reported_as_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Down(MemoryStore):
        """Loses objects of actions from sight once."""

        is_down = False

        def get(self, key: str, byte_range: ByteRange | None = None) -> bytes:
            if self.is_down and names.ACTIONS in key:
                self.is_down = False
                raise StoreError("down")
            return super().get(key, byte_range)

    store = Down()
    table = new_table(store)
    monkeypatch.setattr(actions_object, "INLINE_MAX", 0)
    store.is_down = True
    with pytest.raises(StoreError, match="version 1 is committed") as caught:
        commit(table, file("a"))
    assert caught.value.maybe_applied
    assert table.version == 1


class Late(env.Env):
    def now_us(self) -> int:
        return 10**30
