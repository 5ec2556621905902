"""Tables that were written once are read for ever."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import tablelog as tl

if TYPE_CHECKING:
    from types import ModuleType

GOLDEN = Path(__file__).parent.parent / "golden"
LAKES = sorted(path for path in GOLDEN.iterdir() if path.is_dir() and path.name.startswith("lake-"))


def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_lake", GOLDEN / "make_lake.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def expected(lake: Path) -> Any:
    return json.loads(lake.with_suffix(".json").read_text())


@pytest.fixture(params=LAKES, ids=lambda path: path.name)
def golden(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy, so that a test that writes by mistake does not change what is frozen."""
    return Path(shutil.copytree(request.param, tmp_path / request.param.name))


def test_every_version_of_every_golden_table_reads_as_it_did(golden: Path) -> None:
    assert maker().describe(tl.connect(golden, create=False)) == expected(GOLDEN / golden.name)


def test_engines_agree_on_every_version_of_every_golden_table(golden: Path) -> None:
    lake = tl.connect(golden, create=False)
    for name in lake.tables():
        table = lake.table(name)
        quoted = ".".join(f'"{part}"' for part in name.split("."))
        for version in table.history()["version"]:
            snapshot = table.at(version=version)
            by_sql = lake.sql(f"FROM {quoted} AT (VERSION => {version})").pl()
            by_polars = snapshot.to_polars()
            assert by_sql.columns == by_polars.columns == snapshot.schema.names
            assert by_sql.height == by_polars.height == snapshot.row_count
            flat = [
                column
                for column, dtype in by_polars.schema.items()
                if not dtype.is_nested() and not dtype.is_temporal()
            ]
            known, found = by_sql.select(flat), by_polars.select(flat).cast(dict(by_sql.select(flat).schema))
            if any(file.is_inlined or file.deleted for file in snapshot.files):  # read apart from plain files
                known, found = known.sort(flat), found.sort(flat)
            assert known.equals(found)


def test_a_golden_table_opens_by_path_alone(golden: Path) -> None:
    table = tl.open_table(golden / "sales" / "orders")
    assert table.row_count == len(expected(GOLDEN / golden.name)["tables"]["sales.orders"]["versions"][-1]["rows"])


def test_a_golden_table_can_be_written_on(golden: Path) -> None:
    table = tl.connect(golden).table("sales.orders")
    before = table.row_count
    table.append([{"id": 5}])
    assert table.row_count == before + 1


def test_writers_of_a_golden_table_are_still_known(tmp_path: Path) -> None:
    lake = Path(shutil.copytree(GOLDEN / "lake-3", tmp_path / "lake-3"))
    for name, application, number, version in (("marked", "nightly load", 1, 2), ("folded", "counter", 3, 4)):
        table = tl.connect(lake).table(name)
        newest = table.version
        again = table.append([{"id": -5}], idempotent=(application, number))
        assert (again.version, again.operation) == (version, "append")
        assert table.version == newest
    older, newer = (tl.connect(lake).table("marked").exclusive("cleaner") for _ in range(2))
    with pytest.raises(tl.FencedError, match="epoch 3"):
        older.delete("true")
    assert newer.delete("true").rows_deleted > 0


def test_p5_only_commits_decide_what_is_true(golden: Path) -> None:
    """Anything else in the folders may be there, be nonsense, or be missing."""
    for folder in (golden, golden / "sales" / "orders"):
        for name in (
            "_log/head.json",
            "_log/segments/00000000000000000000-00000000000000000255.parquet",
            "data/zzz.parquet",
            "_catalog/head.json",
            "_catalog/probe-x",
            "junk.txt",
            "_log/.0123.tmp",
        ):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(b"\x00nonsense")
    assert maker().describe(tl.connect(golden, create=False)) == expected(GOLDEN / golden.name)


def test_what_merging_left_is_sound_and_can_be_made_again(golden: Path) -> None:
    for verification in tl.connect(golden, create=False).verify():
        assert verification.ok, verification
    shutil.rmtree(golden / "sales" / "orders" / "_log" / "segments", ignore_errors=True)
    assert all(not repaired.problems for repaired in tl.connect(golden).repair())
    assert maker().describe(tl.connect(golden, create=False)) == expected(GOLDEN / golden.name)


def test_timestamps_survive_a_copy(golden: Path, tmp_path: Path) -> None:
    """They are in the log, not in the times of files."""
    copy = shutil.copytree(golden, tmp_path / "elsewhere", copy_function=shutil.copyfile)
    old, new = (tl.connect(folder, create=False).table("sales.orders") for folder in (golden, copy))
    assert old.history().equals(new.history())
    moment = old.at(version=3).timestamp
    assert new.at(timestamp=moment).version == 3
