"""What pools said of themselves, and what else the checks of pools, limits and schedules share."""

from __future__ import annotations

from ...backlog import AlivePool
from ...names import shown
from ...pauses import Paused
from ..cards import pool_of
from ..documents import Document
from ..indexes import CLAIM_INDEX
from ..presence import SUFFIX as POOLS
from ..settings import PAUSE, paused_of
from ..settings import SUFFIX as SETTINGS
from .check import Look, Skip

#: Types that are looked at one by one.
MOST_TYPES = 1000


async def pools_known(look: Look) -> list[AlivePool]:
    """Return the pools that live, and those that died and are remembered."""
    return [pool_of(said, look.now) for said in await look.beside(POOLS)]


async def living(look: Look) -> list[AlivePool]:
    """Return the pools that live."""
    return [pool for pool in await pools_known(look) if pool.alive]


async def run_somewhere(look: Look) -> frozenset[str]:
    """Return the types that a living pool claims, by all their names."""
    pools = [pool for pool in await living(look) if pool.claims]
    return frozenset(name for pool in pools for name in (*pool.types, *pool.aliases))


def place_of(pool: AlivePool) -> str:
    """Return how a pool is named in a text."""
    return f"{shown(pool.name)[1:-1]} (pid {pool.pid} on {shown(pool.host)[1:-1]})"


async def paused(look: Look) -> Paused:
    """Return what is paused."""
    documents = await look.beside(SETTINGS)
    return paused_of(next((found for found in documents if found.get("_id") == PAUSE["_id"]), None))


async def pending_types(look: Look) -> list[str]:
    """Return the types of which jobs are pending: one key for each, by the claim index."""
    await needed(look, CLAIM_INDEX)

    async def ask() -> list[str]:
        pipeline: list[Document] = [{"$match": {"state": "pending"}}, {"$group": {"_id": "$type"}}]
        found = await look.aggregated([*pipeline, {"$limit": MOST_TYPES}], CLAIM_INDEX)
        return sorted(item["_id"] for item in found if isinstance(item["_id"], str))

    return await look.once("pending types", ask)


async def present(look: Look) -> dict[str, Document]:
    """Return the indexes by name, as the server lists them; those being built have a ``buildUUID``."""

    async def ask() -> dict[str, Document]:
        call, database, name = look.connection.driver.call, look.jobs.database, look.jobs.name
        answer = await call(database.command, "listIndexes", name, includeBuildUUIDs=True)
        found: dict[str, Document] = {}
        for item in answer["cursor"]["firstBatch"]:
            spec = item.get("spec", item)
            found[spec["name"]] = {**spec, **({"buildUUID": item["buildUUID"]} if "buildUUID" in item else {})}
        return found

    return await look.once("indexes", ask)


async def needed(look: Look, *names: str) -> None:
    """Raise `Skip` if an index is not there: what has to go by it would read everything."""
    there = await present(look)
    for name in names:
        if name not in there or "buildUUID" in there[name] or there[name].get("hidden"):
            raise Skip(f"it goes by the index {name}, which cannot be used", "see indexes.required")
