"""How far readers of a table's changes have come: a small log of its own for each, under `_consumers/`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tablelog.errors import CorruptionError
from tablelog.format import names
from tablelog.format.values import count
from tablelog.log.followed import FollowedLog
from tablelog.log.plain import PlainHistory

if TYPE_CHECKING:
    from tablelog.log.parts import Change
    from tablelog.store.base import ObjectStore

BEGINNING: Final = -1
"""Where a reader is who has not taken any changes."""


class Positions(PlainHistory[int]):
    """The log of one consumer, applied in order; its state is the version up to which changes were taken."""

    def _begin(self) -> None:
        self._position = BEGINNING

    def _take(self, changes: tuple[Change, ...]) -> None:
        for change in changes:
            body: Any = change.action.get("position")
            try:
                self._position = count(body["version"] + 1) - 1
            except (KeyError, TypeError) as error:
                raise CorruptionError(f"version {change.version} of a consumer's log holds no position") from error

    def state(self) -> int:
        """The version up to which changes were taken."""
        return self._position


def positions(store: ObjectStore) -> dict[str, int]:
    """The version up to which each consumer of a table has taken its changes, by the folder of the consumer.

    One list, and for each consumer what opening a log costs.
    """
    parsed = (names.parse_consumer(info.key) for info in store.list(names.CONSUMERS))
    folders = {found[0] for found in parsed if found is not None and names.parse_commit(found[1]) is not None}
    return {
        folder: FollowedLog(store, f"{names.CONSUMERS}{folder}/", Positions()).refresh() for folder in sorted(folders)
    }
