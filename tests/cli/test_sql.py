from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

import tablelog as tl

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Run


def test_an_answer_is_a_table_with_its_size(run: Run, place: Path) -> None:
    ran = run("sql", place, "SELECT id, price FROM orders ORDER BY id")
    assert ran.code == 0
    assert ran.err == ""
    assert [line.split() for line in ran.out.splitlines()[2:5]] == [["1", "2.50"], ["2", "12.00"], ["3", "0.99"]]
    assert "3 rows, 2 columns" in ran.out


def test_numbers_stand_on_the_right_and_text_on_the_left(run: Run, place: Path) -> None:
    lines = run("sql", place, "SELECT 1 AS number, 'x' AS letter UNION ALL SELECT 10, 'yy' ORDER BY 1").out.splitlines()
    assert lines[2].rstrip() == "     1  x"
    assert lines[3].rstrip() == "    10  yy"


def test_null_is_not_the_text_null(run: Run, place: Path) -> None:
    lines = run("sql", place, "SELECT item FROM orders ORDER BY id").out.splitlines()
    assert [line.strip() for line in lines[2:5]] == ["tea", "'NULL'", "NULL"]


def test_tables_stand_at_any_version(run: Run, place: Path) -> None:
    query = "SELECT (SELECT count(*) FROM orders AT (VERSION => 1)) old, (SELECT count(*) FROM orders) new"
    assert run("sql", place, query, "--json").json == [{"old": 2, "new": 3}]


def test_the_query_may_come_from_stdin_or_a_file(run: Run, place: Path, tmp_path: Path) -> None:
    file = tmp_path / "question.sql"
    file.write_text("SELECT 'ä' AS x", encoding="utf-8")
    assert run("sql", place, "-", "--json", stdin="SELECT 'ä' AS x").json == [{"x": "ä"}]
    assert run("sql", place, "--file", file, "--json").json == [{"x": "ä"}]
    assert run("sql", place, "--file", tmp_path / "nope.sql").code == 3
    assert run("sql", place, "SELECT 1", "--file", file).code == 2


def test_the_lake_may_be_the_usual_one(run: Run, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TABLELOG_LAKE", str(place))
    assert run("sql", "SELECT count(*) AS n FROM orders", "--json").json == [{"n": 3}]


def test_forty_rows_are_shown_and_the_rest_is_counted(run: Run, place: Path) -> None:
    ran = run("sql", place, "SELECT * FROM range(50000)")
    assert "the first 40 of 50,000 rows" in ran.out
    assert len(ran.out.splitlines()) == 2 + 40 + 2
    assert "the first 3 of 50,000 rows" in run("sql", place, "SELECT * FROM range(50000)", "--limit", "3").out
    assert "of more than 1,000,000 rows" in run("sql", place, "SELECT * FROM range(3000000)").out


def test_json_and_csv_have_all_rows_unless_told_otherwise(run: Run, place: Path) -> None:
    assert len(run("sql", place, "FROM range(5000)", "--json").json) == 5000
    assert len(run("sql", place, "FROM range(5000)", "--json", "--limit", "7").json) == 7
    assert len(run("sql", place, "FROM range(5000)", "--csv").out.splitlines()) == 5001
    assert run("sql", place, "FROM range(0)", "--json").json == []


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("NULL", None),
        ("42", 42),
        ("170141183460469231731687303715884105727::HUGEINT", 2**127 - 1),
        ("sum(2)", 2),
        ("1.5::DOUBLE", 1.5),
        ("'nan'::DOUBLE", "nan"),
        ("'-inf'::FLOAT", "-inf"),
        ("12.50::DECIMAL(8, 2)", 12.5),
        ("1234567890123456789012345.678901234::DECIMAL(38, 9)", "1234567890123456789012345.678901234"),
        ("true", True),
        ("'NULL'", "NULL"),
        ("DATE '2026-11-01'", "2026-11-01"),
        ("TIME '10:30:00'", "10:30:00"),
        ("TIMESTAMP '2026-11-01 09:00:00.5'", "2026-11-01T09:00:00.5"),
        ("TIMESTAMPTZ '2026-11-01 10:00:00+01:00'", "2026-11-01T09:00:00+00:00"),
        ("'2026-11-01 09:00:00.123456789'::TIMESTAMP_NS", "2026-11-01T09:00:00.123456789"),
        ("'infinity'::TIMESTAMP", "infinity"),
        ("INTERVAL 3 DAY", "3 days"),
        ("[1, NULL, 3]", [1, None, 3]),
        ("['nan'::DOUBLE]", ["nan"]),
        ("{'a': 1, 'b': {'c': 'x'}}", {"a": 1, "b": {"c": "x"}}),
        ("MAP {'k': 1}", {"k": 1}),
        ("'[1, 2]'::JSON", [1, 2]),
        ("'a'::ENUM('a', 'b')", "a"),
        ("uuid '550e8400-e29b-41d4-a716-446655440000'", "550e8400-e29b-41d4-a716-446655440000"),
        ("'\\x00ab'::BLOB", "\\x00ab"),
        ("'101'::BIT", "101"),
    ],
)
def test_every_type_has_a_json(run: Run, place: Path, expression: str, value: Any) -> None:
    assert run("sql", place, f"SELECT {expression} AS x", "--json").json == [{"x": value}]
    assert run("sql", place, f"SELECT {expression} AS x").code == 0
    assert run("sql", place, f"SELECT {expression} AS x", "--csv").code == 0


