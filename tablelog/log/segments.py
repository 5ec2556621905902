"""Segments as objects: one row per file, removal, commit and other action, in one sealed Parquet file.

    rows    live files … │ dead files … │ removals │ commits … │ changes
    kind    file           file           remove     commit      change

Each row has the half-open interval [added, removed) of versions for which it holds, `removed` null where it still does
at the segment's end. The footer's property `tablelog.segment` says what the segment covers and what each row group
holds, so a reader opens the object with its end alone and reads the rest, or not, column by column.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from tablelog.errors import CorruptionError, InvalidError
from tablelog.format.hint import Extent
from tablelog.format.values import count, member
from tablelog.log.blocks import GroupBlock
from tablelog.log.commits import Head
from tablelog.log.facts import FACTS_SCHEMA, OPTIONAL_FACTS, Totals
from tablelog.log.file_rows import FILE_SCHEMA, column_type, is_optional
from tablelog.log.merging import action_text, change_lasts, facts_rows, file_rows, setting_of
from tablelog.log.parts import REMOVE_SCHEMA, Change, Segment
from tablelog.parquet.sealed import Sealed, Stated, encode_sealed, open_sealed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tablelog.log.blocks import Block
    from tablelog.store.base import ObjectStore

FORMAT_VERSION: Final = 1
GROUP_ROWS: Final = 32_768
"""Rows of a row group at most: what is read for one file that a query needs."""
_TOGETHER_ROWS: Final = 8192
"""A segment with no more rows is one row group: there is nothing to leave out, and each has a price."""
_LAST: Final = ("timestamp", "file_change", "row_change", "byte_change", "added", "removed", "action")
"""What says of each commit when it was and how it changed the totals, then the changes: any version's facts."""
_ASCENDING: Final = ("timestamp", "added")
_PROPERTY: Final = "tablelog.segment"
_KIND: Final = pa.field("kind", pa.string())
_ACTION: Final = pa.field("action", pa.string())
_ALWAYS: Final = pa.schema([_KIND, *FILE_SCHEMA, *list(FACTS_SCHEMA)[1:], _ACTION])
"""Columns that every segment has."""
_LIVE, _DEAD, _REMOVE, _COMMIT, _CHANGE = "live", "dead", "remove", "commit", "change"
_KINDS: Final = {_LIVE: "file", _DEAD: "file", _REMOVE: "remove", _COMMIT: "commit", _CHANGE: "change"}


def encode_segment(segment: Segment) -> tuple[bytes, str]:
    """A segment's bytes, and their digest."""
    runs = list(_runs(segment))
    columns = optional_fields([table for _, table in runs])
    schema = _in_order([*_ALWAYS, *columns])
    together = sum(table.num_rows for _, table in runs) <= _TOGETHER_ROWS
    groups = [runs] if together else [[run] for run in runs]
    summary = {
        "format_version": FORMAT_VERSION,
        "first": segment.first,
        "last": segment.last,
        "base": segment.is_base,
        "parent": segment.parent,
        "checksum": segment.head.checksum,
        "timestamp": segment.head.timestamp_us,
        "first_timestamp": segment.first_timestamp_us,
        "files": segment.totals.file_count,
        "rows": segment.totals.row_count,
        "bytes": segment.totals.size_bytes,
        "groups": [[[kind, table.num_rows] for kind, table in group] for group in groups],
    }
    rows = (pa.concat_tables([padded(table, _KINDS[kind], schema) for kind, table in group]) for group in groups)
    bounded = () if together else ("schema", *(column.name for column in columns if ":" in column.name))
    properties = {_PROPERTY: json.dumps(summary, separators=(",", ":"))}
    return encode_sealed(rows, schema, properties, bounded, _ASCENDING)


def _in_order(fields: Iterable[pa.Field[Any]]) -> pa.Schema:
    """The columns, those last of which opening an object needs all rows, so that they lie together at its end."""
    by_name = {field.name: field for field in fields}
    return pa.schema([*(field for name, field in by_name.items() if name not in _LAST), *(by_name[n] for n in _LAST)])


