"""What expiry leaves of a log, while others read it and when it fails half way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tablelog.errors import StoreError
from tablelog.format import names
from tablelog.ops.planned import Planned
from tablelog.store.memory import MemoryStore
from tablelog.table import Table
from tablelog.testing import Fault, FaultyStore
from tests.log.test_merging_races import commit, file, new_table, paths

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tablelog.store.base import ByteRange, ObjectInfo, ObjectStore

HINT = names.LOG + names.HINT


def filled(store: ObjectStore) -> Table:
    """A table with nine versions, the file a added in the first, b in the second."""
    table = new_table(store, log_fan_out="2")
    for name in "abcdefgh":
        commit(table, file(name))
    return table


class Meanwhile(MemoryStore):
    """Somebody else expires history right after a listing of `prefix`."""

    prefix = "nothing"

    def list(self, prefix: str = "", start_after: str = "") -> Iterator[ObjectInfo]:
        found = list(super().list(prefix, start_after))
        if prefix == self.prefix:
            self.prefix = "nothing"
            Table(self, "other").expire(2)
        return iter(found)


def test_a_log_is_opened_while_its_history_expires() -> None:
    store = Meanwhile()
    filled(store).expire(5)
    for info in (*store.list(names.LOG + names.SEGMENTS), *store.list(HINT)):
        store.delete(info.key)
    store.prefix = names.LOG + names.BASES
    assert paths(store) == [f"data/{name}" for name in "abcdefgh"]
    assert store.prefix == "nothing"


def test_a_base_of_which_the_log_does_not_speak_hides_no_version() -> None:
    inner = MemoryStore()
    filled(inner)
    store = FaultyStore(inner)
    store.inject(Fault.FAILED, verb="put_if_absent", key_ends=names.commit(9))
    with pytest.raises(StoreError):
        Table(store, "t").expire(1)
    inner.delete(HINT)
    table = Table(inner, "t")
    assert table.history().height == 9
    assert table.at(version=2).files.paths == ["data/a", "data/b"]


def test_a_log_is_verified_while_its_hint_is_deleted() -> None:
    class Forgetful(MemoryStore):
        def get(self, key: str, byte_range: ByteRange | None = None) -> bytes:
            if key == HINT:
                self.delete(HINT)
            return super().get(key, byte_range)

    store = Forgetful()
    found = filled(store).verify(data=False).problems
    assert not [each for each in found if each.object.startswith(names.LOG) and not each.harmless]


def test_a_commit_is_told_although_another_thread_of_its_handle_expired_it() -> None:
    class Expiring(MemoryStore):
        def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
            done = super().put_if_absent(key, data)
            if key == names.LOG + names.segment(8, 9):
                commit(table, file("other"))
                table.expire(1)
            return done

    table = filled(Expiring())
    told = table._commit(lambda _: Planned(operation="test", actions=(file("x"),)))
    assert (told.version, told.files_added, table.at(version=11).version) == (9, 1, 11)
