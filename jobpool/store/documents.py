"""Jobs as MongoDB documents, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from ..dependencies import FAIL, RUN
from ..job import Job, JobError, State, Stuck
from ..progress import LogLine, Progress, Report
from ..retention import LONGEST

Document = dict[str, Any]
#: When something was created that does not say so.
_UNKNOWN = datetime.fromtimestamp(0, UTC)

#: The version of what is stored, on every job created since 0.2; see `store.schema`.
SCHEMA = 1

#: What a claim reads: all that running the job needs, and not its history.
CLAIM_FIELDS = dict.fromkeys(
    (
        *("type", "data", "state", "priority", "run_at", "due_at", "attempts", "max_attempts", "fence"),
        *("created_at", "trace", "timeout", "snoozes", "checkpoint", "key", "followed"),
    ),
    1,
)

#: In the token of a claim, between the id of the pool that holds it and what is random.
HOLDER_END = "."
MAX_ERRORS = 10  # a job that fails a thousand times must not outgrow 16 MiB
MAX_ENDS = 10  # nor one that is revived as often
#: What a job that is pending again must not carry over from its last claim.
CLAIM_MARKS = ("claim", "pool", "lease_until")
#: What a job that begins its life again must not carry over from the one before. `fence` stays, and
#: `errors`, `error_count` and `ends` tell of it; `snoozed_by` as well, to who repeats what had no answer.
LIFE_MARKS = (
    *(*CLAIM_MARKS, "due_at", "started_at", "finished_at", "result", "error", "stuck", "expire_at"),
    *("snoozes", "progress", "logs", "checkpoint", "result_error", "result_until"),
    *("cancel_requested_at", "cancel_reason", "keep_failed", "waits_for", "linking", "told_at"),
)


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
    timeout: float | None = None,
    keep_cancelled: float | None = None,
    after: Sequence[str] | None = None,
    on_failure: str = FAIL,
    keep_failed: float | None = None,
    key: str | None = None,
) -> Document:
    """Return the document of a job that was never claimed; what is None from `trace` on is not in it.

    Args:
        after: The ids of jobs that it waits for; it is pending if there are none.
        keep_failed: Of one that waits, which may fail without having been started.
    """
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
        "schema": SCHEMA,
    }
    if timeout is not None:
        document["timeout"] = timeout
    if keep_cancelled is not None:
        document["keep_cancelled"] = keep_cancelled
    if key is not None:
        document["key"] = key
    if after:
        document |= _waiting(list(after), on_failure, keep_failed, created_at)
    return document if trace is None else document | {"trace": trace}


def _waiting(after: list[str], on_failure: str, keep_failed: float | None, created_at: datetime) -> Document:
    """Return what a job has besides that waits for others; see `store.linking` for its `linking`."""
    fields: Document = {"state": State.WAITING.value, "after": after, "waits_for": after, "linking": created_at}
    if on_failure == RUN:
        fields["on_failure"] = RUN
    if keep_failed is not None:
        fields["keep_failed"] = keep_failed
    return fields


def to_job(document: Mapping[str, Any], *, created: bool = False) -> Job:
    """Return the snapshot that `document` shows, whichever version wrote it.

    One that somebody else wrote may lack what every job has: it must not keep all others from being seen.
    """
    error, stuck, progress = document.get("error"), document.get("stuck"), document.get("progress")
    created_at = _instant(document.get("created_at"), _UNKNOWN)
    return Job(
        id=str(document["_id"]),
        type=str(document.get("type", "?")),
        data=document.get("data"),
        state=state_of(str(document.get("state", "?"))),
        priority=document.get("priority", 0),
        run_at=_instant(document.get("run_at"), created_at),
        attempts=document.get("attempts", 0),
        max_attempts=document.get("max_attempts"),
        fence=document.get("fence", 0),
        created_at=created_at,
        started_at=document.get("started_at"),
        finished_at=document.get("finished_at"),
        result=document.get("result"),
        error=to_error(error) if error else None,
        errors=tuple(to_error(item) for item in document.get("errors", ())),
        error_count=document.get("error_count", 0),
        stuck=_to_stuck(stuck) if stuck else None,
        pool=document.get("pool"),
        pool_id=holder_of(document.get("claim")) if "pool" in document else None,
        lease_until=document.get("lease_until"),
        timeout=document.get("timeout"),
        snoozes=document.get("snoozes", 0),
        progress=to_progress(progress) if progress else None,
        logs=tuple(map(_to_line, document.get("logs", ()))),
        checkpoint=document.get("checkpoint"),
        result_error=document.get("result_error"),
        cancel_requested_at=document.get("cancel_requested_at"),
        cancel_reason=document.get("cancel_reason"),
        expire_at=document.get("expire_at"),
        result_until=document.get("result_until"),
        key=document.get("key"),
        after=tuple(document.get("after", ())),
        waits_for=tuple(document.get("waits_for", ())),
        on_failure=document.get("on_failure", FAIL),
        created=created,
    )


def _instant(value: object, otherwise: datetime) -> datetime:
    return value if isinstance(value, datetime) else otherwise


def holder_of(token: object) -> str | None:
    """Return the id of the pool whose claim carries this token; None if it names none, as older ones do."""
    holder, end, _ = token.partition(HOLDER_END) if isinstance(token, str) else ("", "", "")
    return holder if end and holder else None


def state_of(name: str) -> State:
    """Return the state of that name. One that only a newer version knows is neither held nor final here."""
    try:
        return State(name)
    except ValueError:
        state = str.__new__(State, name)
        state._name_ = state._value_ = name
        return state


def to_error(item: Mapping[str, Any]) -> JobError:
    return JobError(
        type=item["type"],
        message=item["message"],
        traceback=item.get("traceback", ""),
        attempt=item["attempt"],
        at=item.get("at"),
    )


def _to_stuck(item: Mapping[str, Any]) -> Stuck:
    return Stuck(attempt=item["attempt"], after=item["after"], stack=item["stack"], at=item.get("at"))


def to_progress(item: Mapping[str, Any]) -> Progress:
    return Progress(done=item["done"], total=item.get("total"), note=item.get("note", ""), at=item.get("at"))


def _to_line(item: Mapping[str, Any]) -> LogLine:
    return LogLine(level=item["level"], text=item["text"], attempt=item["attempt"], at=item["at"])


def expiry(seconds: str) -> Document:
    """Return the expression of when a job that ends now is deleted, from its field `seconds`, if it has one."""
    later = {"$add": ["$$NOW", {"$toLong": {"$multiply": [1000, seconds]}}]}
    # By its value as well: somebody else may have written it, and an error would stop all of a statement.
    usable = {"$and": [{"$isNumber": seconds}, {"$gte": [seconds, 0]}, {"$lte": [seconds, LONGEST]}]}
    return {"$cond": [usable, later, "$$REMOVE"]}


def stuck_entry(stuck: Stuck, at: datetime) -> Document:
    """Return the stored form of `stuck`."""
    return {"attempt": stuck.attempt, "after": stuck.after, "stack": stuck.stack, "at": at}


def report_update(report: Report, at: datetime) -> Document:
    """Return the update that stores what an executor says of itself."""
    update: Document = {}
    if (progress := report.progress) is not None:
        update["$set"] = {
            "progress": {"done": progress.done, "total": progress.total, "note": progress.note, "at": at}
        }
    if report.lines:
        lines = [
            {"level": line.level, "text": line.text, "attempt": line.attempt, "at": line.at}
            for line in report.lines
        ]
        update["$push"] = {"logs": {"$each": lines, "$slice": -report.keep}}
    return update


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
