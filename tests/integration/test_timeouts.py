"""Timeouts: coroutines are cancelled, threads are told and then given up, and the pool goes on."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from jobpool import Executor, JobManager, State, TimedOut, WorkerPool, current_job

from ..conftest import Jobs, MakeManager
from ..waiting import PATIENCE, until


class Hung:
    """An executor that does not listen, and counts how often it was called and came back."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.lock = threading.Lock()
        self.entered = 0
        self.ended = 0

    def __call__(self, data: Any) -> str:
        with self.lock:
            self.entered += 1
        assert self.release.wait(PATIENCE)
        with self.lock:
            self.ended += 1
        return "too late"


@pytest.fixture
def hung() -> Iterator[Hung]:
    hung = Hung()
    yield hung
    hung.release.set()


def with_hung(make_manager: MakeManager, hung: Hung, **rules: Any) -> JobManager:
    return make_manager(
        executors={"hung": Executor(hung, timeout=0.1, grace=0.1, **rules), "fast": lambda data: data}
    )


def test_a_coroutine_is_cancelled_and_tried_again(make_manager: MakeManager) -> None:
    attempts = []

    async def work(data: Any) -> str:
        attempts.append(current_job().attempt)
        if current_job().attempt == 1:
            await asyncio.sleep(PATIENCE)
        return "done"

    manager = make_manager(executors={"a": Executor(work, timeout=0.2, max_attempts=2, backoff=0)})
    with WorkerPool(manager):
        job = manager.create("a").wait(PATIENCE)
    assert (job.state, job.result, attempts) == (State.SUCCEEDED, "done", [1, 2])
    assert [error.type for error in job.errors] == ["TimedOut"]
    assert "longer than its timeout, 0.2 s" in job.errors[0].message


def test_a_coroutine_may_clean_up(make_manager: MakeManager) -> None:
    cleaned = threading.Event()

    async def work(data: Any) -> None:
        try:
            await asyncio.sleep(PATIENCE)
        finally:
            await asyncio.sleep(0.01)
            cleaned.set()

    manager = make_manager(executors={"a": Executor(work, timeout=0.1)})
    with WorkerPool(manager):
        job = manager.create("a").wait(PATIENCE)
    assert (job.state, job.error.type) == (State.FAILED, "TimedOut")  # type: ignore[union-attr]
    assert cleaned.is_set()


def test_a_thread_that_checks_ends_by_itself(make_manager: MakeManager) -> None:
    raised: list[BaseException] = []

    def work(data: Any) -> None:
        job = current_job()
        while True:
            try:
                job.wait(PATIENCE)
            except TimedOut as error:
                assert job.timed_out
                raised.append(error)
                raise

    manager = make_manager(executors={"a": Executor(work, timeout=0.1, grace=PATIENCE)})
    with WorkerPool(manager) as pool:
        job = manager.create("a").wait(PATIENCE)
        assert pool.gauges().stuck == 0
    assert len(raised) == 1
    assert (job.state, job.error.type, job.stuck) == (State.FAILED, "TimedOut", None)  # type: ignore[union-attr]


def test_the_same_in_the_calling_thread(make_manager: MakeManager) -> None:
    def work(data: Any) -> None:
        current_job().wait(PATIENCE)

    async def coroutine(data: Any) -> None:
        await asyncio.sleep(PATIENCE)

    manager = make_manager(executors={"a": Executor(work, timeout=0.1), "b": Executor(coroutine, timeout=0.1)})
    manager.create("a")
    manager.create("b")
    assert manager.run_all() == 2
    assert {job.error.type for job in manager.find() if job.error} == {"TimedOut"}
    assert manager.count(state="failed") == 2


def test_one_that_does_not_listen_is_given_up_and_its_thread_replaced(
    make_manager: MakeManager, hung: Hung, caplog: pytest.LogCaptureFixture
) -> None:
    manager = with_hung(make_manager, hung)
    with caplog.at_level(logging.WARNING, "jobpool"), WorkerPool(manager, threads=1) as pool:
        job = manager.create("hung").wait(PATIENCE)
        assert (job.state, job.error.type) == (State.FAILED, "TimedOut")  # type: ignore[union-attr]
        assert job.stuck is not None
        assert "self.release.wait" in job.stuck.stack
        assert manager.create("fast", 1).wait(PATIENCE).result == 1, "by the thread in its place"
        until(lambda: pool.gauges().stuck == 1)
        assert pool.gauges().busy == 0
        assert pool.health().is_live
        hung.release.set()
        until(lambda: pool.gauges().stuck == 0)
        assert hung.ended == 1
        after = manager.get(job.id)
        assert (after.state, after.result, after.attempts) == (State.FAILED, None, 1), "what came late is refused"
        assert manager.create("fast", 2).wait(PATIENCE).result == 2
    (line,) = [record.getMessage() for record in caplog.records if "did not end when it was told" in record.msg]
    assert "is stuck and replaced" in line


