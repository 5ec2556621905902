"""Code in the README and in docs/ runs: every ```python block of a page, in order, in one namespace and an empty folder."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tablelog.ops.conflicts import RULES

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_code_of_a_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = page.read_text()
    namespace: dict[str, object] = {"__name__": "page"}
    for match in BLOCK.finditer(text):
        line = text[: match.start()].count("\n") + 1
        exec(compile("\n" * line + match[1], str(page), "exec"), namespace)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text()):
        assert (page.parent / target).exists(), target


def test_every_test_that_the_promises_name_exists() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    for path, pattern in re.findall(r"`(tests/[\w/]+\.py)(?:::([\w*]+))?`", text):
        assert (ROOT / path).exists(), path
        if pattern:
            assert f"def {pattern.removesuffix('*')}" in (ROOT / path).read_text(), f"{path}::{pattern}"


def test_the_rules_of_conflicts_are_those_of_the_code() -> None:
    page = (ROOT / "docs" / "concurrency.md").read_text()
    rows = [f"| {rule.mine} | {rule.theirs} | {rule.outcome} |" for rule in RULES]
    assert "\n".join(rows) in page
