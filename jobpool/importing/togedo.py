"""Jobs of the npm package ``@togedo/job-manager``.

Its states are queued, active, done and error. An id that it made itself, the
SHA-1 of type and stable JSON of the data, is told from one that was given by
making it again.
"""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

import bson
from bson.codec_options import TypeRegistry
from bson.objectid import ObjectId

from ..data import CODEC, ENCODING_ERRORS, ReferenceAsDict, canonical, check_size
from ..errors import InvalidConfiguration, InvalidJob
from ..executors import MAX_ATTEMPTS
from ..job import JobError, State
from ..names import bounded, check_name, shown
from ..request import JobRequest
from .carried import Carried, Fields, Left, Note, Unfit
from .identity import id_text, made_of
from .javascript import whole
from .raw import odd_values
from .values import failure_of, instant, priority_of

ACTIVE = ("skip", "pending", "failed")
IDS = ("recompute", "keep")

#: What the package gives a job at the most, unless it is told otherwise.
MAX_TRIES = 3
_STATES = {"queued": State.PENDING, "done": State.SUCCEEDED, "error": State.FAILED}
#: What is not a document of a job is read with these, to say what it is.
_CODEC = CODEC.with_options(unicode_decode_error_handler="strict", type_registry=TypeRegistry([ReferenceAsDict()]))
_RAN = "it was active when it was imported; how far it came is not known"


class Togedo:
    """Reads the documents of the package. Threads: any; no state of its own.

    Args:
        active: What becomes of those that a worker there holds: ``"skip"`` leaves them out,
            ``"pending"`` runs them here (they may be running there now), ``"failed"`` keeps
            them as failed jobs, to be looked at.
        ids: ``"recompute"`` gives a job whose id is the hash of its type and data the one that
            `create` computes of these, so that equal work stays done once; ``"keep"`` keeps all.
    """

    name = "togedo"

    def __init__(self, *, active: str = "skip", ids: str = "recompute") -> None:
        for what, value, known in (("active", active, ACTIVE), ("ids", ids, IDS)):
            if value not in known:
                raise InvalidConfiguration(f"{what} must be one of {', '.join(known)}, not {shown(value)}")
        self._active, self._ids = active, ids

    def status(self, document: Fields) -> str:
        """Return its status; a text of its own for what is none."""
        status = document.get("status")
        return status if isinstance(status, str) and len(status) <= 40 else "none"

    def read(self, raw: bytes, *, now: datetime, limit: int) -> Carried | Left:
        """Return what a document means; see `Source.read`."""
        document = _decoded(raw)
        status = self.status(document)
        if status == "active" and self._active == "skip":
            return Left(status)
        if status not in _STATES and status != "active":
            raise Unfit("status", f"status: {shown(document.get('status'))} is none of the package's")
        _check_type(document.get("type"))
        odd = dict(reversed(odd_values(raw)))
        _refuse_odd(odd, "data")
        notes: set[Note] = set()
        state = _STATES.get(status) or State(self._active)
        request = self._request(document, state, notes, limit, now)
        created = _created(document, notes)
        if state is State.PENDING:
            tries = _tries(document, 0)
            return Carried(document["_id"], status, request, state, tries, created, notes=frozenset(notes))
        return _ended(document, status, request, state, created or request.run_at or now, odd, notes, limit)

    def _request(self, document: Fields, state: State, notes: set[Note], limit: int, now: datetime) -> JobRequest:
        data, changed = whole(document.get("data"))
        id = self._id(document, notes)
        if changed:
            notes.add(Note.NUMBERS_WHOLE)
        tries = _tries(document, 0)
        try:
            request = JobRequest(
                type=document["type"],
                data=data,
                id=id,
                priority=priority_of(document.get("priority"), notes),
                run_at=_run_at(document, state),
                # One that has tries behind it keeps at least one, whatever its executor allows here.
                max_attempts=max(MAX_TRIES, tries + 1) if tries and state is State.PENDING else None,
                limit=limit,
            )
            if state is State.PENDING:
                request.due_at(now)
            return request
        except InvalidJob as error:
            text = str(error).removesuffix("; this job was not created")
            word = text.partition(" ")[0].partition(":")[0].partition(".")[0].partition("[")[0]
            raise Unfit(word if word in ("data", "id", "run_at") else "data", text) from error

    def _id(self, document: Fields, notes: set[Note]) -> str | None:
        """Return the id that the job keeps; None if it is to be made of type and data."""
        id = document["_id"]
        if (
            self._ids == "recompute"
            and isinstance(id, str)
            and made_of(id, document["type"], document.get("data"))
        ):
            notes.add(Note.ID_RECOMPUTED)
            return None
        notes.add(Note.ID_KEPT)
        return id_text(id)


