"""What is merged with what, and when: thousands of appends to tables whose files were never written.

faults      none; choices are pure
model       `tests.ops.forest`: keys in files, merged, sorted and cut as real ones are, each row counting its writes
invariants  few files at every moment, work per row and per step as docs/maintenance.md says, an end whatever is there
"""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tablelog.format.action_json import encode_action
from tablelog.format.actions import SetPartitioning, SetSchema, SetSortOrder
from tablelog.format.partitioning import parse_partitioning
from tablelog.format.schema import widen_column
from tablelog.format.type_text import parse_type
from tablelog.log.metadata import changed
from tablelog.ops.alter import parse_curve, parse_sort_order
from tablelog.ops.policy import CUBE_LEVEL, FAN_OUT, compacts_itself, frugal, thorough
from tests.ops.forest import KIB, TARGET, UNIT, Forest
from tests.ops.grown import grown_table

if TYPE_CHECKING:
    from collections.abc import Callable

FRUGAL, THOROUGH, FULL = frugal({}), thorough({}), thorough({}, full=True)
PASSING = 16
SMALL_MAX = FRUGAL.pieces + 3 * PASSING + 3 * (FAN_OUT - 1)
"""Small files of a table that only writers look after: pieces, those that come until larger ones had their turn, nine of each size."""


def random_keys(seed: int) -> Callable[[], float]:
    return random.Random(seed).random


def growing_keys(seed: int) -> Callable[[], float]:
    number = float(seed)

    def next_key() -> float:
        nonlocal number
        number += 1
        return number

    return next_key


KEYS = pytest.mark.parametrize("keys", [random_keys, growing_keys])


def appended(forest: Forest, count: int, next_key: Callable[[], Any], *, per: int = 1, inline: bool = False) -> Forest:
    for _ in range(count):
        forest.append([next_key() for _ in range(per)], inline=inline)
    return forest


class TestWritersInPassing:
    """Nobody compacts but writers: one frugal step in sixteen versions."""

    @KEYS
    @pytest.mark.parametrize("options", [{}, {"sort_by": "k"}, {"key": "l"}, {"cluster_by": ("k", "l")}], ids=str)
    @pytest.mark.parametrize("row_bytes", [KIB, UNIT, 7 * UNIT])
    def test_small_files_are_few_at_every_moment(
        self, keys: Callable[[int], Callable[[], float]], options: dict[str, Any], row_bytes: int
    ) -> None:
        forest, next_key, most = Forest("float64", row_bytes=row_bytes, **options), keys(1), 0
        for number in range(5000):
            forest.append([next_key()], inline=row_bytes < UNIT)
            if number % PASSING == 0:
                forest.step(FRUGAL)
            most = max(most, len(forest.small))
        assert most <= SMALL_MAX, forest
        assert len(forest.files) <= SMALL_MAX + 2 * 5000 * row_bytes / TARGET

    @KEYS
    @pytest.mark.parametrize("options", [{}, {"sort_by": "k"}], ids=str)
    def test_a_step_reads_one_target_at_most(
        self, keys: Callable[[int], Callable[[], float]], options: dict[str, Any]
    ) -> None:
        forest, next_key = Forest("float64", **options), keys(2)
        for _ in range(300):
            appended(forest, PASSING, next_key)
            forest.step(FRUGAL)
        assert max(merge.size_bytes for step in forest.steps for merge in step.merges) <= TARGET

    def test_a_row_is_written_once_per_size_without_an_order(self) -> None:
        forest, next_key = Forest("float64"), random_keys(3)
        for _ in range(600):
            appended(forest, PASSING, next_key)
            forest.step(FRUGAL)
        assert max(row.written for row in forest.every_row) <= 4
        assert forest.written <= 3

    def test_keys_that_grow_are_written_once_per_level(self) -> None:
        forest, next_key = Forest("float64", sort_by="k"), growing_keys(0)
        for _ in range(600):
            appended(forest, PASSING, next_key)
            forest.step(FRUGAL)
        assert max(row.written for row in forest.every_row) <= 5
        forest.assert_levels_part()

    def test_random_keys_are_not_written_over_and_over_when_levels_are_too_large_for_a_step(self) -> None:
        forest, next_key = Forest("float64", sort_by="k"), random_keys(5)
        for _ in range(600):
            appended(forest, PASSING, next_key)
            forest.step(FRUGAL)
        assert forest.written <= 11 / 2 * 4
        forest.assert_levels_part()

    def test_few_pieces_are_left_alone(self) -> None:
        for options in ({}, {"sort_by": "k"}, {"cluster_by": ("k", "l")}):
            forest = appended(Forest("float64", **options), FRUGAL.pieces, random_keys(1), inline=True)
            assert forest.step(FRUGAL) is None
            forest.append([1.0])
            assert forest.step(FRUGAL) is not None


