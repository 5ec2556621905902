"""Rows out, by a condition.

The plan is made again after a lost race, and remembers which rows of which files it has found. So rows that others
append meanwhile are looked at too, and a delete that commits as version n has deleted every matching row of version n
- 1. Deletes of other rows of the same file do not matter: both vectors are merged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tablelog.ops.matching import Matching
from tablelog.ops.planned import Planned
from tablelog.ops.removing import Leaving, Removing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from tablelog.format.actions import Action
    from tablelog.format.schema import Schema
    from tablelog.log.state import TableState
    from tablelog.ops.matching import Condition
    from tablelog.store.base import ObjectStore


class Deletion:
    """One delete on its way into the log. `plan` may be called any number of times."""

    def __init__(self, store: ObjectStore, removing: Removing, condition_on: Callable[[Schema], Condition]) -> None:
        """Delete what the condition says; it is read anew if the schema changes on the way."""
        self._matching = Matching(store, condition_on)
        self._removing = removing

    def plan(self, state: TableState) -> tuple[list[Action], int]:
        """The actions that delete from this state, and how many rows that is."""
        files, found = self._matching.find(state)
        leaving = [Leaving(file=file, deleted=found[path]) for path, file in files.items()]
        return self._removing.actions(state.metadata, leaving), sum(map(len, found.values()))


def draft_delete(state: TableState, deletion: Deletion, info: Mapping[str, Any]) -> Planned:
    """Take the rows out that the deletion finds."""
    actions, rows_deleted = deletion.plan(state)
    return Planned(
        operation="delete",
        actions=actions,
        info={**info, "rows_deleted": rows_deleted},
    )
