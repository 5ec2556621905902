"""Conditions in SQL that choose rows or that rows must fulfil, bound to a table's columns.

Operations know no engine; here they get theirs. DuckDB decides what a condition means.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from tablelog.engines.duckdb import ENGINE, evaluate
from tablelog.engines.duckdb_clock import asked_at_us
from tablelog.engines.duckdb_merge import DuckDBMerge
from tablelog.engines.duckdb_plan import ROWS
from tablelog.engines.duckdb_rows import SOURCE, change, find, refuse_unnamed_columns
from tablelog.engines.duckdb_rows import bind as bind_text
from tablelog.engines.duckdb_text import literal, quote
from tablelog.errors import InvalidError
from tablelog.ops.matching import Condition
from tablelog.ops.merge import Then
from tablelog.ops.update import Assignment
from tablelog.parquet.arrow import physical_value

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tablelog.format.schema import Schema
    from tablelog.format.types import Field
    from tablelog.log.metadata import Metadata
    from tablelog.ops.merge import Clause


def condition_on(where: str) -> Callable[[Schema], Condition]:
    """What a condition means on a schema; raises `InvalidError` if it means nothing there. In it, `now()` is now."""
    now_us = asked_at_us(where)

    def bind(schema: Schema) -> Condition:
        predicate = ENGINE.parse_condition(where, schema, now_us)
        refuse_unnamed_columns(where, f"the condition {where!r}")
        return Condition(
            predicate=predicate,
            fields=fields_of(where, schema),
            find=lambda plan, store: find(plan, store, where, now_us),
        )

    return bind


def assignment_on(values: Mapping[str, object], where: str | None) -> Callable[[Metadata], Assignment]:
    """What an update means on a table; raises `InvalidError` if it means nothing there. In it, `now()` is now."""
    condition = "true" if where is None else where
    if not isinstance(values, Mapping) or not values:
        raise InvalidError(
            f"{values!r} assigns nothing; give a dict of columns and expressions, {{'price': 'price * 2'}}"
        )
    texts = [condition, *(text for text in values.values() if isinstance(text, str))]
    now_us = next(filter(None, map(asked_at_us, texts)), None)

    def bind(metadata: Metadata) -> Assignment:
        schema = metadata.schema
        predicate = ENGINE.parse_condition(condition, schema, now_us)
        refuse_unnamed_columns(condition, f"the condition {condition!r}")
        assigned = expressions_of(values, schema, (ROWS,))
        for name, text in assigned.items():
            bind_text(schema.fields, text, f"{name} = {text}", type_=schema.field(name).type)
        return Assignment(
            predicate=predicate,
            field_ids=frozenset(schema.field(name).id for name in assigned),
            rows=lambda plan, store: change(plan, store, assigned, condition, now_us),
            check=row_check(metadata.checks),
        )

    return bind


def merge_on(source: pa.Table, on: str, clauses: Sequence[Clause]) -> Callable[[Metadata], DuckDBMerge]:
    """What a merge means on a table; raises `InvalidError` if it means nothing there. In it, `now()` is now."""
    texts = [on, *(clause.condition for clause in clauses if clause.condition is not None)]
    texts += [text for clause in clauses for text in (clause.values or {}).values() if isinstance(text, str)]
    now_us = next(filter(None, map(asked_at_us, texts)), None)

    def bind(metadata: Metadata) -> DuckDBMerge:
        schema = metadata.schema
        bound = [(clause, _values_of(clause, source, schema)) for clause in clauses]
        return DuckDBMerge(schema, source, on, bound, row_check(metadata.checks), now_us)

    return bind


def _values_of(clause: Clause, source: pa.Table, schema: Schema) -> dict[str, str]:
    """SQL for each column that a clause assigns to."""
    if clause.then not in {Then.UPDATE, Then.INSERT}:
        return {}
    if clause.values is not None:
        return expressions_of(clause.values, schema, (ROWS, SOURCE))
    theirs = {name.casefold(): name for name in source.column_names}
    values = {
        field.name: f"{SOURCE}.{quote(theirs[field.name.casefold()])}"
        for field in schema
        if field.name.casefold() in theirs
    }
    if not values:
        raise InvalidError(f"the source has none of the table's columns; it has {', '.join(source.column_names)}")
    return values


def expressions_of(values: Mapping[str, object], schema: Schema, tables: tuple[str, ...]) -> dict[str, str]:
    """Columns and what is assigned to them, as SQL: text is SQL already, anything else is a value.

    Raises:
        NotFoundError: there is no such column.
        InvalidError: a column is assigned to twice, or a value does not fit it.

    """
    found: dict[str, str] = {}
    for name, value in values.items():
        field = schema.field(_bare(name, schema, tables))
        if field.name in found:
            raise InvalidError(f"column {field.name!r} is assigned to twice")
        if isinstance(value, str):
            found[field.name] = value
        else:
            stored = None if value is None else physical_value(value, field.type)
            found[field.name] = literal(stored, field.type)
    return found


def _bare(name: str, schema: Schema, tables: tuple[str, ...]) -> str:
    """A column's name without the table's in front, as in `t.price`."""
    table, dot, rest = str(name).partition(".")
    return rest if dot and name not in schema and table.casefold() == tables[0] else name


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
