"""A pool from start to stop, on a real server."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from pymongo import MongoClient
from pymongo.monitoring import ConnectionPoolListener

from jobpool import Backoff, Executor, JobManager, State, WorkerPool, current_job
from jobpool.embedded import EmbeddedMongo
from jobpool.errors import ForkedProcess, InvalidConfiguration, PoolStateError, UnknownType
from jobpool.pool import at_exit
from jobpool.pool.recorder import Record
from jobpool.store.claiming import STRATEGIES

from ..conftest import Jobs, MakeManager
from ..waiting import PATIENCE, until


def threads_of_pools() -> set[str]:
    """Return their names, without that of who waits for jobs: it ends by itself some seconds later."""
    names = {thread.name for thread in threading.enumerate() if thread.name.startswith("jobpool-")}
    return names - {"jobpool-shared-notifier"}


def sample(manager: JobManager, name: str, **labels: str) -> float:
    return manager.metrics.registry.get_sample_value(name, labels) or 0.0


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_two_pools_run_5000_jobs_exactly_once(make_manager: MakeManager, strategy: str) -> None:
    total = 5000 if strategy != "single" else 1000  # a trip per job: the same proof in the same time
    ran: list[int] = []
    manager = make_manager(executors={"a": ran.append})
    manager.create_many([{"type": "a", "data": n} for n in range(total)])
    with WorkerPool(manager, name="one", strategy=strategy), WorkerPool(manager, name="two", strategy=strategy):
        until(lambda: manager.count(state="succeeded") == total, "the last job", 100)
    assert Counter(ran) == Counter(range(total))
    assert {job.attempts for job in manager.find(limit=10_000)} == {1}
    claimed = sum(sample(manager, "jobpool_jobs_claimed_total", pool=pool) for pool in ("one", "two"))
    assert claimed == sample(manager, "jobpool_attempts_total", type="a", outcome="succeeded") == total


def test_a_drain_runs_everything_claimed_and_leaves_nothing(make_manager: MakeManager, jobs: Jobs) -> None:
    begun = threading.Semaphore(0)
    manager = make_manager(executors={"a": lambda data: begun.release()})
    manager.create_many([{"type": "a", "data": n} for n in range(3000)])
    pool = WorkerPool(manager, threads=4).start()
    for _ in range(50):
        assert begun.acquire(timeout=PATIENCE)
    assert pool.drain(60)
    assert pool.state == "draining"
    assert jobs.count_documents({"state": {"$in": ["claimed", "running"]}}) == 0
    left = manager.count(state="pending")
    report = pool.stop()
    assert (report.released, report.abandoned, report.threads) == ((), (), ())
    assert manager.count(state="pending") == left
    assert not threads_of_pools()


def test_a_stop_releases_what_has_not_started_and_abandons_what_runs(
    make_manager: MakeManager, jobs: Jobs
) -> None:
    release, begun = threading.Event(), threading.Semaphore(0)

    def work(data: int) -> None:
        begun.release()
        release.wait(PATIENCE)

    manager = make_manager(executors={"a": work})
    manager.create_many([{"type": "a", "data": n} for n in range(40)])
    pool = WorkerPool(manager, threads=2, queue_size=10, lease=30)
    pool._parts.pace.observe("a", 1e-6)  # it takes these jobs for short ones, and so takes some ahead
    pool.start()
    for _ in range(2):
        assert begun.acquire(timeout=PATIENCE)
    report = pool.stop(timeout=0.2)
    running = list(jobs.find({"state": "running"}))
    assert sorted(report.abandoned) == sorted(document["_id"] for document in running)
    assert len(running) == 2
    assert len(report.released) >= 8
    assert jobs.count_documents({"state": "claimed"}) == 0
    assert {document["attempts"] for document in jobs.find({"state": "pending"})} == {0}
    release.set()
    until(lambda: not threads_of_pools(), "the end of the abandoned threads")
    assert jobs.count_documents({"state": "running"}) == 2, "an abandoned outcome is not recorded"


def test_jobs_behind_a_hanging_one_are_given_to_others_unspent(make_manager: MakeManager, jobs: Jobs) -> None:
    """A pool that took many short jobs ahead meets one that hangs; another pool runs the rest."""
    release, hanging = threading.Event(), threading.Event()

    def work(data: int) -> None:
        if data == 0:
            hanging.set()
            release.wait(PATIENCE)

    manager = make_manager(executors={"a": work})
    manager.create_many([{"type": "a", "data": n, "priority": -n} for n in range(50)])
    one = WorkerPool(manager, name="one", threads=1, lease=2)
    one._parts.pace.observe("a", 1e-6)
    with one:
        assert hanging.wait(PATIENCE)
        until(lambda: jobs.count_documents({"state": {"$in": ["claimed", "running"]}}) > 10, "jobs taken ahead")
        with WorkerPool(manager, name="two", threads=2, lease=2):
            until(lambda: manager.count(state="succeeded") == 49, "the jobs behind it")
        release.set()
        until(lambda: manager.count(state="succeeded") == 50, "the hanging job")
    assert {job.attempts for job in manager.find()} == {1}


def test_no_execution_starts_after_stop_returned(make_manager: MakeManager) -> None:
    ran: list[float] = []
    manager = make_manager(executors={"a": ran.append})
    manager.create_many([{"type": "a", "data": n} for n in range(5000)])
    pool = WorkerPool(manager).start()
    until(lambda: ran, "the first job")
    pool.stop(timeout=0)
    count = len(ran)
    assert not threads_of_pools()
    assert len(ran) == count < 5000


@pytest.mark.parametrize(
    "raised", [SystemExit(1), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError(), BaseException("own")]
)
@pytest.mark.parametrize("kind", ["plain", "coroutine"])
def test_whatever_is_raised_costs_one_attempt_and_no_thread(
    make_manager: MakeManager, raised: BaseException, kind: str
) -> None:
    def plain(data: object) -> None:
        raise raised

    async def coroutine(data: object) -> None:
        raise raised

    manager = make_manager(executors={"bad": plain if kind == "plain" else coroutine, "good": lambda data: "fine"})
    manager.create_many([{"type": "bad", "data": n} for n in range(10)])
    with WorkerPool(manager, threads=2) as pool:
        until(lambda: manager.count(state="failed") == 10)
        good = manager.create("good")
        assert manager.wait(good.id, PATIENCE).result == "fine"
        assert pool.health().is_ready
    assert {job.error.type for job in manager.find(type="bad") if job.error} == {type(raised).__name__}
    assert sample(manager, "jobpool_internal_errors_total", component="workers") == 0


def test_coroutines_run_together_on_one_loop(make_manager: MakeManager) -> None:
    """Eight coroutines meet, which they could not one after the other."""
    loops: set[int] = set()
    state: dict[str, Any] = {"here": 0}

    async def meet(data: int) -> str:
        loops.add(id(asyncio.get_running_loop()))
        event = state.setdefault("event", asyncio.Event())
        state["here"] += 1
        if state["here"] == 8:
            event.set()
        await asyncio.wait_for(event.wait(), PATIENCE)
        return current_job().id

    manager = make_manager(executors={"a": meet})
    created = manager.create_many([{"type": "a", "data": n} for n in range(8)])
    with WorkerPool(manager, threads=8):
        assert [manager.wait(id, PATIENCE).result for id in created.ids] == created.ids
    assert len(loops) == 1


def test_a_child_task_that_exits_does_not_end_the_loop_of_the_others(make_manager: MakeManager) -> None:
    async def child() -> None:
        raise SystemExit(5)

    async def parent(data: int) -> str:
        if data == 0:
            await asyncio.gather(child())
        return "fine"

    manager = make_manager(executors={"a": parent})
    with WorkerPool(manager, threads=1):
        bad = manager.wait(manager.create("a", 0).id, PATIENCE)
        good = manager.wait(manager.create("a", 1).id, PATIENCE)
    assert bad.error is not None
    assert (bad.error.type, good.result) == ("SystemExit", "fine")


def test_an_outcome_that_cannot_be_stored_holds_nobody_else_up(
    make_manager: MakeManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread changes a result after it was checked."""
    manager = make_manager(executors={"a": lambda data: {"n": data}})
    created = manager.create_many([{"type": "a", "data": n} for n in range(30)])
    pool = WorkerPool(manager, threads=4)
    put = pool._parts.recorder.put

    def change_and_put(record: Record) -> None:
        if record.outcome.result["n"] == 0:
            record.outcome.result["n"] = {1, 2}
        put(record)

    monkeypatch.setattr(pool._parts.recorder, "put", change_and_put)
    with pool:
        jobs = [manager.wait(id, PATIENCE) for id in created.ids]
    assert [job.state for job in jobs] == [State.SUCCEEDED] * 30
    assert [job.result for job in jobs] == [None, *({"n": n} for n in range(1, 30))]
    assert jobs[0].result_error is not None
    assert jobs[0].result_error.startswith("InvalidDocument: ")


