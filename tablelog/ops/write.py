"""Rows in, files and a draft of a commit out.

The files are written first, once, under the newest known schema; then the commit is tried. Rows that are so few that a
file of their own would cost more than they do ride inside the commit instead. A lost race never writes them again: they
are valid under any later schema, because they say which one they were written under. Only a rule that came in meanwhile
(a NOT NULL, a CHECK) makes them a conflict, since nobody has checked these rows against it.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from tablelog.errors import ConflictError, InvalidError
from tablelog.format.actions import AddFile, RowChange
from tablelog.ops.planned import Planned
from tablelog.parquet.conform import Conformer
from tablelog.parquet.encoder import POINT_GROUP_BYTES
from tablelog.parquet.inlined import encode_rows, statistics_of
from tablelog.parquet.key_filters import KeyCollector
from tablelog.parquet.ordering import ordering
from tablelog.parquet.transform import split_by_partition
from tablelog.parquet.writer import write_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from tablelog.format.types import Scalar
    from tablelog.log.metadata import Metadata
    from tablelog.log.state import TableState
    from tablelog.ops.keys import KeyCheck
    from tablelog.parquet.ordering import Ordering
    from tablelog.store.base import ObjectStore

TARGET_FILE_SIZE: Final = "target_file_size_bytes"
TARGET_FILE_SIZE_DEFAULT: Final = 64 * 1024 * 1024
INLINE_MAX: Final = "inline_max_bytes"
INLINE_MAX_DEFAULT: Final = 64 * 1024
_INLINE_MAX_MAX: Final = 1024 * 1024
_RATIO_MAX: Final = 8
"""More rows in memory than so many times what may be inlined are not even tried."""
_PARTS_MAX: Final = 32
"""Partitions of rows that ride inside one commit."""
_FILTER_KEYS_MAX: Final = 20_000
"""Keys of the key filters that one write brings into a commit: 60 KB, or 80 KB of base64."""
_TARGET_FILE_SIZE_MIN: Final = 64 * 1024
_TARGET_FILE_SIZE_MAX: Final = 8 * 1024**3


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """Rows that lie in files but are not in the table yet."""

    metadata: Metadata
    """The table as it was when they were written and checked."""
    files: tuple[AddFile, ...]
    keys: KeyCheck | None = None
    """What must hold of their keys; None if that is known already."""

    @property
    def row_count(self) -> int:
        """Rows in all the files."""
        return sum(file.row_count for file in self.files)


def write_rows(
    store: ObjectStore,
    metadata: Metadata,
    batches: Iterable[pa.RecordBatch],
    check: Callable[[pa.RecordBatch], None] | None = None,
    *,
    keys: KeyCheck | None = None,
    inline: bool = True,
    change: RowChange = RowChange.INSERT,
    level: int = 0,
    is_sorted: bool = False,
    on_progress: Callable[[int], None] | None = None,
) -> Written:
    """Store rows as files, or keep them for the commit if they are few.

    `check` sees each batch in the table's shape and raises what it does not allow; rows that are in the table already,
    or were checked when they came, need none.

    `keys` remembers the rows' keys, for the plan to hold against the table's. `on_progress` is told how many rows are
    encoded so far. `change` is what the rows are to readers of changes, `level` that of the files. Rows that are
    sorted already stay as they come.

    No request if the rows take no more than the table's `inline_max_bytes` and may be inlined; else one put per file of
    about the table's `target_file_size_bytes`. Memory does not grow with the input.

    Raises:
        InvalidError: rows that do not fit the table.

    """
    conform = Conformer(metadata.schema)

    def checked() -> Iterator[pa.RecordBatch]:
        for batch in batches:
            conformed = conform(batch)
            if check is not None:
                check(conformed)
            if keys is not None:
                keys.observe(conformed)
            yield conformed

    encoded = 0

    def advance(row_count: int) -> None:
        nonlocal encoded
        encoded += row_count
        if on_progress is not None:
            on_progress(encoded)

    rows = checked()
    few, rest = _few(rows, inline_max_bytes(metadata.properties) if inline else 0)
    files = _inlined(few, metadata) if rest is None else None
    if files is None:
        files = write_files(
            chain(few, rest or ()),
            schema=metadata.schema,
            partitioning=metadata.partitioning,
            ordering=None if is_sorted else _ordering(metadata),
            target_size_bytes=target_file_size_bytes(metadata.properties),
            store=store,
            key=() if level else metadata.key_fields,
            group_bytes=POINT_GROUP_BYTES if metadata.key else None,
            on_progress=advance,
        )
    files = _within_budget(files)
    if change is not RowChange.INSERT or level:
        files = tuple(replace(file, change=change, level=level) for file in files)
    written = Written(metadata=metadata, files=files, keys=keys)
    if encoded < written.row_count:  # a few rows are encoded on the spot
        advance(written.row_count - encoded)
    return written


def _few(
    rows: Iterator[pa.RecordBatch], inline_max: int
) -> tuple[list[pa.RecordBatch], Iterator[pa.RecordBatch] | None]:
    """The first batches, and the rest if all of them may be more than can be inlined."""
    few: list[pa.RecordBatch] = []
    size = 0
    while size <= inline_max * _RATIO_MAX and inline_max:
        batch = next(rows, None)
        if batch is None:
            return few, None
        few.append(batch)
        size += batch.nbytes
    return few, rows


def _inlined(batches: list[pa.RecordBatch], metadata: Metadata) -> tuple[AddFile, ...] | None:
    """The rows as adds that hold them, one per partition; None if they are too many for that."""
    parts: dict[tuple[Scalar | None, ...], list[pa.RecordBatch]] = {}
    for batch in batches:
        if not metadata.partitioning.fields:
            parts.setdefault((), []).append(batch)
            continue
        for values, part in split_by_partition(batch, metadata.partitioning, metadata.schema):
            parts.setdefault(values, []).append(part)
    if len(parts) > _PARTS_MAX:
        return None
    files = tuple(
        _inlined_file(pa.Table.from_batches(members), values, metadata)
        for values, members in parts.items()
        if any(member.num_rows for member in members)
    )
    return files if sum(file.size_bytes for file in files) <= inline_max_bytes(metadata.properties) else None


def _inlined_file(rows: pa.Table, values: tuple[Scalar | None, ...], metadata: Metadata) -> AddFile:
    order = _ordering(metadata)
    if order is not None and rows.num_rows > 1:
        rows = rows.take(order.indices(rows))
    (batch,) = rows.combine_chunks().to_batches()
    content = encode_rows(batch)
    keys = KeyCollector(metadata.key_fields) if metadata.key else None
    if keys is not None:
        keys.add(batch)
    return AddFile(
        path="",
        size_bytes=len(content),
        row_count=batch.num_rows,
        schema_id=metadata.schema.id,
        partitioning_id=metadata.partitioning.id,
        partition_values=values,
        statistics=statistics_of(batch, metadata.schema),
        crc32=zlib.crc32(content),
        key_filter=None if keys is None else keys.finish(),
        content=content,
    )


def _ordering(metadata: Metadata) -> Ordering | None:
    return ordering(metadata.sort_order, metadata.schema, curve=metadata.curve)


def _within_budget(files: tuple[AddFile, ...]) -> tuple[AddFile, ...]:
    """The files, those of them without a key filter for which there is no room left in one commit."""
    room = _FILTER_KEYS_MAX
    kept: list[AddFile] = []
    for file in files:
        if file.key_filter is not None:
            room -= file.row_count
        kept.append(file if room >= 0 else replace(file, key_filter=None))
    return tuple(kept)


def inline_max_bytes(properties: Mapping[str, str]) -> int:
    """Up to which size rows ride inside their commit, from a table's properties.

    Raises:
        InvalidError: the property is not a whole number of bytes from 0 (never) to 1 MiB.

    """
    text = properties.get(INLINE_MAX)
    return INLINE_MAX_DEFAULT if text is None else _bytes(INLINE_MAX, text, 0, _INLINE_MAX_MAX)


def target_file_size_bytes(properties: Mapping[str, str]) -> int:
    """The size that new files shall have, from a table's properties.

    Raises:
        InvalidError: the property is not a whole number of bytes between 64 KiB and 8 GiB.

    """
    text = properties.get(TARGET_FILE_SIZE)
    if text is None:
        return TARGET_FILE_SIZE_DEFAULT
    return _bytes(TARGET_FILE_SIZE, text, _TARGET_FILE_SIZE_MIN, _TARGET_FILE_SIZE_MAX)


def _bytes(name: str, text: str, least: int, most: int) -> int:
    is_short = len(text) <= len(str(most))  # Python refuses to read thousands of digits
    if not is_short or not text.isdecimal() or not least <= int(text) <= most:
        raise InvalidError(f"property {name} is {text!r}; it must be a number of bytes from {least} to {most}")
    return int(text)


def draft_append(state: TableState, written: Written, info: Mapping[str, Any]) -> Planned:
    """Add the rows to whatever the table holds."""
    refuse_new_rules(written.metadata, state)
    if written.keys is not None:
        written.keys.require_unique(state)
    return Planned(
        operation="append",
        actions=written.files,
        info={**info, "rows_added": written.row_count},
    )


def refuse_new_rules(written: Metadata, state: TableState) -> None:
    """Stop if the table demands something that it did not demand when the rows were checked.

    Raises:
        ConflictError: it does; the rule and the version are named.

    """
    now = state.metadata
    if now is written:
        return
    for name, expression in now.checks.items():
        if written.checks.get(name) != expression:
            raise ConflictError(
                f"the CHECK {name!r} ({expression}) was added by version {state.version} or shortly before, while "
                f"these rows were written; write them again"
            )
    for field in now.schema:
        before = written.schema.by_id(field.id)
        if not field.nullable and (before.nullable if before else field.initial_default is None):
            raise ConflictError(
                f"column {field.name!r} became not null by version {state.version} or shortly before, while these "
                f"rows were written; write them again"
            )
