"""Whether a pool lives, and whether it can work."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from ..config import PoolConfig
from .service import Service
from .waker import Waker
from .workers import Workers


@dataclass(frozen=True, slots=True)
class Health:
    """The answers behind ``/healthz`` and ``/readyz``: the name of each check, and what is wrong if it failed.

    Attributes:
        live: Every thread is there, and none has been without success for longer than the lease.
        ready: The pool claims, and the last store call of every thread was answered.
    """

    live: dict[str, str | None] = field(default_factory=dict)
    ready: dict[str, str | None] = field(default_factory=dict)

    @property
    def is_live(self) -> bool:
        """Nobody needs to be called."""
        return not any(self.live.values())

    @property
    def is_ready(self) -> bool:
        """It is live and can work right now."""
        return self.is_live and not any(self.ready.values())


def health_of(
    state: str, services: Iterable[Service], workers: Workers, config: PoolConfig, waker: Waker | None
) -> Health:
    """Return the health of a pool from what its parts show."""
    health = Health()
    health.ready["claiming"] = None if state == "started" else f"the pool is {state}"
    if state != "started":
        return health
    now = time.monotonic()
    for service in (*services, *([waker] if waker else [])):
        role = service.name.rpartition("-")[2]
        silent = now - service.advanced_at
        health.live[role] = None
        if not service.alive:
            health.live[role] = "its thread is not running"
        elif silent > config.lease:
            health.live[role] = f"has not advanced for {silent:.0f} s, longer than the lease"
        health.ready[f"{role} store"] = "its last store call failed" if service.failing else None
    health.live["workers"] = None if workers.alive else "a worker thread is not running"
    return health
