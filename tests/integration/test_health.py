"""Health proves consumption: each way to be deaf turns it red by its name, and merely waiting does not."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from pymongo import MongoClient

from jobpool import JobManager, WorkerPool
from jobpool.embedded import EmbeddedMongo
from jobpool.pool import health as judging
from jobpool.pool.flag import Flag
from jobpool.pool.service import Service

from ..conftest import Jobs, MakeManager
from ..faults.failpoints import fail_command
from ..waiting import PATIENCE, until

LEASE = 1.0
VITAL = ["recorder", "starter", "heartbeat", "reaper", "fetcher"]
Client = MongoClient[dict[str, Any]]
Start = Callable[..., WorkerPool]


@pytest.fixture
def manager(make_manager: MakeManager) -> JobManager:
    return make_manager(executors={"a": lambda data: data}, timeout=2)


@pytest.fixture
def start(manager: JobManager) -> Iterator[Start]:
    """Start pools with a short lease; each has had a claim answered when it is returned."""
    pools = []

    def ready(**options: Any) -> WorkerPool:
        pool = WorkerPool(manager, **{"lease": LEASE, "threads": 2, "poll_interval": 0.2, **options})
        pools.append(pool.start())
        until(lambda: pool.health().is_ready, "the pool's first claim")
        return pool

    yield ready
    for pool in pools:
        pool.stop(timeout=0)


def failed(pool: WorkerPool) -> dict[str, str]:
    """Return what makes ``/healthz`` red."""
    return {name: why for name, why in pool.health().live.items() if why}


def unready(pool: WorkerPool) -> dict[str, str]:
    return {name: why for name, why in pool.health().ready.items() if why}


def service(pool: WorkerPool, role: str) -> Service:
    (found,) = [service for service in pool._parts.services if service.name.endswith(f"-{role}")]
    return found


@contextmanager
def hung(target: Any, method: str) -> Iterator[threading.Event]:
    """Hang the calls of `target`'s `method` until the end of the block; the event says that it hangs."""
    hangs, go_on = threading.Event(), threading.Event()
    real, own = getattr(target, method), method in vars(target)

    def hang(*args: Any, **options: Any) -> Any:
        hangs.set()
        assert go_on.wait(2 * PATIENCE)
        return real(*args, **options)

    setattr(target, method, hang)
    try:
        yield hangs
    finally:
        if own:
            setattr(target, method, real)
        else:
            delattr(target, method)
        go_on.set()


# --- what is healthy ------------------------------------------------------------------------


def test_a_pool_that_merely_waits_stays_healthy(start: Start) -> None:
    pools = [start(poll_interval=0.2), start(poll_interval=30), start(push=False)]
    seen: list[dict[str, str]] = []
    end = time.monotonic() + 5 * LEASE

    def over() -> bool:
        seen.extend({**failed(pool), **unready(pool)} for pool in pools)
        return time.monotonic() > end

    until(over)
    assert [bad for bad in seen if bad] == []
    assert len(seen) > 20
    assert ["waker" in pool.health().live for pool in pools] == [True, True, False]


def test_a_pool_behind_executors_that_take_long_is_busy_and_not_dead(manager: JobManager, start: Start) -> None:
    began, go_on = threading.Semaphore(0), threading.Event()

    @manager.executor("long")
    def long(data: int) -> None:
        began.release()
        assert go_on.wait(2 * PATIENCE)

    pool = start()
    manager.create_many([{"type": "long", "data": n} for n in range(6)])
    assert all(began.acquire(timeout=PATIENCE) for _ in range(2))
    since = time.monotonic()
    silent = LEASE + judging.STEP
    try:
        until(lambda: time.monotonic() - since > silent + LEASE)
        assert failed(pool) == {}
        until(lambda: pool.health().is_ready)
        assert pool.gauges().longest_running > silent
    finally:
        go_on.set()
    until(lambda: manager.count(state="succeeded") == 6)


