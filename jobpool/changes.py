"""What happens to jobs, one change after the other, as those see it who watch them live."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .job import JobError, State
from .progress import Progress

CREATED, READY, WAITING, CLAIMED, STARTED = "created", "ready", "waiting", "claimed", "started"
PROGRESS, CANCEL_REQUESTED, MOVED = "progress", "cancel_requested", "moved"
SUCCEEDED, FAILED, CANCELLED = "succeeded", "failed", "cancelled"
RETRY, SNOOZED, RELEASED, REVIVED, REMOVED = "retry", "snoozed", "released", "revived", "removed"

#: Every kind of change, and what it says.
KINDS = {
    CREATED: "it was created",
    READY: "what it waited for has ended, and it is pending",
    WAITING: "it waits for others again",
    CLAIMED: "a pool has taken it",
    STARTED: "an attempt has begun",
    PROGRESS: "its executor said how far it is",
    CANCEL_REQUESTED: "somebody asked its attempt to end",
    MOVED: "somebody gave it another due time",
    SUCCEEDED: "it has succeeded",
    RETRY: "an attempt has failed, and another one follows",
    SNOOZED: "its executor put it off",
    RELEASED: "a pool has given it back, or lost it, before its start",
    FAILED: "it has failed",
    CANCELLED: "it was cancelled",
    REVIVED: "somebody made it run again after its end",
    REMOVED: "it was deleted, by somebody or at the end of its retention",
}


@dataclass(frozen=True, slots=True)
class Change:
    """Something that happened to a job. What a change says nothing of is None.

    Attributes:
        kind: What happened; see `KINDS`.
        id: Of the job.
        at: When (server time).
        type: Of the job; None of one that was removed before anything else was heard of it.
        state: The state that it has since; None if it was removed.
        pool: Who claimed, started or ended it.
        attempt: The number of the attempt that began or ended.
        seconds: How long that attempt ran.
        run_at: When it is due, if that is new.
        error: How the attempt, or the job, failed.
        reason: Why it was cancelled.
        progress: How far it is.
        data: Its data, if they were asked for.
    """

    kind: str
    id: str
    at: datetime
    type: str | None = None
    state: State | None = None
    pool: str | None = None
    attempt: int | None = None
    seconds: float | None = None
    run_at: datetime | None = None
    error: JobError | None = None
    reason: str | None = None
    progress: Progress | None = None
    data: Any = field(default=None, repr=False)
