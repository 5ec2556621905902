"""One version of a table, read in every way there is."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterable

    import tablelog as tl

Row = dict[str, Any]


def plain(value: Any) -> Any:
    """A value that compares by what it is: NaN with itself, the two zeros apart, any container by its members."""
    if isinstance(value, float):
        return "nan" if math.isnan(value) else ("float", math.copysign(1, value), value)
    if isinstance(value, dict):
        return tuple((name, plain(member)) for name, member in value.items())
    if isinstance(value, list | tuple):
        return [plain(member) for member in value]
    return value


def bag(rows: Iterable[Row]) -> list[str]:
    """Rows without an order, equal to another bag if the same rows are in it as often."""
    return sorted(repr(plain(row)) for row in rows)


def readings(snapshot: tl.Snapshot, lake: tl.Lake | None = None) -> dict[str, list[Row]]:
    """The rows as each way of reading gives them; DuckDB through SQL if the lake is given."""
    found = {
        "arrow": snapshot.to_arrow().to_pylist(),
        "capsule": pa.table(snapshot).to_pylist(),
        "polars": snapshot.to_polars().to_dicts(),
        "polars lazily": snapshot.lazy().collect().to_dicts(),
        "duckdb filtered": snapshot.scan(where="true").to_arrow().to_pylist(),
    }
    if lake is not None:
        version = f"FROM {snapshot.name} AT (VERSION => {snapshot.version})"
        found["sql"] = lake.sql(version).to_arrow_table().to_pylist()
    return found


def assert_reads(snapshot: tl.Snapshot, expected: Iterable[Row], lake: tl.Lake | None = None) -> None:
    """Every way of reading gives exactly the expected rows, and the log knows how many."""
    wanted = bag(expected)
    for way, rows in readings(snapshot, lake).items():
        assert bag(rows) == wanted, way
    assert snapshot.row_count == len(snapshot) == len(wanted)
    assert sum(file.live_row_count for file in snapshot.files) == len(wanted)
