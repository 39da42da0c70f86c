"""The job in hand: what an executor can ask about the attempt it is running."""

from __future__ import annotations

import logging
import time
from collections.abc import MutableMapping
from contextvars import ContextVar
from datetime import datetime
from typing import Any, Protocol

from .errors import PoolStateError
from .names import shown


class SpanIds(Protocol):
    """What logs tell of a span."""

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""

    @property
    def span_id(self) -> str:
        """16 hexadecimal digits."""


class HeldJob(Protocol):
    """What `CurrentJob` needs of a claim that is held."""

    @property
    def document(self) -> dict[str, Any]:
        """The job as it was claimed."""

    @property
    def pool(self) -> str:
        """The name of the pool that holds it."""

    @property
    def attempt(self) -> int:
        """The number of this attempt, from 1."""

    @property
    def span(self) -> SpanIds | None:
        """The span of this attempt; None if it is not traced."""

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
        """A logger whose records carry ``job_id``, ``job_type``, ``pool`` and ``attempt``, on any thread."""
        return JobLogger(logging.getLogger("jobpool.job"), log_fields(self._held))

    def __repr__(self) -> str:
        return f"<CurrentJob {shown(self.id)} type={shown(self.type)} attempt={self.attempt} fence={self.fence}>"


class JobLogger(logging.LoggerAdapter[logging.Logger]):
    """Adds the fields of a job to those that the caller gives."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Return the arguments of the call to the logger."""
        return msg, {**kwargs, "extra": {**(self.extra or {}), **(kwargs.get("extra") or {})}}


def log_fields(held: HeldJob) -> dict[str, object]:
    """Return what a log record about a job carries, the job's data not."""
    fields: dict[str, object] = {
        "job_id": held.document["_id"],
        "job_type": held.document["type"],
        "pool": held.pool,
        "attempt": held.attempt,
    }
    span = held.span
    return fields if span is None else fields | {"trace_id": span.trace_id, "span_id": span.span_id}


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
