"""Jobs of types that have limits or keys."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any

from ..backlog import AlivePool, TypeLimits
from ..capacity import widest
from ..limits import Limit
from ..names import LISTED, shown
from ..phrases import duration
from .answer import Reason
from .phrasing import holder_facts, of_job
from .situation import Bound, Situation, Usage

#: Less than this is no wait (seconds).
MOMENT = 0.001


def is_limited(pools: Iterable[AlivePool], type: str) -> bool:
    """Say whether all of these pools, of which there is one at least, claim jobs of a type by their keys."""
    found = [pool.limits_of(type) for pool in pools]
    return bool(found) and all(limits is not None for limits in found)


def bounds(pools: Iterable[AlivePool], type: str, key: str | None) -> tuple[Bound, ...]:
    """Return the limits that hold a job of a type and key up, whichever of these pools would take it."""
    pools = tuple(pools)
    if not is_limited(pools, type):
        return ()
    owner = pools[0].owner(type)
    types = {owner, type, *(alias for pool in pools for alias, of in pool.aliases.items() if of == owner)}
    said: list[TypeLimits] = [limits for pool in pools if (limits := pool.limits_of(type)) is not None]
    found = [_widest(owner, types, None, [limits.limit for limits in said])]
    if key is not None:
        found.append(_widest(owner, types, key, [limits.key_limit for limits in said]))
    return tuple(bound for bound in found if bound is not None)


def _widest(owner: str, types: set[str], key: str | None, limits: list[Limit | None]) -> Bound | None:
    """Return what holds under all of these limits."""
    most, rate = widest(limits)
    return None if most is None and rate is None else Bound(owner, tuple(sorted(types)), key, most, rate)


def unkeyed(situation: Situation) -> Reason | None:
    """Pools have not given it a key yet, by which they would find it."""
    if not is_limited(situation.serving, situation.type) or situation.text("key") is not None:
        return None
    return Reason(
        "unkeyed",
        "its type has keys or limits, and it was created without a key: the pools give it one when they come to "
        "it, at some thousand jobs a second",
        "wait; to have it found at once, create such jobs with a manager that has their executors, or with key=",
    )


def limits(situation: Situation) -> Iterator[Reason]:
    """Yield the limits that are used up."""
    for usage in situation.limits:
        most = usage.bound.running
        if most is not None and usage.held is not None and usage.held >= most:
            yield _full(situation, usage, most)
        if usage.next_in is not None and usage.next_in > MOMENT:
            yield _empty(situation, usage, usage.next_in)


def _full(situation: Situation, usage: Usage, most: int) -> Reason:
    held, holders = usage.held or 0, usage.holders
    over = [one for one in holders if one.lease_until is not None and situation.since(one.lease_until) > 0]
    text = f"the limit of {_whose(usage.bound)}, {most:,} at once, is reached"
    if holders:
        some = ", ".join(of_job(one.id) for one in holders[:3])
        text += f": {'job' if held == 1 else 'jobs'} {some}{'' if held <= 3 else f' and {held - 3:,} more'} "
        text += "holds the place" if held == 1 else "hold the places"
    if over:
        text += f"; of {len(over)} of these the lease is over, and the place is free after the next reap"
    return Reason(
        "limit",
        text,
        "it can begin when one of these ends; for more at once, raise running= of the limit of its executor",
        {
            "kind": "running",
            **_scope(usage.bound),
            "limit": most,
            "held": held,
            "expired": len(over),
            "holders": holder_facts(situation, holders),
        },
    )


def _empty(situation: Situation, usage: Usage, wait: float) -> Reason:
    rate = usage.bound.rate
    assert rate is not None
    text = (
        f"the rate of {_whose(usage.bound)}, {rate.rate:g} in {duration(rate.per)}, is used up: the next job may "
        f"be claimed in {duration(wait)}"
    )
    return Reason(
        "limit",
        text,
        "wait; for more per time, raise rate= of the limit of its executor",
        {
            "kind": "rate",
            **_scope(usage.bound),
            "rate": rate.rate,
            "per": rate.per,
            "burst": rate.tokens,
            "seconds": wait,
            "next_at": situation.now + timedelta(seconds=wait),
        },
    )


def gate_locked(situation: Situation) -> Reason | None:
    """A claim is on its way through its gates; if its pool died there, the gate opens by itself."""
    ends = [usage.locked_until for usage in situation.limits if usage.locked_until is not None]
    until = max((end for end in ends if situation.since(end) < 0), default=None)
    if until is None:
        return None
    left = duration(-situation.since(until))
    return Reason(
        "gate_locked",
        f"a pool is claiming through its limits, which one at a time can; if it died there, that ends in {left}",
        "ask again in a moment",
        {"until": until},
    )


def _whose(bound: Bound) -> str:
    if bound.key is None:
        return f"type {shown(bound.owner, LISTED)}"
    key = f"key {shown(bound.key, LISTED)}" if bound.key else "jobs without a key"
    return f"{key} of type {shown(bound.owner, LISTED)}"


def _scope(bound: Bound) -> dict[str, Any]:
    return {"scope": "type" if bound.key is None else "key", "type": bound.owner, "key": bound.key}
