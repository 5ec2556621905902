"""Short lives of small tables: a seed decides what is done, where it is interrupted, and who comes in between.

A seed is one step, done to what another seed has left, and that to what another one has, so seeds are a forest:

    a new table ── seed 3 ── seed 7 ── seed 8 ── …      at most `DEPTH` steps deep; what begins alike is done once,
                         └── seed 19 ── …               and a seed is done again by doing those above it again

A step is an operation, and at one of its calls of the store, before it, one of three things happens:

    it dies                       and is done again, by somebody who knows nothing
    another operation             begins, and comes to its end, right there; the clock may have jumped before
    another one, that another     interrupts in the same way, or that dies

Nothing else can happen between processes: all that they share is the store. So there are no threads. An operation is
done by somebody who has read the log up to the step above, or before that, or not at all. Left out: two operations of
which neither comes to its end before the other goes on, and calls that fail; `test_rows_simulation` has both.
"""

from __future__ import annotations

import base64
import json
import random
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa

from tablelog.catalog import Catalog
from tablelog.engines.arrow import FILE_NUMBER, ROW_NUMBER
from tablelog.env import Env
from tablelog.errors import NotFoundError, TablelogError
from tablelog.format import names
from tablelog.format.predicate import And, Comparison, Operator
from tablelog.lake import Lake
from tablelog.log.history import TableHistory
from tablelog.ops.changes import AFTER, INSERT, row_events
from tablelog.ops.matching import Condition
from tablelog.parquet.contents import read_vectors
from tablelog.parquet.inlined import decode_rows
from tablelog.parquet.reader import read_every_row
from tablelog.store.in_lake import table_store
from tablelog.store.memory import MemoryStore
from tablelog.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from tablelog.format.actions import AddFile
    from tablelog.log.changed import FileChanges
    from tablelog.log.state import TableState
    from tablelog.ops.scan import ScanPlan
    from tablelog.store.base import ByteRange, ObjectInfo, ObjectStore

DEPTH = 6
TOGETHER = 32
"""Seeds of which those that begin with a new table begin with the same one."""
WINDOW = 48
"""How far back the seed is whose table a seed goes on with."""
IDS = 12
HOUR = 3_600_000_000
Row = tuple[int, int]
Bag = Counter[Row]
LAYOUTS: tuple[dict[str, Any], ...] = (
    {},
    {"sort_by": "id"},
    {"sort_by": "v"},
    {"key": "id"},
    {"cluster_by": ["id", "v"]},
    {"partition_by": "bucket(2, id)"},
    {"partition_by": "bucket(2, id)", "sort_by": "id"},
)
KINDS = {"append": 4, "delete": 6, "upsert": 4, "compact": 6, "full": 2, "restore": 3, "expire": 4, "vacuum": 4}
KINDS |= {"tidy": 2, "clone": 2, "tag": 1, "untag": 1, "consume": 1}
"""What is done, and how often. `tidy` is an expiry and a vacuum."""
CALLS = {"append": (2, 2), "delete": (4, 2), "upsert": (4, 2), "compact": (7, 3), "full": (7, 3), "restore": (2, 1)}
CALLS |= {"expire": (9, 4), "vacuum": (12, 7), "tidy": (22, 12), "clone": (20, 4), "tag": (2, 1), "untag": (2, 1)}
CALLS |= {"consume": (6, 1)}
"""About how many calls of the store each one makes, and how many that change something."""
CALLS_MAX = 3000
"""Calls in one operation; more means that it goes on for ever."""


class CrashedError(BaseException):
    """Somebody is no more: nothing in the library may catch this."""


class World(Env):
    """The clock, chance and names of everybody."""

    def __init__(self, seed: int, now_us: int) -> None:
        self.dice = random.Random(str(seed))  # of a number the sign would be lost
        self.clock_us = now_us

    def now_us(self) -> int:
        self.clock_us += 1000
        return self.clock_us

    def monotonic_s(self) -> float:
        return self.clock_us / 1e6

    def sleep(self, wait_s: float) -> None:
        self.clock_us += int(wait_s * 1e6)

    def random(self) -> float:
        return self.dice.random()

    def who(self) -> str:
        return "somebody"

    def random_bits(self, count: int) -> int:
        return self.dice.getrandbits(count)


@dataclass
class Interruption:
    """Something that happens before one of the next calls."""

    calls: int
    """How many there are until then, that one among them."""
    changes: bool
    """Whether only calls count that change something."""
    happen: Callable[[], None]


