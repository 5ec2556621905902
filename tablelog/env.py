"""The clock, sleep, chance and new names: the only module that may ask the machine for them.

Everything else calls the functions here, so a test (or a simulation that replays a run from a seed) swaps
one object and owns all of them:

>>> class Frozen(Env):
...     def now_us(self) -> int:
...         return 1_700_000_000_000_000
>>> with use(Frozen()):
...     now_us()
1700000000000000
"""

from __future__ import annotations

import getpass
import os
import random
import socket
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Env:
    """The real machine. Subclass and pass to `use` to replace it."""

    def now_us(self) -> int:
        """Wall clock, microseconds since 1970-01-01 UTC."""
        return time.time_ns() // 1_000

    def monotonic_s(self) -> float:
        """A clock that never goes back, seconds; only differences mean anything."""
        return time.perf_counter()

    def sleep(self, wait_s: float) -> None:
        """Block the calling thread."""
        time.sleep(wait_s)

    def random(self) -> float:
        """A number in [0, 1)."""
        return random.random()  # noqa: S311 - spreads retries, guards nothing

    def who(self) -> str:
        """User and host, for the history."""
        try:
            user = getpass.getuser()
        except (KeyError, OSError, ImportError):  # a container may run as a number without a name
            user = "unknown"
        return f"{user}@{socket.gethostname()}"

    def cache_folder(self) -> Path | None:
        """Where parts of remote objects may be kept, if anywhere: the variable TABLELOG_CACHE."""
        folder = os.environ.get("TABLELOG_CACHE")
        return Path(folder).expanduser() if folder else None

    def random_bits(self, count: int) -> int:
        """A number of `count` random bits, unpredictable enough to make names unique."""
        return random.SystemRandom().getrandbits(count)


_env: Env = Env()


def now_us() -> int:
    """Wall clock, microseconds since 1970-01-01 UTC."""
    return _env.now_us()


def monotonic_s() -> float:
    """A clock that never goes back, seconds; only differences mean anything."""
    return _env.monotonic_s()


def sleep(wait_s: float) -> None:
    """Block the calling thread."""
    _env.sleep(wait_s)


def who() -> str:
    """User and host, for the history."""
    return _env.who()


def cache_folder() -> Path | None:
    """Where parts of remote objects may be kept, if anywhere."""
    return _env.cache_folder()


def backoff_s(attempt: int, *, base_s: float, max_s: float) -> float:
    """How long to wait before retry number `attempt` (from 0): exponential with full jitter.

    Uniform in [0, min(max_s, base_s * 2**attempt)); the source of the formula is
    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/ .
    """
    return _env.random() * min(max_s, base_s * 2.0 ** min(attempt, 32))


def new_id() -> str:
    """A name that nobody else has: a UUID version 7 (RFC 9562), so names sort by the time they were made.

    The first 48 bits are milliseconds since 1970-01-01 UTC.
    """
    milliseconds = (_env.now_us() // 1_000) & ((1 << 48) - 1)
    high, low = _env.random_bits(12), _env.random_bits(62)
    digits = f"{milliseconds << 80 | 0x7 << 76 | high << 64 | 0b10 << 62 | low:032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


@contextmanager
def use(env: Env) -> Iterator[Env]:
    """Replace the machine for the whole process while the block runs."""
    global _env  # noqa: PLW0603 - the one switch that this module exists for
    before, _env = _env, env
    try:
        yield env
    finally:
        _env = before
