"""What can be read by looking at a snapshot of it: the reading half of a table."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd
    import polars as pl
    import pyarrow as pa
    from matplotlib.figure import Figure

    from tablelog.health import Health
    from tablelog.snapshot import Scan, Snapshot


class Readable(ABC):
    """Something of which there is a newest snapshot. Each of these looks for it first: one get."""

    @abstractmethod
    def snapshot(self) -> Snapshot:
        """The newest version, to be read in peace. One get."""

    @property
    def properties(self) -> dict[str, str]:
        """Settings at the newest version. One get."""
        return self.snapshot().properties

    def __len__(self) -> int:
        return self.snapshot().row_count

    def health(self) -> Health:
        """What shape the newest version is in; see `Snapshot.health`."""
        return self.snapshot().health()

    def plot_levels(self) -> Figure:
        """The levels of the newest version as a picture; see `Snapshot.plot_levels`."""
        return self.snapshot().plot_levels()

    def plot_history(self) -> Figure:
        """The versions that can be read as a picture; see `Snapshot.plot_history`."""
        return self.snapshot().plot_history()

    def scan(self, columns: Iterable[str] | None = None, where: str | None = None) -> Scan:
        """Some columns of some rows of the newest version; see `Snapshot.scan`."""
        return self.snapshot().scan(columns, where)

    def get(self, key: object, columns: Iterable[str] | None = None) -> dict[str, Any] | None:
        """The row with a key, at the newest version; None if there is none. See `Snapshot.get`."""
        return self.snapshot().get(key, columns)

    def lazy(self) -> pl.LazyFrame:
        """The newest version as a Polars `LazyFrame`."""
        return self.snapshot().lazy()

    def to_polars(self) -> pl.DataFrame:
        """The newest version as a Polars data frame."""
        return self.snapshot().to_polars()

    def to_arrow(self) -> pa.Table:
        """The newest version as an Arrow table."""
        return self.snapshot().to_arrow()

    def to_pandas(self) -> pd.DataFrame:
        """The newest version as a pandas data frame (pandas must be installed)."""
        return self.snapshot().to_pandas()

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The newest version as an Arrow stream (PyCapsule interface)."""
        return self.snapshot().__arrow_c_stream__(requested_schema)

    def __repr__(self) -> str:
        return repr(self.snapshot())

    def _repr_html_(self) -> str:
        return self.snapshot()._repr_html_()
