"""What becomes of an object is a function of what is needed, what is there, what was written down, and the time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tablelog.format import names
from tablelog.ops.needs import Needs
from tablelog.ops.vacuum import Fate, Folder, decide, is_named, unlisted
from tablelog.store.base import ObjectInfo

DAY = 86_400_000_000
NOW = 1_800_000_000_000_000
GRACE = 7 * DAY
NOTHING = Needs(objects={}, newest=40, base_last=31)


def made(days_ago: float, kind: str = "data") -> str:
    """A name that was made so long ago."""
    digits = f"{int(NOW - days_ago * DAY) // 1000:012x}"
    file_id = f"{digits[:8]}-{digits[8:]}-7000-8000-000000000000"
    makers = {"data": names.data_file, "deletes": names.deletes_file, "list": names.vacuum_list}
    makers |= {"probe": names.vacuum_probe, "actions": lambda name: names.LOG + names.actions_file(name)}
    return makers[kind](file_id)


def folder(*keys: str, days_ago: float = 30, **lists: Any) -> Folder:
    infos = {key: ObjectInfo(key=key, size_bytes=1, modified_us=int(NOW - days_ago * DAY)) for key in keys}
    return Folder(listing=infos, lists=lists)


def written(days_ago: float, *keys: str, into: Folder) -> Folder:
    """The same folder where a list was written."""
    name = made(days_ago, "list")
    info = ObjectInfo(key=name, size_bytes=1, modified_us=int(NOW - days_ago * DAY))
    return Folder(listing={**into.listing, name: info}, lists={**into.lists, name: keys})


def fates(needs: Needs, seen: Folder, grace_us: int = GRACE) -> dict[str, Fate]:
    return {verdict.key: verdict.fate for verdict in decide(needs, seen, NOW, grace_us)}


def test_what_nothing_needs_is_written_down_first() -> None:
    key = made(30)
    assert fates(NOTHING, folder(key)) == {key: Fate.NOTED}


def test_what_was_written_down_waits_until_the_grace_is_over() -> None:
    key = made(30)
    assert fates(NOTHING, written(6.9, key, into=folder(key)))[key] is Fate.WAITING
    assert fates(NOTHING, written(7.1, key, into=folder(key)))[key] is Fate.REMOVED


def test_the_oldest_list_counts() -> None:
    key = made(30)
    seen = written(1, key, into=written(8, key, into=folder(key)))
    assert fates(NOTHING, seen)[key] is Fate.REMOVED


def test_without_a_grace_one_run_does_both() -> None:
    key = made(0.001)
    assert fates(NOTHING, folder(key, days_ago=0), 0) == {key: Fate.REMOVED}


@pytest.mark.parametrize("kind", ["data", "deletes", "actions"])
def test_an_object_is_as_young_as_its_name_and_as_its_bytes(kind: str) -> None:
    late_name, late_bytes = made(1, kind), made(30, kind)
    assert fates(NOTHING, folder(late_name, days_ago=30)) == {late_name: Fate.YOUNG}
    assert fates(NOTHING, folder(late_bytes, days_ago=1)) == {late_bytes: Fate.YOUNG}


def test_a_name_of_the_very_moment_is_too_young_because_a_writer_may_still_use_it() -> None:
    key = made(7)
    assert fates(NOTHING, written(8, key, into=folder(key)))[key] is Fate.YOUNG


def test_what_is_needed_stays_however_long_it_is_written_down() -> None:
    key = made(30)
    needs = replace(NOTHING, objects={key: "version 40"})
    seen = written(20, key, into=folder(key))
    found = fates(needs, seen)
    assert found.pop(key) is Fate.NEEDED
    assert set(found.values()) == {Fate.REMOVED}  # the list was wrong; what else it says begins anew


def test_a_list_that_names_something_needed_proves_nothing() -> None:
    needed, useless = made(30), made(31)
    seen = written(20, needed, useless, into=folder(needed, useless))
    assert fates(replace(NOTHING, objects={needed: "x"}), seen)[useless] is Fate.NOTED


def test_the_log_is_never_touched_but_for_what_the_base_stands_for() -> None:
    keep = [
        names.LOG + names.commit(3),
        names.LOG + names.commit(400),
        names.LOG + names.HINT,
        names.LOG + names.base(31),
        names.LOG + names.base(47),
        names.LOG + names.segment(16, 47),
        names.LOG + names.segment(32, 47),
        names.CONSUMERS + "x/" + names.commit(0),
        names.CONSUMERS + "x/segments/99999999999999999984-16.parquet",
        names.LEASES + "compaction.json",
    ]
    go = [names.LOG + names.base(15), names.LOG + names.segment(0, 15), names.LOG + names.segment(0, 31)]
    found = fates(NOTHING, folder(*keep, *go), 0)
    assert {key for key, fate in found.items() if fate is Fate.NEEDED} == set(keep)
    assert {key for key, fate in found.items() if fate is Fate.REMOVED} == set(go)


def test_without_a_base_every_segment_and_base_stays() -> None:
    keys = [names.LOG + names.base(15), names.LOG + names.segment(0, 15)]
    assert set(fates(replace(NOTHING, base_last=None), folder(*keys), 0).values()) == {Fate.NEEDED}


@pytest.mark.parametrize(
    "key",
    [
        "readme.txt",
        "data/notes.parquet",
        "data/0192f3c4-0000-4abc-8def-0123456789ab.parquet",
        "data/0192F3C4-0000-7ABC-8DEF-0123456789AB.parquet",
        "data/0192f3c4-0000-7abc-8def-0123456789ab.puffin",
        "deletes/x.puffin",
        "_log/readme",
        "_log/actions/x.parquet",
        "_vacuum/x.json",
        "_leases/x.txt",
        "_consumers/x",
        "other/data/0192f3c4-0000-7abc-8def-0123456789ab.parquet",
    ],
)
def test_names_that_are_not_ours_are_left_alone(key: str) -> None:
    assert fates(NOTHING, folder(key), 0) == {key: Fate.UNKNOWN}


def test_a_list_goes_when_nothing_waits_for_it() -> None:
    waiting, going = made(30), made(31)
    seen = written(1, waiting, into=written(9, going, into=folder(waiting, going)))
    found = fates(NOTHING, seen)
    assert found[made(1, "list")] is Fate.NEEDED
    assert found[made(9, "list")] is Fate.REMOVED
    assert fates(NOTHING, written(9, "data/gone", into=folder()))[made(9, "list")] is Fate.REMOVED


def test_a_list_that_cannot_be_read_goes_when_it_is_old_and_one_of_a_newer_tablelog_stays() -> None:
    name = made(8, "list")
    seen = replace(folder(name), lists={name: None})
    assert fates(NOTHING, seen) == {name: Fate.REMOVED}
    assert fates(NOTHING, replace(folder(name, days_ago=1), lists={name: None})) == {name: Fate.YOUNG}
    assert fates(NOTHING, folder(name)) == {name: Fate.UNKNOWN}


def test_the_probe_of_a_run_that_died_goes_later() -> None:
    assert fates(NOTHING, folder(made(8, "probe"))) == {made(8, "probe"): Fate.REMOVED}
    assert fates(NOTHING, folder(made(1, "probe"), days_ago=1)) == {made(1, "probe"): Fate.YOUNG}
    assert fates(NOTHING, folder(made(0, "probe"), days_ago=0), 0) == {made(0, "probe"): Fate.YOUNG}  # at work


def test_a_commit_comes_before_the_removal_of_what_a_writer_could_name() -> None:
    keys = [made(30), made(30, "deletes"), made(30, "actions"), made(30, "probe"), names.LOG + names.base(15)]
    named = [verdict.key for verdict in decide(NOTHING, folder(*keys), NOW, 0) if is_named(verdict)]
    assert set(named) == set(keys[:3])


@given(
    objects=st.dictionaries(
        st.tuples(st.sampled_from(["data", "deletes", "actions"]), st.integers(0, 40)),
        st.tuples(st.booleans(), st.integers(0, 40), st.none() | st.integers(0, 40)),
    ),
    grace_days=st.integers(0, 20),
)
def test_nothing_is_removed_that_is_needed_or_young_or_was_not_written_down(
    objects: dict[tuple[str, int], tuple[bool, int, int | None]], grace_days: int
) -> None:
    seen = folder()
    for (kind, name_days), (_, days, _) in objects.items():
        key = made(name_days, kind)
        info = ObjectInfo(key=key, size_bytes=1, modified_us=NOW - days * DAY)
        seen = replace(seen, listing={**seen.listing, key: info})
    for number, ((kind, name_days), (_, _, listed)) in enumerate(objects.items()):
        if listed is not None:
            name = names.vacuum_list(f"00000000-0000-7000-8000-{number:012x}")
            info = ObjectInfo(key=name, size_bytes=1, modified_us=NOW - listed * DAY)
            seen = Folder(listing={**seen.listing, name: info}, lists={**seen.lists, name: (made(name_days, kind),)})
    needed = {made(days, kind): "x" for (kind, days), (is_needed, _, _) in objects.items() if is_needed}
    found = fates(replace(NOTHING, objects=needed), seen, grace_days * DAY)
    for (kind, name_days), (is_needed, days, listed) in objects.items():
        fate = found[made(name_days, kind)]
        assert (fate is Fate.NEEDED) == is_needed
        if fate is Fate.REMOVED:
            assert name_days > grace_days
            assert days >= grace_days
            assert grace_days == 0 or (listed is not None and listed >= grace_days)


def test_a_listing_must_show_every_commit_the_base_and_all_that_is_needed() -> None:
    key = made(30)
    needs = replace(NOTHING, objects={key: "x"}, newest=2, base_last=1)
    every = [names.LOG + names.commit(version) for version in range(3)] + [names.LOG + names.base(1), key]
    assert unlisted(needs, folder(*every)) == []
    for lost in every:
        assert unlisted(needs, folder(*(each for each in every if each != lost))) == [lost]
