"""Writers, compactors, vacuum, expiry and clones meet between any two calls of the store; see `maintaining`.

Who: appends, deletes and upserts (which put files together in passing), compactions, full ones, restores, expiries,
vacuums with and without a grace, both in a row, clones of tables and of clones, tags, consumers. Tables are plain,
sorted, with a key, along a curve, and partitioned; files are as small as can be, so that there are several levels.

Faults: somebody dies between any two calls of the store, or gets no turn for two hours; others act meanwhile.

Model: for each commit that wins its name, the rows after it: what its operation comes to, applied to the rows before.

Safety, after each step, after each death, and after whatever came in between:

 1  each version from the horizon on, of tables and clones, read by somebody who knows nothing, has the rows of the model
 2  its changes lead from the version before to it; by compactions no row comes or goes, by an append none goes
 3  the horizon passes no tag, no consumer and no clone that is being made, and goes as far as it can
 4  a write that failed has no commit, one that was done has one; nobody is refused without a reason

In the end, of every so many seeds: a full compaction leaves nothing to do, tables are sound, and after a vacuum their
folders have the data files and vectors that versions need, and no other.

Progress: every operation comes to its end; what died is done again, and succeeds.

`BUGS` are planted one by one, and each is caught. More seeds: TABLELOG_SEEDS=1000000 pytest -n auto …
"""

from __future__ import annotations

import os
from collections import Counter
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from pyroaring import BitMap

from tablelog import changing, committing, compacting, env, lake, upkeep
from tablelog.compacting import UntidyWarning
from tablelog.errors import TablelogError
from tablelog.format import names
from tablelog.format.actions import AddFile, RowChange
from tablelog.format.vector import Gone
from tablelog.log import actions_object, changed, retained
from tablelog.log.history import TableHistory
from tablelog.log.state import TableState
from tablelog.ops import compact, expire, needs, policy, removing, tiering, write
from tablelog.ops.expire import Expiry
from tablelog.parquet import contents, strands
from tablelog.store import together

from . import maintaining
from .maintaining import DEPTH, KINDS, TOGETHER, WINDOW, Forgetful, Left, OneByOne, Reading, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SEEDS = int(os.environ.get("TABLELOG_SEEDS", "10000"))
BLOCKS = 20
ENDS = 0.02
"""The share of seeds of which the end is looked at."""


class Forest:
    """Seeds that follow one another, each on top of one before it or of nothing."""

    def __init__(self, first: int, kinds: Mapping[str, int] = KINDS, settings: Mapping[str, str] | None = None) -> None:
        self.first, self.kinds, self.settings = first, kinds, settings or {}
        self.seen = Reading()
        self.left: dict[int, Left] = {}
        self.new: dict[int, Left] = {}
        self.depths: dict[int, int] = {}
        self.happened: Counter[str] = Counter()

    def below(self, seed: int) -> int | None:
        """The seed whose table another one goes on with."""
        parent = seed - 1 - (seed * 2654435761 >> 7) % WINDOW
        return parent if parent >= self.first and self.depths[parent] < DEPTH else None

    def run(self, count: int) -> Counter[str]:
        """Let so many seeds grow; what happened, and how often."""
        for seed in range(self.first, self.first + count):
            parent = self.below(seed)
            self.depths[seed] = 1 if parent is None else self.depths[parent] + 1
            self.grow(seed, parent)
            self.left.pop(seed - WINDOW - 1, None)
        return self.happened

    def begun(self, seed: int) -> Left:
        """The new table that a seed begins with."""
        number = seed // TOGETHER
        if number not in self.new:
            step = Step(-1 - number, None, self.kinds, self.seen)
            with env.use(step.world):
                step.create(self.settings)
            self.new[number] = step.left()
        return self.new[number]

    def grow(self, seed: int, parent: int | None) -> None:
        left = self.begun(seed) if parent is None else self.left[parent]
        step = Step(seed, left, self.kinds, self.seen)
        with env.use(step.world):
            try:
                step.run()
                self.left[seed] = step.left()
                if step.dice.random() < ENDS:
                    last = Step(seed, self.left[seed], self.kinds, self.seen)
                    with env.use(last.world):
                        last.finish()
            except BaseException as error:
                error.add_note("\n".join([*step.told, f"seed {seed} on {parent}; Forest({self.first}) leads to it"]))
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
    monkeypatch.setattr(actions_object, "INLINE_MAX", 5)
    monkeypatch.setattr(write, "_TARGET_FILE_SIZE_MIN", 1)


