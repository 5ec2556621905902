"""One live row per key: new rows against each other and against the rows that stay.

Only the key columns are looked at, and of the table only files whose key ranges meet those of the new rows and whose
key filters do not rule all of the keys out. When a plan is made again after a lost race, files that were looked into
are not read again. Because the commit stands or falls with the state that it was planned on, two writers cannot both
add one key.

Memory grows with the keys of the new rows, about as large as those columns are in Arrow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from tablelog.errors import ConflictError, InvalidError
from tablelog.format.predicate import And, Comparison, Operator, is_in
from tablelog.ops.scan import plan_scan
from tablelog.ops.sought import sought_in
from tablelog.parquet.arrow import arrow_schema, stored_value
from tablelog.parquet.reader import read_batches

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tablelog.format.actions import AddFile
    from tablelog.format.predicate import Predicate
    from tablelog.format.types import Field
    from tablelog.format.vector import DeletionVector
    from tablelog.log.metadata import Metadata
    from tablelog.log.state import TableState
    from tablelog.store.base import ObjectStore


_FEW: Final = 256
"""So many keys are looked for one by one in what the log knows."""


class KeyCheck:
    """The keys of rows on their way into a table."""

    def __init__(self, store: ObjectStore, metadata: Metadata, *, again: bool = False) -> None:
        """Watch rows that are written under `metadata`."""
        self._store = store
        fields = (metadata.schema.by_id(field_id) for field_id in metadata.key)
        self._fields = tuple(field for field in fields if field is not None)
        self._names = [field.name for field in self._fields]
        self._batches: list[pa.RecordBatch] = []
        self._keys: pa.Table | None = None
        self._looked_into: set[tuple[str, int | None, DeletionVector | None]] = set()
        """By checksum too: rows of a commit that was not made may lie where those of another one came to lie."""
        self._planned = again

    def observe(self, batch: pa.RecordBatch) -> None:
        """Remember the keys of a batch that is being written."""
        self._batches.append(batch.select(self._names))

    def require_unique(self, state: TableState) -> None:
        """Make sure that the new rows leave one row per key in a state that does not have them yet.

        Raises:
            InvalidError: a key is there twice.
            ConflictError: a key was added by somebody else while the rows were being written.

        """
        keys = self.unique_keys()
        if not keys.num_rows:
            return
        sought = sought_in(state.metadata, keys)
        for file in plan_scan(state, None, key_ranges(self._fields, keys), sought=sought).files:
            place = (file.path, file.crc32, file.deleted)
            if place not in self._looked_into:
                self._refuse_common(state, file, keys)
                self._looked_into.add(place)
        self._planned = True

    def unique_keys(self) -> pa.Table:
        """The keys of the new rows.

        Raises:
            InvalidError: a key is there twice.

        """
        if self._keys is None:
            keys = pa.Table.from_batches(self._batches, schema=arrow_schema(self._fields))
            refuse_twice(keys)
            self._keys, self._batches = keys, []
        return self._keys

    def _refuse_common(self, state: TableState, file: AddFile, keys: pa.Table) -> None:
        for batch in read_batches(self._store, file, state.metadata.schemas[file.schema_id], self._fields):
            common = pa.Table.from_batches([batch]).join(keys, self._names, join_type="left semi")
            if common.num_rows:
                example = _shown(common)
                what = f"{common.num_rows:,} or more of the new keys are in the table already, for example {example}"
                if self._planned:
                    raise ConflictError(
                        f"{what}; they came in while these rows were being written; look at them and decide"
                    )
                raise InvalidError(f"{what}; delete or overwrite those rows, or leave the new ones out")


def key_check(store: ObjectStore, metadata: Metadata, *, again: bool = False) -> KeyCheck | None:
    """What watches over the keys of rows to be written; None for a table without a key.

    `again` says that they were found to fit before, so that somebody else is to blame if they do not any more.
    """
    return KeyCheck(store, metadata, again=again) if metadata.key else None


def refuse_twice(keys: pa.Table) -> None:
    """Make sure that no key comes twice; one with a null is like no other.

    Raises:
        InvalidError: one does; it is shown.

    """
    names = keys.column_names
    numbered = [str(place) for place in range(len(names))]  # a key may be called count_all itself
    # The two zeros are equal, but not to Arrow.
    columns = [pc.add(column, 0.0) if pa.types.is_floating(column.type) else column for column in keys.columns]
    table = pa.table(columns, names=numbered).drop_null()
    if len(numbered) == 1 and len(pc.unique(table.column(0))) == table.num_rows:
        return
    counted = table.group_by(numbered).aggregate([([], "count_all")])
    twice = counted.filter(pc.field("count_all") > 1).select(numbered).rename_columns(names)
    if twice.num_rows:
        raise InvalidError(
            f"{twice.num_rows:,} keys are there more than once among the new rows, for example {_shown(twice)}; "
            f"give one row for each"
        )


def key_ranges(fields: Sequence[Field], keys: pa.Table) -> Predicate:
    """What statistics can tell of keys: the few that there are, or from where to where they go, column by column."""
    parts: list[Predicate] = []
    for field in fields:
        column = keys.column(field.name)
        if keys.num_rows <= _FEW:
            members = (stored_value(value) for value in column.unique())
            parts.append(is_in(field.id, [value for value in members if value is not None]))
            continue
        bounds = pc.min_max(column)
        for side, operator in (("min", Operator.GREATER_OR_EQUAL), ("max", Operator.LESS_OR_EQUAL)):
            value = stored_value(bounds[side])
            if value is not None:
                parts.append(Comparison(field.id, operator, value))
    return And(tuple(parts))


def _shown(keys: pa.Table) -> str:
    row = keys.slice(0, 1).to_pylist()[0]
    return ", ".join(f"{name}={value!r}" for name, value in row.items())
