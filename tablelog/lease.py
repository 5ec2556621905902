"""One of many that want to do the same: who holds the lease works, the others wait for it to stop.

    table's log         fence `name`, epoch 7            who may commit under the name: it decides
    _leases/name.json   {"epoch": 7, "beat": "0192…"}    a sign of life, written over and over: decides nothing

Who waits looks at the sign of life. If it has not changed for as long as his patience lasts, by his own clock, he takes
the name over with a commit to the table's log; a holder that was only slow gets `FencedError` from its next commit on.
So nobody has to trust a clock, two can never both commit, and renewing costs no version.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from tablelog import env
from tablelog.committing import take_over
from tablelog.errors import NotFoundError
from tablelog.format import names
from tablelog.provenance import commit_info

if TYPE_CHECKING:
    from tablelog.committing import Committing

PATIENCE_S: Final = 60.0
"""How long a sign of life may stand still."""


class Lease:
    """One contender for a name. Not to be shared between threads."""

    def __init__(self, table: Committing, name: str, *, patience_s: float = PATIENCE_S) -> None:
        """Nothing is asked for yet."""
        self._table = table
        self._name = name
        self._patience_s = patience_s
        self._held: Committing | None = None
        self._epoch = 0
        self._seen: tuple[object, float] | None = None
        """The sign of life, and when it was seen first."""
        self._beat_s = -patience_s

    def look(self) -> Committing | None:
        """The table to commit to if the lease is ours, else None: somebody else has it. Waits for nothing.

        Two gets, and a put now and then; one commit when the lease changes hands.
        """
        newest = self._table.log.refresh().metadata.fences.get(self._name, 0)
        if self._held is not None:
            if newest == self._epoch:
                self.beat()
                return self._held
            self._held, self._seen = None, None
        if not self._is_free(newest):
            return None
        self._held = take_over(self._table, self._name, commit_info(change=f"lease of {self._name}"))
        self._epoch = self._table.log.known().metadata.fences[self._name]
        self._put(ended=False)
        return self._held

    def beat(self) -> None:
        """Show that the holder lives, if that is due. At most one put in a quarter of the patience."""
        if self._held is not None and env.monotonic_s() - self._beat_s >= self._patience_s / 4:
            self._put(ended=False)

    def end(self) -> None:
        """Let others have it at once."""
        if self._held is not None:
            self._held = None
            self._put(ended=True)

    def _is_free(self, epoch: int) -> bool:
        sign = self._sign()
        if epoch == 0 or (sign.get("ended") and sign.get("epoch") == epoch):
            return True
        now_s = env.monotonic_s()
        told = (epoch, sign.get("epoch"), sign.get("beat"))
        if self._seen is None or self._seen[0] != told:
            self._seen = told, now_s
            return False
        return now_s - self._seen[1] >= self._patience_s

    def _sign(self) -> dict[str, Any]:
        """The newest sign of life; whatever else lies there says nothing."""
        try:
            found = json.loads(self._table.store.get(names.lease(self._name)))
        except (NotFoundError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _put(self, *, ended: bool) -> None:
        self._beat_s = env.monotonic_s()
        sign = {"epoch": self._epoch, "beat": env.new_id(), "who": env.who(), "ended": ended}
        self._table.store.put(names.lease(self._name), json.dumps(sign).encode())
