"""The jobs that wait for others: does anything wait for what is over, gone, or for itself?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from ...checkup import Finding
from ...job import FINAL, State
from ...names import listed, shown
from ..documents import Document
from ..followers import chunks, ids_waited_for
from ..indexes import FOLLOWED_INDEX, WAITING_INDEX, WAITS_INDEX
from .check import GRACE, NAMED, Check, Look, many, ok, problem, warning
from .words import living, needed

#: Waiting jobs that are looked at, and jobs that they wait for.
MOST_WAITING, MOST_WAITED_FOR = 5_000, 20_000
#: Of the ids that one waits for, which may be a megabyte of them, so many are looked at.
FIRST_IDS = 100
#: Ended jobs that others may wait for.
MOST_ENDED = 1_000
#: Ids of one read.
IDS = 1_000
#: Pools look for what is gone every few minutes.
SWEPT_EVERY = 600.0


async def told(look: Look) -> Sequence[Finding]:
    """Have jobs ended long ago, and those who wait for them were not told?"""
    await needed(look, FOLLOWED_INDEX, WAITS_INDEX)
    before = look.now - timedelta(seconds=GRACE)
    ended: Document = {
        "state": {"$in": sorted(FINAL)},
        "followed": {"$exists": True},
        "finished_at": {"$lt": before},
    }
    over = [job["_id"] for job in await look.find(ended, hint=FOLLOWED_INDEX, limit=MOST_ENDED)]
    # Who was created a moment ago to wait for what has long ended is told in a moment.
    waits: Document = {
        "state": State.WAITING.value,
        "waits_for": {"$in": over},
        "created_at": {"$lt": before},
    }
    untold = await look.find(waits, hint=WAITS_INDEX, limit=MOST_WAITING) if over else []
    if not untold:
        return [ok("nobody waits for a job that ended long ago")]
    return [
        problem(
            f"{many(len(untold), 'job')} waiting for others that ended more than {GRACE:.0f} s ago, such as "
            f"{shown(untold[0]['_id'])}: nobody told them",
            await _who_tells(look),
            count=len(untold),
            jobs=_ids(untold),
            ended=over[:NAMED],
        )
    ]


async def gone(look: Look) -> Sequence[Finding]:
    """Do jobs wait for others that do not exist any more?"""
    waiting, whole = await _waiting(look)
    old = look.now - timedelta(seconds=SWEPT_EVERY)
    ripe = [job for job in waiting if not isinstance(at := job["created_at"], datetime) or at < old]
    wanted = list(dict.fromkeys(id for job in ripe for id in job["for"]))
    missing: list[str] = []
    for some in chunks(wanted[:MOST_WAITED_FOR], IDS):
        there = {job["_id"] for job in await look.find({"_id": {"$in": some}}, limit=IDS)}
        missing += [id for id in some if id not in there]
    facts: dict[str, Any] = {"read": len(waiting), "whole": whole and len(wanted) <= MOST_WAITED_FOR}
    jobs = await _still_waiting(look, [job for job in waiting if not set(missing).isdisjoint(job["for"])], missing)
    if not jobs:
        return [ok("no job waits for one that is gone", **facts)]
    text = (
        f"{many(len(jobs), 'job')} waiting for others that do not exist, such as {shown(jobs[0]['_id'])} for "
        f"{listed(missing)}"
    )
    facts |= {"count": len(jobs), "jobs": _ids(jobs), "missing": missing[:NAMED]}
    if await living(look):  # MongoDB deletes jobs whose time is over, perhaps a moment ago
        remedy = f"pools find this within some five minutes; if it is so again then, {await _who_tells(look)}"
        return [warning(text, remedy, **facts)]
    return [problem(text, await _who_tells(look), **facts)]


async def _still_waiting(look: Look, jobs: Sequence[Document], missing: Sequence[str]) -> list[Document]:
    """Return those that still wait: others were told since they were read, and what they waited for deleted."""
    found: list[Document] = []
    for some in chunks([job["_id"] for job in jobs], IDS):
        here: Document = {"_id": {"$in": some}, "state": State.WAITING.value, "waits_for": {"$in": missing}}
        found += await look.find(here, limit=IDS)
    return found


async def linking(look: Look) -> Sequence[Finding]:
    """Are jobs waiting whose creator died before they were joined with what they wait for?"""
    await needed(look, WAITING_INDEX)
    old: Document = {"state": State.WAITING.value, "linking": {"$lt": look.now - timedelta(seconds=GRACE)}}
    left = await look.find(old, hint=WAITING_INDEX, limit=MOST_WAITING)
    if not left:
        return [ok("no waiting job was left by its creator")]
    return [
        problem(
            f"{many(len(left), 'job')} waiting, such as {shown(left[0]['_id'])}, never joined with those that "
            "they wait for: their creator died",
            await _who_tells(look),
            count=len(left),
            jobs=_ids(left),
        )
    ]


async def circles(look: Look) -> Sequence[Finding]:
    """Do jobs wait for each other?"""
    waiting, whole = await _waiting(look)
    found = circle_in({job["_id"]: job["for"] for job in waiting})
    facts = {"read": len(waiting), "whole": whole}
    if found:
        text = " -> ".join(
            shown(id, 40) for id in (*found[:NAMED], *(["..."] if len(found) > NAMED else [found[0]]))
        )
        remedy = "cancel one of them (jobpool cancel ID), and create it anew without that wait"
        return [problem(f"jobs wait for each other, and none ever runs: {text}", remedy, jobs=found[:20], **facts)]
    return [ok(f"none of {many(len(waiting), 'waiting job')} waits for itself", **facts)]


def circle_in(graph: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the ids of a circle, each of which waits for the next; empty if there is none."""
    done: set[str] = set()
    for start in graph:
        path: dict[str, int] = {}
        stack = [(start, iter(graph[start]))] if start not in done else []
        if stack:
            path[start] = 0
        while stack:
            node, rest = stack[-1]
            following = next((id for id in rest if id in graph and id not in done), None)
            if following is None:
                stack.pop()
                del path[node]
                done.add(node)
            elif following in path:
                return list(path)[path[following] :]
            else:
                path[following] = len(path)
                stack.append((following, iter(graph[following])))
    return []


async def _waiting(look: Look) -> tuple[list[Document], bool]:
    """Return waiting jobs with the ids that they wait for, and whether these are all."""
    await needed(look, WAITING_INDEX)

    async def ask() -> list[Document]:
        fields = {"waits_for": {"$slice": FIRST_IDS}, "created_at": 1}
        cursor = look.jobs.find({"state": State.WAITING.value}, fields).hint(WAITING_INDEX).limit(MOST_WAITING)
        found = await look.read(cursor)
        return [
            {"_id": job["_id"], "created_at": job.get("created_at"), "for": ids_waited_for(job)} for job in found
        ]

    found = await look.once("waiting", ask)
    return found, len(found) < MOST_WAITING and all(len(job["for"]) < FIRST_IDS for job in found)


async def _who_tells(look: Look) -> str:
    if await living(look):
        return (
            "look at the logs of the pools for what MongoDB refuses them; jobs without success: jobpool cancel ID"
        )
    return "start a pool of any type: every pool does this within seconds"


def _ids(jobs: Sequence[Document]) -> list[object]:
    return [job["_id"] for job in jobs[:NAMED]]


_POOLS = "find on .pools (jobpoolMonitor)"
CHECKS = (
    Check("waiting.told", told, _POOLS),
    Check("waiting.gone", gone, _POOLS),
    Check("waiting.linking", linking, _POOLS),
    Check("waiting.circles", circles),
)
