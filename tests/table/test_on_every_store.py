"""The whole table, from create to time travel, is the same on every store; on S3 writers race over HTTP."""

from __future__ import annotations

import datetime as dt
import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

import tablelog as tl
from tablelog.store.memory import MemoryStore
from tablelog.store.open import open_store
from tablelog.testing import Fault, FaultyStore

if TYPE_CHECKING:
    from collections.abc import Iterator

Place = tuple[str, dict[str, Any]]
APPENDER = Path(__file__).parent.parent / "processes" / "appender.py"


@pytest.fixture(
    params=[
        "local",
        "memory",
        "registered",
        pytest.param("moto", marks=pytest.mark.xdist_group("moto")),
        pytest.param("rgw", marks=pytest.mark.xdist_group("rgw")),
    ]
)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    match request.param:
        case "local":
            yield str(tmp_path / "lake"), {}
        case "memory":
            yield f"memory://{tmp_path.name}", {}
        case "registered":
            store = MemoryStore("mine")
            tl.register_store("mine", lambda url, options: store)
            yield "mine://somewhere", {}
        case server:
            yield request.getfixturevalue(f"{server}_url")


def test_a_lake_lives_its_whole_life_anywhere(place: Place) -> None:
    url, options = place
    lake = tl.connect(url, options)
    trips = lake.create_table(
        "city.trips",
        {"id": list(range(1000)), "city": ["Oslo", "Rome"] * 500, "at": [dt.datetime(2026, 1, 1)] * 1000},
        partition_by="city",
    )
    trips.append([{"id": 5000, "city": "Bern", "at": dt.datetime(2026, 2, 2)}])
    trips.delete(where="id < 10")
    trips.alter.rename_column("city", "town")
    trips.overwrite([{"id": 5000, "town": "Bern", "at": None}], where="id = 5000")

    again = tl.connect(url, options, create=False)
    table = again.table("city.trips")
    assert table.version == 4
    assert [table.at(version=version).row_count for version in range(5)] == [1000, 1001, 991, 991, 991]
    query = 'SELECT count(*) AS n, count("at") AS known FROM city.trips'
    assert again.sql(query).fetchall() == [(991, 990)]
    assert again.sql(f"{query} AT (VERSION => 1)").fetchall() == [(1001, 1001)]
    assert table.lazy().filter(pl.col("town") == "Rome").select(pl.len()).collect().item() == 495
    assert table.lazy().head(3).collect().height == 3
    assert table.at(version=0).to_arrow().column("id").to_pylist() == sorted(range(1000), key=lambda n: n % 2)
    assert table.scan(where="town = 'Bern'").to_polars()["id"].to_list() == [5000]
    assert len(table.scan(where="town = 'Bern'").files) == 1
    again.rename_table("city.trips", "trips")
    assert lake.tables() == ["trips"]


def test_rows_change_anywhere(place: Place) -> None:
    lake = tl.connect(*place)
    stock = lake.create_table("stock", {"sku": range(20_000), "count": [1] * 20_000}, key="sku")
    stock.append({"sku": [90_000], "count": [5]}, idempotent=("load", 1))
    assert stock.append({"sku": [90_000], "count": [5]}, idempotent=("load", 1)).version == 1
    stock.delete("hash(sku) % 4 = 1")  # a vector that is too large for the commit
    gone = 20_001 - stock.row_count
    stock.update({"count": "count + 1"}, where="sku >= 19990")
    stock.upsert({"sku": [0, 90_000, 90_001], "count": [7, 7, 7]})
    stock.merge({"sku": [1, 2, 3]}, on="t.sku = s.sku").when_matched_delete().execute()
    stock.tag("before")
    with stock.transaction("serializable") as tx:
        assert tx.scan(where="count = 7").to_polars().height == 3
        tx.delete("count = 7")

    again = tl.connect(*place).table("stock")
    frame = again.to_polars().sort("sku")
    assert frame.equals(again.lazy().collect().sort("sku"))
    assert frame.equals(pl.DataFrame(again).sort("sku"))
    assert frame.rows() == lake.sql("FROM stock ORDER BY sku").fetchall()
    assert lake.sql("SELECT count(*), sum(count) FROM stock").fetchall() == [(frame.height, frame["count"].sum())]
    kinds = again.changes(since=1).to_polars()["_change"].value_counts(sort=True).rows()
    assert dict(kinds)["delete"] >= gone
    with again.consumer("audit").take() as changes:
        assert changes.since == -1
    assert tl.connect(*place).table("stock").consumer("audit").position == again.version
    again.restore(tag="before")
    again.revert(again.version)
    again.compact()
    assert again.to_polars().sort("sku").equals(frame)
    assert stock.at(version=1).row_count == 20_001
    assert again.verify().ok


def test_a_store_that_is_not_a_lake_is_not_found(place: Place) -> None:
    url, options = place
    with pytest.raises(tl.NotFoundError):
        tl.connect(url, options, create=False)
    with pytest.raises(tl.NotFoundError):
        tl.open_table(url, options)


def test_p1_a_store_that_overwrites_is_refused_before_anything_is_written() -> None:
    inner = MemoryStore("careless")
    tl.register_store("careless", lambda url, options: FaultyStore(inner, rates={Fault.OVERWRITTEN: 1.0}))
    with pytest.raises(tl.InvalidError, match="put-if-not-exists|exist"):
        tl.connect("careless://lake")
    assert list(inner.list()) == []


@pytest.mark.xdist_group("moto")
def test_lost_answers_over_a_whole_table_lose_and_double_nothing() -> None:
    inner = MemoryStore("shaky")
    store = FaultyStore(inner, rates={Fault.SENT_TWICE: 0.3}, seed=11)
    tl.register_store("shaky", lambda url, options: store)
    table = tl.connect("shaky://lake").create_table("t", {"n": "int64"})
    for number in range(30):
        assert table.append({"n": [number]}).version == number + 1
    assert store.injected[Fault.SENT_TWICE] > 3
    assert table.to_polars()["n"].to_list() == list(range(30))


@pytest.mark.parametrize(
    "server",
    [
        pytest.param("moto", marks=pytest.mark.xdist_group("moto")),
        pytest.param("rgw", marks=pytest.mark.xdist_group("rgw")),
    ],
)
def test_processes_that_append_over_http_lose_and_double_nothing(server: str, request: pytest.FixtureRequest) -> None:
    url, options = request.getfixturevalue(f"{server}_url")
    table = tl.connect(url, options).create_table("t", {"worker": "int64", "number": "int64", "part": "int64"})
    command = [sys.executable, str(APPENDER), f"{url}/t"]
    processes = [
        subprocess.Popen(
            [*command, str(worker), "10", json.dumps(options)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for worker in range(4)
    ]
    for process in processes:
        output, _ = process.communicate(b"\n", timeout=120)
        assert process.returncode == 0
        assert output.split() == [b"ready", *(str(number).encode() for number in range(10))]
    assert table.version == 40
    found = table.to_polars()
    assert (found.height, found.unique().height) == (120, 120)


def test_credentials_are_in_no_message_and_no_repr(moto_url: Place) -> None:
    url, options = moto_url
    lake = tl.connect(url, {**options, "secret": "hush-hush"})
    shown = [repr(lake), repr(lake.store), lake._repr_html_(), repr(pickle.dumps(open_store("memory://x").url))]
    with pytest.raises(tl.TablelogError) as raised:
        lake.table("nope")
    assert not any("hush-hush" in text for text in [*shown, str(raised.value)])
