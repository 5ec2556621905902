"""Deletion vectors are the bytes that the Puffin specification wants, and damaged ones never become rows."""

from __future__ import annotations

import json
import random
import struct
import zlib

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pyroaring import BitMap, BitMap64

from tablelog.errors import CorruptionError
from tablelog.parquet.vectors import (
    bitmap_of,
    bits,
    decode_vector,
    deleted_mask,
    encode_puffin,
    encode_vector,
    positions,
)

MAGIC = b"\xd1\xd3\x39\x64"
LAST = 2**32 - 1


def sparse_and_dense() -> st.SearchStrategy[BitMap]:
    """Single rows and runs: every kind of container that a roaring bitmap has."""
    runs = st.tuples(st.integers(0, 300_000), st.integers(1, 70_000), st.sampled_from([1, 2, 3]))
    return st.builds(
        lambda rows, runs: BitMap(rows) | BitMap().union(*(BitMap(range(a, a + n, step)) for a, n, step in runs)),
        st.lists(st.integers(0, 300_000) | st.integers(0, LAST)),
        st.lists(runs, max_size=3),
    )


def framed(vector: bytes) -> bytes:
    checked = MAGIC + vector
    return struct.pack(">I", len(checked)) + checked + struct.pack(">I", zlib.crc32(checked))


def portable(*bitmaps: tuple[int, bytes]) -> bytes:
    return struct.pack("<Q", len(bitmaps)) + b"".join(struct.pack("<I", key) + data for key, data in bitmaps)


def array_bitmap(*values: int) -> bytes:
    """A bitmap of one container, an array of values that need not be right."""
    return struct.pack("<IIHHI", 12346, 1, 0, len(values) - 1, 16) + struct.pack(f"<{len(values)}H", *values)


def run_bitmap(row_count: int, *runs: tuple[int, int]) -> bytes:
    """A bitmap of one container, runs (first, last - first) that need not be right."""
    head = struct.pack("<IBHHH", 12347, 1, 0, row_count - 1, len(runs))
    return head + b"".join(struct.pack("<HH", *run) for run in runs)


# --------------------------------------------------------------------------- bytes


@given(sparse_and_dense())
@settings(deadline=None)
@example(BitMap())
@example(BitMap([0]))
@example(BitMap([LAST]))
@example(BitMap(range(200_000)))
def test_a_vector_comes_back_and_is_what_the_64_bit_format_says(rows: BitMap) -> None:
    before = rows.serialize()
    blob = encode_vector(rows)
    assert decode_vector(blob, "x") == rows
    assert rows.serialize() == before
    whole = BitMap64(rows)
    whole.run_optimize()
    assert blob == framed(whole.serialize())
    assert decode_vector(framed(BitMap64(rows, optimize=False).serialize()), "x") == rows


@pytest.mark.parametrize(
    ("rows", "blob"),
    [
        (BitMap(), "0000000cd1d339640000000000000000bf18480c"),
        (BitMap([0]), "00000022d1d339640100000000000000000000003a3000000100000000000000100000000000f7a6b4b5"),
        (
            BitMap([1, 2, 3, 100_000]),
            "00000030d1d339640100000000000000000000003a300000020000000000020001000000180000001e000000010002000300a086cd1d2835",
        ),
        (BitMap(range(10_000)), "0000001fd1d339640100000000000000000000003b3000000100000f27010000000f276920f60f"),
    ],
)
def test_these_bytes_are_read_and_written_for_ever(rows: BitMap, blob: str) -> None:
    assert encode_vector(rows).hex() == blob
    assert decode_vector(bytes.fromhex(blob), "x") == rows


def test_equal_sets_have_equal_bytes() -> None:
    one_by_one = BitMap()
    for row in range(70_000, -1, -1):
        one_by_one.add(row)
    assert encode_vector(one_by_one) == encode_vector(BitMap(range(70_001)))


