"""Jobs that are held, that run or that failed, as those see them who watch: a few fields, whoever wrote them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from ..overview import FailedJob, Held, RunningJob
from ..progress import Progress
from .documents import Document, holder_of


def to_held(found: Document) -> Held | None:
    """Return what a group of held jobs says; None if they have no type: somebody else wrote them."""
    of = found["_id"]
    if not isinstance(of.get("type"), str):
        return None
    return Held(_text(of.get("pool")) or "", of.get("holder"), of["type"], found["claimed"], found["running"])


def is_running(found: Document) -> bool:
    """Say whether it is a job that can be shown as one that runs."""
    return isinstance(found.get("type"), str) and isinstance(found.get("started_at"), datetime)


def to_running(found: Document, now: datetime) -> RunningJob:
    """Return a job that runs, as of `now`."""
    started_at: datetime = found["started_at"]
    attempts = found.get("attempts")
    return RunningJob(
        id=str(found["_id"]),
        type=found["type"],
        key=_text(found.get("key")),
        pool=_text(found.get("pool")),
        pool_id=holder_of(found.get("claim")),
        started_at=started_at,
        seconds=max(0.0, (now - started_at).total_seconds()),
        attempt=attempts if isinstance(attempts, int) else 1,
        progress=_progress(found.get("progress")),
        lease_until=to_instant(found.get("lease_until")),
        cancel_requested_at=to_instant(found.get("cancel_requested_at")),
    )


def _progress(said: object) -> Progress | None:
    if not isinstance(said, Mapping) or not isinstance(done := said.get("done"), int | float):
        return None
    total = said.get("total")
    return Progress(
        done=done,
        total=total if isinstance(total, int | float) else None,
        note=_text(said.get("note")) or "",
        at=to_instant(said.get("at")),
    )


def is_failed(found: Document) -> bool:
    """Say whether it is a job that can be shown as one that failed: lists match what is in them."""
    return isinstance(found.get("type"), str) and isinstance(found.get("finished_at"), datetime)


def to_failed(found: Document) -> FailedJob:
    """Return a job that failed."""
    error, attempts = found.get("error"), found.get("attempts")
    return FailedJob(
        id=str(found["_id"]),
        type=found["type"],
        finished_at=found["finished_at"],
        error=_text(error.get("type") if isinstance(error, Mapping) else None) or "",
        message=found["message"],
        attempts=attempts if isinstance(attempts, int) else 0,
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def to_instant(value: object) -> datetime | None:
    """Return an instant; None if it is none, or one that Python does not have."""
    return value if isinstance(value, datetime) else None
