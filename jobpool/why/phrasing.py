"""Names, pools and numbers as sentences have them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from itertools import islice
from typing import Any

from ..backlog import AlivePool
from ..names import LISTED, shown
from ..phrases import duration, moment, silence
from .situation import Holding, Situation

#: The default id of a job, and how much of it a sentence has.
_HASH = re.compile(r"v1:[0-9a-f]{64}")
BEGINNING = len("v1:") + 12
#: Of a list in facts.
MOST = 10


def brief(text: str, most: int) -> str:
    """Return a foreign text in one line, cut, what cannot be printed escaped."""
    line = " ".join(text.split())
    line = "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in line)
    return line if len(line) <= most else f"{line[: most - 3]}..."


def names(some: Collection[str], most: int = 3) -> str:
    """Return some names, and how many others there are."""
    first = ", ".join(shown(name, LISTED) for name in islice(some, most))
    return first if len(some) <= most else f"{first} and {len(some) - most:,} more"


def of_job(id: str) -> str:
    """Return an id; of one that is a hash the beginning, by which commands find it. Facts have it whole."""
    return shown(f"{id[:BEGINNING]}...") if _HASH.fullmatch(id) else shown(id, LISTED)


def past(situation: Situation, name: str) -> str:
    """Return ``2h 5m ago (2026-11-27 12:00:00Z)`` of an instant of the job; ``at some time`` if it has none."""
    instant = situation.instant(name)
    return "at some time" if instant is None else f"{duration(situation.since(instant))} ago ({moment(instant)})"


def place(pool: AlivePool) -> str:
    """Return a pool, and where it is, and for how long it is silent if it is."""
    at = f"pool {shown(pool.name, LISTED)} on {shown(pool.host, LISTED)[1:-1]}, process {pool.pid}"
    silent = _silent_for(pool)
    return at if silent is None else f"{at} ({silence(silent)})"


def _silent_for(pool: AlivePool) -> float | None:
    """Return for how many seconds a pool has not spoken that should have; None of all others."""
    return pool.heard_ago if pool.silent else None


def pool_facts(pools: Iterable[AlivePool]) -> list[dict[str, Any]]:
    """Return what facts tell of some pools."""
    return [
        {
            "id": pool.id,
            "name": pool.name,
            "host": pool.host,
            "pid": pool.pid,
            "state": pool.state,
            "version": pool.version,
            "threads": pool.threads,
            "types": sorted(pool.types)[:MOST],
            "seen_at": pool.seen_at,
            "alive": pool.alive,
            "silent_for": _silent_for(pool),
        }
        for pool in islice(pools, MOST)
    ]


def holder_facts(situation: Situation, holders: Sequence[Holding]) -> list[dict[str, Any]]:
    """Return what facts tell of jobs that are held, and of those who hold them."""
    by_id = {pool.id: pool for pool in situation.pools if pool.id is not None}
    return [
        {
            "id": one.id,
            "type": one.type,
            "key": one.key,
            "state": one.state,
            "pool": one.pool,
            "pool_id": one.pool_id,
            "host": by_id[one.pool_id].host if one.pool_id in by_id else None,
            "pid": by_id[one.pool_id].pid if one.pool_id in by_id else None,
            "started_at": one.started_at,
            "lease_until": one.lease_until,
        }
        for one in holders[:MOST]
    ]
