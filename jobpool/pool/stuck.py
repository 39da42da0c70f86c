"""Attempts that run for longer than their pool thinks right: where they are is logged, and stored with the job.

It ends nothing: what ends attempts is the timeout of an executor.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..current import log_fields
from ..errors import StoreError
from ..job import Stuck
from ..logs import bounded_logger_of
from ..names import LISTED, listed, shown
from ..store import Store
from .completion import being_completed
from .coroutines import Coroutines
from .held import Held, Stage
from .seating import Seated
from .stacks import stack_of

logger = bounded_logger_of(__name__)

#: Of one call to the store, and how many there are for a stack before it is left to the log.
STORE_TIME, TRIES = 2.0, 5


def runs(held: Held, seated: Callable[[], Sequence[Seated]]) -> bool:
    """Say whether the executor of `held` runs still."""
    return held.stage is Stage.RUNNING and any(one.held is held for one in seated())


@dataclass(slots=True)
class _Report:
    """What is to be stored, and how often that was tried."""

    stuck: Stuck
    tries: int = 0


class StuckReports:
    """Reports every attempt once that runs past its limit: one warning, and `Job.stuck` in the store.

    Both say the same, so that either may fail: the log is bounded, and the
    store may be away. Storing is conditional on the claim, as all writes to a
    held job are; who has lost it changes nothing, and a repeat writes the same.

    Args:
        limit: Seconds; None reports nothing.
        seated: Who runs what.

    Fields: `_told` (what was reported and runs still) and `_unstored` belong
    to the watchdog. `stuck` is seen at the seats, by anybody.
    """

    def __init__(
        self,
        pool: str,
        store: Store,
        coroutines: Coroutines,
        limit: float | None,
        seated: Callable[[], Sequence[Seated]],
    ) -> None:
        self._pool = pool
        self._store = store
        self._coroutines = coroutines
        self._limit = limit
        self._seated = seated
        self._told: set[Held] = set()
        self._unstored: dict[Held, _Report] = {}

    @property
    def stuck(self) -> list[Held]:
        """The jobs whose executors run past their limits now, lost ones included: their threads are taken."""
        return [one.held for one in self._overdue(self._seated())]

    def look(self, seated: Sequence[Seated]) -> None:
        """Report what is stuck since the last look, and store what is not stored yet."""
        overdue = self._overdue(seated)
        running = {one.held for one in overdue}
        self._told &= running
        for one in overdue:
            if one.held not in self._told:
                self._told.add(one.held)
                self._report(one)
        # What has ended says itself how; of what is lost nothing can be written any more.
        self._unstored = {h: report for h, report in self._unstored.items() if h in running and not h.lost}
        if any(not being_completed(held) for held in self._unstored):
            self._try_to_store()

    def _overdue(self, seated: Sequence[Seated]) -> list[Seated]:
        if self._limit is None:
            return []
        latest = time.monotonic() - self._limit
        return [one for one in seated if one.since < latest and one.held.stage is Stage.RUNNING]

    def _report(self, seated: Seated) -> None:
        held, seconds = seated.held, time.monotonic() - seated.since
        stack = stack_of(seated.thread, self._coroutines, lambda: runs(held, self._seated))
        if stack is None:
            return
        logger.warning(
            "job %s of type %s is stuck: attempt %d has run for %.1f s in pool %s, the limit is %g s:\n%s",
            *(shown(held.claim.id, LISTED), shown(held.type, LISTED), held.attempt, seconds),
            *(shown(self._pool, LISTED), self._limit, stack.rstrip()),
            extra=log_fields(held),
        )
        self._unstored[held] = _Report(Stuck(attempt=held.attempt, after=seconds, stack=stack))

    def _try_to_store(self) -> None:
        """Store the reports; a failure is of no harm and is tried again at the next looks, not for ever."""
        reports = {h.claim: report.stuck for h, report in self._unstored.items() if not being_completed(h)}
        try:
            self._store.transitions.report_stuck(reports, timeout=STORE_TIME)
        except StoreError as error:
            logger.debug("pool %s: storing %d stacks failed: %s", self._pool, len(reports), error)
            self._failed_to_store(error)
        else:
            self._unstored = {h: report for h, report in self._unstored.items() if h.claim not in reports}

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
