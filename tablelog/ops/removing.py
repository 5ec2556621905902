"""Rows out of files: what becomes of each file of which some go.

    all of its rows are gone        the file is removed
    more than half are              its surviving rows move to a new file, and it is removed
    fewer                           the file stays, with a deletion vector: inside the commit if it is small, else in a
                                    Puffin file that all large vectors of the commit share

A plan may be made again after a lost race; vectors and files that are the same again are not written again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import pyarrow.compute as pc

from tablelog import env
from tablelog.format import names
from tablelog.format.actions import RowChange, again, removal
from tablelog.format.vector import INLINE_BYTES_MAX, DeletionVector, Gone
from tablelog.ops.write import write_rows
from tablelog.parquet.contents import read_vectors
from tablelog.parquet.reader import read_every_row
from tablelog.parquet.vectors import NO_ROWS, deleted_mask, encode_puffin, encode_vector

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import pyarrow as pa
    from pyroaring import BitMap

    from tablelog.format.actions import Action, AddFile
    from tablelog.log.metadata import Metadata
    from tablelog.store.base import ObjectStore

MOSTLY: Final = 0.5
"""The share of deleted rows from which on a file is not worth reading any more."""
_INLINE_TOTAL_BYTES_MAX: Final = 16 * 1024
"""Vectors inside one commit; every reader of the log reads them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaving:
    """Live rows of one file that go."""

    file: AddFile
    deleted: BitMap = NO_ROWS
    updated: BitMap = NO_ROWS
    """Those that come back changed."""

    @property
    def rows(self) -> BitMap:
        """All of them."""
        return self.deleted | self.updated


class Removing:
    """Takes rows out of files; may be asked again after each lost race."""

    def __init__(self, store: ObjectStore, *, moves: bool = True) -> None:
        """Write what has to be written to a table's store; without `moves` survivors stay where they are."""
        self._store = store
        self._may_move = moves
        self._stored: dict[tuple[str, str], tuple[BitMap, DeletionVector]] = {}
        """By path and what the vector is for."""
        self._moved: dict[str, tuple[BitMap, tuple[AddFile, ...]]] = {}

    def actions(self, metadata: Metadata, leaving: Iterable[Leaving]) -> list[Action]:
        """What takes the rows out. One put if there are large vectors, and one per file that survivors move to."""
        every = [each for each in leaving if each.deleted or each.updated]
        vectors = read_vectors(self._store, (each.file for each in every))
        gone = {each.file.path: each.rows | vectors.get(each.file.path, NO_ROWS) for each in every}
        is_update = any(each.updated for each in every)  # rows that only go have to say so then
        needed: dict[tuple[str, str], BitMap] = {}
        for each in every:
            path, is_mixed = each.file.path, bool(each.deleted) and is_update
            if is_mixed or self._moves(each.file, gone[path]):
                needed |= {(path, "deleted"): each.deleted} if each.deleted else {}
                needed |= {(path, "updated"): each.updated} if each.updated else {}
            if not self._moves(each.file, gone[path]) and (is_mixed or len(gone[path]) < each.file.row_count):
                needed[path, "vector"] = gone[path]
        self._store_vectors(needed)
        actions: list[Action] = []
        for each in every:
            path = each.file.path
            actions.append(removal(each.file))
            images = self._images(path, needed)
            if self._moves(each.file, gone[path]):
                first, *more = self._survivors(each.file, gone[path], metadata)
                actions += [replace(first, gone=images), *more]
            elif (path, "vector") in needed:
                vector = self._stored[path, "vector"][1]
                actions.append(again(each.file, deleted=vector, gone=images))
        return actions

    def without(self, file: AddFile, rows: BitMap) -> AddFile:
        """A file that is not in the table yet, without some of its rows. One put if they are many."""
        self._store_vectors({(file.path, "vector"): rows})
        return replace(file, deleted=self._stored[file.path, "vector"][1])

    def _moves(self, file: AddFile, gone: BitMap) -> bool:
        """Whether what is left of a file moves to a new one."""
        return self._may_move and not file.is_inlined and file.row_count * MOSTLY < len(gone) < file.row_count

    def _images(self, path: str, needed: Mapping[tuple[str, str], BitMap]) -> Gone | None:
        deleted, updated = (
            self._stored[path, kind][1] if (path, kind) in needed else None for kind in ("deleted", "updated")
        )
        return Gone(path=path, deleted=deleted, updated=updated) if deleted or updated else None

    def _store_vectors(self, needed: Mapping[tuple[str, str], BitMap]) -> None:
        """Make sure that vectors are stored; those that are inside the commit are with that."""
        new = {place: rows for place, rows in needed.items() if self._stored.get(place, (None,))[0] != rows}
        large: list[tuple[tuple[str, str], BitMap]] = []
        total = 0
        for place, rows in new.items():
            blob = encode_vector(rows)
            total += len(blob)
            if len(blob) > INLINE_BYTES_MAX or total > _INLINE_TOTAL_BYTES_MAX:
                large.append((place, rows))
                continue
            self._stored[place] = rows, DeletionVector(row_count=len(rows), inline=blob)
        if not large:
            return
        data, places = encode_puffin([(path, rows) for (path, _), rows in large])
        key = names.deletes_file(env.new_id())
        self._store.put(key, data)
        for (place, rows), (offset, size) in zip(large, places, strict=True):
            vector = DeletionVector(row_count=len(rows), path=key, offset=offset, size_bytes=size)
            self._stored[place] = rows, vector

    def _survivors(self, file: AddFile, gone: BitMap, metadata: Metadata) -> tuple[AddFile, ...]:
        """The rows of a file that stay, in new files."""
        known = self._moved.get(file.path)
        if known is None or known[0] != gone:
            rows = live_rows(self._store, file, gone, metadata)
            written = write_rows(self._store, metadata, rows, change=RowChange.NONE)
            known = self._moved[file.path] = gone, written.files
        return known[1]


def live_rows(store: ObjectStore, file: AddFile, gone: BitMap, metadata: Metadata) -> Iterator[pa.RecordBatch]:
    """The rows of a file but some, in order, in today's columns."""
    start = 0
    for batch in read_every_row(store, file, metadata.schemas[file.schema_id], metadata.schema.fields):
        yield batch.filter(pc.invert(deleted_mask(gone, start, batch.num_rows)))
        start += batch.num_rows
