"""What some commits did to a table's files, commit by commit: which they brought, and which they took away.

The log keeps intervals, so what happened after version v and up to w is what begins or ends there: rows of segments
whose `added` or `removed` lies between, and the commits that are not merged yet. A file that was taken away by a later
part than the one that brought it is looked up there by its path.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from tablelog.errors import CorruptionError
from tablelog.format.actions import again
from tablelog.log.file_rows import file_actions
from tablelog.log.parts import REMOVE_SCHEMA, Step
from tablelog.parquet.plain import scalar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tablelog.format.action_json import ActionReader
    from tablelog.format.actions import AddFile
    from tablelog.log.blocks import Block, Column
    from tablelog.log.parts import Part


@dataclass(slots=True)
class FileChanges:
    """What one commit did to files."""

    added: list[AddFile] = field(default_factory=list)
    removed: list[AddFile] = field(default_factory=list)
    """As they were just before."""
    blurred: list[AddFile] = field(default_factory=list)
    """Files of which some rows may have gone, after they moved to another file by the same commit."""

    @property
    def renewed(self) -> set[str]:
        """Paths of files that stay, with other rows deleted."""
        return {file.path for file in self.added} & {file.path for file in self.removed}


def file_changes(parts: Sequence[Part], since: int, until: int, reader: ActionReader) -> dict[int, FileChanges]:
    """Changes of the commits after `since` up to `until`, by version, oldest first; those without any are left out.

    `parts` are those of a log from its first commit on.
    """
    changes: dict[int, FileChanges] = defaultdict(FileChanges)
    lost: list[tuple[int, str]] = []
    for part in parts:
        if part.last <= since or part.first > until:
            continue
        if isinstance(part, Step):
            changes[part.first].added += [*part.added, *(file for _, file in _files(part.blocks, reader))]
            lost += [(part.first, path) for paths in part.removed_at(until) for path in paths.to_pylist()]
            continue
        for block in (*part.live, *part.dead):
            for name, kind in (("added", "added"), ("removed", "removed")):
                for version, file in _files((block,), reader, _between(block, name, since, until), name):
                    getattr(changes[version], kind).append(file)
        for block in part.removals:
            rows: Any = block.table(REMOVE_SCHEMA.names).filter(_between(block, "removed", since, until))
            lost += zip(rows.column("removed").to_pylist(), rows.column("path").to_pylist(), strict=True)
    for version, file in _found(parts, lost, reader):
        changes[version].removed.append(file)
    kept = {version: _without_moved(changes[version]) for version in sorted(changes)}
    return {version: each for version, each in kept.items() if each.added or each.removed}


def _without_moved(changes: FileChanges) -> FileChanges:
    """A commit without what it put together in passing, of which no row came or went."""
    made = [file for file in changes.added if file.moved]
    if not made:
        return changes
    moved = {path for file in made for path in file.moved}
    thinned = [file for file in made if file.gone is not None]
    blurred = {path for file in thinned for path in file.moved}
    return FileChanges(
        [file for file in changes.added if not file.moved or file.gone is not None],
        [file for file in changes.removed if file.path not in moved] + [again(file, deleted=None) for file in thinned],
        [file for file in changes.removed if file.path in blurred],
    )


def _between(block: Block, name: str, since: int, until: int) -> Column:
    """Rows of a block in which a version lies after `since` and not after `until`."""
    versions = block.columns((name,))[name]
    inside = pc.and_(
        pc.greater(versions, scalar(since, pa.int64())), pc.less_equal(versions, scalar(until, pa.int64()))
    )
    return inside.fill_null(False)


def _files(
    blocks: Iterable[Block], reader: ActionReader, mask: Column | None = None, name: str = "added"
) -> Iterator[tuple[int, AddFile]]:
    """Files of blocks, those that `mask` names, with the version in a column."""
    for block in blocks:
        places: Any = range(block.row_count) if mask is None else pc.indices_nonzero(mask).to_pylist()
        if places:
            versions = block.columns((name,))[name].to_pylist()
            files = file_actions(block, places, reader)
            yield from ((versions[place] or 0, file) for place, file in zip(places, files, strict=True))


def _found(
    parts: Sequence[Part], lost: Sequence[tuple[int, str]], reader: ActionReader
) -> Iterator[tuple[int, AddFile]]:
    """For each version and path the file that the version took away: the youngest of that path before it."""
    if not lost:
        return
    wanted = {path for _, path in lost}
    value_set = pa.array(sorted(wanted), pa.string())
    known: dict[str, list[tuple[int, AddFile]]] = defaultdict(list)
    for part in parts:
        if isinstance(part, Step):
            files = [(part.first, file) for file in part.added]
            blocks: tuple[Block, ...] = part.blocks
        else:
            files, blocks = [], (*part.live, *part.dead)
        for block in blocks:
            mask = pc.is_in(block.columns(("path",))["path"], value_set=value_set)
            files += [(version or part.first, file) for version, file in _files((block,), reader, mask)]
        for version, file in files:
            if file.path in wanted:
                known[file.path].append((version, file))
    for version, path in lost:
        before = [entry for entry in known[path] if entry[0] < version]
        if not before:
            raise CorruptionError(f"version {version} of the log: it removes {path!r}, which is not in the table")
        yield version, max(before, key=lambda entry: entry[0])[1]
