"""Several clients change the rows of one small table while everything fails that may; see `tests.log.simulation`.

The engine is replaced by a few lines of Arrow, so that nothing but the scheduler has threads; everything else is real.

Faults, at any call of the store: a request is lost, its answer is, it is sent twice, it arrives much later or never; a
client has no turn for long, or crashes and begins cold. History expires under everybody's feet, and a vacuum with hardly
any grace takes away what nothing needs.

Clients: append, delete, update, upsert, compact, restore an older version, expire; append under one number, several at
once, until somebody knows that it is done; append under a fence that they take from each other; in one transaction an
upsert and an update, or an append and a delete; a sum that is read and stored in one serializable transaction.

Model: for each commit that wins its name, the rows after it: what its operation comes to, applied to the rows before it.

Safety:

 1  each version, whenever and by whomever it is read, has the rows of the model; so do the counts of the log
 2  the feed of each version is the difference between its rows and those of the version before
 3  what was done is there once, at the version that was told; what failed is not; a numbered append is there once at most,
    however often it was tried; who was fenced off has no commit after that
 4  a serializable transaction stored what it would have read had it been alone
 5  nobody is refused without a reason; without faults nobody sees an error of the store; nothing is found corrupt

Progress: every run ends; in the end everybody can commit.

`BUGS` are planted one by one, and each is caught.
"""

from __future__ import annotations

import json
import threading
import warnings
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pyroaring import BitMap

from tablelog import changing, committing, compacting, env, transaction, upkeep
from tablelog.committing import Committing
from tablelog.compacting import UntidyWarning
from tablelog.engines.arrow import FILE_NUMBER, ROW_NUMBER, numbered_rows, read_plan
from tablelog.errors import ConflictError, CorruptionError, FencedError, NotFoundError, StoreError
from tablelog.format import names
from tablelog.format.actions import AddFile
from tablelog.format.predicate import And, Comparison, Operator
from tablelog.log.followed import UnmergedWarning
from tablelog.log.history import TableHistory
from tablelog.log.retained import retained
from tablelog.log.state import TableState
from tablelog.ops import compact, matching, needs, policy, removing, update, upsert
from tablelog.ops.create import TableOptions, draft_create, new_metadata
from tablelog.ops.expire import Expiry
from tablelog.ops.matching import Condition
from tablelog.ops.planned import Drafting
from tablelog.ops.scan import plan_scan
from tablelog.ops.update import Assignment
from tablelog.parquet import contents
from tablelog.parquet.columns import fields_from_user_schema
from tablelog.store import together
from tablelog.table import Table
from tablelog.testing import Fault
from tablelog.transaction import Transaction
from tests.log.simulation import CrashedError, Faults, OneAfterAnother, TurnLock, World
from tests.processes.model import Model as Rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tablelog.log.facts import Commit
    from tablelog.ops.scan import ScanPlan
    from tablelog.store.base import ObjectStore

OPERATIONS = 60
KINDS = {"append": 4, "delete": 5, "update": 3, "upsert": 4, "compact": 4, "restore": 2, "numbered": 3, "fence": 1}
KINDS |= {"fenced": 3, "both": 3, "own": 2, "sum": 3, "expire": 1, "vacuum": 2}
"""What clients do, and how often."""
CLIENTS = 4
IDS = 8
FAULTS = Faults(
    answers={Fault.FAILED: 0.01, Fault.ANSWER_LOST: 0.03, Fault.SENT_TWICE: 0.03}, delay=0.02, crash=0.004, stall=0.02
)
CALM = Faults(stall=0.02)
Bag = Counter[tuple[int, int]]


# --------------------------------------------------------------------------- an engine in Arrow


def live_rows(plan: ScanPlan, store: ObjectStore) -> pa.Table:
    return numbered_rows([*enumerate(plan.numbered_files)], plan.fields, store, plan.state.metadata.schemas)


def between(rows: pa.Table, low: int, high: int) -> pa.Table:
    return rows.filter((pc.field("id") >= low) & (pc.field("id") <= high))


