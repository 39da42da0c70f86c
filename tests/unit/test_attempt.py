"""One attempt: whatever an executor does, there is an outcome."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from jobpool import Backoff, Executor, current_job
from jobpool.errors import PoolStateError
from jobpool.executors import Executors
from jobpool.outcome import Outcome
from jobpool.pool.attempt import Engines, run_attempt
from jobpool.pool.children import Children
from jobpool.pool.coroutines import Coroutines
from jobpool.pool.host import Host
from jobpool.tracing import Tracing

from .jobs_held import held

LIMIT = 1000


class Manager:
    data_limit = LIMIT
    tracing = Tracing()
    middleware = None

    def __init__(self, executor: Executor | Callable[..., Any]) -> None:
        self.executors = Executors({"t": executor})


@pytest.fixture(scope="module")
def coroutines() -> Iterator[Coroutines]:
    coroutines = Coroutines("unit")
    yield coroutines
    assert coroutines.close(30)


def attempt(coroutines: Coroutines, executor: Executor | Callable[..., Any], **fields: Any) -> Outcome:
    return run_attempt(held("a", **fields), cast(Host, Manager(executor)), Engines(coroutines, Children("unit")))


def error_of(outcome: Outcome) -> str:
    assert outcome.error is not None
    return f"{outcome.error.type}: {outcome.error.message}"


def fail(data: Any) -> None:
    raise ValueError("no")


def test_what_an_executor_returns_is_the_result(coroutines: Coroutines) -> None:
    assert attempt(coroutines, lambda data: {"got": data}, data=5) == Outcome(result={"got": 5})


def test_a_coroutine_is_run_to_its_end(coroutines: Coroutines) -> None:
    async def work(data: Any) -> str:
        return current_job().id

    assert attempt(coroutines, work) == Outcome(result="a")


def test_the_job_in_hand_is_the_attempts_own(coroutines: Coroutines) -> None:
    assert attempt(coroutines, lambda data: current_job().attempt, attempts=4).result == 5
    with pytest.raises(PoolStateError):
        current_job()


@pytest.mark.parametrize(
    "error", [ValueError("no"), SystemExit("no"), KeyboardInterrupt("no"), StopIteration("no")]
)
def test_what_an_executor_raises_fails_the_attempt(coroutines: Coroutines, error: BaseException) -> None:
    def work(data: Any) -> None:
        raise error

    outcome = attempt(coroutines, work)
    assert (error_of(outcome), outcome.name) == (f"{type(error).__name__}: no", "failed")


def test_a_coroutine_that_exits_fails_the_attempt(coroutines: Coroutines) -> None:
    async def work(data: Any) -> None:
        raise SystemExit("no")

    assert error_of(attempt(coroutines, work)) == "SystemExit: no"


def test_the_traceback_starts_in_the_executor(coroutines: Coroutines) -> None:
    error = attempt(coroutines, fail).error
    assert error is not None
    assert error.traceback.splitlines()[1].endswith("in fail")


@pytest.mark.parametrize("result", [object(), {1: 2}, float("nan"), "\ud800"], ids=lambda r: type(r).__name__)
def test_a_result_that_cannot_be_stored_fails_the_attempt(coroutines: Coroutines, result: Any) -> None:
    outcome = attempt(coroutines, lambda data: result)
    assert error_of(outcome).startswith("InvalidJob: result")


def test_a_result_that_is_too_large_is_left_out_and_the_job_has_succeeded(coroutines: Coroutines) -> None:
    outcome = attempt(coroutines, lambda data: "x" * LIMIT)
    assert outcome.name == "succeeded"
    assert outcome.result is None
    assert outcome.result_error is not None
    assert f"may have {LIMIT}" in outcome.result_error


@pytest.mark.parametrize(
    ("executors", "own", "attempts", "name"),
    [
        (1, None, 0, "failed"),
        (3, None, 0, "retried"),
        (3, None, 1, "retried"),
        (3, None, 2, "failed"),
        (1, 2, 0, "retried"),
        (3, 1, 0, "failed"),
    ],
)
def test_a_failure_is_retried_while_attempts_are_left(
    coroutines: Coroutines, executors: int, own: int | None, attempts: int, name: str
) -> None:
    executor = Executor(fail, max_attempts=executors)
    assert attempt(coroutines, executor, max_attempts=own, attempts=attempts).name == name


def test_a_retry_waits_as_its_executor_asks(coroutines: Coroutines) -> None:
    executor = Executor(fail, max_attempts=9, backoff=Backoff(base=2, factor=3, jitter=0))
    assert attempt(coroutines, executor, attempts=2).retry_after == 18
