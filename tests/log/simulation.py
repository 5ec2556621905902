"""A world of which a seed decides everything: whose turn it is, what fails, what time it is, which names are new.

    scheduler ──turn──> actor ──one call──> FaultyStore ──> SlowStore ──> its objects
        ^                 │                 fails, loses     delays
        └──── before each call, and in each sleep ───┘

Every actor has a thread, but only one of them runs at a time: it runs until its next call of the store and gives the
turn back before it, so calls of all actors are interleaved in any order, and what is between two calls of one actor
happens at once. Requests side by side are made one after another, in any order. Nobody really sleeps.

Left out: bytes that rot, and what threads of one handle do to each other between two calls of the store.
"""

from __future__ import annotations

import random
import threading
from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from tablelog.env import Env
from tablelog.errors import StoreError
from tablelog.format import names
from tablelog.format.hint import Hint, encode_hint
from tablelog.store.memory import MemoryStore
from tablelog.testing import Fault, FaultyStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

TURNS_MAX = 60_000
"""Calls in one run; more means that somebody tries for ever."""
HINT = names.LOG + names.HINT
SEGMENTS = names.LOG + names.SEGMENTS


@dataclass(frozen=True, kw_only=True)
class Faults:
    """How likely what goes wrong is, at each call."""

    answers: Mapping[Fault, float] = field(default_factory=dict)
    delay: float = 0
    """A change whose answer is lost is made much later, or never."""
    crash: float = 0
    stall: float = 0
    """An actor has no turn for long."""
    hint: float = 0
    """The hint is torn, deleted, replaced by an older one or by one that speaks of versions that are not there."""
    segment: float = 0
    """Some segment is deleted."""


class CrashedError(BaseException):
    """An actor is no more: nothing in the library may catch this."""


class _OverError(BaseException):
    """The run has ended for another reason."""


class Actor:
    """One thread of which the scheduler says when it runs."""

    def __init__(self, world: World, name: str, work: Callable[[], None], skew_us: int) -> None:
        self.name = name
        self.skew_us = skew_us
        self.wakes_us = 0
        self.stalled_until = 0
        self.is_done = False
        self.error: BaseException | None = None
        self._world = world
        self._work = work
        self._go, self._back = threading.Lock(), threading.Lock()
        self._go.acquire()
        self._back.acquire()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def resume(self) -> None:
        """Let it run until it pauses or ends; from the scheduler."""
        self._go.release()
        self._back.acquire()

    def pause(self) -> None:
        """Give the turn back and wait for the next; from the actor's thread."""
        self._back.release()
        self._go.acquire()
        if self._world.is_over:
            raise _OverError

    def _run(self) -> None:
        self._go.acquire()
        try:
            if not self._world.is_over:
                self._work()
        except _OverError:
            pass
        except BaseException as error:  # noqa: BLE001 - the scheduler raises it again
            self.error = error
        self.is_done = True
        self._back.release()


