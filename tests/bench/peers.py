"""The parent's end of a child process."""

from __future__ import annotations

import json
import subprocess
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tests.bench.environments import interpreter

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

    from tests.bench.systems.base import Place
    from tests.bench.systems.catalog import Spec


class PeerError(Exception):
    """A system could not do what it was asked; the message is its own."""


class Peer:
    """A system in a process of its own; a context manager that ends it.

    A system that failed once is asked nothing more: `ask` and `receive` then give None, and `error` says why.
    """

    def __init__(self, spec: Spec, place: Place) -> None:
        told = {"module": spec.module, "settings": dict(spec.settings), "place": asdict(place)}
        self.spec = spec
        self.place = place
        self.error: str | None = None
        self._log = Path(f"{place.local}.stderr")
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [interpreter(spec), "-m", "tests.bench.child", json.dumps(told)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def process_id(self) -> int:
        return self._process.pid

    def ask(self, verb: str, **arguments: Any) -> Any:
        """Have something done and wait for the answer."""
        self.send(verb, **arguments)
        return self.receive()

    def send(self, verb: str, **arguments: Any) -> None:
        """Have something done; `receive` waits for it."""
        if self.error is None:
            assert self._process.stdin is not None
            try:
                self._process.stdin.write(json.dumps({"verb": verb, "arguments": arguments}) + "\n")
                self._process.stdin.flush()
            except BrokenPipeError:
                self._fail("its process is gone")

    def receive(self) -> Any:
        """The answer to what was sent."""
        if self.error is not None:
            return None
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            said = self._log.read_text(errors="replace").strip().splitlines()
            return self._fail(f"its process ended: {said[-1] if said else 'without a word'}")
        answer = json.loads(line)
        return self._fail(answer["error"]) if "error" in answer else answer["value"]

    def need(self, verb: str, **arguments: Any) -> Any:
        """Like `ask`, for what nothing makes sense without.

        Raises:
            PeerError: it failed.

        """
        value = self.ask(verb, **arguments)
        if self.error is not None:
            raise PeerError(self.error)
        return value

    def _fail(self, error: str) -> None:
        self.error = " ".join(error.split())[:300]
        print(f"  {self.name} failed: {self.error}", flush=True)


@contextmanager
def started(entrants: Iterable[tuple[Spec, Place]]) -> Iterator[list[Peer]]:
    """A process for each while the block runs."""
    with ExitStack() as stack:
        yield [stack.enter_context(Peer(spec, place)) for spec, place in entrants]