def condition_on(where: str) -> Callable[[Any], Condition]:
    """Text such as "3 5": ids from 3 to 5."""
    low, high = map(int, where.split())

    def bind(schema: Any) -> Condition:
        key = schema.field("id")
        bounds = (Comparison(key.id, Operator.GREATER_OR_EQUAL, low), Comparison(key.id, Operator.LESS_OR_EQUAL, high))

        def find(plan: ScanPlan, store: ObjectStore) -> Iterable[pa.RecordBatch]:
            return between(live_rows(plan, store), low, high).select([FILE_NUMBER, ROW_NUMBER]).to_batches()

        return Condition(predicate=And(bounds), fields=(key,), find=find)

    return bind


def assignment_on(values: dict[str, int], where: str) -> Callable[[Any], Assignment]:
    """`{"v": 3}` adds 3 to `v`."""
    low, high = map(int, where.split())

    def bind(metadata: Any) -> Assignment:
        def rows(plan: ScanPlan, store: ObjectStore) -> Iterable[pa.RecordBatch]:
            found = between(live_rows(plan, store), low, high)
            new = found.set_column(1, "v", pc.add(found.column("v"), values["v"]))
            return new.select([FILE_NUMBER, ROW_NUMBER, "id", "v"]).to_batches()

        return Assignment(
            predicate=condition_on(where)(metadata.schema).predicate,
            field_ids=frozenset({metadata.schema.field("v").id}),
            rows=rows,
            check=lambda _: None,
        )

    return bind


def meet(plan: ScanPlan, store: ObjectStore, keys: pa.Table) -> Iterable[pa.RecordBatch]:
    found = live_rows(plan, store)
    sources = pc.index_in(found.column("id"), value_set=keys.column("id"))
    return (
        found.set_column(0, "id", sources)
        .filter(pc.field("id").is_valid())
        .select([FILE_NUMBER, ROW_NUMBER, "id"])
        .to_batches()
    )


class Forgetful:
    """In the place of what a process keeps of vectors and rows: everything is asked for again."""

    def get(self, _: object) -> None:
        return None

    def put(self, *_: object) -> None:
        pass


def bag_of(state: TableState, store: ObjectStore) -> Bag:
    rows = read_plan(plan_scan(state), store).read_all()
    return Counter(zip(rows.column("id").to_pylist(), rows.column("v").to_pylist(), strict=True))


# --------------------------------------------------------------------------- the model


@dataclass
class Operation:
    """Something that a client wants."""

    tag: str
    what: dict[str, Any]
    began: int
    """Commits that were there."""
    outcome: str = "maybe"
    version: int = -1


@dataclass
class Model:
    """What is true."""

    log: list[Bag] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    operations: dict[str, Operation] = field(default_factory=dict)
    horizon: int = 0
    epoch: int = 0
    number: int = 0
    shared: Operation | None = None
    """A numbered append of which nobody knows yet that it is done; everybody tries it."""

    def begin(self, client: str, what: dict[str, Any]) -> Operation:
        operation = Operation(f"{client}.{len(self.operations)}", what, len(self.log))
        self.operations[operation.tag] = operation
        return operation

    def on_create(self, key: str, data: bytes) -> None:
        version = names.parse_commit(key.removeprefix(names.LOG)) if key.startswith(names.LOG) else None
        if version is None:
            return
        record = json.loads(data)
        assert version == len(self.log)
        tag = record["info"].get("tag", "")
        steps = tag and self.operations[tag].what["kind"] == "compact"
        assert not tag or steps or tag not in self.tags, f"{tag} is there twice"
        self.tags.append(tag)
        passing = self.log[-1] if self.log else Counter()  # files that a writer puts together
        self.log.append(self._after(self.operations[tag].what) if tag else passing)
        for action in record["actions"]:
            self.horizon = max(self.horizon, action.get("horizon", {}).get("version", 0))
            self.epoch = max(self.epoch, action.get("fence", {}).get("epoch", 0))

    def _after(self, what: dict[str, Any]) -> Bag:
        before = self.log[-1]
        assert what.get("epoch", self.epoch) == self.epoch, "it was fenced off"
        if what["kind"] == "restore":
            return self.log[what["version"]]
        rows = Rows()
        for (key, v), count in before.items():
            rows.rows[key][v] = count
        if what["kind"] == "sum":
            assert what["rows"][0][1] == total(before, what), "it has read something else"
        kinds = {"numbered": ["append"], "fenced": ["append"], "sum": ["upsert"], "own": ["append", "delete"]}
        for kind in kinds.get(what["kind"], [what["kind"]]):
            rows.apply({**what, "kind": kind})
        return rows.bag()

    def check_operations(self) -> None:
        for operation in self.operations.values():
            versions = [version for version, tag in enumerate(self.tags) if tag == operation.tag]
            if operation.what["kind"] == "compact":
                versions = versions[-1:]
            match operation.outcome:
                case "done":
                    assert versions == [operation.version], operation
                case "failed":
                    assert versions == [], operation
                case _:
                    assert len(versions) <= 1, operation


