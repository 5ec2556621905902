"""The answer to a query, read in bounded memory: rows for a page, objects for JSON, lines for CSV."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from tablelog.cli.cells import converter, expression

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import duckdb
    import pyarrow as pa

_BATCH_ROWS: Final = 4096


class Answer:
    """A relation's columns, and its rows as they come from the engine. Every reading runs the query again."""

    def __init__(self, relation: duckdb.DuckDBPyRelation) -> None:
        """Take a query that has not run yet."""
        self.names: Final = list(relation.columns)
        self.types: Final = [str(type_) for type_ in relation.types]
        self._relation = relation

    def rows(self, *, for_json: bool = False) -> Iterator[tuple[Any, ...]]:
        """All rows as `cells.cell`, or for JSON `cells.converter`, take them.

        Raises:
            duckdb.Error: the query fails on some row.

        """
        for batch in self._read(for_json=for_json):
            yield from _rows(batch)

    def page(self, limit: int, rest_max: int) -> tuple[list[tuple[Any, ...]], int]:
        """The first rows, and how many come after them, counted until there are more than `rest_max`.

        Raises:
            duckdb.Error: the query fails on some row.

        """
        shown: list[tuple[Any, ...]] = []
        rest = 0
        for batch in self._read(for_json=False):
            taken = min(batch.num_rows, limit - len(shown))
            shown += _rows(batch.slice(0, taken))
            rest += batch.num_rows - taken
            if rest > rest_max:
                break
        return shown, rest

    def _read(self, *, for_json: bool) -> pa.RecordBatchReader:
        columns = (expression(f"#{place}", type_, for_json=for_json) for place, type_ in enumerate(self.types, start=1))
        reader: pa.RecordBatchReader = self._relation.project(", ".join(columns)).to_arrow_reader(_BATCH_ROWS)
        return reader

    def objects(self, limit: int | None = None) -> Iterator[dict[str, Any]]:
        """Rows as objects of JSON; a name that occurs twice is told apart."""
        names = unique_names(self.names)
        converters = [converter(type_) for type_ in self.types]
        for row in islice(self.rows(for_json=True), limit):
            values = (convert(value) for convert, value in zip(converters, row, strict=True))
            yield dict(zip(names, values, strict=True))

    def lines(self, limit: int | None = None) -> Iterator[str]:
        """Lines of CSV, the names first. NULL is nothing at all, the empty text is a pair of quotes."""
        yield ",".join(map(_field, self.names))
        for row in islice(self.rows(), limit):
            yield ",".join(map(_field, row))


def unique_names(names: Sequence[str]) -> list[str]:
    """The names, with `_1`, `_2` … after those that stood there before.

    >>> unique_names(["a", "b", "a"])
    ['a', 'b', 'a_1']
    """
    unique: dict[str, None] = {}
    for name in names:
        candidate, number = name, 0
        while candidate in unique:
            number += 1
            candidate = f"{name}_{number}"
        unique[candidate] = None
    return list(unique)


def _rows(batch: pa.RecordBatch) -> Iterator[tuple[Any, ...]]:
    return zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _field(value: Any) -> str:
    if value is None:
        return ""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if text and not any(mark in text for mark in ',"\r\n') and text == text.strip():
        return text
    return '"' + text.replace('"', '""') + '"'
