"""Rows in, files and a draft of a commit out.

The files are written first, once, under the newest known schema; then the commit is tried. A lost race never writes
them again: they are valid under any later schema, because they say which one they were written under. Only a rule
that came in meanwhile (a NOT NULL, a CHECK) makes them a conflict, since nobody has checked these rows against it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tablelog.errors import ConflictError, InvalidError
from tablelog.ops.planned import Planned
from tablelog.parquet.conform import Conformer
from tablelog.parquet.writer import write_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    import pyarrow as pa

    from tablelog.format.actions import AddFile
    from tablelog.log.metadata import Metadata
    from tablelog.log.state import TableState
    from tablelog.ops.keys import KeyCheck
    from tablelog.store.base import ObjectStore

TARGET_FILE_SIZE: Final = "target_file_size_bytes"
TARGET_FILE_SIZE_DEFAULT: Final = 64 * 1024 * 1024
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
    check: Callable[[pa.RecordBatch], None],
    *,
    keys: KeyCheck | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Written:
    """Store rows as files; `check` sees each batch in the table's shape and raises what it does not allow.

    `keys` remembers the rows' keys, for the plan to hold against the table's. `on_progress` is told how many rows are
    encoded so far.

    One put per file of about the table's `target_file_size_bytes`. Memory does not grow with the input.

    Raises:
        InvalidError: rows that do not fit the table.

    """
    conform = Conformer(metadata.schema)

    def checked() -> Iterator[pa.RecordBatch]:
        for batch in batches:
            conformed = conform(batch)
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

    files = write_files(
        checked(),
        schema=metadata.schema,
        partitioning=metadata.partitioning,
        sort_order=metadata.sort_order,
        target_size_bytes=target_file_size_bytes(metadata.properties),
        store=store,
        on_progress=advance,
    )
    written = Written(metadata=metadata, files=files, keys=keys)
    if encoded < written.row_count:  # a few rows are encoded on the spot
        advance(written.row_count - encoded)
    return written


def target_file_size_bytes(properties: Mapping[str, str]) -> int:
    """The size that new files shall have, from a table's properties.

    Raises:
        InvalidError: the property is not a whole number of bytes between 64 KiB and 8 GiB.

    """
    text = properties.get(TARGET_FILE_SIZE)
    if text is None:
        return TARGET_FILE_SIZE_DEFAULT
    if not text.isdecimal() or not _TARGET_FILE_SIZE_MIN <= int(text) <= _TARGET_FILE_SIZE_MAX:
        raise InvalidError(
            f"property {TARGET_FILE_SIZE} is {text!r}; it must be a number of bytes from {_TARGET_FILE_SIZE_MIN} to "
            f"{_TARGET_FILE_SIZE_MAX}"
        )
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
