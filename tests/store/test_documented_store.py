"""The example in `docs/object-stores.md` is a store that keeps what it promises."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tablelog.testing import StoreConformance

if TYPE_CHECKING:
    from tablelog.store import ObjectStore

_PAGE = Path(__file__).parents[2] / "docs" / "object-stores.md"


def documented_names() -> dict[str, Any]:
    """What the page's Python blocks define, run one after the other."""
    names: dict[str, Any] = {"__name__": "documented"}
    for block in re.findall(r"^```python\n(.*?)^```$", _PAGE.read_text(), re.MULTILINE | re.DOTALL):
        exec(block, names)
    return names


_NAMES = documented_names()


class TestDocumentedStore(StoreConformance):
    race_rounds = 50

    def make_store(self) -> ObjectStore:
        store: ObjectStore = _NAMES["SqliteStore"](":memory:")
        return store


def test_the_suite_in_the_documentation_is_for_the_store_in_the_documentation() -> None:
    suite = _NAMES["TestSqliteStore"]()
    suite.test_an_object_reads_back_as_it_was_written(suite.make_store())
