"""Every accepted claim is counted at its one way out.

jobs_claimed_total == attempts_total, over all outcomes + jobs_released_total
+ leases_lost_total{stage="queued"} + the ids that stops report as abandoned.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from pymongo import MongoClient

from jobpool import Backoff, Executor, JobManager, State, StopReport, WorkerPool, current_job
from jobpool.errors import LeaseLost, StoreRefused
from jobpool.outcome import Finish
from jobpool.pool.recorder import Record
from jobpool.pool.stopping import END_TIME
from jobpool.store.transitions import Start

from ..conftest import Jobs, MakeManager
from ..faults.failpoints import fail_command
from ..waiting import PATIENCE, until

Client = MongoClient[dict[str, Any]]


def total(manager: JobManager, name: str, **labels: str) -> int:
    """Return the sum over all samples of a counter that have these labels."""
    samples = [sample for family in manager.metrics.registry.collect() for sample in family.samples]
    chosen = [item for item in samples if item.name == name and labels.items() <= item.labels.items()]
    return int(sum(item.value for item in chosen))


def lost(manager: JobManager) -> dict[str, int]:
    return {
        stage: count
        for stage in ("queued", "running", "finishing")
        if (count := total(manager, "jobpool_leases_lost_total", stage=stage))
    }


def ways_out(manager: JobManager, *reports: StopReport) -> dict[str, int]:
    """Return how many claims left by which way, after having checked that these are all."""
    ways = {
        **{
            outcome: total(manager, "jobpool_attempts_total", outcome=outcome)
            for outcome in ("succeeded", "retried", "failed", "lost")
        },
        "released": total(manager, "jobpool_jobs_released_total"),
        "queued": lost(manager).get("queued", 0),
        "abandoned": sum(len(report.abandoned) for report in reports),
    }
    assert total(manager, "jobpool_jobs_claimed_total") == sum(ways.values()), ways
    return {way: count for way, count in ways.items() if count}


def steal(jobs: Jobs, **which: Any) -> int:
    """Let somebody else have claimed the jobs meanwhile; return how many."""
    return jobs.update_many(which, {"$set": {"claim": "somebody else"}, "$inc": {"fence": 1}}).modified_count


class Gate:
    """An executor that waits to be let through, and says how many are in it."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.entered: list[object] = []

    def __call__(self, data: object) -> None:
        self.entered.append(data)
        assert self.opened.wait(PATIENCE)


def taking_ahead(manager: JobManager, *, starting: bool = True, **options: Any) -> WorkerPool:
    """Return a pool of one thread that takes the jobs for short ones, and so claims many ahead.

    Args:
        starting: Whether it starts them ahead as well, or knows nothing of their type.
    """
    pool = WorkerPool(manager, threads=1, **options)
    pool._parts.pace.observe("a" if starting else "another", 1e-6)
    return pool


def test_runs_retries_and_failures_balance(make_manager: MakeManager) -> None:
    def work(data: int) -> None:
        if data % 5 == 0 and current_job().attempt == 1:
            raise OSError("again")
        if data % 7 == 0:
            raise ValueError("for good")

    manager = make_manager(executors={"a": Executor(work, max_attempts=2, backoff=Backoff(base=0.01))})
    manager.create_many([{"type": "a", "data": n} for n in range(200)])
    with WorkerPool(manager) as pool:
        until(lambda: manager.count(state="succeeded") + manager.count(state="failed") == 200)
        report = pool.stop()
    ways = ways_out(manager, report)
    assert ways["succeeded"] + ways["failed"] == 200
    assert ways["retried"] >= 40
    assert report.abandoned == ()
    assert pool.gauges().queued == pool.gauges().busy == 0


def test_a_stop_balances_what_it_releases_and_abandons(make_manager: MakeManager) -> None:
    gate = Gate()
    manager = make_manager(executors={"a": gate})
    manager.create_many([{"type": "a", "data": n} for n in range(40)])
    pool = taking_ahead(manager).start()
    until(lambda: gate.entered and len(pool._parts.held) > 5, "jobs taken ahead")
    report = pool.stop(timeout=0.1)
    gate.opened.set()
    assert len(report.abandoned) == 1
    assert ways_out(manager, report) == {"released": len(report.released), "abandoned": 1}


