"""A log or a file that is not what it was: an error that names the object, never an answer and never a crash."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tablelog as tl
from tablelog.format.commits import CommitRecord, decode_commit, encode_commit
from tests.table.reading import readings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROWS = {"id": [1, 2, 3], "name": ["a", "b", None], "price": [1.0, 2.0, 3.0]}


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """The folder of a table with versions 0 to 4: create, append, alter, delete, append."""
    table = tl.connect(tmp_path).create_table(
        "t", {"id": "int64", "name": "string", "price": "double"}, partition_by="name"
    )
    table.append(ROWS)
    table.alter.add_column("note", "string", default="-")
    table.delete("id = 2")
    table.append({"id": [4], "note": ["x"]})
    return tmp_path / "t"


def commit_file(table: Path, version: int) -> Path:
    return table / "_log" / f"{version:020}.json"


def records(table: Path) -> list[CommitRecord]:
    paths = sorted((table / "_log").glob("0*.json"))
    return [decode_commit(path.read_bytes(), path.name) for path in paths]


def rewrite(table: Path, version: int, change: Callable[[dict[str, Any]], None]) -> None:
    """Change a commit as its writer could have written it: checksums and parents are right again, all the way up."""
    parent: str | None = None
    for record in records(table):
        members: dict[str, Any] = {
            "version": record.version, "id": record.id, "timestamp_us": record.timestamp_us, "operation": record.operation,
            "info": record.info, "actions": json.loads(json.dumps(list(record.actions))),
        }  # fmt: skip
        if record.version == version:
            change(members)
        data, parent = encode_commit(CommitRecord(**{"parent": parent, **members}))
        commit_file(table, record.version).write_bytes(data)


def act(table: Path, version: int, kind: str, change: tuple[str, Any]) -> None:
    """Change the body of the first action of a kind."""

    def change_action(members: dict[str, Any]) -> None:
        action = next(action for action in members["actions"] if kind in action)
        how, value = change
        action[kind] = {**action[kind], **value} if how == "members" else value

    rewrite(table, version, change_action)


def put(**members: Any) -> tuple[str, Any]:
    """Some members of an action are others."""
    return "members", members


def be(body: Any) -> tuple[str, Any]:
    """The whole action is another."""
    return "all", body


def assert_corrupt(table: Path, *, names: str = "", kind: type[tl.TablelogError] = tl.CorruptionError) -> str:
    """Opening the table says so."""
    with pytest.raises(kind) as caught:
        tl.open_table(table)
    assert names in str(caught.value)
    return str(caught.value)


class TestBytes:
    def test_any_flipped_byte_of_a_commit_is_noticed(self, table: Path) -> None:
        path = commit_file(table, 2)
        good = path.read_bytes()
        for position in range(len(good)):
            path.write_bytes(good[:position] + bytes([good[position] ^ 0x20]) + good[position + 1 :])
            with pytest.raises(tl.CorruptionError, match=path.name):
                decode_commit(path.read_bytes(), path.name)
        path.write_bytes(good[:100] + b"#" + good[101:])
        assert_corrupt(table, names=path.name)

    @pytest.mark.parametrize("length", [0, 1, 50, -1, -67, -90], ids=str)
    def test_a_truncated_commit_is_noticed(self, table: Path, length: int) -> None:
        path = commit_file(table, 1)
        path.write_bytes(path.read_bytes()[:length])
        assert_corrupt(table, names=path.name)

    def test_a_longer_commit_is_noticed(self, table: Path) -> None:
        path = commit_file(table, 4)
        path.write_bytes(path.read_bytes() + b"\n")
        assert_corrupt(table, names=path.name)

    @pytest.mark.parametrize("version", [0, 1, 2, 3])
    def test_a_missing_commit_is_noticed(self, table: Path, version: int) -> None:
        commit_file(table, version).unlink()
        assert_corrupt(table, names=f"{version:020}.json is missing")

    def test_swapped_commits_are_noticed(self, table: Path) -> None:
        one, two = commit_file(table, 1).read_bytes(), commit_file(table, 2).read_bytes()
        commit_file(table, 1).write_bytes(two)
        commit_file(table, 2).write_bytes(one)
        assert_corrupt(table, names=f"{1:020}.json")

    def test_a_commit_of_another_table_is_noticed(self, table: Path) -> None:
        other = tl.connect(table.parent).create_table("u", {"id": "int64"})
        other.append({"id": [1]})
        shutil.copy(commit_file(table.parent / "u", 1), commit_file(table, 1))
        assert_corrupt(table, names="parent")

    def test_a_history_cut_at_its_end_is_an_older_table_and_writers_go_on(self, table: Path) -> None:
        commit_file(table, 4).unlink()
        assert tl.open_table(table).version == 3

    def test_a_handle_that_is_open_notices_too(self, table: Path) -> None:
        handle = tl.open_table(table)
        other = tl.open_table(table)
        for number in range(2):
            other.append({"id": [number]})
        commit_file(table, 5).write_bytes(b"{}")
        with pytest.raises(tl.CorruptionError, match=f"{5:020}"):
            handle.row_count  # noqa: B018 - asking is the test
        with pytest.raises(tl.CorruptionError, match=f"{5:020}"):
            handle.append({"id": [1]})

    def test_names_that_are_not_commits_are_ignored(self, table: Path) -> None:
        for name in (
            "head.json",
            "00000000000000000005.json.tmp",
            "5.json",
            "x",
            "000000000000000000005.json",
            ".5.json",
        ):
            (table / "_log" / name).write_bytes(b"nonsense")
        (table / "_log" / "segments").mkdir(exist_ok=True)
        (table / "_log" / "segments" / f"{9:020}.json").write_bytes(b"nonsense")
        assert tl.open_table(table).version == 4

    def test_a_gap_is_noticed_by_whoever_reads_that_far(self, table: Path) -> None:
        tl.open_table(table).append({"id": [5]})
        tl.open_table(table).append({"id": [6]})
        commit_file(table, 5).unlink()
        assert_corrupt(table, names=f"{5:020}.json is missing")

    @pytest.mark.parametrize("version", [30, 10**9, 10**20 - 1])
    def test_a_commit_far_ahead_is_no_part_of_the_log_and_verify_says_so(self, table: Path, version: int) -> None:
        shutil.copy(commit_file(table, 4), commit_file(table, version))
        found = tl.open_table(table)
        assert found.version == 4
        assert any(f"{version:020}.json" in str(problem) for problem in found.verify().problems)

    def test_a_catalog_is_held_to_the_same_rules(self, table: Path) -> None:
        catalog = table.parent / "_catalog" / f"{1:020}.json"
        good = catalog.read_bytes()
        catalog.write_bytes(good.replace(b"create", b"cReate"))
        with pytest.raises(tl.CorruptionError, match=catalog.name):
            tl.connect(table.parent)
        catalog.unlink()
        assert tl.connect(table.parent).tables() == []


BAD_PATHS = [
    "../x", "..", "a/../b", "data/../../x", "/etc/passwd", "//etc/passwd", "s3://bucket/x", "file:///etc/passwd", "C:\\x", "C:/x",
    "data\\..\\x", "data/x\x00.parquet", "data//x", "./x", "data/./x", "", "data/", "x\ny", "data/*.parquet", "data/?.parquet",
    "\ud800", "a" * 2000, ".x.tmp", "data/.x.tmp", 5, None, ["data/x"],
]  # fmt: skip


class TestActions:
    @pytest.mark.parametrize("path", BAD_PATHS, ids=ascii)
    @pytest.mark.parametrize("kind", ["add", "remove"])
    def test_no_path_leads_out_of_the_table(self, table: Path, path: Any, kind: str) -> None:
        version = 1 if kind == "add" else 3

        def change(members: dict[str, Any]) -> None:
            next(action for action in members["actions"] if kind in action)[kind]["path"] = path

        try:
            rewrite(table, version, change)
        except tl.InvalidError:  # a lone surrogate cannot even be written
            return
        assert_corrupt(table)

    @pytest.mark.parametrize(
        ("version", "kind", "change"),
        [
            (1, "add", put(rows=-1)),
            (1, "add", put(rows=10**30)),
            (1, "add", put(size=2**63)),
            (1, "add", put(rows=1.5)),
            (1, "add", put(rows="3")),
            (1, "add", put(rows=True)),
            (1, "add", put(rows=None)),
            (1, "add", put(size=-5)),
            (1, "add", put(schema=99)),
            (1, "add", put(schema=None)),
            (1, "add", put(partitioning=99)),
            (1, "add", put(partition=["a", "b"])),
            (1, "add", put(partition=[5])),
            (1, "add", put(partition={})),
            (1, "add", put(partition=5)),
            (1, "add", put(crc32="abc")),
            (1, "add", put(crc32=-1)),
            (1, "add", put(statistics=[])),
            (1, "add", put(statistics={"99": {}})),
            (1, "add", put(statistics={"one": {}})),
            (1, "add", put(statistics={"1": []})),
            (1, "add", put(statistics={"1": {"min": "a"}})),
            (1, "add", put(statistics={"1": {"min": 1.5}})),
            (1, "add", put(statistics={"1": {"min": True}})),
            (1, "add", put(statistics={"1": {"min": 5, "max": 3}})),
            (1, "add", put(statistics={"2": {"min": 5}})),
            (1, "add", put(statistics={"3": {"min": "nan", "max": "nan"}})),
            (1, "add", put(statistics={"3": {"max": "big"}})),
            (1, "add", put(statistics={"3": {"max": 10**400}})),
            (1, "add", put(statistics={"1": {"nulls": -1}})),
            (1, "add", put(statistics={"1": {"nulls": "1"}})),
            (1, "add", put(statistics={"3": {"nans": 0.5}})),
            (1, "add", be(5)),
            (1, "add", be([])),
            (1, "add", be({})),
            (3, "remove", be({"path": "data/never.parquet"})),
            (3, "remove", be({})),
            (0, "table", put(id=5)),
            (0, "table", put(format_version="1")),
            (0, "table", put(format_version=-1)),
            (0, "partitioning", put(fields=[{"source": 99, "transform": "identity"}])),
            (0, "partitioning", put(fields=[{"source": 2, "transform": "year"}])),
            (0, "partitioning", put(fields=[{"source": 2, "transform": "nope"}])),
            (0, "partitioning", put(fields=[{"source": 2, "transform": "bucket"}])),
            (0, "partitioning", put(fields=[{"source": 2, "transform": "bucket", "parameter": 0}])),
            (0, "partitioning", put(fields=[{"source": 2, "transform": "bucket", "parameter": "x"}])),
            (0, "partitioning", put(fields=[{"source": 2, "transform": "identity", "parameter": 5}])),
            (0, "partitioning", put(fields=5)),
            (0, "schema", put(fields=[])),
            (0, "schema", put(fields=[{"id": 1, "name": "a", "type": "nope"}])),
            (0, "schema", put(fields=[{"id": 1, "name": 5, "type": "int64"}])),
            (0, "schema", put(fields=[{"id": 0, "name": "a", "type": "int64"}])),
            (0, "schema", put(fields=[{"id": 1, "name": "a", "type": "int64"}, {"id": 1, "name": "b", "type": "int64"}])),
            (0, "schema", put(fields=[{"id": 1, "name": "a", "type": "int64"}, {"id": 2, "name": "A", "type": "int64"}])),
            (0, "schema", put(fields=[{"id": 9, "name": "a", "type": "int64"}])),
            (0, "schema", put(fields=[{"id": 1, "name": "a", "type": {"list": 5}}])),
            (0, "schema", put(fields=[{"id": 1, "name": "a", "type": {"map": []}}])),
            (0, "schema", put(fields=[{"id": 1, "name": "a", "type": {"struct": []}}])),
            (0, "schema", put(fields=[{"id": 1, "name": "a", "type": {}}])),
            (0, "schema", put(fields=[{"id": 1, "name": "a", "type": "int8", "initial_default": 1000}])),
            (0, "schema", put(fields=[{"id": 1, "name": "a", "type": "int8", "initial_default": "x"}])),
            (0, "schema", put(fields=[{"id": 1, "name": "a", "type": "decimal(5, 2)", "initial_default": "1.234"}])),
            (0, "schema", put(fields=[{"id": 1, "name": "a", "type": "decimal(5, 2)", "initial_default": "NaN"}])),
            (0, "schema", put(fields=[{"id": 1, "name": "a", "type": "int8", "nullable": "no"}])),
            (0, "schema", put(fields=[{"id": 1, "name": "a", "type": "int8", "comment": 5}])),
            (0, "schema", put(last_field_id=0)),
            (0, "schema", put(id=-1)),
            (2, "schema", put(id=0)),
        ],
        ids=lambda value: ascii(value)[-80:],
    )  # fmt: skip
    def test_actions_that_make_no_sense_are_refused(
        self, table: Path, version: int, kind: str, change: tuple[str, Any]
    ) -> None:
        act(table, version, kind, change)
        assert_corrupt(table, names=f"version {version}")

    @pytest.mark.parametrize(
        "action",
        [
            {"property": {"name": "x", "value": 5}},
            {"property": {"name": None, "value": "x"}},
            {"check": {"name": "c", "expression": 5}},
            {"check": {"name": "c"}},
            {"key": {"fields": [99]}},
            {"key": {"fields": ["id"]}},
            {"key": {"fields": [1, 1]}},
            {"sort_order": {"fields": [{"field": 99}]}},
            {"sort_order": {"fields": [{"field": 1}, {"field": 1, "descending": True}]}},
            {"sort_order": {"fields": [{"field": 1, "descending": "yes"}]}},
            {"table": {"id": "again", "format_version": 1}},
            {"partitioning": {"id": 0, "fields": []}},
        ],
        ids=str,
    )
    def test_settings_that_make_no_sense_are_refused(self, table: Path, action: dict[str, Any]) -> None:
        rewrite(table, 2, lambda members: members["actions"].append(action))
        assert_corrupt(table, names="version 2")

    def test_one_file_is_not_added_twice_or_removed_twice(self, table: Path) -> None:
        good = {path: path.read_bytes() for path in (table / "_log").glob("0*.json")}
        for version, kind in ((1, "add"), (3, "remove")):
            rewrite(table, version, lambda members, kind=kind: members["actions"].append(
                next(action for action in members["actions"] if kind in action)))  # fmt: skip
            assert_corrupt(table, names=f"version {version}")
            for path, data in good.items():
                path.write_bytes(data)

    def test_a_table_begins_with_its_identity_and_schema(self, table: Path) -> None:
        rewrite(table, 0, lambda members: members["actions"].reverse())
        assert_corrupt(table, names="version 0")

    @pytest.mark.parametrize(
        "action", [{"add_deletion_vector": {}}, {"table": {"id": "x", "format_version": 2}}], ids=str
    )
    def test_what_a_newer_version_wrote_asks_for_an_upgrade(self, table: Path, action: dict[str, Any]) -> None:
        rewrite(table, 0, lambda members: members["actions"].__setitem__(0, action))
        assert "upgrade" in assert_corrupt(table, kind=tl.InvalidError)

    def test_a_newer_catalog_asks_for_an_upgrade(self, table: Path) -> None:
        folder = table.parent / "_catalog"
        for name, action in (("t", {"lake": {"id": "x", "format_version": 2}}), ("u", {"create_view": {}})):
            record = CommitRecord(version=0, id="x", parent=None, timestamp_us=1, operation="x", actions=(action,))
            shutil.rmtree(folder)
            folder.mkdir()
            (folder / f"{0:020}.json").write_bytes(encode_commit(record)[0])
            with pytest.raises(tl.InvalidError, match="upgrade"):
                tl.connect(table.parent).table(name)

    @pytest.mark.parametrize(
        "action",
        [
            {"create_table": {"id": "x", "name": ["", "x"], "path": "../x"}},
            {"create_table": {"id": "x", "name": ["x"], "path": "x"}},
            {"create_table": {"id": "x", "name": [5, "x"], "path": "x"}},
            {"create_table": {"id": ["x"], "name": ["", "x"], "path": "x"}},
            {"create_table": {"id": "x", "name": ["", ""], "path": "x"}},
            {"drop_table": {"id": "nope"}},
            {"rename_table": {"id": "nope", "name": ["", "x"]}},
            {"undrop_table": 5},
            {"create_namespace": {"name": 5}},
            {"create_namespace": {}},
        ],
        ids=str,
    )
    def test_a_catalog_s_actions_are_checked(self, table: Path, action: dict[str, Any]) -> None:
        catalog = tl.connect(table.parent)
        catalog.drop_table("t")
        folder = table.parent / "_catalog"
        newest = max(folder.glob("0*.json"))
        record = decode_commit(newest.read_bytes(), newest.name)
        bad = CommitRecord(version=record.version + 1, id="x", parent=record.checksum, timestamp_us=record.timestamp_us + 1,
                           operation="x", actions=(action,))  # fmt: skip
        (folder / f"{bad.version:020}.json").write_bytes(encode_commit(bad)[0])
        with pytest.raises(tl.CorruptionError, match=f"version {bad.version}"):
            tl.connect(table.parent)

    def test_deep_json_is_an_error_and_no_crash(self, table: Path) -> None:
        deep: Any = "int64"
        for _ in range(200):
            deep = {"list": {"id": 1, "name": "element", "type": deep}}
        act(table, 0, "schema", put(fields=[{"id": 1, "name": "a", "type": deep}]))
        assert_corrupt(table)
        path = commit_file(table, 0)
        content = path.read_bytes()[:-1].rpartition(b',"checksum"')[0]
        import hashlib  # noqa: PLC0415

        content = content.replace(b'"info":{', b'"info":{"x":' + b"[" * 200_000 + b"]" * 200_000 + b",", 1)
        path.write_bytes(content + b',"checksum":"%s"}\n' % hashlib.sha256(content).hexdigest().encode())
        assert_corrupt(table, names=path.name)

    def test_huge_numbers_are_no_crash(self, table: Path) -> None:
        rewrite(table, 4, lambda members: members.update(timestamp_us=10**30))
        handle = tl.open_table(table)
        assert handle.version == 4
        assert handle.history().height == 5
        assert repr(handle)


# --------------------------------------------------------------------------- files


def damage(path: Path, how: str) -> None:
    rows = pq.read_table(path)
    match how:
        case "missing":
            path.unlink()
        case "empty":
            path.write_bytes(b"")
        case "truncated":
            path.write_bytes(path.read_bytes()[:-20])
        case "no Parquet":
            path.write_bytes(b"x" * path.stat().st_size)
        case "a folder":
            path.unlink()
            path.mkdir()
        case "fewer rows":
            pq.write_table(rows.slice(0, rows.num_rows - 1), path)
        case "more rows":
            pq.write_table(pa.concat_tables([rows, rows]), path)
        case "a column less":
            pq.write_table(rows.drop_columns(["id"]), path)
        case "another type":
            pq.write_table(rows.set_column(0, "id", rows["id"].cast(pa.string())), path)


DAMAGES = [
    "missing", "empty", "truncated", "no Parquet", "a folder", "fewer rows", "more rows", "a column less", "another type"
]  # fmt: skip
CHECKED = {"missing", "empty", "truncated", "no Parquet", "a folder"}
"""What engines that read the file themselves cannot overlook."""


@pytest.mark.parametrize("how", DAMAGES)
class TestFiles:
    @pytest.fixture
    def damaged(self, tmp_path: Path, how: str) -> tuple[tl.Lake, tl.Table, Path]:
        lake = tl.connect(tmp_path)
        table = lake.create_table("t", {"id": list(range(10)), "s": ["x"] * 10})
        table.append({"id": [100], "s": ["y"]})
        path = tmp_path / "t" / table.snapshot().files[0].path
        damage(path, how)
        return tl.connect(tmp_path), tl.connect(tmp_path).table("t"), path

    def test_arrow_names_the_file(self, damaged: tuple[tl.Lake, tl.Table, Path], how: str) -> None:
        _, table, path = damaged
        with pytest.raises(tl.CorruptionError, match=path.name):
            table.to_arrow()
        with pytest.raises(tl.CorruptionError, match=path.name):
            table.to_pandas()
        assert table.scan(where="id = 100").to_arrow()["s"].to_pylist() == ["y"], "other files can still be read"

    def test_polars_gives_no_answer(self, damaged: tuple[tl.Lake, tl.Table, Path], how: str) -> None:
        _, table, path = damaged
        with pytest.raises(tl.CorruptionError, match=path.name):
            table.to_polars()

    def test_a_filtered_scan_gives_no_answer(self, damaged: tuple[tl.Lake, tl.Table, Path], how: str) -> None:
        _, table, path = damaged
        if how not in {"fewer rows", "more rows"}:  # engines that read files themselves do not count for the log
            with pytest.raises(tl.CorruptionError, match=path.name):
                table.scan(where="id >= 0 AND s = 'x'").to_arrow()

    def test_a_delete_names_the_file_and_changes_nothing(
        self, damaged: tuple[tl.Lake, tl.Table, Path], how: str
    ) -> None:
        _, table, path = damaged
        with pytest.raises(tl.CorruptionError, match=path.name):
            table.delete("id = 5")
        assert table.version == 1

    def test_sql_and_lazy_frames_fail_where_the_file_cannot_be_read(
        self, damaged: tuple[tl.Lake, tl.Table, Path], how: str
    ) -> None:
        lake, table, _ = damaged
        if how in CHECKED - {"a folder"}:
            with pytest.raises(Exception):  # noqa: B017 - the engine's own
                lake.sql("SELECT sum(id) FROM t").fetchall()
            with pytest.raises(Exception):  # noqa: B017 - the engine's own
                table.lazy().select(pl.col("id").sum()).collect()
        assert lake.sql("SELECT s FROM t WHERE id = 100").fetchall() == [("y",)]
        assert table.lazy().filter(pl.col("id") == 100).collect()["s"].to_list() == ["y"]


def test_an_old_version_without_its_files_says_which_and_new_ones_still_read(tmp_path: Path) -> None:
    table = tl.connect(tmp_path).create_table("t", {"id": [1]})
    old = tmp_path / "t" / table.snapshot().files[0].path
    table.overwrite({"id": [2]})
    old.unlink()
    with pytest.raises(tl.CorruptionError, match=old.name):
        table.at(version=0).to_arrow()
    assert all(rows == [{"id": 2}] for rows in readings(table.snapshot()).values())
