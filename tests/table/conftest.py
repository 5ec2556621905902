"""A lake in a fresh folder for each test that asks for one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import tablelog as tl

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def lake(tmp_path: Path) -> tl.Lake:
    return tl.connect(tmp_path / "lake")
