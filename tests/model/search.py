"""All states of the model, those with fewer faults first, and the way to each.

What happens to one job is worked out once and remembered by number, so a
state of two jobs is three small numbers. Two states that differ only in the
names of pools and jobs are one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Generic, NamedTuple, TypeVar

from .model import POOLS, Job, Model, Scope, World, broken_by, strike
from .rules import Rules

_T = TypeVar("_T")


class Event(NamedTuple):
    """One step of a way: what happened, to which pool and job (None: to all or none of them)."""

    action: str
    pool: int | None = None
    job: int | None = None

    def __str__(self) -> str:
        whom = [f"pool {'AB'[self.pool]}"] if self.pool is not None else []
        whom += [f"job {self.job}"] if self.job is not None else []
        return f"{self.action} ({', '.join(whom)})" if whom else self.action


#: The number of a world, then of each job.
State = tuple[int, ...]
#: Action, pool, job (see `Event`), the state it leads to, whether it is a fault, what it breaks.
Move = tuple[str, int | None, int | None, State, bool, str]


@dataclass
class Found:
    """What a search found.

    Attributes:
        states: How many different ones.
        depth: The longest of the ways to them, each the first with the fewest faults.
        actions: How often each action was taken.
        faults: How many of those were faults.
        broken: By invariant, the way with the fewest faults that breaks it.
    """

    states: int = 0
    depth: int = 0
    actions: Counter[str] = field(default_factory=Counter)
    faults: int = 0
    broken: dict[str, list[Event]] = field(default_factory=dict)


class Search:
    """A breadth-first search, one layer after the other: a layer are the states with so many faults."""

    def __init__(self, rules: Rules, scope: Scope) -> None:
        self.scope = scope
        #: The first way to each thing worth a look, if somebody names those; see `landmarks`.
        self.landmark: Callable[[str, Job], Hashable] | None = None
        self._landmarks: dict[Hashable, int] = {}
        self.model = Model(rules, scope)
        self._jobs = Numbers[Job]()
        self._worlds = Numbers[World]()
        self._ways: list[tuple[int, Event | None]] = [(-1, None)]
        self._seen: set[State] = set()
        for name in ("_steps", "_world_steps", "_struck", "_mirrored", "_mirrored_world"):
            setattr(self, name, cache(getattr(self, name)))  # of this search only

    def run(self, until: str = "") -> Found:
        """Look at every state that breaks no invariant; or at all, until the invariant `until` is broken."""
        found = Found()
        layer = [(self._start(), 0, 0)]
        for faults in range(self.scope.faults + 1):
            layer = self._layer(layer, faults, found, until)
            if until in found.broken:
                break
        found.states = len(self._seen)
        return found

    def _layer(
        self, todo: list[tuple[State, int, int]], faults: int, found: Found, until: str
    ) -> list[tuple[State, int, int]]:
        """Look at all states reached with so many faults; return those one fault further."""
        further: list[tuple[State, int, int]] = []
        seen, last = self._seen, faults == self.scope.faults
        while todo:
            following: list[tuple[State, int, int]] = []
            for state, way, depth in todo:
                key = self._key(state)
                if key in seen:
                    continue
                seen.add(key)
                found.depth = max(found.depth, depth)
                for action, pool, job, after, fault, broken in self.moves(state):
                    if fault and last:
                        continue
                    found.actions[action] += 1
                    found.faults += fault
                    if broken or _unprovoked(action, faults):
                        name = broken or "I6"
                        found.broken.setdefault(name, [*self._way(way), Event(action, pool, job)])
                        if name == until:
                            return []
                        if not until:
                            continue
                    if after not in seen:  # its twins are seen later
                        self._ways.append((way, Event(action, pool, job)))
                        (further if fault else following).append((after, len(self._ways) - 1, depth + 1))
                        if self.landmark is not None:
                            place = self.landmark(action, self._jobs[after[1]])
                            self._landmarks.setdefault(place, len(self._ways) - 1)
            todo = following
        return further

    def landmarks(self, landmark: Callable[[str, Job], Hashable]) -> list[list[Event]]:
        """Search, and return the first way to each value of `landmark` (of an action and a job after it)."""
        self.landmark = landmark
        self.run()
        return [self._way(index) for index in self._landmarks.values()]

    def walk(self, way: list[Event]) -> Iterator[tuple[Event, Job, Job]]:
        """Go a way of one job again: yield each event with the job before and after it."""
        state = self._start()
        for event in way:
            moves = self.moves(state)
            after = next(move[3] for move in moves if Event(*move[:3]) == event)
            yield event, self._jobs[state[1]], self._jobs[after[1]]
            state = after

    def _start(self) -> State:
        return (self._worlds.of(World()), *[self._jobs.of(Job())] * self.scope.jobs)

    def _way(self, index: int) -> list[Event]:
        events: list[Event] = []
        while index >= 0:
            index, event = self._ways[index]
            if event is not None:
                events.append(event)
        return events[::-1]

    # --- moves ------------------------------------------------------------------------------

    def moves(self, state: State) -> Iterator[Move]:
        """Yield everything that may happen next."""
        world, *jobs = state
        for place, number in enumerate(jobs):
            before, behind = state[: place + 1], state[place + 2 :]
            for action, pool, after, fault, broken in self._steps(number, world):
                yield action, pool, place, (*before, after, *behind), fault, broken
        for action, pool, after_world, fault in self._world_steps(world):
            struck = [self._struck(action, number, pool) for number in jobs]
            everywhere = (after_world, *[number for number, _ in struck])
            if everywhere != state:
                yield action, pool, None, everywhere, fault, max(broken for _, broken in struck)

    def _steps(self, number: int, world: int) -> list[tuple[str, int | None, int, bool, str]]:
        """Return what may happen to one job."""
        job = self._jobs[number]
        return [
            (step.action, step.pool, self._jobs.of(after), step.fault, step.broken or broken_by(job, after))
            for step in self.model.steps(job, self._worlds[world])
            for after in (step.job.forgetting(),)
        ]

    def _world_steps(self, number: int) -> list[tuple[str, int | None, int, bool]]:
        """Return what may strike all jobs at once."""
        world = self._worlds[number]
        steps: list[tuple[str, int | None, World, bool]] = []
        for pool in POOLS:
            steps += [("crash", pool, world, True), ("pause", pool, world, True)]
            if not world.draining[pool] and sum(world.draining) < self.scope.drains:
                steps.append(("drain", pool, world.drained(pool), False))
        if world.isolated:
            healed = world._replace(isolated=False)
            steps += [("heal", None, healed, False), ("failover", None, healed, False)]
        elif self.scope.failovers:
            steps.append(("isolate", None, world._replace(isolated=True), True))
        return [(action, pool, self._worlds.of(after), fault) for action, pool, after, fault in steps]

    def _struck(self, action: str, number: int, pool: int | None) -> tuple[int, str]:
        """Return a job after a stroke, and the invariant that it breaks."""
        job = self._jobs[number]
        after = strike(action, job, pool).forgetting()
        return self._jobs.of(after), broken_by(job, after)

    # --- names ------------------------------------------------------------------------------

    def _key(self, state: State) -> State:
        """Return the one state that stands for all that differ in names only."""
        world, *jobs = state
        mirrored = [self._mirrored(number) for number in jobs]
        jobs.sort()
        mirrored.sort()
        return min((world, *jobs), (self._mirrored_world(world), *mirrored))

    def _mirrored(self, number: int) -> int:
        job = self._jobs[number]
        return self._jobs.of(job._replace(slots=job.slots[::-1]))

    def _mirrored_world(self, number: int) -> int:
        world = self._worlds[number]
        return self._worlds.of(world._replace(draining=world.draining[::-1]))


class Numbers(Generic[_T]):
    """Values by number, and the numbers of values."""

    def __init__(self) -> None:
        self._values: list[_T] = []
        self._numbers: dict[_T, int] = {}

    def of(self, value: _T) -> int:
        """Return the number of `value`, a new one if need be."""
        number = self._numbers.setdefault(value, len(self._values))
        if number == len(self._values):
            self._values.append(value)
        return number

    def __getitem__(self, number: int) -> _T:
        return self._values[number]


def _unprovoked(action: str, faults: int) -> bool:
    """I6: where nothing ever went wrong, nothing is taken back."""
    return not faults and action.startswith("reap")
