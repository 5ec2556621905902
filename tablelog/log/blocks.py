"""Rows of a segment that lie together: a table in memory, or a row group of an object that is read column by column.

Columns that were read stay in memory until others, read later, need the room: one budget for the whole process, so
that planning over a million files costs what its columns weigh and not what the log does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

import pyarrow as pa

from tablelog.parquet.kept import Kept
from tablelog.parquet.statistics import bounds_without_nulls

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tablelog.format.types import DataType, Scalar
    from tablelog.parquet.sealed import Sealed

Column: TypeAlias = Any
"""A `pyarrow.Array`, whose stubs know too little of computing with it."""
CACHE_BYTES: Final = 128 * 1024 * 1024
"""What columns read from objects may weigh in memory."""


class Block(Protocol):
    """Some rows, by column."""

    @property
    def name(self) -> str:
        """Where they are from, for messages."""

    @property
    def row_count(self) -> int:
        """How many rows there are."""

    @property
    def column_names(self) -> Sequence[str]:
        """Columns that have any value in it, perhaps."""

    def column(self, name: str) -> Column | None:
        """Values of a column; None if it has none at all."""

    def columns(self, names: Sequence[str]) -> dict[str, Column]:
        """Values of columns that must be there, read together."""

    def bounds(self, name: str, type_: DataType) -> tuple[Scalar, Scalar] | None:
        """Least and greatest value of a column that has no nulls, if that is known without reading it."""

    def table(self, names: Sequence[str]) -> pa.Table:
        """Some columns that must be there, past the cache."""


class HeldBlock:
    """Rows in memory."""

    def __init__(self, table: pa.Table) -> None:
        """Hold a table, each column in one piece."""
        self._table = table.combine_chunks()
        self.row_count: Final = table.num_rows
        self.name: Final = "the log"

    @property
    def column_names(self) -> Sequence[str]:
        """All columns."""
        return self._table.column_names

    def column(self, name: str) -> Column | None:
        """See `Block`."""
        if name not in self._table.column_names:
            return None
        chunked = self._table.column(name)
        return chunked.chunk(0) if chunked.num_chunks else pa.array([], chunked.type)

    def columns(self, names: Sequence[str]) -> dict[str, Column]:
        """See `Block`."""
        found = {name: self.column(name) for name in names}
        assert all(column is not None for column in found.values())
        return found

    def bounds(self, name: str, type_: DataType) -> tuple[Scalar, Scalar] | None:  # noqa: ARG002 - nobody has looked
        """See `Block`."""
        return None

    def table(self, names: Sequence[str]) -> pa.Table:
        """See `Block`."""
        return self._table.select(list(names))


class GroupBlock:
    """A row group of a sealed object, or some of its rows."""

    def __init__(self, sealed: Sealed, group: int, start: int = 0, count: int | None = None) -> None:
        """Stand for `count` rows from `start` on, or all; reads nothing yet."""
        self.sealed: Final = sealed
        self.group: Final = group
        self.name: Final = sealed.name
        self.row_count: Final = sealed.row_count(group) - start if count is None else count
        self._start = start
        self._is_whole = self.row_count == sealed.row_count(group)

    @property
    def column_names(self) -> Sequence[str]:
        """All columns of the object."""
        return self.sealed.columns

    def column(self, name: str) -> Column | None:
        """See `Block`."""
        return self.columns((name,))[name] if name in self.sealed else None

    def columns(self, names: Sequence[str]) -> dict[str, Column]:
        """See `Block`."""
        group = self.sealed, self.group
        found = {name: _CACHE.get((*group, name)) for name in names}
        missing = [name for name, column in found.items() if column is None]
        if missing:
            table = self.sealed.read(self.group, missing).combine_chunks()
            for name, column in zip(missing, table.columns, strict=True):
                array = column.chunk(0) if column.num_chunks else pa.array([], column.type)
                _CACHE.put((*group, name), array, array.nbytes)
                found[name] = array
        return {name: self._part(column) for name, column in found.items()}

    def bounds(self, name: str, type_: DataType) -> tuple[Scalar, Scalar] | None:
        """See `Block`."""
        return bounds_without_nulls(self.sealed.chunk(self.group, name), type_) if name in self.sealed else None

    def table(self, names: Sequence[str]) -> pa.Table:
        """See `Block`."""
        table = self.sealed.read(self.group, names)
        return table if self._is_whole else table.slice(self._start, self.row_count)

    def _part(self, column: Any) -> Column:
        return column if self._is_whole else column.slice(self._start, self.row_count)


_CACHE: Final[Kept[tuple[Sealed, int, str], Column]] = Kept(CACHE_BYTES)
