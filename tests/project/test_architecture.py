"""The shape of the code, as far as a machine can see it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import tablelog

ROOT = Path(__file__).parent.parent.parent
PACKAGE = ROOT / "tablelog"
MODULES = sorted(PACKAGE.rglob("*.py"))
LINES_MAX = 420
FUNCTION_LINES_MAX = 75


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_module_fits_in_a_head_and_says_what_it_is(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= LINES_MAX
    assert text == "" or ast.get_docstring(ast.parse(text)), "a module begins with its docstring"


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_functions_are_short_and_import_nothing_of_ours(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= FUNCTION_LINES_MAX, f"{node.name} has {length} lines"
            for inner in ast.walk(node):
                imported = isinstance(inner, ast.ImportFrom) and (inner.module or "").startswith("tablelog")
                assert not imported, f"{node.name} imports tablelog inside itself"


def test_no_module_is_a_grab_bag() -> None:
    assert not [name(path) for path in MODULES if re.search(r"util|common|helper|manager|misc", path.stem)]


def test_public_names_are_sorted_importable_and_documented() -> None:
    assert sorted(tablelog.__all__) == tablelog.__all__
    for public in tablelog.__all__:
        value = getattr(tablelog, public)
        assert value.__doc__, public


def test_the_top_level_is_what_the_documentation_says() -> None:
    expected = {
        "tablelog",
        "sql",
        "tests",
        "notebooks",
        "docs",
        "README.md",
        "pyproject.toml",
        "Makefile",
        "LICENSE",
        "CHANGELOG.md",
    }
    present = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    assert expected <= present
