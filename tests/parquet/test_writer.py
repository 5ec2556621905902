"""All rows arrive, once, in order, in files of the right size and place; memory is bounded and failures surface."""

from __future__ import annotations

import io
import random
import threading
import time
import zlib
from collections import defaultdict
from itertools import accumulate, chain, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tablelog.errors import StoreError
from tablelog.format.actions import AddFile, SortField
from tablelog.format.partitioning import UNPARTITIONED, Partitioning, parse_partitioning
from tablelog.format.schema import Schema, new_schema
from tablelog.parquet import encoder, writer
from tablelog.parquet.arrow import FIELD_ID, arrow_schema
from tablelog.parquet.columns import fields_from_user_schema
from tablelog.parquet.encoding import choose_encoding
from tablelog.parquet.ordering import ordering
from tablelog.parquet.strands import Strands, thread_count
from tablelog.parquet.writer import write_files
from tablelog.store import LocalStore, MemoryStore
from tablelog.store.local import LocalUpload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

MIB = 1024 * 1024
SCHEMA = new_schema(fields_from_user_schema({"n": "int64", "k": "int32", "s": "string", "x": "double"}))


def rows(start: int, count: int, *, seed: int = 0) -> pa.RecordBatch:
    """Rows whose `n` counts up from `start`; `s` and `x` do not compress."""
    dice = random.Random(start * 31 + seed)
    text = [f"{dice.getrandbits(64):016x}" for _ in range(count)]
    numbers = [dice.random() for _ in range(count)]
    columns: dict[str, Any] = {
        "n": range(start, start + count),
        "k": [each % 7 for each in range(start, start + count)],
    }
    return pa.record_batch(
        [pa.array(columns["n"], pa.int64()), pa.array(columns["k"], pa.int32()), pa.array(text), pa.array(numbers)],
        schema=arrow_schema(SCHEMA),
    )


MANY = rows(0, 30_000)


class Folder:
    """Keeps what is put, in memory."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.threads: set[str] = set()

    def put(self, path: str, data: memoryview) -> None:
        assert path not in self.objects
        self.objects[path] = bytes(data)
        self.threads.add(threading.current_thread().name)

    def read(self, file: AddFile) -> pa.Table:
        return pq.read_table(io.BytesIO(self.objects[file.path]))

    def read_all(self, files: Iterable[AddFile]) -> pa.Table:
        return pa.concat_tables([self.read(file) for file in files])


class Putting(MemoryStore):
    """A store of which only `put` is used, and that is somebody else's."""

    def __init__(self, put: Callable[[str, memoryview], None]) -> None:
        super().__init__()
        self.put = put  # type: ignore[method-assign,assignment]


