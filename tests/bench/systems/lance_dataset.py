"""Lance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb
import lance
import pyarrow as pa

from tests.bench.rows import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.bench.queries import Query
    from tests.bench.systems.base import Place, System, Way


class Lance:
    def __init__(self, place: Place) -> None:
        self._uri = f"{place.root}/t.lance"
        self._options: dict[str, str] | None = None
        if place.s3:
            self._options = {
                "aws_endpoint": place.s3["endpoint"],
                "allow_http": "true",
                "aws_access_key_id": place.s3["key"],
                "aws_secret_access_key": place.s3["secret"],
                "aws_region": place.s3["region"],
            }

    def create(self) -> None:
        self._dataset = lance.write_dataset(SCHEMA.empty_table(), self._uri, storage_options=self._options)

    def append(self, rows: pa.Table) -> None:
        self._dataset = lance.write_dataset(rows, self._dataset, mode="append", storage_options=self._options)

    def write(self, rows: pa.Table | pa.RecordBatchReader) -> None:
        self._dataset = lance.write_dataset(rows, self._uri, storage_options=self._options)

    def upsert(self, rows: pa.Table) -> None:
        merge = self._dataset.merge_insert("id")
        merge.when_matched_update_all().when_not_matched_insert_all().execute(rows)

    def delete(self, where: str) -> None:
        self._dataset.delete(where)

    def compact(self) -> None:
        self._dataset.optimize.compact_files()

    def open(self) -> None:
        self._dataset = lance.dataset(self._uri, storage_options=self._options)

    def version(self) -> int:
        return self._dataset.version

    def file_count(self) -> int:
        return sum(len(fragment.data_files()) for fragment in self._dataset.get_fragments())

    def row_count(self) -> int:
        return self._dataset.count_rows()

    def row_count_at(self, commits: int) -> int:
        return lance.dataset(self._uri, version=commits + 1, storage_options=self._options).count_rows()

    def ways(self) -> Mapping[str, Way]:
        dataset, connection = self._dataset, duckdb.connect()
        connection.register("t", dataset)

        def own_sql(query: Query) -> pa.Table:
            return pa.Table.from_batches(dataset.sql(query.sql("dataset")).build().to_batch_records())

        return {
            "own SQL": own_sql,
            "to_table": lambda query: dataset.to_table(filter=query.where),
            "DuckDB": lambda query: connection.sql(query.sql("t")).to_arrow_table(),
        }


def make(place: Place) -> System:
    return Lance(place)
