"""Limits of how many jobs of a type, or of a key within it, run at once and begin per time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from .errors import InvalidConfiguration
from .logs import bounded_logger_of
from .names import check_int, check_name, check_seconds, shown

logger = bounded_logger_of(__name__)

MAX_KEY = 256
MAX_RUNNING = 1_000_000
#: Jobs and seconds.
LEAST_RATE, MOST_RATE = 1e-6, 1e6
LEAST_PER, MOST_PER = 0.001, 366 * 86400.0

KeyLike = str | Callable[[Any], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """How many jobs may run at once, how many may begin per time, or both; in the whole cluster.

    Args:
        running: The most jobs that pools hold at once, 1 to a million. A pool
            that dies gives its places back when its leases end.
        rate: So many jobs may be claimed per `per` seconds, in the long run.
        per: Seconds.
        burst: So many may be claimed at once after a pause; `rate` (at least 1)
            if None. In any window of w seconds at most ``burst + rate * w / per`` are claimed.

    Raises:
        InvalidConfiguration: It limits nothing, or a number is out of bounds.
    """

    running: int | None = None
    rate: float | None = None
    per: float = 1.0
    burst: int | None = None

    def __post_init__(self) -> None:
        if self.running is None and self.rate is None:
            raise InvalidConfiguration("a Limit needs running=, rate=, or both: this one limits nothing")
        if self.running is not None:
            check_int(self.running, "running", 1, MAX_RUNNING)
        check_seconds(self.per, "per", LEAST_PER, MOST_PER)
        if self.rate is not None:
            if isinstance(self.rate, bool) or not isinstance(self.rate, int | float):
                raise InvalidConfiguration(f"rate must be a number of jobs, not {type(self.rate).__name__}")
            if not LEAST_RATE <= self.rate <= MOST_RATE:  # false for NaN as well
                raise InvalidConfiguration(f"rate must be between {LEAST_RATE:g} and {MOST_RATE:g} jobs")
        if self.burst is not None:
            if self.rate is None:
                raise InvalidConfiguration("burst is of a rate: give rate= as well")
            check_int(self.burst, "burst", 1, MAX_RUNNING)

    @property
    def most(self) -> int:
        """The most jobs that one claim can take."""
        bounds = [self.running] if self.running is not None else []
        return min([*bounds, self.tokens] if self.rate is not None else bounds)

    @property
    def tokens(self) -> int:
        """What the full bucket holds; 1 if there is no rate."""
        return self.burst if self.burst is not None else max(1, int(self.rate or 1))

    @property
    def per_millisecond(self) -> float:
        """How much flows into the bucket; 0 if there is no rate."""
        return (self.rate or 0.0) / self.per / 1000


@dataclass(frozen=True, slots=True)
class Gate:
    """What a claim has to heed of the jobs of an executor.

    Attributes:
        owner: The name of the type: the places of its aliases are the same.
        types: That name and its aliases.
        limit: Of all of its jobs.
        key_limit: Of those of each key.
        keys: Which key a job has; None is "" for all.
    """

    owner: str
    types: tuple[str, ...]
    limit: Limit | None = None
    key_limit: Limit | None = None
    keys: KeyOf | None = None

    def key_of(self, type: str, data: Any) -> str:
        """Return the key of a job of one of its types with these data."""
        return "" if self.keys is None else self.keys(type, data)


class KeyOf:
    """Says which key a job has. Threads: any, for as long as its function bears it.

    Args:
        key: A function of the data, or the path of a field in them, such as ``"customer.id"``.
    """

    def __init__(self, key: KeyLike) -> None:
        if not callable(key) and not isinstance(key, str):
            raise InvalidConfiguration(f"key must be a function of the data or a path, not {type(key).__name__}")
        if isinstance(key, str) and not all(key.split(".")):
            raise InvalidConfiguration(f"key must be a path such as 'customer.id', not {shown(key)}")
        self._key = key
        self._warned = False

    def __call__(self, type: str, data: Any) -> str:
        """Return the key of a job of `type` with these data; "" if they have none that can be used.

        A warning says so once: such jobs share one key, and are not to be held up.
        """
        try:
            return text_of(self._find(data) if isinstance(self._key, str) else self._key(data))
        except Exception as error:  # noqa: BLE001 - a function of the user's
            if not self._warned:
                self._warned = True
                logger.warning(
                    "a job of type %s has no usable key (%s: %.200s); it counts for the key '', with all others "
                    "that have none",
                    *(shown(type), error.__class__.__name__, error),
                )
            return ""

    def _find(self, data: Any) -> Any:
        assert isinstance(self._key, str)
        for name in self._key.split("."):
            if not isinstance(data, Mapping):
                raise KeyError(self._key)
            data = data[name]
        return data


def text_of(key: object) -> str:
    """Return a key as it is stored: text as it is, numbers and ids as text, None as ""."""
    if key is None or key == "":
        return ""
    if isinstance(key, int | UUID) or key.__class__.__module__ == "bson.objectid":
        return str(key)
    return check_name(key, "key", longest=MAX_KEY)
