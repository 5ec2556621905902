"""The change feed of a table, as people hold it: read when asked, streamed, in any library's shape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl
import pyarrow as pa

from tablelog.ops.changes import feed, feed_schema

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from tablelog.format.schema import Schema
    from tablelog.log.changed import FileChanges
    from tablelog.store.base import ObjectStore


_SHOWN: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """Rows that came and went after version `since` and up to version `until`, oldest version first.

    The columns are those of the table at `until`, then `_change` (`insert`, `delete`, `update_before`,
    `update_after`), `_version` and `_timestamp` (UTC). Within a version, rows that went come first. Version `since`
    without the rows that went and with those that came is version `until`.
    """

    name: str
    since: int
    """Exclusive; -1 for the beginning."""
    until: int
    """Inclusive."""
    _store: ObjectStore
    _schema: Schema
    _schemas: Mapping[int, Schema]
    _files: Mapping[int, FileChanges]
    _timestamps_us: Mapping[int, int]

    @property
    def versions(self) -> tuple[int, ...]:
        """Versions in between that changed files, oldest first."""
        return tuple(self._files)

    def to_reader(self) -> pa.RecordBatchReader:
        """The rows as a stream of Arrow batches, in bounded memory; files are read on the way."""
        batches = feed(self._store, self._files, self._timestamps_us, self._schemas, self._schema)
        return pa.RecordBatchReader.from_batches(feed_schema(self._schema), batches)

    def to_arrow(self) -> pa.Table:
        """The rows as an Arrow table."""
        return self.to_reader().read_all()

    def to_polars(self) -> pl.DataFrame:
        """The rows as a Polars data frame."""
        frame = pl.from_arrow(self.to_arrow())
        assert isinstance(frame, pl.DataFrame)
        return frame

    def lazy(self) -> pl.LazyFrame:
        """The rows as a Polars `LazyFrame`, read now."""
        return self.to_polars().lazy()

    def to_pandas(self) -> pd.DataFrame:
        """The rows as a pandas data frame (pandas must be installed)."""
        frame: pd.DataFrame = self.to_arrow().to_pandas()
        return frame

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The rows as an Arrow stream (PyCapsule interface)."""
        return self.to_reader().__arrow_c_stream__(requested_schema)  # type: ignore[no-untyped-call]  # the stubs say nothing

    def __repr__(self) -> str:
        told = ", ".join(map(str, self.versions[:_SHOWN])) + ", …" * (len(self.versions) > _SHOWN)
        return f"changes of {self.name} after version {self.since} up to {self.until}: in {told or 'none of them'}"
