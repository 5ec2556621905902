"""What logs of a few small facts have in common: no base, the usual fan-out, every action taken in as it comes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from tablelog.format.action_json import ActionReader
from tablelog.format.hint import FAN_OUT_DEFAULT
from tablelog.log.lineage import Lineage, Merging
from tablelog.log.parts import Change, Step

if TYPE_CHECKING:
    from tablelog.format.commits import CommitRecord
    from tablelog.log.parts import Segment

State_co = TypeVar("State_co", covariant=True)
_MERGING: Final = Merging(FAN_OUT_DEFAULT, ActionReader())


class PlainHistory(ABC, Generic[State_co]):
    """A history (`log.followed.History`) whose state is small: names of tables, a consumer's position."""

    def __init__(self) -> None:
        """Begin before version 0."""
        self.restart()

    def restart(self) -> None:
        """Begin before version 0."""
        self.lineage = Lineage()
        self._begin()

    def apply(self, record: CommitRecord) -> None:
        """Take the next commit in."""
        changes = tuple(Change(record.version, action) for action in record.actions)
        self._take(changes)
        self.lineage.append(Step(record=record, changes=changes))

    def load(self, segment: Segment) -> None:
        """Take the next commits in, merged."""
        self._take(segment.changes)
        self.lineage.append(segment)

    @property
    def base(self) -> None:
        """There is none."""
        return

    @property
    def base_digest(self) -> None:
        """There is none."""
        return

    def merging(self, _: int) -> Merging:
        """How segments are made: the same way at every version."""
        return _MERGING

    @abstractmethod
    def _begin(self) -> None:
        """Forget every fact."""

    @abstractmethod
    def _take(self, changes: tuple[Change, ...]) -> None:
        """Take actions in, in their order."""

    @abstractmethod
    def state(self) -> State_co:
        """What the commits so far add up to: an immutable value."""
