"""Rows in a commit come back as they were, know of themselves what a file would, and damaged ones never become rows."""

from __future__ import annotations

import base64
import decimal
import random
import struct
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tablelog.errors import CorruptionError
from tablelog.format.partitioning import UNPARTITIONED
from tablelog.format.schema import Schema, new_schema
from tablelog.format.statistics import BOUND_LENGTH_MAX, FieldStatistics
from tablelog.format.type_text import parse_type
from tablelog.format.types import (
    DataType,
    Decimal,
    Field,
    List,
    Map,
    Primitive,
    Struct,
    Time,
    Timestamp,
)
from tablelog.parquet.arrow import arrow_schema
from tablelog.parquet.columns import fields_from_user_schema
from tablelog.parquet.inlined import MESSAGE_BYTES_MAX, decode_rows, encode_rows, statistics_of
from tablelog.parquet.writer import write_files
from tablelog.store import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable

FLAT = [
    "boolean", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64", "string",
    "binary", "date", "time[ms]", "time[us]", "time[ns]", "timestamp[ms]", "timestamp[us]", "timestamp[ns]",
    "timestamp[ms, Europe/Oslo]", "timestamp[us, UTC]", "timestamp[ns, +01:00]", "decimal(1, 0)", "decimal(9, 2)",
    "decimal(18, 18)", "decimal(19, 0)", "decimal(38, 10)",
]  # fmt: skip


def schema_of(**columns: Any) -> Schema:
    return new_schema(fields_from_user_schema(columns))


def batch_of(schema: Schema, **columns: list[Any]) -> pa.RecordBatch:
    return pa.record_batch(columns, schema=arrow_schema(schema))


def types() -> st.SearchStrategy[DataType]:
    flat = st.sampled_from(FLAT).map(parse_type)
    return st.recursive(flat, lambda inner: structs(inner) | lists(inner) | maps(flat, inner), max_leaves=4)


def fields(name: str, types: st.SearchStrategy[DataType]) -> st.SearchStrategy[Field]:
    return st.builds(lambda type_, nullable: Field(name=name, type=type_, nullable=nullable), types, st.booleans())


def structs(inner: st.SearchStrategy[DataType]) -> st.SearchStrategy[DataType]:
    return st.tuples(fields("a", inner), fields("b", inner)).map(Struct)


def lists(inner: st.SearchStrategy[DataType]) -> st.SearchStrategy[DataType]:
    return fields("element", inner).map(List)


def maps(keys: st.SearchStrategy[DataType], inner: st.SearchStrategy[DataType]) -> st.SearchStrategy[DataType]:
    return st.builds(
        lambda key, value: Map(Field(name="key", type=key, nullable=False), value), keys, fields("value", inner)
    )


def values_of(type_: DataType) -> st.SearchStrategy[Any]:
    match type_:
        case Decimal(precision=precision, scale=scale):
            unscaled = st.integers(-(10**precision) + 1, 10**precision - 1)
            return unscaled.map(lambda number: decimal.Decimal(f"{number}E-{scale}"))
        case Time():
            return st.integers(0, 86_399_999)
        case Timestamp():
            return st.integers(-(2**63), 2**63 - 1)
        case List(element=element):
            return st.lists(cells(element), max_size=3)
        case Map(key=key, value=value):
            return st.lists(st.tuples(values_of(key.type), cells(value)), max_size=3)
        case Struct(fields=inside):
            return st.fixed_dictionaries({field.name: cells(field) for field in inside})
        case _ if type_.removeprefix("u").startswith("int"):
            bits = int(type_.removeprefix("u").removeprefix("int"))
            return (
                st.integers(0, 2**bits - 1) if type_[0] == "u" else st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
            )
        case _:
            long = {"min_size": BOUND_LENGTH_MAX - 1, "max_size": BOUND_LENGTH_MAX + 2}
            return {
                Primitive.BOOLEAN: st.booleans(),
                Primitive.STRING: st.text() | st.text(st.sampled_from("a\ud7ff\ue000\U0010ffff\0"), **long),
                Primitive.BINARY: st.binary() | st.binary(**long),
                Primitive.DATE: st.integers(-(2**31), 2**31 - 1),
                Primitive.FLOAT32: st.floats(width=32) | st.sampled_from([0.0, -0.0]),
                Primitive.FLOAT64: st.floats() | st.sampled_from([0.0, -0.0]),
            }[type_]


