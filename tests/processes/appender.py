"""A process that appends to a table and says of each append that it was acknowledged.

    python appender.py TABLE WORKER COUNT [STORAGE OPTIONS as JSON]

Each append brings three rows (worker, number, part). After it returned, the number is written to standard output, unbuffered, so
that whoever reads it knows exactly what this process was promised before it died.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from tablelog import open_table

ROWS_PER_APPEND = 3


def main(url: str, worker: int, count: int, storage_options: dict[str, Any]) -> None:
    table = open_table(url, storage_options)
    os.write(1, b"ready\n")
    sys.stdin.readline()  # all begin together
    for number in range(count):
        table.append([{"worker": worker, "number": number, "part": part} for part in range(ROWS_PER_APPEND)])
        os.write(1, f"{number}\n".encode())


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), json.loads(sys.argv[4]) if sys.argv[4:] else {})
