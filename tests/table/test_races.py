"""Writers that meet: whoever loses a race plans again, and what both did is there, or one is told why not."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

import tablelog as tl
from tablelog import env
from tablelog.store.local import LocalStore
from tablelog.store.memory import MemoryStore
from tablelog.store.open import register_store
from tablelog.store.retry import RetryingStore
from tablelog.testing import Fault, FaultyStore
from tests.table.reading import assert_reads, bag

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Act = Callable[[tl.Table], Any]

ROWS = [{"id": n, "s": s} for n, s in [(1, "a"), (2, "b"), (3, None), (4, "a")]]


class Races:
    """A table, and a way to let somebody else commit at the worst moment: right before our commit is put."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self._folder = folder / "t"
        self.lake = tl.connect(folder)
        self.theirs = self.lake.create_table("t", ROWS, **options)
        self._waiting: list[Act] = []
        self.ours = tl.Table(FaultyStore(LocalStore(self._folder), before=self._before), "t")
        self.ours.snapshot()

    def _before(self, verb: str, key: str) -> None:
        if verb == "put_if_absent" and key.startswith("_log/") and self._waiting:
            self._waiting.pop(0)(self.theirs)

    def run(self, ours: Act, *theirs: Act) -> Any:
        """Do ours; each of theirs gets in first once."""
        self._waiting = list(theirs)
        result = ours(self.ours)
        assert not self._waiting, "nobody got in between"
        return result

    def assert_holds(self, rows: list[dict[str, Any]]) -> None:
        for handle in (self.ours, self.theirs, tl.open_table(self._folder)):
            assert_reads(handle.snapshot(), rows)
        counted = sum(entry["rows_added"] - entry["rows_deleted"] for entry in self.ours.history().to_dicts())
        assert counted == len(rows)


@pytest.fixture
def races(tmp_path: Path) -> Races:
    return Races(tmp_path)


def append(*ids: int, s: str | None = "a") -> Act:
    return lambda table: table.append([{"id": number, "s": s} for number in ids])


def delete(where: str) -> Act:
    return lambda table: table.delete(where)


def overwrite(*ids: int, where: str | None = None) -> Act:
    return lambda table: table.overwrite([{"id": number, "s": "a"} for number in ids], where=where)


def rows(*pairs: tuple[int, str | None]) -> list[dict[str, Any]]:
    return [{"id": number, "s": s} for number, s in pairs]


