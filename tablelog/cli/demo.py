"""`tablelog demo`: a year of real flights as a versioned table, in a few seconds."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from tablelog import env
from tablelog.cli.arguments import AsJson  # noqa: TC001 - Typer reads annotations at run time
from tablelog.cli.demo_data import SMALL_TABLES, data_folder
from tablelog.cli.demo_story import Narrator, tell
from tablelog.cli.output import out, write_json
from tablelog.errors import InvalidError
from tablelog.lake import connect

_OWN: Final = frozenset(("_catalog", "flights", *SMALL_TABLES))
"""All that a demo leaves in its folder."""


def demo(
    folder: Annotated[
        str, typer.Argument(metavar="DIR", help="A folder that is not there yet, or is empty.")
    ] = "flights-lake",
    *,
    force: Annotated[bool, typer.Option("--force", help="Replace what an earlier demo left there.")] = False,
    as_json: AsJson = False,
) -> None:
    """See it work: a year of real flights becomes a table, a month goes wrong and is put right.

    Takes some seconds and needs the flights: pip install 'tablelog[demo]'
    """
    data_folder()  # so that nothing is made where the data are missing
    _make_room(Path(folder), force=force)
    started_s = env.monotonic_s()
    console = out()
    console.quiet = as_json
    narrator = Narrator(console)
    lake = connect(folder)
    tell(lake, folder, narrator)
    took_s = env.monotonic_s() - started_s
    commands = next_commands(folder)
    if as_json:
        write_json({"lake": lake.url, "tables": lake.tables(), "seconds": round(took_s, 3), "next": commands})
        return
    narrator.step(f"All of that took {took_s:.1f} seconds. It is yours now")
    narrator.lines(commands)


def next_commands(folder: str) -> list[str]:
    """What to type next, ready to be copied."""
    program, place = _program(), shlex.quote(folder)
    return [
        f"{program} history {place} flights",
        f'{program} sql {place} "FROM flights AT (VERSION => 6) LIMIT 5"',
        f'{program} sql {place} --explain "FROM flights WHERE month = 7"',
    ]


def _program() -> str:
    """The words by which this program was called, so that they call it again."""
    called = Path(sys.argv[0])
    if called.stem != "tablelog":
        return f"{shlex.quote(_name_of(Path(sys.executable)))} -m tablelog"
    return shlex.quote(_name_of(called))


def _name_of(program: Path) -> str:
    """Its name alone where the shell finds it by that, else its path, from here if it is below."""
    found = shutil.which(program.name)
    if found is not None and Path(found).absolute() == program.absolute():
        return program.name
    return str(program.relative_to(Path.cwd()) if program.is_relative_to(Path.cwd()) else program)


def _make_room(folder: Path, *, force: bool) -> None:
    """See to it that there is nothing in the folder, without ever deleting what no demo made."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise InvalidError(f"{folder} is a file; name a folder")
    inside = sorted(path.name for path in folder.iterdir())
    strange = [name for name in inside if name not in _OWN]
    if strange:
        raise InvalidError(
            f"{folder} holds {strange[0]!r}, which no demo made; name a folder that is empty or not there yet"
        )
    if inside and not force:
        raise InvalidError(f"{folder} is there already; look at it, name another folder, or replace it with --force")
    for name in inside:
        shutil.rmtree(folder / name)
