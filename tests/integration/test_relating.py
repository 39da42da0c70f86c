"""What a job has to do with, ids by their beginning, and every job of a selection."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pymongo import MongoClient

from jobpool import AsyncJobManager, JobManager, State, WorkerPool
from jobpool.cli.options.ids import resolve
from jobpool.embedded import EmbeddedMongo
from jobpool.errors import InvalidConfiguration, InvalidJob, JobNotFound
from jobpool.store.listing import CHUNK
from jobpool.store.relating import SHOWN

from ..awaited import drive
from ..conftest import Jobs, MakeManager
from ..waiting import until


@pytest.fixture
def manager(make_manager: MakeManager) -> JobManager:
    return make_manager(executors={"works": lambda data: data})


def test_a_job_alone_has_to_do_with_nobody(manager: JobManager) -> None:
    manager.create("x", id="one")
    job, relations = manager.relations("one")
    assert (job.id, relations.id) == ("one", "one")
    assert (relations.after, relations.followers, relations.follower_count) == ((), (), 0)
    assert (relations.pools, relations.schedule, relations.trace_id) == ((), None, None)


def test_a_collection_of_an_older_version_has_no_index_of_those_who_wait(manager: JobManager, jobs: Jobs) -> None:
    manager.create("x", id="one")
    jobs.drop_indexes()
    job, relations = manager.relations("one")
    assert (job.id, relations.followers, relations.follower_count) == ("one", (), 0)
    assert set(jobs.index_information()) == {"_id_"}


def test_both_sides_of_waiting_are_seen(manager: JobManager, jobs: Jobs) -> None:
    manager.create("x", id="first")
    manager.create("y", id="second")
    manager.create("x", id="third", after=["first", "second"], on_failure="run")
    _, first = manager.relations("first")
    assert [(one.id, one.type, one.state) for one in first.followers] == [("third", "x", State.WAITING)]
    jobs.delete_one({"_id": "second"})
    _, third = manager.relations("third")
    assert {(one.id, one.type, one.state) for one in third.after} == {
        ("first", "x", State.PENDING),
        ("second", None, None),
    }


def test_many_followers_are_counted_and_some_shown(manager: JobManager) -> None:
    manager.create("x", id="first")
    manager.create_many([{"type": "x", "data": number, "after": ["first"]} for number in range(SHOWN + 5)])
    _, relations = manager.relations("first")
    assert (len(relations.followers), relations.follower_count) == (SHOWN, SHOWN + 5)


def test_the_pool_that_ran_a_job_is_found(manager: JobManager) -> None:
    with WorkerPool(manager, threads=1, name="here") as pool, WorkerPool(manager, threads=1, name="here"):
        until(lambda: len(manager.pools()) == 2, "both pools")
        manager.create("works", id="one")
        manager.wait("one")
        job, relations = manager.relations("one")
        (holder,) = relations.pools
        assert (job.pool, holder.name, holder.id) == ("here", "here", job.pool_id)
        assert holder.alive
        del pool


def test_what_a_schedule_made_names_it(manager: JobManager) -> None:
    manager.schedule("hourly@night", 3600, "x")
    manager.create("x", id="hourly@night@2026-11-27T12:00:00Z")
    manager.create("x", id="nobody@2026-11-27T12:00:00Z")
    manager.create("x", id="hourly@night")
    assert manager.relations("hourly@night@2026-11-27T12:00:00Z")[1].schedule == "hourly@night"
    assert manager.relations("nobody@2026-11-27T12:00:00Z")[1].schedule is None
    assert manager.relations("hourly@night")[1].schedule is None


@pytest.mark.parametrize(
    ("trace", "found"),
    [
        ({"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}, "a" * 32),
        ({"traceparent": "nonsense"}, None),
        ({"traceparent": 5}, None),
        ("nonsense", None),
    ],
    ids=["a trace", "no trace", "a number", "a text"],
)
def test_the_trace_is_named(manager: JobManager, jobs: Jobs, trace: Any, found: str | None) -> None:
    manager.create("x", id="one")
    jobs.update_one({"_id": "one"}, {"$set": {"trace": trace}})
    assert manager.relations("one")[1].trace_id == found


def test_what_may_not_be_read_is_left_out(
    manager: JobManager, client: MongoClient[dict[str, Any]], database: str
) -> None:
    manager.create("x", id="one@2026-11-27T12:00:00Z")
    now = datetime.now(UTC)
    with WorkerPool(manager, threads=1):
        manager.create("works", id="two")
        manager.wait("two")
    data = {"failCommands": ["find"], "errorCode": 13, "namespace": f"{database}.jobs.pools"}
    client.admin.command("configureFailPoint", "failCommand", mode="alwaysOn", data=data)
    try:
        job, relations = manager.relations("two")
    finally:
        client.admin.command("configureFailPoint", "failCommand", mode="off")
    assert (job.pool is not None, relations.pools) == (True, ())
    assert abs((relations.at - now).total_seconds()) < 60


def test_a_job_that_is_not_there_is_not_found(manager: JobManager) -> None:
    with pytest.raises(JobNotFound, match="nobody"):
        manager.relations("nobody")


def test_ids_are_found_by_their_beginning(manager: JobManager) -> None:
    for id in ("ab", "abc", "abd", "ac", "b", "a.b", "a$b"):
        manager.create("x", id=id)
    assert manager.ids_beginning("ab") == ["ab", "abc", "abd"]
    assert manager.ids_beginning("ab", limit=2) == ["ab", "abc"]
    assert manager.ids_beginning("a.") == ["a.b"]
    assert manager.ids_beginning("z") == []
    with pytest.raises(InvalidJob):
        manager.ids_beginning("")
    with pytest.raises(InvalidConfiguration):
        manager.ids_beginning("a", limit=0)


def test_the_beginning_of_a_hash_is_enough(manager: JobManager) -> None:
    id = manager.create("x", 1).id
    assert resolve(manager, id) == id
    assert resolve(manager, id[:9]) == id
    assert resolve(manager, id[3:11]) == id  # without what says that it is a hash
    assert resolve(manager, id[3:]) == id
    assert resolve(manager, f"{id[:9]}…") == id
    assert resolve(manager, f"{id[:5]}...") == id
    with pytest.raises(JobNotFound):
        resolve(manager, "v1:0000000")


def test_a_whole_id_goes_before_a_beginning(manager: JobManager) -> None:
    long = manager.create("x", 1).id
    manager.create("x", 2, id=long[3:11])
    assert resolve(manager, long[3:11]) == long[3:11]


def test_an_id_of_a_user_is_taken_as_it_is_unless_it_says_that_it_is_cut(manager: JobManager) -> None:
    manager.create("x", id="report-1")
    assert resolve(manager, "report") == "report"  # whoever asks for it hears that it is not there
    assert resolve(manager, "report...") == "report-1"


def test_ids_that_begin_alike_are_listed(manager: JobManager) -> None:
    for number in range(12):
        manager.create("x", id=f"v1:{'a' * 60}{number:04}")
    with pytest.raises(InvalidConfiguration, match="several ids begin") as refused:
        resolve(manager, "aaaaaaaa")
    assert str(refused.value).count("v1:") == 10
    assert str(refused.value).endswith(", ...")


def test_each_job_comes_once_in_the_order_of_creation(manager: JobManager, jobs: Jobs) -> None:
    manager.create_many(
        [{"type": "x" if n % 2 else "y", "data": n, "id": f"{n:05}"} for n in range(2 * CHUNK + 3)]
    )
    newest = [job.id for job in manager.each()]
    assert newest == [job.id for job in manager.find(limit=10_000)]
    assert [job.id for job in manager.each(oldest_first=True)] == newest[::-1]
    assert {job.type for job in manager.each(type="y")} == {"y"}
    assert [job.data for job in manager.each(text="00017")] == []
    assert [job.data for job in manager.each(text="1002")] == [1002]


def test_documents_of_others_keep_nobody_from_seeing_jobs(manager: JobManager, jobs: Jobs) -> None:
    manager.create("x", 1, id="one")
    jobs.insert_many([{"_id": 5, "x": 1}, {"_id": "hand", "type": "x", "state": "pending", "created_at": "now"}])
    found = manager.find()
    assert [job.id for job in found if job.state == "pending"].count("one") == 1
    assert {job.id for job in found} == {job.id for job in manager.each()} == {"one", "hand", "5"}
    job, _ = manager.relations("hand")
    assert (job.type, job.data, job.attempts, job.created_at.year) == ("x", None, 0, 1970)
    assert {change.id for change in manager.last_changes(10)} == {"one"}


def test_a_list_leaves_out_what_is_gone_and_what_is_new(manager: JobManager) -> None:
    manager.create_many([{"type": "x", "data": n, "id": f"{n:05}"} for n in range(CHUNK + 2)])
    rest = manager.each(oldest_first=True)
    first = next(rest)
    assert first.id == "00000"
    manager.remove(f"{CHUNK:05}")
    manager.create("x", id="new")
    assert [job.id for job in rest] == [f"{n:05}" for n in range(1, CHUNK + 2) if n != CHUNK]


async def _async(server: EmbeddedMongo, database: str) -> tuple[Any, ...]:
    async with AsyncJobManager(database, uri=server.uri) as manager:
        job, relations = await manager.relations("one")
        ids = await manager.ids_beginning("o")
        return job.id, relations.follower_count, ids, [job.id async for job in manager.each(type="x")]


def test_an_event_loop_has_the_same(manager: JobManager, server: EmbeddedMongo, database: str) -> None:

    manager.create("x", id="one")
    manager.create("y", id="two", after=["one"])
    assert drive(_async(server, database)) == ("one", 1, ["one"], ["one"])
