"""How long a failed job waits before its next attempt."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .chance import RANDOM
from .errors import InvalidConfiguration
from .hooks import logger_of
from .names import check_seconds, shown

logger = logger_of(__name__)

#: Delays and schedules reach at most ten years ahead.
MAX_DELAY = 10 * 365 * 86400.0
#: What is stored with every started job has to stay small.
MAX_STEPS = 100


class Delays(ABC):
    """A rule for the delay between attempts. Hashable: jobs are grouped by it."""

    @abstractmethod
    def delay(self, attempt: int, error: BaseException | None = None) -> float:
        """Return the seconds to wait after the failed attempt number `attempt` (from 1). Never raises."""

    @abstractmethod
    def numbers(self) -> dict[str, Any]:
        """Return the rule as numbers: stored with a started job, so that any pool can reap it by them."""


@dataclass(frozen=True, kw_only=True)
class Backoff(Delays):
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

    def delay(self, attempt: int, error: BaseException | None = None) -> float:  # noqa: ARG002
        """Return the seconds to wait after the failed attempt number `attempt` (from 1)."""
        try:
            ceiling = min(self.base * self.factor ** (attempt - 1), self.longest)
        except OverflowError:  # 1,000 attempts at factor 100
            ceiling = self.longest if self.base else 0.0
        return ceiling * (1 - self.jitter * RANDOM.random())

    def numbers(self) -> dict[str, Any]:
        """Return the four numbers."""
        return {"base": self.base, "factor": self.factor, "longest": self.longest, "jitter": self.jitter}


@dataclass(frozen=True)
class Steps(Delays):
    """Delays one by one: the first after the first attempt, and so on; the last one holds for all others."""

    seconds: tuple[float, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.seconds) <= MAX_STEPS:
            raise InvalidConfiguration(f"a backoff list has 1 to {MAX_STEPS} delays, not {len(self.seconds)}")
        for seconds in self.seconds:
            check_seconds(seconds, "a backoff delay", 0, MAX_DELAY)

    def delay(self, attempt: int, error: BaseException | None = None) -> float:  # noqa: ARG002
        """Return the delay of that place in the list."""
        return float(self.seconds[min(attempt, len(self.seconds)) - 1])

    def numbers(self) -> dict[str, Any]:
        """Return the list."""
        return {"steps": [float(seconds) for seconds in self.seconds]}


#: Where the delay is computed by a function: what holds when the function fails, and for whoever reaps the job.
FALLBACK = Backoff()


@dataclass(frozen=True, eq=False)
class Computed(Delays):
    """Delays that a function of attempt and error tells. Where it cannot be asked, `FALLBACK` holds."""

    fn: Callable[[int, BaseException | None], float]

    def delay(self, attempt: int, error: BaseException | None = None) -> float:
        """Ask the function; its own error is logged and costs nobody the outcome."""
        try:
            return check_seconds(self.fn(attempt, error), "a computed backoff delay", 0, MAX_DELAY)
        except Exception as own:  # noqa: BLE001  (a user's function)
            logger.warning(
                "the backoff function of an executor failed after attempt %d (%s: %s); the default delay is taken",
                *(attempt, type(own).__name__, shown(str(own))),
            )
            return FALLBACK.delay(attempt)

    def numbers(self) -> dict[str, Any]:
        """Return those of `FALLBACK`: a pool that reaps the job need not have the function."""
        return FALLBACK.numbers()


def delays_of(value: Any) -> Delays:
    """Return the rule that a user gives: a `Backoff`, a number, several, or a function of attempt and error.

    Raises:
        InvalidConfiguration: It is none of them, or a number is out of range.
    """
    if isinstance(value, Delays):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Steps((check_seconds(value, "backoff", 0, MAX_DELAY),))
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return Steps(tuple(value))
    if callable(value):
        return Computed(value)
    raise InvalidConfiguration(
        f"backoff must be a Backoff, seconds, a list of seconds, or a function (attempt, error) -> seconds, "
        f"not {type(value).__name__}"
    )
