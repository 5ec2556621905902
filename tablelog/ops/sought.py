"""Keys that somebody looks for, and files whose key filters say that they have none of them.

Ranges come first and are cheaper; filters are for level 0, where the files of many writers cover the same range. Keys
are hashed once, whatever the number of files. More keys than some thousand are not looked for in filters: each passes
one time in several thousand, so together they would pass everywhere.
"""

from __future__ import annotations

from itertools import product
from math import prod
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from tablelog.format.predicate import equalities
from tablelog.format.types import Primitive
from tablelog.format.values import demote
from tablelog.log.file_rows import key_filter_in
from tablelog.parquet.kept import Kept
from tablelog.parquet.key_filters import agrees, combined, hashes_in, is_value, key_hashes, modulo, value_hash
from tablelog.parquet.plain import ints

if TYPE_CHECKING:
    from typing import Any

    from pyroaring import BitMap

    from tablelog.format.actions import AddFile
    from tablelog.format.key_filter import KeyFilter
    from tablelog.format.predicate import Predicate
    from tablelog.format.types import Field, Scalar
    from tablelog.log.blocks import Block
    from tablelog.log.metadata import Metadata

_KEYS_MAX: Final = 2500
"""Of so many keys some pass a filter that has none of them one time in three; looking costs 0.1 ms a file."""
_DECODED_RATIO: Final = 3
_DECODED: Final[Kept[str, tuple[KeyFilter, BitMap]]] = Kept(32 * 1024 * 1024)
"""Filters that were looked into, by their text: the same ones are asked for every key."""


class SoughtKeys:
    """Some keys of a table, each one a hash."""

    def __init__(self, metadata: Metadata, hashes: Any) -> None:
        """Look for the keys with these hashes, in files of a table as it is in a version."""
        self._metadata = metadata
        self._hashes = hashes
        self._by_modulus: dict[int, BitMap] = {}
        self._agrees: dict[int, bool] = {}
        """By schema, whether its files hash keys as today's columns do."""

    def may_be_in(self, file: AddFile) -> bool:
        """Whether a file may have one of the keys.

        Raises:
            CorruptionError: its filter is damaged.

        """
        known = None if file.key_filter is None else file.key_filter.read()
        if known is None or not self._applies(known, file.schema_id):
            return True
        return self._meets(known.modulus, hashes_in(known, f"the key filter of {file.path}"))

    def may_be_in_row(self, text: str, schema_id: int, block: Block) -> bool:
        """The same of a file in a row of a block, which has that filter."""
        known, hashes = _DECODED.get(text) or (None, None)
        if known is None or hashes is None:
            name = f"{block.name}: the key filter of a file"
            known = key_filter_in(text, name)
            if not self._applies(known, schema_id):
                return True
            hashes = hashes_in(known, name)
            _DECODED.put(text, (known, hashes), len(text) * _DECODED_RATIO)
        return not self._applies(known, schema_id) or self._meets(known.modulus, hashes)

    def _applies(self, known: KeyFilter, schema_id: int) -> bool:
        """Whether the filter is one of today's keys, as today's columns hold them."""
        return known.field_ids == self._metadata.key and self._are_as_today(schema_id)

    def _meets(self, modulus: int, hashes: BitMap) -> bool:
        if modulus not in self._by_modulus:
            self._by_modulus[modulus] = modulo(self._hashes, modulus)
        return hashes.intersect(self._by_modulus[modulus])

    def _are_as_today(self, schema_id: int) -> bool:
        if schema_id not in self._agrees:
            written = self._metadata.schemas.get(schema_id)
            self._agrees[schema_id] = written is not None and all(
                (before := written.by_id(field.id)) is not None and agrees(before.type, field.type)
                for field in self._metadata.key_fields
            )
        return self._agrees[schema_id]


def sought_in(metadata: Metadata, keys: pa.Table) -> SoughtKeys | None:
    """The keys in a table of Arrow, under today's names and types; None if they are many, or not those of the table."""
    names = [field.name for field in metadata.key_fields]
    if not names or keys.num_rows > _KEYS_MAX or set(names) != set(keys.column_names):
        return None
    return SoughtKeys(metadata, key_hashes([keys.column(name) for name in names]))


def sought_by(metadata: Metadata, predicate: Predicate) -> SoughtKeys | None:
    """The only keys that a row can have for which a predicate is TRUE; None if it allows any, or many."""
    if not metadata.key:
        return None
    allowed = equalities(predicate)
    if not all(field_id in allowed for field_id in metadata.key):
        return None
    if prod(len(allowed[field_id]) for field_id in metadata.key) > _KEYS_MAX:
        return None
    columns = [_hashes_of(allowed[field.id], field) for field in metadata.key_fields]
    known = [column for column in columns if column is not None]
    if len(known) < len(columns):
        return None
    hashes = ints(map(combined, product(*known))).cast(pa.uint32())
    return SoughtKeys(metadata, hashes)


def _hashes_of(values: tuple[Scalar, ...], field: Field) -> list[int] | None:
    """Hashes of those values that a column can hold; None if they are of another kind."""
    if any(isinstance(each, bool) != (field.type is Primitive.BOOLEAN) for each in values):
        return None
    held = [value for each in values if (value := demote(each, field.type, field.type)) is not None]
    if not all(is_value(value, field.type) for value in held):
        return None
    return [value_hash(value, field.type) for value in held]
