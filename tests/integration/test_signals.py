"""Signals for autoscaling: how fast the pools alive run jobs, and what an autoscaler is told."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from bson.datetime_ms import DatetimeMS
from pymongo import MongoClient

from jobpool import JobManager, Retry, WorkerPool
from jobpool.backlog import AlivePool, Rate, TypeBacklog
from jobpool.executors import Executor
from jobpool.http import Asked
from jobpool.pool.census import Census
from jobpool.store.presence import PoolCard, Presence

from ..conftest import Jobs, MakeManager
from ..faults.failpoints import fail_command
from ..waiting import PATIENCE, until

#: So that pools speak often; what they say is over the last minute all the same.
OFTEN: Any = {"backlog_interval": 0.1}


def once_more(data: Any) -> None:
    raise Retry(after=0)


def cards(jobs: Jobs) -> Any:
    return jobs.database[f"{jobs.name}.pools"]


def ask(url: str) -> tuple[int, dict[str, Any] | str]:
    try:
        with urlopen(url, timeout=PATIENCE) as answer:
            return answer.status, json.loads(answer.read())
    except HTTPError as error:
        return error.code, error.read().decode()


def test_the_throughput_is_that_of_all_pools_together(make_manager: MakeManager, jobs: Jobs) -> None:
    names = {"email": lambda data: data, "a.b $x": lambda data: data}
    manager = make_manager(executors={**names, "again": Executor(once_more, max_attempts=3)})
    again = manager.create("again")
    with WorkerPool(manager, ["email", "again"], name="one", **OFTEN), WorkerPool(manager, name="two", **OFTEN):
        ids = manager.create_many({"type": type, "data": n} for type in names for n in range(50)).ids
        manager.wait_many([again.id, *ids], PATIENCE)

        def told(type: str) -> float:
            """Return what the pools say of a type, added up."""
            rates = [rate for pool in cards(jobs).find() for rate in pool["rates"] if rate["type"] == type]
            assert all(rate["per_second"] > 0 and rate["run_seconds"] >= 0 for rate in rates)
            return float(sum(rate["per_second"] for rate in rates))

        until(lambda: all(told(type) for type in (*names, "again")))
        backlog = manager.backlog()
        assert {pool.name: pool.types for pool in backlog.pools} == {
            "one": {"email", "again"},
            "two": {*names, "again"},
        }
        assert set(backlog.types) == {*names, "again"}
        parts = [pool.rates["email"].per_second for pool in backlog.pools if "email" in pool.rates]
        assert backlog.of("email").throughput == pytest.approx(sum(parts))
        assert backlog.of("again").run_seconds is not None
        assert backlog.total.throughput == pytest.approx(sum(one.throughput for one in backlog.types.values()))
    assert manager.backlog().types == {"again": TypeBacklog(failed=1)}, "pools that have ended run nothing"


def test_attempts_are_counted_once_each(make_manager: MakeManager) -> None:
    manager = make_manager(executors={"a": Executor(once_more, max_attempts=3), "b": lambda data: data})
    with WorkerPool(manager, threads=4) as pool:
        manager.create("a").wait(PATIENCE)
        manager.wait_many(manager.create_many({"type": "b", "data": n} for n in range(20)).ids, PATIENCE)
        sums = pool._parts.recorder.tally._sums
        until(lambda: (sums["a"][0], sums["b"][0]) == (3, 20))
    assert (sums["a"][0], sums["b"][0]) == (3, 20)


def test_what_pools_say_is_added_up_and_weighed(make_manager: MakeManager) -> None:
    manager = make_manager()
    presence = manager.store.presence
    manager.ensure_indexes()
    for id, rate in {"1": Rate(3.0, 1.0), "2": Rate(1.0, 5.0), "3": Rate(0.0, 100.0)}.items():
        presence.announce(PoolCard(id, "p", "host", 1, ("a", "b"), 4, {"a": rate}), 60)
    presence.announce(PoolCard("4", "gone", "host", 1, ("a",), 4, {"a": Rate(1000.0, 1.0)}), -1)
    backlog = manager.backlog()
    assert backlog.of("a") == TypeBacklog(throughput=4.0, run_seconds=2.0)
    assert backlog.of("b") == TypeBacklog()
    assert (backlog.pools_alive, len(backlog.pools_of(["b"])), len(backlog.pools_of(["c"]))) == (3, 3, 0)


def test_pools_of_an_earlier_version_and_foreign_documents_disturb_no_count(
    make_manager: MakeManager, jobs: Jobs
) -> None:
    manager = make_manager()
    manager.create_many({"type": "a", "data": n} for n in range(20))
    fresh = {"fresh_until": datetime.now(UTC) + timedelta(hours=1)}
    cards(jobs).insert_many(
        [
            {"name": "0.1.0", "host": "h", "pid": 7, "types": ["a"], "threads": 8, **fresh},
            {**fresh},
            {"types": 7, "threads": "x", "rates": 7, "name": None, **fresh},
            {"types": [7, None, "a"], "threads": 8, "rates": [7, {}, {"type": 1}, {"type": "a"}], **fresh},
            {
                "types": ["a"],
                "threads": 8,
                "rates": [_rate(-1, 1), _rate(float("nan"), 1), _rate("x", 1)],
                **fresh,
            },
            {"types": ["a"], "threads": 8, "rates": [_rate(1, float("inf")), _rate(1, None)], **fresh},
            {"types": ["a"], "threads": 8, "rates": [_rate(1.5e308, 1), _rate(1, 1.5e308)], **fresh},
            {"types": ["a"], "threads": 8, "seen_at": DatetimeMS(2**60), **fresh},
        ]
    )
    backlog = manager.backlog()
    assert backlog.pools_alive == 8
    assert backlog.of("a") == TypeBacklog(due=20, oldest_due_age=backlog.of("a").oldest_due_age)
    assert backlog.suggested_pools("a") == 3, "a thread for each, 8 in a pool"


def _rate(per_second: Any, run_seconds: Any) -> dict[str, Any]:
    return {"type": "a", "per_second": per_second, "run_seconds": run_seconds}


def test_who_counts_all_the_time_remembers_how_long_jobs_ran_when_no_pool_is_left(
    make_manager: MakeManager,
) -> None:
    """Or an autoscaler that went down to none would begin with a thread for each job, however short they are."""
    manager = make_manager()
    manager.ensure_indexes()
    presence = manager.store.presence
    census = Census("metrics", manager.store, manager.observer, card=None, interval=3600)
    pool = PoolCard("1", "p", "host", 1, ("a",), 4, {"a": Rate(3.0, 0.5)})
    presence.announce(pool, 60)
    census._count()
    presence.withdraw(pool, timeout=5)
    census._count()
    manager.create_many({"type": type, "data": n} for n in range(120) for type in ("a", "b"))
    census._count()
    assert census.view is not None
    seen = census.view.backlog
    assert (seen.of("a").throughput, seen.of("a").run_seconds, seen.of("b").run_seconds) == (0, 0.5, None)
    assert (seen.suggested_pools("a", threads=1), seen.suggested_pools("b", threads=1)) == (1, 120)
    assert manager.backlog().of("a").run_seconds is None, "a look by itself has nothing to remember"


def test_what_is_paused_needs_no_pools(make_manager: MakeManager, client: MongoClient[dict[str, Any]]) -> None:
    manager = make_manager()
    manager.create_many({"type": type, "data": n} for n in range(32) for type in ("a", "b"))
    manager.pause("a")
    backlog = manager.backlog()
    assert (backlog.of("a").paused, backlog.of("b").paused, backlog.total.paused) == (True, False, False)
    assert (backlog.suggested_pools("a"), backlog.suggested_pools("b"), backlog.suggested_pools()) == (0, 2, 2)
    with fail_command(client, ["find"], code=13) as point:  # who may not read it counts all the same
        presence = manager.store.presence
        manager.store.census._presence = _Nobody(presence._connection)
        assert manager.backlog().of("a").due == 32
    assert point.struck == 1
    manager.store.census._presence = presence
    manager.pause()
    assert manager.backlog().total.paused
    assert manager.backlog().suggested_pools() == 0


class _Nobody(Presence):
    """So that a count has no other `find`."""

    async def alive(self) -> tuple[AlivePool, ...]:
        return ()


def test_a_pool_tells_an_autoscaler_what_it_counted_last(make_manager: MakeManager) -> None:
    began, go_on = threading.Event(), threading.Event()

    def hold(data: Any) -> None:
        began.set()
        go_on.wait(PATIENCE)

    manager = make_manager(executors={"email": hold})
    with WorkerPool(manager, threads=2, **OFTEN) as pool:
        url = f"{pool.serve_metrics(0).url}/backlog"
        manager.create_many({"type": "email", "data": n} for n in range(11))
        manager.create_many({"type": "other", "data": n} for n in range(50))
        assert began.wait(PATIENCE)

        def told() -> bool:
            status, body = ask(f"{url}?type=email")
            return status == 200 and isinstance(body, dict) and body["running"] == 2 and body["pools_alive"] == 1

        until(told)
        status, body = ask(f"{url}?type=email&target=60")
        assert isinstance(body, dict)
        assert (status, body["due"] + body["claimed"], body["pools_alive"], body["threads_alive"]) == (
            200,
            9,
            1,
            2,
        )
        assert body["suggested_pools"] == 6, "none has ended yet: a thread for each of 11 jobs"
        assert list(body["types"]) == ["email"]
        everything = ask(url)[1]
        assert isinstance(everything, dict)
        assert (everything["types"]["other"]["due"], everything["types"]["other"]["pools_alive"]) == (50, 0)
        assert ask(f"{url}?taget=1")[0] == 400
        go_on.set()


def test_a_request_asks_nobody(make_manager: MakeManager, monkeypatch: pytest.MonkeyPatch) -> None:
    manager = make_manager(executors={"a": lambda data: data})
    with WorkerPool(manager, **OFTEN) as pool:
        routes = pool.routes()
        until(lambda: pool.backlog_view())
        asked: list[str] = []
        call = manager.store._connection.call

        def counted(*arguments: Any, **options: Any) -> Any:
            asked.append(threading.current_thread().name)
            return call(*arguments, **options)

        monkeypatch.setattr(manager.store._connection, "call", counted)
        for _ in range(20):
            assert routes["/backlog"](Asked(query="type=a"))[0] == 200
        until(lambda: asked, "a call of the pool itself")
        assert threading.current_thread().name not in asked


@pytest.mark.parametrize("asked", ["", "?type=a"], ids=["all", "one"])
def test_a_pool_that_does_not_count_says_so(make_manager: MakeManager, asked: str) -> None:
    manager: JobManager = make_manager(executors={"a": lambda data: data})
    with WorkerPool(manager, backlog_interval=0) as pool:
        status, body = ask(f"{pool.serve_metrics(0).url}/backlog{asked}")
    assert (status, body) == (503, "not counted yet, or not by this pool: see its backlog_interval\n")
