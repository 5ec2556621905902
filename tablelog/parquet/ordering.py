"""The order of rows inside files: columns, or the place on a curve through columns.

A Hilbert curve visits every cell of a grid, each next to the one before, so rows that are near on it are near in every
column. The grid has a line between values for as many rows in each column, whatever the values are: rows are placed by
their rank. Source of the formula: J. Skilling, Programming the Hilbert curve, AIP Conference Proceedings 707 (2004).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import pyarrow as pa
import pyarrow.compute as pc

from tablelog.parquet.plain import scalar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tablelog.format.actions import SortField
    from tablelog.format.schema import Schema

SortKey = tuple[str, Literal["ascending", "descending"]]
_BITS_MAX: Final = 12
"""Per column: 4,096 lines of the grid tell more apart than there are files."""
_INDEX_BITS: Final = 63


@dataclass(frozen=True, slots=True)
class Ordering:
    """How rows are sorted."""

    keys: tuple[SortKey, ...]
    curve: bool = False

    def indices(self, rows: pa.Table) -> Any:
        """Places of rows in their order, nulls last; equal rows stay as they came."""
        if not self.curve or len(self.keys) == 1:
            return pc.sort_indices(rows, sort_keys=list(self.keys))
        place = pa.table({"place": _places(rows.select([name for name, _ in self.keys]))})
        return pc.sort_indices(place, sort_keys=[("place", "ascending")])


def ordering(fields: Sequence[SortField], schema: Schema, *, curve: bool = False) -> Ordering | None:
    """A sort order in terms of Arrow; None if there is none."""
    names = {field.id: field.name for field in schema.fields}
    keys = tuple((names[each.field_id], _direction(each)) for each in fields)
    return Ordering(keys, curve) if keys else None


def _direction(field: SortField) -> Literal["ascending", "descending"]:
    return "descending" if field.descending else "ascending"


def _places(columns: pa.Table) -> Any:
    """Places of rows on the curve through the grid of their columns' ranks."""
    bits = min(_BITS_MAX, _INDEX_BITS // columns.num_columns)
    return hilbert([_line(column, bits) for column in columns.columns], bits)


def _line(column: Any, bits: int) -> Any:
    """Which of `2**bits` lines each value is on; as many rows on each as equal values allow."""
    rank: Any = pc.rank(column.combine_chunks(), sort_keys="ascending", tiebreaker="min")
    share = pc.divide(pc.subtract(rank.cast(pa.float64()), 1.0), float(max(len(rank), 1)))
    return pc.floor(pc.multiply(share, float(1 << bits))).cast(pa.uint64())


def hilbert(axes: Sequence[Any], bits: int) -> Any:
    """Places on a Hilbert curve of points of a grid with `2**bits` lines in each of its dimensions.

    >>> x, y = pa.array([0, 1, 1, 0], pa.uint64()), pa.array([0, 0, 1, 1], pa.uint64())
    >>> hilbert([x, y], 1).to_pylist()
    [0, 3, 2, 1]
    """
    axes = list(axes)
    one = scalar(1, pa.uint64())
    for bit in range(bits - 1, 0, -1):
        below = scalar((1 << bit) - 1, pa.uint64())
        for place, axis in enumerate(axes):
            is_set = _all_or_none(axis, bit)
            swap = pc.bit_wise_and(pc.bit_wise_xor(axes[0], axis), pc.bit_wise_and(below, pc.bit_wise_not(is_set)))
            first = pc.bit_wise_xor(axes[0], pc.bit_wise_or(pc.bit_wise_and(below, is_set), swap))
            if place:
                axes[place] = pc.bit_wise_xor(axis, swap)
            axes[0] = first
    for place in range(1, len(axes)):
        axes[place] = pc.bit_wise_xor(axes[place], axes[place - 1])
    turn = pc.bit_wise_xor(axes[0], axes[0])
    for bit in range(bits - 1, 0, -1):
        turn = pc.bit_wise_xor(turn, pc.bit_wise_and(_all_or_none(axes[-1], bit), scalar((1 << bit) - 1, pa.uint64())))
    axes = [pc.bit_wise_xor(axis, turn) for axis in axes]
    index = pc.bit_wise_xor(axes[0], axes[0])
    for bit in range(bits - 1, -1, -1):
        for axis in axes:
            digit = pc.bit_wise_and(pc.shift_right(axis, scalar(bit, pa.uint64())), one)
            index = pc.bit_wise_or(pc.shift_left(index, one), digit)
    return index


def _all_or_none(axis: Any, bit: int) -> Any:
    """All bits where one is set, else none."""
    one = pc.bit_wise_and(pc.shift_right(axis, scalar(bit, pa.uint64())), scalar(1, pa.uint64()))
    return pc.subtract(scalar(0, pa.uint64()), one)