class TestRows:
    def test_appends_never_conflict(self, races: Races) -> None:
        commit = races.run(append(5), append(6), append(7))
        assert commit.version == 3
        races.assert_holds([*ROWS, *rows((5, "a"), (6, "a"), (7, "a"))])

    def test_a_delete_also_takes_rows_that_were_appended_meanwhile(self, races: Races) -> None:
        commit = races.run(delete("s = 'a'"), append(5, 6), append(7, s="b"))
        assert commit.rows_deleted == 4
        races.assert_holds(rows((2, "b"), (3, None), (7, "b")))

    def test_deletes_of_different_rows_of_one_file_both_take_effect(self, races: Races) -> None:
        commit = races.run(delete("id = 1"), delete("id = 2"), delete("id = 3"))
        assert commit.rows_deleted == 1
        races.assert_holds(rows((4, "a")))

    def test_deletes_of_the_same_rows_count_them_once(self, races: Races) -> None:
        commit = races.run(delete("s = 'a'"), delete("id = 1 OR id = 2"))
        assert commit.rows_deleted == 1
        races.assert_holds(rows((3, None)))

    def test_a_delete_of_a_whole_file_that_is_gone_deletes_nothing(self, races: Races) -> None:
        commit = races.run(delete("true"), delete("true"))
        assert (commit.rows_deleted, commit.files_removed) == (0, 0)
        races.assert_holds([])

    def test_a_delete_after_an_overwrite_deletes_from_the_new_rows(self, races: Races) -> None:
        commit = races.run(delete("id >= 3"), overwrite(2, 3, 4, 5))
        assert commit.rows_deleted == 3
        races.assert_holds(rows((2, "a")))

    def test_a_delete_keeps_what_it_found_out_about_files_that_stay(self, races: Races) -> None:
        races.theirs.alter.set_property("inline_max_bytes", 0)
        races.theirs.append(ROWS)
        puts: list[str] = []

        def counted(verb: str, key: str) -> None:
            races._before(verb, key)
            if verb == "put":
                puts.append(key)

        races.ours = tl.Table(FaultyStore(LocalStore(races._folder), before=counted), "t")
        races.run(delete("id IN (1, 2, 3)"), append(9))
        assert len(puts) == 2, "the survivors of each file were written once"
        races.assert_holds([*[row for row in ROWS * 2 if row["id"] == 4], *rows((9, "a"))])

    def test_a_large_vector_is_stored_once_whatever_comes_in_between(self, races: Races) -> None:
        races.theirs.overwrite({"id": list(range(10_000)), "s": ["a"] * 10_000})
        puts: list[str] = []

        def counted(verb: str, key: str) -> None:
            races._before(verb, key)
            if verb == "put":
                puts.append(key.partition("/")[0])

        races.ours = tl.Table(FaultyStore(LocalStore(races._folder), before=counted), "t")
        commit = races.run(delete("hash(id) % 4 = 0"), append(-5), append(-6))
        assert puts == ["deletes"]
        assert commit.rows_deleted > 2000
        assert races.ours.row_count == 10_002 - commit.rows_deleted

    def test_an_overwrite_replaces_whatever_is_there_when_it_commits(self, races: Races) -> None:
        commit = races.run(overwrite(9), append(5, 6))
        assert commit.rows_deleted == 6
        races.assert_holds(rows((9, "a")))

    def test_an_overwrite_of_some_rows_replaces_those_that_came_meanwhile_too(self, races: Races) -> None:
        commit = races.run(overwrite(9, where="s = 'a'"), append(5, 6), append(7, s="c"))
        assert commit.rows_deleted == 4
        races.assert_holds(rows((2, "b"), (3, None), (7, "c"), (9, "a")))

    def test_an_append_after_an_overwrite_stays(self, races: Races) -> None:
        races.run(append(5), overwrite(9))
        races.assert_holds(rows((9, "a"), (5, "a")))

    def test_after_a_hundred_lost_races_a_writer_gives_up_and_nothing_is_added(self, races: Races) -> None:
        class Still(env.Env):
            def sleep(self, wait_s: float) -> None:
                pass

        with env.use(Still()), pytest.raises(tl.ConflictError, match="100"):
            races.run(append(5), *[lambda table: table.alter.set_property("x", "y")] * 100)
        races.assert_holds(ROWS)


