"""Where a query names tables, and at which version: found among DuckDB's own tokens, wherever a table may stand.

DuckDB's grammar has `t AS x AT (VERSION => 3)` and nothing beyond, and its binder refuses even that for ordinary
tables. Other lakes taught people more spellings. All of these are understood, and mean the same wherever they stand:

    orders AT (VERSION => 3)
    orders AS o AT (TIMESTAMP => now() - INTERVAL 1 DAY)
    sales.orders AT (VERSION => $v) o       alias after
    orders VERSION AS OF 3                  Spark, Delta
    orders FOR TIMESTAMP AS OF '2026-11-01' AS o
    orders FOR SYSTEM_TIME AS OF …          SQL:2011

A table may stand after FROM and JOIN, after a comma between tables, in parentheses where a table may stand, and after
TABLE, DESCRIBE, SUMMARIZE, SHOW, PIVOT, UNPIVOT and COPY. Strings, comments and quoted names are tokens of their own,
so nothing inside them is taken for a reference.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from tablelog.engines.duckdb_tokens import Kind, Token, tokens_of
from tablelog.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class Unit(StrEnum):
    """What a time-travel clause counts in."""

    VERSION = "VERSION"
    TIMESTAMP = "TIMESTAMP"
    TAG = "TAG"


@dataclass(frozen=True, slots=True, kw_only=True)
class Clause:
    """A time-travel clause, and the stretch of text that it takes."""

    start: int
    end: int
    unit: Unit
    expression: str
    """SQL of the version, moment or tag."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """One place in a query where a table's name stands."""

    start: int
    end: int
    """The stretch of text that the name takes."""
    parts: tuple[str, ...]
    """The name, unquoted: `("sales", "orders")`."""
    alias: str | None = None
    """What the query calls it instead, unquoted."""
    alone: bool = False
    """Whether it stands where no alias is allowed."""
    clause: Clause | None = None

    @property
    def visible_name(self) -> str:
        """By what name, in lower case, columns may call it."""
        return (self.alias or self.parts[-1]).casefold()


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnReference:
    """What a column is said to be of: the `orders` of `orders.id`, the `sales.orders` of `sales.orders.id`."""

    start: int
    end: int
    parts: tuple[str, ...]


_UNITS: Final = {
    "VERSION": Unit.VERSION,
    "SYSTEM_VERSION": Unit.VERSION,
    "TIMESTAMP": Unit.TIMESTAMP,
    "SYSTEM_TIME": Unit.TIMESTAMP,
    "TAG": Unit.TAG,
}
_NAMING: Final = frozenset((Kind.WORD, Kind.NAME))
_ARROWS: Final = frozenset(("=>", ":="))
_ALONE: Final = frozenset(("TABLE", "DESCRIBE", "SUMMARIZE", "SHOW"))
"""Words before a table that has no alias."""
_ALONE_AT_THE_BEGINNING: Final = frozenset(("DESC", "COPY"))
"""The same, but only where a statement begins."""
_BEFORE_TABLES: Final = frozenset(("JOIN", "PIVOT", "UNPIVOT", "PIVOT_WIDER", "PIVOT_LONGER", *_ALONE))
_AFTER_TABLES: Final = frozenset(
    (
        *("SELECT", "WHERE", "GROUP", "HAVING", "WINDOW", "QUALIFY", "ORDER", "LIMIT", "OFFSET"),
        *("UNION", "EXCEPT", "INTERSECT", "VALUES", "WITH", "RETURNING"),
    )
)
"""Words after which a comma is no longer one between tables."""
_FUNCTIONS_WITH_FROM: Final = frozenset(("EXTRACT", "SUBSTRING", "TRIM", "OVERLAY"))
_TAKING_STRINGS: Final = frozenset(("QUERY", "QUERY_TABLE", "PRAGMA_TABLE_INFO"))
_ARITHMETIC: Final = frozenset("+-*/%")
_INTERVAL_UNITS: Final = frozenset(
    f"{unit}{plural}"
    for unit in ["YEAR", "QUARTER", "MONTH", "WEEK", "DAY", "HOUR", "MINUTE", "SECOND", "MILLISECOND", "MICROSECOND"]
    for plural in ("", "S")
)


def references(text: str, reserved: frozenset[str]) -> list[Reference]:
    """Every place where a table's name stands, in the order of the text.

    `reserved` are the words, in upper case, that are no names unless they are quoted.

    Raises:
        InvalidError: a time-travel clause that stands after no table, or makes no sense.

    """
    reader = _Reader(text, tokens_of(text), reserved)
    found = list(reader.references())
    taken = _in_clauses(reader.tokens, found)
    for place, token in enumerate(reader.tokens):
        if reader.opens_at_clause(place) and token.start not in taken:
            raise reader.error(place, "does not follow the name of a table")
    return found


