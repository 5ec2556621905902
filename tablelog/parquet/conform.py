"""A batch that somebody brought as a batch of the table: same columns, same order, same types, no value changed.

    columns    matched by name, exactly or else ignoring case, in any order; nested ones too
    missing    the write default, or null, or an error where null is not allowed
    extra      an error: rows would lose something
    types      converted by `casts`, which refuses what could change a value
    not null   counted, an error if there is a null

Columns that already have the table's type are passed on as they are, without a copy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa
import pyarrow.compute as pc

from tablelog.errors import InvalidError
from tablelog.format.types import List, Map, Struct, children
from tablelog.parquet.arrow import arrow_scalar, arrow_schema, arrow_type
from tablelog.parquet.casts import cast_exactly, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tablelog.format.schema import Schema
    from tablelog.format.types import Field


class Conformer:
    """Turns batches into batches of one table; remembers how the columns of the last one were matched."""

    def __init__(self, schema: Schema) -> None:
        """Conform to `schema`."""
        self.arrow_schema = arrow_schema(schema)
        self._fields = schema.fields
        self._names: list[str] | None = None
        self._sources: list[int | None] = []

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The same rows under exactly `arrow_schema`.

        Raises:
            InvalidError: a column is missing that has to be there, is not the table's, or has a value that the table's
                column cannot hold as it is.

        """
        if batch.schema.names != self._names:
            self._sources = _match(batch.schema.names, self._fields, "")
            self._names = batch.schema.names
        columns = [
            _missing(field, batch.num_rows, field.name)
            if source is None
            else _checked(_convert(batch.column(source), field, field.name), field, field.name)
            for field, source in zip(self._fields, self._sources, strict=True)
        ]
        return pa.RecordBatch.from_arrays(columns, schema=self.arrow_schema)


def _match(names: Sequence[str], fields: Sequence[Field], inside: str) -> list[int | None]:
    """Where each field's values come from; None for those that are missing."""
    places = {name: place for place, name in enumerate(names)}
    if len(places) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidError(f"the data has more than one column {inside + twice!r}; rename one")
    folded: dict[str, list[int]] = {}
    for name, place in places.items():
        folded.setdefault(name.casefold(), []).append(place)
    sources = [places.get(field.name) for field in fields]
    taken = set(sources)
    for number, field in enumerate(fields):
        if sources[number] is None:
            close = [place for place in folded.get(field.name.casefold(), ()) if place not in taken]
            sources[number] = close[0] if len(close) == 1 else None
    extra = [inside + name for name, place in places.items() if place not in sources]
    if extra:
        raise InvalidError(
            f"the table has no column {', '.join(map(repr, extra[:20]))}{' …' if len(extra) > 20 else ''}; "  # noqa: PLR2004 - enough to see
            f"drop it from the data or add it with alter.add_column; the columns are "
            f"{', '.join(repr(inside + field.name) for field in fields[:50])}"
        )
    return sources


def _missing(field: Field, length: int, path: str) -> pa.Array[Any]:
    if field.write_default is None and not field.nullable:
        raise InvalidError(f"column {path!r} is not null and has no default, but the data does not bring it; add it")
    return _repeat(arrow_scalar(field.write_default, field.type), length)


def _repeat(scalar: Any, length: int) -> pa.Array[Any]:
    array: pa.Array[Any] = pa.repeat(scalar, length) if scalar.is_valid else _nulls(scalar.type, length)
    return array


def _nulls(type_: Any, length: int) -> Any:
    if not pa.types.is_struct(type_):
        return pa.nulls(length, type_)
    parts = [_nulls(field.type, length) for field in type_]
    whole = [part if field.nullable else _all_valid(part) for part, field in zip(parts, type_, strict=True)]
    return pa.StructArray.from_arrays(whole, fields=list(type_), mask=pa.repeat(True, length))


def _all_valid(array: Any) -> Any:
    """Anything instead of nulls: Arrow writes none of a not null field, even where the struct around it is null."""
    if not array.null_count:
        return array
    if pa.types.is_struct(array.type):
        parts = [array.field(place) for place in range(array.type.num_fields)]
        return pa.StructArray.from_arrays(parts, fields=list(array.type))
    if pa.types.is_map(array.type):
        return pa.MapArray.from_arrays(array.offsets, array.keys, array.items, type=array.type)  # type: ignore[call-overload]  # as in _convert_map
    if pa.types.is_list(array.type):
        return pa.ListArray.from_arrays(array.offsets, array.values, type=array.type)
    buffers = [None, *array.buffers()[1:]]
    return pa.Array.from_buffers(array.type, len(array), buffers, null_count=0, offset=array.offset)


