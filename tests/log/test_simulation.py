"""Several clients change, read, expire and repair one table while everything fails that may; see `simulation`.

Faults, at any call of the store:

    a request is lost; its answer is; it is sent twice; it arrives much later, or never, although its sender gave up
    a client has no turn for long, while others commit, merge and expire; it crashes, and another begins cold
    the hint is torn, deleted, replaced by an older one or by one that speaks of versions that are not there
    a segment is deleted
    clocks differ by seconds; two clients of some runs are threads that share one handle

Model: a list of the commits that won their names, in plain Python: what the client wanted when it planned, the files
after it, its checksum, time and horizon. Beside it, of every operation, how it ended: "done", "failed" or "maybe".

Safety:

 1  what was done is in the log exactly once, at the version that was told, what failed never, a maybe at most once
 2  a commit's object never changes, but is emptied once a base of the log stands for it; nothing is ever removed, so no
    version is won twice. Whoever reads, warm or cold, sees exactly the commits up to the version that it reports, none
    older than what was there when it asked, nor than what it saw before
 3  a version below the horizon is not found; no other version is
 4  a client sees no other errors than `StoreError`, `ConflictError` and that one, and without faults no `StoreError`
 5  in the end `verify` finds nothing but what is harmless, and after `repair` nothing at all; segments and the hint
    decide nothing

Progress: nobody plans more often than others commit meanwhile; every run ends; once faults are healed, everybody can
commit. Without faults nobody fails.

Caught: commits deleted instead of emptied, or one too many (2); a refused put taken for a success, a retry under
another id (1); a hint believed although its version is not there (4); later removals not applied, a segment written
before its last commit (2); a horizon ignored (3); a base that was never written (5); a version planned on again and
again (progress).
"""

from __future__ import annotations

import json
import warnings
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from tablelog import env
from tablelog.errors import ConflictError, NotFoundError, StoreError
from tablelog.format import names
from tablelog.format.actions import SetProperty, removal
from tablelog.log import actions_object
from tablelog.log.facts import datetime_of
from tablelog.log.followed import UnmergedWarning
from tablelog.log.history import TableHistory
from tablelog.ops.log_check import LogCheck
from tablelog.ops.planned import Planned
from tablelog.store import together
from tablelog.store.memory import MemoryStore
from tablelog.table import Table
from tablelog.testing import Fault
from tests.log.simulation import CrashedError, Faults, OneAfterAnother, TurnLock, World
from tests.log.test_merging_races import file, new_table

if TYPE_CHECKING:
    from collections.abc import Callable

    from tablelog.log.facts import Commit
    from tablelog.log.state import TableState
    from tablelog.store.base import ObjectStore

OPERATIONS = 90
CLIENTS = 4
FAULTS = Faults(
    answers={Fault.FAILED: 0.02, Fault.ANSWER_LOST: 0.03, Fault.SENT_TWICE: 0.03},
    delay=0.02,
    crash=0.004,
    stall=0.01,
    hint=0.01,
    segment=0.01,
)
CALM = Faults(stall=0.01)


@dataclass(frozen=True)
class Logged:
    """A commit that won its name."""

    tag: str
    """Of the plan that made it."""
    checksum: str
    timestamp_us: int
    files: tuple[str, ...]
    """Paths after it, in the order in which they were added."""
    horizon: int
    base: int
    """Last version that a base stands for, -1 for none."""


@dataclass
class Operation:
    """Something that a client wanted to commit."""

    name: str
    began: int
    """Commits that were there."""
    plans: int = 0
    outcome: str = "maybe"
    version: int = -1


@dataclass
class Model:
    """What is true."""

    log: list[Logged] = field(default_factory=list)
    operations: list[Operation] = field(default_factory=list)
    wanted: dict[str, tuple[tuple[str, ...], frozenset[str]]] = field(default_factory=dict)
    """Paths added and removed, by the tag of a plan."""
    paths: set[str] = field(default_factory=set)
    """Of all files that ever were in the table."""

    def begin(self, client: str) -> Operation:
        self.operations.append(Operation(f"{client}.{len(self.operations)}", len(self.log)))
        return self.operations[-1]

    def plan(self, operation: Operation, added: tuple[str, ...] = (), removed: tuple[str, ...] = ()) -> dict[str, str]:
        """The info of a commit that does this."""
        operation.plans += 1
        tag = f"{operation.name}/{operation.plans}"
        self.wanted[tag] = added, frozenset(removed)
        return {"tag": tag}

    def on_create(self, key: str, data: bytes) -> None:
        version = names.parse_commit(key.removeprefix(names.LOG))
        if version is None:
            return
        record = json.loads(data)
        assert record["version"] == version == len(self.log), f"version {version} is won again, or too early"
        before = self.log[-1] if self.log else Logged("", "", 0, (), 0, -1)
        assert record["timestamp"] > before.timestamp_us
        assert record["parent"] == (before.checksum or None)
        tag = record["info"].get("tag", "")
        added, removed = self.wanted.get(tag, ((), frozenset()))
        assert removed <= {*before.files}
        self.paths |= {*added}
        horizon = next((action["horizon"] for action in record["actions"] if "horizon" in action), None)
        self.log.append(
            Logged(
                tag,
                record["checksum"],
                record["timestamp"],
                (*(path for path in before.files if path not in removed), *added),
                before.horizon if horizon is None else horizon["version"],
                before.base if horizon is None or "base" not in horizon else horizon["base"]["last"],
            )
        )

    def on_replace(self, key: str, data: bytes | None) -> None:
        version = names.parse_commit(key.removeprefix(names.LOG))
        if version is not None:
            assert data == b"", f"commit {version} is changed or deleted"
            assert version <= self.log[-1].base, f"commit {version} is emptied, and no base stands for it"

    def check_operations(self) -> None:
        found: dict[str, list[int]] = {}
        for version, logged in enumerate(self.log):
            found.setdefault(logged.tag.partition("/")[0], []).append(version)
        for operation in self.operations:
            versions = found.get(operation.name, [])
            match operation.outcome:
                case "done":
                    assert versions == [operation.version], operation
                case "failed":
                    assert versions == [], operation
                case _:
                    assert len(versions) <= 1, operation


