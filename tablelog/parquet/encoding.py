"""How the columns of a file are written, judged from a sample of their rows.

    dictionary    few different values: what engines read fastest, and group by without looking at the values
    delta         other integers, dates and times: differences in few bits, smaller and faster than compressing them
    plain         everything else
    zstd          unless the sample hardly shrinks; engines read what is not compressed three times as fast

How many different values a row group will have is guessed from how their number grows between half the sample and all
of it: d(n) ~ n^b (Heaps' law). A dictionary that turns out too big costs twice, because the writer gives up on it late.
Some thousand rows are not worth the judging, nor dictionaries.

Measured over 2 million rows each, CPU ms to write / DuckDB / Polars: sequential integers as delta 20 / 8 / 12, plain
with zstd 66 / 41 / 36; random doubles uncompressed 19 / 12 / 8, with zstd 42 / 30 / 24; six strings as dictionary
92 / 9 / 27, plain with zstd 108 / 108 / 68.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tablelog.format.types import Primitive

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tablelog.format.types import Field

_ROWS_MIN: Final = 16_384
_SAMPLE_ROWS: Final = range(2048, 32_769)
_SAMPLE_PART: Final = 8
"""A larger part of a row group tells little more; a smaller one misses how fast the number of values grows."""
_SAMPLE_BYTES: Final = 4 * 1024 * 1024
_DICTIONARY_BYTES_MAX: Final = 1024 * 1024
_INTEGER_DICTIONARY_MAX: Final = 8192
"""Different integers beyond which differences are the smaller of the two."""
_FILTERED: Final = frozenset((Primitive.INT32, Primitive.INT64, Primitive.STRING))
"""Types of columns that keys mostly have, and whose filters every reader hashes alike."""
_FILTERS_SINCE: Final = 26
_FALSE_POSITIVES: Final = 0.05
_SHRINKS: Final = 0.9
_RATIO_UNKNOWN: Final = 0.35
_INT64_DIGITS: Final = 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """Choices for every file of one write."""

    options: Mapping[str, Any]
    """Arguments of PyArrow's `ParquetWriter`."""
    ratio: float = _RATIO_UNKNOWN
    """About how many bytes one byte of Arrow becomes."""
    judged: bool = False
    """Whether there were rows enough to judge from."""


