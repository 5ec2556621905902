"""Where a query names tables, and at which version: found in the text, changed in the text, nothing else touched.

DuckDB's grammar has `t AS x AT (VERSION => 3)` and nothing beyond, and its binder refuses even that for ordinary tables. Other
lakes taught people more spellings. So every time-travelling reference is found among the tokens, in any of these forms,
wherever a table may stand, and becomes an ordinary name with an alias:

    orders AT (VERSION => 3)            orders@… AS orders
    orders AS o AT (TIMESTAMP => now() - INTERVAL 1 DAY)
    sales.orders AT (VERSION => $v) o   alias after
    orders VERSION AS OF 3              Spark, Delta
    orders FOR TIMESTAMP AS OF '2026-11-01' AS o
    orders FOR SYSTEM_TIME AS OF …      SQL:2011

Strings, comments and quoted names are tokens of their own, so nothing inside them is ever taken for a reference.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from sqlglot import tokenize
from sqlglot.errors import TokenError
from sqlglot.tokens import Token, TokenType

from tablelog.engines.duckdb_text import quote
from tablelog.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class Unit(StrEnum):
    """What a time-travel clause counts in."""

    VERSION = "VERSION"
    TIMESTAMP = "TIMESTAMP"
    TAG = "TAG"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """One table in a query, and the stretch of text that is to be replaced."""

    start: int
    end: int
    """Half-open range of characters."""
    parts: tuple[str, ...]
    """The name, unquoted: `("sales", "orders")`."""
    alias: str | None
    """As the text has it, quotes and column list included; None if there is none."""
    unit: Unit | None = None
    expression: str = ""
    """SQL of the version, moment or tag."""


_UNITS: Final = {
    "VERSION": Unit.VERSION,
    "SYSTEM_VERSION": Unit.VERSION,
    "TIMESTAMP": Unit.TIMESTAMP,
    "SYSTEM_TIME": Unit.TIMESTAMP,
    "TAG": Unit.TAG,
}
_BEFORE_TABLE: Final = frozenset(
    "FROM JOIN USING UPDATE INTO TABLE DESCRIBE DESC SUMMARIZE PIVOT UNPIVOT LATERAL SHOW ONLY AS ON".split()
)
"""Words that may stand before a table's name and are no part of it."""
_AFTER_TABLE: Final = frozenset("POSITIONAL AT VERSION FOR".split())
"""Words that may follow a table, that the tokenizer takes for names, and that are no alias."""
_NAMES: Final = frozenset((TokenType.VAR, TokenType.IDENTIFIER))
_INTERVAL_UNITS: Final = frozenset(
    f"{unit}{plural}" for unit in "YEAR MONTH WEEK DAY HOUR MINUTE SECOND MILLISECOND MICROSECOND".split() for plural in ("", "S")
)


def tokens_of(text: str) -> list[Token]:
    """The tokens of a query; none if it cannot even be cut into tokens, which DuckDB will then explain."""
    try:
        return list(tokenize(text, read="duckdb"))
    except TokenError:
        return []


def time_travels(text: str) -> list[Reference]:
    """Every reference with a time-travel clause, in the order of the text.

    Raises:
        InvalidError: a clause that stands after no table, or has no value.

    """
    reader = _Reader(text, tokens_of(text))
    found: list[Reference] = []
    position = 0
    while position < len(reader.tokens):
        clause = reader.clause(position)
        if clause is None:
            position += 1
        else:
            found.append(reader.reference(clause))
            position = clause.end
    return found


def qualified(text: str, is_table: Callable[[tuple[str, ...]], bool]) -> list[Reference]:
    """References by a dotted name that is a table's, where a table is expected, in the order of the text."""
    reader = _Reader(text, tokens_of(text))
    tokens = reader.tokens
    found: list[Reference] = []
    depths = _from_depths(tokens)
    for position in range(len(tokens) - 2):
        if tokens[position + 1].token_type is not TokenType.DOT or not reader.is_name(position + 2):
            continue
        parts = (tokens[position].text, tokens[position + 2].text)
        longer = position + 3 < len(tokens) and tokens[position + 3].token_type is TokenType.DOT
        if longer or not is_table(parts) or not _expects_table(tokens, position, depths):
            continue
        start, end = tokens[position].start, tokens[position + 2].end + 1
        after = position + 3
        aliased = after < len(tokens) and (
            tokens[after].token_type is TokenType.ALIAS
            or (tokens[after].token_type in _NAMES and tokens[after].text.upper() not in _AFTER_TABLE)
        )
        found.append(Reference(start=start, end=end, parts=parts, alias="" if aliased else None))
    return found


