"""What a Parquet footer knows of a file's columns, as the log keeps it.

A footer has bounds and null counts per row group and leaf column, in Parquet's physical types. They are merged over
row groups, given back their meaning and shortened. Leaves are told apart by their place: depth first, as the schema has
them. Fields under lists and maps are left out, because a bound of elements says little about a row.

When in doubt there is no bound. Doubt is: a row group with values but without bounds (the writer drops those of very
long values), text that is no text, NaN. Footers do not count NaNs, so whoever wrote the file brings their number.
"""

from __future__ import annotations

import decimal
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, assert_never

from tablelog.format.statistics import FieldStatistics, shorten_max, shorten_min
from tablelog.format.types import Decimal, List, Map, Primitive, Struct, Time, Timestamp, children, is_float

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import pyarrow.parquet as pq

    from tablelog.format.schema import Schema
    from tablelog.format.types import DataType, Field, Scalar

_UNSIGNED = {Primitive.UINT32: 1 << 32, Primitive.UINT64: 1 << 64}


def statistics_from_metadata(
    metadata: pq.FileMetaData, schema: Schema, nan_counts: Mapping[int, int]
) -> dict[int, FieldStatistics]:
    """By field id, for every flat field at the top or inside structs of a file written under `schema`.

    `nan_counts` has the NaNs of float fields by id; those it does not name may have any number.
    """
    leaves = tuple(_leaves(schema.fields, counted=True))
    assert len(leaves) == metadata.num_columns, f"the schema has {len(leaves)} leaves, the file {metadata.num_columns}"
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    return {
        field.id: _merged((group.column(place) for group in groups), field, nan_counts)
        for place, field in enumerate(leaves)
        if field is not None
    }


def leaf_place(schema: Schema, field_id: int) -> int:
    """Where a flat column stands among the leaf columns of a file written under a schema."""
    leaves = enumerate(_leaves(schema.fields, counted=True))
    return next(place for place, field in leaves if field is not None and field.id == field_id)


def _leaves(fields: Iterable[Field], *, counted: bool) -> Iterator[Field | None]:
    """Leaf columns in the file's order; None for those under lists and maps."""
    for field in fields:
        inner = children(field.type)
        if inner:
            yield from _leaves(inner, counted=counted and isinstance(field.type, Struct))
        else:
            yield field if counted else None


@dataclass(slots=True)
class _Bounds:
    """Merges row groups of one column."""

    low: Any = None
    high: Any = None
    null_count: int = 0
    unbounded_count: int = 0
    """Values in row groups that say nothing about them."""
    nulls_known: bool = True

    def add(self, column: pq.ColumnChunkMetaData, type_: DataType) -> None:
        known: Any = column.statistics
        null_count = known.null_count if known is not None and known.has_null_count else None
        self.null_count += null_count or 0
        self.nulls_known &= null_count is not None
        bounds = _values(known, type_) if known is not None and known.has_min_max else None
        if bounds is None:
            self.unbounded_count += column.num_values - (null_count or 0)
            return
        low, high = bounds
        self.low = low if self.low is None else min(self.low, low)
        self.high = high if self.high is None else max(self.high, high)


def _merged(columns: Iterable[pq.ColumnChunkMetaData], field: Field, nan_counts: Mapping[int, int]) -> FieldStatistics:
    bounds = _Bounds()
    for column in columns:
        bounds.add(column, field.type)
    nan_count = nan_counts.get(field.id) if is_float(field.type) else 0
    # Row groups of nothing but NaN have no bounds, and that is no doubt: bounds say nothing about NaN.
    if bounds.unbounded_count > (nan_count or 0):
        bounds.low = bounds.high = None
    low, high = _widened(bounds.low, bounds.high)
    return FieldStatistics(
        min=None if low is None else shorten_min(low),
        max=None if high is None else shorten_max(high),
        null_count=bounds.null_count if bounds.nulls_known else None,
        nan_count=nan_count,
    )


def _widened(low: Any, high: Any) -> tuple[Any, Any]:
    """The two zeros are one number but two values; the bounds hold both."""
    if isinstance(low, float):
        return (-0.0 if low == 0 else low), (0.0 if high == 0 else high)
    return low, high


def bounds_without_nulls(column: pq.ColumnChunkMetaData, type_: DataType) -> tuple[Scalar, Scalar] | None:
    """Smallest and largest value of a column chunk without nulls, or None if that is not known."""
    known: Any = column.statistics
    if known is None or not known.has_min_max or not known.has_null_count or known.null_count:
        return None
    return _values(known, type_)


def _values(known: Any, type_: DataType) -> tuple[Scalar, Scalar] | None:
    """Smallest and largest value of a row group, or None if they cannot be relied on."""
    try:
        low, high = _value(known.min_raw, type_), _value(known.max_raw, type_)
    except UnicodeDecodeError:
        return None
    if isinstance(low, float) and isinstance(high, float) and (math.isnan(low) or math.isnan(high)):
        return None
    return low, high


def _value(raw: Any, type_: DataType) -> Scalar:
    """A physical value of Parquet's as the log holds it."""
    match type_:
        case Primitive.STRING:
            return bytes(raw).decode()
        case Primitive.BINARY:
            return bytes(raw)
        case Primitive.BOOLEAN:
            return bool(raw)
        case Primitive.FLOAT32 | Primitive.FLOAT64:
            return float(raw)
        case Primitive.UINT32 | Primitive.UINT64:
            return int(raw) % _UNSIGNED[type_]
        case Primitive() | Time() | Timestamp():
            return int(raw)
        case Decimal(scale=scale):
            unscaled = int.from_bytes(raw, "big", signed=True) if isinstance(raw, bytes) else int(raw)
            return decimal.Decimal((int(unscaled < 0), tuple(map(int, str(abs(unscaled)))), -scale))
        case List() | Map() | Struct():
            raise AssertionError(type_)
        case _:
            assert_never(type_)