def choose_encoding(rows: pa.Table, group_row_count: int) -> Encoding:
    """Judge from the first rows of a table; `group_row_count` is how many a row group will have."""
    judged = rows.num_rows >= _ROWS_MIN
    sample = rows.slice(0, _sample_row_count(rows, group_row_count) if judged else 0)
    dictionary, delta = [], {}
    for path, leaf in _leaves_of(sample):
        if len(leaf) and _estimate_distinct(leaf, group_row_count) <= _dictionary_max(leaf, group_row_count):
            dictionary.append(path)
        elif _is_stored_as_integer(leaf.type):
            delta[path] = "DELTA_BINARY_PACKED"
    options = {
        "store_schema": False,
        "store_decimal_as_integer": True,
        "dictionary_pagesize_limit": _DICTIONARY_BYTES_MAX,
        # Costs nothing, lets engines skip pages, and takes statistics out of the pages. From those DuckDB 2.0
        # concludes that plain text with nulls and only one value is all null, and answers IS NULL with every row.
        "write_page_index": True,
        "use_dictionary": dictionary or False,
        "column_encoding": delta or None,
    }
    if not judged:
        return Encoding(options={**options, "compression": "zstd"})
    return _with_compression(sample.slice(0, sample.num_rows // 2), options)


def with_key_filters(encoding: Encoding, key: Sequence[Field], group_row_count: int) -> Encoding:
    """The same with Parquet's own Bloom filters of key columns, from which DuckDB sees that a row group lacks a value.

    For files that are too large for a filter in the log and not sorted by the key, 1 byte a row. Measured over a
    million rows: DuckDB finds one row in 2 ms instead of 5, and none in 0.7 instead of 5 (text 0.8 instead of 21);
    writing takes 10 ms more for each column. Joins do not use them. PyArrow writes them from its version 26 on.
    """
    names = [field.name for field in key if field.type in _FILTERED]
    if int(pa.__version__.partition(".")[0]) < _FILTERS_SINCE or not names:
        return encoding
    filters = {"ndv": group_row_count, "fpp": _FALSE_POSITIVES}
    return replace(encoding, options={**encoding.options, "bloom_filter_options": dict.fromkeys(names, filters)})


def _sample_row_count(rows: pa.Table, group_row_count: int) -> int:
    count = min(max(group_row_count // _SAMPLE_PART, _SAMPLE_ROWS.start), _SAMPLE_ROWS.stop - 1)
    return min(count, max(_SAMPLE_BYTES * rows.num_rows // max(rows.nbytes, 1), 2))


def _with_compression(trial: pa.Table, options: dict[str, Any]) -> Encoding:
    """Write a few rows to see which columns shrink."""
    footers: list[pq.FileMetaData] = []
    with pq.ParquetWriter(
        pa.BufferOutputStream(), trial.schema, compression="zstd", metadata_collector=footers, **options
    ) as writer:
        writer.write_table(trial)
    group = footers[0].row_group(0)
    compression, size_bytes = {}, 0
    for column in map(group.column, range(group.num_columns)):
        shrinks = column.total_compressed_size < _SHRINKS * column.total_uncompressed_size
        compression[column.path_in_schema] = "ZSTD" if shrinks else "NONE"
        size_bytes += column.total_compressed_size
    ratio = size_bytes / max(trial.nbytes, 1)
    return Encoding(options={**options, "compression": compression}, ratio=ratio, judged=True)


def _leaves_of(table: pa.Table) -> Iterator[tuple[str, pa.Array[Any]]]:
    """Leaf columns by their dotted path in the file; of two with the same path (a.b, and b in a) neither."""
    found: dict[str, list[pa.Array[Any]]] = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        for path, leaf in _leaves(name, column.combine_chunks()):
            found.setdefault(path, []).append(leaf)
    return ((path, leaves[0]) for path, leaves in found.items() if len(leaves) == 1)


def _leaves(path: str, array: Any) -> Iterator[tuple[str, pa.Array[Any]]]:
    if isinstance(array, pa.StructArray):
        for field, child in zip(array.type, array.flatten(), strict=True):
            yield from _leaves(f"{path}.{field.name}", child)
    elif isinstance(array, pa.MapArray):
        yield from _leaves(f"{path}.key_value.key", array.keys)
        yield from _leaves(f"{path}.key_value.value", array.items)
    elif isinstance(array, pa.ListArray):
        yield from _leaves(f"{path}.list.element", array.flatten())
    else:
        yield path, array


def _estimate_distinct(leaf: pa.Array[Any], row_count: int) -> float:
    half, whole = (pc.count_distinct(leaf.slice(0, length)).as_py() for length in (len(leaf) // 2, len(leaf)))
    growth = min(1.0, math.log2(max(whole, 1) / max(half, 1)))
    return float(whole * max(1.0, row_count / len(leaf)) ** growth)


def _dictionary_max(leaf: pa.Array[Any], row_count: int) -> float:
    """How many different values a dictionary may have to be worth it; booleans are packed anyway."""
    if pa.types.is_boolean(leaf.type):
        return 0
    width = max(1.0, leaf.nbytes / len(leaf))
    most = min(_DICTIONARY_BYTES_MAX / width, row_count / 3)
    return min(most, _INTEGER_DICTIONARY_MAX) if _is_stored_as_integer(leaf.type) else most


def _is_stored_as_integer(type_: Any) -> bool:
    if pa.types.is_decimal(type_):
        return bool(type_.precision <= _INT64_DIGITS)
    return pa.types.is_integer(type_) or pa.types.is_temporal(type_)
