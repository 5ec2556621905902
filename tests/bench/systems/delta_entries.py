"""Delta Lake: entries are written into the log by hand, because a transaction of delta-rs reads it from the start.

A checkpoint of the library ends the log, as it does every hundred commits of a table that is written by it.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from deltalake import DeltaTable

from tests.bench.entries import ROWS, SCHEMA, SIZE_BYTES, commits
from tests.bench.systems.base import Planned

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.bench.entries import Entry
    from tests.bench.systems.base import EntriesSystem, Place, Plan

_EPOCH: Final = datetime(1970, 1, 1)


class DeltaEntries:
    def __init__(self, place: Place) -> None:
        self._uri = f"{place.root}/t"

    def build(self, count: int) -> None:
        DeltaTable.create(self._uri, SCHEMA)
        for version, entries in enumerate(commits(count), 1):
            lines = [json.dumps({"add": _add(entry)}) for entry in entries]
            Path(self._uri, "_delta_log", f"{version:020}.json").write_text("\n".join(lines))
        DeltaTable(self._uri).create_checkpoint()

    def open(self, way: str) -> Plan:
        table = DeltaTable(self._uri)
        ways: dict[str, Callable[[int], list[str]]] = {
            "file_uris": lambda value: table.file_uris(file_pruning_predicate=f"id = {value}"),
            "get_add_actions": lambda value: _filtered(table, value),
        }
        find = ways[way]

        def plan(value: int) -> Planned:
            uris = find(value)
            return Planned(files=len(uris), first=uris[0] if uris else "")

        return plan


def _filtered(table: DeltaTable, value: int) -> list[str]:
    """All entries, and of these the ones whose bounds admit the value; each has bounds.

    NumPy compares, because PyArrow imports all of pandas when it is first given a number.
    """
    every = table.get_add_actions(flatten=True)
    low, high = (every.column(name).to_numpy() for name in ("min.id", "max.id"))
    paths = every.column("path")
    return [str(paths[int(place)].as_py()) for place in np.flatnonzero((low <= value) & (high >= value))]


def _add(entry: Entry) -> dict[str, Any]:
    statistics = {
        "numRecords": ROWS,
        "minValues": {"id": entry.id_min, "at": _text(entry.at_min_us), "name": entry.name_min},
        "maxValues": {"id": entry.id_max, "at": _text(entry.at_max_us), "name": entry.name_max},
        "nullCount": dict.fromkeys(SCHEMA.names, 0),
    }
    return {
        "path": entry.path,
        "partitionValues": {},
        "size": SIZE_BYTES,
        "modificationTime": 0,
        "dataChange": True,
        "stats": json.dumps(statistics),
    }


def _text(moment_us: int) -> str:
    return (_EPOCH + timedelta(microseconds=moment_us)).isoformat(timespec="microseconds")


def make(place: Place) -> EntriesSystem:
    return DeltaEntries(place)
