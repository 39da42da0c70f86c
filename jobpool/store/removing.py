"""Removing jobs that nobody holds and nobody waits for."""

from __future__ import annotations

from collections.abc import Sequence

from pymongo import ASCENDING

from ..errors import JobHeld
from ..job import HELD
from ..names import shown
from .connection import Connection
from .documents import Document
from .followers import Followers
from .indexes import FOLLOWED_INDEX
from .queries import Selection

#: Jobs of one look for those whom nobody waits for any more.
ROUND = 1000

_NOT_HELD = {"$nin": sorted(HELD)}
_NOT_FOLLOWED: Document = {"state": _NOT_HELD, "followed": {"$exists": False}}
_FOLLOWED: Document = {"state": _NOT_HELD, "followed": {"$exists": True}}


class Removing:
    """Deletes jobs. Threads: any; no state of its own.

    A job that is marked as followed may have been left by all who waited for
    it. It goes if that is so, under the mark that it had before the look: who
    came to wait in between has set another.
    """

    def __init__(self, connection: Connection, followers: Followers) -> None:
        self._connection = connection
        self._call = connection.driver.call
        self._jobs = connection.jobs
        self._followers = followers

    async def remove(self, id: str) -> bool:
        """Delete a job that nobody holds or waits for; return whether it was there.

        Raises:
            JobHeld: It is claimed or running. Without its document, the same
                id could be created and run a second time beside it. Or others
                wait for it; if it has ended, a pool tells them within about a second.
        """
        with self._connection.call("remove", what=f"removing job {shown(id)}"):
            gone = await self._call(self._jobs.delete_one, {"_id": {"$eq": id}, **_NOT_FOLLOWED})
            if gone.deleted_count:
                return True
            stored = await self._call(self._jobs.find_one, {"_id": {"$eq": id}}, {"state": 1, "followed": 1})
            if stored is None:
                return False
            if stored["state"] in HELD:
                why = "it can be removed when it is not held any more"
            elif await self._remove_left([stored]):
                return True
            else:
                why = "others wait for it; cancel it with cascade=True, or remove it when it has ended"
        raise JobHeld(f"job {shown(id)} is {stored['state']}; {why}")

    async def remove_many(self, selection: Selection) -> int:
        """Delete the jobs meant that nobody holds or waits for; return how many."""
        wanted: Document = {"$and": [selection.filter(), _NOT_FOLLOWED]}
        with self._connection.call("remove", what="removing jobs"):
            removed = (await self._call(self._jobs.delete_many, wanted)).deleted_count
        while left := await self._remove_followed(selection.filter()):  # whoever waited for them is gone by now
            removed += left
        return removed

    async def _remove_followed(self, wanted: Document) -> int:
        """Delete those of the jobs meant for whom somebody waited, and nobody does any more."""
        removed, last = 0, ""
        while True:
            page: Document = {"$and": [wanted, _FOLLOWED, {"_id": {"$gt": last}}]}
            with self._connection.call("remove", what="removing jobs for which others waited"):
                cursor = self._jobs.find(page, {"followed": 1}).hint(FOLLOWED_INDEX)
                cursor = cursor.sort("_id", ASCENDING).limit(ROUND)
                found = await self._call(cursor.to_list)
                if not found:
                    return removed
                removed += await self._remove_left(found)
            last = found[-1]["_id"]

    async def _remove_left(self, jobs: Sequence[Document]) -> int:
        """Delete those of the jobs that nobody waits for; call it within `Connection.call`."""
        followed = await self._followers.waited_for([job["_id"] for job in jobs])
        removed = 0
        for mark in {job["followed"] for job in jobs}:
            left = [job["_id"] for job in jobs if job["followed"] == mark and job["_id"] not in followed]
            here: Document = {"_id": {"$in": left}, "state": _NOT_HELD, "followed": mark}
            removed += (await self._call(self._jobs.delete_many, here)).deleted_count if left else 0
        return removed