def cells(field: Field) -> st.SearchStrategy[Any]:
    return st.none() | values_of(field.type) if field.nullable else values_of(field.type)


@st.composite
def tables(draw: st.DrawFn, max_size: int = 6) -> tuple[Schema, pa.RecordBatch]:
    """A schema of up to three columns, and rows under it that are a part of more."""
    columns = draw(st.lists(types(), min_size=1, max_size=3))
    schema = new_schema([draw(fields(f"c{number}", st.just(type_))) for number, type_ in enumerate(columns)])
    rows = draw(st.lists(st.tuples(*(cells(field) for field in schema)), max_size=max_size))
    whole = batch_of(schema, **{name: [row[place] for row in rows] for place, name in enumerate(schema.names)})
    start = draw(st.integers(0, len(rows)))
    return schema, whole.slice(start, draw(st.integers(0, len(rows) - start)))


def exact(value: Any) -> Any:
    """Tells the zeros apart, and 1.0 from 1.00."""
    return repr(value)


# --------------------------------------------------------------------------- bytes


@given(tables())
@settings(deadline=None, max_examples=200)
def test_rows_of_every_type_come_back(table: tuple[Schema, pa.RecordBatch]) -> None:
    schema, batch = table
    back = decode_rows(encode_rows(batch), schema, batch.num_rows, "x")
    assert back.schema.equals(arrow_schema(schema), check_metadata=True)
    assert [exact_cells(column) for column in back.columns] == [exact_cells(column) for column in batch.columns]


def exact_cells(array: Any) -> Any:
    """Values of any type: the numbers that stand for dates and times, which Python's own may not reach."""
    if isinstance(array.type, pa.ListType | pa.MapType):
        spans = zip(array.offsets.to_pylist()[:-1], array.offsets.to_pylist()[1:], strict=True)
        inner = [array.keys, array.items] if isinstance(array, pa.MapArray) else [array.values]
        children = [exact_cells(child) for child in inner]
        return [
            [child[a:b] for child in children] if valid else None
            for (a, b), valid in zip(spans, array.is_valid().to_pylist(), strict=True)
        ]
    if isinstance(array, pa.StructArray):
        parts = zip(*map(exact_cells, array.flatten()), strict=True)
        return [part if valid else None for part, valid in zip(parts, array.is_valid().to_pylist(), strict=True)]
    return [repr(value.value if pa.types.is_temporal(array.type) else value.as_py()) for value in array]


GOLDEN_SCHEMA = schema_of(
    i="int64 not null",
    s="string",
    b="boolean",
    f="float32",
    d="decimal(10, 2)",
    t="timestamp[us, Europe/Oslo]",
    l="list<int16>",
    m="map<string, struct<x: date, y: binary>>",
)
GOLDEN = (
    "KLUv/WBIA+0HAIIIHiiAS9IB2hIQGliAgkaESSQiqSCRlkYAlXF4ONGrDAVhQLQ3oltrpMkUDUbMngywcMVswhn04cA+RBJL1LD7A2iVlIN9T1"
    "12nqYZCdPLq5QCI4VUiyoyUUSvWk/1qE64/e+7+afd0Dl8qvXDoZbn7mhpwXngm4sxxmmocdGWpJJlO3CDNE0HEgAyGNZrLIy0PFrY2D8DIOtF"
    "BRaM9+sxH+tHkvBYBSU2S/t3fbdFmS16MEsiTuoyRp23cG0wfN1AajtsV34nd8a9vHMnkd0G5bK6Lw7fum2HfAnbmuURnOQqNfnUWmuttdZany"
    "8Uf0zqJIpFAcOLqqHy2R8="
)


