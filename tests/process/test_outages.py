"""A server that dies, and one that stops answering, under a busy pool."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobpool import JobManager, WorkerPool, current_job
from jobpool.embedded import EmbeddedMongo
from jobpool.errors import StoreUnavailable

from ..waiting import PATIENCE, until

TOTAL = 400


class Busy:
    """A manager with jobs of some milliseconds, and how often each ran."""

    def __init__(self, uri: str) -> None:
        self.ran: Counter[int] = Counter()
        self.manager = JobManager("busy", uri=uri, timeout=2, executors={"a": self.work})
        self.manager.create_many([{"type": "a", "data": n} for n in range(TOTAL)])

    def work(self, data: int) -> None:
        self.ran[data] += 1
        threading.Event().wait(0.02)

    def open_jobs(self) -> int:
        return sum(self.manager.count(state=state) for state in ("pending", "claimed", "running"))

    def check(self) -> None:
        """Every job is final, none ran twice, and none failed but by a start that nobody could confirm."""
        assert max(self.ran.values()) == 1
        assert self.manager.count(state="succeeded") + self.manager.count(state="failed") == TOTAL
        failed = self.manager.find(state="failed")
        assert {job.error.type for job in failed if job.error} <= {"WorkerLost"}
        assert len(self.ran) >= self.manager.count(state="succeeded")


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[EmbeddedMongo]:
    with EmbeddedMongo(tmp_path / "data") as server:
        yield server


def test_a_server_killed_and_restarted_costs_no_job_and_few_log_lines(
    own_server: EmbeddedMongo, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "jobpool")
    busy = Busy(own_server.uri)
    port = int(own_server.uri.split(":")[2].partition("/")[0])
    with busy.manager, WorkerPool(busy.manager, lease=2, threads=4) as pool:
        until(lambda: len(busy.ran) > 50, "the load")
        os.kill(own_server.server_pid, signal.SIGKILL)
        until(lambda: not pool.health().is_ready, "the notice")
        with pytest.raises(StoreUnavailable):
            busy.manager.create("a", TOTAL)
        until(lambda: not pool.health().is_live, "the alarm, a lease later")
        own_server.stop()
        assert own_server.path is not None
        with EmbeddedMongo(own_server.path, port):
            until(lambda: not busy.open_jobs(), "the last job")
            until(lambda: pool.health().is_ready, "the all-clear")
            busy.check()
            pool.stop()
            busy.manager.close()
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.INFO]
    assert any("does not answer" in line for line in lines), lines
    assert any("answers again" in line for line in lines), lines
    assert len(lines) <= 10, lines


def test_a_frozen_server_makes_the_pool_fence_itself_and_stop_returns(own_server: EmbeddedMongo) -> None:
    began, told = threading.Event(), threading.Event()
    with JobManager("frozen", uri=own_server.uri, timeout=2) as manager:

        @manager.executor("long")
        def long(data: int) -> None:
            job = current_job()
            began.set()
            until(lambda: job.lost, "the loss")
            told.set()

        long_id = manager.create("long", 1).id
        pool = WorkerPool(manager, lease=1, threads=4).start()
        assert began.wait(PATIENCE)
        os.kill(own_server.server_pid, signal.SIGSTOP)
        try:
            assert told.wait(PATIENCE), "the running job was not told"
            until(lambda: not pool.health().is_live, "the alarm")
            report = pool.stop(timeout=0.5)
        finally:
            os.kill(own_server.server_pid, signal.SIGCONT)
        assert report.released == ()
        until(
            lambda: manager.run() is None and manager.get(long_id).state.final, "the reaper of the next consumer"
        )
        assert manager.get(long_id).attempts == 1
