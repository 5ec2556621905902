"""What an operation wants to commit, and how that becomes a draft that everybody can read again."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tablelog.format import names
from tablelog.format.action_json import encode_action
from tablelog.format.actions import AddFile, FileActions, RemoveFile, RequireFeature, features_of
from tablelog.log.actions_object import outsourced
from tablelog.log.commits import Draft
from tablelog.log.facts import commit_of
from tablelog.log.parts import Step

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tablelog.format.actions import Action, SetApplication
    from tablelog.format.commits import CommitRecord
    from tablelog.log.facts import Commit
    from tablelog.log.history import TableHistory
    from tablelog.store.base import ObjectStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A change of a table before it has a version."""

    operation: str
    actions: Sequence[Action]
    info: Mapping[str, Any] = field(default_factory=dict)

    def numbered(self, number: SetApplication) -> Planned:
        """The same under a writer's own number."""
        return replace(self, actions=[*self.actions, number])


class Drafting:
    """Makes drafts of what one operation wants, again after each lost race."""

    def __init__(self, history: TableHistory, store: ObjectStore) -> None:
        """Make drafts for the log that `history` has read."""
        self._history = history
        self._store = store
        self._wanted: Sequence[Action] = ()
        self._few: tuple[Action, ...] = ()

    def draft_of(self, planned: Planned, vacuumed_us: int = 0) -> Draft:
        """The commit to try. One put if it has so many files that they need an object of their own.

        Objects of names made before `vacuumed_us` may be gone: that one is put again if it is so old.

        Raises:
            InvalidError: nobody could read it again.

        """
        objects = (names.made_us(names.LOG + each.path) for each in self._few if isinstance(each, FileActions))
        is_gone = any(made_us is not None and made_us < vacuumed_us for made_us in objects)
        if not self._few or is_gone or planned.actions != self._wanted:
            self._wanted = planned.actions
            self._few = outsourced(self._store, planned.actions, self._history.reader)
        known = self._history.features
        required = [RequireFeature(name=name) for name in sorted(features_of(self._wanted) - known)]
        actions = tuple(encode_action(action) for action in (*self._few, *required))
        self._history.check(actions)
        return Draft(operation=planned.operation, actions=actions, info=planned.info)

    def commit_of(self, record: CommitRecord) -> Commit:
        """The commit that the last draft has become; the history may have forgotten it by now."""
        added = tuple(action for action in self._wanted if isinstance(action, AddFile))
        removed = tuple(action for action in self._wanted if isinstance(action, RemoveFile))
        return commit_of(Step(record=record, added=added, removed=removed))
