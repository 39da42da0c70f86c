"""Taking back jobs whose lease expired. Every pool does it; there is no leader.

Who may hold such a job: nobody, by the server's clock. Its holder may still
be alive, paused or cut off; its writes are refused from here on, because
reaping removes the token it holds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Any

from pymongo.collection import Collection
from pymongo.cursor import Cursor
from pymongo.errors import OperationFailure

from ..errors import OutcomeRefused, StoreUnavailable
from ..job import State
from ..logs import bounded_logger_of
from ..names import listed, shown
from ..retention import LONGEST
from .apart import apart, in_parts, known, possible, waited_in_vain, without
from .connection import Connection
from .documents import CLAIM_MARKS, MAX_ERRORS, Document, expiry
from .driver import Session, run
from .fields import with_ids
from .indexes import LEASE_INDEX

logger = bounded_logger_of(__name__)

#: Jobs taken back in one round. A round follows at once while there are more.
ROUND = 1000
#: Seconds in which a round of one type is through even on a slow server: one that takes longer waits for the end
#: of a transaction, which may take a minute; see `store.apart`.
PATIENCE = 2.0

#: True of a lease that is over by the server's own clock, whatever ours says.
EXPIRED: Document = {"lease_until": {"$exists": True}, "$expr": {"$lt": ["$lease_until", "$$NOW"]}}
#: Running, and nobody asked it to end; the other kind ends here.
_RUNNING = {"state": State.RUNNING.value, "cancel_requested_at": {"$exists": False}}
_ASKED_TO_END = {"state": State.RUNNING.value, "cancel_requested_at": {"$exists": True}}
_ATTEMPTS_LEFT = {"$expr": {"$lt": ["$attempts", "$max_attempts"]}}
_ATTEMPTS_SPENT = {"$expr": {"$gte": ["$attempts", "$max_attempts"]}}


def expired(jobs: Collection[Document]) -> Cursor[Document]:
    """Return the read that finds a round of jobs whose leases are over."""
    return jobs.find(EXPIRED, {"type": 1}).hint(LEASE_INDEX).limit(ROUND).batch_size(ROUND + 1)


@dataclass(frozen=True, slots=True)
class Reaped:
    """Jobs of one type that were taken back: requeued, failed or, as somebody had asked for it, cancelled."""

    type: str
    result: str
    jobs: int


class Reaping:
    """The statements that return expired jobs.

    Threads: any. `_blocked`, replaced whole, has the expired jobs that were in the way
    when they were last looked at: written in transactions that are open.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._jobs = connection.jobs
        self._blocked: frozenset[str] = frozenset()

    def reap(self) -> list[Reaped]:
        """Take back every expired job and return how many of which type.

        A claimed job becomes pending and spends no attempt. A running one
        becomes pending after its backoff if it has attempts left, else failed
        with ``WorkerLost``.

        Raises:
            StoreUnavailable: Some may have been taken back. The next call
                finds the rest: each statement is idempotent.

        Atomicity: one conditional update per document; the condition on the
        expiry is evaluated by the server together with the write.
        """
        reaped: list[Reaped] = []
        while True:
            with self._connection.call("reap", what="looking for expired leases"):
                found = list(expired(self._connection.reading))
            by_type: dict[str, list[str]] = defaultdict(list)
            for document in found:
                type = document.get("type")
                by_type[type if isinstance(type, str) else "?"].append(document["_id"])
            taken = [item for type, ids in by_type.items() for item in self._reap_type(type, ids)]
            self._blocked = self._blocked & known(document["_id"] for document in found)
            reaped += taken
            if len(found) < ROUND or not taken:
                return reaped

    def _reap_type(self, type: str, ids: list[str]) -> list[Reaped]:
        """Take back jobs of one type; one that cannot be written to must not keep the others from it.

        What a statement did before it was refused is done, and is not counted.
        """
        usual, blocked = without(ids, self._blocked)
        taken: list[Reaped] = []
        try:
            taken = self._take_back(type, usual) if usual else []
        except OutcomeRefused:  # any other refusal says nothing about a job
            taken = [item for id in usual for item in self._reap_one(type, id)]
        except StoreUnavailable as error:
            if not waited_in_vain(self._connection, error):
                raise
            blocked = ids
        return taken + (self._reap_apart(type, blocked) if blocked else [])

    def _reap_apart(self, type: str, ids: list[str]) -> list[Reaped]:
        """Take back jobs without waiting for any: what an open transaction has written stays for another time."""

        async def reap(ids: Sequence[str]) -> list[Reaped]:
            async def take_back(session: Session | None) -> list[Reaped]:
                return self._statements(type, ids, session)

            try:
                with self._connection.call("reap", what=f"taking back {len(ids)} jobs of type {shown(type)}"):
                    return await apart(self._connection, take_back)
            except OutcomeRefused:
                return [item for id in ids for item in self._reap_one(type, id)]

        taken, blocked = run(in_parts(ids, reap))
        news = known(blocked) - self._blocked
        self._blocked = (self._blocked - known(ids)) | known(blocked)
        if news:
            logger.info(
                "%d jobs whose leases have run out are written in open transactions and are taken back when those "
                "end, for that of a process that was killed MongoDB's transactionLifetimeLimitSeconds: %s",
                *(len(news), listed(sorted(map(str, news)))),
            )
        return [item for part in taken for item in part]

    def _reap_one(self, type: str, id: str) -> list[Reaped]:
        try:
            return self._take_back(type, [id])
        except OutcomeRefused as error:
            return self._end_without_history(type, id, error)

    def _end_without_history(self, type: str, id: str, error: OutcomeRefused) -> list[Reaped]:
        """Fail a job whose history leaves no room for its end, say; let it be if not even that is taken."""
        logger.error(
            "job %s of type %s cannot be taken back as it should (%s); it fails, and loses its errors, log lines, "
            "progress and checkpoint",
            *(shown(id), shown(type), error),
        )
        with self._connection.call("reap", what=f"ending job {shown(id)}"):
            try:
                ended = self._jobs.update_one({"_id": {"$eq": id}, **EXPIRED}, _END_BARE).modified_count
            except OperationFailure:
                return []
        return [Reaped(type, "failed", ended)] if ended else []

    def _take_back(self, type: str, ids: list[str]) -> list[Reaped]:
        connection = self._connection
        limit = min(PATIENCE, connection.timeout) if possible(connection) else None
        with connection.call("reap", what=f"taking back {len(ids)} jobs of type {shown(type)}", timeout=limit):
            return self._statements(type, ids)

    def _statements(self, type: str, ids: Sequence[str], session: Session | None = None) -> list[Reaped]:
        filter = {**with_ids(ids), **EXPIRED}
        update = partial(self._jobs.update_many, session=session)
        claimed = update({**filter, "state": State.CLAIMED.value}, _REQUEUE)
        retried = update({**filter, **_RUNNING, "$and": [_ATTEMPTS_LEFT]}, _RETRY)
        # Asked for in its own words: a lease may run out between the two statements.
        failed = update({**filter, **_RUNNING, "$and": [_ATTEMPTS_SPENT]}, _FAIL)
        cancelled = update({**filter, **_ASKED_TO_END}, _CANCEL)
        requeued = claimed.modified_count + retried.modified_count
        counts = [
            Reaped(type, "requeued", requeued),
            Reaped(type, "failed", failed.modified_count),
            Reaped(type, "cancelled", cancelled.modified_count),
        ]
        return [item for item in counts if item.jobs]


