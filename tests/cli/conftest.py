"""The command line as a function, and a small lake to point it at."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from typer.testing import CliRunner

import tablelog as tl
from tablelog.cli.main import app

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Stdout, which must be one JSON value and nothing else."""
        assert self.code == 0, self.err
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, str]:
        """The error that a command with `--json` said on stderr."""
        assert self.out == ""
        found: dict[str, str] = json.loads(self.err)["error"]
        return found


class Run(Protocol):
    """The fixture `run`."""

    def __call__(self, *args: str | Path, stdin: str | None = None, columns: int = 80) -> Ran:
        """Run `tablelog` with these words in a terminal of that width that shows no colours."""


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.delenv("TABLELOG_LAKE", raising=False)

    def run(*args: str | Path, stdin: str | None = None, columns: int = 80) -> Ran:
        result = CliRunner().invoke(app, [str(arg) for arg in args], input=stdin, env={"COLUMNS": str(columns)})
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Ran(code=result.exit_code, out=result.stdout, err=result.stderr)

    return run


def order(number: int, item: str | None, price: str, month: int) -> dict[str, Any]:
    return {"id": number, "item": item, "price": Decimal(price), "at": datetime(2026, month, 5, 10)}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A lake with two tables: `orders`, of three versions, and one in a namespace whose names are not ASCII."""
    place = tmp_path / "lake"
    lake = tl.connect(place)
    orders = lake.create_table(
        "orders",
        {"id": "int64 not null", "item": "string", "price": "decimal(8, 2)", "at": "timestamp"},
        partition_by="month(at)",
        sort_by=["at", "price desc"],
        checks={"positive": "price > 0"},
        properties={"target_file_size_bytes": 1_000_000},
    )
    orders.append([order(1, "tea", "2.50", 1), order(2, "NULL", "12.00", 1)], info={"month": "January"})
    orders.append([order(3, None, "0.99", 2)], info={"month": "February"})
    lake.create_table("größe.päron 梨", {"名前": ["ざくろ", None]})
    return place
