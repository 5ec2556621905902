"""The files of a table at a version, as a sequence that makes a value of a file when it is asked for one.

What decides which rows of the parts are files of the version, and in which order, is here too: part by part from the
newest, because what a part removes is gone from those before it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby
from typing import TYPE_CHECKING, Any, Final, Protocol, overload

import pyarrow as pa
import pyarrow.compute as pc

from tablelog.format.actions import AddFile
from tablelog.log.blocks import GroupBlock
from tablelog.log.file_rows import column_type, file_actions, file_table, is_member, member_column
from tablelog.parquet.plain import ints, scalar
from tablelog.store.together import together

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tablelog.format.action_json import ActionReader
    from tablelog.log.blocks import Block, Column
    from tablelog.log.parts import Part, Rows

_AT_ONCE: Final = 1024
"""Files made into values together."""
_MUCH: Final = 200_000
"""Rows that are worth a second thread."""
_FEW: Final = 1000
"""Up to so many paths are looked up one by one."""


class Narrowing(Protocol):
    """Something that knows of files that nobody wants."""

    @property
    def field_ids(self) -> Sequence[int]:
        """Fields whose statistics whoever gets the files will ask for."""

    def rules_out(self, block: Block) -> bool:
        """Whether no file of a block is wanted, as far as can be said without reading it."""

    def columns(self, block: Block) -> Sequence[str]:
        """What of a block has to be read to say which are."""

    def mask(self, block: Block) -> Column | None:
        """Which files of a block may be wanted; None for all."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A `Narrowing` that wants every file, and of each some columns: they are fetched all at once."""

    names: tuple[str, ...]
    field_ids: Sequence[int] = ()

    def rules_out(self, block: Block) -> bool:  # noqa: ARG002 - whatever is in it
        """See `Narrowing`."""
        return False

    def columns(self, block: Block) -> Sequence[str]:
        """See `Narrowing`."""
        return ["added", "position", *(name for name in self.names if name in block.column_names)]

    def mask(self, block: Block) -> Column | None:  # noqa: ARG002
        """See `Narrowing`."""
        return None


class Named:
    """A `Narrowing` to files with some paths."""

    field_ids: Sequence[int] = ()

    def __init__(self, paths: Iterable[str]) -> None:
        """Look for these."""
        self._paths = pa.array(sorted(paths), pa.string())

    def rules_out(self, block: Block) -> bool:  # noqa: ARG002 - paths have no order
        """See `Narrowing`."""
        return False

    def columns(self, block: Block) -> Sequence[str]:  # noqa: ARG002
        """See `Narrowing`."""
        return ("path",)

    def mask(self, block: Block) -> Column | None:
        """See `Narrowing`."""
        return pc.is_in(block.columns(("path",))["path"], value_set=self._paths)


@dataclass(frozen=True, slots=True)
class _Run:
    """Files in blocks: places counted over all of the blocks, in the order of the files."""

    blocks: tuple[Block, ...]
    places: Column

    def column(self, name: str) -> Column:
        columns = [block.column(name) for block in self.blocks]
        known = [column for column in columns if column is not None]
        if not known:
            return pa.nulls(len(self.places))
        every = [
            pa.nulls(block.row_count, known[0].type) if column is None else column
            for block, column in zip(self.blocks, columns, strict=True)
        ]
        return pa.chunked_array(every).take(self.places)

    def files(self, start: int, count: int, reader: ActionReader, field_ids: Sequence[int]) -> list[AddFile]:
        ends = list(accumulate(block.row_count for block in self.blocks))
        by_block: dict[int, tuple[list[int], list[int]]] = {}
        wanted = self.places.slice(start, count).to_pylist()
        for target, place in enumerate(wanted):
            number = bisect_right(ends, place)
            targets, places = by_block.setdefault(number, ([], []))
            targets.append(target)
            places.append(place - (ends[number - 1] if number else 0))
        found: dict[int, AddFile] = {}
        for number, (targets, places) in by_block.items():
            found |= zip(targets, file_actions(self.blocks[number], places, reader, field_ids), strict=True)
        return [found[target] for target in range(len(wanted))]


