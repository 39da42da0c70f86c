"""What every claim strategy has in common: the request, the answer, the two halves of a claim.

A job may be claimed when it is ``pending``, of a requested type, and due by
the server's clock. A claim sets ``state``, ``claim``, ``pool`` and
``lease_until`` and raises ``fence``; nothing else.

A claim for threads that are free starts its jobs as well: one update takes
them from ``pending`` to ``running`` and spends an attempt, as
`Transitions.start` does. What nobody learns of then must not be left to its
lease, which would end a job that never ran: it is `Unknown`, and disowned.
"""

from __future__ import annotations

import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from heapq import merge
from itertools import islice
from math import inf
from typing import NamedTuple

from pymongo import ASCENDING, DESCENDING
from pymongo.cursor import Cursor

from ...backoff import Delays
from ...executors import Executor
from ...job import State
from ...limits import Gate
from ..connection import Connection
from ..documents import HOLDER_END, Document
from ..fields import FIRST, instant, number
from ..indexes import CLAIM_INDEX

#: The most types in one candidate read: each is one range of the index that the server merges.
MAX_TYPES = 200
#: All of them keys of the claim index, so that no document is read.
CANDIDATE_FIELDS = dict.fromkeys(("_id", "type", "priority", "run_at"), 1)
ORDER = [("priority", DESCENDING), ("run_at", ASCENDING)]


class Rule(NamedTuple):
    """What the executor of a type allows, and what is written on its jobs for whoever may have to reap them.

    Attributes:
        max_attempts: For jobs that have no number of their own.
        backoff: For those that have more than one attempt.
        keep_failed, keep_cancelled: Seconds that a job is kept which ends so; None is for ever.
    """

    max_attempts: int
    backoff: Delays
    keep_failed: float | None = None
    keep_cancelled: float | None = None

    @classmethod
    def of(cls, executor: Executor) -> Rule:
        """Return the rule of an executor."""
        kept = executor.retention
        if kept is None:
            return cls(executor.max_attempts, executor.delays)
        return cls(executor.max_attempts, executor.delays, kept.failed, kept.cancelled)


@dataclass(frozen=True, slots=True)
class Request:
    """What a pool asks for.

    Attributes:
        types: The types it has executors for.
        limit: The most jobs it has room for.
        pool: The name that is written on the jobs.
        lease: Seconds.
        starts: To have the jobs started as well, the rules of all types; None only claims them.
        gates: What else is claimed, by type, and what has to be heeded of it; see `Turns`. The strategies
            for one kind of types only do not look at it.
        holder: The id of the pool, of which its claims tell those who look; empty for who has none.
    """

    types: tuple[str, ...]
    limit: int
    pool: str
    lease: float
    starts: Mapping[str, Rule] | None = None
    gates: Mapping[str, Gate] | None = None
    holder: str = ""

    @property
    def state(self) -> State:
        """In which the jobs are that it wins."""
        return State.CLAIMED if self.starts is None else State.RUNNING


class Unknown(NamedTuple):
    """Jobs that may be running under a token without anybody knowing it.

    Attributes:
        token: Of the claim call whose answer was lost.
        ids: Which they are; None for all that carry the token.
        until: Monotonic instant after which the server does not apply that call any more.
    """

    token: str
    ids: tuple[str, ...] | None
    until: float


@dataclass(frozen=True, slots=True)
class Claimed:
    """What a claim call won.

    Attributes:
        documents: The jobs, in the order to run them; `documents.CLAIM_FIELDS` of each.
        token: The claim they carry.
        deadline: Monotonic instant up to which the lease is certain: counted
            from before the request was sent, so never later than the server's.
        tried: How many candidates the call tried to take.
        drained: Whether there were fewer candidates than asked for.
        started: Whether they are running already.
    """

    documents: list[Document] = field(repr=False)
    token: str
    deadline: float
    tried: int
    drained: bool
    started: bool = False

    @property
    def conflicts(self) -> int:
        """How many candidates another pool got first."""
        return self.tried - len(self.documents)

    def result(self, room: int) -> str:
        """Return how a call for `room` jobs ended: full, partial, empty or contended."""
        if self.documents:
            return "full" if len(self.documents) >= room else "partial"
        return "contended" if self.tried else "empty"


class ClaimStrategy(ABC):
    """A way to take due jobs. One instance serves one thread.

    Contract: `claim` returns only jobs that this call holds; each was due and
    of a requested type. It raises `StoreUnavailable` when it cannot know what
    it holds: such jobs come back by their lease, because heartbeats name
    explicit ids and so never keep alive what nobody knows of. If the call was
    to start them, it leaves a note in `unknown` before it returns or raises,
    and they are to be disowned: their leases would end them unrun.

    Attributes:
        unknown: What the caller has to disown; it takes the notes away.
    """

    #: How many candidates are read per job asked for; shown as a metric.
    factor = 1

    def __init__(self, connection: Connection) -> None:
        self.unknown: list[Unknown] = []
        self._connection = connection
        self._jobs, self._read = connection.jobs, connection.reading

    @abstractmethod
    def claim(self, request: Request) -> Claimed:
        """Take up to ``request.limit`` due jobs."""

    def _note(self, request: Request, token: str, ids: Sequence[str] | None) -> None:
        """Note what may be running, or come to run, without our knowing it; see `claimable` for how long."""
        until = time.monotonic() + _applied_within(self._connection, request)
        self.unknown.append(Unknown(token, None if ids is None else tuple(ids), until))

    def _candidates(self, types: tuple[str, ...], limit: int, skipped: int = 0) -> list[Document]:
        """Return `limit` due jobs in the order to run them, behind the first `skipped`; see `CANDIDATE_FIELDS`."""
        chunks = [types[start : start + MAX_TYPES] for start in range(0, len(types), MAX_TYPES)]
        if len(chunks) == 1:
            return list(candidate_cursor(self._connection, types, limit, skipped))
        cursors = [candidate_cursor(self._connection, chunk, skipped + limit) for chunk in chunks]
        found = merge(*cursors, key=lambda found: (-rank_of(found), instant(found.get("run_at")) or FIRST))
        return list(islice(found, skipped, skipped + limit))


