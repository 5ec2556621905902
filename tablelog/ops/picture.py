"""What the pictures of a table show, as numbers: where files lie on each level, and how a table came to be what it is.

A picture has room for some hundred bars. Where a level has more files, neighbours in the order become one bar, so that
a picture of a million files costs columns of the log and a few thousand values.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from tablelog.log.file_rows import plain_type
from tablelog.ops.health import each_file, shape_columns, target_bytes
from tablelog.ops.ranges import order_field, ranges_of
from tablelog.parquet.plain import ints, scalar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tablelog.format.types import DataType, Field
    from tablelog.log.blocks import Column
    from tablelog.log.state import TableState
    from tablelog.ops.ranges import Ranges

BARS_MAX: Final = 400
"""Bars of a level; the files of a larger one are drawn several to a bar."""
_DAY_US: Final = 86_400_000_000
_PER_DAY: Final = {"s": 86_400, "ms": 86_400_000, "us": _DAY_US, "ns": _DAY_US * 1000}
_TICKS: Final = 4
_TICK_LENGTH_MAX: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A file, or neighbours of one level, from where to where."""

    begin: float
    end: float
    lane: int
    """Bars of a level that overlap are in different lanes, counted from 0."""
    files: int
    deleted_share: float
    known: bool
    """Whether the log knows where they lie; if not, the bar goes from one end to the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A level of the tree, or what of it is inside the log."""

    level: int
    inlined: bool
    files: int
    size_bytes: int
    lanes: int
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """The levels of a table at a version."""

    rows: tuple[Row, ...]
    order: str | None
    """The column that bars lie along; None if they stand one after the other, as wide as they have bytes."""
    is_time: bool
    """Whether places are days since 1970-01-01."""
    ticks: tuple[tuple[float, str], ...] | None
    """Some places and their names, where places are no numbers but ranks."""
    sizes: tuple[tuple[int, int], ...]
    """For each n, ascending, how many files have 2ⁿ bytes or more, and fewer than twice as many."""
    target_bytes: int
    """How large files shall be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What a table was after each commit that could be read, oldest first."""

    versions: tuple[int, ...]
    rows: tuple[float, ...]
    """NaN where the log does not say."""
    size_bytes: tuple[float, ...]
    files: tuple[float, ...]
    operations: tuple[str, ...]
    timestamps_us: tuple[int, ...]


def levels_of(state: TableState) -> Levels:
    """Where the files of a version lie. Reads columns of the log."""
    metadata = state.metadata
    columns = state.file_columns(shape_columns(metadata))
    each, field = each_file(columns), order_field(metadata)
    ranges = None if field is None else ranges_of(columns, metadata, field)
    placed = None if field is None or ranges is None else _placed(ranges, field)
    begins, ends, ticks = _by_bytes(each) if placed is None else placed
    files = pa.table(dict(each) | {"begin": begins, "end": ends}).combine_chunks()
    least, greatest = (float(found.as_py() or 0) for found in (pc.min(begins), pc.max(ends)))
    return Levels(
        rows=tuple(
            _row(some, (least, greatest), level=level, inlined=inlined, touching=placed is None)
            for (level, inlined), some in _by_row(files)
        ),
        order=None if placed is None or field is None else field.name,
        is_time=placed is not None and field is not None and ticks is None and _is_time(field.type),
        ticks=ticks,
        sizes=_sizes(each["size"]),
        target_bytes=target_bytes(metadata.properties),
    )


def course_of(state: TableState) -> Course:
    """What the table was after each commit up to a version. Reads columns of the log."""
    facts = state.facts(("operation", "timestamp", "file_change", "row_change", "byte_change"))
    every: dict[str, list[Any]] = {name: facts.column(name).to_pylist() for name in ("added", "operation")}
    times: Any = facts.column("timestamp").cast(pa.int64())
    return Course(
        versions=tuple(every["added"]),
        rows=_backwards(state.row_count, facts.column("row_change").to_pylist()),
        size_bytes=_backwards(state.size_bytes, facts.column("byte_change").to_pylist()),
        files=_backwards(state.file_count, facts.column("file_change").to_pylist()),
        operations=tuple(every["operation"]),
        timestamps_us=tuple(times.to_pylist()),
    )


def _backwards(now: int, changes: Sequence[int | None]) -> tuple[float, ...]:
    """What there was after each change, from what there is after the last of them."""
    found: list[float] = []
    amount: float = now
    for change in reversed(changes):
        found.append(amount)
        amount = float("nan") if change is None else amount - change
    return tuple(reversed(found))