def optional_fields(tables: Sequence[pa.Table]) -> list[pa.Field[Any]]:
    """Columns that not every object has and some table has; statistics come last, those of a field together."""
    columns = {name: table.column(name).type for table in tables for name in table.column_names if _is_optional(name)}
    names = sorted(columns, key=lambda name: (int(name.partition(":")[0]) if ":" in name else -1, name))
    return [pa.field(name, columns[name]) for name in names]


def _is_optional(name: str) -> bool:
    return is_optional(name) or name in OPTIONAL_FACTS


def _runs(segment: Segment) -> Iterator[tuple[str, pa.Table]]:
    for kind, blocks in _blocks(segment):
        for block in blocks:
            table = _rows_of(kind, block)
            at_once = block.row_count if kind == _COMMIT else GROUP_ROWS  # facts are wanted of all commits
            for start in range(0, block.row_count, at_once):
                yield kind, table.slice(start, at_once)
    if segment.changes:
        yield _CHANGE, _change_table(segment.changes)


def _blocks(segment: Segment) -> tuple[tuple[str, tuple[Block, ...]], ...]:
    """All but the changes, in the order in which it is written."""
    return (
        (_LIVE, segment.live),
        (_DEAD, segment.dead),
        (_REMOVE, segment.removals),
        (_COMMIT, segment.facts_blocks),
    )


def _rows_of(kind: str, block: Block) -> pa.Table:
    match kind:
        case "remove":
            return block.table(REMOVE_SCHEMA.names)
        case "commit":
            return facts_rows(block)
        case _:
            return file_rows(block)


def _change_table(changes: Sequence[Change]) -> pa.Table:
    """Actions with the versions for which they hold: until the same setting is set again, files' schemas for ever."""
    ends: list[int | None] = []
    set_again: dict[tuple[str, str | None], int] = {}
    for change in reversed(changes):
        ends.append(None if change_lasts(change) else set_again.get(setting_of(change)))
        set_again[setting_of(change)] = change.version
    return pa.table(
        {
            "added": pa.array([change.version for change in changes], pa.int64()),
            "removed": pa.array(ends[::-1], pa.int64()),
            "action": pa.array([action_text(change) for change in changes], pa.string()),
        }
    )


