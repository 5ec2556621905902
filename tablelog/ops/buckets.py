"""Equality on a bucketed column leaves only the files of the right buckets; bounds cannot see that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tablelog.errors import InvalidError
from tablelog.format.partitioning import Transform
from tablelog.format.predicate import equalities
from tablelog.format.values import demote
from tablelog.parquet.transform import transform_scalar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tablelog.format.partitioning import PartitionField
    from tablelog.format.predicate import Predicate
    from tablelog.format.schema import Schema
    from tablelog.format.types import DataType, Scalar
    from tablelog.log.metadata import Metadata


class Buckets:
    """Which partitions may hold rows for which a predicate is TRUE."""

    def __init__(self, metadata: Metadata, predicate: Predicate) -> None:
        """Find the equalities that every such row fulfils."""
        self._metadata = metadata
        bucketed = {
            field.source_id
            for partitioning in metadata.partitionings.values()
            for field in partitioning.fields
            if field.transform is Transform.BUCKET
        }
        self.equalities = {field_id: each for field_id, each in equalities(predicate).items() if field_id in bucketed}
        """Values by bucketed field."""
        self._allowed: dict[tuple[PartitionField, DataType], frozenset[Scalar | None] | None] = {}

    def may_hold(self, partitioning_id: int, schema_id: int, values: Sequence[Any]) -> bool:
        """Whether files with these partition values may hold such a row."""
        if not self.equalities or not values:
            return True
        if partitioning_id not in self._metadata.partitionings or schema_id not in self._metadata.schemas:
            return False  # they were added later
        fields = self._metadata.partitionings[partitioning_id].fields
        written = self._metadata.schemas[schema_id]
        return all(
            (allowed := self._allowed_values(field, written)) is None or value in allowed
            for field, value in zip(fields, values, strict=True)
            if field.transform is Transform.BUCKET and field.source_id in self.equalities
        )

    def _allowed_values(self, field: PartitionField, written: Schema) -> frozenset[Scalar | None] | None:
        """Buckets of files of a schema, None for all: values are hashed as the type that the column had there."""
        source, today = written.by_id(field.source_id), self._metadata.schema.by_id(field.source_id)
        assert source is not None
        assert today is not None
        if (field, source.type) not in self._allowed:
            members = self.equalities[field.source_id]
            narrow = (demote(member, source.type, today.type) for member in members)
            buckets = (transform_scalar(member, field, source.type) for member in narrow if member is not None)
            try:
                self._allowed[field, source.type] = frozenset(buckets)
            except InvalidError:  # a value of another type: nothing is known of where it lies
                self._allowed[field, source.type] = None
        return self._allowed[field, source.type]
