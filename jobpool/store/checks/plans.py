"""How the server does what pools ask again and again: by the index, and reading in proportion to what it finds.

What is explained are the reads of the code itself. An explained read is made, as a pool makes it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

from ...checkup import Finding
from ..claiming.claimed import MAX_TYPES, candidate_cursor
from ..claiming.keys import PAGE, heads
from ..documents import Document
from ..firing import upcoming
from ..indexes import (
    CLAIM_INDEX,
    FOLLOWED_INDEX,
    KEY_INDEX,
    LEASE_INDEX,
    RESULT_INDEX,
    WAITING_INDEX,
    drop_advice,
)
from ..linking import PATIENCE, left_links
from ..purging import old_results
from ..reaping import expired
from ..resolving import ended_and_followed
from ..schedules import SUFFIX as SCHEDULES
from .check import Check, Look, Skip, ok, problem, warning
from .words import living, needed, pending_types

#: Jobs of one claim, as a pool of 16 threads asks for at the most.
CLAIMED = 500
#: Jobs that waiting ones are looked for at a time.
ROUND = 1000
#: Keys that a read may look at for each document it returns, and for each of its types, beside `FREE`.
PER_DOCUMENT, PER_TYPE, FREE = 3, 50, 1000
#: Schedules that are read through without the index, and nobody notices.
FEW_SCHEDULES = 1000

Read = Callable[[Look], Awaitable[tuple[Any, int]]]


async def _claim(look: Look) -> tuple[Any, int]:
    """Return the look for due jobs of the types that have any, and how many types these are."""
    types = tuple((await pending_types(look))[:MAX_TYPES])
    if not types:
        raise _Nothing("no job is pending, so there is nothing to claim")
    await look.connection.now()  # so that the filter, which must not wait, knows it
    return candidate_cursor(look.connection, types, CLAIMED), len(types)


async def _keys(look: Look) -> tuple[Any, int]:
    """Return the look for the keys of a type, and how many types that is."""
    limited = {type for pool in await living(look) for type in pool.limits}
    types = [type for type in await pending_types(look) if type in limited or look.executors.gate(type)]
    if not types:
        raise _Nothing("no job of a type with keys or limits is pending")
    await needed(look, KEY_INDEX)
    await look.connection.now()
    pipeline = heads(look.connection, types[0], {"$gte": ""}, PAGE)
    return {"aggregate": look.jobs.name, "pipeline": pipeline, "hint": KEY_INDEX, "cursor": {}}, 1


async def _reap(look: Look) -> tuple[Any, int]:
    return expired(look.jobs), 1


async def _results(look: Look) -> tuple[Any, int]:
    return old_results(look.jobs), 1


async def _ended(look: Look) -> tuple[Any, int]:
    return ended_and_followed(look.jobs, ROUND), 3


async def _links(look: Look) -> tuple[Any, int]:
    return left_links(look.jobs, look.now - timedelta(seconds=PATIENCE)), 1


async def _by_index(what: str, index: str, read: Read, look: Look) -> Sequence[Finding]:
    """Is this read made by this index, and in proportion?"""
    if index != KEY_INDEX:  # which is made when it is first needed
        await needed(look, index)
    try:
        cursor, types = await read(look)
    except _Nothing as nothing:
        return [ok(str(nothing))]
    plan = await _explained(look, cursor)
    if plan["scans"] or plan["sorts"] or plan["indexes"] != [index]:
        how = (
            "reads the whole collection"
            if plan["scans"]
            else "sorts"
            if plan["sorts"]
            else "goes by another index"
        )
        remedy = f"see indexes.required; it has to go by {index}"
        if plan["multikey"]:  # for good, whatever becomes of the job
            remedy = (
                f"a job had a list in place of a value that {index} goes by: see documents; when it is mended or "
                f"deleted, {drop_advice(look.jobs, index)}"
            )
        return [problem(f"{what} {how}", remedy, **plan)]
    looked, returned = max(plan["keys"], plan["documents"]), plan["returned"]
    if looked > FREE + returned * PER_DOCUMENT + types * PER_TYPE:
        return [
            warning(
                f"{what} looks at {looked:,} keys to find {returned:,}: each look costs the server that much",
                "use few different priorities, and few jobs that are due at a far later time with each"
                if index in (CLAIM_INDEX, KEY_INDEX)
                else "if this is so again later, see jobs.leases and waiting.told",
                **plan,
            )
        ]
    return [ok(f"{what} goes by {index}: {looked:,} keys for {returned:,} found", **plan)]


async def schedules(look: Look) -> Sequence[Finding]:
    """Is the look for due schedules made by its index?"""
    plan = await _explained(look, upcoming(look.connection.beside(SCHEDULES), 100))
    if (plan["scans"] or plan["sorts"]) and plan["documents"] > FEW_SCHEDULES:
        return [
            warning(
                f"each look for due schedules reads all {plan['documents']:,} of them",
                "let one who may create indexes store a schedule: that makes the index",
                **plan,
            )
        ]
    return [ok(f"the look for due schedules reads {max(plan['keys'], plan['documents']):,}", **plan)]


class _Nothing(Exception):
    """There is nothing to explain."""


async def _explained(look: Look, cursor: Any) -> dict[str, Any]:
    """Explain a cursor, or a command that is no `find`."""
    call = look.connection.driver.call
    if isinstance(cursor, dict):
        run: Any = look.jobs.database.command
        answer = await call(run, "explain", cursor, verbosity="executionStats")
        answer = answer["stages"][0]["$cursor"] if "stages" in answer else answer
    else:
        answer = await call(cursor.explain)
    planner, stats = answer.get("queryPlanner", {}), answer.get("executionStats")
    if stats is None or "winningPlan" not in planner:
        raise Skip("this server explains its plans in another way")
    stages = list(_stages(planner["winningPlan"]))
    return {
        "stages": [stage["stage"] for stage in stages],
        "indexes": sorted({stage["indexName"] for stage in stages if "indexName" in stage}),
        "scans": any(stage["stage"] == "COLLSCAN" for stage in stages),
        "sorts": any(stage["stage"] == "SORT" for stage in stages),
        "multikey": any(stage.get("isMultiKey", False) for stage in stages),
        "keys": stats["totalKeysExamined"],
        "documents": stats["totalDocsExamined"],
        "returned": stats["nReturned"],
    }


def _stages(plan: Document) -> Iterator[Document]:
    """Yield the stages of a plan, also where the server's newer engine wraps it."""
    inner = plan.get("queryPlan", plan)
    if "stage" in inner:
        yield inner
    for below in (inner.get("inputStage"), *inner.get("inputStages", [])):
        if below:
            yield from _stages(below)


def _check(name: str, what: str, index: str, read: Read) -> Check:
    question = f"Is {what} made by {index}, and in proportion to what it finds?"
    return Check(f"plans.{name}", partial(_by_index, what, index, read), question=question)


CHECKS = (
    _check("claim", "the look for due jobs", CLAIM_INDEX, _claim),
    _check("keys", "the look for keys with due jobs", KEY_INDEX, _keys),
    _check("reap", "the look for expired leases", LEASE_INDEX, _reap),
    _check("results", "the look for old results", RESULT_INDEX, _results),
    _check("ended", "the look for ended jobs that others wait for", FOLLOWED_INDEX, _ended),
    _check("links", "the look for jobs that are being linked", WAITING_INDEX, _links),
    Check("plans.schedules", schedules, "find on .schedules (jobpoolFlow, jobpoolPlanner)"),
)