@pytest.mark.parametrize("rows", [BitMap(), BitMap([7]), BitMap([1, 2, 3, 100_000]), BitMap(range(100))])
def test_no_byte_of_a_vector_can_be_another(rows: BitMap) -> None:
    blob = encode_vector(rows)
    for place in range(len(blob)):
        for other in (blob[place] ^ 0x01, blob[place] ^ 0x80, 255 - blob[place]):
            damaged = blob[:place] + bytes([other]) + blob[place + 1 :]
            with pytest.raises(CorruptionError, match="^v.puffin: "):
                decode_vector(damaged, "v.puffin")


@pytest.mark.parametrize("rows", [BitMap(), BitMap([1, 2, 3, 100_000]), BitMap(range(100))])
def test_no_vector_is_longer_or_shorter_than_it_was(rows: BitMap) -> None:
    blob = encode_vector(rows)
    for length in range(len(blob)):
        with pytest.raises(CorruptionError):
            decode_vector(blob[:length], "x")
        with pytest.raises(CorruptionError):
            decode_vector(blob[length + 1 :], "x")
    for more in (b"\0", blob, bytes(1000)):
        with pytest.raises(CorruptionError):
            decode_vector(blob + more, "x")


@pytest.mark.parametrize(
    ("vector", "message"),
    [
        (b"", "no deletion vector"),
        (struct.pack("<Q", 1), "contradicts"),
        (struct.pack("<Q", 2**64 - 1), "contradicts"),
        (struct.pack("<QI", 1, 0), "contradicts"),
        (struct.pack("<Q", 0) + b"\0", "contradicts"),
        (struct.pack("<Q", 0) + bytes(30), "contradicts"),
        (struct.pack("<Q", 1) + bytes(30), "cannot be read"),
        (portable((1, array_bitmap(5))), "2\\*\\*32 or more"),
        (portable((0, array_bitmap(5)), (1, array_bitmap(5))), "2\\*\\*32 or more"),
        (portable((0, array_bitmap(5)), (0, array_bitmap(5))), "2\\*\\*32 or more"),
        (struct.pack("<QI", 2**63, 0) + array_bitmap(5), "2\\*\\*32 or more"),
        (portable((0, array_bitmap(5) + b"\0")), "more bytes"),
        (portable((0, array_bitmap(5)[:-1])), "cannot be read"),
        (portable((0, array_bitmap(6, 5))), "strictly increasing"),
        (portable((0, array_bitmap(5, 5))), "strictly increasing"),
        (portable((0, run_bitmap(20, (0, 9), (5, 9)))), "cannot be read"),
        (portable((0, run_bitmap(20, (65_530, 19)))), "cannot be read"),
        (portable((0, run_bitmap(65_536, (0, 9)))), "more bytes than it needs, or others"),
        (portable((0, struct.pack("<IIHHI", 12346, 1, 0, 4999, 16) + bytes(8192))), "cardinality"),
        (portable((0, struct.pack("<II", 12346, 2**32 - 1) + bytes(100))), "cannot be read"),
        (portable((0, struct.pack("<II", 12346, 65_536))), "cannot be read"),
        (portable((0, struct.pack("<I", 12347 | 65_535 << 16) + b"\xff" * 100)), "cannot be read"),
    ],
)
def test_what_is_no_vector_is_refused_although_its_checksum_is_right(vector: bytes, message: str) -> None:
    with pytest.raises(CorruptionError, match=message):
        decode_vector(framed(vector), "x")


def test_random_bytes_under_a_right_checksum_are_refused_or_a_vector_that_comes_back() -> None:
    dice = random.Random(3)
    kinds = [BitMap([1, 5, 70_000]), BitMap(range(300)), BitMap(range(0, 60_000, 3)), BitMap(range(0, 300_000, 7))]
    bodies = [encode_vector(rows)[8:-4] for rows in kinds]
    refused = 0
    for _ in range(4000):
        body = bytearray(dice.choice(bodies))
        for _ in range(dice.randint(1, 3)):
            body[min(dice.randrange(len(body)), dice.randrange(100))] = dice.randrange(256)
        try:
            rows = decode_vector(framed(bytes(body)), "x")
        except CorruptionError:
            refused += 1
        else:
            assert framed(bytes(body)) == framed(portable((0, rows.serialize())))
            assert len(positions(rows)) == len(rows)
    assert 2000 < refused < 4000


