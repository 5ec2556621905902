"""Parquet, CSV and JSON files as one stream of rows that fit a table.

Each file is read by DuckDB, some thousand rows at a time, and its columns are found by name. Parquet brings types,
which the table takes or refuses as it does for any data. CSV and JSON bring text: each value is cast on its own, and
the first one that is none of its column's type stops everything and is named with its file, row and column.

CSV files begin with the names of their columns. A list or struct is refused in CSV; in JSON it has the types that
DuckDB sees in the whole file.
"""

from __future__ import annotations

import glob
import shlex
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import duckdb
import pyarrow as pa

from tablelog.cli.failures import one_line
from tablelog.cli.text_values import misfits, rounded_in_json, value_of
from tablelog.engines.duckdb import new_database
from tablelog.engines.duckdb_text import quote, quote_text
from tablelog.errors import InvalidError, NotFoundError
from tablelog.format.types import Decimal, children
from tablelog.parquet.arrow import fields_from_arrow
from tablelog.parquet.conform import Conformer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tablelog.format.schema import Schema
    from tablelog.format.types import Field

GUESSED_ROWS: Final = 200_000
"""Rows at the beginning of a CSV file from which its types are guessed when a table is made of it."""
_BATCH_ROWS: Final = 65_536
_DELIMITERS: Final = ",;\t|"


class Kind(StrEnum):
    """How a file is to be read."""

    PARQUET = "Parquet"
    CSV = "CSV"
    JSON = "JSON"


