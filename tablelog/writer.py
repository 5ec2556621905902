"""Many small appends as few commits: a queue, and one thread that empties it.

    append ─┐
    append ─┼─▶ rows of the next commit ─▶ one commit, when enough have come or the oldest has waited long enough
    append ─┘

Rows are checked when they are given, so one bad batch fails alone and at once. A commit that fails fails for all whose
rows were in it, and the writer goes on with the next.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from itertools import groupby
from typing import TYPE_CHECKING, Self

from tablelog import env
from tablelog.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    import pyarrow as pa

    from tablelog.log.facts import Commit


class Writer:
    """Gathers appends of any number of threads. Close it, or use it in a `with`: it has a thread."""

    def __init__(
        self,
        shape: Callable[[object], pa.Table],
        commit: Callable[[Sequence[pa.Table]], Commit],
        *,
        max_delay_s: float,
        bytes_max: int,
    ) -> None:
        """Made by `Table.writer`."""
        if not max_delay_s >= 0 or bytes_max < 1:
            raise InvalidError(f"max_delay={max_delay_s!r} and max_bytes={bytes_max!r} must be positive")
        self._shape = shape
        self._commit = commit
        self._max_delay_s = max_delay_s
        self._bytes_max = bytes_max
        self._changed = threading.Condition()
        self._waiting: list[tuple[pa.Table, Future[Commit]]] = []
        self._waiting_bytes = 0
        self._due_s = 0.0
        self._given = self._done = 0
        """Appends that were handed over, and those of them of which the end is known."""
        self._wanted = 0
        """So many of them are not to wait for others."""
        self._closed = False
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="tablelog-writer", daemon=True)
        self._thread.start()

    def append(self, data: object) -> Future[Commit]:
        """Hand rows over; the future is done when they are in the table, or gives the error that kept them out.

        A future that is cancelled before its commit begins takes its rows back.
        Waits while twice `max_bytes` are waiting already.

        Raises:
            InvalidError: the rows do not fit the table, or the writer is closed; nothing was handed over.

        """
        rows = self._shape(data)
        future: Future[Commit] = Future()
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._waiting_bytes < 2 * self._bytes_max)
            if self._closed:
                raise InvalidError("this writer is closed; make another one with table.writer()")
            if not self._waiting:
                self._due_s = env.monotonic_s() + self._max_delay_s
            self._waiting.append((rows, future))
            self._waiting_bytes += rows.nbytes
            self._given += 1
            self._changed.notify_all()
        return future

    def flush(self) -> None:
        """Wait until everything that was handed over before is in the table.

        Raises:
            TablelogError: a commit since the last flush failed; the first error.

        """
        with self._changed:
            wanted = self._wanted = self._given
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._done >= wanted)
            failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def close(self) -> None:
        """Take nothing any more, and wait until everything that was handed over is in the table.

        Raises:
            TablelogError: as `flush`.

        """
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()
        self.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                while self._waiting and not self._is_due():
                    self._changed.wait(max(0.0, self._due_s - env.monotonic_s()))
                if not self._waiting:
                    return
                taken, self._waiting, self._waiting_bytes = self._waiting, [], 0
                self._changed.notify_all()
            wanted = [each for each in taken if each[1].set_running_or_notify_cancel()]
            for _, alike in groupby(wanted, lambda each: each[0].schema):  # somebody may have changed the columns
                self._store(*map(list, zip(*alike, strict=True)))
            with self._changed:
                self._done += len(taken)
                self._changed.notify_all()

    def _is_due(self) -> bool:
        enough = self._waiting_bytes >= self._bytes_max or env.monotonic_s() >= self._due_s
        return enough or self._done < self._wanted or self._closed

    def _store(self, tables: list[pa.Table], futures: list[Future[Commit]]) -> None:
        try:
            commit = self._commit(tables)
        except BaseException as error:  # noqa: BLE001 - whoever waits is told
            self._failure = self._failure or error
            for future in futures:
                future.set_exception(error)
        else:
            for future in futures:
                future.set_result(commit)
