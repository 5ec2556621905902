"""Plain DuckDB and Polars on a list of Parquet files: what every table format is measured against."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb
import polars as pl

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.bench.queries import Query
    from tests.bench.systems.base import Way


def plain_duckdb(files_for: Callable[[Query], Sequence[str]]) -> Way:
    """`read_parquet` of the files, with the settings that a lake's own connection has."""
    connection = duckdb.connect(config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"})
    connection.execute("SET GLOBAL TimeZone = 'UTC'")

    def ask(query: Query) -> object:
        paths = ", ".join(f"'{path}'" for path in files_for(query))
        return connection.sql(query.sql(f"read_parquet([{paths}])")).to_arrow_table()

    return ask


def plain_polars(files_for: Callable[[Query], Sequence[str]]) -> Way:
    """`scan_parquet` of the files."""

    def ask(query: Query) -> object:
        return query.polars(pl.scan_parquet(list(files_for(query)), glob=False))

    return ask
