"""How full the backlog of a type is, for those who create jobs of it."""

from __future__ import annotations

from collections.abc import Collection

from ..job import REVIVABLE, State
from ..names import shown
from .connection import Connection
from .indexes import CLAIM_INDEX


class Filling:
    """Counts pending jobs. Threads: any; no state of its own."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._call = connection.driver.call
        self._jobs = connection.jobs

    async def pending(self, type: str, most: int) -> int:
        """Return how many jobs of `type` are pending, scheduled ones too; at most `most` are counted.

        Keys of the claim index and no documents: some 2 microseconds of the server's time each.
        """
        filter = {"state": State.PENDING.value, "type": type}
        with self._connection.call("count", what=f"counting pending jobs of type {shown(type)}"):
            return await self._call(self._jobs.count_documents, filter, limit=most, hint=CLAIM_INDEX)

    async def standing(self, ids: Collection[str], *, revive: bool) -> set[str]:
        """Return which of these jobs exist, so that creating them adds none to those that are pending.

        Args:
            revive: Whether that would make a failed or cancelled one pending again: then it is not meant.
        """
        filter: dict[str, object] = {"_id": {"$in": list(ids)}}
        if revive:
            filter["state"] = {"$nin": sorted(REVIVABLE)}
        with self._connection.call("find", what=f"looking which of {len(ids)} jobs exist"):
            found = await self._call(self._jobs.find(filter, {"_id": 1}).to_list)
        return {document["_id"] for document in found}