def column_references(text: str, tables: Sequence[Reference]) -> list[ColumnReference]:
    """Every `orders` of `orders.id`, and every `sales.orders` of `sales.orders.id`, in the order of the text."""
    tokens = tokens_of(text)
    words = [token.word for token in tokens] + [""] * 3
    taken = {reference.start for reference in tables} | _in_clauses(tokens, tables)
    found: list[ColumnReference] = []
    for place, token in enumerate(tokens):
        begins = token.kind in _NAMING and words[place + 1] == "." and (place == 0 or words[place - 1] != ".")
        if begins and token.start not in taken:
            last = place + 2 * (words[place + 3] == "." and tokens[place + 2].kind in _NAMING)
            parts = tuple(part.name for part in tokens[place : last + 1 : 2])
            found.append(ColumnReference(start=token.start, end=tokens[last].end, parts=parts))
    return found


def _in_clauses(tokens: Sequence[Token], tables: Sequence[Reference]) -> set[int]:
    """Where the tokens of clauses begin: a query inside a clause is a text of its own, read when the clause is."""
    clauses = [table.clause for table in tables if table.clause is not None]
    return {token.start for clause in clauses for token in tokens if clause.start <= token.start < clause.end}


def named_in_strings(text: str) -> list[str]:
    """Words in strings of a text that calls a function which takes names or queries as strings."""
    tokens = tokens_of(text)
    calls = any(first.word in _TAKING_STRINGS and second.word == "(" for first, second in pairwise(tokens))
    strings = [token.text.strip("'$") for token in tokens if calls and token.kind is Kind.STRING]
    return [token.name for string in strings for token in tokens_of(string) if token.kind in _NAMING]


@dataclass(slots=True)
class _Level:
    """What is known between a pair of parentheses."""

    expects: bool = False
    """Whether a table comes next."""
    among_tables: bool = False
    """Whether a comma means that another table comes."""
    alone: bool = False
    """Whether the table that comes can have no alias."""
    function: str = ""
    """The word before the opening parenthesis."""


