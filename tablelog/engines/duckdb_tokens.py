"""DuckDB's own tokens of a text: nothing inside a string, a comment or a quoted name is taken for something else.

FROM "my orders" AT (VERSION => $v) -- as of then
───┬ ─────┬───── ┬─ ┬───┬─── ┬─ ┬┬┬
   WORD   NAME   W  M   W    M  MWM
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import duckdb

if TYPE_CHECKING:
    from collections.abc import Callable


class Kind(Enum):
    """What a token is."""

    WORD = auto()
    """A keyword or a name without quotes."""
    NAME = auto()
    """A name in double quotes, or in backticks as Spark writes it."""
    STRING = auto()
    NUMBER = auto()
    MARK = auto()
    """Anything else: an operator, a bracket, a comma, a dot."""


@dataclass(frozen=True, slots=True)
class Token:
    """One token; comments and space are none."""

    kind: Kind
    text: str
    start: int
    """Where it begins, in characters."""

    @property
    def end(self) -> int:
        """One past its last character."""
        return self.start + len(self.text)

    @property
    def word(self) -> str:
        """A word in upper case, a mark as it is; empty for names in quotes, strings and numbers."""
        return self.text.upper() if self.kind is Kind.WORD else self.text if self.kind is Kind.MARK else ""

    @property
    def name(self) -> str:
        """The name that a word or a quoted name stands for."""
        if self.kind is not Kind.NAME:
            return self.text
        return self.text[1:-1].replace(self.text[0] * 2, self.text[0])


_KINDS: Final = {
    "identifier": Kind.WORD,
    "keyword": Kind.WORD,
    "numeric_const": Kind.NUMBER,
    "string_const": Kind.STRING,
    "operator": Kind.MARK,
}
_SPACE_ELSEWHERE: Final = re.compile("[\u00a0\u2000-\u200b\u202f\u205f\u2060\u3000\ufeff]")
"""Space of web pages and word processors: DuckDB's parser takes it for space, its tokenizer for letters."""


def with_plain_spaces(text: str) -> str:
    """The text with every space that is not in quotes made an ordinary one; as many characters as before.

    >>> with_plain_spaces(f"SELECT{chr(0xA0)}1")
    'SELECT 1'
    """
    if _SPACE_ELSEWHERE.search(text) is None:
        return text
    for token in tokens_of(text):
        if token.kind in {Kind.WORD, Kind.MARK}:
            text = text[: token.start] + _SPACE_ELSEWHERE.sub(" ", token.text) + text[token.end :]
    return text


@lru_cache(maxsize=64)
def tokens_of(text: str) -> tuple[Token, ...]:
    """The tokens in order. What ends too early is a token to the end. Every step of a query asks for the same ones.

    >>> [(token.kind.name, token.text) for token in tokens_of('FROM "é" AT')]
    [('WORD', 'FROM'), ('NAME', '"é"'), ('WORD', 'AT')]
    """
    data = text.encode()
    characters = _characters(text, data)
    tokens: list[Token] = []
    cut = duckdb.tokenize(text)
    ends = [start for start, _ in cut[1:]]
    for (start, kind), end in zip(cut, [*ends, len(data)], strict=False):
        found = _KINDS.get(kind.name)
        if found is not None:
            piece = text[characters(start) : characters(end)].rstrip()
            tokens.append(Token(_told_apart(found, piece), piece, characters(start)))
    return tuple(tokens)


def _told_apart(kind: Kind, piece: str) -> Kind:
    if piece == ".":  # DuckDB takes it for a number
        return Kind.MARK
    return Kind.NAME if kind is Kind.WORD and piece.startswith(('"', "`")) else kind


def _characters(text: str, data: bytes) -> Callable[[int], int]:
    """From a place in bytes to the place in characters."""
    if len(text) == len(data):
        return int
    places: list[int] = []
    for number, character in enumerate(text):
        places += [number] * len(character.encode())
    places.append(len(text))
    return places.__getitem__
