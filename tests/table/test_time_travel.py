"""Every version can be read for ever, by number and by moment, whatever the clocks of its writers said."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import polars as pl
import pytest

import tablelog as tl
from tablelog import env
from tests.table.reading import assert_reads

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

START_US = 1_793_525_415_123_456
"""2026-11-01 09:30:15.123456 UTC"""
START = dt.datetime(2026, 11, 1, 9, 30, 15, 123_456, dt.UTC)
SECOND = dt.timedelta(seconds=1)


class Clock(env.Env):
    """Says what it is told, and never sleeps."""

    def __init__(self) -> None:
        self.us = START_US

    def now_us(self) -> int:
        return self.us

    def sleep(self, wait_s: float) -> None:
        pass


@pytest.fixture
def clock() -> Iterator[Clock]:
    with env.use(Clock()) as clock:
        assert isinstance(clock, Clock)
        yield clock


@pytest.fixture
def table(lake: tl.Lake, clock: Clock) -> tl.Table:
    """Versions 0 to 4, one second after the other; version n has n rows."""
    clock.us = START_US
    table = lake.create_table("t", {"id": "int64"})
    for number in range(1, 5):
        clock.us = START_US + number * 1_000_000
        table.append({"id": [number]})
    return table


class TestVersions:
    def test_each_is_what_it_was(self, lake: tl.Lake, table: tl.Table) -> None:
        table.delete("id < 3")
        table.overwrite({"id": [9]})
        for handle in (table, tl.connect(lake.url).table("t"), tl.open_table(f"{lake.url}/t")):
            for version in range(5):
                assert_reads(handle.at(version=version), [{"id": n} for n in range(1, version + 1)])
            assert_reads(handle.at(version=5), [{"id": 3}, {"id": 4}])
            assert_reads(handle.at(version=6), [{"id": 9}])

    def test_a_version_that_is_not_there_is_not_found(self, table: tl.Table) -> None:
        for version in (5, 10**6, 10**20, 2**100):
            with pytest.raises(tl.NotFoundError, match=f"no version {version}.* 0 to 4"):
                table.at(version=version)

    @pytest.mark.parametrize("version", [-1, True, False, "1", 1.0, 1.5, None, [1], b"1"], ids=repr)
    def test_what_is_no_version_is_refused(self, table: tl.Table, version: Any) -> None:
        with pytest.raises(tl.InvalidError):
            table.at(version=version)

    def test_numbers_out_of_data_frames_are_versions(self, table: tl.Table) -> None:
        assert table.at(version=np.int64(2)).row_count == 2
        assert table.at(version=np.uint8(2)).row_count == 2
        assert table.at(version=pd.Series([3])[0]).row_count == 3
        assert table.at(version=table.history()["version"][1]).row_count == 3

    def test_a_version_that_somebody_else_committed_just_now_is_found(self, lake: tl.Lake, table: tl.Table) -> None:
        tl.connect(lake.url).table("t").append({"id": [5]})
        assert table.at(version=5).row_count == 5

    def test_a_snapshot_never_changes(self, lake: tl.Lake, table: tl.Table) -> None:
        newest, lazy, scan = table.snapshot(), table.snapshot().lazy(), table.snapshot().scan(where="id > 1")
        table.alter.rename_column("id", "number")
        table.delete("number > 2")
        table.overwrite({"number": [7]})
        assert_reads(newest, [{"id": n} for n in range(1, 5)], lake)
        assert lazy.filter(pl.col("id") > 1).collect().height == 3
        assert scan.to_arrow()["id"].to_pylist() == [2, 3, 4]
        assert newest.version == 4
        assert newest.schema.names == ["id"]


class TestMoments:
    @pytest.mark.parametrize(
        ("moment", "version"),
        [
            (START, 0),
            (START + SECOND, 1),
            (START + SECOND - dt.timedelta(microseconds=1), 0),
            (START + 3.5 * SECOND, 3),
            (START + 1000 * SECOND, 4),
            (dt.datetime.max.replace(tzinfo=dt.UTC), 4),
            ((START + 2 * SECOND).replace(tzinfo=None), 2),
            ((START + 2 * SECOND).astimezone(ZoneInfo("Europe/Oslo")), 2),
            ((START + 2 * SECOND).astimezone(dt.timezone(-dt.timedelta(hours=11, minutes=30))), 2),
            (dt.date(2026, 11, 2), 4),
            ("2026-11-01 09:30:15.123456", 0),
            ("2026-11-01 09:30:17", 1),
            ("2026-11-01T09:30:17.123456Z", 2),
            ("2026-11-01 10:30:17.123456+01:00", 2),
            (" 2026-11-01 09:30:18.5 ", 3),
            ("2026-11-02", 4),
            ("9999-12-31", 4),
            (pd.Timestamp("2026-11-01 09:30:17.123456", tz="UTC"), 2),
        ],
        ids=repr,
    )
    def test_a_moment_is_the_newest_version_committed_by_then(self, table: tl.Table, moment: Any, version: int) -> None:
        assert table.at(timestamp=moment).version == version

    @pytest.mark.parametrize(
        "moment",
        [
            "2026-11-01",
            "1970-01-01",
            dt.date(2026, 11, 1),
            START - dt.timedelta(microseconds=1),
            dt.datetime.min,
            "0001-01-01",
        ],
        ids=repr,
    )
    def test_before_its_creation_there_is_no_table(self, table: tl.Table, moment: Any) -> None:
        with pytest.raises(tl.NotFoundError, match=r"did not exist.*version 0 is from 2026-11-01 09:30:15"):
            table.at(timestamp=moment)

    @pytest.mark.parametrize(
        "moment", ["yesterday", "", "2026-13-01", "2026-11-01 25:00", 5, 1.5, True, [], dt.time(9)], ids=str
    )
    def test_what_is_no_moment_is_refused(self, table: tl.Table, moment: Any) -> None:
        with pytest.raises(tl.InvalidError):
            table.at(timestamp=moment)

    def test_exactly_one_of_the_two_is_given(self, table: tl.Table) -> None:
        with pytest.raises(tl.InvalidError, match="exactly one"):
            table.at()
        with pytest.raises(tl.InvalidError, match="exactly one"):
            table.at(version=1, timestamp="2026-11-02")

    def test_times_in_the_history_are_moments_of_their_versions(self, table: tl.Table) -> None:
        for entry in table.history().to_dicts():
            assert table.at(timestamp=entry["timestamp"]).version == entry["version"]
            assert table.at(timestamp=str(entry["timestamp"])).version == entry["version"]
            assert table.at(version=entry["version"]).timestamp == entry["timestamp"]


class TestClocks:
    def test_a_clock_that_jumps_back_makes_the_smallest_steps_forward(self, lake: tl.Lake, clock: Clock) -> None:
        table = lake.create_table("t", {"id": "int64"})
        for back_us in (0, 1, 1_000_000, 10**15, 2 * START_US):
            clock.us = START_US - back_us
            tl.connect(lake.url).table("t").append({"id": [1]})
        clock.us = START_US + 10_000_000
        table.append({"id": [1]})
        times = [table.at(version=version).timestamp for version in range(7)]
        assert times[:6] == [START + dt.timedelta(microseconds=step) for step in range(6)]
        assert times[6] == START + 10 * SECOND
        assert [table.at(timestamp=time).version for time in times] == list(range(7))
        assert tl.connect(lake.url).table("t").history().height == 7

    def test_many_commits_in_one_microsecond_keep_their_order(self, lake: tl.Lake, clock: Clock) -> None:
        table = lake.create_table("t", {"id": "int64"})
        for number in range(20):
            table.append({"id": [number]})
        times = table.history()["timestamp"].to_list()
        assert sorted(times, reverse=True) == times
        assert len(set(times)) == 21

    @pytest.mark.parametrize("us", [0, -1, 253_402_300_799_999_999, 10**17], ids=["1970", "before", "9999", "beyond"])
    def test_clocks_that_are_far_off_still_write_tables(self, tmp_path: Path, clock: Clock, us: int) -> None:
        clock.us = us
        table = tl.connect(tmp_path).create_table("t", {"id": [1]})
        table.append({"id": [2]})
        assert table.history().height == 2
        assert tl.connect(tmp_path).table("t").at(version=0).row_count == 1
        assert "version 1" in repr(table)
        assert table.at(timestamp=dt.datetime.max).row_count >= 1
