"""tablelog: one lake with one table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

import tablelog as tl
from tablelog.store import local_path
from tests.bench.rows import SCHEMA
from tests.bench.systems.engines import plain_duckdb, plain_polars

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.bench.queries import Query
    from tests.bench.systems.base import Place, System, Way

_NOTHING = pa.table({})


class Tablelog:
    def __init__(self, place: Place, *, key: str | None = None, **options: Any) -> None:
        self._root = place.root
        self._key = key
        self._table_options = options
        self._options: dict[str, Any] | None = None
        if place.s3:
            self._options = {
                "endpoint_url": place.s3["endpoint"],
                "key": place.s3["key"],
                "secret": place.s3["secret"],
                "region": place.s3["region"],
            }
        self._table: Any = None

    def _connect(self) -> tl.Lake:
        self._lake = tl.connect(self._root, storage_options=self._options)
        return self._lake

    def create(self) -> None:
        self._table = self._connect().create_table("t", SCHEMA, **self._table_options)

    def append(self, rows: pa.Table) -> None:
        self._table.append(rows)

    def write(self, rows: pa.Table | pa.RecordBatchReader) -> None:
        self._table = self._connect().create_table("t", rows, key=self._key)

    def upsert(self, rows: pa.Table) -> None:
        if self._key is None:
            self._table.upsert(rows, on="id")
        else:
            self._table.upsert(rows)

    def delete(self, where: str) -> None:
        self._table.delete(where)

    def compact(self) -> None:
        self._table.compact()

    def open(self) -> None:
        self._table = self._connect().table("t")
        self._snapshot = self._table.snapshot()

    def version(self) -> int:
        return self._snapshot.version

    def file_count(self) -> int:
        return len(self._snapshot.files)

    def row_count(self) -> int:
        return self._snapshot.row_count

    def row_count_at(self, commits: int) -> int:
        return self._table.at(version=commits).row_count

    def ways(self) -> Mapping[str, Way]:
        lake, table = self._lake, self._table
        every = [str(local_path(self._snapshot.store, file.path)) for file in self._snapshot.files]
        id_field = self._snapshot.schema.field("id").id
        bounds = [file.statistics[id_field] for file in self._snapshot.files]
        ranges = [(path, bound.min, bound.max) for path, bound in zip(every, bounds, strict=True)]

        def needed_for(query: Query) -> list[str]:
            return [path for path, low, high in ranges if any(low <= each <= high for each in query.ids)]

        def explain(query: Query) -> pa.Table:
            lake.explain(query.sql("t"))
            return _NOTHING

        return {
            # What is compared stands side by side: each is as often the one that finds warm caches.
            "sql": lambda query: lake.sql(query.sql("t")).to_arrow_table(),
            "DuckDB, all files": plain_duckdb(lambda _: every),
            "lazy": lambda query: query.polars(table.lazy()),
            "Polars, all files": plain_polars(lambda _: every),
            "scan": lambda query: table.scan(where=query.where).to_arrow(),
            "explain": explain,
            "DuckDB, files needed": plain_duckdb(needed_for),
            "Polars, files needed": plain_polars(needed_for),
        }


def make(place: Place, *, key: str | None = None, **options: Any) -> System:
    return Tablelog(place, key=key, **options)
