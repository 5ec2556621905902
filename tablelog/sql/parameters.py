"""Parameters of a query when some of them stand in time-travel clauses that DuckDB never sees.

`?` counts by place, `$1` by number, `$name` by name. Values used in clauses go to the evaluation of the clause; what the rest of
the query uses goes to DuckDB, which refuses values that it has no use for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlglot.tokens import TokenType

from tablelog.errors import InvalidError
from tablelog.sql.references import tokens_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tablelog.sql.references import Reference

Parameters = Sequence[Any] | Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class _Use:
    """A parameter in a text: where it stands and which it is."""

    start: int
    name: str
    """Its name or number; for `?` the number by place, from 1."""
    by_place: bool


def split(text: str, references: Sequence[Reference], given: Parameters) -> tuple[list[Parameters], Parameters]:
    """The parameters for each reference's clause, and those for the query without the clauses.

    Raises:
        InvalidError: a clause uses a parameter that is not given.

    """
    if given is None:
        return [None] * len(references), None
    uses = list(_uses(text))
    inside = [[use for use in uses if each.start <= use.start < each.end] for each in references]
    taken = {use.start for group in inside for use in group}
    rest = [use for use in uses if use.start not in taken]
    return [_chosen(group, given) for group in inside], _chosen(rest, given)


def _uses(text: str) -> Iterator[_Use]:
    tokens = tokens_of(text)
    place = 0
    for token, following in zip(tokens, [*tokens[1:], None], strict=True):
        if token.token_type is TokenType.PLACEHOLDER:
            place += 1
            yield _Use(token.start, str(place), by_place=True)
        elif token.token_type is TokenType.PARAMETER and following is not None:
            yield _Use(token.start, following.text, by_place=False)


def _chosen(uses: list[_Use], given: Sequence[Any] | Mapping[str, Any]) -> Parameters:
    if not uses:
        return None
    by_name = given if isinstance(given, Mapping) else {str(n): value for n, value in enumerate(given, 1)}
    missing = [use.name for use in uses if use.name not in by_name]
    if missing:
        raise InvalidError(f"the query uses the parameter {missing[0]!r}, which is not among those given: {list(by_name)}")
    if all(use.by_place for use in uses):
        return [by_name[use.name] for use in uses]
    return {use.name: by_name[use.name] for use in uses}