class TestShapes:
    """Rows that were written under an older schema are in the table under the new one."""

    @pytest.mark.parametrize(
        ("change", "expected"),
        [
            (lambda t: t.alter.rename_column("s", "text"), {"id": 5, "text": "a"}),
            (lambda t: t.alter.drop_column("s"), {"id": 5}),
            (lambda t: t.alter.widen_column("id", "decimal(22, 2)"), {"id": 5, "s": "a"}),
            (lambda t: t.alter.add_column("n", "int64"), {"id": 5, "s": "a", "n": None}),
            (lambda t: t.alter.add_column("n", "int64", default=7), {"id": 5, "s": "a", "n": 7}),
            (lambda t: t.alter.add_column("n", "int64 not null", default=7), {"id": 5, "s": "a", "n": 7}),
            (lambda t: t.alter.set_default("s", "z"), {"id": 5, "s": "a"}),
            (lambda t: t.alter.partition_by("s"), {"id": 5, "s": "a"}),
            (lambda t: t.alter.sort_by("id desc"), {"id": 5, "s": "a"}),
            (lambda t: t.alter.set_property("target_file_size_bytes", 100_000), {"id": 5, "s": "a"}),
            (lambda t: (t.alter.drop_column("s"), t.alter.add_column("s", "int64")), {"id": 5, "s": None}),
        ],
        ids=[
            "rename",
            "drop",
            "widen",
            "add",
            "add default",
            "add not null",
            "default",
            "partition",
            "sort",
            "property",
            "again",
        ],
    )
    def test_an_append_succeeds_beside_any_change_of_shape(
        self, races: Races, change: Act, expected: dict[str, Any]
    ) -> None:
        races.run(append(5), change)
        for handle in (races.ours, races.theirs, tl.connect(races.lake.url).table("t")):
            newest = [row for row in handle.to_arrow().to_pylist() if row["id"] == 5]
            assert newest == [expected]
            assert handle.scan(where="id = 5").to_arrow().to_pylist() == [expected]
            assert handle.row_count == 5

    @pytest.mark.parametrize("transform", ["id", "bucket(100, id)", "truncate(10, id)"])
    @pytest.mark.parametrize("wider", ["decimal(22, 2)", "decimal(19, 0)"])
    def test_rows_partitioned_under_the_narrow_type_are_found_under_the_wide_one(
        self, tmp_path: Path, transform: str, wider: str
    ) -> None:
        races = Races(tmp_path, partition_by=transform)
        races.run(append(5), lambda table: table.alter.widen_column("id", wider))
        races.theirs.append({"id": [5, 6]})
        for handle in (races.ours, tl.open_table(races._folder)):
            assert handle.scan(where="id = 5").to_arrow().num_rows == 2
            assert handle.row_count == 7
        assert races.ours.delete("id = 5").rows_deleted == 2

    @pytest.mark.parametrize(
        ("rule", "said"),
        [
            (lambda t: t.alter.add_check("small", "id < 100"), "small"),
            (lambda t: (t.delete("s IS NULL"), t.alter.set_not_null("s")), "not null"),
        ],
        ids=["check", "not null"],
    )
    @pytest.mark.parametrize(
        "ours", [append(5), overwrite(5), overwrite(5, where="id = 5")], ids=["append", "all", "some"]
    )
    def test_rows_that_nobody_held_against_a_new_rule_are_a_conflict(
        self, races: Races, ours: Act, rule: Act, said: str
    ) -> None:
        with pytest.raises(tl.ConflictError, match=said):
            races.run(ours, rule)
        assert 5 not in races.theirs.to_arrow()["id"].to_pylist()
        races.ours.append([{"id": 5, "s": "x"}])
        assert races.theirs.to_arrow()["id"].to_pylist().count(5) == 1

    def test_a_rule_that_was_dropped_meanwhile_is_no_conflict(self, tmp_path: Path) -> None:
        races = Races(tmp_path, checks={"small": "id < 100"})
        races.run(append(5), lambda table: table.alter.drop_check("small"))
        assert races.ours.row_count == 5

    def test_a_delete_reads_its_condition_anew_under_a_new_schema(self, races: Races) -> None:
        races.run(delete("s = 'a'"), lambda table: table.alter.add_column("n", "int64", default=1))
        assert [row["id"] for row in races.ours.to_arrow().to_pylist()] == [2, 3]
        races.run(delete("n = 1 AND id = 2"), lambda table: table.alter.widen_column("id", "decimal(20, 0)"))
        assert [int(row["id"]) for row in races.ours.to_arrow().to_pylist()] == [3]

    @pytest.mark.parametrize("act", [delete("s = 'a'"), overwrite(9, where="s = 'a'")], ids=["delete", "overwrite"])
    def test_a_condition_on_a_column_that_is_gone_changes_nothing(self, races: Races, act: Act) -> None:
        with pytest.raises(tl.InvalidError, match="s = 'a'"):
            races.run(act, lambda table: table.alter.rename_column("s", "text"))
        assert races.theirs.row_count == 4

    def test_a_column_of_the_same_name_is_another_column(self, races: Races) -> None:
        def replace(table: tl.Table) -> None:
            table.alter.drop_column("s")
            table.alter.add_column("s", "string", default="a")

        commit = races.run(delete("s = 'a'"), replace)
        assert commit.rows_deleted == 4, "every row reads as the default now"

    def test_alters_of_different_things_both_take_effect(self, races: Races) -> None:
        races.run(
            lambda table: table.alter.add_column("x", "int64"),
            lambda table: table.alter.add_column("y", "int64"),
            lambda table: table.alter.rename_column("s", "text"),
        )
        schema = races.ours.schema
        assert schema.names == ["id", "text", "y", "x"]
        assert len({field.id for field in schema}) == 4
        assert races.ours.to_arrow().num_rows == 4

    @pytest.mark.parametrize(
        ("ours", "theirs", "error"),
        [
            (lambda t: t.alter.add_column("x", "int64"), lambda t: t.alter.add_column("X", "string"), tl.InvalidError),
            (lambda t: t.alter.rename_column("s", "x"), lambda t: t.alter.rename_column("s", "y"), tl.NotFoundError),
            (lambda t: t.alter.rename_column("s", "x"), lambda t: t.alter.drop_column("s"), tl.NotFoundError),
            (lambda t: t.alter.drop_column("s"), lambda t: t.alter.drop_column("s"), tl.NotFoundError),
            (lambda t: t.alter.drop_column("s"), lambda t: t.alter.add_check("c", "s <> 'z'"), tl.InvalidError),
            (lambda t: t.alter.drop_column("s"), lambda t: t.alter.partition_by("s"), tl.InvalidError),
            (lambda t: t.alter.add_check("c", "id < 9"), lambda t: t.alter.add_check("c", "id < 8"), tl.InvalidError),
            (lambda t: t.alter.add_check("c", "id < 9"), append(10), tl.InvalidError),
            (lambda t: t.alter.add_check("c", "s <> 'z'"), lambda t: t.alter.rename_column("s", "x"), tl.InvalidError),
            (lambda t: t.alter.set_not_null("id"), lambda t: t.append({"s": ["x"]}), tl.InvalidError),
            (lambda t: t.alter.partition_by("s"), lambda t: t.alter.drop_column("s"), tl.NotFoundError),
            (
                lambda t: t.alter.widen_column("id", "decimal(20, 0)"),
                lambda t: t.alter.widen_column("id", "decimal(19, 0)"),
                None,
            ),
            (lambda t: t.alter.sort_by("s"), lambda t: t.alter.rename_column("s", "x"), tl.NotFoundError),
        ],
        ids=[
            "add, add",
            "rename, rename",
            "rename, drop",
            "drop, drop",
            "drop, check",
            "drop, partition",
            "check, check",
            "check, append",
            "check, rename",
            "not null, append",
            "partition, drop",
            "widen, widen less",
            "sort, rename",
        ],
    )
    def test_alters_that_exclude_each_other_fail_as_if_one_came_later(
        self, races: Races, ours: Act, theirs: Act, error: type[tl.TablelogError] | None
    ) -> None:
        if error is None:
            races.run(ours, theirs)
        else:
            with pytest.raises(error):
                races.run(ours, theirs)
        cold = tl.open_table(races._folder)
        assert cold.version == (2 if error is None else 1)
        assert bag(cold.to_arrow().to_pylist()) == bag(races.ours.to_arrow().to_pylist())