def test_columns_of_one_name_are_told_apart_in_json(run: Run, place: Path) -> None:
    assert run("sql", place, "SELECT 1 AS a, 2 AS a, 3 AS a_1", "--json").json == [{"a": 1, "a_1": 2, "a_1_1": 3}]
    assert run("sql", place, "SELECT 1 AS a, 2 AS a").out.split()[:2] == ["a", "a"]


def test_csv_tells_null_from_the_empty_text(run: Run, place: Path) -> None:
    query = """SELECT * FROM (VALUES (NULL, 'a,b'), ('', 'say "x"'), ('x', e'two\\nlines')) t(a, "b c")"""
    assert run("sql", place, query, "--csv").out == 'a,b c\n,"a,b"\n"","say ""x"""\nx,"two\nlines"\n'
    assert (
        run("sql", place, "SELECT true AS a, 0.1::DOUBLE + 0.2 AS b", "--csv").out == "a,b\ntrue,0.30000000000000004\n"
    )


def test_a_wide_answer_is_continued_below_and_nothing_is_lost(run: Run, place: Path) -> None:
    names = [f"column_number_{number}" for number in range(20)]
    ran = run("sql", place, f"SELECT {', '.join(f'{number} AS {name}' for number, name in enumerate(names))}")
    assert max(map(len, ran.out.splitlines())) <= 80
    assert [word for word in ran.out.split() if word.startswith("column_")] == names
    assert "1 row, 20 columns" in ran.out
    assert run("sql", place, "SELECT 1 AS a", columns=20).out.splitlines()[2].strip() == "1"


def test_a_long_value_ends_in_an_ellipsis(run: Run, place: Path) -> None:
    line = run("sql", place, "SELECT repeat('ab', 200) AS a, 1 AS b").out.splitlines()[2]
    assert len(line) <= 80
    assert "…  1" in line


def test_no_value_can_move_the_cursor_or_be_markup(run: Run, place: Path) -> None:
    out = run("sql", place, "SELECT e'\\x1b[31mred\\n\\t[bold]x[/bold] :smile:' AS x").out
    assert "\x1b" not in out
    assert "\\x1b[31mred\\n\\t[bold]x[/bold] :smile:" in out


def test_explain_says_what_would_be_read(run: Run, place: Path) -> None:
    query = "FROM orders JOIN orders AT (VERSION => 1) AS old USING (id) WHERE id = 3"
    plan = run("sql", place, query, "--explain", "--json").json
    now = next(part for part in plan if part["version"] == 2)
    assert (now["table"], now["files"], now["files_total"]) == ("orders", 1, 2)
    assert now["bytes_max"] < now["bytes_total"]
    assert (now["rows_max"], now["rows_total"]) == (1, 3)
    assert "1 of 2" in run("sql", place, query, "--explain").out


def test_duckdb_may_explain_itself(run: Run, place: Path) -> None:
    out = run("sql", place, "EXPLAIN SELECT count(*) FROM orders").out
    assert "─" in out
    assert "\\n" not in out


@pytest.mark.parametrize(
    ("query", "code", "said"),
    [
        ("SELECT nope FROM orders", 2, 'Referenced column "nope" not found'),
        ("SELEC 1", 2, "syntax error"),
        ("FROM nope", 3, "nope"),
        ("FROM orders AT (VERSION => 9)", 3, "there is no version 9"),
        ("SELECT 'x'::INTEGER", 2, "Could not convert"),
        ("SELECT CASE WHEN range > 9000 THEN 'x'::INTEGER ELSE 1 END FROM range(10000)", 2, "Could not convert"),
        ("DELETE FROM orders", 2, "sql() answers queries"),
        ("SELECT 1; SELECT 2", 2, "there are 2 statements"),
        ("", 2, "empty"),
    ],
)
def test_what_cannot_be_answered_is_said_in_one_line(run: Run, place: Path, query: str, code: int, said: str) -> None:
    ran = run("sql", place, query)
    assert ran.code == code
    assert ran.err.startswith("error: ")
    assert ran.err.count("\n") == 1
    assert said in ran.err
    failed = run("sql", place, query, "--json")
    assert failed.code == code
    assert json.loads(failed.err)["error"]["kind"] == ("InvalidError" if code == 2 else "NotFoundError")


def test_a_query_that_fails_at_once_leaves_stdout_empty(run: Run, place: Path) -> None:
    assert run("sql", place, "SELECT 'x'::INTEGER", "--json").error["kind"] == "InvalidError"


def test_a_query_needs_a_lake_and_a_text(run: Run, place: Path) -> None:
    assert "there is no query" in run("sql").err
    assert "no lake is named" in run("sql", "SELECT 1").err
    assert "not both" in run("sql", place, "SELECT 1", "--csv", "--json").err
    assert run("sql", place.parent / "nowhere", "SELECT 1").code == 3
    assert not (place.parent / "nowhere").exists()


def test_an_empty_lake_answers_what_needs_no_table(run: Run, tmp_path: Path) -> None:
    tl.connect(tmp_path / "empty")
    assert run("sql", tmp_path / "empty", "SELECT 6 * 7 AS answer", "--json").json == [{"answer": 42}]
