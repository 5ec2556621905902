"""Tables whose files were never written: rows are keys that say how often they were written, and steps are applied.

What a compaction does to real files is modelled: merged size is the sum, deleted rows are left out, sorted rows are cut
into files of the target size. `ops.compaction.choose` sees states as the log would give them.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from tablelog.format.action_json import ActionReader, encode_action
from tablelog.format.actions import AddFile, SetPartitioning, SetSchema
from tablelog.format.commits import CommitRecord
from tablelog.format.statistics import FieldStatistics, shorten_max, shorten_min
from tablelog.format.vector import DeletionVector
from tablelog.log.parts import Step
from tablelog.log.state import TableState
from tablelog.ops.compaction import choose
from tablelog.ops.create import TableOptions, new_metadata
from tablelog.ops.policy import is_small, thorough
from tablelog.ops.spans import sure_span_of
from tablelog.parquet.columns import fields_from_user_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tablelog.log.metadata import Metadata
    from tablelog.ops.policy import Compaction, Policy

KIB: Final = 1024
UNIT: Final = 64 * KIB
TARGET: Final = 1024 * UNIT


@dataclass(slots=True)
class Row:
    key: Any
    """Of the first column of the order; None for null."""
    written: int = 0
    """How often a compaction wrote it."""


class Forest:
    """A table of one column, its files, and what compaction made of them so far."""

    def __init__(self, type_: str = "int64", *, row_bytes: int = UNIT, **options: Any) -> None:
        named = {name: (each,) if isinstance(each, str) else tuple(each) for name, each in options.items()}
        columns = {"k": type_, "l": "int64", "p": "int64"}
        self.metadata: Metadata = new_metadata(fields_from_user_schema(columns), TableOptions(**named))
        self.reader = ActionReader()
        self.reader.read(encode_action(SetSchema(schema=self.metadata.schema)))
        if self.metadata.partitioning.fields:
            self.reader.read(encode_action(SetPartitioning(partitioning=self.metadata.partitioning)))
        self.row_bytes = row_bytes
        self.files: dict[str, AddFile] = {}
        self.rows: dict[str, list[Row]] = {}
        self.every_row: list[Row] = []
        self.steps: list[Compaction] = []
        self._number = 0

    # ------------------------------------------------------------------ what writers do

    def append(
        self, keys: Iterable[Any], *, partition: int | None = None, inline: bool = False, known: bool = True
    ) -> AddFile:
        rows = [Row(key) for key in keys]
        self.every_row += rows
        return self._add(rows, (partition,) if self.metadata.partitioning.fields else (), inline=inline, known=known)

    def delete(self, path: str, count: int) -> None:
        """So many rows of a file, the first ones."""
        deleted = DeletionVector(row_count=count, inline=b"") if count else None
        self.files[path] = replace(self.files[path], deleted=deleted)

    def _add(
        self,
        rows: list[Row],
        values: tuple[Any, ...] = (),
        *,
        level: int = 0,
        inline: bool = False,
        known: bool = True,
    ) -> AddFile:
        self._number += 1
        path = f"_log/{self._number:020}.json#0" if inline else f"data/{self._number}"
        keys = [row.key for row in rows if row.key is not None and row.key == row.key]
        nans = sum(row.key != row.key for row in rows)
        told = FieldStatistics(
            min=shorten_min(min(keys)) if keys else None,
            max=shorten_max(max(keys)) if keys else None,
            null_count=sum(row.key is None for row in rows),
            nan_count=nans,
        )
        file = AddFile(
            path=path,
            size_bytes=len(rows) * self.row_bytes,
            row_count=len(rows),
            schema_id=self.metadata.schema.id,
            partitioning_id=self.metadata.partitioning.id if values else 0,
            partition_values=values,
            statistics={1: told, 2: FieldStatistics(min=5, max=5, null_count=0, nan_count=0)} if known else {},
            level=level,
        )
        self.files[path], self.rows[path] = file, rows
        return file

    # ------------------------------------------------------------------ what compaction does

    @property
    def state(self) -> TableState:
        record = CommitRecord(version=0, id="", parent=None, timestamp_us=0, operation="", actions=())
        step = Step(record=record, added=tuple(self.files.values()))
        return TableState((step,), 0, self.metadata, self.reader)

    def step(self, policy: Policy | None = None) -> Compaction | None:
        """Do what is chosen; some of what must hold of every choice is looked at."""
        found = choose(self.state, policy or thorough(self.metadata.properties))
        if found is None:
            return None
        paths = [file.path for file, _ in found.files]
        assert paths, "a step is about something"
        assert len(set(paths)) == len(paths), "a step is about a file once"
        assert all(self.files[file.path] == file for file, _ in found.files)
        for file, level in found.moves:
            assert level != file.level
            assert not file.is_inlined, "rows inside the log must become files"
            self.files[file.path] = replace(file, level=level)
        for merge in found.merges:
            assert len({(file.partitioning_id, file.partition_values) for file in merge.files}) == 1
            self._merge(merge.files, merge.level, sorts=merge.sorts)
        self.steps.append(found)
        return found

    def settle(self, policy: Policy | None = None, *, most: int = 1000, after: Callable[[], None] | None = None) -> int:
        """Steps until nothing is chosen; how many."""
        for count in range(most):
            if self.step(policy) is None:
                return count
            if after is not None:
                after()
        raise AssertionError(f"no end after {most} steps: {self}")

    def _merge(self, files: Sequence[AddFile], level: int, *, sorts: bool) -> None:
        trees: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
        fields = self.metadata.partitioning.fields
        for file in files:
            del self.files[file.path]
            values = file.partition_values or ((0,) if fields else ())
            trees[values if fields else ()] += self.rows.pop(file.path)[file.deleted_row_count :]
        per_file = max(self._target // self.row_bytes, 1)
        for values, rows in trees.items():
            for row in rows:
                row.written += 1
            order = self.metadata.order
            if sorts:
                rows.sort(key=lambda row: _place(row.key), reverse=False)
                if order[0].descending:
                    known = [row for row in rows if row.key is not None and row.key == row.key]
                    rows[: len(known)] = known[::-1]
            for start in range(0, len(rows), per_file):
                self._add(rows[start : start + per_file], values, level=level)

    @property
    def _target(self) -> int:
        return thorough(self.metadata.properties).target_bytes

    # ------------------------------------------------------------------ what is there

    @property
    def written(self) -> float:
        """How often a row was written by compactions, on average."""
        return sum(row.written for row in self.every_row) / max(len(self.every_row), 1)

    @property
    def levels(self) -> dict[int, list[AddFile]]:
        found: dict[int, list[AddFile]] = defaultdict(list)
        for file in self.files.values():
            found[file.level].append(file)
        return found

    @property
    def small(self) -> list[AddFile]:
        policy = thorough(self.metadata.properties)
        return [file for file in self.files.values() if is_small(file, policy)]

    def assert_levels_part(self) -> None:
        """No two files of one level and partition overlap."""
        trees: dict[tuple[Any, ...], list[AddFile]] = defaultdict(list)
        for file in self.files.values():
            if file.level:
                trees[file.level, file.partitioning_id, file.partition_values].append(file)
        for files in trees.values():
            spans = sorted(
                (sure_span_of(file, self.metadata) for file in files), key=lambda span: (span.low, span.high)
            )
            for left, right in pairwise(spans):
                assert not left.meets(right), self

    def assert_within_budget(self) -> None:
        policy = thorough(self.metadata.properties)
        assert not self.levels[0]
        for level, files in self.levels.items():
            trees: dict[tuple[Any, ...], int] = defaultdict(int)
            for file in files:
                trees[file.partition_values] += file.size_bytes
            assert max(trees.values(), default=0) <= policy.room_bytes(level), (level, self)

    def __repr__(self) -> str:
        told = (
            f"{level}: {len(files)} files, {sum(file.size_bytes for file in files) / UNIT:.0f} units"
            for level, files in sorted(self.levels.items())
        )
        return f"<{'; '.join(told)}>"


def _place(key: Any) -> tuple[int, Any]:
    return (2, 0) if key is None else (1, 0) if key != key else (0, key)
