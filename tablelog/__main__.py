"""`python -m tablelog` is the command `tablelog`."""

from __future__ import annotations

from tablelog.cli.main import main

main()
