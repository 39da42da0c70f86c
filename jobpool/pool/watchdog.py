"""The watchdog: tells where executors are that run for too long.

It ends nothing: a thread cannot be ended from outside. Past its limit an
executor is stuck: the warning and the job then say where it is.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import inf

from ..config import PoolConfig
from ..current import log_fields
from ..errors import StoreError
from ..executors import Executors
from ..job import Stuck
from ..logs import bounded_logger_of
from ..names import LISTED, listed, shown
from ..observer import Observer
from ..store import Store
from .coroutines import Coroutines
from .held import Held, Stage
from .service import Periodic
from .stacks import stack_of
from .workers import Seated, Workers

logger = bounded_logger_of(__name__)

#: Seconds between two looks; a limit of less than twice that is looked for more often.
LOOK_EVERY = 1.0
#: Of one call to the store, and how many there are for a stack before it is left to the log.
STORE_TIME, TRIES = 2.0, 5


def limits_of(types: Iterable[str], executors: Executors, config: PoolConfig) -> dict[str, float]:
    """Return the seconds after which executors count as stuck, by type; those without a limit are missing."""
    limits = {type: executors[type].timeout or config.stuck_after for type in types}
    return {type: limit for type, limit in limits.items() if limit is not None}


@dataclass(slots=True)
class _Report:
    """What is to be stored, and how often that was tried."""

    stuck: Stuck
    tries: int = 0


class Watchdog(Periodic):
    """Reports every attempt once that runs past its limit: one warning, and `Job.stuck` in the store.

    Both say the same, so that either may fail: the log is bounded, and the
    store may be away. Storing is conditional on the claim, as all writes to a
    held job are; who has lost it changes nothing, and a repeat writes the same.

    Args:
        limits: Seconds, by type; see `limits_of`.

    Fields: `_told` (what was reported and runs still) and `_unstored` belong
    to the thread. `stuck` is seen at the seats, by anybody.
    """

    def __init__(
        self,
        name: str,
        store: Store,
        workers: Workers,
        coroutines: Coroutines,
        observer: Observer,
        limits: Mapping[str, float],
    ) -> None:
        interval = min([LOOK_EVERY, *(limit / 2 for limit in limits.values())])
        super().__init__(f"{name}-watchdog", observer, store.trouble, interval, at_once=False)
        self._pool = name
        self._store = store
        self._workers = workers
        self._coroutines = coroutines
        self._limits = limits
        self._told: set[Held] = set()
        self._unstored: dict[Held, _Report] = {}

    @property
    def needed(self) -> bool:
        """Whether there is anything to watch."""
        return bool(self._limits)

    @property
    def stuck(self) -> list[Held]:
        """The jobs whose executors run past their limits now, lost ones included: their threads are taken."""
        return [seated.held for seated in self._overdue()]

    def act(self) -> None:
        """Report what is stuck since the last look, and store what is not stored yet."""
        overdue = self._overdue()
        running = {seated.held for seated in overdue}
        self._told &= running
        for seated in overdue:
            if seated.held not in self._told:
                self._told.add(seated.held)
                self._report(seated)
        # What has ended says itself how; of what is lost nothing can be written any more.
        self._unstored = {h: report for h, report in self._unstored.items() if h in running and not h.lost}
        if self._unstored:
            self._try_to_store()

    def _overdue(self) -> list[Seated]:
        now = time.monotonic()
        return [
            seated
            for seated in self._workers.seated()
            if now - seated.since > self._limits.get(seated.held.type, inf) and seated.held.stage is Stage.RUNNING
        ]

    def _report(self, seated: Seated) -> None:
        held, seconds = seated.held, time.monotonic() - seated.since
        stack = stack_of(seated.thread, self._coroutines, lambda: self._runs(held))
        if stack is None:
            return
        logger.warning(
            "job %s of type %s is stuck: attempt %d has run for %.1f s in pool %s, the limit is %g s:\n%s",
            *(shown(held.claim.id, LISTED), shown(held.type, LISTED), held.attempt, seconds),
            *(shown(self._pool, LISTED), self._limits[held.type], stack.rstrip()),
            extra=log_fields(held),
        )
        self._unstored[held] = _Report(Stuck(attempt=held.attempt, after=seconds, stack=stack))

    def _runs(self, held: Held) -> bool:
        return held.stage is Stage.RUNNING and held in self._workers.running()

    def _try_to_store(self) -> None:
        """Store the reports; a failure is of no harm and is tried again at the next looks, not for ever."""
        reports = {held.claim: report.stuck for held, report in self._unstored.items()}
        try:
            self._store.transitions.report_stuck(reports, timeout=STORE_TIME)
        except StoreError as error:
            logger.debug("%s: storing %d stacks failed: %s", self.name, len(reports), error)
            self._failed_to_store(error)
        else:
            self._unstored.clear()

    def _failed_to_store(self, error: StoreError) -> None:
        for report in self._unstored.values():
            report.tries += 1
        given_up = [held for held, report in self._unstored.items() if report.tries >= TRIES]
        for held in given_up:
            del self._unstored[held]
        if given_up:
            logger.info(
                "pool %s could not store where %d stuck jobs are (%s); it is only in the log: %s",
                *(shown(self._pool, LISTED), len(given_up), error.kind, listed([h.claim.id for h in given_up])),
            )
