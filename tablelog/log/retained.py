"""Which objects the versions that can be read need, and which versions those are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from tablelog.format.vector import decode_gone, decode_vector_place
from tablelog.log.merging import merge
from tablelog.parquet.plain import scalar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tablelog.format.vector import DeletionVector
    from tablelog.log.blocks import Block
    from tablelog.log.history import TableHistory

Span = tuple[int, int]
"""First and last version of some that follow one another."""


def retained(history: TableHistory) -> dict[str, Span]:
    """Paths of data files, of rows inside the log and of vectors, with the versions that need them, as far as kept.

    That is every version from the horizon on, and every change feed that begins there or later: what a commit after the
    horizon took away is named by vectors of its own.
    """
    spans: dict[str, Span] = {}
    parts = history.lineage.parts
    if parts:
        whole = merge(parts, history.reader)
        for block in (*whole.live, *whole.dead):
            for path, first, last in _objects(block, history.horizon, history.lineage.newest):
                known = spans.get(path, (first, last))
                spans[path] = min(known[0], first), max(known[1], last)
    return spans


def _objects(block: Block, horizon: int, newest: int) -> Iterator[tuple[str, int, int]]:
    names = [name for name in ("path", "added", "removed", "deletes", "gone") if name in block.column_names]
    rows: Any = block.table(names)
    removed = rows.column("removed")
    kept = rows.filter(pc.or_kleene(pc.is_null(removed), pc.greater(removed, scalar(horizon, pa.int64()))))
    columns = {name: kept.column(name).to_pylist() for name in names}
    nothing = [None] * kept.num_rows
    deletes, gone = columns.get("deletes", nothing), columns.get("gone", nothing)
    for path, added, end, vector, taken in zip(
        columns["path"], columns["added"], columns["removed"], deletes, gone, strict=True
    ):
        span = max(added or 0, horizon), newest if end is None else end - 1
        yield path, *span
        if vector is not None:
            yield from ((place, *span) for place in _places(decode_vector_place(json.loads(vector))))
        if taken is not None and (added or 0) > horizon:
            said = decode_gone(json.loads(taken))
            yield from ((place, added, added) for place in _places(said.deleted, said.updated))


def _places(*vectors: DeletionVector | None) -> Iterator[str]:
    """The objects that vectors stand in, of those that do."""
    yield from (vector.path for vector in vectors if vector is not None and vector.path is not None)