_KINDS: Final = {
    ".parquet": Kind.PARQUET,
    ".pq": Kind.PARQUET,
    ".csv": Kind.CSV,
    ".tsv": Kind.CSV,
    ".json": Kind.JSON,
    ".jsonl": Kind.JSON,
    ".ndjson": Kind.JSON,
}
_COMPRESSED: Final = frozenset((".gz", ".zst"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One file."""

    path: str
    kind: Kind

    @property
    def literal(self) -> str:
        """The path in SQL, where it is no pattern, whatever is in it."""
        return quote_text(glob.escape(self.path))


def find_sources(patterns: Iterable[str]) -> list[Source]:
    """The files that names, and patterns such as `2026-*.csv`, stand for; those of one pattern by name.

    Raises:
        NotFoundError: there is no such file.
        InvalidError: a name does not say what the file holds, or it is a folder, or empty.

    """
    sources: list[Source] = []
    for pattern in patterns:
        whole = Path(pattern).expanduser()
        paths = [str(whole)] if whole.exists() else sorted(glob.glob(str(whole), recursive=True))  # noqa: PTH207 - Path.glob takes no absolute patterns
        if not paths:
            raise NotFoundError(f"there is no file {pattern}")
        sources += [Source(path=path, kind=_kind(Path(path))) for path in paths]
    return sources


def _kind(path: Path) -> Kind:
    if path.is_dir():
        raise InvalidError(f"{path} is a folder; name its files, for example '{path}/*.parquet'")
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in _COMPRESSED:
        suffixes.pop()
    kind = _KINDS.get(suffixes[-1]) if suffixes else None
    if kind is None:
        raise InvalidError(
            f"cannot tell what {path} holds; its name must end in {', '.join(_KINDS)}, and then perhaps .gz or .zst"
        )
    if not path.stat().st_size:
        raise InvalidError(f"{path} is empty, even of names of columns")
    return kind


class Files:
    """Files of any kind that are to become rows of one table."""

    def __init__(self, sources: Sequence[Source], nulls: Sequence[str] = ()) -> None:
        """Read these; texts in `nulls` mean null in CSV."""
        self._sources: Final = sources
        self._nulls: Final = ", ".join(map(quote_text, ("", *nulls)))
        self._connection, _ = new_database()
        self._connection.execute("SET enable_progress_bar = false")  # it would be drawn on stdout

    def row_count(self) -> int | None:
        """Rows in all files, if the files themselves say so; None if only reading them would tell."""
        if any(source.kind is not Kind.PARQUET for source in self._sources):
            return None
        return sum(self._parquet_rows(source) for source in self._sources)

    def fields(self, wanted: Iterable[Field] = ()) -> list[Field]:
        """The columns of all files, in the order in which they are met; types are Parquet's, or guessed, or `wanted`.

        Raises:
            InvalidError: a file cannot be read, two files do not agree on a type, or none has a wanted column.

        """
        said = {field.name: field for field in wanted}
        found: dict[str, Field] = {}
        for source in self._sources:
            for own in self._own_fields(source):
                field = said.get(own.name, own)
                other = found.setdefault(own.name, field)
                if str(other.type) != str(field.type):
                    raise InvalidError(
                        f"column {own.name!r} is {field.type} in {source.path}, and {other.type} in a file before it; "
                        f"say "
                        f"what it shall be, for example --type {shlex.quote(f'{own.name}=string')}"
                    )
        for name in said.keys() - found.keys():
            raise InvalidError(f"--type speaks of {name!r}; the files have {', '.join(map(repr, found))}")
        return list(found.values())

    def reader(self, schema: Schema) -> pa.RecordBatchReader:
        """The rows of all files under exactly the table's columns, to be read once.

        Raises:
            InvalidError: while reading: something cannot be read, or does not fit.

        """
        conform = Conformer(schema)

        def batches() -> Iterator[pa.RecordBatch]:
            for source in self._sources:
                for batch in self._batches(source, schema):
                    with _named(source):
                        conformed = conform(batch)
                    yield conformed

        return pa.RecordBatchReader.from_batches(conform.arrow_schema, batches())

    def _parquet_rows(self, source: Source) -> int:
        with _named(source):
            row = self._connection.execute(f"SELECT num_rows FROM parquet_file_metadata({source.literal})").fetchone()
        return row[0] if row else 0

    def _own_fields(self, source: Source) -> list[Field]:
        with _named(source):
            schema = self._connection.sql(f"FROM {self._guessed(source)} LIMIT 0").to_arrow_table().schema
        for place, column in enumerate(schema):
            if pa.types.is_null(column.type):  # JSON in which every value is null; CSV calls that text
                schema = schema.set(place, pa.field(column.name, pa.string()))
        _refuse_ragged(schema.names, source)
        return list(fields_from_arrow(schema))

    def _guessed(self, source: Source) -> str:
        """SQL that reads a file with the types that DuckDB sees in it."""
        match source.kind:
            case Kind.PARQUET:
                return f"read_parquet({source.literal})"
            case Kind.CSV:
                return self._csv(source, f"sample_size={GUESSED_ROWS}")
            case Kind.JSON:
                # A name that is not in the sample is lost; what is no object would become a column named "json".
                return f"read_json({source.literal}, records=true, sample_size=-1)"

    def _csv(self, source: Source, options: str) -> str:
        # Lines are neither skipped nor taken for comments because they look odd: that would lose rows.
        fixed = f"header=true, skip=0, comment='', nullstr=[{self._nulls}]"
        return f"read_csv({source.literal}, {fixed}, {options})"

    def _batches(self, source: Source, schema: Schema) -> Iterator[pa.RecordBatch]:
        before = 0
        with _named(source):
            query = f"FROM {self._guessed(source)}" if source.kind is Kind.PARQUET else self._cast(source, schema)
            for batch in self._connection.sql(query).to_arrow_reader(_BATCH_ROWS):
                if source.kind is Kind.PARQUET:
                    yield batch
                    continue
                *columns, misfit = batch.columns
                _refuse_misfit(misfit, source, before)
                yield pa.RecordBatch.from_arrays(columns, names=batch.schema.names[:-1])
                before += batch.num_rows

    def _cast(self, source: Source, schema: Schema) -> str:
        """SQL that reads text as values of the table's types; its last column says what of a row does not fit."""
        table, texts = self._csv_texts(source) if source.kind is Kind.CSV else self._json_texts(source, schema)
        selected: list[str] = []
        cases: list[str] = []
        for name, text in texts.items():
            field = _field(name, schema)
            if field is None or text is None or children(field.type):
                selected.append(quote(name))
                continue
            selected.append(f"{value_of(text, field.type)} AS {quote(name)}")
            misfit = misfits(text, field.type)
            if source.kind is Kind.JSON and isinstance(field.type, Decimal):
                misfit = f"({misfit} OR {rounded_in_json(quote(name), text)})"
            if misfit is not None:
                facts = f"'column': {quote_text(name)}, 'type': {quote_text(str(field.type))}, 'text': {text}"
                cases.append(f"WHEN {misfit} THEN {{{facts}}}")
        last = f"CASE {' '.join(cases)} END" if cases else "NULL"
        return f"SELECT {', '.join(selected)}, {last} AS {quote('|'.join(texts))} FROM {table}"

    def _csv_texts(self, source: Source) -> tuple[str, dict[str, str | None]]:
        """SQL that reads everything as text, and for each column SQL of its text."""
        table = self._csv(source, "all_varchar=true, allow_quoted_nulls=false")
        names = self._connection.sql(f"FROM {table} LIMIT 0").columns
        _refuse_ragged(names, source)
        return table, {name: quote(name) for name in names}

    def _json_texts(self, source: Source, schema: Schema) -> tuple[str, dict[str, str | None]]:
        """The same for what is flat; None for what is not, which keeps the type that DuckDB sees."""
        relation = self._connection.sql(f"FROM {self._guessed(source)} LIMIT 0")
        types: list[str] = []
        texts: dict[str, str | None] = {}
        for name, type_ in zip(relation.columns, map(str, relation.types), strict=True):
            field = _field(name, schema)
            nested = type_.endswith(("]", ")"))
            exact = not nested and field is not None and isinstance(field.type, Decimal)
            as_read = type_ if nested else "JSON" if exact else "VARCHAR"
            types.append(f"{quote_text(name)}: {quote_text(as_read)}")
            texts[name] = None if nested else f"({quote(name)} ->> '$')" if exact else quote(name)
        return f"read_json({source.literal}, columns={{{', '.join(types)}}})", texts


def _field(name: str, schema: Schema) -> Field | None:
    """The table's column that a file's column becomes, as `Conformer` finds it."""
    try:
        return schema.field(name)
    except NotFoundError:
        return None


def _refuse_misfit(misfit: Any, source: Source, before: int) -> None:
    if misfit.null_count == len(misfit):
        return
    row, found = next((row, each.as_py()) for row, each in enumerate(misfit, start=before + 1) if each.is_valid)
    hint = f"; if it means null: --null {shlex.quote(found['text'])}" if source.kind is Kind.CSV else ""
    raise InvalidError(
        f"{source.path} row {row:,}: {found['text']!r} in column {found['column']!r} is no {found['type']}; "
        f"nothing was added{hint}"
    )


def _refuse_ragged(names: Sequence[str], source: Source) -> None:
    """DuckDB takes a CSV file whose lines differ in length for a file of one column."""
    if source.kind is Kind.CSV and len(names) == 1 and any(mark in names[0] for mark in _DELIMITERS):
        raise InvalidError(
            f"{source.path}: not every line has as many values as the first one has names ({names[0][:80]})"
        )


@contextmanager
def _named(source: Source) -> Iterator[None]:
    """Errors with the file's name before them, the engine's as ours."""
    try:
        yield
    except (InvalidError, duckdb.Error, pa.ArrowException, OSError) as error:
        if str(error).startswith(source.path):
            raise
        said = one_line(str(error)).split(" Possible ")[0]  # what follows are options that only programs can set
        if "non-record JSON" in said:
            said = "it is no array of objects, nor objects one after the other, or there are no names in them"
        raise InvalidError(f"{source.path}: {said}") from error
