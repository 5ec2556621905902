"""What shape a table is in, as people look at it: a small table of its levels, and what is worth knowing beside."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Final

from tablelog.display import bar, count, faint, html_page, html_table, percent, size, text_table
from tablelog.ops.health import FACTS, LevelHealth, Past, Work, past_of, ratio, shape_columns, shape_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tablelog.log.state import TableState

_LEAST: Final = 0.01
HEADS: Final = ("level", "in log", "files", "rows", "deleted", "mean size", "bytes", "share")


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How a table's files lie at one version, and what its history has cost. Prints itself."""

    name: str
    version: int
    levels: tuple[LevelHealth, ...]
    """Of the tree of data files, those that have files, lowest first."""
    partitions: int
    """Partitions that have files."""
    vector_bytes: int
    """Deletion vectors, inside the log or beside it."""
    order: str | None
    """The first column of the sort order or, without one, of the key."""
    read_amplification: int | None
    """How many files a look at one place of the order opens at most; None for a table without an order.

    It is the largest number of files of one partition whose ranges overlap. Where the log knows no bounds, a file
    overlaps every other.
    """
    horizon: int
    """The oldest version that could be read."""
    versions: int
    """How many versions could be read."""
    compactions: int
    """Among those that could be read."""
    write_amplification: float | None
    """Bytes that compactions wrote for each byte that everybody else wrote, in the versions that could be read.

    0 if nothing was written again; None if compactions are all that there is.
    """
    older_bytes: int | None
    """Bytes of files that only older versions need; None if the log does not say."""
    work: Work
    """What `compact()` would take up."""

    @property
    def files(self) -> int:
        """Files at this version, rows inside the log among them: what a scan of everything opens."""
        return sum(level.files + level.inlined for level in self.levels)

    @property
    def inlined(self) -> int:
        """Those that are rows inside the log."""
        return sum(level.inlined for level in self.levels)

    @property
    def rows(self) -> int:
        """Rows at this version."""
        return sum(level.rows for level in self.levels)

    @property
    def size_bytes(self) -> int:
        """Bytes of the files."""
        return sum(level.size_bytes for level in self.levels)

    @property
    def small_files(self) -> int:
        """Files of less than half the target size."""
        return sum(level.small_files for level in self.levels)

    @property
    def small_file_share(self) -> float:
        """Of all files, those of less than half the target size."""
        return ratio(self.small_files, self.files)

    @property
    def small_byte_share(self) -> float:
        """Of all bytes, those in such files."""
        return ratio(sum(level.small_bytes for level in self.levels), self.size_bytes)

    @property
    def deleted_rows(self) -> int:
        """Rows in the files that are not in the table any more."""
        return sum(level.deleted_rows for level in self.levels)

    @property
    def deleted_share(self) -> float:
        """Of the rows in the files, those."""
        return ratio(self.deleted_rows, self.rows + self.deleted_rows)

    @property
    def advice(self) -> str:
        """What upkeep would do, in plain words."""
        return " ".join((_of_compact(self.work), *_of_history(self)))

    def __str__(self) -> str:
        title = " · ".join((self.name, f"version {self.version}", *amounts(self)))
        lines = text_table(HEADS, list(level_rows(self))) if self.levels else []
        return "\n".join((title, *lines, *(f"{word}: {said}" for word, said in facts(self)), self.advice))

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        title = f"<b>{escape(self.name)}</b> version {self.version} {faint('· ' + ' · '.join(amounts(self)))}"
        rows = [
            (*cells, bar(level.size_bytes, self.size_bytes))
            for cells, level in zip(level_rows(self), self.levels, strict=True)
        ]
        table = html_table((*HEADS, ""), rows, right=frozenset(range(len(HEADS)))) if rows else ""
        lines = "".join(f"<div>{faint(escape(word))} {escape(said)}</div>" for word, said in facts(self))
        return html_page(title, f"{table}{lines}<div>{escape(self.advice)}</div>")


