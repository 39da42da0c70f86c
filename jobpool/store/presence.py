"""Which pools there are: each says now and then that it lives, in the collection beside the jobs.

Nothing depends on it: it is for those who look. A pool that is killed is
taken for alive until what it said last is not fresh any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from ..backlog import AlivePool, Rate
from .connection import Connection
from .documents import Document

#: The collection is that of the jobs with this behind its name.
SUFFIX = ".pools"
#: What pools said that were killed is kept for so long, for those who ask what became of them.
KEPT = timedelta(days=1)
#: A rate, or a run time in seconds, above this is nonsense, and the sums of such have no end.
MOST = 1e12


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
        rates: By type, how fast it runs them.
    """

    id: str
    name: str
    host: str
    pid: int
    types: tuple[str, ...]
    threads: int
    rates: Mapping[str, Rate] = field(default_factory=dict, repr=False)


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
            said = {
                "name": card.name,
                "host": card.host,
                "pid": card.pid,
                "types": list(card.types),
                "threads": card.threads,
                # Not by type as keys: a type may hold dots and dollars.
                "rates": [
                    {"type": type, "per_second": rate.per_second, "run_seconds": rate.run_seconds}
                    for type, rate in card.rates.items()
                ],
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

    async def alive(self) -> tuple[AlivePool, ...]:
        """Return the pools that said lately that they live; to be called within a call of the connection."""
        call = self._connection.driver.call
        cursor = self._pools.find({"fresh_until": {"$gte": await self._connection.now()}})
        return tuple(map(_alive, await call(cursor.to_list)))


def _alive(said: Document) -> AlivePool:
    """Return the pool that a document tells of; older ones know less of themselves, and others may write there."""
    types, rates = said.get("types"), said.get("rates")
    return AlivePool(
        name=str(said.get("name", "")),
        host=str(said.get("host", "")),
        pid=_whole(said.get("pid"), 0),
        types=frozenset(type for type in types if isinstance(type, str))
        if isinstance(types, list)
        else frozenset(),
        threads=_whole(said.get("threads"), 1),
        rates=dict(filter(None, map(_rate, rates))) if isinstance(rates, list) else {},
    )


def _rate(said: object) -> tuple[str, Rate] | None:
    if not isinstance(said, dict) or not isinstance(type := said.get("type"), str):
        return None
    per_second, run_seconds = _seconds(said.get("per_second")), _seconds(said.get("run_seconds"))
    return None if per_second is None or run_seconds is None else (type, Rate(per_second, run_seconds))


def _whole(value: object, least: int) -> int:
    return max(value, least) if isinstance(value, int) else least


def _seconds(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and 0 <= value <= MOST else None  # false for NaN
