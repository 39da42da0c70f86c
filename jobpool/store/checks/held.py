"""The jobs that pools hold, and the due ones that nobody takes: does anything stick?"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from ...checkup import Finding
from ...job import State
from ...names import listed, shown
from ...phrases import duration
from ..documents import Document, holder_of
from ..indexes import CLAIM_INDEX, LEASE_INDEX
from .check import GRACE, NAMED, Check, Look, few, many, ok, problem, warning
from .words import living, needed, paused, pending_types, place_of, pools_known, run_somewhere

#: Held jobs that are looked at: as many as a fleet of a hundred pools holds.
MOST_HELD = 10_000
#: Seconds that a job which was asked to end may go on before it counts: it may have to clean up.
ASKED_LONG_AGO = 300.0
#: Due jobs of one type that are counted.
MOST_DUE = 100_000
_POOLS = "find on .pools and .settings (jobpoolMonitor)"
_FIELDS = (
    *("type", "state", "pool", "claim", "lease_until", "cancel_requested_at", "started_at", "attempts"),
    "stuck.attempt",
)


async def leases(look: Look) -> Sequence[Finding]:
    """Have leases been over for long, and nobody took the jobs back?"""
    await needed(look, LEASE_INDEX)
    alive = await living(look)
    # A pool reaps twice per lease; the one with the shortest does it for all.
    patience = max(GRACE, min((pool.lease for pool in alive if pool.lease), default=0.0))
    before = look.now - timedelta(seconds=patience)
    over = await look.find({"lease_until": {"$lt": before}}, _FIELDS, hint=LEASE_INDEX, limit=MOST_HELD)
    if not over:
        return [ok("no lease has been over for long")]
    first = min(job["lease_until"] for job in over)
    text = f"{_many(over)} held by leases that are over for up to {_since(first, look.now)}"
    facts = {"count": len(over), "jobs": _ids(over), "since": first}
    if not alive:
        return [problem(f"{text}, and no pool is alive to take them back", "start a pool of any type", **facts)]
    return [
        problem(
            f"{text}, though {many(len(alive), 'pool')} should take such jobs back",
            "look at the logs of the pools for what MongoDB refuses them; see documents.shape",
            **facts,
        )
    ]


async def due(look: Look) -> Sequence[Finding]:
    """Are jobs due whose type no living pool runs?"""
    types, run, held_back = await pending_types(look), await run_somewhere(look), await paused(look)
    alive = await living(look)
    before = look.now - timedelta(seconds=GRACE)
    found: list[Finding] = []
    for type in (type for type in types if type not in run and type not in held_back):
        old: Document = {"state": State.PENDING.value, "type": type, "run_at": {"$lt": before}}
        call = look.connection.driver.call
        count = await call(look.jobs.count_documents, old, hint=CLAIM_INDEX, limit=MOST_DUE)
        if count:
            due = many(count, "job", or_more=count == MOST_DUE)
            if not alive:
                text = f"{due} of type {shown(type)} due, and no pool is alive"
            else:
                text = f"{due} of type {shown(type)} due, and no living pool runs it ({many(len(alive), 'pool')})"
            remedy = "start a pool that has an executor for it; if it was renamed, name the old one in aliases="
            found.append(problem(text, remedy, type=type, count=count))
    found.sort(key=lambda finding: -finding.facts["count"])
    return few(found, "type") or [
        ok(f"for each of {many(len(types), 'pending type')} there is a pool, a pause, or nothing due")
    ]


async def cancels(look: Look) -> Sequence[Finding]:
    """Were jobs asked to end long ago, and still run?"""
    before = look.now - timedelta(seconds=ASKED_LONG_AGO)
    asked = [
        job
        for job in await _held(look)
        if isinstance(at := job.get("cancel_requested_at"), datetime) and at < before
    ]
    if not asked:
        return [ok("no running job was asked to end long ago")]
    first = min(job["cancel_requested_at"] for job in asked)
    return [
        warning(
            f"{_many(asked)} cancelled up to {_since(first, look.now)} ago still running",
            "their executors do not call current_job().check(); give them a timeout=, or restart their pool",
            count=len(asked),
            jobs=_ids(asked),
            pools=sorted({str(job.get("pool")) for job in asked}),
        )
    ]


async def stuck(look: Look) -> Sequence[Finding]:
    """Do jobs run that a pool has found stuck?"""
    found = [
        job
        for job in await _held(look)
        if job["state"] == State.RUNNING.value
        and (job.get("stuck") or {}).get("attempt") == job.get("attempts", 0)
    ]
    if not found:
        return [ok("no running job is known to be stuck")]
    types = sorted({str(job.get("type")) for job in found})
    return [
        warning(
            f"{_many(found)} of {listed(types)} running for longer than their pools were told is usual",
            "job.stuck.stack says where they are (jobpool show ID)",
            count=len(found),
            jobs=_ids(found),
            types=types,
        )
    ]


async def orphans(look: Look) -> Sequence[Finding]:
    """Do pools hold jobs that are not alive any more, and whose leases last for long?"""
    known = {pool.id: pool for pool in await pools_known(look)}
    held: dict[str, list[Document]] = {}
    for job in await _held(look):
        pool = known.get(holder_of(job.get("claim")))
        later = job["lease_until"] > look.now + timedelta(seconds=GRACE)
        if pool is not None and not pool.alive and later:
            held.setdefault(str(pool.id), []).append(job)
    found = []
    for id, jobs in held.items():
        last = max(job["lease_until"] for job in jobs)
        found.append(
            warning(
                f"pool {place_of(known[id])} is gone, and holds {_many(jobs)} for {_since(look.now, last)}",
                "nothing: other pools take them back then; a shorter lease= brings them back sooner",
                pool=id,
                count=len(jobs),
                jobs=_ids(jobs),
                until=last,
            )
        )
    return few(found, "pool") or [ok("no pool that is gone holds jobs for long")]


async def _held(look: Look) -> list[Document]:
    await needed(look, LEASE_INDEX)
    held: Document = {
        "lease_until": {"$type": "date"},
        "state": {"$in": [State.CLAIMED.value, State.RUNNING.value]},
    }
    return await look.once("held", lambda: look.find(held, _FIELDS, hint=LEASE_INDEX, limit=MOST_HELD))


def _many(jobs: Sequence[Document]) -> str:
    return many(len(jobs), "job", or_more=len(jobs) == MOST_HELD)


def _ids(jobs: Sequence[Document]) -> list[object]:
    return [job["_id"] for job in jobs[:NAMED]]


def _since(at: datetime, now: datetime) -> str:
    return duration(max(0.0, (now - at).total_seconds()))


CHECKS = (
    Check("jobs.leases", leases, _POOLS),
    Check("jobs.due", due, _POOLS),
    Check("jobs.cancels", cancels),
    Check("jobs.stuck", stuck),
    Check("jobs.orphans", orphans, _POOLS),
)
