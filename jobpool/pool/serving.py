"""What a pool claims now: the types that it runs, but for those that are paused."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..config import PoolConfig
from ..executors import Executors
from ..limits import Gate
from ..pauses import Pause, Paused
from ..store.claiming import Rule
from .time_limits import shortest_limit


@dataclass(frozen=True, slots=True, eq=False)
class Served:
    """One view of it. Whoever reads `Serving.now` once has parts that fit together.

    Attributes:
        types: What the pool runs, whether paused or not, in the order they were given.
        paused: What is paused, as far as the pool knows; of any type.
        claimed: Those of `types` that the fetcher asks for: jobs of others are not begun.
        wanted: The same, to be looked up.
        plain: Those of `claimed` that have neither keys nor limits.
        gates: What is to be heeded of the others, by type; None if there are none.
        rules: What the executors of `claimed` allow.
        results: Whether one of `types` has results whose time ends.
        shortest: The shortest limit in seconds of what runs here, or may still run since it was removed.
    """

    types: tuple[str, ...]
    paused: Paused
    claimed: tuple[str, ...]
    wanted: frozenset[str]
    plain: tuple[str, ...]
    gates: Mapping[str, Gate] | None
    rules: Mapping[str, Rule]
    results: bool
    shortest: float


class Serving:
    """What a pool claims now, replaced whole by whoever changes it.

    Threads: `now` is read by any, one attribute for all there is to know;
    `_lock` is for those who change it, and bears a signal handler on top of itself.
    """

    def __init__(self, executors: Executors, config: PoolConfig, types: tuple[str, ...]) -> None:
        self._executors = executors
        self._config = config
        self._lock = threading.RLock()
        self.now = self._served(types, Paused(), shortest_limit((), executors, config))

    def add(self, types: Iterable[str]) -> None:
        """Run these types as well; each has an executor."""
        with self._lock:
            self._replace_locked((*self.now.types, *types), self.now.paused)

    def remove(self, types: Iterable[str]) -> None:
        """Claim jobs of these types no more; what runs goes on."""
        gone = frozenset(types)
        with self._lock:
            self._replace_locked(tuple(type for type in self.now.types if type not in gone), self.now.paused)

    def pause(self, paused: Paused) -> None:
        """Claim nothing of what is paused, and all else."""
        with self._lock:
            self._replace_locked(self.now.types, paused)

    def why(self, type: str, paused: Paused) -> Pause | None:
        """Return the pause that holds jobs of `type`, its own or as an alias; None if there is none."""
        return paused.why(type) or paused.why(self._executors.owner(type))

    def _replace_locked(self, types: tuple[str, ...], paused: Paused) -> None:
        types = tuple(dict.fromkeys(types))
        if (types, paused) != (self.now.types, self.now.paused):
            self.now = self._served(types, paused, self.now.shortest)

    def _served(self, types: tuple[str, ...], paused: Paused, shortest: float) -> Served:
        executors = self._executors
        claimed = tuple(type for type in types if self.why(type, paused) is None)
        gates = {type: gate for type in claimed if (gate := executors.gate(type)) is not None}
        kept = [retention for type in types if (retention := executors[type].retention) is not None]
        return Served(
            types=types,
            paused=paused,
            claimed=claimed,
            wanted=frozenset(claimed),
            plain=tuple(type for type in claimed if type not in gates),
            gates=gates or None,
            rules={type: Rule.of(executors[type]) for type in claimed},
            results=any(retention.result is not None for retention in kept),
            shortest=min(shortest, shortest_limit(types, executors, self._config)),
        )
