"""How an attempt ended, and how that is said of an exception."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Any

from .job import Claim, JobError, State, Stuck
from .names import bounded
from .progress import Report
from .retention import Retention
from .signals import TimedOut

#: A stored error must not make a job outgrow MongoDB's 16 MiB: ten of them stay under 200 kB,
#: and the stack of a stuck attempt is bounded by the same.
MAX_ERROR_BYTES = 8192
#: The type of the error of an attempt that ran for too long.
TIMED_OUT = TimedOut.__name__
_CALLERS = ("jobpool.pool.", "jobpool.executors", "concurrent.futures")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended; `error` is None if it succeeded.

    Attributes:
        result: What the executor returned; None if it failed.
        result_error: Why a result that there was is not stored; the job has succeeded.
        retry_after: Seconds until the job is due again; None if it is final.
        snoozed: Whether it is due again by the executor's wish; no attempt is spent.
        cancelled: The reason, which may be empty, if the job is cancelled; None if it is not.
        stuck: Where the executor was when it was given up.
    """

    result: Any = field(default=None, repr=False)
    error: JobError | None = None
    retry_after: float | None = None
    result_error: str | None = None
    snoozed: bool = False
    cancelled: str | None = None
    stuck: Stuck | None = None

    @property
    def name(self) -> str:
        """succeeded, retried, failed, timed_out, snoozed or cancelled."""
        if self.cancelled is not None:
            return "cancelled"
        if self.error is None:
            return "snoozed" if self.snoozed else "succeeded"
        if self.error.type == TIMED_OUT:
            return "timed_out"
        return "failed" if self.retry_after is None else "retried"

    @property
    def final(self) -> bool:
        """Whether no other attempt follows."""
        return self.retry_after is None

    @property
    def state(self) -> State:
        """In which the job is after it."""
        if self.retry_after is not None:
            return State.PENDING
        if self.cancelled is not None:
            return State.CANCELLED
        return State.SUCCEEDED if self.error is None else State.FAILED


@dataclass(frozen=True, slots=True)
class Finish:
    """An outcome to be recorded under a claim.

    Attributes:
        due_at: When the job was due for the first time; a retry, which moves `run_at`, keeps it.
        retention: How long it is kept then; None is for ever.
        report: What the executor has said of itself and is not written yet.
    """

    claim: Claim
    outcome: Outcome
    due_at: datetime | None = None
    retention: Retention | None = None
    report: Report | None = None

    @property
    def plain(self) -> bool:
        """Whether it succeeded and says nothing of its own: such jobs are finished many in one statement."""
        outcome = self.outcome
        return (
            outcome.error is None
            and outcome.result is None
            and self.report is None
            and outcome.retry_after is None
            and outcome.cancelled is None
            and outcome.result_error is None
        )


def describe(error: BaseException, attempt: int) -> JobError:
    """Return what is stored of `error`, bounded in size. Never raises."""
    return JobError(
        type=type(error).__name__[:128],
        message=_text_of(error),
        traceback=_traceback_of(error),
        attempt=attempt,
    )


def _text_of(error: BaseException) -> str:
    try:
        return bounded(str(error), MAX_ERROR_BYTES)
    except BaseException as second:  # noqa: BLE001  (a hostile __str__ must not cost the outcome)
        return f"<no message: str() raised {type(second).__name__}>"


def _traceback_of(error: BaseException) -> str:
    try:
        # chain and limit bound the work, whatever the causes and the depth
        lines = traceback.format_exception(type(error), error, _users_part(error.__traceback__), limit=-20)
        return bounded("".join(lines), MAX_ERROR_BYTES, keep_end=True)
    except BaseException as second:  # noqa: BLE001
        return f"<no traceback: formatting raised {type(second).__name__}>"


def _users_part(trace: TracebackType | None) -> TracebackType | None:
    """Return the traceback from the executor's own frame on, without the frames that called it."""
    while trace is not None and trace.tb_frame.f_globals.get("__name__", "").startswith(_CALLERS):
        trace = trace.tb_next
    return trace
