"""Where files lie in a table's order: the range of its first column that each covers, and how deep ranges lie.

    file a   |-----------|
    file b         |-----------|          depth 3 where a, b and c overlap: a look there opens three files
    file c           |--|
    file d                        |--|

The order is the table's sort order or, without one, its key. Ranges come from the bounds in the log, column by column,
in the type that the column has today. A bound that is not known is taken for endless. Null is no place in the order:
a file in which the column is always null lies nowhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from tablelog.log.file_rows import bound_type, max_column, min_column, nulls_column
from tablelog.parquet.arrow import default_scalar
from tablelog.parquet.plain import scalar

if TYPE_CHECKING:
    from tablelog.format.types import DataType, Field
    from tablelog.log.blocks import Column
    from tablelog.log.metadata import Metadata


@dataclass(frozen=True, slots=True)
class Ranges:
    """What files cover of a column, bounds included."""

    low: Column
    """Null where the lower bound is not known."""
    high: Column
    nowhere: Column
    """Whether a file has no value in the column at all."""


def order_field(metadata: Metadata) -> Field | None:
    """The column that comes first in a table's order; None if it has none."""
    return metadata.schema.by_id(metadata.order[0].field_id) if metadata.order else None


def range_columns(metadata: Metadata, field: Field) -> list[str]:
    """Columns of the log that `ranges_of` looks at beside `schema` and `rows`."""
    types = {physical.type for schema in metadata.schemas.values() if (physical := schema.by_id(field.id)) is not None}
    bounds = (name(field.id, type_) for type_ in sorted(types, key=str) for name in (min_column, max_column))
    return [*bounds, nulls_column(field.id)]


def ranges_of(files: pa.Table, metadata: Metadata, field: Field) -> Ranges:
    """The ranges of files, of which `files` has the columns `schema`, `rows` and `range_columns`."""
    schema_ids, rows, nulls = (_whole(files, name) for name in ("schema", "rows", nulls_column(field.id)))
    target: Any = bound_type(field.type)
    count = len(schema_ids)
    low, high = pa.nulls(count, target), pa.nulls(count, target)
    nowhere: Any = pc.fill_null(pc.greater_equal(nulls, rows), scalar(0, pa.int64()).cast(pa.bool_()))
    for type_, ids in _types_of(field, metadata, schema_ids).items():
        among: Any = pc.is_in(schema_ids, value_set=pa.array(ids, pa.int64()))
        if type_ is not None:
            bounds = [_cast(_whole(files, name(field.id, type_)), target) for name in (min_column, max_column)]
        elif (default := default_scalar(field)).is_valid:
            bounds = [_repeated(default, count).cast(target)] * 2
        else:  # they are older than the column, and read as null
            nowhere = pc.or_(nowhere, among)
            continue
        low, high = (pc.if_else(among, new, old) for new, old in zip(bounds, (low, high), strict=True))
    return Ranges(low, high, nowhere)


def depth(ranges: Ranges, groups: Column) -> int:
    """How many ranges of one group overlap where the most do; `groups` has a number for each file.

    A sweep along the column: ranges that begin count up, those that end count down, and what begins at a place comes
    before what ends there.
    """
    somewhere: Any = pc.invert(ranges.nowhere)
    low, high, group = (column.filter(somewhere) for column in (ranges.low, ranges.high, groups))
    if not len(low):
        return 0
    before, inside, after = (scalar(side, pa.int8()) for side in (-1, 0, 1))
    begins, ends = pa.repeat(scalar(0, pa.int8()), len(low)), pa.repeat(scalar(1, pa.int8()), len(low))
    events: dict[str, Column] = {
        "group": pa.concat_arrays([group, group]),
        "side": pa.concat_arrays(
            [pc.if_else(pc.is_null(low), before, inside), pc.if_else(pc.is_null(high), after, inside)]
        ),
        "value": pa.concat_arrays([low, high]),
        "end": pa.concat_arrays([begins, ends]),
    }
    order = pc.sort_indices(pa.table(events), sort_keys=[(name, "ascending") for name in events])
    up, down = (pa.repeat(scalar(step, pa.int64()), len(low)) for step in (1, -1))
    steps: Any = pa.concat_arrays([up, down]).take(order)
    return int(pc.max(pc.cumulative_sum(steps)).as_py())


def _types_of(field: Field, metadata: Metadata, schema_ids: Column) -> dict[DataType | None, list[int]]:
    """Schemas that files were written under, by the type that the column has there; None where it has none."""
    found: dict[DataType | None, list[int]] = {}
    for schema_id in schema_ids.unique().to_pylist():
        physical = metadata.schemas[schema_id].by_id(field.id)
        found.setdefault(None if physical is None else physical.type, []).append(schema_id)
    return found


def _repeated(value: Any, count: int) -> Column:
    return pa.repeat(value, count)


def _cast(bounds: Column, target: Any) -> Column:
    """Bounds in the type of today; if it cannot hold one of them nothing is known."""
    try:
        return bounds.cast(target)
    except pa.ArrowException:
        return pa.nulls(len(bounds), target)


def _whole(files: pa.Table, name: str) -> Column:
    """A column in one piece."""
    return files.column(name).combine_chunks()