class TestCatalog:
    def test_of_two_that_create_one_table_one_is_told_so(self, tmp_path: Path) -> None:
        tl.connect(tmp_path)
        theirs = tl.connect(tmp_path)
        waiting = [lambda: theirs.create_table("t", {"id": [1]})]

        def before(verb: str, key: str) -> None:
            if verb == "put_if_absent" and waiting:
                waiting.pop()()

        register_store("raced", lambda url, options: FaultyStore(LocalStore(tmp_path), before=before))
        ours = tl.connect("raced://x")
        with pytest.raises((tl.ConflictError, tl.InvalidError)):
            ours.create_table("t", {"id": [2]})
        assert ours.tables() == ["t"]
        assert ours.table("t").to_arrow().to_pylist() == [{"id": 1}]

    def test_of_many_that_create_one_table_one_wins(self, tmp_path: Path) -> None:
        tl.connect(tmp_path)
        barrier = threading.Barrier(6)
        outcomes: list[str] = []

        def create(number: int) -> None:
            lake = tl.connect(tmp_path)
            barrier.wait()
            try:
                lake.create_table("ns.t", {"id": [number]})
                outcomes.append("made")
            except (tl.ConflictError, tl.InvalidError):
                outcomes.append("refused")

        in_threads([lambda number=number: create(number) for number in range(6)])
        assert sorted(outcomes) == ["made", *["refused"] * 5]
        lake = tl.connect(tmp_path)
        assert lake.tables() == ["ns.t"]
        assert lake.table("ns.t").row_count == 1

    def test_tables_of_different_names_are_made_at_once(self, tmp_path: Path) -> None:
        tl.connect(tmp_path)
        in_threads([lambda n=n: tl.connect(tmp_path).create_table(f"t{n}", {"id": [n]}) for n in range(8)])
        lake = tl.connect(tmp_path)
        assert lake.tables() == [f"t{n}" for n in range(8)]
        assert [lake.table(f"t{n}").to_arrow()["id"].to_pylist() for n in range(8)] == [[n] for n in range(8)]

    def test_of_many_that_make_one_lake_all_get_the_same(self, tmp_path: Path) -> None:
        in_threads([lambda: tl.connect(tmp_path / "lake") for _ in range(8)])
        in_threads([lambda n=n: tl.connect(tmp_path / "lake").create_table(f"t{n}", {"id": [n]}) for n in range(4)])
        assert len(tl.connect(tmp_path / "lake").tables()) == 4


