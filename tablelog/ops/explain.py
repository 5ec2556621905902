"""Why a plan has the files that it has: how many each kind of knowledge rules out, and what the rest takes to read.

    files of the table
      less those in row groups of the log whose bounds rule them out unread
      less those whose partition cannot hold a matching row
      less those whose own bounds rule them out
      less those whose key filters do
      = the plan's files: objects, and rows inside the log; some with deleted rows

The steps add up, because the last is what is left over: the plan's files are counted, not planned again. A file counts
where it is first ruled out, in this order.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from tablelog.format import names
from tablelog.format.actions import INLINED_ROWS, AddFile
from tablelog.format.partitioning import result_type
from tablelog.format.predicate import ALWAYS, UNKNOWN, And, Not, Or, Truth, Unknown, field_ids_of
from tablelog.format.values import decode_value
from tablelog.log.files import Files
from tablelog.ops.buckets import Buckets
from tablelog.ops.known import Known
from tablelog.ops.partition_bounds import partition_statistics
from tablelog.ops.pruning import Pruning
from tablelog.ops.scan import matching
from tablelog.ops.sought import sought_by
from tablelog.parquet.plain import TRUE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tablelog.format.partitioning import PartitionField
    from tablelog.format.predicate import Predicate
    from tablelog.format.schema import Schema
    from tablelog.format.types import Scalar
    from tablelog.log.blocks import Block, Column
    from tablelog.log.metadata import Metadata
    from tablelog.log.state import TableState
    from tablelog.ops.scan import ScanPlan

_OUTSIDE: Final = r'"path"\s*:'
"""What the place of a vector that stands outside the log has, as JSON."""


class Knowledge(StrEnum):
    """What rules files out, in the order in which it is asked."""

    COUNTS = "counts"
    """All that is asked is how many rows there are; the log knows that."""
    SEGMENTS = "segments"
    """Least and greatest values of row groups of the log: nothing about the files themselves is read."""
    PARTITIONS = "partitions"
    """Partition values, buckets among them."""
    COLUMNS = "columns"
    """Least and greatest values, and nulls, of each file's columns."""
    FILTERS = "filters"
    """Key filters of small files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Funnel:
    """From all files of a version to those that a scan reads."""

    files_total: int
    ruled_out: tuple[tuple[Knowledge, int], ...]
    """How many files each kind of knowledge rules out of those that are left before; only kinds that were asked."""
    files: int
    """Files that are left: `files_total` less all those."""
    inlined: int
    """Of them, those that are rows inside the log."""
    with_deletes: int
    """Of them, those with a deletion vector."""
    commits: int
    """Commits that hold those rows."""
    vectors: int
    """Deletion vectors outside the log."""

    @property
    def objects(self) -> int:
        """What has to be opened: files, commits with rows inside, vectors. None of it may be in memory by now.

        An engine asks a file for several ranges: its footer, then columns of row groups.
        """
        return self.files - self.inlined + self.commits + self.vectors


def explain_scan(plan: ScanPlan) -> Funnel:
    """The funnel of a plan. As much work as planning; of a plan without a condition, columns of the log."""
    state, files = plan.state, plan.files
    inlined, vectors = _apart(state, files)
    return Funnel(
        files_total=state.file_count,
        ruled_out=tuple(_ruled_out(plan)),
        files=len(files),
        inlined=len(inlined),
        with_deletes=vectors.with_deletes,
        commits=len({path.partition("#")[0] for path in inlined}),
        vectors=vectors.outside,
    )


def _ruled_out(plan: ScanPlan) -> Iterable[tuple[Knowledge, int]]:
    """How the files that a plan leaves out fall to each kind of knowledge."""
    state, predicate = plan.state, plan.predicate
    if predicate == ALWAYS:
        if len(plan.files) < state.file_count:
            yield Knowledge.COUNTS, state.file_count - len(plan.files)
        return
    read = len(state.files_for(_Read(Pruning(state.metadata, predicate, Buckets(state.metadata, predicate)))))
    unread = state.file_count - read
    yield Knowledge.SEGMENTS, unread
    left: Sequence[AddFile] = plan.files
    if sought_by(state.metadata, predicate) is not None:
        left = matching(state, predicate, None)
    partitions = _Partitions(state.metadata, predicate)
    elsewhere = read - partitions.count(state) if partitions.asked else 0
    if partitions.asked:
        # A plan asks a file's bounds before its partition, and keeps it where the log knows no bounds.
        elsewhere -= sum(not partitions.may_hold(file) for file in left)
        yield Knowledge.PARTITIONS, elsewhere
    yield Knowledge.COLUMNS, state.file_count - len(left) - unread - elsewhere
    if left is not plan.files:
        yield Knowledge.FILTERS, len(left) - len(plan.files)


class _Read:
    """A `Narrowing` to the files of which a plan reads anything: those of row groups that are not ruled out."""

    field_ids: Sequence[int] = ()

    def __init__(self, pruning: Pruning) -> None:
        self.rules_out: Final = pruning.rules_out

    def columns(self, block: Block) -> Sequence[str]:  # noqa: ARG002 - they are only counted
        return ()

    def mask(self, block: Block) -> Column | None:  # noqa: ARG002
        return None


class _Partitions:
    """A `Narrowing` to files of which the partition may hold a row for which a predicate is TRUE."""

    field_ids: Sequence[int] = ()

    def __init__(self, metadata: Metadata, predicate: Predicate) -> None:
        self._metadata = metadata
        self._known = Known(metadata)
        self._buckets = Buckets(metadata, predicate)
        self.rules_out: Final = Pruning(metadata, predicate, self._buckets).rules_out
        ids = frozenset(field_ids_of(predicate))
        every = metadata.partitionings.values()
        sources = {each.id: ids & {field.source_id for field in each.fields} for each in every}
        self._predicates = {number: _only(predicate, found) for number, found in sources.items() if found}
        """By partitioning, what the predicate says of the columns that it splits by."""
        self._found: dict[tuple[int, int, tuple[Scalar | None, ...]], bool] = {}

    @property
    def asked(self) -> bool:
        """Whether the predicate says anything of a column by which files are split."""
        return bool(self._predicates)

    def count(self, state: TableState) -> int:
        """How many files are left."""
        files = state.files_for(self)
        return len(files) - sum(not self.may_hold(file) for file in files.held)

    def columns(self, block: Block) -> Sequence[str]:  # noqa: ARG002
        return ("partitioning", "schema", "partition")

    def mask(self, block: Block) -> Column | None:
        columns = block.columns(("partitioning", "schema", "partition"))
        text = (columns[name].cast(pa.string()) for name in ("partitioning", "schema", "partition"))
        encoded = pc.binary_join_element_wise(*text, " ").dictionary_encode()
        held = [self._text_may_hold(*each.split(" ", 2)) for each in encoded.dictionary.to_pylist()]
        return pc.fill_null(pa.array(held, pa.bool_()).take(encoded.indices), TRUE)

    def _text_may_hold(self, partitioning_id: str, schema_id: str, values: str) -> bool:
        """The same of a partition as the log has it."""
        partitioning = self._metadata.partitionings.get(int(partitioning_id))
        written = self._metadata.schemas.get(int(schema_id))
        if partitioning is None or written is None:
            return True  # they were added later, and are not counted
        fields = zip(partitioning.fields, json.loads(values), strict=True)
        return self._may_hold(
            partitioning.id, written.id, tuple(_decoded(field, value, written) for field, value in fields)
        )

    def may_hold(self, file: AddFile) -> bool:
        """Whether a file is left."""
        return self._may_hold(file.partitioning_id, file.schema_id, file.partition_values)

    def _may_hold(self, partitioning_id: int, schema_id: int, values: tuple[Scalar | None, ...]) -> bool:
        place = partitioning_id, schema_id, values
        if place not in self._found:
            self._found[place] = self._look(*place)
        return self._found[place]

    def _look(self, partitioning_id: int, schema_id: int, values: tuple[Scalar | None, ...]) -> bool:
        predicate = self._predicates.get(partitioning_id)
        if predicate is None or not values:
            return True
        partitioning, written = self._metadata.partitionings[partitioning_id], self._metadata.schemas[schema_id]
        statistics = partition_statistics(partitioning, values, written)
        row = AddFile(path="-", size_bytes=0, row_count=1, schema_id=schema_id, statistics=statistics)
        may_hold = Truth.TRUE in self._known.outcomes(predicate, row)
        return may_hold and self._buckets.may_hold(partitioning_id, schema_id, values)


def _decoded(field: PartitionField, value: Any, written: Schema) -> Scalar | None:
    source = written.by_id(field.source_id)
    return None if value is None or source is None else decode_value(value, result_type(field, source.type))


def _only(predicate: Predicate, field_ids: frozenset[int]) -> Predicate:
    """What a predicate says of some fields; the rest may be anything."""
    match predicate:
        case And(operands=operands):
            return And(tuple(_only(operand, field_ids) for operand in operands))
        case Or(operands=operands):
            return Or(tuple(_only(operand, field_ids) for operand in operands))
        case Not(operand=operand):
            return Not(_only(operand, field_ids))
        case Unknown():
            return predicate
        case _:
            return predicate if predicate.field_id in field_ids else UNKNOWN


@dataclass(frozen=True, slots=True)
class _Vectors:
    with_deletes: int
    outside: int


def _apart(state: TableState, files: Sequence[AddFile]) -> tuple[list[str], _Vectors]:
    """Paths of rows inside the log among files, and how many have deletion vectors."""
    if not isinstance(files, Files):
        vectors = [file.deleted for file in files if file.deleted is not None]
        outside = sum(vector.inline is None for vector in vectors)
        return [file.path for file in files if file.is_inlined], _Vectors(len(vectors), outside)
    has_inlined = INLINED_ROWS in state.metadata.features or any(file.is_inlined for file in files.held)
    # A million paths are not read where there is nothing to be found in them.
    columns = state.file_columns(("deletes", *(("path",) if has_inlined else ())))
    deletes: Any = columns.column("deletes").drop_null()
    found = _Vectors(len(deletes), int(pc.sum(pc.match_substring_regex(deletes, _OUTSIDE)).as_py() or 0))
    if not has_inlined:
        return [], found
    paths: Any = columns.column("path")
    inside: list[str] = paths.filter(pc.starts_with(paths, names.LOG)).to_pylist()
    return inside, found