def test_a_pool_made_long_before_its_start_begins_healthy(manager: JobManager) -> None:
    pool = WorkerPool(manager, lease=LEASE)
    for part in pool._parts.services:
        part.advanced_at -= 3600
    pool._parts.fetcher.looked_at -= 3600
    assert (failed(pool), unready(pool)) == ({}, {"claiming": "the pool is new"})
    with pool:
        assert failed(pool) == {}
        until(lambda: pool.health().is_ready)


def test_a_pool_is_ready_only_when_a_claim_was_answered(manager: JobManager) -> None:
    pool = WorkerPool(manager, lease=30)
    with hung(pool._parts.fetcher, "_claim") as hangs:
        pool.start()
        assert hangs.wait(PATIENCE)
        assert failed(pool) == {}
        assert unready(pool) == {"claims": "no claim has been answered yet"}
    with pool:
        until(lambda: pool.health().is_ready)


def test_a_pool_that_starts_is_not_ready_and_not_dead(manager: JobManager) -> None:
    pool = WorkerPool(manager, lease=LEASE)
    with hung(pool._parts.fetcher, "start") as hangs:
        starting = threading.Thread(target=pool.start)
        starting.start()
        assert hangs.wait(PATIENCE)
        assert (pool.health().live, pool.health().ready) == ({}, {"claiming": "the pool is starting"})
    starting.join(PATIENCE)
    until(lambda: pool.health().is_ready)
    pool.stop(0)


# --- what is not ----------------------------------------------------------------------------


def test_a_service_that_hangs_is_named(start: Start) -> None:
    pools = {role: start() for role in VITAL}
    with ExitStack() as stack:
        for role, pool in pools.items():
            assert stack.enter_context(hung(service(pool, role), "run_once")).wait(PATIENCE)
        for role, pool in pools.items():
            until(lambda: failed(pool), f"the alarm of the {role}")  # noqa: B023
            assert set(failed(pool)) == {role}
            assert failed(pool)[role].startswith("hangs: no step has ended for ")
    until(lambda: all(pool.health().is_ready for pool in pools.values()), "the all-clear")


def test_a_waker_that_hangs_is_named_by_the_pools_that_count_on_it(manager: JobManager, start: Start) -> None:
    pool, polling = start(), start(push=False)
    waker = manager.wakeups.waker
    assert waker is not None
    with hung(waker, "run_once") as hangs:
        assert hangs.wait(PATIENCE)
        until(lambda: failed(pool), "the alarm")
        assert failed(pool)["waker"].startswith("hangs: ")
        assert failed(pool)["waker"].endswith("jobs are found by polling")
        assert failed(polling) == {}
    until(lambda: pool.health().is_ready, "the all-clear")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("role", VITAL)
def test_a_thread_that_ends_is_told_at_once(start: Start, role: str) -> None:
    pool = start(lease=30)
    end_thread(service(pool, role))
    assert failed(pool) == {role: "its thread has ended"}
    assert set(failed_of_body(pool)) == {role}


def end_thread(victim: Service) -> None:
    """Let a service's thread die of what its loop does not survive, although it survives everything."""

    class Fatal(Flag):
        def is_set(self) -> bool:
            if threading.current_thread() is victim._thread:
                raise SystemExit
            return False

    victim._stopping = Fatal()
    victim.wake()
    until(lambda: not victim.alive)


def failed_of_body(pool: WorkerPool) -> dict[str, str]:
    """Return what ``/healthz`` says has failed."""
    server = pool.serve_metrics(0)
    with pytest.raises(HTTPError) as refused:
        urlopen(f"{server.url}/healthz", timeout=PATIENCE)
    assert refused.value.code == 503
    body: dict[str, dict[str, str]] = json.loads(refused.value.read())
    return body["failed"]


def test_worker_threads_that_end_are_counted(start: Start) -> None:
    pool = start(lease=30)
    pool._parts.workers._ready.put(None)  # the word to end, which goes from thread to thread
    until(lambda: failed(pool) == {"workers": "2 of 2 threads have ended"})