def test_a_coroutine_that_swallows_its_cancellation_is_given_up_too(make_manager: MakeManager) -> None:
    release = threading.Event()

    async def deaf(data: Any) -> None:
        while not release.is_set():
            try:
                await asyncio.sleep(0.02)
            except asyncio.CancelledError:
                continue

    manager = make_manager(executors={"a": Executor(deaf, timeout=0.1, grace=0.1), "fast": lambda data: data})
    with WorkerPool(manager, threads=1) as pool:
        job = manager.create("a").wait(PATIENCE)
        assert job.stuck is not None
        assert "asyncio.sleep" in job.stuck.stack
        assert manager.create("fast", 1).wait(PATIENCE).result == 1
        release.set()
        until(lambda: pool.gauges().stuck == 0)


def test_a_given_up_attempt_is_followed_by_the_next(make_manager: MakeManager, hung: Hung) -> None:
    """Both run at once then: jobpool promises one holder, not one runner."""
    manager = with_hung(make_manager, hung, max_attempts=3, backoff=0)
    with WorkerPool(manager, threads=1) as pool:
        job = manager.create("hung", max_attempts=2).wait(PATIENCE)
        assert (hung.entered, hung.ended) == (2, 0)
        assert (job.state, job.attempts, job.error_count) == (State.FAILED, 2, 2)
        until(lambda: pool.gauges().stuck == 2) if pool.config.most_stuck > 1 else None
        hung.release.set()
        until(lambda: hung.ended == 2)


def test_past_max_stuck_the_pool_is_unhealthy_until_one_comes_back(make_manager: MakeManager, hung: Hung) -> None:
    manager = with_hung(make_manager, hung)
    with WorkerPool(manager, threads=2, max_stuck=1, stop_timeout=1) as pool:
        ids = [manager.create("hung", n).id for n in range(2)]
        manager.wait_many(ids, PATIENCE)
        until(lambda: not pool.health().is_live)
        assert "are stuck in executors" in str(pool.health().live["workers"])
        assert pool.gauges().stuck == 2
        assert manager.create("fast", 1).wait(PATIENCE).result == 1, "by the one that was replaced"
        hung.release.set()
        until(lambda: pool.health().is_live)
        until(lambda: pool.gauges().stuck == 0)
        assert [manager.create("fast", n).wait(PATIENCE).result for n in range(2, 6)] == [2, 3, 4, 5]
        until(lambda: pool.gauges().busy == 0)
        assert pool.gauges().threads == 2


def test_a_stop_does_not_wait_for_those_that_were_given_up(make_manager: MakeManager, hung: Hung) -> None:
    manager = with_hung(make_manager, hung)
    pool = WorkerPool(manager, threads=1).start()
    manager.create("hung").wait(PATIENCE)
    until(lambda: pool.gauges().stuck == 1)
    report = pool.stop(timeout=PATIENCE)
    assert hung.ended == 0
    assert report.abandoned == ()


def test_a_job_has_its_own_timeout(make_manager: MakeManager, hung: Hung) -> None:
    manager = make_manager(executors={"a": Executor(hung, grace=0), "b": Executor(hung, timeout=0.1, grace=0)})
    with WorkerPool(manager, threads=4) as pool:
        short = manager.create("a", 1, timeout=0.1).wait(PATIENCE)
        long = manager.create("b", 1, timeout=3600)
        until(lambda: hung.entered == 2)
        assert manager.create("b", 2).wait(PATIENCE).error.type == "TimedOut"  # type: ignore[union-attr]
        assert manager.get(long.id).state is State.RUNNING
        hung.release.set()
        assert long.wait(PATIENCE).result == "too late"
        until(lambda: pool.gauges().stuck == 0)
    assert (short.timeout, short.error.type) == (0.1, "TimedOut")  # type: ignore[union-attr]


def test_who_gives_up_on_timeouts_is_not_asked_again(make_manager: MakeManager) -> None:
    async def work(data: Any) -> None:
        await asyncio.sleep(PATIENCE)

    rules = Executor(work, timeout=0.1, max_attempts=3, backoff=0, give_up_on=TimedOut)
    manager = make_manager(executors={"a": rules})
    with WorkerPool(manager):
        job = manager.create("a").wait(PATIENCE)
    assert (job.state, job.attempts) == (State.FAILED, 1)


