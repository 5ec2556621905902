"""Operations on a table's rows: what people give, made into a plan that can be made again on any state.

A plan reads what it was given once, and writes files once if it can. `Committing.commit` carries it out alone,
a `Transaction` several of them together.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa

from tablelog.committing import application
from tablelog.compacting import Passing
from tablelog.conditions import assignment_on, condition_on, merge_on, row_check
from tablelog.engines.duckdb_rows import meet
from tablelog.engines.duckdb_text import quote
from tablelog.errors import InvalidError
from tablelog.format.types import children
from tablelog.ops.delete import Deletion, draft_delete
from tablelog.ops.keys import key_check, refuse_twice
from tablelog.ops.merge import Clause, MergingRows, Then, When
from tablelog.ops.overwrite import draft_overwrite
from tablelog.ops.update import Updating
from tablelog.ops.upsert import Upserting
from tablelog.ops.write import draft_append, write_rows
from tablelog.parquet.conform import Conformer
from tablelog.parquet.input import open_data
from tablelog.provenance import commit_info

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from tablelog.committing import Committing
    from tablelog.format.types import Field
    from tablelog.log.facts import Commit
    from tablelog.log.metadata import Metadata
    from tablelog.log.state import TableState
    from tablelog.ops.planned import Planned
    from tablelog.ops.removing import Removing
    from tablelog.store.base import ObjectStore

    Plan = Callable[[TableState, Mapping[str, Any]], Planned]
    """From a state, and what a commit says about its writer, to the commit."""


class Place(Protocol):
    """What operations begin with: a live table, or a table as a transaction sees it."""

    @property
    def store(self) -> ObjectStore:
        """Where its objects are."""

    def newest(self) -> Metadata:
        """What the table is."""

    def metadata_for(self, columns: Iterable[str]) -> Metadata:
        """What is known of a table that has these columns, or is as new as can be."""


def carry_out(
    table: Committing, begin: Callable[[], Plan], number: tuple[str, int] | None, info: Mapping[str, Any] | None
) -> Commit:
    """One operation as one commit; not begun at all if its number is known to be committed already.

    Now and then files are put together in passing, in the same commit.
    """
    about, numbered = commit_info(info), application(number)
    if (done := table.done(numbered)) is not None:
        return done
    plan, passing = begin(), Passing(table)
    return table.commit(lambda state: passing.plan(state, lambda then: plan(then, about)), numbered)


def appending(table: Place, data: object, on_progress: Callable[[int], None] | None = None) -> Plan:
    """See `Table.append`."""
    reader = open_data(data)
    metadata = table.metadata_for(reader.schema.names)
    check, keys = row_check(metadata.checks), key_check(table.store, metadata)
    written = write_rows(table.store, metadata, reader, check, keys=keys, on_progress=on_progress)
    return lambda state, about: draft_append(state, written, about)


def shaped(table: Place, data: object) -> pa.Table:
    """Rows in the table's shape and checked, held in memory: what a writer gathers."""
    reader = open_data(data)
    metadata = table.metadata_for(reader.schema.names)
    conform, check = Conformer(metadata.schema), row_check(metadata.checks)
    batches = [conform(batch) for batch in reader]
    for batch in batches:
        check(batch)
    return pa.Table.from_batches(batches, conform.arrow_schema)


def overwriting(
    table: Place,
    removing: Removing,
    data: object,
    where: str | None,
    on_progress: Callable[[int], None] | None = None,
) -> Plan:
    """See `Table.overwrite`."""
    metadata = table.newest()
    deletion = None if where is None else Deletion(table.store, removing, condition_on(where))
    if where is not None:
        condition_on(where)(metadata.schema)  # a condition that makes no sense is said before anything is written
    check, keys = row_check(metadata.checks, where), key_check(table.store, metadata)
    written = write_rows(table.store, metadata, open_data(data), check, keys=keys, on_progress=on_progress)
    return lambda state, about: draft_overwrite(state, written, about, deletion)


def deleting(table: Place, removing: Removing, where: str) -> Plan:
    """See `Table.delete`."""
    table.newest()
    deletion = Deletion(table.store, removing, condition_on(where))
    return lambda state, about: draft_delete(state, deletion, about)


