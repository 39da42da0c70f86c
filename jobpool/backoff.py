"""How long a failed job waits before its next attempt."""

from __future__ import annotations

import random
from dataclasses import dataclass

from .names import check_seconds

#: Delays and schedules reach at most ten years ahead.
MAX_DELAY = 10 * 365 * 86400.0


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """Exponential backoff with jitter.

    The delay after attempt *n* is drawn evenly from
    ``[(1 - jitter) * d, d]`` with ``d = min(base * factor ** (n - 1), longest)``.
    With ``jitter=1`` this is the "full jitter" of Brooker, "Exponential
    Backoff and Jitter" (AWS Architecture Blog, 2015).

    The numbers are stored with a started job, so that any pool can reap it
    with the delay that its own executor asked for.

    Args:
        base: Seconds after the first attempt.
        factor: Growth per attempt, 1 to 100.
        longest: Seconds that no delay exceeds.
        jitter: The share of the delay that is random, 0 to 1.
    """

    base: float = 1.0
    factor: float = 2.0
    longest: float = 600.0
    jitter: float = 0.5

    def __post_init__(self) -> None:
        check_seconds(self.base, "backoff base", 0, MAX_DELAY)
        check_seconds(self.factor, "backoff factor", 1, 100)
        check_seconds(self.longest, "backoff longest", 0, MAX_DELAY)
        check_seconds(self.jitter, "backoff jitter", 0, 1)

    def delay(self, attempt: int) -> float:
        """Return the seconds to wait after the failed attempt number `attempt` (from 1)."""
        try:
            ceiling = min(self.base * self.factor ** (attempt - 1), self.longest)
        except OverflowError:  # 1,000 attempts at factor 100
            ceiling = self.longest if self.base else 0.0
        return ceiling * (1 - self.jitter * random.random())
