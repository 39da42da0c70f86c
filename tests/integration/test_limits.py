"""Keys and limits of executors, in pools. What was held at once is judged by the oplog."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from pymongo import MongoClient

from jobpool import AsyncJobManager, Executor, Limit, State
from jobpool.embedded import EmbeddedMongo
from jobpool.errors import InvalidJob
from jobpool.store.claiming import keying, keys

from ..awaited import drive
from ..conftest import Jobs, MakeManager
from ..gates import busiest, by_key, by_type, claimed_at, most_held
from ..waiting import until
from .test_gates import asked, gate
from .test_transitions import expire

Client = MongoClient[dict[str, Any]]


def nothing(data: Any) -> None:
    """Take no time."""


def done(jobs: Jobs, count: int, type: str = "a") -> None:
    until(lambda: jobs.count_documents({"type": type, "state": "succeeded"}) == count, f"{count} jobs")


@pytest.mark.parametrize("strategy", ["single", "batch", "window"])
def test_pools_together_run_no_more_than_the_limits_say(
    make_manager: MakeManager, client: Client, jobs: Jobs, strategy: str
) -> None:
    executor = Executor(nothing, key="tenant", limit=Limit(running=5), key_limit=Limit(running=2))
    managers = [make_manager(executors={"a": executor, "b": nothing}) for _ in range(3)]
    managers[0].create_many({"type": "a", "data": {"tenant": n % 10, "n": n}} for n in range(150))
    managers[0].create_many({"type": "b", "data": n} for n in range(300))
    for manager in managers:
        manager.start_watch(threads=4, strategy=strategy)
    done(jobs, 150)
    done(jobs, 300, "b")
    assert most_held(client, jobs.full_name, by_type)["a"] <= 5
    held = most_held(client, jobs.full_name, by_key)
    assert max(held["a", str(tenant)] for tenant in range(10)) <= 2
    assert jobs.count_documents({"attempts": 1}) == 450


def test_a_place_that_becomes_free_is_taken_at_once(make_manager: MakeManager, jobs: Jobs) -> None:
    """The pool looks only every hour; its own finish wakes it."""
    manager = make_manager(executors={"a": Executor(nothing, limit=Limit(running=1))})
    manager.create_many({"type": "a", "data": n} for n in range(20))
    manager.start_watch(threads=4, poll_interval=3600, push=False)
    done(jobs, 20)


def test_the_places_of_a_dead_holder_are_free_when_its_leases_end(
    make_manager: MakeManager, client: Client, jobs: Jobs
) -> None:
    """Nobody but the one that is held up looks for them."""
    manager = make_manager(executors={"a": Executor(nothing, limit=Limit(running=1), max_attempts=2, backoff=0)})
    manager.create_many({"type": "a", "data": n} for n in range(3))
    dead = manager.store.gated()
    assert dead.claim(asked(1, gate(limit=Limit(running=1)))).documents
    manager.start_watch(reap_interval=3600)
    until(lambda: manager.wakeups.waker is not None, "the pool")
    assert jobs.count_documents({"state": "pending"}) == 2
    expire(jobs)
    done(jobs, 3)
    assert most_held(client, jobs.full_name, by_type) == {"a": 1}


def test_a_full_type_holds_up_no_other(make_manager: MakeManager, jobs: Jobs) -> None:
    going_on = threading.Event()
    manager = make_manager(
        executors={
            "full": Executor(lambda data: going_on.wait(), limit=Limit(running=1)),
            "slow": Executor(nothing, limit=Limit(rate=1, per=86400)),
            "keys": Executor(nothing, key="tenant", key_limit=Limit(running=1)),
            "plain": nothing,
        }
    )
    for type in ("full", "slow", "keys", "plain"):
        manager.create_many({"type": type, "data": {"tenant": n % 3, "n": n}, "priority": 5} for n in range(30))
    manager.start_watch(threads=3)
    done(jobs, 30, "plain")
    done(jobs, 30, "keys")
    done(jobs, 1, "slow")
    assert jobs.count_documents({"type": "full", "state": "running"}) == 1
    going_on.set()
    done(jobs, 30, "full")
    assert jobs.count_documents({"type": "slow", "state": "pending"}) == 29


def test_a_rate_holds_across_pools_in_every_window(make_manager: MakeManager, client: Client, jobs: Jobs) -> None:
    executor = Executor(nothing, limit=Limit(rate=100, burst=10))
    managers = [make_manager(executors={"a": executor}) for _ in range(2)]
    managers[0].create_many({"type": "a", "data": n} for n in range(100))
    for manager in managers:
        manager.start_watch(threads=4)
    done(jobs, 100)
    (instants,) = claimed_at(client, jobs.full_name, by_type).values()
    assert len(instants) == 100
    for window in (0.01, 0.05, 0.1, 0.3, 0.5):
        assert busiest(instants, window) <= 10 + 100 * (window + 0.002)  # instants are whole milliseconds
    started = sorted(job["started_at"] for job in jobs.find())
    assert busiest(started, 0.1) <= 10 + 100 * 0.102


def test_a_tenant_with_few_jobs_does_not_wait_for_one_with_many(make_manager: MakeManager, jobs: Jobs) -> None:
    manager = make_manager(executors={"a": Executor(nothing, key=lambda data: data["tenant"])})
    manager.create_many({"type": "a", "data": {"tenant": "hog", "n": n}} for n in range(3000))
    ids = manager.create_many({"type": "a", "data": {"tenant": "x", "n": n}} for n in range(10)).ids
    manager.start_watch(threads=2, batch_size=50)
    manager.wait_many(ids, timeout=60)
    assert jobs.count_documents({"state": "pending"}) > 1500
    done(jobs, 3010)


def test_jobs_of_a_producer_that_knows_no_executor_are_run(make_manager: MakeManager, jobs: Jobs) -> None:
    producer = make_manager()
    manager = make_manager(executors={"a": Executor(nothing, key="customer.id", key_limit=Limit(running=1))})
    producer.create_many({"type": "a", "data": {"customer": {"id": n % 3}, "n": n}} for n in range(9))
    manager.start_watch()
    done(jobs, 9)
    producer.create("a", {"customer": {"id": 7}})
    done(jobs, 10)
    assert jobs.distinct("key") == ["0", "1", "2", "7"]


def test_a_job_has_the_key_that_its_executor_or_its_producer_says(make_manager: MakeManager, jobs: Jobs) -> None:
    manager = make_manager(executors={"a": Executor(nothing, key="tenant"), "plain": nothing})
    assert manager.create("a", {"tenant": "x"}).key == "x"
    assert manager.create("a", {"tenant": "x"}, id="own", key="y").key == "y"
    assert manager.create("a", {"other": 1}).key == ""
    assert manager.create("plain", 1).key is None
    assert "key" not in (jobs.find_one({"type": "plain"}) or {})
    assert manager.create("plain", 2, key="z").key == "z"
    manager.create_many([{"type": "a", "data": {"tenant": 5}}, {"type": "a", "data": 1, "key": "$x"}])
    assert {job.key for job in manager.find()} == {"x", "y", "", None, "z", "5", "$x"}
    assert manager.run_all() == 7


def test_a_producer_in_an_event_loop_may_say_the_key(server: EmbeddedMongo, database: str, jobs: Jobs) -> None:
    async def produce() -> str | None:
        async with AsyncJobManager(database, uri=server.uri) as manager:
            await manager.create_many([{"type": "a", "data": 1, "key": "y"}])
            return (await manager.create("a", {"n": 1}, key="x")).key

    assert drive(produce()) == "x"
    assert sorted(jobs.distinct("key")) == ["x", "y"]


@pytest.mark.parametrize("key", ["", "k" * 257, 5, "line\nbreak"], ids=["empty", "long", "number", "lines"])
def test_a_key_that_cannot_be_one_is_refused(make_manager: MakeManager, key: Any) -> None:
    with pytest.raises(InvalidJob, match="key"):
        make_manager().create("a", 1, key=key)


def test_jobs_whose_type_is_not_limited_any_more_are_run_as_any_other(
    make_manager: MakeManager, jobs: Jobs
) -> None:
    before = make_manager(executors={"a": Executor(nothing, key="tenant", key_limit=Limit(running=1))})
    before.create_many({"type": "a", "data": {"tenant": n, "n": n}} for n in range(5))
    make_manager(executors={"a": nothing}).start_watch()
    done(jobs, 5)


def test_a_paused_type_with_limits_is_not_claimed_and_goes_on_later(make_manager: MakeManager, jobs: Jobs) -> None:
    manager = make_manager(executors={"a": Executor(nothing, key="tenant"), "b": nothing})
    manager.pause("a")
    manager.start_watch()
    manager.create("a", {"tenant": 1})
    manager.create("b", 1)
    done(jobs, 1, "b")
    assert jobs.count_documents({"type": "a", "state": "pending"}) == 1
    manager.resume("a")
    done(jobs, 1)


def test_a_pool_with_limits_gives_back_what_it_has_not_started_when_it_stops(
    make_manager: MakeManager, jobs: Jobs
) -> None:
    going_on = threading.Event()
    manager = make_manager(executors={"a": Executor(lambda data: going_on.wait(), key="tenant")})
    manager.create_many({"type": "a", "data": {"tenant": n % 2, "n": n}} for n in range(8))
    pool = manager.start_watch(threads=2)
    until(lambda: jobs.count_documents({"state": "running"}) == 2, "two jobs")
    going_on.set()
    pool.drain()
    pool.stop()
    assert jobs.count_documents({"state": {"$in": ["claimed", "running"]}}) == 0


def test_a_burst_worker_waits_for_what_a_limit_holds_back(make_manager: MakeManager, jobs: Jobs) -> None:
    """Nothing is in flight while the bucket is empty, and jobs are due all the same."""
    manager = make_manager(executors={"a": Executor(nothing, limit=Limit(rate=10, burst=1))})
    manager.create_many({"type": "a", "data": n} for n in range(4))
    pool = manager.start_watch()
    assert pool.wait_drained(60)
    assert jobs.count_documents({"state": "succeeded"}) == 4


def test_failed_attempts_give_their_places_back(make_manager: MakeManager, client: Client, jobs: Jobs) -> None:
    def fails(data: Any) -> None:
        raise ValueError

    manager = make_manager(executors={"a": Executor(fails, limit=Limit(running=1), max_attempts=3, backoff=0)})
    ids = manager.create_many({"type": "a", "data": n} for n in range(4)).ids
    manager.start_watch()
    ended = manager.wait_many(ids, timeout=60)
    assert {(job.state, job.attempts) for job in ended} == {(State.FAILED, 3)}
    assert most_held(client, jobs.full_name, by_type) == {"a": 1}


def test_jobs_without_limits_cost_what_they_did(make_manager: MakeManager, jobs: Jobs) -> None:
    """No field, no index, no gate."""
    manager = make_manager(executors={"a": nothing})
    manager.create_many({"type": "a", "data": n} for n in range(50))
    manager.start_watch()
    done(jobs, 50)
    assert jobs.count_documents({"key": {"$exists": True}}) == 0
    assert "jobs.gates" not in jobs.database.list_collection_names()
    assert not {"jobpool_key", "jobpool_holder"} & set(jobs.index_information())


def test_the_indexes_for_limits_are_made_with_the_first_claim_that_needs_them(
    make_manager: MakeManager, jobs: Jobs
) -> None:
    """And again when somebody dropped them."""
    manager = make_manager(executors={"a": Executor(nothing, key="tenant")})
    make_manager().ensure_indexes()
    assert "jobpool_key" not in jobs.index_information()
    manager.create("a", {"tenant": 1})
    manager.start_watch()
    done(jobs, 1)
    jobs.drop_index("jobpool_holder")
    jobs.drop_index("jobpool_key")
    manager.create_many({"type": "a", "data": {"tenant": n % 2, "n": n}} for n in range(1500))
    done(jobs, 1501)
    assert manager.ensure_indexes(limits=True) == [] or "jobpool_key" in jobs.index_information()


def test_run_all_leaves_what_a_rate_holds_back_and_run_does_not(make_manager: MakeManager, jobs: Jobs) -> None:
    executor = Executor(nothing, limit=Limit(rate=2, per=86400))
    manager = make_manager(executors={"a": executor, "b": nothing})
    manager.create_many({"type": type, "data": n} for type in "ab" for n in range(5))
    assert (manager.run_all(), jobs.count_documents({"state": "pending", "type": "a"})) == (7, 3)
    assert manager.run_all() == 0
    assert manager.run("a") is not None


def test_run_all_takes_its_places_one_after_the_other(make_manager: MakeManager, jobs: Jobs) -> None:
    """Nobody waits for a place that it has given back itself."""
    manager = make_manager(executors={"a": Executor(nothing, key="tenant", key_limit=Limit(running=1))})
    manager.create_many({"type": "a", "data": {"tenant": n % 3, "n": n}} for n in range(12))
    assert manager.run_all() == 12


def test_run_all_takes_back_what_a_dead_holder_left(make_manager: MakeManager, jobs: Jobs) -> None:
    manager = make_manager(executors={"a": Executor(nothing, limit=Limit(running=1), max_attempts=2, backoff=0)})
    manager.create_many({"type": "a", "data": n} for n in range(2))
    assert manager.run_all("a") == 2  # and no reap is due for a while
    manager.create_many({"type": "a", "data": n} for n in range(10, 13))
    assert manager.store.gated().claim(asked(1, gate(limit=Limit(running=1)))).documents
    assert manager.run_all() == 0
    expire(jobs)
    assert manager.run_all() == 3


def test_callers_of_run_all_and_a_pool_together_run_no_more_than_the_limit_says(
    make_manager: MakeManager, client: Client, jobs: Jobs
) -> None:
    managers = [make_manager(executors={"a": Executor(nothing, limit=Limit(running=2))}) for _ in range(4)]
    managers[0].create_many({"type": "a", "data": n} for n in range(80))
    managers[0].start_watch(threads=4)
    threads = [threading.Thread(target=manager.run_all) for manager in managers[1:]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    done(jobs, 80)
    assert most_held(client, jobs.full_name, by_type)["a"] <= 2
    assert jobs.count_documents({"attempts": 1}) == 80


def test_run_all_and_a_burst_worker_end_only_when_all_jobs_have_their_keys(
    make_manager: MakeManager, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their producer knew no executor, and they are many: a step of the walk gives keys to one at a time."""
    for module, name, value in ((keys, "HEAD", 2), (keys, "PAGE", 2), (keying, "STEP", 1)):
        monkeypatch.setattr(module, name, value)
    manager = make_manager(executors={"a": Executor(nothing, key="tenant")})
    producer = make_manager()
    producer.create_many({"type": "a", "data": {"tenant": "x", "n": n}} for n in range(9))
    assert manager.run_all() == 9
    producer.create_many({"type": "a", "data": {"tenant": "x", "n": n}} for n in range(10, 19))
    pool = manager.start_watch()
    assert pool.wait_drained(30)
    assert jobs.count_documents({"state": "succeeded"}) == 18
