"""Pictures of a table for notebooks: its levels, and how it came to be what it is. Drawn by matplotlib.

Pictures have no background of their own. Words and lines are of a grey, and bars of colours, that can be read on white
and on black. matplotlib is optional and is imported when somebody asks for a picture.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from tablelog.display import count, size
from tablelog.errors import InvalidError
from tablelog.log.facts import datetime_of
from tablelog.ops.picture import course_of, levels_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from tablelog.log.state import TableState
    from tablelog.ops.picture import Bar, Course, Levels, Row

_GREY: Final = "#808080"
_BLUE, _AMBER, _RED = "#4d84b8", "#d99a2b", "#d1583c"
_COLORS: Final = (_BLUE, _AMBER, "#5fa36a", "#9a74b8", "#4fa3a5", "#c46a93", "#8f8f4f")
_COMPACT: Final = "compact"
_OTHER: Final = "other"
_LANES_MAX: Final = 24
"""A row of the picture that has more lanes is not higher, but its bars are thinner."""
_LANE_INCHES: Final = 0.11
_ROW_INCHES: Final = 0.5
_GAP: Final = 0.0015
"""Between bars, of the width of the picture."""
_DELETED_MAX: Final = 0.5
"""A share of deleted rows from which on a bar is as red as can be."""
_POINTS_MAX: Final = 2000
_LINES_MAX: Final = 40
"""More compactions than that are only marked where the operations are."""


def plot_levels(name: str, state: TableState) -> Figure:
    """Files of each level along the table's order, or as wide as they have bytes; and how many have which size.

    Raises:
        InvalidError: matplotlib is not installed.

    """
    plt = _pyplot()
    levels = levels_of(state)
    heights = [_height(row) for row in levels.rows]
    figure = _figure(plt, 9.0, 1.7 + max(1.0, sum(heights)))
    left, right = figure.subplots(1, 2, width_ratios=(3.4, 1.0))
    for axes in (left, right):
        _plain(axes)
    if levels.rows:
        _draw_levels(left, levels, heights)
        _draw_sizes(right, levels)
        _draw_legend(figure, left, levels)
    else:
        for axes in (left, right):
            axes.set_axis_off()
        left.text(0.5, 0.5, "no files yet", color=_GREY, ha="center", va="center", transform=left.transAxes)
    files, size_bytes = sum(row.files for row in levels.rows), sum(row.size_bytes for row in levels.rows)
    _title(left, f"{name} · version {state.version} · {count(files, 'file')} · {size(size_bytes)}")
    return figure


def plot_history(name: str, state: TableState) -> Figure:
    """Rows, bytes and files after each commit, and what the commits were.

    Raises:
        InvalidError: matplotlib is not installed.

    """
    plt = _pyplot()
    course = course_of(state)
    kinds = _kinds(course.operations)
    strip = 0.35 + 0.2 * len(kinds)
    figure = _figure(plt, 9.0, 4.6 + strip)
    *panels, last = figure.subplots(4, 1, sharex=True, height_ratios=(1.4, 1.4, 1.4, strip))
    amounts = (course.rows, course.size_bytes, course.files)
    for axes, values, what, color in zip(panels, amounts, ("rows", "size", "files"), _COLORS, strict=False):
        _plain(axes)
        _draw_amount(axes, course.versions, values, what, color)
    _plain(last)
    _draw_operations(last, course, kinds)
    compactions = [at for at, what in zip(course.versions, course.operations, strict=True) if what == _COMPACT]
    for axes in panels if len(compactions) <= _LINES_MAX else ():
        for version in compactions:
            axes.axvline(version, color=_RED, linewidth=0.8, linestyle=(0, (3, 2)), alpha=0.8, zorder=0)
    first, final = (datetime_of(course.timestamps_us[place]) for place in (0, -1))
    _title(panels[0], f"{name} · versions {course.versions[0]} to {course.versions[-1]} · {_span(first, final)}")
    return figure


def _pyplot() -> Any:
    """The module that draws; through it a notebook learns how to show a figure.

    Raises:
        InvalidError: it is not installed.

    """
    try:
        import matplotlib.pyplot as plt  # noqa: PLC0415 - optional, and slow to import
    except ImportError as error:
        raise InvalidError("pictures need matplotlib, which is not installed: pip install 'tablelog[plot]'") from error
    return plt


def _figure(plt: Any, width: float, height: float) -> Figure:
    """An empty figure of a size in inches, without a background."""
    figure: Figure = plt.figure(figsize=(width, height), layout="constrained")
    figure.set_layout_engine("constrained", w_pad=0.1, h_pad=0.1)
    figure.patch.set_alpha(0.0)
    plt.close(figure)  # a notebook shows what is returned, and nothing twice
    return figure


# --------------------------------------------------------------------------- levels


def _height(row: Row) -> float:
    """Of a row of the picture, in inches."""
    return max(_ROW_INCHES, min(row.lanes, _LANES_MAX) * _LANE_INCHES + 0.16)


def _draw_levels(axes: Axes, levels: Levels, heights: Sequence[float]) -> None:
    scale, unit = (1.0, "") if levels.order else _unit(max(bar.end for row in levels.rows for bar in row.bars))
    span = _draw_extent(axes, levels, scale)
    tops, top = [], 0.0
    for row, height in zip(levels.rows, heights, strict=True):
        lane = min(_ROW_INCHES * 0.56, (height - 0.16) / row.lanes)
        begin = top + (height - lane * row.lanes) / 2
        for known in (True, False):
            bars = [bar for bar in row.bars if bar.known is known]
            _draw_bars(axes, bars, [begin + lane * (bar.lane + 0.5) for bar in bars], lane=lane, span=span, scale=scale)
        tops.append(top + height / 2)
        top += height
        if row is not levels.rows[-1]:
            axes.axhline(top, color=_GREY, linewidth=0.5, alpha=0.35)
    axes.set_ylim(top, 0.0)
    axes.set_yticks(tops, [_row_name(row) for row in levels.rows])
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(levels.order or f"bytes of the files, {unit}")


def _draw_extent(axes: Axes, levels: Levels, scale: float) -> float:
    """Make room for all bars, name places; how wide the picture is."""
    begin = min(bar.begin for row in levels.rows for bar in row.bars) / scale
    end = max(bar.end for row in levels.rows for bar in row.bars) / scale
    span = end - begin or 1.0
    axes.set_xlim(begin - span * 0.01, end + span * 0.01)
    if levels.ticks is not None:
        axes.set_xticks([place for place, _ in levels.ticks], [text for _, text in levels.ticks])
    elif levels.is_time:
        axes.xaxis_date()
    else:
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
        axes.locator_params(axis="x", nbins=7)
    return span


def _draw_bars(
    axes: Axes, bars: Sequence[Bar], middles: Sequence[float], *, lane: float, span: float, scale: float
) -> None:
    if not bars:
        return
    gap = span * _GAP
    widths = [(bar.end - bar.begin) / scale for bar in bars]
    insets = [gap if width > 4 * gap else 0.0 for width in widths]
    colors = [_color(bar.deleted_share) for bar in bars]
    known = bars[0].known
    axes.barh(
        middles,
        [max(width - 2 * inset, gap) for width, inset in zip(widths, insets, strict=True)],
        left=[bar.begin / scale + inset for bar, inset in zip(bars, insets, strict=True)],
        height=lane * 0.82,
        color=colors if known else "none",
        edgecolor=colors,
        linewidth=0.4 if known else 0.8,
        hatch=None if known else "////",
    )


def _draw_legend(figure: Figure, axes: Axes, levels: Levels) -> None:
    """What colours and hatches mean, if there is more than one."""
    bars = [bar for row in levels.rows for bar in row.bars]
    notes = []
    if any(bar.files > 1 for bar in bars):
        notes.append(f"a bar is up to {count(max(bar.files for bar in bars), 'file')}")
    if any(not bar.known for bar in bars):
        notes.append("hatched: bounds are not known")
    if notes:
        axes.text(1.0, 1.01, " · ".join(notes), color=_GREY, fontsize=8, ha="right", va="bottom",
                  transform=axes.transAxes)  # fmt: skip
    if any(bar.deleted_share for bar in bars):
        shown = axes.scatter([], [], c=[], cmap=_colormap(), vmin=0.0, vmax=_DELETED_MAX)
        scale = figure.colorbar(shown, ax=axes, location="bottom", shrink=0.4, aspect=30, anchor=(0.0, 1.0),
                                ticks=(0.0, 0.25, 0.5), pad=0.02)  # fmt: skip
        scale.ax.set_xticklabels(("0%", "25%", "50% or more"))
        scale.set_label("deleted rows", color=_GREY, fontsize=8)
        scale.ax.tick_params(colors=_GREY, labelsize=8)
        scale.outline.set_visible(False)


def _row_name(row: Row) -> str:
    what = "inside the log" if row.inlined else f"level {row.level}"
    if row.inlined and row.level:
        what = f"level {row.level}, {what}"
    return f"{what}\n{count(row.files, 'lot' if row.inlined else 'file')}, {size(row.size_bytes)}"


def _draw_sizes(axes: Axes, levels: Levels) -> None:
    """How many files there are of each size, in powers of 2."""
    places = [exponent + 0.5 for exponent, _ in levels.sizes]
    axes.bar(places, [files for _, files in levels.sizes], width=0.86, color=_BLUE)
    target = math.log2(levels.target_bytes)
    axes.axvline(target, color=_GREY, linewidth=1.0, linestyle=(0, (4, 2)))
    low, high = min(places[0], target) - 0.8, max(places[-1], target) + 0.8
    axes.set_xlim(low, high)
    step = max(1, round((high - low) / 4))
    ticks = range(int(high), int(low), -step)
    axes.set_xticks(list(ticks), [size(2.0**exponent).replace(".0 ", " ") for exponent in ticks])
    axes.tick_params(axis="x", labelrotation=30)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.locator_params(axis="y", integer=True, nbins=5)
    axes.text(target, 1.01, "target", color=_GREY, fontsize=8, ha="center", va="bottom",
              transform=axes.get_xaxis_transform())  # fmt: skip
    axes.set_xlabel("size of a file")
    axes.set_ylabel("files")


def _color(deleted_share: float) -> Any:
    return _colormap()(min(deleted_share / _DELETED_MAX, 1.0))


def _colormap() -> Any:
    from matplotlib.colors import LinearSegmentedColormap  # noqa: PLC0415 - optional, as above

    return LinearSegmentedColormap.from_list("deleted", (_BLUE, _AMBER, _RED))


# --------------------------------------------------------------------------- history


def _draw_amount(axes: Axes, versions: Sequence[int], values: Sequence[float], what: str, color: str) -> None:
    known = [value for value in values if value == value]  # noqa: PLR0124 - only NaN differs from itself
    scale, unit = _unit(max(known)) if what == "size" else _thousands(max(known))
    places = _thinned(len(versions))
    at, heights = [versions[place] for place in places], [values[place] / scale for place in places]
    axes.step(at, heights, where="post", color=color, linewidth=1.6)
    axes.fill_between(at, heights, step="post", color=color, alpha=0.18, linewidth=0)
    axes.plot(at[-1:], heights[-1:], marker="o", markersize=4, color=color)
    axes.set_ylim(0.0, max(known) / scale * 1.15 or 1.0)
    axes.set_ylabel(f"{what}, {unit}" if unit else what)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
    axes.locator_params(axis="y", nbins=4)
    axes.grid(visible=True, axis="y", color=_GREY, alpha=0.25, linewidth=0.5)


def _draw_operations(axes: Axes, course: Course, kinds: Sequence[str]) -> None:
    """A line for each kind of commit, a mark for each commit."""
    for line, kind in enumerate(kinds):
        named = kind != _OTHER
        all_at = [
            version
            for version, what in zip(course.versions, course.operations, strict=True)
            if (what == kind if named else what not in kinds)
        ]
        at = [all_at[place] for place in _thinned(len(all_at))]
        color = _RED if kind == _COMPACT else _GREY
        axes.plot(at, [line] * len(at), linestyle="none", marker="D" if kind == _COMPACT else "|",
                  markersize=5 if kind == _COMPACT else 8, markeredgewidth=1.4, color=color, label=kind)  # fmt: skip
    axes.set_yticks(range(len(kinds)), list(kinds))
    axes.set_ylim(len(kinds) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    room = max(0.5, (course.versions[-1] - course.versions[0]) * 0.03)
    axes.set_xlim(course.versions[0] - room, course.versions[-1] + room)
    axes.set_xlabel("version")
    axes.locator_params(axis="x", integer=True)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}" if value.is_integer() else "")


def _kinds(operations: Iterable[str]) -> list[str]:
    """The most frequent kinds of commits in the order in which they first came up, and one for all others."""
    counts: dict[str, int] = {}
    for operation in operations:
        counts[operation] = counts.get(operation, 0) + 1
    most = sorted(counts, key=lambda kind: (kind != _COMPACT, -counts[kind]))[: len(_COLORS)]
    return [kind for kind in counts if kind in most] + ([_OTHER] if len(counts) > len(most) else [])


def _thinned(length: int) -> list[int]:
    """Places in something long, so many as can be told apart; the first and the last are among them."""
    step = -(-length // _POINTS_MAX) or 1
    return sorted({*range(0, length, step), *((length - 1,) if length else ())})


def _thousands(greatest: float) -> tuple[float, str]:
    for power, word in ((1e9, "billions"), (1e6, "millions"), (1e3, "thousands")):
        if greatest >= 10 * power:
            return power, word
    return 1.0, ""


def _span(first: Any, last: Any) -> str:
    """From when to when, UTC."""
    if first.date() == last.date():
        return f"{first:%Y-%m-%d %H:%M} to {last:%H:%M} UTC"
    return f"{first:%Y-%m-%d} to {last:%Y-%m-%d}"


# --------------------------------------------------------------------------- both


def _unit(greatest_bytes: float) -> tuple[float, str]:
    """A unit in which so many bytes are a number that can be read."""
    scale, unit = 1.0, "B"
    for word in ("KiB", "MiB", "GiB", "TiB", "PiB"):
        if greatest_bytes < 1024 * scale:
            break
        scale, unit = scale * 1024, word
    return scale, unit


def _title(axes: Axes, text: str) -> None:
    axes.set_title(text, loc="left", color=_GREY, fontsize=10, fontweight="bold", pad=18)


def _plain(axes: Axes) -> None:
    """No box, no background, everything in grey."""
    axes.patch.set_alpha(0.0)
    axes.spines[["top", "right"]].set_visible(False)
    for spine in axes.spines.values():
        spine.set_color(_GREY)
    axes.tick_params(colors=_GREY, labelsize=8)
    axes.xaxis.label.set(color=_GREY, fontsize=9)
    axes.yaxis.label.set(color=_GREY, fontsize=9)
