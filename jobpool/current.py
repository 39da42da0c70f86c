"""The job in hand: what an executor can ask about the attempt it is running."""

from __future__ import annotations

import logging
import time
from contextvars import ContextVar
from datetime import datetime
from typing import Any, Protocol

from .errors import PoolStateError


class HeldJob(Protocol):
    """What `CurrentJob` needs of a claim that is held."""

    @property
    def document(self) -> dict[str, Any]:
        """The job as it was claimed."""

    @property
    def attempt(self) -> int:
        """The number of this attempt, from 1."""

    @property
    def lost(self) -> bool:
        """Whether the claim is known to be lost."""

    @property
    def deadline(self) -> float:
        """Monotonic instant up to which the lease is certain."""


class CurrentJob:
    """The job that this thread or coroutine is running.

    Threads: readable from any thread the executor hands it to.
    """

    __slots__ = ("_held",)

    def __init__(self, held: HeldJob) -> None:
        self._held = held

    @property
    def id(self) -> str:
        """The job's id."""
        id: str = self._held.document["_id"]
        return id

    @property
    def type(self) -> str:
        """The job's type."""
        type: str = self._held.document["type"]
        return type

    @property
    def data(self) -> Any:
        """The job's data, the same object the executor was called with."""
        return self._held.document["data"]

    @property
    def created_at(self) -> datetime:
        """When the job was created (server time)."""
        at: datetime = self._held.document["created_at"]
        return at

    @property
    def attempt(self) -> int:
        """The number of this attempt, from 1."""
        return self._held.attempt

    @property
    def fence(self) -> int:
        """A number that rises with every claim of this job.

        Store it with your own writes and refuse smaller ones: then a paused
        attempt that wakes up late cannot undo what a later one did.
        """
        fence: int = self._held.document["fence"]
        return fence

    @property
    def lost(self) -> bool:
        """Whether the claim is lost, or its lease not certain any more: stop if you can.

        The outcome is refused if the job was reaped or claimed again.
        """
        return self._held.lost or time.monotonic() >= self._held.deadline

    @property
    def logger(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger whose records carry ``job_id``, ``job_type`` and ``attempt``."""
        extra = {"job_id": self.id, "job_type": self.type, "attempt": self.attempt}
        return logging.LoggerAdapter(logging.getLogger("jobpool.job"), extra)

    def __repr__(self) -> str:
        return f"<CurrentJob {self.id!r} type={self.type!r} attempt={self.attempt} fence={self.fence}>"


in_hand: ContextVar[HeldJob | None] = ContextVar("jobpool_in_hand", default=None)


def current_job() -> CurrentJob:
    """Return the job that the calling executor is running.

    Raises:
        PoolStateError: Not called from within an executor. (A thread that an
            executor started has its own context: hand it the job.)
    """
    held = in_hand.get()
    if held is None:
        raise PoolStateError("current_job() was called outside of an executor")
    return CurrentJob(held)
