"""The hint where a log ends, so that opening it needs no listing.

    {"version":255,"fan_out":16,"base":null,"segments":[[0,255,2183420,2101001,"9f86…"]],"checksum":"2c26…"}

`version` is the last of some segment, `segments` are large ones that cover the log up to it: first and last version,
bytes, where the part begins that a reader needs to open it, and the digest. A hint is replaced without any care for who
else does so, and may be old, wrong, torn or missing: it decides where a reader looks first and nothing else. The
checksum is a commit's: SHA-256 of every byte before it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Final

from tablelog.format.names import VERSION_MAX
from tablelog.format.values import count, member

FAN_OUT_DEFAULT: Final = 16
FAN_OUT_MIN: Final = 2
FAN_OUT_MAX: Final = 1024
_TAIL: Final = ',"checksum":"%s"}\n'
_TAIL_LENGTH: Final = len(_TAIL % ("0" * 64))


@dataclass(frozen=True, slots=True)
class Extent:
    """A segment and how large it is."""

    first: int
    last: int
    size_bytes: int
    tail_start: int
    """Offset from which on a reader needs the object to open it."""
    digest: str | None = None
    """Of the object, where it is known; what is kept of it on disk is found by it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """Where somebody saw a log end."""

    version: int
    fan_out: int = FAN_OUT_DEFAULT
    base: int | None = None
    """Last version that a base covers."""
    extents: tuple[Extent, ...] = ()
    """Segments, and the base as the first of them."""


def encode_hint(hint: Hint) -> bytes:
    """The hint's bytes."""
    extents = [[each.first, each.last, each.size_bytes, each.tail_start, each.digest] for each in hint.extents]
    members = {"version": hint.version, "fan_out": hint.fan_out, "base": hint.base, "segments": extents}
    content = json.dumps(members, separators=(",", ":"))[:-1]
    return (content + _TAIL % hashlib.sha256(content.encode()).hexdigest()).encode()


def decode_hint(data: bytes) -> Hint | None:
    """The hint in those bytes; None if they are damaged or something else."""
    content, tail = data[:-_TAIL_LENGTH], data[-_TAIL_LENGTH:]
    if tail != (_TAIL % hashlib.sha256(content).hexdigest()).encode():
        return None
    try:
        return _decode(json.loads(content + b"}"))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _decode(members: Any) -> Hint | None:
    extents = (
        Extent(count(first), count(last), count(size), count(tail), None if digest is None else member(str, digest))
        for first, last, size, tail, digest in members["segments"]
    )
    hint = Hint(
        version=count(members["version"]),
        fan_out=member(int, members["fan_out"]),
        base=None if members["base"] is None else count(members["base"]),
        extents=tuple(each for each in extents if each.first <= each.last and each.tail_start < each.size_bytes),
    )
    sensible = FAN_OUT_MIN <= hint.fan_out <= FAN_OUT_MAX and hint.version <= VERSION_MAX
    return hint if sensible and (hint.base is None or hint.base <= hint.version) else None
