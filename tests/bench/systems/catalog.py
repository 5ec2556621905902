"""Which systems there are, what they need, and what to say of them beside their figures."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """One system, or one way to set it up."""

    name: str
    module: str
    """Under `tests.bench.systems`; has a function `make(place, **settings) -> System`."""
    packages: tuple[str, ...] = ()
    """Distributions whose versions are reported; the first decides whether the system is here at all."""
    settings: Mapping[str, object] = field(default_factory=dict)
    environment: str | None = None
    """An interpreter of its own, see `environments`."""
    durable: str
    """What a commit that returned survives."""


_CACHED: Final = "no fsync"
_DUCKLAKE: Final = "catalog fsynced, data files not"

SPECS: Final = {
    spec.name: spec
    for spec in (
        Spec(
            name="tablelog",
            module="tablelog_lake",
            packages=("tablelog", "duckdb", "polars", "pyarrow"),
            durable="fsync of every file and its folder",
        ),
        Spec(
            name="tablelog-keyed",
            module="tablelog_lake",
            packages=("tablelog", "duckdb", "polars", "pyarrow"),
            settings={"key": "id"},
            durable="fsync of every file and its folder",
        ),
        Spec(
            name="tablelog-plain",
            module="tablelog_lake",
            packages=("tablelog", "duckdb", "polars", "pyarrow"),
            settings={"properties": {"auto_compact": "off", "inline_max_bytes": "0"}},
            durable="fsync of every file and its folder",
        ),
        Spec(
            name="tablelog-sorted",
            module="tablelog_lake",
            packages=("tablelog", "duckdb", "polars", "pyarrow"),
            settings={"properties": {"auto_compact": "off", "inline_max_bytes": "0"}, "sort_by": "placed_at"},
            durable="fsync of every file and its folder",
        ),
        Spec(
            name="floor",
            module="floor",
            packages=("pyarrow",),
            settings={"durable": True},
            durable="fsync of every file and its folder",
        ),
        Spec(name="floor-cached", module="floor", packages=("pyarrow",), settings={"durable": False}, durable=_CACHED),
        Spec(name="deltalake", module="delta", packages=("deltalake",), durable=_CACHED),
        Spec(
            name="deltalake-handle",
            module="delta",
            packages=("deltalake",),
            settings={"by_handle": True},
            durable=_CACHED,
        ),
        Spec(
            name="pyiceberg", module="iceberg", packages=("pyiceberg",), durable="catalog (SQLite) fsynced, files not"
        ),
        Spec(name="lance", module="lance_dataset", packages=("pylance",), durable=_CACHED),
        Spec(
            name="ducklake",
            module="ducklake",
            packages=("duckdb-extension-ducklake", "duckdb"),
            environment="ducklake",
            durable=_DUCKLAKE,
        ),
        Spec(
            name="ducklake-inline",
            module="ducklake",
            packages=("duckdb-extension-ducklake", "duckdb"),
            settings={"inline_rows": 1000},
            environment="ducklake",
            durable="catalog, rows in it, fsynced",
        ),
        Spec(
            name="ducklake-sqlite",
            module="ducklake",
            packages=("duckdb-extension-ducklake", "duckdb"),
            settings={"catalog": "sqlite"},
            environment="ducklake",
            durable=_DUCKLAKE,
        ),
    )
}
