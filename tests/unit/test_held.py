"""The claims a pool holds."""

from __future__ import annotations

import threading
import time

import pytest

from jobpool.job import Claim
from jobpool.pool.held import HeldJobs, Stage, holding, lost_by_stage
from jobpool.store.claiming import Claimed

from .jobs_held import held

NOT_CALLED = [Stage.QUEUED, Stage.STARTED]


def test_a_held_job_knows_its_claim() -> None:
    job = held("a", fence=7, token="x", attempts=2)
    assert job.claim == Claim("a", "x", 7)
    assert (job.type, job.attempt, job.stage, job.lost) == ("t", 3, Stage.QUEUED, False)


def test_what_was_claimed_is_held_in_its_order() -> None:
    documents = [held(id).document for id in "ab"]
    first, second = holding(Claimed(documents, "x", 5.0, tried=3, drained=False))
    assert (first.claim, second.claim) == (Claim("a", "x", 1), Claim("b", "x", 1))
    assert (first.deadline, first.queued_at) == (5.0, second.queued_at)


def test_added_jobs_are_held() -> None:
    jobs, a, b = HeldJobs(), held("a"), held("b")
    jobs.add([a, b])
    assert (len(jobs), jobs.all()) == (2, [a, b])


def test_removed_claims_are_held_no_more() -> None:
    jobs, a, b = HeldJobs(), held("a"), held("b")
    jobs.add([a, b])
    assert jobs.remove([a]) == [a]
    assert jobs.all() == [b]
    assert a.lost is False


def test_removing_what_is_not_held_changes_nothing() -> None:
    jobs, a = HeldJobs(), held("a")
    jobs.add([a])
    assert jobs.remove([held("b"), held("a", fence=2)]) == []
    assert jobs.all() == [a]


@pytest.mark.parametrize("stage", [*NOT_CALLED, Stage.RUNNING])
def test_a_lost_job_is_marked_and_kept_no_more(stage: Stage) -> None:
    jobs, a = HeldJobs(), held("a", stage=stage)
    jobs.add([a])
    assert jobs.lose([a]) == [a]
    assert (a.lost, a.lost_while, len(jobs)) == (True, stage, 0)


def test_a_job_whose_outcome_is_being_recorded_is_not_lost() -> None:
    jobs, a = HeldJobs(), held("a", stage=Stage.FINISHING)
    jobs.add([a])
    assert jobs.lose([a]) == []
    assert (a.lost, jobs.all()) == (False, [a])


def test_a_job_is_lost_once() -> None:
    jobs, a = HeldJobs(), held("a")
    jobs.add([a])
    jobs.lose([a])
    assert jobs.lose([a]) == []


@pytest.mark.parametrize("stage", NOT_CALLED)
def test_a_job_lost_before_its_executor_was_called_has_left(stage: Stage) -> None:
    jobs, a = HeldJobs(), held("a", stage=stage)
    jobs.add([a])
    jobs.lose([a])
    assert (jobs.remove([a]), jobs.abandon()) == ([], [])


def test_a_job_lost_while_it_runs_leaves_when_its_outcome_was_tried() -> None:
    jobs, a = HeldJobs(), held("a", stage=Stage.RUNNING)
    jobs.add([a])
    jobs.lose([a])
    assert jobs.remove([a]) == [a]
    assert jobs.remove([a]) == []


def test_a_held_job_begins_and_a_lost_one_does_not() -> None:
    jobs, a, b = HeldJobs(), held("a", stage=Stage.STARTED), held("b", stage=Stage.STARTED)
    jobs.add([a, b])
    jobs.lose([b])
    assert (jobs.begin(a), a.stage) == (True, Stage.RUNNING)
    assert (jobs.begin(b), b.stage) == (False, Stage.STARTED)


def test_what_is_left_is_abandoned_once() -> None:
    jobs, queued, late, done = HeldJobs(), held("a"), held("b", stage=Stage.RUNNING), held("c")
    jobs.add([queued, late, done])
    jobs.lose([late])
    jobs.remove([done])
    assert jobs.abandon() == [queued, late]
    assert jobs.remove([queued, late]) == jobs.lose([queued]) == jobs.all() == []
    assert jobs.abandon() == [queued, late], "a stop that is repeated says it again"


def test_losses_count_for_whether_the_executor_was_called() -> None:
    jobs = HeldJobs()
    group = [held(stage, stage=stage) for stage in (*NOT_CALLED, Stage.RUNNING)]
    jobs.add(group)
    assert lost_by_stage(jobs.lose(group)) == {"queued": 2, "running": 1}


def test_two_claims_of_one_job_are_held_beside_each_other() -> None:
    jobs = HeldJobs()
    older, newer = held("a", fence=1, token="x"), held("a", fence=2, token="y")
    jobs.add([older])
    jobs.add([newer])
    assert len(jobs) == 2
    assert jobs.lose([older]) == [older]
    assert (newer.lost, jobs.all()) == (False, [newer])


def test_nothing_held_is_empty_at_once() -> None:
    assert HeldJobs().wait_empty(None) is True


def test_a_past_deadline_ends_the_wait() -> None:
    jobs = HeldJobs()
    jobs.add([held("a")])
    assert jobs.wait_empty(time.monotonic() - 1) is False


@pytest.mark.parametrize("end", ["remove", "lose"])
def test_the_last_job_ends_the_wait(end: str) -> None:
    jobs, a, b = HeldJobs(), held("a"), held("b")
    jobs.add([a, b])
    answers: list[bool] = []
    waiting = threading.Thread(target=lambda: answers.append(jobs.wait_empty(None)))
    waiting.start()
    getattr(jobs, end)([a])
    assert waiting.is_alive()
    getattr(jobs, end)([b])
    waiting.join()
    assert answers == [True]
