"""Pictures show what they claim: a bar for each file where it lies, a step for each commit."""

from __future__ import annotations

import math
import sys
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

import tablelog as tl
from tablelog import plots
from tablelog.format.actions import RemoveFile, SetSortOrder, SortField
from tablelog.format.vector import DeletionVector
from tablelog.ops import picture
from tablelog.ops.picture import course_of, levels_of
from tablelog.store.memory import MemoryStore
from tests.log.test_merging_races import commit, file, new_table
from tests.table.test_health import compact, sorted_table, span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from tablelog.table import Table

MIB = 1024 * 1024


@pytest.fixture(autouse=True)
def agg() -> Iterator[None]:
    """Nobody looks, and no window opens."""
    with mpl.rc_context({"backend": "agg"}):
        yield


def drawn(figure: Figure) -> list[Axes]:
    """Its parts, after everything was really drawn."""
    figure.canvas.draw()
    return figure.axes


def words(axes: Axes) -> str:
    texts = [*axes.get_xticklabels(), *axes.get_yticklabels(), *axes.texts, axes.title, axes.xaxis.label]
    return "\n".join([*(text.get_text() for text in texts), axes.get_title(loc="left")])


def three_levels() -> Table:
    table = sorted_table()
    small = [span(f"small{number}", number * 10, number * 10 + 50, size_bytes=MIB) for number in range(4)]
    for each in small:
        commit(table, each)
    deleted = DeletionVector(row_count=5, inline=b"x")
    compact(table, small, [span(f"one{number}", number * 50, number * 50 + 49, level=1, size_bytes=2 * MIB, deleted=deleted if number == 1 else None) for number in range(3)])  # fmt: skip
    commit(table, *(span(f"two{number}", number * 20, number * 20 + 19, level=2, size_bytes=50 * MIB) for number in range(6)))  # fmt: skip
    table.append([{"x": 5}])
    commit(table, span("new", 0, 60), span("unknown", None, None))
    return table


def test_every_level_is_a_row_and_every_file_a_bar_where_it_lies() -> None:
    levels = levels_of(three_levels().snapshot().state)
    assert [(row.level, row.inlined, row.files) for row in levels.rows] == [
        (0, True, 1), (0, False, 2), (1, False, 3), (2, False, 6),
    ]  # fmt: skip
    assert (levels.order, levels.is_time, levels.ticks) == ("x", False, None)
    first = levels.rows[2].bars[1]
    assert (first.begin, first.end, first.lane, first.deleted_share, first.known) == (50, 99, 0, 0.5, True)
    assert [row.lanes for row in levels.rows] == [1, 2, 1, 1]
    assert [(bar.begin, bar.end, bar.known) for bar in levels.rows[1].bars] == [(0, 60, True), (0, 149, False)]
    assert sum(files for _, files in levels.sizes) == 12
    assert dict(levels.sizes)[25] == 6, "2^25 is 32 MiB"


def test_the_picture_has_a_patch_for_each_file_and_says_what_it_is() -> None:
    left, right, *scale = drawn(three_levels().plot_levels())
    assert len(left.patches) == 12
    assert [patch.get_hatch() for patch in left.patches].count("////") == 1
    said = words(left)
    for text in ("inside the log\n1 lot, ", "level 0\n2 files", "level 1\n3 files, 6.0 MiB", "level 2\n6 files"):
        assert text in said
    assert "hatched: bounds are not known" in said
    assert "t · version 9 · 12 files" in said
    assert left.get_xlabel() == "x"
    assert len({patch.get_facecolor() for patch in left.patches if patch.get_hatch() is None}) == 2
    assert sum(patch.get_height() for patch in right.patches) == 12
    assert "target" in words(right)
    assert len(scale) == 1
    assert scale[0].get_xlabel() == "deleted rows"


def test_pictures_have_no_background_of_their_own() -> None:
    table = three_levels()
    for figure in (table.plot_levels(), table.plot_history()):
        assert figure.patch.get_alpha() == 0.0
        assert all(axes.patch.get_alpha() == 0.0 for axes in figure.axes if axes.get_title(loc="left"))


def test_no_figure_stays_open() -> None:
    before = plt.get_fignums()
    table = three_levels()
    table.plot_levels()
    table.at(version=3).plot_history()
    assert plt.get_fignums() == before


def test_a_table_without_an_order_is_laid_out_by_bytes() -> None:
    table = new_table(MemoryStore())
    commit(table, file("a", size_bytes=3 * MIB), file("b", size_bytes=MIB), file("c", size_bytes=MIB, level=1))
    commit(table, file("d", size_bytes=2 * MIB))
    levels = levels_of(table.snapshot().state)
    assert levels.order is None
    assert [[(bar.begin / MIB, bar.end / MIB, bar.lane) for bar in row.bars] for row in levels.rows] == [
        [(0, 3, 0), (3, 4, 0), (4, 6, 0)],
        [(0, 1, 0)],
    ]
    left, *_ = drawn(table.plot_levels())
    assert left.get_xlabel() == "bytes of the files, MiB"
    assert len(left.patches) == 4


