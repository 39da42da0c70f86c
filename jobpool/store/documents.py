"""Jobs as MongoDB documents, and back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ..backoff import Backoff
from ..job import Job, JobError, State, Stuck

Document = dict[str, Any]

#: What a claim reads: all that running the job needs, and not its history.
CLAIM_FIELDS = dict.fromkeys(
    (
        *("type", "data", "state", "priority", "run_at", "due_at", "attempts", "max_attempts", "fence"),
        *("created_at", "trace"),
    ),
    1,
)

MAX_ERRORS = 10  # a job that fails a thousand times must not outgrow 16 MiB
#: What a job that is pending again must not carry over from its last claim.
CLAIM_MARKS = ("claim", "pool", "lease_until")


def new_document(
    *,
    id: str,
    type: str,
    data: Any,
    priority: int,
    run_at: datetime,
    max_attempts: int | None,
    created_at: datetime,
    trace: Document | None = None,
) -> Document:
    """Return the document of a job that was never claimed; untraced jobs have no `trace`."""
    document = {
        "_id": id,
        "type": type,
        "data": data,
        "state": State.PENDING.value,
        "priority": priority,
        "run_at": run_at,
        "attempts": 0,
        "max_attempts": max_attempts,
        "fence": 0,
        "created_at": created_at,
    }
    return document if trace is None else document | {"trace": trace}


def to_job(document: Mapping[str, Any], *, created: bool = False) -> Job:
    """Return the snapshot that `document` shows."""
    error, stuck = document.get("error"), document.get("stuck")
    return Job(
        id=document["_id"],
        type=document["type"],
        data=document["data"],
        state=State(document["state"]),
        priority=document["priority"],
        run_at=document["run_at"],
        attempts=document["attempts"],
        max_attempts=document["max_attempts"],
        fence=document["fence"],
        created_at=document["created_at"],
        started_at=document.get("started_at"),
        finished_at=document.get("finished_at"),
        result=document.get("result"),
        error=_to_error(error) if error else None,
        errors=tuple(_to_error(item) for item in document.get("errors", ())),
        stuck=_to_stuck(stuck) if stuck else None,
        pool=document.get("pool"),
        lease_until=document.get("lease_until"),
        created=created,
    )


def _to_error(item: Mapping[str, Any]) -> JobError:
    return JobError(
        type=item["type"],
        message=item["message"],
        traceback=item["traceback"],
        attempt=item["attempt"],
        at=item.get("at"),
    )


def _to_stuck(item: Mapping[str, Any]) -> Stuck:
    return Stuck(attempt=item["attempt"], after=item["after"], stack=item["stack"], at=item.get("at"))


def backoff_entry(backoff: Backoff) -> Document:
    """Return the stored form of `backoff`, by which any pool can compute the delay when it reaps the job."""
    return {
        "base": backoff.base,
        "factor": backoff.factor,
        "longest": backoff.longest,
        "jitter": backoff.jitter,
    }


def stuck_entry(stuck: Stuck, at: datetime) -> Document:
    """Return the stored form of `stuck`."""
    return {"attempt": stuck.attempt, "after": stuck.after, "stack": stuck.stack, "at": at}


def error_entry(error: JobError, token: str, at: datetime) -> Document:
    """Return the stored form of `error`.

    The token tells a repeated finish that this very claim recorded it already.
    The fence would not: it begins anew when a job is removed and created again.
    """
    return {
        "type": error.type,
        "message": error.message,
        "traceback": error.traceback,
        "attempt": error.attempt,
        "claim": token,
        "at": at,
    }
