"""Counting what is not done with, for the cluster view: keys of small indexes, never a finished job.

A count looks at one key per pending, waiting and failed job: some 0.6 s for a
million. The types, and the oldest due job of each, are found by skipping
through the claim index, one key per type and priority.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from pymongo import ASCENDING, DESCENDING

from ..backlog import AlivePool, Backlog, Rate, TypeBacklog, mean_rate
from ..job import State
from .connection import Connection
from .documents import Document
from .indexes import CLAIM_INDEX, FAILED_INDEX, LEASE_INDEX, WAITING_INDEX
from .presence import Presence
from .settings import Settings

_PENDING = {"state": State.PENDING.value}
_FAILED = {"state": State.FAILED.value}
_HELD = {"$in": [State.CLAIMED.value, State.RUNNING.value]}
#: In the order of the claim index, so that the server skips from priority to priority.
_BY_RUN_AT = {"state": ASCENDING, "type": ASCENDING, "priority": DESCENDING, "run_at": ASCENDING}


class Census:
    """Counts the jobs of a collection. Threads: any; no state of its own."""

    def __init__(self, connection: Connection, presence: Presence, settings: Settings) -> None:
        self._connection = connection
        self._call = connection.driver.call
        self._jobs = connection.reading  # it reads no data of jobs
        self._presence = presence
        self._settings = settings

    async def backlog(self, *, owner: Callable[[str], str] = str, timeout: float | None = None) -> Backlog:
        """Count everything once.

        Args:
            owner: Returns the type of which a type is an alias, with which it is paused; itself if it is none.
                The pools alive say as well what is an alias.
            timeout: Seconds for all of it, on the server as well; the connection's own if None.

        Raises:
            StoreUnavailable: It was not counted in time.
        """
        began = time.monotonic()
        with self._connection.call("stats", what="counting the backlog", timeout=timeout):
            self._connection.clock.forget()  # a server that is gone is not waited for as long as one that counts
            now = await self._connection.now()
            held = await self._held()
            pending = {type: await self._pending(type, now) for type in await self._types(_PENDING)}
            failed = {type: await self._count(_FAILED, type, FAILED_INDEX) for type in await self._types(_FAILED)}
            pools = await self._presence.alive()
            waiting = await self._waiting()
            paused = await self._settings.known()
        rates = _rates(pools)
        aliases = {alias: type for pool in pools for alias, type in pool.aliases.items()}
        types = {
            type: TypeBacklog(
                **pending.get(type, {}),
                claimed=held[type, State.CLAIMED.value],
                running=held[type, State.RUNNING.value],
                failed=failed.get(type, 0),
                waiting=waiting.get(type, 0),
                throughput=rates[type].per_second if type in rates else 0.0,
                run_seconds=rates[type].run_seconds if type in rates else None,
                paused=type in paused or owner(type) in paused or aliases.get(type) in paused,
            )
            for type in sorted({*pending, *failed, *waiting, *(type for type, _ in held), *rates})
        }
        return Backlog(types, pools, now, time.monotonic() - began)

    async def _types(self, filter: Document) -> Iterable[str]:
        """Return the types that have such jobs; what somebody else wrote there is not ours to count."""
        types = await self._call(self._jobs.distinct, "type", filter)
        return [type for type in types if isinstance(type, str)]

    async def _count(self, filter: Document, type: str, index: str, **more: Any) -> int:
        wanted = {**filter, "type": {"$eq": type}, **more}
        return await self._call(self._jobs.count_documents, wanted, hint=index)

    async def _pending(self, type: str, now: datetime) -> dict[str, Any]:
        due = await self._count(_PENDING, type, CLAIM_INDEX, run_at={"$lte": now})
        pending = await self._count(_PENDING, type, CLAIM_INDEX)
        first = await self._first_of_each_priority(type)
        oldest = min((instant for instant in first if instant <= now), default=now)
        return {
            "due": due,
            "scheduled": max(0, pending - due),  # counted one after the other
            "oldest_due_age": (now - oldest).total_seconds() if due else 0.0,
        }

    async def _first_of_each_priority(self, type: str) -> Iterable[datetime]:
        found = await self._aggregated(
            [
                {"$match": {**_PENDING, "type": {"$eq": type}}},
                {"$sort": _BY_RUN_AT},
                {"$group": {"_id": "$priority", "run_at": {"$first": "$run_at"}}},
            ],
            CLAIM_INDEX,
        )
        return [item["run_at"] for item in found if isinstance(item["run_at"], datetime)]

    async def _held(self) -> Counter[tuple[str, str]]:
        """Count what pools hold: as many as have room in their queues and threads, whatever the backlog."""
        found = await self._aggregated(
            [
                {"$match": {"lease_until": {"$exists": True}, "state": _HELD}},
                {"$group": {"_id": {"type": "$type", "state": "$state"}, "jobs": {"$sum": 1}}},
            ],
            LEASE_INDEX,
        )
        return Counter(
            {
                (item["_id"]["type"], item["_id"]["state"]): item["jobs"]
                for item in found
                if isinstance(item["_id"].get("type"), str)
            }
        )

    async def _waiting(self) -> dict[str, int]:
        """Count the jobs that wait for others: a key for each."""
        waiting: list[Document] = [
            {"$match": {"state": State.WAITING.value}},
            {"$group": {"_id": "$type", "jobs": {"$sum": 1}}},
        ]
        found = await self._aggregated(waiting, WAITING_INDEX)
        return {item["_id"]: item["jobs"] for item in found if isinstance(item["_id"], str)}

    async def _aggregated(self, pipeline: list[Document], index: str) -> list[Document]:
        cursor = await self._call(self._jobs.aggregate, pipeline, hint=index)
        return await self._call(cursor.to_list)


def _rates(pools: Iterable[AlivePool]) -> dict[str, Rate]:
    """Return how fast all of `pools` together run each type."""
    by_type: dict[str, list[Rate]] = defaultdict(list)
    for pool in pools:
        for type, rate in pool.rates.items():
            by_type[type].append(rate)
    return {type: mean for type, rates in by_type.items() if (mean := mean_rate(rates)) is not None}
