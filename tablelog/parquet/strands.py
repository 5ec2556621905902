"""Files that are encoded side by side, each by one thread at a time.

An open file is a strand: a queue of chunks and a flag that says whether a thread is at work on it. Whoever queues a
chunk of a resting strand sends a thread, which stays until the queue is empty. So the chunks of a file are encoded in
order without a lock around its encoder, and no thread ever waits for another.

Every number that two threads touch is guarded by one condition. It is notified whenever a chunk is encoded, a file is
stored, or something failed; the first failure stops all strands and is raised in the thread that feeds them.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    import pyarrow as pa

    from tablelog.format.actions import AddFile
    from tablelog.format.types import Scalar
    from tablelog.parquet.encoder import FileEncoder

THREADS_MAX: Final = 8


def thread_count() -> int:
    """How many threads encode at most."""
    return min(os.cpu_count() or 1, THREADS_MAX)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Rows that are encoded at once."""

    rows: pa.Table
    size_bytes: int
    """As Arrow."""


class OpenFile:
    """One strand."""

    def __init__(self, path: str, values: tuple[Scalar | None, ...]) -> None:
        """A file to be, for rows of the partition with those values."""
        self.path = path
        self.values = values
        self.chunks: deque[Chunk] = deque()
        self.total_bytes = 0
        """Of all chunks it ever had, as Arrow."""
        self.waiting_bytes = 0
        """Of chunks that are not encoded yet, as Arrow."""
        self.encoded_bytes = 0
        self.memory_bytes = 0
        self.encoder: FileEncoder | None = None
        self.begun = False
        """Whether a thread took its first chunk."""
        self.running = False
        """Whether a thread is at work on it."""
        self.closed = False
        """Whether it has got its last chunk."""
        self.action: AddFile | None = None


