from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tablelog import env
from tablelog.errors import InvalidError, StoreError
from tablelog.store import LocalStore, MemoryStore, MeteredStore, PrefixedStore, S3Store, require_put_if_absent
from tablelog.testing import Fault, FaultyStore
from tests.s3.moto_server import MotoServer, Trick

if TYPE_CHECKING:
    from pathlib import Path


def test_stores_that_refuse_to_create_a_name_twice_pass_and_stay_empty(tmp_path: Path) -> None:
    for store in (MemoryStore(), LocalStore(tmp_path)):
        require_put_if_absent(store)
        assert list(store.list()) == []


def test_the_probe_costs_four_requests() -> None:
    store = MeteredStore(MemoryStore())
    require_put_if_absent(store)
    stats = store.stats()
    assert (stats.put_if_absent, stats.get, stats.delete, stats.requests) == (2, 1, 1, 4)


def test_a_store_that_overwrites_is_refused_and_stays_empty() -> None:
    inner = MemoryStore("careless")
    store = FaultyStore(inner, rates={Fault.OVERWRITTEN: 1.0})
    with pytest.raises(InvalidError, match=r"memory://careless ignores put-if-not-exists.*nothing was written"):
        require_put_if_absent(store)
    assert list(inner.list()) == []


def test_a_store_that_says_no_and_overwrites_is_refused() -> None:
    class Liar(MemoryStore):
        def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
            created = super().put_if_absent(key, data)
            self.put(key, data)
            return created

    with pytest.raises(InvalidError, match="ignores put-if-not-exists"):
        require_put_if_absent(Liar())


def test_a_store_that_says_yes_and_keeps_the_first_object_is_refused() -> None:
    class Flatterer(MemoryStore):
        def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
            super().put_if_absent(key, data)
            return True

    with pytest.raises(InvalidError, match="ignores put-if-not-exists"):
        require_put_if_absent(Flatterer())


def test_a_client_that_sends_twice_is_no_reason_to_refuse_a_store() -> None:
    require_put_if_absent(FaultyStore(MemoryStore(), rates={Fault.SENT_TWICE: 1.0}))


def test_a_store_that_fails_says_so() -> None:
    faulty = FaultyStore(MemoryStore(), rates={Fault.FAILED: 1.0})
    with pytest.raises(StoreError):
        require_put_if_absent(faulty)


def test_a_server_that_ignores_the_header_is_refused(misbehaving: MotoServer) -> None:
    store = PrefixedStore(S3Store("test", misbehaving.server.storage_options), env.new_id())
    require_put_if_absent(store)
    ignores = Trick(do="drop", names=("HTTP_IF_NONE_MATCH",))
    misbehaving.misbehaviour.plan("PUT", "", ignores, ignores)
    with pytest.raises(InvalidError, match=f"the store at {store.url} ignores put-if-not-exists"):
        require_put_if_absent(store)
    assert list(store.list()) == []