class Client:
    """A handle, and what somebody does with it at random. Two clients of some runs share one, as threads do."""

    def __init__(self, name: str, world: World, model: Model, store: ObjectStore) -> None:
        self.name = name
        self.world = world
        self.dice = world.dice
        self.model = model
        self.store = store
        self.open()

    def open(self) -> None:
        self.table = Table(self.store, "t")
        self.table._log._lock = TurnLock(self.world)
        self.seen = 0

    def work(self) -> None:
        doings: list[Callable[[], object]] = [self.change] * 24 + [self.expire] * 4
        doings += [self.read_newest] * 7 + [self.read_past] * 6 + [self.read_time, self.read_history] * 2
        doings += [self.open] * 3 + [self.repair]
        while self.world.happened["operations"] < OPERATIONS:
            self.world.happened["operations"] += 1
            try:
                self.dice.choice(doings)()
            except CrashedError:
                self.open()
            except StoreError:
                if not self.world.faults.answers:
                    raise

    # ------------------------------------------------------------------ changing

    def change(self) -> None:
        operation = self.model.begin(self.name)

        def plan(state: TableState) -> Planned:
            self.check(state)
            live = state.files.paths
            gone = sorted(self.model.paths - {*live})
            removed = self.dice.sample(live, min(len(live), self.dice.choice([0, 0, 1, 2, 5])))
            added = self.dice.sample(gone, min(len(gone), self.dice.choice([0, 0, 0, 1])))
            new = f"data/{operation.name}-{operation.plans}-"
            added += [new + str(number) for number in range(self.dice.choice([0, 1, 1, 2, 4]))]
            actions: list[Any] = [*map(_file, added), *(removal(_file(path)) for path in removed)]
            if not actions:
                actions = [SetProperty(name="log_fan_out", value=self.dice.choice("23"))]
            return Planned(operation="test", actions=actions, info=self.model.plan(operation, (*added,), (*removed,)))

        self._commit(operation, lambda: self.table._commit(plan))

    def expire(self) -> None:
        operation = self.model.begin(self.name)
        info = self.model.plan(operation)
        keep = self.dice.choice([1, 2, 5, 10, 20])
        self._commit(operation, lambda: self.table.expire(keep, info=info))

    def _commit(self, operation: Operation, attempt: Callable[[], Commit | None]) -> None:
        try:
            commit = attempt()
        except ConflictError as error:
            operation.outcome = "failed"
            assert "somebody else expired" in str(error), "nothing else is in conflict"
        except StoreError as error:
            operation.outcome = "maybe" if error.maybe_applied else "failed"
            raise
        else:
            operation.outcome = "failed" if commit is None else "done"
            if commit is not None:
                operation.version = commit.version
                assert self.model.log[commit.version].tag == commit.info["tag"]
                assert commit.version >= operation.began
                self.seen = commit.version
        finally:
            met = len(self.model.log) - operation.began
            assert operation.plans <= met + 2, f"{operation} although there were only {met} commits"

    def repair(self) -> None:
        self.table.repair()

    # ------------------------------------------------------------------ reading

    def read_newest(self) -> None:
        newest = len(self.model.log) - 1
        state = self.table.snapshot().state
        assert state.version >= newest, f"{self.name} saw version {state.version} when {newest} was there"
        self.check(state)

    def read_past(self) -> None:
        newest = len(self.model.log) - 1
        version = self.dice.choice([newest - self.dice.randrange(25), self.dice.randrange(newest + 2)])
        self.read_at(max(version, 0))

    def read_at(self, version: int) -> None:
        """A version is the model's, or is not found because it is too old or too new."""
        newest, known = len(self.model.log) - 1, max(self.table._history.lineage.newest, 0)
        try:
            state = self.table.at(version=version).state
        except NotFoundError:
            horizon = self.model.log[-1].horizon
            assert version < horizon or version > newest, f"{version} is not found from {horizon} to {newest}"
            return
        assert version >= self.model.log[known].horizon, f"version {version} has expired"
        assert state.version == version
        self.check(state, past=True)

    def read_time(self) -> None:
        version = self.dice.randrange(len(self.model.log))
        moment = datetime_of(self.model.log[version].timestamp_us)
        try:
            state = self.table.at(timestamp=moment).state
        except NotFoundError:
            assert version < self.model.log[-1].horizon
            return
        assert state.version == version
        self.check(state, past=True)

    def read_history(self) -> None:
        newest = len(self.model.log) - 1
        frame = self.table.history()
        versions, tags = frame["version"].to_list(), frame["info"].to_list()
        assert versions[0] >= newest
        first = self.model.log[versions[0]].horizon
        assert versions == list(range(versions[0], first - 1, -1))
        assert all(self.model.log[version].tag in told for version, told in zip(versions, tags, strict=True))

    def check(self, state: TableState, *, past: bool = False) -> None:
        """What is seen is a version of the model, and never turns back."""
        assert state.version < len(self.model.log)
        logged = self.model.log[state.version]
        if not past:
            assert state.version >= self.seen, f"{self.name} saw {self.seen} and then {state.version}"
            self.seen = state.version
        assert tuple(state.files.paths) == logged.files, f"version {state.version} is wrong"
        assert (state.timestamp_us, state.file_count) == (logged.timestamp_us, len(logged.files))


