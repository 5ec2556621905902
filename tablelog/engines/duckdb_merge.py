"""MERGE as three queries over the rows of a table and of a source: what is updated, what goes, what is new.

    FROM t JOIN s ON …                      rows that match          WHEN MATCHED
    FROM s, less those that match           rows of the source       WHEN NOT MATCHED
    FROM t ANTI JOIN s ON …                 rows of the table        WHEN NOT MATCHED BY SOURCE

Which clause a row falls under is the first whose condition is true, a CASE in each query. Files whose key ranges do not
meet the source's are left out where the condition says that columns are equal and no clause asks for all rows.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from tablelog.engines.arrow import FILE_NUMBER, ROW_NUMBER
from tablelog.engines.duckdb import ENGINE
from tablelog.engines.duckdb_parse import one_expression
from tablelog.engines.duckdb_plan import ROWS
from tablelog.engines.duckdb_rows import PLACE, SOURCE, SOURCE_NUMBER, bind, cast_to, stream, with_numbers
from tablelog.engines.duckdb_text import literal, quote
from tablelog.errors import InvalidError
from tablelog.format.predicate import ALWAYS, And
from tablelog.ops.keys import key_ranges
from tablelog.ops.merge import Then, When
from tablelog.parquet.arrow import arrow_type
from tablelog.parquet.casts import cast_exactly

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tablelog.format.predicate import Predicate
    from tablelog.format.schema import Schema
    from tablelog.format.types import Field
    from tablelog.ops.merge import Clause
    from tablelog.ops.scan import ScanPlan
    from tablelog.store.base import ObjectStore

_SHOWN: Final = 8
"""Columns of a row in a message."""


class DuckDBMerge:
    """A merge in terms of one schema; see `ops.merge.Merge`."""

    def __init__(  # noqa: PLR0917 - a merge has so many parts
        self,
        schema: Schema,
        source: pa.Table,
        on: str,
        clauses: Sequence[tuple[Clause, Mapping[str, str]]],
        check: Callable[[pa.RecordBatch], None],
        now_us: int | None,
    ) -> None:
        """Merge `source` into tables of a schema; each clause comes with SQL for the columns that it assigns to.

        Raises:
            InvalidError: a condition or an expression makes no sense.

        """
        self._schema = schema
        self._on = on
        self._clauses = clauses
        self._now_us = now_us
        columns = ", ".join(map(quote, [*source.column_names, SOURCE_NUMBER]))
        self._source = with_numbers(source), columns
        self._check = check
        self._bind()
        self.predicate: Predicate = self._ranges(source)

    def check(self, batch: pa.RecordBatch) -> None:
        """See `Merge`."""
        self._check(batch)

    def updated(self, plan: ScanPlan, store: ObjectStore) -> Iterator[pa.RecordBatch]:
        """See `Merge`."""
        for when in (When.MATCHED, When.NOT_MATCHED_BY_SOURCE):
            if self._has(when, Then.UPDATE):
                columns = ", ".join(self._column(when, field) for field in self._schema)
                yield from self._ask(plan, store, self._select(when, Then.UPDATE, f"{_place(when)}, {columns}"))

    def deleted(self, plan: ScanPlan, store: ObjectStore) -> Iterator[pa.RecordBatch]:
        """See `Merge`."""
        for when in (When.MATCHED, When.NOT_MATCHED_BY_SOURCE):
            if self._has(when, Then.DELETE):
                yield from self._ask(plan, store, self._select(when, Then.DELETE, _place(when)))

    def inserted(self, plan: ScanPlan, store: ObjectStore) -> Iterator[pa.RecordBatch]:
        """See `Merge`."""
        if not self._has(When.NOT_MATCHED, Then.INSERT):
            return
        number = f"{SOURCE}.{quote(SOURCE_NUMBER)}"
        # The source is what is held in memory: whichever of its rows match are few, whatever the table has.
        text = f"SELECT DISTINCT {number} FROM {ROWS} JOIN {SOURCE} ON ({self._on}\n)"
        batches = list(self._ask(plan, store, text))
        matched = pa.Table.from_batches(batches).column(0) if batches else pa.chunked_array([], pa.uint32())
        rows, columns = self._source
        new = rows.filter(pc.invert(pc.is_in(rows.column(SOURCE_NUMBER), value_set=matched.combine_chunks())))
        values = ", ".join(self._column(When.NOT_MATCHED, field) for field in self._schema)
        text = self._select(When.NOT_MATCHED, Then.INSERT, values)
        nothing = replace(plan, files=())
        yield from stream(nothing, store, text, source=(new, columns), now_us=self._now_us)

    def shown(self, plan: ScanPlan, store: ObjectStore, file: int, row: int) -> str:
        """See `Merge`."""
        names = [f"{ROWS}.{quote(field.name)}" for field in self._schema.fields[:_SHOWN]]
        where = f"{quote(FILE_NUMBER)} = {file} AND {quote(ROW_NUMBER)} = {row}"
        (found,) = pa.Table.from_batches(
            list(self._ask(plan, store, f"SELECT {', '.join(names)} FROM {ROWS} WHERE {where}"))
        ).to_pylist()
        return ", ".join(f"{name}={value!r}" for name, value in found.items())

    # ------------------------------------------------------------------ texts

    def _select(self, when: When, then: Then, columns: str) -> str:
        """Rows of a kind for which the first clause whose condition holds does something."""
        does = " ".join(
            f"WHEN {_condition(clause)} THEN {str(clause.then is then).upper()}" for clause, _ in self._about(when)
        )
        joined = {
            When.MATCHED: f"{ROWS} JOIN {SOURCE} ON ({self._on}\n)",
            When.NOT_MATCHED: SOURCE,
            When.NOT_MATCHED_BY_SOURCE: f"{ROWS} ANTI JOIN {SOURCE} ON ({self._on}\n)",
        }[when]
        return f"SELECT {columns} FROM {joined} WHERE CASE {does} ELSE FALSE END"

    def _column(self, when: When, field: Field) -> str:
        """What a column becomes, clause by clause."""
        cases = " ".join(
            f"WHEN {_condition(clause)} THEN {self._value(clause, values, field)}"
            for clause, values in self._about(when)
        )
        return f"CASE {cases} END AS {quote(field.name)}"

    def _value(self, clause: Clause, values: Mapping[str, str], field: Field) -> str:
        if clause.then in {Then.DELETE, Then.NOTHING}:
            return "NULL"
        if field.name in values:
            return cast_to(field.type, values[field.name])
        if clause.then is Then.UPDATE:
            return f"{ROWS}.{quote(field.name)}"
        return literal(field.write_default, field.type)

    def _about(self, when: When) -> list[tuple[Clause, Mapping[str, str]]]:
        return [(clause, values) for clause, values in self._clauses if clause.when is when]

    def _has(self, when: When, then: Then) -> bool:
        return any(clause.then is then for clause, _ in self._about(when))

    def _ask(self, plan: ScanPlan, store: ObjectStore, text: str) -> Iterator[pa.RecordBatch]:
        return stream(plan, store, text, source=self._source, now_us=self._now_us)

    def _bind(self) -> None:
        fields, source, both = self._schema.fields, self._source, f"{ROWS}, {SOURCE}"
        bind(fields, self._on, f"on {self._on!r}", tables=both, source=source)
        for clause, values in self._clauses:
            tables = {When.MATCHED: both, When.NOT_MATCHED: SOURCE}.get(clause.when, ROWS)
            place = f"when {clause.when} then {clause.then}"
            if clause.condition is not None:
                bind(fields, clause.condition, f"{place}: where {clause.condition!r}", tables=tables, source=source)
            for name, text in values.items():
                told = f"{place}: {name} = {text}"
                bind(fields, text, told, type_=self._schema.field(name).type, tables=tables, source=source)

    # ------------------------------------------------------------------ which files may matter

    def _ranges(self, source: pa.Table) -> Predicate:
        """Where the keys of the source lie, as far as the condition says that columns of both sides are equal."""
        if any(clause.when is When.NOT_MATCHED_BY_SOURCE for clause, _ in self._clauses):
            return ALWAYS
        parts: list[Predicate] = []
        for field, name in self._equal_columns(source):
            target = arrow_type(field.type)
            try:
                chunks: Any = [cast_exactly(chunk, target, name) for chunk in source.column(name).chunks]
            except InvalidError:  # the engine compares them by rules of its own
                continue
            column: Any = pa.chunked_array(chunks, target)  # type: ignore[call-overload]  # any type will do
            parts.append(key_ranges((field,), pa.table({field.name: column})))
        return And(tuple(parts))

    def _equal_columns(self, source: pa.Table) -> Iterator[tuple[Field, str]]:
        """Pairs of columns, of the table and of the source, that the condition says are equal."""
        with closing(ENGINE.planner.cursor()) as cursor:
            tree = one_expression(cursor, self._on)
        for part in tree["children"] if tree.get("type") == "CONJUNCTION_AND" else [tree]:
            if part.get("type") != "COMPARE_EQUAL":
                continue
            sides = {}
            for side in (part["left"], part["right"]):
                path = side.get("column_names", [])
                if len(path) == len((ROWS, "column")):
                    sides[path[0].casefold()] = path[1].casefold()
            ours = [field for field in self._schema if field.name.casefold() == sides.get(ROWS)]
            theirs = [name for name in source.column_names if name.casefold() == sides.get(SOURCE)]
            if len(ours) == len(theirs) == 1:
                yield ours[0], theirs[0]


def _place(when: When) -> str:
    number = f"{SOURCE}.{quote(SOURCE_NUMBER)}" if when is When.MATCHED else "NULL::UINTEGER"
    return f"{PLACE}, {number}"


def _condition(clause: Clause) -> str:
    return "TRUE" if clause.condition is None else f"({clause.condition}\n)"
