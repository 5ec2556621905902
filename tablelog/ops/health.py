"""What shape a table is in: how its files and bytes are spread over the levels, and what its history has cost.

Everything comes from columns of the log, so that a table of a million files is looked at in about a second. Values in,
values out; `tablelog.health` shows them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from tablelog.errors import InvalidError
from tablelog.format import names
from tablelog.format.actions import INLINED_ROWS
from tablelog.log.facts import exact_sum
from tablelog.ops.policy import FULL, PURGE
from tablelog.ops.ranges import depth, order_field, range_columns, ranges_of
from tablelog.ops.write import TARGET_FILE_SIZE_DEFAULT, target_file_size_bytes
from tablelog.parquet.plain import scalar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tablelog.log.blocks import Column
    from tablelog.log.metadata import Metadata

COMPACTED_BYTES: Final = "compacted_bytes"
"""What a commit says in its `info` of files that were put together in it in passing."""
FACTS: Final = ("operation", "bytes_added", "byte_change", "info")
"""Columns of facts that `past_of` looks at."""
_COMPACT: Final = "compact"
_IN_PASSING: Final = rf'"{COMPACTED_BYTES}":(?P<bytes>\d{{1,18}})'
_COLUMNS: Final = ("size", "rows", "deleted", "deletes", "level", "schema", "partitioning", "partition")
_VECTOR_SIZE: Final = r'"size"\s*:\s*(?P<size>\d+)'
_VECTOR_INLINE: Final = r'"inline"\s*:\s*"(?P<blob>[^"=]*)'
_WIDE: Final = pa.decimal128(38, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelHealth:
    """One level of the tree of data files."""

    level: int
    """0 as writers wrote them."""
    inlined: int
    """Pieces of rows inside the log."""
    files: int
    """Objects; rows inside the log are not among them."""
    rows: int
    """Rows that are in the table."""
    deleted_rows: int
    """Rows in its files that are not."""
    size_bytes: int
    """Of files and rows inside the log."""
    inlined_bytes: int
    small_files: int
    """Files, and pieces of rows inside the log, of less than half the target size."""
    small_bytes: int
    share: float
    """Of the table's bytes."""

    @property
    def file_size_bytes_mean(self) -> float:
        """Bytes of a file, without rows inside the log; 0 if there is no file."""
        return (self.size_bytes - self.inlined_bytes) / self.files if self.files else 0.0

    @property
    def deleted_share(self) -> float:
        """Of the rows in its files, those that are deleted."""
        return ratio(self.deleted_rows, self.rows + self.deleted_rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a compaction would take up."""

    inlined: int = 0
    """Pieces of rows inside the log."""
    small_files: int = 0
    """Files that are small and not alone."""
    deleted_files: int = 0
    """Others of which more than a quarter of the rows are deleted."""

    def __bool__(self) -> bool:
        return any((self.inlined, self.small_files, self.deleted_files))


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How the files of one version lie."""

    levels: tuple[LevelHealth, ...]
    """Lowest first; those without files are left out."""
    partitions: int
    """Partitions that have files; 1 if the table is not partitioned and not empty."""
    vector_bytes: int
    """Deletion vectors, in the log or beside it."""
    order: str | None
    """The first column of the table's order."""
    read_amplification: int | None
    """Files, at most, whose ranges in the order overlap at one place of a partition; None for a table without one."""
    work: Work


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What the history that can be read has cost."""

    horizon: int
    """The oldest version that can be read."""
    versions: int
    """How many can be."""
    compactions: int
    compacted_bytes: int
    """Bytes that compactions wrote."""
    written_bytes: int
    """Bytes that everybody else wrote."""
    older_bytes: int | None
    """Bytes of files that only older versions than this one need; None if the log does not say."""


def shape_columns(metadata: Metadata) -> list[str]:
    """Columns of the log that `shape_of` looks at."""
    field = order_field(metadata)
    return [
        *_COLUMNS,
        *(("path",) if INLINED_ROWS in metadata.features else ()),
        *(() if field is None else range_columns(metadata, field)),
    ]


def shape_of(files: pa.Table, metadata: Metadata) -> Shape:
    """How files lie, of which `files` has the `shape_columns`."""
    each = each_file(files)
    field, groups = order_field(metadata), partition_codes(files)
    small_bytes = int(target_bytes(metadata.properties) * FULL)
    small: Any = pc.less(each["size"], scalar(small_bytes, pa.int64()))
    return Shape(
        levels=_levels(each, small),
        partitions=len(groups.unique()),
        vector_bytes=_vector_bytes(files.column("deletes")),
        order=None if field is None else field.name,
        read_amplification=None if field is None else depth(ranges_of(files, metadata, field), groups),
        work=_work(each, small, groups, ordered=field is not None),
    )


def past_of(facts: pa.Table, horizon: int, version: int) -> Past:
    """What commits cost, of which `facts` has the columns `added` and `FACTS`: those from the horizon to a version."""
    compacted: Any = pc.equal(facts.column("operation"), scalar(_COMPACT, pa.string()))
    written: Any = facts.column("bytes_added")
    in_passing = pc.struct_field(pc.extract_regex(facts.column("info"), _IN_PASSING), "bytes").cast(pa.int64())
    compacted_bytes = (exact_sum(written.filter(compacted)) or 0) + int(pc.sum(in_passing).as_py() or 0)
    removed = facts.filter(pc.greater(facts.column("added"), scalar(horizon, pa.int64())))
    added, change = (exact_sum(removed.column(name)) for name in ("bytes_added", "byte_change"))
    return Past(
        horizon=horizon,
        versions=version - horizon + 1,
        compactions=int(pc.sum(pc.or_(compacted, in_passing.is_valid())).as_py() or 0),
        compacted_bytes=compacted_bytes,
        written_bytes=(exact_sum(written) or 0) - compacted_bytes,
        older_bytes=None if added is None or change is None else max(0, added - change),
    )


def each_file(files: pa.Table) -> dict[str, Column]:
    """Level, size, live and deleted rows of each file, and whether it is inside the log, nothing missing."""
    whole: dict[str, Any] = {name: files.column(name).combine_chunks() for name in ("size", "rows", "deleted", "level")}
    deleted: Any = pc.fill_null(whole["deleted"], scalar(0, pa.int64()))
    has_paths = "path" in files.column_names
    return {
        "level": pc.fill_null(whole["level"], scalar(0, pa.int64())),
        "size": whole["size"],
        "rows": pc.subtract(whole["rows"], deleted),
        "deleted": deleted,
        "inlined": pc.starts_with(files.column("path").combine_chunks(), names.LOG)
        if has_paths
        else pa.repeat(scalar(0, pa.int8()), files.num_rows).cast(pa.bool_()),
    }


def partition_codes(files: pa.Table) -> Column:
    """A number for each file that says which of the partitions that have files it is in."""
    partition, partitioning = (files.column(name).combine_chunks() for name in ("partition", "partitioning"))
    if partition.null_count == len(partition):
        return pa.repeat(scalar(0, pa.int32()), len(partition))
    text: Any = pc.binary_join_element_wise(
        partitioning.cast(pa.string()), pc.fill_null(partition, scalar("", pa.string())), " "
    )
    return text.dictionary_encode().indices


def target_bytes(properties: Mapping[str, str]) -> int:
    """How large files shall be; as it is by default if somebody wrote something into the log that makes no sense."""
    try:
        return target_file_size_bytes(properties)
    except InvalidError:
        return TARGET_FILE_SIZE_DEFAULT


def ratio(part: float, whole: float) -> float:
    """A share; 0 of nothing."""
    return part / whole if whole else 0.0


def _levels(each: Mapping[str, Column], small: Column) -> tuple[LevelHealth, ...]:
    columns = {
        "files": pa.repeat(scalar(1, pa.int64()), len(small)),
        "rows": each["rows"],
        "deleted": each["deleted"],
        "size": each["size"],
        "inlined": each["inlined"].cast(pa.int64()),
        "small": small.cast(pa.int64()),
    }
    columns["inlined_size"] = pc.multiply(columns["size"], columns["inlined"])
    columns["small_size"] = pc.multiply(columns["size"], columns["small"])
    wide = pa.table({"level": each["level"]} | {name: column.cast(_WIDE) for name, column in columns.items()})
    sums = wide.group_by("level").aggregate([(name, "sum") for name in columns]).sort_by("level")
    total = exact_sum(each["size"]) or 0
    return tuple(
        LevelHealth(
            level=row["level"],
            inlined=int(row["inlined_sum"]),
            files=int(row["files_sum"] - row["inlined_sum"]),
            rows=int(row["rows_sum"]),
            deleted_rows=int(row["deleted_sum"]),
            size_bytes=int(row["size_sum"]),
            inlined_bytes=int(row["inlined_size_sum"]),
            small_files=int(row["small_sum"]),
            small_bytes=int(row["small_size_sum"]),
            share=ratio(int(row["size_sum"]), total),
        )
        for row in sums.to_pylist()
    )


def _work(each: Mapping[str, Column], small: Column, groups: Column, *, ordered: bool) -> Work:
    """Rows inside the log always; files that are small and not alone in their partition; mostly deleted files.

    Of a table with an order only files of level 0: files of the levels above may be small.
    """
    inlined = each["inlined"]
    if ordered:
        small = pc.and_(small, pc.equal(each["level"], scalar(0, pa.int64())))
    small = pc.or_(small, inlined)
    counts: Any = groups.filter(small).value_counts()
    crowded = counts.field("values").filter(pc.greater(counts.field("counts"), scalar(1, pa.int64())))
    joined = pc.and_(small, pc.is_in(groups, value_set=crowded))
    rows: Any = pc.add(each["rows"], each["deleted"])
    is_deleted = pc.greater(each["deleted"].cast(pa.float64()), pc.multiply(rows.cast(pa.float64()), PURGE))
    return Work(
        inlined=_count(inlined),
        small_files=_count(pc.and_not(joined, inlined)),
        deleted_files=_count(pc.and_not(is_deleted, pc.or_(joined, inlined))),
    )


def _vector_bytes(deletes: Column) -> int:
    """Bytes of deletion vectors, found in the text of the JSON that says where they are."""
    known = deletes.drop_null().combine_chunks()
    if not len(known):
        return 0
    beside: Any = pc.struct_field(pc.extract_regex(known, _VECTOR_SIZE), "size").cast(pa.int64())
    digits: Any = pc.binary_length(pc.struct_field(pc.extract_regex(known, _VECTOR_INLINE), "blob")).cast(pa.int64())
    inside: Any = pc.divide(pc.multiply(digits, scalar(3, pa.int64())), scalar(4, pa.int64()))  # of base64
    return int(pc.sum(beside).as_py() or 0) + int(pc.sum(inside).as_py() or 0)


def _count(mask: Column) -> int:
    return int(pc.sum(mask).as_py() or 0)
