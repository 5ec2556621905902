"""The errors of tablelog: one tree, and a class only where the caller would do something else.

    TablelogError
    ├── NotFoundError     no such table, version or object: check the name
    ├── InvalidError      the call cannot be right as it stands: fix it (also a ValueError)
    ├── ConflictError     somebody else committed first and both cannot stand: reload, decide again
    │   └── FencedError   a newer owner exists: stop
    ├── CorruptionError   stored bytes are not what they must be: stop, repair; names the object
    └── StoreError        the storage failed; `maybe_applied` says whether the change may have happened

A message says what is wrong, which value, and what to do now. It is text for people and may change;
the class is the contract.
"""

from __future__ import annotations


class TablelogError(Exception):
    """Base of every error that tablelog raises on purpose."""


class NotFoundError(TablelogError):
    """A table, version, column or object that does not exist."""


class InvalidError(TablelogError, ValueError):
    """A call that cannot be carried out as it stands; nothing was written."""


class ConflictError(TablelogError):
    """Another writer committed something that this operation cannot stand beside."""


class FencedError(ConflictError):
    """A newer owner has taken over; this writer must stop."""


class CorruptionError(TablelogError):
    """Stored bytes contradict themselves or the log; the message names the object."""


class StoreError(TablelogError):
    """The storage failed.

    `maybe_applied` is True when the change may have happened all the same (an answer was lost), False
    when it certainly did not. `transient` is True when the same call may well succeed a little later
    (throttling, timeouts, broken connections), False when something has to be changed first.
    """

    def __init__(self, message: str, *, maybe_applied: bool = False, transient: bool = False) -> None:
        """Keep `message`, whether the change may have happened, and whether trying again makes sense."""
        super().__init__(message)
        self.maybe_applied = maybe_applied
        self.transient = transient
