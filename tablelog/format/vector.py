"""Which rows of a file are deleted, as the log says it: a small bitmap in the commit, or where a larger one lies.

    {"rows": 3, "inline": "AAAA…"}                                          base64 of the blob
    {"rows": 9813, "path": "deletes/0192….puffin", "offset": 4, "size": 19873}

The blob is a `deletion-vector-v1` of the Puffin format; see `parquet.vectors`. Rows are numbered from 0 in the order of
the Parquet file, whatever was deleted of it before.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tablelog.errors import CorruptionError
from tablelog.format import names
from tablelog.format.values import count, member

if TYPE_CHECKING:
    from collections.abc import Mapping

INLINE_BYTES_MAX: Final = 1024
"""Blobs up to this size ride inside the commit; a delete of a few hundred scattered rows of a file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletionVector:
    """Some rows of one file."""

    row_count: int
    """How many."""
    inline: bytes | None = None
    """The blob, if the log itself has it."""
    path: str | None = None
    """Else the object that has it, relative to the table's folder,"""
    offset: int = 0
    """where in it,"""
    size_bytes: int = 0
    """and how long it is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """Which rows of a file a commit takes out of the table, where the commit's adds and removes alone do not say it.

    It stands at an add: of the file itself, if of the rows that its new vector deletes some were deleted and some
    updated; or of a file that took the surviving rows of another one over.
    """

    path: str
    """The file whose rows they are."""
    deleted: DeletionVector | None = None
    updated: DeletionVector | None = None


def encode_vector_place(vector: DeletionVector) -> dict[str, Any]:
    """As JSON."""
    if vector.inline is not None:
        return {"rows": vector.row_count, "inline": base64.b64encode(vector.inline).decode()}
    return {"rows": vector.row_count, "path": vector.path, "offset": vector.offset, "size": vector.size_bytes}


def decode_vector_place(data: Mapping[str, Any]) -> DeletionVector:
    """The vector in a JSON object.

    Raises:
        CorruptionError: there is none.

    """
    rows = count(data["rows"])
    if not rows:
        raise CorruptionError("a deletion vector has at least one row")
    if "inline" in data:
        return DeletionVector(row_count=rows, inline=decode_base64(data["inline"]))
    return DeletionVector(
        row_count=rows,
        path=names.check_path(data["path"]),
        offset=count(data["offset"]),
        size_bytes=count(data["size"]),
    )


def decode_base64(text: Any) -> bytes:
    """The bytes in a JSON string.

    Raises:
        CorruptionError: it is not the base64 of anything.

    """
    try:
        return base64.b64decode(member(str, text), validate=True)
    except (binascii.Error, ValueError) as error:
        raise CorruptionError(f"bytes in the log are not base64: {error}") from error


def encode_gone(gone: Gone) -> dict[str, Any]:
    """As JSON."""
    kinds = {"deleted": gone.deleted, "updated": gone.updated}
    return {"path": gone.path} | {name: encode_vector_place(each) for name, each in kinds.items() if each is not None}


def decode_gone(data: Mapping[str, Any]) -> Gone:
    """What is gone according to a JSON object.

    Raises:
        CorruptionError: it does not say.

    """
    deleted, updated = (decode_vector_place(data[kind]) if kind in data else None for kind in ("deleted", "updated"))
    return Gone(path=names.check_path(data["path"]), deleted=deleted, updated=updated)
