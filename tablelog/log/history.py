"""What a table's log adds up to: its history in memory.

The history is a row of parts, merged in memory by the same rule by which segments are written, so a process that
follows a log for a long time holds what one has that has just opened it. What changes rarely (schema, partitioning,
settings) is an immutable `Metadata` value, remembered for each version where it changed.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from tablelog.errors import CorruptionError, InvalidError, NotFoundError
from tablelog.format import names
from tablelog.format.action_json import ActionReader
from tablelog.format.actions import AddFile, FileActions, RemoveFile, SetApplication, SetHorizon
from tablelog.format.hint import FAN_OUT_DEFAULT, FAN_OUT_MAX, FAN_OUT_MIN
from tablelog.log.actions_object import open_actions
from tablelog.log.changed import file_changes
from tablelog.log.facts import FACTS_SCHEMA, Commit, commit_of, commits_of, datetime_of
from tablelog.log.file_rows import min_column
from tablelog.log.lineage import Lineage, Merging
from tablelog.log.metadata import Metadata, begin, changed
from tablelog.log.parts import Change, Segment, Step
from tablelog.log.state import TableState
from tablelog.parquet.plain import scalar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from tablelog.format.actions import Action
    from tablelog.format.commits import CommitRecord
    from tablelog.format.schema import Schema
    from tablelog.log.changed import FileChanges
    from tablelog.store.base import ObjectStore

LOG_FAN_OUT: Final = "log_fan_out"
_FACTS_AT_ONCE: Final = 256


class TableHistory:
    """The commits of one table, applied in order. Grows by `apply` and `load`; states taken earlier never change."""

    def __init__(self, store: ObjectStore) -> None:
        """Begin before version 0; objects that commits name are in `store`."""
        self._store = store
        self.restart()

    def restart(self) -> None:
        """Begin before version 0 again."""
        self.reader = ActionReader()
        self.lineage = Lineage()
        self._metadata_versions: list[int] = []
        self._metadata_values: list[Metadata] = []
        self._checked: tuple[Sequence[Mapping[str, Any]], int, list[Action]] | None = None
        """The last actions that were found right, for which version, and what they say: most often they come next."""

    # ------------------------------------------------------------------ growing

    def apply(self, record: CommitRecord) -> None:
        """Take the next commit in.

        Raises:
            CorruptionError: its actions contradict themselves or the table.
            InvalidError: a newer tablelog wrote it.

        """
        with _told(record.version):
            checked, self._checked = self._checked, None
            if checked is not None and checked[0] is record.actions and checked[1] == record.version:
                actions = checked[2]
            else:
                actions = self._read(self.reader, record.actions, record.version)
            metadata = self._changed(actions)
            step = self._step(record, actions)
            self._check_files(step)
        self._note(record.version, metadata)
        self.lineage.append(step)

    def load(self, segment: Segment) -> None:
        """Take the next commits in, merged.

        Raises:
            CorruptionError: its actions contradict themselves or the table.
            InvalidError: a newer tablelog wrote it.

        """
        version = segment.first
        actions: list[Action] = []
        for change in segment.changes:
            with _told(change.version):
                if change.version != version:
                    self._note(version, self._changed(actions) if actions else None)
                    version, actions = change.version, []
                actions.append(self.reader.read(change.action))
        if actions:
            with _told(version):
                self._note(version, self._changed(actions))
        self.lineage.append(segment)

    def _changed(self, actions: list[Action]) -> Metadata:
        if self._metadata_values:
            metadata = changed(self._metadata_values[-1], actions)
            if metadata.horizon is not self._metadata_values[-1].horizon:
                self._check_base(metadata.horizon)
            return metadata
        return changed(begin(actions), actions[2:])

    def _check_base(self, horizon: SetHorizon) -> None:
        """Hold the base that history begins with against what the log says of it."""
        first = self.lineage.parts[0] if self.lineage.parts else None
        if isinstance(first, Segment) and first.is_base and first.last == horizon.base_last:
            assert first.sealed is not None
            if first.sealed.digest != horizon.base_digest:
                raise CorruptionError(f"{first.sealed.name}: it is not the base that the log speaks of")

    def _note(self, version: int, metadata: Metadata | None) -> None:
        if metadata is not None and (not self._metadata_values or metadata is not self._metadata_values[-1]):
            self._metadata_versions.append(version)
            self._metadata_values.append(metadata)

    def _step(self, record: CommitRecord, actions: list[Action]) -> Step:
        added = tuple(action for action in actions if isinstance(action, AddFile))
        removed = tuple(action for action in actions if isinstance(action, RemoveFile))
        changes = tuple(
            Change(record.version, raw)
            for raw, action in zip(record.actions, actions, strict=True)
            if not isinstance(action, AddFile | RemoveFile | FileActions | SetApplication)
        )
        objects = [action for action in actions if isinstance(action, FileActions)]
        if len(objects) > 1 or (objects and (removed or any(file.content is None for file in added))):
            raise CorruptionError("its file actions stand in more than one place")
        numbers = [action for action in actions if isinstance(action, SetApplication)]
        if len(numbers) > 1:
            raise CorruptionError("it has more than one number of an application")
        outsourced = [open_actions(self._store, names.LOG + action.path, action) for action in objects]
        return Step(
            record=record,
            added=added,
            removed=removed,
            changes=changes,
            blocks=tuple(block for adds, _ in outsourced for block in adds),
            removed_blocks=tuple(block for _, removes in outsourced for block in removes),
            application=numbers[0] if numbers else None,
        )

    def _check_files(self, step: Step) -> None:
        """Refuse removes of files that are not live and adds of files that are.

        Files in segments whose paths were not read are taken for what the commit says; whoever lists them counts.
        """
        removed = [action.path for action in step.removed]
        added = [action.path for action in step.added]
        for twice in (removed, added):
            if len(set(twice)) < len(twice):
                verb = "removes" if twice is removed else "adds"
                raise CorruptionError(f"it {verb} {next(path for path in twice if twice.count(path) > 1)!r} twice")
        live = self._live_in_steps()
        for path in added:
            if live.get(path, False) and path not in removed:
                raise CorruptionError(f"it adds {path!r}, which is already in the table")
        missing = [path for path in removed if not live.get(path, False)]
        gone = [path for path in missing if path in live]
        if gone or (missing and all(part.is_held for part in self.lineage.parts)):
            before = set() if gone else self._live_in_parts(missing)
            lost = gone or [path for path in missing if path not in before]
            if lost:
                raise CorruptionError(f"it removes {lost[0]!r}, which is not in the table")

    def _live_in_steps(self) -> dict[str, bool]:
        """Paths of which the last commits speak, as far back as nothing else is between, and whether they are live."""
        live: dict[str, bool] = {}
        for part in self.lineage.parts:
            if isinstance(part, Segment) or not part.is_held:  # it may take away or bring back what is known
                live.clear()
            else:
                live |= dict.fromkeys((file.path for file in part.removed), False)
                live |= dict.fromkeys((file.path for file in part.added), True)
        return live

    def _live_in_parts(self, paths: list[str]) -> set[str]:
        """Those of some paths that are live; all parts are in memory."""
        found: set[str] = set()
        wanted = pa.array(paths, pa.string())
        for part in self.lineage.parts:
            for removed in part.removed_at(part.last):
                found.difference_update(removed.to_pylist())
            found.update(file.path for file in part.added if file.path in paths)
            if isinstance(part, Segment):
                for block in part.live:
                    column = block.columns(("path",))["path"]
                    found.update(column.filter(pc.is_in(column, value_set=wanted)).to_pylist())
        return found

    def check(self, actions: Sequence[Mapping[str, Any]]) -> None:
        """Make sure that what is about to be committed can be read again: what stands in the log stands there for ever.

        Raises:
            InvalidError: it cannot.

        """
        version = self.lineage.newest + 1
        try:
            read = self._read(self.reader.copy(), actions, version)
        except CorruptionError as error:
            raise InvalidError(f"nothing was committed, because nobody could read it: {error}") from error
        if all(isinstance(action, AddFile | RemoveFile) for action in read):  # whose reading teaches no reader anything
            self._checked = actions, version, read

    @staticmethod
    def _read(reader: ActionReader, actions: Sequence[Mapping[str, Any]], version: int) -> list[Action]:
        return [reader.read(action, version, number) for number, action in enumerate(actions)]

    @property
    def features(self) -> frozenset[str]:
        """What a reader of the log must know of so far."""
        return self._metadata_values[-1].features if self._metadata_values else frozenset()

    @property
    def base(self) -> int | None:
        """Last version of the base that the log speaks of, if it does."""
        return self._metadata_values[-1].horizon.base_last if self._metadata_values else None

    @property
    def base_digest(self) -> str | None:
        """Digest of that base."""
        return self._metadata_values[-1].horizon.base_digest

    def merging(self, version: int) -> Merging:
        """How segments are made that end with a version."""
        return Merging(_fan_out_as_it_stands(self.metadata_at(version).properties), self.reader, self._order(version))

    def _order(self, version: int) -> tuple[str, ...]:
        """Columns by which live files of a segment are sorted that ends with a version."""
        metadata = self.metadata_at(version)
        field_ids = [field.field_id for field in metadata.order]
        types = self.reader.types_of(metadata.schema.id)
        bounds = [min_column(field_id, types[field_id]) for field_id in field_ids if field_id in types]
        return (*(("partitioning", "partition") if metadata.partitioning.fields else ()), *bounds)

    # ------------------------------------------------------------------ looking back

    def state(self) -> TableState:
        """The table at the newest version applied."""
        return TableState(self.lineage.parts, self.lineage.newest, self._metadata_values[-1], self.reader)

    def state_at(self, version: int) -> TableState:
        """The table at a version.

        Raises:
            NotFoundError: there is no such version, or it has expired.

        """
        newest, horizon = self.lineage.newest, self.horizon
        if not 0 <= version <= newest:
            raise NotFoundError(f"there is no version {version}; the table has versions {horizon} to {newest}")
        if version < horizon:
            raise NotFoundError(
                f"version {version} has expired: history was kept from version {horizon} on, up to {newest}"
            )
        return TableState(self.lineage.parts, version, self.metadata_at(version), self.reader)

    @property
    def horizon(self) -> int:
        """The oldest version that can be read."""
        return self._metadata_values[-1].horizon.version if self._metadata_values else 0

    def version_at(self, timestamp_us: int) -> int:
        """The newest version committed at or before that time.

        Raises:
            NotFoundError: the table is younger than that, or the version has expired.

        """
        position = bisect_right(self.lineage.parts, timestamp_us, key=lambda part: part.first_timestamp_us)
        part = self.lineage.parts[max(position - 1, 0)]
        facts = part.facts(("added", "timestamp"))
        until = facts.filter(
            pc.less_equal(facts.column("timestamp").cast(pa.int64()), scalar(timestamp_us, pa.int64()))
        ).column("added")
        if position and len(until) and until[-1].as_py() >= self.horizon:
            return int(until[-1].as_py())
        first = self.state_at(self.horizon)
        when = datetime_of(timestamp_us)
        if self.horizon:
            raise NotFoundError(
                f"what the table was at {when} has expired: history was kept from version {self.horizon} on, which is "
                f"from {datetime_of(first.timestamp_us)}"
            )
        raise NotFoundError(f"the table did not exist at {when}; version 0 is from {datetime_of(first.timestamp_us)}")

    def commits(self, until: int) -> Iterator[Commit]:
        """What can still be read of the history up to a version, newest first."""
        for part in reversed(self.lineage.parts):
            if part.first > until or part.last < self.horizon:
                continue
            if isinstance(part, Step):
                yield commit_of(part)
                continue
            facts = part.facts(tuple(FACTS_SCHEMA.names))
            for start in reversed(range(0, facts.num_rows, _FACTS_AT_ONCE)):
                found = list(commits_of(facts.slice(start, _FACTS_AT_ONCE)))
                yield from (commit for commit in reversed(found) if self.horizon <= commit.version <= until)

    def commit_at(self, version: int) -> Commit:
        """One commit of the history, which may be one before the horizon if its facts are kept.

        Raises:
            NotFoundError: nothing is known of it.

        """
        for part in self.lineage.parts:
            if part.first <= version <= part.last:
                if isinstance(part, Step):
                    return commit_of(part)
                facts = part.facts(tuple(FACTS_SCHEMA.names))
                for commit in commits_of(facts.filter(pc.equal(facts.column("added"), scalar(version, pa.int64())))):
                    return commit
        raise NotFoundError(f"nothing is known any more of how version {version} came about")

    def numbered(self, application: str) -> dict[int, int]:
        """Versions by the numbers that an application gave to its commits, as far as the history is kept."""
        versions: dict[int, int] = {}
        for part in self.lineage.parts:
            table: Any = part.numbers()
            ours = table.filter(pc.equal(table.column("application"), scalar(application, pa.string())))
            versions |= zip(ours.column("number").to_pylist(), ours.column("added").to_pylist(), strict=True)
        return versions

    def file_changes(self, since: int, until: int) -> dict[int, FileChanges]:
        """What the commits after a version, up to another, did to files; see `log.changed`."""
        return file_changes(self.lineage.parts, since, until, self.reader)

    def paths_added(self, since: int) -> Iterator[str]:
        """Paths of files that commits after a version brought, whether they came for the first time or came back."""
        for part in self.lineage.parts:
            if part.last <= since:
                continue
            if isinstance(part, Step):
                yield from (file.path for file in part.added)
                yield from (path for block in part.blocks for path in block.columns(("path",))["path"].to_pylist())
                continue
            for block in (*part.live, *part.dead):
                columns = block.columns(("added", "path"))
                came = pc.greater(columns["added"], scalar(since, pa.int64())).fill_null(False)
                yield from columns["path"].filter(came).to_pylist()

    def later(self, since: int, until: int) -> Iterator[tuple[Commit, FileChanges]]:
        """The commits after a version, up to another, that changed files."""
        return ((self.commit_at(version), each) for version, each in self.file_changes(since, until).items())

    def timestamps_us(self, versions: Iterable[int]) -> dict[int, int]:
        """When versions were committed, microseconds since 1970-01-01 UTC."""
        wanted = set(versions)
        found: dict[int, int] = {}
        for part in self.lineage.parts:
            if any(part.first <= version <= part.last for version in wanted):
                facts = part.facts(("added", "timestamp"))
                times = facts.column("timestamp").cast(pa.int64()).to_pylist()
                every = zip(facts.column("added").to_pylist(), times, strict=True)
                found |= {version: time for version, time in every if version in wanted}
        return found

    @property
    def schemas(self) -> Mapping[int, Schema]:
        """Every schema so far, by id."""
        return self._metadata_values[-1].schemas

    def metadata_at(self, version: int) -> Metadata:
        """Everything but files at a version."""
        return self._metadata_values[bisect_right(self._metadata_versions, version) - 1]


def fan_out_of(properties: Mapping[str, str]) -> int:
    """How many parts of a table's log are merged into one.

    Raises:
        InvalidError: the property is no whole number from 2 to 1024.

    """
    text = properties.get(LOG_FAN_OUT)
    if text is None:
        return FAN_OUT_DEFAULT
    is_short = len(text) <= len(str(FAN_OUT_MAX))  # Python refuses to read thousands of digits
    if not is_short or not text.isdecimal() or not FAN_OUT_MIN <= int(text) <= FAN_OUT_MAX:
        raise InvalidError(
            f"property {LOG_FAN_OUT} is {text!r}; it must be a whole number from {FAN_OUT_MIN} to {FAN_OUT_MAX}"
        )
    return int(text)


def _fan_out_as_it_stands(properties: Mapping[str, str]) -> int:
    """The same where the property stands in a log, which stays readable whatever somebody wrote there."""
    try:
        return fan_out_of(properties)
    except InvalidError:
        return FAN_OUT_DEFAULT


class _told:  # noqa: N801 - used like a function
    """Says of errors inside which version of the log they are about."""

    def __init__(self, version: int) -> None:
        self._version = version

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, CorruptionError | InvalidError):
            raise type(error)(f"version {self._version} of the log: {error}") from error
