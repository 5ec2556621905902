"""What the demo does, step by step: a year of flights becomes a table, one month of it is wrong, and is put right.

Every step is told, shown as code and really done; figures are read back from the lake.
"""

from __future__ import annotations

import calendar
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc
from rich.padding import Padding
from rich.progress import track
from rich.syntax import Syntax
from rich.table import Table as Grid
from rich.text import Text

from tablelog import env
from tablelog.cli.cells import cell, is_number
from tablelog.cli.demo_data import SMALL_TABLES, in_hours, load, load_flights, of_month
from tablelog.cli.failures import one_line
from tablelog.cli.history import history_table
from tablelog.cli.output import err, grid, plain
from tablelog.cli.plans import plan_table
from tablelog.display import count, size
from tablelog.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console, RenderableType

    from tablelog.lake import Lake

_JUNE: Final = 6
_FASTEST_MPH: Final = 250
_BAR_WIDTH: Final = 40
_WIDTH_MAX: Final = 88


class Narrator:
    """Puts steps, prose, code and tables on a console."""

    def __init__(self, console: Console) -> None:
        """Talk to that console, in lines that are not too long to read."""
        console.width = min(console.width, _WIDTH_MAX)
        self._console = console
        self._steps = 0

    def step(self, title: str) -> None:
        """The heading of the next step."""
        self._steps += 1
        self._console.print()
        self._console.rule(Text(f"{self._steps}. {title}", style="bold"), align="left", style="dim")

    def say(self, text: str) -> None:
        """A paragraph."""
        self._console.print()
        self._console.print(plain(text))

    def code(self, text: str, language: str = "python") -> None:
        """What is done, as somebody would type it."""
        self.show(Syntax(text, language, theme="ansi_dark", background_color="default", word_wrap=True))

    def show(self, what: RenderableType) -> None:
        """Something indented."""
        self._console.print()
        self._console.print(Padding(what, (0, 0, 0, 2), expand=False))

    def lines(self, lines: Sequence[str]) -> None:
        """Lines to be copied: never broken."""
        self._console.print()
        for line in lines:
            self._console.print(plain(f"  {line}", style="bold cyan"), soft_wrap=True)


def tell(lake: Lake, place: str, narrator: Narrator) -> None:
    """The whole story, in a lake that is still empty; `place` is where the reader finds it."""
    narrator.say(
        "336,776 real flights left New York in 2013. In the next seconds they become a table whose every version "
        "can be read, one month of it goes wrong, and is put right."
    )
    narrator.step("A lake is a folder, or a bucket; no server")
    narrator.code(f"lake = tablelog.connect({place!r})")
    _small_tables(lake, narrator)
    flights = load_flights()
    _year(lake, narrator, flights)
    _doubt(lake, narrator)
    _correction(lake, narrator, flights)
    _rename(lake, narrator)
    _comparison(lake, narrator)


def _small_tables(lake: Lake, narrator: Narrator) -> None:
    narrator.step("Tables are made from data: Arrow, Polars, pandas, DuckDB, plain Python")
    narrator.code(
        "for name in ('airlines', 'airports', 'planes'):\n    lake.create_table(name, data[name])\n"
        f"lake.create_table('weather', data['weather'],\n"
        f"                  checks={{'possible': 'wind_speed < {_FASTEST_MPH}'}})"
    )
    data = {name: load(name) for name in SMALL_TABLES}
    checks = {"possible": f"wind_speed < {_FASTEST_MPH}"}
    for name in SMALL_TABLES[:-1]:
        lake.create_table(name, data[name])
    try:
        lake.create_table("weather", data["weather"], checks=checks)
    except InvalidError as error:
        narrator.show(plain(f"InvalidError: {one_line(str(error))}", style="red"))
    narrator.say(
        "That is in the data as they were published: 1,048 miles an hour over Newark on 12 February, faster than "
        "sound. The check found it, and nothing was stored. We say that nobody knows what the wind was, and go on."
    )
    lake.create_table("weather", _without_impossible_wind(data["weather"]), checks=checks)
    table = grid("table", "rows", "columns", "size", right=("rows", "columns", "size"))
    for name in lake.tables():
        made = lake.table(name).snapshot()
        table.add_row(name, f"{made.row_count:,}", str(len(made.schema)), size(made.size_bytes))
    narrator.show(table)


def _without_impossible_wind(weather: pa.Table) -> pa.Table:
    speeds = weather["wind_speed"]
    possible: Any = pc.if_else(pc.less(speeds, pa.scalar(_FASTEST_MPH)), speeds, pa.scalar(None, speeds.type))
    return weather.set_column(weather.column_names.index("wind_speed"), "wind_speed", possible)