def test_a_collection_that_refuses_what_ends_its_jobs_ends_them_by_their_leases(
    make_manager: MakeManager, client: MongoClient[dict[str, Any]], database: str
) -> None:
    """Rules that somebody else gave it allow no result and no error: nothing is repeated for ever."""
    manager = make_manager(executors={"a": lambda data: data, "b": lambda data: None})
    manager.ensure_indexes()
    refused = {"result_error": {"$exists": False}, "error": {"$exists": False}, "result": {"$ne": 1}}
    client[database].command("collMod", "jobs", validator=refused)
    with WorkerPool(manager, lease=1, heartbeat=0.2, reap_interval=0.2):
        one, other = manager.create("a", 1), manager.create("b", 2)
        assert other.wait(PATIENCE).state is State.SUCCEEDED
        until(lambda: manager.get(one.id).lease_until is not None)
        value = manager.metrics.registry.get_sample_value
        until(lambda: value("jobpool_attempts_total", {"type": "a", "outcome": "lost"}) == 1)
        client[database].command("collMod", "jobs", validator={})
        job = one.wait(PATIENCE)
    assert (job.state, job.error.type) == (State.FAILED, "WorkerLost")  # type: ignore[union-attr]


def test_a_dropped_collection_is_noticed_and_made_anew(make_manager: MakeManager, jobs: Jobs) -> None:
    manager = make_manager(executors={"a": lambda data: data})
    with WorkerPool(manager) as pool:
        assert manager.wait(manager.create("a", 1).id, PATIENCE).result == 1
        jobs.drop()
        assert manager.wait(manager.create("a", 2).id, PATIENCE).result == 2
        until(lambda: "jobpool_claim" in jobs.index_information(), "the indexes")
        until(lambda: pool.health().is_ready, "the all-clear")


