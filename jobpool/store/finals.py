"""Looking which of many jobs are final."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from ..job import FINAL, Job
from ..names import listed
from .connection import Connection
from .documents import Document, to_job
from .fields import shown_text

#: Ids in one query: some 3 ms of the server's time, and with the longest ids half a megabyte.
CHUNK = 1000

_FINAL = sorted(FINAL)
#: A final job whole, of any other its state alone: data may have megabytes, and most looks find nothing new.
_SHOWN: Document = {
    "$replaceWith": {
        "$cond": [{"$in": ["$state", {"$literal": _FINAL}]}, "$$ROOT", {"_id": "$_id", "state": "$state"}]
    }
}


@dataclass(frozen=True, slots=True)
class Look:
    """What a look found.

    Attributes:
        final: The jobs that are final.
        states: By id, the state of those that are not.
        missing: The ids that no job has.
    """

    final: list[Job] = field(default_factory=list)
    states: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)


class Finals:
    """Reads for those who wait. Threads: any; no state of its own."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._call = connection.driver.call
        self._jobs = connection.reading

    async def look(self, ids: Sequence[str]) -> Look:
        """Return how the jobs with these ids are; ids differ from each other.

        Raises:
            StoreUnavailable: Nothing is known of any of them; nothing was changed.
        """
        found, rest = Look(), iter(ids)
        while chunk := list(islice(rest, CHUNK)):
            await self._look(chunk, found)
        return found

    async def _look(self, ids: list[str], found: Look) -> None:
        seen = set()
        with self._connection.call("find", what=f"waiting for {listed(ids)}"):
            cursor = await self._call(self._jobs.aggregate, [{"$match": {"_id": {"$in": ids}}}, _SHOWN])
            documents: list[dict[str, Any]] = await self._call(cursor.to_list)
        for document in documents:
            id, state = document["_id"], shown_text(document.get("state")) or "?"
            seen.add(id)
            if state in FINAL:
                found.final.append(to_job(document))
            else:
                found.states[id] = state
        found.missing.extend(id for id in ids if id not in seen)