def _year(lake: Lake, narrator: Narrator, everything: pa.Table) -> None:
    narrator.step("A year of flights, one commit a month")
    narrator.code(
        "flights = lake.create_table('flights', schema, sort_by='time_hour')\n"
        "for month in months:\n    flights.append(month)"
    )
    narrator.say(
        "To have something to repair later, June is given to it with its delays in hours. All others are in minutes."
    )
    flights = lake.create_table("flights", everything.schema, sort_by="time_hour")
    console = err()
    started_s = env.monotonic_s()
    for month in track(range(1, 13), "loading", console=console, transient=True, disable=not console.is_terminal):
        rows = of_month(everything, month)
        flights.append(in_hours(rows) if month == _JUNE else rows, info={"month": calendar.month_name[month]})
    took_s = env.monotonic_s() - started_s
    narrator.show(history_table(flights.history().to_dicts(), wide=False))
    narrator.say(
        f"{count(flights.row_count, 'row')} in {took_s:.1f} seconds. Each line is a version that stays: the table as "
        "it was after that month."
    )


def _doubt(lake: Lake, narrator: Narrator) -> None:
    narrator.step("Somebody looks at it")
    query = "SELECT month, avg(dep_delay) AS minutes\nFROM flights GROUP BY month ORDER BY month"
    narrator.code(query, "sql")
    rows = lake.sql(query).fetchall()
    longest = max(minutes for _, minutes in rows)
    chart = Grid.grid(padding=(0, 2, 0, 0))
    chart.add_column()
    chart.add_column(justify="right")
    for month, minutes in rows:
        style = "red" if month == _JUNE else "cyan"
        chart.add_row(
            calendar.month_name[month], f"{minutes:.1f}", Text("█" * round(_BAR_WIDTH * minutes / longest), style=style)
        )
    narrator.show(chart)
    narrator.say("June is the season of thunderstorms, and hardly anybody was late? Something is wrong with June.")


def _correction(lake: Lake, narrator: Narrator, everything: pa.Table) -> None:
    narrator.step("June is loaded again, in one commit")
    narrator.code("commit = flights.overwrite(june, where='month = 6')")
    flights = lake.table("flights")
    before = flights.snapshot()
    started_s = env.monotonic_s()
    commit = flights.overwrite(
        of_month(everything, _JUNE), where=f"month = {_JUNE}", info={"month": "June", "why": "delays were in hours"}
    )
    took_s = env.monotonic_s() - started_s
    kept, total = len(before.files) - commit.files_removed, len(before.files)
    narrator.say(
        f"Version {commit.version}: {count(commit.rows_deleted, 'row')} out, {commit.rows_added:,} in, in "
        f"{took_s * 1000:.0f} ms. The log knows the smallest and largest value of every column in every file, so "
        f"{kept} of {total} files were not even opened. Whoever was reading meanwhile saw the old June or the new one, "
        "never half of each."
    )


def _rename(lake: Lake, narrator: Narrator) -> None:
    narrator.step("A column gets a better name")
    narrator.code("flights.alter.rename_column('dep_delay', 'departure_delay')")
    commit = lake.table("flights").alter.rename_column("dep_delay", "departure_delay")
    narrator.say(
        f"Version {commit.version}: {count(commit.files_added, 'file')} written. Columns are known by number and names "
        "are labels; older versions keep the old one."
    )


_OF_EACH_VERSION: Final = {
    "before": """SELECT carrier, avg(dep_delay) AS delay
                FROM flights AT (VERSION => 12)
                WHERE month = 6 GROUP BY carrier""",
    "after": """SELECT carrier, avg(departure_delay) AS delay
                FROM flights WHERE month = 6 GROUP BY carrier""",
}


def _comparison(lake: Lake, narrator: Narrator) -> None:
    narrator.step("The same question to two versions, side by side")
    query = f"""
WITH before AS ({_OF_EACH_VERSION["before"]}),
     after  AS ({_OF_EACH_VERSION["after"]})
SELECT name AS airline, round(before.delay, 1) AS before,
                        round(after.delay, 1) AS after
FROM before JOIN after USING (carrier) JOIN airlines USING (carrier)
ORDER BY after.delay DESC LIMIT 8""".strip()
    narrator.code(query, "sql")
    started_s = env.monotonic_s()
    relation = lake.sql(query)
    rows = relation.fetchall()
    took_s = env.monotonic_s() - started_s
    types = [str(type_) for type_ in relation.types]
    numbers = [name for name, type_ in zip(relation.columns, types, strict=True) if is_number(type_)]
    answer = grid(*relation.columns, right=numbers)
    for row in rows:
        answer.add_row(*(cell(value, type_) for value, type_ in zip(row, types, strict=True)))
    narrator.show(answer)
    alone_ms = {name: _took_ms(lake, question) for name, question in _OF_EACH_VERSION.items()}
    narrator.say(
        f"Answered in {took_s * 1000:.0f} ms; version 12 alone in {alone_ms['before']:.0f} ms, version 14 in "
        f"{alone_ms['after']:.0f} ms. What was read for it, of how much:"
    )
    narrator.show(plan_table(lake.explain(query)))


def _took_ms(lake: Lake, query: str) -> float:
    started_s = env.monotonic_s()
    lake.sql(query).fetchall()
    return (env.monotonic_s() - started_s) * 1000