# --------------------------------------------------------------------------- Puffin


def test_a_puffin_file_says_what_its_blobs_are_and_where() -> None:
    vectors = [("data/å.parquet", BitMap([1, 2])), ("data/b.parquet", BitMap()), ('c"\n', BitMap(range(10**6)))]
    content, places = encode_puffin(vectors)
    footer = read_footer(content)
    assert footer.pop("properties") == {"created-by": "tablelog"}
    assert footer == {
        "blobs": [
            {
                "type": "deletion-vector-v1",
                "fields": [2147483645],
                "snapshot-id": -1,
                "sequence-number": -1,
                "offset": offset,
                "length": length,
                "properties": {"referenced-data-file": path, "cardinality": str(len(rows))},
            }
            for (path, rows), (offset, length) in zip(vectors, places, strict=True)
        ]
    }
    assert [content[offset : offset + length] for offset, length in places] == [encode_vector(r) for _, r in vectors]
    assert places[0][0] == 4
    assert content.index(b"PFA1", 4) == sum(places[-1])


def read_footer(content: bytes) -> dict[str, object]:
    """What the specification says about the end of a Puffin file, and nothing else."""
    size, flags, magic = struct.unpack("<i4s4s", content[-12:])
    assert (content[:4], flags, magic) == (b"PFA1", bytes(4), b"PFA1")
    start = len(content) - 12 - size
    assert content[start - 4 : start] == b"PFA1"
    footer: dict[str, object] = json.loads(content[start:-12].decode())
    return footer


def test_a_puffin_file_of_nothing_is_one() -> None:
    content, places = encode_puffin([])
    assert places == ()
    assert read_footer(content)["blobs"] == []


# --------------------------------------------------------------------------- Arrow


@given(sparse_and_dense())
@settings(deadline=None)
def test_rows_become_ascending_numbers_and_these_become_rows(rows: BitMap) -> None:
    numbers = positions(rows)
    assert numbers.type == pa.uint32()
    numbers.validate(full=True)
    assert numbers.to_pylist() == list(rows)
    assert bitmap_of(numbers) == rows
    half = len(numbers) // 2
    for type_ in (pa.uint32(), pa.int64(), pa.uint64()):
        whole = numbers.cast(type_)
        assert bitmap_of(whole) == rows
        assert bitmap_of(whole.slice(half)) == rows[half:]
        assert bitmap_of(pa.chunked_array([whole.slice(half), whole.slice(0, half), whole[:1]])) == rows
    assert bitmap_of(pa.chunked_array([], pa.int64())) == BitMap()


@pytest.mark.parametrize("number", [-1, 2**32])
def test_numbers_that_are_no_rows_are_refused(number: int) -> None:
    with pytest.raises(pa.ArrowInvalid):
        bitmap_of(pa.array([1, number]))


@given(sparse_and_dense(), st.integers(0, 300_000), st.integers(0, 2000))
@settings(deadline=None)
@example(BitMap(range(100)), 0, 100)
@example(BitMap(range(100)), 99, 1)
@example(BitMap([LAST]), LAST - 10, 11)
@example(BitMap([0, 1, 5]), 1, 3)
def test_the_mask_is_true_where_a_row_is_deleted(rows: BitMap, start: int, count: int) -> None:
    mask = deleted_mask(rows, start, count)
    mask.validate(full=True)
    assert mask.type == pa.bool_()
    assert mask.null_count == 0
    assert mask.to_pylist() == [row in rows for row in range(start, start + count)]


@given(sparse_and_dense(), st.integers(0, 4000))
@settings(deadline=None)
@example(BitMap(range(9)), 9)
@example(BitMap(range(17)), 9)
@example(BitMap([100]), 9)
@example(BitMap([0, 2]), 1)
def test_there_is_one_bit_for_each_row_and_none_behind_the_last(rows: BitMap, row_count: int) -> None:
    data = bits(rows, row_count)
    assert len(data) == (row_count + 7) // 8
    expected = [row < row_count and row in rows for row in range(8 * len(data))]
    assert [bool(data[row // 8] >> row % 8 & 1) for row in range(8 * len(data))] == expected
