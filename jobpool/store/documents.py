"""Jobs as MongoDB documents, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from ..dependencies import FAIL, RUN
from ..job import Job, JobError, State, Stuck
from ..progress import LogLine, Progress, Report
from ..retention import LONGEST
from .fields import instant, items, number, shown_text, text, texts, whole

Document = dict[str, Any]
#: When something was that does not say so.
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

    One that somebody else wrote may lack what every job has, and have anything in its place: it must not keep
    all others from being seen; see `fields`.
    """
    get = document.get
    created_at = instant(get("created_at")) or _UNKNOWN
    allowed = number(get("max_attempts"))
    return Job(
        id=str(document["_id"]),
        type=shown_text(get("type")) or "?",
        data=get("data"),
        state=state_of(shown_text(get("state")) or "?"),
        priority=whole(get("priority")),
        run_at=instant(get("run_at")) or created_at,
        attempts=whole(get("attempts")),
        max_attempts=None if allowed is None else whole(allowed),
        fence=whole(get("fence")),
        created_at=created_at,
        started_at=instant(get("started_at")),
        finished_at=instant(get("finished_at")),
        result=get("result"),
        error=to_error(get("error")),
        errors=to_errors(get("errors")),
        error_count=whole(get("error_count")),
        stuck=_to_stuck(get("stuck")),
        pool=shown_text(get("pool")),
        pool_id=holder_of(get("claim")) if "pool" in document else None,
        lease_until=instant(get("lease_until")),
        timeout=number(get("timeout")),
        snoozes=whole(get("snoozes")),
        progress=to_progress(get("progress")),
        logs=tuple(_to_line(item) for item in items(get("logs")) if isinstance(item, Mapping)),
        checkpoint=get("checkpoint"),
        result_error=shown_text(get("result_error")),
        cancel_requested_at=instant(get("cancel_requested_at")),
        cancel_reason=shown_text(get("cancel_reason")),
        expire_at=instant(get("expire_at")),
        result_until=instant(get("result_until")),
        key=shown_text(get("key")),
        after=texts(get("after")),
        waits_for=texts(get("waits_for")),
        on_failure=text(get("on_failure")) or FAIL,
        created=created,
    )


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


def to_error(item: object) -> JobError | None:
    """Return an error; None if there is none. What is no error of ours is told as its message."""
    if item is None:
        return None
    if not isinstance(item, Mapping) or not ("type" in item or "message" in item):
        return JobError(type="?", message=shown_text(item) or "", traceback="", attempt=0)
    return JobError(
        type=shown_text(item.get("type")) or "?",
        message=shown_text(item.get("message")) or "",
        traceback=text(item.get("traceback")) or "",
        attempt=whole(item.get("attempt")),
        at=instant(item.get("at")),
    )


def to_errors(found: object) -> tuple[JobError, ...]:
    """Return errors; one alone, which is no list, is told as well."""
    several = found if isinstance(found, list) else [found]
    return tuple(error for item in several if (error := to_error(item)) is not None)


def _to_stuck(item: object) -> Stuck | None:
    if not isinstance(item, Mapping) or (after := number(item.get("after"))) is None:
        return None
    stack = shown_text(item.get("stack")) or ""
    return Stuck(attempt=whole(item.get("attempt")), after=after, stack=stack, at=instant(item.get("at")))


def to_progress(item: object) -> Progress | None:
    """Return how far an attempt is; None if it does not say."""
    if not isinstance(item, Mapping) or (done := number(item.get("done"))) is None:
        return None
    note = shown_text(item.get("note")) or ""
    return Progress(done=done, total=number(item.get("total")), note=note, at=instant(item.get("at")))


def _to_line(item: Mapping[str, Any]) -> LogLine:
    return LogLine(
        level=shown_text(item.get("level")) or "?",
        text=shown_text(item.get("text")) or "",
        attempt=whole(item.get("attempt")),
        at=instant(item.get("at")) or _UNKNOWN,
    )


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
