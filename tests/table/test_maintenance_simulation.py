"""Small"""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from tablelog import changing, compacting, env
from tablelog.ops import policy, removing, tiering, write
from tablelog.parquet import contents, strands
from tablelog.store import together

from . import maintaining
from .maintaining import DEPTH, KINDS, WINDOW, Forgetful, Left, OneByOne, Reading, Step

if TYPE_CHECKING:
    from collections.abc import Mapping

SEEDS = int(os.environ.get("TABLELOG_SEEDS", "10000"))
BLOCKS = 20


class Forest:
    """Seeds of one block, each on top of one before it."""

    def __init__(self, first: int, kinds: Mapping[str, int] = KINDS) -> None:
        self.first, self.kinds = first, kinds
        self.seen = Reading()
        self.left: dict[int, Left] = {}
        self.depths: dict[int, int] = {}
        self.happened: Counter[str] = Counter()

    def below(self, seed: int) -> int | None:
        """The seed whose table another one goes on with."""
        back = (seed * 2654435761 >> 7) % WINDOW
        parent = seed - 1 - back
        return parent if parent >= self.first and self.depths[parent] < DEPTH else None

    def run(self, count: int) -> Counter[str]:
        for seed in range(self.first, self.first + count):
            parent = self.below(seed)
            self.depths[seed] = 1 if parent is None else self.depths[parent] + 1
            self.grow(seed, parent)
            self.left.pop(seed - WINDOW - 1, None)
        return self.happened

    def grow(self, seed: int, parent: int | None) -> None:
        left = None if parent is None else self.left[parent]
        step = Step(seed, left, self.kinds, self.seen)
        with env.use(step.world):
            try:
                if left is None:
                    step.create()
                before = dict(step.disk.objects)
                step.run(step.before if left is not None else {})
                self.left[seed] = step.left(before)
                if step.dice.random() < 0.04:
                    last = Step(seed, self.left[seed], self.kinds, self.seen)
                    with env.use(last.world):
                        last.finish()
            except BaseException as error:
                error.add_note("\n".join([*step.told, f"seed {seed} on {parent}"]))
                raise
        self.happened += step.happened


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (together, strands):
        monkeypatch.setattr(module, "ThreadPoolExecutor", OneByOne)
    monkeypatch.setattr(changing, "condition_on", maintaining.condition_on)
    monkeypatch.setattr(changing, "meet", maintaining.meet)
    monkeypatch.setattr(contents, "_VECTORS", Forgetful())
    monkeypatch.setattr(contents, "_ROWS", Forgetful())
    monkeypatch.setattr(removing, "INLINE_BYTES_MAX", 48)
    monkeypatch.setattr(compacting, "PASSING_EVERY", 3)
    monkeypatch.setattr(policy, "_PIECES_MAX", 2)
    monkeypatch.setattr(policy, "_UNITS", 4)
    for module in (policy, tiering):
        monkeypatch.setattr(module, "FAN_OUT", 2)
    monkeypatch.setattr(write, "_TARGET_FILE_SIZE_MIN", 1)


@pytest.mark.parametrize("block", range(BLOCKS))
def test_every_version_has_its_rows(block: int) -> None:
    count = SEEDS // BLOCKS
    happened = Forest(block * count).run(count)
    if "SHOW" in os.environ:
        print(happened)
