"""Objects beside the log whose checksums are right and whose content is not: errors that name them, never a crash."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

import tablelog as tl
from tablelog.format import names
from tablelog.format.actions import AddFile, FileActions
from tablelog.log import segments
from tablelog.log.actions_object import put_actions, removal_table
from tablelog.log.file_rows import FILE_SCHEMA
from tablelog.ops.planned import Planned
from tablelog.parquet.sealed import encode_sealed
from tablelog.store.memory import MemoryStore
from tablelog.table import Table

if TYPE_CHECKING:
    from pathlib import Path

    from tablelog.format.actions import Action


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    table = tl.connect(tmp_path).create_table("t", {"id": "int64"})
    for number in range(20):
        table.append({"id": [number]})
    return tmp_path / "t"


def forged(folder: Path, column: str | None, type_: pa.DataType) -> Path:
    """The segment of versions 0 to 15, with a column of another type or none."""
    path = folder / "_log" / names.segment(0, 15)
    opened = segments.open_sealed(tl.open_table(folder)._store, f"_log/{names.segment(0, 15)}")
    table = opened.read(0, opened.columns)
    if column is not None:
        place = table.column_names.index(column)
        table = table.remove_column(place)
        if type_ != pa.null():
            value = "x" if type_ == pa.string() else None
            table = table.append_column(column, pa.array([value] * table.num_rows, type_))
    own = {name: text for name, text in opened.properties.items() if name == "tablelog.segment"}
    path.write_bytes(encode_sealed([table], table.schema, own)[0])
    return path


@pytest.mark.parametrize("column", ["added", "removed", "path", "rows", "schema", "checksum", "info", "action", "kind"])
@pytest.mark.parametrize("type_", [pa.null(), pa.binary()], ids=["missing", "of another type"])
def test_a_segment_without_a_column_is_an_error_that_names_both(folder: Path, column: str, type_: pa.DataType) -> None:
    path = forged(folder, column, type_)
    with pytest.raises(tl.CorruptionError, match=f"{path.name}.*{column}"):
        tl.open_table(folder)


def test_a_segment_written_again_as_it_was_is_no_error(folder: Path) -> None:
    forged(folder, None, pa.null())
    assert tl.open_table(folder).row_count == 20


def test_statistics_of_another_type_than_their_name_says_are_an_error(folder: Path) -> None:
    path = forged(folder, "1:int64:min", pa.string())
    with pytest.raises(tl.CorruptionError, match=path.name):
        tl.open_table(folder).scan(where="id = 3").files  # noqa: B018 - asking is the test


def commit(table: Table, *actions: Action) -> None:
    table._commit(lambda _: Planned(operation="append", actions=actions))


def test_file_actions_stand_in_one_place_or_the_commit_is_refused() -> None:
    store = MemoryStore()
    tl.register_store("onlyone", lambda url, options: store)
    tl.connect("onlyone://x").create_table("t", {"id": "int64"})
    table = tl.connect("onlyone://x").table("t")
    outside = put_actions(table._store, FILE_SCHEMA.empty_table(), removal_table([]))
    assert isinstance(outside, FileActions)
    file = AddFile(path="data/x.parquet", size_bytes=1, row_count=1, schema_id=0)
    for actions in ((outside, outside), (outside, file)):
        with pytest.raises(tl.CorruptionError, match="more than one place"):
            commit(table, *actions)
        store.delete(f"t/_log/{names.commit(1)}")
        table = Table(table._store, "t")
