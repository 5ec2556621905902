"""File actions of one commit that are so many that they stand in an object of their own.

A sealed Parquet object like a segment's, with the same columns; `added` and `removed` are null, because whoever writes
it does not know yet which version the commit will be. The commit names it with its digest, so the commit stays small
and still vouches for every byte.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pyarrow as pa

from tablelog import env
from tablelog.errors import CorruptionError, NotFoundError
from tablelog.format import names
from tablelog.format.action_json import encode_action
from tablelog.format.actions import AddFile, FileActions, RemoveFile
from tablelog.log.blocks import GroupBlock
from tablelog.log.file_rows import FILE_SCHEMA, file_table
from tablelog.log.segments import GROUP_ROWS, check_columns, optional_fields, padded
from tablelog.parquet.sealed import Stated, encode_sealed, open_sealed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tablelog.format.action_json import ActionReader
    from tablelog.format.actions import Action
    from tablelog.log.blocks import Block
    from tablelog.store.base import ObjectStore

INLINE_MAX: Final = 128
"""Adds and removes that a commit holds itself: reading so many takes some milliseconds."""
_KINDS: Final = "tablelog.actions"
_ALWAYS: Final = pa.schema([pa.field("kind", pa.string()), *FILE_SCHEMA])


def outsourced(store: ObjectStore, actions: Sequence[Action], reader: ActionReader) -> tuple[Action, ...]:
    """The actions, with adds and removes replaced by an object that holds them if they are many. One put then.

    Rows that ride inside the commit stay there.
    """
    added = [action for action in actions if isinstance(action, AddFile) and action.path]
    removed = [action for action in actions if isinstance(action, RemoveFile)]
    if len(added) + len(removed) <= INLINE_MAX:
        return tuple(actions)
    rest = [
        action
        for action in actions
        if not isinstance(action, RemoveFile) and not (isinstance(action, AddFile) and action.path)
    ]
    known = reader.copy()  # files may name a schema that comes with them
    for action in rest:
        known.read(encode_action(action))
    files = file_table(added, [0] * len(added), range(len(added)), known)
    return (*rest, put_actions(store, files, removal_table(removed)))


def removal_table(removed: Sequence[RemoveFile]) -> pa.Table:
    """Removes as rows."""
    return pa.table(
        {
            "path": pa.array([action.path for action in removed], pa.string()),
            "rows": pa.array([action.row_count for action in removed], pa.int64()),
            "size": pa.array([action.size_bytes for action in removed], pa.int64()),
        }
    )


def put_actions(store: ObjectStore, files: pa.Table, removals: pa.Table) -> FileActions:
    """Write an object with adds (see `log.file_rows`) and removes; the action that stands for it. One put."""
    optional = optional_fields([files])
    schema = pa.schema([*_ALWAYS, *optional])
    groups = [
        (kind, table.slice(start, GROUP_ROWS))
        for kind, table in (("file", files.drop_columns(["added", "removed"])), ("remove", removals))
        for start in range(0, table.num_rows, GROUP_ROWS)
    ]
    rows = (padded(table, kind, schema) for kind, table in groups)
    bounded = ("schema", *(column.name for column in optional if ":" in column.name))
    data, digest = encode_sealed(rows, schema, {_KINDS: ",".join(kind for kind, _ in groups)}, bounded)
    path = names.actions_file(env.new_id())
    store.put(names.LOG + path, data)
    return FileActions(path=path, size_bytes=len(data), digest=digest)


def open_actions(store: ObjectStore, key: str, action: FileActions) -> tuple[list[Block], list[Block]]:
    """Adds and removes of a commit. One get of the object's end, or of all of it if it is small.

    Raises:
        CorruptionError: the object is missing, damaged, or another one.

    """
    try:
        sealed = open_sealed(store, key, Stated(size_bytes=action.size_bytes, digest=action.digest))
    except NotFoundError as error:
        raise CorruptionError(f"{store.url}/{key} is missing although the log needs it") from error
    if sealed.digest != action.digest:
        raise CorruptionError(f"{sealed.name}: it is not the object that the log speaks of")
    check_columns(sealed, _ALWAYS)
    kinds = sealed.properties.get(_KINDS, "").split(",")
    if len(kinds) != sealed.metadata.num_row_groups or not {*kinds} <= {"file", "remove"}:
        raise CorruptionError(f"{sealed.name}: it does not hold file actions")
    blocks = [(kind, GroupBlock(sealed, number)) for number, kind in enumerate(kinds)]
    return [each for kind, each in blocks if kind == "file"], [each for kind, each in blocks if kind == "remove"]
