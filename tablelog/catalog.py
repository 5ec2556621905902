"""The names of a lake's tables: a log of its own, by the same protocol as a table's.

    _catalog/00000000000000000000.json     {"lake": {"id": …, "format_version": 1}}
    _catalog/00000000000000000001.json     {"create_table": {"id": …, "name": ["sales", "orders"], "path": …}}

A table is known by its id; its name is only what the newest action says. So rename, drop and undrop are one small
commit each and move nothing. A dropped table's folder stays where it is. Names are one or two parts, `orders` or
`sales.orders`; a namespace exists because it was created or because a table is in it. Names that differ only by case
are the same name, as in SQL.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from tablelog.errors import CorruptionError, InvalidError, NotFoundError, TablelogError
from tablelog.format import names
from tablelog.format.schema import check_name
from tablelog.format.values import count, member
from tablelog.log.commits import Draft
from tablelog.log.followed import FollowedLog
from tablelog.log.plain import PlainHistory
from tablelog.ops.log_check import LogCheck
from tablelog.ops.verify import verify_log

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tablelog.log.parts import Change
    from tablelog.ops.verify import Verification
    from tablelog.store.base import ObjectStore

FORMAT_VERSION: Final = 1
_KINDS: Final = frozenset(
    ("lake", "create_namespace", "drop_namespace", "create_table", "drop_table", "rename_table", "undrop_table")
)
_PARTS_MAX: Final = 2
_NAMESPACES_OF_DUCKDB: Final = frozenset(("main", "memory", "temp", "system", "information_schema", "pg_catalog"))


@dataclass(frozen=True, slots=True, order=True)
class TableName:
    """A namespace, empty for none, and a name in it."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return ".".join(_shown(part) for part in (self.namespace, self.name) if part)

    @property
    def folded(self) -> tuple[str, str]:
        """What two names have in common that SQL cannot tell apart."""
        return self.namespace.casefold(), self.name.casefold()


@dataclass(frozen=True, slots=True, kw_only=True)
class TableEntry:
    """One table as the catalog knows it."""

    id: str
    name: TableName
    path: str
    """Its folder, relative to the lake's root."""
    dropped_version: int | None = None
    """The catalog's version that dropped it; None while it is there."""


@dataclass(frozen=True, slots=True)
class CatalogState:
    """All names at one version of the catalog."""

    version: int
    entries: Mapping[str, TableEntry]
    """By table id, dropped ones too."""
    namespaces: frozenset[str]

    def find(self, name: TableName) -> TableEntry | None:
        """The table of that name, if there is one that is not dropped."""
        found = (entry for entry in self.entries.values() if entry.name.folded == name.folded)
        return next((entry for entry in found if entry.dropped_version is None), None)

    def tables(self) -> list[TableEntry]:
        """Tables that are not dropped, by name."""
        return sorted((e for e in self.entries.values() if e.dropped_version is None), key=lambda entry: entry.name)


class _CatalogHistory(PlainHistory[CatalogState]):
    """The catalog's commits, applied in order."""

    def _begin(self) -> None:
        self._entries: dict[str, TableEntry] = {}
        self._namespaces: set[str] = set()

    def _take(self, changes: tuple[Change, ...]) -> None:
        for change in changes:
            try:
                ((kind, body),) = change.action.items()
                self._apply(kind, body, change.version)
            except TablelogError as error:
                raise type(error)(f"version {change.version} of the catalog: {error}") from error

    def _apply(self, kind: str, body: Any, version: int) -> None:
        if kind not in _KINDS:
            raise InvalidError(f"it has an action {kind!r} that this tablelog does not know; upgrade tablelog")
        try:
            self._change(kind, body, version)
        except TablelogError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CorruptionError(f"{kind} is not well formed: {error!r}") from error

    def _change(self, kind: str, body: Mapping[str, Any], version: int) -> None:
        match kind:
            case "lake":
                if count(body["format_version"]) > FORMAT_VERSION:
                    raise InvalidError(f"the lake has format version {body['format_version']}; upgrade tablelog")
            case "create_namespace":
                self._namespaces.add(_part(body["name"]))
            case "drop_namespace":
                self._namespaces.discard(_part(body["name"]))
            case "create_table":
                path = names.check_path(body["path"])
                entry = TableEntry(id=member(str, body["id"]), name=_decode_name(body["name"]), path=path)
                self._entries[entry.id] = entry
            case "drop_table":
                self._entries[body["id"]] = replace(self._entries[body["id"]], dropped_version=version)
            case "rename_table":
                self._entries[body["id"]] = replace(self._entries[body["id"]], name=_decode_name(body["name"]))
            case "undrop_table":
                entry = replace(self._entries[body["id"]], name=_decode_name(body["name"]), dropped_version=None)
                self._entries[entry.id] = entry
            case _:
                raise AssertionError(kind)

    def state(self) -> CatalogState:
        return CatalogState(self.lineage.newest, dict(self._entries), frozenset(self._namespaces))


