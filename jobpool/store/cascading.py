"""Cancelling with a job all that wait for it: the farthest first.

So no resolver meets one whose own time to be told has not come, and a cascade
that breaks off has left nobody without the job that he waits for: repeating it
goes on.
"""

from __future__ import annotations

from pymongo import ASCENDING

from ..job import State
from .connection import Connection
from .documents import CLAIM_MARKS, Document, expiry
from .followers import Followers, chunks

#: What a cancel ends at once.
NOT_STARTED: Document = {"$in": [State.WAITING.value, State.PENDING.value, State.CLAIMED.value]}
END: list[Document] = [
    {"$set": {"state": State.CANCELLED.value, "finished_at": "$$NOW", "expire_at": expiry("$keep_cancelled")}},
    {"$unset": [*CLAIM_MARKS, "linking"]},
]
_CANCELLABLE: Document = {"state": {"$in": [*NOT_STARTED["$in"], State.RUNNING.value]}}
#: Jobs of one statement: a lost reply leaves this many in doubt.
ROUND = 2000


class Cascading:
    """Cancels those who wait. Threads: any; no state of its own.

    Lost replies: every statement may be repeated and then changes nothing more.
    """

    def __init__(self, connection: Connection, followers: Followers) -> None:
        self._connection = connection
        self._call = connection.driver.call
        self._jobs = connection.reading
        self._followers = followers

    async def cancel_followers(self, ids: list[str]) -> int:
        """Cancel all that wait for these jobs, and for those, and so on; return how many.

        Raises:
            StoreUnavailable: Some may be cancelled. Repeating goes on from there.
        """
        ended = 0
        while levels := await self._levels(ids):  # until nobody has come to wait meanwhile
            for level in reversed(levels):
                for some in chunks(level, ROUND):
                    with self._connection.call("cancel", what=f"cancelling {len(some)} jobs that wait"):
                        here: Document = {"_id": {"$in": some}, "state": NOT_STARTED}
                        ended += (await self._call(self._jobs.update_many, here, END)).modified_count
        return ended

    async def cancel_followers_of(self, wanted: Document) -> int:
        """As `cancel_followers`, of all jobs meant that are not final; these are read page by page."""
        ended, last = 0, ""
        while True:
            page: Document = {"$and": [wanted, _CANCELLABLE, {"_id": {"$gt": last}}]}
            with self._connection.call("cancel", what="looking for jobs that others wait for"):
                cursor = self._jobs.find(page, {"_id": 1}).sort("_id", ASCENDING).limit(ROUND)
                found = [job["_id"] for job in await self._call(cursor.to_list)]
            if not found:
                return ended
            ended += await self.cancel_followers(found)
            last = found[-1]

    async def _levels(self, ids: list[str]) -> list[list[str]]:
        """Return who waits for these jobs, then who for those, and so on."""
        levels: list[list[str]] = []
        seen, level = set(ids), ids
        while level:
            with self._connection.call("cancel", what="looking for jobs that wait for cancelled ones"):
                found = await self._followers.waiting_for(level)
            level = [id for id in found if id not in seen]
            seen.update(level)
            if level:
                levels.append(level)
        return levels
