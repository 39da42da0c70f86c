"""How an attempt ended, and how that is said of an exception."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Any

from .job import Claim, JobError

#: A stored error must not make a job outgrow MongoDB's 16 MiB: ten of them stay under 200 kB,
#: and the stack of a stuck attempt is bounded by the same.
MAX_ERROR_BYTES = 8192
_CALLERS = ("jobpool.pool.", "jobpool.executors", "concurrent.futures")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended; `error` is None if it succeeded.

    Attributes:
        result: What the executor returned; None if it failed.
        retry_after: Seconds until the job is due again; None if it is final.
    """

    result: Any = field(default=None, repr=False)
    error: JobError | None = None
    retry_after: float | None = None

    @property
    def name(self) -> str:
        """succeeded, retried or failed."""
        if self.error is None:
            return "succeeded"
        return "failed" if self.retry_after is None else "retried"

    @property
    def final(self) -> bool:
        """Whether no other attempt follows."""
        return self.retry_after is None


@dataclass(frozen=True, slots=True)
class Finish:
    """An outcome to be recorded under a claim.

    Attributes:
        due_at: When the job was due for the first time; a retry, which moves `run_at`, keeps it.
    """

    claim: Claim
    outcome: Outcome
    due_at: datetime | None = None


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
        return bounded(str(error))
    except BaseException as second:  # noqa: BLE001  (a hostile __str__ must not cost the outcome)
        return f"<no message: str() raised {type(second).__name__}>"


def _traceback_of(error: BaseException) -> str:
    try:
        # chain and limit bound the work, whatever the causes and the depth
        lines = traceback.format_exception(type(error), error, _users_part(error.__traceback__), limit=-20)
        return bounded("".join(lines), keep_end=True)
    except BaseException as second:  # noqa: BLE001
        return f"<no traceback: formatting raised {type(second).__name__}>"


def _users_part(trace: TracebackType | None) -> TracebackType | None:
    """Return the traceback from the executor's own frame on, without the frames that called it."""
    while trace is not None and trace.tb_frame.f_globals.get("__name__", "").startswith(_CALLERS):
        trace = trace.tb_next
    return trace


def bounded(text: str, *, keep_end: bool = False) -> str:
    """Return `text` as storable UTF-8 of at most `MAX_ERROR_BYTES` bytes."""
    raw = text.encode(errors="backslashreplace")
    if len(raw) > MAX_ERROR_BYTES:
        mark = b"..."
        room = MAX_ERROR_BYTES - len(mark)
        raw = mark + raw[-room:] if keep_end else raw[:room] + mark
    return raw.decode(errors="ignore")
