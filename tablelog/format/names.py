"""Every object name inside a table or catalog folder, and the one parser for them.

    _log/00000000000000000042.json                        commit 42
    _log/segments/99999999999999999744-256.parquet        commits 0 to 255 merged: 10^20 - 1 - 255, and how many
    _log/base/99999999999999999744.parquet                commits 0 to 255 folded when older history expired
    _log/actions/0192f3c4-….parquet                       file actions of a commit that has very many
    _log/head.json                                        a hint where the log ends, never trusted
    _log/copying.json                                     says that the copy of a log has no beginning yet
    data/0192f3c4-….parquet                               rows; UUIDv7: it carries the time its writer began
    deletes/0192f3c4-….puffin                             deletion vectors of one commit
    _leases/compaction.json                               a sign of life of who does something that one shall do
    _consumers/daily%20report/00000000000000000003.json   a log of how far a reader of changes has come
    _vacuum/0192f3c4-….json                               objects that nothing needed when this one was written
    _vacuum/probe-0192f3c4-…                              asks a store what time it is, and is deleted again

Segments and bases are named by the complement of their last version, because stores list names in ascending order:
one page of a listing begins with the newest.

A lake's root has `_catalog/00000000000000000000.json`, … for the log of names and, for a moment before the first of
them, `_catalog/probe-0192f3c4-…`, by which a store shows that it refuses to create a name twice.

Rows that ride inside a commit are a file to the rest of the log; its path is made up of the commit's name and the place
of the add among the commit's actions: `_log/00000000000000000042.json#0`. No object has a name with `#`.

A clone's log names files of other tables of its lake, `_lake/` and their keys from the lake's root:
`_lake/sales/orders/data/0192f3c4-….parquet`. A table's folder never has an object of such a name; the table's store
(`store.in_lake`) looks for it in the lake. Nothing but data files and vectors can be named so.

All names are relative to the folder of their table, so the folder can be moved or copied as a whole.
"""

from __future__ import annotations

import re
from typing import Final

from tablelog.errors import CorruptionError

LOG: Final = "_log/"
CATALOG: Final = "_catalog/"
DATA: Final = "data/"
DELETES: Final = "deletes/"
CONSUMERS: Final = "_consumers/"
LEASES: Final = "_leases/"
VACUUM: Final = "_vacuum/"
LAKE: Final = "_lake/"

VERSION_MAX: Final = 10**20 - 1
_COMMIT: Final = re.compile(r"(\d{20})\.json")
SEGMENTS: Final = "segments/"
BASES: Final = "base/"
ACTIONS: Final = "actions/"
HINT: Final = "head.json"
COPYING: Final = "copying.json"
_SEGMENT: Final = re.compile(r"segments/(\d{20})-([1-9]\d{0,19})\.parquet")
_BASE: Final = re.compile(r"base/(\d{20})\.parquet")
_INLINED: Final = re.compile(r"_log/(\d{20})\.json#(0|[1-9]\d{0,8})")
_CONSUMED: Final = re.compile(r"_consumers/([^/]+)/(.+)")
_ID: Final = "[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
_MADE: Final = re.compile(
    rf"(?:(data)/|(deletes)/|(_log/actions)/|(_vacuum)/(?:probe-)?)({_ID})(?(1)\.parquet)(?(2)\.puffin)(?(3)\.parquet)"
    rf"(?(4)(?:\.json)?)"
)
_LENT: Final = re.compile(r"_lake/([^_/][^/]*(?:/[^_/][^/]*)*)/((?:data|deletes)/[^/]+)")
_UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f\\:*?\"<>|\ud800-\udfff]")
PATH_BYTES_MAX: Final = 1024
_FOLDER_LENGTH: Final = 100
"""A file system takes 255, and what is appended to make a folder unique must fit as well."""


def commit(version: int) -> str:
    """Name of a commit inside its log.

    >>> commit(42)
    '00000000000000000042.json'
    """
    assert 0 <= version <= VERSION_MAX
    return f"{version:020}.json"


def parse_commit(name: str) -> int | None:
    """Version of a commit's name, or None if the name is something else.

    >>> parse_commit("00000000000000000042.json"), parse_commit("head.json")
    (42, None)
    """
    match = _COMMIT.fullmatch(name)
    return int(match[1]) if match else None


def segment(first: int, last: int) -> str:
    """Name inside its log of the segment of commits `first` to `last`, both included.

    >>> segment(0, 255)
    'segments/99999999999999999744-256.parquet'
    """
    assert 0 <= first <= last <= VERSION_MAX
    return f"{SEGMENTS}{VERSION_MAX - last:020}-{last - first + 1}.parquet"


def parse_segment(name: str) -> tuple[int, int] | None:
    """First and last version of a segment's name, or None if the name is something else.

    >>> parse_segment("segments/99999999999999999744-256.parquet")
    (0, 255)
    """
    match = _SEGMENT.fullmatch(name)
    if match is None:
        return None
    last = VERSION_MAX - int(match[1])
    first = last + 1 - int(match[2])
    return None if first < 0 else (first, last)


def base(last: int) -> str:
    """Name inside its log of the base that covers commits 0 to `last`."""
    assert 0 <= last <= VERSION_MAX
    return f"{BASES}{VERSION_MAX - last:020}.parquet"


def parse_base(name: str) -> int | None:
    """Last version of a base's name, or None if the name is something else.

    >>> parse_base(base(15))
    15
    """
    match = _BASE.fullmatch(name)
    return VERSION_MAX - int(match[1]) if match else None


