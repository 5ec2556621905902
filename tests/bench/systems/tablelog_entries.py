"""tablelog: entries go through the log as appends do, without any files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tablelog as tl
from tablelog.format.actions import AddFile
from tablelog.format.statistics import FieldStatistics
from tablelog.ops.write import Written, draft_append
from tests.bench.entries import ROWS, SCHEMA, SIZE_BYTES, commits
from tests.bench.systems.base import Planned

if TYPE_CHECKING:
    from tablelog.format.types import Scalar
    from tests.bench.entries import Entry
    from tests.bench.systems.base import EntriesSystem, Place, Plan

_NAME = "entries"


class TablelogEntries:
    def __init__(self, place: Place) -> None:
        self._place = place

    def build(self, count: int) -> None:
        build(self._place, count)

    def open(self, way: str) -> Plan:
        table = tl.connect(self._place.root).table(_NAME)
        assert way == "scan"

        def scan(value: int) -> Planned:
            files = table.scan(where=f"id = {value}").files
            return Planned(files=len(files), first=files[0].path if files else "")

        return scan


def build(place: Place, count: int) -> None:
    """A lake with one table of that many entries."""
    table = tl.connect(place.root).create_table(_NAME, SCHEMA)
    fields = tuple(table.schema.field(name).id for name in SCHEMA.names)
    for entries in commits(count):
        _append(table, tuple(_file(entry, table.schema.id, fields) for entry in entries))


def _append(table: tl.Table, files: tuple[AddFile, ...]) -> None:
    """The second half of `Table.append`, whose first half writes the files."""
    table._commit(lambda state: draft_append(state, Written(metadata=state.metadata, files=files), {}))


def _file(entry: Entry, schema_id: int, fields: tuple[int, ...]) -> AddFile:
    bounds: tuple[tuple[Scalar, Scalar], ...] = (
        (entry.id_min, entry.id_max),
        (entry.at_min_us, entry.at_max_us),
        (entry.name_min, entry.name_max),
    )
    statistics = {
        field_id: FieldStatistics(min=low, max=high, null_count=0, nan_count=0)
        for field_id, (low, high) in zip(fields, bounds, strict=True)
    }
    return AddFile(path=entry.path, size_bytes=SIZE_BYTES, row_count=ROWS, schema_id=schema_id, statistics=statistics)


def make(place: Place) -> EntriesSystem:
    return TablelogEntries(place)
