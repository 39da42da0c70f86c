"""A pool's threads become more and fewer while it works, and no job is lost or run twice by it."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from pymongo import MongoClient

from jobpool import Executor, JobManager, State, WorkerPool
from jobpool.errors import InvalidConfiguration, PoolStateError

from ..conftest import Jobs, MakeManager
from ..waiting import PATIENCE, until
from .test_accounting import Gate, taking_ahead, ways_out
from .test_pausing import Count, jobs_of

Client = MongoClient[dict[str, Any]]


def threads_of(pool: WorkerPool) -> list[str]:
    """Return the names of the threads that run jobs, of pools of that name."""
    begins = f"jobpool-{pool.config.name}-worker"
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(begins)]


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.opened.set()


@pytest.fixture
def manager(make_manager: MakeManager, gate: Gate) -> JobManager:
    return make_manager(executors={"a": gate})


def test_more_threads_begin_at_once(manager: JobManager, gate: Gate, jobs: Jobs) -> None:
    manager.create_many(jobs_of("a", 10))
    with WorkerPool(manager, threads=2) as pool:
        until(lambda: len(gate.entered) == 2)
        pool.resize(6)
        until(lambda: len(gate.entered) == 6, "jobs on the new threads")
        assert (pool.config.threads, pool.gauges().threads, pool.gauges().busy) == (6, 6, 6)
        assert len(threads_of(pool)) == 6
        assert "busy=6/6" in repr(pool)
        pools = jobs.database["jobs.pools"]
        until(lambda: pools.count_documents({"threads": 6}), "the word to the others")
        gate.opened.set()
        until(lambda: manager.count(state="succeeded") == 10)
        assert pool.health().is_live


def test_fewer_threads_end_when_they_have_no_job_in_hand(manager: JobManager, gate: Gate) -> None:
    manager.create_many(jobs_of("a", 9))
    with WorkerPool(manager, threads=6) as pool:
        until(lambda: len(gate.entered) == 6)
        pool.resize(2)
        assert (pool.config.threads, pool.gauges().busy) == (2, 6), "nobody is interrupted"
        assert pool.health().is_ready
        gate.opened.set()
        until(lambda: manager.count(state="succeeded") == 9)
        until(lambda: len(threads_of(pool)) == 2, "the end of the others")
        assert pool.health().is_ready
        assert pool.gauges().busy_seconds > 0


def test_idle_threads_end_at_once_and_come_again(manager: JobManager, gate: Gate) -> None:
    gate.opened.set()
    with WorkerPool(manager, threads=12) as pool:
        for threads in (1, 12, 3, 4, 1, 2):
            pool.resize(threads)
            until(lambda threads=threads: len(threads_of(pool)) == threads)  # type: ignore[misc]
            job = manager.create("a", f"with {threads}, then {len(gate.entered)}")
            assert manager.wait(job.id, PATIENCE).state is State.SUCCEEDED
        assert pool.gauges().queued == 0
        assert pool.health().is_live
    assert not threads_of(pool)


def test_fewer_and_more_again_while_all_are_busy(manager: JobManager, gate: Gate) -> None:
    """Those that were to end stay, and no others begin."""
    manager.create_many(jobs_of("a", 5))
    with WorkerPool(manager, threads=5) as pool:
        until(lambda: len(gate.entered) == 5)
        pool.resize(1)
        pool.resize(5)
        manager.create_many(jobs_of("a", 20, first=5))
        gate.opened.set()
        until(lambda: manager.count(state="succeeded") == 25)
        assert len(threads_of(pool)) == 5
        assert pool.gauges().queued == 0


def test_resizing_under_load_runs_every_job_once(make_manager: MakeManager) -> None:
    """Four threads resize it, an executor among them, while two thousand jobs run."""
    count = Count()

    def work(data: Any) -> None:
        count(data)
        if len(count.ran) % 50 == 0:
            pool.resize(3)

    manager = make_manager(executors={"a": work})
    manager.create_many(jobs_of("a", 2000))
    over = threading.Event()

    def resize(sizes: tuple[int, ...]) -> None:
        while not over.is_set():
            for size in sizes:
                pool.resize(size)

    pool = WorkerPool(manager, threads=4)
    resizing = [threading.Thread(target=resize, args=(sizes,)) for sizes in ((1, 20), (8, 2), (5, 5, 1))]
    with pool:
        for thread in resizing:
            thread.start()
        until(lambda: manager.count(state="succeeded") > 1000, patience=90)
        over.set()
        for thread in resizing:
            thread.join()
        pool.resize(3)
        until(lambda: manager.count(state="succeeded") == 2000, patience=90)
        until(lambda: len(threads_of(pool)) == 3, "the end of the others")
        assert pool.health().is_live
        report = pool.stop()
    assert set(count.ran.values()) == {1}
    assert ways_out(manager, report)["succeeded"] == 2000


def test_resizing_while_it_stops_leaves_no_thread_and_no_claim(make_manager: MakeManager, jobs: Jobs) -> None:
    refused: list[BaseException] = []

    def resize(pool: WorkerPool, sizes: tuple[int, ...]) -> None:
        try:
            while True:
                for size in sizes:
                    pool.resize(size)
        except PoolStateError as error:
            refused.append(error)

    for patience in (0.0, 20.0, 0.0, 0.1):
        count = Count()
        manager = make_manager(executors={"a": count})
        manager.create_many(jobs_of("a", 300))
        pool = WorkerPool(manager, threads=4).start()
        resizing = [threading.Thread(target=resize, args=(pool, sizes)) for sizes in ((1, 9), (4, 2, 7))]
        for thread in resizing:
            thread.start()
        until(lambda count=count: count.ran)  # type: ignore[misc]
        report = pool.stop(patience)
        for thread in resizing:
            thread.join(PATIENCE)
            assert not thread.is_alive()
        until(lambda pool=pool: not threads_of(pool), "the end of all threads")  # type: ignore[misc]
        assert report.abandoned == ()
        assert jobs.count_documents({"state": {"$in": ["claimed", "running"]}}) == 0
        assert set(count.ran.values()) == {1}
        jobs.delete_many({})
    assert len(refused) == 8, refused
    assert all("ending" in str(error) for error in refused)


def test_jobs_taken_ahead_are_not_lost_when_threads_go(make_manager: MakeManager, gate: Gate) -> None:
    """Words to idle threads and started jobs share a queue."""
    manager = make_manager(executors={"a": gate, "another": print})
    ids = manager.create_many(jobs_of("a", 30)).ids
    with taking_ahead(manager) as pool:
        until(lambda: gate.entered and pool._parts.workers.ready > 5, "started jobs that wait")
        pool.resize(8)
        until(lambda: len(gate.entered) == 8)
        pool.resize(1)
        assert pool._parts.workers.ready >= 0
        gate.opened.set()
        manager.wait_many(ids, PATIENCE)
        until(lambda: len(threads_of(pool)) == 1)
    assert len(gate.entered) == 30


class Hanging:
    """An executor that does not listen until it is let go."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.entered: list[Any] = []

    def __call__(self, data: Any) -> None:
        self.entered.append(data)
        assert self.release.wait(2 * PATIENCE)


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    hanging = Hanging()
    yield hanging
    hanging.release.set()


