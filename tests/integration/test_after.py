"""Creating jobs that run after others: what is stored, what is refused, and what a repeat completes."""

from __future__ import annotations

from typing import Any

import pytest
from pymongo import MongoClient

from jobpool import Job, State
from jobpool.errors import InvalidJob, JobNotFound

from ..conftest import Jobs, MakeManager


def test_a_job_after_another_waits_for_it_and_marks_it(make_manager: MakeManager, jobs: Jobs) -> None:
    manager = make_manager()
    first = manager.create("t", 1)
    second = manager.create("t", 2, after=[first.id, first.id])
    assert (second.state, second.after, second.waits_for) == (State.WAITING, (first.id,), (first.id,))
    assert (second.on_failure, second.created) == ("fail", True)
    stored = jobs.find_one({"_id": second.id})
    assert stored is not None
    assert "linking" not in stored
    assert "on_failure" not in stored
    marked = jobs.find_one({"_id": first.id})
    assert marked is not None
    assert "followed" in marked


def test_a_job_after_none_is_pending(make_manager: MakeManager, jobs: Jobs) -> None:
    job = make_manager().create("t", after=[])
    assert job.state is State.PENDING
    assert set(jobs.find_one({"_id": job.id}) or ()).isdisjoint({"after", "waits_for", "linking"})


def test_a_waiting_job_is_not_claimed(make_manager: MakeManager) -> None:
    manager = make_manager(executors={"t": lambda data: data})
    first = manager.create("t", 1, delay=3600)
    manager.create("t", 2, after=[first.id], priority=9)
    assert manager.run() is None


def test_what_does_not_exist_is_not_waited_for(make_manager: MakeManager) -> None:
    manager = make_manager()
    with pytest.raises(JobNotFound, match=r"job 'b' is to run after 'a': no such job in .*; it was not created"):
        manager.create("t", id="b", after=["a"])
    with pytest.raises(JobNotFound, match="'b' is to run after 'a'"):
        manager.create_many([{"type": "t"}, {"type": "t", "id": "b", "after": ["a"]}], batch_size=1)
    assert manager.count() == 0


def test_a_job_does_not_wait_for_itself(make_manager: MakeManager) -> None:
    manager = make_manager()
    with pytest.raises(InvalidJob, match="job 'a' cannot run after itself"):
        manager.create("t", id="a", after=["a"])
    assert manager.count() == 0


@pytest.mark.parametrize("batch_size", [1, 2, 1000])
def test_the_jobs_of_a_list_may_name_each_other_in_any_order(make_manager: MakeManager, batch_size: int) -> None:
    manager = make_manager()
    created = manager.create_many(
        [
            {"type": "t", "id": "d", "after": ["b", "c"]},
            {"type": "t", "id": "b", "after": ["a"]},
            {"type": "t", "id": "c", "after": ["a"], "on_failure": "run"},
            {"type": "t", "id": "a"},
        ],
        batch_size=batch_size,
    )
    assert (created.inserted, created.ids) == (4, ["d", "b", "c", "a"])
    assert {job.id: job.waits_for for job in manager.find(state="waiting")} == {
        "d": ("b", "c"),
        "b": ("a",),
        "c": ("a",),
    }
    assert manager.get("c").on_failure == "run"


def test_a_circle_is_refused_with_its_members(make_manager: MakeManager) -> None:
    manager = make_manager()
    circle = [{"type": "t", "id": id, "after": [after]} for id, after in ("ab", "bc", "ca")]
    with pytest.raises(InvalidJob, match="'a' after 'b' after 'c' after 'a'; none of them was created"):
        manager.create_many([{"type": "t", "id": "x"}, *circle])
    assert manager.count() == 0