class Disk(MemoryStore):
    """Objects; something may happen before one of the next calls."""

    def __init__(self, objects: Mapping[str, Any], on_create: Callable[[str, bytes], None]) -> None:
        super().__init__("lake")
        self._objects = dict(objects)
        self._on_create = on_create
        self.calls = 0
        self.interruption: Interruption | None = None

    @property
    def objects(self) -> Mapping[str, Any]:
        return self._objects

    def data(self, key: str) -> bytes:
        """An object, asked for by nobody."""
        stored = self._objects.get(key)
        assert stored is not None, f"{key} is needed and gone"
        return bytes(stored.data)

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Nothing happens in between."""
        interruption, self.interruption = self.interruption, None
        try:
            yield
        finally:
            self.interruption = interruption

    def _arrive(self, *, changes: bool = False) -> None:
        self.calls += 1
        assert self.calls < CALLS_MAX, "it does not come to an end"
        coming = self.interruption
        if coming is not None and (changes or not coming.changes):
            coming.calls -= 1
            if not coming.calls:
                self.interruption = None
                coming.happen()

    def get(self, key: str, byte_range: ByteRange | None = None) -> bytes:
        self._arrive()
        return super().get(key, byte_range)

    def put(self, key: str, data: bytes | memoryview) -> None:
        self._arrive(changes=True)
        super().put(key, data)

    def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
        self._arrive(changes=True)
        created = super().put_if_absent(key, data)
        if created:
            self._on_create(key, bytes(data))
        return created

    def list(self, prefix: str = "", start_after: str = "") -> Iterator[ObjectInfo]:
        self._arrive()
        return iter([*super().list(prefix, start_after)])

    def delete(self, key: str) -> None:
        self._arrive(changes=True)
        super().delete(key)

    def head(self, key: str) -> ObjectInfo:
        self._arrive()
        return super().head(key)


class OneByOne:
    """In the place of threads: all is done at once, by whoever asks for it."""

    def __init__(self, *_: object) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def map(self, ask: Callable[[Any], Any], arguments: Iterable[Any]) -> list[Any]:
        return [ask(argument) for argument in arguments]

    def submit(self, do: Callable[..., object], *arguments: object) -> None:
        do(*arguments)

    def shutdown(self) -> None:
        pass


class Forgetful:
    """In the place of what a process keeps of vectors and rows: everything is asked for again."""

    def get(self, _: object) -> None:
        return None

    def put(self, *_: object) -> None:
        pass


# --------------------------------------------------------------------------- an engine of a few lines


def ids_of(plan: ScanPlan, store: ObjectStore) -> Iterator[tuple[int, int, int]]:
    """Number of the file, number of the row, and id of every live row."""
    schemas = plan.state.metadata.schemas
    fields = [plan.state.schema.field("id")]
    vectors = read_vectors(store, plan.numbered_files)
    for number, file in enumerate(plan.numbered_files):
        deleted, row = vectors.get(file.path, ()), 0
        for batch in read_every_row(store, file, schemas[file.schema_id], fields):
            for each in batch.column(0).to_pylist():
                if row not in deleted:
                    yield number, row, each
                row += 1


def batch_of(rows: Sequence[Sequence[int]], columns: Sequence[str]) -> list[pa.RecordBatch]:
    found = [*zip(*rows, strict=True)] or [()] * len(columns)
    return [pa.RecordBatch.from_arrays([pa.array(each, pa.int64()) for each in found], [*columns])]


def condition_on(where: str) -> Callable[[Any], Condition]:
    """Text such as "3 5": ids from 3 to 5."""
    low, high = map(int, where.split())

    def bind(schema: Any) -> Condition:
        key = schema.field("id")
        bounds = (Comparison(key.id, Operator.GREATER_OR_EQUAL, low), Comparison(key.id, Operator.LESS_OR_EQUAL, high))

        def find(plan: ScanPlan, store: ObjectStore) -> Iterable[pa.RecordBatch]:
            found = [(file, row) for file, row, each in ids_of(plan, store) if low <= each <= high]
            return batch_of(found, [FILE_NUMBER, ROW_NUMBER])

        return Condition(predicate=And(bounds), fields=(key,), find=find)

    return bind


def meet(plan: ScanPlan, store: ObjectStore, keys: pa.Table) -> Iterable[pa.RecordBatch]:
    sources = {key: number for number, key in enumerate(keys.column("id").to_pylist())}
    found = [(file, row, sources[each]) for file, row, each in ids_of(plan, store) if each in sources]
    return batch_of(found, [FILE_NUMBER, ROW_NUMBER, "source"])


# --------------------------------------------------------------------------- the model


@dataclass
class Truth:
    """What is true of one table."""

    log: list[Bag] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    """What the commits say that they are."""
    horizon: int = 0
    vacuums: int = 0
    tags: dict[str, int] = field(default_factory=dict)
    positions: dict[str, int] = field(default_factory=dict)
    clones: dict[str, int] = field(default_factory=dict)
    """Folders of clones that it was told of, and with which version they begin."""
    options: Mapping[str, Any] = field(default_factory=dict)
    known: dict[int, frozenset[str]] = field(default_factory=dict)
    """What versions need that were read and had their rows, by version."""
    merged: frozenset[str] = frozenset()
    """The segments and bases from which they were read."""

    def copy(self) -> Truth:
        return replace(
            self,
            log=[*self.log],
            kinds=[*self.kinds],
            tags={**self.tags},
            positions={**self.positions},
            clones={**self.clones},
            known={**self.known},
        )

    @property
    def newest(self) -> int:
        return len(self.log) - 1


@dataclass
class Operation:
    """Something that is done to a table."""

    kind: str
    path: str
    what: dict[str, Any]
    commits: list[tuple[str, str, int]] = field(default_factory=list)
    """Folder, kind and version of each commit that won its name."""

    def rows_after(self, before: Bag, truth: Truth) -> Bag:
        """The rows of the table after its commit."""
        match self.kind:
            case "append":
                return before + Counter(self.what["rows"])
            case "delete":
                return Counter({row: n for row, n in before.items() if not self._is_between(row[0])})
            case "upsert":
                after = Counter(before)
                for key, value in self.what["rows"]:
                    same = sum(after.pop(row) for row in [*after] if row[0] == key)
                    after[key, value] += same or 1
                return after
            case "restore":
                return truth.log[self.what["version"]]
            case _:
                return before

    def _is_between(self, key: int) -> bool:
        return bool(self.what["low"] <= key <= self.what["high"])


@dataclass(frozen=True)
class Left:
    """What a seed leaves behind."""

    objects: Mapping[str, Any]
    truths: Mapping[str, Truth]
    """By folder."""
    read: Mapping[str, TableHistory]
    """What somebody has read of each log by then."""
    read_before: Mapping[str, TableHistory]
    """What somebody had read before."""
    now_us: int


WRITES = frozenset(("append", "delete", "upsert", "restore"))
CHANGES = frozenset(("append", "upsert", "restore")), frozenset(("delete", "upsert", "restore"))
"""Commits by which rows come, and by which they go."""


class Step:
    """One seed on top of what another one has left."""

    def __init__(self, seed: int, left: Left | None, kinds: Mapping[str, int], seen: Reading) -> None:
        self.seed, self.kinds, self.seen = seed, kinds, seen
        self.world = World(seed, 1_800_000_000_000_000 if left is None else left.now_us)
        self.dice = self.world.dice
        self.disk = Disk({} if left is None else left.objects, self._on_create)
        self.read = {} if left is None else {**left.read}
        self.older = {} if left is None else left.read_before
        self.below = {} if left is None else left.read
        self.truths = {} if left is None else {path: truth.copy() for path, truth in left.truths.items()}
        self.doing: list[Operation] = []
        self.clone_count = 0
        self.happened: Counter[str] = Counter()
        self.told: list[str] = []

    def left(self) -> Left:
        return Left(self.disk.objects, self.truths, self.read, self.below, self.world.clock_us)

    # ------------------------------------------------------------------ what is true

    def _on_create(self, key: str, data: bytes) -> None:
        path, _, name = key.partition(f"/{names.LOG}")
        version = names.parse_commit(name)
        if version is None:
            consumer = names.parse_consumer(key.partition("/")[2])
            if consumer is not None:
                position = json.loads(data)["actions"][0]["position"]["version"]
                self.truths[key.partition("/")[0]].positions[consumer[0]] = position
            return
        if not data:  # a clone that will never be
            self.truths[path] = Truth()
            return
        record, operation = json.loads(data), self.doing[-1]
        operation.commits.append((path, record["operation"], version))
        if path not in self.truths:
            source = self.truths[operation.path] if operation.kind == "clone" else Truth()
            rows = source.log[operation.what["version"]] if operation.kind == "clone" else Counter()
            self.truths[path] = Truth(log=[rows], kinds=["clone"], options=source.options or operation.what)
            return
        truth = self.truths[path]
        assert version == len(truth.log)
        after = operation.rows_after(truth.log[-1], truth) if path == operation.path else truth.log[-1]
        truth.log.append(after)
        truth.kinds.append(record["operation"])
        for action in record["actions"]:
            ((kind, body),) = action.items()
            match kind:
                case "horizon":
                    self._check_horizon(truth, body["version"], operation)
                    truth.horizon = body["version"]
                    truth.known.pop(truth.horizon, None)  # its changes are not kept any more
                case "vacuum":
                    truth.vacuums += 1
                case "tag" if body.get("version") is None:
                    del truth.tags[body["name"]]
                case "tag":
                    truth.tags[body["name"]] = body["version"]
                case "clone" if body.get("path") is not None:
                    truth.clones[body["path"]] = body["version"]
                case _:
                    pass

    def _check_horizon(self, truth: Truth, version: int, operation: Operation) -> None:
        begun = [first for path, first in truth.clones.items() if path not in self.truths]
        held = min([*truth.tags.values(), *begun, *operation.what["held"], truth.newest])
        assert truth.horizon < version <= held, f"versions up to {version} expire, {held} is held"

    # ------------------------------------------------------------------ doing

    def create(self, settings: Mapping[str, str]) -> None:
        """A table with a few files, rows inside commits and vectors."""
        options = dict(self.dice.choice(LAYOUTS))
        properties = {"log_fan_out": self.dice.choice(["3", "16", "16", "16"])}
        properties["inline_max_bytes"] = self.dice.choice(["0", "0", "600", "60000"])
        properties["target_file_size_bytes"] = self.dice.choice(["65536", "2000", "200", "100"])
        properties |= settings
        self.doing = [Operation("create", "t", {**options, "properties": properties})]
        Lake(self.disk, Catalog(self.disk))._catalog.create("lake", {})
        fields = {"id": "int64 not null", "v": "int64"}
        self.lake().create_table("t", fields, **options, properties=properties)
        for kind in self.dice.choices(["append", "delete", "upsert"], [4, 1, 1], k=4):
            self.do(self.operation(kind, "t"))
        self.check("in the beginning")

    def run(self) -> None:
        """The step: an operation, and what comes in between."""
        if self.dice.random() < 0.3:
            self.world.clock_us += 2 * HOUR
        operation = self.operation()
        stale, dies = self.dice.random() < 0.2, self.dice.random() < 0.25
        self.interrupt(operation, self._die if dies else self._come(deeper=self.dice.random() < 0.3))
        try:
            self.do(operation, stale=stale)
        except CrashedError:
            self.happened["crashes"] += 1
            self.told.append("it died")
            self.check("after a crash")
            self.again(operation)
        self.disk.interruption = None  # it had fewer calls
        self.check("at the end")

    def interrupt(self, operation: Operation, happen: Callable[[], None]) -> None:
        changes = self.dice.random() < 0.6
        calls = self.dice.randrange(1, 1 + CALLS[operation.kind][changes])
        self.disk.interruption = Interruption(calls, changes, happen)

    def _die(self) -> None:
        raise CrashedError

    def _come(self, *, deeper: bool) -> Callable[[], None]:
        """Somebody else does something from beginning to end."""
        jumps = self.dice.random() < 0.3

        def happen() -> None:
            self.happened["deeper interleavings" if len(self.doing) > 1 else "interleavings"] += 1
            if jumps:
                self.world.clock_us += 2 * HOUR
            other = self.operation(path=self.doing[0].path if self.dice.random() < 0.8 else None)
            if deeper:
                self.interrupt(other, self.dice.choice([self._die, self._come(deeper=False)]))
            try:
                self.do(other)
            except CrashedError:
                self.happened["crashes"] += 1
                self.told.append("it died, in between")
            self.disk.interruption = None
            if other.kind not in WRITES:  # what it has written is read soon enough
                self.check("in between")

        return happen

    def operation(self, kind: str | None = None, path: str | None = None) -> Operation:
        """Something to do."""
        dice = self.dice
        kind = kind or dice.choices([*self.kinds], [*self.kinds.values()])[0]
        paths = [path for path, truth in self.truths.items() if truth.log]
        path = path or (dice.choice(paths) if dice.random() < 0.4 else "t")
        truth = self.truths[path]
        if kind == "append" and "key" in truth.options:
            kind = "upsert"
        if (kind == "untag" and not truth.tags) or (kind == "clone" and len(self.truths) > 3):
            kind = "delete"
        low = dice.randrange(IDS)
        ids = dice.sample(range(IDS), dice.choice([1, 2, 3, 5, 8]))
        what: dict[str, Any] = {
            "rows": [(each, dice.randrange(100)) for each in sorted(ids)],
            "low": low,
            "high": low + dice.choice([0, 0, 1, 3]),
            "version": dice.randrange(truth.horizon, truth.newest + 1),
            "keep": dice.choice([1, 1, 2, 4]),
            "grace": dice.choice(["0 seconds", "0 seconds", "1 hour"]),
            "full": kind == "full",
            "tag": dice.choice([*truth.tags]) if kind == "untag" else f"tag{self.seed}.{len(self.told)}",
            "clone": f"c{self.seed}x{len(self.told)}",
        }
        return Operation(kind, path, what)

    def again(self, operation: Operation) -> None:
        """What died is done again, and succeeds."""
        what, truth = operation.what, self.truths[operation.path]
        if operation.kind == "clone":
            what = {**what, "clone": what["clone"] + "b"}
        if operation.kind == "tag" and truth.tags.get(what["tag"]) not in {None, what["version"]}:
            return
        if operation.kind == "untag" and what["tag"] not in truth.tags:
            return
        version = max(what["version"], truth.horizon)
        self.do(Operation(operation.kind, operation.path, {**what, "version": version}), calm=True)

    def lake(self) -> Lake:
        return Lake(self.disk, Catalog(self.disk))

    def table(self, path: str, read: TableHistory | None = None) -> Table:
        """The table as somebody holds it who has read so much of its log, nothing for one."""
        store = table_store(self.disk, path)
        history = TableHistory(store)
        if read is not None:
            history.reader, history.lineage.parts = read.reader.copy(), read.lineage.parts
            history._metadata_versions = [*read._metadata_versions]
            history._metadata_values = [*read._metadata_values]
        return Table(store, path, history)

    def somebody(self, path: str) -> Table:
        """The table as anybody may hold it: most have read its log already."""
        return self.table(path, self.read.get(path) if self.dice.random() < 0.8 else None)

    def do(self, operation: Operation, *, stale: bool = False, calm: bool | None = None) -> None:
        """Carry an operation out, and look whether it has done what it says."""
        self.happened["operations"] += 1
        self.told.append(f"{'  ' * len(self.doing)}{operation.kind} of {operation.path} {operation.what}")
        truth = self.truths[operation.path]
        vacuums, newest = truth.vacuums, truth.newest
        calm = self.disk.interruption is None and not stale if calm is None else calm
        operation.what["held"] = [max(position, 0) for position in truth.positions.values()]
        table = self.table(operation.path, self.older.get(operation.path)) if stale else self.somebody(operation.path)
        depth = len(self.doing)
        self.doing.append(operation)
        try:
            self._carry_out(table, operation, operation.what)
        except TablelogError as error:
            del self.doing[depth:]
            self.told.append(f"{'  ' * depth}{error}")
            assert not calm, error
            assert self._is_reason(operation, error, vacuums), error
            assert operation.kind not in WRITES or not operation.commits, error
        else:
            if operation.kind in WRITES:
                assert [each[1] for each in operation.commits] == [operation.kind], operation
            if operation.kind == "expire" and calm:
                self._check_expired(truth, operation, newest)
        finally:
            del self.doing[depth:]

    def _check_expired(self, truth: Truth, operation: Operation, newest: int) -> None:
        """Nothing came in between, so as much has expired as could."""
        begun = [first for path, first in truth.clones.items() if path not in self.truths]
        held = [*truth.tags.values(), *begun, *operation.what["held"]]
        assert truth.horizon >= min([newest + 1 - operation.what["keep"], *held])

    def _is_reason(self, operation: Operation, error: Exception, vacuums: int) -> bool:
        truth, text = self.truths[operation.path], str(error)
        expired = operation.what["version"] < truth.horizon
        if "write again" in text:
            return truth.vacuums > vacuums
        match operation.kind:
            case "expire":
                return "somebody else expired" in text
            case "vacuum" | "tidy":  # the clock may have jumped while it asked for the time
                told = ("nobody can tell what is old", "was asleep for long", "somebody else expired")
                return any(each in text for each in told[: 3 if operation.kind == "tidy" else 2])
            case "restore" | "consume":
                return isinstance(error, NotFoundError) and expired
            case "tag":
                return isinstance(error, NotFoundError) and expired
            case "untag":
                return isinstance(error, NotFoundError) and operation.what["tag"] not in truth.tags
            case "clone":
                return "a vacuum has given it up" in text or expired
            case _:
                return False

    def _carry_out(self, table: Table, operation: Operation, what: dict[str, Any]) -> None:
        match operation.kind:
            case "append":
                table.append([{"id": key, "v": v} for key, v in what["rows"]])
            case "delete":
                table.delete(f"{what['low']} {what['high']}")
            case "upsert":
                table.upsert([{"id": key, "v": v} for key, v in what["rows"]], on="id")
            case "compact" | "full":
                table.compact(full=what["full"])
            case "restore":
                table.restore(what["version"])
            case "expire":
                table.expire(what["keep"])
            case "vacuum":
                table.vacuum(grace=what["grace"])
            case "tidy":
                table.expire(1)
                table.vacuum(grace=what["grace"])
            case "tag":
                table.tag(what["tag"], what["version"])
            case "untag":
                table.untag(what["tag"])
            case "consume":
                table.consumer("reader").seek(what["version"])
            case "clone":
                name = next((name for name in self.lake().tables() if name == operation.path), None)
                if name is None:  # its maker died before it had a name
                    operation.kind = "compact"
                    table.compact()
                else:
                    self.lake().clone_table(name, what["clone"], version=what["version"])

    # ------------------------------------------------------------------ looking

    def check(self, when: str) -> None:
        """Each version that can be read has exactly its rows, and all that it needs is there."""
        with self.disk.undisturbed():
            for path, truth in self.truths.items():
                if truth.log:
                    self.seen.check(self, path, truth, when)

    def finish(self) -> None:
        """In the end tables are put into shape; they are sound, and have what they need, and nothing else."""
        living = [path for path, truth in self.truths.items() if truth.log]
        for path in reversed(living):
            self.do(Operation("full", path, {"full": True, "version": 0}), calm=True)
        for path in living:
            self.truths[path].known.clear()
            assert self.table(path).compact(full=True) is None, "a full compaction has left something to do"
        self.check("after a full compaction")
        for path in reversed(living):
            self.do(Operation("vacuum", path, {"grace": "0 seconds", "version": 0}), calm=True)
        self.check("after a vacuum")
        needed = {key for path in living for keys in self.truths[path].known.values() for key in keys}
        for path in living:
            problems = self.table(path).verify().problems
            assert not [problem for problem in problems if not problem.harmless], problems
            folders = (f"{path}/{names.DATA}", f"{path}/{names.DELETES}")
            there = {key for key in self.disk.objects if key.startswith(folders)}
            assert there <= needed, f"nothing needs {sorted(there - needed)}"


class Reading:
    """Reads versions from the log and the objects, and remembers what bytes mean."""

    def __init__(self) -> None:
        self._files: dict[tuple[bytes, int], list[Row]] = {}
        self._vectors: dict[Any, Any] = {}

    def check(self, step: Step, path: str, truth: Truth, when: str) -> None:
        """Read what was not read before, by somebody who knows nothing, and see that what was read is all there.

        A version is what its commits say, and those do not change, so it is read again only if the log is read from
        other objects.
        """
        merged = (f"{path}/{names.LOG}{names.BASES}", f"{path}/{names.LOG}{names.SEGMENTS}")
        found = frozenset(key for key in step.disk.objects if key.startswith(merged))
        if found != truth.merged:
            truth.known, truth.merged = {}, found
        truth.known = {version: keys for version, keys in truth.known.items() if version >= truth.horizon}
        for version, keys in truth.known.items():
            for key in keys:
                assert step.disk.data(key), f"{path} {when}: {key} is empty, version {version} needs it"
        unread = [version for version in range(truth.horizon, truth.newest + 1) if version not in truth.known]
        if not unread:
            return
        table = step.table(path)
        newest, history = table.snapshot().state, table._history
        step.read[path] = history
        assert newest.version == truth.newest, f"{path} {when}: {newest.version} is not the newest version"
        assert history.horizon == truth.horizon
        changes = history.file_changes(max(unread[0] - 1, truth.horizon), truth.newest)
        for version in unread:
            state = newest if version == truth.newest else history.state_at(version)
            needed: set[str] = set()
            rows = self._bag(step.disk, path, state, needed)
            assert rows == truth.log[version], f"{path} {when}: version {version} has other rows"
            assert state.row_count == rows.total()
            if version > truth.horizon:
                came, went = self._events(step.disk, path, changes.get(version), state, needed)
                before, kind = truth.log[version - 1], truth.kinds[version]
                assert went <= before, f"{path} {when}: rows went by version {version} that were not there"
                assert before - went + came == rows, f"{path} {when}: the changes of version {version} lead elsewhere"
                assert not came or kind in CHANGES[0], f"{path} {when}: rows came by version {version}, which is {kind}"
                assert not went or kind in CHANGES[1], f"{path} {when}: rows went by version {version}, which is {kind}"
            truth.known[version] = frozenset(needed)

    def _bag(self, disk: Disk, path: str, state: TableState, needed: set[str]) -> Bag:
        bag: Bag = Counter()
        for file in state.files:
            rows = self._rows(disk, path, file, state, needed)
            if file.deleted is None:
                bag.update(rows)
            else:
                deleted = self._deleted(disk, path, file, needed)
                assert len(deleted) == file.deleted.row_count
                bag.update(row for number, row in enumerate(rows) if number not in deleted)
        return bag

    def _rows(self, disk: Disk, path: str, file: AddFile, state: TableState, needed: set[str]) -> list[Row]:
        """All rows of a file, deleted ones among them."""
        place = names.parse_inlined(file.path)
        key = f"{path}/{names.LOG}{names.commit(place[0])}" if place else _key(path, file.path)
        data, number = disk.data(key), place[1] if place else 0
        needed.add(key)
        assert data, f"{key} is needed and empty"
        known = self._files.get((data, number))
        if known is None:
            schema = state.metadata.schemas[file.schema_id]
            if place is None:
                found = list(
                    read_every_row(_Bytes(data), replace(file, path="it", deleted=None), schema, schema.fields)
                )
            else:
                content = base64.b64decode(json.loads(data)["actions"][number]["add"]["inline"])
                found = [decode_rows(content, schema, file.row_count, file.path)]
            known = [row for batch in found for row in zip(*(each.to_pylist() for each in batch.columns), strict=True)]
            self._files[data, number] = known
        assert len(known) == file.row_count
        return known

    def _deleted(self, disk: Disk, path: str, file: AddFile, needed: set[str]) -> Any:
        vector = file.deleted
        assert vector is not None
        if vector.path is not None:
            key = _key(path, vector.path)
            disk.data(key)
            needed.add(key)
        known = self._vectors.get(vector)
        if known is None:
            known = self._vectors[vector] = read_vectors(table_store(disk, path), [file])[file.path]
        return known

    def _events(
        self, disk: Disk, path: str, changes: FileChanges | None, state: TableState, needed: set[str]
    ) -> tuple[Bag, Bag]:
        """Rows that came by a version, and those that went, as its changes say."""
        came: Bag = Counter()
        went: Bag = Counter()
        if changes is None:
            return came, went
        for event in row_events(table_store(disk, path), changes):
            rows = self._rows(disk, path, event.file, state, set())
            (came if event.kind in {INSERT, AFTER} else went).update(rows[number] for number in event.rows)
        for file in changes.added:
            for vector in (file.gone.deleted, file.gone.updated) if file.gone else ():
                if vector is not None and vector.path is not None:
                    needed.add(_key(path, vector.path))
        return came, went


class _Bytes:
    """One object that is read by whatever name."""

    url = "bytes"

    def __init__(self, data: bytes) -> None:
        self._data = data

    def get(self, key: str, byte_range: ByteRange | None = None) -> bytes:
        return self._data if byte_range is None else self._data[byte_range.start : byte_range.end]


def _key(path: str, name: str) -> str:
    """The key in the lake of an object that a table's log names."""
    lent = names.parse_lent(name)
    return f"{path}/{name}" if lent is None else f"{lent[0]}/{lent[1]}"
