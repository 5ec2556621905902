"""The questions, as SQL and as Polars, and a fingerprint of their answers so that all must give the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Sequence


_COLUMN_SUMS: Final = (
    "sum(id)::BIGINT AS i",
    "sum(extract(epoch FROM placed_at)) AS t",
    "sum(CASE WHEN country < 'DE' THEN 1 ELSE 0 END)::BIGINT AS c",
    "sum(round(price * 100))::BIGINT AS p",
    "sum(weight) AS w",
    "sum(quantity)::BIGINT AS q",
    "sum(CASE WHEN name < 'item-1500000' THEN 1 ELSE 0 END)::BIGINT AS a",
    "sum(CASE WHEN active THEN 1 ELSE 0 END)::BIGINT AS b",
)
"""One of each column, none of which statistics could answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One question about a table of `rows.SCHEMA`."""

    kind: str
    """`aggregate`, `columns` (an aggregate of each), `group`, `range` (half-open, two ids) or `ids`."""
    ids: tuple[int, ...] = ()

    @property
    def where(self) -> str | None:
        """Its condition in SQL."""
        match self.kind:
            case "range":
                return f"id >= {self.ids[0]} AND id < {self.ids[1]}"
            case "ids":
                return f"id IN ({', '.join(map(str, self.ids))})"
            case _:
                return None

    def sql(self, table: str) -> str:
        """The question about a table, or whatever else may stand after FROM."""
        match self.kind:
            case "aggregate":
                columns = "count(*) AS n, sum(price) AS p, avg(weight) AS w, sum(quantity)::BIGINT AS q, max(id) AS i"
                return f"SELECT {columns} FROM {table}"
            case "columns":
                return f"SELECT count(*) AS n, {', '.join(_COLUMN_SUMS)} FROM {table}"
            case "group":
                return f"SELECT country, count(*) AS n, avg(price) AS p FROM {table} GROUP BY country"
            case _:
                return f"SELECT * FROM {table} WHERE {self.where}"

    def polars(self, frame: Any) -> pa.Table:
        """The answer by way of a LazyFrame."""
        import polars as pl  # noqa: PLC0415 - not every child has it

        match self.kind:
            case "aggregate":
                price, weight, quantity = pl.col("price"), pl.col("weight"), pl.col("quantity")
                whole = quantity.cast(pl.Int64).sum().alias("q")  # a sum of INTEGER is one to Polars, and overflows
                frame = frame.select(
                    pl.len().alias("n"),
                    price.sum().alias("p"),
                    weight.mean().alias("w"),
                    whole,
                    pl.max("id").alias("i"),
                )
            case "columns":
                id_, quantity, country, name = (pl.col(each) for each in ("id", "quantity", "country", "name"))
                frame = frame.select(
                    pl.len().alias("n"),
                    id_.sum().alias("i"),
                    (pl.col("placed_at").dt.epoch("us") / 1e6).sum().alias("t"),
                    (country < "DE").cast(pl.Int64).sum().alias("c"),
                    (pl.col("price") * 100).round().cast(pl.Int64).sum().alias("p"),
                    pl.col("weight").sum().alias("w"),
                    quantity.cast(pl.Int64).sum().alias("q"),
                    (name < "item-1500000").cast(pl.Int64).sum().alias("a"),
                    pl.col("active").cast(pl.Int64).sum().alias("b"),
                )
            case "group":
                frame = frame.group_by("country").agg(pl.len().alias("n"), pl.col("price").mean().alias("p"))
            case "range":
                frame = frame.filter(pl.col("id") >= self.ids[0], pl.col("id") < self.ids[1])
            case _:
                frame = frame.filter(pl.col("id").is_in(self.ids))
        return frame.collect().to_arrow()


def scan_queries(row_count: int) -> dict[str, Query]:
    """The four questions of the scan workload."""
    middle, step = row_count // 2 + 11, max(1, row_count // 200)
    return {
        "full aggregate": Query(kind="aggregate"),
        "group by": Query(kind="group"),
        "range of 1,000 ids": Query(kind="range", ids=(middle, middle + 1000)),
        "200 scattered ids": Query(kind="ids", ids=tuple(range(step // 2, row_count, step))[:200]),
    }


def point(row_count: int, number: int = 0) -> Query:
    """One row from the middle: with another number, one a little further on."""
    return Query(kind="ids", ids=(row_count // 2 + 17 + 3 * number,))


def fingerprint(answer: pa.Table) -> list[float]:
    """Rows and sums of numeric columns.

    Sums of floats are to eight digits: additions in another order differ in the last few.
    """
    sums: Sequence[Any] = [
        pc.sum(column).as_py()
        for column in answer.columns
        if pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
    ]
    return [answer.num_rows, *(float(f"{value:.8g}") if isinstance(value, float) else value or 0 for value in sums)]
