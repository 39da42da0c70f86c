"""Timeouts: executors that run for too long are told to end, and given up if they do not."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from math import inf

from ..config import PoolConfig
from ..current import log_fields
from ..executors import Executors
from ..logs import bounded_logger_of
from ..names import LISTED, shown
from ..signals import TimedOut
from .coroutines import Coroutines
from .held import Held, Stage, tell_to_end
from .seating import Seated
from .stacks import stack_of
from .stuck import runs

logger = bounded_logger_of(__name__)

#: Settles an attempt without its thread; False if that has just done so itself.
GiveUp = Callable[[Held, TimedOut, str], bool]


def shortest_limit(types: Sequence[str], executors: Executors, config: PoolConfig) -> float:
    """Return the shortest number of seconds after which something is to be done about an executor."""
    limits = (executors[type].timeout for type in types)
    return min((limit for limit in (*limits, config.stuck_after) if limit is not None), default=inf)


class TimeLimits:
    """Tells executors that their time is over. Threads: the watchdog; no state of its own.

    A coroutine is cancelled. A thread can only be told; past its grace its
    attempt is over all the same: recorded as timed out, whatever the thread
    does later, with the stack that shows where it was.

    Args:
        give_up: None where the thread is the caller's own, and nobody can go on without it.
        replace: Lets another thread take the place of the one that runs a job; False if none can.
    """

    def __init__(
        self,
        pool: str,
        executors: Executors,
        coroutines: Coroutines,
        seated: Callable[[], Sequence[Seated]],
        give_up: GiveUp | None = None,
        replace: Callable[[Held], bool] | None = None,
    ) -> None:
        self._pool = pool
        self._executors = executors
        self._coroutines = coroutines
        self._seated = seated
        self._give_up = give_up
        self._replace = replace

    def look(self, seated: Sequence[Seated]) -> None:
        """Tell those whose time is over, and give up those whose grace is over as well."""
        now = time.monotonic()
        for one in seated:
            limit = self._limit_of(one.held)
            if now - one.since <= limit or one.held.stage is not Stage.RUNNING:
                continue
            why = TimedOut(f"attempt {one.held.attempt} ran for longer than its timeout, {limit:g} s")
            self._tell(one.held, why)
            if now - one.held.told_at > self._executors[one.held.type].grace:  # never in the look that tells it
                self._end(one, why)

    def _limit_of(self, held: Held) -> float:
        own = held.document.get("timeout")
        if isinstance(own, int | float) and own > 0:  # somebody else may have written it
            return own
        limit = self._executors[held.type].timeout
        return inf if limit is None else limit

    def _tell(self, held: Held, why: TimedOut) -> None:
        if tell_to_end(held, why, self._coroutines):
            logger.info(
                "job %s of type %s is told to end: %s",
                *(shown(held.claim.id, LISTED), shown(held.type, LISTED), why),
                extra=log_fields(held),
            )

    def _end(self, seated: Seated, why: TimedOut) -> None:
        """Give up an attempt that did not end in its grace, whatever it was told."""
        held = seated.held
        if self._give_up is None:
            return
        stack = stack_of(seated.thread, self._coroutines, lambda: runs(held, self._seated))
        if stack is None or not self._give_up(held, why, stack):
            return
        replaced = self._replace is not None and self._replace(held)
        logger.warning(
            "job %s of type %s did not end when it was told to: attempt %d is over all the same, its thread "
            "in pool %s is stuck%s:\n%s",
            *(shown(held.claim.id, LISTED), shown(held.type, LISTED), held.attempt, shown(self._pool, LISTED)),
            " and replaced" if replaced else ", and not replaced: none can be, or too many are (max_stuck)",
            stack.rstrip(),
            extra=log_fields(held),
        )
