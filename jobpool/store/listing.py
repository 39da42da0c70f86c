"""Every job of a selection in the order of creation, for those who want more than a page."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pymongo
from pymongo import ASCENDING, DESCENDING
from pymongo.errors import PyMongoError

from ..job import Job
from .connection import CLOSE_TIME, Connection
from .documents import Document, to_job
from .fields import place_of, with_ids
from .pages import Meaning, Pages

#: Jobs that are read at once.
CHUNK = 500
#: Seconds for what reads every job, of as many millions as there may be.
PATIENCE = 120.0


class Listing:
    """Opens lists. Threads: any; no state of its own."""

    def __init__(self, connection: Connection, pages: Pages) -> None:
        self._connection = connection
        self._pages = pages

    async def begin(self, meaning: Meaning, *, oldest_first: bool) -> Listed:
        """Let MongoDB put the ids of what is meant in order, once: some 2 s for a million jobs.

        There is no index on the time of creation: all that is meant is read for it, which may take as long
        as `PATIENCE`.
        """
        connection, direction = self._connection, ASCENDING if oldest_first else DESCENDING
        ordered: list[Document] = [
            {"$match": meaning.filter()},
            {"$project": {"created_at": 1}},
            {"$sort": {"created_at": direction, "_id": direction}},
        ]
        limit = max(connection.timeout, PATIENCE)
        with connection.call("find", what="putting jobs in order", timeout=limit):
            jobs = connection.reading
            cursor = await connection.driver.call(jobs.aggregate, ordered, allowDiskUse=True, batchSize=CHUNK)
        return Listed(connection, self._pages, meaning, cursor)


class Listed:
    """Where one is in a list. Threads: one.

    A job that is removed before its turn is left out, one that is created meanwhile is not in it, and
    each is shown as it is when it is read, if it is still one of those meant.
    """

    def __init__(self, connection: Connection, pages: Pages, meaning: Meaning, cursor: Any) -> None:
        self._connection, self._pages = connection, pages
        self._jobs = connection.reading
        self._meaning, self._cursor = meaning, cursor

    async def next(self) -> list[Job] | None:
        """Return the next jobs, which may be none; None at the end.

        Raises:
            StoreUnavailable: The list cannot be gone on with, as the server may have forgotten it; what was
                returned is the beginning.
        """
        call = self._connection.driver.call
        with self._connection.call("find", what="reading jobs"):
            ids = [found["_id"] for found in await call(self._cursor.to_list, CHUNK)]
        if not ids:
            return None
        wanted: Document = {"$and": [with_ids(ids), self._meaning.filter()]}
        if self._meaning.matcher is not None:
            matched = [brief.id for brief in await self._pages.read(wanted, self._meaning.matcher)]
            wanted = {"_id": {"$in": matched}}
        with self._connection.call("find", what="reading jobs"):
            cursor = self._jobs.find(wanted)
            found = {place_of(job["_id"]): job for job in await call(cursor.to_list)}
        return [to_job(found[place]) for place in map(place_of, ids) if place in found]

    async def close(self) -> None:
        """Let the server forget the list."""
        with suppress(PyMongoError), pymongo.timeout(CLOSE_TIME):  # it forgets it in any case, some minutes later
            await self._connection.driver.call(self._cursor.close)
