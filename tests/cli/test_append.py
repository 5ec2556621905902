from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tablelog as tl

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Run

    Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def rows(place: Path, table: str = "t") -> list[dict[str, Any]]:
    return tl.connect(place, create=False).table(table).to_arrow().to_pylist()


def types(place: Path, table: str = "t") -> dict[str, str]:
    return {field.name: str(field.type) for field in tl.connect(place, create=False).table(table).schema}


def test_a_table_and_its_lake_are_made_on_request(run: Run, tmp_path: Path, write: Write) -> None:
    file = write("days.csv", "day,höhe,name,zip\n2026-01-01,1.5,ä,007\n2026-01-02,,,100\n")
    assert run("append", tmp_path / "new", "t", file).code == 3
    assert not (tmp_path / "new").exists()
    made = run("append", tmp_path / "new", "t", file, "--create", "--json").json
    assert (made["table"], made["version"], made["operation"], made["rows"], made["files"]) == ("t", 0, "create", 2, 1)
    assert types(tmp_path / "new") == {"day": "date", "höhe": "float64", "name": "string", "zip": "string"}
    assert rows(tmp_path / "new")[1] == {
        "day": datetime(2026, 1, 2, tzinfo=UTC).date(),
        "höhe": None,
        "name": None,
        "zip": "100",
    }


def test_all_files_of_all_kinds_are_one_commit(run: Run, tmp_path: Path, write: Write) -> None:
    pq.write_table(pa.table({"x": pa.array([1], pa.int16()), "y": ["a"]}), tmp_path / "1.parquet")
    write("2.csv", "y,x\nb,2\n")
    write("3.json", '[{"x": 3, "y": "c"}]')
    write("4.ndjson", '{"x": 4}\n{"y": "e", "x": 5}\n')
    (tmp_path / "5.csv.gz").write_bytes(gzip.compress(b"x;y\n6;f\n"))
    tl.connect(tmp_path / "lake").create_table("t", {"x": "int64", "y": "string"})
    ran = run(
        "append",
        tmp_path / "lake",
        "t",
        *(tmp_path / name for name in ("1.parquet", "2.csv", "3.json", "4.ndjson", "5.csv.gz")),
    )
    assert ran.code == 0, ran.err
    assert "t version 1: 6 rows from 5 files, stored in 1 file of" in ran.out
    assert [(row["x"], row["y"]) for row in rows(tmp_path / "lake")] == [
        (1, "a"), (2, "b"), (3, "c"), (4, None), (5, "e"), (6, "f"),
    ]  # fmt: skip
    newest = run("history", tmp_path / "lake", "t", "--json").json[0]
    assert newest["info"] == "from=1.parquet, 2.csv, 3.json and 2 files more"


def test_patterns_stand_for_files_in_order(run: Run, tmp_path: Path, write: Write) -> None:
    for number in (2, 1, 3):
        write(f"part-{number}.csv", f"x\n{number}\n")
    write("a[1]*.csv", "x\n9\n")
    assert run("append", tmp_path / "lake", "t", tmp_path / "part-*.csv", tmp_path / "a[1]*.csv", "--create").code == 0
    assert [row["x"] for row in rows(tmp_path / "lake")] == [1, 2, 3, 9]


def test_create_adds_to_a_table_that_is_there(run: Run, tmp_path: Path, write: Write) -> None:
    file = write("x.csv", "x\n1\n")
    assert [run("append", tmp_path / "lake", "t", file, "--create", "--json").json["version"] for _ in range(2)] == [
        0,
        1,
    ]