@pytest.mark.parametrize(
    ("type_", "values", "is_time", "ticks"),
    [
        ("int64", [-5, 7], False, None),
        ("decimal(9, 2)", [Decimal("0.50"), Decimal("2.00")], False, None),
        ("float64", [0.5, 2.0], False, None),
        ("float64", [float("-inf"), 2.0], False, ["-inf", "2"]),
        ("date", [0, 20_000], True, None),
        ("timestamp[ns]", [0, 10**18], True, None),
        ("timestamp[us, UTC]", [-1, 10**15], True, None),
        ("string", ["a", "b" * 40], False, ["a", "b" * 15 + "…"]),
        ("binary", [b"a", b"\xff"], False, ["61", "ff"]),
        ("boolean", [False, True], False, ["false", "true"]),
        ("time[us]", [0, 3_600_000_000], False, ["00:00:00.000000", "01:00:00.000000"]),
    ],
)
def test_places_of_every_type_can_be_drawn(type_: str, values: list[Any], is_time: bool, ticks: list[str] | None) -> None:  # fmt: skip
    table = sorted_table({"x": type_})
    commit(table, span("a", values[0], values[0]), span("b", values[1], values[1]), span("c", *values), file("d"))
    levels = levels_of(table.snapshot().state)
    assert (levels.is_time, levels.ticks and [text for _, text in levels.ticks]) == (is_time, ticks)
    assert levels.rows[0].lanes == 3
    drawn(table.plot_levels())


def test_files_of_which_no_bounds_are_known_are_laid_out_by_bytes() -> None:
    table = sorted_table()
    commit(table, file("a"), file("b"))
    assert levels_of(table.snapshot().state).order is None
    drawn(table.plot_levels())


def test_many_files_become_few_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture, "BARS_MAX", 10)
    table = sorted_table()
    commit(table, *(span(str(number), number, number) for number in range(95)), file("unknown"))
    (row,) = levels_of(table.snapshot().state).rows
    assert len(row.bars) == 11
    assert sum(bar.files for bar in row.bars) == row.files == 96
    assert (row.bars[0].begin, row.bars[0].end, row.bars[-1].known) == (0, 9, False)
    assert "a bar is up to 10 files" in words(drawn(table.plot_levels())[0])


def test_a_table_without_files_says_so() -> None:
    table = new_table(MemoryStore())
    assert "no files yet" in words(drawn(table.plot_levels())[0])
    assert len(drawn(table.plot_history())) == 4


def test_the_course_of_a_table_is_what_each_version_says(lake: tl.Lake) -> None:
    table = lake.create_table("t", {"x": "int64"}, properties={"inline_max_bytes": "0"})
    for number in range(20):
        table.append([{"x": number}] * 10)
    table.delete("x = 3")
    table.compact()
    course = course_of(table.snapshot().state)
    states = [table.at(version=version).state for version in course.versions]
    assert course.versions == tuple(range(23))
    assert course.rows == tuple(state.row_count for state in states)
    assert course.size_bytes == tuple(state.size_bytes for state in states)
    assert course.files == tuple(state.file_count for state in states)
    assert course.timestamps_us == tuple(state.timestamp_us for state in states)
    assert course.operations == ("create", *["append"] * 20, "delete", "compact")
    table.expire(3)
    assert course_of(table.snapshot().state).versions == (20, 21, 22, 23)


def test_a_history_that_does_not_say_how_much_went_has_a_gap() -> None:
    table = new_table(MemoryStore())
    commit(table, file("a", row_count=5), file("b", row_count=3))
    commit(table, RemoveFile(path="data/a"))
    course = course_of(table.snapshot().state)
    assert course.rows[-1] == 3
    assert all(map(math.isnan, course.rows[:-1]))
    assert course.files == (0, 2, 1)
    drawn(table.plot_history())


def test_the_history_marks_every_commit_and_makes_compactions_visible() -> None:
    *panels, last = drawn(three_levels().plot_history())
    assert [axes.get_ylabel() for axes in panels] == ["rows", "size, MiB", "files"]
    assert [text.get_text() for text in last.get_yticklabels()] == ["create", "test", "compact", "append"]
    marks = {line.get_label(): list(line.get_xdata()) for line in last.lines}
    assert marks["compact"] == [6]
    assert sum(map(len, marks.values())) == 10
    for axes in panels:
        assert [list(line.get_xdata()) for line in axes.lines].count([6, 6]) == 1
    assert "t · versions 0 to 9" in words(panels[0])


def test_a_long_history_is_thinned_to_what_can_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plots, "_POINTS_MAX", 5)
    table = new_table(MemoryStore())
    for number in range(30):
        commit(table, file(str(number)))
    rows, *_ = drawn(table.plot_history())
    places = list(rows.lines[0].get_xdata())
    assert len(places) <= 7
    assert (places[0], places[-1]) == (0, 30)


def test_rare_kinds_of_commits_share_a_line() -> None:
    kinds = plots._kinds(["create", *(str(number % 9) for number in range(40)), "compact"])
    assert len(kinds) == 8
    assert kinds[-1] == "other"
    assert "compact" in kinds


def test_without_matplotlib_one_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    table = new_table(MemoryStore())
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    for plot in (table.plot_levels, table.plot_history):
        with pytest.raises(tl.InvalidError, match=r"pip install 'tablelog\[plot\]'"):
            plot()


def test_a_descending_order_and_times_are_drawn_too() -> None:
    table = new_table(MemoryStore(), {"at": "timestamp"})
    commit(table, SetSortOrder(fields=(SortField(field_id=1, descending=True),)))
    table.append([{"at": datetime(2026, 11, day)} for day in (1, 20)])
    left, *_ = drawn(table.plot_levels())
    assert "2026-11-05" in words(left)
