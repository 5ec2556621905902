"""A scan plan as a stream of Arrow batches: exact types, insertion order, one file at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from tablelog.format.types import Map, children, with_children
from tablelog.parquet.arrow import arrow_schema
from tablelog.parquet.contents import read_inlined, read_vectors
from tablelog.parquet.plain import ints
from tablelog.parquet.reader import read_batches, read_every_row
from tablelog.parquet.vectors import deleted_mask
from tablelog.store.base import is_far

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tablelog.format.actions import AddFile
    from tablelog.format.schema import Schema
    from tablelog.format.types import DataType, Field
    from tablelog.ops.scan import ScanPlan
    from tablelog.store.base import ObjectStore

_AHEAD: Final = 256
"""Files whose rows inside the log are fetched together; such rows are at most some 100 KB."""


def plain_schema(fields: tuple[Field, ...]) -> pa.Schema:
    """The columns as Arrow has them, without the field ids that files carry."""
    return arrow_schema(map(_without_ids, fields))


def _without_ids(field: Field) -> Field:
    inside = tuple(map(_without_ids, children(field.type)))
    return replace(field, id=0, type=with_children(field.type, inside))


def loose_schema(fields: tuple[Field, ...]) -> pa.Schema:
    """The same of what an engine gives back: where a struct is null, so is every field in it, not null or not."""
    return plain_schema(tuple(replace(field, type=_loose(field.type)) for field in fields))


def _loose(type_: DataType) -> DataType:
    inside = tuple(replace(child, nullable=True, type=_loose(child.type)) for child in children(type_))
    return (
        Map(replace(inside[0], nullable=False), inside[1]) if isinstance(type_, Map) else with_children(type_, inside)
    )


FILE_NUMBER: Final = "\x1ffile"
ROW_NUMBER: Final = "\x1frow"
"""Names of places beside a table's columns, which have no control characters."""


def inlined_rows(
    files: Sequence[AddFile], fields: tuple[Field, ...], store: ObjectStore, schemas: Mapping[int, Schema]
) -> pa.Table:
    """Rows of files inside the log that are in the table, as these fields. At most one get a file, side by side."""
    _fetch(files, store, schemas)
    schema = plain_schema(fields)
    batches = (batch for file in files for batch in read_batches(store, file, schemas[file.schema_id], fields, schema))
    return pa.Table.from_batches(batches, schema)


def _fetch(files: Sequence[AddFile], store: ObjectStore, schemas: Mapping[int, Schema]) -> None:
    """Get rows inside the log all at once, so that whoever reads file by file finds them in memory."""
    read_inlined(store, [file for file in files if file.is_inlined], schemas)


def numbered_rows(
    files: Sequence[tuple[int, AddFile]], fields: tuple[Field, ...], store: ObjectStore, schemas: Mapping[int, Schema]
) -> pa.Table:
    """The same with the number of the file, which is given, and that of the row inside it as two more columns."""
    _fetch([file for _, file in files], store, schemas)
    schema = plain_schema(fields)
    numbered = schema.append(pa.field(FILE_NUMBER, pa.int64())).append(pa.field(ROW_NUMBER, pa.int64()))
    vectors = read_vectors(store, [file for _, file in files])
    tables: list[pa.Table] = []
    for number, file in files:
        start = 0
        for batch in read_every_row(store, file, schemas[file.schema_id], fields, schema):
            count = batch.num_rows
            rows = ints(range(start, start + count))
            table = pa.Table.from_arrays([*batch.columns, ints([number] * count), rows], schema=numbered)
            deleted = vectors.get(file.path)
            tables.append(table if deleted is None else table.filter(pc.invert(deleted_mask(deleted, start, count))))
            start += count
    return pa.concat_tables(tables or [pa.Table.from_batches([], numbered)])


def _at_hand(plan: ScanPlan, store: ObjectStore) -> Iterator[AddFile]:
    """The files of a plan; rows inside the log, and vectors, are fetched many at a time before they are needed."""
    if not is_far(store):
        yield from plan.files
        return
    for start in range(0, len(plan.files), _AHEAD):
        files = plan.files[start : start + _AHEAD]
        read_inlined(store, [file for file in files if file.is_inlined], plan.state.metadata.schemas)
        read_vectors(store, files)
        yield from files


def read_plan(plan: ScanPlan, store: ObjectStore) -> pa.RecordBatchReader:
    """All rows of the files of a plan, in batches of at most 131,072. The predicate only chose the files."""

    def batches() -> Iterator[pa.RecordBatch]:
        for file in _at_hand(plan, store):
            yield from read_batches(store, file, plan.state.metadata.schemas[file.schema_id], plan.fields, schema)

    schema = plain_schema(plan.fields)
    return pa.RecordBatchReader.from_batches(schema, batches())
