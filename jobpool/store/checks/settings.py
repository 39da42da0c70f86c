"""What holds for all pools: does a pause hold what it is meant to, and can the settings be read?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...checkup import Finding
from ...job import State
from ...names import shown
from ...phrases import moment
from ..documents import Document
from ..indexes import FAILED_INDEX, WAITING_INDEX
from ..settings import PAUSE, SUFFIX
from .check import NAMED, Check, Look, few, many, ok, warning
from .words import living, needed, paused, pending_types

_SETTINGS = "find on .settings (jobpoolMonitor)"
#: The documents that this version knows.
KNOWN = frozenset((PAUSE["_id"], "schema"))


async def pauses(look: Look) -> Sequence[Finding]:
    """Is a type paused that nobody knows?"""
    held = await paused(look)
    known = {name for pool in await living(look) for name in (*pool.types, *pool.aliases)}
    known |= {*look.executors, *(await pending_types(look) if held.types else [])}
    odd = sorted([type for type in held.types if type not in known and not await _has_jobs(look, type)])
    found = [
        warning(
            f"type {shown(type)} is paused since {moment(held.types[type].since)}, and no living pool runs it, "
            "nor is a job of it pending, waiting or failed: was another one meant?",
            f"jobpool resume {shown(type)}",
            type=type,
            since=held.types[type].since,
            reason=held.types[type].reason,
        )
        for type in odd
    ]
    return few(found, "type") or [ok(_said(len(held.types), everything=held.everything is not None))]


async def _has_jobs(look: Look, type: str) -> bool:
    """Say whether jobs of a type wait or failed; that some are pending is known without a look."""
    for state, index in ((State.WAITING, WAITING_INDEX), (State.FAILED, FAILED_INDEX)):
        await needed(look, index)
        if await look.find({"state": state.value, "type": type}, hint=index, limit=1):
            return True
    return False


def _said(types: int, *, everything: bool) -> str:
    if everything:
        return "everything is paused"
    return f"{many(types, 'paused type')}, and all are known" if types else "nothing is paused"


async def documents(look: Look) -> Sequence[Finding]:
    """Is everything in the settings known here, and readable?"""
    stored = await look.beside(SUFFIX)
    odd = [item["_id"] for item in stored if item["_id"] not in KNOWN]
    found = (
        [
            warning(
                f"{shown(look.jobs.name + SUFFIX)} has documents that are not known here, such as {shown(odd[0])}",
                "a newer jobpool wrote them: upgrade here; or somebody else did: delete them",
                ids=[str(id) for id in odd[:NAMED]],
            )
        ]
        if odd
        else []
    )
    broken = [item["_id"] for item in stored if item["_id"] == PAUSE["_id"] and not _readable(item)]
    found += (
        [
            warning(
                "what is paused was written by somebody else, and is not heeded in full",
                "jobpool resume --all, and pause again what has to be",
                ids=broken,
            )
        ]
        if broken
        else []
    )
    return found or [ok(f"{many(len(stored), 'document')} of settings, and all are known")]


def _readable(item: Document) -> bool:
    everything, types = item.get("all"), item.get("types", [])
    if not isinstance(types, list) or not (everything is None or isinstance(everything, Mapping)):
        return False
    return all(isinstance(one, Mapping) and isinstance(one.get("type"), str) for one in types)


CHECKS = (
    Check("settings.pauses", pauses, _SETTINGS),
    Check("settings.documents", documents, _SETTINGS),
)
