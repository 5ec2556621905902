"""Rows in the place of others, in one commit: a write and a delete that nobody sees apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tablelog.format.actions import removal
from tablelog.ops.planned import Planned
from tablelog.ops.write import refuse_new_rules

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tablelog.format.actions import Action
    from tablelog.log.state import TableState
    from tablelog.ops.delete import Deletion
    from tablelog.ops.write import Written


def draft_overwrite(
    state: TableState, written: Written, info: Mapping[str, Any], deletion: Deletion | None = None
) -> Planned:
    """Put the rows in the place of all rows, or of those that `deletion` finds."""
    refuse_new_rules(written.metadata, state)
    actions: list[Action]
    if deletion is None:
        actions, rows_deleted = [removal(file) for file in state.files], state.row_count
    else:
        actions, rows_deleted = deletion.plan(state)
    if written.keys is not None:
        written.keys.require_unique(state.after(actions))
    actions.extend(written.files)
    return Planned(
        operation="overwrite",
        actions=actions,
        info={**info, "rows_added": written.row_count, "rows_deleted": rows_deleted},
    )