def _decoded(raw: bytes) -> Fields:
    try:
        return bson.decode(raw, codec_options=_CODEC)
    except (*ENCODING_ERRORS, RecursionError) as error:
        raise Unfit("unreadable", f"it cannot be read: {bounded(str(error), 200)}") from error


def _check_type(type: Any) -> None:
    try:
        check_name(type, "type")
    except InvalidJob as error:
        raise Unfit("type", str(error)) from error


def _refuse_odd(odd: dict[str, str], field: str) -> None:
    for path, kind in odd.items():
        if path == field or path.startswith((f"{field}.", f"{field}[")):
            raise Unfit(field, f"{shown(path)[1:-1]}: {kind} cannot be stored")


def _run_at(document: Fields, state: State) -> datetime | None:
    """Return when it is due: then, or when it was created, so that the oldest is still the first."""
    try:
        then = instant(document.get("scheduledTime"))
    except ValueError as error:
        if state is State.PENDING:
            raise Unfit("run_at", f"scheduledTime: {error}") from error
        then = None
    return then or _known(document, "createdAt")


def _created(document: Fields, notes: set[Note]) -> datetime | None:
    """Return when it was created, or the earliest that is known of it."""
    if (then := _known(document, "createdAt")) is not None:
        return then
    notes.add(Note.CREATED_GUESSED)
    id = document["_id"]
    known = [_known(document, name) for name in ("startedAt", "updatedAt", "completedAt")]
    known.append(id.generation_time if isinstance(id, ObjectId) else None)
    return min(filter(None, known), default=None)


def _known(document: Fields, name: str) -> datetime | None:
    try:
        return instant(document.get(name))
    except ValueError:
        return None


def _tries(document: Fields, least: int) -> int:
    tries = document.get("nTries")
    if isinstance(tries, bool) or not isinstance(tries, int | float) or math.isnan(tries):
        return least
    return int(max(least, min(tries, MAX_ATTEMPTS - 1)))


def _ended(
    document: Fields,
    status: str,
    request: JobRequest,
    state: State,
    created: datetime,
    odd: dict[str, str],
    notes: set[Note],
    limit: int,
) -> Carried:
    """Return a job that is final."""
    times = [_known(document, name) for name in ("completedAt", "updatedAt", "startedAt")]
    finished = next(filter(None, times), created)
    attempts, error, result, result_error = _tries(document, 1), None, None, None
    if state is State.SUCCEEDED:
        result, result_error = _result(document, odd, limit)
        if result_error is not None:
            notes.add(Note.RESULT_LEFT)
    else:
        code, message = ("WorkerLost", _RAN) if status == "active" else failure_of(document.get("error"))
        error = JobError(code, message, "", attempts, finished)
    worker = document.get("worker")
    return Carried(
        document["_id"],
        status,
        request,
        state,
        attempts,
        created,
        started_at=times[2],
        finished_at=finished,
        result=result,
        result_error=result_error,
        error=error,
        pool=bounded(worker, 128) if isinstance(worker, str) and worker else None,
        notes=frozenset(notes),
    )


def _result(document: Fields, odd: dict[str, str], limit: int) -> tuple[Any, str | None]:
    """Return the result, and why it is not kept if it cannot be."""
    result, _ = whole(document.get("result"))
    try:
        _refuse_odd(odd, "result")
        canonical(result, "result")
        check_size(result, limit, "result")
    except (InvalidJob, Unfit) as error:
        return None, f"it was not imported: {error}"
    return result, None
