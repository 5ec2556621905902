"""The names of a lake as one query sees them: looked up once, and each table read at one version throughout."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from tablelog.catalog import TableName
from tablelog.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tablelog.catalog import CatalogState, TableEntry
    from tablelog.snapshot import Snapshot
    from tablelog.table import Table

_PARTS_MAX: Final = 2
_SHOWN_MAX: Final = 20
_NO_NAMESPACE: Final = "main"
"""What DuckDB calls the place of tables whose names have one part; no namespace of a lake is called so."""


class Names:
    """Tables by name, case ignored, at one version of the catalog."""

    def __init__(self, state: CatalogState, hold: Callable[[TableEntry], Table]) -> None:
        """`hold` gives the table of an entry."""
        self._hold = hold
        self._entries = {entry.name.folded: entry for entry in state.tables()}
        self._snapshots: dict[str, Snapshot] = {}

    def __contains__(self, parts: Sequence[str]) -> bool:
        return self._find(parts) is not None

    def __iter__(self) -> Iterator[TableName]:
        return (entry.name for entry in self._entries.values())

    def table(self, parts: Sequence[str]) -> Table:
        """The table of that name.

        Raises:
            NotFoundError: there is none.

        """
        entry = self._find(parts)
        if entry is None:
            raise self.not_found(".".join(parts))
        return self._hold(entry)

    def snapshot(self, parts: Sequence[str]) -> Snapshot:
        """Its newest version: one get, at the first call."""
        table = self.table(parts)
        found = self._snapshots.get(table.name)
        if found is None:
            found = self._snapshots[table.name] = table.snapshot()
        return found

    def knows(self, name: str) -> bool:
        """Whether a name, written as in messages, is that of a table."""
        return name.casefold() in {str(entry.name).casefold() for entry in self._entries.values()}

    def not_found(self, name: str) -> NotFoundError:
        """An error that says what name was probably meant."""
        names = [str(entry.name) for entry in self._entries.values()]
        folded = {known.casefold(): known for known in names}
        by_last_part = {known.rpartition(".")[2]: known for known in folded}
        close = get_close_matches(name.casefold(), [*folded, *by_last_part], n=1)
        if close:
            return NotFoundError(f"no table {name}; did you mean {folded[by_last_part.get(close[0], close[0])]}?")
        shown = ", ".join(names[:_SHOWN_MAX]) + (", …" if len(names) > _SHOWN_MAX else "")
        return NotFoundError(f"no table {name}; {f'there are {shown}' if names else 'the lake has no tables'}")

    def _find(self, parts: Sequence[str]) -> TableEntry | None:
        if not 1 <= len(parts) <= _PARTS_MAX:
            return None
        namespace = parts[0] if len(parts) > 1 and parts[0].casefold() != _NO_NAMESPACE else ""
        name = TableName(namespace, parts[-1])
        return self._entries.get(name.folded)
