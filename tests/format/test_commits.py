"""A commit's bytes: frozen, checked, and never read as something else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tablelog.errors import CorruptionError, InvalidError
from tablelog.format.commits import CommitRecord, decode_commit, encode_commit

EXAMPLE = CommitRecord(
    version=1,
    id="0192f3c4-0000-7000-8000-000000000001",
    parent="ab" * 32,
    timestamp_us=1_763_712_000_000_000,
    operation="append",
    info={"by": "tablelog 0.1.0", "message": 'größer\n"x"'},
    actions=({"remove": {"path": "data/a.parquet"}}, {"property": {"name": "é", "value": None}}),
)

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def encoded(commit: CommitRecord) -> bytes:
    return encode_commit(commit)[0]


@given(
    st.integers(0, 10**20 - 1),
    st.text(),
    st.text(),
    st.dictionaries(st.text(), json_values, max_size=3),
    st.lists(st.dictionaries(st.text(), json_values, min_size=1, max_size=1), max_size=4),
)
def test_decoding_gives_back_what_was_encoded(
    version: int, commit_id: str, operation: str, info: dict[str, object], actions: list[dict[str, object]]
) -> None:
    try:
        commit_id.encode(), operation.encode()
    except UnicodeEncodeError:
        return
    commit = CommitRecord(
        version=version,
        id=commit_id,
        parent=None,
        timestamp_us=5,
        operation=operation,
        info=info,
        actions=tuple(actions),
    )
    try:
        data, checksum = encode_commit(commit)
    except InvalidError:  # lone surrogates have no UTF-8
        return
    decoded = decode_commit(data, "x")
    assert (decoded.version, decoded.id, decoded.operation) == (version, commit_id, operation)
    assert (dict(decoded.info), list(decoded.actions), decoded.checksum) == (info, actions, checksum)


def test_p6_every_flipped_bit_of_a_commit_is_noticed() -> None:
    data = encoded(EXAMPLE)
    for position in range(len(data)):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[position] ^= 1 << bit
            with pytest.raises(CorruptionError, match="the-name"):
                decode_commit(bytes(damaged), "the-name")


def test_p6_every_truncation_of_a_commit_is_noticed() -> None:
    data = encoded(EXAMPLE)
    for length in range(len(data)):
        with pytest.raises(CorruptionError):
            decode_commit(data[:length], "x")


def test_the_bytes_of_a_commit_are_frozen() -> None:
    golden = Path(__file__).parent.parent / "golden" / "commit-1.json"
    assert encoded(EXAMPLE) == golden.read_bytes()
    assert json.loads(golden.read_bytes())["checksum"] == encode_commit(EXAMPLE)[1]


@pytest.mark.parametrize(
    "content",
    [
        b"[]",
        b"{}",
        b'{"version":true}',
        b"1",
        b'"x"',
        b"[" * 100_000,
        encode_commit(EXAMPLE)[0].replace(b'"append"', b'"app\\ud800end"').rpartition(b",")[0] + b"}",
        encode_commit(EXAMPLE)[0].replace(b'"append"', b'"app\xed\xa0\x80end"').rpartition(b",")[0] + b"}",
        b"\xef\xbb\xbf" + encode_commit(EXAMPLE)[0].rpartition(b",")[0] + b"}",
        (encode_commit(EXAMPLE)[0].rpartition(b",")[0].decode() + "}").encode("utf-16"),
    ],
    ids=[
        "list", "empty", "boolean version", "number", "text", "deep",
        "half a character", "no UTF-8", "byte order mark", "UTF-16",
    ],
)  # fmt: skip
def test_checksummed_nonsense_is_still_refused(content: bytes) -> None:
    import hashlib  # noqa: PLC0415 - only this test forges checksums

    forged = content[:-1] if content.endswith(b"}") else content
    tail = b',"checksum":"%s"}\n' % hashlib.sha256(forged).hexdigest().encode()
    with pytest.raises(CorruptionError):
        decode_commit(forged + tail, "x")


def test_what_is_not_json_is_refused_before_anything_is_written() -> None:
    for value in (float("nan"), float("inf"), {1, 2}, object(), "\ud800"):
        with pytest.raises(InvalidError):
            encode_commit(
                CommitRecord(
                    version=0, id="x", parent=None, timestamp_us=0, operation="x", info={"v": value}, actions=()
                )
            )