def actions_file(file_id: str) -> str:
    """Name inside its log of an object with the file actions of one commit."""
    return f"{ACTIONS}{file_id}.parquet"


def probe(probe_id: str) -> str:
    """Name of an object that tests a store, and is deleted again."""
    return f"{CATALOG}probe-{probe_id}"


def data_file(file_id: str) -> str:
    """Name of a Parquet file of rows."""
    return f"{DATA}{file_id}.parquet"


def deletes_file(file_id: str) -> str:
    """Name of a Puffin file of deletion vectors."""
    return f"{DELETES}{file_id}.puffin"


def inlined(version: int, number: int) -> str:
    """Path of the rows that action `number` of a commit adds.

    >>> inlined(42, 0)
    '_log/00000000000000000042.json#0'
    """
    return f"{LOG}{commit(version)}#{number}"


def planned(plan_id: str, number: int) -> str:
    """Path of such rows before their commit has a version; no log ever names it.

    >>> planned("0192", 0), parse_inlined(planned("0192", 0))
    ('_log/0192#0', None)
    """
    return f"{LOG}{plan_id}#{number}"


def parse_inlined(path: str) -> tuple[int, int] | None:
    """Version and number of the action that a path of inlined rows names; None if it is another path.

    >>> parse_inlined(inlined(42, 3)), parse_inlined("data/a.parquet")
    ((42, 3), None)
    """
    match = _INLINED.fullmatch(path)
    return (int(match[1]), int(match[2])) if match else None


def consumer(name: str) -> str:
    """Prefix of the log of a consumer's positions."""
    return f"{CONSUMERS}{folder(name)}/"


def lease(name: str) -> str:
    """Name of the sign of life of who holds a lease."""
    return f"{LEASES}{folder(name)}.json"


def parse_consumer(key: str) -> tuple[str, str] | None:
    """Folder of a consumer's log and the name inside it that a key names; None if it is another key."""
    match = _CONSUMED.fullmatch(key)
    return (match[1], match[2]) if match else None


def vacuum_list(list_id: str) -> str:
    """Name of a list of objects that nothing needs."""
    return f"{VACUUM}{list_id}.json"


def vacuum_probe(probe_id: str) -> str:
    """Name of an object that asks a store for the time, and is deleted again."""
    return f"{VACUUM}probe-{probe_id}"


def lent(folder: str, path: str) -> str:
    """Path in a clone's log of a file that a table lends it whose folder, from the lake's root, is `folder`.

    What that table has borrowed itself keeps its path.

    >>> lent("sales/orders", "data/a.parquet"), lent("x", "_lake/orders/data/a.parquet")
    ('_lake/sales/orders/data/a.parquet', '_lake/orders/data/a.parquet')
    """
    return path if path.startswith(LAKE) else f"{LAKE}{folder}/{path}"


def parse_lent(path: str) -> tuple[str, str] | None:
    """Folder and path there of a file of another table of the lake; None if it is the table's own.

    >>> parse_lent("_lake/sales/orders/data/a.parquet"), parse_lent("data/a.parquet")
    (('sales/orders', 'data/a.parquet'), None)
    """
    match = _LENT.fullmatch(path)
    return (match[1], match[2]) if match else None


def made_us(key: str) -> int | None:
    """When the name of a data file, of vectors, of file actions or of a vacuum's object was made, µs since 1970.

    None for all other names. It is the clock of whoever made it, to the millisecond, rounded down.

    >>> made_us("data/0192f3c4-0000-7abc-8def-0123456789ab.parquet"), made_us("data/a.parquet")
    (1730666561536000, None)
    """
    match = _MADE.fullmatch(key)
    return int(match[5].replace("-", "")[:12], 16) * 1000 if match else None


def check_path(path: object) -> str:
    """A path as a log may name it: relative, inside the table's folder, and the same on every system.

    Or that of a data file, or of vectors, of another table of the lake.

    Raises:
        CorruptionError: it points outside, is absolute, has a scheme, or could be read in two ways.

    """
    if not isinstance(path, str) or not path or len(path.encode(errors="replace")) > PATH_BYTES_MAX:
        raise CorruptionError(f"{path!r} is not a path of a table's file")
    if _UNSAFE.search(path) or any(map(_is_odd, path.split("/"))):
        raise CorruptionError(f"path {path!r} in the log does not stay inside the table's folder; refusing to read it")
    if path.startswith(LAKE) and parse_lent(path) is None:
        raise CorruptionError(
            f"path {path!r} in the log names nothing that another table could lend; refusing to read it"
        )
    return path


def _is_odd(part: str) -> bool:
    """Whether a part of a path means something else than a name, or is that of a store's unfinished file."""
    return part in {"", ".", ".."} or (part.startswith(".") and part.endswith(".tmp"))


def folder(name: str) -> str:
    """A table's or namespace's name as one part of a path, cut after about 100 characters.

    Letters, digits, `-` and `_` stay, the rest is escaped; a `_` in front too, because names with it are the format's
    own.

    >>> folder("orders"), folder("år 2026/x")
    ('orders', '%C3%A5r%202026%2Fx')
    """
    text = ""
    for character in name:
        plain = character.isascii() and (character.isalnum() or character == "-" or (character == "_" and text != ""))
        text += character if plain else "".join(f"%{byte:02X}" for byte in character.encode())
        if len(text) >= _FOLDER_LENGTH:
            break
    return text
