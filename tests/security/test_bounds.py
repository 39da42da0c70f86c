"""Numbers, times and texts are bounded, whatever they are given as."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import bson
import pytest

from jobpool import Backoff, Executor, JobManager, PoolConfig
from jobpool.backoff import MAX_DELAY
from jobpool.errors import JobpoolError
from jobpool.outcome import MAX_ERROR_BYTES
from jobpool.store.documents import MAX_ERRORS

from ..conftest import Jobs, MakeManager

DAY = 86400.0
#: What is no number, or none that anything may be.
NEVER = [
    True,
    False,
    math.nan,
    math.inf,
    -math.inf,
    -1,
    -0.5,
    "1",
    b"1",
    [1],
    {"$gt": 0},
    1j,
    10**400,
    timedelta(1),
]

NUMBERS: dict[str, Callable[[JobManager, Any], object]] = {
    "lease": lambda m, v: PoolConfig(lease=v),
    "heartbeat": lambda m, v: PoolConfig(heartbeat=v),
    "reap_interval": lambda m, v: PoolConfig(reap_interval=v),
    "poll_interval": lambda m, v: PoolConfig(poll_interval=v),
    "stop_timeout": lambda m, v: PoolConfig(stop_timeout=v),
    "threads": lambda m, v: PoolConfig(threads=v),
    "queue_size": lambda m, v: PoolConfig(queue_size=v),
    "batch_size": lambda m, v: PoolConfig(batch_size=v),
    "max_attempts": lambda m, v: Executor(print, max_attempts=v),
    "job max_attempts": lambda m, v: m.create("a", "new", max_attempts=v),
    "delay": lambda m, v: m.create("a", "new", delay=v),
    "backoff base": lambda m, v: Backoff(base=v),
    "backoff factor": lambda m, v: Backoff(factor=v),
    "backoff longest": lambda m, v: Backoff(longest=v),
    "backoff jitter": lambda m, v: Backoff(jitter=v),
    "timeout": lambda m, v: JobManager("x", timeout=v),
    "data_limit": lambda m, v: JobManager("x", data_limit=v),
    "create_many batch_size": lambda m, v: m.create_many([{"type": "a"}], batch_size=v),
    "find limit": lambda m, v: m.find(limit=v),
    "wait timeout": lambda m, v: m.wait("x", timeout=v),
}
INSTANTS: dict[str, Callable[[JobManager, Any], object]] = {
    "run_at": lambda m, v: m.create("a", "new", run_at=v),
    "since": lambda m, v: m.find(since=v),
    "until": lambda m, v: m.remove_many(until=v),
}


@pytest.mark.parametrize("number", NUMBERS)
def test_what_is_no_number_is_refused_by_name(victim: JobManager, number: str) -> None:
    for value in NEVER:
        with pytest.raises(JobpoolError) as refused:
            NUMBERS[number](victim, value)
        assert number.split()[-1] in str(refused.value)
        assert len(str(refused.value)) < 200
    assert victim.count() == 4


@pytest.mark.parametrize("instant", INSTANTS)
def test_an_instant_has_a_zone_and_is_one(victim: JobManager, instant: str) -> None:
    naive = datetime(2026, 1, 1)
    for value in (naive, naive.date(), naive.time(), "2026-01-01", 0, True, {"$gt": naive}, b"", math.nan):
        with pytest.raises(JobpoolError, match=f"^{instant} must be"):
            INSTANTS[instant](victim, value)
    assert victim.count() == 4


@pytest.mark.parametrize(
    ("make", "fine", "bad"),
    [
        (lambda v: PoolConfig(lease=v), (1, DAY), (0.999, DAY + 1)),
        (lambda v: Executor(print, max_attempts=v), (1, 1000), (0, 1001)),
        (lambda v: Executor(print, timeout=v), (None, 0.1, 365 * DAY), (0, 0.09, 365 * DAY + 1, "5", True)),
        (lambda v: Backoff(longest=v), (0, MAX_DELAY), (-1, MAX_DELAY + 1)),
    ],
    ids=["lease", "attempts", "timeout", "delay"],
)
def test_a_bound_is_where_it_is_said(make: Callable[[Any], object], fine: tuple[Any], bad: tuple[Any]) -> None:
    for value in fine:
        make(value)
    for value in bad:
        with pytest.raises(JobpoolError):
            make(value)


def test_ten_years_is_the_longest_delay(make_manager: MakeManager) -> None:
    manager = make_manager()
    assert MAX_DELAY == 10 * 365 * DAY
    manager.create("a", 1, delay=MAX_DELAY)
    with pytest.raises(JobpoolError, match="delay"):
        manager.create("a", 2, delay=MAX_DELAY + 1)
    with pytest.raises(JobpoolError, match="ten years"):
        manager.create("a", 3, run_at=datetime.now(UTC) + timedelta(seconds=MAX_DELAY + DAY))
    assert manager.count() == 1


def test_endless_errors_keep_a_document_small(make_manager: MakeManager, jobs: Jobs) -> None:
    """Errors of a megabyte each, in text of four bytes a character, more often than are kept."""

    def fail(data: Any) -> None:
        raise ValueError("\U0001f600\udcff" * 250_000)

    attempts = MAX_ERRORS + 3
    manager = make_manager(executors={"a": Executor(fail, max_attempts=attempts, backoff=Backoff(base=0))})
    manager.create("a")
    assert manager.run_all() == attempts
    (stored,) = jobs.find()
    assert len(stored["errors"]) == MAX_ERRORS == 10
    assert [error["attempt"] for error in stored["errors"]] == list(range(4, attempts + 1))
    for error in (*stored["errors"], stored["error"]):
        for text in ("message", "traceback"):
            assert 0 < len(error[text].encode()) <= MAX_ERROR_BYTES == 8192
    assert len(bson.encode(stored)) < 2 * MAX_ERROR_BYTES * (MAX_ERRORS + 2)