def write(
    batches: Iterable[pa.RecordBatch],
    folder: Folder | LocalStore,
    *,
    schema: Schema = SCHEMA,
    partitioning: Partitioning = UNPARTITIONED,
    sort: tuple[SortField, ...] = (),
    target: int = 64 * MIB,
    put: Callable[[str, memoryview], None] | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> tuple[AddFile, ...]:
    return write_files(
        batches,
        schema=schema,
        partitioning=partitioning,
        ordering=ordering(sort, schema),
        target_size_bytes=target,
        store=folder if isinstance(folder, LocalStore) else Putting(put or folder.put),
        on_progress=on_progress,
    )


@pytest.fixture
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of about 32 KiB, of which few may be waiting, so that little data goes the way of much."""
    monkeypatch.setattr(writer, "GROUP_BYTES", 32 * 1024)
    monkeypatch.setattr(encoder, "GROUP_ROWS_MIN", 100)
    monkeypatch.setattr(writer, "WAITING_BYTES_PER_THREAD", 256 * 1024 // max(thread_count(), 2))


def test_what_is_written_says_truly_what_it_is() -> None:
    folder = Folder()
    (file,) = write([rows(0, 100)], folder)
    data = folder.objects[file.path]
    assert (file.size_bytes, file.row_count, file.crc32) == (len(data), 100, zlib.crc32(data))
    assert (file.schema_id, file.partitioning_id, file.partition_values) == (SCHEMA.id, 0, ())
    assert file.path.startswith("data/")
    assert file.path.endswith(".parquet")
    assert file.statistics[1].max == 99
    assert folder.read(file).equals(pa.Table.from_batches([rows(0, 100)]))


def test_no_rows_make_no_file() -> None:
    for batches in ([], [rows(0, 0)], [rows(0, 0)] * 3):
        assert write(batches, Folder()) == ()


def test_a_small_write_needs_no_thread() -> None:
    folder, progress = Folder(), list[int]()
    write([rows(0, 100), rows(100, 100)], folder, on_progress=progress.append)
    assert folder.threads == {threading.current_thread().name}
    assert progress == [200]


def test_files_come_in_the_order_of_the_rows_and_are_of_the_size_that_was_asked_for() -> None:
    folder = Folder()
    batches = [rows(start, 50_000) for start in range(0, 1_000_000, 50_000)]
    files = write(batches, folder, target=3 * MIB)
    assert folder.read_all(files).equals(pa.Table.from_batches(batches))
    assert len(files) >= 5
    assert all(0.7 * 3 * MIB < file.size_bytes < 1.3 * 3 * MIB for file in files[:-2])
    assert all(0.2 * 3 * MIB < file.size_bytes < 1.3 * 3 * MIB for file in files[-2:])
    assert set(folder.objects) == {file.path for file in files}


def test_a_target_smaller_than_a_row_makes_files_all_the_same() -> None:
    folder = Folder()
    files = write([rows(0, 5)], folder, target=1)
    assert folder.read_all(files)["n"].to_pylist() == list(range(5))


@given(
    sizes=st.lists(st.integers(0, 3000), max_size=10),
    target=st.sampled_from([20_000, 60_000, 300_000, 10_000_000]),
    partitions=st.sampled_from([(), ("k",), ("k", "truncate(5000, n)"), ("bucket(100, n)",)]),
    is_sorted=st.booleans(),
)
@settings(max_examples=60, deadline=None)
@pytest.mark.usefixtures("small_groups")
def test_every_row_arrives_once_in_its_partition_and_in_order(
    sizes: list[int], target: int, partitions: tuple[str, ...], is_sorted: bool
) -> None:
    start = sum(sizes)
    ends = list(accumulate(sizes, initial=0))
    batches = [MANY.slice(first, end - first) for first, end in pairwise(ends)]
    folder, partitioning = Folder(), parse_partitioning(partitions, SCHEMA, 3 if partitions else 0)
    files = write(
        batches, folder, target=target, partitioning=partitioning, sort=(SortField(field_id=3),) if is_sorted else ()
    )
    numbers: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for file in files:
        table = folder.read(file)
        assert table.num_rows == file.row_count > 0
        assert file.partitioning_id == partitioning.id
        if is_sorted:
            assert table["s"].to_pylist() == sorted(table["s"].to_pylist())
        numbers[file.partition_values].extend(table["n"].to_pylist())
        if partitions and partitions[0] == "k":
            assert set(table["k"].to_pylist()) == {file.partition_values[0]}
    assert sorted(chain.from_iterable(numbers.values())) == list(range(start))
    if not is_sorted:
        assert all(each == sorted(each) for each in numbers.values())
    assert threading.active_count() < 20


def test_sorted_files_have_nulls_last_and_equal_rows_as_they_came() -> None:
    schema = new_schema(fields_from_user_schema({"a": "int64", "b": "string", "n": "int64"}))
    dice = random.Random(1)
    table = pa.table(
        {
            "a": [dice.choice([None, 1, 2, 3]) for _ in range(5000)],
            "b": [dice.choice([None, "x", "y"]) for _ in range(5000)],
            "n": range(5000),
        },
        schema=arrow_schema(schema),
    )
    folder = Folder()
    order = (SortField(field_id=1, descending=True), SortField(field_id=2))
    (file,) = write(table.to_batches(max_chunksize=700), folder, schema=schema, sort=order)
    expected = sorted(
        table.to_pylist(),
        key=lambda row: (row["a"] is None, -(row["a"] or 0), row["b"] is None, row["b"] or "", row["n"]),
    )
    assert folder.read(file).to_pylist() == expected


def finishing_of(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set as soon as all rows of a write are queued and its last files are what they will be."""
    finishing, finish = threading.Event(), Strands.finish

    def finish_and_say(strands: Strands) -> tuple[AddFile, ...]:
        finishing.set()
        return finish(strands)

    monkeypatch.setattr(Strands, "finish", finish_and_say)
    return finishing


def test_the_last_two_files_share_what_is_left_while_nobody_has_begun_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "GROUP_BYTES", MIB // 2)
    monkeypatch.setattr(encoder, "GROUP_ROWS_MIN", 100)
    monkeypatch.setattr("tablelog.parquet.strands.THREADS_MAX", 1)
    folder, finishing = Folder(), finishing_of(monkeypatch)

    def slow_put(path: str, data: memoryview) -> None:
        assert finishing.wait(30)  # the only thread is stuck with the first file until all rows are queued
        folder.put(path, data)

    batches = (rows(start, 25_000) for start in range(0, 450_000, 25_000))
    files = write(batches, folder, target=2 * MIB, put=slow_put)
    assert folder.read_all(files)["n"].to_pylist() == list(range(450_000))
    assert len(files) >= 3
    assert 0.6 < files[-1].size_bytes / files[-2].size_bytes < 1.7


@pytest.mark.parametrize(("threads", "file_count"), [(2, 4), (3, 3)])
def test_the_last_file_is_halved_if_a_thread_would_be_idle_otherwise(
    monkeypatch: pytest.MonkeyPatch, threads: int, file_count: int
) -> None:
    monkeypatch.setattr(writer, "GROUP_BYTES", MIB // 2)
    monkeypatch.setattr(encoder, "GROUP_ROWS_MIN", 100)
    monkeypatch.setattr("tablelog.parquet.strands.thread_count", lambda: threads)
    folder, finishing, begun = Folder(), finishing_of(monkeypatch), threading.Semaphore(0)

    def begin(*arguments: Any, **options: Any) -> encoder.FileEncoder:
        begun.release()
        return encoder.FileEncoder(*arguments, **options)

    monkeypatch.setattr(writer, "FileEncoder", begin)

    def batches() -> Iterator[pa.RecordBatch]:
        for start in range(0, 380_000, 10_000):
            yield rows(start, 10_000)
        assert all(begun.acquire(timeout=30) for _ in range(threads))

    def slow_put(path: str, data: memoryview) -> None:
        assert finishing.wait(30)
        folder.put(path, data)

    files = write(batches(), folder, target=2 * MIB, put=slow_put)
    assert folder.read_all(files)["n"].to_pylist() == list(range(380_000))
    assert len(files) == file_count


@pytest.mark.usefixtures("small_groups")
@pytest.mark.parametrize("partitions", [(), ("bucket(20, n)",)])
def test_the_feeder_waits_when_too_much_is_waiting(partitions: tuple[str, ...]) -> None:
    folder, most, fed, encoded = Folder(), 0, 0, 0
    row_bytes = rows(0, 1000).nbytes / 1000

    def batches() -> Iterator[pa.RecordBatch]:
        nonlocal fed, most
        for start in range(0, 100_000, 1000):
            yield rows(start, 1000)
            fed += 1000
            most = max(most, fed - encoded)

    def progress(count: int) -> None:
        nonlocal encoded
        assert count > 0
        encoded += count

    def slow_put(path: str, data: memoryview) -> None:
        time.sleep(0.001)
        folder.put(path, data)

    partitioning = parse_partitioning(partitions, SCHEMA)
    files = write(batches(), folder, put=slow_put, partitioning=partitioning, target=100_000, on_progress=progress)
    assert encoded == fed == sum(file.row_count for file in files) == 100_000
    assert most * row_bytes < 256 * 1024 * 1.5


def test_many_small_batches_cost_little_more_than_their_rows() -> None:
    folder = Folder()
    before, most = pa.total_allocated_bytes(), 0

    def batches() -> Iterator[pa.RecordBatch]:
        nonlocal most
        whole = rows(0, 100_000)
        for start in range(0, 100_000, 5):
            yield pa.RecordBatch.from_arrays(
                [pa.concat_arrays([c, c]) for c in whole.slice(start, 5).columns], schema=whole.schema
            )
            most = max(most, pa.total_allocated_bytes() - before)

    (file,) = write(batches(), folder)
    assert file.row_count == 200_000
    assert most < 40 * MIB


@pytest.mark.usefixtures("small_groups")
def test_files_that_are_open_too_long_are_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "OPEN_BYTES_MAX", 1 * MIB)
    folder = Folder()
    batches = (rows(start, 10_000) for start in range(0, 200_000, 10_000))
    files = write(batches, folder, partitioning=parse_partitioning(["k"], SCHEMA))
    assert len(files) > 7
    assert sum(file.row_count for file in files) == 200_000
    assert max(file.size_bytes for file in files) < 2 * MIB


@pytest.mark.usefixtures("small_groups")
@pytest.mark.parametrize("partitions", [(), ("k",)])
def test_a_failed_put_is_raised_stops_the_feeder_and_leaves_what_was_put(partitions: tuple[str, ...]) -> None:
    folder, fed = Folder(), 0

    def failing_put(path: str, data: memoryview) -> None:
        if len(folder.objects) >= 3:
            raise OSError("the disk is full")
        folder.put(path, data)

    def batches() -> Iterator[pa.RecordBatch]:
        nonlocal fed
        for start in range(0, 10_000_000, 1000):
            yield rows(start, 1000)
            fed += 1000

    with pytest.raises(OSError, match="the disk is full"):
        write(batches(), folder, put=failing_put, target=50_000, partitioning=parse_partitioning(partitions, SCHEMA))
    assert len(folder.objects) == 3
    assert fed < 1_000_000
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("tablelog-write")]


