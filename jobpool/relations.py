"""What a job has to do with: jobs that it waits for, jobs that wait for it, who holds it, what made it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime

from .backlog import AlivePool
from .job import State

#: Version, trace, span and flags, as W3C has it.
_PARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A job as those see it that have to do with it.

    Attributes:
        id: Its id.
        type: None if it is not there.
        state: None if it is not there: it was removed, or its retention was over.
    """

    id: str
    type: str | None = None
    state: State | None = None


@dataclass(frozen=True, slots=True)
class Relations:
    """What a job has to do with, as it was seen; each part by a read of its own.

    Attributes:
        id: Of the job.
        at: When it was looked (server time).
        after: Jobs that it was created to run after, those that it still waits for first; at most 20.
        followers: Jobs that wait for it now, at most 20 of them.
        follower_count: How many do.
        pools: Who holds it, or had it last, as far as that pool is remembered. A claim of an older
            version has only the pool's name, which several may share.
        schedule: The schedule that made it; None if none did, or if that was removed.
        trace_id: Of the trace that created it, 32 hexadecimal digits; None if nobody traced.
    """

    id: str
    at: datetime
    after: tuple[Neighbour, ...] = ()
    followers: tuple[Neighbour, ...] = ()
    follower_count: int = 0
    pools: tuple[AlivePool, ...] = field(default=(), repr=False)
    schedule: str | None = None
    trace_id: str | None = None


def trace_id_in(stored: object) -> str | None:
    """Return the trace id in the context that is stored with a job; None if it is none."""
    parent = stored.get("traceparent") if isinstance(stored, dict) else None
    found = _PARENT.fullmatch(parent) if isinstance(parent, str) else None
    return found[1] if found else None
