"""Many processes change one table in every way there is; some are killed. What they were promised, in the order of the
versions, explains every version of the table.

model       a few lines of Python: how often there is each (id, v)
held        each promise is the commit of the version that it names; what was refused is nowhere; what a killed process did
            last is there whole or not at all; every version is somebody's
            the table at its end and at random versions, the counts of each commit, and the change feed of each version,
            all read through handles that have seen nothing
            nobody is refused for a reason that is none

A few seconds here; TABLELOG_CHANGERS_S=60 runs sixteen processes for a minute.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import tablelog as tl
from tests.processes.model import Model, Row, touched

CHANGER = Path(__file__).with_name("changer.py")
SECONDS = float(os.environ.get("TABLELOG_CHANGERS_S", "0"))
WORKERS, RUN_S = (16, SECONDS) if SECONDS else (5, 3.0)
PROPERTIES = {"inline_max_bytes": "1000", "log_fan_out": "4"}


@dataclass
class Journal:
    """What one process said."""

    lines: list[dict[str, Any]]
    was_killed: bool

    @property
    def pairs(self) -> list[tuple[dict[str, Any], dict[str, Any] | None]]:
        """Each operation, and what came of it; None for the last one of a process that was killed."""
        begins = [line for line in self.lines if "kind" in line]
        ends = {line["end"]: line for line in self.lines if "end" in line}
        unknown = [begin for begin in begins if begin["info"] not in ends]
        assert unknown in ([], begins[-1:]) if self.was_killed else not unknown
        return [(begin, ends.get(begin["info"])) for begin in begins]


def run(folder: Path, seed: int, killed: int) -> list[Journal]:
    """Let the processes work together, and kill some at random moments."""
    dice = random.Random(seed)
    paths = [folder / f"journal{worker}" for worker in range(WORKERS)]
    processes = [
        subprocess.Popen(
            [
                sys.executable,
                str(CHANGER),
                str(folder / "t"),
                str(worker),
                str(RUN_S),
                str(seed * 100 + worker),
                str(path),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for worker, path in enumerate(paths)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", process.stderr and process.stderr.read()
    timers = [
        threading.Timer(dice.uniform(0.1, 0.8) * RUN_S, process.send_signal, (signal.SIGKILL,))
        for process in processes[:killed]
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for timer in timers:
        timer.start()
    said = [process.communicate(timeout=RUN_S + 120)[1] for process in processes]
    for timer in timers:
        timer.join()
    for process, errors in zip(processes, said, strict=True):
        assert process.returncode == -signal.SIGKILL or (process.returncode == 0 and not errors), errors
    return [
        Journal(
            [json.loads(line) for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")],
            process.returncode != 0,
        )
        for path, process in zip(paths, processes, strict=True)
    ]


@pytest.mark.xdist_group("processes")
@pytest.mark.parametrize("key", [None, "id"], ids=["unkeyed", "keyed"])
def test_every_version_is_what_the_promises_in_their_order_add_up_to(tmp_path: Path, key: str | None) -> None:
    tl.connect(tmp_path).create_table("t", {"id": "int64", "v": "int64"}, key=key, properties=PROPERTIES)
    seed = 1 + (key is not None)
    journals = run(tmp_path, seed, killed=WORKERS // 3)
    pairs = [pair for journal in journals for pair in journal.pairs]
    assert not [end["error"] for _, end in pairs if end is not None and "error" in end]
    cold = tl.open_table(tmp_path / "t")
    history = {commit.version: commit for commit in cold._history.commits(cold.version)}
    operations = by_version(pairs, history)
    figures = Counter(begin["kind"] for begin in operations.values())
    refused = [(begin, end) for begin, end in pairs if end is not None and "refused" in end]
    reasons = Counter(
        f"{begin['kind']} {end['type']}{' (100 races)' * ('100 other' in end['refused'])}" for begin, end in refused
    )
    told = {"key": key, "versions": cold.version, "by kind": figures, "refused": reasons, "tried": len(pairs)}
    sys.stdout.write(f"\n{json.dumps(told)}\n")

    model, dice = Model(), random.Random(seed)
    looked_at = {0, cold.version, *dice.sample(range(cold.version), min(cold.version, 12))}
    feed: defaultdict[int, Counter[Row]] = defaultdict(Counter)
    for row in tl.open_table(tmp_path / "t").changes(-1).to_arrow().to_pylist():
        feed[row["_version"]][row["id"], row["v"]] += 1 if row["_change"] in {"insert", "update_after"} else -1
    there: dict[int, list[tuple[int, bool]]] = defaultdict(list)
    for version in range(cold.version + 1):
        change: Counter[Row] = Counter()
        if version:
            change = model.apply(operations[version])
            assert Counter({row: n for row, n in feed[version].items() if n}) == change, operations[version]
            assert history[version].rows_added - history[version].rows_deleted == change.total()
        for each in {row[0] for row in change}:
            there[each].append((version, bool(model.rows[each])))
        if version in looked_at:
            for reader in (cold, tl.open_table(tmp_path / "t")):
                found = reader.at(version=version)
                table = found.to_arrow()
                assert Counter(zip(table["id"].to_pylist(), table["v"].to_pylist(), strict=True)) == model.bag()
                assert found.row_count == model.bag().total()
        assert key is None or not change or all(model.rows[row[0]].total() <= 1 for row in change)
    for begin, end in refused:
        assert is_reason(begin, end, key, operations, there), (begin, end)
    found = cold.verify()
    assert not [problem for problem in found.problems if not problem.harmless], found


def by_version(
    pairs: list[tuple[dict[str, Any], dict[str, Any] | None]], history: dict[int, tl.Commit]
) -> dict[int, dict[str, Any]]:
    """The operation behind each version; promises and history say the same."""
    versions = {commit.info["op"]: version for version, commit in history.items() if version}
    assert len(versions) == len(history) - 1, "nothing is there twice"
    operations: dict[int, dict[str, Any]] = {}
    for begin, end in pairs:
        version = versions.pop(begin["info"], None)
        if end is not None:
            assert version == end.get("version"), (begin, end)
        if version is not None:
            assert version > begin["began"]
            operations[version] = begin
    assert not versions, "every version is somebody's"
    return operations


def is_reason(
    begin: dict[str, Any],
    end: dict[str, Any],
    key: str | None,
    operations: dict[int, dict[str, Any]],
    there: dict[int, list[tuple[int, bool]]],
) -> bool:
    """Whether what somebody was refused for is true: the key was there, others changed the same rows, or were faster."""
    meanwhile = range(begin["began"], end["until"] + 1)
    if "100 other commits in a row" in end["refused"]:
        return len(meanwhile) > 100
    if begin["kind"] == "append":
        return key is not None and any(
            any(since <= meanwhile[-1] and is_there for since, is_there in there[each]) for each, _ in begin["rows"]
        )
    if begin["kind"] == "both" and end["type"] == "ConflictError":
        ids = {begin["row"][0], *range(begin["low"], begin["high"] + 1)}
        others = [operations[version] for version in meanwhile[1:] if version in operations]
        return any(ids & touched(other) for other in others)
    return False
