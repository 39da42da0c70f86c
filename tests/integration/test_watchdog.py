"""Stuck executors: told once, stored once, and of no harm to anybody."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from typing import Any

import bson
import pytest
from pymongo import MongoClient

from jobpool import Backoff, Executor, JobManager, State, Stuck, WorkerPool
from jobpool.errors import InvalidConfiguration
from jobpool.outcome import MAX_ERROR_BYTES, Finish, Outcome
from jobpool.pool import stuck
from jobpool.store import Store

from ..conftest import Jobs, MakeManager
from ..faults.failpoints import fail_command
from ..waiting import PATIENCE, until
from .conftest import TakeOne, begin
from .test_transitions import expire, snapshot

LIMIT = 0.2
Client = MongoClient[dict[str, Any]]


class Hung:
    """Executors that hang until the test lets them go."""

    def __init__(self) -> None:
        self.release = threading.Event()

    def thread(self, data: Any) -> str:
        assert self.release.wait(PATIENCE)
        return "done"

    async def coroutine(self, data: Any) -> str:
        while not self.release.is_set():
            await asyncio.sleep(0.01)
        return "done"


@pytest.fixture
def hung() -> Iterator[Hung]:
    hung = Hung()
    yield hung
    hung.release.set()


@pytest.fixture
def manager(make_manager: MakeManager, hung: Hung) -> JobManager:
    return make_manager(
        executors={"thread": hung.thread, "coroutine": hung.coroutine, "fast": lambda data: data}, timeout=2
    )


def warnings(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if "is stuck" in record.getMessage()]


def looks_again(pool: WorkerPool) -> None:
    """Wait until the watchdog has looked twice more."""
    for _ in range(2):
        due = pool._parts.watchdog._due_at
        until(lambda due=due: pool._parts.watchdog._due_at > due, "a look")  # type: ignore[misc]


def watchdogs() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.endswith("-watchdog")]


def gauge(manager: JobManager, name: str = "jobpool_threads_stuck") -> float | None:
    return manager.metrics.registry.get_sample_value(name, {"pool": "default"})


@pytest.mark.parametrize(("type", "line"), [("thread", "self.release.wait"), ("coroutine", "await asyncio.sleep")])
def test_one_that_hangs_is_told_once_and_stored_once(
    manager: JobManager, hung: Hung, jobs: Jobs, caplog: pytest.LogCaptureFixture, type: str, line: str
) -> None:
    with caplog.at_level(logging.INFO, "jobpool"), WorkerPool(manager, threads=2, stuck_after=LIMIT) as pool:
        id = manager.create(type, "s3cr3t").id
        until(lambda: manager.get(id).stuck, "the stack in the store")
        stored = snapshot(jobs)[0]["stuck"]
        assert manager.wait(manager.create("fast").id, PATIENCE).stuck is None
        looks_again(pool)
        assert snapshot(jobs)[0]["stuck"] == stored, "nothing is written again"
        assert [held.claim.id for held in pool._parts.stuck.stuck] == [id]
        running = gauge(manager, "jobpool_longest_running_job_seconds")
        assert gauge(manager) == 1
        assert running is not None
        assert running >= LIMIT
        hung.release.set()
        job = manager.wait(id, PATIENCE)
        until(lambda: gauge(manager) == 0, "the free thread")
    (record,) = warnings(caplog)
    assert (job.state, job.result) == (State.SUCCEEDED, "done"), "it goes on, and may succeed"
    assert job.stuck is not None
    assert job.stuck.attempt == 1
    assert LIMIT <= job.stuck.after < PATIENCE
    assert job.stuck.at is not None
    assert job.started_at is not None
    assert job.started_at < job.stuck.at
    assert line in job.stuck.stack
    assert "s3cr3t" not in job.stuck.stack + record.getMessage()
    assert job.stuck.stack.rstrip() in record.getMessage()
    assert "in pool 'default', the limit is 0.2 s" in record.getMessage()
    assert vars(record).items() >= {"job_id": id, "job_type": type, "pool": "default", "attempt": 1}.items()


def test_a_timeout_ends_what_the_pool_would_only_report(make_manager: MakeManager, hung: Hung) -> None:
    executors = {"long": hung.thread, "short": Executor(hung.thread, timeout=LIMIT, grace=0)}
    manager = make_manager(executors=executors)
    long, short = manager.create("long").id, manager.create("short").id
    with WorkerPool(manager, threads=2, stuck_after=LIMIT * 3):
        assert manager.wait(short, PATIENCE).stuck is not None
        until(lambda: manager.get(long).stuck)
        hung.release.set()
        assert manager.wait(long, PATIENCE).state is State.SUCCEEDED


def test_a_decorated_executor_has_a_timeout(make_manager: MakeManager) -> None:
    manager = make_manager()
    manager.executor("a", timeout=5)(lambda data: data)
    assert manager.executors["a"].timeout == 5
    with pytest.raises(InvalidConfiguration, match=r"^timeout must be between"):
        manager.executor("b", timeout=0)(lambda data: data)


def test_nothing_is_stuck_where_there_is_no_limit(manager: JobManager) -> None:
    with WorkerPool(manager, threads=1) as pool:
        assert manager.wait(manager.create("fast").id, PATIENCE).state is State.SUCCEEDED
        looks_again(pool)
        assert pool.gauges().stuck == 0
    assert not watchdogs()


def test_what_cannot_be_stored_is_tried_again_and_nobody_waits(
    manager: JobManager, hung: Hung, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    with WorkerPool(manager, threads=2, stuck_after=LIMIT) as pool:
        id = manager.create("thread").id
        until(lambda: manager.get(id).state is State.RUNNING)
        with fail_command(client, ["update"], times=4, close=True) as point:
            until(lambda: point.struck >= 3, "two looks whose write fails, each sent twice")
            until(lambda: manager.get(id).stuck, "a later look")
        assert point.struck == 4
        assert pool.health().is_live
        assert manager.wait(manager.create("fast").id, PATIENCE).state is State.SUCCEEDED
        hung.release.set()
    assert len(warnings(caplog)) == 1


def test_what_cannot_be_stored_at_all_is_given_up_and_said(
    manager: JobManager, hung: Hung, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "jobpool"), WorkerPool(manager, threads=1, stuck_after=LIMIT) as pool:
        id = manager.create("thread").id
        until(lambda: manager.get(id).state is State.RUNNING)
        with fail_command(client, ["update"], code=13) as point:
            until(lambda: any("could not store" in line for line in caplog.messages), "the end of the tries")
            struck = point.struck
            looks_again(pool)
            assert point.struck == struck, "it is not tried for ever"
        assert struck >= stuck.TRIES
        hung.release.set()
        job = manager.wait(id, PATIENCE)
    assert (job.state, job.stuck) == (State.SUCCEEDED, None)
    assert len(warnings(caplog)) == 1


def test_a_lost_one_is_told_and_changes_nothing(
    manager: JobManager, hung: Hung, jobs: Jobs, caplog: pytest.LogCaptureFixture
) -> None:
    """Its claim is taken before the limit; the pool has not heard of it, as its next heartbeat is far."""
    with WorkerPool(manager, threads=1, stuck_after=1.0) as pool:
        id = manager.create("thread").id
        until(lambda: manager.get(id).state is State.RUNNING)
        jobs.update_one({"_id": id}, {"$set": {"claim": "another"}})
        taken = snapshot(jobs)
        until(lambda: warnings(caplog), "the warning")
        reports = pool._parts.stuck
        until(lambda: reports._told and not reports._unstored, "the write that meets nothing")
        looks_again(pool)
        assert snapshot(jobs) == taken
        hung.release.set()
    assert len(warnings(caplog)) == 1


# --- the write ------------------------------------------------------------------------------

REPORT = Stuck(attempt=1, after=2.5, stack="$claim $$NOW {'$set': 1}\n")


@pytest.fixture
def store(manager: JobManager) -> Store:
    manager.create("a", 1)
    manager.store.ready()
    return manager.store


def test_a_report_is_stored_literally_and_a_repeat_changes_at_most_its_time(
    store: Store, take: TakeOne, manager: JobManager, jobs: Jobs
) -> None:
    claim = take()
    begin(store, claim)
    (before,) = snapshot(jobs)
    for _ in range(2):
        store.transitions.report_stuck({claim: REPORT})
        (after,) = snapshot(jobs)
        assert after == before | {"stuck": {**after["stuck"]}}
        stuck = manager.get(claim.id).stuck
        assert stuck is not None
        assert (stuck.attempt, stuck.after, stuck.stack) == (1, 2.5, REPORT.stack)


@pytest.mark.parametrize("fate", ["not started", "finished", "reaped", "claimed again", "released"])
def test_a_report_without_the_claim_changes_nothing(store: Store, take: TakeOne, jobs: Jobs, fate: str) -> None:
    claim = take()
    if fate != "not started":
        begin(store, claim, max_attempts=2)
    if fate == "finished":
        store.transitions.finish([Finish(claim, Outcome())])
    if fate in ("reaped", "claimed again"):
        expire(jobs)
        store.reaping.reap()
    if fate == "claimed again":
        begin(store, take(), max_attempts=2)
    if fate == "released":
        store.transitions.release([claim])
    before = snapshot(jobs)
    store.transitions.report_stuck({claim: REPORT})
    assert snapshot(jobs) == before


def test_a_retry_keeps_it_and_a_revived_job_starts_without(
    store: Store, take: TakeOne, manager: JobManager, jobs: Jobs
) -> None:
    claim = take()
    begin(store, claim, max_attempts=2)
    store.transitions.report_stuck({claim: REPORT})
    expire(jobs)
    store.reaping.reap()
    assert manager.get(claim.id).state is State.PENDING
    assert manager.get(claim.id).stuck is not None
    manager.cancel(claim.id)
    assert manager.get(claim.id).stuck is not None
    revived = manager.create("a", 1, on_duplicate="revive")
    assert (revived.id, revived.state, revived.stuck) == (claim.id, State.PENDING, None)
    assert "stuck" not in snapshot(jobs)[0]


def test_the_history_of_a_job_that_fails_and_hangs_leaves_room_for_its_data(
    make_manager: MakeManager, jobs: Jobs
) -> None:
    """What `DOCUMENT_LIMIT` leaves for all that is neither data nor result is 512 kB."""

    def fail(data: Any) -> None:
        raise ValueError("\U0001f600" * MAX_ERROR_BYTES)

    manager = make_manager(executors={"a": Executor(fail, max_attempts=11, backoff=Backoff(base=0))})
    manager.create("a")
    assert manager.run_all() == 11
    entry = {"attempt": 11, "after": 1.0, "stack": "x" * MAX_ERROR_BYTES, "at": manager.store.clock.now()}
    jobs.update_one({}, {"$set": {"stuck": entry}})
    (job,) = manager.find()
    assert (len(job.errors), job.stuck is not None) == (10, True)
    assert len(bson.encode(snapshot(jobs)[0])) < 512 * 1024 / 2