def padded(table: pa.Table, kind: str, schema: pa.Schema) -> pa.Table:
    """The rows of a group with all columns of its object; those that they lack are null."""
    there = set(table.column_names)
    columns = [
        pa.repeat(pa.scalar(kind), table.num_rows)
        if field.name == _KIND.name
        else table.column(field.name)
        if field.name in there
        else pa.nulls(table.num_rows, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def read_segment(store: ObjectStore, key: str, extent: tuple[int, int], known: Extent | None = None) -> Segment:
    """Open the segment (or base) of versions `extent`, both included. One request; see `open_sealed`.

    Raises:
        NotFoundError: it is not there.
        CorruptionError: it is damaged or something else.

    """
    stated = None
    if known is not None:
        stated = Stated(size_bytes=known.size_bytes, tail_start=known.tail_start, digest=known.digest)
    segment = decode_segment(open_sealed(store, key, stated))
    if (segment.first, segment.last) != extent:
        raise CorruptionError(f"{store.url}/{key}: it covers versions {segment.first} to {segment.last}")
    return segment


def decode_segment(sealed: Sealed) -> Segment:
    """The segment in an object.

    Raises:
        CorruptionError: it is none.
        InvalidError: a newer tablelog wrote it.

    """
    try:
        summary = json.loads(sealed.properties[_PROPERTY])
        check_columns(sealed, _ALWAYS)
        if member(int, summary["format_version"]) > FORMAT_VERSION:
            raise InvalidError(f"{sealed.name} has format version {summary['format_version']}; upgrade tablelog")
        blocks: dict[str, list[Block]] = {kind: [] for kind in _KINDS}
        for number, runs in enumerate(member(list, summary["groups"])):
            start = 0
            for kind, row_count in runs:
                blocks[kind].append(GroupBlock(sealed, number, start, count(row_count)))
                start += row_count
            if start != sealed.row_count(number):
                raise CorruptionError(f"{sealed.name}: row group {number} has {sealed.row_count(number)} rows")
        return Segment(
            first=count(summary["first"]),
            last=count(summary["last"]),
            parent=None if summary["parent"] is None else member(str, summary["parent"]),
            head=Head(
                version=count(summary["last"]),
                checksum=member(str, summary["checksum"]),
                timestamp_us=member(int, summary["timestamp"]),
            ),
            first_timestamp_us=member(int, summary["first_timestamp"]),
            totals=Totals(member(int, summary["files"]), _number(summary["rows"]), _number(summary["bytes"])),
            is_base=member(bool, summary["base"]),
            changes=tuple(change for block in blocks[_CHANGE] for change in _changes(block)),
            live=tuple(blocks[_LIVE]),
            dead=tuple(blocks[_DEAD]),
            removals=tuple(blocks[_REMOVE]),
            facts_blocks=tuple(blocks[_COMMIT]),
            sealed=sealed,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, InvalidError):
            raise
        raise CorruptionError(f"{sealed.name}: not a segment of a log: {error!r}") from error


def same_content(left: Segment, right: Segment) -> bool:
    """Whether two segments say the same, in the same order."""
    if (left.first, left.last, left.parent, left.head) != (right.first, right.last, right.parent, right.head):
        return False
    if left.changes != right.changes or left.totals != right.totals:
        return False
    ours, theirs = dict(_blocks(left)), dict(_blocks(right))
    return all(_same_rows(kind, ours[kind], theirs[kind]) for kind in ours)


def _same_rows(kind: str, left: Sequence[Block], right: Sequence[Block]) -> bool:
    """Whether blocks of one kind hold the same rows; columns without any value count for nothing."""
    if sum(block.row_count for block in left) != sum(block.row_count for block in right):
        return False
    if not left:
        return True
    ours, theirs = (
        pa.concat_tables((_rows_of(kind, block) for block in blocks), promote_options="default")
        for blocks in (left, right)
    )
    names = {name for table in (ours, theirs) for name in table.column_names}
    for name in names:
        columns = [table.column(name) for table in (ours, theirs) if name in table.column_names]
        if len(columns) == 1:
            if columns[0].null_count < len(columns[0]):
                return False
        elif not columns[0].equals(columns[1]):
            return False
    return True


def check_columns(sealed: Sealed, always: pa.Schema) -> None:
    """Make sure that an object has the columns that it always has, and no statistics of another type than they say.

    Raises:
        CorruptionError: it is not so.

    """
    schema = sealed.schema
    found = dict(zip(schema.names, schema.types, strict=True))
    expected = {field.name: field.type for field in always}
    expected |= {name: column_type(name) for name in found if is_optional(name)}
    expected |= {name: type_ for name, type_ in OPTIONAL_FACTS.items() if name in found}
    for name, type_ in expected.items():
        if found.get(name) != type_:
            raise CorruptionError(f"{sealed.name}: the column {name!r} is {found.get(name)}, not {type_}")


def _number(value: Any) -> int | None:
    return None if value is None else member(int, value)


def _changes(block: Block) -> Iterator[Change]:
    columns = block.columns(("added", "action"))
    for version, text in zip(columns["added"].to_pylist(), columns["action"].to_pylist(), strict=True):
        action = member(dict, json.loads(text))
        if len(action) != 1:
            raise CorruptionError(f"{block.name}: an action has one member, not {len(action)}")
        yield Change(version, action)


def extent_of(segment: Segment) -> Extent:
    """How large a segment's object is, and where the part begins that opening it at any version needs."""
    sealed = segment.sealed
    assert sealed is not None
    starts = [sealed.start_of(block.group, _LAST[0]) for block in segment.facts_blocks if isinstance(block, GroupBlock)]
    return Extent(segment.first, segment.last, sealed.size_bytes, min(starts, default=sealed.tail_start), sealed.digest)
