"""Ranges in the table's order against rows: files that do not meet stay apart when they are sorted together."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tablelog as tl
from tablelog import env
from tablelog.ops.spans import span_of, sure_span_of
from tablelog.parquet.ordering import ordering
from tablelog.parquet.reader import read_batches

if TYPE_CHECKING:
    from tablelog.format.actions import AddFile

TEXT = st.one_of(
    st.sampled_from(["", "a", "b", "é", "\U0010ffff" * 40]),
    st.sampled_from(["x" * 40, "x" * 31]).flatmap(lambda start: st.sampled_from("abc").map(lambda end: start + end)),
    st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=3),
)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "int64": st.integers(-3, 3) | st.sampled_from([-(2**63), 2**63 - 1]),
    "boolean": st.booleans(),
    "float64": st.sampled_from([-math.inf, -1.5, -0.0, 0.0, 1.5, math.inf, math.nan]),
    "float32": st.sampled_from([-math.inf, -1.5, 0.0, 0.1, math.inf, math.nan]),
    "string": TEXT,
    "binary": st.sampled_from([b"", b"a", b"\x00", b"\xff" * 31, b"\xff" * 40, b"x" * 40, b"x" * 40 + b"y", b"x" * 32]),
    "date": st.dates(),
    "timestamp": st.datetimes(),
    "decimal(10, 2)": st.decimals(-5, 5, places=2),
}


@pytest.mark.parametrize("type_", VALUES)
@given(data=st.data(), descending=st.tuples(st.booleans(), st.booleans()))
@settings(max_examples=40, deadline=None)
def test_files_that_do_not_meet_stay_apart(type_: str, data: st.DataObject, descending: tuple[bool, bool]) -> None:
    rows = st.lists(st.tuples(st.none() | VALUES[type_], st.none() | st.integers(0, 2)), min_size=1, max_size=5)
    lake = tl.connect(f"memory://spans-{env.new_id()}")
    table = lake.create_table(
        "t",
        {"k": type_, "l": "int64"},
        sort_by=[name + (" desc" if down else "") for name, down in zip("kl", descending, strict=True)],
        properties={"inline_max_bytes": data.draw(st.sampled_from(["0", "65536"]))},
    )
    both = [data.draw(rows), data.draw(rows)]
    for each in both:
        table.append([{"k": k, "l": l_} for k, l_ in each])
    state = table.snapshot().state
    ours, theirs = (span_of(file, state.metadata) for file in state.files)
    order = ordering(state.metadata.sort_order, state.schema)
    assert order is not None
    tables = [rows_of(table, file) for file in state.files]
    together = pa.concat_tables(
        each.append_column("whose", pa.array([number] * each.num_rows)) for number, each in enumerate(tables)
    )
    whose = together.take(order.indices(together))["whose"].to_pylist()
    backwards = pa.concat_tables(
        tables[number].append_column("whose", pa.array([number] * tables[number].num_rows)) for number in (1, 0)
    )
    other = backwards.take(order.indices(backwards))["whose"].to_pylist()
    if not ours.meets(theirs):
        assert whose in (sorted(whose), sorted(whose, reverse=True)) or other in (sorted(other), sorted(other)[::-1])
    # What was sorted together and cut is known to be apart, unless nothing is known of an end.
    ordered = together.take(order.indices(together)).drop_columns(["whose"])
    cut = data.draw(st.integers(1, ordered.num_rows - 1))
    table.delete("true")
    table.append(ordered.slice(0, cut))
    table.append(ordered.slice(cut))
    state = table.snapshot().state
    first, second = (sure_span_of(file, state.metadata) for file in state.files)
    assert not first.meets(second)


def rows_of(table: tl.Table, file: AddFile) -> pa.Table:
    state = table.snapshot().state
    schema = state.metadata.schemas[file.schema_id]
    return pa.Table.from_batches(list(read_batches(table._store, file, schema, state.schema.fields)))
