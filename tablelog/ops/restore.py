"""Back to an older version, or one commit taken back: new commits, so that nothing is ever lost.

`restore_to` makes the table what it was: rows, columns, rules and settings. It looks at no rows, only at which files
and vectors differ.

`Reverting` takes one commit back and leaves what came after it: files that it brought go, what it took away comes back.
That is only possible while the rows that it brought are still where it put them; otherwise it says what stands in the
way. What it took away can always come back, as long as no rule forbids it; and a rule, if every row of today keeps it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import pyarrow as pa
from pyroaring import BitMap

from tablelog.errors import ConflictError, CorruptionError, InvalidError
from tablelog.format.actions import (
    AddFile,
    RowChange,
    SetCheck,
    SetKey,
    SetPartitioning,
    SetProperty,
    SetSchema,
    SetSortOrder,
    again,
    removal,
)
from tablelog.format.schema import Schema
from tablelog.format.types import can_widen
from tablelog.ops.keys import key_check
from tablelog.ops.planned import Planned
from tablelog.ops.removing import Removing
from tablelog.ops.write import write_rows
from tablelog.parquet.conform import Conformer
from tablelog.parquet.contents import read_vector, read_vectors
from tablelog.parquet.reader import read_batches, read_every_row
from tablelog.parquet.vectors import NO_ROWS, deleted_mask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any

    from tablelog.format.actions import Action
    from tablelog.format.vector import Gone
    from tablelog.log.changed import FileChanges
    from tablelog.log.facts import Commit
    from tablelog.log.metadata import Metadata
    from tablelog.log.state import TableState
    from tablelog.store.base import ObjectStore

_SHOWN: Final = 5


def restore_to(state: TableState, wanted: TableState, info: Mapping[str, Any]) -> Planned:
    """The commit that makes the table what it was at an older version."""
    now, then = ({(file.path, file.deleted): file for file in each.files} for each in (state, wanted))
    gone = [file for place, file in now.items() if place not in then]
    back = [file for place, file in then.items() if place not in now]
    actions: list[Action] = [*settings(state.metadata, wanted.metadata)]
    actions += map(removal, gone)
    actions += (again(file, deleted=file.deleted) for file in back)
    counts = {"rows_added": _live(back), "rows_deleted": _live(gone)}
    return Planned(operation="restore", actions=actions, info={**info, **counts})


def _live(files: list[AddFile]) -> int:
    return sum(file.live_row_count for file in files)


def settings(now: Metadata, then: Metadata) -> Iterator[Action]:
    """What makes a table's columns, rules and settings what they were; tags, fences and the horizon stay."""
    if now.schema.fields != then.schema.fields:
        last = now.schema.last_field_id
        yield SetSchema(schema=Schema(id=max(now.schemas) + 1, fields=then.schema.fields, last_field_id=last))
    if now.partitioning.fields != then.partitioning.fields:
        yield SetPartitioning(partitioning=replace(then.partitioning, id=max(now.partitionings) + 1))
    if (now.sort_order, now.curve) != (then.sort_order, then.curve):
        yield SetSortOrder(fields=then.sort_order, curve=then.curve)
    if now.key != then.key:
        yield SetKey(field_ids=then.key)
    for name in sorted({*now.properties, *then.properties}):
        if now.properties.get(name) != then.properties.get(name):
            yield SetProperty(name=name, value=then.properties.get(name))
    for name in sorted({*now.checks, *then.checks}):
        if now.checks.get(name) != then.checks.get(name):
            yield SetCheck(name=name, expression=then.checks.get(name))


@dataclass(frozen=True, slots=True)
class _Return:
    """Rows of a file that come back."""

    file: AddFile
    """As it was before they went."""
    rows: BitMap
    deleted: BitMap | None = None
    """What is deleted of it from now on, if it is in the table."""
    is_whole: bool = False
    """Whether it is the whole file that comes back."""
    again_count: int = 0
    """Rows of it that had come back and go again."""


