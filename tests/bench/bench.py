"""One run: its options, the systems that take part, and the places where they keep their tables."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.bench.environments import interpreter
from tests.bench.peers import Peer, PeerError
from tests.bench.systems.base import Place
from tests.bench.systems.catalog import SPECS

if TYPE_CHECKING:
    from tests.bench.growth import Grown
    from tests.bench.systems.catalog import Spec

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "benchmarks.md"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a run is asked for."""

    only: tuple[str, ...]
    peers: tuple[str, ...] | None
    """Beginnings of the names of systems; None is all."""
    rows: int
    commits: int
    long: int
    """Commits of the long history."""
    entries: int
    writers: int
    repeat: int
    work: Path

    def command(self, key: str) -> str:
        """What repeats one workload of this run."""
        peers = "" if self.peers is None else f" --peers {','.join(self.peers)}"
        sizes = f"--rows {self.rows} --commits {self.commits} --long {self.long} --entries {self.entries} --writers {self.writers}"
        return f"python -m tests.bench --only {key} {sizes} --repeat {self.repeat}{peers}"


@dataclass(slots=True)
class Bench:
    """What workloads are given."""

    options: Options
    grown: dict[int, Grown] = field(default_factory=dict)
    """Tables that an earlier workload left, by their number of commits."""
    written: dict[str, Place] = field(default_factory=dict)
    """Tables of the bulk write, by system."""
    versions: dict[str, dict[str, str]] = field(default_factory=dict)
    """By system, then by package."""
    missing: dict[str, str] = field(default_factory=dict)
    """Systems that are not here, and why."""

    def specs(self, *names: str) -> list[Spec]:
        """Those of the named systems that take part."""
        return [SPECS[name] for name in names if self._takes_part(SPECS[name])]

    def _takes_part(self, spec: Spec) -> bool:
        wanted = self.options.peers
        if (
            spec.module != "tablelog_lake"
            and wanted is not None
            and not any(spec.name.startswith(each) for each in wanted)
        ):
            return False
        if spec.name not in self.versions and spec.name not in self.missing:
            try:
                interpreter(spec)
                with Peer(spec, self.place("versions", spec)) as peer:
                    self.versions[spec.name] = peer.need("versions", packages=list(spec.packages))
            except (LookupError, PeerError) as error:
                self.missing[spec.name] = str(error)
                print(f"skipped: {spec.name}: {error}", flush=True)
        return spec.name in self.versions

    def place(self, use: str, spec: Spec) -> Place:
        """An empty folder for a system's table."""
        folder = self.options.work / use / spec.name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return Place(root=str(folder), local=str(folder))


def turns(count: int, size: int) -> list[range]:
    """`count` things in pieces of `size`: what a system does before the next one has its turn."""
    return [range(start, min(start + size, count)) for start in range(0, count, size)]
