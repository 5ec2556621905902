"""Files put together: by somebody who asks for it, step after step, and by writers in passing."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from tablelog import env
from tablelog.engines.arranged import arranged
from tablelog.errors import TablelogError
from tablelog.format import names
from tablelog.ops.compact import Compacting
from tablelog.ops.compaction import choose
from tablelog.ops.health import COMPACTED_BYTES
from tablelog.ops.policy import compacts_itself, frugal, thorough
from tablelog.ops.riding import together
from tablelog.provenance import commit_info

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from tablelog.committing import Committing
    from tablelog.format.actions import Action
    from tablelog.log.facts import Commit
    from tablelog.log.state import TableState
    from tablelog.ops.planned import Planned
    from tablelog.ops.policy import Compaction

PASSING_EVERY: Final = 16
"""The writer of every so many versions looks whether files had better be put together."""
_STEPS_MAX: Final = 1_000_000
_LOST_MAX: Final = 3
"""Steps in a row that others did meanwhile; they are at it, then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a compaction has come."""

    steps: int
    """Steps that are committed."""
    rows: int
    """Rows that are written, over all steps."""
    rows_total: int
    """Rows of those steps and the present one; more may follow."""


def compact(
    table: Committing,
    info: Mapping[str, Any] | None,
    *,
    full: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
) -> Commit | None:
    """See `Table.compact`."""
    state = table.log.refresh()
    policy, about = thorough(state.metadata.properties, full=full), commit_info(info)
    last: Commit | None = None
    steps = lost = rows = rows_total = 0
    ours: dict[str, int] = {}
    begun = _Begun(state.version, env.now_us())

    def advance(row_count: int) -> None:
        nonlocal rows
        rows += row_count
        if on_progress is not None:
            on_progress(Progress(steps=steps, rows=rows, rows_total=rows_total))

    for _ in range(_STEPS_MAX):
        compaction = choose(state, policy)
        if compaction is None or lost == _LOST_MAX or begun.is_over(compaction, ours):
            break
        rows_total += compaction.row_count
        compacting = Compacting(table.store, compaction, arranged, advance)
        commit = table.commit_if_any(partial(compacting.plan, info=about))
        state = table.log.refresh()
        lost = 0 if commit else lost + 1
        if commit is None:
            continue
        last, steps = commit, steps + 1
        ours |= compacting.levels
        advance(0)
    return last


@dataclass(frozen=True, slots=True)
class _Begun:
    """When steps began: what comes in later is left to whoever comes later, or there might be no end of it."""

    version: int
    now_us: int

    def is_over(self, compaction: Compaction, ours: Mapping[str, int]) -> bool:
        """Whether a step is only about files that came in since, or that were made for the very level they are on."""
        files = list(compaction.files)
        if all(ours.get(file.path) == level for file, level in files):
            return True
        others = [self._is_later(file.path) for file, _ in files if file.path not in ours]
        return bool(others) and all(others)

    def _is_later(self, path: str) -> bool:
        inlined = names.parse_inlined(path)
        made_us = names.made_us(path)
        return inlined[0] > self.version if inlined else made_us is not None and made_us > self.now_us


class Passing:
    """Files put together by a writer in passing: a step of compaction that rides inside the commit of an operation.

    The writer of every 16th version looks whether there is something to do, unless others commit at the same time. It
    costs no commit; one put per file written. The operation never fails because of it.
    """

    def __init__(self, table: Committing) -> None:
        """Nothing is looked at yet."""
        self._table = table
        self._compacting: Compacting | None = None
        self._looked = not table.is_calm

    def plan(self, state: TableState, operation: Callable[[TableState], Planned]) -> Planned:
        """What an operation wants of a state, with the step if there is one and it still fits."""
        try:
            step = self._step(state)
        except TablelogError as error:
            self._compacting, step = None, ()
            message = f"files of {self._table.store.url} could not be put together in passing: {error}"
            warnings.warn(message, UntidyWarning, stacklevel=2)
        if not step or self._compacting is None:
            return operation(state)
        planned = operation(state.after(step))
        both = together(step, self._compacting.sources, planned.actions)
        if both is None:
            return operation(state)
        made = sum(file.size_bytes for file in self._compacting.written)
        return replace(planned, actions=both, info={**planned.info, COMPACTED_BYTES: made})

    def _step(self, state: TableState) -> Sequence[Action]:
        if not self._looked and (state.version + 2) % PASSING_EVERY == 0:
            self._looked = True
            properties = state.metadata.properties
            found = choose(state, frugal(properties)) if compacts_itself(properties) else None
            if found is not None:
                self._compacting = Compacting(self._table.store, found, arranged, lambda _: None)
        planned = None if self._compacting is None else self._compacting.plan(state, {})
        return () if planned is None else planned.actions


class UntidyWarning(UserWarning):
    """What keeps a table fast to read could not be done; the commit is not affected."""