def total(bag: Bag, what: dict[str, Any]) -> int:
    """The sum of `v` over some ids, kept small."""
    return sum(v * count for (key, v), count in bag.items() if what["low"] <= key <= what["high"]) % 1000


# --------------------------------------------------------------------------- clients


class Client:
    """A handle, and what somebody does with it at random."""

    def __init__(self, name: str, world: World, model: Model, store: ObjectStore, kinds: dict[str, int]) -> None:
        self.kinds = kinds
        self.name, self.world, self.model, self.store, self.dice = name, world, model, store, world.dice
        self.open()

    def open(self) -> None:
        self.table = Table(self.store, "t")
        self.table._log._lock = TurnLock(self.world)
        self.holder: Table | None = None

    def work(self) -> None:
        doings: list[Callable[[], object]] = [self.change] * 14 + [self.read_newest] * 2
        doings += [self.read_past] * 2 + [self.read_feed] + [self.open]
        while self.world.happened["operations"] < OPERATIONS:
            self.world.happened["operations"] += 1
            try:
                self.dice.choice(doings)()
            except CrashedError:
                self.open()
            except StoreError:
                if not self.world.faults.answers:
                    raise

    def change(self, kind: str | None = None) -> None:
        low = self.dice.randrange(IDS)
        kinds = self.kinds
        what: dict[str, Any] = {"kind": kind or self.dice.choices([*kinds], [*kinds.values()])[0]}
        ids = self.dice.sample(range(IDS), self.dice.choice([1, 2, 4, 7]))
        what |= {
            "low": low,
            "high": low + self.dice.choice([0, 3, 7] if what["kind"] == "update" else [0, 0, 0, 1, 3]),
            "by": self.dice.randrange(1, 5),
        }
        what["rows"] = [[each, self.dice.randrange(100)] for each in ids]
        what["row"] = what["rows"][0]
        shared = self.model.shared if what["kind"] == "numbered" else None
        operation = shared or self.model.begin(self.name, what)
        try:
            commit = self._attempt(operation, operation.what, {"tag": operation.tag})
        except StoreError as error:
            if what["kind"] != "numbered":
                steps = what["kind"] == "compact"  # some of them may be done
                operation.outcome = "maybe" if error.maybe_applied or steps else "failed"
            raise
        except (ConflictError, NotFoundError, CorruptionError) as error:
            assert self._is_reason(operation, error), (operation, error)
            operation.outcome = "done" if operation.outcome == "done" else "failed"
        else:
            if commit is None:
                operation.outcome = "failed"
                return
            assert operation.version in {-1, commit.version}
            operation.outcome, operation.version = "done", commit.version
            assert self.model.tags[commit.version] == commit.info["tag"] == operation.tag
            if operation is self.model.shared:
                self.model.shared = None

    def _is_reason(self, operation: Operation, error: Exception) -> bool:
        what, came = operation.what, self.model.tags[operation.began :]
        if "write again" in str(error):  # clocks differ, so it may have been before
            return any(tag and self.model.operations[tag].what["kind"] == "vacuum" for tag in self.model.tags)
        match what["kind"]:
            case "fenced":
                return isinstance(error, FencedError) and what["epoch"] < self.model.epoch
            case "both" | "own" | "sum":
                if isinstance(error, CorruptionError):  # what it reads has expired, and was emptied or vacuumed
                    return operation.began - 1 < self.model.horizon
                return any(tag and self.model.operations[tag].what["kind"] not in {"compact", "fence"} for tag in came)
            case "expire":
                return "somebody else expired" in str(error)
            case "restore":
                return isinstance(error, NotFoundError) and what["version"] < self.model.horizon
            case "numbered":  # others have gone on, and what was known of its number has expired
                return operation.outcome == "done" and "numbers of one name increase" in str(error)
            case _:
                return False

    def _attempt(self, operation: Operation, what: dict[str, Any], info: dict[str, Any]) -> Commit | None:
        where, rows = f"{what['low']} {what['high']}", [{"id": key, "v": v} for key, v in what["rows"]]
        table = self.table
        match what["kind"]:
            case "append":
                return table.append(rows, info=info)
            case "delete":
                return table.delete(where, info=info)
            case "update":
                return table.update({"v": what["by"]}, where, info=info)
            case "upsert":
                return table.upsert(rows, on="id", info=info)
            case "compact":
                return table.compact(info=info)
            case "restore":
                newest = len(self.model.log) - 1
                what["version"] = max(newest - self.dice.randrange(8), self.model.horizon)
                return table.restore(what["version"], info=info)
            case "expire":
                return table.expire(self.dice.choice([1, 3, 10]), info=info)
            case "vacuum":
                version = table.vacuum(grace=self.dice.choice(["0 seconds", "1 second"]), info=info).version
                return None if version is None else self.table._history.commit_at(version)
            case "numbered":
                if "number" not in what:
                    self.model.number += 1
                    what["number"], self.model.shared = self.model.number, operation
                return table.append(rows, idempotent=("loader", what["number"]), info=info)
            case "fence":
                self.holder = table.exclusive("loader", info=info)
                return None if "tag" not in info else self._fenced_commit(operation)
            case "fenced":
                if self.holder is None:
                    return None
                fence = self.holder._table._fence
                what["epoch"] = fence.epoch if fence else 0
                return self.holder.append(rows, info=info)
            case "own":
                with table.transaction(info=info) as tx:
                    tx.append(rows)
                    tx.delete(where)
                    return tx.commit()
            case "both":
                with table.transaction(info=info) as tx:
                    tx.upsert([rows[0]], on="id")
                    tx.update({"v": what["by"]}, where)
                    return tx.commit()
            case _:
                with table.transaction("serializable", info=info) as tx:
                    seen = tx.snapshot().state
                    tx._reads[:] = [condition_on(where)]
                    what["rows"] = [[what["row"][0], total(bag_of(seen, self.store), what)]]
                    tx.upsert([{"id": what["rows"][0][0], "v": what["rows"][0][1]}], on="id")
                    return tx.commit()

    def _fenced_commit(self, operation: Operation) -> Commit | None:
        """`exclusive` gives a table; its commit is in the log."""
        version = self.model.tags.index(operation.tag)
        return self.table._history.commit_at(version)

    # ------------------------------------------------------------------ reading

    def read_newest(self) -> None:
        newest = len(self.model.log) - 1
        state = self.table.snapshot().state
        assert state.version >= newest
        self.check(state)

    def read_past(self) -> None:
        newest = len(self.model.log) - 1
        version = max(newest - self.dice.randrange(12), 0)
        try:
            state = self.table.at(version=version).state
        except NotFoundError:
            assert version < self.model.horizon
            return
        self.check(state)

    def read_feed(self) -> None:
        newest = len(self.model.log) - 1
        since = max(newest - self.dice.randrange(8), 0)
        try:
            self.check_feed(since, newest)
        except (NotFoundError, CorruptionError):
            assert since < self.model.horizon

    def check_feed(self, since: int, until: int) -> None:
        net: dict[int, Bag] = {version: Counter() for version in range(since + 1, until + 1)}
        for row in self.table.changes(since, until).to_arrow().to_pylist():
            sign = 1 if row["_change"] in {"insert", "update_after"} else -1
            net[row["_version"]][row["id"], row["v"]] += sign
        for version, found in net.items():
            wanted = Counter(self.model.log[version])
            wanted.subtract(self.model.log[version - 1])
            assert {row: n for row, n in found.items() if n} == {row: n for row, n in wanted.items() if n}, version

    def check(self, state: TableState) -> None:
        wanted = self.model.log[state.version]
        try:
            assert bag_of(state, self.store) == wanted, f"version {state.version} is wrong"
        except CorruptionError:
            assert state.version < self.model.horizon
        assert state.row_count == wanted.total()