def test_threads_that_hang_between_two_jobs_are_told(manager: JobManager, start: Start) -> None:
    """They count as free, so jobs are claimed for them and given back, again and again."""
    pool = start()
    with hung(pool._parts.workers, "_freed") as hangs:
        manager.create_many([{"type": "a", "data": n} for n in range(20)])
        assert hangs.wait(PATIENCE)
        until(lambda: "workers" in failed(pool), "the alarm")
        assert failed(pool)["workers"].endswith(" of 2 threads hang between two jobs, for longer than the lease")
    until(lambda: pool.health().is_ready, "the all-clear")
    until(lambda: manager.count(state="succeeded") == 20)


def test_threads_that_all_run_what_was_given_up_are_told(manager: JobManager, start: Start) -> None:
    go_on = threading.Event()

    @manager.executor("endless")
    def endless(data: int) -> None:
        assert go_on.wait(2 * PATIENCE)

    pool = start(longest_run=0.3)
    manager.create("endless", 1)
    until(lambda: pool.gauges().busy == 1 and not len(pool._parts.held), "a job that was given up")
    assert failed(pool) == {}, "the other thread goes on"
    manager.create("endless", 2)
    try:
        until(lambda: "workers" in failed(pool), "the alarm")
        assert "given up after longest_run, 0.3 s" in failed(pool)["workers"]
    finally:
        go_on.set()
    until(lambda: pool.health().is_live, "the all-clear")


def test_an_event_loop_that_ends_is_told(manager: JobManager, start: Start) -> None:
    @manager.executor("coroutine")
    async def coroutine(data: int) -> int:
        return data

    pool = start(lease=30)
    assert manager.wait(manager.create("coroutine", 1).id, PATIENCE).result == 1
    assert failed(pool) == {}
    assert pool._parts.coroutines._loop is not None
    pool._parts.coroutines._loop.call_soon_threadsafe(pool._parts.coroutines._loop.stop)
    until(lambda: failed(pool) == {"coroutines": "the thread of the event loop has ended"})


def test_a_fetcher_that_is_fenced_for_ever_is_deaf_although_its_steps_succeed(start: Start) -> None:
    pool = start()
    pool._parts.fetcher._fenced = lambda: True
    until(lambda: "fetcher" in failed(pool), "the alarm")
    assert failed(pool)["fetcher"].startswith("no claim was answered for ")
    assert "claims" in unready(pool)
    pool._parts.fetcher._fenced = lambda: False
    until(lambda: pool.health().is_ready, "the all-clear")


def test_a_heartbeat_that_goes_on_and_extends_nothing_is_told(manager: JobManager, start: Start) -> None:
    go_on = threading.Event()

    @manager.executor("long")
    def long(data: int) -> None:
        assert go_on.wait(2 * PATIENCE)

    pool = start()
    heartbeat = service(pool, "heartbeat")
    heartbeat.act = lambda: None  # type: ignore[attr-defined]
    manager.create("long", 1)
    try:
        until(lambda: "extensions" in unready(pool), "the notice")
        until(lambda: "leases" in failed(pool), "the alarm")
        assert "leases have run out" in failed(pool)["leases"]
    finally:
        del heartbeat.act  # type: ignore[attr-defined]
        go_on.set()
    until(lambda: pool.health().is_ready, "the all-clear")


# --- the store ------------------------------------------------------------------------------


