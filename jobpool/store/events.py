"""What an event of a change stream on the jobs says: which kind of change it is of what was known before."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..changes import (
    CANCEL_REQUESTED,
    CREATED,
    MOVED,
    PROGRESS,
    READY,
    RELEASED,
    REMOVED,
    RETRY,
    REVIVED,
    SNOOZED,
    STARTED,
    Change,
)
from ..job import JobError, State
from .documents import Document, state_of, to_error, to_progress
from .fields import instant, shown_text, text, whole

#: Fields that may be large and of which no change tells.
_LARGE = ("result", "checkpoint", "logs", "stuck", "after", "waits_for")
_UPDATED = "updateDescription.updatedFields"


@dataclass(slots=True)
class About:
    """What is known of a job from its changes before, or from a look at it.

    Fields: those of `Job`; `attempts` and `started_at` are of the last attempt that began.
    """

    type: str | None = None
    pool: str | None = None
    attempts: int | None = None
    started_at: datetime | None = None
    data: Any = None


def pipeline(ids: Sequence[str] | None, *, data: bool, progress: bool) -> list[Document]:
    """Return what the server sends: no heartbeats, no reports unless asked for, nothing large."""
    told = ["state", "run_at", "cancel_requested_at", *(["progress"] if progress else [])]
    updates: Document = {
        "operationType": "update",
        "$or": [{f"{_UPDATED}.{name}": {"$exists": True}} for name in told],
    }
    wanted: Document = {"$or": [{"operationType": {"$in": ["insert", "delete", "replace"]}}, updates]}
    if ids is not None:
        wanted["documentKey._id"] = {"$in": list(ids)}
    left_out = [f"{place}.{name}" for place in ("fullDocument", _UPDATED) for name in _LARGE]
    left_out += [f"{_UPDATED}.data", "updateDescription.truncatedArrays", "ns", "lsid", "txnNumber"]
    if not data:
        left_out.append("fullDocument.data")
    return [{"$match": wanted}, {"$project": dict.fromkeys(left_out, 0)}]


def change_of(event: Mapping[str, Any], about: About) -> Change | None:
    """Return the change that an event tells of, and learn from it; None if it tells of none."""
    id, at = event["documentKey"]["_id"], at_of(event)
    if not isinstance(id, str):
        return None
    if event["operationType"] == "delete":
        return Change(REMOVED, id, at, about.type)
    if event["operationType"] == "update":
        details = event["updateDescription"]
        return _updated(id, at, about, details["updatedFields"], details.get("removedFields", ()))
    document = event.get("fullDocument") or {}
    return _whole(id, at, about, document, created=event["operationType"] == "insert")


def learn(about: About, document: Mapping[str, Any]) -> None:
    """Learn what a document says."""
    about.type = text(document.get("type")) or about.type
    for name, read in _LEARNT.items():
        if name in document:
            setattr(about, name, read(document[name]))


#: What the fields of `About` say, whoever wrote them.
_LEARNT: dict[str, Callable[[object], object]] = {"pool": shown_text, "attempts": whole, "started_at": instant}


def snapshot(document: Mapping[str, Any]) -> Change | None:
    """Return the last change that a stored job tells of by itself."""
    about = About()
    learn(about, document)
    id, state = text(document["_id"]), text(document.get("state"))
    if id is None or state is None:
        return None
    at = next(filter(None, (instant(document.get(name)) for name in (*_TIMES.get(state, ()), "created_at"))), None)
    failed = _error(document) if state in _NOT_BEGUN else None
    if failed is not None and failed.at is not None:
        about.pool = about.started_at = None
        return _change(RETRY, id, failed.at, about, document, ended=True)
    if at is None:
        return None
    return _whole(id, at, about, document, created=state in (*_NOT_BEGUN, State.WAITING.value))


#: When a pool has claimed a job no field says.
_NOT_BEGUN = (State.PENDING.value, State.CLAIMED.value)
_TIMES: dict[str, tuple[str, ...]] = {
    "running": ("started_at",),
    "succeeded": ("finished_at",),
    "failed": ("finished_at",),
    "cancelled": ("finished_at",),
}


def at_of(event: Mapping[str, Any]) -> datetime:
    """Return when it happened, by the server's clock."""
    wall = event.get("wallTime")  # since MongoDB 6.0; the other one has whole seconds
    at: datetime = wall if isinstance(wall, datetime) else event["clusterTime"].as_datetime()
    return at


