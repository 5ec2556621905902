"""A store that fails as real ones do, at chosen moments or at random from a seed; see `tablelog.testing`."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from enum import Enum
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from tablelog.errors import InvalidError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tablelog.store.base import ByteRange, ObjectInfo, ObjectStore


class Fault(Enum):
    """What can go wrong with a request."""

    FAILED = "failed"
    """Nothing was done. A transient `StoreError`. Any verb."""
    ANSWER_LOST = "answer lost"
    """It was done, but the caller gets a `StoreError` with `maybe_applied=True`. Verbs that change something."""
    SENT_TWICE = "sent twice"
    """A client below repeated a create after a lost answer: False about the caller's own object. `put_if_absent`."""
    OVERWRITTEN = "overwritten"
    """The store ignores the condition: it replaces what was there and says True. `put_if_absent`."""
    STALE = "stale"
    """The newer half of the objects is missing. `list`."""
    SHUFFLED = "shuffled"
    """Keys come in no order. `list`."""


_CHANGING: Final = frozenset({"put", "put_if_absent", "delete"})
_CREATING: Final = frozenset({"put_if_absent"})
_LISTING: Final = frozenset({"list"})

_VERBS: Final[Mapping[Fault, frozenset[str]]] = {
    Fault.FAILED: _CHANGING | _LISTING | {"get", "head"},
    Fault.ANSWER_LOST: _CHANGING,
    Fault.SENT_TWICE: _CREATING,
    Fault.OVERWRITTEN: _CREATING,
    Fault.STALE: _LISTING,
    Fault.SHUFFLED: _LISTING,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Planned:
    fault: Fault
    verbs: frozenset[str]
    key_ends: str


class FaultyStore:
    """`inner`, failing on purpose.

    Faults come from two sources: `inject` names the next one, `rates` gives each kind a probability. Chance is a
    function of the seed, the fault, the verb, the key and how often that verb was asked of that key, so a run with
    several threads meets the same faults in whatever order they run.
    """

    def __init__(
        self,
        inner: ObjectStore,
        *,
        rates: Mapping[Fault, float] | None = None,
        seed: int = 0,
        before: Callable[[str, str], None] | None = None,
    ) -> None:
        """Fail with the given `rates`. `before(verb, key)` runs ahead of each request: it may wait, count or raise."""
        self._inner = inner
        self._rates = dict(rates or {})
        self._seed = seed
        self._before = before
        self._lock = threading.Lock()
        self._planned: list[_Planned] = []
        self._turns: dict[tuple[str, str], int] = {}
        self._injected: dict[Fault, int] = {}

    def __repr__(self) -> str:
        """Show what stands in front of what."""
        return f"FaultyStore({self._inner!r}, seed={self._seed})"

    @property
    def inner(self) -> ObjectStore:
        """The store behind, without faults."""
        return self._inner

    @property
    def url(self) -> str:
        """The address of the store behind."""
        return self._inner.url

    @property
    def injected(self) -> Mapping[Fault, int]:
        """How often each fault happened; a test that counts on faults asks here whether there were any."""
        with self._lock:
            return dict(self._injected)

    def inject(self, fault: Fault, *, verb: str | None = None, key_ends: str = "", times: int = 1) -> None:
        """Let the next `times` matching requests fail; for `list` the key is the prefix.

        Raises `InvalidError` for a verb that the fault cannot hit.
        """
        verbs = _VERBS[fault] if verb is None else _VERBS[fault] & {verb}
        if not verbs:
            message = f"{fault.value!r} cannot happen to {verb!r}, only to {', '.join(sorted(_VERBS[fault]))}"
            raise InvalidError(message)
        with self._lock:
            self._planned += [_Planned(fault=fault, verbs=verbs, key_ends=key_ends)] * times

    def heal(self) -> None:
        """From now on nothing fails."""
        with self._lock:
            self._planned.clear()
            self._rates.clear()

    def get(self, key: str, byte_range: ByteRange | None = None) -> bytes:
        """Bytes of the object, or of a part of it."""
        self._arrive("get", key)
        return self._inner.get(key, byte_range)

    def put(self, key: str, data: bytes | memoryview) -> None:
        """Create or replace."""
        fault = self._arrive("put", key)
        self._inner.put(key, data)
        self._answer(fault, "put", key)

    def upload(self, key: str) -> None:
        """Nothing is written past `put`, so that every object meets the faults."""

    def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
        """Create and return True, or return False because the key exists."""
        fault = self._arrive("put_if_absent", key)
        if fault is Fault.OVERWRITTEN:
            self._inner.put(key, data)
            return True
        created = self._inner.put_if_absent(key, data)
        if fault is Fault.SENT_TWICE:
            created = self._inner.put_if_absent(key, data)
        self._answer(fault, "put_if_absent", key)
        return created

    def list(self, prefix: str = "", start_after: str = "") -> Iterator[ObjectInfo]:
        """Objects whose key begins with `prefix` and sorts after `start_after`."""
        fault = self._arrive("list", prefix)
        found = list(self._inner.list(prefix, start_after))
        if fault is Fault.STALE:
            found.sort(key=lambda info: (info.modified_us, info.key))
            del found[len(found) // 2 :]
        if fault is Fault.SHUFFLED:
            found.sort(key=lambda info: self._chance("order", info.key))
        yield from found

    def delete(self, key: str) -> None:
        """Remove the object; no error if it is not there."""
        fault = self._arrive("delete", key)
        self._inner.delete(key)
        self._answer(fault, "delete", key)

    def head(self, key: str) -> ObjectInfo:
        """Size and time of an object."""
        self._arrive("head", key)
        return self._inner.head(key)

    def _arrive(self, verb: str, key: str) -> Fault | None:
        """What will go wrong with this request; raises if it is not to reach the store."""
        if self._before is not None:
            self._before(verb, key)
        with self._lock:
            fault = self._choose(verb, key)
            if fault is not None:
                self._injected[fault] = self._injected.get(fault, 0) + 1
        if fault is Fault.FAILED:
            message = f"injected fault: {verb} {key!r} did not reach the store; try again"
            raise StoreError(message, transient=True)
        return fault

    def _choose(self, verb: str, key: str) -> Fault | None:
        turn = self._turns[verb, key] = self._turns.get((verb, key), 0) + 1
        for number, planned in enumerate(self._planned):
            if verb in planned.verbs and key.endswith(planned.key_ends):
                del self._planned[number]
                return planned.fault
        for fault, rate in self._rates.items():
            if verb in _VERBS[fault] and self._chance(fault.value, verb, key, str(turn)) < rate:
                return fault
        return None

    def _chance(self, *about: str) -> float:
        """A number in [0, 1) that only the seed and `about` decide."""
        digest = blake2b(repr((self._seed, about)).encode(), digest_size=7).digest()
        return int.from_bytes(digest, "big") / 256**7

    def _answer(self, fault: Fault | None, verb: str, key: str) -> None:
        """Lose the answer if that is the fault."""
        if fault is Fault.ANSWER_LOST:
            message = f"injected fault: the answer to {verb} {key!r} was lost; read it back"
            raise StoreError(message, maybe_applied=True, transient=True)
