"""Removing jobs that nobody holds and nobody waits for."""

from __future__ import annotations

from collections.abc import Sequence

from pymongo import ASCENDING, DeleteMany

from ..errors import JobHeld, StoreUnavailable
from ..job import HELD
from ..names import shown
from .connection import Connection
from .documents import Document
from .fields import text
from .followers import Followers
from .indexes import FOLLOWED_INDEX
from .queries import Wanted

#: Jobs of one look for those whom nobody waits for any more.
ROUND = 1000
#: Between two looks a job may start or end. One that does so for ever is busy, and the caller may repeat.
LOOKS = 20

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
        self._read = connection.reading
        self._followers = followers

    async def remove(self, id: str) -> bool:
        """Delete a job that nobody holds or waits for; return whether it was there.

        Raises:
            JobHeld: It is claimed or running. Without its document, the same
                id could be created and run a second time beside it. Or others
                wait for it; if it has ended, a pool tells them within about a second.
            StoreUnavailable: It may or may not be deleted. Repeating is safe.
        """
        what = f"removing job {shown(id)}"
        for _ in range(LOOKS):
            with self._connection.call("remove", what=what):
                gone = await self._call(self._jobs.delete_one, {"_id": {"$eq": id}, **_NOT_FOLLOWED})
                if gone.deleted_count:
                    return True
                fields = {"state": 1, "followed": 1}
                stored = await self._call(self._read.find_one, {"_id": {"$eq": id}}, fields)
            if stored is None:
                return False
            if text(stored.get("state")) in HELD:
                raise _held(id, stored, "it can be removed when it is not held any more")
            if "followed" not in stored:
                continue  # it has ended, or those who waited were told, between the two looks
            if await self._remove_left([stored]):
                return True
            raise _held(
                id, stored, "others wait for it; cancel it with cascade=True, or remove it when it has ended"
            )
        raise StoreUnavailable(f"{what}: it was changed by others {LOOKS} times meanwhile; call again")

    async def remove_many(self, selection: Wanted) -> int:
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
                cursor = self._read.find(page, {"followed": 1}).hint(FOLLOWED_INDEX)
                cursor = cursor.sort("_id", ASCENDING).limit(ROUND)
                found = await self._call(cursor.to_list)
            if not found:
                return removed
            removed += await self._remove_left(found)
            last = found[-1]["_id"]

    async def _remove_left(self, jobs: Sequence[Document]) -> int:
        """Delete those of the jobs that nobody waits for, and then those for whom only these have waited."""
        left = {job["_id"]: job for job in jobs}
        with self._connection.call("remove", what=f"looking who waits for {len(left)} jobs"):
            waiting = await self._followers.who_waits([*left])
        waits: dict[str, set[str]] = {id: set() for id in left}
        for child, parents in waiting.items():
            for id in parents:
                waits[id].add(child)
        removed, free = 0, [id for id in left if not waits[id]]
        while free:
            deleted = await self._delete([left[id] for id in free])
            removed += deleted
            if deleted < len(free):  # somebody came to wait for one of them, or runs it
                break
            following = []
            for child in free:
                for id in waiting.get(child, ()):
                    waits[id].discard(child)
                    if not waits[id]:
                        following.append(id)
            free = following
        return removed

    async def _delete(self, jobs: Sequence[Document]) -> int:
        """Delete the jobs that have the marks which were seen, and are not held."""
        marks: dict[str, list[Document]] = {}
        for job in jobs:
            marks.setdefault(repr(job["followed"]), []).append(job)
        deletes = [
            DeleteMany(
                {
                    "_id": {"$in": [job["_id"] for job in same]},
                    "state": _NOT_HELD,
                    "followed": {"$eq": same[0]["followed"]},
                }
            )
            for same in marks.values()
        ]
        with self._connection.call("remove", what=f"removing {len(jobs)} jobs for which others waited"):
            return (await self._call(self._jobs.bulk_write, deletes, ordered=False)).deleted_count


def _held(id: str, stored: Document, why: str) -> JobHeld:
    return JobHeld(f"job {shown(id)} is {stored['state']}; {why}")
