"""The notebook runs from top to bottom, and what is stored of its last run speaks of nothing but tablelog."""

from __future__ import annotations

import getpass
import re
import socket
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat", reason="pip install 'tablelog[notebook]'")
nbclient = pytest.importorskip("nbclient", reason="pip install 'tablelog[notebook]'")

NOTEBOOK = Path(__file__).parent.parent.parent / "notebooks" / "quickstart.ipynb"
BYTES_MAX = 600_000


def test_it_runs_from_top_to_bottom(tmp_path: Path) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()  # raises what a cell raises


def test_it_is_stored_with_what_it_shows() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    kinds = [kind for cell in code for output in cell.outputs for kind in output.get("data", {})]
    assert kinds.count("image/png") == 4
    assert kinds.count("text/html") >= 5
    assert all(output.output_type != "error" for cell in code for output in cell.outputs)
    assert NOTEBOOK.stat().st_size < BYTES_MAX


def test_nothing_of_a_machine_is_in_it() -> None:
    text = NOTEBOOK.read_text(encoding="utf-8")
    images = re.compile(r'"image/png": "[^"]*"')
    text = images.sub("", text)
    assert not re.findall(r"/(?:tmp|home|root|Users|var|opt|mnt)/[^\"\s]*|[A-Z]:\\\\", text)
    for name in (getpass.getuser(), socket.gethostname()):
        assert not re.search(rf"\b{re.escape(name)}\b", text), name


def test_it_uses_only_what_is_public() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    source = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    assert re.findall(r"(?:from|import) tablelog\b.*", source) == ["import tablelog as tl"]
    assert not re.search(r"\b(?:tl|lake|flights|commit)\._", source)
