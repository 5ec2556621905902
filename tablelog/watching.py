"""A table kept compact for as long as somebody wants: by one of many processes, which others replace when it stops."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

from tablelog import env
from tablelog.compacting import compact
from tablelog.errors import FencedError
from tablelog.lease import Lease

if TYPE_CHECKING:
    from collections.abc import Callable

    from tablelog.committing import Committing
    from tablelog.compacting import Progress
    from tablelog.log.facts import Commit

LEASE: Final = "compaction"


class Event(StrEnum):
    """What happens while somebody watches."""

    WAITING = "waiting"
    """Somebody else holds the lease."""
    WORKING = "working"
    """The lease is ours from here on."""
    COMPACTED = "compacted"
    """Something was put together."""
    LOST = "lost"
    """Somebody took the lease over."""


def watch(  # noqa: PLR0917 - what it needs to know
    table: Committing,
    every_s: float,
    patience_s: float,
    stop: Callable[[], bool],
    on_event: Callable[[Event, Commit | None], None],
    on_progress: Callable[[Progress], None] | None,
) -> None:
    """See `Table.keep_compact`."""
    lease = Lease(table, LEASE, patience_s=patience_s)
    before: Event | None = None

    def tell(event: Event, commit: Commit | None = None) -> None:
        nonlocal before
        if event is not before or commit is not None:
            on_event(event, commit)
        before = event if commit is None else before

    def advance(progress: Progress) -> None:
        lease.beat()
        if on_progress is not None:
            on_progress(progress)

    try:
        while not stop():
            mine = lease.look()
            tell(Event.WAITING if mine is None else Event.WORKING)
            if mine is not None:
                try:
                    commit = compact(mine, None, on_progress=advance)
                except FencedError:
                    tell(Event.LOST)
                    continue
                if commit is not None:
                    tell(Event.COMPACTED, commit)
            _pause(every_s, stop)
    finally:
        lease.end()


def _pause(wait_s: float, stop: Callable[[], bool]) -> None:
    """Sleep in short pieces: who is told to stop does."""
    end_s = env.monotonic_s() + wait_s
    while not stop() and (left_s := end_s - env.monotonic_s()) > 0:
        env.sleep(min(left_s, 0.5))
