"""What people call data, as one stream of Arrow batches of bounded size.

    Arrow stream      Polars, PyArrow, DuckDB relations and whatever else speaks the PyCapsule protocol
    lazy things       Polars LazyFrames, PyArrow datasets and scanners, readers: never collected
    pandas            without its index
    plain Python      a dict of columns, a list of dicts, an iterable of Arrow tables or batches

A big batch is handed on in slices, so that what comes after can count on at most about a million rows or 64 MB at once.
Types are looked up by what they can do, never by importing the library that they come from.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from tablelog.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Iterator

BATCH_ROWS_MAX: Final = 1 << 20
BATCH_BYTES_MAX: Final = 64 * 1024 * 1024

_VIEWS_SAMPLED: Final = 10_000
_ACCEPTED: Final = (
    "data is anything with an Arrow stream (Polars, PyArrow, DuckDB relations, pandas), a Polars LazyFrame, a PyArrow "
    "dataset or reader, a dict of columns, a list of dicts, or an iterable of Arrow tables or batches"
)


def open_data(data: object) -> pa.RecordBatchReader:
    """A stream over the data, to be read once; nothing is read before the stream is, except to learn the columns.

    Raises:
        InvalidError: it is none of the things above, or says nothing about its columns. While reading: the source
            failed.

    """
    try:
        reader = _open(data)
    except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        if isinstance(error, InvalidError):
            raise
        raise InvalidError(f"cannot read data of type {_name(data)}: {error}") from error
    return pa.RecordBatchReader.from_batches(reader.schema, _bounded(reader))


def _open(data: Any) -> pa.RecordBatchReader:
    if isinstance(data, pa.RecordBatchReader):
        return data
    if any(kind.__name__ == "DataFrame" and kind.__module__.split(".")[0] == "pandas" for kind in type(data).__mro__):
        return _from_pandas(data)
    if hasattr(data, "__arrow_c_stream__"):
        if hasattr(data, "dtype"):
            raise InvalidError(f"a {_name(data)} has no columns; pass {{name: values}}")
        _check_types(zip(getattr(data, "columns", ()), getattr(data, "dtypes", ()), strict=False))
        return pa.RecordBatchReader.from_stream(data)
    if hasattr(data, "__arrow_c_array__"):
        batch = pa.record_batch(data)
        return pa.RecordBatchReader.from_batches(batch.schema, [batch])
    if hasattr(data, "collect_batches"):
        return _from_lazy(data)
    if hasattr(data, "scanner"):
        return _scan(data.scanner())
    if hasattr(data, "to_reader"):
        return _scan(data)
    if isinstance(data, Mapping):
        return _from_columns(data)
    if isinstance(data, Iterable) and not isinstance(data, str | bytes | bytearray | memoryview):
        return _from_items(data)
    raise InvalidError(f"cannot read data of type {_name(data)}; {_ACCEPTED}")


def _from_pandas(frame: Any) -> pa.RecordBatchReader:
    table = pa.Table.from_pandas(frame, preserve_index=False)
    for place, (name, type_) in enumerate(zip(table.column_names, frame.dtypes, strict=True)):
        if str(type_) == "object":
            _check_unbent(name, frame.iloc[:, place], table.column(place))
    return table.to_reader()


def _check_types(columns: Iterable[tuple[str, object]]) -> None:
    """Refuse types of Polars that Arrow does not have; of objects it gets the addresses, as if those were data."""
    for name, type_ in columns:
        if str(type_) == "Object":
            raise InvalidError(f"column {name!r} holds Python objects; convert it to a type of Polars")
        if str(type_) in {"Int128", "UInt128"}:
            raise InvalidError(f"column {name!r} is {type_}, which Arrow does not have; cast it to a smaller type")


def _scan(scanner: Any) -> pa.RecordBatchReader:
    reader: pa.RecordBatchReader = scanner.to_reader()
    return reader


def _from_lazy(frame: Any) -> pa.RecordBatchReader:
    """A Polars LazyFrame, run in its streaming engine a few batches at a time."""
    frames = iter(frame.collect_batches(lazy=True))
    first = next(frames, None)
    if first is None:
        return pa.RecordBatchReader.from_batches(pa.schema(frame.collect_schema()), [])
    return _from_items(chain([first], frames))


def _from_items(items: Iterable[Any]) -> pa.RecordBatchReader:
    """Tables and batches of one schema, or dicts that are rows."""
    iterator = iter(items)
    first = next(iterator, None)
    if first is None:
        raise InvalidError(f"a {_name(items)} without anything in it has no columns; pass a table with a schema")
    if isinstance(first, Mapping):
        return _from_rows([first, *iterator])
    if not (hasattr(first, "__arrow_c_stream__") or hasattr(first, "__arrow_c_array__")):
        raise InvalidError(f"cannot read data of type {_name(items)} of {_name(first)}; {_ACCEPTED}")
    reader = _open(first)
    return pa.RecordBatchReader.from_batches(reader.schema, _joined(reader, iterator))


def _joined(first: pa.RecordBatchReader, others: Iterator[Any]) -> Iterator[pa.RecordBatch]:
    yield from first
    for number, item in enumerate(others, start=2):
        reader = _open(item)
        if reader.schema != first.schema:
            raise InvalidError(
                f"part {number} of the data has other columns than part 1: {_columns(reader.schema)} instead of "
                f"{_columns(first.schema)}; make them the same"
            )
        yield from reader


def _columns(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name} {field.type}" for field in schema)


def _from_rows(rows: list[Any]) -> pa.RecordBatchReader:
    """Dicts with any keys: the columns are all keys in the order they first appear, what is missing is null."""
    names: dict[Any, None] = {}
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise InvalidError(f"row {number} of the data is a {_name(row)}, not a dict")
        names.update(dict.fromkeys(row))
    return _from_columns({name: [row.get(name) for row in rows] for name in names})


def _from_columns(columns: Mapping[Any, Any]) -> pa.RecordBatchReader:
    if not columns:
        raise InvalidError("the data has no columns")
    for name in columns:
        if not isinstance(name, str):
            raise InvalidError(f"column names are text, not {name!r}")
    arrays = [_column(name, values) for name, values in columns.items()]
    lengths = dict(zip(columns, map(len, arrays), strict=True))
    if len(set(lengths.values())) > 1:
        raise InvalidError(f"the columns are not equally long: {lengths}")
    return pa.Table.from_arrays(arrays, names=list(columns)).to_reader()


def _column(name: str, values: Any) -> pa.ChunkedArray[Any]:
    if hasattr(values, "__arrow_c_stream__") or hasattr(values, "__arrow_c_array__"):
        _check_types([(name, getattr(values, "dtype", None))])
        return pa.chunked_array(values)
    if not isinstance(values, Iterable) or isinstance(values, str | bytes | Mapping):
        raise InvalidError(f"column {name!r} is a {_name(values)}, not a list or array of values")
    if not hasattr(values, "__array__"):
        values = list(values)
    try:
        array = pa.array(values)
    except OverflowError:
        array = _unsigned(name, values)
    except (pa.ArrowException, ValueError, TypeError) as error:
        if isinstance(values, list) and any(map(_is_missing, values)):
            return _column(name, [None if _is_missing(value) else value for value in values])
        raise InvalidError(f"column {name!r} cannot become an Arrow array: {error}") from error
    chunked = array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])
    if isinstance(values, list) or str(getattr(values, "dtype", "")) == "object":
        _check_unbent(name, values, chunked)
    return chunked


def _is_missing(value: object) -> bool:
    """Whether it is one of pandas' own nulls, which it puts into dicts and lists as well."""
    return type(value).__name__ in {"NaTType", "NAType"}


