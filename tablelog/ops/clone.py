"""A table of its own whose files are another one's: its version 0, which no data is copied for.

The clone's log names the files where they are (`format.names.lent`). Rows inside commits are written again, because
only the log that they stand in can name them. Columns have the ids that they had, so files of any age read as before;
history begins anew, and tags, fences and consumers stay with the source.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tablelog.errors import InvalidError
from tablelog.format import names
from tablelog.format.actions import SetPartitioning, SetSchema, TableIdentity, again
from tablelog.ops.create import settings_of
from tablelog.ops.planned import Planned
from tablelog.parquet.contents import inlined_content
from tablelog.store.base import is_far
from tablelog.store.together import together

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tablelog.format.actions import Action, AddFile
    from tablelog.log.metadata import Metadata
    from tablelog.log.state import TableState
    from tablelog.store.base import ObjectStore


def draft_clone(
    state: TableState, store: ObjectStore, folder: str, table_id: str, info: Mapping[str, Any]
) -> tuple[Planned, frozenset[str]]:
    """Version 0 of a clone, and the folders of all tables whose files it uses.

    `state` is the source's, in `store`, which is the lake's `folder`. One get for each commit with rows that are not in
    memory.

    Raises:
        InvalidError: a file lies where no clone can name it.

    """
    files = list(state.files)
    inlined = [file for file in files if file.is_inlined]
    contents = dict(
        zip(
            (file.path for file in inlined),
            together(lambda file: inlined_content(store, file), inlined, side_by_side=is_far(store)),
            strict=True,
        )
    )
    lent = [_lent(file, folder, contents.get(file.path)) for file in files]
    actions = [*_settings(state.metadata, files, table_id), *lent]
    counts = {"rows_added": sum(file.live_row_count for file in files)}
    return Planned(operation="clone", actions=actions, info={**info, **counts}), frozenset(_folders(lent))


def _settings(metadata: Metadata, files: Iterable[AddFile], table_id: str) -> Iterator[Action]:
    """Everything but files: schemas and partitionings that files name, then those of today; rules and settings."""
    schema_ids = {file.schema_id for file in files}
    partitioning_ids = {file.partitioning_id for file in files}
    today = metadata.schema
    yield TableIdentity(id=table_id)
    for schema in metadata.schemas.values():
        if schema.id in schema_ids and schema.id != today.id:
            yield SetSchema(schema=schema)
    yield SetSchema(schema=today)
    older = [
        each for each in metadata.partitionings.values() if each.id in partitioning_ids - {metadata.partitioning.id}
    ]
    told = [each for each in (*older, metadata.partitioning) if each.fields or each.id or older]
    yield from (SetPartitioning(partitioning=partitioning) for partitioning in told)
    yield from settings_of(metadata)


def _lent(file: AddFile, folder: str, content: bytes | None) -> AddFile:
    """The file as the clone names it."""
    deleted = file.deleted
    if deleted is not None and deleted.path is not None:
        deleted = replace(deleted, path=_lent_path(folder, deleted.path))
    path = _lent_path(folder, file.path) if content is None else ""
    return replace(again(file, deleted=deleted), path=path, content=content)


def _lent_path(folder: str, path: str) -> str:
    lent = names.lent(folder, path)
    if names.parse_lent(lent) is None:
        raise InvalidError(
            f"{path} of {folder} cannot be lent: a clone can only name files under {names.DATA} and {names.DELETES}; "
            f"rewrite the table with overwrite() first"
        )
    return lent


def _folders(files: Iterable[AddFile]) -> Iterator[str]:
    for file in files:
        for path in (file.path, file.deleted.path if file.deleted is not None else None):
            found = names.parse_lent(path) if path else None
            if found is not None:
                yield found[0]