class Strands:
    """The open files of one write and the threads that encode them; a context manager that joins them in the end."""

    def __init__(
        self,
        begin: Callable[[OpenFile], FileEncoder],
        finish: Callable[[FileEncoder, OpenFile], AddFile],
        on_progress: Callable[[int], None] | None,
    ) -> None:
        """`begin` makes the encoder of a file, `finish` stores what it encoded; threads call them."""
        self.files: list[OpenFile] = []
        self.open_bytes = 0
        """Memory of files that are not stored yet."""
        self._begin = begin
        self._finish = finish
        self._on_progress = on_progress
        self._changed = threading.Condition()
        self._threads: ThreadPoolExecutor | None = None
        self._error: BaseException | None = None
        self._waiting_bytes = 0
        self._unstored_count = 0
        self._done_bytes = 0
        self._done_encoded_bytes = 0

    def __enter__(self) -> Self:
        """Nothing runs before the first chunk."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Leave alone what has not been begun, wait for what has, and discard what will not be finished."""
        with self._changed:
            self._error = self._error or error
        if self._threads is not None:
            self._threads.shutdown()
        for file in self.files:
            if file.encoder is not None:
                file.encoder.discard()

    def ratio(self) -> float | None:
        """Encoded bytes per byte of Arrow in what has been encoded; None before there is any."""
        with self._changed:
            return self._done_encoded_bytes / self._done_bytes if self._done_bytes else None

    def open(self, path: str, values: tuple[Scalar | None, ...]) -> OpenFile:
        """One more file, after all others in the order of the result."""
        file = OpenFile(path, values)
        with self._changed:
            self._add(file)
        return file

    def _add(self, file: OpenFile) -> None:
        self.files.append(file)
        self._unstored_count += 1

    def append(self, file: OpenFile, chunk: Chunk) -> None:
        """Queue rows of an open file."""
        with self._changed:
            self._raise_error()
            file.chunks.append(chunk)
            file.total_bytes += chunk.size_bytes
            file.waiting_bytes += chunk.size_bytes
            self._waiting_bytes += chunk.size_bytes
            self._start(file)

    def close(self, file: OpenFile) -> None:
        """No more chunks: the file is stored when those that it has are encoded."""
        with self._changed:
            file.closed = True
            self._start(file)

    def level(self, previous: OpenFile, last: OpenFile) -> None:
        """Move chunks that nobody has begun from the end of one file to the next, until they are about equally big."""
        with self._changed:
            while not last.begun and previous.chunks:
                size_bytes = previous.chunks[-1].size_bytes
                if previous.total_bytes - size_bytes < last.total_bytes + size_bytes:
                    return
                last.chunks.appendleft(previous.chunks.pop())
                for file, moved_bytes in ((previous, -size_bytes), (last, size_bytes)):
                    file.total_bytes += moved_bytes
                    file.waiting_bytes += moved_bytes

    def split(self, last: OpenFile, path: str, half_bytes_min: int) -> None:
        """Make the second half of a file one of its own if a thread would have nothing to do otherwise.

        Only if nobody has begun it, and neither half is smaller than `half_bytes_min` as Arrow.
        """
        with self._changed:
            unbegun_count = sum(not file.begun for file in self.files)
            is_thread_idle = (unbegun_count or self._unstored_count) % thread_count() != 0
            unbegun_bytes = sum(chunk.size_bytes for chunk in last.chunks)
            if is_thread_idle and min(unbegun_bytes, last.total_bytes // 2) >= half_bytes_min:
                second = OpenFile(path, last.values)
                self.level(last, second)
                if second.chunks:
                    self._add(second)
                    self.close(second)

    def wait(self, waiting_bytes_max: int) -> None:
        """Until no more than that is waiting to be encoded."""
        with self._changed:
            self._changed.wait_for(lambda: self._error is not None or self._waiting_bytes <= waiting_bytes_max)
            self._raise_error()

    def finish(self) -> tuple[AddFile, ...]:
        """Wait until all files, which must be closed by now, are stored."""
        with self._changed:
            self._changed.wait_for(lambda: self._error is not None or not self._unstored_count)
            self._raise_error()
            return tuple(file.action for file in self.files if file.action is not None)

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    def _start(self, file: OpenFile) -> None:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(thread_count(), "tablelog-write")
        if not file.running:
            file.running = True
            self._threads.submit(self._run, file)

    def _run(self, file: OpenFile) -> None:
        """What a thread does: encode chunks until there are none, then store the file if there will be no more."""
        try:
            while (chunk := self._next(file)) is not None:
                if file.encoder is None:
                    file.encoder = self._begin(file)
                file.encoder.add(chunk.rows)
                self._count_encoded(file, chunk, file.encoder)
            if file.running:
                assert file.encoder is not None, "a file is closed only after its first chunk"
                self._count_stored(file, self._finish(file.encoder, file))
        except BaseException as error:  # noqa: BLE001 - it is raised again in the thread that feeds
            with self._changed:
                self._error = self._error or error
                self._changed.notify_all()

    def _next(self, file: OpenFile) -> Chunk | None:
        """The file's next chunk. If there is none the strand rests; of a closed file the thread never lets go."""
        with self._changed:
            if self._error is None and file.chunks:
                file.begun = True
                return file.chunks.popleft()
            file.running = self._error is None and file.closed
            return None

    def _count_encoded(self, file: OpenFile, chunk: Chunk, encoder: FileEncoder) -> None:
        with self._changed:
            self.open_bytes += encoder.memory_bytes - file.memory_bytes
            self._waiting_bytes -= chunk.size_bytes
            self._done_bytes += chunk.size_bytes
            self._done_encoded_bytes += encoder.size_bytes - file.encoded_bytes
            file.encoded_bytes, file.memory_bytes = encoder.size_bytes, encoder.memory_bytes
            file.waiting_bytes -= chunk.size_bytes
            if self._on_progress is not None:
                self._on_progress(chunk.rows.num_rows)
            self._changed.notify_all()

    def _count_stored(self, file: OpenFile, action: AddFile) -> None:
        with self._changed:
            file.action, file.encoder = action, None
            self.open_bytes -= file.memory_bytes
            self._unstored_count -= 1
            self._changed.notify_all()