def _file(path: str) -> Any:
    return file(path.removeprefix("data/"))


@dataclass
class Simulation:
    """One run: everything that a seed leads to."""

    seed: int
    faults: Faults

    def run(self) -> World:
        self.world, self.model = World(self.seed, self.faults), Model()
        self.world.disk.on_create, self.world.disk.on_replace = self.model.on_create, self.model.on_replace
        OneAfterAnother.dice = self.world.dice
        with env.use(self.world), warnings.catch_warnings():
            warnings.simplefilter("ignore" if self.faults.answers else "error", UnmergedWarning)
            try:
                new_table(self.world.disk, log_fan_out=str(2 + self.seed % 2))
                clients = [Client(f"client{n}", self.world, self.model, self.world.store) for n in range(CLIENTS)]
                if self.seed % 4 > 1:
                    clients[1].table = clients[0].table
                for client in clients:
                    self.world.enter(client.name, client.work)
                self.world.run()
                self.world.heal()
                self.finish(clients)
            except BaseException as error:
                error.add_note("\n".join([*self.world.last_calls, f"replay with Simulation({self.seed}, …).run()"]))
                raise
        return self.world

    def finish(self, clients: list[Client]) -> None:
        """Everybody can commit; all of it is there; nothing is wrong that cannot be put right."""
        cold = Client("cold", self.world, self.model, self.world.store)
        for client in (*clients, cold):
            client.change()
            assert self.model.operations[-1].outcome == "done"
        while self.world.disk.late:
            self.world.disk.deliver()
        self.model.check_operations()
        bare = MemoryStore()
        for info in self.world.disk.list(names.LOG):
            if not info.key.startswith((names.LOG + names.SEGMENTS, names.LOG + names.HINT)):
                bare.put(info.key, self.world.disk.get(info.key))
        check = LogCheck(self.world.disk, names.LOG, TableHistory(self.world.disk)).run()
        assert not [problem for problem in check.problems if not problem.harmless]
        readers = [*clients[:1], cold, Client("bare", self.world, self.model, bare)]
        self.read_all(readers)
        check.repair()
        again = LogCheck(self.world.disk, names.LOG, TableHistory(self.world.disk)).run()
        assert again.problems == []
        self.read_all([Client("last", self.world, self.model, self.world.store)])

    def read_all(self, readers: list[Client]) -> None:
        horizon, newest = self.model.log[-1].horizon, len(self.model.log) - 1
        versions = sorted({0, horizon - 1, horizon, newest, newest + 1, *self.world.dice.sample(range(newest), 8)})
        for reader in readers:
            reader.read_newest()
            reader.read_history()
            for version in versions:
                reader.read_at(max(version, 0))


@pytest.fixture(autouse=True)
def _one_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "ThreadPoolExecutor", OneAfterAnother)
    monkeypatch.setattr(actions_object, "INLINE_MAX", 3)


@pytest.mark.parametrize("seed", range(40))
def test_nothing_is_lost_doubled_or_wrong_whatever_fails(seed: int) -> None:
    Simulation(seed, FAULTS).run()


@pytest.mark.parametrize("seed", range(6))
def test_without_faults_nobody_fails(seed: int) -> None:
    Simulation(seed, CALM).run()


def test_a_seed_leads_to_the_same_calls_again_and_every_fault_has_its_turn() -> None:
    worlds = [Simulation(7, FAULTS).run() for _ in range(2)]
    assert worlds[0].digest == worlds[1].digest
    happened = Counter({fault.value: times for fault, times in worlds[0].store.injected.items()}) + worlds[0].happened
    assert {"failed", "answer lost", "sent twice", "delayed"} <= {*happened}
    assert {"crashed", "stalled", "hint spoilt", "segment deleted"} <= {*happened}
