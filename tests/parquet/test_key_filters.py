"""Filters of keys: exactly the bytes that the format says, every key passes, few others do."""

from __future__ import annotations

import datetime as dt
import random
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import mmh3
import pyarrow as pa
import pytest
from pyroaring import BitMap

from tablelog.errors import CorruptionError
from tablelog.format.key_filter import KeyFilter, decode_key_filter, encode_key_filter
from tablelog.format.type_text import parse_type
from tablelog.format.types import Field
from tablelog.parquet.arrow import arrow_type, stored_value
from tablelog.parquet.key_filters import (
    KEYS_MAX,
    KeyCollector,
    agrees,
    combined,
    hashes_in,
    key_filter,
    key_hashes,
    value_hash,
)

if TYPE_CHECKING:
    from collections.abc import Iterable


def hashed(data: bytes) -> int:
    return mmh3.hash(data, 0, signed=False)


def long(number: int) -> bytes:
    return (number % 2**64).to_bytes(8, "little")


SPECIFIED: list[tuple[str, Any, bytes]] = [
    ("int8", -5, long(-5)),
    ("int64", 2**40, long(2**40)),
    ("uint64", 2**64 - 1, b"\xff" * 8),
    ("boolean", True, long(1)),
    ("date", dt.date(1969, 12, 31), long(-1)),
    ("time[ms]", dt.time(0, 0, 1), long(1000)),
    ("time[ns]", dt.time(0, 0, 1), long(10**9)),
    ("timestamp[us]", dt.datetime(1970, 1, 1, 0, 0, 1), long(10**6)),
    ("timestamp[ms, Europe/Oslo]", dt.datetime(1970, 1, 1, 0, 0, 1, tzinfo=dt.UTC), long(1000)),
    ("decimal(10, 2)", Decimal("-1.50"), (-150).to_bytes(16, "little", signed=True)),
    ("decimal(38, 0)", Decimal(10**37), (10**37).to_bytes(16, "little", signed=True)),
    ("string", "ø😀" * 40, ("ø😀" * 40).encode()),
    ("binary", b"\x00\xff", b"\x00\xff"),
]


@pytest.mark.parametrize(("type_", "value", "data"), SPECIFIED, ids=[each[0] for each in SPECIFIED])
def test_what_is_hashed_is_what_the_format_says(type_: str, value: Any, data: bytes) -> None:
    ours = parse_type(type_)
    array = pa.array([value, value, value], arrow_type(ours)).slice(1, 2)
    assert key_hashes([array]).to_pylist() == [hashed(data)] * 2
    assert key_hashes([pa.chunked_array([array, array])]).to_pylist() == [hashed(data)] * 4
    stored = stored_value(array[0])
    assert stored is not None
    assert value_hash(stored, ours) == hashed(data)


def test_several_columns_are_combined_in_order() -> None:
    columns = [pa.array([7, 8]), pa.array(["a", "b"])]
    expected = [(31 * hashed(long(number)) + hashed(text)) % 2**32 for number, text in ((7, b"a"), (8, b"b"))]
    assert key_hashes(columns).to_pylist() == expected
    assert [combined((hashed(long(7)), hashed(b"a"))), combined((hashed(long(8)), hashed(b"b")))] == expected
    assert key_hashes(columns[::-1]).to_pylist() != expected


@pytest.mark.parametrize("count", [1, 2, 1000, 1024, 1025, KEYS_MAX])
def test_every_key_passes_and_few_others_do_in_three_bytes_each(count: int) -> None:
    dice = random.Random(count)
    keys = dice.sample(range(2**50), count)
    known = key_filter((1,), key_hashes([pa.array(keys)]))
    assert known.modulus == 65_536 or known.modulus // 2 < 4096 * count <= known.modulus
    assert len(known.hashes) <= 3.1 * count + 32
    places = hashes_in(known, "x")
    assert all(hashed(long(key)) % known.modulus in places for key in keys)
    others = key_hashes([pa.array(range(-200_000, 0))]).to_pylist()
    assert sum(each % known.modulus in places for each in others) < 200_000 / 2500


def test_files_of_many_rows_or_none_have_no_filter() -> None:
    field = Field(name="id", type=parse_type("int64"), id=3)
    for rows, has in ((0, False), (1, True), (KEYS_MAX, True), (KEYS_MAX + 1, False)):
        collector = KeyCollector([field])
        for start in range(0, rows, 1000):
            collector.add(pa.table({"id": pa.array(range(start, min(start + 1000, rows)))}))
        known = collector.finish()
        assert (known is not None) == has
        assert known is None or known.field_ids == (3,)


def test_the_json_is_that_of_the_format() -> None:
    known = key_filter((1, 2), key_hashes([pa.array([5]), pa.array(["x"])]))
    data = encode_key_filter(known)
    assert list(data) == ["fields", "modulus", "hashes"]
    assert (data["fields"], data["modulus"]) == ([1, 2], 65_536)
    assert decode_key_filter(data) == known
    assert list(hashes_in(known, "x")) == [(31 * hashed(long(5)) + hashed(b"x")) % 65_536]


@pytest.mark.parametrize(
    "change",
    [
        {"modulus": 0},
        {"modulus": 4095},
        {"modulus": 2**33},
        {"modulus": -4096},
        {"modulus": "4096"},
        {"fields": []},
        {"fields": [-1]},
        {"fields": 1},
        {"hashes": "no base64!"},
        {"hashes": 5},
        {"hashes": None},
    ],
    ids=str,
)
def test_json_that_is_no_filter_is_refused(change: dict[str, Any]) -> None:
    data = encode_key_filter(key_filter((1,), key_hashes([pa.array([5])])))
    with pytest.raises((CorruptionError, TypeError)):
        decode_key_filter(data | change)


@pytest.mark.parametrize(
    "hashes",
    [
        b"",
        b"\x00" * 8,
        BitMap().serialize(),
        BitMap([4096]).serialize(),
        BitMap([1]).serialize()[:-1],
        BitMap([1]).serialize() + b"x",
    ],
    ids=["nothing", "zeros", "empty", "beyond the modulus", "torn", "too long"],
)
def test_damaged_hashes_are_corruption_with_a_name(hashes: bytes) -> None:
    with pytest.raises(CorruptionError, match="the key filter of data/x"):
        hashes_in(KeyFilter(field_ids=(1,), modulus=4096, hashes=hashes), "the key filter of data/x")


def test_bits_that_flip_are_found_or_change_the_set() -> None:
    known = key_filter((1,), key_hashes([pa.array(range(20))]))
    for bit in range(8 * len(known.hashes)):
        data = bytearray(known.hashes)
        data[bit // 8] ^= 1 << bit % 8
        try:
            places = hashes_in(replace(known, hashes=bytes(data)), "x")
        except CorruptionError:
            continue
        assert places != hashes_in(known, "x")


def test_only_types_that_hash_alike_agree() -> None:
    def ours(texts: Iterable[str]) -> list[Any]:
        return [parse_type(text) for text in texts]

    assert all(agrees(left, right) for left in ours(("int8", "uint32")) for right in ours(("int64", "uint64")))
    for left, right in (
        ("date", "timestamp[us]"),
        ("int32", "decimal(12, 2)"),
        ("decimal(5, 2)", "decimal(7, 3)"),
        ("timestamp[ms]", "timestamp[us]"),
    ):
        assert not agrees(*ours((left, right)))
        assert agrees(*ours((left, left)))
