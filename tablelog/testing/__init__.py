"""What people with a store of their own need to trust it, and what a test needs to make a store fail.

`StoreConformance` is a test class for pytest: subclass it, make your store, run it.

    class TestMyStore(StoreConformance):
        def make_store(self) -> ObjectStore:
            return MyStore(...)          # empty, and not shared with another test

`FaultyStore` stands in front of a store and fails as real ones do, at chosen moments or at random from a seed:

    store = FaultyStore(MemoryStore(), rates={Fault.ANSWER_LOST: 0.1}, seed=7)
    store.inject(Fault.SENT_TWICE, verb="put_if_absent", key_ends=".json")
"""

from __future__ import annotations

from tablelog.testing.conformance import StoreConformance
from tablelog.testing.faulty import Fault, FaultyStore

__all__ = ["Fault", "FaultyStore", "StoreConformance"]