def test_jobs_that_a_hanging_one_keeps_waiting_are_released(make_manager: MakeManager) -> None:
    gate = Gate()
    manager = make_manager(executors={"a": gate})
    manager.create_many([{"type": "a", "data": n} for n in range(30)])
    with taking_ahead(manager, lease=1) as pool:
        until(lambda: total(manager, "jobpool_jobs_released_total") > 5, "jobs given back")
        gate.opened.set()
        until(lambda: manager.count(state="succeeded") == 30)
        report = pool.stop()
    assert ways_out(manager, report)["succeeded"] == 30


def test_a_release_that_fails_at_a_stop_is_abandoned_and_nothing_else(
    make_manager: MakeManager, client: Client
) -> None:
    gate = Gate()
    manager = make_manager(executors={"a": gate})
    manager.create_many([{"type": "a", "data": n} for n in range(40)])
    pool = taking_ahead(manager, starting=False).start()
    until(lambda: gate.entered and len(pool._parts.queue) > 5, "jobs taken ahead")
    with fail_command(client, ["update"], code=13) as point:
        report = pool.stop(timeout=0.1)
        assert point.struck > 0
    gate.opened.set()
    assert len(report.abandoned) > 5
    assert ways_out(manager, report) == {"abandoned": len(report.abandoned)}


def test_claims_lost_before_their_start_count_once(make_manager: MakeManager, jobs: Jobs) -> None:
    gate = Gate()
    manager = make_manager(executors={"a": gate})
    manager.create_many([{"type": "a", "data": n} for n in range(30)])
    with taking_ahead(manager, starting=False, lease=8, heartbeat=0.2) as pool:
        until(lambda: gate.entered and len(pool._parts.queue) > 5, "jobs taken ahead")
        stolen = steal(jobs, state="claimed")
        until(lambda: lost(manager).get("queued", 0) >= stolen, "the losses")
        gate.opened.set()
        assert pool.drain(PATIENCE)
        report = pool.stop()
    assert stolen > 5
    assert lost(manager) == {"queued": stolen}
    assert ways_out(manager, report)["queued"] == stolen


def test_claims_lost_between_start_and_executor_count_once(make_manager: MakeManager, jobs: Jobs) -> None:
    """They are marked running in the store, and wait for a thread that is busy."""
    gate = Gate()
    manager = make_manager(executors={"a": gate})
    manager.create_many([{"type": "a", "data": n} for n in range(30)])
    with taking_ahead(manager, lease=8, heartbeat=0.2) as pool:
        until(lambda: gate.entered and pool._parts.workers.ready > 2, "started jobs that wait")
        (in_hand,) = pool._parts.workers.running()
        stolen = steal(jobs, state="running", _id={"$ne": in_hand.claim.id})
        until(lambda: lost(manager).get("queued", 0) >= stolen, "the losses")
        gate.opened.set()
        assert pool.drain(PATIENCE)
        report = pool.stop()
    assert stolen > 2
    assert lost(manager) == {"queued": stolen}
    assert ways_out(manager, report)["queued"] == stolen
    assert len(gate.entered) == ways_out(manager, report)["succeeded"]


def test_a_lease_that_ends_before_a_thread_is_free_counts_once(make_manager: MakeManager, jobs: Jobs) -> None:
    """Found by the worker itself, when the heartbeat has not looked yet."""
    gate = Gate()
    manager = make_manager(executors={"a": gate})
    manager.create_many([{"type": "a", "data": n} for n in range(30)])
    with taking_ahead(manager) as pool:
        until(lambda: gate.entered and pool._parts.workers.ready > 2, "started jobs that wait")
        waiting = [held for held in pool._parts.held.all() if held not in pool._parts.workers.running()]
        for held in waiting:
            held.deadline = 0.0
        gate.opened.set()
        until(lambda: manager.count(state="succeeded") == 30)
        report = pool.stop()
    assert lost(manager) == {"queued": len(waiting)}
    assert ways_out(manager, report) == {"succeeded": 30, "queued": len(waiting)}


def test_a_claim_lost_while_it_runs_counts_there_and_as_a_lost_attempt(
    make_manager: MakeManager, jobs: Jobs
) -> None:
    entered = threading.Event()

    def work(data: object) -> None:
        job = current_job()
        entered.set()
        until(lambda: job.lost, "the loss")

    manager = make_manager(executors={"a": work})
    manager.create("a")
    with WorkerPool(manager, lease=8, heartbeat=0.2) as pool:
        assert entered.wait(PATIENCE)
        assert steal(jobs, state="running") == 1
        assert pool.drain(PATIENCE)
        report = pool.stop()
    assert lost(manager) == {"running": 1}
    assert ways_out(manager, report) == {"lost": 1}