@pytest.mark.parametrize("block", range(BLOCKS))
def test_every_version_that_can_be_read_has_its_rows(block: int) -> None:
    count = SEEDS // BLOCKS
    happened = Forest(block * count).run(count)
    if count >= 500:
        assert min(happened[each] for each in ("crashes", "interleavings", "deeper interleavings")) > count / 30


def test_a_seed_leads_to_the_same_objects_again() -> None:
    forests = [Forest(0), Forest(0)]
    for forest in forests:
        forest.run(WINDOW)
    first, second = ({seed: left.objects for seed, left in forest.left.items()} for forest in forests)
    assert first == second


# --------------------------------------------------------------------------- planted bugs

Plant = pytest.MonkeyPatch


def deletions_are_not_carried(plant: Plant) -> None:
    right = compact._Moved.carried
    plant.setattr(compact._Moved, "carried", lambda self, vectors: None if right(self, vectors) is None else BitMap())


def places_of_sorted_rows_are_lost(plant: Plant) -> None:
    plant.setattr(compact._Places, "of", lambda self, path, rows: BitMap())


def carried_to_the_first_file_only(plant: Plant) -> None:
    right = compact.Compacting._written

    def written(self: Any, made: Any, deleted: BitMap) -> Any:
        first, *rest = right(self, made, deleted)
        kept = {file.path: file for file in made.files}
        return [first, *(kept[file.path] for file in rest)]

    plant.setattr(compact.Compacting, "_written", written)


def sources_that_are_gone_are_moved_all_the_same(plant: Plant) -> None:
    right = compact.Compacting.plan

    def plan(self: Any, state: TableState, info: Any) -> Any:
        planned = right(self, state, info)
        known = self._first = getattr(self, "_first", None) or planned
        if known is None or planned is known:
            return planned
        live = set(state.files.paths)
        actions = [each for each in known.actions if isinstance(each, AddFile) or each.path in live]
        return replace(known, actions=actions)

    plant.setattr(compact.Compacting, "plan", plan)


def one_source_stays(plant: Plant) -> None:
    right = compact.Compacting.plan

    def plan(self: Any, state: TableState, info: Any) -> Any:
        planned = right(self, state, info)
        removed = [] if planned is None else [each for each in planned.actions if not isinstance(each, AddFile)]
        if len(removed) < 2:
            return planned
        return replace(planned, actions=[each for each in planned.actions if each is not removed[-1]])

    plant.setattr(compact.Compacting, "plan", plan)


def moves_drop_vectors(plant: Plant) -> None:
    plant.setattr(compact, "again", lambda file, **said: replace(file, **said | {"deleted": None}))


def files_are_made_for_level_0(plant: Plant) -> None:
    right = compact.write_rows
    plant.setattr(compact, "write_rows", lambda *given, **said: right(*given, **said | {"level": 0}))


def compacted_rows_are_new_rows(plant: Plant) -> None:
    right = compact.write_rows
    plant.setattr(compact, "write_rows", lambda *given, **said: right(*given, **said | {"change": RowChange.INSERT}))


def steps_in_passing_lose_what_is_gone(plant: Plant) -> None:
    right = compacting.together

    def together(*given: Any) -> Any:
        both = right(*given)
        return both and [replace(each, gone=None) if getattr(each, "moved", ()) else each for each in both]

    plant.setattr(compacting, "together", together)


def operations_are_planned_before_the_step(plant: Plant) -> None:
    plant.setattr(TableState, "after", lambda self, actions: self)


def moved_rows_are_in_the_feed(plant: Plant) -> None:
    plant.setattr(changed, "_without_moved", lambda changes: changes)


def vacuum_forgets_clones(plant: Plant) -> None:
    plant.setattr(needs.Asking, "_lent", lambda self, clone: needs._Lent("nothing"))


def clones_are_not_registered(plant: Plant) -> None:
    plant.setattr(lake, "register_clone", lambda *_, **__: None)


def of_what_is_needed(plant: Plant, wanted: Callable[[str, Any, Any], bool]) -> None:
    right = retained.retained

    def some(history: Any) -> Any:
        return {path: span for path, span in right(history).items() if wanted(path, span, history)}

    plant.setattr(needs, "retained", some)


def vacuum_forgets_vectors_of_the_feed(plant: Plant) -> None:
    plant.setattr(retained, "decode_gone", lambda said: Gone(path=said["path"]))


def vacuum_forgets_actions(plant: Plant) -> None:
    plant.setattr(needs._NamedActions, "find", lambda *_: {})


