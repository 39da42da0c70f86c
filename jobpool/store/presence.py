"""Which pools there are: each says now and then that it lives, in the collection beside the jobs.

Nothing depends on it: it is for those who look. A pool that is killed is
taken for alive until what it said last is not fresh any more.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from .connection import Connection

#: The collection is that of the jobs with this behind its name.
SUFFIX = ".pools"
#: What pools said that were killed is kept for so long, for those who ask what became of them.
KEPT = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class PoolCard:
    """What a pool says of itself.

    Attributes:
        id: Random, of this very pool.
        name: The name its user gave it.
        host: The machine's name.
        pid: The process on it.
        types: What it runs.
        threads: How many at once.
    """

    id: str
    name: str
    host: str
    pid: int
    types: tuple[str, ...]
    threads: int


class Presence:
    """The pools' own words. Threads: any; no state of its own.

    Lost replies: every statement may be repeated and then changes nothing more.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        jobs = connection.jobs
        self._pools = jobs.database[jobs.name + SUFFIX].with_options(
            codec_options=jobs.codec_options,
            read_preference=jobs.read_preference,
            write_concern=jobs.write_concern,
            read_concern=jobs.read_concern,
        )

    def announce(self, card: PoolCard, fresh_for: float) -> None:
        """Say that a pool lives, which holds good for `fresh_for` seconds.

        With its first word it forgets what others said that died long ago:
        where pools are always killed, none comes to `withdraw`.
        """
        with self._connection.call("announce", what="saying that a pool lives"):
            now = self._connection.clock.now()
            said = {
                "name": card.name,
                "host": card.host,
                "pid": card.pid,
                "types": list(card.types),
                "threads": card.threads,
                "seen_at": now,
                "fresh_until": now + timedelta(seconds=fresh_for),
            }
            update = {"$set": said, "$setOnInsert": {"since": now}}
            if self._pools.update_one({"_id": card.id}, update, upsert=True).upserted_id is not None:
                self._pools.delete_many({"fresh_until": {"$lt": now - KEPT}})

    def withdraw(self, card: PoolCard, *, timeout: float) -> None:
        """Say that a pool has ended."""
        with self._connection.call("announce", what="saying that a pool has ended", timeout=timeout):
            self._pools.delete_one({"_id": card.id})

    async def alive(self) -> int:
        """Return how many pools said lately that they live; to be called within a call of the connection."""
        fresh = {"fresh_until": {"$gte": await self._connection.now()}}
        return await self._connection.driver.call(self._pools.count_documents, fresh)