def test_a_retry_runs_again_in_the_pool(make_manager: MakeManager) -> None:
    attempts: list[int] = []

    def work(data: object) -> None:
        attempts.append(current_job().attempt)
        if len(attempts) < 3:
            raise OSError("again")

    manager = make_manager(executors={"a": Executor(work, max_attempts=3, backoff=Backoff(base=0.01))})
    id = manager.create("a").id
    with WorkerPool(manager):
        job = manager.wait(id, PATIENCE)
    assert (job.state, attempts) == (State.SUCCEEDED, [1, 2, 3])
    assert sample(manager, "jobpool_attempts_total", type="a", outcome="retried") == 2


def test_a_scheduled_job_does_not_start_before_its_time(make_manager: MakeManager) -> None:
    manager = make_manager(executors={"a": lambda data: datetime.now(UTC)})
    with WorkerPool(manager):
        job = manager.wait(manager.create("a", delay=1.2).id, PATIENCE)
    assert job.started_at is not None
    assert job.started_at >= job.run_at
    assert job.result >= job.run_at


@pytest.mark.parametrize("source", ["local", "push", "poll"])
def test_an_idle_pool_wakes_up_by(make_manager: MakeManager, source: str) -> None:
    manager = make_manager(executors={"a": lambda data: data})
    producer = manager if source == "local" else make_manager()
    with WorkerPool(manager, push=source == "push", poll_interval=0.2 if source == "poll" else 60):
        wakeups = {"pool": "default", "source": source}
        for number in range(20):
            if source != "poll":
                until(lambda: manager.wakeups.pushing_since() or source == "local", "the change stream")
            manager.wait(producer.create("a", number).id, PATIENCE)
        until(lambda: sample(manager, "jobpool_wakeups_total", **wakeups), f"a wake-up by {source}")


def test_pools_share_one_waker_that_ends_with_the_last(make_manager: MakeManager) -> None:
    manager = make_manager(executors={"a": print})
    one = manager.start_watch(name="one")
    two = manager.start_watch(name="two")
    assert "jobpool-shared-waker" in threads_of_pools()
    one.stop()
    assert "jobpool-shared-waker" in threads_of_pools()
    two.stop()
    assert not threads_of_pools()


