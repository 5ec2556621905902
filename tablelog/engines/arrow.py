"""A scan plan as a stream of Arrow batches: exact types, insertion order, one file at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow as pa

from tablelog.format.layout import column_sources
from tablelog.format.types import Map, children, with_children
from tablelog.parquet.arrow import arrow_schema
from tablelog.parquet.reader import read_batches

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tablelog.format.types import DataType, Field
    from tablelog.ops.scan import ScanPlan
    from tablelog.store.base import ObjectStore


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


def read_plan(plan: ScanPlan, store: ObjectStore) -> pa.RecordBatchReader:
    """All rows of the files of a plan, in batches of at most 131,072. The predicate only chose the files."""

    def batches() -> Iterator[pa.RecordBatch]:
        for file in plan.files:
            sources = column_sources(plan.fields, plan.state.metadata.schemas[file.schema_id])
            yield from read_batches(store, file, sources, schema)

    schema = plain_schema(plan.fields)
    return pa.RecordBatchReader.from_batches(schema, batches())