class Files(Sequence[AddFile]):
    """Files in the order in which they were added."""

    def __init__(
        self, runs: Sequence[_Run | tuple[AddFile, ...]], reader: ActionReader, field_ids: Sequence[int] = ()
    ) -> None:
        """Made by `files_at`."""
        self._runs = runs
        self._reader = reader
        self._field_ids = field_ids
        self._ends = list(accumulate(len(_members(run)) for run in runs))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @overload
    def __getitem__(self, place: int) -> AddFile: ...
    @overload
    def __getitem__(self, place: slice) -> list[AddFile]: ...
    def __getitem__(self, place: int | slice) -> AddFile | list[AddFile]:
        if isinstance(place, slice):
            return [self[each] for each in range(*place.indices(len(self)))]
        if not -len(self) <= place < len(self):
            raise IndexError(place)
        place %= len(self)
        number = bisect_right(self._ends, place)
        return self._some(number, place - (self._ends[number - 1] if number else 0), 1)[0]

    def __iter__(self) -> Iterator[AddFile]:
        for number, run in enumerate(self._runs):
            for start in range(0, len(_members(run)), _AT_ONCE):
                yield from self._some(number, start, _AT_ONCE)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(ours == theirs for ours, theirs in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]  # like a list

    def __repr__(self) -> str:
        return f"<{len(self):,} files>"

    @property
    def paths(self) -> list[str]:
        """Their paths, relative to the table's folder."""
        return self._values("path", "path")

    @property
    def row_count(self) -> int:
        """Rows in all of them that are in the table."""
        deleted = sum(filter(None, self._values("deleted", "deleted_row_count")))
        return int(sum(self._values("rows", "row_count")) - deleted)

    @property
    def size_bytes(self) -> int:
        """Bytes of all of them."""
        return sum(self._values("size", "size_bytes"))

    @property
    def held(self) -> Iterator[AddFile]:
        """Those that are values already, because no segment has them yet; no `Narrowing` has looked at them."""
        return (file for run in self._runs if not isinstance(run, _Run) for file in run)

    def columns(self, names: Sequence[str]) -> pa.Table:
        """Some of what `log.file_rows` has columns for, a row per file in their order; null where nothing is known."""
        schema = pa.schema([(name, column_type(name)) for name in names])
        return pa.concat_tables([schema.empty_table(), *(self._columns(run, schema) for run in _lumped(self._runs))])

    def _columns(self, run: _Run | tuple[AddFile, ...], schema: pa.Schema) -> pa.Table:
        if isinstance(run, _Run):
            found: dict[str, Any] = {name: run.column(name) for name in schema.names}
        elif all(map(is_member, schema.names)):
            found = {name: member_column(run, name) for name in schema.names}
        else:
            table = file_table(run, range(len(run)), range(len(run)), self._reader)
            found = {name: table.column(name) for name in schema.names if name in table.column_names}
        count = len(_members(run))
        columns: list[Any] = [
            found[field.name].cast(field.type) if field.name in found else pa.repeat(pa.scalar(None, field.type), count)
            for field in schema
        ]
        return pa.table(columns, schema=schema)

    def _values(self, column: str, member: str) -> list[Any]:
        values: list[Any] = []
        for run in self._runs:
            if isinstance(run, _Run):
                values += run.column(column).to_pylist()
            else:
                values += [getattr(file, member) for file in run]
        return values

    def _some(self, number: int, start: int, count: int) -> Sequence[AddFile]:
        run = self._runs[number]
        if isinstance(run, _Run):
            return run.files(start, count, self._reader, self._field_ids)
        return run[start : start + count]


def _members(run: _Run | tuple[AddFile, ...]) -> Sequence[Any]:
    return run.places if isinstance(run, _Run) else run


def _lumped(runs: Iterable[_Run | tuple[AddFile, ...]]) -> Iterator[_Run | tuple[AddFile, ...]]:
    """The same files, values that follow one another in one piece: each piece costs more than its files."""
    for is_values, lump in groupby(runs, lambda run: isinstance(run, tuple)):
        if is_values:
            yield tuple(file for run in lump if isinstance(run, tuple) for file in run)
        else:
            yield from lump