def test_timeouts_are_an_outcome_of_their_own_in_the_metrics(make_manager: MakeManager, hung: Hung) -> None:
    manager = with_hung(make_manager, hung)
    with WorkerPool(manager, threads=1):
        manager.create("hung").wait(PATIENCE)
        value = manager.metrics.registry.get_sample_value
        until(lambda: value("jobpool_attempts_total", {"type": "hung", "outcome": "timed_out"}) == 1)
        hung.release.set()


def test_a_cancelled_job_that_does_not_listen_is_given_up_at_its_timeout(
    make_manager: MakeManager, hung: Hung
) -> None:
    manager = make_manager(executors={"a": Executor(hung, timeout=1.5, grace=0.1), "fast": lambda data: data})
    with WorkerPool(manager, threads=1) as pool:
        id = manager.create("a").id
        until(lambda: hung.entered)
        manager.cancel(id)
        job = manager.wait(id, PATIENCE)
        assert (job.state, job.error_count) == (State.CANCELLED, 1)
        assert job.stuck is not None
        assert manager.create("fast", 1).wait(PATIENCE).result == 1
        hung.release.set()
        until(lambda: pool.gauges().stuck == 0)


def test_a_stop_tells_which_threads_are_left_and_waits_for_none_of_them(
    make_manager: MakeManager, hung: Hung
) -> None:
    """One was replaced, one could not be: the host must know that its process cannot end by itself."""
    manager = with_hung(make_manager, hung)
    pool = WorkerPool(manager, threads=2, max_stuck=1).start()
    manager.wait_many([manager.create("hung", n).id for n in range(2)], PATIENCE)
    until(lambda: pool.gauges().stuck == 2)
    report = pool.stop(timeout=PATIENCE * 10)
    assert hung.ended == 0, "it has not waited for them"
    assert len(report.threads) == 2
    assert all("worker" in name for name in report.threads)
    hung.release.set()


def test_who_could_not_be_replaced_is_as_soon_as_there_is_room(make_manager: MakeManager) -> None:
    gates = [threading.Event(), threading.Event()]
    entered: list[int] = []

    def work(data: int) -> None:
        entered.append(data)
        assert gates[data].wait(PATIENCE)

    manager = make_manager(executors={"a": Executor(work, timeout=0.1, grace=0.1), "fast": lambda data: data})
    with WorkerPool(manager, threads=1, max_stuck=1) as pool:
        for n in range(2):
            manager.create("a", n).wait(PATIENCE)
        until(lambda: not pool.health().is_live)
        gates[entered[0]].set()
        until(lambda: pool.health().is_live)
        assert manager.create("fast", 1).wait(PATIENCE).result == 1
        gates[entered[1]].set()
        until(lambda: pool.gauges().stuck == 0)


def test_a_coroutine_that_comes_after_the_word_is_cancelled_at_once(make_manager: MakeManager) -> None:
    """A plain function that takes its time before it returns one."""

    async def later() -> None:
        await asyncio.sleep(PATIENCE * 10)

    def work(data: Any) -> Any:
        job = current_job()
        until(lambda: job.timed_out)
        return later()

    manager = make_manager(executors={"a": Executor(work, timeout=0.1, grace=PATIENCE * 10)})
    with WorkerPool(manager):
        job = manager.create("a").wait(PATIENCE)
    assert job.error is not None
    assert job.error.type == "TimedOut"


def test_ctrl_c_in_a_run_that_was_told_to_end_is_the_callers_too(make_manager: MakeManager) -> None:
    def work(data: Any) -> None:
        job = current_job()
        until(lambda: job.timed_out)
        raise KeyboardInterrupt

    manager = make_manager(executors={"a": Executor(work, timeout=0.1)})
    id = manager.create("a").id
    with pytest.raises(KeyboardInterrupt):
        manager.run()
    assert manager.get(id).error.type == "TimedOut"  # type: ignore[union-attr]


def test_a_timeout_that_is_none_is_ignored(make_manager: MakeManager, jobs: Jobs) -> None:
    """Somebody else has written it."""
    manager = make_manager(executors={"a": Executor(lambda data: current_job().wait(0.7), timeout=PATIENCE)})
    ids = [manager.create("a", n).id for n in range(3)]
    for id, timeout in zip(ids, ("1", float("nan"), -1), strict=True):
        jobs.update_one({"_id": id}, {"$set": {"timeout": timeout}})
    with WorkerPool(manager):
        assert {job.state for job in manager.wait_many(ids, PATIENCE)} == {State.SUCCEEDED}