def with_hanging(make_manager: MakeManager, hanging: Hanging, count: Callable[[Any], None]) -> JobManager:
    return make_manager(executors={"hangs": Executor(hanging, timeout=0.1, grace=0.1), "a": count})


def test_stuck_threads_are_replaced_while_the_pool_is_resized(make_manager: MakeManager, hanging: Hanging) -> None:
    count = Count()
    manager = with_hanging(make_manager, hanging, count)
    over = threading.Event()

    def resize() -> None:
        while not over.is_set():
            for size in (2, 6, 1, 3):
                pool.resize(size)
                over.wait(0.01)

    with WorkerPool(manager, threads=3, max_stuck=10) as pool:
        resizing = threading.Thread(target=resize)
        resizing.start()
        stuck = manager.create_many(jobs_of("hangs", 6)).ids
        others = manager.create_many(jobs_of("a", 200)).ids
        assert {job.state for job in manager.wait_many(stuck, PATIENCE)} == {State.FAILED}
        assert {job.state for job in manager.wait_many(others, PATIENCE)} == {State.SUCCEEDED}
        until(lambda: pool._parts.workers.replaced + pool._parts.workers.irreplaceable == 6)
        over.set()
        resizing.join(PATIENCE)
        pool.resize(2)
        assert manager.wait(manager.create("a", "still").id, PATIENCE).state is State.SUCCEEDED
        until(lambda: len(threads_of(pool)) == 2 + 6, "the end of those that were too many")
        hanging.release.set()
        until(lambda: len(pool._parts.workers.stuck_threads()) == 0)
        until(lambda: not pool.gauges().busy)
        assert pool.health().is_live
        assert manager.wait(manager.create("a", "at the end").id, PATIENCE).state is State.SUCCEEDED
    assert set(count.ran.values()) == {1}
    assert not threads_of(pool)


def test_a_larger_pool_may_replace_more_stuck_threads(make_manager: MakeManager, hanging: Hanging) -> None:
    """As many as there are threads, if nothing else is said; and those that hung before are replaced then."""
    manager = with_hanging(make_manager, hanging, print)
    with WorkerPool(manager, threads=1) as pool:
        stuck = manager.create_many(jobs_of("hangs", 2)).ids
        manager.wait_many(stuck, PATIENCE)
        until(lambda: pool._parts.workers.irreplaceable == 1)
        assert "restart the process" in str(pool.health().live["workers"])
        pool.resize(2)
        assert (pool._parts.workers.replaced, pool._parts.workers.irreplaceable) == (2, 0)
        assert pool.health().is_live
        assert manager.wait(manager.create("a", 1).id, PATIENCE).state is State.SUCCEEDED