class Reverting:
    """One commit being taken back. `plan` may be called any number of times."""

    def __init__(
        self,
        store: ObjectStore,
        version: int,
        changes: FileChanges,
        metadata: tuple[Metadata, Metadata],
        check_of: Callable[[Metadata], Callable[[pa.RecordBatch], None]],
    ) -> None:
        """Take back what a version did to files, and to everything else (`metadata` before and after it)."""
        self._store = store
        self._version = version
        self._changes = changes
        self._before, self._after = metadata
        self._check_of = check_of
        self._removing = Removing(store)
        self._copied: dict[str, tuple[AddFile, ...]] = {}

    def plan(
        self, state: TableState, later: Callable[[], Iterator[tuple[Commit, FileChanges]]], info: Mapping[str, Any]
    ) -> Planned:
        """The commit that takes it back; `later` gives the commits since, for the message if that cannot be.

        Raises:
            ConflictError: rows that it brought are not there as it brought them, or settings were changed again.
            InvalidError: there is nothing to take back, or rows that would come back break a rule or have a key that is
                there by now.

        """
        wanted = {file.path for file in (*self._changes.added, *self._changes.removed)}
        live = {file.path: file for file in state.files if file.path in wanted}
        added = [file for file in self._changes.added if file.path not in self._changes.renewed]
        changed = {file.path for file in added if file.path not in live or live[file.path].deleted != file.deleted}
        gone: dict[str, Gone] = {}
        if any(file.change is RowChange.NONE and file.path in changed for file in added):
            gone = {file.gone.path: file.gone for file in added if file.gone is not None}
        if gone:  # survivors have moved on; they stay where they are, and of their old files comes back what went
            added = [file for file in added if file.change is not RowChange.NONE]
        obstacles = [file.path for file in added if file.path in changed]
        returns = list(self._returns(live, gone, obstacles))
        if obstacles:
            raise ConflictError(f"version {self._version} cannot be taken back: {_told(obstacles, later())}")
        actions: list[Action] = [*self._settings(state.metadata), *(removal(live[file.path]) for file in added)]
        try:
            after = state.after(actions)
        except CorruptionError as error:  # something needs a column that would go
            raise ConflictError(f"version {self._version} cannot be taken back: {error}") from error
        self._check_all(state.metadata, after)
        self._check(after, returns)
        for each in returns:
            actions += self._back(each, live.get(each.file.path), state.metadata)
        if not actions:
            raise InvalidError(
                f"version {self._version} changed no rows and no settings; there is nothing to take back"
            )
        counts = {
            "rows_added": sum(len(each.rows) for each in returns),
            "rows_deleted": _live(added) + sum(each.again_count for each in returns),
        }
        return Planned(operation="revert", actions=actions, info={**info, **counts})

    def _returns(
        self, live: Mapping[str, AddFile], gone: Mapping[str, Gone], obstacles: list[str]
    ) -> Iterator[_Return]:
        """Rows that come back, of some files only those in `gone`; files of which that cannot be become obstacles."""
        before, after = read_vectors(self._store, self._changes.removed), read_vectors(self._store, self._changes.added)
        now = read_vectors(self._store, live.values())
        for file in self._changes.removed:
            path = file.path
            if path not in self._changes.renewed:
                if path in live:
                    obstacles.append(path)
                if path in gone:
                    vectors = filter(None, (gone[path].deleted, gone[path].updated))
                    yield _Return(file, BitMap.union(*(read_vector(self._store, vector, path) for vector in vectors)))
                else:
                    yield _Return(file, BitMap(range(file.row_count)) - before.get(path, NO_ROWS), is_whole=True)
                continue
            went, came = (
                after.get(path, NO_ROWS) - before.get(path, NO_ROWS),
                before.get(path, NO_ROWS) - after.get(path, NO_ROWS),
            )
            deleted = now.get(path, NO_ROWS)
            if came & deleted or (went - deleted if path in live else came):
                obstacles.append(path)
            yield _Return(file, went, (deleted - went) | came if path in live else None, again_count=len(came))

    def _back(self, each: _Return, live: AddFile | None, metadata: Metadata) -> list[Action]:
        """What brings rows back: the file, another vector, or a copy of rows whose file is gone."""
        if each.is_whole:
            return [again(each.file, deleted=each.file.deleted)]
        if live is not None:
            plain = again(live, deleted=None)
            return [removal(live), self._removing.without(plain, each.deleted) if each.deleted else plain]
        if each.file.path not in self._copied:
            written = write_rows(self._store, metadata, self._rows(each, metadata))
            self._copied[each.file.path] = written.files
        return [*self._copied[each.file.path]]

    def _rows(self, each: _Return, metadata: Metadata) -> Iterator[pa.RecordBatch]:
        start, written = 0, metadata.schemas[each.file.schema_id]
        for batch in read_every_row(self._store, each.file, written, metadata.schema.fields):
            yield batch.filter(deleted_mask(each.rows, start, batch.num_rows))
            start += batch.num_rows

    def _check_all(self, now: Metadata, after: TableState) -> None:
        """Hold the rows that stay against rules and types that come back.

        Raises:
            InvalidError: a row breaks a rule, or a rule speaks of a column that would go.
            ConflictError: a file has a column in a type that is wider than the one that comes back.

        """
        then = after.metadata
        if (now.checks, now.schema.fields) == (then.checks, then.schema.fields):
            return
        conform, check = Conformer(then.schema), self._check_of(then)
        check(pa.RecordBatch.from_pylist([], conform.arrow_schema))
        not_null = {field.id for field in now.schema if not field.nullable}
        has_nulls = any(not field.nullable and field.id not in not_null for field in then.schema)
        for file in after.files:
            written = then.schemas[file.schema_id]
            for field in then.schema:
                found = written.by_id(field.id)
                if found is not None and found.type != field.type and not can_widen(found.type, field.type):
                    raise ConflictError(
                        f"version {self._version} cannot be taken back: {file.path} was written since and has the "
                        f"column {field.name!r} as {found.type}, which would be {field.type} again"
                    )
            if has_nulls or not then.checks.items() <= now.checks.items():
                for batch in read_batches(self._store, file, written, then.schema.fields):
                    check(conform(batch))

    def _check(self, state: TableState, returns: list[_Return]) -> None:
        """Hold the rows that come back against rules that came since, and against the keys of a state without them."""
        metadata = state.metadata
        has_new_rules = metadata.checks != self._before.checks or metadata.schema.fields != self._before.schema.fields
        keys = key_check(self._store, metadata)
        if not has_new_rules and keys is None:
            return
        conform, check = Conformer(metadata.schema), self._check_of(metadata)
        for each in returns:
            for batch in self._rows(each, metadata):
                check(conform(batch))
                if keys is not None:
                    keys.observe(batch)
        if keys is not None:
            keys.require_unique(state)

    def _settings(self, now: Metadata) -> list[Action]:
        """What sets the settings back that the version changed.

        Raises:
            ConflictError: one was changed again.

        """
        changed = list(settings(self._after, self._before))
        again = {_aspect(action) for action in settings(self._after, now)}
        twice = sorted(_aspect(action) for action in changed if _aspect(action) in again)
        if twice:
            raise ConflictError(
                f"version {self._version} cannot be taken back: the {' '.join(filter(None, twice[0]))} was changed "
                f"again since; set it as it shall be"
            )
        aspects = {_aspect(action) for action in changed}
        return [action for action in settings(now, self._before) if _aspect(action) in aspects]


def _aspect(action: Action) -> tuple[str, str]:
    """Which setting an action is about."""
    match action:
        case SetSchema():
            return "schema", ""
        case SetPartitioning():
            return "partitioning", ""
        case SetSortOrder():
            return "sort order", ""
        case SetKey():
            return "key", ""
        case SetProperty(name=name):
            return "property", name
        case SetCheck(name=name):
            return "CHECK", name
        case _:
            raise AssertionError(action)


def _told(obstacles: list[str], later: Iterator[tuple[Commit, FileChanges]]) -> str:
    """What happened since to files that would have to be as they were."""
    paths = set(obstacles)
    told = [
        f"version {commit.version} ({commit.operation} by {commit.info.get('who', 'unknown')}) changed {file.path}"
        for commit, changes in later
        for file in changes.removed
        if file.path in paths
    ]
    shown = "; ".join(told[:_SHOWN] + ["…"] * (len(told) > _SHOWN))
    return shown or f"{obstacles[0]} is in the table again"
