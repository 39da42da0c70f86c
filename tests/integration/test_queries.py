"""Looking at jobs, and removing them."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobpool import JobManager, State, WorkerPool
from jobpool.errors import InvalidConfiguration, InvalidJob, JobHeld, JobNotFound, PoolStateError, WaitTimeout
from jobpool.store.indexes import INDEXES

from ..conftest import Jobs, MakeManager
from ..waiting import PATIENCE


@pytest.fixture
def manager(make_manager: MakeManager) -> JobManager:
    manager = make_manager(executors={"a": lambda data: data, "b": lambda data: 1 / 0})
    for number in range(5):
        manager.create("a", number)
    manager.create("b", 0)
    manager.run("b")
    return manager


def test_get_of_nothing_names_the_id(manager: JobManager) -> None:
    with pytest.raises(JobNotFound, match="nowhere"):
        manager.get("nowhere")


def test_find_is_newest_first_or_oldest_first(manager: JobManager) -> None:
    newest = [job.created_at for job in manager.find()]
    assert newest == sorted(newest, reverse=True)
    assert [job.id for job in manager.find(oldest_first=True)] == [job.id for job in manager.find()][::-1]


def test_find_selects_by_type_state_and_ids(manager: JobManager) -> None:
    assert len(manager.find(type="a")) == 5
    assert [job.type for job in manager.find(state="failed")] == ["b"]
    some = [job.id for job in manager.find(limit=2)]
    assert {job.id for job in manager.find(ids=some)} == set(some)
    assert manager.find(ids=[]) == []


def test_find_selects_by_the_time_of_creation(manager: JobManager) -> None:
    now = datetime.now(UTC)
    assert len(manager.find(since=now - timedelta(hours=1), until=now + timedelta(hours=1))) == 6
    assert manager.find(since=now + timedelta(hours=1)) == []
    assert manager.count(until=now - timedelta(hours=1)) == 0


@pytest.mark.parametrize("oldest_first", [False, True])
def test_pages_cover_everything_once_even_within_one_instant(
    make_manager: MakeManager, oldest_first: bool
) -> None:
    manager = make_manager()
    manager.create_many([{"type": "a", "data": n} for n in range(25)])  # all with one created_at
    seen, after = [], None
    while page := manager.find(limit=10, after=after, oldest_first=oldest_first):
        seen += [job.id for job in page]
        after = page[-1]
    assert len(seen) == len(set(seen)) == 25


def test_count_counts(manager: JobManager) -> None:
    assert (manager.count(), manager.count(type="a"), manager.count(state=State.PENDING)) == (6, 5, 5)


@pytest.mark.parametrize(
    "selection",
    [{"state": "done"}, {"type": {"$ne": ""}}, {"ids": [{"$gt": ""}]}, {"since": datetime(2026, 1, 1)}],
)
def test_nonsense_in_a_selection_is_refused(manager: JobManager, selection: dict[str, Any]) -> None:
    for call in (manager.find, manager.count, manager.remove_many):
        with pytest.raises((InvalidJob, InvalidConfiguration)):
            call(**selection)
    assert manager.count() == 6


def test_remove_says_whether_there_was_a_job(manager: JobManager) -> None:
    id = manager.find(type="a")[0].id
    assert manager.remove(id)
    assert not manager.remove(id)


def test_a_held_job_cannot_be_removed(make_manager: MakeManager) -> None:
    begun, release = threading.Event(), threading.Event()

    def work(data: object) -> None:
        begun.set()
        release.wait(PATIENCE)

    manager = make_manager(executors={"a": work})
    id = manager.create("a").id
    with WorkerPool(manager):
        assert begun.wait(PATIENCE)
        with pytest.raises(JobHeld, match="running"):
            manager.remove(id)
        assert manager.remove_many(type="a") == 0
        release.set()
        manager.wait(id, PATIENCE)
    assert manager.remove(id)


def test_remove_many_needs_a_selection_or_the_word_all(manager: JobManager) -> None:
    with pytest.raises(InvalidConfiguration, match="all=True"):
        manager.remove_many()
    assert manager.remove_many(type="b") == 1
    assert manager.remove_many(all=True) == 5


def test_cancel_cancels_what_is_pending_and_only_that(manager: JobManager) -> None:
    id = manager.find(type="a")[0].id
    assert manager.cancel(id).state is State.CANCELLED
    assert manager.run_all("a") == 4
    assert manager.cancel(manager.find(type="b")[0].id).state is State.FAILED
    with pytest.raises(JobNotFound):
        manager.cancel("nowhere")


def test_wait_gives_up_in_time_and_says_what_it_saw(manager: JobManager) -> None:
    id = manager.find(type="a")[0].id
    with pytest.raises(WaitTimeout, match="pending"):
        manager.wait(id, 0.05)
    with pytest.raises(JobNotFound):
        manager.wait("nowhere", 1)


def test_a_closed_manager_says_so(make_manager: MakeManager) -> None:
    manager = make_manager()
    manager.close()
    manager.close()
    with pytest.raises(PoolStateError, match="closed"):
        manager.create("a")


def test_indexes_are_made_once_and_foreign_ones_are_left_alone(make_manager: MakeManager, jobs: Jobs) -> None:
    jobs.create_index("data.mine")
    manager = make_manager()
    manager.count()
    names = set(jobs.index_information())
    ours = {model.document["name"] for model in INDEXES}
    assert {"_id_", "data.mine_1", *ours} == names
    assert manager.ensure_indexes() == []
    jobs.drop_index("jobpool_failed")
    assert manager.ensure_indexes() == ["jobpool_failed"]


def test_an_index_of_ours_with_other_keys_is_reported_and_not_dropped(
    make_manager: MakeManager, jobs: Jobs
) -> None:
    from jobpool.errors import IndexMismatch

    jobs.create_index("x", name="jobpool_claim")
    with pytest.raises(IndexMismatch, match="jobpool_claim"):
        make_manager().create("a")
    assert jobs.index_information()["jobpool_claim"]["key"] == [("x", 1)]