@dataclass(slots=True)
class _Reader:
    text: str
    tokens: Sequence[Token]
    reserved: frozenset[str]
    levels: list[_Level] = field(default_factory=lambda: [_Level()])

    def references(self) -> Iterator[Reference]:
        place = 0
        while place < len(self.tokens):
            if self.levels[-1].expects and self.is_name(place) and self.word(place) not in _AFTER_TABLES:
                reference, place = self.reference(place)
                if reference is not None:
                    yield reference
            else:
                self.step(place)
                place += 1

    def step(self, place: int) -> None:
        """Take one token that is no table's name into account."""
        level, word = self.levels[-1], self.word(place)
        expected, level.expects, level.alone = level.expects, False, False
        match word:
            case "(":
                function = "" if expected else self.word(place - 1)
                self.levels.append(_Level(expects=expected, among_tables=expected, function=function))
            case ")" | ";":
                self.levels[-1:] = [] if word == ")" and len(self.levels) > 1 else [_Level()]
            case ",":
                level.expects = level.among_tables
            case "LATERAL":
                level.expects = expected
            case "FROM":
                if self.word(place - 1) != "DISTINCT" and level.function not in _FUNCTIONS_WITH_FROM:
                    level.expects = level.among_tables = True
            case _ if word in _BEFORE_TABLES or (word in _ALONE_AT_THE_BEGINNING and self.begins(place)):
                level.expects = True
                level.alone = word in _ALONE or word in _ALONE_AT_THE_BEGINNING
            case _ if word in _AFTER_TABLES and not (word == "WITH" and self.word(place + 1) == "ORDINALITY"):
                level.among_tables = False
                level.function = ""

    def begins(self, place: int) -> bool:
        return place == 0 or self.word(place - 1) in {"(", ";", "EXPLAIN", "ANALYZE"}

    def reference(self, place: int) -> tuple[Reference | None, int]:
        """The table whose name begins at a token, None if it is a function, and the token after what belongs to it."""
        level = self.levels[-1]
        level.expects = False
        alias: str | None = None
        if self.word(place + 1) == ":":  # FROM alias: table
            alias, place = self.tokens[place].name, place + 2
            if not self.is_name(place):
                level.expects = True
                return None, place
        last = place
        while self.word(last + 1) == "." and self.is_part(last + 2):
            last += 2
        clause, after = self.clause(last + 1)
        if self.word(after) == "(":
            return None, after
        alias_place, end = self.alias(after)
        if clause is None:
            clause, end = self.clause(end)
        name = self.tokens[place : last + 1 : 2]
        reference = Reference(
            start=name[0].start,
            end=name[-1].end,
            parts=tuple(token.name for token in name),
            alias=alias if alias_place is None else self.tokens[alias_place].name,
            alone=level.alone,
            clause=clause,
        )
        return reference, end

    def alias(self, place: int) -> tuple[int | None, int]:
        """The token that is the alias at a place, None for none, and the token after it and its list of columns."""
        begin = place + (self.word(place) == "AS")
        if begin == len(self.tokens) or (begin == place and (not self.is_name(place) or self.clause_unit(place))):
            return None, place
        end = begin + 1
        return begin, self.closing(end) + 1 if self.word(end) == "(" else end

    # ------------------------------------------------------------------ clauses

    def clause(self, place: int) -> tuple[Clause | None, int]:
        """The time-travel clause at a token, if there is one, and the token after it."""
        unit = self.clause_unit(place)
        if unit is None:
            return None, place
        if self.word(place) == "AT":
            begin, after = place + 4, self.closing(place + 1) + 1
            end = after - 1
        else:
            begin = place + 3 + (self.word(place) == "FOR")
            end = after = min(self.expression_end(begin), len(self.tokens))
        if begin >= end:
            raise self.error(place, "has no value")
        expression = self.text[self.tokens[begin].start : self.tokens[end - 1].end]
        start, stop = self.tokens[place].start, self.tokens[after - 1].end
        return Clause(start=start, end=stop, unit=unit, expression=expression), after

    def clause_unit(self, place: int) -> Unit | None:
        """What the time-travel clause that begins at a token counts in; None if none begins there."""
        if self.word(place) == "AT" and self.word(place + 1) == "(":
            unit = _UNITS.get(self.word(place + 2))
            if unit is None or self.word(place + 3) not in _ARROWS:
                raise self.error(place, "is none; write AT (VERSION => 3) or AT (TIMESTAMP => '2026-11-01 09:00')")
            return unit
        place += self.word(place) == "FOR"
        return _UNITS.get(self.word(place)) if self.word(place + 1) == "AS" and self.word(place + 2) == "OF" else None

    def opens_at_clause(self, place: int) -> bool:
        if self.word(place) != "AT" or self.word(place + 1) != "(":
            return False
        return self.word(place + 2) in _UNITS and self.word(place + 3) in _ARROWS

    def expression_end(self, place: int) -> int:
        """The token after the value of AS OF: one operand, or several with operators of arithmetic between them."""
        end = self.operand_end(place)
        while self.word(end) in _ARITHMETIC:
            end = self.operand_end(end + 1)
        return end

    def operand_end(self, place: int) -> int:
        end = place + (self.word(place) == "-")
        if self.word(end) == "(":
            end = self.closing(end) + 1
        elif self.word(end) == "$":
            end += 2
        elif self.word(end) == "INTERVAL":
            end = self.operand_end(end + 1)
            end += self.word(end) in _INTERVAL_UNITS
        elif self.word(end) == "?":
            end += 1
            follows = end < len(self.tokens) and self.tokens[end].start == self.tokens[end - 1].end
            end += follows and self.tokens[end].kind is Kind.NUMBER
        else:
            end += 1
            if self.word(end) == "(":
                end = self.closing(end) + 1
            elif self.kind(end) is Kind.STRING:
                end += 1  # DATE '2026-11-01'
        while self.word(end) == "::":
            end += 2
            if self.word(end) == "(":
                end = self.closing(end) + 1
            if self.word(end) in {"WITH", "WITHOUT"} and self.word(end + 1) == "TIME":
                end += 3  # TIMESTAMP WITH TIME ZONE
        if self.word(end) == "AT" and self.word(end + 1) == "TIME":
            return self.operand_end(end + 3)  # AT TIME ZONE 'Europe/Oslo'
        return end

    # ------------------------------------------------------------------ tokens

    def word(self, place: int) -> str:
        """The word or mark at a place; empty for anything else, and outside the text."""
        return self.tokens[place].word if 0 <= place < len(self.tokens) else ""

    def kind(self, place: int) -> Kind | None:
        return self.tokens[place].kind if 0 <= place < len(self.tokens) else None

    def is_name(self, place: int) -> bool:
        """Whether a token can be a table's name, or its first part, or an alias."""
        kind = self.kind(place)
        return kind is Kind.NAME or (kind is Kind.WORD and self.word(place) not in self.reserved)

    def is_part(self, place: int) -> bool:
        """Whether a token can come after a dot."""
        return self.kind(place) in _NAMING

    def closing(self, place: int) -> int:
        """The token that closes the parenthesis at a token."""
        depth = 0
        for end in range(place, len(self.tokens)):
            depth += {"(": 1, ")": -1}.get(self.word(end), 0)
            if depth == 0:
                return end
        raise self.error(place, "has a parenthesis that is never closed")

    def error(self, place: int, what: str) -> InvalidError:
        start = self.tokens[place].start
        return InvalidError(f"the time travel at {self.text[start : start + 40]!r} {what}")
