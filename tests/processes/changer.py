"""A process that changes a table in every way there is, and keeps a journal of what it was promised.

    python changer.py TABLE WORKER SECONDS SEED JOURNAL [keyed]

Before each operation a line says what is tried, after it what came of it; the lines are written at once, so that the
journal is right whenever the process dies. Each commit says in its `info` which operation it is.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
import traceback
from typing import TYPE_CHECKING, Any

import tablelog as tl

if TYPE_CHECKING:
    from collections.abc import Mapping

    Operation = Mapping[str, Any]

IDS = 300
"""Ids that everybody fights for."""
BLOCK = 400
"""Rows of a larger append; their ids are nobody else's."""


def choose(dice: random.Random, worker: int, number: int, blocks: list[int]) -> Operation:
    """What to do next, as a value that a model understands as well."""
    kinds = {
        "append": 8,
        "block": 2,
        "delete": 4,
        "drop": 1,
        "update": 3,
        "upsert": 4,
        "merge": 2,
        "both": 2,
        "compact": 1,
    }
    kind = dice.choices([*kinds], [*kinds.values()])[0]
    low = dice.randrange(IDS)
    operation: dict[str, Any] = {"kind": kind, "info": f"{worker}.{number}"}
    match kind:
        case "append" | "upsert" | "merge":
            ids = dice.sample(range(IDS), dice.choice([1, 1, 2, 5]))
            return operation | {"rows": [[each, dice.randrange(1000)] for each in ids]}
        case "block":
            blocks.append((1 + worker) * 1_000_000 + number * BLOCK)
            return operation | {"low": blocks[-1], "v": dice.randrange(1000)}
        case "drop":
            if not blocks:
                return operation | {"kind": "delete", "low": low, "high": low}
            start = blocks.pop(dice.randrange(len(blocks)))
            cut = dice.choice([0, 10, 300])
            return operation | {"kind": "delete", "low": start + cut, "high": start + BLOCK - 1}
        case "delete":
            return operation | {"low": low, "high": low + dice.choice([0, 0, 3, 30])}
        case "update":
            return operation | {"low": low, "high": low + dice.choice([0, 3, 30]), "by": dice.randrange(1, 9)}
        case "both":
            return operation | {"row": [dice.randrange(IDS), -1], "low": low, "high": low + 2, "by": 1}
        case _:
            return operation


def carry_out(table: tl.Table, operation: Operation) -> tl.Commit | None:
    """Do it; None if there was nothing to do."""
    info = {"op": operation["info"]}
    where = f"id BETWEEN {operation.get('low')} AND {operation.get('high')}"
    rows = [{"id": each, "v": v} for each, v in operation.get("rows", ())]
    match operation["kind"]:
        case "append":
            return table.append(rows, info=info)
        case "block":
            ids = range(operation["low"], operation["low"] + BLOCK)
            return table.append({"id": [*ids], "v": [operation["v"]] * BLOCK}, info=info)
        case "delete":
            return table.delete(where, info=info)
        case "update":
            return table.update({"v": f"v + {operation['by']}"}, where, info=info)
        case "upsert":
            return table.upsert(rows, on="id", info=info)
        case "merge":
            merge = table.merge(rows, on="t.id = s.id").when_matched_update({"v": "t.v + s.v"})
            return merge.when_not_matched_insert().execute(info=info)
        case "both":
            with table.transaction(info=info) as tx:
                tx.upsert([dict(zip(("id", "v"), operation["row"], strict=True))], on="id")
                tx.update({"v": f"v + {operation['by']}"}, where)
                return tx.commit()
        case _:
            return table.compact(info=info)


def main(url: str, worker: int, seconds: float, seed: int, journal: str) -> None:
    dice = random.Random(seed)
    blocks: list[int] = []
    table = tl.open_table(url)
    with open(journal, "ab", buffering=0) as lines:  # noqa: PTH123
        os.write(1, b"ready\n")
        sys.stdin.readline()  # all begin together
        end_s = time.monotonic() + seconds
        number = 0
        while time.monotonic() < end_s:
            operation = choose(dice, worker, number, blocks)
            began = table._log.known().version
            lines.write(json.dumps({"began": began, **operation}).encode() + b"\n")
            try:
                commit = carry_out(table, operation)
                came: dict[str, Any] = {"version": commit.version} if commit else {"nothing": True}
            except (tl.ConflictError, tl.InvalidError) as error:
                came = {"refused": str(error), "type": type(error).__name__, "until": table._log.known().version}
            except Exception:  # noqa: BLE001 - the test says what is allowed
                came = {"error": traceback.format_exc()}
            lines.write(json.dumps({"end": operation["info"], **came}).encode() + b"\n")
            number += 1


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
