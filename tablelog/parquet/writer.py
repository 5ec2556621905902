"""Batches in, Parquet files out: in parallel, in order, in bounded memory.

    batches ─▶ lanes ─▶ chunks ─▶ open files ─▶ put
               one per  one per   encoded side by side
               partition row group (see `strands`)

The caller's thread feeds: it splits rows into lanes and cuts off a chunk whenever a lane has a row group's worth. A
lane moves on to its next file as soon as the present one *will* reach the target size by what was seen so far, not when
it has been encoded; that is where the parallelism comes from. So a file holds rows that came in one piece, and the
files of a lane, in the order they were opened, hold its rows in theirs.

Memory: rows that are not encoded yet are counted, and the feeder waits while they are too many. Where there are many
partitions side by side, the fullest lanes part with smaller chunks, and when the open files take too much as well, the
fullest of those are ended early. With a sort order a chunk is a whole file, because that is what gets sorted, and twice
as many rows may be waiting.

When the input ends, the last two files of a lane share what has not been begun, so that neither is tiny, and a last
file that one thread would be alone with is halved. One small file is encoded by the caller itself, without any thread.
"""

from __future__ import annotations

import heapq
import threading
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from tablelog import env
from tablelog.format import names
from tablelog.parquet.encoder import GROUP_BYTES, MIB, FileEncoder, group_rows
from tablelog.parquet.encoding import Encoding, choose_encoding, with_key_filters
from tablelog.parquet.key_filters import KEYS_MAX, KeyCollector
from tablelog.parquet.sink import MemorySink, open_sink
from tablelog.parquet.strands import Chunk, OpenFile, Strands, thread_count
from tablelog.parquet.transform import split_by_partition

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tablelog.format.actions import AddFile
    from tablelog.format.partitioning import Partitioning
    from tablelog.format.schema import Schema
    from tablelog.format.types import Field, Scalar
    from tablelog.parquet.ordering import Ordering
    from tablelog.parquet.sink import Sink
    from tablelog.store.base import ObjectStore

WAITING_BYTES_PER_THREAD: Final = 128 * MIB
"""Rows that are not encoded yet, as Arrow; twice that with a sort order. A thread's next file must be among them."""
OPEN_BYTES_MAX: Final = 384 * MIB
"""Encoded files that are not stored yet."""
SORTED_BYTES_MAX: Final = 192 * MIB
"""What is sorted at once, as Arrow."""
DISK_FILES_MAX: Final = 64
"""Files that are written to disk while they are encoded, each of which the system keeps open; more are in memory."""
PIECES_MAX: Final = 64
_PIECE_BYTES: Final = 512
"""About what one column of one batch costs beside its values."""
_RATIO_MIN: Final = 0.001
_HALF: Final = 0.4
"""Of the target size: the least that half a file must have to be worth a thread of its own."""
_AHEAD: Final = 1.25
"""How many chunks' worth a lane has before it parts with one, so that the last chunk of all is never a tiny one."""


