"""DuckLake: entries are rows of its catalog, which is a database that anybody can write to and ask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import duckdb
import pyarrow as pa

from tests.bench.entries import ROWS, SCHEMA, SIZE_BYTES, commits
from tests.bench.systems.base import Planned
from tests.bench.systems.ducklake import loaded

if TYPE_CHECKING:
    from tests.bench.entries import Entry
    from tests.bench.systems.base import EntriesSystem, Place, Plan

_CATALOG: Final = "__ducklake_metadata_lake"
_FIRST: Final = 2
"""Snapshot of the first entries: 0 is the lake, 1 the table."""
_COMMIT: Final = (
    "BEGIN",
    "INSERT INTO ducklake_snapshot SELECT $snapshot, now(), 1, 2, $next",
    "INSERT INTO ducklake_snapshot_changes (snapshot_id, changes_made) VALUES ($snapshot, 'inserted_into_table:1')",
    f"""
    INSERT INTO ducklake_data_file BY NAME
    SELECT number AS data_file_id, 1 AS table_id, $snapshot AS begin_snapshot, path, true AS path_is_relative,
        'parquet' AS file_format, {ROWS} AS record_count, {SIZE_BYTES} AS file_size_bytes, 500 AS footer_size,
        number * {ROWS} AS row_id_start
    FROM added
    """,
    f"""
    INSERT INTO ducklake_file_column_stats BY NAME
    SELECT number AS data_file_id, 1 AS table_id, bound.id AS column_id, {SIZE_BYTES // len(SCHEMA)} AS column_size_bytes,
        {ROWS} AS value_count, 0 AS null_count, bound.low AS min_value, bound.high AS max_value
    FROM (
        SELECT number, unnest([
            {{id: 1, low: id_min::VARCHAR, high: id_max::VARCHAR}},
            {{id: 2, low: at_min::VARCHAR, high: at_max::VARCHAR}},
            {{id: 3, low: name_min, high: name_max}}
        ]) AS bound FROM added
    )
    """,
    "COMMIT",
)
_TOTALS: Final = (
    f"""
    INSERT INTO ducklake_table_stats
    SELECT 1, count(*) * {ROWS}, count(*) * {ROWS}, count(*) * {SIZE_BYTES} FROM ducklake_data_file
    """,
    """
    INSERT INTO ducklake_table_column_stats BY NAME
    SELECT 1 AS table_id, column_id, false AS contains_null,
        CASE column_id WHEN 1 THEN min(TRY_CAST(min_value AS BIGINT))::VARCHAR ELSE min(min_value) END AS min_value,
        CASE column_id WHEN 1 THEN max(TRY_CAST(max_value AS BIGINT))::VARCHAR ELSE max(max_value) END AS max_value
    FROM ducklake_file_column_stats GROUP BY column_id
    """,
)
_PRUNING: Final = f"""
    SELECT path FROM {_CATALOG}.ducklake_data_file
    WHERE table_id = 1 AND begin_snapshot <= $snapshot AND (end_snapshot IS NULL OR end_snapshot > $snapshot)
        AND data_file_id IN (
            SELECT data_file_id FROM {_CATALOG}.ducklake_file_column_stats
            WHERE table_id = 1 AND column_id = 1
                AND (min_value IS NULL OR TRY_CAST(min_value AS BIGINT) <= $value)
                AND (max_value IS NULL OR TRY_CAST(max_value AS BIGINT) >= $value)
        )
"""


class DuckLakeEntries:
    def __init__(self, place: Place) -> None:
        self._file = f"{place.local}/catalog.duckdb"
        self._attach = (
            f"ATTACH 'ducklake:{self._file}' AS lake (DATA_PATH '{place.root}/data', DATA_INLINING_ROW_LIMIT 0)"
        )
        self._connection = loaded("ducklake")

    def build(self, count: int) -> None:
        connection = self._connection
        connection.execute(self._attach)
        connection.execute('CREATE TABLE lake.t (id BIGINT, "at" TIMESTAMP, name VARCHAR)')
        connection.execute("DETACH lake")
        connection.execute(f"ATTACH '{self._file}' AS catalog")
        connection.execute("USE catalog")
        first = 0
        for snapshot, entries in enumerate(commits(count), _FIRST):
            connection.register("added", _added(first, entries))
            first += len(entries)
            known = {"snapshot": snapshot, "next": first}
            for statement in _COMMIT:
                connection.execute(statement, {name: each for name, each in known.items() if f"${name}" in statement})
        for statement in _TOTALS:
            connection.execute(statement)
        connection.execute("USE memory")
        connection.execute("DETACH catalog")

    def open(self, way: str) -> Plan:
        self._connection.execute(self._attach)
        return self._query if way == "query" else self._catalog_by_sql()

    def _query(self, value: int) -> Planned:
        """A query plans when it begins to run; it ends where it asks for the one file, which is not there."""
        try:
            self._connection.execute(f"SELECT id FROM lake.t WHERE id = {value}").fetchall()
        except duckdb.IOException as error:
            return Planned(files=1, first=str(error).split('"')[1])
        return Planned(files=0, first="")

    def _catalog_by_sql(self) -> Plan:
        """What the specification tells readers to ask the catalog for."""
        row = self._connection.execute("SELECT id FROM lake.current_snapshot()").fetchone()
        assert row is not None
        snapshot = row[0]

        def plan(value: int) -> Planned:
            rows = self._connection.execute(_PRUNING, {"snapshot": snapshot, "value": value}).fetchall()
            return Planned(files=len(rows), first=rows[0][0] if rows else "")

        return plan


def _added(first: int, entries: list[Entry]) -> pa.Table:
    instant = SCHEMA.field("at").type
    return pa.table(
        {
            "number": range(first, first + len(entries)),
            "path": [entry.path for entry in entries],
            "id_min": [entry.id_min for entry in entries],
            "id_max": [entry.id_max for entry in entries],
            "at_min": pa.array([entry.at_min_us for entry in entries], instant),
            "at_max": pa.array([entry.at_max_us for entry in entries], instant),
            "name_min": [entry.name_min for entry in entries],
            "name_max": [entry.name_max for entry in entries],
        }
    )


def make(place: Place) -> EntriesSystem:
    return DuckLakeEntries(place)
