"""The SQL corpus in `sql/`: a person's text, read and run.

A file is a row of blocks with an empty line between them; lines that begin with `#` are comments. A block begins with what it is:

    create NAME            make a table from the SELECT that follows
    append NAME            add the rows of the SELECT
    overwrite NAME [WHERE] put the rows of the SELECT in the place of all, or of those that fulfil the condition
    delete NAME WHERE      take rows out
    update NAME [WHERE]    a line of JSON: columns and SQL expressions, or values, for them
    upsert NAME COLUMN     bring the rows of the SELECT in by a column
    compact NAME, tag NAME TAG, restore NAME VERSION, revert NAME VERSION
    alter NAME METHOD ARGS table.alter.METHOD(*ARGS), ARGS as JSON values
    drop NAME, rename OLD NEW
    query [sorted]         the SELECT, a line of ----, and the rows: values with | between them, NULL, true, false
    error FRAGMENT         the statement must be refused, with FRAGMENT in the message
    files READ of ALL      reading the SELECT must open so many files of so many

Every create, append, … is one version of its table. SELECTs of new rows are DuckDB's own.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

import tablelog as tl

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One step of a file."""

    line: int
    verb: str
    rest: str
    body: str


def read(path: Path) -> list[Block]:
    """The blocks of a file."""
    blocks: list[Block] = []
    lines = [*path.read_text().splitlines(), ""]
    begun: list[tuple[int, str]] = []
    for number, line in enumerate(lines, 1):
        if line.startswith("#"):
            continue
        if line.strip():
            begun.append((number, line))
        elif begun:
            verb, _, rest = begun[0][1].partition(" ")
            body = "\n".join(text for _, text in begun[1:])
            blocks.append(Block(line=begun[0][0], verb=verb, rest=rest.strip(), body=body))
            begun = []
    return blocks


def run(path: Path, lake: tl.Lake) -> None:
    """Run a file against an empty lake; says the line of what fails."""
    for block in read(path):
        try:
            _VERBS[block.verb](lake, block)
        except (AssertionError, tl.TablelogError, duckdb.Error) as error:
            pytest.fail(
                f"{path.name}, line {block.line}: {block.verb} {block.rest}\n{block.body}\n{error}", pytrace=False
            )


def _rows(block: Block) -> Any:
    return duckdb.sql(block.body).to_arrow_table()


def _query(lake: tl.Lake, block: Block) -> None:
    text, _, expected = block.body.partition("\n----")
    found = ["|".join(map(_shown, row)) for row in lake.sql(text).fetchall()]
    wanted = expected.strip("\n").splitlines()
    if block.rest == "sorted":
        found, wanted = sorted(found), sorted(wanted)
    assert found == wanted, f"expected {wanted}\nfound    {found}"


def _shown(value: Any) -> str:
    if value is None:
        return "NULL"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _error(lake: tl.Lake, block: Block) -> None:
    with pytest.raises(tl.TablelogError) as raised:
        lake.sql(block.body).fetchall()
    assert block.rest in str(raised.value), f"the message is {str(raised.value)!r}"


def _files(lake: tl.Lake, block: Block) -> None:
    plans = lake.explain(block.body)
    found = f"{sum(plan.files for plan in plans)} of {sum(plan.files_total for plan in plans)}"
    assert found == block.rest, f"it reads {found}"


def _overwrite(lake: tl.Lake, block: Block) -> None:
    name, _, where = block.rest.partition(" ")
    lake.table(name).overwrite(_rows(block), where=where or None)


def _delete(lake: tl.Lake, block: Block) -> None:
    name, _, where = block.rest.partition(" ")
    lake.table(name).delete(where)


def _update(lake: tl.Lake, block: Block) -> None:
    name, _, where = block.rest.partition(" ")
    lake.table(name).update(json.loads(block.body), where=where or None)


def _upsert(lake: tl.Lake, block: Block) -> None:
    name, _, column = block.rest.partition(" ")
    lake.table(name).upsert(_rows(block), on=column)


def _version(method: str) -> Any:
    def run(lake: tl.Lake, block: Block) -> None:
        name, _, version = block.rest.partition(" ")
        getattr(lake.table(name), method)(int(version))

    return run


def _alter(lake: tl.Lake, block: Block) -> None:
    name, method, arguments = block.rest.split(" ", 2)
    getattr(lake.table(name).alter, method)(*json.loads(f"[{arguments}]"))


_VERBS = {
    "create": lambda lake, block: lake.create_table(block.rest, _rows(block)),
    "append": lambda lake, block: lake.table(block.rest).append(_rows(block)),
    "overwrite": _overwrite,
    "delete": _delete,
    "update": _update,
    "upsert": _upsert,
    "compact": lambda lake, block: lake.table(block.rest).compact(),
    "tag": lambda lake, block: lake.table(block.rest.split(" ")[0]).tag(block.rest.split(" ")[1]),
    "restore": _version("restore"),
    "revert": _version("revert"),
    "alter": _alter,
    "drop": lambda lake, block: lake.drop_table(block.rest),
    "rename": lambda lake, block: lake.rename_table(*block.rest.split(" ")),
    "query": _query,
    "error": _error,
    "files": _files,
}
