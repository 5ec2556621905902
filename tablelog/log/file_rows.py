"""Files of a table as rows of Arrow: one column per member of an `add`, and up to four per field with statistics.

    added removed position   path size rows schema partitioning partition crc32
    deleted deletes          how many rows are deleted, and the vector (JSON); columns that few logs have,
    change gone moved        as have these: what the rows are to readers of changes
    level                    of the tree of data files
    key_filter               which keys small files of a table with a key may have (JSON); read when it is asked for
    1:int64:min  1:int64:max  1:nulls        field 1, which was an int64 when the file was written
    7:float64:min  …          7:nans         field 7, which may be NaN

[added, removed) are the versions in which the file is live, `removed` null while it is; `position` is its place among
the files of its commit. Bounds stand in a column of the type that the field had in the file's schema, so files from
before and after a widening have theirs side by side. A bound that this type cannot hold is left out: nothing is known
then, which is always right. Bounds of float32 are kept as float64, because a log may have finer ones.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from tablelog.errors import CorruptionError, InvalidError
from tablelog.format import names
from tablelog.format.actions import AddFile, RowChange
from tablelog.format.key_filter import decode_key_filter, encode_key_filter
from tablelog.format.statistics import UNKNOWN, FieldStatistics
from tablelog.format.type_text import parse_type
from tablelog.format.types import Decimal, Primitive, Time, Timestamp, is_float
from tablelog.format.values import encode_value
from tablelog.format.vector import decode_gone, decode_vector_place, encode_gone, encode_vector_place
from tablelog.parquet.arrow import arrow_type
from tablelog.parquet.plain import ints

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tablelog.format.action_json import ActionReader
    from tablelog.format.key_filter import KeyFilter, KeyKnowledge
    from tablelog.format.types import DataType, Scalar
    from tablelog.log.blocks import Block, Column

_FILE_TYPES: Final[dict[str, pa.DataType]] = {
    "added": pa.int64(),
    "removed": pa.int64(),
    "position": pa.int64(),
    "path": pa.string(),
    "size": pa.int64(),
    "rows": pa.int64(),
    "schema": pa.int64(),
    "partitioning": pa.int64(),
    "partition": pa.string(),
    "crc32": pa.int64(),
}
FILE_SCHEMA: Final = pa.schema(_FILE_TYPES)
OPTIONAL_TYPES: Final[dict[str, pa.DataType]] = {
    "deleted": pa.int64(),
    "deletes": pa.string(),
    "change": pa.string(),
    "gone": pa.string(),
    "level": pa.int64(),
    "moved": pa.string(),
    "key_filter": pa.string(),
}
"""Columns that are left out where no file has a value."""
KEY_FILTER: Final = "key_filter"
_WHATS: Final = frozenset(("min", "max", "nulls", "nans"))
_MEMBERS: Final = ("path", "size", "rows", "schema", "partitioning", "partition", "crc32")


def is_optional(name: str) -> bool:
    """Whether a column of files may be left out: what is no member of every add, and statistics."""
    return ":" in name or name in OPTIONAL_TYPES


def min_column(field_id: int, type_: DataType) -> str:
    """Name of the column of lower bounds of a field in files in which it has a type."""
    return f"{field_id}:{type_}:min"


def max_column(field_id: int, type_: DataType) -> str:
    """Name of the column of upper bounds."""
    return f"{field_id}:{type_}:max"


def nulls_column(field_id: int) -> str:
    """Name of the column of null counts."""
    return f"{field_id}:nulls"


def nans_column(field_id: int) -> str:
    """Name of the column of NaN counts; only fields that can be NaN have one."""
    return f"{field_id}:nans"


@cache
def column_type(name: str) -> pa.DataType:
    """The Arrow type of a column with this name.

    >>> column_type("1:int32:min"), column_type("1:nulls")
    (DataType(int32), DataType(int64))

    Raises:
        InvalidError: there is no such column.

    """
    if name in OPTIONAL_TYPES or name in _FILE_TYPES:
        return OPTIONAL_TYPES.get(name) or _FILE_TYPES[name]
    field_id, _, rest = name.partition(":")
    text, _, what = rest.rpartition(":")
    if not field_id.isdecimal() or (text == "") != (what in {"nulls", "nans"}) or what not in _WHATS:
        raise InvalidError(f"{name!r} is no column of statistics")
    return bound_type(parse_type(text)) if text else pa.int64()


def bound_type(type_: DataType) -> pa.DataType:
    """The Arrow type of bounds of a field's type."""
    match type_:
        case Primitive.FLOAT32:
            return pa.float64()
        case Timestamp(unit=unit, zone=str()):
            return pa.timestamp(unit.value, "UTC")  # as Parquet has every instant
        case _:
            return arrow_type(type_)


