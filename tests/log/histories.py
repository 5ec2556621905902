"""Random histories of a table that has a log and no data, and what each version of it must be, in plain Python.

steps       files added and removed, paths that come back, columns added and widened, settings, partitionings, sort orders
model       the files that were handed in, in a dict by path; everything else is read from the commits' JSON
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from tablelog.format import names
from tablelog.format.actions import AddFile, RemoveFile, SetProperty, SetSchema, removal
from tablelog.format.partitioning import Transform, encode_partitioning, result_type
from tablelog.format.schema import encode_schema, widen_column
from tablelog.format.statistics import UNKNOWN, FieldStatistics
from tablelog.format.type_text import parse_type
from tablelog.format.types import is_float
from tablelog.log import actions_object
from tests.log.test_merging_races import commit, file, new_table

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping

    from tablelog.format.types import Field
    from tablelog.log.state import TableState
    from tablelog.store.base import ObjectStore
    from tablelog.table import Table

POOLS: dict[str, list[Any]] = {
    "boolean": [False, True],
    "int32": [-(2**31), -1, 0, 1, 5, 2**31 - 1],
    "int64": [-(2**63), -(2**53) - 1, 0, 5, 2**53 + 1, 2**63 - 1],
    "uint64": [0, 1, 2**63, 2**64 - 1],
    "float32": [-math.inf, -1.5, -0.0, 0.0, 0.25, math.inf],
    "float64": [-math.inf, -1e308, -0.0, 0.0, 5e-324, 0.1, math.inf],
    "string": ["", "\x00", "a", "ab", "b", "é", "\uffff", "\U0010ffff" * 32],
    "binary": [b"", b"\x00", b"a", b"\xff" * 32],
    "date": [-719_162, -1, 0, 20_758],
    "time[ms]": [0, 1, 86_399_999],
    "timestamp[us]": [-62_135_596_800_000_000, -1, 0, 1_793_525_415_123_456],
    "timestamp[ms, Europe/Oslo]": [-1, 0, 1_793_525_415_123],
    "timestamp[ns, UTC]": [-1, 0, 1_793_525_415_123_456_789],
    "decimal(10, 2)": [Decimal("-99999999.99"), Decimal("0.00"), Decimal("12.50")],
    "decimal(14, 4)": [Decimal("-9999999999.9999"), Decimal("12.5000"), Decimal("12.5001")],
    "decimal(24, 1)": [Decimal("-9223372036854775808.0"), Decimal("0.0"), Decimal("0.1"), Decimal("5.0")],
}
"""Values in ascending order."""
WIDER = {"int32": "int64", "int64": "decimal(24, 1)", "float32": "float64", "date": "timestamp[us]",
         "decimal(10, 2)": "decimal(14, 4)"}  # fmt: skip
PARTITIONINGS = (["c2"], ["bucket(3, c2)"], ["bucket(4, c3)", "truncate(2, c7)"], ["day(c9)"], ["bucket(2, c14)"])


@dataclass(frozen=True)
class Version:
    files: tuple[AddFile, ...]
    added: int
    removed: int
    commit: Mapping[str, Any]
    """As JSON has it."""
    settings: Mapping[str, Any]
    """By kind and name, as JSON has them."""


class History:
    """One table that changes at random, and all its versions."""

    def __init__(self, dice: random.Random, store: ObjectStore, fan_out: int) -> None:
        self.dice = dice
        self.store = store
        first = [text for text in POOLS if text not in ("decimal(14, 4)", "decimal(24, 1)")]
        columns = {f"c{number}": text for number, text in enumerate(first, 1)}
        self.table = new_table(store, columns, log_fan_out=str(fan_out))
        self.live: dict[str, AddFile] = {}
        self.gone: list[str] = []
        self.versions: list[Version] = []
        self._number = 0
        self._note(0, 0)

    def step(self) -> None:
        match self.dice.randrange(12):
            case 0:
                self._widen()
            case 1:
                self.table.alter.set_property(self.dice.choice("pq"), self.dice.choice(["x", "y", None]))
            case 2:
                self.table.alter.partition_by(*self.dice.choice(PARTITIONINGS))
            case 3 if self.dice.random() < 0.5:
                self.table.alter.sort_by(self.dice.choice(["c2", "c7 desc", "c9"]))
            case 4:
                self.table.alter.add_column(f"new{self._number}_{len(self.versions)}", self.dice.choice(list(POOLS)))
            case _:
                self._change_files()
                return
        self._note(0, 0)

    def _widen(self) -> None:
        fields = [field for field in self.table.schema if str(field.type) in WIDER]
        used = {field.source_id for field in self.table._log.known().metadata.partitioning.fields}
        fields = [field for field in fields if field.id not in used]
        if fields:
            field = self.dice.choice(fields)
            wider = widen_column(self.table.schema, field.name, parse_type(WIDER[str(field.type)]))
            commit(self.table, SetSchema(schema=wider))
        else:
            self.table.alter.set_property("p", "z")

    def _change_files(self) -> None:
        removed = self.dice.sample(sorted(self.live), min(len(self.live), self.dice.choice([0, 0, 1, 2])))
        back = self.dice.sample(sorted(self.gone), min(len(self.gone), self.dice.choice([0, 0, 1])))
        added = [self.new_file(path) for path in back]
        for _ in range(self.dice.randrange(4)):
            self._number += 1
            added.append(self.new_file(f"data/{self._number}"))
        removals = [self._removal(self.live[path]) for path in removed]
        for path in removed:
            del self.live[path]
        self.gone = [path for path in self.gone if path not in back] + removed
        before, actions_object.INLINE_MAX = actions_object.INLINE_MAX, self.dice.choice([1, 1000])
        try:
            commit(self.table, *added, *removals, SetProperty(name="files", value=str(self._number)))
        finally:
            actions_object.INLINE_MAX = before
        self.live |= {each.path: each for each in added}
        self._note(len(added), len(removed))

    def _removal(self, file_: AddFile) -> RemoveFile:
        return removal(file_) if self.dice.random() < 0.8 else RemoveFile(path=file_.path)

    def new_file(self, path: str) -> AddFile:
        metadata = self.table._log.known().metadata
        schema = metadata.schemas[self.dice.choice(sorted(metadata.schemas)[-2:])]
        if any(schema.by_id(each.source_id) is None for each in metadata.partitioning.fields):
            schema = metadata.schema
        rows = self.dice.randrange(4)
        values = tuple(
            None if self.dice.random() < 0.2
            else self.dice.randrange(each.parameter or 1) if each.transform is Transform.BUCKET
            else self.dice.choice(POOLS[str(result_type(each, schema.by_id(each.source_id).type))])
            for each in metadata.partitioning.fields
        )  # fmt: skip
        some = [field for field in schema if self.dice.random() < 0.7]
        return file(
            path.removeprefix("data/"),
            size_bytes=self.dice.randrange(1000),
            row_count=rows,
            schema_id=schema.id,
            partitioning_id=metadata.partitioning.id if values else 0,
            partition_values=values,
            statistics={field.id: self._statistics(field, rows) for field in some},
            crc32=self.dice.choice([None, 0, 2**32 - 1]),
        )

    def _statistics(self, field: Field, rows: int) -> FieldStatistics:
        pool = POOLS[str(field.type)]
        low, high = sorted(self.dice.choices(range(len(pool)), k=2))
        nulls = self.dice.choice([None, 0, rows, self.dice.randrange(rows + 1)])
        nans = self.dice.choice([None, 0, self.dice.randrange(rows + 1)]) if is_float(field.type) else 0
        known = FieldStatistics(min=pool[low], max=pool[high], null_count=nulls, nan_count=nans)
        return replace(known, **dict.fromkeys(self.dice.choice([[], [], [], ["min"], ["max"], ["min", "max"]])))

    def _note(self, added: int, removed: int) -> None:
        record = json.loads(self.store.get(names.LOG + names.commit(len(self.versions))))
        settings: dict[str, Any] = dict(self.versions[-1].settings) if self.versions else {}
        for action in record["actions"]:
            ((kind, body),) = action.items()
            if kind in ("property", "check"):
                settings[f"{kind} {body['name']}"] = body.get("value", body.get("expression"))
            elif kind not in ("add", "remove", "actions"):
                settings[kind] = body
        settings = {name: value for name, value in settings.items() if value is not None}
        self.versions.append(Version(tuple(self.live.values()), added, removed, record, settings))


def comparable(file_: AddFile) -> tuple[Any, ...]:
    """A file with all its statistics; what says nothing is left out."""
    known = {field_id: file_.statistics[field_id] for field_id in file_.statistics}
    told = {field_id: each for field_id, each in known.items() if each not in (UNKNOWN, FieldStatistics(nan_count=0))}
    return replace(file_, statistics={}), told


def assert_is(state: TableState, version: Version) -> None:
    """A state is what the model says of its version."""
    record, metadata = version.commit, state.metadata
    assert state.version == record["version"]
    assert state.timestamp_us == record["timestamp"]
    assert state.file_count == len(version.files)
    assert state.row_count == sum(each.row_count for each in version.files)
    assert state.size_bytes == sum(each.size_bytes for each in version.files)
    assert state.files.paths == [each.path for each in version.files]
    for found, expected in zip(state.files, version.files, strict=True):
        assert comparable(found) == comparable(expected)
    assert encode_schema(metadata.schema) == version.settings["schema"]
    if "partitioning" in version.settings:
        assert encode_partitioning(metadata.partitioning) == version.settings["partitioning"]
    properties = {
        name.removeprefix("property "): v for name, v in version.settings.items() if name.startswith("property ")
    }
    assert dict(metadata.properties) == properties
    sort_order = [each["field"] for each in version.settings.get("sort_order", {"fields": []})["fields"]]
    assert [each.field_id for each in metadata.sort_order] == sort_order


def assert_every_version(table: Table, versions: list[Version]) -> None:
    """All states, the history and the versions at times are what the model says."""
    history = table.history().reverse().to_dicts()
    assert len(history) == len(versions)
    for row, version in zip(history, versions, strict=True):
        number, at_us = version.commit["version"], version.commit["timestamp"]
        assert (row["version"], row["operation"]) == (number, version.commit["operation"])
        assert (row["files_added"], row["files_removed"]) == (version.added, version.removed)
        assert_is(table.at(version=number).state, version)
        assert table._history.version_at(at_us) == number
        if number:
            assert table._history.version_at(at_us - 1) == number - 1