def test_a_claim_first_found_lost_by_its_finish_counts_there(make_manager: MakeManager, jobs: Jobs) -> None:
    manager = make_manager(executors={"a": lambda data: steal(jobs)})
    manager.create("a")
    with WorkerPool(manager) as pool:
        until(lambda: total(manager, "jobpool_attempts_total"), "the refusal")
        report = pool.stop()
    assert lost(manager) == {"finishing": 1}
    assert ways_out(manager, report) == {"lost": 1}


def test_an_outcome_that_came_although_the_lease_had_run_out_counts_as_what_it_is(
    make_manager: MakeManager,
) -> None:
    """The pool gave it up, but nobody else had taken it: the store accepts the finish."""
    gate = Gate()
    manager = make_manager(executors={"a": gate})
    id = manager.create("a").id
    with WorkerPool(manager, lease=8, heartbeat=0.2) as pool:
        until(lambda: gate.entered)
        (held,) = pool._parts.held.all()
        pool._parts.heartbeat._lose([held], "the test says so")
        gate.opened.set()
        manager.wait(id, PATIENCE)
        report = pool.stop()
    assert lost(manager) == {"running": 1}
    assert ways_out(manager, report) == {"succeeded": 1}


def test_a_lost_job_that_still_runs_at_a_stop_is_abandoned_once(make_manager: MakeManager, jobs: Jobs) -> None:
    gate = Gate()
    manager = make_manager(executors={"a": gate})
    id = manager.create("a").id
    pool = WorkerPool(manager, lease=8, heartbeat=0.2).start()
    until(lambda: gate.entered and steal(jobs, state="running"), "the start")
    until(lambda: lost(manager), "the loss")
    report = pool.stop(timeout=0.1)
    gate.opened.set()
    assert report.abandoned == (id,)
    assert lost(manager) == {"running": 1}
    assert ways_out(manager, report) == {"abandoned": 1}


def test_a_stop_that_waited_for_a_lost_job_still_has_time_for_the_rest(
    make_manager: MakeManager, jobs: Jobs
) -> None:
    """Nobody drains a lost job, so the wait for its thread comes late, among what has little time."""
    gate = Gate()
    manager = make_manager(executors={"a": gate})
    manager.create("a")
    pool = WorkerPool(manager, lease=8, heartbeat=0.2).start()
    until(lambda: gate.entered and steal(jobs, state="running"), "the start")
    until(lambda: lost(manager), "the loss")
    with ThreadPoolExecutor(1) as other:
        stopping = other.submit(pool.stop, timeout=PATIENCE)
        until(lambda: pool._parts.workers._last_words, "the wait for the worker")
        threading.Event().wait(END_TIME)  # as long as all other steps may take together
        gate.opened.set()
        report = stopping.result()
    assert report == StopReport()
    assert lost(manager) == {"running": 1}
    assert ways_out(manager, report) == {"lost": 1}


def test_outcomes_that_a_stop_cannot_record_are_abandoned(make_manager: MakeManager, client: Client) -> None:
    gate = Gate()
    manager = make_manager(executors={"a": gate})
    manager.create_many([{"type": "a", "data": n} for n in range(3)])
    pool = WorkerPool(manager, threads=3, push=False).start()
    until(lambda: len(gate.entered) == 3)
    with fail_command(client, ["update"], code=11602) as point:
        gate.opened.set()
        until(lambda: pool._parts.recorder.failing, "the first failure")
        report = pool.stop(timeout=0.1)
        assert point.struck > 0
    assert len(report.abandoned) == 3
    assert ways_out(manager, report) == {"abandoned": 3}


