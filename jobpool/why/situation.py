"""What is looked at to tell why a job does not run."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ..backlog import AlivePool
from ..limits import Limit
from ..pauses import Pause, Paused

#: A number as MongoDB has it: who writes by hand writes doubles, for whole ones too.
NUMBER = int | float


def finite(value: object) -> float | None:
    """Return a value if it is a finite number, else None."""
    if isinstance(value, bool) or not isinstance(value, NUMBER) or not math.isfinite(value):
        return None
    return float(value)


@dataclass(frozen=True, slots=True)
class Other:
    """Another job: one that is waited for.

    Attributes:
        state: None if it is not there.
    """

    id: str
    state: str | None
    type: str | None = None


@dataclass(frozen=True, slots=True)
class Holding:
    """A job that a pool holds."""

    id: str
    type: str
    state: str
    pool: str | None
    pool_id: str | None
    key: str | None = None
    started_at: datetime | None = None
    lease_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """Jobs that are held.

    Attributes:
        jobs: Some of them.
        complete: Whether these are all.
    """

    jobs: tuple[Holding, ...] = ()
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Ahead:
    """Due jobs that come before this one.

    Attributes:
        jobs: How many.
        more: Whether there are more than that: it was counted no further.
        key: Of which key, for a type with limits or keys; None for all that the same pools run.
        types: Of which types.
    """

    jobs: int
    more: bool
    types: tuple[str, ...]
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Bound:
    """A limit that all pools heed which could take the job; the widest, if they differ.

    Attributes:
        owner: The type, whose aliases share its places.
        types: That type and its aliases.
        key: Of one key; None if of all of the type.
        running: How many jobs may be held at once.
        rate: How many may be claimed per time.
    """

    owner: str
    types: tuple[str, ...]
    key: str | None
    running: int | None
    rate: Limit | None


@dataclass(frozen=True, slots=True)
class Usage:
    """What of a limit is used.

    Attributes:
        held: How many places are taken; None if nobody counted.
        holders: Some of those that hold them.
        next_in: Seconds until the bucket has a token; None if there is no rate.
        locked_until: Until when at most a claim has the gate for itself.
    """

    bound: Bound
    held: int | None = None
    holders: tuple[Holding, ...] = ()
    next_in: float | None = None
    locked_until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """All of it, as of one look.

    Attributes:
        now: Server time.
        job: What is stored, without its data; anything may be in it.
        paused: What is paused.
        pools: Alive and remembered.
        alias_of: Returns the type of which one is an alias, as far as it is known here.
        schema, required: Which schema this version stores, and which the jobs here need, if any is required.
        version: Of jobpool here.
        index_trouble: What is wrong with the index of claims; None if nothing.
        limits_trouble: What is wrong with those of types with limits, if it is of one; None if nothing.
        others: Jobs that it waits for, some of them if they are many.
        ahead: What comes before it, if that was counted.
        limits: What of its limits is used.
        held: What pools hold, if that was read.
        result: Of a succeeded job, as a short text.
    """

    now: datetime
    job: Mapping[str, Any]
    paused: Paused = field(default_factory=Paused)
    pools: tuple[AlivePool, ...] = ()
    alias_of: Callable[[str], str] = str
    schema: int = 1
    required: int | None = None
    version: str = "unknown"
    index_trouble: str | None = None
    limits_trouble: str | None = None
    others: tuple[Other, ...] = ()
    ahead: Ahead | None = None
    limits: tuple[Usage, ...] = ()
    held: Held | None = None
    result: str | None = None

    # --- the job --------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """Its id."""
        return self.text("_id") or str(self.job.get("_id"))

    @property
    def type(self) -> str:
        """Its type; what stands there instead if that is no text."""
        return self.text("type") or str(self.job.get("type"))

    @property
    def state(self) -> str:
        """Its state."""
        return self.text("state") or str(self.job.get("state"))

    def text(self, name: str) -> str | None:
        """Return a field if it is a text."""
        value = self.job.get(name)
        return value if isinstance(value, str) else None

    def instant(self, name: str) -> datetime | None:
        """Return a field if it is an instant of ours."""
        value = self.job.get(name)
        return value if isinstance(value, datetime) and value.utcoffset() is not None else None

    def number(self, name: str) -> int:
        """Return a field if it is a whole number, else 0."""
        return self.whole(name) or 0

    def whole(self, name: str) -> int | None:
        """Return a field if it is a whole number, else None."""
        value = self.real(name)
        return None if value is None or not value.is_integer() else int(self.job[name])

    def real(self, name: str) -> float | None:
        """Return a field if it is a finite number, else None."""
        return finite(self.job.get(name))

    def items(self, name: str) -> list[Any]:
        """Return a field if it is a list, else an empty one."""
        value = self.job.get(name)
        return value if isinstance(value, list) else []

    def since(self, instant: datetime) -> float:
        """Return for how many seconds an instant is past; negative if it is to come."""
        return (self.now - instant).total_seconds()

    # --- pools ----------------------------------------------------------------------------

    @property
    def alive(self) -> tuple[AlivePool, ...]:
        """Pools that said lately that they live."""
        return tuple(pool for pool in self.pools if pool.alive)

    @property
    def knowing(self) -> tuple[AlivePool, ...]:
        """Those of them that run its type, whether they claim or not."""
        return tuple(pool for pool in self.alive if self.type in pool.types)

    @property
    def serving(self) -> tuple[AlivePool, ...]:
        """Those of these that claim."""
        return tuple(pool for pool in self.knowing if pool.claims)

    @property
    def owners(self) -> tuple[str, ...]:
        """The types of which its type is an alias, by anybody's word; mostly there are none."""
        known = [self.alias_of(self.type), *(pool.owner(self.type) for pool in self.pools)]
        return tuple(dict.fromkeys(owner for owner in known if owner != self.type))

    def pause_of(self, type: str) -> Pause | None:
        """Return what holds jobs of a type, its own pause or as an alias; None if they are started."""
        owners = (self.alias_of(type), *(pool.owner(type) for pool in self.alive))
        found = (self.paused.why(name) for name in dict.fromkeys((type, *owners)))
        return next((pause for pause in found if pause is not None), None)