def _decode_name(data: Any) -> TableName:
    namespace, name = member(list, data)
    return TableName(_part(namespace) if namespace != "" else "", _part(name))


def _part(data: Any) -> str:
    """One part of a name as the log has it."""
    try:
        check_name(member(str, data), "name")
    except InvalidError as error:
        raise CorruptionError(str(error)) from error
    return str(data)


class Catalog:
    """The log of names at a lake's root. Every change is one commit."""

    def __init__(self, store: ObjectStore) -> None:
        """Follow the catalog in a store's root; reads nothing yet."""
        self._store = store
        self._log: FollowedLog[CatalogState] = FollowedLog(store, names.CATALOG, _CatalogHistory())

    def create(self, lake_id: str, info: Mapping[str, Any]) -> None:
        """Begin a catalog, unless there is one already. One put."""
        actions = ({"lake": {"id": lake_id, "format_version": FORMAT_VERSION}},)
        self._log.create(Draft(operation="create lake", actions=actions, info=info))

    def state(self) -> CatalogState:
        """The newest names. One get.

        Raises:
            NotFoundError: there is no lake here.

        """
        return self._log.refresh()

    def verify(self, *, repair: bool = False) -> Verification:
        """Look at everything that the log of names consists of; with `repair`, put right what can be derived first."""
        if repair:
            LogCheck(self._store, names.CATALOG, _CatalogHistory()).run().repair()
        check = LogCheck(self._store, names.CATALOG, _CatalogHistory()).run()
        return verify_log(check, self._store.url)

    def create_table(self, entry: TableEntry, info: Mapping[str, Any]) -> None:
        """Give a table its name.

        Raises:
            InvalidError: the name is taken.

        """

        def plan(state: CatalogState) -> Mapping[str, Any]:
            require_free(state, entry.name)
            return {"create_table": {"id": entry.id, "name": _parts(spelled(state, entry.name)), "path": entry.path}}

        self._commit(f"create table {entry.name}", plan, info)

    def drop_table(self, name: TableName, info: Mapping[str, Any]) -> None:
        """Take a table's name away; its folder stays, and `undrop_table` brings it back."""
        self._commit(f"drop table {name}", lambda state: {"drop_table": {"id": require(state, name).id}}, info)

    def undrop_table(self, name: TableName, info: Mapping[str, Any]) -> None:
        """Bring the table back that had this name last.

        Raises:
            NotFoundError: no dropped table had the name.
            InvalidError: the name is taken by another table meanwhile.

        """

        def plan(state: CatalogState) -> Mapping[str, Any]:
            require_free(state, name)
            dropped = [entry for entry in state.entries.values() if entry.name.folded == name.folded]
            if not dropped:
                raise NotFoundError(f"no dropped table was called {name}")
            last = max(dropped, key=lambda entry: entry.dropped_version or 0)
            return {"undrop_table": {"id": last.id, "name": _parts(last.name)}}

        self._commit(f"undrop table {name}", plan, info)

    def rename_table(self, old: TableName, new: TableName, info: Mapping[str, Any]) -> None:
        """Give a table another name, also in another namespace."""

        def plan(state: CatalogState) -> Mapping[str, Any]:
            entry = require(state, old)
            taken = state.find(new)
            if taken is not None and taken.id != entry.id:
                raise InvalidError(f"there is a table {new} already")
            return {"rename_table": {"id": entry.id, "name": _parts(spelled(state, new))}}

        self._commit(f"rename table {old} to {new}", plan, info)

    def create_namespace(self, name: str, info: Mapping[str, Any]) -> None:
        """Make a namespace that stays even while no table is in it."""

        def plan(state: CatalogState) -> Mapping[str, Any]:
            if name.casefold() in {each.casefold() for each in namespaces(state)}:
                raise InvalidError(f"there is a namespace {name!r} already")
            return {"create_namespace": {"name": spelled(state, TableName(name, "")).namespace}}

        self._commit(f"create namespace {name}", plan, info)

    def drop_namespace(self, name: str, info: Mapping[str, Any]) -> None:
        """Take an empty namespace away."""

        def plan(state: CatalogState) -> Mapping[str, Any]:
            own = spelled(state, TableName(name, "")).namespace
            if own not in namespaces(state):
                raise NotFoundError(f"no namespace {name!r}; there are {', '.join(namespaces(state)) or 'none'}")
            inside = [entry.name for entry in state.tables() if entry.name.namespace == own]
            if inside:
                raise InvalidError(
                    f"namespace {own!r} still holds {len(inside)} tables, first {inside[0]}; drop them first"
                )
            return {"drop_namespace": {"name": own}}

        self._commit(f"drop namespace {name}", plan, info)

    def _commit(
        self, operation: str, plan: Callable[[CatalogState], Mapping[str, Any]], info: Mapping[str, Any]
    ) -> None:
        self._log.refresh()
        self._log.commit(lambda state: Draft(operation=operation, actions=(plan(state),), info=info))


