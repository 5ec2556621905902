"""A few rows as bytes that ride inside a commit, in the place of a file of their own.

    content   one zstd frame
              └─ one Arrow IPC message:  ffffffff │ length │ RecordBatch: rows, nulls, where the buffers are │ buffers

The message is what Arrow's specification calls an encapsulated message (its "IPC format"), with buffers that are not
compressed and without a schema: the log knows under which schema rows were written. Compressing the message as a whole
and not buffer by buffer, as the IPC format would, also shrinks what describes the buffers: one row of eight columns is
about 220 bytes instead of 830, and takes a tenth of the time.

Nothing in the bytes is trusted. What a frame grows to is limited, a message that would grow once more is refused, and
arrays are validated down to the last offset and character before anybody sees them.

A file brings its statistics in its footer. Rows without a file get the same ones here, from the arrays; only bounds of
text and bytes of more than 4 KiB, which a footer leaves out, are kept (shortened).
"""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from tablelog.errors import CorruptionError
from tablelog.format.statistics import FieldStatistics, shorten_max, shorten_min
from tablelog.format.types import Map, Struct, children, is_float
from tablelog.parquet.arrow import arrow_schema, stored_value

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tablelog.format.schema import Schema
    from tablelog.format.types import DataType, Field

MESSAGE_BYTES_MAX: Final = 1 << 28
"""What rows in a commit may take before they are compressed. Far more than should be there, far less than hurts."""
_LEVEL: Final = 3


def encode_rows(batch: pa.RecordBatch) -> bytes:
    """The rows of a batch, of at most 256 MiB, and nothing of what lies around them in its buffers.

    About 0.02 ms and 150 bytes, and what the values need.
    """
    message = batch.serialize()
    assert message.size <= MESSAGE_BYTES_MAX, f"{message.size} bytes of rows belong in a file"
    return pa.Codec("zstd", compression_level=_LEVEL).compress(message, asbytes=True)


def decode_rows(content: bytes, schema: Schema, row_count: int, name: str) -> pa.RecordBatch:
    """The rows that `encode_rows` got, under `arrow.arrow_schema(schema)`; `name` names the commit in messages.

    `schema` is the one that they were written under. Takes at most 256 MiB of memory, whatever the bytes say.

    Raises:
        CorruptionError: they are not that many rows under that schema.

    """
    try:
        batch = _decode(content, schema)
        batch.validate(full=True)
    except (pa.ArrowException, OSError, EOFError, ValueError, struct.error) as error:
        raise CorruptionError(f"{name}: the rows in it cannot be read: {error}") from error
    if batch.num_rows != row_count:
        raise CorruptionError(f"{name}: it has {batch.num_rows} rows in it, and says {row_count}")
    return batch


def _decode(content: bytes, schema: Schema) -> pa.RecordBatch:
    with pa.CompressedInputStream(pa.BufferReader(content), "zstd") as stream:
        data = stream.read_buffer(MESSAGE_BYTES_MAX + 1)
    if data.size > MESSAGE_BYTES_MAX:
        raise ValueError(f"they are more than {MESSAGE_BYTES_MAX} bytes")
    message: Any = pa.ipc.read_message(data)
    if message.type != "record batch" or message.metadata_version != pa.ipc.MetadataVersion.V5:
        raise ValueError(f"they are a {message.type} of version {message.metadata_version}, not a record batch of V5")
    _check_description(memoryview(message.metadata), _node_count(schema))
    return pa.ipc.read_record_batch(message, arrow_schema(schema))


_HEADER: Final = 2
"""The place of `header` in the table `Message` of Arrow's Message.fbs."""
_NODES: Final = 1
"""The place of `nodes` in the table `RecordBatch`."""
_COMPRESSION: Final = 3
"""The place of `compression` there."""


def _check_description(metadata: memoryview, node_count: int) -> None:
    """Refuse what Arrow would do without a word: inflate buffers to any size, and ignore columns.

    Arrow has verified the flatbuffer by then (its layout: https://flatbuffers.dev/internals).
    """
    batch = _target(metadata, _member(metadata, _target(metadata, 0), _HEADER))
    if _member(metadata, batch, _COMPRESSION):
        raise ValueError("they are compressed once more")
    (found,) = struct.unpack_from("<I", metadata, _target(metadata, _member(metadata, batch, _NODES)))
    if found != node_count:
        raise ValueError(f"they have {found} columns and parts of columns, the schema has {node_count}")


def _node_count(fields: Iterable[Field]) -> int:
    """Arrays in a batch with those columns, those inside others counted; a map has one of pairs."""
    return sum(1 + isinstance(field.type, Map) + _node_count(children(field.type)) for field in fields)


def _target(metadata: memoryview, place: int) -> int:
    """What an offset that stands at `place` points at."""
    (distance,) = struct.unpack_from("<I", metadata, place)
    return int(place + distance)


def _member(metadata: memoryview, table: int, number: int) -> int:
    """Where a member of a table stands, 0 if it is left out."""
    (distance,) = struct.unpack_from("<i", metadata, table)
    places = table - distance
    (size,) = struct.unpack_from("<H", metadata, places)
    place = 4 + 2 * number
    (offset,) = struct.unpack_from("<H", metadata, places + place) if place < size else (0,)
    return table + offset if offset else 0


# --------------------------------------------------------------------------- statistics


def statistics_of(batch: pa.RecordBatch, schema: Schema) -> dict[int, FieldStatistics]:
    """By field id, for every flat field at the top or inside structs: what a file of those rows would say.

    `batch` is under `arrow.arrow_schema(schema)`. A null struct is a null of each field inside. About 0.01 ms for a
    column of few rows.
    """
    return {field.id: _statistics(array, field.type) for array, field in _flat(batch.columns, schema.fields)}


def _flat(arrays: Iterable[Any], fields: Iterable[Field]) -> Iterator[tuple[Any, Field]]:
    for array, field in zip(arrays, fields, strict=True):
        if isinstance(field.type, Struct):
            yield from _flat(array.flatten(), field.type.fields)  # null where the struct is
        elif not children(field.type):
            yield array, field


def _statistics(array: Any, type_: DataType) -> FieldStatistics:
    low, high = _bounds(array)
    return FieldStatistics(
        min=None if low is None else shorten_min(low),
        max=None if high is None else shorten_max(high),
        null_count=array.null_count,
        nan_count=pc.is_nan(array).true_count if is_float(type_) else 0,
    )


def _bounds(array: Any) -> tuple[Any, Any]:
    """Smallest and largest value, or None if there is none or it is no text."""
    ends: Any = pc.min_max(array)
    try:
        low, high = stored_value(ends["min"]), stored_value(ends["max"])
    except UnicodeDecodeError:
        return None, None
    if isinstance(low, float) and isinstance(high, float):
        # Nothing but NaN. And the two zeros are one number but two values; the bounds hold both.
        return (None, None) if math.isnan(low) else (low or -0.0, high or 0.0)
    return low, high
