"""Where the rows of a file are in a table's order, as far as its statistics say."""

from __future__ import annotations

from dataclasses import dataclass
from functools import total_ordering
from typing import TYPE_CHECKING, Any, Final

from tablelog.format.actions import SortField
from tablelog.format.layout import statistics_as
from tablelog.format.statistics import BOUND_LENGTH_MAX
from tablelog.format.types import is_float

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tablelog.format.actions import AddFile
    from tablelog.log.metadata import Metadata


def order_of(metadata: Metadata) -> tuple[SortField, ...]:
    """What compacted rows are sorted by: the sort order, else the key."""
    return metadata.sort_order or tuple(SortField(field_id=field_id) for field_id in metadata.key)


@dataclass(frozen=True, slots=True)
class Span:
    """From where to where the rows of files go in a table's order; every row is between, ends included."""

    low: tuple[_Place, ...]
    high: tuple[_Place, ...]

    def meets(self, other: Span) -> bool:
        """Whether rows of both may be mixed when they are sorted together; a common end does not mix them."""
        return self.low < other.high and other.low < self.high

    def with_(self, others: Iterable[Span]) -> Span:
        """The span of all of them."""
        every = (self, *others)
        return Span(min(span.low for span in every), max(span.high for span in every))


_Place = tuple[int, Any]
"""Before everything (-1), a value (0), null (1), or after everything (2)."""
_BEFORE: Final[_Place] = (-1, 0)
_NULL: Final[_Place] = (1, 0)
_AFTER: Final[_Place] = (2, 0)


@total_ordering
@dataclass(frozen=True, slots=True, eq=True)
class _Descending:
    value: Any

    def __lt__(self, other: _Descending) -> bool:
        return bool(other.value < self.value)


def span_of(file: AddFile, metadata: Metadata) -> Span:
    """Where a file's rows are in the table's order, as far as its statistics say.

    Column after column, as long as all rows have the same value in the one before.
    """
    lows: list[_Place] = []
    highs: list[_Place] = []
    for each in order_of(metadata):
        field = metadata.schema.by_id(each.field_id)
        assert field is not None
        known = statistics_as(field, file, metadata.schemas[file.schema_id])
        greatest = _uncut(known.max)
        first, last = (greatest, known.min) if each.descending else (known.min, greatest)
        nulls, nans = known.null_count, known.nan_count
        if nulls == file.row_count:
            low = high = _NULL
        else:
            is_clear = not is_float(field.type) or nans == 0
            low = _value(first, each) if first is not None and is_clear else _BEFORE
            high = _value(last, each) if last is not None and is_clear else _AFTER
            high = high if nulls == 0 else _NULL if nulls and high != _AFTER else _AFTER
        lows.append(low)
        highs.append(high)
        if low != high:
            break
    return Span(tuple(lows), tuple(highs))


def _uncut(bound: Any) -> Any:
    """An upper bound of text or bytes as the beginning of a value again, so that neighbours do not seem to meet."""
    if not isinstance(bound, str | bytes) or len(bound) < BOUND_LENGTH_MAX:
        return bound
    if isinstance(bound, bytes):
        return bound[:-1] + bytes((max(bound[-1] - 1, 0),))
    return bound[:-1] + chr(max(ord(bound[-1]) - 1, 0))


def _value(bound: Any, order: SortField) -> _Place:
    return (0, _Descending(bound) if order.descending else bound)
