"""What a pool says of itself, as a document, and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from ..backlog import AlivePool, PoolCounts, Rate, TypeLimits
from ..errors import InvalidConfiguration
from ..limits import Limit
from .documents import Document

#: A rate, or a run time in seconds, above this is nonsense, and the sums of such have no end.
MOST = 1e12
#: Seconds that a word may be late, on a busy machine or a slow way, before its pool is called silent.
PATIENCE = 2.5
#: No pool is silent for longer, by what it says: somebody else wrote that.
LONGEST_SILENCE = 3600.0
_LIMIT = ("running", "rate", "per", "burst")
_COUNTS = ("claimed", "started", "ended")


@dataclass(frozen=True, slots=True)
class PoolCard:
    """What a pool says of itself; see `AlivePool`.

    Attributes:
        id: Random, of this very pool; its claims carry it.
        name: The name its user gave it.
        host: The machine's name.
        pid: The process on it.
        types: What it runs.
        threads: How many at once.
        rates: By type, how fast it runs them.
        version: That of jobpool here.
        state: What it is about.
        aliases: By alias, its type.
        limits: By type.
        busy: Threads that run an executor.
        queued: Jobs that wait for a thread.
        lease: Seconds.
        speaks_every: Seconds.
        counts: What came and went.
        start_rates: By type, per second.
    """

    id: str
    name: str
    host: str
    pid: int
    types: tuple[str, ...]
    threads: int
    rates: Mapping[str, Rate] = field(default_factory=dict, repr=False)
    version: str | None = None
    state: str | None = None
    aliases: Mapping[str, str] = field(default_factory=dict, repr=False)
    limits: Mapping[str, TypeLimits] = field(default_factory=dict, repr=False)
    busy: int | None = None
    queued: int | None = None
    lease: float | None = None
    speaks_every: float | None = None
    counts: PoolCounts | None = None
    start_rates: Mapping[str, float] | None = field(default=None, repr=False)


def said_by(card: PoolCard) -> Document:
    """Return the stored form of a card. Nothing is stored by type as a key: a type may hold dots and dollars."""
    return {
        "name": card.name,
        "host": card.host,
        "pid": card.pid,
        "types": list(card.types),
        "threads": card.threads,
        "rates": [
            {"type": type, "per_second": rate.per_second, "run_seconds": rate.run_seconds}
            for type, rate in card.rates.items()
        ],
        "version": card.version,
        "state": card.state,
        "aliases": [{"alias": alias, "type": type} for alias, type in card.aliases.items()],
        "limits": [
            {
                "type": type,
                "limit": _numbers(limits.limit),
                "key_limit": _numbers(limits.key_limit),
                "keyed": limits.keyed,
            }
            for type, limits in card.limits.items()
        ],
        "busy": card.busy,
        "queued": card.queued,
        "lease": card.lease,
        "speaks_every": card.speaks_every,
        "counts": card.counts and {name: getattr(card.counts, name) for name in _COUNTS},
        "start_rates": None
        if card.start_rates is None
        else [{"type": type, "per_second": rate} for type, rate in card.start_rates.items()],
    }


def _numbers(limit: Limit | None) -> Document | None:
    return None if limit is None else {name: getattr(limit, name) for name in _LIMIT}


def pool_of(said: Document, now: datetime) -> AlivePool:
    """Return the pool that a document tells of; older ones know less of themselves, and others may write there."""
    seen_at, fresh_until = _instant(said.get("seen_at")), _instant(said.get("fresh_until"))
    alive = fresh_until is not None and fresh_until >= now
    speaks_every = _seconds(said.get("speaks_every"))
    return AlivePool(
        name=str(said.get("name", "")),
        host=str(said.get("host", "")),
        pid=_whole(said.get("pid"), 0),
        types=frozenset(type for type in _list(said.get("types")) if isinstance(type, str)),
        threads=_whole(said.get("threads"), 1),
        rates=dict(filter(None, map(_rate, _list(said.get("rates"))))),
        id=_text(said.get("_id")),
        since=_instant(said.get("since")),
        seen_at=seen_at,
        fresh_until=fresh_until,
        alive=alive,
        version=_text(said.get("version")),
        state=_text(said.get("state")),
        aliases=dict(_aliases(_mappings(said.get("aliases")))),
        limits=dict(_limits(_mappings(said.get("limits")))),
        busy=_number(said.get("busy")),
        queued=_number(said.get("queued")),
        lease=_seconds(said.get("lease")),
        speaks_every=speaks_every,
        heard_ago=None if seen_at is None else max(0.0, (now - seen_at).total_seconds()),
        silent=alive and _overdue(seen_at, fresh_until, speaks_every, now),
        counts=_counts(said.get("counts")),
        start_rates=_start_rates(said.get("start_rates")),
    )


def _overdue(
    seen_at: datetime | None, fresh_until: datetime | None, speaks_every: float | None, now: datetime
) -> bool:
    """Say whether a pool should have spoken again."""
    if seen_at is None or fresh_until is None:
        return False
    if speaks_every is not None and speaks_every <= LONGEST_SILENCE:
        return now > seen_at + timedelta(seconds=speaks_every + PATIENCE)
    # Versions up to 0.2.0 do not say it: they speak before their word has been good for half of its time.
    return now > seen_at + (fresh_until - seen_at) / 2


def _counts(said: object) -> PoolCounts | None:
    if not isinstance(said, dict):
        return None
    claimed, started, ended = (_number(said.get(name)) for name in _COUNTS)
    return None if claimed is None or started is None or ended is None else PoolCounts(claimed, started, ended)


def _start_rates(said: object) -> dict[str, float] | None:
    if not isinstance(said, list):
        return None
    rates = ((item.get("type"), _seconds(item.get("per_second"))) for item in _mappings(said))
    return {type: rate for type, rate in rates if isinstance(type, str) and rate is not None}


def _rate(said: object) -> tuple[str, Rate] | None:
    if not isinstance(said, dict) or not isinstance(type := said.get("type"), str):
        return None
    per_second, run_seconds = _seconds(said.get("per_second")), _seconds(said.get("run_seconds"))
    return None if per_second is None or run_seconds is None else (type, Rate(per_second, run_seconds))


def _aliases(items: Iterable[Document]) -> Iterator[tuple[str, str]]:
    for item in items:
        alias, type = item.get("alias"), item.get("type")
        if isinstance(alias, str) and isinstance(type, str):
            yield alias, type


def _limits(items: Iterable[Document]) -> Iterator[tuple[str, TypeLimits]]:
    for item in items:
        if isinstance(type := item.get("type"), str):
            limit, key_limit = _limit(item.get("limit")), _limit(item.get("key_limit"))
            yield type, TypeLimits(limit=limit, key_limit=key_limit, keyed=item.get("keyed") is True)


def _limit(said: object) -> Limit | None:
    if not isinstance(said, dict):
        return None
    given = {name: value for name in _LIMIT if (value := said.get(name)) is not None}
    try:
        return Limit(**given)
    except (InvalidConfiguration, TypeError, ValueError):
        return None


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _mappings(value: object) -> list[Document]:
    return [item for item in _list(value) if isinstance(item, dict)]


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _instant(value: object) -> datetime | None:
    return value if isinstance(value, datetime) else None


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _whole(value: object, least: int) -> int:
    return max(value, least) if isinstance(value, int) and not isinstance(value, bool) else least


def _seconds(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and 0 <= value <= MOST else None  # false for NaN
