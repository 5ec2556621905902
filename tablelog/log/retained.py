"""Which objects the versions that can be read need, and which versions those are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from tablelog.format.vector import decode_gone, decode_vector_place
from tablelog.log.merging import merge
from tablelog.parquet.plain import ints, scalar

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tablelog.format.vector import DeletionVector
    from tablelog.log.blocks import Block
    from tablelog.log.history import TableHistory

Span = tuple[int, int]
"""First and last version of some that follow one another."""


def kept_rows(history: TableHistory, since: int = -1) -> Iterator[tuple[Block, list[int]]]:
    """Files that came after a version and that some version needs which can be read: places in blocks."""
    parts = [part for part in history.lineage.parts if part.last > since]
    if not parts:
        return
    whole = merge(parts, history.reader)
    for block in (*whole.live, *whole.dead):
        versions = block.columns(("added", "removed"))
        ends: Any = pc.greater(versions["removed"], scalar(history.horizon, pa.int64()))
        came: Any = pc.greater(versions["added"], scalar(since, pa.int64()))
        yield block, pc.indices_nonzero(pc.and_(ends.fill_null(True), came)).to_pylist()


def retained(history: TableHistory) -> dict[str, Span]:
    """Paths of data files, of rows inside the log and of vectors, with the versions that need them, as far as kept.

    That is every version from the horizon on, and every change feed that begins there or later: what a commit after the
    horizon took away is named by vectors of its own.
    """
    spans: dict[str, Span] = {}
    horizon, newest = history.horizon, history.lineage.newest
    for block, places in kept_rows(history):
        rows = block.table([name for name in ("path", "added", "removed", *VECTORS) if name in block.column_names])
        for row in rows.take(ints(places)).to_pylist():
            span = max(row["added"], horizon), newest if row["removed"] is None else row["removed"] - 1
            named = [(row["path"], *span)]
            for vector, is_change in vectors_of(row, horizon):
                named.append((str(vector.path), row["added"], row["added"]) if is_change else (str(vector.path), *span))
            for path, first, last in named:
                known = spans.get(path, (first, last))
                spans[path] = min(known[0], first), max(known[1], last)
    return spans


VECTORS: Final = ("deletes", "gone")
"""Columns of files that say where vectors are."""


def vectors_of(row: Mapping[str, Any], horizon: int) -> Iterator[tuple[DeletionVector, bool]]:
    """Vectors in objects of their own that a kept file needs, and whether only a change feed reads them."""
    found: list[tuple[DeletionVector | None, bool]] = []
    if row.get("deletes") is not None:
        found.append((decode_vector_place(json.loads(row["deletes"])), False))
    if row.get("gone") is not None and row["added"] > horizon:
        gone = decode_gone(json.loads(row["gone"]))
        found += ((gone.deleted, True), (gone.updated, True))
    yield from ((vector, is_change) for vector, is_change in found if vector is not None and vector.path is not None)
