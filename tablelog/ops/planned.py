"""What an operation wants to commit, and how that becomes a draft that everybody can read again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tablelog.format.actions import encode_action
from tablelog.log.actions_object import outsourced
from tablelog.log.commits import Draft

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tablelog.format.actions import Action
    from tablelog.log.state import TableHistory
    from tablelog.store.base import ObjectStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A change of a table before it has a version."""

    operation: str
    actions: Sequence[Action]
    info: Mapping[str, Any] = field(default_factory=dict)


def draft_of(planned: Planned, history: TableHistory, store: ObjectStore) -> Draft:
    """The commit to try. One put if there are so many files in it that they need an object of their own.

    Raises:
        InvalidError: nobody could read it again.

    """
    few = outsourced(store, planned.actions, history.reader)
    actions = tuple(encode_action(action) for action in few)
    history.check(actions)
    return Draft(operation=planned.operation, actions=actions, info=planned.info)