_NO_CLAIM = {"$unset": list(CLAIM_MARKS)}


def _number(field: str, otherwise: float) -> Document:
    """Return the expression of a number; of another one if somebody else wrote what is none, see `_LOST`."""
    finite = [{"$isNumber": field}, {"$gt": [field, -inf]}, {"$lt": [field, inf]}]
    return {"$cond": [{"$and": finite}, field, otherwise]}


def _whole(expression: object, otherwise: int) -> Document:
    return {"$convert": {"input": expression, "to": "long", "onError": otherwise, "onNull": otherwise}}


#: Without a token: a finish recognises by its token what it recorded itself.
_LOST: Document = {
    "type": {"$literal": "WorkerLost"},
    "message": {
        "$concat": [
            "pool ",
            # A document that somebody else wrote must not keep all others from being reaped, and not every value
            # has a text: `onError` of a conversion does not catch an instant beyond year 9999.
            {"$cond": [{"$eq": [{"$type": "$pool"}, "string"]}, "$pool", "?"]},
            " let the lease expire while running attempt ",
            {"$cond": [{"$isNumber": "$attempts"}, {"$toString": "$attempts"}, "?"]},
        ]
    },
    "traceback": {"$literal": ""},
    "attempt": "$attempts",
    "at": "$$NOW",
}
_COUNTED = {"$add": [_number("$error_count", 0), 1]}
_ERRORS = {"$cond": [{"$isArray": ["$errors"]}, "$errors", []]}
_HISTORY = {"$slice": [{"$concatArrays": [_ERRORS, [_LOST]]}, -MAX_ERRORS]}