def files_at(parts: Sequence[Part], version: int, reader: ActionReader, narrowing: Narrowing | None = None) -> Files:
    """The files that parts of a log, from its first commit on, have at a version, less those that nobody wants."""
    blocks = {part.first: [rows for rows in part.rows_at(version) if not _ruled_out(rows, narrowing)] for part in parts}
    _fetch([rows for every in blocks.values() for rows in every], narrowing)
    runs: list[_Run | tuple[AddFile, ...]] = []
    gone: frozenset[str] = frozenset()
    for part in reversed(parts):
        if part.added:
            runs.append(tuple(file for file in part.added if file.path not in gone))
        run = _run(blocks[part.first], version, narrowing, gone)
        if run is not None:
            runs.append(run)
        gone = gone.union(*(paths.to_pylist() for paths in part.removed_at(version)))
    return Files(runs[::-1], reader, () if narrowing is None else narrowing.field_ids)


def _ruled_out(rows: Rows, narrowing: Narrowing | None) -> bool:
    return narrowing is not None and narrowing.rules_out(rows.block)


def _fetch(every: Iterable[Rows], narrowing: Narrowing | None) -> None:
    """Get what is about to be read of objects, all at once; if that is much, decode the objects side by side."""
    wanted: dict[int, list[tuple[GroupBlock, list[str]]]] = {}
    for rows in every:
        block = rows.block
        if isinstance(block, GroupBlock):
            names = {"added", "position"} if narrowing is None else set(narrowing.columns(block))
            names |= {"added"} if rows.begins else set()
            names |= {"removed"} if rows.ends else set()
            wanted.setdefault(id(block.sealed), []).append((block, sorted(names)))
    objects = [blocks for blocks in wanted.values() if blocks[0][0].sealed.lacks(_places(blocks))]
    is_much = sum(block.row_count for blocks in objects for block, _ in blocks) > _MUCH

    def load(blocks: list[tuple[GroupBlock, list[str]]]) -> None:
        blocks[0][0].sealed.fetch(_places(blocks))
        for block, names in blocks if is_much else ():
            block.columns(names)

    is_far = any(blocks[0][0].sealed.is_far for blocks in objects)
    together(load, objects, side_by_side=is_far or is_much)


def _places(blocks: Iterable[tuple[GroupBlock, list[str]]]) -> Iterator[tuple[int, str]]:
    """Columns of row groups."""
    return ((block.group, name) for block, names in blocks for name in names)


def _run(every: Sequence[Rows], version: int, narrowing: Narrowing | None, gone: frozenset[str]) -> _Run | None:
    """The files of a part's blocks, in the order in which they were added."""
    found: list[tuple[Block, Column]] = []
    for rows in every:
        block = rows.block
        masks = [rows.mask_at(version), None if narrowing is None else narrowing.mask(block)]
        mask: Column | None = None
        for each in masks:
            mask = each if mask is None else mask if each is None else pc.and_(mask, each)
        places: Column = ints(range(block.row_count)) if mask is None else pc.indices_nonzero(mask).cast(pa.int64())
        places = _without(block, places, gone) if gone and len(places) else places
        if len(places):
            found.append((block, places))
    if not found:
        return None
    starts = [0, *accumulate(block.row_count for block, _ in found)]
    every_place = pa.concat_arrays(
        [pc.add(places, scalar(start, pa.int64())) for (_, places), start in zip(found, starts, strict=False)]
    )
    run = _Run(tuple(block for block, _ in found), every_place)
    if len(every_place) < 2:  # noqa: PLR2004 - one is in order
        return run
    ages = pa.table({"added": run.column("added"), "position": run.column("position")})
    order = pc.sort_indices(ages, sort_keys=[("added", "ascending"), ("position", "ascending")])
    return _Run(run.blocks, every_place.take(order))


def _without(block: Block, places: Column, gone: frozenset[str]) -> Column:
    """The places of files whose paths are not gone."""
    paths = block.columns(("path",))["path"].take(places)
    if len(paths) <= _FEW:
        stays = (number for number, path in enumerate(paths.to_pylist()) if path not in gone)
        return places.take(ints(stays))
    return places.filter(pc.invert(pc.is_in(paths, value_set=pa.array(list(gone), pa.string()))))
