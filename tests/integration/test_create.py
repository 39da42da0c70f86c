"""Creating jobs: at most once per id, or a clear error and no change."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from bson import Decimal128, Int64, ObjectId
from pymongo import MongoClient

from jobpool import State, job_id
from jobpool.errors import DuplicateJob, InvalidJob

from ..conftest import Jobs, MakeManager

Client = MongoClient[dict[str, Any]]


def fail(data: Any) -> None:
    raise ValueError("no")


def test_equal_work_is_one_job(make_manager: MakeManager, jobs: Jobs) -> None:
    manager = make_manager()
    first = manager.create("a", {"x": 1, "y": 2})
    second = manager.create("a", {"y": 2, "x": 1})
    assert (first.created, second.created) == (True, False)
    assert first.id == second.id == job_id("a", {"x": 1, "y": 2})
    assert jobs.count_documents({}) == 1


def test_an_own_id_tells_equal_data_apart(make_manager: MakeManager, jobs: Jobs) -> None:
    manager = make_manager()
    assert manager.create("a", 1).id != manager.create("a", 1, id="again").id
    assert manager.get("again").data == 1
    assert jobs.count_documents({}) == 2


def test_many_producers_of_one_id_insert_it_once(make_manager: MakeManager) -> None:
    manager = make_manager()
    barrier = threading.Barrier(20)
    created: list[bool] = []

    def produce() -> None:
        barrier.wait()
        created.append(manager.create("a", "same").created)

    threads = [threading.Thread(target=produce) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(created) == [False] * 19 + [True]


def test_a_duplicate_says_in_which_state_the_original_is(make_manager: MakeManager) -> None:
    manager = make_manager(executors={"a": lambda data: data})
    manager.create("a", 1)
    manager.run()
    met = manager.create("a", 1)
    assert (met.created, met.state, met.result) == (False, State.SUCCEEDED, 1)


def test_keep_leaves_a_failed_job_alone(make_manager: MakeManager) -> None:
    manager = make_manager(executors={"a": fail})
    manager.create("a", 1)
    manager.run()
    assert manager.create("a", 1).state is State.FAILED


@pytest.mark.parametrize("end", ["failed", "cancelled"])
def test_revive_makes_a_job_without_success_pending_again(make_manager: MakeManager, end: str) -> None:
    manager = make_manager(executors={"a": fail})
    id = manager.create("a", 1).id
    if end == "failed":
        manager.run()
    else:
        manager.cancel(id)
    fence = manager.get(id).fence
    revived = manager.create("a", 1, on_duplicate="revive")
    assert (revived.state, revived.attempts, revived.error, revived.finished_at) == (State.PENDING, 0, None, None)
    assert not revived.created
    assert manager.run() is not None
    assert manager.get(id).fence == fence + 1


def test_revive_leaves_a_succeeded_job_alone(make_manager: MakeManager) -> None:
    manager = make_manager(executors={"a": lambda data: "done"})
    manager.create("a", 1)
    manager.run()
    assert manager.create("a", 1, on_duplicate="revive").state is State.SUCCEEDED


def test_raise_names_the_id_and_the_state(make_manager: MakeManager) -> None:
    manager = make_manager()
    id = manager.create("a", 1).id
    with pytest.raises(DuplicateJob, match="pending") as caught:
        manager.create("a", 1, on_duplicate="raise")
    assert (caught.value.id, caught.value.state) == (id, "pending")


def test_an_unknown_on_duplicate_is_refused(make_manager: MakeManager, jobs: Jobs) -> None:
    with pytest.raises(InvalidJob, match="replace"):
        make_manager().create("a", 1, on_duplicate="replace")
    assert jobs.count_documents({}) == 0


def test_mappings_create_several_jobs(make_manager: MakeManager) -> None:
    manager = make_manager()
    first, second = manager.create({"type": "a", "data": 1}, {"type": "b", "data": 2, "id": "two", "priority": 3})
    assert (first.type, first.data) == ("a", 1)
    assert (second.type, second.id, second.priority) == ("b", "two", 3)
    assert manager.create({"type": "a", "data": 1}).created is False


def test_a_bad_mapping_among_several_creates_none(make_manager: MakeManager, jobs: Jobs) -> None:
    with pytest.raises(InvalidJob, match="priorty"):
        make_manager().create({"type": "a"}, {"type": "b", "priorty": 1})
    assert jobs.count_documents({}) == 0


def test_data_comes_back_as_it_was(make_manager: MakeManager) -> None:
    manager = make_manager()
    data = {
        "$set": {"a.b": [1, 2.5, None, True, "ü", b"raw", Int64(2**40)]},
        "at": datetime(2026, 1, 2, 3, 4, 5, 678000, UTC),
        "ids": [ObjectId(), uuid4(), Decimal128("1.10")],
        "": {},
    }
    assert manager.get(manager.create("a", data).id).data == data


def test_create_many_counts_and_keeps_the_order_of_ids(make_manager: MakeManager, jobs: Jobs) -> None:
    manager = make_manager()
    manager.create("a", 3)
    answer = manager.create_many(({"type": "a", "data": n % 8} for n in range(10)), batch_size=4)
    assert (answer.inserted, answer.duplicates, answer.revived) == (7, 3, 0)
    assert answer.ids == [job_id("a", n % 8) for n in range(10)]
    assert jobs.count_documents({}) == 8


def test_create_many_counts_twins_within_a_batch(make_manager: MakeManager) -> None:
    answer = make_manager().create_many([{"type": "a", "data": 1}] * 3)
    assert (answer.inserted, answer.duplicates) == (1, 2)


def test_create_many_revives(make_manager: MakeManager) -> None:
    manager = make_manager(executors={"a": fail})
    manager.create_many([{"type": "a", "data": n} for n in range(4)])
    manager.run_all()
    answer = manager.create_many([{"type": "a", "data": n} for n in range(6)], on_duplicate="revive")
    assert (answer.inserted, answer.duplicates, answer.revived) == (2, 4, 4)
    assert manager.count(state="pending") == 6


def test_create_many_with_raise_inserts_nothing_of_the_batch(make_manager: MakeManager, jobs: Jobs) -> None:
    manager = make_manager()
    manager.create("a", 2)
    with pytest.raises(DuplicateJob):
        manager.create_many([{"type": "a", "data": n} for n in range(5)], on_duplicate="raise")
    assert jobs.count_documents({}) == 1


def test_a_bad_job_in_a_list_stores_none_of_them(make_manager: MakeManager, jobs: Jobs) -> None:
    many = [{"type": "a", "data": n} for n in range(5)] + [{"type": "a", "data": {1, 2}}]
    with pytest.raises(InvalidJob, match=r"job 5: data: set"):
        make_manager().create_many(many, batch_size=2)
    assert jobs.count_documents({}) == 0


def test_a_bad_job_in_a_stream_says_what_is_stored(make_manager: MakeManager, jobs: Jobs) -> None:
    stream = ({"type": "a", "data": float("nan") if n == 5 else n} for n in range(9))
    with pytest.raises(InvalidJob, match=r"job 5: .*4 jobs before it are stored"):
        make_manager().create_many(stream, batch_size=2)
    assert jobs.count_documents({}) == 4


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"type": ""}, "type"),
        ({"type": "x" * 129}, "128"),
        ({"type": "a\nb"}, "control"),
        ({"type": "a", "data": {"k": {1}}}, "data.k: set"),
        ({"type": "a", "data": 2**64}, "64 bits"),
        ({"type": "a", "data": "x" * 2_000_000}, "over the limit of 1048576"),
        ({"type": "a", "data": "\ud800"}, "cannot be stored"),
        ({"type": "a", "id": ""}, "id"),
        ({"type": "a", "id": {"$gt": ""}}, "id must be a str"),
        ({"type": "a", "priority": 1.5}, "priority"),
        ({"type": "a", "delay": -1}, "delay"),
        ({"type": "a", "delay": 5, "run_at": datetime.now(UTC)}, "either run_at or delay"),
        ({"type": "a", "run_at": datetime(2030, 1, 1)}, "timezone-aware"),
        ({"type": "a", "max_attempts": 0}, "max_attempts"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(
    make_manager: MakeManager, jobs: Jobs, fields: dict[str, Any], message: str
) -> None:
    manager = make_manager()
    with pytest.raises(InvalidJob, match=message):
        manager.create(**fields)
    with pytest.raises(InvalidJob, match=message):
        manager.create_many([{"type": "fine"}, fields])
    assert jobs.count_documents({}) == 0


def test_the_size_limit_can_be_raised_to_15_mib(make_manager: MakeManager) -> None:
    manager = make_manager(data_limit=15 * 1024 * 1024, executors={"a": len, "b": lambda data: data})
    large = "x" * (15 * 1024 * 1024 - 100)
    manager.create("a", large)
    manager.create("b", large)
    assert manager.run("a").result == len(large)  # type: ignore[union-attr]
    both = manager.run("b")  # data and result do not fit in one document together
    assert both is not None
    assert (both.state, both.result) == ("succeeded", None)
    assert both.result_error is not None
    assert "may have" in both.result_error


def test_a_job_in_a_transaction_exists_when_it_commits(
    make_manager: MakeManager, client: Client, database: str
) -> None:
    manager = make_manager(database, client=client)
    manager.create("warm", 0)
    with client.start_session() as session, session.start_transaction():
        client[database].orders.insert_one({"_id": 1}, session=session)
        job = manager.create("a", 1, session=session)
        assert job.created
        assert manager.count(type="a") == 0
    assert manager.count(type="a") == 1
    assert client[database].orders.count_documents({}) == 1


def test_a_job_in_an_aborted_transaction_never_was(
    make_manager: MakeManager, client: Client, database: str
) -> None:
    manager = make_manager(database, client=client)
    manager.ensure_indexes()
    with client.start_session() as session:
        session.start_transaction()
        manager.create("a", 1, session=session)
        manager.create_many([{"type": "a", "data": n} for n in range(3)], session=session)
        session.abort_transaction()
    assert manager.count() == 0


def test_a_duplicate_does_not_end_the_transaction(
    make_manager: MakeManager, client: Client, database: str
) -> None:
    manager = make_manager(database, client=client)
    manager.create("a", 1)
    with client.start_session() as session, session.start_transaction():
        assert manager.create("a", 1, session=session).created is False
        many = manager.create_many([{"type": "a", "data": n} for n in (1, 2, 2)], session=session)
        client[database].orders.insert_one({"_id": 1}, session=session)
    assert (many.inserted, many.duplicates) == (1, 2)
    assert client[database].orders.count_documents({}) == 1
    assert manager.count() == 2


def test_two_transactions_with_one_id_make_one_job(
    make_manager: MakeManager, client: Client, database: str
) -> None:
    """The loser meets a write conflict, its transaction is repeated by the driver, and finds the job."""
    manager = make_manager(database, client=client)
    manager.ensure_indexes()
    together = threading.Barrier(2)
    first_try: set[int] = set()
    created: list[bool] = []

    def work(number: int) -> None:
        def callback(session: Any) -> None:
            manager.count(ids=["nothing"])
            client[database].orders.find_one({}, session=session)  # the snapshot is taken
            if number not in first_try:
                first_try.add(number)
                together.wait(20)
            created.append(manager.create("a", 1, session=session).created)

        with client.start_session() as session:
            session.with_transaction(callback)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert manager.count() == 1
    assert created[-1] is False


def test_delay_and_run_at_are_kept(make_manager: MakeManager) -> None:
    manager = make_manager()
    later = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=2)
    assert manager.create("a", 1, run_at=later).run_at == later
    delayed = manager.create("a", 2, delay=60)
    assert delayed.run_at - delayed.created_at == timedelta(seconds=60)