def test_a_failed_put_of_a_small_write_is_raised_too() -> None:
    def failing_put(path: str, data: memoryview) -> None:
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        write([rows(0, 10)], Folder(), put=failing_put)


@pytest.mark.usefixtures("small_groups")
@pytest.mark.parametrize("error", [KeyError("mine"), KeyboardInterrupt()])
def test_an_error_of_the_source_is_raised_and_no_thread_stays(error: BaseException) -> None:
    def batches() -> Iterator[pa.RecordBatch]:
        for start in range(0, 50_000, 1000):
            yield rows(start, 1000)
        raise error

    with pytest.raises(type(error)):
        write(batches(), Folder(), target=50_000)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("tablelog-write")]


@pytest.mark.usefixtures("small_groups")
def test_an_error_in_progress_is_raised() -> None:
    def progress(count: int) -> None:
        raise ValueError(count)

    with pytest.raises(ValueError):
        write((rows(start, 1000) for start in range(0, 50_000, 1000)), Folder(), on_progress=progress)


_EVERY_TYPE = """
    b boolean, i8 int8, i16 int16, i32 int32, i64 int64, u8 uint8, u16 uint16, u32 uint32, u64 uint64, f32 float32,
    f64 float64, s string, y binary, d date, t time[us], ts timestamp[us], tz timestamp[us,UTC], ns timestamp[ns],
    d9 decimal(9;2), d18 decimal(18;2), d38 decimal(38;2), l list<int64>, m map<string;int64>,
    st struct<a:int64;b:struct<c:list<string>>>, dotted.name int64, å"quoted" string
"""
EVERYTHING = new_schema(
    fields_from_user_schema(
        {
            name: type_.replace(";", ", ")
            for name, type_ in (column.split() for column in _EVERY_TYPE.replace("us,UTC", "us;UTC").split(","))
        }
    )
)