def in_threads(acts: list[Callable[[], Any]]) -> None:
    """Run all at once; the first error goes up."""
    errors: list[BaseException] = []

    def run(act: Callable[[], Any]) -> None:
        try:
            act()
        except BaseException as error:  # noqa: BLE001 - it goes up below
            errors.append(error)

    threads = [threading.Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


class TestThreads:
    @pytest.fixture
    def url(self) -> Iterator[str]:
        store = MemoryStore()
        register_store("shared", lambda url, options: store)
        tl.connect("shared://x").create_table("t", {"worker": "int64", "number": "int64"})
        yield "shared://x"

    @pytest.mark.parametrize("shared", [True, False], ids=["one handle", "own handles"])
    def test_appends_of_eight_threads_are_all_there_once(self, url: str, shared: bool) -> None:
        table = tl.connect(url).table("t")
        acknowledged: list[int] = []

        def work(worker: int) -> None:
            handle = table if shared else tl.connect(url).table("t")
            for number in range(20):
                acknowledged.append(handle.append({"worker": [worker], "number": [number]}).version)

        in_threads([lambda worker=worker: work(worker) for worker in range(8)])
        assert sorted(acknowledged) == list(range(1, 161))
        cold = tl.connect(url).table("t")
        assert bag(cold.to_arrow().to_pylist()) == bag({"worker": w, "number": n} for w in range(8) for n in range(20))
        assert cold.version == table.version == 160
        for version in (0, 1, 80, 159):
            assert cold.at(version=version).row_count == version

    def test_appends_deletes_overwrites_and_readers_at_once_add_up(self, url: str) -> None:
        table = tl.connect(url).table("t")
        done = threading.Event()

        def read() -> None:
            while not done.is_set():
                snapshot = table.snapshot()
                assert snapshot.to_arrow().num_rows == snapshot.row_count
                assert snapshot.scan(where="number >= 0").to_arrow().num_rows == snapshot.row_count

        def write(worker: int) -> None:
            handle = table if worker % 2 else tl.connect(url).table("t")
            for number in range(6):
                handle.append({"worker": [worker] * 3, "number": [number] * 3})
                handle.delete(f"worker = {worker} AND number = {number - 1}")
                handle.overwrite(
                    {"worker": [worker], "number": [number]}, where=f"worker = {worker} AND number = {number}"
                )

        reader = threading.Thread(target=read)
        reader.start()
        try:
            in_threads([lambda worker=worker: write(worker) for worker in range(4)])
        finally:
            done.set()
            reader.join()
        cold = tl.connect(url).table("t")
        assert bag(cold.to_arrow().to_pylist()) == bag({"worker": worker, "number": 5} for worker in range(4))
        history = cold.history()
        assert history["rows_added"].sum() - history["rows_deleted"].sum() == 4


class TestLostAnswers:
    """P2: an answer that is lost is settled by what is stored."""

    @pytest.mark.parametrize("fault", [Fault.ANSWER_LOST, Fault.SENT_TWICE], ids=lambda fault: fault.name)
    def test_a_commit_whose_answer_is_lost_is_there_once(self, fault: Fault) -> None:
        store = FaultyStore(MemoryStore())
        register_store("faulty", lambda url, options: store)
        store.inject(fault, verb="put_if_absent", key_ends=".json")
        lake = tl.connect("faulty://x")
        for number in range(3):
            store.inject(fault, verb="put_if_absent", key_ends=".json")
            lake.create_table(f"t{number}", {"id": [number]})
        table = lake.table("t0")
        acts: list[Act] = [append_id(5), delete("id = 5"), lambda t: t.alter.add_column("x", "int64"), append_id(6)]
        for version, act in enumerate(acts, start=1):
            store.inject(fault, verb="put_if_absent", key_ends=".json")
            assert act(table).version == version
        assert store.injected[fault] == 8
        assert sorted(table.to_arrow()["id"].to_pylist()) == [0, 6]
        assert tl.connect("faulty://x").tables() == ["t0", "t1", "t2"]

    def test_with_many_faults_what_was_acknowledged_is_there_once(self) -> None:
        class Still(env.Env):
            def sleep(self, wait_s: float) -> None:
                pass

        rates = {Fault.FAILED: 0.1, Fault.ANSWER_LOST: 0.2, Fault.SENT_TWICE: 0.2}
        faulty = FaultyStore(MemoryStore(), seed=11)
        register_store("faulty", lambda url, options: RetryingStore(faulty))
        with env.use(Still()):
            tl.connect("faulty://x").create_table("t", {"id": "int64"})
            faulty._rates = dict(rates)
            unsure: list[int] = []

            def work(worker: int) -> None:
                table = tl.connect("faulty://x").table("t")
                for number in range(15):
                    try:
                        table.append({"id": [worker * 100 + number]})
                    except tl.StoreError as error:
                        assert error.maybe_applied or error.transient
                        unsure.append(worker * 100 + number)

            in_threads([lambda worker=worker: work(worker) for worker in range(4)])
            assert min(faulty.injected.values()) > 4
            faulty.heal()
            found = tl.connect("faulty://x").table("t").to_arrow()["id"].to_pylist()
        assert len(found) == len(set(found))
        assert {worker * 100 + number for worker in range(4) for number in range(15)} - set(unsure) <= set(found)

    def test_a_commit_that_certainly_failed_is_not_there(self) -> None:
        store = FaultyStore(MemoryStore())
        register_store("faulty", lambda url, options: store)
        table = tl.connect("faulty://x").create_table("t", {"id": "int64"}, properties={"inline_max_bytes": 0})
        for verb in ("put", "put_if_absent"):
            store.inject(Fault.FAILED, verb=verb)
            with pytest.raises(tl.StoreError) as caught:
                table.append({"id": [1]})
            assert not caught.value.maybe_applied
        assert table.version == 0
        table.append({"id": [1]})
        assert table.row_count == 1


def append_id(number: int) -> Act:
    return lambda table: table.append({"id": [number]})
