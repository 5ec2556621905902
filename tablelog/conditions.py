"""Conditions in SQL that choose rows or that rows must fulfil, bound to a table's columns.

Operations know no engine; here they get theirs. DuckDB decides what a condition means.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from tablelog.engines.duckdb import ENGINE, evaluate
from tablelog.engines.duckdb_clock import asked_at_us
from tablelog.errors import InvalidError
from tablelog.ops.delete import Condition

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tablelog.format.schema import Schema
    from tablelog.format.types import Field


def condition_on(where: str) -> Callable[[Schema], Condition]:
    """What a condition means on a schema; raises `InvalidError` if it means nothing there. In it, `now()` is now."""
    now_us = asked_at_us(where)

    def bind(schema: Schema) -> Condition:
        return Condition(
            predicate=ENGINE.parse_condition(where, schema, now_us),
            fields=fields_of(where, schema),
            evaluate=lambda reader: evaluate(ENGINE, where, reader, now_us),
        )

    return bind


def fields_of(where: str, schema: Schema) -> tuple[Field, ...]:
    """Columns that a condition reads; the first one if it reads none."""
    used = {name.casefold() for name in ENGINE.columns_of(where)}
    if "*" in used:
        return schema.fields
    return tuple(field for field in schema if field.name.casefold() in used) or schema.fields[:1]


def row_check(checks: Mapping[str, str], where: str | None = None) -> Callable[[pa.RecordBatch], None]:
    """A function that raises `InvalidError` for a batch with rows that a CHECK, or `where`, does not allow.

    A CHECK lets through what is unknown (null), as in SQL; `where` must be true.
    """
    rules = [(expression, f"the CHECK {name!r} ({expression})", True) for name, expression in checks.items()]
    if where is not None:
        rules.append((where, f"the condition whose rows are overwritten ({where})", False))

    def check(batch: pa.RecordBatch) -> None:
        for expression, what, null_passes in rules:
            _refuse_rows(batch, expression, what, null_passes=null_passes)

    return check


def _refuse_rows(batch: pa.RecordBatch, expression: str, what: str, *, null_passes: bool) -> None:
    reader = pa.RecordBatchReader.from_batches(batch.schema, iter([batch]))
    values = pa.chunked_array(list(evaluate(ENGINE, expression, reader)), type=pa.bool_())
    passes = pa.chunked_array([chunk.fill_null(null_passes) for chunk in values.chunks], type=pa.bool_())
    count = len(passes) - (pc.sum(passes).as_py() or 0)  # type: ignore[type-var]  # the stubs sum no booleans
    if count:
        row = batch.slice(pc.index(passes, value=False).as_py(), 1).to_pylist()[0]
        read = {name.casefold() for name in ENGINE.columns_of(expression)}
        in_order = sorted(row.items(), key=lambda cell: cell[0].casefold() not in read)  # what it is about comes first
        shown = ", ".join(f"{name}={value!r}" for name, value in in_order[:8])
        raise InvalidError(f"{count:,} of {batch.num_rows:,} rows do not fulfil {what}, for example {shown}")
