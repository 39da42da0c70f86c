"""The claims a pool holds, from the claim to the recorded outcome."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from enum import StrEnum
from typing import Any

from ..job import Claim
from ..store.claiming import Claimed


class Stage(StrEnum):
    """Where a held job is inside the pool.

    QUEUED --starter--> STARTED --worker--> RUNNING --worker--> FINISHING
    """

    QUEUED = "queued"
    STARTED = "started"  # marked running in the store, waiting for a thread
    RUNNING = "running"
    FINISHING = "finishing"


class Held:
    """One job under a claim of this pool.

    Fields: `document`, `claim`, `queued_at` immutable. `stage` is written by
    whoever has the job in hand (fetcher, starter, worker in turn: a job is in
    one queue at a time). `deadline` is written by the heartbeat only; `lost`
    turns True once, by anybody, and stays.
    """

    __slots__ = ("attempt", "claim", "deadline", "document", "lost", "queued_at", "stage")

    def __init__(self, document: dict[str, Any], token: str, deadline: float, queued_at: float) -> None:
        self.document = document
        self.claim = Claim(document["_id"], token, document["fence"])
        self.attempt: int = document["attempts"] + 1
        self.deadline = deadline
        self.queued_at = queued_at
        self.stage = Stage.QUEUED
        self.lost = False

    @property
    def type(self) -> str:
        """The job's type."""
        type: str = self.document["type"]
        return type


def holding(claimed: Claimed) -> list[Held]:
    """Return the jobs of a claim as held jobs."""
    now = time.monotonic()
    return [Held(document, claimed.token, claimed.deadline, now) for document in claimed.documents]


class HeldJobs:
    """All held jobs of a pool. Every accepted claim leaves it finished, released or lost.

    Keyed by claim, not by id: a pool may claim a job again that it holds
    under an older claim and does not know to be lost yet.

    Threads: any; `_lock` guards `_by_claim` and `_empty`'s state.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_claim: dict[Claim, Held] = {}
        self._changed = threading.Condition(self._lock)

    def add(self, jobs: Iterable[Held]) -> None:
        """Take `jobs` in."""
        with self._lock:
            self._by_claim.update((held.claim, held) for held in jobs)

    def remove(self, claims: Iterable[Claim]) -> None:
        """Let `claims` go; those not held are passed over."""
        with self._lock:
            for claim in claims:
                self._by_claim.pop(claim, None)
            if not self._by_claim:
                self._changed.notify_all()

    def lose(self, claims: Iterable[Claim]) -> list[Held]:
        """Mark held jobs as lost and let them go, but for those whose outcome is being recorded.

        For those the recorder learns the truth: their lease may have ended
        because their finish just applied.
        """
        lost = []
        with self._lock:
            for claim in claims:
                held = self._by_claim.get(claim)
                if held is not None and held.stage is not Stage.FINISHING:
                    held.lost = True
                    del self._by_claim[claim]
                    lost.append(held)
            if not self._by_claim:
                self._changed.notify_all()
        return lost

    def all(self) -> list[Held]:
        """Return the jobs held now."""
        with self._lock:
            return list(self._by_claim.values())

    def __len__(self) -> int:
        return len(self._by_claim)

    def wait_empty(self, deadline: float | None) -> bool:
        """Wait until nothing is held, or until the monotonic `deadline`; return whether it is empty."""
        with self._lock:
            return self._changed.wait_for(lambda: not self._by_claim, _remaining(deadline))


def _remaining(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - time.monotonic())