def replace(text: str, references: Iterable[Reference], name_of: Callable[[Reference], str]) -> str:
    """The text with each reference replaced by a name, under the alias that it had or would have had."""
    for reference in sorted(references, key=lambda each: -each.start):
        alias = quote(reference.parts[-1]) if reference.alias is None else reference.alias
        name = quote(name_of(reference)) + (f" AS {alias}" if alias else "")
        text = text[: reference.start] + name + text[reference.end :]
    return text


@dataclass(frozen=True, slots=True)
class _Clause:
    """Tokens [begin, end) of a time-travel clause."""

    begin: int
    end: int
    unit: Unit
    expression: str


class _Reader:
    def __init__(self, text: str, tokens: list[Token]) -> None:
        self.text = text
        self.tokens = tokens

    def word(self, position: int) -> str:
        """The token as an upper-case word; empty for what is quoted or not there."""
        if not 0 <= position < len(self.tokens):
            return ""
        token = self.tokens[position]
        return "" if token.token_type in {TokenType.IDENTIFIER, TokenType.STRING} else token.text.upper()

    def is_name(self, position: int) -> bool:
        """Whether the token can be part of a table's name."""
        if not 0 <= position < len(self.tokens):
            return False
        token = self.tokens[position]
        if token.token_type in _NAMES:
            return token.token_type is TokenType.IDENTIFIER or token.text.upper() not in _BEFORE_TABLE
        return token.text.isidentifier() and token.text.upper() not in _BEFORE_TABLE and token.token_type not in {
            TokenType.STRING,
            TokenType.HEREDOC_STRING,
        }

    def slice(self, begin: int, end: int) -> str:
        return self.text[self.tokens[begin].start : self.tokens[end - 1].end + 1] if begin < end else ""

    def clause(self, position: int) -> _Clause | None:
        """The time-travel clause that begins at a token, if one does."""
        word = self.word(position)
        if word == "AT" and self.word(position + 1) == "(" and self.word(position + 2) in _UNITS:
            if self.word(position + 3) not in {"=>", ":="}:
                return None
            close = self.closing(position + 1)
            expression = self.slice(position + 4, close)
            unit = _UNITS[self.word(position + 2)]
            return self.checked(_Clause(position, close + 1, unit, expression))
        begin = position
        if word == "FOR":
            position += 1
        if self.word(position) in _UNITS and self.word(position + 1) == "AS" and self.word(position + 2) == "OF":
            end = self.expression_end(position + 3)
            unit = _UNITS[self.word(position)]
            return self.checked(_Clause(begin, end, unit, self.slice(position + 3, end)))
        return None

    def checked(self, clause: _Clause) -> _Clause:
        if not clause.expression:
            raise self.error(clause.begin, "has no value")
        return clause

    def closing(self, position: int) -> int:
        """The token that closes the parenthesis at a token."""
        depth = 0
        for end in range(position, len(self.tokens)):
            depth += {TokenType.L_PAREN: 1, TokenType.R_PAREN: -1}.get(self.tokens[end].token_type, 0)
            if depth == 0:
                return end
        raise self.error(position, "has a parenthesis that is never closed")

    def opening(self, position: int) -> int:
        """The token that opened the parenthesis which closes at a token."""
        depth = 0
        for begin in range(position, -1, -1):
            depth += {TokenType.R_PAREN: 1, TokenType.L_PAREN: -1}.get(self.tokens[begin].token_type, 0)
            if depth == 0:
                return begin
        raise self.error(position, "closes a parenthesis that was never opened")

    def expression_end(self, position: int) -> int:
        """Where the value after AS OF ends: one operand, or several with plus and minus between them."""
        end = self.operand_end(position)
        while self.word(end) in {"+", "-"}:
            end = self.operand_end(end + 1)
        return end

    def operand_end(self, position: int) -> int:
        end = position
        if self.word(end) == "-":
            end += 1
        if self.word(end) == "(":
            end = self.closing(end) + 1
        elif self.word(end) in {"$", ":"}:
            end += 2
        elif self.word(end) == "INTERVAL":
            end = self.operand_end(end + 1)
            end += self.word(end) in _INTERVAL_UNITS
        else:
            end += 1
            if self.word(end) == "(":
                end = self.closing(end) + 1
            elif end < len(self.tokens) and self.tokens[end].token_type is TokenType.STRING:
                end += 1  # DATE '2026-11-01'
        while self.word(end) == "::":
            end += 2
            if self.word(end) == "(":
                end = self.closing(end) + 1
        return min(end, len(self.tokens))

    def reference(self, clause: _Clause) -> Reference:
        """The table that a clause belongs to, with the alias before or after it."""
        last = clause.begin - 1
        columns = ""
        if self.word(last) == ")":
            opening = self.opening(last)
            columns, last = self.slice(opening, last + 1), opening - 1
        alias: str | None = None
        if self.word(last - 1) == "AS" and self.is_name(last):
            alias, last = self.slice(last, last + 1) + columns, last - 2
        elif self.is_name(last) and self.is_name(last - 1):
            alias, last = self.slice(last, last + 1) + columns, last - 1
        first = last
        if not self.is_name(first):
            raise self.error(clause.begin, "does not follow a table")
        while self.word(first - 1) == "." and self.is_name(first - 2):
            first -= 2
        end = clause.end
        if alias is None:
            alias, end = self.alias_after(end)
        return Reference(
            start=self.tokens[first].start,
            end=self.tokens[end - 1].end + 1,
            parts=tuple(self.tokens[position].text for position in range(first, last + 1, 2)),
            alias=alias,
            unit=clause.unit,
            expression=clause.expression,
        )

    def alias_after(self, position: int) -> tuple[str | None, int]:
        if self.word(position) == "AS" and self.is_name(position + 1):
            return self.slice(position + 1, position + 2), position + 2
        named = position < len(self.tokens) and self.tokens[position].token_type in _NAMES
        if named and self.word(position) not in _AFTER_TABLE:
            return self.slice(position, position + 1), position + 1
        return None, position

    def error(self, position: int, what: str) -> InvalidError:
        start = self.tokens[position].start
        return InvalidError(f"the time travel at {self.text[start : start + 40]!r} {what}")