def test_a_smaller_pool_gives_up_its_stuck_threads_first(make_manager: MakeManager, hanging: Hanging) -> None:
    manager = with_hanging(make_manager, hanging, print)
    with WorkerPool(manager, threads=3, max_stuck=0) as pool:
        manager.wait_many(manager.create_many(jobs_of("hangs", 2)).ids, PATIENCE)
        until(lambda: pool._parts.workers.irreplaceable == 2)
        pool.resize(1)
        assert pool._parts.workers.irreplaceable == 0
        assert manager.wait(manager.create("a", 1).id, PATIENCE).state is State.SUCCEEDED
        assert pool.health().is_live


def test_threads_that_cannot_be_started_are_told_and_the_pool_goes_on(
    manager: JobManager, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate.opened.set()
    with WorkerPool(manager, threads=2) as pool:
        submit = ThreadPoolExecutor.submit
        left = 3

        def fail_soon(self: Any, *args: Any, **options: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                raise RuntimeError("can't start new thread")
            return submit(self, *args, **options)

        monkeypatch.setattr(ThreadPoolExecutor, "submit", fail_soon)
        with pytest.raises(PoolStateError, match="no more threads can be started; it has 5 now"):
            pool.resize(10)
        assert pool.config.threads == 5
        until(lambda: len(threads_of(pool)) == 5)
        manager.wait_many(manager.create_many(jobs_of("a", 20)).ids, PATIENCE)
        assert pool.health().is_live


def test_a_pool_that_does_not_run_is_not_resized(manager: JobManager) -> None:
    pool = WorkerPool(manager, threads=2)
    with pytest.raises(PoolStateError, match="it is new"):
        pool.resize(3)
    pool.start()
    for wrong in (0, -1, 1001, True, 2.0, "3", None):
        with pytest.raises(InvalidConfiguration, match="threads must"):
            pool.resize(wrong)  # type: ignore[arg-type]
    assert pool.config.threads == 2
    pool.stop()
    with pytest.raises(PoolStateError, match="ending"):
        pool.resize(3)
    assert not threads_of(pool)


def test_a_draining_pool_may_have_more_threads(manager: JobManager, gate: Gate) -> None:
    """So it is done sooner."""
    manager.create_many(jobs_of("a", 30))
    with taking_ahead(manager) as pool:
        until(lambda: gate.entered and pool._parts.workers.ready > 5, "started jobs that wait")
        draining = threading.Thread(target=pool.drain)
        draining.start()
        until(lambda: pool.state == "draining")
        pool.resize(5)
        until(lambda: len(gate.entered) == 5)
        gate.opened.set()
        draining.join(PATIENCE)
        assert not draining.is_alive()
        assert not len(pool._parts.held)


def test_words_to_busy_threads_do_not_pile_up(manager: JobManager, gate: Gate) -> None:
    with WorkerPool(manager, threads=4) as pool:
        manager.create_many(jobs_of("a", 8))
        until(lambda: len(gate.entered) == 4)
        for _ in range(100):
            pool.resize(1)
        assert pool._parts.workers._ready.qsize() <= 3
        gate.opened.set()
        until(lambda: len(threads_of(pool)) == 1)
        until(lambda: manager.count(state="succeeded") == 8)


class _Handler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        pass


@contextmanager
def in_the_middle_of_logging() -> Iterator[None]:
    """Be on top of a frame of this thread that writes a log line, as a signal handler may be; not for ever."""

    def fail(*_: object) -> None:
        raise AssertionError("waits for what only its own thread can let go of")

    handler, before = _Handler(logging.INFO), signal.signal(signal.SIGALRM, fail)
    logger = logging.getLogger("jobpool")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    signal.alarm(int(PATIENCE))
    try:
        assert handler.lock is not None
        with handler.lock:
            yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        logger.setLevel(level)
        logger.removeHandler(handler)


def test_a_signal_handler_above_a_log_line_may_change_the_pool(make_manager: MakeManager, gate: Gate) -> None:
    manager = make_manager(executors={"a": gate, "b": gate})
    with WorkerPool(manager, ["a"], threads=2) as pool:
        with in_the_middle_of_logging():
            pool.resize(3)
            assert pool.add_types("b") == ("a", "b")
            assert pool.remove_types("a") == ("b",)
        assert pool.config.threads == 3


def test_a_signal_handler_does_not_wait_for_ever_for_the_frame_below_it(manager: JobManager) -> None:
    with WorkerPool(manager, threads=2) as pool:
        pool._adjusting._patience = 0.1
        with pool._parts.workers._seating._lock:  # as `stop` and `gauges` hold it for a moment
            with pytest.raises(PoolStateError, match="so it has to return first"):
                pool.resize(5)
            assert pool.config.threads == 2
        until(
            lambda: pool.config.threads == len(threads_of(pool)) == 5, "the change, once the handler has returned"
        )


def test_a_resize_is_in_the_log_once(manager: JobManager, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "jobpool"), WorkerPool(manager, threads=2) as pool:
        pool.resize(3)
        pool.resize(3)
        with suppress(InvalidConfiguration):
            pool.resize(0)
    said = [line for line in caplog.messages if "instead of" in line]
    assert said == ["pool 'default': 3 threads instead of 2"]
