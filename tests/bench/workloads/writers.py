"""W6: several processes append to one table at once."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

from tests.bench.measure import median
from tests.bench.peers import Peer
from tests.bench.report import Column, Section, Table
from tests.bench.rows import APPEND_ROWS

if TYPE_CHECKING:
    from tests.bench.bench import Bench
    from tests.bench.systems.catalog import Spec

KEY: Final = "W6"
SYSTEMS: Final = ("tablelog", "floor", "floor-cached", "deltalake", "pyiceberg", "lance", "ducklake-sqlite")
_APPENDS: Final = 50
_COLUMNS: Final = (
    Column(name="s", digits=2),
    Column(name="appends/s", digits=0, ranked=False),
    Column(name="failed", digits=0),
    Column(name="lost", digits=0),
    Column(name="doubled", digits=0),
    Column(name="there though failed", digits=0),
    Column(name="errors", ranked=False),
)


def run(bench: Bench) -> Section:
    notes: list[str] = []
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    specs = bench.specs(*SYSTEMS)
    for _ in range(bench.options.repeat):
        for spec in specs:
            outcome = _race(bench, spec, notes)
            if outcome is not None:
                found[spec.name].append(outcome)
    total = bench.options.writers * _APPENDS
    table = Table(
        title=f"{bench.options.writers} processes, {_APPENDS} appends of {APPEND_ROWS} rows each",
        columns=_COLUMNS,
        unranked=("floor", "floor-cached"),
    )
    for name, outcomes in found.items():
        seconds = median(each["s"] for each in outcomes)
        sums = [sum(each[key] for each in outcomes) for key in ("failed", "lost", "doubled", "phantom")]
        kinds = sum((each["kinds"] for each in outcomes), Counter())
        done = median(total - each["failed"] for each in outcomes)
        table.rows[name] = [
            seconds,
            done / seconds,
            *sums,
            ", ".join(f"{kind} {n}" for kind, n in kinds.items()) or "none",
        ]
    return Section(
        key=KEY,
        title="many writers",
        text=(
            "All processes have the table open and begin together. Nothing is retried by the benchmark: an append "
            "that raises is *failed*. Afterwards the table is read: *lost* appends returned and are not there, "
            "*doubled* ones are there twice, and some raised and are there all the same. Counts are sums over "
            f"{bench.options.repeat} runs, seconds their median. DuckLake has its catalog in SQLite, because a DuckDB "
            "file admits one process only."
        ),
        tables=[table],
        notes=notes,
    )


def _race(bench: Bench, spec: Spec, notes: list[str]) -> dict[str, Any] | None:
    place = bench.place("writers", spec)
    with ExitStack() as stack:
        maker = stack.enter_context(Peer(spec, place))
        maker.ask("create")
        peers = [stack.enter_context(Peer(spec, place)) for _ in range(bench.options.writers)]
        for peer in peers:
            peer.ask("reopen")
        began = time.perf_counter()
        for number, peer in enumerate(peers):
            peer.send("race", first=number * _APPENDS, count=_APPENDS)
        answers = [peer.receive() for peer in peers]
        seconds = time.perf_counter() - began
        there = Counter(maker.ask("numbers") or ())
        errors = {peer.error for peer in (maker, *peers) if peer.error is not None}
    notes += [f"{spec.name}: {error}" for error in errors]
    return None if maker.error else _compare(answers, there, seconds)


def _compare(answers: list[dict[str, Any] | None], there: Counter[int], seconds: float) -> dict[str, Any]:
    known = [answer for answer in answers if answer is not None]
    done = {number for answer in known for number in answer["done"]}
    failed = {int(number): kind for answer in known for number, kind in answer["failed"].items()}
    dead = len(answers) - len(known)
    return {
        "s": seconds,
        "failed": len(failed) + dead * _APPENDS,
        "lost": sum(there[number] < APPEND_ROWS for number in done),
        "doubled": sum(count > APPEND_ROWS for count in there.values()),
        "phantom": sum(there[number] > 0 for number in failed),
        "kinds": Counter(failed.values()) + Counter({"process died": dead} if dead else {}),
    }
