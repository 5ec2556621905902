"""The least that any format of this kind can do: one Parquet file and one commit that only one writer can create.

No statistics, no schema, no checks. What a format takes longer than this is its own doing.
"""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.bench.systems.base import Place, System, Way


class Floor:
    def __init__(self, place: Place, *, durable: bool) -> None:
        self._data, self._log = Path(place.root) / "data", Path(place.root) / "log"
        self._durable = durable
        self._next = 0

    def create(self) -> None:
        self._data.mkdir(parents=True)
        self._log.mkdir()

    def append(self, rows: pa.Table) -> None:
        path = self._data / f"{uuid.uuid4()}.parquet"
        pq.write_table(rows, path, compression="zstd")
        self._flush(path, self._data)
        self._commit(json.dumps({"path": path.name, "rows": rows.num_rows}))

    def _commit(self, text: str) -> None:
        unfinished = self._log / f".{uuid.uuid4()}"
        unfinished.write_text(text)
        self._flush(unfinished)
        while True:
            try:
                os.link(unfinished, self._log / f"{self._next:020}.json")
            except FileExistsError:
                self._next += 1
            else:
                break
        unfinished.unlink()
        self._flush(self._log)

    def _flush(self, *paths: Path) -> None:
        for path in paths if self._durable else ():
            handle = os.open(path, os.O_RDONLY)
            os.fsync(handle)
            os.close(handle)

    def write(self, rows: pa.Table | pa.RecordBatchReader) -> None:
        self.create()
        path = self._data / f"{uuid.uuid4()}.parquet"
        with pq.ParquetWriter(path, rows.schema, compression="zstd") as writer:
            for batch in rows.to_batches() if isinstance(rows, pa.Table) else rows:
                writer.write_batch(batch)
        self._flush(path, self._data)
        self._commit(json.dumps({"path": path.name}))

    def open(self) -> None:
        self._commits = sorted(self._log.glob("*.json"))
        self._next = len(self._commits)

    def version(self) -> int:
        return len(self._commits)

    def file_count(self) -> int:
        return len(self._commits)

    def row_count(self) -> int:
        return self.row_count_at(len(self._commits))

    def row_count_at(self, commits: int) -> int:
        return sum(json.loads(path.read_bytes())["rows"] for path in self._commits[:commits])

    def ways(self) -> Mapping[str, Way]:
        return {"read": lambda _: pq.read_table(self._data)}


def make(place: Place, *, durable: bool) -> System:
    return Floor(place, durable=durable)