def vacuum_removes_before_it_commits(plant: Plant) -> None:
    right = upkeep._Vacuuming.first

    def first(self: Any) -> Any:
        asked, verdicts = right(self)
        if not self._is_dry:
            self.carry_out(verdicts)
        return asked, verdicts

    plant.setattr(upkeep._Vacuuming, "first", first)


def expiry_does_not_see(plant: Plant, what: str) -> None:
    right = Expiry.plan

    def plan(self: Any, state: TableState, info: Any) -> Any:
        blind: Any = copy(state)
        blind.metadata = replace(state.metadata, **{what: {}})
        return right(self, blind, info)

    plant.setattr(Expiry, "plan", plan)


COMPACTS = {"append": 4, "delete": 6, "upsert": 3, "compact": 6, "full": 2}
PASSES = {"append": 4, "delete": 6, "upsert": 5}
EXPIRES = {"append": 5, "delete": 3, "restore": 3, "expire": 5, "compact": 1}
HOLDS = {"append": 5, "expire": 4, "tag": 3, "consume": 3, "clone": 2}
VACUUMS = {"append": 5, "delete": 5, "upsert": 3, "compact": 4, "full": 2, "expire": 2, "vacuum": 4, "tidy": 4}
LENDS = VACUUMS | {"clone": 4}
ASIDE = {"inline_max_bytes": "0"}
TINY = {"target_file_size_bytes": "100", "inline_max_bytes": "60000"}
BUGS: dict[str, tuple[Callable[[Plant], None], dict[str, int], dict[str, str]]] = {
    "deletions are not carried over": (deletions_are_not_carried, COMPACTS, {}),
    "places of sorted rows are lost": (places_of_sorted_rows_are_lost, COMPACTS, {}),
    "deletions are carried to the first file only": (
        carried_to_the_first_file_only,
        {"append": 2, "compact": 3, "delete": 5},
        {},
    ),
    "compaction of files that are gone": (sources_that_are_gone_are_moved_all_the_same, COMPACTS, {}),
    "compaction leaves a source": (one_source_stays, COMPACTS, {}),
    "moves drop vectors": (moves_drop_vectors, COMPACTS, {}),
    "files are made for level 0": (files_are_made_for_level_0, COMPACTS, {}),
    "compacted rows are new rows": (compacted_rows_are_new_rows, COMPACTS, {}),
    "steps in passing lose what is gone": (steps_in_passing_lose_what_is_gone, PASSES, {}),
    "operations are planned before the step": (operations_are_planned_before_the_step, PASSES, {}),
    "moved rows are in the feed": (moved_rows_are_in_the_feed, PASSES, {}),
    "vacuum forgets clones": (vacuum_forgets_clones, LENDS, {}),
    "clones are not registered": (clones_are_not_registered, LENDS, {}),
    "vacuum keeps only the newest version": (
        lambda plant: of_what_is_needed(plant, lambda _, span, history: span[1] == history.lineage.newest),
        VACUUMS,
        {},
    ),
    "vacuum forgets vectors": (
        lambda plant: of_what_is_needed(plant, lambda path, *_: not path.startswith(names.DELETES)),
        VACUUMS,
        {},
    ),
    "vacuum forgets vectors of the feed": (vacuum_forgets_vectors_of_the_feed, VACUUMS, {}),
    "vacuum forgets actions": (vacuum_forgets_actions, VACUUMS, {}),
    "vacuum removes before it commits": (vacuum_removes_before_it_commits, {"append": 3, "vacuum": 5}, ASIDE),
    "late files are let in": (lambda plant: plant.setattr(committing, "refuse_late", lambda *_: None), VACUUMS, {}),
    "live rows expire": (
        lambda plant: plant.setattr(Expiry, "_first_with_rows", lambda _, version: version),
        EXPIRES,
        {},
    ),
    "rows that came back expire": (
        lambda plant: plant.setattr(TableHistory, "paths_added", lambda *_: ()),
        {"append": 4, "delete": 5, "restore": 6, "expire": 4},
        {},
    ),
    "tags expire": (lambda plant: expiry_does_not_see(plant, "tags"), HOLDS, {}),
    "clones that are begun expire": (lambda plant: expiry_does_not_see(plant, "clones"), HOLDS, {}),
    "consumers are forgotten": (lambda plant: plant.setattr(expire, "positions", lambda _: {}), HOLDS, {}),
}


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_caught(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant, kinds, settings = BUGS[bug]
    plant(monkeypatch)
    forest = Forest(0, kinds, settings)  # a rare one needs some thousand seeds
    with pytest.raises((AssertionError, TablelogError, KeyError, UntidyWarning)):
        forest.run(4000)