#: The delay of `Backoff.delay` in seconds, in the server's words. Its power overflows to
#: infinity, which must not meet a base of 0: the product would not be a number.
_ATTEMPTS = _number("$attempts", 1)
_GROWN = {"$pow": [_number("$backoff.factor", 1), {"$max": [0, {"$subtract": [_ATTEMPTS, 1]}]}]}
_BASE = _number("$backoff.base", 0)
_CEILING = {
    "$cond": [
        {"$gt": [_BASE, 0]},
        {"$min": [{"$multiply": [_BASE, _GROWN]}, _number("$backoff.longest", 0)]},
        0,
    ]
}
_JITTERED: dict[str, Any] = {
    "$multiply": [
        _CEILING,
        {"$subtract": [1, {"$multiply": [_number("$backoff.jitter", 0), {"$rand": {}}]}]},
    ]
}
#: As `Steps.delay`: the place of the attempt in the list, or the last one.
_STEP: dict[str, Any] = {
    "$arrayElemAt": [
        "$backoff.steps",
        {"$toInt": {"$subtract": [{"$min": [_whole(_ATTEMPTS, 1), {"$size": "$backoff.steps"}]}, 1]}},
    ]
}
_DELAY: dict[str, Any] = {
    "$let": {
        "vars": {"delay": {"$cond": [{"$isArray": ["$backoff.steps"]}, _STEP, _JITTERED]}},
        "in": {"$max": [0, {"$min": [_number("$$delay", 0), LONGEST]}]},
    }
}

_REQUEUE: list[Document] = [{"$set": {"state": State.PENDING.value}}, _NO_CLAIM]
_RETRY: list[Document] = [
    {
        "$set": {
            "state": State.PENDING.value,
            "run_at": {"$add": ["$$NOW", _whole({"$multiply": [1000, _DELAY]}, 0)]},
            "due_at": {"$ifNull": ["$due_at", "$run_at"]},
            "errors": _HISTORY,
            "error_count": _COUNTED,
        }
    },
    {"$unset": [*CLAIM_MARKS, "started_at"]},
]
_FAIL: list[Document] = [
    {
        "$set": {
            "state": State.FAILED.value,
            "finished_at": "$$NOW",
            "error": _LOST,
            "errors": _HISTORY,
            "error_count": _COUNTED,
            "expire_at": expiry("$keep_failed"),
        }
    },
    _NO_CLAIM,
]
_END_BARE: list[Document] = [
    {"$unset": ["errors", "logs", "progress", "checkpoint", "stuck", "expire_at"]},  # first: there is no room else
    {"$set": {"state": State.FAILED.value, "finished_at": "$$NOW", "error": _LOST}},
    _NO_CLAIM,
]
_CANCEL: list[Document] = [
    {
        "$set": {
            "state": State.CANCELLED.value,
            "finished_at": "$$NOW",
            "errors": _HISTORY,
            "error_count": _COUNTED,
            "expire_at": expiry("$keep_cancelled"),
        }
    },
    _NO_CLAIM,
]