def test_the_queue_keeps_its_bound_and_slow_jobs_are_not_hoarded(make_manager: MakeManager, jobs: Jobs) -> None:
    release, begun = threading.Event(), threading.Semaphore(0)

    def slow(data: int) -> None:
        begun.release()
        release.wait(PATIENCE)

    manager = make_manager(executors={"a": slow})
    manager.create_many([{"type": "a", "data": n} for n in range(50)])
    with WorkerPool(manager, threads=4, queue_size=3) as pool:
        for _ in range(4):
            assert begun.acquire(timeout=PATIENCE)
        held = jobs.count_documents({"state": {"$in": ["claimed", "running"]}})
        assert pool.gauges().queued <= 3
        assert held <= 4 + 3
        release.set()
        until(lambda: manager.count(state="succeeded") == 50)


def test_a_tiny_pool_works(make_manager: MakeManager) -> None:
    manager = make_manager(executors={"a": lambda data: data})
    manager.create_many([{"type": "a", "data": n} for n in range(50)])
    with WorkerPool(manager, threads=1, queue_size=1, batch_size=1):
        until(lambda: manager.count(state="succeeded") == 50)


def test_a_long_job_keeps_its_lease(make_manager: MakeManager, jobs: Jobs) -> None:
    release, begun = threading.Event(), threading.Event()

    def work(data: object) -> bool:
        begun.set()
        release.wait(PATIENCE)
        return current_job().lost

    manager = make_manager(executors={"a": work})
    id = manager.create("a").id
    with WorkerPool(manager, lease=1, threads=2), WorkerPool(manager, lease=1, name="other"):
        assert begun.wait(PATIENCE)
        extended = "jobpool_lease_extensions_total"
        until(
            lambda: (
                sample(manager, extended, pool="default", result="extended")
                + sample(manager, extended, pool="other", result="extended")
                >= 6
            )
        )
        release.set()
        job = manager.wait(id, PATIENCE)
    assert (job.state, job.attempts, job.fence, job.result) == (State.SUCCEEDED, 1, 1, False)


def test_a_lost_job_is_told_and_its_outcome_is_refused(make_manager: MakeManager, jobs: Jobs) -> None:
    begun, told = threading.Event(), threading.Event()

    def work(data: object) -> str:
        job = current_job()
        begun.set()
        until(lambda: job.lost, "the loss")
        told.set()
        return "too late"

    manager = make_manager(executors={"a": work})
    id = manager.create("a").id
    with WorkerPool(manager, lease=1) as pool:
        assert begun.wait(PATIENCE)
        jobs.update_one({"_id": id}, {"$set": {"claim": "somebody else", "fence": 2}})
        assert told.wait(PATIENCE)
        assert pool.drain(PATIENCE)
        until(lambda: sample(manager, "jobpool_attempts_total", type="a", outcome="lost"), "the refusal")
    stored = jobs.find_one({"_id": id})
    assert stored is not None
    assert (stored["state"], stored["claim"], stored.get("result")) == ("running", "somebody else", None)


def test_metrics_equal_history(make_manager: MakeManager) -> None:
    def work(data: int) -> None:
        if data % 10 == 0:
            raise ValueError("tenth")

    manager = make_manager(executors={"a": work})
    manager.create_many([{"type": "a", "data": n} for n in range(500)])
    with WorkerPool(manager) as pool:
        until(lambda: manager.count(state="pending") == 0 and pool.drain(PATIENCE))
    attempts = {o: sample(manager, "jobpool_attempts_total", type="a", outcome=o) for o in ("succeeded", "failed")}
    assert attempts == {"succeeded": 450, "failed": 50}
    assert sample(manager, "jobpool_jobs_claimed_total", pool="default") == 500
    assert sample(manager, "jobpool_job_errors_total", type="a", error="ValueError") == 50
    assert sample(manager, "jobpool_job_duration_seconds_count", type="a") == 500
    assert sample(manager, "jobpool_job_wait_seconds_count", type="a") == 500
    assert sample(manager, "jobpool_jobs_created_total", type="a", result="inserted") == 500
    for gauge in (
        "jobpool_threads_busy",
        "jobpool_queue_jobs",
        "jobpool_threads",
        "jobpool_longest_running_job_seconds",
    ):
        assert sample(manager, gauge, pool="default") == 0, gauge


def test_the_endpoint_serves_metrics_and_health(make_manager: MakeManager) -> None:
    manager = make_manager(executors={"a": lambda data: data})
    manager.create("a", 1)
    with WorkerPool(manager) as pool:
        server = pool.serve_metrics(0)
        assert server.addr == "127.0.0.1"
        counted = 'jobpool_attempts_total{outcome="succeeded",type="a"} 1.0'
        until(lambda: counted in urlopen(f"{server.url}/metrics").read().decode())
        for path in ("/healthz", "/readyz"):
            assert urlopen(server.url + path).status == 200
        pool.drain(PATIENCE)
        with pytest.raises(HTTPError) as refused:
            urlopen(f"{server.url}/readyz")
        assert refused.value.code == 503
        assert b"draining" in refused.value.read()
        assert urlopen(f"{server.url}/healthz").status == 200
    assert "jobpool-http" not in threads_of_pools()


