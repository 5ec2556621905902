from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pytest

import tablelog as tl
from tablelog.cli.failures import Failure, one_line, report

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Run

OWN = "data/01a1fc1a-eb83-7919-b12d-7e550e99e4e2.parquet"


@pytest.mark.parametrize(
    ("failure", "kind", "code"),
    [
        (tl.InvalidError("x"), "InvalidError", 2),
        (tl.NotFoundError("x"), "NotFoundError", 3),
        (tl.ConflictError("x"), "ConflictError", 4),
        (tl.FencedError("x"), "FencedError", 5),
        (tl.CorruptionError("x"), "CorruptionError", 6),
        (tl.StoreError("x"), "StoreError", 7),
        (PermissionError(13, "Permission denied"), "StoreError", 7),
        (duckdb.ConversionException("Conversion Error: no number"), "InvalidError", 2),
        (pa.ArrowInvalid("Conversion Error: no number"), "InvalidError", 2),
        (OSError("Conversion Error: no number"), "InvalidError", 2),
        (duckdb.IOException("IO Error: the disk is full"), "StoreError", 7),
        (duckdb.IOException("IO Error: No files found that match mine.parquet"), "StoreError", 7),
        (duckdb.IOException(f"IO Error: No files found that match {OWN}"), "CorruptionError", 6),
        (OSError(f"Invalid Input Error: Failed to read file {OWN}: ZSTD"), "CorruptionError", 6),
    ],
)
def test_every_kind_of_error_has_its_exit_code(
    failure: Failure, kind: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report(failure, as_json=True) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert json.loads(captured.err) == {"error": {"kind": kind, "message": str(failure)}}
    assert report(failure, as_json=False) == code
    assert capsys.readouterr().err.startswith("error: ")


def test_every_public_error_has_an_exit_code_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    kinds = [
        value
        for value in vars(tl).values()
        if isinstance(value, type) and issubclass(value, tl.TablelogError) and value is not tl.TablelogError
    ]
    codes = [report(kind("x"), as_json=False) for kind in kinds]
    assert sorted(codes) == [2, 3, 4, 5, 6, 7]


def test_a_message_is_one_line_without_what_the_engine_draws() -> None:
    assert one_line("Parser Error: so\nit is\n\nLINE 1: x\n        ^") == "Parser Error: so it is"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["bogus"], "no such command 'bogus'"),
        (["ls", "--bogus"], "no such option: --bogus"),
        (["append", "lake", "table"], "missing argument 'FILE'"),
        (["show", "x", "--rows", "many"], "'--rows'"),
    ],
)
def test_bad_usage_says_where_help_is(run: Run, words: list[str], said: str) -> None:
    ran = run(*words)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: ")
    assert ran.err.rstrip().endswith("--help")
    assert ran.err.count("\n") == 1
    assert said in ran.err
    assert run(*words, "--json").error["kind"] == "UsageError"


def test_a_damaged_log_is_named(run: Run, place: Path) -> None:
    (place / "orders" / "_log" / "00000000000000000001.json").write_text("{}")
    ran = run("show", place, "orders")
    assert ran.code == 6
    assert "00000000000000000001.json" in ran.err


def test_a_missing_file_of_a_table_is_named(run: Run, place: Path) -> None:
    (gone,) = (path for path in place.rglob("*.parquet") if "orders" not in path.parts)
    gone.unlink()
    ran = run("sql", place, 'FROM "größe"."päron 梨"')
    assert ran.code == 6
    assert gone.name in ran.err


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs permissions that bind")
def test_a_store_that_refuses_is_a_store_error(run: Run, place: Path) -> None:
    place.chmod(0)
    try:
        assert run("ls", place).code == 7
    finally:
        place.chmod(0o755)


@pytest.mark.parametrize("option", ["nothing", "=x", "key"])
def test_an_option_needs_a_value(run: Run, place: Path, option: str) -> None:
    ran = run("ls", place, "--option", option)
    assert ran.code == 2
    assert "write it as KEY=VALUE" in ran.err


def test_an_option_reaches_the_store(run: Run, place: Path) -> None:
    assert "'use_ssl'" in run("ls", place, "--option", "use_ssl=false").err
    assert "unknown S3 option 'bogus'" in run("ls", "s3://bucket/lake", "-o", "bogus=1").err


@pytest.mark.parametrize("command", ["", "demo", "ls", "show", "history", "sql", "append"])
def test_every_command_has_help_that_fits(run: Run, command: str) -> None:
    ran = run(*filter(None, (command, "--help")))
    assert ran.code == 0
    assert "Usage:" in ran.out
    assert max(map(len, ran.out.splitlines())) <= 80


def test_without_a_word_it_shows_its_help(run: Run) -> None:
    assert run().out == run("--help").out
    assert run("--version").out == f"tablelog {tl.__version__}\n"
