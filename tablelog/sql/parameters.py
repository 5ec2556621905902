"""Parameters of a query when some of them stand in stretches that DuckDB never sees.

`?` counts by place, `$1` and `?1` by number, `$name` by name. Values used in a stretch go to its evaluation; what the
rest of the query uses goes to DuckDB, which refuses values that it has no use for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Protocol

from tablelog.engines.duckdb_tokens import Kind, tokens_of
from tablelog.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Iterator

Parameters = Sequence[Any] | Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class _Use:
    """A parameter in a text: where it stands and which it is."""

    start: int
    name: str
    """Its name or number; for `?` the number by place, from 1."""
    by_place: bool


class Stretch(Protocol):
    """Part of a text that DuckDB never sees: a time-travel clause, an argument of `table_changes`."""

    @property
    def start(self) -> int:
        """Its first character."""

    @property
    def end(self) -> int:
        """The one after its last."""


def split(text: str, clauses: Sequence[Stretch], given: Parameters) -> tuple[list[Parameters], Parameters]:
    """The parameters for each stretch, and those for the query without them.

    Raises:
        InvalidError: parameters are used that are not given, or given that are not used.

    """
    if given is not None and (isinstance(given, str | bytes) or not isinstance(given, Sequence | Mapping)):
        raise InvalidError(f"parameters are a list or a dict, not {given!r}")
    uses = list(_uses(text))
    _check(uses, given)
    if not given:
        return [None] * len(clauses), None
    inside = [[use for use in uses if clause.start <= use.start < clause.end] for clause in clauses]
    taken = {use.start for group in inside for use in group}
    rest = [use for use in uses if use.start not in taken]
    return [_chosen(group, given) for group in inside], _chosen(rest, given)


def _uses(text: str) -> Iterator[_Use]:
    tokens = tokens_of(text)
    place = 0
    for token, following in zip_longest(tokens, tokens[1:]):
        if token.word not in {"?", "$"}:
            continue
        adjoins = following is not None and following.start == token.end
        if adjoins and (token.word == "$" or following.kind is Kind.NUMBER):
            yield _Use(token.start, following.name, by_place=False)
        elif token.word == "?":
            place += 1
            yield _Use(token.start, str(place), by_place=True)


def _check(uses: Sequence[_Use], given: Parameters) -> None:
    by_name = _by_name(given)
    used = list(dict.fromkeys(use.name.casefold() for use in uses))
    missing = [name for name in used if name not in by_name]
    if missing:
        there = f"among those given: {', '.join(by_name)}" if by_name else "given; pass params=[…] or params={…}"
        raise InvalidError(f"the query uses the parameter {missing[0]!r}, which is not {there}")
    unused = [name for name in by_name if name not in used]
    if unused:
        raise InvalidError(f"the query does not use the parameter {unused[0]!r}; it uses {', '.join(used) or 'none'}")


def _by_name(given: Parameters) -> dict[str, Any]:
    if isinstance(given, Mapping):
        return {name.casefold(): value for name, value in given.items()}
    return {str(number): value for number, value in enumerate(given or (), 1)}


def _chosen(uses: list[_Use], given: Parameters) -> Parameters:
    """The values for some uses, in the form in which DuckDB takes them."""
    if not uses:
        return None
    by_name = _by_name(given)
    if all(use.by_place for use in uses):
        return [by_name[use.name.casefold()] for use in uses]
    return {use.name: by_name[use.name.casefold()] for use in uses}