def updating(table: Place, removing: Removing, values: Mapping[str, object], where: str | None) -> Plan:
    """See `Table.update`."""
    table.newest()
    return Updating(table.store, removing, assignment_on(values, where)).plan


def upserting(table: Place, removing: Removing, data: object, on: str | Sequence[str] | None) -> Plan:
    """See `Table.upsert`."""
    metadata = table.newest()
    rows = open_data(data).read_all()
    keys = _key_columns(metadata, on)
    names = {name.casefold(): name for name in rows.column_names}
    missing = [field.name for field in keys if field.name.casefold() not in names]
    if missing:
        raise InvalidError(f"the data has no column {missing[0]!r}, by which rows are brought in")
    _refuse_unknown(metadata, names)
    whole = Upserting(table.store, removing, rows, tuple(field.id for field in keys), meet, check_of)
    partial: MergingRows | None = None

    def plan(state: TableState, about: Mapping[str, Any]) -> Planned:
        nonlocal partial
        _refuse_unknown(state.metadata, names)
        if names.keys() >= {field.name.casefold() for field in state.schema}:
            return whole.plan(state, about)
        partial = partial or _upserting_some_columns(table.store, removing, rows, keys, metadata)
        return replace(partial.plan(state, about), operation="upsert")

    return plan


def _upserting_some_columns(
    store: ObjectStore, removing: Removing, rows: pa.Table, keys: Sequence[Field], metadata: Metadata
) -> MergingRows:
    """Rows that are there keep what the data does not bring."""
    given = {name.casefold() for name in rows.column_names}
    brought = tuple(field for field in metadata.schema if field.name.casefold() in given)
    conform = Conformer(replace(metadata.schema, fields=brought))
    shaped = pa.Table.from_batches(map(conform, rows.to_batches()), conform.arrow_schema)
    refuse_twice(shaped.select([field.name for field in keys]))
    equal = " AND ".join(f"t.{quote(field.name)} = s.{quote(field.name)}" for field in keys)
    clauses = [Clause(when=When.MATCHED, then=Then.UPDATE), Clause(when=When.NOT_MATCHED, then=Then.INSERT)]
    return MergingRows(store, removing, merge_on(shaped, equal, clauses))


def merge_source(data: object, on: object) -> pa.Table:
    """The rows of a source that are merged into a table, held in memory."""
    if not isinstance(on, str):
        raise InvalidError(f"on={on!r} is no condition; give SQL text such as 't.id = s.id'")
    return open_data(data).read_all()


def merging(table: Place, removing: Removing, source: pa.Table, on: str, clauses: Sequence[Clause]) -> Plan:
    """See `Merge.execute`."""
    table.newest()
    return MergingRows(table.store, removing, merge_on(source, on, clauses)).plan


def check_of(metadata: Metadata) -> Callable[[pa.RecordBatch], None]:
    """What raises for rows that a table's CHECKs do not allow."""
    return row_check(metadata.checks)


def _refuse_unknown(metadata: Metadata, names: Mapping[str, str]) -> None:
    """Stop if data brings a column that the table does not have; `names` has its spelling by folded names."""
    extra = names.keys() - {field.name.casefold() for field in metadata.schema}
    if extra:
        raise InvalidError(
            f"the table has no column {names[min(extra)]!r}; drop it from the data or add it with alter.add_column"
        )


def _key_columns(metadata: Metadata, on: str | Sequence[str] | None) -> list[Field]:
    """Columns by which rows are brought in."""
    if on is None:
        fields = [field for field_id in metadata.key if (field := metadata.schema.by_id(field_id)) is not None]
        if not fields:
            raise InvalidError("the table has no key; say by which columns rows are brought in: on='id'")
        return fields
    if not isinstance(on, Iterable):
        raise InvalidError(f"on={on!r} is no column and no list of columns")
    names = [on] if isinstance(on, str) else list(on)
    if not names:
        raise InvalidError("on=[] names no column; say by which columns rows are brought in")
    fields = [metadata.schema.field(name) for name in names]
    for field in fields:
        if children(field.type):
            raise InvalidError(f"rows cannot be brought in by column {field.name!r} of type {field.type}")
    if len({field.id for field in fields}) < len(fields):
        raise InvalidError(f"on={names} names a column twice")
    return fields
