"""One flat Arrow array as another type, or an error: nothing changes its value on the way.

    integer → integer      in range
    integer → float        if the float is that very integer
    float32 ↔ float64      rounding to float32 is what float32 means; overflowing to infinity is not
    number → decimal       if every digit fits; a float fits if the decimal reads back as that float
    decimal → number       if it reads back as that decimal
    time, timestamp        between units if nothing is cut off; between zones, the same instant
    date → timestamp       midnight, for timestamps without a zone
    null → anything

Everything else is refused: text that looks like a number, a wall clock that may be an instant, a float that may be
an integer. Whoever wants those says so by converting the data first.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, cast

import pyarrow as pa
import pyarrow.compute as pc

from tablelog.errors import InvalidError
from tablelog.format.types import PER_SECOND, TimeUnit

if TYPE_CHECKING:
    from collections.abc import Callable

_WIDTH: Final = re.compile(r"^(date|time|decimal)\d+")


def cast_exactly(array: pa.Array[Any], target: pa.DataType, path: str) -> pa.Array[Any]:
    """The same values as `target`, which is one of `arrow.arrow_type`'s flat types.

    Raises:
        InvalidError: a value would change, or the two types have nothing to do with each other; names the column
            `path`, the types and the first value in the way.

    """
    array = plain(array)
    source = array.type
    if source == target:
        return _valid(array, path)
    if pa.types.is_null(source):
        return cast("pa.Array[Any]", pa.nulls(len(array), target))  # type: ignore[call-overload]  # any type will do
    convert = _conversion(source, target)
    if convert is None:
        raise InvalidError(
            f"column {path!r} is {_text(target)}, the data brings {_text(source)}; {_hint(source, target)}"
        )
    try:
        return _valid(convert(array, target), path)
    except pa.ArrowInvalid as error:
        raise InvalidError(
            f"column {path!r} is {_text(target)}, the data brings {_text(source)}, and "
            f"{_first_change(array, target, error)}; change or drop such values, or widen the column"
        ) from error


def plain(array: pa.Array[Any]) -> pa.Array[Any]:
    """The values themselves, out of dictionaries, runs and extension types."""
    while True:
        if isinstance(array, pa.ExtensionArray):
            array = array.storage
        elif isinstance(array, pa.DictionaryArray):
            array = _decoded(array)
        elif isinstance(array, pa.RunEndEncodedArray):
            array = pc.run_end_decode(array)  # type: ignore[attr-defined]  # younger than the stubs
        else:
            return array


def _decoded(array: pa.DictionaryArray[Any, Any]) -> pa.Array[Any]:
    values = plain(array.dictionary)
    if pa.types.is_string_view(values.type) or pa.types.is_binary_view(values.type):  # Arrow cannot look those up
        values = values.cast(pa.string() if pa.types.is_string_view(values.type) else pa.binary())
    return values.take(array.indices)


def _valid(array: pa.Array[Any], path: str) -> pa.Array[Any]:
    """Refuse text and times that are none before DuckDB does, which then could not read the file at all."""
    if pa.types.is_time(array.type):
        _check_within_a_day(array, path)
    if pa.types.is_string(array.type) and not _is_ascii(array):
        try:
            array.validate(full=True)
        except pa.ArrowInvalid as error:
            raise InvalidError(
                f"column {path!r} has text that is not valid UTF-8: {error}; repair it, or make the column binary"
            ) from error
    return array


def _check_within_a_day(array: Any, path: str) -> None:
    """24:00 is refused too: Polars reads it as null, and Python has no such time."""
    counts = array.view(pa.int32() if pa.types.is_time32(array.type) else pa.int64())
    low, high = pc.min(counts).as_py(), pc.max(counts).as_py()
    if low is not None and not 0 <= low <= high < 86_400 * PER_SECOND[TimeUnit(array.type.unit)]:
        worst = f"{low if low < 0 else high} {array.type.unit} after midnight"
        raise InvalidError(f"column {path!r} has the time {worst}, which is not within a day; change or drop it")


def _is_ascii(array: pa.Array[Any]) -> bool:
    """Whether all text is ASCII; asking for the smallest byte is five times cheaper than a look at every value."""
    _, offsets, data = array.buffers()
    if not offsets or not data or not len(array):
        return True
    ends = memoryview(offsets).cast("i")
    start, length = ends[array.offset], ends[array.offset + len(array)] - ends[array.offset]
    smallest = pc.min(pa.Array.from_buffers(pa.int8(), length, [None, data], offset=start)).as_py()
    return smallest is None or smallest >= 0


def _conversion(
    source: pa.DataType, target: pa.DataType
) -> Callable[[pa.Array[Any], pa.DataType], pa.Array[Any]] | None:
    """How values of `source` become `target`; None if they do not."""
    match _kind(source), _kind(target):
        case ("text", "text") | ("bytes", "bytes") | ("time", "time") | ("date", "date" | "wall clock"):
            return _safe
        case ("wall clock", "wall clock") | ("instant", "instant"):
            return _safe
        case ("integer", "integer" | "float") | ("decimal", "decimal" | "integer"):
            return _safe
        case ("float", "float"):
            return _finite
        case ("integer", "decimal"):
            return _integer_to_decimal
        case ("float", "decimal") | ("decimal", "float"):
            return _there_and_back
        case _:
            return None


def _kind(type_: pa.DataType) -> str:
    types = pa.types
    if types.is_string(type_) or types.is_large_string(type_) or types.is_string_view(type_):
        return "text"
    if types.is_fixed_size_binary(type_) or types.is_binary_view(type_):
        return "bytes"
    if types.is_binary(type_) or types.is_large_binary(type_):
        return "bytes"
    if types.is_integer(type_):
        return "integer"
    if types.is_floating(type_):
        return "float"
    if types.is_decimal(type_):
        return "decimal"
    if types.is_date(type_):
        return "date"
    if types.is_time(type_):
        return "time"
    if isinstance(type_, pa.TimestampType):
        return "instant" if type_.tz else "wall clock"
    return str(type_)


def _safe(array: pa.Array[Any], target: pa.DataType) -> pa.Array[Any]:
    return array.cast(target)


def _finite(array: pa.Array[Any], target: pa.DataType) -> pa.Array[Any]:
    result = array.cast(target)
    if pc.any(pc.and_(pc.is_inf(result), pc.is_finite(array))).as_py():
        raise pa.ArrowInvalid("a value is too large")
    return result


def _integer_to_decimal(array: pa.Array[Any], target: pa.DataType) -> pa.Array[Any]:
    # Arrow wants room for every integer of the source type before it looks at those that there are.
    scale = cast("pa.Decimal128Type[Any, Any]", target).scale
    return array.cast(pa.decimal256(20 + scale, scale)).cast(target)


def _there_and_back(array: pa.Array[Any], target: pa.DataType) -> pa.Array[Any]:
    result = array.cast(target)
    if not pc.all(pc.equal(result.cast(array.type), array), min_count=0).as_py():
        raise pa.ArrowInvalid("a value has no exact counterpart")
    return result


def _first_change(array: pa.Array[Any], target: pa.DataType, error: pa.ArrowInvalid) -> str:
    """Which value is in the way; only asked for when there is one."""
    for row, value in enumerate(array):
        try:
            convert = _conversion(array.type, target)
            assert convert is not None
            convert(pa.array([value], array.type), target)
        except pa.ArrowInvalid:
            return f"{_shown(value)} (row {row} of its batch) is no {_text(target)}"
    return str(error)


def _shown(value: Any) -> str:
    try:
        return str(value)[:100]
    except (ValueError, OverflowError):  # nanoseconds or years that Python's own datetime does not have
        return str(value.cast(pa.string()))


def _hint(source: pa.DataType, target: pa.DataType) -> str:
    match _kind(source), _kind(target):
        case ("wall clock", "instant"):
            return "say which zone the data's clock shows, for example pc.assume_timezone(column, 'UTC')"
        case ("instant", "wall clock"):
            return "say in which zone the clock should be read, for example pc.local_timestamp(column)"
        case ("text", _):
            return "text is never parsed on the way in; convert it first"
        case _:
            return "convert it first"


def _text(type_: pa.DataType) -> str:
    """An Arrow type as people of tablelog write it."""
    text = _WIDTH.sub(r"\1", str(type_)).removesuffix("[day]").replace("tz=", "")
    return {"float": "float32", "double": "float64", "bool": "boolean"}.get(text, text)
