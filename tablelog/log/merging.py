"""Many parts of a log as one segment: the merge of the log's LSM tree.

Closing an interval is what merging is about: a removal in a later part meets the file that an earlier one brought, and
both become one row [added, removed). Removals of files from before the first part stay removals.

Files that are live at the end come first, in an order that the table gives (partitions, then the lower bound of what it
is sorted or keyed by), else in that of the log; a reader who knows what he wants then finds it in few row groups.

The result is a function of the commits, and of the layout that the table has after them. So writers that race for a
segment write the same rows, in the same order; the bytes may differ if their PyArrow does.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from tablelog.errors import CorruptionError
from tablelog.log.blocks import HeldBlock
from tablelog.log.commits import Head
from tablelog.log.facts import FACTS_SCHEMA, OPTIONAL_FACTS, Totals, facts_table
from tablelog.log.file_rows import FILE_SCHEMA, KEY_FILTER, file_table, is_optional
from tablelog.log.parts import REMOVE_SCHEMA, Change, Segment, Step
from tablelog.parquet.plain import ints

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tablelog.format.action_json import ActionReader
    from tablelog.log.blocks import Block
    from tablelog.log.parts import Part

_NAMED: Final = frozenset(("property", "check", "feature", "fence", "tag", "clone"))
"""Actions about one setting of many."""
_SETTINGS: Final = frozenset(("sort_order", "key", "horizon", "vacuum")) | _NAMED
"""Actions that hold until the same setting is set again; what others say holds for ever."""


def merge(parts: Sequence[Part], reader: ActionReader, order: Sequence[str] = ()) -> Segment:
    """One segment of parts that follow one another. `order` names columns of files that come before their age.

    Raises:
        CorruptionError: a file is removed that the table does not have.

    """
    rows, removals = _closed(*_gathered(parts, reader))
    if parts[0].first == 0 and removals.num_rows:
        path, version = removals.column("path")[0].as_py(), removals.column("removed")[0].as_py()
        raise CorruptionError(f"version {version} of the log: it removes {path!r}, which is not in the table")
    live, dead = _live_and_dead(rows)
    dead = dead.drop_columns([name for name in dead.column_names if name == KEY_FILTER])  # of use while files live
    return Segment(
        first=parts[0].first,
        last=parts[-1].last,
        parent=parts[0].parent,
        head=parts[-1].head,
        first_timestamp_us=parts[0].first_timestamp_us,
        totals=sum((part.totals for part in parts), Totals()),
        is_base=isinstance(parts[0], Segment) and parts[0].is_base,
        changes=tuple(change for part in parts for change in part.changes),
        live=_blocks(_sorted(live, order)),
        dead=_blocks(_sorted(dead, ())),
        removals=_blocks(removals.sort_by([("removed", "ascending"), ("path", "ascending")])),
        facts_blocks=_blocks(_concatenated(_facts(parts), FACTS_SCHEMA)),
    )


def cut(segment: Segment, last: int) -> Segment:
    """What the segment of its first commits up to `last` would be; all of it if it ends there or before."""
    if segment.last <= last:
        return segment
    until = pa.scalar(last)
    files = _concatenated((file_rows(block) for block in (*segment.live, *segment.dead)), FILE_SCHEMA)
    files = files.filter(pc.less_equal(files.column("added"), until))
    removed = files.column("removed").combine_chunks()
    later = pc.greater(removed, until).fill_null(False)
    ends = pc.if_else(later, pa.scalar(None, pa.int64()), removed)
    files = files.set_column(files.column_names.index("removed"), "removed", ends)
    removals = _concatenated((block.table(REMOVE_SCHEMA.names) for block in segment.removals), REMOVE_SCHEMA)
    facts = _concatenated(map(facts_rows, segment.facts_blocks), FACTS_SCHEMA)
    facts = facts.filter(pc.less_equal(facts.column("added"), until))
    newest = facts.slice(facts.num_rows - 1).select(["added", "checksum", "timestamp"])
    live, dead = _live_and_dead(files)
    return replace(
        segment,
        last=last,
        head=Head(
            version=newest.column("added")[0].as_py(),
            checksum=newest.column("checksum")[0].as_py(),
            timestamp_us=newest.column("timestamp").cast(pa.int64())[0].as_py(),
        ),
        totals=segment.totals_at(last),
        changes=tuple(change for change in segment.changes if change.version <= last),
        live=_blocks(live),
        dead=_blocks(dead),
        removals=_blocks(removals.filter(pc.less_equal(removals.column("removed"), until))),
        facts_blocks=_blocks(facts),
        sealed=None,
    )


def fold(segment: Segment) -> Segment:
    """The base of a segment from version 0 on: without what only versions before its last need.

    That is files that are dead by its end, settings that were changed again, and facts about other commits but those
    with the last number of an application.
    """
    assert segment.first == 0
    facts = _concatenated(map(facts_rows, segment.facts_blocks), FACTS_SCHEMA)
    return replace(
        segment,
        first_timestamp_us=segment.head.timestamp_us,
        is_base=True,
        changes=_without_superseded(segment.changes),
        dead=(),
        facts_blocks=_blocks(_concatenated([facts.take(_lasting(facts))], FACTS_SCHEMA)),
        sealed=None,
    )


def _lasting(facts: pa.Table) -> Any:
    """Places of the last commit, and of the last one of each application."""
    places = {facts.num_rows - 1}
    if "application" in facts.column_names:
        last = {name: place for place, name in enumerate(_values(facts, "application")) if name is not None}
        places |= set(last.values())
    return ints(sorted(places))


def _without_superseded(changes: Sequence[Change]) -> tuple[Change, ...]:
    """The changes without settings that were changed again."""
    last = {setting_of(change): change for change in changes}
    return tuple(change for change in changes if change_lasts(change) or last[setting_of(change)] is change)


def change_lasts(change: Change) -> bool:
    """Whether what it says holds for ever."""
    return next(iter(change.action)) not in _SETTINGS


def setting_of(change: Change) -> tuple[str, str | None]:
    """Which setting an action sets, if it is one that sets any."""
    ((kind, body),) = change.action.items()
    return kind, str(body.get("name")) if kind in _NAMED else None


def _gathered(parts: Sequence[Part], reader: ActionReader) -> tuple[pa.Table, pa.Table]:
    """All files that the parts brought, and all removals of files from before their part."""
    files: list[pa.Table] = []
    removals: list[pa.Table] = []
    for steps in _runs(parts):
        if isinstance(steps, Segment):
            files += [file_rows(block) for block in (*steps.live, *steps.dead)]
            removals += [block.table(REMOVE_SCHEMA.names) for block in steps.removals]
            continue
        added = [(file, step.first, place) for step in steps for place, file in enumerate(step.added)]
        if added:
            values, versions, places = zip(*added, strict=True)
            files.append(file_table(values, versions, places, reader))
        paths = [(file.path, step.first) for step in steps for file in step.removed]
        if paths:
            removals.append(
                pa.table(dict(zip(REMOVE_SCHEMA.names, zip(*paths, strict=True), strict=True)), REMOVE_SCHEMA)
            )
        for step in steps:
            files += [_since(file_rows(block), step.first) for block in step.blocks]
            removals += [_removed(block.table(("path",)), step.first) for block in step.removed_blocks]
    return _concatenated(files, FILE_SCHEMA), _concatenated(removals, REMOVE_SCHEMA)


def _runs(parts: Iterable[Part]) -> Iterator[Segment | list[Step]]:
    """Segments, and what steps stand between them together."""
    steps: list[Step] = []
    for part in parts:
        if isinstance(part, Step):
            steps.append(part)
            continue
        if steps:
            yield steps
            steps = []
        yield part
    if steps:
        yield steps


def _facts(parts: Sequence[Part]) -> Iterator[pa.Table]:
    for part in _runs(parts):
        if isinstance(part, Segment):
            yield from map(facts_rows, part.facts_blocks)
        else:
            yield facts_table(part)


def file_rows(block: Block) -> pa.Table:
    """All that a block of files says about them."""
    return block.table([name for name in block.column_names if name in FILE_SCHEMA.names or is_optional(name)])


def facts_rows(block: Block) -> pa.Table:
    """All that a block of facts says about commits."""
    return block.table([name for name in block.column_names if name in FACTS_SCHEMA.names or name in OPTIONAL_FACTS])


def _since(files: pa.Table, version: int) -> pa.Table:
    """Files of an object of actions, live from their commit's version on."""
    place = files.column_names.index("added")
    return files.set_column(place, "added", pa.repeat(pa.scalar(version, pa.int64()), files.num_rows))


