"""One row by its key: which files may have it, and in which order they are asked.

    level 0    files and rows inside the log whose ranges and filters have the key, newest first
    deeper     at most one file a level, if compaction keeps up

There is one live row per key, so the first one found is the answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tablelog.errors import InvalidError
from tablelog.format.predicate import And, Comparison, Operator
from tablelog.format.types import Primitive, is_integer
from tablelog.format.values import stored_range
from tablelog.ops.scan import plan_scan
from tablelog.parquet.arrow import physical_value
from tablelog.parquet.point import find_row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tablelog.format.types import Field, Scalar
    from tablelog.log.metadata import Metadata
    from tablelog.log.state import TableState
    from tablelog.store.base import ObjectStore

    Key = tuple[tuple[Field, Scalar], ...]


def look_up(store: ObjectStore, state: TableState, key: Key, fields: Sequence[Field]) -> dict[str, Any] | None:
    """The row with a key, column by column; None if there is none.

    Raises:
        CorruptionError: a file is missing or damaged.

    """
    equal = And(tuple(Comparison(field.id, Operator.EQUAL, value) for field, value in key))
    newest_first = plan_scan(state, None, equal).files[::-1]
    for file in sorted(newest_first, key=lambda file: file.level):
        row = find_row(store, file, state.metadata.schemas[file.schema_id], key, fields)
        if row is not None:
            found: dict[str, Any] = row.to_pylist()[0]
            return found
    return None


def parse_key(metadata: Metadata, key: object) -> Key:
    """The values of a table's key in what a person gave: one value, as many in a row, or a dict of columns.

    Raises:
        InvalidError: the table has no key, or these are not its columns or no values of theirs.

    """
    fields = metadata.key_fields
    if not fields:
        raise InvalidError("the table has no key, so no row can be got by one; use scan(where=…)")
    return tuple((field, _value(value, field)) for field, value in zip(fields, _values(fields, key), strict=True))


def _values(fields: tuple[Field, ...], key: object) -> Sequence[object]:
    """As many values as the key has columns, in their order."""
    names = [field.name for field in fields]
    match key:
        case Mapping():
            given = {str(name).casefold(): value for name, value in key.items()}
            if len(given) < len(key) or given.keys() != {name.casefold() for name in names}:
                raise InvalidError(f"the columns {list(key)} are not those of the key, {names}")
            return [given[name.casefold()] for name in names]
        case tuple() | list():
            values: Sequence[object] = key
        case _:
            values = (key,)
    if len(values) != len(names):
        counts = f"{len(values)} value{'s' if len(values) > 1 else ''}, and the key has {len(names)} columns"
        raise InvalidError(f"{key!r} has {counts}: {', '.join(names)}; give a value for each, in that order")
    return values


def _value(value: object, field: Field) -> Scalar:
    # The common kinds, without asking Arrow what they are: its converter is slow to begin with.
    if type(value) is int and is_integer(field.type) and value in stored_range(field.type):
        return value
    if type(value) is str and field.type is Primitive.STRING:
        return value
    try:
        return physical_value(value, field.type)
    except InvalidError as error:
        raise InvalidError(f"column {field.name!r} of the key: {error}") from error
