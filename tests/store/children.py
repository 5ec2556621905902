"""What child processes do in tests: race for keys, read, write until they are killed.

A module of its own because a spawned process imports what it runs.
"""

from __future__ import annotations

import multiprocessing
from typing import TYPE_CHECKING, Any

from tablelog.errors import StoreError
from tablelog.store import open_store

if TYPE_CHECKING:
    from multiprocessing.queues import SimpleQueue
    from multiprocessing.synchronize import Barrier

    from tablelog.store import ObjectStore

_PATIENCE_S = 60.0


def body_of(process: int, turn: int) -> bytes:
    """What a process writes under the key of a turn; long enough to be seen half-written."""
    return f"process {process}, turn {turn}; ".encode() * 400


def race(url: str, options: dict[str, Any] | None, *, processes: int, turns: int) -> list[list[bool | None]]:
    """For each turn, what each process was told when all of them created `race/<turn>` at once.

    None stands for an answer that was lost.
    """
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(processes)
    results: SimpleQueue[tuple[int, list[bool | None]]] = context.SimpleQueue()
    running = [
        context.Process(target=_take_part, args=(open_store(url, options), number, turns, barrier, results))
        for number in range(processes)
    ]
    for process in running:
        process.start()
    told = dict(results.get() for _ in running)
    for process in running:
        process.join(_PATIENCE_S)
    return [[told[number][turn] for number in range(processes)] for turn in range(turns)]


def _take_part(
    store: ObjectStore, number: int, turns: int, barrier: Barrier, results: SimpleQueue[tuple[int, list[bool | None]]]
) -> None:
    answers: list[bool | None] = []
    try:
        store.put(f"ready/{number}", b"")  # Connects, so that the first turn is a race as well.
        for turn in range(turns):
            barrier.wait(_PATIENCE_S)
            try:
                answers.append(store.put_if_absent(f"race/{turn}", body_of(number, turn)))
            except StoreError:
                answers.append(None)
    finally:
        results.put((number, answers))


def check_race(url: str, options: dict[str, Any] | None, told: list[list[bool | None]]) -> None:
    """Assert that every turn had one winner and that its object is stored whole."""
    store = open_store(url, options)
    for turn, answers in enumerate(told):
        assert answers.count(True) == 1, f"turn {turn}: {answers}"
        assert store.get(f"race/{turn}") == body_of(answers.index(True), turn), f"turn {turn}: not the winner's"


def read_key(store: ObjectStore, results: SimpleQueue[bytes]) -> None:
    """Send home the object `key` of a store that has travelled here."""
    results.put(store.get("key"))


def write_for_ever(url: str) -> None:
    """Create one object after the other until somebody ends this process."""
    store = open_store(url)
    for number in range(1_000_000):
        store.put_if_absent(f"log/{number:08d}", b"x" * 100_000)
