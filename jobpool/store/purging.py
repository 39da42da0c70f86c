"""Deleting what nobody needs any more: final jobs by their age, and results that were kept long enough.

What has its own time to go (`Job.expire_at`) is deleted by MongoDB itself.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from pymongo.collection import Collection
from pymongo.cursor import Cursor

from ..job import FINAL, State
from .connection import Connection
from .documents import Document
from .fields import with_ids
from .indexes import RESULT_INDEX
from .queries import Wanted

#: Jobs of one statement; a lost reply leaves this many in doubt.
ROUND = 2000
#: Those who wait for a job have to be told first how it ended; a pool does so within about a second.
_FINAL: Document = {"state": {"$in": sorted(FINAL)}, "followed": {"$exists": False}}
#: A result that was kept long enough.
_OVER: Document = {
    "state": State.SUCCEEDED.value,
    "result_until": {"$exists": True},
    "$expr": {"$lt": ["$result_until", "$$NOW"]},
}


def ended_before(latest: datetime) -> Document:
    """Return the filter of jobs that ended by then, and for which nobody waits to be told."""
    return {**_FINAL, "finished_at": {"$lte": latest}}


class Purging:
    """Deletes jobs and results. Threads: any; no state of its own.

    Lost replies: every statement may be repeated and then changes nothing more.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._call = connection.driver.call
        self._jobs = connection.jobs
        self._read = connection.reading

    async def purge(self, selection: Wanted, older_than: float) -> int:
        """Delete the jobs meant that have been final for `older_than` seconds; return how many.

        A round at a time, so that no statement runs into the time limit. A
        job that is revived between look and delete is left alone, and so is
        one for which others still wait.

        Raises:
            StoreUnavailable: Some may be deleted. Repeating goes on from there.
        """
        purged, before = 0, list[Document]()
        with self._connection.call("purge", what="asking the server's time"):
            latest = await self._connection.now_by_its_answer() - timedelta(seconds=older_than)
        old: Document = {"$and": [selection.filter(), ended_before(latest)]}
        while True:
            with self._connection.call("purge", what="purging jobs"):
                found = await self._call(
                    self._read.find(old, {"_id": 1}).limit(ROUND).batch_size(ROUND + 1).to_list
                )
                if not found or found == before:  # what others stored under an id that cannot be asked for stays
                    return purged
                before, here = found, {**with_ids(_ids(found)), **ended_before(latest)}
                purged += (await self._call(self._jobs.delete_many, here)).deleted_count

    async def expire_results(self) -> int:
        """Delete a round of results whose time is over, but not their jobs; return how many.

        Raises:
            StoreUnavailable: Some may be deleted. The next call finds the rest.
        """
        with self._connection.call("purge", what="deleting results"):
            found = await self._call(old_results(self._read).to_list)
            if not found:
                return 0
            here: Document = {**with_ids(_ids(found)), **_OVER}
            return (await self._call(self._jobs.update_many, here, _EXPIRE)).modified_count


def old_results(jobs: Collection[Document]) -> Cursor[Document]:
    """Return the read that finds a round of results whose time is over."""
    return jobs.find(_OVER, {"_id": 1}).hint(RESULT_INDEX).limit(ROUND)


def _ids(found: list[Document]) -> list[Any]:
    return [job["_id"] for job in found]


_EXPIRE: Document = {
    "$set": {"result": None, "result_error": "it was deleted after its retention"},
    "$unset": {"result_until": ""},
}
