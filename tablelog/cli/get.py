"""`tablelog get`: one row of a table by its key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import pyarrow as pa
import typer

from tablelog.cli.answers import Answer
from tablelog.cli.arguments import AsJson, Options, open_lake
from tablelog.cli.output import write_json
from tablelog.cli.pages import print_answer
from tablelog.engines.arrow import plain_schema
from tablelog.engines.duckdb import ENGINE
from tablelog.errors import NotFoundError
from tablelog.format.types import Primitive, is_integer

if TYPE_CHECKING:
    from tablelog.format.types import DataType


def get(
    lake: Annotated[str, typer.Argument(metavar="LAKE", show_default=False, help="A lake's folder or URL.")],
    table: Annotated[str, typer.Argument(metavar="TABLE", show_default=False, help="A table with a key.")],
    key: Annotated[
        list[str], typer.Argument(metavar="KEY…", show_default=False, help="A value for each column of the key.")
    ],
    *,
    version: Annotated[int | None, typer.Option("--version", "-v", metavar="N", help="As of this version.")] = None,
    option: Options = None,
    as_json: AsJson = False,
) -> None:
    """Show the row with a key; the exit code is 3 if there is none.

    tablelog get ./lake orders 4711
    """
    opened = open_lake(lake, option).table(table)
    snapshot = opened.snapshot() if version is None else opened.at(version=version)
    fields = snapshot.state.metadata.key_fields
    types = [field.type for field in fields] if len(fields) == len(key) else [Primitive.STRING] * len(key)
    row = snapshot.get(tuple(_value(text, type_) for text, type_ in zip(key, types, strict=True)))
    if row is None:
        shown = ", ".join(f"{field.name}={text}" for field, text in zip(fields, key, strict=True))
        raise NotFoundError(f"{opened.name} has no row with {shown} at version {snapshot.version}")
    cursor = ENGINE.cursor()
    cursor.connection.register("found", pa.Table.from_pylist([row], plain_schema(snapshot.schema.fields)))
    answer = Answer(cursor.relation("FROM found"))
    if as_json:
        write_json(next(answer.objects()))
    else:
        print_answer(answer)


def _value(text: str, type_: DataType) -> object:
    """What the text of an argument stands for in a column; text that stands for nothing is refused by `get`."""
    if is_integer(type_):
        try:
            return int(text)
        except ValueError:
            return text
    match type_:
        case Primitive.BOOLEAN:
            return {"true": True, "false": False}.get(text.lower(), text)
        case Primitive.BINARY:
            return text.encode()
        case _:
            return text
