"""File entries of tables whose files were never written: what a log knows of them is all that planning looks at.

Entry i has a thousand consecutive ids. Which thousand is a random permutation, so that neighbours in the log are no
neighbours in `id`; `at` grows with i, as the time of writing does; `name` is as good as random.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterator

_TYPES: Final[dict[str, pa.DataType]] = {"id": pa.int64(), "at": pa.timestamp("us"), "name": pa.string()}
SCHEMA: Final = pa.schema(_TYPES)
SIZE_BYTES: Final = 1_000_000
ROWS: Final = 1000
"""Of every file."""
_COMMITS: Final = 100
_SEED: Final = 42
_BEGIN_US: Final = 1_700_000_000_000_000
_STEP_US: Final = 60_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What is known of one file: inclusive bounds of its columns; nothing is null."""

    path: str
    """Relative to the table's folder."""
    id_min: int
    id_max: int
    at_min_us: int
    at_max_us: int
    name_min: str
    name_max: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """An id, and the only file that can hold it."""

    id: int
    path: str


def commits(count: int) -> Iterator[list[Entry]]:
    """That many entries in a hundred commits; the same ones each time."""
    order = list(range(count))
    chance = random.Random(_SEED)
    chance.shuffle(order)
    size = -(-count // _COMMITS)
    for start in range(0, count, size):
        yield [_entry(number, order[number], chance) for number in range(start, min(start + size, count))]


def points(count: int, number: int) -> list[Point]:
    """Some ids, each of another file, in no order."""
    chance = random.Random(_SEED + 1)
    wanted = frozenset(chance.sample(range(count), number))
    every = (entry for commit in commits(count) for entry in commit)
    found = [entry for index, entry in enumerate(every) if index in wanted]
    chance.shuffle(found)
    return [Point(id=chance.randint(entry.id_min, entry.id_max), path=entry.path) for entry in found]


def _entry(number: int, place: int, chance: random.Random) -> Entry:
    names = sorted(f"{chance.getrandbits(32):08x}" for _ in range(2))
    at_us = _BEGIN_US + number * _STEP_US
    return Entry(
        path=f"data/{chance.getrandbits(128):032x}.parquet",
        id_min=place * ROWS,
        id_max=place * ROWS + ROWS - 1,
        at_min_us=at_us,
        at_max_us=at_us + _STEP_US - 1,
        name_min=names[0],
        name_max=names[1],
    )
