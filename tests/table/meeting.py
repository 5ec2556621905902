"""A table, and a way to let somebody else commit at the worst moment: right before our own commit is put."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import tablelog as tl
from tablelog import env
from tablelog.store.local import LocalStore
from tablelog.testing import FaultyStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    Act = Callable[[tl.Table], Any]
    Pairs = Iterable[tuple[Any, Any]]

FILES = {"inline_max_bytes": "0"}
"""Properties of a table whose rows never ride inside commits."""


class Still(env.Env):
    """Nobody waits."""

    def sleep(self, wait_s: float) -> None:
        pass


class Meeting:
    """Two handles of one table with columns `id` and `v`."""

    def __init__(self, folder: Path, rows: Pairs = (), **options: Any) -> None:
        self.folder = folder / "t"
        columns = {"id": "int64", "v": "int64"} | ({"p": "string"} if "partition_by" in options else {})
        self.theirs = tl.connect(folder).create_table("t", columns, **options)
        if rows:
            self.theirs.append(as_rows(rows))
        self._waiting: list[Act] = []
        self.commits_tried = 0
        self.store = FaultyStore(LocalStore(self.folder), before=self._before)
        self.ours = tl.Table(self.store, "t")
        self.ours.snapshot()

    def _before(self, verb: str, key: str) -> None:
        if verb == "put_if_absent" and key.startswith("_log/"):
            self.commits_tried += 1
            if self._waiting:
                self._waiting.pop(0)(self.theirs)

    def run(self, ours: Act, *theirs: Act) -> Any:
        """Do ours, planned on what is there now; each of theirs is committed in between once."""
        self._waiting = list(theirs)
        try:
            with env.use(Still()):
                return ours(self.ours)
        finally:
            assert not self._waiting, "nobody got in between"

    def cold(self) -> tl.Table:
        """A handle that has seen nothing."""
        return tl.open_table(self.folder)

    def holds(self, expected: Pairs) -> None:
        """Every handle reads these rows; so do the feed, the history, and every look at the store."""
        wanted = Counter(expected)
        for table in (self.ours, self.theirs, self.cold()):
            assert pairs(table.to_arrow()) == wanted
            assert pairs(table.scan(where="true").to_arrow()) == wanted
            assert table.row_count == wanted.total()
        cold = self.cold()
        assert difference(cold, -1, cold.version) == wanted
        history = cold.history()
        assert history["rows_added"].sum() - history["rows_deleted"].sum() == wanted.total()
        found = cold.verify()
        assert not [problem for problem in found.problems if not problem.harmless], found


def as_rows(rows: Pairs) -> list[dict[str, Any]]:
    return [{"id": number, "v": value} for number, value in rows]


def pairs(table: Any) -> Counter[tuple[Any, Any]]:
    """`id` and `v` of every row."""
    return Counter(zip(table["id"].to_pylist(), table["v"].to_pylist(), strict=True))


def difference(table: tl.Table, since: int, until: int) -> Counter[tuple[Any, Any]]:
    """What the change feed adds up to; rows that it takes away without having brought them count negative."""
    total: Counter[tuple[Any, Any]] = Counter()
    for row in table.changes(since, until).to_arrow().to_pylist():
        total[row["id"], row["v"]] += 1 if row["_change"] in {"insert", "update_after"} else -1
    return Counter({row: count for row, count in total.items() if count})


def append(*rows: tuple[Any, Any]) -> Act:
    return lambda table: table.append(as_rows(rows))


def delete(where: str) -> Act:
    return lambda table: table.delete(where)


def update(values: dict[str, object], where: str) -> Act:
    return lambda table: table.update(values, where)


def upsert(*rows: tuple[Any, Any]) -> Act:
    return lambda table: table.upsert(as_rows(rows), on="id")


def merge(*rows: tuple[Any, Any]) -> Act:
    return lambda table: (
        table.merge(as_rows(rows), on="t.id = s.id").when_matched_update().when_not_matched_insert().execute()
    )


def compact(table: tl.Table) -> Any:
    return table.compact()