def _removed(removals: pa.Table, version: int) -> pa.Table:
    when = pa.repeat(pa.scalar(version, pa.int64()), removals.num_rows)
    return pa.table({"path": removals.column("path"), "removed": when})


def _concatenated(tables: Iterable[pa.Table], schema: pa.Schema) -> pa.Table:
    """Tables under one another; columns that some lack are null there, columns that are null everywhere go."""
    together = pa.concat_tables([pa.Table.from_batches([], schema), *tables], promote_options="default")
    optional = [name for name in together.column_names if name not in schema.names]
    return together.drop_columns([name for name in optional if together.column(name).null_count == together.num_rows])


def _closed(files: pa.Table, removals: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Files with the removals that end them; and the removals of other files.

    A path may come back after it was removed: a removal ends the youngest file of its path that is older than itself.
    """
    if not removals.num_rows or not files.num_rows:
        return files, removals
    paths, versions = (_values(removals, name) for name in REMOVE_SCHEMA.names)
    removed_at: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for place, (path, version) in enumerate(zip(paths, versions, strict=True)):
        removed_at[path].append((version, place))
    removed = files.column("removed").combine_chunks()
    is_named = pc.is_in(files.column("path").combine_chunks(), value_set=pa.array(list(removed_at), pa.string()))
    is_open = pc.and_(pc.is_null(removed), is_named)
    suspects = files.select(["added", "path"]).filter(is_open)
    ends: list[int | None] = []
    met: set[int] = set()
    for added, path in zip(_values(suspects, "added"), _values(suspects, "path"), strict=True):
        end = min((entry for entry in removed_at[path] if entry[0] > added), default=None)
        ends.append(None if end is None else end[0])
        if end is not None:
            met.add(end[1])
    closed = pc.replace_with_mask(removed, is_open, pa.array(ends, pa.int64()))
    rest = removals.filter(pa.array([place not in met for place in range(removals.num_rows)], pa.bool_()))
    return files.set_column(files.column_names.index("removed"), "removed", closed), rest


def _live_and_dead(files: pa.Table) -> tuple[pa.Table, pa.Table]:
    is_live = pc.is_null(files.column("removed"))
    return files.filter(is_live), files.filter(pc.invert(is_live))


def _values(rows: pa.Table, name: str) -> list[Any]:
    return rows.column(name).to_pylist()


def _sorted(files: pa.Table, order: Sequence[str]) -> pa.Table:
    names = [name for name in order if name in files.column_names]
    keys: Any = [(name, "ascending") for name in (*names, "added", "position")]
    return files.take(pc.sort_indices(files, sort_keys=keys)) if files.num_rows > 1 else files


def _blocks(table: pa.Table) -> tuple[Block, ...]:
    return (HeldBlock(table),) if table.num_rows else ()


def action_text(change: Change) -> str:
    """An action as a segment holds it."""
    return json.dumps(change.action, ensure_ascii=False, separators=(",", ":"))
