"""How tables show themselves where they are the last word of a line."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

import tablelog as tl


class Balanced(HTMLParser):
    """Counts what is opened and closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def text_of(html: str) -> list[str]:
    parser = Balanced()
    parser.feed(html)
    parser.close()
    assert parser.open == []
    return parser.text


@pytest.fixture
def lake() -> tl.Lake:
    return tl.connect("memory://display")


@pytest.fixture
def table(request: pytest.FixtureRequest) -> tl.Table:
    lake = tl.connect(f"memory://display-{request.node.name}")
    table = lake.create_table(
        "<b>bold</b>",
        {"id": "int64 not null", "a<b": "map<string, int32>", "at": "timestamp"},
        partition_by="month(at)",
        sort_by="id desc",
        checks={"small": "id < 10 AND id > -10"},
    )
    table.append([{"id": 1, "at": None}])
    return table


def test_text_has_a_title_columns_and_rules(table: tl.Table) -> None:
    title, *lines = repr(table).splitlines()
    assert re.fullmatch(r"<b>bold</b> · version 1 · \S+ \S+ UTC · 1 row · 1 file · [\d.]+ (B|KiB)", title)
    assert lines == [
        "  id   int64 not null",
        "  a<b  map<string, int32>",
        "  at   timestamp[us]",
        "partitioned by: month(at)",
        "sorted by: id desc",
        "check small: id < 10 AND id > -10",
    ]


def test_html_says_the_same_and_names_are_never_tags(table: tl.Table) -> None:
    html = table._repr_html_()
    said = text_of(html)
    assert "<b>bold</b>" in said
    assert "a<b" in said
    assert "id < 10 AND id > -10" in said
    assert "not null" in said
    assert table.snapshot()._repr_html_() == html


def test_no_page_names_a_colour_that_only_suits_light_or_dark(table: tl.Table) -> None:
    for html in (table._repr_html_(), table.scan(where="id < 3")._repr_html_()):
        colours = re.findall(r"(?:color|background)[^:;']*:([^;']+)", html)
        assert set(colours) <= {"transparent", "currentColor", "inherit"}


def test_numbers_of_a_lake_stand_on_the_right(lake: tl.Lake) -> None:
    assert "no tables yet" in text_of(lake._repr_html_())
    lake.create_table("t", {"x": list(range(1234))})
    html = lake._repr_html_()
    assert "1,234" in text_of(html)
    assert re.search(r"<td style='[^']*text-align:right[^']*'>1,234</td>", html)
    assert re.search(r"<td style='[^']*text-align:left[^']*'><b>t</b></td>", html)


def test_a_scan_shows_what_it_reads_of_how_much(table: tl.Table) -> None:
    table.append([{"id": 5}])
    scan = table.scan(where="id < 3")
    assert re.fullmatch(r".* where id < 3: reads 1 of 2 files, at most 1 of 2 rows, .* of .*", repr(scan))
    said = text_of(scan._repr_html_())
    assert "id < 3" in said
    assert said[said.index("files") :][:3] == ["files", "1", "2"]
    assert "width:50%" in scan._repr_html_()
