"""Millions of rows, made once and kept as an Arrow file that every child maps into its memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from tests.bench.rows import COUNTRIES, SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_BATCH_ROWS: Final = 250_000
_SEED: Final = 42
_BEGIN_US: Final = 1_700_000_000_000_000


def dataset(folder: Path, row_count: int) -> Path:
    """The file with that many rows; made if it is not there yet."""
    path = folder / f"rows-{row_count}.arrow"
    if not path.exists():
        unfinished = path.with_suffix(".tmp")
        with pa.OSFile(str(unfinished), "wb") as sink, pa.ipc.new_file(sink, SCHEMA) as writer:
            for batch in _batches(row_count):
                writer.write_batch(batch)
        unfinished.rename(path)
    return path


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


def _batches(row_count: int) -> Iterator[pa.RecordBatch]:
    import numpy as np  # noqa: PLC0415 - children that only append have none

    random = np.random.default_rng(_SEED)
    for start in range(0, row_count, _BATCH_ROWS):
        yield _batch(random, start, min(_BATCH_ROWS, row_count - start))


def _batch(random: Any, start: int, count: int) -> pa.RecordBatch:
    ids = pa.array(range(start, start + count), pa.int64()).to_numpy()
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
