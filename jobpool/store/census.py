"""Counting what is not done with, for the cluster view: keys of small indexes, never a finished job.

A count looks at one key per pending and per failed job: some 0.6 s for a
million. The types, and the oldest due job of each, are found by skipping
through the claim index, one key per type and priority.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from pymongo import ASCENDING, DESCENDING

from ..backlog import Backlog, TypeBacklog
from ..job import State
from .connection import Connection
from .documents import Document
from .indexes import CLAIM_INDEX, FAILED_INDEX, LEASE_INDEX
from .presence import Presence

_PENDING = {"state": State.PENDING.value}
_FAILED = {"state": State.FAILED.value}
_HELD = {"$in": [State.CLAIMED.value, State.RUNNING.value]}
#: In the order of the claim index, so that the server skips from priority to priority.
_BY_RUN_AT = {"state": ASCENDING, "type": ASCENDING, "priority": DESCENDING, "run_at": ASCENDING}


class Census:
    """Counts the jobs of a collection. Threads: any; no state of its own."""

    def __init__(self, connection: Connection, presence: Presence) -> None:
        self._connection = connection
        self._jobs = connection.jobs
        self._presence = presence

    def backlog(self, *, timeout: float | None = None) -> Backlog:
        """Count everything once.

        Args:
            timeout: Seconds for all of it, on the server as well; the connection's own if None.

        Raises:
            StoreUnavailable: It was not counted in time.
        """
        began = time.monotonic()
        with self._connection.call("stats", what="counting the backlog", timeout=timeout):
            self._connection.clock.forget()  # a server that is gone is not waited for as long as one that counts
            now = self._connection.clock.now()
            held = self._held()
            pending = {type: self._pending(type, now) for type in self._types(_PENDING)}
            failed = {type: self._count(_FAILED, type, FAILED_INDEX) for type in self._types(_FAILED)}
            alive = self._presence.alive()
        types = {
            type: TypeBacklog(
                **pending.get(type, {}),
                claimed=held[type, State.CLAIMED.value],
                running=held[type, State.RUNNING.value],
                failed=failed.get(type, 0),
            )
            for type in sorted({*pending, *failed, *(type for type, _ in held)})
        }
        return Backlog(types, alive, now, time.monotonic() - began)

    def _types(self, filter: Document) -> Iterable[str]:
        """Return the types that have such jobs; what somebody else wrote there is not ours to count."""
        return [type for type in self._jobs.distinct("type", filter) if isinstance(type, str)]

    def _count(self, filter: Document, type: str, index: str, **more: Any) -> int:
        return self._jobs.count_documents({**filter, "type": {"$eq": type}, **more}, hint=index)

    def _pending(self, type: str, now: datetime) -> dict[str, Any]:
        due = self._count(_PENDING, type, CLAIM_INDEX, run_at={"$lte": now})
        pending = self._count(_PENDING, type, CLAIM_INDEX)
        oldest = min((instant for instant in self._first_of_each_priority(type) if instant <= now), default=now)
        return {
            "due": due,
            "scheduled": max(0, pending - due),  # counted one after the other
            "oldest_due_age": (now - oldest).total_seconds() if due else 0.0,
        }

    def _first_of_each_priority(self, type: str) -> Iterable[datetime]:
        found = self._jobs.aggregate(
            [
                {"$match": {**_PENDING, "type": {"$eq": type}}},
                {"$sort": _BY_RUN_AT},
                {"$group": {"_id": "$priority", "run_at": {"$first": "$run_at"}}},
            ],
            hint=CLAIM_INDEX,
        )
        return [item["run_at"] for item in found if isinstance(item["run_at"], datetime)]

    def _held(self) -> Counter[tuple[str, str]]:
        """Count what pools hold: as many as have room in their queues and threads, whatever the backlog."""
        found = self._jobs.aggregate(
            [
                {"$match": {"lease_until": {"$exists": True}, "state": _HELD}},
                {"$group": {"_id": {"type": "$type", "state": "$state"}, "jobs": {"$sum": 1}}},
            ],
            hint=LEASE_INDEX,
        )
        return Counter(
            {
                (item["_id"]["type"], item["_id"]["state"]): item["jobs"]
                for item in found
                if isinstance(item["_id"].get("type"), str)
            }
        )
