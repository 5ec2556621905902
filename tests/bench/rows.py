"""The rows of every workload: eight columns of the kinds that tables are made of."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

SCHEMA: Final = pa.schema(
    [
        ("id", pa.int64()),
        ("placed_at", pa.timestamp("us", "UTC")),
        ("country", pa.string()),
        ("price", pa.float64()),
        ("weight", pa.float64()),
        ("quantity", pa.int32()),
        ("name", pa.string()),
        ("active", pa.bool_()),
    ]
)
COUNTRIES: Final = ("AT", "BE", "BR", "CA", "CH", "CN", "DE", "DK", "ES", "FI", "FR", "GB", "IN", "IT", "JP", "US")
APPEND_ROWS: Final = 100
_BEGIN_US: Final = 1_700_000_000_000_000


def append_rows(number: int) -> pa.Table:
    """The hundred rows of the append with that number; its ids are `number * 100` and the next 99."""
    ids = range(number * APPEND_ROWS, (number + 1) * APPEND_ROWS)
    columns = [
        list(ids),
        [_BEGIN_US + 1_000_003 * each for each in ids],
        [COUNTRIES[each * 7 % len(COUNTRIES)] for each in ids],
        [each * 7919 % 100_003 / 100 for each in ids],
        [each * 104_729 % 1_000_003 / 1000 for each in ids],
        [each * 31 % 1000 for each in ids],
        [f"item-{each * 2_654_435_761 % 4_294_967_296:08x}" for each in ids],
        [each % 3 == 0 for each in ids],
    ]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)
