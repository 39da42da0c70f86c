"""What running executors say of themselves: progress, log lines, checkpoints."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from jobpool import Executor, JobManager, State, WorkerPool, current_job
from jobpool.errors import InvalidJob, LeaseLost, StoreUnavailable
from jobpool.job import Claim
from jobpool.progress import MAX_LINE, LogLine, Progress, Report
from jobpool.store import Store

from ..conftest import Jobs, MakeManager
from ..waiting import PATIENCE, until
from .conftest import TakeOne, begin
from .test_transitions import expire


class Steps:
    """An executor that reports when the test says so."""

    def __init__(self, report: Callable[[], None]) -> None:
        self.report = report
        self.reported, self.release = threading.Event(), threading.Event()

    def __call__(self, data: Any) -> str:
        self.report()
        self.reported.set()
        assert self.release.wait(PATIENCE)
        return "done"


def test_progress_is_seen_while_the_job_runs_and_after(make_manager: MakeManager) -> None:
    def report() -> None:
        for n in range(1000):
            current_job().progress(n, 1000, f"step {n}")

    steps = Steps(report)
    manager = make_manager(executors={"a": steps})
    with WorkerPool(manager):
        id = manager.create("a").id
        until(lambda: manager.get(id).progress is not None)
        seen = manager.get(id)
        assert seen.state is State.RUNNING
        assert seen.progress is not None
        assert steps.reported.wait(PATIENCE)
        until(lambda: manager.get(id).progress.done == 999)  # type: ignore[union-attr]
        steps.release.set()
        job = manager.wait(id, PATIENCE)
    assert job.progress is not None
    assert (job.progress.done, job.progress.total, job.progress.note) == (999, 1000, "step 999")
    assert job.progress.share == 0.999
    assert job.progress.at is not None


def test_the_last_word_is_there_with_the_outcome(make_manager: MakeManager) -> None:
    """However short the job is, and however it ends."""

    def work(data: str) -> str:
        current_job().progress(1, 2, data)
        current_job().progress(2, 2, data)
        current_job().log(f"line of {data}")
        if data == "fails":
            raise ValueError
        return data

    manager = make_manager(executors={"a": Executor(work, log_lines=5)})
    ids = [manager.create("a", data).id for data in ("fails", "succeeds")]
    with WorkerPool(manager):
        manager.wait_many(ids, PATIENCE)
    manager.create("a", "here")
    manager.run()
    for job in manager.find():
        assert job.progress is not None
        assert (job.progress.done, job.progress.note) == (2, job.data)
        assert [line.text for line in job.logs] == [f"line of {job.data}"]


def test_progress_of_a_direct_run_is_written_while_it_runs(make_manager: MakeManager) -> None:
    seen: list[float] = []

    def work(data: Any) -> None:
        current_job().progress(1)
        until(lambda: other.get(current_job().id).progress is not None)
        seen.append(other.get(current_job().id).progress.done)  # type: ignore[union-attr]

    other, manager = make_manager(), make_manager(executors={"a": work})
    manager.create("a")
    manager.run()
    assert seen == [1]


def test_it_is_written_at_most_once_a_second(make_manager: MakeManager) -> None:
    release = threading.Event()

    def work(data: Any) -> None:
        while not release.wait(0.001):
            current_job().progress(1)

    manager = make_manager(executors={"a": work})
    value = manager.metrics.registry.get_sample_value
    with WorkerPool(manager, threads=4):
        ids = [manager.create("a", n).id for n in range(4)]
        until(lambda: all(manager.get(id).progress for id in ids))
        written = "jobpool_store_operation_seconds_count"
        first = value(written, {"operation": "report"}) or 0
        began = manager.store.clock.now()
        until(lambda: (manager.store.clock.now() - began).total_seconds() >= 3)
        seconds = (manager.store.clock.now() - began).total_seconds()
        writes = (value(written, {"operation": "report"}) or 0) - first
        release.set()
    assert 1 <= writes <= seconds + 1


def test_no_log_line_is_kept_unless_asked_for(make_manager: MakeManager) -> None:
    def work(data: Any) -> None:
        current_job().log("not kept")
        current_job().logger.warning("neither")

    manager = make_manager(executors={"a": work})
    manager.create("a")
    job = manager.run()
    assert job is not None
    assert job.logs == ()


def test_the_last_lines_are_kept_over_all_attempts(make_manager: MakeManager) -> None:
    def work(data: Any) -> None:
        job = current_job()
        for n in range(3):
            job.logger.warning("attempt %d line %d", job.attempt, n)
        job.logger.debug("too low")
        job.log("x" * 5000, logging.ERROR)
        raise ValueError

    manager = make_manager(executors={"a": Executor(work, log_lines=6, max_attempts=2, backoff=0)})
    id = manager.create("a").id
    manager.run_all()
    lines = manager.get(id).logs
    assert [line.text for line in lines[:2]] == ["attempt 1 line 2", "x" * (MAX_LINE - 3) + "..."]
    assert [line.text for line in lines[2:5]] == [f"attempt 2 line {n}" for n in range(3)]
    assert [(line.level, line.attempt) for line in lines[-2:]] == [("WARNING", 2), ("ERROR", 2)]


def test_a_report_that_could_not_be_written_is_written_later(
    make_manager: MakeManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = Steps(lambda: current_job().progress(1, note="kept"))
    manager = make_manager(executors={"a": steps})
    lost: list[Any] = []
    transitions = manager.store.transitions
    report = transitions.report

    def refused_at_first(reports: Any, **options: Any) -> None:
        if not lost:
            lost.append(reports)
            raise StoreUnavailable("made by the test: it was not sent")
        report(reports, **options)

    monkeypatch.setattr(transitions, "report", refused_at_first)
    with WorkerPool(manager):
        id = manager.create("a").id
        until(lambda: manager.get(id).progress is not None)
        steps.release.set()
        assert manager.wait(id, PATIENCE).progress.note == "kept"  # type: ignore[union-attr]
    assert len(lost) == 1


def test_whoever_has_lost_the_job_reports_nothing(store: Store, take: TakeOne, make_manager: MakeManager) -> None:
    make_manager().create("a")
    claim = take()
    begin(store, claim)
    line = LogLine("INFO", "text", 1, datetime.now(UTC))
    store.transitions.report({Claim(claim.id, "stale", 1): Report(Progress(5), (line,), 10)})
    job = make_manager().get(claim.id)
    assert (job.progress, job.logs) == (None, ())
    store.transitions.report({claim: Report(Progress(5), (line,), 10)})
    job = make_manager().get(claim.id)
    assert job.progress is not None
    assert (job.progress.done, [kept.text for kept in job.logs]) == (5, ["text"])


def test_the_next_attempt_goes_on_from_the_checkpoint(make_manager: MakeManager) -> None:
    done: list[int] = []

    def work(data: int) -> int:
        job = current_job()
        for n in range(job.checkpoint or 0, data):
            done.append(n)
            job.save_checkpoint(n + 1)
            assert job.checkpoint == n + 1
            if n == 3 and job.attempt == 1:
                raise ValueError("half way")
        return data

    manager = make_manager(executors={"a": Executor(work, max_attempts=2, backoff=0)})
    id = manager.create("a", 6).id
    with WorkerPool(manager):
        job = manager.wait(id, PATIENCE)
    assert done == [0, 1, 2, 3, 4, 5]
    assert (job.state, job.attempts, job.checkpoint) == (State.SUCCEEDED, 2, 6)


def test_a_checkpoint_outlives_its_worker(
    make_manager: MakeManager, store: Store, take: TakeOne, jobs: Jobs
) -> None:
    manager = make_manager(executors={"a": Executor(lambda data: current_job().checkpoint, max_attempts=2)})
    id = manager.create("a").id
    claim = take()
    begin(store, claim, max_attempts=2)
    assert store.transitions.save_checkpoint(claim, {"at": 7})
    expire(jobs)
    store.reaping.reap()
    assert not store.transitions.save_checkpoint(claim, {"at": 8}), "it is not held any more"
    until(lambda: manager.run() is not None)
    assert manager.get(id).result == {"at": 7}


def test_a_checkpoint_of_a_lost_job_is_refused(make_manager: MakeManager, jobs: Jobs) -> None:
    seen: list[str] = []

    def work(data: Any) -> None:
        jobs.update_one({"_id": current_job().id}, {"$set": {"claim": "another"}})
        for value in (1, object(), "x" * 3000):
            try:
                current_job().save_checkpoint(value)
            except (LeaseLost, InvalidJob) as error:
                seen.append(type(error).__name__)

    manager = make_manager(executors={"a": work}, data_limit=2000)
    id = manager.create("a").id
    with pytest.raises(LeaseLost):
        manager.run()
    assert seen == ["LeaseLost", "InvalidJob", "InvalidJob"]
    assert manager.get(id).checkpoint is None


def test_a_revived_job_begins_anew(make_manager: MakeManager) -> None:
    def work(data: Any) -> None:
        job = current_job()
        job.progress(1)
        job.log("line")
        job.save_checkpoint(5)
        raise ValueError

    manager: JobManager = make_manager(executors={"a": Executor(work, log_lines=5)})
    manager.create("a")
    manager.run()
    job = manager.create("a", on_duplicate="revive")
    assert (job.progress, job.logs, job.checkpoint) == (None, (), None)
    assert (job.error_count, len(job.errors)) == (1, 1), "what tells of the life before"


@pytest.mark.parametrize(
    ("done", "word"),
    [
        *(("1", "not str"), (None, "not NoneType"), (True, "not bool")),
        *((2**70, "within 2"), (float("nan"), "finite"), (-float("inf"), "finite")),
    ],
)
def test_nonsense_is_no_progress(make_manager: MakeManager, done: Any, word: str) -> None:
    raised: list[str] = []

    def work(data: Any) -> None:
        try:
            current_job().progress(done)
        except TypeError as error:
            raised.append(str(error))

    manager = make_manager(executors={"a": work})
    manager.create("a")
    manager.run()
    assert len(raised) == 1
    assert word in raised[0]
