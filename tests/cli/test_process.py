"""The command as a process of its own: pipes, signals, streams."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import tablelog as tl

BUSY_S = 6
COMMAND = [sys.executable, "-m", "tablelog"]


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *map(str, words)], capture_output=True, encoding="utf-8", timeout=60, check=False)


def test_stdout_is_utf_8_without_colour_and_stderr_is_empty(place: Path) -> None:
    ran = run("sql", place, 'FROM "größe"."päron 梨"')
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "ざくろ" in ran.stdout
    assert "\x1b" not in ran.stdout
    assert json.loads(run("ls", place, "--json").stdout)[0]["table"] == "orders"


def test_an_error_is_one_line_on_stderr(place: Path) -> None:
    ran = run("show", place, "nope")
    assert (ran.returncode, ran.stdout) == (3, "")
    assert ran.stderr == "error: no table nope; there are orders, größe.päron 梨\n"


@pytest.mark.parametrize("form", ["--json", "--csv", "--limit=5000"])
def test_a_reader_that_has_seen_enough_is_left_in_peace(place: Path, form: str) -> None:
    query = "SELECT range, repeat('x', 100) FROM range(100000)"
    with subprocess.Popen(
        [*COMMAND, "sql", str(place), query, form], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 1


def test_an_interrupt_ends_a_long_query_at_once(place: Path) -> None:
    query = "SELECT count(*) FROM range(1000000000) a, range(1000000) b WHERE a.range % 7 = b.range % 5"
    with subprocess.Popen(
        [*COMMAND, "sql", str(place), query],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=_hear_interrupts,
    ) as process:
        try:
            _wait_until_busy(process.pid)
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 130
            assert process.stderr is not None
            assert process.stderr.read() == b""
        finally:
            process.kill()


def _hear_interrupts() -> None:
    """What a shell without job control starts in the background is deaf to Ctrl-C, and so are its children."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _wait_until_busy(pid: int) -> None:
    """Until the process has used so much of the processor that it must be in its query."""
    for _ in range(600):
        used = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        if (int(used[11]) + int(used[12])) / os.sysconf("SC_CLK_TCK") > BUSY_S:
            return
        time.sleep(0.1)
    pytest.fail("the query never began")


def test_progress_is_on_stderr_and_only_on_a_terminal(place: Path, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("id,price\n4,1\n")
    assert run("append", place, "orders", tmp_path / "x.csv").stderr == ""
    ours, theirs = pty.openpty()
    try:
        ran = subprocess.run(
            [*COMMAND, "append", str(place), "orders", str(tmp_path / "x.csv"), "--json"],
            stdout=subprocess.PIPE,
            stderr=theirs,
            env={**os.environ, "TERM": "xterm"},
            timeout=60,
            check=True,
        )
        os.close(theirs)
        assert json.loads(ran.stdout)["rows"] == 1
        assert b"rows" in os.read(ours, 10_000)
    finally:
        os.close(ours)


def test_duckdb_draws_no_progress_on_stdout(place: Path) -> None:
    # `python -m` looks to DuckDB like a person at a prompt.
    ran = run("sql", place, "SELECT current_setting('enable_progress_bar') AS drawn", "--json")
    assert json.loads(ran.stdout) == [{"drawn": False}]


def test_the_usual_lake_comes_from_the_environment(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TABLELOG_LAKE", str(place))
    assert (
        json.loads(run("history", "orders", "--json").stdout)[0]["version"] == tl.connect(place).table("orders").version
    )