@dataclass
class Simulation:
    """One run: everything that a seed leads to."""

    seed: int
    faults: Faults
    kinds: dict[str, int] = field(default_factory=KINDS.copy)

    def run(self) -> World:
        self.world, self.model = World(self.seed, self.faults), Model()
        self.world.disk.on_create = self.model.on_create
        OneAfterAnother.dice = self.world.dice
        with env.use(self.world), warnings.catch_warnings():
            for warning in (UnmergedWarning, UntidyWarning):
                warnings.simplefilter("ignore" if self.faults.answers else "error", warning)
            try:
                self.create()
                clients = [
                    Client(f"client{n}", self.world, self.model, self.world.store, self.kinds) for n in range(CLIENTS)
                ]
                for client in clients:
                    self.world.enter(client.name, client.work)
                self.world.run()
                self.world.heal()
                self.finish(clients)
            except BaseException as error:
                error.add_note("\n".join([*self.world.last_calls, f"replay with Simulation({self.seed}, …).run()"]))
                raise
        return self.world

    def create(self) -> None:
        properties = {"log_fan_out": str(2 + self.seed % 3)} | ({"inline_max_bytes": "0"} if self.seed % 2 else {})
        options = TableOptions(properties=properties, sort_by=("v",) if self.seed % 5 == 0 else ())
        fields = fields_from_user_schema({"id": "int64", "v": "int64"})
        history = TableHistory(self.world.disk)
        planned = draft_create(new_metadata(fields, options), None, {})
        Table(self.world.disk, "t", history)._log.create(Drafting(history, self.world.disk).draft_of(planned))

    def finish(self, clients: list[Client]) -> None:
        cold = Client("cold", self.world, self.model, self.world.store, self.kinds)
        for client in (*clients, cold):
            for kind in ("append", "delete", "upsert"):
                client.change(kind)
        while self.world.disk.late:
            self.world.disk.deliver()
        self.model.check_operations()
        newest = len(self.model.log) - 1
        for client in (clients[0], cold):
            client.read_newest()
            for version in range(self.model.horizon, newest + 1):
                client.check(client.table.at(version=version).state)
            client.check_feed(self.model.horizon, newest)
        problems = Table(self.world.disk, "t").verify().problems
        assert not [problem for problem in problems if not problem.harmless], problems


