"""The pools: is there one, and what became of the others?"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from operator import itemgetter

from ...checkup import Finding
from ...job import State
from ...names import shown
from ...phrases import moment, silence
from ..cards import pool_of
from ..documents import Document
from ..indexes import CLAIM_INDEX
from ..presence import SUFFIX
from .check import GRACE, NAMED, Check, Look, few, many, ok, problem, warning
from .words import living, needed, place_of, pools_known

#: A pool that died longer ago is nobody's surprise any more.
DIED_LATELY = timedelta(hours=1)
#: Nobody who died counts as alive for so long.
IMPOSSIBLE = GRACE
_POOLS = "find on .pools (jobpoolMonitor)"


async def alive(look: Look) -> Sequence[Finding]:
    """Is there a pool while jobs are due?"""
    pools = await living(look)
    if pools:
        threads = sum(pool.threads for pool in pools)
        return [
            ok(
                f"alive: {many(len(pools), 'pool')} with {many(threads, 'thread')}",
                pools=len(pools),
                threads=threads,
            )
        ]
    await needed(look, CLAIM_INDEX)
    # A range of `type`, so that each type and priority costs one look.
    late: Document = {"state": State.PENDING.value, "type": {"$gte": ""}, "run_at": {"$lte": look.now}}
    if not await look.find(late, hint=CLAIM_INDEX, limit=1):
        return [ok("no pool is alive, and no job is due", pools=0)]
    last = max((at for pool in await pools_known(look) if (at := pool.seen_at)), default=None)
    seen = f"the last one was seen at {moment(last)}" if last else "none was seen within a day"
    return [
        problem(
            f"jobs are due, and no pool is alive; {seen}",
            "start one: jobpool worker MODULE:MANAGER, or start_watch() in your service",
            pools=0,
            last_seen_at=last,
        )
    ]


async def dead(look: Look) -> Sequence[Finding]:
    """Have pools died lately without a word?"""
    since = look.now - DIED_LATELY
    ends = [(at, pool) for pool in await pools_known(look) if not pool.alive and (at := pool.fresh_until)]
    died = [pool for at, pool in sorted(ends, key=itemgetter(0), reverse=True) if at > since]
    found = [
        warning(
            f"pool {place_of(pool)} was last heard at {moment(pool.seen_at)} and has not said that it ended: it "
            "was killed, or does not reach MongoDB",
            "look at its process and log. An hour after its death this is not told any more",
            pool=pool.id,
            seen_at=pool.seen_at,
        )
        for pool in died
    ]
    return few(found, "pool") or [ok("no pool has died within an hour")]


async def silent(look: Look) -> Sequence[Finding]:
    """Does a pool count as alive that should have spoken again?"""
    told = [
        warning(
            f"pool {place_of(pool)} is {silence(heard_ago)}, {_meaning(heard_ago)}",
            "if it is gone, delete its document in .pools"
            if heard_ago > IMPOSSIBLE
            else "look at its process and log; if it does not speak again, it counts as dead soon",
            pool=pool.id,
            seen_at=pool.seen_at,
            silent_for=heard_ago,
        )
        for pool in await living(look)
        if pool.silent and (heard_ago := pool.heard_ago) is not None
    ]
    return few(told, "pool") or [ok("every pool that lives has spoken when it should")]


def _meaning(heard_ago: float) -> str:
    if heard_ago > IMPOSSIBLE:
        return "and counts as alive all the same: MongoDB's clock was set, or it is another's document"
    return "and should have spoken since: it was killed or suspended, or does not reach MongoDB"


async def draining(look: Look) -> Sequence[Finding]:
    """Does any pool still claim?"""
    found = [pool for pool in await living(look) if not pool.claims]
    if found and len(found) == len(await living(look)):
        return [
            warning(
                f"every living pool drains ({len(found)} in all): nobody claims any more",
                "start another one, or see which jobs keep them (jobpool top)",
                pools=[pool.id for pool in found[:NAMED]],
            )
        ]
    return [ok("a pool claims, or there is none at all")]


async def words(look: Look) -> Sequence[Finding]:
    """Is everything in the pools' collection a pool's?"""
    odd = [said for said in await look.beside(SUFFIX) if not _is_word(look, said)]
    if odd:
        return [
            warning(
                f"{len(odd)} documents in {shown(look.jobs.name + SUFFIX)} are not those of pools, such as "
                f"{shown(odd[0].get('_id'))}",
                "somebody else wrote them: delete them",
                count=len(odd),
                ids=[str(said.get("_id")) for said in odd[:NAMED]],
            )
        ]
    return [ok("what is stored of pools can be read")]


def _is_word(look: Look, said: Document) -> bool:
    pool = pool_of(said, look.now)
    return bool(pool.id and isinstance(said.get("types"), list) and pool.seen_at and pool.fresh_until)


CHECKS = (
    Check("pools.alive", alive, _POOLS),
    Check("pools.dead", dead, _POOLS),
    Check("pools.silent", silent, _POOLS),
    Check("pools.draining", draining, _POOLS),
    Check("pools.words", words, _POOLS),
)