def everything(count: int) -> pa.RecordBatch:
    dice = random.Random(7)

    def column(field: pa.Field[Any]) -> pa.Array[Any]:
        return pa.array([None if dice.random() < 0.1 else value(field.type) for _ in range(count)], field.type)

    def value(type_: Any) -> Any:
        if pa.types.is_list(type_):
            return [value(type_.value_type) for _ in range(dice.randrange(3))]
        if pa.types.is_map(type_):
            return [(f"k{each}", each) for each in range(dice.randrange(3))]
        if pa.types.is_struct(type_):
            return {field.name: value(field.type) for field in type_}
        if pa.types.is_boolean(type_):
            return dice.random() < 0.5
        if pa.types.is_string(type_):
            return dice.choice(["", "x", "zwölf", "😀"])
        if pa.types.is_binary(type_):
            return dice.randbytes(3)
        return dice.randrange(100)

    return pa.record_batch([column(field) for field in arrow_schema(EVERYTHING)], schema=arrow_schema(EVERYTHING))


@pytest.mark.parametrize("count", [10, 20_000])
def test_duckdb_polars_and_arrow_read_the_same_rows_back(tmp_path: Path, count: int) -> None:
    folder, batch = Folder(), everything(count)
    (file,) = write([batch], folder, schema=EVERYTHING)
    path = tmp_path / "x.parquet"
    path.write_bytes(folder.objects[file.path])
    given = pa.Table.from_batches([batch])
    assert pq.read_table(path).equals(given)
    assert pl.read_parquet(path).equals(pl.from_arrow(given), null_equal=True)  # type: ignore[arg-type]
    for query in (f"FROM '{path}' EXCEPT ALL FROM given", f"FROM given EXCEPT ALL FROM '{path}'"):
        assert duckdb.sql(query).fetchall() == []
    assert file.statistics.keys() == {field.id for field in EVERYTHING.fields if field.name not in {"l", "m", "st"}} | {
        EVERYTHING.field("st").id + 1
    }