def _from_depths(tokens: list[Token]) -> list[bool]:
    """For every token whether a comma there stands between tables: inside a FROM clause, at its own depth."""
    inside: list[bool] = []
    stack = [False]
    for token in tokens:
        word = token.text.upper() if token.token_type is not TokenType.IDENTIFIER else ""
        if token.token_type is TokenType.L_PAREN:
            stack.append(False)
        elif token.token_type is TokenType.R_PAREN and len(stack) > 1:
            stack.pop()
        elif word == "FROM":
            stack[-1] = True
        elif word in {"SELECT", "WHERE", "GROUP", "ORDER", "HAVING", "LIMIT", "WINDOW", "QUALIFY", "UNION", "ON", "SET"}:
            stack[-1] = False
        inside.append(stack[-1])
    return inside


def _expects_table(tokens: list[Token], position: int, depths: list[bool]) -> bool:
    if position == 0:
        return False
    before = tokens[position - 1]
    if before.token_type is TokenType.COMMA:
        return depths[position - 1]
    if before.token_type is TokenType.L_PAREN:  # FROM (sales.orders JOIN …)
        return position > 1 and tokens[position - 2].text.upper() in {"FROM", "JOIN"}
    return before.token_type is not TokenType.IDENTIFIER and before.text.upper() in _BEFORE_TABLE - {"AS", "ON", "USING"}
