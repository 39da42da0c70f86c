"""How much there is: what the collection takes, and how many jobs are final. The latter reads all of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

from pymongo import ASCENDING
from pymongo.errors import OperationFailure

from ..job import FINAL
from ..overview import Finished, Size
from .connection import Connection
from .documents import Document
from .indexes import BY_ID
from .settings import UNAUTHORIZED

#: Up to so many jobs are counted by one command, which takes some 0.4 s per million (1 s before MongoDB 6).
WHOLE = 2_000_000
#: Of more, so many are counted in one round, so that none comes near a time limit: some 0.2 s.
ROUND = 50_000
_BY_TYPE_AND_STATE = {"_id": {"type": "$type", "state": "$state"}, "jobs": {"$sum": 1}}


class Sizes:
    """Measures the collection. Nothing is created or changed. Threads: any; no state of its own."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._call = connection.driver.call
        self._jobs = connection.reading

    async def size(self) -> Size | None:
        """Return what the collection takes; None if it is not there, or if this user may not know."""
        stats: list[Document] = [{"$collStats": {"storageStats": {}}}]
        with self._connection.call("stats", what="measuring the collection"):
            try:
                cursor = await self._call(self._jobs.aggregate, stats)
                found = await self._call(cursor.to_list)
            except OperationFailure as error:
                if error.code != UNAUTHORIZED and error.code not in NOT_THERE:
                    raise
                return None
        parts = [one["storageStats"] for one in found]  # one per shard
        indexes: Counter[str] = Counter()
        for part in parts:
            indexes.update(part.get("indexSizes", {}))
        return Size(
            data_bytes=int(sum(part["size"] for part in parts)),
            storage_bytes=int(sum(part["storageSize"] for part in parts)),
            index_bytes={name: int(size) for name, size in sorted(indexes.items())},
        )

    async def finished(self, told: Callable[[int], object] = lambda _: None) -> dict[str, Finished]:
        """Count the final jobs, by type: every job is read, some 3 million a second.

        Of more than two million jobs it is done in rounds by id, some 250,000 a second.

        A job that is created meanwhile may be counted or not.

        Args:
            told: Hears after each round how many jobs were read in it.

        Raises:
            StoreUnavailable: A round did not end in time. Nothing is known.
        """
        counts: dict[str, Counter[str]] = {}
        async for found in self._counted():
            for one in found:
                type, state = one["_id"].get("type"), one["_id"].get("state")
                if isinstance(type, str) and isinstance(state, str) and state in FINAL:
                    counts.setdefault(type, Counter())[state] += one["jobs"]
            told(sum(one["jobs"] for one in found))
        return {type: Finished(**counts[type]) for type in sorted(counts)}

    async def _counted(self) -> AsyncIterator[list[Document]]:
        """Yield counts by type and state, of all jobs at once or of one round after the other."""
        with self._connection.call("count", what="counting jobs"):
            documents = await self._call(self._jobs.estimated_document_count)
        if documents <= WHOLE:
            yield await self._aggregated([{"$group": _BY_TYPE_AND_STATE}])
            return
        last: str | None = ""
        while last is not None:
            found, last = await self._round(last)
            yield found

    async def _round(self, after: str) -> tuple[list[Document], str | None]:
        """Count some jobs behind an id; return the counts, and the id to go on from, None at the end."""
        pipeline: list[Document] = [
            {"$match": {"_id": {"$gt": after}}},
            {"$sort": {"_id": ASCENDING}},
            {"$limit": ROUND},
            {"$group": {**_BY_TYPE_AND_STATE, "last": {"$max": "$_id"}}},
            {"$sort": {"last": ASCENDING}},
        ]
        found = await self._aggregated(pipeline, hint=dict(BY_ID))
        whole = sum(one["jobs"] for one in found) == ROUND
        return found, found[-1]["last"] if whole else None

    async def _aggregated(self, pipeline: list[Document], **options: Any) -> list[Document]:
        with self._connection.call("count", what="counting the final jobs"):
            cursor = await self._call(self._jobs.aggregate, pipeline, **options)
            return await self._call(cursor.to_list)


#: NamespaceNotFound; a view, which has no size of its own.
NOT_THERE = frozenset((26, 166))
