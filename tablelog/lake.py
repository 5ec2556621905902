"""A lake: tables under names, in one folder or bucket prefix.

lake = connect("./lake")                 a folder, s3://bucket/prefix, memory://name, or a registered scheme
lake.create_table("orders", data)        a folder of its own under the root, and a name in the catalog
lake.sql("FROM orders AT (VERSION => 0)")
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from tablelog import display, env
from tablelog.catalog import (
    Catalog,
    TableEntry,
    TableName,
    namespaces,
    parse_name,
    require,
    require_free,
    spelled,
)
from tablelog.committing import Committing
from tablelog.conditions import row_check
from tablelog.engines.duckdb import ENGINE, Cursor, new_database
from tablelog.engines.duckdb_text import quote
from tablelog.errors import ConflictError, InvalidError, NotFoundError
from tablelog.format import names
from tablelog.format.actions import SetClone
from tablelog.format.predicate import ALWAYS
from tablelog.log.commits import FoldedError
from tablelog.log.followed import FollowedLog
from tablelog.log.history import TableHistory
from tablelog.ops.clone import draft_clone
from tablelog.ops.create import TableOptions, draft_create, new_metadata
from tablelog.ops.keys import key_check
from tablelog.ops.planned import Drafting
from tablelog.ops.write import write_rows
from tablelog.parquet.arrow import fields_from_arrow
from tablelog.parquet.columns import fields_from_user_schema, looks_like_schema
from tablelog.parquet.input import open_data
from tablelog.provenance import commit_info
from tablelog.sql import query
from tablelog.sql.names import Names
from tablelog.store.base import exists
from tablelog.store.in_lake import table_store
from tablelog.store.open import open_store
from tablelog.store.probe import require_put_if_absent
from tablelog.table import Table
from tablelog.versions import register_clone

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence
    from datetime import date, datetime

    import duckdb

    from tablelog.catalog import CatalogState
    from tablelog.ops.planned import Planned
    from tablelog.ops.verify import Verification
    from tablelog.sql.parameters import Parameters
    from tablelog.store.base import ObjectStore


def connect(
    url: str | os.PathLike[str], storage_options: Mapping[str, Any] | None = None, *, create: bool = True
) -> Lake:
    """The lake at a place; made there if there is none, unless `create=False`.

    Making one first proves, with a probe object that is deleted again, that the store honours put-if-not-exists.

    Raises:
        InvalidError: the store cannot hold a lake (P1), or an option is unknown.
        NotFoundError: there is no lake and `create=False`.
        StoreError: the storage failed.

    """
    store = open_store(url, storage_options)
    catalog = Catalog(store)
    try:
        catalog.state()
    except NotFoundError:
        if _has_log(store, ""):
            raise InvalidError(
                f"{store.url} is a table and no lake; name the lake that it lies in, or use open_table"
            ) from None
        if not create:
            raise NotFoundError(f"there is no lake at {store.url}") from None
        require_put_if_absent(store)
        catalog.create(env.new_id(), commit_info())
    return Lake(store, catalog)


class Lake:
    """Tables under names. Safe to share between threads."""

    def __init__(self, store: ObjectStore, catalog: Catalog) -> None:
        """Made by `connect`."""
        self.store: Final = store
        self._catalog: Final = catalog
        self._tables: dict[tuple[str, TableName], Table] = {}
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        """Where it is."""
        return self.store.url

    # ------------------------------------------------------------------ names

    def create_table(
        self,
        name: str,
        data: object,
        *,
        key: str | Sequence[str] | None = None,
        partition_by: str | Sequence[str] | None = None,
        sort_by: str | Sequence[str] | None = None,
        cluster_by: str | Sequence[str] | None = None,
        checks: Mapping[str, str] | None = None,
        properties: Mapping[str, str] | None = None,
        info: Mapping[str, Any] | None = None,
        on_progress: Callable[[int], None] | None = None,
    ) -> Table:
        """Make a table, from a schema or from data, whose rows are then in version 0.

        A schema is an Arrow, Polars or tablelog schema, or a dict from column names to types
        (`{"id": "int64 not null", "at": "timestamp"}`). `partition_by` takes columns and transforms such as
        `"month(placed_at)"`, `sort_by` columns such as `"price desc"`, `cluster_by` columns of which a filter on any
        shall help (files are sorted along a Hilbert curve through them), `checks` maps names to SQL conditions.

        Raises:
            InvalidError: the name is taken, or columns, options or rows cannot be.

        """
        about = commit_info(info)
        names_now = self._catalog.state()
        table_name = spelled(names_now, parse_name(name))
        require_free(names_now, table_name)
        is_schema = looks_like_schema(data)
        reader = None if is_schema else open_data(data)
        fields = fields_from_user_schema(data) if reader is None else fields_from_arrow(reader.schema)
        options = TableOptions(
            key=_texts("key", key),
            partition_by=_texts("partition_by", partition_by),
            sort_by=_texts("sort_by", sort_by),
            cluster_by=_texts("cluster_by", cluster_by),
            checks=_settings("checks", checks),
            properties={setting: str(value) for setting, value in _settings("properties", properties).items()},
        )
        metadata = new_metadata(fields, options)
        for expression in options.checks.values():
            ENGINE.parse_condition(expression, metadata.schema)
        path = self._free_folder(names_now, table_name, metadata.table_id)
        store = table_store(self.store, path)
        written = None
        if reader is not None:
            check, keys = row_check(metadata.checks), key_check(store, metadata)
            written = write_rows(store, metadata, reader, check, keys=keys, inline=False, on_progress=on_progress)
        entry = TableEntry(id=metadata.table_id, name=table_name, path=path)
        return self._begin(entry, draft_create(metadata, written, about), about)

    def clone_table(
        self,
        source: str,
        name: str,
        *,
        version: int | None = None,
        timestamp: str | datetime | date | None = None,
        tag: str | None = None,
        info: Mapping[str, Any] | None = None,
    ) -> Table:
        """Make a table of its own from a version, a moment or a tag of another one, or its newest version.

        No data is copied. The clone has the rows, columns, rules and settings of that version and a history that begins
        there; its tags, its consumers and what becomes of it are its own. Files that it uses stay as long as it needs
        them, whatever becomes of the source.

        Raises:
            NotFoundError: there is no such table, version or tag, or it has expired.
            InvalidError: the name is taken.

        """
        about = commit_info(info)
        names_now = self._catalog.state()
        found, table_name = require(names_now, parse_name(source)), spelled(names_now, parse_name(name))
        require_free(names_now, table_name)
        origin = self._hold(found)
        is_newest = (version, timestamp, tag) == (None, None, None)
        state = origin.snapshot().state if is_newest else origin.at(version, timestamp, tag).state
        table_id = env.new_id()
        entry = TableEntry(id=table_id, name=table_name, path=self._free_folder(names_now, table_name, table_id))
        told = {**about, "change": f"of {found.name} version {state.version}"}
        planned, folders = draft_clone(state, table_store(self.store, found.path), found.path, table_id, told)
        # The source comes first: from then on it keeps the version, and as long as it uses files of others, so do they.
        for folder in (found.path, *sorted(folders - {found.path})):
            lender = Committing(table_store(self.store, folder))
            clone = SetClone(name=table_id, path=entry.path, version=state.version)
            register_clone(lender, clone, is_source=folder == found.path, info={**about, "change": f"as {table_name}"})
        return self._begin(entry, planned, about)

    def table(self, name: str) -> Table:
        """The table of that name. One get.

        Raises:
            NotFoundError: there is none.

        """
        return self._hold(require(self._catalog.state(), parse_name(name)))

    def __getitem__(self, name: str) -> Table:
        return self.table(name)

    def __contains__(self, name: object) -> bool:
        try:
            return isinstance(name, str) and self._catalog.state().find(parse_name(name)) is not None
        except InvalidError:  # what cannot be a name is no table's
            return False

    def tables(self, namespace: str | None = None) -> list[str]:
        """Names of all tables, or of those in one namespace (`""` for those in none), sorted. One get."""
        if not isinstance(namespace, str | None):
            raise InvalidError(f"namespace={namespace!r} is no name; give text, or nothing for all tables")
        wanted = None if namespace is None else namespace.casefold()
        entries = self._catalog.state().tables()
        return [str(entry.name) for entry in entries if wanted is None or entry.name.folded[0] == wanted]

    def drop_table(self, name: str) -> None:
        """Take a table's name away. Its folder stays, and `undrop_table` brings it back."""
        self._catalog.drop_table(parse_name(name), commit_info())

    def undrop_table(self, name: str) -> Table:
        """Bring back the table that was dropped last under this name."""
        self._catalog.undrop_table(parse_name(name), commit_info())
        return self.table(name)

    def rename_table(self, old: str, new: str) -> Table:
        """Give a table another name; nothing is moved."""
        self._catalog.rename_table(parse_name(old), parse_name(new), commit_info())
        return self.table(new)

    def namespaces(self) -> list[str]:
        """Namespaces that were created or that hold a table, sorted. One get."""
        return namespaces(self._catalog.state())

    def create_namespace(self, name: str) -> None:
        """Make a namespace that stays even while no table is in it."""
        self._catalog.create_namespace(_namespace(name), commit_info())

    def drop_namespace(self, name: str) -> None:
        """Take an empty namespace away."""
        self._catalog.drop_namespace(_namespace(name), commit_info())

    def verify(self, *, data: bool = True) -> list[Verification]:
        """Look at the log of names and at every table; see `Table.verify`. What is wrong is in the answers."""
        return [self._catalog.verify(), *(self.table(name).verify(data=data) for name in self.tables())]

    def repair(self) -> list[Verification]:
        """Put right what can be derived, of the names and of every table; see `Table.repair`."""
        return [self._catalog.verify(repair=True), *(self.table(name).repair() for name in self.tables())]

    # ------------------------------------------------------------------ questions

    def sql(self, text: str, params: Parameters = None) -> duckdb.DuckDBPyRelation:
        """Ask in DuckDB's SQL; tables are those of the lake, and Python's data frames by their variables' names.

        `orders AT (VERSION => 3)`, `AT (TIMESTAMP => '2026-11-01')`, `VERSION AS OF 3` and `TIMESTAMP AS OF …` stand
        anywhere a table may. Files that the log rules out are not opened. Moments without a zone are UTC. The answer
        is an ordinary relation: `.fetchall()`, `.pl()`, `.df()`, `.to_arrow_table()`, `.show()`.

        Raises:
            InvalidError: the text is no query, or makes no sense.
            NotFoundError: no such table, version or moment.

        """
        return query.run(self._names(), text, params)

    def explain(self, text: str, params: Parameters = None) -> list[display.Explanation]:
        """For each table that a query names, how many files, rows and bytes it has to touch."""
        return [
            display.explanation(snapshot.name, plan) for snapshot, plan in query.explain(self._names(), text, params)
        ]

    def duckdb(self) -> duckdb.DuckDBPyConnection:
        """An ordinary DuckDB connection that has each table, at its version of now, as a view.

        The connection is yours. It does not follow later commits and knows no `AT`; `sql` does both.
        """
        connection, files = new_database()
        cursor = Cursor(connection, files)
        for entry in self._catalog.state().tables():
            snapshot = self._hold(entry).snapshot()
            schema = entry.name.namespace or "main"
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quote(schema)}")
            cursor.present_to_all(schema, entry.name.name, snapshot.plan(ALWAYS), snapshot.store)
        return connection

    def __repr__(self) -> str:
        return "\n".join((f"lake at {self.url}", *(f"  {name}" for name in self.tables())))

    def _repr_html_(self) -> str:
        entries = self._catalog.state().tables()
        return display.lake_html(self.url, [(str(entry.name), self._hold(entry).snapshot().state) for entry in entries])

    # ------------------------------------------------------------------ inside

    def _names(self) -> Names:
        """What a query sees of the catalog. One get."""
        return Names(self._catalog.state(), self._hold)

    def _begin(self, entry: TableEntry, planned: Planned, about: Mapping[str, Any]) -> Table:
        """Commit version 0 of a table, and its name."""
        store = table_store(self.store, entry.path)
        history = TableHistory(store)
        draft = Drafting(history, store).draft_of(planned)
        try:
            created = FollowedLog(store, names.LOG, history).create(draft)
        except FoldedError as error:
            raise ConflictError(f"making {entry.name} took so long that a vacuum has given it up; try again") from error
        if created is None:
            raise ConflictError(f"another writer is making a table at {store.url}; look at lake.tables() and try again")
        self._catalog.create_table(entry, about)
        return self._hold(entry, history)

    def _hold(self, entry: TableEntry, history: TableHistory | None = None) -> Table:
        """One `Table` per name and id, so that what was read of its log is kept."""
        with self._lock:
            held = self._tables.get((entry.id, entry.name))
            if held is None:
                held = Table(table_store(self.store, entry.path), str(entry.name), history)
                self._tables[entry.id, entry.name] = held
            return held

    def _free_folder(self, state: CatalogState, name: TableName, table_id: str) -> str:
        """A folder called like the table, or nearly so if an older table lies in, around or under that one."""
        unique = f"-{table_id.replace('-', '')[-12:]}"
        namespace, path = names.folder(name.namespace), names.folder(name.name)
        if namespace:
            path = f"{namespace}{unique if _has_log(self.store, f'{namespace}/') else ''}/{path}"
        around = any(entry.path.startswith(f"{path}/") for entry in state.entries.values())
        return path + unique if around or _has_log(self.store, f"{path}/") else path


def _has_log(store: ObjectStore, prefix: str) -> bool:
    """Whether there is a table, in a catalog or not."""
    return exists(store, f"{prefix}{names.LOG}{names.commit(0)}")


def _texts(option: str, given: str | Iterable[str] | None) -> tuple[str, ...]:
    texts = () if given is None else (given,) if isinstance(given, str) else given
    if not isinstance(texts, Iterable):
        raise InvalidError(f"{option}={given!r} is no column and no list of columns")
    return tuple(texts)


def _settings(option: str, given: Mapping[str, Any] | None) -> dict[str, Any]:
    if given is not None and not isinstance(given, Mapping):
        raise InvalidError(f"{option}={given!r} is no dict; give names and what they mean: {{name: text}}")
    return dict(given or {})


def _namespace(text: str) -> str:
    name = parse_name(text)
    if name.namespace:
        raise InvalidError(f"{text!r} is not a namespace; namespaces are not nested")
    return name.name