def test_an_outcome_that_cannot_be_stored_at_all_is_a_lost_attempt(
    make_manager: MakeManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even the error that would say so: its lease ends it."""
    manager = make_manager(executors={"a": lambda data: 1 / 0})
    manager.create("a")
    pool = WorkerPool(manager)
    put = pool._parts.recorder.put

    def spoil_and_put(record: Record) -> None:
        assert record.outcome.error is not None
        object.__setattr__(record.outcome.error, "message", {1, 2})
        put(record)

    monkeypatch.setattr(pool._parts.recorder, "put", spoil_and_put)
    with pool:
        until(lambda: total(manager, "jobpool_attempts_total"))
        report = pool.stop()
    assert ways_out(manager, report) == {"lost": 1}


def test_run_balances_without_a_pool(make_manager: MakeManager) -> None:
    def work(data: int) -> None:
        if data == 3:
            raise ValueError

    manager = make_manager(executors={"a": work})
    manager.create_many([{"type": "a", "data": n} for n in range(5)])
    assert manager.run_all() == 5
    assert ways_out(manager) == {"succeeded": 4, "failed": 1}
    assert total(manager, "jobpool_jobs_claimed_total", pool="run") == 5
    assert total(manager, "jobpool_claims_total", pool="run", result="empty") == 2  # it looks again to be sure


def stealing(manager: JobManager, jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the next start come too late."""
    start = manager.store.transitions.start

    def steal_and_start(starts: list[Start]) -> object:
        assert steal(jobs) == 1
        return start(starts)

    monkeypatch.setattr(manager.store.transitions, "start", steal_and_start)


def test_run_counts_a_claim_that_was_lost_before_its_start(
    make_manager: MakeManager, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = make_manager(executors={"a": print})
    manager.create("a")
    stealing(manager, jobs, monkeypatch)
    with pytest.raises(LeaseLost):
        manager.run()
    assert lost(manager) == {"queued": 1}
    assert ways_out(manager) == {"queued": 1}


def test_run_counts_a_refused_outcome(make_manager: MakeManager, jobs: Jobs) -> None:
    manager = make_manager(executors={"a": lambda data: steal(jobs)})
    manager.create("a")
    with pytest.raises(LeaseLost):
        manager.run()
    assert lost(manager) == {"finishing": 1}
    assert ways_out(manager) == {"lost": 1}


@pytest.mark.parametrize(
    ("step", "lost_while", "way"), [("start", {}, "released"), ("finish", {"finishing": 1}, "lost")]
)
def test_run_counts_a_claim_that_an_interrupt_ends(
    make_manager: MakeManager,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    lost_while: dict[str, int],
    way: str,
) -> None:
    manager = make_manager(executors={"a": lambda data: None})
    manager.create("a")

    def interrupt(writes: list[Start | Finish]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(manager.store.transitions, step, interrupt)
    with pytest.raises(KeyboardInterrupt):
        manager.run()
    assert lost(manager) == lost_while
    assert ways_out(manager) == {way: 1}


def test_run_counts_an_outcome_that_mongodb_refuses(make_manager: MakeManager, client: Client) -> None:
    entered, going_on = threading.Event(), threading.Event()

    def work(data: object) -> None:
        entered.set()
        assert going_on.wait(PATIENCE)

    manager = make_manager(executors={"a": work})
    manager.create("a")
    raised: list[BaseException] = []
    running = threading.Thread(target=lambda: _run_into(manager, raised.append))
    running.start()
    assert entered.wait(PATIENCE)
    with fail_command(client, ["update"], code=13) as point:
        going_on.set()
        running.join(PATIENCE)
        assert point.struck > 0
    assert isinstance(raised[0], StoreRefused)
    assert lost(manager) == {"finishing": 1}
    assert ways_out(manager) == {"lost": 1}


def _run_into(manager: JobManager, tell: Callable[[BaseException], None]) -> None:
    try:
        manager.run()
    except StoreRefused as error:
        tell(error)


def test_a_failed_claim_of_run_is_counted_as_an_error(make_manager: MakeManager, client: Client) -> None:
    manager = make_manager(executors={"a": print})
    manager.create("a")
    with fail_command(client, ["findAndModify"], code=13, times=1), pytest.raises(StoreRefused):
        manager.run()
    assert total(manager, "jobpool_claims_total", pool="run", result="error") == 1
    assert manager.run() is not None
    assert ways_out(manager) == {"succeeded": 1}


def test_an_error_class_of_the_user_may_be_called_as_what_a_reaper_writes(
    make_manager: MakeManager, jobs: Jobs
) -> None:
    """A repeated finish is recognised by its fence, whatever the name of the error."""

    class WorkerLost(Exception):
        pass

    def work(data: object) -> None:
        raise WorkerLost

    manager = make_manager(executors={"a": Executor(work, max_attempts=2, backoff=Backoff(base=0))})
    manager.create("a")
    finish = manager.store.transitions.finish
    seen: list[bool] = []

    def finish_again_later(finishes: list[Finish]) -> object:
        """The reply was lost, and before the repeat the job was claimed again."""
        finish(finishes)
        jobs.update_one({}, {"$set": {"state": "claimed", "claim": "another", "fence": 2}})
        again = finish(finishes)
        seen.append(bool(again))
        return again

    manager.store.transitions.finish = finish_again_later  # type: ignore[method-assign, assignment]
    manager.run()
    assert seen == [True]
    assert manager.find()[0].state is State.CLAIMED