def _placed(ranges: Ranges, field: Field) -> tuple[Column, Column, tuple[tuple[float, str], ...] | None] | None:
    """Ranges as numbers, null where they are not known, and names of some if they are ranks; None if none is known."""
    known: Any = pc.and_(pc.is_valid(ranges.low), pc.is_valid(ranges.high))
    nothing: Any = pa.scalar(None, ranges.low.type)
    low, high = (pc.if_else(known, bounds, nothing) for bounds in (ranges.low, ranges.high))
    if low.null_count == len(low):
        return None
    numbers = [_number(bounds, field.type) for bounds in (low, high)]
    if all(each is not None and pc.all(pc.is_finite(each)).as_py() for each in numbers):
        return numbers[0], numbers[1], None
    both = pa.chunked_array([low, high]).combine_chunks()
    names = both.drop_null().unique().take(pc.sort_indices(both.drop_null().unique()))
    ranks: Any = pc.index_in(both, value_set=names).cast(pa.float64())
    step = max(1, -(-len(names) // _TICKS))
    values: list[Any] = (names if pa.types.is_binary(names.type) else names.cast(pa.string())).to_pylist()
    texts = [value.hex() if isinstance(value, bytes) else value for value in values]
    ticks = tuple((float(place), _shortened(texts[place])) for place in range(0, len(texts), step))
    return ranks.slice(0, len(low)), ranks.slice(len(low)), ticks


def _number(bounds: Column, type_: DataType) -> Column | None:
    """Bounds as float64: times as days; None for what is no number."""
    arrow: Any = bounds.type
    if pa.types.is_date(arrow) or pa.types.is_timestamp(arrow):
        counts: Any = bounds.cast(plain_type(type_)).cast(pa.int64()).cast(pa.float64(), safe=False)
        per_day = 1 if pa.types.is_date(arrow) else _PER_DAY[arrow.unit]
        return pc.divide(counts, scalar(float(per_day), pa.float64()))
    if pa.types.is_integer(arrow) or pa.types.is_floating(arrow) or pa.types.is_decimal(arrow):
        return bounds.cast(pa.float64(), safe=False)
    return None


def _is_time(type_: DataType) -> bool:
    return str(type_).startswith(("date", "timestamp"))


def _shortened(text: str) -> str:
    return text if len(text) <= _TICK_LENGTH_MAX else text[: _TICK_LENGTH_MAX - 1] + "…"


def _by_bytes(each: dict[str, Column]) -> tuple[Column, Column, None]:
    """Files of a level one after the other, in the order in which they came."""
    rows: Any = pa.table({"level": each["level"], "inlined": each["inlined"], "size": each["size"]})
    count = rows.num_rows
    order = pc.sort_indices(rows, sort_keys=[("level", "ascending"), ("inlined", "ascending")])  # which is stable
    sizes: Any = rows.column("size").combine_chunks().take(order).cast(pa.float64())
    ends: Any = pc.cumulative_sum(sizes)
    begins: Any = pc.subtract(ends, sizes)
    kinds = pa.table({"kind": _kinds(each).take(order), "begin": begins})
    first = kinds.group_by("kind").aggregate([("begin", "min")])
    starts = (
        first.column("begin_min")
        .combine_chunks()
        .take(pc.index_in(kinds.column("kind").combine_chunks(), value_set=first.column("kind").combine_chunks()))
    )
    back = pc.sort_indices(order) if count else order
    return pc.subtract(begins, starts).take(back), pc.subtract(ends, starts).take(back), None


def _kinds(each: dict[str, Column]) -> Column:
    """A number for each row of the picture, ascending from the top down: rows inside the log come before files."""
    return pc.subtract(pc.multiply(each["level"], scalar(2, pa.int64())), each["inlined"].cast(pa.int64()))


def _by_row(files: pa.Table) -> list[tuple[tuple[int, bool], pa.Table]]:
    """Files by the row of the picture that they are in, from the top down."""
    kinds = _kinds({name: files.column(name).combine_chunks() for name in ("level", "inlined")})
    found = []
    for kind in sorted(kinds.unique().to_pylist()):
        mask: Any = pc.equal(kinds, scalar(kind, pa.int64()))
        found.append((((kind + 1) // 2, kind % 2 == 1), files.filter(mask)))
    return found


def _row(files: pa.Table, extent: tuple[float, float], *, level: int, inlined: bool, touching: bool) -> Row:
    bars = _bars(files, extent, touching=touching)
    return Row(
        level=level,
        inlined=inlined,
        files=files.num_rows,
        size_bytes=int(pc.sum(files.column("size")).as_py() or 0),
        lanes=1 + max(bar.lane for bar in bars),
        bars=bars,
    )


def _bars(files: pa.Table, extent: tuple[float, float], *, touching: bool) -> tuple[Bar, ...]:
    """Files from the left to the right, those without a place last; several to a bar if they are many.

    With `touching` a bar may begin in a lane where another one ends.
    """
    ordered = files.take(pc.sort_indices(files, sort_keys=[("begin", "ascending"), ("end", "ascending")]))
    count = ordered.num_rows
    together = -(-count // BARS_MAX)
    numbers: Any = pc.divide(ints(range(count)), scalar(together, pa.int64()))
    known: Any = pc.is_valid(ordered.column("begin"))
    sums = (
        ordered.append_column("bar", numbers)
        .append_column("known", known)
        .group_by(["known", "bar"])
        .aggregate([("begin", "min"), ("end", "max"), ("rows", "sum"), ("deleted", "sum"), ("size", "count")])
        .sort_by("bar")
        .to_pylist()
    )
    free: list[tuple[float, int]] = []
    bars = []
    for each in sums:
        begin, end = (each["begin_min"], each["end_max"]) if each["known"] else extent
        if free and (free[0][0] < begin or (touching and free[0][0] == begin)):
            lane = heapq.heappop(free)[1]
        else:
            lane = len(free)
        heapq.heappush(free, (end, lane))
        rows = each["rows_sum"] + each["deleted_sum"]
        bars.append(
            Bar(
                begin=begin,
                end=end,
                lane=lane,
                files=each["size_count"],
                deleted_share=each["deleted_sum"] / rows if rows else 0.0,
                known=each["known"],
            )
        )
    return tuple(bars)


def _sizes(sizes: Column) -> tuple[tuple[int, int], ...]:
    positive: Any = pc.max_element_wise(sizes, scalar(1, pa.int64()))
    exponents: Any = pc.floor(pc.log2(positive)).cast(pa.int64())
    counts: Any = exponents.value_counts()
    found = dict(zip(counts.field("values").to_pylist(), counts.field("counts").to_pylist(), strict=True))
    return tuple(sorted(found.items()))
