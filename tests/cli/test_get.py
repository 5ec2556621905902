"""`tablelog get`: one row by its key."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

import tablelog as tl

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Run


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    lake = tl.connect(tmp_path)
    stock = lake.create_table("stock", {"sku": "string", "n": "int8", "price": "decimal(5, 2)"}, key=["sku", "n"])
    stock.append([{"sku": "a", "n": -1, "price": Decimal("1.50")}, {"sku": "b", "n": 2, "price": None}])
    stock.upsert([{"sku": "a", "n": -1, "price": Decimal("2.50")}])
    for name, type_, value in (
        ("days", "date", dt.date(2026, 1, 2)),
        ("flags", "boolean", True),
        ("blobs", "binary", b"abc"),
        ("prices", "decimal(5, 2)", Decimal("1.50")),
        ("moments", "timestamp[us, UTC]", dt.datetime(2026, 1, 2, 3, tzinfo=dt.UTC)),
    ):
        lake.create_table(name, {"k": type_}, key="k").append([{"k": value}])
    return tmp_path


def test_a_row_is_shown_and_is_one_object_of_json(run: Run, lake: Path) -> None:
    out = run("get", lake, "stock", "b", "2").out
    assert [word in out for word in ("sku", "price", "NULL")] == [True] * 3
    assert run("get", lake, "stock", "--json", "--", "a", "-1").json == {"sku": "a", "n": -1, "price": 2.5}
    assert run("get", lake, "stock", "--json", "--version", "1", "--", "a", "-1").json["price"] == 1.5


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ("days", "2026-01-02"),
        ("flags", "TRUE"),
        ("blobs", "abc"),
        ("prices", "1.5"),
        ("moments", "2026-01-02T03:00:00"),
        ("moments", "2026-01-02T04:00:00+01:00"),
    ],
)
def test_keys_of_other_types_are_text(run: Run, lake: Path, table: str, key: str) -> None:
    assert list(run("get", lake, table, key, "--json").json) == ["k"]


def test_what_is_not_there_is_said_with_a_code(run: Run, lake: Path) -> None:
    ran = run("get", lake, "stock", "b", "3")
    assert (ran.code, ran.out) == (3, "")
    assert "stock has no row with sku=b, n=3 at version 2" in ran.err
    assert run("get", lake, "stock", "b", "3", "--json").error["message"].startswith("stock has no row")


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (["b"], "the key has 2 columns: sku, n"),
        (["b", "x"], "column 'n' of the key"),
        (["b", "1000"], "column 'n' of the key"),
    ],
    ids=str,
)
def test_what_is_no_key_is_bad_usage(run: Run, lake: Path, key: list[str], message: str) -> None:
    ran = run("get", lake, "stock", *key, columns=200)
    assert ran.code == 2
    assert message in ran.err