class World(Env):
    """The scheduler; also the clock, chance and names of everybody."""

    def __init__(self, seed: int, faults: Faults) -> None:
        self.dice = random.Random(seed)
        self.faults = faults
        self.clock_us = 1_800_000_000_000_000
        self.turns = 0
        self.actors: list[Actor] = []
        self.current: Actor | None = None
        self.is_over = False
        self.happened: Counter[str] = Counter()
        self.last_calls: deque[str] = deque(maxlen=80)
        self.disk = SlowStore(self)
        self.store = FaultyStore(self.disk, rates=faults.answers, seed=seed, before=self._arrive)
        self._digest = blake2b(digest_size=8)
        self._hints: list[bytes] = []

    # ------------------------------------------------------------------ the machine

    def now_us(self) -> int:
        return self.clock_us + (self.current.skew_us if self.current else 0)

    def monotonic_s(self) -> float:
        return self.clock_us / 1e6

    def sleep(self, wait_s: float) -> None:
        wakes_us = self.clock_us + int(wait_s * 1e6)
        if self.current is None:
            self.clock_us = wakes_us
        else:
            self.current.wakes_us = wakes_us
            self.current.pause()

    def random(self) -> float:
        return self.dice.random()

    def who(self) -> str:
        return self.current.name if self.current else "nobody"

    def random_bits(self, count: int) -> int:
        return self.dice.getrandbits(count)

    # ------------------------------------------------------------------ turns

    def enter(self, name: str, work: Callable[[], None]) -> None:
        """Have one more actor, with a clock of his own."""
        self.actors.append(Actor(self, name, work, self.dice.randrange(-2_000_000, 2_000_000)))

    def run(self) -> None:
        """Give turns until all actors are done; what one of them raises is raised."""
        try:
            while actors := [actor for actor in self.actors if not actor.is_done]:
                self.turns += 1
                assert self.turns < TURNS_MAX, "they do not come to an end"
                self._disturb()
                actor = self._next(actors)
                self.clock_us += self.dice.randrange(1, 3000)
                self.current = actor
                actor.resume()
                self.current = None
                if actor.error is not None:
                    raise actor.error
        finally:
            self.is_over = True
            for actor in self.actors:
                if not actor.is_done:
                    actor.resume()

    def _next(self, actors: list[Actor]) -> Actor:
        ready = [each for each in actors if each.wakes_us <= self.clock_us and each.stalled_until <= self.turns]
        if ready:
            return self.dice.choice(ready)
        first = min(actors, key=lambda each: (each.stalled_until, each.wakes_us))
        self.clock_us = max(self.clock_us, first.wakes_us)
        return first

    def _arrive(self, verb: str, key: str) -> None:
        """Before each call of the store."""
        actor = self.current
        if actor is None:
            return
        if self._chance("stalled", self.faults.stall):
            actor.stalled_until = self.turns + self.dice.randrange(20, 400)
        actor.pause()
        call = f"{self.turns} {actor.name} {verb} {key}"
        self._digest.update(call.encode())
        self.last_calls.append(call)
        if self._chance("crashed", self.faults.crash):
            self.last_calls.append(f"{actor.name} crashed")
            raise CrashedError

    def _chance(self, what: str, rate: float) -> bool:
        hit = rate > 0 and self.dice.random() < rate
        self.happened[what] += hit
        return hit

    @property
    def digest(self) -> str:
        """What happened, in a few characters."""
        return self._digest.hexdigest()

    # ------------------------------------------------------------------ faults that are nobody's call

    def _disturb(self) -> None:
        if self._chance("hint spoilt", self.faults.hint):
            self._spoil_hint()
        if self._chance("segment deleted", self.faults.segment):
            segments = [info.key for info in self.disk.list(SEGMENTS)]
            if segments:
                self.disk.remove(self.dice.choice(segments))
        if self.disk.late and self.dice.random() < 0.02:
            self.disk.deliver()

    def _spoil_hint(self) -> None:
        found = [self.disk.get(info.key) for info in self.disk.list(HINT)]
        self._hints += found
        match self.dice.randrange(4):
            case 0:
                self.disk.remove(HINT)
            case 1 if found:
                self.disk.replace(HINT, found[0][: self.dice.randrange(len(found[0]))])
            case 2 if self._hints:
                self.disk.replace(HINT, self.dice.choice(self._hints))
            case _:
                version = self.dice.randrange(200)
                self.disk.replace(HINT, encode_hint(Hint(version=version, fan_out=self.dice.choice([2, 3]))))

    def heal(self) -> None:
        """From now on nothing fails; what is still on its way arrives or does not."""
        self.store.heal()
        self.faults = Faults()
        for _ in range(len(self.disk.late) // 2):
            self.disk.deliver()


class SlowStore(MemoryStore):
    """Objects, and changes on their way to them. `on_create` and `on_replace` are told of every change that is made."""

    def __init__(self, world: World) -> None:
        super().__init__("simulated")
        self.late: list[Callable[[], object]] = []
        self.on_create: Callable[[str, bytes], None] = lambda _key, _data: None
        self.on_replace: Callable[[str, bytes | None], None] = lambda _key, _data: None
        self._world = world

    def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
        self._delayed(key, lambda: self._create(key, bytes(data)))
        return self._create(key, bytes(data))

    def put(self, key: str, data: bytes | memoryview) -> None:
        self._delayed(key, lambda: self.replace(key, bytes(data)))
        self.replace(key, bytes(data))

    def delete(self, key: str) -> None:
        self._delayed(key, lambda: self.remove(key))
        self.remove(key)

    def replace(self, key: str, data: bytes) -> None:
        self.on_replace(key, data)
        super().put(key, data)

    def remove(self, key: str) -> None:
        self.on_replace(key, None)
        super().delete(key)

    def deliver(self) -> None:
        """Make one late change, as its sender made it."""
        self.late.pop(self._world.dice.randrange(len(self.late)))()

    def _create(self, key: str, data: bytes) -> bool:
        created = super().put_if_absent(key, data)
        if created:
            self.on_create(key, data)
        return created

    def _delayed(self, key: str, change: Callable[[], object]) -> None:
        if self._world.current is not None and self._world._chance("delayed", self._world.faults.delay):
            self.late.append(change)
            raise StoreError(f"{key} takes its time", maybe_applied=True, transient=True)


class TurnLock:
    """In the place of a handle's lock, of which the scheduler would know nothing: whoever waits gives his turn back."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._holder: Actor | None = None
        self._depth = 0

    def __enter__(self) -> None:
        actor = self._world.current
        while self._depth and self._holder is not actor:
            assert actor is not None
            actor.pause()
        self._holder = actor
        self._depth += 1

    def __exit__(self, *_: object) -> None:
        self._depth -= 1


class OneAfterAnother(ThreadPoolExecutor):
    """In the place of threads that make requests side by side: all are made, in any order."""

    dice = random.Random(0)

    def map(self, ask: Callable[[Any], Any], *arguments: Iterable[Any], **_: Any) -> Iterator[Any]:
        (wanted,) = map(list, arguments)
        answers: dict[int, Any] = {}
        errors: dict[int, Exception] = {}
        for place in self.dice.sample(range(len(wanted)), len(wanted)):
            try:
                answers[place] = ask(wanted[place])
            except Exception as error:  # noqa: BLE001 - the first of them is raised, as threads do
                errors[place] = error
        if errors:
            raise errors[min(errors)]
        return iter([answers[place] for place in range(len(wanted))])
