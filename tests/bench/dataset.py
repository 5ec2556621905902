"""Millions of rows, made once and kept as an Arrow file that every child maps into its memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from tests.bench.rows import COUNTRIES, SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_BATCH_ROWS: Final = 250_000
_SEED: Final = 42
_BEGIN_US: Final = 1_700_000_000_000_000


def dataset(folder: Path, row_count: int, *, step: int = 1) -> Path:
    """The file with that many rows, whose ids are the multiples of `step` from 0 on; made if it is not there yet."""
    path = folder / f"rows-{row_count}-{step}.arrow"
    if not path.exists():
        write_rows(path, _batches(row_count, step))
    return path


def write_rows(path: Path, batches: Iterable[pa.RecordBatch]) -> None:
    """A file for `mapped` and `streamed`, whole or not there."""
    unfinished = path.with_suffix(".tmp")
    with pa.OSFile(str(unfinished), "wb") as sink, pa.ipc.new_file(sink, SCHEMA) as writer:
        for batch in batches:
            writer.write_batch(batch)
    unfinished.rename(path)


def mapped(path: str) -> pa.Table:
    """The rows, without a copy."""
    return pa.ipc.open_file(pa.memory_map(path)).read_all()


def streamed(path: str, times: int) -> pa.RecordBatchReader:
    """The rows once or several times over, a batch at a time; nobody holds more than that but the reader's user."""

    def batches() -> Iterator[pa.RecordBatch]:
        for _ in range(times):
            with pa.OSFile(path) as source:
                file = pa.ipc.open_file(source)
                for number in range(file.num_record_batches):
                    yield file.get_batch(number)

    return pa.RecordBatchReader.from_batches(SCHEMA, batches())


def _batches(row_count: int, step: int) -> Iterator[pa.RecordBatch]:
    import numpy as np  # noqa: PLC0415 - children that only append have none

    random = np.random.default_rng(_SEED)
    for start in range(0, row_count, _BATCH_ROWS):
        yield random_rows(random, step * np.arange(start, min(start + _BATCH_ROWS, row_count)))


def random_rows(random: Any, ids: Any) -> pa.RecordBatch:
    """Rows with these ids; a NumPy generator decides on everything else."""
    count = len(ids)
    names = random.integers(0, 3_000_000, count)
    columns = [
        ids,
        _BEGIN_US + ids * 1_000_000 + random.integers(0, 900_000, count),
        pa.array(COUNTRIES).take(pa.array(random.integers(0, len(COUNTRIES), count))),
        (random.gamma(2.0, 30.0, count) * 100).round() / 100,
        random.normal(500.0, 120.0, count),
        random.integers(0, 1000, count).astype("int32"),
        [f"item-{name:07d}" for name in names],
        random.random(count) < 0.3,
    ]
    arrays = [pa.array(column, type=field.type) for column, field in zip(columns, SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)
