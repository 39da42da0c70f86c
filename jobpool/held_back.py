"""How many due jobs a pause or a full limit holds back, as far as a count of the backlog shows it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from .backlog import Backlog

#: What holds jobs back: their type is paused; as many of it run as may at once.
PAUSE, LIMIT = "pause", "limit"
BY = (PAUSE, LIMIT)


def held_back(backlog: Backlog) -> dict[str, Mapping[str, int]]:
    """Return, by type and by what, how many of its due jobs are held back; types of which none is are left out.

    What a rate or the limit of a key holds back is not in it: of those a count shows nothing.
    """
    found: dict[str, Mapping[str, int]] = {
        type: {PAUSE: part.due} for type, part in backlog.types.items() if part.paused and part.due
    }
    for owner, types in _families(backlog).items():
        places = _places(backlog, owner, types)
        parts = {type: backlog.types[type] for type in types}
        if places is not None and sum(part.claimed + part.running for part in parts.values()) >= places:
            found |= {type: {LIMIT: part.due} for type, part in parts.items() if part.due and not part.paused}
    return found


def _families(backlog: Backlog) -> dict[str, list[str]]:
    """Return the types that share the limits of one, by that one: its aliases, by the word of the pools alive."""
    families: dict[str, list[str]] = defaultdict(list)
    for type in backlog.types:
        owner = next((pool.owner(type) for pool in backlog.pools if type in pool.types), type)
        families[owner].append(type)
    return families


def _places(backlog: Backlog, owner: str, types: list[str]) -> int | None:
    """Return how many jobs may run at once by the widest limit that a pool heeds; None if one heeds none."""
    said = [pool.limits_of(owner) for pool in backlog.pools if not pool.types.isdisjoint(types)]
    places = [limits.limit.running for limits in said if limits is not None and limits.limit is not None]
    known = [number for number in places if number is not None]
    return max(known) if known and len(known) == len(said) else None
