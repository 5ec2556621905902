"""W7: what an object store is asked, and how long that takes when every answer takes 30 ms."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tests.bench.peers import Peer
from tests.bench.queries import Query
from tests.bench.report import Column, Section, Table
from tests.bench.s3 import BUCKET, CountingApplication, counting_bucket
from tests.bench.systems.base import Place

if TYPE_CHECKING:
    from tests.bench.bench import Bench
    from tests.bench.systems.catalog import Spec

    Row = list[float | str | None]

KEY: Final = "W7"
SYSTEMS: Final = ("tablelog", "deltalake-handle", "pyiceberg", "lance")
_SIZES: Final = (10, 100)
_DELAY_S: Final = 0.03
_WARM_APPENDS: Final = 3
_BEST_WAY: Final = {
    "tablelog": "sql",
    "deltalake-handle": "pl.scan_delta",
    "pyiceberg": "pl.scan_iceberg",
    "lance": "to_table",
}
_COLUMNS: Final = (
    Column(name="requests", digits=0),
    Column(name="of these", ranked=False),
    Column(name="KB up", ranked=False),
    Column(name="ms", digits=0),
)
_OPERATIONS: Final = ("warm append", "cold append", "cold open", "cold point query", "warm point query")
_TEXT: Final = (
    "A bucket on this machine that counts every HTTP request, tries again included, and answers each after 30 ms: the "
    "last column over 30 is about how many requests had to wait for one another. The warm append is the middle one of "
    "three. A *cold* operation is a new process's first, its opening included; *open* is version, files and row "
    "count; the point query looks for one id. PyIceberg's catalog is a local SQLite file, so its requests are data "
    "and metadata files only; DuckLake keeps its catalog in a database and is left out."
)


def run(bench: Bench) -> Section:
    tables: dict[str, Table] = {}
    notes: list[str] = []
    with counting_bucket() as (bucket, access):
        for commits in _SIZES:
            for spec in bench.specs(*SYSTEMS):
                place = bench.place(f"requests-{commits}", spec)
                remote = Place(root=f"s3://{BUCKET}/{spec.name}-{commits}", local=place.local, s3=access)
                counted = _Counted(bucket, spec, remote)
                counted.run(commits)
                notes += counted.notes
                for operation, rows in counted.rows.items():
                    title = f"{operation}, {commits} commits"
                    table = tables.setdefault(title, Table(title=title, columns=_COLUMNS))
                    table.rows[spec.name] = _middle(rows)
    titles = [f"{operation}, {commits} commits" for operation in _OPERATIONS for commits in _SIZES]
    return Section(
        key=KEY,
        title="requests to an object store",
        text=_TEXT,
        tables=[tables[title] for title in titles if title in tables],
        notes=notes,
    )


@dataclass(slots=True)
class _Counted:
    """One system's operations."""

    bucket: CountingApplication
    spec: Spec
    place: Place
    rows: dict[str, list[Row]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def run(self, commits: int) -> None:
        way = _BEST_WAY[self.spec.name]
        query = asdict(Query(kind="ids", ids=(commits * 50 + 17,)))
        before = commits - _WARM_APPENDS - 1
        self.bucket.reset(delay_s=0.0)
        with Peer(self.spec, self.place) as peer:
            peer.ask("create")
            peer.ask("append", first=0, count=before)
            for number in range(before, commits - 1):
                self._count("warm append", peer, "append", first=number, count=1)
        with Peer(self.spec, self.place) as peer:
            self._count("cold append", peer, "cold_append", number=commits - 1)
        with Peer(self.spec, self.place) as peer:
            self._count("cold open", peer, "open")
        with Peer(self.spec, self.place) as peer:
            self._count("cold point query", peer, "cold_ask", way=way, query=query)
            self._count("warm point query", peer, "ask", way=way, query=query)

    def _count(self, operation: str, peer: Peer, verb: str, **arguments: Any) -> None:
        self.bucket.reset(delay_s=_DELAY_S)
        answer = peer.ask(verb, **arguments)
        if answer is None:
            self.notes.append(f"{self.spec.name}, {operation}: {peer.error}")
        else:
            self.rows.setdefault(operation, []).append(_row(self.bucket, _milliseconds(answer)))
        self.bucket.reset(delay_s=0.0)


def _milliseconds(answer: Any) -> float:
    match answer:
        case [[wall_ms, _]]:
            return float(wall_ms)
        case {"open_ms": open_ms, "files_ms": files_ms, "rows_ms": rows_ms}:
            return float(open_ms + files_ms + rows_ms)
        case _:
            return float(answer["ms"])


def _row(bucket: CountingApplication, took_ms: float) -> Row:
    kinds = ", ".join(f"{name} {count}" for name, count in sorted(bucket.counts.items()))
    return [bucket.counts.total(), kinds, bucket.bytes_up / 1e3, took_ms]


def _middle(rows: list[Row]) -> Row:
    """The row with the median of requests: what only every hundredth commit does is not what a commit does."""
    return sorted(rows, key=lambda row: (row[0], row[3]))[len(rows) // 2]
