"""DuckLake: data in Parquet files, everything else in a database (a DuckDB file, or SQLite for several processes)."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

import duckdb

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

    from tests.bench.queries import Query
    from tests.bench.systems.base import Place, System, Way

_COLUMNS: Final = (
    "id BIGINT, placed_at TIMESTAMPTZ, country VARCHAR, price DOUBLE, weight DOUBLE, quantity INTEGER, "
    "name VARCHAR, active BOOLEAN"
)


class DuckLake:
    def __init__(self, place: Place, *, catalog: str = "duckdb", inline_rows: int = 0) -> None:
        prefix = "sqlite:" if catalog == "sqlite" else ""
        self._attach = (
            f"ATTACH 'ducklake:{prefix}{place.local}/catalog.{catalog}' AS lake "
            f"(DATA_PATH '{place.root}/data', OVERRIDE_DATA_PATH true, DATA_INLINING_ROW_LIMIT {inline_rows})"
        )
        self._connection = loaded(*(("ducklake", "sqlite_scanner") if catalog == "sqlite" else ("ducklake",)))

    def _connect(self) -> duckdb.DuckDBPyConnection:
        self._connection.execute("DETACH DATABASE IF EXISTS lake")
        self._connection.execute(self._attach)
        return self._connection

    def create(self) -> None:
        self._connect().execute(f"CREATE TABLE lake.t ({_COLUMNS})")

    def append(self, rows: pa.Table) -> None:
        self._connection.register("appended", rows)
        self._connection.execute("INSERT INTO lake.t FROM appended")

    def write(self, rows: pa.Table | pa.RecordBatchReader) -> None:
        self._connect().register("written", rows)
        self._connection.execute("CREATE TABLE lake.t AS FROM written")

    def upsert(self, rows: pa.Table) -> None:
        self._connection.register("changed", rows)
        self._connection.execute(
            "MERGE INTO lake.t USING changed USING (id) WHEN MATCHED THEN UPDATE WHEN NOT MATCHED THEN INSERT"
        )

    def delete(self, where: str) -> None:
        self._connection.execute(f"DELETE FROM lake.t WHERE {where}")

    def compact(self) -> None:
        self._connection.execute("CALL ducklake_merge_adjacent_files('lake')")

    def open(self) -> None:
        self._connect()

    def _number(self, sql: str) -> int:
        row = self._connection.execute(sql).fetchone()
        assert row is not None
        return int(row[0])

    def version(self) -> int:
        return self._number("SELECT id FROM lake.current_snapshot()")

    def file_count(self) -> int:
        return self._number("SELECT count(data_file) FROM ducklake_list_files('lake', 't')")

    def row_count(self) -> int:
        return self._number("SELECT count(*) FROM lake.t")

    def row_count_at(self, commits: int) -> int:
        return self._number(f"SELECT count(*) FROM lake.t AT (VERSION => {commits + 1})")  # 0 is the lake, 1 the table

    def ways(self) -> Mapping[str, Way]:
        def ask(query: Query) -> pa.Table:
            return self._connection.sql(query.sql("lake.t")).to_arrow_table()

        return {"sql": ask}


def loaded(*extensions: str) -> duckdb.DuckDBPyConnection:
    """DuckDB with extensions. Loading code is to it what importing is to Python: not part of opening a table."""
    connection = duckdb.connect(config={"autoinstall_known_extensions": "false"})
    for name in extensions:
        folder = Path(str(import_module(f"duckdb_extension_{name}").__file__)).parent
        connection.execute(f"LOAD '{next(folder.rglob('*.duckdb_extension'))}'")
    return connection


def make(place: Place, *, catalog: str = "duckdb", inline_rows: int = 0) -> System:
    return DuckLake(place, catalog=catalog, inline_rows=inline_rows)
