"""How attempts end: retries by rule, snoozes, cancels; in pools and in `run` alike."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobpool import Cancel, Executor, Job, JobManager, Retry, Snooze, State, WorkerPool, current_job
from jobpool.errors import InvalidConfiguration

from ..conftest import Jobs, MakeManager
from ..waiting import until

Runs = Callable[[JobManager], None]


def in_a_pool(manager: JobManager) -> None:
    with WorkerPool(manager, threads=2, poll_interval=0.05):
        until(
            lambda: not manager.count() - sum(manager.count(state=s) for s in ("succeeded", "failed", "cancelled"))
        )


def here(manager: JobManager) -> None:
    until(lambda: manager.run_all() == 0 and not manager.count(state="pending"))


@pytest.fixture(params=[in_a_pool, here])
def finish_all(request: pytest.FixtureRequest) -> Runs:
    run: Runs = request.param
    return run


def one(make_manager: MakeManager, executor: Executor, run: Runs, **job: Any) -> Job:
    manager = make_manager(executors={"a": executor})
    id = manager.create("a", **job).id
    run(manager)
    return manager.get(id)


@pytest.mark.parametrize(
    ("rules", "attempts"),
    [
        ({}, 3),
        ({"retry_on": ValueError}, 3),
        ({"retry_on": (KeyError, OSError)}, 1),
        ({"give_up_on": ValueError}, 1),
        ({"give_up_on": (LookupError,)}, 3),
        ({"retry_on": ValueError, "give_up_on": UnicodeError}, 3),
    ],
)
def test_an_error_is_tried_again_if_its_class_is_meant(
    make_manager: MakeManager, finish_all: Runs, rules: dict[str, Any], attempts: int
) -> None:
    def work(data: Any) -> None:
        raise ValueError("no")

    job = one(make_manager, Executor(work, max_attempts=3, backoff=0, **rules), finish_all)
    assert (job.state, job.attempts, job.error_count, len(job.errors)) == (
        State.FAILED,
        attempts,
        attempts,
        attempts,
    )


def test_ten_errors_are_kept_and_all_are_counted(make_manager: MakeManager, finish_all: Runs) -> None:
    def work(data: Any) -> None:
        raise ValueError(current_job().attempt)

    job = one(make_manager, Executor(work, max_attempts=13, backoff=[0]), finish_all)
    assert job.error_count == 13
    assert [error.message for error in job.errors] == [str(n) for n in range(4, 14)]
    assert "raise ValueError" in job.errors[0].traceback


def test_a_list_of_delays_is_gone_through(make_manager: MakeManager, jobs: Jobs) -> None:
    def work(data: Any) -> None:
        raise ValueError

    manager = make_manager(executors={"a": Executor(work, max_attempts=9, backoff=[100, 2000, 30_000])})
    id = manager.create("a").id
    seen = []
    for _ in range(4):
        manager.run()
        now = manager.store.clock.now()
        seen.append(round((manager.get(id).run_at - now).total_seconds(), -1))
        jobs.update_one({"_id": id}, {"$set": {"run_at": now}})
    assert seen == [100, 2000, 30_000, 30_000]


def test_a_function_tells_the_delay_and_its_own_error_costs_nothing(make_manager: MakeManager) -> None:
    told: list[tuple[int, str]] = []

    def delay(attempt: int, error: BaseException | None) -> float:
        told.append((attempt, type(error).__name__))
        if attempt == 2:
            raise KeyError("of its own")
        return 0

    def work(data: Any) -> None:
        raise ValueError

    manager = make_manager(executors={"a": Executor(work, max_attempts=3, backoff=delay)})
    id = manager.create("a").id
    assert manager.run_all() == 2
    job = manager.get(id)
    assert told == [(1, "ValueError"), (2, "ValueError")]
    assert job.state is State.PENDING
    assert 0.4 <= (job.run_at - job.errors[-1].at).total_seconds() <= 2, "the default delay"  # type: ignore[operator]


def test_retry_says_when(make_manager: MakeManager, finish_all: Runs) -> None:
    def work(data: Any) -> str:
        if current_job().attempt == 1:
            raise Retry("busy", after=0)
        return "done"

    job = one(make_manager, Executor(work, max_attempts=2, backoff=1000, give_up_on=Exception), finish_all)
    assert (job.state, job.attempts, job.result) == (State.SUCCEEDED, 2, "done")
    assert [(error.type, error.message) for error in job.errors] == [("Retry", "busy")]


def test_retry_ends_with_the_attempts(make_manager: MakeManager, finish_all: Runs) -> None:
    def work(data: Any) -> None:
        raise Retry("busy", after=0)

    job = one(make_manager, Executor(work, max_attempts=2), finish_all)
    assert (job.state, job.attempts) == (State.FAILED, 2)


def test_a_snooze_spends_no_attempt(make_manager: MakeManager, finish_all: Runs) -> None:
    """Three times put off by a job of one attempt, which then succeeds."""
    calls = []

    def work(data: Any) -> str:
        calls.append(current_job().attempt)
        if len(calls) == 2:
            raise Snooze(until=datetime.now(UTC) - timedelta(hours=1))
        if len(calls) <= 3:
            raise Snooze(0)
        return "done"

    job = one(make_manager, Executor(work), finish_all)
    assert calls == [1, 1, 1, 1]
    assert (job.state, job.attempts, job.snoozes, job.error_count, job.fence) == (State.SUCCEEDED, 1, 3, 0, 4)


def test_a_snoozed_job_waits(make_manager: MakeManager, finish_all: Runs) -> None:
    def work(data: Any) -> None:
        raise Snooze(5000)

    manager = make_manager(executors={"a": Executor(work)})
    id = manager.create("a").id
    if finish_all is here:
        assert manager.run_all() == 1
    else:
        with WorkerPool(manager):
            until(lambda: manager.get(id).snoozes)
    job = manager.get(id)
    assert job.state is State.PENDING
    assert 4900 < (job.run_at - job.created_at).total_seconds() < 5100
    assert (job.attempts, job.pool, job.lease_until) == (0, None, None)


def test_a_job_cannot_snooze_for_ever(make_manager: MakeManager, finish_all: Runs) -> None:
    def work(data: Any) -> None:
        raise Snooze(0)

    job = one(make_manager, Executor(work, max_snoozes=4, max_attempts=5, backoff=0), finish_all)
    assert (job.state, job.attempts, job.snoozes) == (State.FAILED, 1, 4)
    assert job.error is not None
    assert "has 4 times, max_snoozes" in job.error.message


def test_cancel_ends_it(make_manager: MakeManager, finish_all: Runs) -> None:
    def work(data: Any) -> None:
        raise Cancel("nobody wants it any more")

    job = one(make_manager, Executor(work, max_attempts=5), finish_all)
    assert (job.state, job.attempts, job.error, job.error_count) == (State.CANCELLED, 1, None, 0)
    assert job.cancel_reason == "nobody wants it any more"
    assert job.finished_at is not None
    assert job.lease_until is None


def test_coroutines_end_the_same_ways(make_manager: MakeManager, finish_all: Runs) -> None:
    async def work(data: str) -> str:
        if data == "cancel":
            raise Cancel
        if current_job().attempt == 1 and data == "retry":
            raise Retry(after=0)
        return data

    manager = make_manager(executors={"a": Executor(work, max_attempts=2)})
    ids = {name: manager.create("a", name).id for name in ("cancel", "retry", "fine")}
    finish_all(manager)
    assert {name: (manager.get(id).state.value, manager.get(id).attempts) for name, id in ids.items()} == {
        "cancel": ("cancelled", 1),
        "retry": ("succeeded", 2),
        "fine": ("succeeded", 1),
    }


def test_a_result_too_large_is_left_out_of_a_job_that_has_succeeded(
    make_manager: MakeManager, finish_all: Runs
) -> None:
    manager = make_manager(executors={"a": Executor(lambda data: "x" * data, max_attempts=3)}, data_limit=2000)
    small, large = manager.create("a", 100), manager.create("a", 5000)
    finish_all(manager)
    assert manager.get(small.id).result == "x" * 100
    job = manager.get(large.id)
    assert (job.state, job.attempts, job.result, job.error) == (State.SUCCEEDED, 1, None, None)
    assert job.result_error is not None
    assert "may have 2000" in job.result_error


def test_what_is_said_of_a_type_goes_for_every_pool(make_manager: MakeManager) -> None:
    """The outcome metric tells the ways apart."""
    ends = {"retry": Retry(after=0), "snooze": Snooze(0), "cancel": Cancel()}
    seen: set[str] = set()
    lock = threading.Lock()

    def work(data: str) -> None:
        with lock:
            first = data not in seen
            seen.add(data)
        if first:
            raise ends[data]

    manager = make_manager(executors={"a": Executor(work, max_attempts=2)})
    for name in ends:
        manager.create("a", name)
    in_a_pool(manager)
    values = {
        sample.labels["outcome"]: sample.value
        for family in manager.metrics.registry.collect()
        for sample in family.samples
        if sample.name == "jobpool_attempts_total" and sample.value
    }
    assert values == {"retried": 1, "snoozed": 1, "cancelled": 1, "succeeded": 2}


@pytest.mark.parametrize(
    "make",
    [
        lambda: Retry(after=-1),
        Snooze,
        lambda: Snooze(1, until=datetime.now(UTC)),
        lambda: Snooze(float("nan")),
        lambda: Executor(print, retry_on="ValueError"),  # type: ignore[arg-type]
        lambda: Executor(print, give_up_on=(ValueError, 3)),  # type: ignore[arg-type]
        lambda: Executor(print, backoff=[]),
        lambda: Executor(print, backoff=[1, -1]),
        lambda: Executor(print, backoff="1"),  # type: ignore[arg-type]
        lambda: Executor(print, max_snoozes=-1),
        lambda: Executor(print, keep_failed=-1),
        lambda: Executor(print, isolation="thread"),
    ],
)
def test_nonsense_is_refused(make: Callable[[], object]) -> None:
    with pytest.raises(InvalidConfiguration):
        make()