def rank_of(candidate: Document) -> float:
    """Return the priority of a candidate; what somebody else wrote in its place is as urgent as can be."""
    rank = number(candidate.get("priority"))
    return inf if rank is None else rank


def candidate_cursor(
    connection: Connection, types: tuple[str, ...], limit: int, skipped: int = 0
) -> Cursor[Document]:
    """Return the read that finds due jobs: a covered scan of the claim index."""
    return (
        connection.reading.find(due(connection, types), CANDIDATE_FIELDS)
        .sort(ORDER)
        .skip(skipped)
        .limit(limit)
        .batch_size(limit + 1)
        .hint(CLAIM_INDEX)
    )


def claimable(connection: Connection, request: Request) -> Document:
    """Return the filter of a claiming update.

    One that starts jobs says as well until when it may be applied: nobody
    knows of what a request does that arrives after its sender has given up,
    and a job that ran nowhere would have spent its attempt.
    """
    filter = due(connection, request.types)
    if request.starts is not None:
        until = connection.clock.now() + timedelta(seconds=_applied_within(connection, request))
        filter["$expr"] = {"$lt": ["$$NOW", until]}
    return filter


def _applied_within(connection: Connection, request: Request) -> float:
    """Return for how many seconds a starting claim may be applied: while its sender waits, and its lease lasts."""
    return min(connection.timeout, request.lease * 2 / 3)


def due(connection: Connection, types: tuple[str, ...]) -> Document:
    """Return the filter of jobs that may be claimed now."""
    return {
        "state": State.PENDING.value,
        "type": {"$in": list(types)},
        "run_at": {"$lte": connection.clock.now()},
    }


def claiming_update(request: Request, token: str) -> list[Document]:
    """Return the update that claims: a pipeline, for the server's own time."""
    values: Document = {
        "state": request.state.value,
        "claim": token,
        "pool": {"$literal": request.pool},
        "lease_until": {"$add": ["$$NOW", int(request.lease * 1000)]},
        "fence": {"$add": [_number("$fence"), 1]},
        "attempts": _number("$attempts"),
    }
    if request.starts is not None:
        values |= _starting(request.starts)
    return [{"$set": values}]


def _number(field: str) -> Document:
    """Return the expression of a number, 0 if somebody else left it out or wrote a text: one such job is no reason
    for the server to refuse the claim of all others."""
    return {"$cond": [{"$isNumber": field}, field, 0]}


def _starting(rules: Mapping[str, Rule]) -> Document:
    """Return what a claim sets besides when it starts its jobs: the same as `Transitions.start`."""
    allowed = {"$ifNull": ["$max_attempts", _by_type({type: rule.max_attempts for type, rule in rules.items()})]}
    backoff = _by_type({type: rule.backoff for type, rule in rules.items()})
    values: Document = {
        "attempts": {"$add": [_number("$attempts"), 1]},
        "started_at": "$$NOW",
        "max_attempts": allowed,
        "backoff": {"$cond": [{"$gt": [allowed, 1]}, backoff, "$backoff"]},
    }
    for name in ("keep_failed", "keep_cancelled"):
        kept: dict[str, float | None] = {type: getattr(rule, name) for type, rule in rules.items()}
        if any(seconds is not None for seconds in kept.values()):
            values[name] = _by_type(kept)
    return values


def _by_type(values: Mapping[str, float | Delays | None]) -> Document:
    """Return the expression of the value that a job's type has. Mostly all types have the same."""
    types: dict[float | Delays | None, list[str]] = {}
    for type, value in values.items():
        types.setdefault(value, []).append(type)
    first, *others = types
    branches = [
        {"case": {"$in": ["$type", {"$literal": types[value]}]}, "then": _literal(value)} for value in others
    ]
    return {"$switch": {"branches": branches, "default": _literal(first)}} if branches else _literal(first)


def _literal(value: float | Delays | None) -> Document:
    return {"$literal": value.numbers() if isinstance(value, Delays) else value}


def new_token(holder: str = "") -> str:
    """Return a token that no other claim has: random, so that not even a rolled-back claim shares it.

    It names its holder, if that has an id; see `documents.holder_of`.
    """
    return f"{holder}{HOLDER_END}{secrets.token_hex(8)}" if holder else secrets.token_hex(12)


def lease_deadline(request: Request) -> float:
    """Return the monotonic instant up to which a lease asked for now is certain."""
    return time.monotonic() + request.lease


def nothing(*, tried: int = 0, drained: bool = True) -> Claimed:
    """Return the answer of a claim that won nothing."""
    return Claimed([], "", 0.0, tried, drained)
