"""What people get from a table as Arrow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

import tablelog as tl

if TYPE_CHECKING:
    from pathlib import Path

NESTED = pa.schema(
    [
        pa.field("id", pa.int64()),
        pa.field("s", pa.struct([("a", pa.int64()), ("l", pa.list_(pa.struct([("x", pa.string())])))])),
        pa.field("m", pa.map_(pa.string(), pa.list_(pa.int32()))),
    ]
)
ROWS = [{"id": 1, "s": {"a": 1, "l": [{"x": "y"}]}, "m": [("k", [1, None])]}, {"id": 2, "s": None, "m": None}]


@pytest.fixture
def table(tmp_path: Path) -> tl.Table:
    return tl.connect(tmp_path).create_table("t", pa.Table.from_pylist(ROWS, NESTED))


@pytest.mark.parametrize("where", [None, "id < 2", "id < 0"])
def test_ids_of_fields_stay_in_the_files(table: tl.Table, where: str | None) -> None:
    found = table.scan(where=where).to_arrow()
    assert "field_id" not in str(found.schema)
    assert not any("field_id" in str(pa.schema([("c", column.type)])) for column in found.columns)


def test_a_column_that_is_no_name_is_refused(table: tl.Table) -> None:
    with pytest.raises(tl.InvalidError, match="column names are text, not 1"):
        table.scan(columns=[1])  # type: ignore[list-item]  # as people do
