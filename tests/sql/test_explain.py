"""`lake.explain`: what a query would read, of queries that could be asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import tablelog as tl

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def lake(tmp_path: Path) -> tl.Lake:
    lake = tl.connect(tmp_path)
    lake.create_table("orders", {"id": [1, 2]})
    return lake


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("FROM order_s", "no table order_s; did you mean orders?"),
        ("SELECT 1 FROM orders JOIN order_s USING (id)", "no table order_s; did you mean orders?"),
        ("SELECT price FROM orders", 'Referenced column "price" not found'),
        ("SELECT nothing", 'Referenced column "nothing" was not found'),
    ],
)
def test_a_query_that_cannot_be_asked_is_refused_as_sql_refuses_it(lake: tl.Lake, text: str, said: str) -> None:
    for ask in (lake.sql, lake.explain):
        with pytest.raises(tl.TablelogError) as raised:
            ask(text)
        assert str(raised.value).startswith(said)


@pytest.mark.parametrize(
    ("text", "files"),
    [
        ("SELECT 1", []),
        ("SHOW TABLES", []),
        ("DESCRIBE orders", [1]),
        ("PIVOT orders ON id USING count(*)", [1]),
        ("EXPLAIN FROM orders WHERE id = 3", [0]),
    ],
)
def test_whatever_sql_answers_is_explained(lake: tl.Lake, text: str, files: list[int]) -> None:
    lake.sql(text).fetchall()
    assert [table.files for table in lake.explain(text)] == files