def test_a_server_gone_for_longer_than_the_lease_turns_it_red_and_its_return_green(tmp_path: Path) -> None:
    executors = {"a": lambda data: data}
    with ExitStack() as stack:
        server = stack.enter_context(EmbeddedMongo(tmp_path / "data"))
        port = int(server.uri.split(":")[2].partition("/")[0])
        manager = stack.enter_context(JobManager("x", uri=server.uri, executors=executors, timeout=1))
        pool = stack.enter_context(WorkerPool(manager, lease=LEASE, threads=1, poll_interval=0.2))
        until(lambda: pool.health().is_ready)
        os.kill(server.server_pid, signal.SIGKILL)
        until(lambda: unready(pool), "the notice")
        until(lambda: {"fetcher", "reaper"} <= failed(pool).keys(), "the alarm")
        assert re.match(r"has failed for .* last by \w+ \((network|timeout)\)$", failed(pool)["fetcher"])
        server.stop()
        with EmbeddedMongo(tmp_path / "data", port):
            until(lambda: pool.health().is_ready, "the all-clear")
            assert manager.wait(manager.create("a", 1).id, PATIENCE).result == 1
            pool.stop(0)


def test_a_change_stream_that_cannot_be_opened_turns_it_red_while_jobs_are_still_run(
    manager: JobManager, start: Start, client: Client
) -> None:
    pool = start()
    with fail_command(client, ["aggregate", "getMore"], code=13) as point:
        until(lambda: "waker" in failed(pool), "the alarm")
        assert set(failed(pool)) == {"waker"}
        assert "watch" in failed(pool)["waker"]
        assert point.struck
        id = manager.create("a", 1).id
        until(lambda: manager.get(id).result == 1, "the result, for which a wait would ask by aggregate")
        assert unready(pool).keys() == {"waker store"}
    until(lambda: pool.health().is_ready, "the all-clear")


@pytest.mark.parametrize("index", ["jobpool_claim", "jobpool_lease"])
def test_a_missing_index_is_told_until_it_is_there_again(
    manager: JobManager, start: Start, client: Client, jobs: Jobs, index: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(manager.store.contact), "CHECK_AFTER", 0.2)
    pool = start(lease=30)
    with fail_command(client, ["createIndexes"], code=13):
        jobs.drop_index(index)
        until(lambda: "indexes" in unready(pool), "the notice")
        until(lambda: "indexes (" in unready(pool).get("fetcher store", ""), "the reason")
        assert failed(pool) == {}
    until(lambda: pool.health().is_ready, "the all-clear")
    assert index in jobs.index_information()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_helper_may_fail_or_hang_but_not_end(start: Start) -> None:
    pool = start(lease=30)
    helper = service(pool, "census")
    helper.advanced_at -= 3600
    helper.failed_by, helper._failing_since = "a call", time.monotonic()
    assert (failed(pool), unready(pool)) == ({}, {})
    end_thread(helper)
    assert failed(pool) == {"census": "its thread has ended"}


# --- the end --------------------------------------------------------------------------------


def test_a_drain_is_not_ready_and_its_threads_are_judged_on(manager: JobManager, start: Start) -> None:
    began, go_on = threading.Event(), threading.Event()

    @manager.executor("long")
    def long(data: int) -> None:
        began.set()
        assert go_on.wait(2 * PATIENCE)

    pool = start()
    manager.create("long", 1)
    assert began.wait(PATIENCE)
    assert not pool.drain(timeout=0)
    until(lambda: not service(pool, "fetcher").alive, "the end of what claims")
    assert (failed(pool), unready(pool)) == ({}, {"claiming": "the pool is draining"})
    try:
        with hung(service(pool, "recorder"), "run_once") as hangs:
            assert hangs.wait(PATIENCE)
            until(lambda: set(failed(pool)) == {"recorder"}, "the alarm")
    finally:
        go_on.set()
    assert pool.drain(PATIENCE)
    pool.stop()
    assert (failed(pool), unready(pool)) == ({}, {"claiming": "the pool is stopped"})


def test_a_fork_says_that_the_pool_is_not_there(start: Start) -> None:
    pool = start()
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(writing, json.dumps([pool.health().live, pool.health().is_ready]).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        live, ready = json.load(pipe)
    os.waitpid(child, 0)
    assert "fork" in live["process"]
    assert not ready
    assert pool.health().is_live
