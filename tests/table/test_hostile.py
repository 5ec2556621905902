"""A log or a file that is not what it was: an error that names the object, never an answer and never a crash."""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyroaring import BitMap

import tablelog as tl
from tablelog.format.commits import CommitRecord, decode_commit, encode_commit
from tablelog.parquet.inlined import encode_rows
from tablelog.parquet.vectors import encode_puffin, encode_vector
from tests.table.reading import readings

if TYPE_CHECKING:
    from collections.abc import Callable

ROWS = {"id": [1, 2, 3], "name": ["a", "b", None], "price": [1.0, 2.0, 3.0]}


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """The folder of a table with versions 0 to 4: create, append, alter, delete, append."""
    table = tl.connect(tmp_path).create_table(
        "t",
        {"id": "int64", "name": "string", "price": "double"},
        partition_by="name",
        properties={"inline_max_bytes": 0},
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


# --------------------------------------------------------------------------- vectors, and rows inside the log


@pytest.fixture(scope="module")
def marked_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of ids 0 to 2 inside commit 1 and 3 to 7 in a file.

    Commit 4 deletes a row of the file; 5 updates one and deletes another; 6 to 9 are a number of an application, a
    fence and two tags.
    """
    folder = tmp_path_factory.mktemp("marked")
    table = tl.connect(folder).create_table("t", {"id": "int64", "s": "string"})
    table.append({"id": [0, 1, 2], "s": ["a"] * 3})
    table.alter.set_property("inline_max_bytes", 0)
    table.append({"id": [3, 4, 5, 6, 7], "s": ["b"] * 5})
    table.delete("id = 3")
    source = {"id": [4, 5]}
    table.merge(source, on="t.id = s.id").when_matched_delete(where="s.id = 4").when_matched_update(
        {"s": "'c'"}
    ).execute()
    table.append({"id": [8], "s": ["d"]}, idempotent=("load", 1))
    table.exclusive("nightly")
    table.tag("first", version=1)
    table.tag("second", version=2)
    return folder / "t"


@pytest.fixture
def marked(marked_once: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(marked_once, tmp_path / "t"))


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


def zstd(data: bytes) -> bytes:
    return pa.Codec("zstd").compress(data, asbytes=True)


def vector(*rows: int) -> str:
    return base64_of(encode_vector(BitMap(rows)))


STORED = {"rows": 1, "path": "deletes/a.puffin", "offset": 4, "size": 50}
"""Where a vector may be."""


def without(members: dict[str, Any], name: str) -> dict[str, Any]:
    return {each: value for each, value in members.items() if each != name}


BAD_VECTORS: list[Any] = [
    5, None, [], "AAAA", {}, {"rows": 1}, {"inline": vector(0)}, {"rows": 0, "inline": vector(0)}, {"rows": -1, "inline": vector(0)},
    {"rows": 1.0, "inline": vector(0)}, {"rows": "1", "inline": vector(0)}, {"rows": True, "inline": vector(0)},
    {"rows": None, "inline": vector(0)}, {"rows": 1, "inline": None}, {"rows": 1, "inline": 5}, {"rows": 1, "inline": "%%%%"},
    {"rows": 1, "inline": "AAA"}, {"rows": 1, "inline": "ÅÅÅÅ"}, {"rows": 1, "inline": vector(0) + "\n"},
    STORED | {"path": "../a.puffin"}, STORED | {"path": "/etc/passwd"}, STORED | {"path": 5}, STORED | {"path": ""},
    STORED | {"offset": -1}, STORED | {"offset": "4"}, STORED | {"offset": None}, STORED | {"size": -1}, STORED | {"size": 2**63},
    STORED | {"size": 1.5}, *(without(STORED, name) for name in STORED),
]  # fmt: skip


class TestNewMembers:
    @pytest.mark.parametrize(
        ("version", "kind", "change"),
        [
            *((4, "add", put(deletes=bad)) for bad in BAD_VECTORS),
            (4, "add", put(deletes={"rows": 6, "inline": vector(*range(6))})),
            *((5, "add", put(gone={"path": "data/a.parquet", kind: bad}))
              for kind in ("deleted", "updated") for bad in BAD_VECTORS),
            (5, "add", put(gone=5)),
            (5, "add", put(gone=None)),
            (5, "add", put(gone={})),
            (5, "add", put(gone={"path": "../a"})),
            (5, "add", put(gone={"path": 5})),
            *((5, "add", put(change=bad)) for bad in ("nope", "INSERT", "", 5, None, [], {})),
            (1, "add", put(inline=5)),
            (1, "add", put(inline=None)),
            (1, "add", put(inline=["AAAA"])),
            (1, "add", put(inline="%%%%")),
            (1, "add", put(inline="AAA")),
            (1, "add", put(inline="ÅÅÅÅ")),
            (1, "add", put(rows=-1)),
            (1, "add", put(rows="3")),
            (1, "add", put(schema=99)),
            (1, "add", put(path="data/a.parquet")),
            (1, "add", be({"rows": 3, "schema": 0})),
            *((6, "application", put(name=bad)) for bad in (5, None, [], {})),
            *((6, "application", put(number=bad)) for bad in (-1, 1.0, "1", None, True, 2**63)),
            (6, "application", be({})),
            (6, "application", be(5)),
            (6, "application", be({"name": "load"})),
            *((7, "fence", put(name=bad)) for bad in (5, None, [], {})),
            *((7, "fence", put(epoch=bad)) for bad in (-1, 1.0, "1", None, True, 2**63)),
            (7, "fence", be({})),
            (7, "fence", be("nightly")),
            *((8, "tag", put(name=bad)) for bad in (5, None, [], {})),
            *((8, "tag", put(version=bad)) for bad in (-1, 1.0, "1", True, [1], 2**63)),
            (8, "tag", be({})),
            (8, "tag", be({"name": "first"})),
            *((1, "feature", put(name=bad)) for bad in (5, None, [])),
            (1, "feature", be({})),
            (1, "feature", be("inlined_rows")),
        ],
        ids=lambda value: ascii(value)[-200:],
    )  # fmt: skip
    def test_what_makes_no_sense_is_refused(
        self, marked: Path, version: int, kind: str, change: tuple[str, Any]
    ) -> None:
        act(marked, version, kind, change)
        assert_corrupt(marked, names=f"version {version}")

    def test_a_commit_has_one_number_of_an_application(self, marked: Path) -> None:
        another = {"application": {"name": "other", "number": 1}}
        rewrite(marked, 6, lambda members: members["actions"].append(another))
        assert_corrupt(marked, names="version 6")

    @pytest.mark.parametrize("version", [1, 4])
    def test_an_unknown_feature_asks_for_an_upgrade(self, marked: Path, version: int) -> None:
        act(marked, version, "feature", put(name="time_machines"))
        said = assert_corrupt(marked, kind=tl.InvalidError)
        assert "'time_machines'" in said
        assert "upgrade" in said

    def test_a_file_gets_another_vector_only_if_it_is_there(self, marked: Path) -> None:
        def twice(members: dict[str, Any]) -> None:
            members["actions"] = [action for action in members["actions"] if "remove" not in action]

        rewrite(marked, 4, twice)
        assert_corrupt(marked, names="version 4")

    @pytest.mark.parametrize("rows", [vector(5), vector(0, 1), base64_of(b"nonsense")])
    @pytest.mark.parametrize("kind", ["deleted", "updated"])
    def test_changes_that_were_of_no_row_are_no_answer(self, marked: Path, kind: str, rows: str) -> None:
        def change(members: dict[str, Any]) -> None:
            add = next(action["add"] for action in members["actions"] if "add" in action)
            add["gone"][kind] = {"rows": 1, "inline": rows}

        rewrite(marked, 5, change)
        table = tl.open_table(marked)
        (path,) = {file.path for file in table.at(version=4).files if file.deleted}
        with pytest.raises(tl.CorruptionError, match=path):
            table.changes(since=4).to_arrow()
        assert table.changes(since=5).to_arrow().num_rows == 1

    def test_a_tag_of_a_version_that_never_was_is_not_found(self, marked: Path) -> None:
        act(marked, 8, "tag", put(version=10**6))
        with pytest.raises(tl.NotFoundError):
            tl.open_table(marked).at(tag="first")
        assert tl.open_table(marked).at(tag="second").row_count == 3


def assert_unreadable(table: Path, name: str) -> None:
    """Whatever looks at the rows says that an object is not what the log says; nothing is changed."""
    version = tl.open_table(table).version
    lake, handle = tl.connect(table.parent), tl.connect(table.parent).table("t")
    looks: dict[str, Callable[[], object]] = {
        "arrow": handle.to_arrow,
        "polars": handle.to_polars,
        "filtered": lambda: handle.scan(where="id >= 0 AND s <> 'z'").to_arrow(),
        "sql": lambda: lake.sql("SELECT sum(id) FROM t").fetchall(),
        **{name: lambda change=change: change(handle) for name, change in CHANGES.items()},
    }
    for way, look in looks.items():
        with pytest.raises(tl.CorruptionError) as caught:
            look()
        assert name in str(caught.value), way
    assert tl.open_table(table).version == version
    found = handle.verify()
    assert not found.ok
    assert any(name in str(problem) for problem in found.problems)


class TestVectors:
    @pytest.mark.parametrize(
        "deletes",
        [
            {"rows": 1, "inline": base64_of(b"")},
            {"rows": 1, "inline": base64_of(b"nonsense")},
            {"rows": 1, "inline": base64_of(encode_vector(BitMap([0]))[:-1])},
            {"rows": 1, "inline": base64_of(encode_vector(BitMap([0])) + b"\x00")},
            {"rows": 1, "inline": vector()},
            {"rows": 1, "inline": vector(0, 1)},
            {"rows": 3, "inline": vector(0, 1)},
            {"rows": 1, "inline": vector(5)},
            {"rows": 2, "inline": vector(0, 2**32 - 1)},
        ],
        ids=ascii,
    )
    def test_a_vector_of_other_rows_than_the_log_says_is_no_answer(
        self, tmp_path: Path, deletes: dict[str, Any]
    ) -> None:
        table = tl.connect(tmp_path).create_table("t", {"id": [3, 4, 5, 6, 7], "s": ["b"] * 5})
        table.delete("id = 3")
        (file,) = table.snapshot().files
        act(tmp_path / "t", 1, "add", put(deletes=deletes))
        assert_unreadable(tmp_path / "t", file.path)

    @pytest.mark.parametrize("deletes", [{"rows": 1, "inline": vector(3)}, {"rows": 2, "inline": vector(0)}], ids=str)
    def test_so_is_one_of_rows_inside_the_log(self, tmp_path: Path, deletes: dict[str, Any]) -> None:
        table = tl.connect(tmp_path).create_table("t", {"id": "int64", "s": "string"})
        table.append({"id": [4, 5, 6], "s": ["b"] * 3})
        table.delete("id = 4")
        act(tmp_path / "t", 2, "add", put(deletes=deletes))
        assert_unreadable(tmp_path / "t", f"{1:020}.json#0")

    @pytest.mark.parametrize("how", ["missing", "empty", "cut off", "flipped", "a folder", "another one's", "beyond"])
    def test_a_puffin_file_that_is_not_what_it_was_is_named(self, tmp_path: Path, how: str) -> None:
        table = tl.connect(tmp_path).create_table("t", {"id": list(range(10_000)), "s": ["b"] * 10_000})
        table.delete("id % 5 = 1 AND hash(id) % 2 = 0")
        (file,) = table.snapshot().files
        assert file.deleted is not None
        path = tmp_path / "t" / str(file.deleted.path)
        data = path.read_bytes()
        match how:
            case "missing":
                path.unlink()
            case "empty":
                path.write_bytes(b"")
            case "cut off":
                path.write_bytes(data[: file.deleted.size_bytes // 2])
            case "flipped":
                middle = file.deleted.offset + file.deleted.size_bytes // 2
                path.write_bytes(data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])
            case "a folder":
                path.unlink()
                path.mkdir()
            case "another one's":
                path.write_bytes(encode_puffin([("data/x.parquet", BitMap(range(0, 10_000, 7)))])[0])
            case "beyond":
                deletes = {"rows": file.deleted.row_count, "path": file.deleted.path, "offset": 10**9, "size": 100}
                act(tmp_path / "t", 1, "add", put(deletes=deletes))
        assert_unreadable(tmp_path / "t", path.name)


class TestInlinedRows:
    @pytest.mark.parametrize(
        "members",
        [
            {"inline": ""},
            {"inline": base64_of(b"nonsense")},
            {"inline": base64_of(zstd(b"nonsense"))},
            {"inline": base64_of(encode_rows(pa.record_batch({"id": [1, 2, 5], "s": ["a"] * 3}))[:-5])},
            {"inline": base64_of(encode_rows(pa.record_batch({"id": [1, 2, 5]})))},
            {"inline": base64_of(encode_rows(pa.record_batch({"id": [1, 2], "s": ["a"] * 2})))},
            {"rows": 4},
            {"rows": 2},
        ],
        ids=ascii,
    )
    def test_rows_that_are_none_are_no_answer(self, tmp_path: Path, members: dict[str, Any]) -> None:
        table = tl.connect(tmp_path).create_table("t", {"id": "int64", "s": "string"})
        table.append({"id": [1, 2, 5], "s": ["a"] * 3})
        act(tmp_path / "t", 1, "add", put(**members))
        assert_unreadable(tmp_path / "t", f"{1:020}.json")

    @pytest.mark.parametrize(
        "path",
        [f"_log/{1:020}.json#7", f"_log/{2:020}.json#0", f"_log/{99:020}.json#0", f"_log/{1:020}.json", "_log/head.json",
         "_log/x.parquet", f"_log/{1:020}.json#00", f"_log/{1:020}.json#-1"],
    )  # fmt: skip
    def test_a_path_into_the_log_that_names_nothing_is_named(self, tmp_path: Path, path: str) -> None:
        table = tl.connect(tmp_path).create_table("t", {"id": "int64", "s": "string"})
        table.append({"id": [1], "s": ["a"]})
        table.alter.set_property("inline_max_bytes", 0)
        table.append({"id": [4, 5, 6], "s": ["b"] * 3})
        act(tmp_path / "t", 3, "add", put(path=path))
        assert_unreadable(tmp_path / "t", path.partition("#")[0].removeprefix("_log/"))

    @pytest.mark.parametrize("members", [{"crc32": 5}, {"size": 5}, {"crc32": None}], ids=str)
    def test_rows_of_another_file_are_not_taken_for_its_own(self, tmp_path: Path, members: dict[str, Any]) -> None:
        """A file that stands in for the rows of an older commit, as it does when somebody deletes some of them."""
        table = tl.connect(tmp_path).create_table("t", {"id": "int64", "s": "string"})
        table.append({"id": [4, 5, 6], "s": ["b"] * 3})
        table.delete("id = 4")
        act(tmp_path / "t", 2, "add", put(**members))
        assert_unreadable(tmp_path / "t", f"{1:020}.json")


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


CHANGES: dict[str, Callable[[tl.Table], object]] = {
    "delete": lambda table: table.delete("id = 5"),
    "update": lambda table: table.update({"s": "'z'"}, "id = 5"),
    "upsert": lambda table: table.upsert({"id": [5], "s": ["z"]}, on="id"),
    "overwrite": lambda table: table.overwrite({"id": [5], "s": ["z"]}, where="id = 5"),
    "merge": lambda table: table.merge({"id": [5], "s": ["z"]}, on="t.id = s.id").when_matched_update().execute(),
}
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
        properties = {"inline_max_bytes": 0}
        table = lake.create_table("t", {"id": list(range(10)), "s": ["x"] * 10}, properties=properties)
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

    def test_a_change_of_rows_names_the_file_and_changes_nothing(
        self, damaged: tuple[tl.Lake, tl.Table, Path], how: str
    ) -> None:
        _, table, path = damaged
        for change in CHANGES.values():
            with pytest.raises(tl.CorruptionError, match=path.name):
                change(table)
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