@pytest.fixture(autouse=True)
def _in_arrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "ThreadPoolExecutor", OneAfterAnother)
    monkeypatch.setattr(changing, "condition_on", condition_on)
    monkeypatch.setattr(changing, "assignment_on", assignment_on)
    monkeypatch.setattr(changing, "meet", meet)
    monkeypatch.setattr(contents, "_VECTORS", Forgetful())
    monkeypatch.setattr(contents, "_ROWS", Forgetful())
    monkeypatch.setattr(removing, "INLINE_BYTES_MAX", 48)
    monkeypatch.setattr(compacting, "PASSING_EVERY", 2)
    monkeypatch.setattr(policy, "_PIECES_MAX", 2)


@pytest.mark.parametrize("seed", range(20))
def test_every_version_has_the_rows_that_its_operations_come_to(seed: int) -> None:
    Simulation(seed, FAULTS).run()


@pytest.mark.parametrize("seed", range(4))
def test_without_faults_nobody_fails(seed: int) -> None:
    Simulation(seed, CALM).run()


def test_a_seed_leads_to_the_same_calls_again_and_every_fault_has_its_turn() -> None:
    worlds = [Simulation(seed, FAULTS).run() for seed in (8, 8, 46)]
    assert worlds[0].digest == worlds[1].digest
    happened: Counter[str] = Counter()
    for world in worlds:
        happened += Counter({fault.value: times for fault, times in world.store.injected.items()}) + world.happened
    assert {"failed", "answer lost", "sent twice", "delayed", "crashed", "stalled"} <= {*happened}


# --------------------------------------------------------------------------- planted bugs

Plant = pytest.MonkeyPatch
_tries = threading.local()