def test_field_ids_are_in_the_file_at_every_level() -> None:
    folder = Folder()
    (file,) = write([everything(3)], folder, schema=EVERYTHING)
    footer = pq.ParquetFile(io.BytesIO(folder.objects[file.path]))
    assert [int(field.metadata[FIELD_ID]) for field in footer.schema_arrow] == [field.id for field in EVERYTHING]
    inner: Any = footer.schema_arrow.field("st").type.field("b").type.field("c").type.value_field
    assert int(inner.metadata[FIELD_ID]) == EVERYTHING.field("dotted.name").id - 1
    assert b"ARROW:schema" not in (footer.metadata.metadata or {})


def test_columns_are_encoded_by_what_is_in_them() -> None:
    schema = new_schema(
        fields_from_user_schema(
            {
                "id": "int64",
                "few": "string",
                "random": "double",
                "many": "string",
                "price": "double",
                "deep": "struct<few: int64, ids: list<int64>>",
            }
        )
    )
    dice = random.Random(3)
    table = pa.table(
        {
            "id": range(50_000),
            "few": [dice.choice(["north", "south"]) for _ in range(50_000)],
            "random": [dice.gauss() for _ in range(50_000)],
            "many": [f"user_{dice.randrange(10**9)}" for _ in range(50_000)],
            "price": [dice.randrange(1000) / 100 for _ in range(50_000)],
            "deep": [{"few": each % 10, "ids": [each]} for each in range(50_000)],
        },
        schema=arrow_schema(schema),
    )
    folder = Folder()
    (file,) = write(table.to_batches(), folder, schema=schema)
    group = pq.ParquetFile(io.BytesIO(folder.objects[file.path])).metadata.row_group(0)
    columns = {column.path_in_schema: column for column in map(group.column, range(group.num_columns))}
    dictionaries = {path for path, column in columns.items() if column.has_dictionary_page}
    deltas = {path for path, column in columns.items() if "DELTA_BINARY_PACKED" in column.encodings}
    assert dictionaries == {"few", "price", "deep.few"}
    assert deltas == {"id", "deep.ids.list.element"}
    assert columns["random"].compression == "UNCOMPRESSED"
    assert columns["many"].compression == "ZSTD"
    assert folder.read(file).equals(table)


