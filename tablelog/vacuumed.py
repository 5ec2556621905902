"""What a vacuum has done, or would do, and the proof: who was asked, and for each object why it stays or goes."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Final

from tablelog import display
from tablelog.format import names
from tablelog.ops.vacuum import Fate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tablelog.ops.vacuum import Verdict

_SHOWN: Final = 20
_FATES: Final[Mapping[Fate, tuple[str, str]]] = {
    Fate.REMOVED: ("removed", "would be removed"),
    Fate.NOTED: ("written down, to be removed when the grace is over", "would be written down"),
    Fate.WAITING: ("written down before, the grace is not over", "written down before, the grace is not over"),
    Fate.YOUNG: ("too young to say", "too young to say"),
    Fate.UNKNOWN: ("left alone: tablelog makes no such names", "left alone: tablelog makes no such names"),
    Fate.NEEDED: ("needed", "needed"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Vacuum:
    """What became of the objects of a table's folder. `str` is a proof for people."""

    name: str
    version: int | None
    """The commit before anything was removed; None if there was none."""
    is_dry: bool
    """Whether nothing was changed, and this is what would have been."""
    grace_us: int
    """Microseconds."""
    asked: tuple[str, ...]
    """Versions, tags, consumers and clones that were asked what they need."""
    objects: tuple[Verdict, ...]
    """Every object that was there, by key: what became of it and why."""
    leftovers: int
    """Unfinished files of dead writers that went as well."""

    @property
    def removed(self) -> tuple[str, ...]:
        """Keys of objects that are gone."""
        return self._keys(Fate.REMOVED)

    @property
    def scheduled(self) -> tuple[str, ...]:
        """Keys of objects that nothing needs, written down now or before; they go when the grace is over."""
        return tuple(sorted(self._keys(Fate.NOTED) + self._keys(Fate.WAITING)))

    @property
    def young(self) -> tuple[str, ...]:
        """Keys of objects that nothing needs yet, and that somebody may be about to commit."""
        return self._keys(Fate.YOUNG)

    @property
    def unknown(self) -> tuple[str, ...]:
        """Keys of objects whose names tablelog does not make; they are left alone."""
        return self._keys(Fate.UNKNOWN)

    @property
    def needed_count(self) -> int:
        """How many objects are needed."""
        return len(self._keys(Fate.NEEDED))

    @property
    def size_bytes(self) -> int:
        """Bytes of the objects that are gone."""
        return sum(verdict.size_bytes for verdict in self._of(Fate.REMOVED))

    def why(self, key: str) -> str:
        """Why an object stays or goes; empty if it was not there."""
        return next((f"{verdict.fate}: {verdict.why}" for verdict in self.objects if verdict.key == key), "")

    def _keys(self, fate: Fate) -> tuple[str, ...]:
        return tuple(verdict.key for verdict in self._of(fate))

    def _of(self, fate: Fate) -> list[Verdict]:
        """Objects of a fate, without what vacuums write for themselves; that may go at any time."""
        is_told = fate in {Fate.NEEDED, Fate.UNKNOWN}
        return [
            each for each in self.objects if each.fate is fate and (is_told or not each.key.startswith(names.VACUUM))
        ]

    def __repr__(self) -> str:
        lines = [" · ".join(self._title()), *(f"  asked {line}" for line in self.asked)]
        for title, verdicts in self._groups():
            lines.append(f"{title}:")
            lines += [f"  {each.key}: {each.why}" for each in verdicts[:_SHOWN]]
            lines += [f"  and {len(verdicts) - _SHOWN:,} more"] * (len(verdicts) > _SHOWN)
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = [
            (f"<code>{escape(each.key)}</code>", display.size(each.size_bytes), escape(title), escape(each.why))
            for title, verdicts in self._groups()
            for each in verdicts
        ]
        asked = "".join(f"<div>{escape(line)}</div>" for line in self.asked)
        title = escape(" · ".join(self._title()))
        return display.html_page(
            title, asked + display.html_table(("object", "size", "", "why"), rows, right=frozenset((1,)))
        )

    def _title(self) -> list[str]:
        version = f"{self.name} version {self.version}" if self.version is not None else self.name
        going = f"{display.count(len(self.removed), 'object')} {_FATES[Fate.REMOVED][self.is_dry]}"
        told = [version, f"{going} ({display.size(self.size_bytes)})", f"{len(self.scheduled):,} scheduled"]
        told += [f"{len(self.young):,} young", f"{self.needed_count:,} needed"]
        told += [f"{len(self.unknown):,} unknown"] * bool(self.unknown)
        return told + [display.count(self.leftovers, "unfinished file")] * bool(self.leftovers)

    def _groups(self) -> list[tuple[str, list[Verdict]]]:
        """What people want to see one by one: all but the needed, and those too if nothing is changed."""
        shown = [fate for fate in _FATES if self.is_dry or fate is not Fate.NEEDED]
        groups = [(_FATES[fate][self.is_dry], self._of(fate)) for fate in shown]
        return [(title, verdicts) for title, verdicts in groups if verdicts]