def first_try_only(plant: Plant, name: str) -> None:
    """Let a check of `Committing` happen on the first plan of a commit, and not after a lost race."""
    check, commit = getattr(Committing, name), Committing.commit

    def once(self: Committing, about: Any) -> None:
        _tries.count = getattr(_tries, "count", 0) + 1
        if _tries.count <= 1:
            check(self, about)

    def begin(self: Committing, *arguments: Any) -> Any:
        _tries.count = 0
        return commit(self, *arguments)

    plant.setattr(Committing, name, once)
    plant.setattr(Committing, "commit", begin)


def not_carried(plant: Plant) -> None:
    right = compact._Moved.carried
    plant.setattr(compact._Moved, "carried", lambda self, vectors: None if right(self, vectors) is None else BitMap())


def carried_without_counting_deleted_rows(plant: Plant) -> None:
    right = compact._Moved.carried

    def carried(self: Any, vectors: Any) -> Any:
        start, rows = 0, BitMap()
        for path, deleted in self.sources.items():
            rows |= BitMap(start + row for row in vectors.get(path, BitMap()) - deleted)
            start += self.row_counts[path]
        return None if right(self, vectors) is None else rows

    plant.setattr(compact._Moved, "carried", carried)


def sorted_rows_taken_for_rows_in_order(plant: Plant) -> None:
    class Moved(compact._Moved):
        def __init__(self, sources: Any, row_counts: Any, written: Any, **_: Any) -> None:
            super().__init__(sources, row_counts, written, in_order=True, places=None)

    plant.setattr(compact, "_Moved", Moved)


def sources_that_are_gone_are_moved_all_the_same(plant: Plant) -> None:
    right = compact.Compacting.plan

    def plan(self: Any, state: TableState, info: Any) -> Any:
        planned = right(self, state, info)
        known = self._first = getattr(self, "_first", None) or planned
        if planned is None or known is None or planned is known:
            return planned
        live = set(state.files.paths)
        actions = [each for each in known.actions if isinstance(each, AddFile) or each.path in live]
        return replace(planned, actions=actions)

    plant.setattr(compact.Compacting, "plan", plan)


def upsert_does_not_look_into_new_files(plant: Plant) -> None:
    right = upsert.Upserting._look

    def look(self: Any, state: TableState, files: Any, vectors: Any) -> None:
        if not hasattr(self, "_once"):
            self._once = files.keys()
        right(self, state, {path: file for path, file in files.items() if path in self._once}, vectors)
        for path in files.keys() - self._once:
            empty = pa.chunked_array([], pa.uint32())
            self._looks[path] = upsert._Look(empty, empty, BitMap())

    plant.setattr(upsert.Upserting, "_look", look)


def upsert_keeps_copies_of_rows(plant: Plant) -> None:
    right = upsert.Upserting._write

    def write(self: Any, metadata: Any, matched: Any) -> None:
        if self._matched is None or self._matched[0] != BitMap(matched.to_pylist()):
            right(self, metadata, matched)

    plant.setattr(upsert.Upserting, "_write", write)


def what_was_found_is_remembered_by_path_only(plant: Plant) -> None:
    finds, meets = matching._Look, upsert._Look
    plant.setattr(matching, "_Look", lambda found, deleted: finds(found, BitMap()))
    plant.setattr(upsert, "_Look", lambda rows, sources, deleted: meets(rows, sources, BitMap()))


def update_uses_images_of_rows_that_changed(plant: Plant) -> None:
    plant.setattr(update._Batch, "holds", lambda self, live, vectors: self.found.keys() <= live.keys())


def deletes_overwrite_vectors(plant: Plant) -> None:
    plant.setattr(removing, "read_vectors", lambda store, files: {})


def conflicts_are_not_looked_for(plant: Plant) -> None:
    plant.setattr(Transaction, "_refuse", lambda self, version: None)


def reads_are_not_looked_at(plant: Plant) -> None:
    plant.setattr(transaction, "touches", lambda *_: False)


def rows_are_found_by_the_planned_version(plant: Plant) -> None:
    def placed(self: TableState, actions: Any) -> list[Any]:
        return [
            replace(each, path=names.inlined(self.version + 1, number))
            if isinstance(each, AddFile) and not each.path
            else each
            for number, each in enumerate(actions)
        ]

    plant.setattr(TableState, "placed", placed)


