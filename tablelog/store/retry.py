"""Trying again when a store fails for a moment: throttled, overloaded, a connection broke.

Waits grow exponentially with full jitter (`env.backoff_s`), and both the number of tries and the time spent are
bounded; then the last error goes up. Only `StoreError`s that say `transient` are tried again.

One verb is special. When the answer to a create is lost, trying again could only learn that the name is taken, by
ourselves or by somebody else. So `put_if_absent` is tried again only when it certainly did nothing; otherwise the error
goes up with `maybe_applied=True`, and the caller reads the object back.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeVar

import tenacity

from tablelog import env
from tablelog.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tablelog.store.base import ByteRange, ObjectInfo, ObjectStore

T = TypeVar("T")


class RetryingStore:
    """`inner`, with every verb tried again while that makes sense."""

    def __init__(
        self,
        inner: ObjectStore,
        *,
        tries_max: int = 8,
        total_max_s: float = 60.0,
        wait_base_s: float = 0.1,
        wait_max_s: float = 10.0,
    ) -> None:
        """Bound each call by `tries_max` requests, and start no new one after `total_max_s`."""
        self._inner = inner
        self._tries_max = tries_max
        self._total_max_s = total_max_s
        self._wait_base_s = wait_base_s
        self._wait_max_s = wait_max_s

    def __repr__(self) -> str:
        """Show what stands in front of what."""
        return f"RetryingStore({self._inner!r})"

    @property
    def inner(self) -> ObjectStore:
        """The store behind."""
        return self._inner

    @property
    def url(self) -> str:
        """The address of the store behind."""
        return self._inner.url

    def get(self, key: str, byte_range: ByteRange | None = None) -> bytes:
        """Bytes of the object, or of a part of it."""
        return self._persist(partial(self._inner.get, key, byte_range))

    def put(self, key: str, data: bytes | memoryview) -> None:
        """Create or replace."""
        self._persist(partial(self._inner.put, key, data))

    def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
        """Create and return True, or return False because the key exists.

        Raises a `StoreError` with `maybe_applied=True` at once, without trying again.
        """
        return self._persist(partial(self._inner.put_if_absent, key, data), may_repeat=_did_nothing)

    def list(self, prefix: str = "", start_after: str = "") -> Iterator[ObjectInfo]:
        """Objects whose key begins with `prefix` and sorts after `start_after`.

        A listing that breaks off is taken up again behind the last key seen, as long as keys came in order.
        """
        info, rest = self._persist(partial(_begin, self._inner, prefix, start_after))
        last, ordered = start_after, True
        while info is not None:
            ordered = ordered and info.key > last
            last = info.key
            yield info
            try:
                info = next(rest, None)
            except StoreError as error:
                if not (ordered and error.transient):
                    raise
                info, rest = self._persist(partial(_begin, self._inner, prefix, last))

    def delete(self, key: str) -> None:
        """Remove the object; no error if it is not there."""
        self._persist(partial(self._inner.delete, key))

    def head(self, key: str) -> ObjectInfo:
        """Size and time of an object."""
        return self._persist(partial(self._inner.head, key))

    def _persist(self, request: Callable[[], T], may_repeat: Callable[[BaseException], bool] | None = None) -> T:
        """The request's result, after as many tries as the bounds allow."""
        deadline_s = env.monotonic_s() + self._total_max_s

        def is_enough(state: tenacity.RetryCallState) -> bool:
            return state.attempt_number >= self._tries_max or env.monotonic_s() >= deadline_s

        def wait_s(state: tenacity.RetryCallState) -> float:
            return env.backoff_s(state.attempt_number - 1, base_s=self._wait_base_s, max_s=self._wait_max_s)

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(may_repeat or _is_transient),
            stop=is_enough,
            wait=wait_s,
            sleep=env.sleep,
            reraise=True,
        )
        return retrying(request)


def _is_transient(error: BaseException) -> bool:
    return isinstance(error, StoreError) and error.transient


def _did_nothing(error: BaseException) -> bool:
    return isinstance(error, StoreError) and error.transient and not error.maybe_applied


def _begin(store: ObjectStore, prefix: str, start_after: str) -> tuple[ObjectInfo | None, Iterator[ObjectInfo]]:
    """The first object of a listing and the rest of it, so that its first request is made here."""
    listing = store.list(prefix, start_after)
    return next(listing, None), listing