def golden_rows() -> pa.RecordBatch:
    return batch_of(
        GOLDEN_SCHEMA,
        i=[1, -(2**63), 3],
        s=["å", None, ""],
        b=[True, None, False],
        f=[0.5, None, float("inf")],
        d=[decimal.Decimal("1.50"), None, decimal.Decimal("-99999999.99")],
        t=[1_700_000_000_000_000, None, 0],
        l=[[1, None, -3], None, []],
        m=[[("k", {"x": 1, "y": b"\0"}), ("l", None)], None, []],
    )


def test_these_bytes_are_read_for_ever() -> None:
    assert decode_rows(base64.b64decode(GOLDEN), GOLDEN_SCHEMA, 3, "x").equals(golden_rows())


@pytest.mark.parametrize(
    ("type_", "around"),
    [
        ("string", lambda mark: mark),
        ("list<string>", lambda mark: [mark, mark]),
        ("map<string, string>", lambda mark: [(mark, mark)]),
        ("struct<a: string, b: list<string>>", lambda mark: {"a": mark, "b": [mark]}),
    ],
)
def test_what_lies_around_the_rows_is_not_written(type_: str, around: Callable[[str], Any]) -> None:
    schema = schema_of(x=type_, y="int64")
    dice = random.Random(1)
    marks = [dice.randbytes(500).hex() for _ in range(100)]
    whole = batch_of(schema, x=[around(mark) for mark in marks], y=list(range(100)))
    content = encode_rows(whole.slice(50, 2))
    alone = batch_of(schema, x=[around(mark) for mark in marks[50:52]], y=[50, 51])
    assert abs(len(content) - len(encode_rows(alone))) < 50
    buffers = decode_rows(content, schema, 2, "x").column(0).buffers()
    held = b"".join(bytes(memoryview(buffer)) for buffer in buffers if buffer is not None)
    assert [mark for mark in marks if mark.encode() in held] == marks[50:52]


def test_a_row_costs_little_more_than_its_values() -> None:
    schema = schema_of(
        id="int64",
        name="string",
        price="float64",
        at="timestamp[us]",
        ok="boolean",
        n="int32",
        day="date",
        note="string",
    )
    row = {"id": 912_345, "name": "customer 912", "price": 0.25, "at": 1_700_000_000_123_456, "ok": True, "n": 7}
    batch = batch_of(schema, **{name: [value] for name, value in {**row, "day": 20_000, "note": None}.items()})
    assert len(encode_rows(batch)) - batch.nbytes < 170


def test_rows_without_any_are_rows_too() -> None:
    empty = golden_rows().slice(1, 0)
    assert decode_rows(encode_rows(empty), GOLDEN_SCHEMA, 0, "x").num_rows == 0


# --------------------------------------------------------------------------- damage

SCHEMA = schema_of(i="int64 not null", s="string", l="list<struct<a: string, b: decimal(9, 2)>>")


def rows() -> pa.RecordBatch:
    cell = [{"a": "x" * 50, "b": decimal.Decimal("1.5")}, None, {"a": None, "b": decimal.Decimal(7)}]
    return batch_of(SCHEMA, i=[1, 2, 3, 4], s=["one", None, "å" * 40, ""], l=[cell, None, [], cell * 3])


def compressed(message: bytes) -> bytes:
    return pa.Codec("zstd").compress(message, asbytes=True)


def test_other_bytes_are_refused() -> None:
    content = encode_rows(rows())
    message = rows().serialize().to_pybytes()
    for other in (
        b"",
        b"\0",
        b"PAR1",
        message,
        content[:-1],
        content[:5],
        content + b"x",
        compressed(b""),
        compressed(b"\xff\xff\xff\xff\0\0\0\0"),
        compressed(b"\xff\xff\xff\xff\xff\xff\xff\x7f"),
        compressed(message[:-8]),
        compressed(arrow_schema(SCHEMA).serialize().to_pybytes()),
    ):
        with pytest.raises(CorruptionError, match="^commit 7: the rows in it cannot be read: "):
            decode_rows(other, SCHEMA, 4, "commit 7")


