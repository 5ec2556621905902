"""Many processes, one table: nothing lost, nothing doubled, nothing half there, whoever dies when."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

import tablelog as tl

APPENDER = Path(__file__).with_name("appender.py")
ROWS_PER_APPEND = 3
SCHEMA = {"worker": "int64", "number": "int64", "part": "int64"}


class Appender:
    """One process, and the appends that it was told are in the table."""

    def __init__(self, url: Path, worker: int, count: int) -> None:
        self.worker = worker
        self.acknowledged: list[int] = []
        self.process = subprocess.Popen(
            [sys.executable, str(APPENDER), str(url), str(worker), str(count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_until_ready(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n", self.process.stderr and self.process.stderr.read()

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def finish(self) -> str:
        """Everything it said on standard error."""
        output, errors = self.process.communicate(timeout=120)
        self.acknowledged = [int(line) for line in output.split()]
        return errors


def run(url: Path, workers: int, count: int, killer: random.Random | None = None) -> list[Appender]:
    """Start the processes together, and kill some at random moments if a killer is given."""
    appenders = [Appender(url, worker, count) for worker in range(workers)]
    for appender in appenders:
        appender.wait_until_ready()
    for appender in appenders:
        appender.go()
    threads = []
    if killer is not None:
        for appender in appenders[1:]:
            thread = threading.Timer(killer.uniform(0.02, 0.6), appender.process.send_signal, (signal.SIGKILL,))
            thread.start()
            threads.append(thread)
    errors = [appender.finish() for appender in appenders]
    for thread in threads:
        thread.join()
    survivors = [error for error, appender in zip(errors, appenders, strict=True) if appender.process.returncode == 0]
    assert not "".join(survivors)
    return appenders


def count_rows(table: tl.Table) -> Counter[tuple[int, int]]:
    found = table.to_polars()
    assert found.unique().height == found.height, "no row is doubled"
    return Counter(zip(found["worker"].to_list(), found["number"].to_list(), strict=True))


@pytest.mark.xdist_group("processes")
def test_eight_processes_with_fifty_appends_each_make_four_hundred_commits(tmp_path: Path) -> None:
    table = tl.connect(tmp_path).create_table("t", SCHEMA)
    appenders = run(tmp_path / "t", workers=8, count=50)
    assert all(appender.process.returncode == 0 for appender in appenders)
    assert table.version == 400
    assert count_rows(table) == {(worker, number): ROWS_PER_APPEND for worker in range(8) for number in range(50)}
    times = table.history()["timestamp"]
    assert times.is_sorted(descending=True)
    assert times.n_unique() == 401


@pytest.mark.xdist_group("processes")
@pytest.mark.parametrize("seed", range(3))
def test_what_was_acknowledged_to_killed_processes_is_there_and_nothing_is_half_there(
    tmp_path: Path, seed: int
) -> None:
    table = tl.connect(tmp_path).create_table("t", SCHEMA)
    appenders = run(tmp_path / "t", workers=8, count=400, killer=random.Random(seed))
    killed = [appender for appender in appenders if appender.process.returncode == -signal.SIGKILL]
    assert killed, "the test must kill somebody to mean anything"
    found = count_rows(table)
    assert set(found.values()) == {ROWS_PER_APPEND}, "an append is there whole or not at all"
    for appender in appenders:
        promised = {(appender.worker, number) for number in appender.acknowledged}
        present = {key for key in found if key[0] == appender.worker}
        assert promised <= present
        assert len(present - promised) <= 1, (
            "only the append under way may be there without its answer having been read"
        )
    assert table.version == len(found)
    left = [path for path in tmp_path.rglob("*") if path.name.startswith(".") and path.is_file()]
    assert all(time.time() - path.stat().st_mtime < 600 for path in left)  # unfinished files are hidden, not in the way
    table.append({"worker": [99], "number": [0], "part": [0]})
    assert table.version == len(found) + 1
