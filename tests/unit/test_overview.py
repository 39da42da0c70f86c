"""What all of it looks like together: from a backlog, pools and pauses to types, and who holds what."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from jobpool.backlog import AlivePool, Backlog, Rate, TypeBacklog, TypeLimits
from jobpool.limits import Limit
from jobpool.overview import Held, Size, TypeOverview, held_by, held_by_nobody, types_of
from jobpool.pauses import Pause, Paused

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
LIMITS = TypeLimits(limit=Limit(running=2))


def pool(name: str, *types: str, **options: Any) -> AlivePool:
    given: dict[str, Any] = {"host": "h", "pid": 1, "threads": 4, "rates": {}, **options}
    return AlivePool(name=name, types=frozenset(types), **given)


def backlog(**types: TypeBacklog) -> Backlog:
    return Backlog(types, (), NOW, 0.0)


def test_every_type_is_there_once_whoever_knows_it() -> None:
    paused = Paused(types={"c": Pause(NOW, "why")})
    found = types_of(backlog(a=TypeBacklog(due=3, throughput=2.0)), [pool("x", "b")], paused)
    assert [one.type for one in found] == ["a", "b", "c"]
    assert (found[0].due, found[0].throughput, found[0].nobody_runs_it) == (3, 2.0, True)
    assert (found[1].pools, found[1].threads, found[1].nobody_runs_it) == (1, 4, False)
    assert (found[2].paused, found[2].pause) == (True, Pause(NOW, "why"))


def test_threads_of_all_pools_that_run_a_type_are_counted() -> None:
    (found,) = types_of(backlog(), [pool("x", "a"), pool("y", "a", threads=6), pool("z")], Paused())
    assert (found.pools, found.threads) == (2, 10)


def test_an_alias_is_paused_with_its_type_and_has_its_limits() -> None:
    runs = pool("x", "new", "old", aliases={"old": "new"}, limits={"new": LIMITS})
    new, old = types_of(backlog(), [runs], Paused(types={"new": Pause(NOW)}))
    assert (new.aliases, new.alias_of, new.limits) == (("old",), None, LIMITS)
    assert (old.aliases, old.alias_of, old.limits, old.paused) == ((), "new", LIMITS, True)


def test_a_pause_of_everything_holds_every_type() -> None:
    everything = Pause(NOW, "all")
    (found,) = types_of(backlog(a=TypeBacklog(due=1)), [], Paused(everything))
    assert found == TypeOverview(type="a", due=1, paused=True, pause=everything, start_rate=0.0)


def test_what_a_pool_holds_is_known_by_its_id() -> None:
    held = [
        Held("x", "1", "a", claimed=2, running=1),
        Held("x", "2", "a", running=5),
        Held("x", "1", "b", running=1),
    ]
    assert held_by(pool("x", id="1"), held) == (2, 2)
    assert held_by(pool("x", id="2"), held) == (0, 5)
    assert held_by(pool("x", id="3"), held) == (0, 0)


def test_what_an_older_version_claimed_is_known_by_the_name_of_its_pool() -> None:
    held = [Held("x", None, "a", claimed=2, running=1)]
    assert held_by(pool("x", id="1"), held) == (2, 1)
    assert held_by(pool("x", id=None), [Held("x", "1", "a", running=1)]) == (0, 1)
    assert held_by(pool("y", id="1"), held) == (0, 0)


def test_what_nobody_alive_holds_is_told_apart() -> None:
    held = (Held("x", "1", "a", running=1), Held("x", "dead", "a", running=2))
    assert held_by_nobody([pool("x", id="1")], held) == held[1:]
    assert held_by_nobody([], held) == held


def test_indexes_have_a_sum() -> None:
    assert Size(1, 2, {"a": 3, "b": 4}).total_index_bytes == 7


def test_rates_of_pools_are_those_of_the_backlog() -> None:
    """The overview takes them from there: who counts has merged them already."""
    runs = pool("x", "a", rates={"a": Rate(9.0, 0.1)})
    (found,) = types_of(backlog(a=TypeBacklog(throughput=2.0, run_seconds=0.5)), [runs], Paused())
    assert (found.throughput, found.run_seconds) == (2.0, 0.5)
