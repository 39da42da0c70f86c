"""What goes on now, for those who watch: a handful of index reads, whatever the backlog.

What pools hold is read from the jobs, one by one: there are as many of them as
pools have threads, and room in their queues. Of what failed, one key per type
is read, and the jobs that are shown. The rest are numbers that the server keeps.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pymongo import ASCENDING, DESCENDING
from pymongo.errors import OperationFailure

from ..job import State
from ..overview import Activity, FailedJob, Held, RunningJob
from ..pauses import Paused
from .connection import Connection
from .documents import HOLDER_END, Document
from .glimpses import is_failed, is_running, to_failed, to_held, to_instant, to_running
from .indexes import FAILED_INDEX, LEASE_INDEX
from .presence import Presence
from .settings import UNAUTHORIZED, Settings
from .sizes import NOT_THERE

#: No job failed then: somebody else wrote what is behind it, and Python has no such dates.
NEVER = datetime(9999, 12, 31, tzinfo=UTC)
#: Types that are looked into by one command: a pipeline has no more than a thousand stages.
AT_ONCE = 100
#: Characters of an error's text that are read.
MESSAGE = 200
_HELD: Document = {
    "lease_until": {"$exists": True},
    "state": {"$in": [State.CLAIMED.value, State.RUNNING.value]},
}
_FAILED = {"state": State.FAILED.value}
#: In the order of the index, so that the server skips from type to type.
_NEWEST_OF_EACH = {"state": ASCENDING, "type": ASCENDING, "finished_at": DESCENDING}
_SHOWN_RUNNING = dict.fromkeys(
    (
        *("type", "key", "pool", "claim", "started_at", "attempts", "lease_until", "cancel_requested_at"),
        *("progress", "state"),
    ),
    1,
)
#: The id of the pool that holds a job, in the token of its claim; see `documents.holder_of`.
_END: Document = {
    "$cond": [{"$eq": [{"$type": "$claim"}, "string"]}, {"$indexOfBytes": ["$claim", HOLDER_END]}, -1]
}
_HOLDER: Document = {
    "$let": {
        "vars": {"end": _END},
        "in": {"$cond": [{"$gt": ["$$end", 0]}, {"$substrBytes": ["$claim", 0, "$$end"]}, None]},
    }
}


#: How many jobs there are, and what the server did to the index of their ids: only who removes a job removes
#: from it. Others of its statistics count changes of jobs as well, or creates that found their job there.
_SIZE: list[Document] = [
    {"$collStats": {"storageStats": {}}},
    {"$project": {"count": "$storageStats.count", "ids": "$storageStats.indexDetails._id_.cursor"}},
]


class Overseeing:
    """Looks at what goes on. Nothing is created or changed. Threads: any; no state of its own."""

    def __init__(self, connection: Connection, presence: Presence, settings: Settings) -> None:
        self._connection = connection
        self._call = connection.driver.call
        self._jobs = connection.reading
        self._presence = presence
        self._settings = settings

    async def activity(self, *, limit: int, since: datetime | None, timeout: float | None = None) -> Activity:
        """Look at everything once: some eight commands.

        Args:
            limit: The most jobs that run, and that failed, to return.
            since: Count what failed since then as well.
            timeout: Seconds for all of it; the connection's own if None.

        Raises:
            StoreUnavailable: Nothing is known.
        """
        with self._connection.call("stats", what="looking at what goes on", timeout=timeout):
            hello = await self._connection.hello()
            now = self._connection.clock.learn(hello["localTime"])
            held, running = await self._held(limit, now)
            documents, removed = await self._documents()
            return Activity(
                at=now,
                server=str(hello.get("me") or _address(self._connection)),
                replica_set=hello.get("setName"),
                members=max(1, sum(len(hello.get(kind, ())) for kind in ("hosts", "passives", "arbiters"))),
                unreachable=_unreachable(self._connection),
                documents=documents,
                removed=removed,
                failed=None if since is None else await self._failed_since(since, now),
                pools=await self._presence.alive(),
                held=held,
                running=running,
                failures=await self._failures(limit),
                paused=await self._settings.known(),
            )

    async def held(self) -> tuple[Held, ...]:
        """Count what pools hold."""
        with self._connection.call("stats", what="counting what pools hold"):
            return (await self._held(0, await self._connection.now()))[0]

    async def running(self, limit: int) -> tuple[RunningJob, ...]:
        """Return the jobs that have run longest."""
        with self._connection.call("find", what="looking for jobs that run"):
            return (await self._held(limit, await self._connection.now()))[1]

    async def failures(self, limit: int) -> tuple[FailedJob, ...]:
        """Return the jobs that failed last."""
        with self._connection.call("find", what="looking for jobs that failed"):
            return await self._failures(limit)

    async def paused(self) -> Paused:
        """Return what is paused, as far as this user may know."""
        with self._connection.call("find", what="reading what is paused"):
            return await self._settings.known()

    async def documents(self) -> int:
        """Return how many jobs there are, as the server keeps count."""
        with self._connection.call("count", what="counting jobs"):
            return await self._call(self._jobs.estimated_document_count)

    async def _documents(self) -> tuple[int, int | None]:
        """Return how many jobs there are, and how many were removed since the server came up, if it tells."""
        try:
            cursor = await self._call(self._jobs.aggregate, _SIZE)
            shards = await self._call(cursor.to_list)
        except OperationFailure as error:
            if error.code != UNAUTHORIZED and error.code not in NOT_THERE:
                raise
            return await self._call(self._jobs.estimated_document_count), None
        removed = [shard.get("ids", {}).get("remove calls") for shard in shards]
        told = [int(number) for number in removed if isinstance(number, int | float)]
        return sum(int(shard["count"]) for shard in shards), sum(told) if len(told) == len(removed) else None

    async def _held(self, limit: int, now: datetime) -> tuple[tuple[Held, ...], tuple[RunningJob, ...]]:
        """Read what pools hold, once."""
        facets: Document = {"held": _COUNTING}
        if limit:
            facets["running"] = [
                {"$match": {"state": State.RUNNING.value, "started_at": {"$type": "date"}}},
                {"$sort": {"started_at": ASCENDING, "_id": ASCENDING}},
                {"$limit": limit},
            ]
        pipeline = [{"$match": _HELD}, {"$project": _SHOWN_RUNNING}, {"$facet": facets}]
        cursor = await self._call(self._jobs.aggregate, pipeline, hint=LEASE_INDEX)
        (found,) = await self._call(cursor.to_list)
        running = tuple(to_running(item, now) for item in found.get("running", ()) if is_running(item))
        return tuple(filter(None, map(to_held, found["held"]))), running

    async def _failures(self, limit: int) -> tuple[FailedJob, ...]:
        """Return the newest failed jobs.

        They are among the newest of the types whose newest are the newest: as many types as jobs, at the most.
        """
        newest: list[Document] = [
            {"$match": _FAILED},
            {"$sort": _NEWEST_OF_EACH},
            {"$group": {"_id": "$type", "at": {"$first": "$finished_at"}}},  # and no more, or it reads all keys
        ]
        cursor = await self._call(self._jobs.aggregate, newest, hint=FAILED_INDEX)
        types = _last_failed(await self._call(cursor.to_list))[:limit]
        jobs: list[FailedJob] = []
        for first in range(0, len(types), AT_ONCE):
            jobs += await self._newest_of(types[first : first + AT_ONCE], limit)
        return tuple(sorted(jobs, key=lambda job: (-job.finished_at.timestamp(), job.id))[:limit])

    async def _newest_of(self, types: list[str], limit: int) -> list[FailedJob]:
        """Return the newest failed jobs of some types."""
        first, *others = (_newest_of(type, limit) for type in types)
        union = [{"$unionWith": {"coll": self._jobs.name, "pipeline": other}} for other in others]
        order = {"$sort": {"finished_at": DESCENDING, "_id": ASCENDING}}
        cursor = await self._call(self._jobs.aggregate, [*first, *union, order, {"$limit": limit}])
        return [to_failed(found) for found in await self._call(cursor.to_list) if is_failed(found)]

    async def _failed_since(self, since: datetime, now: datetime) -> int:
        """Count what failed since then and before now: the server skips from type to type."""
        wanted = {**_FAILED, "finished_at": {"$gte": since, "$lt": now}}
        return await self._call(self._jobs.count_documents, wanted, hint=FAILED_INDEX)


_COUNTING: list[Document] = [
    {
        "$group": {
            "_id": {"pool": "$pool", "holder": _HOLDER, "type": "$type"},
            "claimed": {"$sum": {"$cond": [{"$eq": ["$state", State.CLAIMED.value]}, 1, 0]}},
            "running": {"$sum": {"$cond": [{"$eq": ["$state", State.RUNNING.value]}, 1, 0]}},
        }
    },
    {"$sort": {"_id": ASCENDING}},
]


def _last_failed(found: list[Document]) -> list[str]:
    """Return the types, the one that failed last in front; those are looked into of which nobody can tell."""
    usable = [(to_instant(one["at"]) or NEVER, one["_id"]) for one in found if isinstance(one["_id"], str)]
    return [type for _, type in sorted(usable, reverse=True)]


def _newest_of(type: str, limit: int) -> list[Document]:
    shown = {
        "type": 1,
        "finished_at": 1,
        "attempts": 1,
        "error.type": 1,
        # The text may have 8 kB, and characters of several bytes; what is no text stays away.
        "message": {
            "$cond": [
                {"$eq": [{"$type": "$error.message"}, "string"]},
                {"$substrCP": ["$error.message", 0, MESSAGE]},
                "",
            ]
        },
    }
    wanted: Document = {**_FAILED, "type": {"$eq": type}, "finished_at": {"$lt": NEVER}}
    return [{"$match": wanted}, {"$sort": {"finished_at": DESCENDING}}, {"$limit": limit}, {"$project": shown}]


def _address(connection: Connection) -> str:
    """Return who takes the writes, of a server that does not say its name."""
    known: Any = connection.client.topology_description.server_descriptions().values()
    return next((f"{server.address[0]}:{server.address[1]}" for server in known if server.is_writable), "")


def _unreachable(connection: Connection) -> tuple[str, ...]:
    """Return the servers that the driver knows of and could not reach when it looked last; nobody is asked."""
    known: Any = connection.client.topology_description.server_descriptions().values()
    lost = [
        server.address for server in known if server.server_type_name == "Unknown" and server.error is not None
    ]
    return tuple(sorted(f"{host}:{port}" for host, port in lost))
