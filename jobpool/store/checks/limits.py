"""The limits and their gates: do pools agree, and is a gate left shut or over?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta

from ...backlog import TypeLimits
from ...checkup import Finding
from ...names import listed, shown
from ...phrases import moment
from ..documents import Document
from ..gates import KEPT, LOCKED, SUFFIX
from .check import GRACE, NAMED, Check, Look, few, many, ok, problem, warning
from .words import living

_GATES = "find on .gates (jobpoolFlow)"
#: Gates that are looked at: one for each key in use.
MOST_GATES = 10_000


async def differ(look: Look) -> Sequence[Finding]:
    """Do pools heed different limits for a type?"""
    said: dict[str, dict[TypeLimits | None, list[str]]] = defaultdict(lambda: defaultdict(list))
    for pool in await living(look):
        if pool.version is None:  # of a version that says nothing of limits
            continue
        for type in {pool.owner(name) for name in pool.types}:
            said[type][pool.limits.get(type)].append(pool.name)
    found = [
        warning(
            f"pools heed {len(kinds)} different limits for type {shown(type)}: "
            + "; ".join(f"{_of(limits)} ({listed(sorted(set(names)))})" for limits, names in kinds.items()),
            "let all of them have the same executor; each obeys its own meanwhile, and none gets more than that",
            type=type,
            limits=[None if limits is None else _of(limits) for limits in kinds],
        )
        for type, kinds in sorted(said.items())
        if len(kinds) > 1
    ]
    return few(found, "type") or [ok("the pools that live agree on the limits of types")]


async def locks(look: Look) -> Sequence[Finding]:
    """Is a gate shut for longer than a claim takes?"""
    late = look.now + timedelta(seconds=LOCKED + GRACE)
    shut = [gate for gate in await _gates(look) if _instant(gate, "locked_until", look.now) > late]
    if shut:
        last = max(gate["locked_until"] for gate in shut)
        return [
            problem(
                f"{many(len(shut), 'gate')} locked until {moment(last)}, which no claim does, such as that "
                f"of {_named(shut[0])}: none of these jobs is claimed before. MongoDB's clock was set back",
                f"delete them from {shown(look.jobs.name + SUFFIX)}: a gate that is not there is open",
                count=len(shut),
                gates=[gate["_id"] for gate in shut[:NAMED]],
                until=last,
            )
        ]
    return [ok(f"none of {many(len(await _gates(look)), 'gate')} is locked for longer than a claim takes")]


async def gates(look: Look) -> Sequence[Finding]:
    """Are gates left over which nobody needs and nobody forgets?"""
    before = look.now - KEPT
    left = [
        gate
        for gate in await _gates(look)
        if not _is_gate(gate)
        or (_instant(gate, "forget_at", look.now) < before and _instant(gate, "locked_until", before) <= before)
    ]
    if left:
        return [
            warning(
                f"{many(len(left), 'gate')} not used for more than two days and not forgotten, such as that of "
                f"{_named(left[0])}: no pool with limits is there to do so",
                f"they cost but room; delete them from {shown(look.jobs.name + SUFFIX)} if their types are gone",
                count=len(left),
                gates=[gate["_id"] for gate in left[:NAMED]],
            )
        ]
    return [ok(f"{many(len(await _gates(look)), 'gate')}, and each is in use or forgotten within days")]


async def _gates(look: Look) -> list[Document]:
    return await look.beside(SUFFIX, MOST_GATES)


def _is_gate(gate: Document) -> bool:
    name = gate["_id"]
    return (
        isinstance(name, dict)
        and isinstance(name.get("type"), str)
        and isinstance(gate.get("locked_until"), datetime)
    )


def _named(gate: Document) -> str:
    name = gate["_id"]
    if not isinstance(name, dict):
        return shown(name)
    of_key = "" if name.get("key") is None else f" and key {shown(name['key'], 60)}"
    return f"type {shown(name.get('type'), 60)}{of_key}"


def _instant(gate: Document, field: str, otherwise: datetime) -> datetime:
    at = gate.get(field)
    return at if isinstance(at, datetime) else otherwise


def _of(limits: TypeLimits | None) -> str:
    """Return what a pool heeds, in words."""
    if limits is None:
        return "none"
    parts = []
    for what, limit in (("", limits.limit), (" per key", limits.key_limit)):
        if limit is not None and limit.running is not None:
            parts.append(f"running={limit.running}{what}")
        if limit is not None and limit.rate is not None:
            parts.append(f"rate={limit.rate:g} per {limit.per:g} s, burst={limit.tokens}{what}")
    return ", ".join(parts) or "keys only"


CHECKS = (
    Check("limits.differ", differ, "find on .pools (jobpoolMonitor)"),
    Check("limits.locks", locks, _GATES),
    Check("limits.gates", gates, _GATES),
)
