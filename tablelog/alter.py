"""`table.alter`: changes of columns, rules and settings. Each is one commit and rewrites no file."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tablelog.conditions import fields_of, row_check
from tablelog.engines.arrow import read_plan
from tablelog.engines.duckdb import ENGINE
from tablelog.errors import InvalidError
from tablelog.format.predicate import Comparison, IsNull, Not, Operator, Or
from tablelog.format.types import Primitive
from tablelog.format.values import promote, stored_range
from tablelog.ops import alter
from tablelog.ops.planned import Planned
from tablelog.ops.scan import plan_scan
from tablelog.parquet.arrow import arrow_type, physical_value
from tablelog.parquet.casts import cast_exactly
from tablelog.parquet.columns import fields_from_user_schema
from tablelog.provenance import commit_info

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tablelog.format.actions import Action
    from tablelog.format.types import DataType
    from tablelog.log.facts import Commit
    from tablelog.log.followed import FollowedLog
    from tablelog.log.metadata import Metadata
    from tablelog.log.state import TableState
    from tablelog.store.base import ObjectStore


class Alter:
    """The ways to change a table without touching its rows."""

    def __init__(
        self,
        log: FollowedLog[TableState],
        commit: Callable[[Callable[[TableState], Planned]], Commit],
        store: ObjectStore,
    ) -> None:
        """Made by `Table.alter`."""
        self._log = log
        self._commit_plan = commit
        self._store = store

    def add_column(
        self,
        name: str,
        type: object,  # noqa: A002 - the word that people look for
        *,
        default: object = None,
        nullable: bool = True,
        comment: str | None = None,
    ) -> Commit:
        """Add a column at the end. Rows that exist read as `default`, and appends without the column store it.

        `type` is text (`"string"`, `"decimal(10, 2)"`, `"BIGINT"`), an Arrow type, a Polars type or a Python type.
        """
        (field,) = fields_from_user_schema({name: type})
        value = None if default is None else physical_value(default, field.type)
        field = replace(
            field,
            nullable=field.nullable and nullable,
            initial_default=value,
            write_default=value,
            comment=comment,
        )
        return self._commit(f"add column {name}", lambda metadata: alter.add_column(metadata, field))

    def rename_column(self, old: str, new: str) -> Commit:
        """Call a column something else; older versions keep the old name."""
        return self._commit(
            f"rename column {old} to {new}",
            lambda metadata: alter.rename_column(metadata, old, new, ENGINE.columns_of),
        )

    def drop_column(self, name: str) -> Commit:
        """Take a column out; older versions keep it."""
        return self._commit(
            f"drop column {name}", lambda metadata: alter.drop_column(metadata, name, ENGINE.columns_of)
        )

    def widen_column(self, name: str, type: object) -> Commit:  # noqa: A002
        """Give a column a type that holds every value of its old one, such as int32 to int64 or to decimal."""
        (wider,) = fields_from_user_schema({name: type})
        return self._commit(
            f"widen column {name} to {wider.type}",
            lambda metadata: alter.widen_column(metadata, name, wider.type),
            lambda state: self._refuse_far_dates(state, name, wider.type),
        )

    def set_not_null(self, name: str) -> Commit:
        """Forbid nulls in a column; refused while there are any."""
        return self._commit(
            f"set not null on {name}",
            lambda metadata: alter.set_nullable(metadata, name, nullable=False),
            lambda state: self._refuse_nulls(state, name),
        )

    def drop_not_null(self, name: str) -> Commit:
        """Allow nulls in a column."""
        return self._commit(
            f"drop not null on {name}", lambda metadata: alter.set_nullable(metadata, name, nullable=True)
        )

    def set_default(self, name: str, value: object) -> Commit:
        """What appends store from here on when they do not bring the column; None for null."""

        def change(metadata: Metadata) -> tuple[Action, ...]:
            stored = None if value is None else physical_value(value, metadata.schema.field(name).type)
            return alter.set_default(metadata, name, stored)

        return self._commit(f"set default of {name}", change)

    def set_comment(self, name: str, comment: str | None) -> Commit:
        """A column's comment; None removes it."""
        return self._commit(f"comment on {name}", lambda metadata: alter.set_comment(metadata, name, comment))

    def add_check(self, name: str, expression: str) -> Commit:
        """Forbid rows for which an SQL condition is false; refused while there are any."""
        return self._commit(
            f"add check {name}",
            lambda metadata: alter.add_check(metadata, name, expression),
            lambda state: self._refuse_failing(state, name, expression),
        )

    def drop_check(self, name: str) -> Commit:
        """Drop a CHECK constraint."""
        return self._commit(f"drop check {name}", lambda metadata: alter.drop_check(metadata, name))

    def set_property(self, name: str, value: object) -> Commit:
        """Change a setting, such as `target_file_size_bytes`; None removes it."""
        text = None if value is None else str(value)
        return self._commit(f"set property {name}", lambda metadata: alter.set_property(metadata, name, text))

    def partition_by(self, *transforms: str) -> Commit:
        """Split new files by these transforms, such as `"month(placed_at)"`; none for not at all. Old files stay."""
        return self._commit("partition by", lambda metadata: alter.set_partitioning(metadata, transforms))

    def sort_by(self, *columns: str) -> Commit:
        """Sort rows inside new files, such as `"placed_at"`, `"price desc"`; none for not at all.

        Compactions sort what they merge; `compact(full=True)` everything.
        """
        return self._commit("sort by", lambda metadata: alter.set_sort_order(metadata, columns))

    def cluster_by(self, *columns: str) -> Commit:
        """Sort rows by their place on a Hilbert curve through some columns, so that a filter on any of them prunes.

        Holds for new files; compactions cluster what they merge, `compact(full=True)` everything. None for not at all.
        """
        return self._commit("cluster by", lambda metadata: alter.set_curve(metadata, columns))

    def _commit(
        self,
        told: str,
        change: Callable[[Metadata], Iterable[Action]],
        require: Callable[[TableState], None] | None = None,
    ) -> Commit:
        self._log.refresh()

        def plan(state: TableState) -> Planned:
            actions = tuple(change(state.metadata))
            if require is not None:
                require(state)
            return Planned(operation="alter", actions=actions, info=commit_info(change=told))

        return self._commit_plan(plan)

    def _refuse_nulls(self, state: TableState, name: str) -> None:
        field = state.schema.field(name)
        suspects = plan_scan(state, (field,), IsNull(field.id))
        null_count = sum(batch.column(0).null_count for batch in read_plan(suspects, self._store))
        if null_count:
            raise InvalidError(
                f"column {field.name!r} has {null_count:,} nulls and cannot become not null; "
                f"delete or fill those rows first"
            )

    def _refuse_far_dates(self, state: TableState, name: str, type_: DataType) -> None:
        """Microseconds reach 294,000 years and dates five million; nobody could read a column with one beyond."""
        field = state.schema.field(name)
        if field.type is not Primitive.DATE:
            return
        reach = stored_range(type_).stop // int(promote(1, field.type, type_))
        beyond = (Comparison(field.id, Operator.LESS, -reach), Comparison(field.id, Operator.GREATER, reach))
        for batch in read_plan(plan_scan(state, (field,), Or(beyond)), self._store):
            cast_exactly(batch.column(0), arrow_type(type_), field.name)

    def _refuse_failing(self, state: TableState, name: str, expression: str) -> None:
        predicate = ENGINE.parse_condition(expression, state.schema)
        check = row_check({name: expression})
        suspects = plan_scan(state, fields_of(expression, state.schema), Not(predicate))
        for batch in read_plan(suspects, self._store):
            check(batch)
