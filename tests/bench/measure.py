"""What a call costs: time, processor, memory; and how busy the machine was."""

from __future__ import annotations

import os
import platform
import resource
import statistics
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MB: Final = 1_000_000


@dataclass(slots=True)
class Cost:
    """Of one call."""

    wall_ms: float = 0.0
    cpu_ms: float = 0.0
    """Of all threads of the process."""


@contextmanager
def measured() -> Iterator[Cost]:
    """Fill in what the block cost when it ends."""
    cost = Cost()
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    try:
        yield cost
    finally:
        cost.wall_ms = (time.perf_counter() - wall_s) * 1e3
        cost.cpu_ms = (time.process_time() - cpu_s) * 1e3


def peak_mb() -> float:
    """The most memory that this process ever had resident.

    Linux keeps it per address space; `getrusage` there also counts what the parent had when it started us.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / MB
    unit = 1 if platform.system() == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MB


def machine() -> str:
    """The machine in general terms."""
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return f"{os.cpu_count()} cores, {memory_gb:.0f} GB, {platform.system()}, Python {platform.python_version()}"


def load() -> float:
    """Processes that wanted a core, on average over the last minute."""
    return os.getloadavg()[0]


def median(values: Iterable[float]) -> float:
    return statistics.median(values)


def flush(folder: str) -> None:
    """Have everything below a folder on disk."""
    for path in (Path(folder), *Path(folder).rglob("*")):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def footprint(folder: str) -> tuple[int, float]:
    """Files below a folder, and their megabytes."""
    sizes = [path.stat().st_size for path in Path(folder).rglob("*") if path.is_file()]
    return len(sizes), sum(sizes) / MB
