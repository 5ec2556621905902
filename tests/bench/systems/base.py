"""The verbs that every system has, so that workloads need not know which one they talk to.

A system holds one table at one place. `create`, `append` and `write` change it; `open` lets go of everything that is
held in memory and reads the table anew, as a new process would; the rest asks about what is open.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.bench.queries import Query

    Way: TypeAlias = Callable[[Query], pa.Table]
    Plan: TypeAlias = Callable[[int], "Planned"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a system keeps its table."""

    root: str
    """A folder, or `s3://bucket/prefix`."""
    local: str
    """A folder of this machine, for catalogs that cannot live in a bucket; the root itself if that is a folder."""
    s3: Mapping[str, str] = field(default_factory=dict)
    """`endpoint`, `key`, `secret`, `region` if the root is a bucket."""


class System(Protocol):
    """One table in one format."""

    def create(self) -> None:
        """An empty table of `rows.SCHEMA`."""

    def append(self, rows: pa.Table) -> None:
        """One commit."""

    def write(self, rows: pa.Table | pa.RecordBatchReader) -> None:
        """A new table with these rows."""

    def open(self) -> None:
        """Forget what is known and read the table's newest version."""

    def version(self) -> int:
        """Number of the open version."""

    def file_count(self) -> int:
        """Live data files, found by listing them."""

    def row_count(self) -> int:
        """Rows of the open version."""

    def row_count_at(self, commits: int) -> int:
        """Rows after that many appends, by time travel."""

    def ways(self) -> Mapping[str, Way]:
        """Ways to ask the open table, the system's own best ones."""


@runtime_checkable
class ChangingSystem(System, Protocol):
    """One whose rows can be replaced and taken out, each in one commit."""

    def upsert(self, rows: pa.Table) -> None:
        """Put these rows in the place of those that have the same `id`, and add the rest."""

    def delete(self, where: str) -> None:
        """Take out the rows that fulfil a condition in SQL."""


@runtime_checkable
class CompactingSystem(System, Protocol):
    """One that can put small files together."""

    def compact(self) -> None:
        """As its defaults would have it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What a system would read to find an id."""

    files: int
    first: str
    """Where one of them is; it ends with the path of its entry. Empty if there are none."""


@runtime_checkable
class EntriesSystem(Protocol):
    """One table of `entries` whose data files nobody ever wrote."""

    def build(self, count: int) -> None:
        """A new table with that many entries, added in a hundred commits."""

    def open(self, way: str) -> Plan:
        """Read the table as a new process would; the answer plans to look for an id, in one of the system's ways."""


def as_table(stream: Any) -> pa.Table:
    """An Arrow stream of any library as PyArrow's table."""
    return pa.RecordBatchReader.from_stream(stream).read_all()
