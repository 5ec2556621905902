"""Where the rows of a file are in a table's order, as far as its statistics say."""

from __future__ import annotations

from dataclasses import dataclass
from functools import total_ordering
from typing import TYPE_CHECKING, Any, Final

from tablelog.format.layout import statistics_as
from tablelog.format.statistics import BOUND_LENGTH_MAX, UNKNOWN
from tablelog.format.types import is_float

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tablelog.format.actions import AddFile, SortField
    from tablelog.log.metadata import Metadata


@dataclass(frozen=True, slots=True)
class Span:
    """From where to where the rows of files go in a table's order; every row is between, ends included."""

    low: tuple[_Place, ...]
    high: tuple[_Place, ...]

    def meets(self, other: Span) -> bool:
        """Whether rows of both may be mixed when they are sorted together; a common end does not mix them.

        Ends are compared by as many columns as both have.
        """
        return _before(self.low, other.high) and _before(other.low, self.high)

    def with_(self, others: Iterable[Span]) -> Span:
        """The span of all of them."""
        every = (self, *others)
        return Span(min(span.low for span in every), max(span.high for span in every))


_Place = tuple[int, Any]
"""Before everything (-1), a value (0), NaN (1), null (2), or after everything (3)."""
_BEFORE: Final[_Place] = (-1, 0)
_NAN: Final[_Place] = (1, 0)
_NULL: Final[_Place] = (2, 0)
_AFTER: Final[_Place] = (3, 0)


@total_ordering
@dataclass(frozen=True, slots=True, eq=True)
class _Descending:
    value: Any

    def __lt__(self, other: _Descending) -> bool:
        return bool(other.value < self.value)


def _before(low: tuple[_Place, ...], high: tuple[_Place, ...]) -> bool:
    count = min(len(low), len(high))
    return low[:count] < high[:count]


def span_of(file: AddFile, metadata: Metadata) -> Span:
    """Where a file's rows are in the table's order: all of them, as far as its statistics say."""
    return _span(file, metadata, is_sure=False)


def sure_span_of(file: AddFile, metadata: Metadata) -> Span:
    """The same without what is not sure: of a bound that was cut, or is not known, only where rows must be.

    Neighbours that were sorted together never meet by it, however long their values are.
    """
    return _span(file, metadata, is_sure=True)


def _span(file: AddFile, metadata: Metadata, *, is_sure: bool) -> Span:
    lows: list[_Place] = []
    highs: list[_Place] = []
    for each in metadata.order:
        field = metadata.schema.by_id(each.field_id)
        assert field is not None
        written = metadata.schemas[file.schema_id]
        is_exact = is_sure and field == written.by_id(field.id)  # else bounds of float32 are a little wider
        known = file.statistics.get(field.id, UNKNOWN) if is_exact else statistics_as(field, file, written)
        greatest = _uncut(known.max) if is_sure else known.max
        first, last = (greatest, known.min) if each.descending else (known.min, greatest)
        nulls, nans = known.null_count, known.nan_count if is_float(field.type) else 0
        if nulls == file.row_count:
            low = high = _NULL
        elif nulls is not None and nans and nulls + nans == file.row_count:
            low, high = _NAN, _NULL if nulls else _NAN
        else:
            low = _BEFORE if first is None else _value(first, each)
            high = _AFTER if last is None or nulls is None or nans is None else _value(last, each)
            high = _NULL if nulls and high != _AFTER else _NAN if nans and high != _AFTER else high
        is_open = low == _BEFORE or high == _AFTER
        if is_sure and low == _BEFORE:
            low = high if last is None else _value(last, each)
        if is_sure and high == _AFTER:
            high = low
        lows.append(low)
        highs.append(high)
        if is_sure and (is_open or low != high):  # which values of the next column stand there is not known
            break
    return Span(tuple(lows), tuple(highs))


def _uncut(bound: Any) -> Any:
    """An upper bound of text or bytes as the beginning of a value again."""
    if not isinstance(bound, str | bytes) or len(bound) < BOUND_LENGTH_MAX:
        return bound
    if isinstance(bound, bytes):
        return bound[:-1] + bytes((max(bound[-1] - 1, 0),))
    return bound[:-1] + chr(max(ord(bound[-1]) - 1, 0))


def _value(bound: Any, order: SortField) -> _Place:
    return (0, _Descending(bound) if order.descending else bound)