def test_types_can_be_said_when_a_table_is_made(run: Run, tmp_path: Path, write: Write) -> None:
    file = write("x.csv", "id,price\n1,2.50\n")
    words = ("--create", "--type", "id=int32 not null", "--type", "price=decimal(8, 2)")
    assert run("append", tmp_path / "lake", "t", file, *words).code == 0
    assert types(tmp_path / "lake") == {"id": "int32", "price": "decimal(8, 2)"}
    assert not tl.connect(tmp_path / "lake").table("t").schema.field("id").nullable
    assert rows(tmp_path / "lake") == [{"id": 1, "price": Decimal("2.50")}]
    assert run("append", tmp_path / "lake", "t", file, "--type", "id=string").code == 2
    assert "'nope'" in run("append", tmp_path / "lake", "u", file, "--create", "--type", "nope=string").err
    assert "write it as COLUMN=TYPE" in run("append", tmp_path / "lake", "u", file, "--create", "--type", "id").err


def test_a_text_can_mean_null(run: Run, tmp_path: Path, write: Write) -> None:
    file = write("x.csv", "x,y\n1,NA\nNA,-\n")
    assert run("append", tmp_path / "lake", "t", file, "--create", "--null", "NA", "--null", "-").code == 0
    assert rows(tmp_path / "lake") == [{"x": 1, "y": None}, {"x": None, "y": None}]


def test_the_empty_text_is_null_only_where_it_is_no_value(run: Run, tmp_path: Path, write: Write) -> None:
    tl.connect(tmp_path / "lake").create_table("t", {"x": "int64", "y": "string"})
    assert run("append", tmp_path / "lake", "t", write("x.csv", 'x,y\n"",""\n1,\n')).code == 0
    assert rows(tmp_path / "lake") == [{"x": None, "y": ""}, {"x": 1, "y": None}]


def test_what_csv_prints_can_be_appended_again(run: Run, place: Path, write: Write) -> None:
    answer = run("sql", place, "FROM orders", "--csv").out
    before = rows(place, "orders")
    assert run("append", place, "orders", write("again.csv", answer)).code == 0
    assert sorted(map(str, rows(place, "orders"))) == sorted(map(str, before + before))
    answer = run("sql", place, "FROM orders AT (VERSION => 2)", "--json").out
    assert run("append", place, "orders", write("again.json", answer)).code == 0
    assert sorted(map(str, rows(place, "orders"))) == sorted(map(str, before * 3))


