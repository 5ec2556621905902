"""A table at one version: an immutable value.

The same version is the same state for ever (P3), whatever is committed later. It holds the parts of the log up to the
version, and looks into them when it is asked: nothing is known of files until somebody wants to know it.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from tablelog import env
from tablelog.errors import CorruptionError
from tablelog.format import names
from tablelog.format.actions import AddFile, RemoveFile
from tablelog.format.commits import CommitRecord
from tablelog.log.facts import Totals
from tablelog.log.files import Named, Wanted, files_at
from tablelog.log.merging import cut
from tablelog.log.metadata import changed
from tablelog.log.parts import Segment, Step
from tablelog.parquet.plain import scalar

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet

    from tablelog.format.action_json import ActionReader
    from tablelog.format.actions import Action
    from tablelog.format.schema import Schema
    from tablelog.log.files import Files, Narrowing
    from tablelog.log.metadata import Metadata
    from tablelog.log.parts import Part


class TableState:
    """A table at one version: an immutable value."""

    def __init__(self, parts: tuple[Part, ...], version: int, metadata: Metadata, reader: ActionReader) -> None:
        """Take what the parts of a log, from version 0 on, say about a version inside them."""
        self._parts = tuple(part for part in parts if part.first <= version)
        self._reader = reader
        self.version: Final = version
        self.metadata: Final = metadata

    @property
    def schema(self) -> Schema:
        """The columns at this version."""
        return self.metadata.schema

    @cached_property
    def timestamp_us(self) -> int:
        """When the version was committed, microseconds since 1970-01-01 UTC."""
        part = self._parts[-1]
        if part.last == self.version:
            return part.head.timestamp_us
        facts = part.facts(("added", "timestamp"))
        times = facts.filter(pc.equal(facts.column("added"), scalar(self.version, pa.int64()))).column("timestamp")
        return int(times.cast(pa.int64())[0].as_py())

    @cached_property
    def files(self) -> Files:
        """Live files in the order in which they were added.

        Raises:
            CorruptionError: the log removes files that it never added.

        """
        return self._checked(files_at(self._parts, self.version, self._reader))

    def file_columns(self, names: Sequence[str]) -> pa.Table:
        """Some columns of the log about the live files, as `log.file_rows` calls them: no value for each file.

        Raises:
            CorruptionError: as `files`.

        """
        wanted = Wanted(tuple(names))
        return self._checked(files_at(self._parts, self.version, self._reader, wanted)).columns(names)

    @property
    def horizon(self) -> int:
        """The oldest version that can be read, as far as this one knows; of each from there on the facts are kept."""
        first = self._parts[0]
        folded = first.last if isinstance(first, Segment) and first.is_base else 0
        return max(self.metadata.horizon.version, folded)

    def facts(self, names: Sequence[str]) -> pa.Table:
        """Some columns of `log.facts`, and `added`, about the commits from the horizon on, oldest first."""
        facts = pa.concat_tables(part.facts(("added", *names)) for part in self._parts if part.last >= self.horizon)
        versions: Any = facts.column("added")
        low, high = (scalar(each, pa.int64()) for each in (self.horizon, self.version))
        return facts.filter(pc.and_(pc.greater_equal(versions, low), pc.less_equal(versions, high)))

    def _checked(self, files: Files) -> Files:
        if len(files) != self._totals.file_count:
            raise CorruptionError(
                f"the log adds and removes files so that {self._totals.file_count} are left, but {len(files)} are; "
                f"some version up to {self.version} removes a file that is not in the table, or adds one twice"
            )
        return files

    def files_for(self, narrowing: Narrowing) -> Files:
        """Live files that may be wanted, in the order in which they were added; the others are not looked at."""
        return files_at(self._parts, self.version, self._reader, narrowing)

    @cached_property
    def file_count(self) -> int:
        """How many files there are."""
        return self._totals.file_count

    @cached_property
    def row_count(self) -> int:
        """Rows in the table; from the log alone."""
        known = self._totals.row_count
        return self.files.row_count if known is None else known

    @cached_property
    def size_bytes(self) -> int:
        """Bytes of the live files."""
        known = self._totals.size_bytes
        return self.files.size_bytes if known is None else known

    def placed(self, actions: Sequence[Action]) -> list[Action]:
        """Actions as they would be read if they were committed next: rows inside the commit have a path.

        It is one that nobody else has: the version may become somebody else's, with other rows in the same place.
        """
        plan_id = env.new_id()
        return [
            replace(action, path=names.planned(plan_id, number))
            if isinstance(action, AddFile) and not action.path
            else action
            for number, action in enumerate(actions)
        ]

    def after(self, actions: Sequence[Action]) -> TableState:
        """The table as it would be if actions were committed next; what they add can be read like anything else."""
        version, head, placed = self.version + 1, self._parts[-1].head, self.placed(actions)
        record = CommitRecord(
            version=version, id="", parent=head.checksum, timestamp_us=head.timestamp_us, operation="", actions=()
        )
        step = Step(
            record=record,
            added=tuple(action for action in placed if isinstance(action, AddFile)),
            removed=tuple(action for action in placed if isinstance(action, RemoveFile)),
        )
        last = self._parts[-1]
        if isinstance(last, Segment):  # it may go on with what really came next
            last = cut(last, self.version)
        return TableState((*self._parts[:-1], last, step), version, changed(self.metadata, actions), self._reader)

    def find(self, paths: AbstractSet[str]) -> dict[str, AddFile]:
        """Live files with some paths; no value for any other."""
        return {file.path: file for file in self.files_for(Named(paths)) if file.path in paths}

    @cached_property
    def _totals(self) -> Totals:
        return sum((part.totals_at(self.version) for part in self._parts), Totals())
