"""tablelog: versioned tables as Parquet files and a log of commits, decided by put-if-not-exists and nothing else."""

from __future__ import annotations

from tablelog.changes import Changes
from tablelog.copying import Copy, copy
from tablelog.display import Explanation
from tablelog.errors import (
    ConflictError,
    CorruptionError,
    FencedError,
    InvalidError,
    NotFoundError,
    StoreError,
    TablelogError,
)
from tablelog.format.schema import Schema
from tablelog.format.types import Field
from tablelog.health import Health
from tablelog.lake import Lake, connect
from tablelog.log.facts import Commit
from tablelog.merge import Merge
from tablelog.ops.log_check import Problem
from tablelog.ops.verify import Verification
from tablelog.provenance import VERSION as __version__  # noqa: N811 - the name that Python tools look for
from tablelog.snapshot import Scan, Snapshot
from tablelog.store.open import register_store
from tablelog.table import Table, open_table
from tablelog.vacuumed import Vacuum
from tablelog.writer import Writer

__all__ = [
    "Changes",
    "Commit",
    "ConflictError",
    "Copy",
    "CorruptionError",
    "Explanation",
    "FencedError",
    "Field",
    "Health",
    "InvalidError",
    "Lake",
    "Merge",
    "NotFoundError",
    "Problem",
    "Scan",
    "Schema",
    "Snapshot",
    "StoreError",
    "Table",
    "TablelogError",
    "Vacuum",
    "Verification",
    "Writer",
    "__version__",
    "connect",
    "copy",
    "open_table",
    "register_store",
]