def test_stop_may_be_called_twice_together_and_before_start(make_manager: MakeManager) -> None:
    manager = make_manager(executors={"a": print})
    WorkerPool(manager).stop()
    pool = WorkerPool(manager).start()
    with ThreadPoolExecutor(4) as callers:
        reports = [future.result(PATIENCE) for future in [callers.submit(pool.stop) for _ in range(4)]]
    assert pool.stop() is reports[0]
    assert pool.state == "stopped"
    with pytest.raises(PoolStateError, match="stopped"):
        pool.start()


@pytest.mark.parametrize("broken", [False, True])
def test_a_stop_in_the_middle_of_a_start_leaves_nothing_behind(
    make_manager: MakeManager, monkeypatch: pytest.MonkeyPatch, broken: bool
) -> None:
    """Not even when no thread can be started any more."""
    manager = make_manager(executors={"a": print})
    pool = WorkerPool(manager)
    start = pool._parts.fetcher.start

    def stop_first() -> None:
        with ThreadPoolExecutor(1) as other:
            other.submit(pool.stop).result(PATIENCE)
        at_exit.end_with_main_thread(pool)  # as if the stop had come before all of this
        manager.wakeups.add(pool._parts.listener, pool._parts.pushed, manager.store, manager.observer)
        if broken:
            raise RuntimeError("can't start new thread")
        start()

    monkeypatch.setattr(pool._parts.fetcher, "start", stop_first)
    with pytest.raises(PoolStateError) if broken else nullcontext():
        pool.start()
    assert pool.state == "stopped"
    assert pool not in at_exit._running
    assert manager.wakeups.waker is None
    until(lambda: not threads_of_pools(), "the end of the threads")


def test_an_executor_that_stops_its_own_pool_gets_an_error(make_manager: MakeManager) -> None:
    pools: list[WorkerPool] = []
    manager = make_manager(executors={"a": lambda data: pools[0].stop()})
    id = manager.create("a").id
    pools.append(WorkerPool(manager))
    with pools[0]:
        job = manager.wait(id, PATIENCE)
    assert job.error is not None
    assert job.error.type == "PoolStateError"


def test_a_coroutine_that_stops_its_own_pool_gets_an_error(make_manager: MakeManager) -> None:
    pools: list[WorkerPool] = []

    async def stop(data: object) -> None:
        pools[0].stop()

    manager = make_manager(executors={"a": stop})
    id = manager.create("a").id
    pools.append(WorkerPool(manager))
    with pools[0]:
        job = manager.wait(id, PATIENCE)
    assert job.error is not None
    assert job.error.type == "PoolStateError"


