"""A step of compaction and an operation as one commit: as if the step came first.

The operation is planned on the table as it is after the step. To readers of changes there is only the operation: files
that the step wrote name those that they were made of (`moved`), and where the operation takes rows out of them, exactly
which (`gone`). What cannot be said like that is not put together.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tablelog.format.actions import AddFile, RemoveFile, RowChange
from tablelog.format.vector import Gone

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tablelog.format.actions import Action


def together(
    step: Sequence[Action], sources: Mapping[str, tuple[str, ...]], operation: Sequence[Action]
) -> list[Action] | None:
    """The actions of both; None if they cannot be one commit.

    `sources` has what each file was made of that the step wrote.
    """
    stepped = {action.path: action for action in step if isinstance(action, AddFile)}
    added = {action.path: action for action in operation if isinstance(action, AddFile) and action.path}
    replaces = any(file.change is RowChange.UPDATE for file in _added(operation))
    taken = {action.path for action in operation if isinstance(action, RemoveFile)} & stepped.keys()
    files: dict[str, AddFile] = {}
    for path, file in stepped.items():
        after = added.get(path) if path in taken else file
        if after is None:  # all of its rows go, or what is left moves on
            return None
        gone = after.gone
        if path in sources and path in taken and gone is None:
            if file.deleted is not None or after.deleted is None:
                return None
            gone = Gone(path=path, **{"updated" if replaces else "deleted": after.deleted})
        files[path] = replace(after, gone=gone, moved=sources.get(path, ()), change=file.change)
    rest = [action for action in operation if not (isinstance(action, AddFile | RemoveFile) and action.path in stepped)]
    return [*(action for action in step if not isinstance(action, AddFile)), *files.values(), *rest]


def _added(actions: Sequence[Action]) -> list[AddFile]:
    """Files that come, and not those that stay with another vector."""
    removed = {action.path for action in actions if isinstance(action, RemoveFile)}
    return [action for action in actions if isinstance(action, AddFile) and action.path not in removed]
