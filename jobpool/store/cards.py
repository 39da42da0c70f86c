"""What a pool says of itself, as a document, and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ..backlog import AlivePool, Rate, TypeLimits
from ..errors import InvalidConfiguration
from ..limits import Limit
from .documents import Document

#: A rate, or a run time in seconds, above this is nonsense, and the sums of such have no end.
MOST = 1e12
_LIMIT = ("running", "rate", "per", "burst")


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
    }


def _numbers(limit: Limit | None) -> Document | None:
    return None if limit is None else {name: getattr(limit, name) for name in _LIMIT}


def pool_of(said: Document, now: datetime) -> AlivePool:
    """Return the pool that a document tells of; older ones know less of themselves, and others may write there."""
    fresh_until = _instant(said.get("fresh_until"))
    return AlivePool(
        name=str(said.get("name", "")),
        host=str(said.get("host", "")),
        pid=_whole(said.get("pid"), 0),
        types=frozenset(type for type in _list(said.get("types")) if isinstance(type, str)),
        threads=_whole(said.get("threads"), 1),
        rates=dict(filter(None, map(_rate, _list(said.get("rates"))))),
        id=_text(said.get("_id")),
        since=_instant(said.get("since")),
        seen_at=_instant(said.get("seen_at")),
        fresh_until=fresh_until,
        alive=fresh_until is not None and fresh_until >= now,
        version=_text(said.get("version")),
        state=_text(said.get("state")),
        aliases=dict(_aliases(_mappings(said.get("aliases")))),
        limits=dict(_limits(_mappings(said.get("limits")))),
        busy=_number(said.get("busy")),
        queued=_number(said.get("queued")),
        lease=_seconds(said.get("lease")),
    )


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
