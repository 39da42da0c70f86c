"""The cluster view: how many jobs of which type are where, how old the oldest due one is, how many pools live."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class TypeBacklog:
    """The jobs of one type that are not done with.

    Attributes:
        due: Pending, and may be claimed now.
        scheduled: Pending with a later `run_at`: created so, or waiting for a retry.
        claimed: Held by a pool, executor not called.
        running: Held by a pool, executor called.
        failed: Failed and kept.
        oldest_due_age: Seconds since the first of the due ones became due; 0 if there are none.
    """

    due: int = 0
    scheduled: int = 0
    claimed: int = 0
    running: int = 0
    failed: int = 0
    oldest_due_age: float = 0.0


STATES = ("due", "scheduled", "claimed", "running", "failed")


@dataclass(frozen=True, slots=True)
class Backlog:
    """What all pools together have before them, as of one look at the store.

    The numbers are counted one after the other while jobs move, so a job that
    moves meanwhile may be counted twice or not at all.

    Attributes:
        types: By type; every type that has such jobs.
        pools_alive: Pools, of all processes and hosts, that said lately that they live.
        at: When it was counted (server time).
        seconds: How long the counting took.
    """

    types: Mapping[str, TypeBacklog] = field(repr=False)
    pools_alive: int
    at: datetime
    seconds: float

    def of(self, type: str) -> TypeBacklog:
        """Return the backlog of one type."""
        return self.types.get(type, TypeBacklog())

    @property
    def total(self) -> TypeBacklog:
        """All types together, and the oldest age among them."""
        return merged(self.types.values())


def merged(parts: Iterable[TypeBacklog]) -> TypeBacklog:
    """Return the sums of `parts`, and their oldest age."""
    parts = list(parts)
    sums = {state: sum(getattr(part, state) for part in parts) for state in STATES}
    return TypeBacklog(**sums, oldest_due_age=max((part.oldest_due_age for part in parts), default=0.0))