def test_a_repeat_completes_what_its_creator_left(make_manager: MakeManager, jobs: Jobs) -> None:
    manager = make_manager()
    first = manager.create("t", 1)
    second = manager.create("t", 2, after=[first.id])
    jobs.update_one({"_id": second.id}, {"$currentDate": {"linking": True}})
    jobs.update_one({"_id": first.id}, {"$unset": {"followed": ""}})
    again = manager.create("t", 2, after=[first.id])
    assert not again.created
    assert again.state is State.WAITING
    assert jobs.count_documents({"_id": first.id, "followed": {"$exists": True}}) == 1
    assert jobs.count_documents({"linking": {"$exists": True}}) == 0


def test_a_repeat_does_not_ask_for_what_is_gone_meanwhile(make_manager: MakeManager, jobs: Jobs) -> None:
    manager = make_manager()
    first = manager.create("t", 1)
    manager.create("t", 2, after=[first.id])
    jobs.delete_one({"_id": first.id})
    assert not manager.create("t", 2, after=[first.id]).created


def test_in_a_transaction_all_of_it_commits_or_nothing(
    make_manager: MakeManager, jobs: Jobs, client: MongoClient[dict[str, Any]]
) -> None:
    manager = make_manager(client=client)
    first = manager.create("t", 1)
    with client.start_session() as session:
        session.start_transaction()
        second = manager.create("t", 2, after=[first.id], session=session)
        assert second.state is State.WAITING
        session.abort_transaction()
        assert manager.count() == 1
        assert jobs.count_documents({"followed": {"$exists": True}}) == 0

        def both(session: Any) -> Job:
            third = manager.create("t", 3, session=session)
            return manager.create("t", 2, after=[first.id, third.id], session=session)

        job = session.with_transaction(both)
    assert manager.get(job.id).state is State.WAITING
    assert jobs.count_documents({"followed": {"$exists": True}}) == 2
    assert jobs.count_documents({"linking": {"$exists": True}}) == 0


def test_a_batch_is_created_with_its_callback(make_manager: MakeManager, jobs: Jobs) -> None:
    manager = make_manager(executors={"t": lambda data: data})
    created = manager.create_batch([{"type": "t", "data": n} for n in range(3)], then={"type": "t", "data": "all"})
    assert (created.jobs.inserted, created.ids) == (3, created.jobs.ids)
    callback = created.callback
    assert (callback.state, callback.waits_for, callback.on_failure) == (State.WAITING, tuple(created.ids), "run")
    assert jobs.count_documents({"followed": {"$exists": True}}) == 3
    manager.run_all()
    assert manager.get(callback.id).result == "all"


@pytest.mark.parametrize(
    ("then", "message"),
    [
        ("t", "then must be a mapping"),
        ({"data": 1}, "a job needs a type"),
        ({"type": "t", "after": ["a"]}, "then has its after from the batch"),
        ({"type": "t", "prio": 1}, "unknown keys in a job: prio"),
    ],
    ids=["name", "untyped", "after", "unknown"],
)
def test_a_callback_that_cannot_be_is_refused_before_its_batch(
    make_manager: MakeManager, then: Any, message: str
) -> None:
    manager = make_manager()
    with pytest.raises(InvalidJob, match=message):
        manager.create_batch([{"type": "t"}], then=then)
    with pytest.raises(InvalidJob, match="unknown keys"):
        manager.create_batch([{"type": "t", "prio": 1}], then={"type": "t"})
    with pytest.raises(InvalidJob, match="on_failure must be one of"):
        manager.create_batch([{"type": "t"}], then={"type": "t"}, on_failure="stop")
    assert manager.count() == 0


def test_a_cascade_cancels_those_who_wait(make_manager: MakeManager) -> None:
    manager = make_manager()
    first = manager.create("t", 1)
    second = manager.create("t", 2, after=[first.id])
    third = manager.create("t", 3, after=[second.id], on_failure="run")
    assert manager.cancel(first.id, cascade=True).state is State.CANCELLED
    assert {manager.get(id).state for id in (second.id, third.id)} == {State.CANCELLED}
    fourth = manager.create("t", 4)
    manager.create("t", 5, after=[fourth.id])
    assert manager.cancel_many(ids=[fourth.id], cascade=True).ended == 2