def health_of(name: str, state: TableState) -> Health:
    """Look at a table at a version. Reads columns of the log; makes no value for a file."""
    metadata = state.metadata
    shape = shape_of(state.file_columns(shape_columns(metadata)), metadata)
    past = past_of(state.facts(FACTS), state.horizon, state.version)
    return Health(
        name=name,
        version=state.version,
        levels=shape.levels,
        partitions=shape.partitions,
        vector_bytes=shape.vector_bytes,
        order=shape.order,
        read_amplification=shape.read_amplification,
        horizon=past.horizon,
        versions=past.versions,
        compactions=past.compactions,
        write_amplification=_write_amplification(past),
        older_bytes=past.older_bytes,
        work=shape.work,
    )


def amounts(health: Health) -> tuple[str, str, str]:
    """Rows, files and bytes, for people."""
    inside = f", {health.inlined:,} of them inside the log" if health.inlined else ""
    return count(health.rows, "row"), count(health.files, "file") + inside, size(health.size_bytes)


def level_rows(health: Health) -> Iterable[tuple[str, ...]]:
    """A row a level, under `HEADS`."""
    return (
        (
            str(level.level),
            f"{level.inlined:,}",
            f"{level.files:,}",
            f"{level.rows:,}",
            percent(level.deleted_share),
            size(level.file_size_bytes_mean) if level.files else "",
            size(level.size_bytes),
            percent(level.share),
        )
        for level in health.levels
    )


def facts(health: Health) -> list[tuple[str, str]]:
    """What is worth knowing beside the levels: a word and what it says."""
    vectors = f", in {size(health.vector_bytes)} of deletion vectors" if health.vector_bytes else ""
    older = f", {size(health.older_bytes)} only for older ones" if health.older_bytes else ""
    lines = [
        (
            "small files",
            f"{percent(health.small_file_share)}, with {percent(health.small_byte_share)} of the bytes"
            if health.small_files
            else "",
        ),
        ("deleted rows", f"{percent(health.deleted_share)}{vectors}" if health.deleted_rows else ""),
        ("partitions", f"{health.partitions:,}" if health.partitions > 1 else ""),
        ("to read", _reading(health)),
        ("written again", _writing(health)),
        ("history", f"{count(health.versions, 'version')} from {health.horizon} to {health.version}{older}"),
    ]
    return [(word, said) for word, said in lines if said]


def _write_amplification(past: Past) -> float | None:
    if past.written_bytes:
        return past.compacted_bytes / past.written_bytes
    return None if past.compacted_bytes else 0.0


def _reading(health: Health) -> str:
    everything = f"{count(health.files, 'file')} for everything"
    if health.read_amplification is None:
        return everything
    return f"at most {count(health.read_amplification, 'file')} for one place of {health.order}, {everything}"


def _writing(health: Health) -> str:
    if not health.compactions:
        return ""
    if health.write_amplification is None:
        return f"all bytes, by {count(health.compactions, 'compaction')}"
    times = "less than 0.01" if 0 < health.write_amplification < _LEAST else f"{health.write_amplification:.2f}"
    return f"{times} bytes for each byte, by {count(health.compactions, 'compaction')}"


def _of_compact(work: Work) -> str:
    """What `compact()` would do."""
    together: list[str] = [
        count(number, noun) for number, noun in ((work.small_files, "small file"), (work.inlined, "lot")) if number
    ]
    tasks = []
    if together:
        together[-1] += " of rows inside the log" if work.inlined else ""
        tasks.append(f"put {' and '.join(together)} together")
    if work.deleted_files:
        files = count(work.deleted_files, "file")
        tasks.append(f"rewrite {files} of which more than a quarter of the rows are deleted")
    return f"compact() would {' and '.join(tasks)}." if tasks else "compact() would find nothing to do."


def _of_history(health: Health) -> Iterable[str]:
    """What expiry and vacuum would do."""
    if health.older_bytes:
        yield f"expire() and then vacuum() can free up to {size(health.older_bytes)} that only older versions need."