def test_rows_under_another_schema_are_refused() -> None:
    content = encode_rows(rows())
    for other in (
        {"i": "int64", "s": "string"},
        {"i": "int64", "s": "string", "l": "list<struct<a: string, b: decimal(9, 2)>>", "m": "int64"},
        {"s": "string", "i": "int64", "l": "list<struct<a: string, b: decimal(9, 2)>>"},
        {"s": "string"},
    ):
        with pytest.raises(CorruptionError):
            decode_rows(content, schema_of(**other), 4, "x")


@pytest.mark.parametrize("row_count", [0, 3, 5, -1])
def test_another_number_of_rows_is_refused(row_count: int) -> None:
    with pytest.raises(CorruptionError, match=f"commit 7: it has 4 rows in it, and says {row_count}"):
        decode_rows(encode_rows(rows()), SCHEMA, row_count, "commit 7")


def test_bytes_that_grow_without_end_are_refused_early() -> None:
    bomb = compressed(bytes(1_000_000)) * 2000
    assert len(bomb) < 200_000
    pool = pa.default_memory_pool()
    held, most = pool.bytes_allocated(), pool.max_memory() or 0
    with pytest.raises(CorruptionError, match="more than 268435456 bytes"):
        decode_rows(bomb, SCHEMA, 4, "x")
    assert pool.bytes_allocated() == held
    assert (pool.max_memory() or 0) <= max(most, held + MESSAGE_BYTES_MAX + 1_000_000)


