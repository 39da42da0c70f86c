"""Which pools there are: each says now and then that it lives, in the collection beside the jobs.

Nothing depends on it: it is for those who look. A pool that is killed is
taken for alive until what it said last is not fresh any more.
"""

from __future__ import annotations

from datetime import timedelta

from pymongo import DESCENDING

from ..backlog import AlivePool
from .cards import PoolCard, pool_of, said_by
from .connection import Connection

#: The collection is that of the jobs with this behind its name.
SUFFIX = ".pools"
#: What pools said that were killed is kept for so long, for those who ask what became of them.
KEPT = timedelta(days=1)
#: Pools that are shown at most, those that spoke last first: where all are killed a day brings many dead ones.
MOST_SHOWN = 2000


class Presence:
    """The pools' own words. Threads: any; no state of its own.

    Lost replies: every statement may be repeated and then changes nothing more.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._pools = connection.beside(SUFFIX)

    def announce(self, card: PoolCard, fresh_for: float) -> None:
        """Say that a pool lives, which holds good for `fresh_for` seconds.

        With its first word it forgets what others said that died long ago:
        where pools are always killed, none comes to `withdraw`.
        """
        with self._connection.call("announce", what="saying that a pool lives"):
            now = self._connection.clock.now()
            said = {**said_by(card), "seen_at": now, "fresh_until": now + timedelta(seconds=fresh_for)}
            update = {"$set": said, "$setOnInsert": {"since": now}}
            if self._pools.update_one({"_id": card.id}, update, upsert=True).upserted_id is not None:
                self._pools.delete_many({"fresh_until": {"$lt": now - KEPT}})

    def withdraw(self, card: PoolCard, *, timeout: float) -> None:
        """Say that a pool has ended."""
        with self._connection.call("announce", what="saying that a pool has ended", timeout=timeout):
            self._pools.delete_one({"_id": card.id})

    async def alive(self) -> tuple[AlivePool, ...]:
        """Return the pools that said lately that they live; to be called within a call of the connection."""
        now = await self._connection.now()
        cursor = self._pools.find({"fresh_until": {"$gte": now}})
        return tuple(pool_of(said, now) for said in await self._connection.driver.call(cursor.to_list))

    async def all(self) -> tuple[AlivePool, ...]:
        """Return them, and those that died without a word within a day or so, who spoke last first.

        At most `MOST_SHOWN`; to be called within a call of the connection.
        """
        now = await self._connection.now()
        cursor = self._pools.find().sort("fresh_until", DESCENDING).limit(MOST_SHOWN)
        return tuple(pool_of(said, now) for said in await self._connection.driver.call(cursor.to_list))

    async def pools(self, *, dead: bool) -> tuple[AlivePool, ...]:
        """Return the pools alive, and dead ones that are remembered if asked for; nothing is created.

        Raises:
            StoreUnavailable: Nothing is known.
        """
        with self._connection.call("find", what="reading which pools there are"):
            return await (self.all() if dead else self.alive())


__all__ = ["KEPT", "SUFFIX", "PoolCard", "Presence"]
