"""What operations on a table with columns `id` and `v` come to: how often there is each pair, in a few lines of Python.

    append   rows [[id, v], …]       delete   low, high           upsert   rows
    block    low, v: BLOCK rows      update   low, high, by       merge    rows; adds to v where the id is there
    both     row, low, high, by: an upsert and an update in one transaction

Anything else changes no rows.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Operation = Mapping[str, Any]

BLOCK = 400
"""Rows of a larger append; their ids are nobody else's."""
Row = tuple[int, int]


@dataclass
class Model:
    """What the table is."""

    rows: dict[int, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    """By id, how often each value is there."""

    def bag(self) -> Counter[Row]:
        return Counter({(key, v): count for key, values in self.rows.items() for v, count in values.items() if count})

    def apply(self, operation: Operation) -> Counter[Row]:
        """Carry it out; what it adds up to, rows that go counted negative."""
        change: Counter[Row] = Counter()
        match operation["kind"]:
            case "append":
                for key, v in operation["rows"]:
                    change[key, v] += 1
            case "block":
                change.update((key, operation["v"]) for key in range(operation["low"], operation["low"] + BLOCK))
            case "delete":
                self._each(change, operation, lambda _: None)
            case "update":
                self._each(change, operation, lambda v: v + operation["by"])
            case "upsert":
                self._upsert(change, operation["rows"])
            case "merge":
                for key, value in operation["rows"]:
                    self._replace(change, key, lambda v, value=value: v + value)
                    if not self.rows[key].total():
                        change[key, value] += 1
            case "both":
                self._upsert(change, [operation["row"]])
                self._take(change)
                second: Counter[Row] = Counter()
                self._each(second, operation, lambda v: v + operation["by"])
                self._take(second)
                change.update(second)
        if operation["kind"] != "both":
            self._take(change)
        return Counter({row: count for row, count in change.items() if count})

    def _each(self, change: Counter[Row], operation: Operation, new: Callable[[int], int | None]) -> None:
        for key in range(operation["low"], operation["high"] + 1):
            self._replace(change, key, new)

    def _replace(self, change: Counter[Row], key: int, new: Callable[[int], int | None]) -> None:
        for v, count in self.rows[key].items():
            change[key, v] -= count
            if new(v) is not None:
                change[key, new(v)] += count

    def _upsert(self, change: Counter[Row], rows: list[list[int]]) -> None:
        for key, value in rows:
            self._replace(change, key, lambda _, value=value: value)
            if not self.rows[key].total():
                change[key, value] += 1

    def _take(self, change: Counter[Row]) -> None:
        for (key, v), count in change.items():
            self.rows[key][v] += count
            assert self.rows[key][v] >= 0
            if not self.rows[key][v]:
                del self.rows[key][v]


def touched(operation: Operation) -> set[int]:
    """Ids that an operation may have changed."""
    rows = operation.get("rows", [operation["row"]] if "row" in operation else [])
    low = operation.get("low", 0)
    return {row[0] for row in rows} | set(range(low, operation.get("high", low - 1) + 1))
