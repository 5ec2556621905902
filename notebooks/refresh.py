"""Run the notebooks beside this file from top to bottom and store them with what they show.

    python notebooks/refresh.py

What a run leaves of the machine that it ran on (times, paths) is taken out, so that the stored pages speak of tablelog
alone.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

TEMPORARY = re.compile(re.escape(tempfile.gettempdir()) + r"/[^/\s<'\"]+/")


def without_machine(value):
    """The same JSON with paths into temporary folders made relative to them."""
    if isinstance(value, str):
        return TEMPORARY.sub("", value)
    if isinstance(value, list):
        return [without_machine(each) for each in value]
    if isinstance(value, dict):
        return {key: without_machine(each) for key, each in value.items()}
    return value


def refresh(path):
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=120, record_timing=False).execute()
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.outputs = [nbformat.from_dict(without_machine(output)) for output in cell.outputs]
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    nbformat.validate(notebook)
    nbformat.write(notebook, path)


if __name__ == "__main__":
    for notebook in sorted(Path(__file__).parent.glob("*.ipynb")):
        refresh(notebook)
        print(f"{notebook.name}: {notebook.stat().st_size:,} bytes")
