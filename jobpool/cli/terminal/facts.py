"""Pauses, limits, pools and sizes in words, as several commands show them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from ...phrases import silence
from .words import count, duration, past

if TYPE_CHECKING:
    from ...backlog import TypeLimits
    from ...limits import Limit
    from ...pauses import Paused

_UNITS = ("B", "kB", "MB", "GB", "TB")
NOBODY = "nobody runs it"
EVERYTHING = "every type"


def size(number: float) -> str:
    """Return bytes in a unit of which there are less than a thousand: ``1.5 MB``."""
    unit = 0
    while number >= 999.5 and unit < len(_UNITS) - 1:
        number, unit = number / 1000, unit + 1
    return f"{number:.0f} {_UNITS[unit]}" if unit == 0 or number >= 99.5 else f"{number:.2g} {_UNITS[unit]}"


def paused_rows(paused: Paused, now: datetime) -> list[tuple[str, str, str]]:
    """Return what is paused, how long ago, and why, a row for each; everything first."""
    rows = [(EVERYTHING, paused.everything)] if paused.everything else []
    rows += sorted(paused.types.items())
    return [(name, past(pause.since, now), pause.reason or "-") for name, pause in rows]


def limits(found: TypeLimits | None) -> str:
    """Return what a pool heeds of a type: ``5 at once, 10 per 1s; each key 1 at once``; ``-`` if nothing."""
    if found is None:
        return "-"
    parts = [_limit(found.limit)] if found.limit else []
    if found.key_limit:
        parts.append(f"each key {_limit(found.key_limit)}")
    elif found.keyed:
        parts.append("keys take turns")
    return "; ".join(parts) or "-"


def _limit(limit: Limit) -> str:
    parts = [] if limit.running is None else [f"{count(limit.running)} at once"]
    if limit.rate is not None:
        parts.append(f"{limit.rate:g} per {duration(limit.per)}")
    return ", ".join(parts)


def pool_state(state: str, *, silent: bool, heard_ago: float | None) -> str:
    """Return what a pool is about, by its own word; ``silent for 13s`` if the next one is overdue."""
    return silence(heard_ago) if silent and heard_ago is not None else state


def mean(seconds: float | None) -> str:
    """Return a mean run time; ``-`` if nobody knows."""
    return "-" if seconds is None else "<1ms" if seconds < 0.001 else duration(seconds)
