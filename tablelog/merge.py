"""MERGE, clause by clause: `table.merge(source, on="t.id = s.id").when_matched_update().execute()`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from tablelog.errors import InvalidError
from tablelog.ops.merge import Clause, Then, When

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


Outcome = TypeVar("Outcome")


class Merge(Generic[Outcome]):
    """What a merge shall do; nothing happens before `execute`.

    In conditions and expressions `t` is the table and `s` the source. Of the clauses about a row the first whose
    condition holds counts. Values are SQL expressions if they are text, else values; without any, every column that the
    source has is taken over by its name.
    """

    def __init__(self, run: Callable[[Sequence[Clause], Mapping[str, Any] | None], Outcome]) -> None:
        """Made by `Table.merge`."""
        self._run = run
        self._clauses: list[Clause] = []

    def when_matched_update(self, values: Mapping[str, object] | None = None, *, where: str | None = None) -> Self:
        """Change rows of the table that a row of the source matches."""
        return self._add(When.MATCHED, Then.UPDATE, values, where)

    def when_matched_delete(self, *, where: str | None = None) -> Self:
        """Take out rows of the table that a row of the source matches."""
        return self._add(When.MATCHED, Then.DELETE, None, where)

    def when_matched_do_nothing(self, *, where: str | None = None) -> Self:
        """Leave such rows as they are, whatever later clauses say."""
        return self._add(When.MATCHED, Then.NOTHING, None, where)

    def when_not_matched_insert(self, values: Mapping[str, object] | None = None, *, where: str | None = None) -> Self:
        """Add rows of the source that match nothing; columns that are not given get their default or null."""
        return self._add(When.NOT_MATCHED, Then.INSERT, values, where)

    def when_not_matched_do_nothing(self, *, where: str | None = None) -> Self:
        """Leave such rows out, whatever later clauses say."""
        return self._add(When.NOT_MATCHED, Then.NOTHING, None, where)

    def when_not_matched_by_source_update(self, values: Mapping[str, object], *, where: str | None = None) -> Self:
        """Change rows of the table that no row of the source matches."""
        return self._add(When.NOT_MATCHED_BY_SOURCE, Then.UPDATE, values, where)

    def when_not_matched_by_source_delete(self, *, where: str | None = None) -> Self:
        """Take out rows of the table that no row of the source matches."""
        return self._add(When.NOT_MATCHED_BY_SOURCE, Then.DELETE, None, where)

    def when_not_matched_by_source_do_nothing(self, *, where: str | None = None) -> Self:
        """Leave such rows as they are, whatever later clauses say."""
        return self._add(When.NOT_MATCHED_BY_SOURCE, Then.NOTHING, None, where)

    def execute(self, *, info: Mapping[str, Any] | None = None) -> Outcome:
        """Do it, as one commit.

        Raises:
            InvalidError: several rows of the source would change one row of the table, new rows do not fit the table,
                or a condition makes no sense; nothing is changed.

        """
        if not self._clauses:
            raise InvalidError("a merge without clauses does nothing; add when_matched_update(), …")
        return self._run(self._clauses, info)

    def _add(self, when: When, then: Then, values: Mapping[str, object] | None, where: str | None) -> Self:
        if any(each.when is when and each.condition is None for each in self._clauses):
            raise InvalidError(f"an earlier clause takes every row that is {when}; give it a condition, or put it last")
        self._clauses.append(Clause(when=when, then=then, values=values, condition=where))
        return self
