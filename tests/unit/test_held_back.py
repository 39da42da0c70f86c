"""How many due jobs a count shows to be held back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from prometheus_client import CollectorRegistry

from jobpool.backlog import AlivePool, Backlog, TypeBacklog, TypeLimits
from jobpool.held_back import held_back
from jobpool.limits import Limit
from jobpool.metrics import Metrics

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


def pool(limits: dict[str, Limit] | None = None, types: tuple[str, ...] = ("a",), **more: Any) -> AlivePool:
    heeded = {type: TypeLimits(limit=limit) for type, limit in (limits or {}).items()}
    return AlivePool("p", "h", 1, frozenset(types), 4, {}, limits=heeded, **more)


def backlog(*pools: AlivePool, **types: TypeBacklog) -> Backlog:
    return Backlog(types, pools, NOW, 0.1)


def test_what_is_paused_is_held_back_whatever_its_limit() -> None:
    counted = backlog(pool({"a": Limit(running=1)}), a=TypeBacklog(due=5, running=1, paused=True))
    assert held_back(counted) == {"a": {"pause": 5}}
    assert held_back(backlog(a=TypeBacklog(scheduled=5, paused=True))) == {}


def test_a_limit_holds_back_what_is_due_when_as_many_run_as_may() -> None:
    limited = pool({"a": Limit(running=3)})
    assert held_back(backlog(limited, a=TypeBacklog(due=5, claimed=1, running=2))) == {"a": {"limit": 5}}
    assert held_back(backlog(limited, a=TypeBacklog(due=5, running=2))) == {}
    assert held_back(backlog(limited, a=TypeBacklog(running=3))) == {}


def test_aliases_share_the_places_of_their_type() -> None:
    limited = pool({"a": Limit(running=3)}, ("a", "b"), aliases={"b": "a"})
    counted = backlog(limited, a=TypeBacklog(due=1, running=1), b=TypeBacklog(due=2, running=2))
    assert held_back(counted) == {"a": {"limit": 1}, "b": {"limit": 2}}


def test_the_widest_limit_counts_and_none_if_one_pool_heeds_none() -> None:
    full = TypeBacklog(due=5, running=3)
    strict, wide = pool({"a": Limit(running=3)}), pool({"a": Limit(running=9)})
    assert held_back(backlog(strict, wide, a=full)) == {}
    assert held_back(backlog(strict, pool(), a=full)) == {}
    assert held_back(backlog(strict, pool(types=("x",)), a=full)) == {"a": {"limit": 5}}
    assert held_back(backlog(pool({"a": Limit(rate=1)}), a=full)) == {}
    assert held_back(backlog(a=full)) == {}


def test_it_is_shown_by_type_and_by_what() -> None:
    metrics = Metrics(CollectorRegistry())
    limited = pool({"a": Limit(running=3)})
    types = {"a": TypeBacklog(due=5, running=3), "b": TypeBacklog(due=2, paused=True)}
    for source in ("one", "two"):
        metrics.backlog_counted(source, backlog(limited, **types), ("c",))

    def value(type: str, by: str) -> float | None:
        return metrics.registry.get_sample_value("jobpool_backlog_held_back_jobs", {"type": type, "by": by})

    shown = {(type, by): value(type, by) for type in "abc" for by in ("pause", "limit")}
    assert shown == {
        ("a", "pause"): 0,
        ("a", "limit"): 10,
        ("b", "pause"): 4,
        ("b", "limit"): 0,
        ("c", "pause"): 0,
        ("c", "limit"): 0,
    }
