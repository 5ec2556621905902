"""Which keys a file may have, as the log says it: a set of hashes, small enough to stand beside the file's name.

    {"fields": [1], "modulus": 4194304, "hashes": "OjAAAA…"}

A key that the file has is always in it; of other keys one in `modulus` / (number of keys) is as well. `parquet.keys`
says what is hashed and how.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from tablelog.errors import CorruptionError
from tablelog.format.values import count, member
from tablelog.format.vector import decode_base64

if TYPE_CHECKING:
    from collections.abc import Mapping

MODULUS_MAX: Final = 1 << 32


class KeyKnowledge(Protocol):
    """What is known of the keys of a file; looked up when it is asked for, because most who see a file never ask."""

    def read(self) -> KeyFilter | None:
        """The filter, if there is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFilter:
    """Hashes of all keys of a file."""

    field_ids: tuple[int, ...]
    """The columns of the key, in its order, when the file was written."""
    modulus: int
    """Hashes are taken modulo this power of two."""
    hashes: bytes
    """A 32-bit roaring bitmap in the portable format."""

    def read(self) -> KeyFilter:
        """See `KeyKnowledge`."""
        return self


def encode_key_filter(known: KeyFilter) -> dict[str, Any]:
    """As JSON."""
    hashes = base64.b64encode(known.hashes).decode()
    return {"fields": list(known.field_ids), "modulus": known.modulus, "hashes": hashes}


def decode_key_filter(data: Mapping[str, Any]) -> KeyFilter:
    """The filter in a JSON object; what its hashes are is not looked at yet.

    Raises:
        CorruptionError: there is none.

    """
    field_ids, modulus = tuple(count(field_id) for field_id in member(list, data["fields"])), count(data["modulus"])
    if not field_ids or not 0 < modulus <= MODULUS_MAX or modulus & (modulus - 1):
        raise CorruptionError(f"a key filter of the fields {list(field_ids)} modulo {modulus} is none")
    return KeyFilter(field_ids=field_ids, modulus=modulus, hashes=decode_base64(data["hashes"]))
