"""One system in a process of its own: `python -m tests.bench.child '{"module": …, "settings": …, "place": …}'`.

Reads one JSON request a line, `{"verb": …, "arguments": {…}}`, and answers each with `{"value": …}` or `{"error": …}`.
Answers go to what standard output was at the start; whatever libraries print goes to standard error.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from dataclasses import asdict
from functools import partial
from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

from tests.bench.dataset import mapped, streamed
from tests.bench.measure import MB, flush, measured, peak_mb
from tests.bench.queries import Query, fingerprint
from tests.bench.rows import append_rows
from tests.bench.systems.base import ChangingSystem, CompactingSystem, EntriesSystem, Place

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TextIO

    from tests.bench.systems.base import System, Way


class Child:
    """The verbs. Each answers with values that JSON has."""

    def __init__(self, system: System, place: Place) -> None:
        self._system = system
        self._place = place
        self._ways: Mapping[str, Way] | None = None

    def versions(self, packages: list[str]) -> dict[str, str]:
        return {package: _version(package) for package in packages}

    def create(self) -> None:
        self._system.create()

    def reopen(self) -> None:
        self._system.open()

    def append(self, first: int, count: int) -> list[list[float]]:
        """Appends `first` and the next ones: wall and processor milliseconds of each."""
        costs = []
        for number in range(first, first + count):
            rows = append_rows(number)
            with measured() as cost:
                self._system.append(rows)
            costs.append([cost.wall_ms, cost.cpu_ms])
        return costs

    def append_slice(self, path: str, start: int, count: int) -> float:
        """One append of some rows of the big data."""
        with measured() as cost:
            self._system.append(mapped(path).slice(start, count))
        return cost.wall_ms

    def cold_append(self, number: int) -> dict[str, float]:
        """The first append of a process."""
        rows = append_rows(number)
        with measured() as cost:
            self._system.open()
            self._system.append(rows)
        return {"ms": cost.wall_ms}

    def race(self, first: int, count: int) -> dict[str, Any]:
        """Appends whose failures are counted instead of raised."""
        done, failed = [], {}
        with measured() as cost:
            for number in range(first, first + count):
                try:
                    self._system.append(append_rows(number))
                except Exception as error:  # noqa: BLE001 - which ones there are is what is asked
                    failed[number] = type(error).__name__
                else:
                    done.append(number)
        return {"done": done, "failed": failed, "ms": cost.wall_ms}

    def open(self) -> dict[str, float]:
        """A cold open in steps."""
        with measured() as opened:
            self._system.open()
            version = self._system.version()
        with measured() as listed:
            file_count = self._system.file_count()
        with measured() as counted:
            row_count = self._system.row_count()
        return {
            "open_ms": opened.wall_ms,
            "files_ms": listed.wall_ms,
            "rows_ms": counted.wall_ms,
            "cpu_ms": opened.cpu_ms + listed.cpu_ms + counted.cpu_ms,
            "version": version,
            "files": file_count,
            "rows": row_count,
        }

    def travel(self, commits: int) -> dict[str, float]:
        """A cold open of an older version."""
        with measured() as cost:
            self._system.open()
            row_count = self._system.row_count_at(commits)
        return {"ms": cost.wall_ms, "cpu_ms": cost.cpu_ms, "rows": row_count}

    def write(self, path: str, times: int) -> dict[str, float]:
        """A new table: from mapped memory, or `times` times over as a stream."""
        source = streamed(path, times) if times else mapped(path)
        costs = _costs(partial(self._system.write, source))
        with measured() as flushed:
            flush(self._place.local)
        return {**costs, "flush_s": flushed.wall_ms / 1e3}

    def upsert(self, path: str) -> dict[str, float]:
        """Rows of a file into the table, which is opened beforehand."""
        rows = mapped(path)
        assert isinstance(self._system, ChangingSystem)
        self._system.open()
        return _costs(partial(self._system.upsert, rows))

    def delete(self, where: str) -> dict[str, float]:
        """Rows out of the table, which is opened beforehand."""
        assert isinstance(self._system, ChangingSystem)
        self._system.open()
        return _costs(partial(self._system.delete, where))

    def compact(self) -> dict[str, float]:
        """Small files put together in the table, which is opened beforehand."""
        assert isinstance(self._system, CompactingSystem)
        self._system.open()
        return _costs(self._system.compact)

    def ways(self) -> list[str]:
        """Names of the ways to ask; opens the table."""
        self._system.open()
        self._ways = self._system.ways()
        return list(self._ways)

    def ask(self, way: str, query: dict[str, Any]) -> dict[str, Any]:
        """One question; the answer's fingerprint and what it cost."""
        assert self._ways is not None
        question = Query(kind=query["kind"], ids=tuple(query["ids"]))
        with measured() as cost:
            answer = self._ways[way](question)
        return {"ms": cost.wall_ms, "cpu_ms": cost.cpu_ms, "print": fingerprint(answer)}

    def cold_ask(self, way: str, query: dict[str, Any]) -> dict[str, Any]:
        """The first question of a process."""
        with measured() as cost:
            self.ways()
            answer = self.ask(way, query)
        return {**answer, "ms": cost.wall_ms}

    def numbers(self) -> list[int]:
        """For every row the number of the append that it came from."""
        self._system.open()
        name, way = next(iter(self._system.ways().items()))
        assert name
        ids = way(Query(kind="range", ids=(0, 1 << 60)))["id"].to_pylist()
        return [each // 100 for each in ids]


class EntriesChild:
    """The verbs of a system that only plans."""

    def __init__(self, system: EntriesSystem) -> None:
        self._system = system

    def limit_memory(self, mb: int) -> None:
        """Let allocations beyond that fail; where the system does not count them, nothing does."""
        resource.setrlimit(resource.RLIMIT_DATA, (mb * MB, mb * MB))

    def build_entries(self, count: int) -> None:
        self._system.build(count)

    def plan_entries(self, way: str, ids: list[int], enough_s: float) -> dict[str, Any]:
        """Opens the table and plans for the first id, then on the same handle for the others until it is enough."""
        before_mb = peak_mb()
        with measured() as cold:
            plan = self._system.open(way)
            found = [plan(ids[0])]
        warm_ms: list[float] = []
        for each in ids[1:]:
            if sum(warm_ms) > enough_s * 1e3:
                break
            with measured() as warm:
                found.append(plan(each))
            warm_ms.append(warm.wall_ms)
        return {
            "cold_ms": cold.wall_ms,
            "warm_ms": warm_ms,
            "before_mb": before_mb,
            "peak_mb": peak_mb(),
            "found": [asdict(each) for each in found],
        }


def main() -> None:
    answers = _take_stdout()
    told = json.loads(sys.argv[1])
    place = Place(**told["place"])
    module = import_module(f"tests.bench.systems.{told['module']}")
    system = module.make(place, **told["settings"])
    child = EntriesChild(system) if isinstance(system, EntriesSystem) else Child(system, place)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"value": getattr(child, request["verb"])(**request["arguments"])}
        except BaseException as error:  # noqa: BLE001 - Polars and others raise more than Exception; the parent decides
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
    os._exit(0)  # some systems keep threads that never end


def _costs(change: Callable[[], None]) -> dict[str, float]:
    """What a change of millions of rows takes."""
    before_mb = peak_mb()
    with measured() as cost:
        change()
    return {"s": cost.wall_ms / 1e3, "cpu_s": cost.cpu_ms / 1e3, "before_mb": before_mb, "peak_mb": peak_mb()}


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # run from a folder that was never installed
        return "unreleased"


def _take_stdout() -> TextIO:
    """Keep standard output for answers and let everybody else's prints go to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return answers


if __name__ == "__main__":
    main()
