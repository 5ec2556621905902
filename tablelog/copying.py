"""A table, or a whole lake, at another place as well: history and all, between any two stores.

copy("./lake", "s3://bucket/lake")       every table, dropped ones too, and then their names
copy("./lake", "s3://bucket/lake")       again, later: what is new since

Stopped at any moment, the copy is an older table, or an older lake, or there is none yet. See `ops.copy` for the order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tablelog.catalog import Catalog
from tablelog.errors import CorruptionError, InvalidError, NotFoundError
from tablelog.format import names
from tablelog.ops.copy import LogCopy, TableCopy, copy_plain, copy_table
from tablelog.ops.transfer import Transfer
from tablelog.store.open import open_store

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping
    from typing import Any

    from tablelog.catalog import CatalogState
    from tablelog.store.base import ObjectStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """What was copied."""

    source: str
    target: str
    tables: tuple[TableCopy, ...]
    """The tables that are at the target now; one with an empty path if it was copied alone."""
    objects: int
    """Objects that were written now; 0 if there was nothing new."""
    size_bytes: int
    """Bytes of them."""


def copy(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    source_options: Mapping[str, Any] | None = None,
    target_options: Mapping[str, Any] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Copy:
    """Copy a lake, or the table in a folder, to another place, with all versions that can be read.

    What is at the target already is not copied again, so a copy that was interrupted goes on, and one that is repeated
    brings what is new. Nothing is overwritten. Every byte is held against its checksum on the way. Writers may go on
    meanwhile: each table is copied up to the version that it has when its turn comes. `on_progress` is called with
    bytes of rows: those that are there, and those that are known to be needed. Tables that were dropped are copied as
    long as their folders are there.

    One get and one put per object, side by side; one list of the target before and one after.

    Raises:
        NotFoundError: there is neither a lake nor a table at the source.
        InvalidError: the target cannot hold one (P1), holds another one, or one that somebody has written to; or the
            table needs files of another table of its lake.
        CorruptionError: an object is missing at the source, or damaged; it is named, and not at the target.
        ConflictError: history expired at the source meanwhile; copy again.
        StoreError: the storage failed; copy again.

    """
    here, there = open_store(source, source_options), open_store(target, target_options)
    if here.url == there.url:
        raise InvalidError(f"{here.url} cannot be copied to itself; name another place")
    transfer = Transfer(here, there, on_progress)
    catalog = _names_at(here)
    _refuse_other_kind(transfer, is_lake=catalog is not None)
    tables = (copy_table(transfer, ""),) if catalog is None else _copy_lake(transfer, catalog)
    transfer.check()
    return Copy(
        source=here.url,
        target=there.url,
        tables=tables,
        objects=transfer.object_count,
        size_bytes=transfer.size_bytes,
    )


def _names_at(store: ObjectStore) -> CatalogState | None:
    """The names of a lake; None if there is no lake."""
    try:
        return Catalog(store).state()
    except NotFoundError:
        return None


def _refuse_other_kind(transfer: Transfer, *, is_lake: bool) -> None:
    """Never put a lake where a table is, or a table where a lake is."""
    kind, other = ("lake", "table") if is_lake else ("table", "lake")
    beginning = (names.LOG if is_lake else names.CATALOG) + names.commit(0)
    if beginning in transfer.there:
        raise InvalidError(
            f"{transfer.target.url} is a {other}, and {transfer.source.url} a {kind}; copy it to another folder"
        )


def _copy_lake(transfer: Transfer, catalog: CatalogState) -> tuple[TableCopy, ...]:
    """All tables, and then the names, which say that there are tables."""
    log = LogCopy(transfer, names.CATALOG, catalog.version)  # another lake at the target is found before it is changed
    tables: list[TableCopy] = []
    for entry in catalog.entries.values():
        try:
            tables.append(copy_table(transfer, f"{entry.path}/"))
        except NotFoundError as error:
            if entry.dropped_version is None:
                raise CorruptionError(f"the lake names {entry.name}, which is not there: {error}") from error
    copy_plain(log)
    return tuple(tables)