def rows_that_came_back_expire(plant: Plant) -> None:
    plant.setattr(TableHistory, "paths_added", lambda self, since: ())


def live_rows_expire(plant: Plant) -> None:
    plant.setattr(Expiry, "_first_with_rows", lambda self, horizon: horizon)


def late_files_are_let_in(plant: Plant) -> None:
    plant.setattr(committing, "refuse_late", lambda *_: None)


def vacuum_does_not_look_again(plant: Plant) -> None:
    right = upkeep._Vacuuming.again

    def once(self: Any, state: TableState) -> Any:
        self._seen = getattr(self, "_seen", None) or right(self, state)
        return self._seen

    plant.setattr(upkeep._Vacuuming, "again", once)


def vacuum_keeps_only_the_newest_version(plant: Plant) -> None:
    def newest(history: Any) -> Any:
        return {path: span for path, span in retained(history).items() if span[1] == history.lineage.newest}

    plant.setattr(needs, "retained", newest)


def vacuum_forgets_vectors(plant: Plant) -> None:
    def files(history: Any) -> Any:
        return {path: span for path, span in retained(history).items() if not path.startswith(names.DELETES)}

    plant.setattr(needs, "retained", files)


CHANGES = {"append": 4, "delete": 5, "update": 5, "upsert": 5}
MOVES = {"append": 5, "delete": 8, "compact": 6}
VACUUMS = {"append": 6, "delete": 6, "update": 3, "compact": 2, "expire": 3, "vacuum": 6}
BUGS: dict[str, tuple[Callable[[Plant], None], dict[str, int]]] = {
    "deletions are not carried over": (not_carried, MOVES),
    "carried over to rows that stand elsewhere": (carried_without_counting_deleted_rows, MOVES),
    "sorted rows taken for rows in order": (sorted_rows_taken_for_rows_in_order, MOVES),
    "compaction of files that are gone": (sources_that_are_gone_are_moved_all_the_same, MOVES),
    "upsert does not look into new files": (upsert_does_not_look_into_new_files, CHANGES),
    "upsert keeps copies": (upsert_keeps_copies_of_rows, CHANGES),
    "found rows remembered by path only": (what_was_found_is_remembered_by_path_only, CHANGES | {"restore": 8}),
    "images of rows that changed": (update_uses_images_of_rows_that_changed, {"append": 4, "update": 6, "delete": 6}),
    "deletes overwrite vectors": (deletes_overwrite_vectors, CHANGES),
    "conflicts are not looked for": (conflicts_are_not_looked_for, {"both": 5, "append": 2, "sum": 5}),
    "reads are not looked at": (reads_are_not_looked_at, {"sum": 5, "append": 4}),
    "rows found by the planned version": (rows_are_found_by_the_planned_version, {"own": 5, "append": 5}),
    "rows that came back expire": (rows_that_came_back_expire, {"append": 4, "delete": 6, "restore": 6, "expire": 4}),
    "live rows expire": (live_rows_expire, {"append": 4, "expire": 3}),
    "numbers are asked once": (lambda plant: first_try_only(plant, "_refuse_done"), {"numbered": 5, "append": 2}),
    "late files are let in": (late_files_are_let_in, VACUUMS),
    "vacuum does not look again": (vacuum_does_not_look_again, VACUUMS),
    "vacuum keeps only the newest version": (vacuum_keeps_only_the_newest_version, VACUUMS),
    "vacuum forgets vectors": (vacuum_forgets_vectors, VACUUMS),
    "fences are asked once": (lambda plant: first_try_only(plant, "_refuse_fenced"), {"fence": 3, "fenced": 6}),
}


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_caught(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant, kinds = BUGS[bug]
    plant(monkeypatch)
    for seed in range(0, 200, 5) if "sorted" in bug else range(160):  # every fifth table is sorted
        try:
            Simulation(seed, CALM, kinds).run()
        except (AssertionError, CorruptionError, ConflictError, NotFoundError, KeyError, IndexError, UntidyWarning):
            return
    pytest.fail("nobody noticed")
