"""One of many keeps a table compact: leases under a clock that stands still, and real processes that are killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

import tablelog as tl
from tablelog import env
from tablelog.committing import Committing
from tablelog.errors import FencedError
from tablelog.format import names
from tablelog.lease import Lease
from tablelog.store.memory import MemoryStore
from tablelog.testing import FaultyStore
from tablelog.watching import LEASE, Event, watch
from tests.table.keeping import lake_on

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tablelog.log.facts import Commit

PATIENCE_S = 60.0


class Clock(env.Env):
    """Stands still until somebody sleeps or passes time."""

    def __init__(self) -> None:
        self.s = 1000.0
        self.on_sleep: Callable[[], None] = lambda: None

    def now_us(self) -> int:
        return 1_800_000_000_000_000 + int(self.s * 1e6)

    def monotonic_s(self) -> float:
        return self.s

    def sleep(self, wait_s: float) -> None:
        self.s += wait_s
        self.on_sleep()


@pytest.fixture
def clock() -> Iterator[Clock]:
    with env.use(Clock()) as clock:
        assert isinstance(clock, Clock)
        yield clock


@pytest.fixture
def table() -> tl.Table:
    table = lake_on(MemoryStore()).create_table("t", {"id": "int64"}, properties={"auto_compact": "off"})
    table.append([{"id": 0}])
    return table


def contender(table: tl.Table) -> Lease:
    """A process of its own: it shares the store and nothing else."""
    return Lease(Committing(table._store), LEASE, patience_s=PATIENCE_S)


def sign(table: tl.Table) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(table._store.get(names.lease(LEASE)))
    return found


class TestLease:
    def test_the_first_has_it_and_the_second_waits(self, table: tl.Table, clock: Clock) -> None:
        first, second = contender(table), contender(table)
        assert first.look() is not None
        for _ in range(50):
            clock.s += 10
            assert first.look() is not None
            assert second.look() is None

    def test_who_shows_no_life_for_as_long_as_patience_lasts_is_replaced(self, table: tl.Table, clock: Clock) -> None:
        first, second = contender(table), contender(table)
        held = first.look()
        assert second.look() is None
        clock.s += PATIENCE_S - 1
        assert second.look() is None
        clock.s += 1
        assert second.look() is not None
        assert held is not None
        before = table.version
        with pytest.raises(FencedError, match="was taken over"):
            tl.Table(table._store, "t", base=held).append([{"id": 1}])
        assert table.version == before
        assert first.look() is None
        assert second.look() is not None

    def test_a_beat_begins_the_wait_anew(self, table: tl.Table, clock: Clock) -> None:
        first, second = contender(table), contender(table)
        first.look()
        for _ in range(10):
            assert second.look() is None
            clock.s += PATIENCE_S - 1
            first.beat()
        assert second.look() is None

    def test_who_ends_makes_room_at_once(self, table: tl.Table, clock: Clock) -> None:
        first, second = contender(table), contender(table)
        first.look()
        assert second.look() is None
        first.end()
        assert second.look() is not None
        assert first.look() is None

    def test_who_ends_without_the_lease_changes_nothing(self, table: tl.Table, clock: Clock) -> None:
        first, second = contender(table), contender(table)
        first.look()
        second.end()
        assert second.look() is None
        assert not sign(table)["ended"]

    def test_a_holder_that_was_replaced_cannot_end_what_another_has(self, table: tl.Table, clock: Clock) -> None:
        first, second, third = contender(table), contender(table), contender(table)
        first.look()
        second.look()
        clock.s += PATIENCE_S
        assert second.look() is not None
        first.end()
        assert third.look() is None

    def test_an_end_of_an_older_epoch_means_nothing(self, table: tl.Table, clock: Clock) -> None:
        first, second, third = contender(table), contender(table), contender(table)
        first.look()
        first.end()
        old = table._store.get(names.lease(LEASE))
        assert second.look() is not None
        table._store.put(names.lease(LEASE), old)
        assert third.look() is None

    @pytest.mark.parametrize(
        "torn", [b"", b"{", b"[]", b"null", b"7", b"\xff\xfe\x00", b'{"epoch": []}', b'{"beat": {}}', None]
    )
    def test_a_sign_of_life_that_makes_no_sense_only_starts_the_wait(
        self, torn: bytes | None, table: tl.Table, clock: Clock
    ) -> None:
        first, second = contender(table), contender(table)
        first.look()
        if torn is None:
            table._store.delete(names.lease(LEASE))
        else:
            table._store.put(names.lease(LEASE), torn)
        assert second.look() is None
        clock.s += PATIENCE_S
        assert second.look() is not None

    def test_two_that_take_over_at_once_are_two_epochs_of_which_one_can_commit(
        self, table: tl.Table, clock: Clock
    ) -> None:
        held: list[Any] = []
        other = contender(table)

        def before(verb: str, key: str) -> None:
            if verb == "put_if_absent" and key.startswith("_log/") and not held:
                held.append(None)
                held.append(other.look())

        store = FaultyStore(table._store, before=before)
        ours = Lease(Committing(store), LEASE, patience_s=PATIENCE_S).look()
        committed = 0
        for each in (held[1], ours):
            try:
                tl.Table(table._store, "t", base=each).append([{"id": 1}])
                committed += 1
            except FencedError:
                pass
        assert committed == 1

    def test_waiting_writes_nothing_and_holding_writes_no_version(self, table: tl.Table, clock: Clock) -> None:
        first, second = contender(table), contender(table)
        first.look()
        version = table.version
        for _ in range(100):
            clock.s += 1
            first.look()
            second.look()
        assert table.version == version


class TestWatch:
    def test_it_compacts_what_comes_and_ends_when_told(self, table: tl.Table, clock: Clock) -> None:
        events: list[tuple[Event, int | None]] = []
        stopped = False

        def tell(event: Event, commit: Commit | None) -> None:
            nonlocal stopped
            events.append((event, commit and commit.version))
            if event is Event.COMPACTED:
                if len([each for each, _ in events if each is Event.COMPACTED]) == 3:
                    stopped = True
                else:
                    table.append([{"id": 1}])

        watch(Committing(table._store), 10.0, PATIENCE_S, lambda: stopped, tell, None)
        assert [event for event, _ in events] == [Event.WORKING] + [Event.COMPACTED] * 3
        assert sign(table)["ended"]
        assert table.snapshot().state.file_count == 1

    def test_a_holder_that_was_stalled_in_a_step_commits_nothing_and_waits(self, table: tl.Table, clock: Clock) -> None:
        """Right before its commit another one takes the lease over, after having waited."""
        rival, stalled = contender(table), False
        table.append([{"id": 1}])

        def before(verb: str, key: str) -> None:
            nonlocal stalled
            if verb == "put" and key.startswith("data/") and not stalled:
                stalled = True
                assert rival.look() is None
                clock.s += PATIENCE_S
                assert rival.look() is not None

        events: list[Event] = []
        store = FaultyStore(table._store, before=before)
        watch(
            Committing(store),
            1.0,
            PATIENCE_S,
            lambda: Event.WAITING in events,
            lambda event, _: events.append(event),
            None,
        )
        assert events == [Event.WORKING, Event.LOST, Event.WAITING]
        assert table.history()["operation"].to_list().count("compact") == 0
        assert not sign(table)["ended"]

    def test_the_next_one_goes_on_where_the_one_before_stopped(self, table: tl.Table, clock: Clock) -> None:
        for number in range(3):
            events: list[Event] = []
            watch(
                Committing(table._store), 1.0, PATIENCE_S, lambda events=events: Event.COMPACTED in events,
                lambda event, _, events=events: events.append(event), None,
            )  # fmt: skip
            assert events == [Event.WORKING, Event.COMPACTED]
            table.append([{"id": number}])


IMPATIENT = """
import tablelog as tl
tl.Table.keep_compact.__kwdefaults__["patience"] = 4.0
from tablelog.cli.main import app
app()
"""
COMMAND = [sys.executable, "-c", IMPATIENT, "compact"]
"""The command, whose contenders wait four seconds instead of a minute."""


class Watcher:
    """`tablelog compact --watch` as a process."""

    def __init__(self, place: Path) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, str(place), "t", "--watch", "--every", "0.1", "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_for(self, event: str, most_s: float = 90) -> dict[str, Any]:
        """The next one of a kind."""
        end = time.monotonic() + most_s
        assert self.process.stdout is not None
        while time.monotonic() < end:
            line = self.process.stdout.readline()
            assert line, self.process.stderr and self.process.stderr.read()
            said: dict[str, Any] = json.loads(line)
            if said["event"] == event:
                return said
        pytest.fail(f"no {event}")

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


def test_of_two_processes_one_works_and_the_other_goes_on_when_it_is_killed(tmp_path: Path) -> None:
    table = tl.connect(tmp_path).create_table("t", {"id": "int64"}, properties={"auto_compact": "off"})
    written = 0

    def write(count: int) -> None:
        nonlocal written
        for _ in range(count):
            table.append([{"id": written}])
            written += 1

    write(5)
    first = Watcher(tmp_path)
    first.wait_for("compacted")
    second = Watcher(tmp_path)
    try:
        second.wait_for("waiting")
        write(20)
        first.wait_for("compacted")
        first.process.kill()  # in the middle of whatever it does
        first.process.wait()
        write(20)
        second.wait_for("working", 120)
        second.wait_for("compacted")
        write(20)
        second.wait_for("compacted")
        second.process.send_signal(signal.SIGTERM)
        assert second.process.wait(30) == 0
    finally:
        first.close()
        second.close()
    assert sorted(table.to_polars()["id"]) == list(range(written))
    assert table.verify().ok
    assert [row["id"] for row in table.changes(since=0).to_arrow().to_pylist()] == list(range(written))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly_and_the_next_one_begins_at_once(number: signal.Signals, tmp_path: Path) -> None:
    table = tl.connect(tmp_path).create_table("t", {"id": "int64"})
    table.append([{"id": 1}])
    for _ in range(2):
        watcher = Watcher(tmp_path)
        try:
            watcher.wait_for("working", 20)
            watcher.process.send_signal(number)
            assert watcher.process.wait(30) == 0
            assert watcher.process.stderr is not None
            assert watcher.process.stderr.read() == "stopping after this step; once more to leave at once\n"
        finally:
            watcher.close()
