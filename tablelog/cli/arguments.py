"""What the commands have in common on their command line: a lake, a table, storage options, `--json`.

TABLELOG_LAKE    the lake of commands that are not given one; without it, `ls` looks at the folder it is run in
LAKE TABLE       a name in a lake; one word alone is a table's own folder, or a name in TABLELOG_LAKE
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from tablelog.errors import InvalidError, NotFoundError
from tablelog.lake import connect
from tablelog.table import open_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tablelog.lake import Lake
    from tablelog.table import Table

LAKE: Final = "TABLELOG_LAKE"
"""The environment variable that names the usual lake."""

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs, nothing else, on stdout.")]
Options = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        "-o",
        metavar="KEY=VALUE",
        help="A storage option, such as endpoint_url=http://… ; may be repeated. The value is JSON or text.",
    ),
]
LakeOrTable = Annotated[
    str, typer.Argument(metavar="LAKE", show_default=False, help="A lake's folder or URL, or a table's own folder.")
]
TableName = Annotated[
    str | None,
    typer.Argument(
        metavar="TABLE", show_default=False, help=f"Without it, LAKE is a table's folder, or a name in ${LAKE}."
    ),
]

_CREDENTIALS: Final = ("key", "secret", "token", "password", "user", "profile")
"""Options with these words in their names are text even if they look like numbers."""


def storage_options(given: Sequence[str] | None) -> dict[str, Any]:
    """`--option` values as `connect` takes them.

    >>> storage_options(["use_ssl=false", "key=0123", "region=eu-north-1"])
    {'use_ssl': False, 'key': '0123', 'region': 'eu-north-1'}

    Raises:
        InvalidError: one is not KEY=VALUE.

    """
    options: dict[str, Any] = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise InvalidError(f"the option {name!r} has no value; write it as KEY=VALUE")
        is_text = any(word in name.lower() for word in _CREDENTIALS) and not value.startswith("{")
        options[name] = value if is_text else _json_or_text(value)
    return options


def open_lake(url: str | None, options: Sequence[str] | None) -> Lake:
    """The lake at a place that the command line, or the environment, names; never made.

    Raises:
        NotFoundError: there is none.
        InvalidError: the command line names none, and neither does the environment.

    """
    url = url or os.environ.get(LAKE)
    if not url:
        raise InvalidError(f"no lake is named; give its folder or URL first, or set {LAKE}")
    return connect(url, storage_options(options), create=False)


def open_one(place: str, name: str | None, options: Sequence[str] | None) -> Table:
    """The table that `LAKE TABLE` names, or one word alone: a table's folder, or a name in the usual lake.

    Raises:
        NotFoundError: there is none.
        InvalidError: the one word is a lake.

    """
    if name is not None:
        return open_lake(place, options).table(name)
    try:
        return open_table(place, storage_options(options))
    except NotFoundError:
        if os.environ.get(LAKE):
            return open_lake(None, options).table(place)
        raise _no_table(place, options) from None


def _no_table(url: str, options: Sequence[str] | None) -> InvalidError | NotFoundError:
    """Why one word was not enough."""
    try:
        names = open_lake(url, options).tables()
    except NotFoundError:
        return NotFoundError(f"there is no table at {url}; give a lake and a table, or a table's folder")
    return InvalidError(f"{url} is a lake; say which of its tables: {', '.join(names[:20]) or 'there are none yet'}")


def _json_or_text(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value
