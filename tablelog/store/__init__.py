"""Floor 2: stores. Six verbs on named bytes, and wrappers around them."""

from tablelog.store.base import ByteRange, ObjectInfo, ObjectStore, check_key, check_prefix, local_path, sweep, upload
from tablelog.store.in_lake import TableStore
from tablelog.store.local import LocalStore
from tablelog.store.memory import MemoryStore
from tablelog.store.metrics import MeteredStore, StoreStats
from tablelog.store.open import open_store, register_store
from tablelog.store.prefixed import PrefixedStore
from tablelog.store.probe import require_put_if_absent
from tablelog.store.retry import RetryingStore
from tablelog.store.s3 import S3Store

__all__ = [
    "ByteRange",
    "LocalStore",
    "MemoryStore",
    "MeteredStore",
    "ObjectInfo",
    "ObjectStore",
    "PrefixedStore",
    "RetryingStore",
    "S3Store",
    "StoreStats",
    "TableStore",
    "check_key",
    "check_prefix",
    "local_path",
    "open_store",
    "register_store",
    "require_put_if_absent",
    "sweep",
    "upload",
]
