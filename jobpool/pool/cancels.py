"""Cancelled jobs that run: their executors are told to end."""

from __future__ import annotations

import time
from collections.abc import Sequence

from ..current import log_fields
from ..errors import StoreError
from ..logs import bounded_logger_of
from ..names import shown
from ..signals import JobCancelled
from ..store import Store
from ..store.driver import run
from .coroutines import Coroutines
from .held import Stage, tell_to_end
from .seating import Seated

logger = bounded_logger_of(__name__)

#: Seconds between two questions to the store: whoever cancels a job waits for the next one.
ASK_EVERY = 0.4
#: Whoever runs for less is not asked for: short jobs cost nothing.
AT_LEAST = 0.2
#: Of one question.
STORE_TIME = 2.0


class Cancels:
    """Asks the store which of the running jobs are to end. Threads: the watchdog; `_ask_at` is its own."""

    def __init__(self, store: Store, coroutines: Coroutines) -> None:
        self._store = store
        self._coroutines = coroutines
        self._ask_at = 0.0

    def look(self, seated: Sequence[Seated]) -> None:
        """Tell the executors of cancelled jobs; one question for all, none if nothing runs for long."""
        now = time.monotonic()
        long = {
            one.held.claim: one
            for one in seated
            if now - one.since >= AT_LEAST and one.held.told is None and one.held.stage is Stage.RUNNING
        }
        if not long or now < self._ask_at:
            return
        self._ask_at = now + ASK_EVERY
        try:
            asked = run(self._store.cancelling.asked_to_end(long, timeout=STORE_TIME))
        except StoreError as error:  # the others who call the store tell of it
            logger.debug("looking for cancelled jobs failed: %s", error)
            return
        for claim in asked:
            one = long[claim]
            # It may have ended meanwhile, and its thread may run another one.
            why = JobCancelled(f"job {shown(claim.id)} was cancelled while it ran")
            if tell_to_end(one.held, why, self._coroutines):
                logger.info(
                    "job %s is cancelled: its executor is told", shown(claim.id), extra=log_fields(one.held)
                )
