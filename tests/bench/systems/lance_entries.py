"""Lance: fragments, of which a manifest knows the files and the number of rows and nothing else.

Every commit writes all of the manifest anew, and all of them stay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import lance
from lance.fragment import DataFile, FragmentMetadata

from tests.bench.entries import ROWS, SCHEMA, SIZE_BYTES, commits
from tests.bench.systems.base import Planned

if TYPE_CHECKING:
    from tests.bench.entries import Entry
    from tests.bench.systems.base import EntriesSystem, Place, Plan


class LanceEntries:
    def __init__(self, place: Place) -> None:
        self._uri = f"{place.root}/t.lance"

    def build(self, count: int) -> None:
        version = lance.write_dataset(SCHEMA.empty_table(), self._uri).version
        for entries in commits(count):
            append = lance.LanceOperation.Append([_fragment(entry) for entry in entries])
            # By its name, not by the dataset at hand, which would keep all manifests in memory.
            version = lance.LanceDataset.commit(self._uri, append, read_version=version).version

    def open(self, way: str) -> Plan:
        dataset = lance.dataset(self._uri)
        assert way == "get_fragments"

        def get_fragments(_: int) -> Planned:
            fragments = dataset.get_fragments()
            return Planned(files=len(fragments), first=fragments[0].data_files()[0].path)

        return get_fragments


def _fragment(entry: Entry) -> FragmentMetadata:
    columns = list(range(len(SCHEMA)))
    name = entry.path.removeprefix("data/")  # Lance knows which folder it is in
    return FragmentMetadata(0, [DataFile(name, columns, columns, 2, 0, SIZE_BYTES)], ROWS)


def make(place: Place) -> EntriesSystem:
    return LanceEntries(place)
