"""A clock that tests set, a lake on any store, and all that a table says: what must not change when objects go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tablelog as tl
from tablelog.catalog import Catalog
from tablelog.env import Env
from tablelog.lake import Lake
from tablelog.store.memory import MemoryStore

if TYPE_CHECKING:
    from tablelog.store.base import ObjectStore

DAY = 86_400_000_000


class Clock(Env):
    """Stands still until it is told otherwise, but for a millisecond at each look."""

    def __init__(self) -> None:
        self.now = 1_800_000_000_000_000

    def now_us(self) -> int:
        self.now += 1_000
        return self.now

    def sleep(self, wait_s: float) -> None:
        self.now += int(wait_s * 1e6)

    def pass_days(self, days: float) -> None:
        self.now += int(days * DAY)


def lake_on(store: ObjectStore) -> Lake:
    """A lake in a store that `connect` knows nothing of; made if there is none."""
    catalog = Catalog(store)
    try:
        catalog.state()
    except tl.NotFoundError:
        catalog.create("lake", {})
    return Lake(store, catalog)


def copied(store: MemoryStore) -> MemoryStore:
    """The same objects, from the same times."""
    copy = MemoryStore()
    copy._objects = dict(store._objects)
    return copy


def objects(store: ObjectStore) -> dict[str, bytes]:
    return {info.key: bytes(store.get(info.key)) for info in store.list("")}


def said(table: tl.Table) -> dict[Any, Any]:
    """Every version that can be read, row by row, and the changes since the first of them."""
    newest = table.version
    first = int(table.history()["version"].min())  # type: ignore[arg-type]  # versions are numbers
    told: dict[Any, Any] = {
        version: sorted(map(repr, table.at(version=version).to_arrow().to_pylist()))
        for version in range(first, newest + 1)
    }
    told["changes"] = sorted(map(repr, table.changes(since=first, until=newest).to_arrow().to_pylist()))
    return told


def assert_says(table: tl.Table, before: dict[Any, Any]) -> None:
    """All that was said before is still said, to somebody who has read nothing yet, and nothing is damaged."""
    fresh = tl.Table(table._store, table.name)
    newest = max(version for version in before if version != "changes")
    first = min(version for version in before if version != "changes")
    for version, rows in before.items():
        if version != "changes":
            assert sorted(map(repr, fresh.at(version=version).to_arrow().to_pylist())) == rows, version
    feed = fresh.changes(since=first, until=newest)
    assert sorted(map(repr, feed.to_arrow().to_pylist())) == before["changes"]
    verification = fresh.verify()
    assert verification.ok, verification


def busy_table(lake: Lake, name: str = "t") -> tl.Table:
    """A table with files, rows in commits, vectors of both kinds, a compaction, and versions that have expired."""
    table = lake.create_table(
        name,
        {"id": "int64 not null", "part": "string", "text": "string"},
        partition_by=["part"],
        properties={"log_fan_out": "2", "inline_max_bytes": "0"},
    )
    for number in range(3):
        ids = range(number * 4000, number * 4000 + 4000)
        table.append({"id": ids, "part": ["a" if each % 2 else "b" for each in ids], "text": ["x"] * 4000})
    table.delete("id % 5 = 0")  # scattered over many rows: vectors in an object
    table.delete("id = 1")
    table.alter.set_property("inline_max_bytes", "5000")
    table.append({"id": [20_000, 20_001], "part": ["a", "b"], "text": ["in", "side"]})
    table.expire(2)
    table.update({"text": "'changed'"}, where="id % 7 = 0")
    table.compact()
    (
        table.merge([{"id": 2, "gone": True}, {"id": 3, "gone": False}], on="t.id = s.id")
        .when_matched_delete(where="s.gone")
        .when_matched_update({"text": "'merged'"})
        .execute()
    )
    table.delete("id % 3 = 0")
    table.expire(3)
    table.append({"id": [30_000], "part": ["c"], "text": ["last"]})
    return table