def _unsigned(name: str, values: Any) -> pa.Array[Any]:
    try:
        return pa.array(values, pa.uint64())
    except (pa.ArrowException, OverflowError) as error:
        raise InvalidError(f"column {name!r} has integers beyond 64 bits; use decimal.Decimal or text") from error


def _check_unbent(path: str, values: Iterable[Any], array: pa.ChunkedArray[Any] | pa.Array[Any]) -> None:
    """Refuse what Arrow would silently bend: times of day cut off, zones dropped, numbers taken for dates."""
    if not _holds_times(array.type):
        return
    there = [value for value, valid in zip(values, array.is_valid().to_pylist(), strict=True) if valid]
    if pa.types.is_list(array.type):
        _check_unbent(path, [element for value in there for element in value], pc.list_flatten(array))
    elif pa.types.is_temporal(array.type):
        _check_times(path, there)
    elif all(isinstance(value, Mapping) for value in there):
        for place, field in enumerate(array.type):
            part = pc.struct_field(array.drop_null(), [place])
            _check_unbent(f"{path}.{field.name}", [value.get(field.name) for value in there], part)


def _holds_times(type_: pa.DataType) -> bool:
    inside = [type_.field(place).type for place in range(type_.num_fields)]
    return pa.types.is_temporal(type_) or any(map(_holds_times, inside))


def _check_times(path: str, values: list[Any]) -> None:
    kinds = {type(value).__name__ for value in values}
    zoned = {value.tzinfo is not None for value in values if isinstance(value, dt.datetime | dt.time)}
    if len(zoned) > 1:
        raise InvalidError(f"column {path!r} mixes values with and without a time zone; decide for one")
    if len(kinds) > 1 and not all(isinstance(value, dt.datetime) for value in values):
        raise InvalidError(f"column {path!r} mixes {' and '.join(sorted(kinds))}; decide for one")
    if kinds == {"time"} and zoned == {True}:
        raise InvalidError(f"column {path!r} has times with a zone, but a time of day has no zone; drop it first")
    if any(getattr(value, "nanosecond", 0) for value in values):
        raise InvalidError(f"column {path!r} has nanoseconds, which would be cut off; pass it as a series or an array")


def _bounded(reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    try:
        for batch in reader:
            parts = max(-(-batch.num_rows // BATCH_ROWS_MAX), -(-size_bytes(batch) // BATCH_BYTES_MAX), 1)
            step = -(-batch.num_rows // parts)
            if parts == 1:
                yield batch
            else:
                yield from (batch.slice(start, step) for start in range(0, batch.num_rows, step))
    except (pa.ArrowException, OSError) as error:
        raise InvalidError(f"the data could not be read to its end: {error}") from error


def size_bytes(batch: pa.RecordBatch) -> int:
    """About what the rows of a batch take up, without whatever else is in buffers that they share with others."""
    if batch.nbytes <= BATCH_BYTES_MAX:
        return batch.nbytes
    return sum(_viewed_bytes(column) if _is_view(column.type) else column.nbytes for column in batch.columns)


def _is_view(type_: pa.DataType) -> bool:
    return pa.types.is_string_view(type_) or pa.types.is_binary_view(type_)


def _viewed_bytes(column: pa.Array[Any]) -> int:
    """A view is 16 bytes that begin with the value's length; looks at about ten thousand of them, evenly spread."""
    stride = len(column) // _VIEWS_SAMPLED + 1
    views: Any = column.buffers()[1]
    words = memoryview(views).cast("i")[4 * column.offset : 4 * (column.offset + len(column))]
    return 16 * len(column) + stride * sum(words[:: 4 * stride])


def _name(value: object) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
