"""Who wins when writers meet: the rules, as one table, and the check that a transaction makes of them.

Whoever creates the next version wins. Everybody else takes the winner's commit in and is planned again on what the
table is now, so most operations simply come after it. What is left are the cases in which coming after would be wrong.
`RULES` says it for every pair; the same table stands in docs/concurrency.md.

A transaction has read the table at one version, and nobody can know what its user concluded from that. So it is held
against each commit that won meanwhile, in their order: rows that both take out are a conflict (else an update would be
lost), and on request so are rows that came or went and that the transaction had asked for (else two writers may each
act on what the other one is changing). Compactions change no rows and never count.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from pyroaring import BitMap

from tablelog.ops.changes import AFTER, BEFORE, DELETE, INSERT, row_events
from tablelog.ops.matching import rows_by_path
from tablelog.ops.scan import plan_scan
from tablelog.parquet.vectors import NO_ROWS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tablelog.format.schema import Schema
    from tablelog.log.changed import FileChanges
    from tablelog.log.state import TableState
    from tablelog.ops.changes import RowEvent
    from tablelog.ops.matching import Condition
    from tablelog.store.base import ObjectStore


@dataclass(frozen=True, slots=True)
class Rule:
    """What happens to an operation when somebody else's commit took its version."""

    mine: str
    theirs: str
    outcome: str


AFTER_IT: Final = "comes after it"
RULES: Final = (
    Rule("append", "anything about rows, columns or settings", f"{AFTER_IT}; nothing is written again"),
    Rule(
        "append, overwrite", "a CHECK, or NOT NULL on a column", "ConflictError: the rows were not checked against it"
    ),
    Rule("append", "a row with the same key, in a table with a key", "ConflictError with the key"),
    Rule(
        "delete, update", "rows that came in", f"{AFTER_IT}: only the new files are looked into, what matches goes too"
    ),
    Rule("delete, update", "other rows of the same file go", f"{AFTER_IT}: both deletion vectors are merged"),
    Rule("delete", "the same rows go", f"{AFTER_IT}: they are gone, and counted once"),
    Rule("update", "the same rows change", f"{AFTER_IT}: computed again from what they are now"),
    Rule(
        "upsert, merge", "rows with the same keys", f"{AFTER_IT}: it replaces what is there now; the later commit wins"
    ),
    Rule("overwrite", "anything about rows", f"{AFTER_IT}: it replaces what is there now"),
    Rule(
        "delete, update, upsert, merge",
        "columns or rules change",
        "planned anew; an error if it makes no sense any more",
    ),
    Rule("compact", "rows of its files go", "carried over: they stay deleted in the files that it wrote"),
    Rule("compact", "its files are replaced", "those are left for another time; it never fails, and makes nobody fail"),
    Rule("any of these", "compact", f"{AFTER_IT}: the new files are looked into"),
    Rule("restore", "anything", f"{AFTER_IT}: the table is what it was, without it"),
    Rule(
        "any that brings files", "a vacuum, and they are older than its grace", "ConflictError: they may be gone; again"
    ),
    Rule("revert", "rows that the commit had brought change or move", "ConflictError that lists what changed them"),
    Rule("alter, tag, fence, expire", "anything", "decided anew; an error if it makes no sense any more"),
    Rule(
        "numbered (`idempotent=`)", "the same name and number", "not done again: the commit that has it is the answer"
    ),
    Rule("exclusive", "a newer epoch of the name", "FencedError, whatever it wanted"),
    Rule("transaction", "rows that came in", f"{AFTER_IT}"),
    Rule("transaction", "rows go that it takes out as well", "ConflictError: nothing is lost silently"),
    Rule("transaction, serializable", "rows come or go that it has asked for", "ConflictError"),
)


def taken_rows(store: ObjectStore, changes: FileChanges) -> dict[str, BitMap]:
    """Rows that a commit took out, by the path of their file; all of a file that it merged before it took some out."""
    taken = {file.path: BitMap(range(file.row_count)) for file in changes.blurred}
    for event in row_events(store, changes):
        if event.kind in {DELETE, BEFORE}:
            taken[event.file.path] = taken.get(event.file.path, NO_ROWS) | event.rows
    return taken


def both_take(ours: Mapping[str, BitMap], theirs: Mapping[str, BitMap]) -> str | None:
    """A file of which both take the same row; None if there is none."""
    return next((path for path, rows in ours.items() if rows & theirs.get(path, NO_ROWS)), None)


def touches(
    store: ObjectStore,
    states: tuple[TableState, TableState],
    changes: FileChanges,
    condition_on: Callable[[Schema], Condition] | None,
) -> bool:
    """Whether a commit brought or took away rows that fulfil a condition (None for any row).

    `states` are the table before and after it.
    """
    for event in row_events(store, changes):
        state = states[event.kind in {INSERT, AFTER}]
        if condition_on is None or _fulfil(store, state, event, condition_on(state.schema)):
            return True
    return False


def _fulfil(store: ObjectStore, state: TableState, event: RowEvent, condition: Condition) -> bool:
    file = replace(event.file, deleted=None)
    plan = replace(plan_scan(state, condition.fields, limit=0), predicate=condition.predicate, files=[file])
    found = rows_by_path(plan, condition.find(plan, store))
    return bool(found.get(file.path, NO_ROWS) & event.rows)