@pytest.mark.parametrize(
    ("type_", "text", "value"),
    [
        ("int64", "12", 12),
        ("int64", "12.0", 12),
        ("int64", " 12 ", 12),
        ("int8", "-128", -128),
        ("uint64", "18446744073709551615", 2**64 - 1),
        ("float64", "1e3", 1000.0),
        ("float64", "inf", float("inf")),
        ("float32", "0.1", pytest.approx(0.1)),
        ("decimal(8, 2)", "12.5", Decimal("12.50")),
        ("decimal(8, 2)", "12.500", Decimal("12.50")),
        ("boolean", "true", True),
        ("string", "007", "007"),
        ("string", "NULL", "NULL"),
        ("date", "2026-01-02", datetime(2026, 1, 2, tzinfo=UTC).date()),
        ("date", "2026-01-02 00:00:00", datetime(2026, 1, 2, tzinfo=UTC).date()),
        ("timestamp", "2026-01-02T03:04:05.000006", datetime(2026, 1, 2, 3, 4, 5, 6)),
        ("timestamp[us, UTC]", "2026-01-02T03:04:05+02:00", datetime(2026, 1, 2, 1, 4, 5, tzinfo=UTC)),
        ("timestamp[us, UTC]", "2026-01-02 03:04:05", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
    ],
)
@pytest.mark.parametrize("kind", ["csv", "json"])
def test_text_becomes_exactly_its_value(
    run: Run, tmp_path: Path, write: Write, type_: str, text: str, value: Any, kind: str
) -> None:
    tl.connect(tmp_path / "lake").create_table("t", {"x": type_})
    file = write("x.csv", f'x\n"{text}"\n') if kind == "csv" else write("x.json", json.dumps([{"x": text}]))
    ran = run("append", tmp_path / "lake", "t", file)
    assert ran.code == 0, ran.err
    assert rows(tmp_path / "lake") == [{"x": value}]


@pytest.mark.parametrize(
    ("type_", "text"),
    [
        ("int64", "12.5"),
        ("int64", "1e3"),
        ("int64", "NA"),
        ("int8", "128"),
        ("uint8", "-1"),
        ("float64", "1,5"),
        ("float64", "1e999"),
        ("float32", "1e300"),
        ("decimal(8, 2)", "12.505"),
        ("decimal(8, 2)", "1234567"),
        ("boolean", "perhaps"),
        ("date", "2026-01-02 10:00"),
        ("date", "13/02/2026"),
        ("date", "2026-02-30"),
        ("timestamp", "2026-01-02T03:04:05Z"),
        ("timestamp", "2026-01-02T03:04:05+02:00"),
        ("timestamp", "2026-01-02T03:04:05.0000001"),
        ("timestamp[ms]", "2026-01-02T03:04:05.0001"),
        ("timestamp[us, UTC]", "soon"),
        ("time", "25:00:00"),
    ],
)
@pytest.mark.parametrize("kind", ["csv", "json"])
def test_text_that_is_no_value_stops_everything_and_is_named(
    run: Run, tmp_path: Path, write: Write, type_: str, text: str, kind: str
) -> None:
    tl.connect(tmp_path / "lake").create_table("t", {"n": "int64", "größe": type_})
    good = [{"n": 1, "größe": None}, {"n": 2, "größe": None}]
    if kind == "csv":
        file = write("x.csv", f'n,größe\n1,\n2,\n3,"{text}"\n')
    else:
        file = write("x.json", json.dumps([*good, {"n": 3, "größe": text}]))
    ran = run("append", tmp_path / "lake", "t", write("good.csv", "n\n0\n"), file)
    assert ran.code == 2
    assert f"{file} row 3: {text!r} in column 'größe' is no " in ran.err
    assert "nothing was added" in ran.err
    assert tl.connect(tmp_path / "lake").table("t").version == 0


def test_a_misfit_is_found_however_deep_it_lies(run: Run, tmp_path: Path, write: Write) -> None:
    lines = [str(number) for number in range(150_000)]
    lines[140_000] = "x"
    tl.connect(tmp_path / "lake").create_table("t", {"x": "int64"})
    ran = run("append", tmp_path / "lake", "t", write("x.csv", "\n".join(["x", *lines])))
    assert "row 140,001: 'x' in column 'x' is no int64" in ran.err


def test_numbers_of_json_are_exact_or_refused(run: Run, tmp_path: Path, write: Write) -> None:
    tl.connect(tmp_path / "lake").create_table("t", {"x": "decimal(38, 2)", "y": "int64"})
    file = write(
        "x.json", '[{"x": "123456789012345678901234567890.25", "y": 9007199254740993}, {"x": 1234567890123.25}]'
    )
    assert run("append", tmp_path / "lake", "t", file).code == 0
    assert rows(tmp_path / "lake") == [
        {"x": Decimal("123456789012345678901234567890.25"), "y": 9007199254740993},
        {"x": Decimal("1234567890123.25"), "y": None},
    ]
    for rounded in (
        '[{"x": 12345678901234567.25}]',
        '[{"y": 9007199254740993.0}]',
        '[{"x": 123456789012345678901234567890.25}]',
    ):
        ran = run("append", tmp_path / "lake", "t", write("y.json", rounded))
        assert ran.code == 2
        assert "row 1: " in ran.err


def test_nested_json_keeps_its_types(run: Run, tmp_path: Path, write: Write) -> None:
    file = write("x.json", '[{"a": [1, 2], "s": {"k": "v"}, "n": null}, {"a": null, "s": null, "n": null}]')
    assert run("append", tmp_path / "lake", "t", file, "--create").code == 0
    assert types(tmp_path / "lake") == {"a": "list<int64>", "s": "struct<k: string>", "n": "string"}
    assert rows(tmp_path / "lake")[0] == {"a": [1, 2], "s": {"k": "v"}, "n": None}
    ran = run("append", tmp_path / "lake", "t", write("y.json", '[{"a": [1.5]}]'))
    assert ran.code == 2
    assert "'a.element'" in ran.err
    assert run("append", tmp_path / "lake", "t", write("z.csv", 'a\n"[1]"\n')).code == 2


def test_a_name_that_only_the_last_object_has_is_not_lost(run: Run, tmp_path: Path, write: Write) -> None:
    lines = ['{"x": 1}'] * 50_000 + ['{"x": 2, "late": 3}']
    file = write("x.ndjson", "\n".join(lines))
    assert run("append", tmp_path / "lake", "t", file, "--create").code == 0
    assert rows(tmp_path / "lake")[-1] == {"x": 2, "late": 3}
    tl.connect(tmp_path / "lake").create_table("u", {"x": "int64"})
    assert "'late'" in run("append", tmp_path / "lake", "u", file).err


def test_columns_are_found_by_name_whatever_their_order_and_case(run: Run, tmp_path: Path, write: Write) -> None:
    tl.connect(tmp_path / "lake").create_table("t", {"a": "int64", "b": "string"})
    assert run("append", tmp_path / "lake", "t", write("x.csv", "B,A\nx,1\n")).code == 0
    assert rows(tmp_path / "lake") == [{"a": 1, "b": "x"}]


def test_rules_of_the_table_hold(run: Run, place: Path, write: Write) -> None:
    ran = run("append", place, "orders", write("x.csv", "id,price\n4,-1\n"))
    assert ran.code == 2
    assert "positive" in ran.err
    assert "not null" in run("append", place, "orders", write("y.csv", "price\n1\n")).err
    assert tl.connect(place).table("orders").version == 2


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("x.csv", "x,nope\n1,2\n", "no column 'nope'"),
        ("x.csv", "", "is empty"),
        ("x.csv", "x,y\n1,2\n1,2,3\n", "not every line has as many values"),
        ("x.csv", "x\n" + "1\n" * 20_000 + "x,y,z\n", "Original Line: x,y,z"),
        ("x.dat", "x\n", "cannot tell what"),
        ("x.json", '{"x": 1}\n{"x":', "Malformed JSON"),
        ("x.json", "[1, 2]", "no array of objects"),
        ("x.json", '[{"x": 1}, 5]', "no array of objects"),
        ("x.json", "[]", "no array of objects"),
        ("x.jsonl", '[{"x": 1}]\n[{"x": 2}]', "no array of objects"),
        ("x.parquet", "not parquet", "x.parquet: "),
    ],
)
def test_files_that_cannot_be_read_are_named(
    run: Run, tmp_path: Path, write: Write, name: str, text: str, said: str
) -> None:
    tl.connect(tmp_path / "lake").create_table("t", {"x": "int64"})
    ran = run("append", tmp_path / "lake", "t", write(name, text))
    assert ran.code == 2
    assert name in ran.err
    assert said in ran.err
    assert tl.connect(tmp_path / "lake").table("t").version == 0


def test_folders_and_files_that_are_not_there_are_named(run: Run, place: Path, tmp_path: Path) -> None:
    assert run("append", place, "orders", tmp_path / "nope.csv").code == 3
    assert "*.parquet" in run("append", place, "orders", tmp_path).err


def test_files_that_disagree_make_no_table(run: Run, tmp_path: Path, write: Write) -> None:
    files = write("1.csv", "x\n1\n"), write("2.csv", "x\na\n")
    ran = run("append", tmp_path / "lake", "t", *files, "--create")
    assert ran.code == 2
    assert "--type x=string" in ran.err


def test_files_that_disagree_make_a_table_of_a_type_that_fits_both(run: Run, tmp_path: Path, write: Write) -> None:
    files = write("1.csv", "x\n1\n"), write("2.csv", "x\na\n")
    assert run("append", tmp_path / "lake", "t", *files, "--create", "--type", "x=string").code == 0
    assert [row["x"] for row in rows(tmp_path / "lake")] == ["1", "a"]