def test_two_columns_with_the_same_dotted_path_do_not_mix_up() -> None:
    schema = new_schema(fields_from_user_schema({"a.b": "int64", "a": "struct<b: string>"}))
    table = pa.table(
        {"a.b": range(20_000), "a": [{"b": f"text {each}"} for each in range(20_000)]}, schema=arrow_schema(schema)
    )
    folder = Folder()
    (file,) = write(table.to_batches(), folder, schema=schema)
    assert folder.read(file).equals(table)


def test_a_dictionary_that_would_grow_with_the_rows_is_not_begun() -> None:
    growing = pa.table({"s": [f"{each:08}" for each in range(30_000)]})
    assert not choose_encoding(growing, 1_000_000).options["use_dictionary"]
    saturated = pa.table({"s": [f"{each % 1000:08}" for each in range(30_000)]})
    assert choose_encoding(saturated, 1_000_000).options["use_dictionary"] == ["s"]


@pytest.mark.usefixtures("small_groups")
@pytest.mark.parametrize("partitions", [(), ("bucket(20, n)",)])
@pytest.mark.parametrize("disk_files", [0, 3, 64])
def test_files_that_are_written_to_disk_at_once_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, partitions: tuple[str, ...], disk_files: int
) -> None:
    monkeypatch.setattr(writer, "DISK_FILES_MAX", disk_files)
    store = LocalStore(tmp_path)
    partitioning = parse_partitioning(partitions, SCHEMA, 3 if partitions else 0)
    batches = (MANY.slice(start, 1000) for start in range(0, 30_000, 1000))
    files = write(batches, store, partitioning=partitioning, target=100_000)
    assert len(files) > 3
    numbers: list[int] = []
    for file in files:
        data = store.get(file.path)
        assert (file.size_bytes, file.crc32) == (len(data), zlib.crc32(data))
        numbers += pq.read_table(io.BytesIO(data))["n"].to_pylist()
    assert sorted(numbers) == list(range(30_000))
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == sorted(file.path[5:] for file in files)


@pytest.mark.usefixtures("small_groups")
def test_a_write_that_fails_leaves_no_unfinished_file(tmp_path: Path) -> None:
    def batches() -> Iterator[pa.RecordBatch]:
        for start in range(0, 30_000, 1000):
            yield MANY.slice(start, 1000)
            if start == 20_000:
                raise ValueError("the source broke")

    with pytest.raises(ValueError, match="the source broke"):
        write(batches(), LocalStore(tmp_path), target=8 * MIB)
    assert list((tmp_path / "data").iterdir()) == []


@pytest.mark.usefixtures("small_groups")
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is always full")
def test_a_full_disk_is_an_error_of_the_store_that_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LocalUpload, "path", "/dev/full")
    batches = (MANY.slice(start, 1000) for start in range(0, 30_000, 1000))
    with pytest.raises(StoreError, match=r"cannot write .*/data/.*\.parquet: no space left on device; free some space"):
        write(batches, LocalStore(tmp_path), target=8 * MIB)
    assert list((tmp_path / "data").iterdir()) == []


@pytest.mark.usefixtures("small_groups")
def test_a_file_that_cannot_be_opened_is_an_error_of_the_store_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LocalUpload, "path", f"{tmp_path}/gone/x")
    batches = (MANY.slice(start, 1000) for start in range(0, 30_000, 1000))
    with pytest.raises(StoreError, match=r"cannot write .*/data/.*\.parquet: no such file or directory"):
        write(batches, LocalStore(tmp_path), target=8 * MIB)
    assert list((tmp_path / "data").iterdir()) == []
