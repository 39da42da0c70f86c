"""What every claim strategy has in common: the request, the answer, the two halves of a claim.

A job may be claimed when it is ``pending``, of a requested type, and due by
the server's clock. A claim sets ``state``, ``claim``, ``pool`` and
``lease_until`` and raises ``fence``; nothing else.
"""

from __future__ import annotations

import secrets
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from heapq import merge
from itertools import islice

from pymongo import ASCENDING, DESCENDING
from pymongo.cursor import Cursor

from ...job import State
from ..connection import Connection
from ..documents import Document
from ..indexes import CLAIM_INDEX

#: The most types in one candidate read: each is one range of the index that the server merges.
MAX_TYPES = 200
#: All of them keys of the claim index, so that no document is read.
CANDIDATE_FIELDS = dict.fromkeys(("_id", "type", "priority", "run_at"), 1)
ORDER = [("priority", DESCENDING), ("run_at", ASCENDING)]


@dataclass(frozen=True, slots=True)
class Request:
    """What a pool asks for.

    Attributes:
        types: The types it has executors for.
        limit: The most jobs it has room for.
        pool: The name that is written on the jobs.
        lease: Seconds.
    """

    types: tuple[str, ...]
    limit: int
    pool: str
    lease: float


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
    """

    documents: list[Document]
    token: str
    deadline: float
    tried: int
    drained: bool

    @property
    def conflicts(self) -> int:
        """How many candidates another pool got first."""
        return self.tried - len(self.documents)


class ClaimStrategy(ABC):
    """A way to take due jobs. One instance serves one thread.

    Contract: `claim` returns only jobs that this call holds; each was due and
    of a requested type. It raises `StoreUnavailable` when it cannot know what
    it holds: such jobs come back by their lease, because heartbeats name
    explicit ids and so never keep alive what nobody knows of.
    """

    #: How many candidates are read per job asked for; shown as a metric.
    factor = 1

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._jobs = connection.jobs

    @abstractmethod
    def claim(self, request: Request) -> Claimed:
        """Take up to ``request.limit`` due jobs."""

    def _candidates(self, types: tuple[str, ...], limit: int) -> list[Document]:
        """Return the first `limit` due jobs in the order to run them: id, type, priority and `run_at`."""
        chunks = [types[start : start + MAX_TYPES] for start in range(0, len(types), MAX_TYPES)]
        cursors = [candidate_cursor(self._connection, chunk, limit) for chunk in chunks]
        return list(islice(merge(*cursors, key=lambda found: (-found["priority"], found["run_at"])), limit))


def candidate_cursor(connection: Connection, types: tuple[str, ...], limit: int) -> Cursor[Document]:
    """Return the read that finds due jobs: a covered scan of the claim index."""
    return (
        connection.jobs.find(due(connection, types), CANDIDATE_FIELDS)
        .sort(ORDER)
        .limit(limit)
        .batch_size(limit + 1)
        .hint(CLAIM_INDEX)
    )


def due(connection: Connection, types: tuple[str, ...]) -> Document:
    """Return the filter of jobs that may be claimed now."""
    return {
        "state": State.PENDING.value,
        "type": {"$in": list(types)},
        "run_at": {"$lte": connection.clock.now()},
    }


def claiming_update(request: Request, token: str) -> list[Document]:
    """Return the update that claims: a pipeline, for the server's own time."""
    return [
        {
            "$set": {
                "state": State.CLAIMED.value,
                "claim": token,
                "pool": {"$literal": request.pool},
                "lease_until": {"$add": ["$$NOW", int(request.lease * 1000)]},
                "fence": {"$add": ["$fence", 1]},
            }
        }
    ]


def new_token() -> str:
    """Return a token that no other claim has: random, so that not even a rolled-back claim shares it."""
    return secrets.token_hex(12)


def lease_deadline(request: Request) -> float:
    """Return the monotonic instant up to which a lease asked for now is certain."""
    return time.monotonic() + request.lease


def nothing(*, tried: int = 0, drained: bool = True) -> Claimed:
    """Return the answer of a claim that won nothing."""
    return Claimed([], "", 0.0, tried, drained)