def plain_type(type_: DataType) -> pa.DataType:
    """The Arrow type whose Python values are those that the log holds: dates, times and timestamps are integers."""
    match type_:
        case Primitive.DATE:
            return pa.int32()
        case Time() | Timestamp():
            return pa.int32() if pa.types.is_time32(arrow_type(type_)) else pa.int64()
        case _:
            return bound_type(type_)


def file_table(
    files: Sequence[AddFile], added: Sequence[int], positions: Sequence[int], reader: ActionReader
) -> pa.Table:
    """Files, each live from a version on, as rows; `reader` knows their schemas."""
    columns: dict[str, Column] = {
        "added": pa.array(added, pa.int64()),
        "removed": pa.nulls(len(files), pa.int64()),
        "position": pa.array(positions, pa.int64()),
    }
    columns |= {name: member_column(files, name) for name in _MEMBERS}
    return pa.table(columns | _optional_columns(files) | _statistics_columns(files, reader))


def member_column(files: Sequence[AddFile], name: str) -> Column:
    """What files say under one name, such as `path`, `size` or `level`, as a column."""
    values = [_VALUES[name](file) for file in files]
    return pa.array(values, _FILE_TYPES.get(name) or OPTIONAL_TYPES[name])


def is_member(name: str) -> bool:
    """Whether a column of files is one that `member_column` knows, and no statistics."""
    return name in _VALUES


def partition_text(file: AddFile) -> str | None:
    """A file's partition values as the column `partition` has them."""
    if not file.partition_values:
        return None
    return json.dumps([None if value is None else encode_value(value) for value in file.partition_values])


_VALUES: Final[dict[str, Callable[[AddFile], Any]]] = {
    "path": lambda file: file.path,
    "size": lambda file: file.size_bytes,
    "rows": lambda file: file.row_count,
    "schema": lambda file: file.schema_id,
    "partitioning": lambda file: file.partitioning_id,
    "partition": partition_text,
    "crc32": lambda file: file.crc32,
    "deleted": lambda file: file.deleted and file.deleted.row_count,
    "deletes": lambda file: file.deleted and json.dumps(encode_vector_place(file.deleted)),
    "change": lambda file: None if file.change is RowChange.INSERT else file.change.value,
    "gone": lambda file: file.gone and json.dumps(encode_gone(file.gone)),
    "level": lambda file: file.level or None,
    "moved": lambda file: json.dumps(file.moved) if file.moved else None,
    "key_filter": lambda file: None if file.key_filter is None else _key_filter_text(file.key_filter),
}


def _optional_columns(files: Sequence[AddFile]) -> dict[str, Column]:
    columns = {name: member_column(files, name) for name in OPTIONAL_TYPES}
    return {name: column for name, column in columns.items() if column.null_count < len(column)}


def _key_filter_text(reader: KeyKnowledge) -> str | None:
    known = reader.read()
    return None if known is None else json.dumps(encode_key_filter(known))