def require(state: CatalogState, name: TableName) -> TableEntry:
    """The table of that name.

    Raises:
        NotFoundError: there is none; the message lists what there is.

    """
    entry = state.find(name)
    if entry is None:
        there = ", ".join(str(entry.name) for entry in state.tables()[:20])
        raise NotFoundError(f"no table {name}; {f'there are {there}' if there else 'the lake has no tables'}")
    return entry


def require_free(state: CatalogState, name: TableName) -> None:
    """Make sure that no table has the name.

    Raises:
        InvalidError: one has.

    """
    taken = state.find(name)
    if taken is not None:
        raise InvalidError(f"there is a table {taken.name} already; drop or rename it, or choose another name")


def spelled(state: CatalogState, name: TableName) -> TableName:
    """The name with its namespace written as it already is, if it differs by case only.

    Raises:
        InvalidError: the namespace is one that DuckDB has for itself.

    """
    folded = name.namespace.casefold()
    if folded in _NAMESPACES_OF_DUCKDB:
        raise InvalidError(f"namespace {name.namespace!r} is DuckDB's own; choose another name")
    return replace(name, namespace=next((own for own in namespaces(state) if own.casefold() == folded), name.namespace))


def namespaces(state: CatalogState) -> list[str]:
    """Namespaces that were created or that hold a table."""
    used = {entry.name.namespace for entry in state.tables()} - {""}
    return sorted(used | state.namespaces)


def parse_name(text: str | TableName) -> TableName:
    """A table's name from text: `orders`, `sales.orders`, or with quotes where a part has a dot, `sales."a.b"`.

    >>> parse_name('sales."a.b"')
    TableName(namespace='sales', name='a.b')

    Raises:
        InvalidError: it is empty, has more than two parts, or quotes that do not end.

    """
    if isinstance(text, TableName):
        return text
    if not isinstance(text, str):
        raise InvalidError(f"{text!r} is not a table's name; give text such as 'orders' or 'sales.orders'")
    parts = _split(text)
    if len(parts) > _PARTS_MAX:
        raise InvalidError(f"table name {text!r} has {len(parts)} parts; a name is 'table' or 'namespace.table'")
    for part in parts:
        check_name(part, "table name")
    return TableName("", parts[0]) if len(parts) == 1 else TableName(*parts)


def _split(text: str) -> list[str]:
    parts, position = [""], 0
    while position < len(text):
        character = text[position]
        if character == '"' and parts[-1] == "":
            end = position + 1
            while (end := text.find('"', end)) != -1 and text[end : end + 2] == '""':
                end += 2
            if end == -1 or text[end + 1 : end + 2] not in {"", "."}:
                raise InvalidError(f"table name {text!r} has a quote that does not end where the name does")
            parts[-1] = text[position + 1 : end].replace('""', '"')
            position = end + 1
        elif character == ".":
            parts.append("")
            position += 1
        else:
            parts[-1] += character
            position += 1
    return parts


def _shown(part: str) -> str:
    return f'"{part.replace(chr(34), chr(34) * 2)}"' if "." in part or '"' in part else part


def _parts(name: TableName) -> list[str]:
    return [name.namespace, name.name]
