"""Apache Iceberg by way of PyIceberg, with its SQL catalog in SQLite."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pyiceberg.catalog.sql
import pyiceberg.io.pyarrow  # noqa: F401 - both are imported late otherwise, and would count as opening
from pyiceberg.catalog import load_catalog

from tests.bench.rows import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

    from tests.bench.queries import Query
    from tests.bench.systems.base import Place, System, Way


class Iceberg:
    def __init__(self, place: Place) -> None:
        self._properties = {
            "type": "sql",
            "uri": f"sqlite:///{place.local}/catalog.db",
            "warehouse": place.root if place.s3 else f"file://{place.root}",
        }
        if place.s3:
            self._properties |= {
                "s3.endpoint": place.s3["endpoint"],
                "s3.access-key-id": place.s3["key"],
                "s3.secret-access-key": place.s3["secret"],
                "s3.region": place.s3["region"],
            }

    def create(self) -> None:
        catalog = load_catalog("bench", **self._properties)
        catalog.create_namespace("b")
        self._table = catalog.create_table("b.t", schema=SCHEMA)

    def append(self, rows: pa.Table) -> None:
        self._table.append(rows)

    def write(self, rows: pa.Table | pa.RecordBatchReader) -> None:
        self.create()
        self._table.append(rows)

    def upsert(self, rows: pa.Table) -> None:
        self._table.upsert(rows, join_cols=["id"])

    def delete(self, where: str) -> None:
        self._table.delete(where)

    def open(self) -> None:
        self._table = load_catalog("bench", **self._properties).load_table("b.t")

    def version(self) -> int:
        return len(self._table.history())

    def file_count(self) -> int:
        return sum(1 for _ in self._table.scan().plan_files())

    def row_count(self) -> int:
        return self._table.scan().count()

    def row_count_at(self, commits: int) -> int:
        snapshot_id = self._table.history()[commits - 1].snapshot_id
        return self._table.scan(snapshot_id=snapshot_id).count()

    def ways(self) -> Mapping[str, Way]:
        table = self._table

        def scan(query: Query) -> pa.Table:
            return table.scan(row_filter=(query.where or "true").replace("AND", "and")).to_arrow()

        return {"pl.scan_iceberg": lambda query: query.polars(pl.scan_iceberg(table)), "scan": scan}


def make(place: Place) -> System:
    return Iceberg(place)
