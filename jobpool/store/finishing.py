"""How outcomes are written: the updates, each conditional on the claim of its job.

Operators only: a pipeline would evaluate the ``$`` of a result on the server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from pymongo import UpdateMany, UpdateOne

from ..job import Claim, State
from ..outcome import Finish, Outcome
from ..retention import Retention
from .documents import MAX_ERRORS, Document, error_entry, report_update, stuck_entry

Write = UpdateMany | UpdateOne
Now = Callable[[], datetime]

#: What tells whether a finish stands.
FINISH_MARKS = {"claim": 1, "state": 1, "errors.claim": 1, "snoozed_by": 1, "ends": 1}


def finished_before(stored: Document, claim: Claim) -> bool:
    """Say whether an attempt under `claim` was finished for certain, and the job went on: to a retry, say.

    Only finishes write their token into these histories, reapers do not.
    """
    failed = any(error.get("claim") == claim.token for error in _entries(stored, "errors"))
    snoozed = stored.get("snoozed_by")
    return failed or (isinstance(snoozed, list) and claim.token in snoozed)


def ended_before(stored: Document, claim: Claim) -> str | None:
    """Return the state to which a finish under `claim` brought the job, if that was revived since, else None."""
    states = (end.get("state") for end in _entries(stored, "ends") if end.get("claim") == claim.token)
    return next(states, None)


def _entries(stored: Document, name: str) -> list[Document]:
    """Return what is in a list of a job; of what somebody else wrote, nothing."""
    entries = stored.get(name)
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def running(claim: Claim) -> Document:
    """Return the filter of a job that runs under `claim`."""
    return {"_id": claim.id, "claim": claim.token, "state": State.RUNNING.value}


def lease_until(seconds: float) -> list[Document]:
    """Return the update that lets a lease run from the server's now."""
    return [{"$set": {"lease_until": {"$add": ["$$NOW", int(seconds * 1000)]}}}]


def completing_update(finish: Finish, now: Now) -> Document:
    """Return the update that records a success, of a job that `running` finds."""
    return _with_error(_ended(finish, State.SUCCEEDED, now), finish, now)


def finishing_writes(finishes: Iterable[Finish], now: Now) -> list[Write]:
    """Return the statements that record outcomes: one per job, or one for all that say nothing of their own."""
    plain: dict[tuple[str, Retention | None], list[str]] = {}
    writes: list[Write] = []
    for finish in finishes:
        if finish.plain:
            plain.setdefault((finish.claim.token, finish.retention), []).append(finish.claim.id)
        else:
            writes += _writes_of(finish, now)
    for (token, retention), ids in plain.items():
        filter = {"_id": {"$in": ids}, "claim": token, "state": State.RUNNING.value}
        kept = _kept(State.SUCCEEDED, retention, now)
        writes.append(UpdateMany(filter, _final(State.SUCCEEDED, {"result": None, **kept})))
    return writes


def _writes_of(finish: Finish, now: Now) -> list[Write]:
    """Return the statements for one outcome. Of two, exactly one applies.

    A job that was asked to end while it ran is not tried again: whether it
    was is known for certain only in the moment of the write.
    """
    filter = running(finish.claim)
    if finish.outcome.final:
        return [UpdateOne(filter, _with_error(_ended(finish, finish.outcome.state, now), finish, now))]
    again, ended = _again(finish, now), _ended(finish, State.CANCELLED, now)
    return [
        UpdateOne({**filter, "cancel_requested_at": {"$exists": False}}, _with_error(again, finish, now)),
        UpdateOne({**filter, "cancel_requested_at": {"$exists": True}}, _with_error(ended, finish, now)),
    ]


def _ended(finish: Finish, state: State, now: Now) -> Document:
    outcome = finish.outcome
    values = _kept(state, finish.retention, now)
    if state is State.SUCCEEDED:
        values |= _result(outcome, finish.retention, now)
    elif state is State.FAILED and outcome.error is not None:
        values["error"] = error_entry(outcome.error, finish.claim.token, now())
    elif outcome.cancelled:
        values["cancel_reason"] = outcome.cancelled
    return _final(state, values)


def _result(outcome: Outcome, retention: Retention | None, now: Now) -> Document:
    values: Document = {"result": outcome.result}
    if outcome.result_error is not None:
        values["result_error"] = outcome.result_error
    elif outcome.result is not None and retention is not None and retention.result is not None:
        values["result_until"] = now() + timedelta(seconds=retention.result)
    return values


def _again(finish: Finish, now: Now) -> Document:
    """Return the update that makes a job pending again. `claim` stays, so that a repeat is recognised."""
    outcome = finish.outcome
    values: Document = {
        "state": State.PENDING.value,
        "run_at": now() + timedelta(seconds=outcome.retry_after or 0.0),
        "due_at": finish.due_at,
    }
    update: Document = {"$set": values, "$unset": {"lease_until": "", "pool": "", "started_at": ""}}
    if outcome.snoozed:
        # No error tells a repeat that this was done already; another claim may have snoozed since.
        update["$push"] = {"snoozed_by": {"$each": [finish.claim.token], "$slice": -MAX_ERRORS}}
        update["$inc"] = {"attempts": -1, "snoozes": 1}
    return update


def _with_error(update: Document, finish: Finish, now: Now) -> Document:
    """Add what every outcome may bring: its error, where it was stuck, its last words."""
    outcome = finish.outcome
    if outcome.error is not None:
        entry = error_entry(outcome.error, finish.claim.token, now())
        update.setdefault("$push", {})["errors"] = {"$each": [entry], "$slice": -MAX_ERRORS}
        update.setdefault("$inc", {})["error_count"] = 1
    if outcome.stuck is not None:
        update["$set"]["stuck"] = stuck_entry(outcome.stuck, now())
    if finish.report is not None:
        for operator, fields in report_update(finish.report, now()).items():
            update.setdefault(operator, {}).update(fields)
    return update


def _kept(state: State, retention: Retention | None, now: Now) -> Document:
    """Return when a job that ends now is to be deleted, if ever."""
    seconds = None if retention is None else retention.of(state)
    return {} if seconds is None else {"expire_at": now() + timedelta(seconds=seconds)}


def _final(state: State, values: Document) -> Document:
    return {
        "$set": {"state": state.value, **values},
        "$currentDate": {"finished_at": True},
        "$unset": {"lease_until": ""},
    }