def write_files(
    batches: Iterable[pa.RecordBatch],
    *,
    schema: Schema,
    partitioning: Partitioning,
    ordering: Ordering | None,
    target_size_bytes: int,
    store: ObjectStore,
    key: Sequence[Field] = (),
    group_bytes: float | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> tuple[AddFile, ...]:
    """Store all rows as files of about `target_size_bytes` and return the actions that add them, in the rows' order.

    Batches are under exactly `arrow.arrow_schema(schema)`. Each file is put once, from one of several threads. Row
    groups aim at `group_bytes` of Arrow, 16 MiB unless told otherwise. Files of few rows get a filter of their keys,
    which have the columns `key`. `on_progress` gets the number of rows whenever some more have been encoded, one call
    at a time. No rows, no files.

    Raises:
        Exception: whatever reading the batches or storing raised first. Files that were stored by then stay there.

    """
    assert target_size_bytes > 0
    writer = _Writer(
        schema=schema,
        partitioning=partitioning,
        ordering=ordering,
        target_size_bytes=target_size_bytes,
        store=store,
        key=key,
        group_bytes=group_bytes,
        on_progress=on_progress,
    )
    with writer.strands:
        for batch in batches:
            writer.add(batch)
        return writer.finish()


class _Lane:
    """Rows of one partition that are not enough for a chunk yet, and the file they will go to."""

    def __init__(self, values: tuple[Scalar | None, ...]) -> None:
        self.values = values
        self.row_count = 0
        self.size_bytes = 0
        self.file: OpenFile | None = None
        self.previous: OpenFile | None = None
        self._pieces: list[pa.RecordBatch] = []
        self._merged: list[pa.RecordBatch] = []

    def hold(self, batch: pa.RecordBatch) -> None:
        """Take a batch in; small ones are merged now and then, because each costs more than its rows."""
        self._pieces.append(batch)
        self.row_count += batch.num_rows
        self.size_bytes += batch.nbytes + _PIECE_BYTES * batch.num_columns
        if len(self._pieces) >= PIECES_MAX:
            merged = pa.Table.from_batches(self._pieces).combine_chunks().to_batches()
            self.size_bytes -= _PIECE_BYTES * batch.num_columns * (len(self._pieces) - len(merged))
            self._merged.extend(merged)
            self._pieces = []

    def take(self) -> pa.Table:
        """All rows in their order; the lane has none after that."""
        rows = pa.Table.from_batches([*self._merged, *self._pieces])
        self._merged, self._pieces, self.row_count, self.size_bytes = [], [], 0, 0
        return rows


class _Writer:
    """What happens on the caller's thread, and what the strands call back for."""

    def __init__(
        self,
        *,
        schema: Schema,
        partitioning: Partitioning,
        ordering: Ordering | None,
        target_size_bytes: int,
        store: ObjectStore,
        key: Sequence[Field],
        group_bytes: float | None,
        on_progress: Callable[[int], None] | None,
    ) -> None:
        self.strands = Strands(self._begin, self._finish_file, on_progress)
        self._schema = schema
        self._partitioning = partitioning
        self._ordering = ordering
        self._target_bytes = target_size_bytes
        self._store = store
        self._key = key
        self._group_bytes = GROUP_BYTES if group_bytes is None else group_bytes
        self._disk_places = threading.Semaphore(DISK_FILES_MAX)
        self._on_progress = on_progress
        self._waiting_max = WAITING_BYTES_PER_THREAD * max(thread_count(), 2) * (2 if ordering else 1)
        self._lanes: dict[tuple[Scalar | None, ...], _Lane] = {}
        self._held_bytes = 0
        self._encoding = Encoding(options={})

    # ----------------------------------------------------------------------- feeding

    def add(self, batch: pa.RecordBatch) -> None:
        """Take rows in; wait while too many are waiting."""
        if not self._partitioning.fields:
            self._hold((), batch)
        else:
            for values, part in split_by_partition(batch, self._partitioning, self._schema):
                self._hold(values, part)
        while self._held_bytes > self._waiting_max * 3 // 4:
            for lane in self._fullest(lambda lane: lane.size_bytes):
                self._submit_all(lane)
        if self.strands.open_bytes > OPEN_BYTES_MAX:
            for lane in self._fullest(lambda lane: lane.file.memory_bytes if lane.file else 0):
                self._end(lane)
                del self._lanes[lane.values]
        self.strands.wait(self._waiting_max - self._held_bytes)

    def finish(self) -> tuple[AddFile, ...]:
        """Store what is left, and wait for all of it."""
        if len(self._lanes) == 1 and not self.strands.files:
            return (self._encode_here(*self._lanes.values()),)
        for lane in self._lanes.values():
            self._end(lane)
        if len(self._lanes) == 1 and not self._ordering:
            self._split_last(*self._lanes.values())
        return self.strands.finish()

    def _split_last(self, lane: _Lane) -> None:
        if lane.previous is not None:
            half_bytes_min = int(_HALF * self._target_bytes / self._ratio())
            self.strands.split(lane.previous, names.data_file(env.new_id()), half_bytes_min)

    def _hold(self, values: tuple[Scalar | None, ...], batch: pa.RecordBatch) -> None:
        """Give rows to their lane and queue every whole chunk of it."""
        if not batch.num_rows:
            return
        lane = self._lanes.get(values)
        if lane is None:
            lane = self._lanes[values] = _Lane(values)
        self._held_bytes -= lane.size_bytes
        lane.hold(batch)
        self._held_bytes += lane.size_bytes
        count = self._chunk_row_count(lane.size_bytes / lane.row_count)
        if lane.row_count < count * _AHEAD:
            return
        rows = self._take(lane)
        while rows.num_rows >= count * _AHEAD:
            self._submit(lane, rows.slice(0, count))
            rows = rows.slice(count)
        for rest in rows.to_batches():
            lane.hold(rest)
        self._held_bytes += lane.size_bytes

    def _chunk_row_count(self, row_bytes: float) -> int:
        """A chunk is a row group of such a size that a file is a whole number of them, or with a sort order a file."""
        file_bytes = self._target_bytes / self._ratio()
        file_rows = max(1, int(file_bytes / row_bytes))
        if self._ordering:
            return max(1, min(file_rows, int(SORTED_BYTES_MAX / row_bytes)))
        # Lanes side by side share the memory, so each gets to a chunk sooner.
        group_bytes = self._group_bytes / (2 if self._partitioning.fields else 1)
        return min(group_rows(row_bytes, file_bytes / max(1, round(file_bytes / group_bytes))), file_rows)

    def _ratio(self) -> float:
        """Encoded bytes per byte of Arrow, as far as is known."""
        return max(self.strands.ratio() or self._encoding.ratio, _RATIO_MIN)

    def _take(self, lane: _Lane) -> pa.Table:
        self._held_bytes -= lane.size_bytes
        return lane.take()

    def _submit(self, lane: _Lane, rows: pa.Table) -> None:
        """Queue a chunk in the lane's file, and end the file if it will be full then."""
        if not self._encoding.judged:
            self._encoding = self._choose_encoding(rows)
        if lane.file is None:
            lane.file = self.strands.open(names.data_file(env.new_id()), lane.values)
        chunk = Chunk(rows=rows, size_bytes=rows.nbytes)
        self.strands.append(lane.file, chunk)
        ratio = self._ratio()
        expected_bytes = lane.file.encoded_bytes + lane.file.waiting_bytes * ratio
        if self._ordering or expected_bytes + chunk.size_bytes * ratio / 2 >= self._target_bytes:
            self._close(lane)

    def _choose_encoding(self, rows: pa.Table) -> Encoding:
        """Judge from the first rows that are written."""
        encoding = choose_encoding(rows, rows.num_rows)
        order = None if self._ordering is None else self._ordering.keys[0][0]
        by_key = bool(self._key) and order == self._key[0].name
        if by_key or rows.num_rows <= KEYS_MAX:
            return encoding
        return with_key_filters(
            encoding, self._key, min(rows.num_rows, group_rows(rows.nbytes / rows.num_rows, self._group_bytes))
        )

    def _submit_all(self, lane: _Lane) -> None:
        """Queue what a lane has as one chunk, however small."""
        if lane.row_count:
            self._submit(lane, self._take(lane))

    def _close(self, lane: _Lane) -> None:
        if lane.file is not None:
            self.strands.close(lane.file)
            lane.previous, lane.file = lane.file, None

    def _end(self, lane: _Lane) -> None:
        """Queue all that a lane has and end its file."""
        self._submit_all(lane)
        if lane.file is not None and lane.previous is not None and not self._ordering:
            self.strands.level(lane.previous, lane.file)
        self._close(lane)

    def _fullest(self, fullness: Callable[[_Lane], int]) -> list[_Lane]:
        """The eighth of the lanes that it makes most room to be rid of."""
        return heapq.nlargest(len(self._lanes) // 8 + 1, self._lanes.values(), fullness)

    # ----------------------------------------------------------------------- storing

    def _begin(self, file: OpenFile) -> FileEncoder:
        return self._encoder(open_sink(self._store, file.path, self._disk_places))

    def _encoder(self, sink: Sink) -> FileEncoder:
        try:
            keys = KeyCollector(self._key) if self._key else None
            return FileEncoder(
                self._schema, self._encoding, self._ordering, sink, keys=keys, group_bytes=self._group_bytes
            )
        except BaseException:
            sink.discard()
            raise

    def _finish_file(self, encoder: FileEncoder, file: OpenFile) -> AddFile:
        return encoder.finish(file.path, self._partitioning.id, file.values)

    def _encode_here(self, lane: _Lane) -> AddFile:
        """The only file of a small write, without threads."""
        rows = self._take(lane)
        self._encoding = self._choose_encoding(rows)
        file = OpenFile(names.data_file(env.new_id()), lane.values)
        encoder = self._encoder(MemorySink(self._store, file.path))
        encoder.add(rows)
        action = self._finish_file(encoder, file)
        if self._on_progress is not None:
            self._on_progress(rows.num_rows)
        return action
