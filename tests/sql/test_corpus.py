"""Every file of the SQL corpus, in a folder, in memory, and over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import tablelog as tl
from tests.sql import corpus

FILES = sorted((Path(__file__).parent.parent.parent / "sql").glob("*.test"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_corpus_holds_in_a_folder(file: Path, tmp_path: Path) -> None:
    corpus.run(file, tl.connect(tmp_path))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_corpus_holds_in_memory(file: Path, tmp_path: Path) -> None:
    corpus.run(file, tl.connect(f"memory://{tmp_path.name}"))


@pytest.mark.xdist_group("moto")
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_corpus_holds_on_s3(file: Path, moto_url: tuple[str, dict[str, Any]]) -> None:
    corpus.run(file, tl.connect(*moto_url))


def test_a_wrong_expectation_fails_with_its_line(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.test"
    wrong.write_text("create t\nSELECT 1 AS x\n\nquery\nFROM t\n----\n2\n")
    with pytest.raises(pytest.fail.Exception, match=r"wrong.test, line 4"):
        corpus.run(wrong, tl.connect(tmp_path / "lake"))
