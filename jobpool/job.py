"""A job as users see it, and the claim that a pool holds on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from .progress import LogLine, Progress
from .waitable import Waitable


class State(StrEnum):
    """Where a job is in its life. The last three are final."""

    WAITING = "waiting"
    PENDING = "pending"
    CLAIMED = "claimed"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether a job stays in this state until somebody revives it."""
        return self in FINAL

    @property
    def held(self) -> bool:
        """Whether a pool holds a claim on a job in this state."""
        return self in HELD


FINAL = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED})
HELD = frozenset({State.CLAIMED, State.RUNNING})
#: What ``on_duplicate="revive"`` makes pending again.
REVIVABLE = frozenset({State.FAILED, State.CANCELLED})


@dataclass(frozen=True, slots=True)
class JobError:
    """How one attempt failed. Its representation leaves out the texts, which may hold anything.

    Attributes:
        type: Name of the exception class, or ``WorkerLost`` when the lease expired.
        message: Its text, at most 8 kB.
        traceback: The formatted traceback, at most 8 kB; empty for ``WorkerLost``.
        attempt: The number of the attempt, from 1.
        at: When it was recorded (server time).
    """

    type: str
    message: str = field(repr=False)
    traceback: str = field(repr=False)
    attempt: int
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Stuck:
    """Where an attempt was when it had run for too long; see `PoolConfig.stuck_after`.

    Its representation leaves out the stack.

    Attributes:
        attempt: The number of the attempt, from 1.
        after: For how many seconds it had run.
        stack: The stack of its thread or coroutine, the innermost frame last, at
            most 8 kB: file names, functions and source lines, no values.
        at: When it was recorded (server time).
    """

    attempt: int
    after: float
    stack: str = field(repr=False)
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Job(Waitable):
    """A snapshot of one job, as it was when it was read. It does not follow the store.

    Its representation leaves out data and result, so that they do not end up in logs.

    Attributes:
        created: Whether the call that returned this snapshot inserted the job;
            False says that it met an existing one.
        dropped: Whether it was left out for want of room (``on_full="drop"``): such a
            job is not stored, shows as cancelled, and never runs.
        run_at: Not before this instant; moves later with each retry.
        after: The ids of the jobs that it was created to run after, all of them.
        waits_for: Those of them that it still waits for, while it is ``waiting``; of one
            that ended so, what it was waiting for then.
        on_failure: What one of them that ends without success does to it: ``"fail"`` or ``"run"``.
        attempts: How many attempts have been started.
        max_attempts: How many may be; None until the first start takes the executor's.
        fence: Rises with every claim; users may guard their own writes with it.
        error: How the last attempt failed, if the job is failed.
        errors: The errors of the last 10 failed attempts, oldest first.
        error_count: How many attempts have failed in all.
        stuck: Where the last attempt was that got stuck; stays when that or a later
            attempt ends, and is gone when the job is revived. None if none did, or
            if it could not be stored.
        pool: The name of the pool that holds it, or held it when it ended.
        pool_id: The id of that very pool; see `AlivePool.id`. None if it is not known.
        timeout: Seconds that an attempt may take, if the job was created with its own.
        snoozes: How often it was put off by its executor.
        progress: How far the last attempt is, or was, by its own word.
        logs: The last lines that its attempts wanted kept with it, oldest first.
        checkpoint: What the last attempt that saved one wants the next to go on from.
        result_error: Why the result of a succeeded job is not stored; None if it is.
        cancel_requested_at: When somebody asked a running attempt to end.
        cancel_reason: Why it was cancelled, if anybody said why.
        expire_at: When MongoDB deletes it; None keeps it for ever.
        result_until: When its result is deleted.
        key: Whose it is, of a type that has keys or limits; "" if nobody's.
    """

    id: str
    type: str
    data: Any = field(repr=False)
    state: State
    priority: int
    run_at: datetime
    attempts: int
    max_attempts: int | None
    fence: int
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    result: Any = field(default=None, repr=False)
    error: JobError | None = None
    errors: tuple[JobError, ...] = ()
    error_count: int = 0
    stuck: Stuck | None = None
    pool: str | None = None
    lease_until: datetime | None = None
    timeout: float | None = None
    snoozes: int = 0
    progress: Progress | None = None
    logs: tuple[LogLine, ...] = field(default=(), repr=False)
    checkpoint: Any = field(default=None, repr=False)
    result_error: str | None = None
    cancel_requested_at: datetime | None = None
    cancel_reason: str | None = None
    expire_at: datetime | None = None
    result_until: datetime | None = None
    key: str | None = None
    pool_id: str | None = None
    after: tuple[str, ...] = field(default=(), repr=False)
    waits_for: tuple[str, ...] = field(default=(), repr=False)
    on_failure: str = "fail"
    created: bool = False
    dropped: bool = False


@dataclass(frozen=True, slots=True)
class Brief:
    """A job in brief, as it was when it was read.

    Attributes:
        id, type, state: As of `Job`.
    """

    id: str
    type: str
    state: State


@dataclass(frozen=True, slots=True)
class Claim:
    """The proof that a pool holds a job: every write to the job is conditional on it.

    Attributes:
        id: The job's id.
        token: Random, fresh for every claim call; the jobs of one batch share it.
        fence: The job's fence as this claim raised it.
    """

    id: str
    token: str
    fence: int


@dataclass(frozen=True, slots=True)
class Created:
    """What `create_many` did.

    Attributes:
        inserted: How many jobs are new.
        duplicates: How many met a job with the same id (the revived ones included).
        revived: How many of those were final without success and are pending again.
        ids: The id of every job given, in order.
        dropped: How many were left out for want of room; they are not stored.
    """

    inserted: int
    duplicates: int
    revived: int
    ids: list[str]
    dropped: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Retried:
    """What `retry_many` did.

    Attributes:
        failed: How many failed jobs are due now.
        waiting: How many had failed because others did, and wait for these again.
        due: How many that waited for their next attempt are due now.
    """

    failed: int
    waiting: int
    due: int

    @property
    def changed(self) -> int:
        """How many it were in all."""
        return self.failed + self.waiting + self.due


@dataclass(frozen=True, slots=True)
class CreatedBatch:
    """What `create_batch` did.

    Attributes:
        jobs: How many are new, and their ids in the order given.
        callback: The job that runs when all of them are done; its ``created``
            says whether it is new.
    """

    jobs: Created
    callback: Job

    @property
    def ids(self) -> list[str]:
        """The ids of the jobs, in the order given, without that of the callback."""
        return self.jobs.ids
