"""Finding out whether a store really refuses to create a name twice, before anything rests on it.

Some servers accept the `If-None-Match: *` header and ignore it: both of two writers are told that they won. No flag or
version says so, hence the question is put to the store itself. What a probe cannot find is a server that checks first
and writes later without a lock; `tablelog.testing.StoreConformance` races for that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tablelog import env
from tablelog.errors import InvalidError
from tablelog.format import names

if TYPE_CHECKING:
    from tablelog.store.base import ObjectStore


def require_put_if_absent(store: ObjectStore) -> None:
    """Raise `InvalidError` unless the store refuses to create a name twice and keeps the first object.

    Creates one object under a fresh name, where a catalog will be, and removes it again. Four requests. Also raises
    whatever the store raises, such as `StoreError` when nobody may write there.
    """
    key = names.probe(env.new_id())
    first, second = b"first", b"second"
    # The answer is not looked at: a client that sent the request twice is refused by itself. What is stored tells.
    store.put_if_absent(key, first)
    try:
        created_again = store.put_if_absent(key, second)
        kept = store.get(key)
    finally:
        store.delete(key)
    if created_again or kept != first:
        message = (
            f"the store at {store.url} ignores put-if-not-exists: it let one name be created twice, so two writers "
            "could both win one commit; nothing was written. Use a store that honours it (for S3, the header "
            "'If-None-Match: *')"
        )
        raise InvalidError(message)
