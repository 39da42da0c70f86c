"""What holds for all pools: does a pause hold what it is meant to, and can the settings be read?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...checkup import Finding
from ...names import shown
from ..documents import Document
from ..settings import PAUSE, SUFFIX
from .check import NAMED, Check, Look, ok, warning
from .words import living, paused, pending_types

_SETTINGS = "find on .settings, as jobpoolMonitor has it"
#: The documents that this version knows.
KNOWN = frozenset((PAUSE["_id"], "schema"))


async def pauses(look: Look) -> Sequence[Finding]:
    """Is a type paused that nobody knows?"""
    held = await paused(look)
    known = {name for pool in await living(look) for name in (*pool.types, *pool.aliases)}
    known |= {*look.executors, *(await pending_types(look) if held.types else [])}
    odd = sorted(type for type in held.types if type not in known)
    return [
        warning(
            f"type {shown(type)} is paused since {held.types[type].since:%Y-%m-%d %H:%M:%SZ}, and there is "
            "neither a pending job nor a living pool of it: was another one meant?",
            f"jobpool resume {type}",
            type=type,
            since=held.types[type].since,
            reason=held.types[type].reason,
        )
        for type in odd[:NAMED]
    ] or [ok(_said(len(held.types), everything=held.everything is not None))]


def _said(types: int, *, everything: bool) -> str:
    if everything:
        return "everything is paused"
    return f"{types} types are paused, and all are known" if types else "nothing is paused"


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
    return found or [ok(f"{len(stored)} documents of settings, and all are known")]


def _readable(item: Document) -> bool:
    everything, types = item.get("all"), item.get("types", [])
    if not isinstance(types, list) or not (everything is None or isinstance(everything, Mapping)):
        return False
    return all(isinstance(one, Mapping) and isinstance(one.get("type"), str) for one in types)


CHECKS = (
    Check("settings.pauses", pauses, _SETTINGS),
    Check("settings.documents", documents, _SETTINGS),
)
