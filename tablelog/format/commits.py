"""One commit as bytes: the envelope that every log shares, whatever its actions mean.

    {"version":1,"id":"0192…","parent":"9f86…","timestamp":1763712000000000,"operation":"append",
    "info":{…},
    "actions":[
    {"add":{…}}
    ],"checksum":"2c26…"}

`checksum` is the SHA-256 of every byte before `,"checksum"`, always the last member and always written in exactly
this form, so one flipped bit anywhere in the object is noticed. `parent` is the checksum of the commit before (null
in commit 0), so a history cannot be rewritten in the middle either. `id` tells a writer its own commit from a
stranger's. Readers accept any JSON white space inside; writers put one action on a line so that `cat` shows a
readable log.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tablelog.errors import CorruptionError, InvalidError
from tablelog.format.values import member

if TYPE_CHECKING:
    from collections.abc import Mapping

BYTES_MAX: Final = 512 * 1024 * 1024
_TAIL: Final = b',"checksum":"%s"}\n'
_HALF_A_CHARACTER: Final = re.compile(rb"\\u[dD][89a-fA-F]")
"""Escapes that come in pairs; Python lets one stand alone."""
_TAIL_LENGTH: Final = len(_TAIL % (b"0" * 64))


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitRecord:
    """A commit as it stands in a log."""

    version: int
    """Its place: dense from 0."""
    id: str
    """Unique to one attempt of one writer."""
    parent: str | None
    """Checksum of the commit before; None at version 0."""
    timestamp_us: int
    """Microseconds since 1970-01-01 UTC, larger than the parent's."""
    operation: str
    """What was done, for people: `append`, `delete`, …"""
    info: Mapping[str, Any] = field(default_factory=dict)
    """Who, with what, and counts; never decides anything."""
    actions: tuple[Mapping[str, Any], ...]
    """JSON objects with one member, the action's kind."""
    checksum: str = ""
    """SHA-256 of the content in hexadecimal; filled by `encode_commit` and `decode_commit`."""


def encode_commit(commit: CommitRecord) -> tuple[bytes, str]:
    """The commit's bytes and its checksum.

    Raises:
        InvalidError: something in it is not JSON, or it is larger than a commit may be.

    """
    try:
        header = _dumps(
            {
                "version": commit.version,
                "id": commit.id,
                "parent": commit.parent,
                "timestamp": commit.timestamp_us,
                "operation": commit.operation,
            }
        )
        info = _dumps(dict(commit.info))
        actions = ",\n".join(_dumps(dict(action)) for action in commit.actions)
        content = f'{header[:-1]},\n"info":{info},\n"actions":[\n{actions}\n]'.encode()
    except (TypeError, ValueError) as error:
        raise InvalidError(f"commit {commit.version} cannot be written as JSON: {error}") from error
    if len(content) > BYTES_MAX:
        raise InvalidError(f"a commit of {len(content)} bytes is too large; at most {BYTES_MAX} are allowed")
    checksum = hashlib.sha256(content).hexdigest()
    return content + _TAIL % checksum.encode(), checksum


def decode_commit(data: bytes, name: str) -> CommitRecord:
    """The commit in those bytes; `name` is the object's, for messages.

    Raises:
        CorruptionError: the checksum does not match, or the content is no commit.

    """
    content, tail = data[:-_TAIL_LENGTH], data[-_TAIL_LENGTH:]
    checksum = hashlib.sha256(content).hexdigest()
    if tail != _TAIL % checksum.encode():
        raise CorruptionError(
            f"{name}: the checksum does not match its {len(data)} bytes; the object is damaged or not a commit"
        )
    try:
        members = json.loads(content.decode() + "}", parse_constant=_refuse_constant)
        if _HALF_A_CHARACTER.search(content):
            _dumps(members).encode()  # text that nobody could write or print again is no text
        commit = CommitRecord(
            version=member(int, members["version"]),
            id=member(str, members["id"]),
            parent=None if members["parent"] is None else member(str, members["parent"]),
            timestamp_us=member(int, members["timestamp"]),
            operation=member(str, members["operation"]),
            info=member(dict, members["info"]),
            actions=tuple(member(dict, action) for action in member(list, members["actions"])),
            checksum=checksum,
        )
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise CorruptionError(f"{name}: not a commit: {error!r}") from error
    for action in commit.actions:
        if len(action) != 1:
            raise CorruptionError(f"{name}: an action has one member, not {len(action)}: {sorted(action)[:5]}")
    return commit


def _dumps(data: Mapping[str, Any]) -> str:
    return json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _refuse_constant(text: str) -> float:
    raise ValueError(f"{text} is not JSON")
