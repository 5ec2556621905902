from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import tablelog as tl
from tablelog.store.memory import MemoryStore
from tablelog.store.open import open_store

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

    from tests.cli.conftest import Run


def test_a_lake_is_copied_and_again_nothing_is(run: Run, place: Path, tmp_path: Path) -> None:
    told = run("copy", place, tmp_path / "copy", columns=200)
    assert told.code == 0, told.err
    assert [line.split() for line in told.out.splitlines()[2:4]] == [
        [str(tmp_path / "copy" / "orders"), "2", "3"],
        [str(tmp_path / "copy" / "gr%C3%B6%C3%9Fe" / "p%C3%A4ron%20%E6%A2%A8"), "0", "1"],
    ]
    assert "objects of " in told.out
    assert tl.connect(tmp_path / "copy", create=False).tables() == tl.connect(place).tables()
    assert "nothing was new" in run("copy", place, tmp_path / "copy").out


def test_for_programs_it_is_one_object(run: Run, place: Path, tmp_path: Path) -> None:
    found = run("copy", place / "orders", tmp_path / "copy", "--json", "--verify").json
    assert found["tables"] == [{"path": "", "version": 2, "versions": 3}]
    assert (found["source"], found["target"]) == (str(place / "orders"), str(tmp_path / "copy"))
    assert found["objects"] == 3
    assert found["bytes"] > 1000
    assert [each["ok"] for each in found["verified"]] == [True]
    assert "verified" not in run("copy", place / "orders", tmp_path / "copy", "--json").json


def test_verify_reads_back_and_damage_is_exit_code_6(run: Run, place: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    told = run("copy", place, copy, "--verify", columns=200)
    assert told.code == 0
    assert told.out.count("sound") == 3
    orders = tl.connect(place)["orders"]
    orders.alter.set_property("inline_max_bytes", 0)
    orders.append([{"id": 10, "price": 1}])
    assert run("copy", place, copy).code == 0
    (path, *_) = (copy / "orders" / "data").iterdir()
    data = bytearray(path.read_bytes())
    data[20] ^= 1
    path.write_bytes(data)
    assert run("copy", place, copy).code == 0  # its size is right
    told = run("copy", place, copy, "--verify", columns=200)
    assert told.code == 6
    assert path.name in told.out


@pytest.mark.parametrize(
    ("source", "target", "code", "message"),
    [
        ("nowhere", "copy", 3, "nothing at"),
        ("lake", "lake", 2, "cannot be copied to itself"),
        ("lake", "lake/orders", 2, "is a table, and"),
    ],
)
def test_what_cannot_be_copied_is_said(
    run: Run, place: Path, tmp_path: Path, source: str, target: str, code: int, message: str
) -> None:
    found = run("copy", tmp_path / source, tmp_path / target)
    assert found.code == code
    assert message in found.err
    assert run("copy", tmp_path / source, tmp_path / target, "--json").error["message"]


def test_each_side_has_options_of_its_own(run: Run, place: Path) -> None:
    seen: dict[str, Mapping[str, Any]] = {}
    stores = {"one": open_store(place), "two": MemoryStore("two")}

    def find(url: str, options: Mapping[str, Any]) -> Any:
        seen[url] = dict(options)
        return stores[url.partition("://")[0]]

    for name in stores:
        tl.register_store(name, find)
    assert run("copy", "one://x", "two://x", "--option", "a=1", "--target-option", "b=two").code == 0
    assert seen == {"one://x": {"a": 1}, "two://x": {"b": "two"}}


def test_the_bar_shows_only_on_a_terminal(
    run: Run, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("copy", place, tmp_path / "quiet").err == ""
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes this for a terminal
    assert run("copy", place, tmp_path / "shown").err != ""
