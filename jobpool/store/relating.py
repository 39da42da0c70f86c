"""What a job has to do with, and which ids there are, for those who look at a job."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from pymongo import ASCENDING

from ..backlog import AlivePool
from ..errors import JobNotFound, StoreRefused
from ..job import Job
from ..names import shown
from ..relations import Neighbour, Relations, trace_id_in
from ..schedules import schedule_in
from .connection import Connection
from .documents import Document, state_of, to_job
from .fields import shown_text, text
from .followers import waits_for_any
from .indexes import WAITS_INDEX
from .presence import Presence
from .schedules import SUFFIX

R = TypeVar("R")

#: Neighbours of a kind that are shown.
SHOWN = 20
#: Behind every text that begins with the ones before it.
_LAST = "\U0010ffff"


class Relating:
    """Reads about one job. Threads: any; no state of its own.

    Raises: `StoreUnavailable` from each: nothing is known, and nothing was changed.
    """

    def __init__(self, connection: Connection, presence: Presence) -> None:
        self._connection = connection
        self._call = connection.driver.call
        self._jobs = connection.reading
        self._schedules = connection.beside(SUFFIX)
        self._presence = presence

    async def ids_beginning(self, prefix: str, limit: int) -> list[str]:
        """Return the first ids that begin with `prefix`, in their order: a range of the index of ids."""
        with self._connection.call("find", what=f"looking for ids that begin with {shown(prefix)}"):
            range = {"$gte": prefix, "$lt": prefix + _LAST}
            cursor = self._jobs.find({"_id": range}, {"_id": 1}).sort("_id", ASCENDING).limit(limit)
            return [found["_id"] for found in await self._call(cursor.to_list)]

    async def relations(self, id: str) -> tuple[Job, Relations]:
        """Return a job, and what it has to do with: at most six reads, each by an index.

        The reads are one after the other: what changes meanwhile may be in one and not in another. What this
        user may not read of pools and schedules is left out.

        Raises:
            JobNotFound: It does not exist.
        """
        with self._connection.call("get", what=f"reading job {shown(id)}"):
            document = await self._call(self._jobs.find_one, {"_id": {"$eq": id}})
            if document is None:
                raise JobNotFound(f"no job {shown(id)} in {self._jobs.full_name}")
            job = to_job(document)
            waited_for = set(job.waits_for)
            ended = [one for one in job.after if one not in waited_for]
            after = await self._neighbours([*job.waits_for, *ended][:SHOWN])
        followers, number = await self._followers(id)
        return job, Relations(
            id=id,
            at=await self._connection.now(),
            after=after,
            followers=followers,
            follower_count=number,
            pools=await self._allowed(lambda: self._pools(job)) or (),
            schedule=await self._allowed(lambda: self._schedule(id)),
            trace_id=trace_id_in(document.get("trace")),
        )

    async def _followers(self, id: str) -> tuple[tuple[Neighbour, ...], int]:
        """Return some of those who wait for a job, and how many do; none where there is no index of them.

        That is where nothing newer than 0.1.0 was, which has none that wait.
        """
        waiting = waits_for_any([id])
        try:
            with self._connection.call("find", what=f"looking for jobs that wait for {shown(id)}"):
                cursor = self._jobs.find(waiting, {"type": 1, "state": 1}).hint(WAITS_INDEX).limit(SHOWN)
                followers = tuple(map(_neighbour, await self._call(cursor.to_list)))
                if len(followers) < SHOWN:
                    return followers, len(followers)
                return followers, await self._call(self._jobs.count_documents, waiting, hint=WAITS_INDEX)
        except StoreRefused as error:
            if error.kind != "index":
                raise
            return (), 0

    async def _allowed(self, read: Callable[[], Awaitable[R]]) -> R | None:
        """Return what a read in a collection beside the jobs gives; None if this user may not read there."""
        try:
            with self._connection.call("find", what="reading what a job has to do with"):
                return await read()
        except StoreRefused as error:
            if error.kind != "rights":
                raise
            return None

    async def _neighbours(self, ids: Sequence[str]) -> tuple[Neighbour, ...]:
        if not ids:
            return ()
        cursor = self._jobs.find({"_id": {"$in": list(ids)}}, {"type": 1, "state": 1})
        found = {document["_id"]: _neighbour(document) for document in await self._call(cursor.to_list)}
        return tuple(found.get(id, Neighbour(id)) for id in ids)

    async def _pools(self, job: Job) -> tuple[AlivePool, ...]:
        if job.pool is None:
            return ()
        pools = await self._presence.all()
        if job.pool_id is not None:
            return tuple(pool for pool in pools if pool.id == job.pool_id)
        return tuple(pool for pool in pools if pool.name == job.pool)

    async def _schedule(self, id: str) -> str | None:
        name = schedule_in(id)
        if name is None or await self._call(self._schedules.find_one, {"_id": {"$eq": name}}, {"_id": 1}) is None:
            return None
        return name


def _neighbour(document: Document) -> Neighbour:
    state = state_of(shown_text(document.get("state")) or "?")
    return Neighbour(id=str(document["_id"]), type=text(document.get("type")), state=state)