def _statistics_columns(files: Sequence[AddFile], reader: ActionReader) -> dict[str, Column]:
    bounds: dict[tuple[int, DataType], tuple[list[Scalar | None], list[Scalar | None]]] = {}
    nulls: dict[int, list[int | None]] = {}
    nans: dict[int, list[int | None]] = {}
    count = len(files)
    for place, file in enumerate(files):
        types = reader.types_of(file.schema_id)
        for field_id, known in file.statistics.items():
            type_ = types[field_id]
            if (field_id, type_) not in bounds:
                bounds[field_id, type_] = [None] * count, [None] * count
            lows, highs = bounds[field_id, type_]
            lows[place], highs[place] = known.min, known.max
            nulls.setdefault(field_id, [None] * count)[place] = known.null_count
            if is_float(type_):
                nans.setdefault(field_id, [None] * count)[place] = known.nan_count
    columns: dict[str, Column] = {}
    for field_id, type_ in sorted(bounds, key=lambda place: (place[0], str(place[1]))):
        lows, highs = bounds[field_id, type_]
        columns[min_column(field_id, type_)] = _bounds(lows, type_)
        columns[max_column(field_id, type_)] = _bounds(highs, type_)
    columns |= {nulls_column(field_id): pa.array(nulls[field_id], pa.int64()) for field_id in sorted(nulls)}
    return columns | {nans_column(field_id): pa.array(nans[field_id], pa.int64()) for field_id in sorted(nans)}


def _bounds(values: list[Scalar | None], type_: DataType) -> Column:
    """Bounds as a column of their type; those that do not fit are left out."""
    target = bound_type(type_)
    try:
        return pa.array(values, plain_type(type_)).cast(target)
    except (pa.ArrowException, OverflowError, ValueError):
        return pa.concat_arrays([_bound(value, type_, target) for value in values])


def _bound(value: Scalar | None, type_: DataType, target: pa.DataType) -> Column:
    try:
        return pa.array([value], plain_type(type_)).cast(target)
    except (pa.ArrowException, OverflowError, ValueError):
        return pa.array([None], target)


def file_actions(
    block: Block, places: Sequence[int], reader: ActionReader, field_ids: Sequence[int] = ()
) -> list[AddFile]:
    """The files in some rows of a block, in the order given.

    What is known of the fields named is looked up for all of them together; of others when it is asked for.

    Raises:
        CorruptionError: a row is no file.

    """
    rows = ints(places)
    columns = block.columns(_MEMBERS)
    listed = [columns[name].take(rows).to_pylist() for name in _MEMBERS]
    optional = (_taken(block, name, rows) for name in ("deletes", "change", "level", "moved", "gone"))
    has_filters = KEY_FILTER in block.column_names

    @cache  # many files have the same
    def decoded(partition: str | None, partitioning_id: int, schema_id: int) -> tuple[Scalar | None, ...]:
        return () if partition is None else reader.read_partition(json.loads(partition), partitioning_id, schema_id)

    try:
        known = _known_together(block, rows, listed[_MEMBERS.index("schema")], reader, field_ids)
        return [
            AddFile(
                path=names.check_path(path),
                size_bytes=size,
                row_count=row_count,
                schema_id=schema_id,
                partitioning_id=partitioning_id,
                partition_values=decoded(partition, partitioning_id, schema_id),
                statistics=RowStatistics(block, place, reader.types_of(schema_id), statistics),
                crc32=crc32,
                deleted=None if vector is None else decode_vector_place(json.loads(vector)),
                change=RowChange(change or RowChange.INSERT),
                level=level or 0,
                moved=() if moved is None else tuple(map(names.check_path, json.loads(moved))),
                gone=None if images is None else decode_gone(json.loads(images)),
                key_filter=RowKeyFilter(block, place) if has_filters else None,
            )
            for (
                place, statistics, vector, change, level, moved, images,
                path, size, row_count, schema_id, partitioning_id, partition, crc32,
            ) in zip(places, known, *optional, *listed, strict=True)
        ]  # fmt: skip
    except (pa.ArrowException, TypeError, ValueError, KeyError) as error:
        raise CorruptionError(f"{block.name}: a row is no file: {error!r}") from error