def _checked(array: pa.Array[Any], field: Field, path: str) -> pa.Array[Any]:
    if not field.nullable and array.null_count:
        raise InvalidError(
            f"column {path!r} is not null, but {array.null_count} of {len(array)} values are null, "
            f"first in row {pc.index(pc.is_null(array), True).as_py()} of its batch; fill or drop them"
        )
    return array


def _convert(array: pa.Array[Any], field: Field, path: str) -> pa.Array[Any]:
    """The values as the field's type; that no null is where none may be is checked only inside the value."""
    if not children(field.type):
        return cast_exactly(array, arrow_type(field.type), path)
    array = plain(array)
    if pa.types.is_null(array.type):
        return _repeat(arrow_scalar(None, field.type), len(array))
    match field.type:
        case Struct(fields=fields) if pa.types.is_struct(array.type):
            return _convert_struct(array, fields, arrow_type(field.type), path)
        case List(element=element) if isinstance(array.type, _LISTS):
            return _convert_list(array, element, arrow_type(field.type), path)
        case Map(key=key, value=value) if pa.types.is_map(array.type):
            return _convert_map(array, (key, value), arrow_type(field.type), path)
        case _:
            raise InvalidError(f"column {path!r} is {field.type}, the data brings {array.type}; convert it first")


_LISTS = (pa.ListType, pa.LargeListType, pa.FixedSizeListType, pa.ListViewType, pa.LargeListViewType)


def _convert_struct(array: Any, fields: Sequence[Field], target: pa.DataType, path: str) -> pa.Array[Any]:
    sources = _match([child.name for child in array.type], fields, f"{path}.")
    present = array.is_valid() if array.null_count else None
    parts: list[pa.Array[Any]] = []
    for field, source in zip(fields, sources, strict=True):
        inner = f"{path}.{field.name}"
        if source is None:
            parts.append(_missing(field, len(array), inner))
            continue
        part = _convert(array.field(source), field, inner)
        _checked(part if present is None else part.filter(present), field, inner)
        parts.append(part if field.nullable else _all_valid(part))
    mask = array.is_null() if present is not None else None
    return pa.StructArray.from_arrays(parts, fields=list(target), mask=mask)  # type: ignore[call-overload]  # a struct is a sequence of fields


def _convert_list(array: Any, element: Field, target: Any, path: str) -> pa.Array[Any]:
    # Lengths and flattened values mean the same for all five kinds of list, sliced or not; Arrow's own cast between
    # them does not get views right.
    values = _checked(_convert(array.flatten(), element, f"{path}.element"), element, f"{path}.element")
    offsets = _offsets(pc.list_value_length(array))
    mask = array.is_null() if array.null_count else None
    return cast("pa.Array[Any]", pa.ListArray.from_arrays(offsets, values, type=target, mask=mask))


def _convert_map(array: Any, fields: tuple[Field, Field], target: Any, path: str) -> pa.Array[Any]:
    start, stop = array.offsets[0].as_py(), array.offsets[len(array)].as_py()
    entries = (array.keys.slice(start, stop - start), array.items.slice(start, stop - start))
    key, value = (
        _checked(_convert(part, field, f"{path}.{field.name}"), field, f"{path}.{field.name}")
        for part, field in zip(entries, fields, strict=True)
    )
    offsets = pc.subtract(array.offsets, start)
    _check_keys_once(pa.ListArray.from_arrays(offsets, key), path)
    return pa.MapArray.from_arrays(offsets, key, value, type=target, mask=array.is_null() if array.null_count else None)


def _check_keys_once(keys: Any, path: str) -> None:
    """Refuse a map that has a key twice before DuckDB does, which then could not read the file at all."""
    if keys.type.value_type.num_fields or (pc.max(pc.list_value_length(keys)).as_py() or 0) <= 1:
        return  # nested keys cannot be counted by Arrow
    rows = pc.list_parent_indices(keys)
    pairs = pa.RecordBatch.from_arrays([rows, keys.values], names=["row", "key"])
    counted = pa.Table.from_batches([pairs]).group_by(["row", "key"]).aggregate([([], "count_all")])
    twice = counted.filter(pc.field("count_all") > 1).slice(0, 1).to_pylist()
    if twice:
        key, row = twice[0]["key"], twice[0]["row"]
        raise InvalidError(f"column {path!r} has a map with the key {key!r} twice, in row {row} of its batch; drop one")


def _offsets(lengths: Any) -> Any:
    """Where each list begins, and the last one ends, from how long they are."""
    lengths = pc.fill_null(lengths, 0).cast(pa.int32())
    return pa.concat_arrays([pa.array([0], pa.int32()), pc.cumulative_sum_checked(lengths)])