class TestWithoutAnOrder:
    def test_rows_inside_the_log_become_one_file_and_then_nothing_is_left_to_do(self) -> None:
        forest = appended(Forest("float64", row_bytes=100), 40, random_keys(1), inline=True)
        assert forest.settle() == 1
        assert [file.is_inlined for file in forest.files.values()] == [False]
        assert forest.step(FULL) is None

    def test_even_one_lot_of_rows_inside_the_log_becomes_a_file(self) -> None:
        forest = appended(Forest("float64", row_bytes=100), 1, random_keys(1), inline=True)
        assert forest.settle() == 1

    def test_full_sized_files_are_never_written_again(self) -> None:
        forest = appended(Forest("float64"), 50, random_keys(1), per=512)
        for _ in range(200):
            forest.append([0.5])
            forest.settle()
        old = forest.every_row[: 50 * 512]
        forest.settle(FULL)
        assert max(row.written for row in old) == 0

    def test_compacting_after_every_append_is_not_quadratic(self) -> None:
        """A file is written again when a tenth of it has come: some 2.4 · 10 times per size, whatever the table has."""
        for count in (200, 2000):
            forest, next_key = Forest("float64"), random_keys(1)
            for _ in range(count):
                forest.append([next_key()], inline=True)
                forest.settle()
                assert len(forest.small) <= 5
            assert forest.written <= 11 * math.log10(count)

    def test_tiny_appends_cost_no_more_than_ten_units_each(self) -> None:
        forest, next_key = Forest("float64", row_bytes=KIB), random_keys(1)
        for _ in range(3000):
            forest.append([next_key()], inline=True)
            forest.settle()
        assert forest.written * KIB <= (FAN_OUT + 2) * UNIT

    def test_a_large_file_waits_until_there_is_a_tenth_of_it(self) -> None:
        forest = Forest("float64")
        forest.append([0.0] * 400)
        for number in range(1, 40):
            forest.append([0.0])
            forest.settle()
            assert max(row.written for row in forest.every_row[:400]) == 0, number
            assert len(forest.files) <= 3
        forest.append([0.0])
        forest.settle()
        assert len(forest.files) == 1

    @pytest.mark.parametrize(("deleted", "steps"), [(25, 0), (26, 1), (100, 1)])
    def test_a_file_is_written_without_its_deleted_rows_when_they_are_more_than_a_quarter(
        self, deleted: int, steps: int
    ) -> None:
        for options in ({}, {"sort_by": "k"}, {"cluster_by": ("k", "l")}):
            forest = Forest("float64", row_bytes=TARGET // 100, **options)
            path = forest.append(range(100)).path
            if options:
                forest.settle(FULL)
                (path,) = forest.files
            forest.delete(path, deleted)
            for policy in (THOROUGH, FRUGAL):
                before = len(forest.steps)
                forest.settle(policy)
                assert len(forest.steps) == before + (steps if policy is THOROUGH else 0)
            assert sum(map(len, forest.rows.values())) == 100 - (deleted if steps else 0)

    def test_full_sized_files_in_segments_are_not_looked_at_one_by_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        table, made = grown_table(100_000, small=7, monkeypatch=monkeypatch)
        found = table.chosen()
        assert found is not None
        assert len([*found.files]) == 7
        assert made() <= 7


class TestInOrder:
    @pytest.mark.parametrize("per", [1, 40, 1024, 3000])
    @KEYS
    def test_levels_part_and_are_within_their_budgets_afterwards(
        self, keys: Callable[[int], Callable[[], float]], per: int
    ) -> None:
        forest, next_key = Forest("float64", sort_by="k"), keys(1)
        for count in (1, 30, 100):
            appended(forest, count, next_key, per=per)
            forest.settle(after=forest.assert_levels_part)
            forest.assert_within_budget()

    @KEYS
    @pytest.mark.parametrize("at_once", [1, 4, 400])
    def test_a_step_reads_sixteen_targets_at_most(
        self, keys: Callable[[int], Callable[[], float]], at_once: int
    ) -> None:
        forest, next_key = Forest("float64", sort_by="k", row_bytes=16 * UNIT), keys(1)
        for _ in range(400 // at_once):
            appended(forest, at_once, next_key, per=64)
            forest.settle(most=4000)
        assert sum(file.size_bytes for file in forest.files.values()) == 400 * TARGET
        assert max(sum(merge.size_bytes for merge in step.merges) for step in forest.steps) <= THOROUGH.step_bytes

    def test_random_keys_are_written_eleven_halves_times_per_level(self) -> None:
        forest, next_key = Forest("float64", sort_by="k"), random_keys(1)
        for _ in range(1000):
            appended(forest, 12, next_key)
            forest.settle()
        levels = max(forest.levels)
        assert levels == 5
        assert forest.written <= 11 / 2 * levels

    def test_keys_that_grow_are_written_once_per_level(self) -> None:
        forest, next_key = Forest("float64", sort_by="k"), growing_keys(0)
        for _ in range(1000):
            appended(forest, 12, next_key)
            forest.settle()
        assert max(row.written for row in forest.every_row) <= max(forest.levels)

    def test_a_file_that_overlaps_nothing_moves_down_as_it_is(self) -> None:
        forest = appended(Forest("float64", sort_by="k"), 200, growing_keys(0), per=1024)
        forest.settle()
        assert forest.written == 0
        assert len(forest.files) == 200
        forest.assert_within_budget()

    def test_a_table_with_a_key_is_sorted_by_it(self) -> None:
        forest = appended(Forest("int64", key="k"), 60, iter(range(60)).__next__)
        assert all(merge.sorts for merge in forest.step().merges)  # type: ignore[union-attr]

    def test_only_partitions_with_something_to_do_are_touched(self) -> None:
        forest = Forest("float64", sort_by="k", partition_by="p")
        for partition in range(3000):
            forest.append([1.0, 2.0], partition=partition)
        forest.settle(most=3100)
        forest.append([1.5], partition=7)
        forest.append([1.5], partition=None)
        before = len(forest.steps)
        forest.settle()
        touched = {
            file.partition_values for step in forest.steps[before:] for merge in step.merges for file in merge.files
        }
        assert touched == {(7,), (None,)}


class TestFull:
    @pytest.mark.parametrize("options", [{}, {"sort_by": "k"}, {"key": "l"}, {"cluster_by": ("k", "l")}], ids=str)
    @pytest.mark.parametrize("partitions", [0, 3])
    def test_a_second_time_there_is_nothing_to_do(self, options: dict[str, Any], partitions: int) -> None:
        dice = random.Random(1)
        forest = Forest("float64", partition_by="p" if partitions else (), **options)
        for number in range(60):
            file = forest.append(
                [dice.random() for _ in range(dice.choice([1, 50, 1024, 2000]))],
                partition=number % partitions if partitions else None,
            )
            forest.delete(file.path, file.row_count // 20)
        alive = sum(file.live_row_count for file in forest.files.values())
        forest.settle(FULL)
        assert forest.step(FULL) is None
        assert forest.step(THOROUGH) is None, "an ideal copy is in shape"
        assert len(forest.small) <= max(partitions, 1)
        assert not any(file.deleted for file in forest.files.values())
        assert sum(map(len, forest.rows.values())) == alive
        forest.assert_levels_part()

    def test_one_small_file_that_was_made_so_is_left_alone(self) -> None:
        for options in ({}, {"sort_by": "k"}, {"cluster_by": ("k", "l")}):
            forest = appended(Forest("float64", **options), 2, random_keys(1))
            assert forest.settle(FULL) == 1


class TestClustered:
    def test_full_sized_files_are_put_together_once_more_sixteen_at_a_time(self) -> None:
        forest = appended(Forest("float64", cluster_by=("k", "l")), 64, random_keys(1), per=1024)
        forest.settle()
        assert [len(step.merges[0].files) for step in forest.steps] == [16, 16, 16, 16]
        assert {file.level for file in forest.files.values()} == {CUBE_LEVEL}
        assert {row.written for row in forest.every_row} == {1}

    def test_fewer_than_sixteen_wait(self) -> None:
        forest = appended(Forest("float64", cluster_by=("k", "l")), 15, random_keys(1), per=1024)
        assert forest.step() is None


HOSTILE: dict[str, tuple[str, Callable[[random.Random], Any]]] = {
    "all equal": ("int64", lambda dice: 7),
    "two values": ("int64", lambda dice: dice.randrange(2)),
    "long common prefixes": ("string", lambda dice: "x" * 40 + str(dice.randrange(10**6))),
    "prefixes of 31": ("string", lambda dice: "x" * 31 + str(dice.randrange(10**6))),
    "the highest character": ("string", lambda dice: "\U0010ffff" * 40 + str(dice.randrange(10**6))),
    "bytes of 255": ("binary", lambda dice: b"\xff" * dice.randrange(50)),
    "all null": ("int64", lambda dice: None),
    "half null": ("int64", lambda dice: dice.choice([None, dice.randrange(10**6)])),
    "NaN": ("float64", lambda dice: dice.choice([math.nan, dice.random()])),
    "infinite": ("float64", lambda dice: dice.choice([-math.inf, math.inf, 0.0, -0.0])),
    "dates": ("date", lambda dice: dice.randrange(3)),
}


class TestAnEnd:
    @pytest.mark.parametrize("hostile", HOSTILE)
    @pytest.mark.parametrize("sort_by", [("k",), ("k desc",), ("k", "l desc"), ("l", "k")], ids=str)
    @pytest.mark.parametrize("known", [True, False], ids=["bounds", "no bounds"])
    def test_there_is_one(self, hostile: str, sort_by: tuple[str, ...], known: bool) -> None:
        type_, key = HOSTILE[hostile]
        dice = random.Random(1)
        forest = Forest(type_, sort_by=sort_by, row_bytes=16 * UNIT)
        for _ in range(2):
            for _ in range(20):
                forest.append([key(dice) for _ in range(dice.choice([1, 5, 64, 150]))], known=known)
            forest.settle(FRUGAL)
            forest.settle()
            assert not forest.levels[0]
        forest.settle(FULL, most=5)
        assert len(forest.small) <= 1

    def test_huge_files_are_not_a_reason_to_go_on(self) -> None:
        for options in ({}, {"sort_by": "k"}, {"cluster_by": ("k", "l")}):
            forest = Forest("float64", row_bytes=50 * TARGET, **options)
            appended(forest, 5, random_keys(1), per=1)
            appended(forest, 3, random_keys(1), per=2)
            forest.settle(FRUGAL)
            forest.settle()
            forest.settle(FULL, most=3)

    def test_files_without_rows_end_as_well(self) -> None:
        for options in ({}, {"sort_by": "k"}, {"cluster_by": ("k", "l")}):
            forest = Forest("float64", **options)
            for _ in range(30):
                forest.append([])
            forest.append([1.0])
            forest.settle(FRUGAL)
            forest.settle()

    @pytest.mark.parametrize("full", [False, True])
    @pytest.mark.parametrize("sort_by", [(), ("k",)], ids=["plain", "sorted"])
    def test_files_of_an_older_partitioning_move_over(self, full: bool, sort_by: tuple[str, ...]) -> None:
        forest = appended(Forest("float64", sort_by=sort_by), 50, random_keys(1), per=30)
        forest.settle()
        partitioning = replace(parse_partitioning(("p",), forest.metadata.schema), id=1)
        forest.metadata = changed(forest.metadata, [SetPartitioning(partitioning=partitioning)])
        forest.reader.read(encode_action(SetPartitioning(partitioning=partitioning)))
        for number in range(50):
            forest.append([float(number)] * 30, partition=number % 2)
        forest.settle(FULL if full else THOROUGH, most=20)
        if full:
            assert {file.partitioning_id for file in forest.files.values()} == {1}
        forest.assert_levels_part()

    @pytest.mark.parametrize("to", ["k desc", "l", "cluster", ""])
    def test_another_order_comes_to_all_files_by_and_by_and_at_once_with_full(self, to: str) -> None:
        forest = appended(Forest("float64", sort_by="k"), 100, random_keys(1), per=30)
        forest.settle()
        schema = forest.metadata.schema
        order = parse_curve(schema, ("k", "l")) if to == "cluster" else parse_sort_order(schema, (to,) if to else ())
        forest.metadata = changed(forest.metadata, [SetSortOrder(fields=order, curve=to == "cluster")])
        appended(forest, 100, random_keys(2), per=30)
        forest.settle(FRUGAL)
        forest.settle()
        forest.settle(FULL, most=20)
        assert forest.step(FULL) is None

    def test_columns_of_the_order_may_have_been_widened_or_added(self) -> None:
        forest = appended(Forest("int32", sort_by=("k", "l")), 60, iter(range(60)).__next__)
        before = forest.metadata.schema
        wider = replace(widen_column(before, "k", parse_type("int64")), id=1)
        forest.metadata = changed(forest.metadata, [SetSchema(schema=wider)])
        forest.reader.read(encode_action(SetSchema(schema=wider)))
        appended(forest, 60, iter(range(2**40, 2**40 + 60)).__next__)
        forest.settle()
        forest.assert_levels_part()
        forest.assert_within_budget()

    def test_thousands_of_partitions_end_in_steps_of_bounded_work(self) -> None:
        for sort_by in ((), ("k",)):
            forest = Forest("float64", partition_by="p", sort_by=sort_by)
            for partition in range(4000):
                forest.append([1.0, 2.0], partition=partition)
                forest.append([0.0, 3.0], partition=partition)
            steps = forest.settle()
            assert steps <= 3
            assert len(forest.files) == 4000
            assert max(sum(merge.size_bytes for merge in step.merges) for step in forest.steps) <= THOROUGH.step_bytes


MIX = st.lists(
    st.tuples(
        st.sampled_from(["append", "append", "append", "delete", "frugal", "thorough", "full"]),
        st.integers(0, 10**6),
        st.sampled_from([1, 3, 30, 200]),
        st.booleans(),
    ),
    max_size=40,
)


class TestWhateverHappens:
    @given(
        mix=MIX,
        options=st.sampled_from(
            [{}, {"sort_by": "k"}, {"sort_by": "k desc"}, {"key": "l"}, {"cluster_by": ("k", "l")}]
        ),
        partitioned=st.booleans(),
        row_bytes=st.sampled_from([1, KIB, UNIT, 100 * UNIT]),
    )
    @settings(max_examples=80, deadline=None)
    def test_it_ends_and_no_live_row_is_lost(
        self, mix: list[tuple[str, int, int, bool]], options: dict[str, Any], partitioned: bool, row_bytes: int
    ) -> None:
        forest = Forest("int64", row_bytes=row_bytes, partition_by="p" if partitioned else (), **options)
        for kind, seed, count, flag in mix:
            dice = random.Random(seed)
            alive = sum(file.live_row_count for file in forest.files.values())
            match kind:
                case "append":
                    keys = [dice.choice([None, dice.randrange(1000)]) for _ in range(count)]
                    forest.append(keys, partition=seed % 3, inline=flag and row_bytes < UNIT)
                    alive += count
                case "delete":
                    if forest.files:
                        path = dice.choice(sorted(forest.files))
                        file = forest.files[path]
                        forest.delete(path, dice.randrange(file.deleted_row_count, file.row_count + 1))
                        alive = sum(each.live_row_count for each in forest.files.values())
                case "frugal":
                    forest.settle(FRUGAL)
                case "thorough":
                    forest.settle(THOROUGH)
                    if "cluster_by" not in options and options:
                        forest.assert_within_budget()
                case _:
                    forest.settle(FULL)
                    assert forest.step(FULL) is None
            assert sum(file.live_row_count for file in forest.files.values()) == alive


class TestPolicy:
    def test_writers_put_files_together_unless_told_not_to(self) -> None:
        assert compacts_itself({})
        assert compacts_itself({"auto_compact": "on"})
        assert not compacts_itself({"auto_compact": "off"})
