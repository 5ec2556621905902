"""`table_changes('orders', 3, 9)`: the change feed of a table where a query may have a table.

The arguments are expressions: the table's name, the version after which changes begin, and the one up to which they go
(the newest if it is left out). The call is replaced by a name under which the feed is registered; DuckDB reads it as a
stream of Arrow when the query runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tablelog.catalog import parse_name
from tablelog.engines.duckdb_text import quote
from tablelog.engines.duckdb_tokens import tokens_of
from tablelog.errors import InvalidError
from tablelog.sql.rewriting import Splice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tablelog.changes import Changes
    from tablelog.engines.duckdb_tokens import Token
    from tablelog.sql.names import Names

_FUNCTION: Final = "TABLE_CHANGES"
_USAGE: Final = "write table_changes('orders', 3, 9), or leave the last version out for the newest"
_ARGUMENTS: Final = range(2, 4)


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a call: a stretch of the text."""

    start: int
    end: int
    expression: str


@dataclass(frozen=True, slots=True)
class Call:
    """A call, and the stretch of the text that it takes."""

    start: int
    end: int
    arguments: tuple[Argument, ...]


def calls(text: str) -> list[Call]:
    """Every call in a text, in its order.

    Raises:
        InvalidError: one has too few or too many arguments, or its parenthesis is never closed.

    """
    tokens = tokens_of(text)
    return [
        _call(text, tokens, place)
        for place, token in enumerate(tokens[:-1])
        if token.word == _FUNCTION and tokens[place + 1].word == "("
    ]


def _call(text: str, tokens: Sequence[Token], place: int) -> Call:
    arguments = list(_arguments(text, tokens, place + 2))
    if len(arguments) not in _ARGUMENTS or not all(argument.expression for argument in arguments):
        raise InvalidError(f"{text[tokens[place].start : arguments[-1].end + 1]!r}: {_USAGE}")
    return Call(tokens[place].start, arguments[-1].end + 1, tuple(arguments))


def _arguments(text: str, tokens: Sequence[Token], place: int) -> Iterator[Argument]:
    """The stretches between the commas of a call whose first token after the parenthesis is given."""
    depth, begin = 0, tokens[place - 1].end
    for token in tokens[place:]:
        if token.word in {"(", "["}:
            depth += 1
        elif depth and token.word in {")", "]"}:
            depth -= 1
        elif not depth and token.word in {",", ")"}:
            yield Argument(begin, token.start, text[begin : token.start].strip())
            begin = token.end
            if token.word == ")":
                return
    raise InvalidError(f"{text[tokens[place - 2].start :][:40]!r} has a parenthesis that is never closed")


def feeds(
    names: Names, found: Sequence[Call], evaluate: Callable[[str, int], tuple[str, str | None]]
) -> tuple[dict[str, Changes], list[Splice]]:
    """The feeds that calls ask for, by the names that replace them, and the replacements.

    Raises:
        NotFoundError: no such table or version.
        InvalidError: an argument is null, or no version.

    """
    changes: dict[str, Changes] = {}
    splices: list[Splice] = []
    for call in found:
        table, *versions = (evaluate(argument.expression, argument.start)[1] for argument in call.arguments)
        if table is None or not all(_is_version(version) for version in versions):
            told = ", ".join(argument.expression for argument in call.arguments)
            raise InvalidError(f"table_changes({told}): {_USAGE}")
        name = parse_name(table)
        feed = names.table([part for part in (name.namespace, name.name) if part]).changes(
            *(int(version) for version in versions if version is not None)
        )
        called = f"{feed.name} changes {feed.since}-{feed.until}"
        changes[called] = feed
        splices.append(Splice(call.start, call.end, quote(called)))
    return changes, splices


def _is_version(text: str | None) -> bool:
    return text is not None and (text.isdecimal() or text == "-1")