@pytest.mark.parametrize("codec", ["zstd", "lz4"])
def test_buffers_that_are_compressed_again_are_refused(codec: Literal["zstd", "lz4"]) -> None:
    """Because nothing says how large they become."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows().schema, options=pa.ipc.IpcWriteOptions(compression=codec)) as writer:
        writer.write_batch(rows())
        before = sink.tell()
        writer.write_batch(rows())
        after = sink.tell()
    message = sink.getvalue().to_pybytes()[before:after]
    assert pa.ipc.read_record_batch(pa.py_buffer(message), rows().schema).equals(rows())
    with pytest.raises(CorruptionError, match="compressed once more"):
        decode_rows(compressed(message), SCHEMA, 4, "x")


def fuzz(seed: int, count: int) -> tuple[int, int]:
    """Decode damaged rows and look at each value of those that pass; how many were refused, and how many passed."""
    dice = random.Random(seed)
    content, message = encode_rows(rows()), rows().serialize().to_pybytes()
    (head,) = struct.unpack_from("<I", message, 4)
    refused = passed = 0
    for number in range(count):
        data = bytearray(content if number % 4 == 0 else message)
        within = len(data) if number % 2 else min(len(data), head + 8)  # what describes the buffers, or anything
        for _ in range(dice.randint(1, 3)):
            place = dice.randrange(within)
            data[place] = dice.choice((data[place] ^ 1 << dice.randrange(8), dice.randrange(256), 0, 255))
        if dice.random() < 0.1:
            del data[dice.randrange(len(data)) :]
        try:
            batch = decode_rows(bytes(data) if number % 4 == 0 else compressed(bytes(data)), SCHEMA, 4, "x")
        except CorruptionError:
            refused += 1
        else:
            assert batch.num_rows == 4
            assert batch.schema.equals(arrow_schema(SCHEMA))
            assert len([exact_cells(column) for column in batch.columns]) == len(SCHEMA)
            statistics_of(batch, SCHEMA)
            encode_rows(batch)
            passed += 1
    return refused, passed


def test_no_damage_crashes_a_reader() -> None:
    """In a process of its own, so that a crash would be a failure of this test and not of the whole run."""
    code = (
        f"import importlib.util as u; s = u.spec_from_file_location('rows', {__file__!r}); m = u.module_from_spec(s)\n"
        f"s.loader.exec_module(m); print(*m.fuzz(1, 20_000))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=100)
    assert run.returncode == 0, run.stderr
    refused, passed = map(int, run.stdout.split())
    assert refused > 1000
    assert passed > 1000


# --------------------------------------------------------------------------- statistics


def statistics_of_file(schema: Schema, batch: pa.RecordBatch) -> dict[int, FieldStatistics]:
    """What the log says of a file of those rows."""
    (action,) = write_files(
        [batch],
        schema=schema,
        partitioning=UNPARTITIONED,
        ordering=None,
        target_size_bytes=1 << 30,
        store=MemoryStore(),
    )
    return dict(action.statistics)


@given(tables())
@settings(deadline=None, max_examples=400)
def test_rows_know_of_themselves_what_a_file_would(table: tuple[Schema, pa.RecordBatch]) -> None:
    schema, batch = table
    known = statistics_of(batch, schema)
    if batch.num_rows:
        assert exact(known) == exact(statistics_of_file(schema, batch))
    assert statistics_of(decode_rows(encode_rows(batch), schema, batch.num_rows, "x"), schema).keys() == known.keys()


@pytest.mark.parametrize("type_", FLAT)
@given(data=st.data())
@settings(deadline=None, max_examples=15)
def test_a_column_knows_of_itself_what_a_file_would(data: st.DataObject, type_: str) -> None:
    cell = st.none() | values_of(parse_type(type_))
    rows = data.draw(st.lists(st.tuples(cell, st.none() | st.fixed_dictionaries({"y": cell})), min_size=1))
    schema = schema_of(x=type_, s=f"struct<y: {type_}>")
    batch = batch_of(schema, x=[x for x, _ in rows], s=[s for _, s in rows])
    assert exact(statistics_of(batch, schema)) == exact(statistics_of_file(schema, batch))


def test_no_rows_have_counts_and_no_bounds() -> None:
    schema = schema_of(x="int64", f="float32", s="string")
    assert statistics_of(batch_of(schema, x=[], f=[], s=[]), schema) == dict.fromkeys(
        (1, 2, 3), FieldStatistics(null_count=0, nan_count=0)
    )


def test_nan_is_counted_and_never_a_bound() -> None:
    schema, nan = schema_of(x="float64"), float("nan")
    for values in ([nan, 1.0, None], [nan, nan], [nan, None], [-0.0, nan], [float("inf"), float("-inf"), nan]):
        batch = batch_of(schema, x=values)
        assert exact(statistics_of(batch, schema)) == exact(statistics_of_file(schema, batch))
    hidden = pa.StructArray.from_arrays([pa.array([nan, 1.0])], names=["f"], mask=pa.array([True, False]))
    schema = schema_of(s="struct<f: double>")
    batch = pa.RecordBatch.from_arrays([hidden.cast(arrow_schema(schema).field(0).type)], schema=arrow_schema(schema))
    assert statistics_of(batch, schema)[2] == FieldStatistics(min=1.0, max=1.0, null_count=1, nan_count=0)


def test_values_too_long_for_a_footer_have_bounds_all_the_same() -> None:
    schema = schema_of(x="string")
    batch = batch_of(schema, x=["a" * 100_000, "z" * 100_000])
    assert statistics_of_file(schema, batch)[1].min is None
    assert statistics_of(batch, schema)[1] == FieldStatistics(
        min="a" * 32, max="z" * 31 + "{", null_count=0, nan_count=0
    )


def test_text_that_is_none_has_no_bounds() -> None:
    schema = schema_of(x="string")
    broken = pa.array([b"\xff", b"a"]).view(pa.string())
    batch = pa.RecordBatch.from_arrays([broken], schema=arrow_schema(schema))
    assert statistics_of(batch, schema) == statistics_of_file(schema, batch)
    with pytest.raises(CorruptionError):
        decode_rows(encode_rows(batch), schema, 2, "x")


def test_none_of_it_imports_pandas() -> None:
    """A tenth of a second, which is more than it takes to open a table."""
    code = (
        "import base64, sys\n"
        "from tablelog.format.schema import new_schema\n"
        "from tablelog.parquet.columns import fields_from_user_schema\n"
        "from tablelog.parquet.inlined import MESSAGE_BYTES_MAX, decode_rows, encode_rows, statistics_of\n"
        f"schema = new_schema(fields_from_user_schema({ {f.name: str(f.type) for f in GOLDEN_SCHEMA}!r}))\n"
        f"batch = decode_rows(base64.b64decode({GOLDEN!r}), schema, 3, 'x')\n"
        "statistics_of(batch, schema), encode_rows(batch)\n"
        "print('pandas' in sys.modules)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=100)
    assert run.stdout == "False\n"
