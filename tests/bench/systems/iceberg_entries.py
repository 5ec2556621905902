"""Apache Iceberg: entries go through PyIceberg's own fast append, which takes data files that are there already."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pyiceberg.catalog.sql
import pyiceberg.io.pyarrow  # noqa: F401 - both are imported late otherwise, and would count as opening
from pyiceberg.catalog import load_catalog
from pyiceberg.conversions import to_bytes
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.typedef import Record
from pyiceberg.types import LongType, StringType, TimestampType

from tests.bench.entries import ROWS, SCHEMA, SIZE_BYTES, commits
from tests.bench.systems.base import Planned

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog

    from tests.bench.entries import Entry
    from tests.bench.systems.base import EntriesSystem, Place, Plan

_FIELDS: Final = range(1, len(SCHEMA) + 1)


class IcebergEntries:
    def __init__(self, place: Place) -> None:
        self._properties = {
            "type": "sql",
            "uri": f"sqlite:///{place.local}/catalog.db",
            "warehouse": f"file://{place.root}",
        }

    def _catalog(self) -> Catalog:
        return load_catalog("bench", **self._properties)

    def build(self, count: int) -> None:
        catalog = self._catalog()
        catalog.create_namespace("b")
        table = catalog.create_table("b.t", schema=SCHEMA)
        for entries in commits(count):
            with table.transaction() as transaction, transaction.update_snapshot().fast_append() as append:
                for entry in entries:
                    append.append_data_file(_data_file(entry, table.location()))

    def open(self, way: str) -> Plan:
        table = self._catalog().load_table("b.t")
        assert way == "plan_files"

        def plan_files(value: int) -> Planned:
            tasks = list(table.scan(row_filter=f"id = {value}").plan_files())
            return Planned(files=len(tasks), first=tasks[0].file.file_path if tasks else "")

        return plan_files


def _data_file(entry: Entry, location: str) -> DataFile:
    return DataFile.from_args(
        content=DataFileContent.DATA,
        file_path=f"{location}/{entry.path}",
        file_format=FileFormat.PARQUET,
        partition=Record(),
        record_count=ROWS,
        file_size_in_bytes=SIZE_BYTES,
        column_sizes=dict.fromkeys(_FIELDS, SIZE_BYTES // len(_FIELDS)),
        value_counts=dict.fromkeys(_FIELDS, ROWS),
        null_value_counts=dict.fromkeys(_FIELDS, 0),
        nan_value_counts={},
        lower_bounds=_bounds(entry.id_min, entry.at_min_us, entry.name_min),
        upper_bounds=_bounds(entry.id_max, entry.at_max_us, entry.name_max),
        key_metadata=None,
        split_offsets=[4],
        equality_ids=None,
        sort_order_id=None,
        spec_id=0,
    )


def _bounds(id_: int, at_us: int, name: str) -> dict[int, bytes]:
    return {1: to_bytes(LongType(), id_), 2: to_bytes(TimestampType(), at_us), 3: to_bytes(StringType(), name)}


def make(place: Place) -> EntriesSystem:
    return IcebergEntries(place)
