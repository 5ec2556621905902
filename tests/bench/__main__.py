"""`python -m tests.bench`: run workloads, print what came out, and write it into `docs/benchmarks.md`."""

from __future__ import annotations

import argparse
import datetime as dt
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.bench.bench import DOCUMENT, Bench, Options
from tests.bench.measure import load, machine
from tests.bench.report import print_section, write_section
from tests.bench.workloads import (
    bulk_write,
    cold_open,
    compaction,
    file_entries,
    inlining,
    log_length,
    lookups,
    planning,
    requests,
    row_changes,
    scan,
    small_commits,
    tree,
    writers,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

    from tests.bench.report import Section

WORKLOADS: Final[dict[str, ModuleType]] = {
    module.KEY: module
    for module in (
        small_commits,
        cold_open,
        file_entries,
        bulk_write,
        scan,
        row_changes,
        planning,
        writers,
        requests,
        log_length,
        inlining,
        tree,
        compaction,
        lookups,
    )
}


def main(arguments: Sequence[str] | None = None) -> None:
    given = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="tablelog-bench-") as temporary:
        work = Path(given.work or temporary)
        work.mkdir(parents=True, exist_ok=True)
        options = Options(
            only=tuple(given.only.split(",")),
            peers=None if given.peers is None else tuple(filter(None, given.peers.split(","))),
            rows=given.rows,
            commits=given.commits,
            long=given.long,
            entries=given.entries,
            writers=given.writers,
            repeat=given.repeat,
            work=work,
        )
        bench = Bench(options)
        for key in options.only:
            section = _run(bench, key)
            print_section(section)
            if given.document:
                write_section(Path(given.document), section, tuple(WORKLOADS))


def _run(bench: Bench, key: str) -> Section:
    print(f"{key} …", flush=True)
    load_before, began = load(), time.perf_counter()
    section: Section = WORKLOADS[key].run(bench)
    took_s = time.perf_counter() - began
    section.command = bench.options.command(key)
    # One package may be there twice: DuckLake has a DuckDB of its own.
    pairs = {pair for found in bench.versions.values() for pair in found.items()}
    versions = ", ".join(f"{name} {version}" for name, version in sorted(pairs))
    busy = f"load average {load_before:.2f} before and {load():.2f} after {took_s:.0f} s"
    section.circumstances = f"{dt.datetime.now(dt.UTC):%Y-%m-%d}; {machine()}; {busy}; {versions}."
    return section


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    every = ",".join(WORKLOADS)
    parser.add_argument("--only", default=every, help=f"workloads, separated by commas (default: {every})")
    parser.add_argument("--peers", help="systems beside tablelog by the beginnings of their names (default: all)")
    parser.add_argument("--rows", type=int, default=10_000_000, help="rows of the bulk workloads")
    parser.add_argument("--commits", type=int, default=1000, help="commits of the workloads about small commits")
    parser.add_argument("--long", type=int, default=10_000, help="commits of the long history of W1 and W2")
    parser.add_argument("--entries", type=int, default=1_000_000, help="file entries of W3 at the most")
    parser.add_argument("--writers", type=int, default=8, help="processes of W6")
    parser.add_argument("--repeat", type=int, default=3, help="runs of what is measured over whole runs")
    parser.add_argument("--work", help="folder for data, kept afterwards (default: a temporary one)")
    parser.add_argument("--document", default=str(DOCUMENT), help="Markdown file to rewrite; empty for none")
    return parser


if __name__ == "__main__":
    main()
