"""What pools say of themselves, and who hears it."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

from jobpool import Executor, Limit, WorkerPool
from jobpool.backlog import PoolCounts, TypeLimits
from jobpool.installed import version
from jobpool.store.cards import PoolCard

from ..conftest import Jobs, MakeManager
from ..waiting import until


def nothing(data: Any) -> None: ...


def test_a_pool_says_what_it_is_and_heeds(make_manager: MakeManager) -> None:
    limit, key_limit = Limit(running=3, rate=2, per=5, burst=9), Limit(running=1)
    manager = make_manager(
        executors={
            "plain": nothing,
            "mail.x$": Executor(nothing, limit=limit, aliases=("letter",)),
            "keyed": Executor(nothing, key="c", key_limit=key_limit),
        }
    )
    with WorkerPool(manager, name="one", threads=3, lease=20) as pool:
        until(manager.pools)
        (seen,) = manager.pools()
    assert (seen.id, seen.name, seen.threads, seen.lease) == (pool.id, "one", 3, 20.0)
    assert (seen.version, seen.state, seen.alive) == (version(), "running", True)
    assert seen.since is not None
    assert seen.seen_at is not None
    assert seen.fresh_until is not None
    assert seen.since <= seen.seen_at < seen.fresh_until
    assert seen.types == {"plain", "mail.x$", "letter", "keyed"}
    assert dict(seen.aliases) == {"letter": "mail.x$"}
    assert dict(seen.limits) == {
        "mail.x$": TypeLimits(limit=limit),
        "keyed": TypeLimits(key_limit=key_limit, keyed=True),
    }
    assert seen.limits_of("letter") == seen.limits_of("mail.x$")
    assert seen.limits_of("plain") is None
    assert (seen.busy, seen.queued) == (0, 0)
    assert manager.pools(dead=True) == (), "it has said that it ended"


def test_a_pool_says_what_came_and_went_and_how_fast_it_begins(make_manager: MakeManager) -> None:
    began, go = threading.Event(), threading.Event()

    def hold(data: Any) -> None:
        began.set()
        go.wait(60)

    manager = make_manager(executors={"a.$x": nothing, "long": hold})
    for n in range(3):
        manager.create("a.$x", n)
    with WorkerPool(manager, threads=2, backlog_interval=0.1):
        until(lambda: [seen.counts for seen in manager.pools()] == [PoolCounts(3, 3, 3)])
        manager.create("long")
        assert began.wait(30)
        until(lambda: [seen.counts for seen in manager.pools()] == [PoolCounts(4, 4, 3)])
        (seen,) = manager.pools()
        assert seen.start_rates is not None
        assert {type: rate > 0 for type, rate in seen.start_rates.items()} == {"a.$x": True, "long": True}
        assert seen.started_per_second == sum(seen.start_rates.values())
        assert "long" not in seen.rates, "none has ended"
        go.set()


def test_a_pool_that_misses_a_word_is_silent_at_once_and_alive_for_longer(
    make_manager: MakeManager, jobs: Jobs
) -> None:
    manager = make_manager(executors={"a": nothing})
    pools = jobs.database[f"{jobs.name}.pools"]
    with WorkerPool(manager, backlog_interval=3600):
        until(manager.pools)
        (seen,) = manager.pools()
        assert (seen.silent, seen.speaks_every) == (False, 10.0)
        assert seen.fresh_until is not None
        assert seen.seen_at is not None
        assert seen.fresh_until - seen.seen_at == timedelta(seconds=35)
        assert seen.heard_ago is not None
        assert 0 <= seen.heard_ago < 30
    killed = PoolCard("killed", "p", "host", 1, ("a",), 1, speaks_every=10.0)
    manager.store.presence.announce(killed, 35.0)
    now = manager.store.clock.now()  # by which it judges: the server's own may be some ms ahead of that
    pools.update_one({}, {"$set": {"seen_at": now - timedelta(seconds=14)}})
    (seen,) = manager.pools()
    assert (seen.alive, seen.silent) == (True, True)
    assert seen.heard_ago is not None
    assert seen.heard_ago >= 13
    pools.update_one({}, {"$set": {"fresh_until": now - timedelta(seconds=1)}})
    (seen,) = manager.pools(dead=True)
    assert (seen.alive, seen.silent) == (False, False)


def test_a_pool_that_drains_says_so_and_how_busy_it_is(make_manager: MakeManager) -> None:
    began, go = threading.Event(), threading.Event()

    def hold(data: Any) -> None:
        began.set()
        go.wait(60)

    manager = make_manager(executors={"a": hold})
    manager.create("a")
    with WorkerPool(manager) as pool:
        assert began.wait(30)
        draining = threading.Thread(target=pool.drain)
        draining.start()
        until(lambda: [seen.state for seen in manager.pools()] == ["draining"])
        assert [seen.busy for seen in manager.pools()] == [1]
        go.set()
        draining.join()


def test_a_job_names_the_very_pool_that_holds_or_held_it(make_manager: MakeManager, jobs: Jobs) -> None:
    manager = make_manager(executors={"a": nothing})
    first, second = manager.create("a", 1), manager.create("a", 2)
    assert first.pool_id is None
    assert manager.run() is not None
    with WorkerPool(manager, name="same") as one:
        until(lambda: manager.count(state="succeeded") == 2)
    by_id = {job.id: job for job in manager.find()}
    assert {job.pool_id for job in by_id.values()} == {None, one.id}, "what was run by hand is of no pool"
    assert {job.pool for job in by_id.values()} == {"run", "same"}
    jobs.update_many({}, {"$set": {"claim": "0" * 24}})
    assert manager.get(second.id).pool_id is None, "an older version's"


def test_dead_pools_are_remembered_and_come_last(make_manager: MakeManager) -> None:
    manager = make_manager()
    manager.ensure_indexes()
    presence = manager.store.presence
    for id, fresh_for in (("alive", 60.0), ("killed", -5.0), ("earlier", -50.0)):
        presence.announce(PoolCard(id, "p", "host", 1, ("a",), 1), fresh_for)
    assert [pool.id for pool in manager.pools()] == ["alive"]
    assert [(pool.id, pool.alive) for pool in manager.pools(dead=True)] == [
        ("alive", True),
        ("killed", False),
        ("earlier", False),
    ]
    assert manager.backlog().pools_alive == 1


def test_what_older_versions_and_others_wrote_is_read(make_manager: MakeManager, jobs: Jobs) -> None:
    manager = make_manager()
    pools = jobs.database[f"{jobs.name}.pools"]
    fresh = datetime.now(UTC) + timedelta(seconds=60)
    old = {"name": "old", "host": "h", "pid": 3, "types": ["a"], "threads": 2, "rates": [], "fresh_until": fresh}
    pools.insert_one(old)
    (seen,) = manager.pools()
    assert (seen.name, seen.threads, seen.types, seen.alive) == ("old", 2, frozenset({"a"}), True)
    assert (seen.id, seen.version, seen.state, seen.busy, seen.lease) == (None, None, None, None, None)
    assert (dict(seen.aliases), dict(seen.limits)) == ({}, {})
    assert (seen.speaks_every, seen.heard_ago, seen.silent) == (None, None, False)
    assert (seen.counts, seen.start_rates, seen.started_per_second) == (None, None, None)
    nonsense = {
        "name": 7,
        "pid": True,
        "types": "a",
        "threads": None,
        "rates": 3,
        "since": "x",
        "version": 3,
        "state": {},
        "busy": -1,
        "queued": True,
        "lease": float("nan"),
        "speaks_every": -1,
        "counts": {"claimed": 1, "started": "x", "ended": 1},
        "start_rates": [{"type": 5, "per_second": 1}, {"type": "a", "per_second": "x"}, 7],
        "aliases": [{"alias": 1, "type": "a"}, "x", {"alias": "b", "type": "a"}],
        "limits": [{"type": "a", "limit": {"running": 0}, "key_limit": {"rate": "x"}, "keyed": 1}, {"type": 5}, 6],
        "fresh_until": fresh,
    }
    pools.delete_many({})
    pools.insert_one({"_id": "n"} | nonsense)
    (seen,) = manager.pools()
    assert (seen.id, seen.name, seen.types, seen.threads, seen.since) == ("n", "7", frozenset(), 1, None)
    assert (seen.version, seen.state, seen.busy, seen.queued, seen.lease) == (None, None, None, None, None)
    assert seen.pid is not True
    assert (seen.speaks_every, seen.counts, seen.start_rates) == (None, None, {})
    assert (dict(seen.aliases), dict(seen.limits)) == ({"b": "a"}, {"a": TypeLimits()})