def _known_together(
    block: Block, rows: Column, schema_ids: list[int], reader: ActionReader, field_ids: Sequence[int]
) -> list[dict[int, FieldStatistics]]:
    """What rows say about some fields, field by field."""
    known: list[dict[int, FieldStatistics]] = [{} for _ in schema_ids]
    for field_id in field_ids:
        types = {schema_id: reader.types_of(schema_id).get(field_id) for schema_id in set(schema_ids)}
        nulls = _taken(block, nulls_column(field_id), rows)
        nans = _taken(block, nans_column(field_id), rows)
        for type_ in {type_ for type_ in types.values() if type_ is not None}:
            lows = _taken(block, min_column(field_id, type_), rows, type_)
            highs = _taken(block, max_column(field_id, type_), rows, type_)
            for place, schema_id in enumerate(schema_ids):
                if types[schema_id] == type_:
                    known[place][field_id] = _field_statistics(
                        type_, lows[place], highs[place], nulls[place], nans[place]
                    )
    return known


def _taken(block: Block, name: str, rows: Column, type_: DataType | None = None) -> list[Any]:
    array = block.column(name)
    if array is None:
        return [None] * len(rows)
    taken = array.take(rows)
    plain = taken if type_ is None or isinstance(type_, Decimal) else taken.cast(plain_type(type_))
    values: list[Any] = plain.to_pylist()
    return values


def _field_statistics(type_: DataType, low: Any, high: Any, nulls: int | None, nans: int | None) -> FieldStatistics:
    if low is None and high is None and nulls is None and nans is None:
        return UNKNOWN
    return FieldStatistics(min=low, max=high, null_count=nulls, nan_count=nans if is_float(type_) else 0)


def key_filter_in(text: str, name: str) -> KeyFilter:
    """A key filter as a row has it; `name` names it in messages.

    Raises:
        CorruptionError: it is none.

    """
    try:
        return decode_key_filter(json.loads(text))
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise CorruptionError(f"{name} is not well formed: {error!r}") from error


class RowKeyFilter:
    """Which keys the file in one row may have; read when it is asked for."""

    __slots__ = ("_block", "_place")

    def __init__(self, block: Block, place: int) -> None:
        """Look into a row of a block."""
        self._block = block
        self._place = place

    def read(self) -> KeyFilter | None:
        """See `KeyKnowledge`.

        Raises:
            CorruptionError: what stands there is none.

        """
        (text,) = _taken(self._block, KEY_FILTER, ints((self._place,)))
        return None if text is None else key_filter_in(text, f"{self._block.name}: the key filter of a file")


class RowStatistics(Mapping[int, FieldStatistics]):
    """What one row says about its file's columns; a field is read when it is first asked for."""

    __slots__ = ("_block", "_known", "_place", "_types")

    def __init__(
        self, block: Block, place: int, types: Mapping[int, DataType], known: dict[int, FieldStatistics]
    ) -> None:
        """Look into a row of a block, of a file whose fields have those types; some fields are known already."""
        self._block = block
        self._place = place
        self._types = types
        self._known = known

    def __getitem__(self, field_id: int) -> FieldStatistics:
        known = self._find(field_id)
        if known is UNKNOWN:
            raise KeyError(field_id)
        return known

    def get(self, field_id: int, default: Any = None) -> Any:
        """What is known of a field."""
        known = self._find(field_id)
        return default if known is UNKNOWN else known

    def __iter__(self) -> Iterator[int]:
        return (field_id for field_id in self._types if self._find(field_id) is not UNKNOWN)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return repr(dict(self))

    def _find(self, field_id: int) -> FieldStatistics:
        if field_id not in self._known:
            type_ = self._types.get(field_id)
            self._known[field_id] = UNKNOWN if type_ is None else self._read(field_id, type_)
        return self._known[field_id]

    def _read(self, field_id: int, type_: DataType) -> FieldStatistics:
        row = ints((self._place,))
        (low,), (high,) = (_taken(self._block, name(field_id, type_), row, type_) for name in (min_column, max_column))
        (nulls,), (nans,) = (_taken(self._block, name(field_id), row) for name in (nulls_column, nans_column))
        return _field_statistics(type_, low, high, nulls, nans)