def _whole(id: str, at: datetime, about: About, document: Mapping[str, Any], *, created: bool) -> Change | None:
    """Return what a whole document tells of, of one that was written anew as well."""
    learn(about, document)
    about.data = document.get("data")
    state = document.get("state")
    if not isinstance(state, str):
        return None
    kind = CREATED if created else {State.RUNNING.value: STARTED, State.PENDING.value: REVIVED}.get(state, state)
    return _change(kind, id, at, about, document, ended=kind in _ENDS and about.started_at is not None)


def _updated(
    id: str, at: datetime, about: About, updated: Mapping[str, Any], removed: Sequence[str]
) -> Change | None:
    kind = _kind(updated, removed)
    if kind is None:
        return None
    began = about.started_at
    learn(about, updated)
    change = _change(kind, id, at, about, updated, began=began, ended=_ended(kind, updated, removed))
    for name in ("pool", "started_at"):
        if name in removed:
            setattr(about, name, None)
    return change


def _ended(kind: str, updated: Mapping[str, Any], removed: Sequence[str]) -> bool:
    """Say whether an attempt has ended, and not a job that nobody had begun to run."""
    if kind not in _ENDS or "lease_until" not in removed:
        return False
    # Who cancels a claimed job takes the claim away as the reaper does, which notes an error besides.
    return kind != "cancelled" or "pool" not in removed or "error_count" in updated


def _kind(updated: Mapping[str, Any], removed: Sequence[str]) -> str | None:
    state = updated.get("state")
    if state is None:
        if "cancel_requested_at" in updated:
            return CANCEL_REQUESTED
        if "run_at" in updated:
            return MOVED
        return PROGRESS if "progress" in updated else None
    if state != State.PENDING.value:
        return STARTED if state == State.RUNNING.value else str(state)
    if "snoozes" in updated:
        return SNOOZED
    if "error_count" in updated:
        return RETRY
    if "finished_at" in removed:
        return REVIVED
    return READY if "waits_for" in removed else RELEASED


def _change(
    kind: str,
    id: str,
    at: datetime,
    about: About,
    fields: Mapping[str, Any],
    *,
    began: datetime | None = None,
    ended: bool = False,
) -> Change:
    state = fields.get("state", _STATES.get(kind))
    began = began or about.started_at
    attempt = kind == STARTED or ended
    end = instant(fields.get("finished_at")) or at  # the same, in milliseconds also of an older server
    return Change(
        kind=kind,
        id=id,
        at=at,
        type=about.type,
        state=state_of(state) if isinstance(state, str) else None,
        pool=about.pool if attempt or kind == "claimed" else None,
        attempt=about.attempts if attempt and about.attempts else None,
        # What was looked up may be of an attempt that began later.
        seconds=(end - began).total_seconds() if ended and began is not None and began <= end else None,
        run_at=instant(fields.get("run_at")) if kind in _DUE else None,
        error=_error(fields) if kind in ("failed", RETRY) else None,
        reason=shown_text(fields.get("cancel_reason")) if kind == "cancelled" else None,
        progress=to_progress(fields.get("progress")) if kind == PROGRESS else None,
        data=about.data,
    )


#: Of changes that leave the state as it is.
_STATES = {
    PROGRESS: State.RUNNING.value,
    CANCEL_REQUESTED: State.RUNNING.value,
    MOVED: State.PENDING.value,
}
_ENDS = ("succeeded", "failed", "cancelled", RETRY, SNOOZED)
_DUE = (CREATED, MOVED, RETRY, SNOOZED, REVIVED, READY)


def _error(fields: Mapping[str, Any]) -> JobError | None:
    """Return the error that is new: the job's, or the last one of the list."""
    found = fields.get("error")
    return to_error(_last_error(fields) if found is None else found)


def _last_error(fields: Mapping[str, Any]) -> Any:
    """Return the last error of the list, which is there whole, by its place, or by what differs at its place."""
    errors = fields.get("errors")
    if isinstance(errors, list) and errors:
        return errors[-1]
    placed: dict[int, Any] = {}
    for name, value in fields.items():
        list_name, _, place = name.partition(".")
        place, _, part = place.partition(".")
        if list_name != "errors" or not place.isdigit():
            continue
        if part:  # only a reaper writes so, and what it does not say is as it was
            placed.setdefault(int(place), dict(_LOST))[part] = value
        else:
            placed[int(place)] = value
    return placed[max(placed)] if placed else None


_LOST = {"type": "WorkerLost", "message": "", "attempt": 0}
