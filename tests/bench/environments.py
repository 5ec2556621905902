"""Interpreters for systems that cannot share ours."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tests.bench.systems.catalog import Spec

_PACKAGES: Final = {
    # The extension is built for one version of DuckDB, and it is not the one that we use.
    "ducklake": (
        "duckdb==1.5.5",
        "duckdb-extension-ducklake==1.5.5",
        "duckdb-extension-sqlite-scanner==1.5.5",
        "pyarrow",
    ),
}


def interpreter(spec: Spec) -> str:
    """The Python that runs a system.

    Raises:
        LookupError: it is not installed, or its environment cannot be made here.

    """
    if spec.environment is not None:
        return str(_environment(spec.environment))
    for package in spec.packages[:1]:
        try:
            metadata.version(package)
        except metadata.PackageNotFoundError:
            if package != "tablelog":  # from a folder that was never installed it runs all the same
                raise LookupError(f"{package} is not installed") from None
    return sys.executable


def _environment(name: str) -> Path:
    """Beside our own packages, so that whoever removes our environment removes this one too."""
    folder = Path(sys.prefix) / f"bench-{name}"
    python = folder / "bin" / "python"
    done = folder / "complete"
    if done.exists():
        return python
    print(f"making an environment for {name} in {folder} …", flush=True)
    try:
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, capture_output=True)
        install = [str(python), "-m", "pip", "--disable-pip-version-check", "--quiet", "install", *_PACKAGES[name]]
        subprocess.run(install, check=True, capture_output=True)
    except (subprocess.CalledProcessError, OSError) as error:
        raise LookupError(f"no environment for {name}: {error}") from error
    done.touch()
    return python
