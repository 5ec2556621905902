"""Delta Lake by way of delta-rs (`deltalake`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
from deltalake import DeltaTable, QueryBuilder, write_deltalake

from tests.bench.rows import SCHEMA
from tests.bench.systems.base import as_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

    from tests.bench.systems.base import Place, System, Way


class Delta:
    """Appends name the table by its path, as the documentation does, or by a handle that is kept."""

    def __init__(self, place: Place, *, by_handle: bool = False) -> None:
        self._uri = f"{place.root}/t"
        self._by_handle = by_handle
        self._options: dict[str, str] | None = None
        if place.s3:
            self._options = {
                "AWS_ENDPOINT_URL": place.s3["endpoint"],
                "AWS_ALLOW_HTTP": "true",
                "AWS_ACCESS_KEY_ID": place.s3["key"],
                "AWS_SECRET_ACCESS_KEY": place.s3["secret"],
                "AWS_REGION": place.s3["region"],
                "aws_conditional_put": "etag",
            }

    def create(self) -> None:
        DeltaTable.create(self._uri, SCHEMA, storage_options=self._options)
        self.open()

    def append(self, rows: pa.Table) -> None:
        if self._by_handle:
            write_deltalake(self._table, rows, mode="append")
        else:
            write_deltalake(self._uri, rows, mode="append", storage_options=self._options)

    def write(self, rows: pa.Table | pa.RecordBatchReader) -> None:
        write_deltalake(self._uri, rows, storage_options=self._options)

    def upsert(self, rows: pa.Table) -> None:
        merge = self._table.merge(rows, "target.id = source.id", source_alias="source", target_alias="target")
        merge.when_matched_update_all().when_not_matched_insert_all().execute()

    def delete(self, where: str) -> None:
        self._table.delete(where)

    def compact(self) -> None:
        self._table.optimize.compact()

    def open(self) -> None:
        self._table = DeltaTable(self._uri, storage_options=self._options)

    def version(self) -> int:
        return self._table.version()

    def file_count(self) -> int:
        return len(self._table.file_uris())

    def row_count(self) -> int:
        return self._table.count()

    def row_count_at(self, commits: int) -> int:
        return DeltaTable(self._uri, version=commits, storage_options=self._options).count()

    def ways(self) -> Mapping[str, Way]:
        table = self._table
        engine = QueryBuilder().register("t", table)
        return {
            "pl.scan_delta": lambda query: query.polars(pl.scan_delta(table)),
            "QueryBuilder": lambda query: as_table(engine.execute(query.sql("t"))),
        }


def make(place: Place, *, by_handle: bool = False) -> System:
    return Delta(place, by_handle=by_handle)
