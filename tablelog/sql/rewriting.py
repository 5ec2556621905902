"""A text with a few stretches replaced, which remembers where everything was.

So errors can be told in the words that were written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True, order=True)
class Splice:
    """The stretch [start, end) of a text and what stands there instead."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Rewriting:
    """A text before and after."""

    before: str
    splices: tuple[Splice, ...]

    @property
    def after(self) -> str:
        """The text with all replacements made."""
        pieces: list[str] = []
        end = 0
        for splice in self.splices:
            pieces += [self.before[end : splice.start], splice.text]
            end = splice.end
        return "".join(pieces) + self.before[end:]

    def place_before(self, place: int) -> int:
        """Where in the text before a place of the text after comes from: for a replacement its beginning."""
        shift = 0
        for splice in self.splices:
            begin = splice.start + shift
            if place < begin:
                break
            if place < begin + len(splice.text):
                return splice.start
            shift += len(splice.text) - (splice.end - splice.start)
        return place - shift


def rewrite(text: str, splices: Iterable[Splice]) -> Rewriting:
    """The text with these stretches replaced, which must not overlap."""
    return Rewriting(text, tuple(sorted(splices)))


def line_with_mark(text: str, place: int, length: int) -> str:
    """The line of a text that a place is in, with its number, and a mark under the place.

    >>> print(line_with_mark("FROM nowhere", 5, 7))
    LINE 1: FROM nowhere
                 ^^^^^^^
    """
    number = text.count("\n", 0, place)
    begin = text.rfind("\n", 0, place) + 1
    line = text[begin:].split("\n", 1)[0]
    first = max(0, place - begin - _WIDTH // 2)
    shown = line[first : first + _WIDTH]
    head = f"LINE {number + 1}: " + ("…" if first else "")
    indent = len(head) + place - begin - first
    mark = "^" * max(1, min(length, len(shown) - (place - begin - first)))
    return f"{head}{shown}{'…' if first + _WIDTH < len(line) else ''}\n{' ' * indent}{mark}"


_WIDTH = 100