def test_a_stop_that_is_interrupted_still_ends_everything(
    make_manager: MakeManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while the pool drains."""
    release, begun = threading.Event(), threading.Event()

    def work(data: object) -> None:
        begun.set()
        release.wait(PATIENCE)

    manager = make_manager(executors={"a": work})
    id = manager.create("a").id
    pool = WorkerPool(manager).start()
    assert begun.wait(PATIENCE)

    def interrupt(deadline: float | None) -> bool:
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(pool._parts.held, "wait_empty", interrupt)
    with pytest.raises(KeyboardInterrupt):
        pool.stop()
    assert pool.state == "stopped"
    assert pool.stop().abandoned == (id,)
    release.set()
    until(lambda: not threads_of_pools(), "the end of the threads")


def test_a_pool_runs_without_a_main_thread_and_touches_nothing_of_its_host(make_manager: MakeManager) -> None:
    from prometheus_client import REGISTRY

    def state() -> tuple[Any, ...]:
        handlers = tuple(signal.getsignal(number) for number in signal.valid_signals() if number != signal.SIGKILL)
        root = logging.getLogger()
        return handlers, root.level, tuple(root.handlers), os.getcwd(), tuple(REGISTRY.collect())

    before = state()
    manager = make_manager(executors={"a": lambda data: data})
    id = manager.create("a").id

    def host() -> None:
        with WorkerPool(manager):
            manager.wait(id, PATIENCE)

    thread = threading.Thread(target=host)
    thread.start()
    thread.join()
    after = state()
    assert manager.get(id).state is State.SUCCEEDED
    assert before[:4] == after[:4]
    assert {family.name for family in before[4]} == {family.name for family in after[4]}
    assert not threads_of_pools()


class Connections(ConnectionPoolListener):
    """Counts those that the driver keeps for later: as many as threads ever met at the server."""

    def __init__(self) -> None:
        self.kept = 0

    def connection_created(self, event: object) -> None:
        self.kept += 1

    def connection_closed(self, event: object) -> None:
        self.kept -= 1

    def _ignored(self, event: object) -> None:
        return

    connection_ready = connection_check_out_started = connection_check_out_failed = _ignored
    connection_checked_out = connection_checked_in = _ignored
    pool_created = pool_ready = pool_cleared = pool_closed = _ignored


def test_many_lives_leave_no_thread_and_no_descriptor(server: EmbeddedMongo, make_manager: MakeManager) -> None:
    connections = Connections()

    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd")) - connections.kept

    with MongoClient[dict[str, Any]](server.uri, event_listeners=[connections]) as client:
        manager = make_manager(client=client, executors={"a": lambda data: data})
        for number in range(3):  # the driver's monitors come first
            with WorkerPool(manager):
                manager.wait(manager.create("a", number).id, PATIENCE)
        before = descriptors()
        for number in range(3, 15):
            with WorkerPool(manager):
                manager.wait(manager.create("a", number).id, PATIENCE)
        assert not threads_of_pools()
        assert descriptors() <= before + 2
        assert connections.kept > 0
        manager.close()


def test_a_forked_child_is_refused(make_manager: MakeManager) -> None:
    manager = make_manager(executors={"a": print})
    manager.create("a", 1)
    pool = WorkerPool(manager)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        answers = []
        for attempt in (pool.start, lambda: manager.create("a", 2), lambda: manager.get("x")):
            try:
                attempt()
            except ForkedProcess:
                answers.append(b"refused ")
            except BaseException as error:
                answers.append(repr(error).encode())
        os.write(writing, b"".join(answers))
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 1000) == b"refused refused refused "
    os.close(reading)
    os.close(writing)
    assert manager.count() == 1


def test_unknown_types_and_options_are_refused_before_anything_starts(make_manager: MakeManager) -> None:
    manager = make_manager(executors={"a": print})
    with pytest.raises(UnknownType):
        WorkerPool(manager, ["b"])
    with pytest.raises(UnknownType):
        WorkerPool(make_manager())
    with pytest.raises(InvalidConfiguration, match="theads"):
        WorkerPool(manager, theads=3)  # type: ignore[call-arg]
    with pytest.raises(InvalidConfiguration, match="strategy"):
        WorkerPool(manager, strategy="lucky")
    with pytest.raises(InvalidConfiguration, match="several names"):
        WorkerPool(manager, "a")
    assert not threads_of_pools()


def test_start_watch_and_stop_watch(make_manager: MakeManager) -> None:
    manager = make_manager(executors={"a": lambda data: data, "b": lambda data: data})
    pool = manager.start_watch("a", threads=2)
    manager.create("b", 1)
    assert manager.wait(manager.create("a", 1).id, PATIENCE).result == 1
    (report,) = manager.stop_watch(PATIENCE)
    assert (report.abandoned, pool.state) == ((), "stopped")
    assert manager.stop_watch() == []
    assert manager.count(type="b", state="pending") == 1


def test_news_claim_nothing_for_threads_that_are_busy(make_manager: MakeManager) -> None:
    """Another pool may have a thread for it."""
    release = threading.Event()
    manager = make_manager(executors={"a": lambda data: release.wait(PATIENCE)})
    with WorkerPool(manager, threads=1, poll_interval=0.05) as pool:
        until(lambda: pool.wait_drained(0.01), "the first look")
        manager.create("a", 0)
        until(lambda: manager.count(state="running") == 1, "the job in hand")
        for number in range(1, 6):
            manager.create("a", number)
        blocked = blocked_seconds(manager)
        until(lambda: blocked_seconds(manager) > blocked, "a fetcher that waits for room")
        assert (manager.count(state="claimed"), manager.count(state="pending")) == (0, 5)
        release.set()
        until(lambda: manager.count(state="succeeded") == 6, "the others")


def blocked_seconds(manager: JobManager) -> float:
    labels = {"pool": "default"}
    return manager.metrics.registry.get_sample_value("jobpool_fetcher_blocked_seconds_total", labels) or 0.0
