"""Damage to any object of a table is named, harmless or not, and what commits can give is made again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import tablelog as tl
from tablelog.format import names
from tablelog.log import actions_object
from tablelog.ops import removing
from tablelog.store.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from tablelog.store.base import ObjectStore


def copy(store: ObjectStore) -> MemoryStore:
    copied = MemoryStore("copy")
    for info in store.list(""):
        copied.put(info.key, store.get(info.key))
    return copied


def table_of(store: ObjectStore) -> tl.Table:
    return tl.Table(store, "t")


def rows(store: ObjectStore) -> list[int] | str:
    """What a new reader gets: ids, or that the log is damaged."""
    try:
        return sorted(table_of(store).to_arrow()["id"].to_pylist())
    except tl.CorruptionError:
        return "damaged"


def grown(*, expired: bool) -> MemoryStore:
    """A table with segments of two levels, an object of file actions and, if wanted, a base and emptied commits.

    Rows from 10 to 99 are in files, others inside the log. Of one file every third row is deleted, by a vector in a
    Puffin file, of another one by a vector in the commit.
    """
    name = f"verifying-{expired}"
    tl.register_store(name, lambda url, options: MemoryStore(name))
    store = MemoryStore("made")
    tl.register_store(name, lambda url, options: store)
    made = tl.connect(f"{name}://x").create_table("t", {"id": "int64"}, properties={"log_fan_out": "4"})
    for number in range(10):
        made.append({"id": [number]})
    made.alter.set_property("inline_max_bytes", 0)
    for number in range(10, 15):
        made.append({"id": [number]})
    made.append({"id": [15, 1000, 16]})
    made.append({"id": [17, 17, -1] * 400})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(removing, "INLINE_BYTES_MAX", 0)
        made.delete("id < 0")
    made.delete("id = 1000")
    made.alter.set_property("inline_max_bytes", None)
    if expired:
        made.expire(10)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(actions_object, "INLINE_MAX", 0)
        made.append({"id": [100]})
    made.append({"id": [101]})
    folder = MemoryStore("table")
    for info in store.list("t/"):
        folder.put(info.key.removeprefix("t/"), store.get(info.key))
    return folder


SOUND = {expired: grown(expired=expired) for expired in (False, True)}
IDS = [*range(17), *[17] * 800, 100, 101]
DAMAGES: dict[str, Callable[[bytes], bytes | None]] = {
    "a flipped bit": lambda data: (
        data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :]
    ),
    "a lost end": lambda data: data[:-3],
    "nothing left": lambda _: b"",
    "gone": lambda _: None,
}


def keys(store: ObjectStore) -> list[str]:
    """Every object of the log, one data file, and the Puffin file."""
    every = sorted(info.key for info in store.list(""))
    log = [key for key in every if key.startswith(names.LOG)]
    return [*log, *(next(key for key in every if key.startswith(folder)) for folder in (names.DATA, names.DELETES))]


CASES = [
    pytest.param(expired, number, how, id=f"{'expired' if expired else 'whole'}-{number}-{how}")  # names are random
    for expired, store in SOUND.items()
    for number, key in enumerate(keys(store))
    for how in DAMAGES
    if store.get(key) or how == "gone"
    if not (key.startswith(names.DELETES) and how == "a lost end")  # the log knows where vectors are, nobody reads that
]


@pytest.mark.parametrize("expired", [False, True])
def test_a_sound_table_has_no_problems_and_looking_changes_nothing(expired: bool) -> None:
    store = copy(SOUND[expired])
    before = {info.key: store.get(info.key) for info in store.list("")}
    found = table_of(store).verify()
    assert found.ok
    assert not found.problems
    assert found.versions == (15 if expired else 24) - 2 * expired
    assert {info.key: store.get(info.key) for info in store.list("")} == before


@pytest.mark.parametrize(("expired", "number", "how"), CASES)
def test_damage_is_named_and_never_read_as_an_answer(expired: bool, number: int, how: str) -> None:
    store = copy(SOUND[expired])
    key = keys(store)[number]
    after = DAMAGES[how](store.get(key))
    if after is None:
        store.delete(key)
    else:
        store.put(key, after)
    found, read = table_of(store).verify(), rows(store)
    if expired and after is None and key == f"{names.LOG}{names.commit(24)}":
        assert read == IDS[:-1]  # nothing else knows of a commit that was the newest and is gone
        return
    is_unneeded = expired and after is None and "/segments/" in key  # a base stands for what it would be read for
    is_said_of_others = after is None  # whatever cannot be read without it names it
    assert is_unneeded or is_said_of_others or key in {problem.object for problem in found.problems}, found
    if not key.startswith(names.LOG):
        assert not found.ok
        return
    assert read == IDS if found.ok else read in (IDS, "damaged"), (found, read)
    repaired = table_of(store).repair()
    if all(problem.can_repair for problem in found.problems):
        assert not repaired.problems
        assert rows(store) == IDS
    else:
        assert rows(store) == read
