"""Types whose pending jobs are bounded: what is created beyond raises, waits or is dropped."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.monitoring import CommandListener

from jobpool import AsyncJobManager, Executor, JobManager, State
from jobpool.embedded import EmbeddedMongo
from jobpool.errors import DuplicateJob, InvalidConfiguration, InvalidJob, JobNotFound, PoolStateError, QueueFull
from jobpool.manager.room import MOST
from jobpool.store.indexes import CLAIM_INDEX

from ..awaited import drive
from ..conftest import Jobs, MakeManager
from ..faults.proxy import Proxy
from ..waiting import PATIENCE, until

ROOT = Path(__file__).parents[2]


@pytest.fixture
def manager(make_manager: MakeManager) -> JobManager:
    manager = make_manager(executors={"a": Executor(lambda data: data, max_pending=5), "free": print})
    manager.ensure_indexes()
    return manager


def fill(manager: JobManager, number: int = 5) -> list[str]:
    return [manager.create("a", n).id for n in range(number)]


def created(manager: JobManager, result: str) -> float:
    labels = {"type": "a", "result": result}
    return manager.metrics.registry.get_sample_value("jobpool_jobs_created_total", labels) or 0.0


def test_one_too_many_raises_and_says_what_to_do(manager: JobManager, jobs: Jobs) -> None:
    fill(manager)
    with pytest.raises(QueueFull) as info:
        manager.create("a", 5, id="the sixth")
    full = info.value
    assert (full.type, full.id, full.pending, full.limit) == ("a", "the sixth", 5, 5)
    for part in ("5 jobs of type 'a' are pending", "max_pending is 5", "'the sixth'", "on_full='wait'"):
        assert part in str(full)
    assert jobs.count_documents({}) == 5
    assert (created(manager, "inserted"), created(manager, "full")) == (5, 1)


def test_there_is_room_again_when_a_job_is_taken(manager: JobManager) -> None:
    fill(manager)
    manager.run("a")
    until(lambda: not isinstance(attempted(manager, 5), QueueFull), "room")
    with pytest.raises(QueueFull):
        manager.create("a", 6)


def attempted(manager: JobManager, data: Any) -> Exception | None:
    try:
        manager.create("a", data)
    except QueueFull as full:
        return full
    return None


def test_scheduled_jobs_count_and_other_types_do_not(manager: JobManager) -> None:
    for n in range(5):
        manager.create("a", n, delay=3600)
        manager.create("free", n)
    with pytest.raises(QueueFull):
        manager.create("a", 5)
    assert manager.create("free", 5).created


def test_what_exists_is_never_refused(manager: JobManager) -> None:
    (first, *_) = fill(manager)
    again = manager.create("a", 0)
    assert (again.id, again.created) == (first, False)
    with pytest.raises(DuplicateJob):
        manager.create("a", 0, on_duplicate="raise")
    many = manager.create_many([{"type": "a", "data": n} for n in range(5)])
    assert (many.inserted, many.duplicates, many.dropped) == (0, 5, 0)


def test_reviving_needs_room_as_a_new_job_does(manager: JobManager) -> None:
    cancelled = manager.create("a", "x").id
    manager.cancel(cancelled)
    fill(manager)
    with pytest.raises(QueueFull):
        manager.create("a", "x", on_duplicate="revive")
    assert manager.get(cancelled).state is State.CANCELLED
    assert manager.create("a", "x").state is State.CANCELLED


def test_a_job_that_is_dropped_is_not_stored_and_says_so(manager: JobManager, jobs: Jobs) -> None:
    fill(manager)
    job = manager.create("a", 5, on_full="drop")
    assert (job.dropped, job.created, job.state, job.data) == (True, False, State.CANCELLED, 5)
    assert jobs.count_documents({}) == 5
    with pytest.raises(JobNotFound):
        job.wait(timeout=1)
    assert created(manager, "dropped") == 1
    assert not manager.create("a", 0, on_full="drop").dropped, "it exists"


def test_many_are_dropped_behind_what_there_is_room_for(manager: JobManager, jobs: Jobs) -> None:
    many = [{"type": type, "data": n} for n in range(8) for type in ("a", "free")]
    answer = manager.create_many(many, on_full="drop")
    assert (answer.inserted, answer.dropped, len(answer.ids)) == (13, 3, 16)
    assert sorted(job["data"] for job in jobs.find({"type": "a"})) == [0, 1, 2, 3, 4]
    assert answer.ids == [manager.create_many([job], on_full="drop").ids[0] for job in many]


@pytest.mark.parametrize("how", ["list", "iterator"])
def test_many_that_do_not_fit_are_stored_up_to_the_first_that_does_not(
    manager: JobManager, jobs: Jobs, how: str
) -> None:
    many = [{"type": "a", "data": n} for n in range(8)]
    given: Any = many if how == "list" else iter(many)
    with pytest.raises(QueueFull) as info:
        manager.create_many(given)
    assert info.value.stored == 5
    assert "(5 jobs before it are stored)" in str(info.value)
    assert jobs.count_documents({}) == 5
    manager.run_all("a")
    until(lambda: not isinstance(attempted(manager, 5), QueueFull), "room")
    answer = manager.create_many(many)  # goes on where it was
    assert (answer.inserted, answer.duplicates) == (2, 6)


def test_who_waits_goes_on_when_there_is_room(manager: JobManager) -> None:
    fill(manager)
    with ThreadPoolExecutor(1) as waiter:
        waiting = waiter.submit(manager.create, "a", 5, on_full="wait")
        assert not waiting.done()
        manager.run("a")
        job = waiting.result(PATIENCE)
    assert job.created
    assert manager.count(state="pending") == 5


def test_a_batch_that_waits_is_larger_than_the_bound(manager: JobManager, jobs: Jobs) -> None:
    most = 0
    with ThreadPoolExecutor(1) as waiter:
        waiting = waiter.submit(
            manager.create_many,
            [{"type": "a", "data": n} for n in range(30)],
            on_full="wait",
            full_timeout=PATIENCE,
        )
        while not waiting.done():
            most = max(most, jobs.count_documents({"state": "pending"}))
            manager.run("a")
        assert waiting.result().inserted == 30
    manager.run_all("a")
    assert manager.count(state="succeeded") == 30
    assert 1 <= most <= 5


def test_who_waits_in_vain_is_told_at_the_end(manager: JobManager) -> None:
    fill(manager)
    with pytest.raises(QueueFull, match=r"pending after 0\.2 s"):
        manager.create("a", 5, on_full="wait", full_timeout=0.2)
    with pytest.raises(QueueFull, match="after 0 s"):
        manager.create("a", 5, on_full="wait", full_timeout=0)


def test_the_end_of_the_manager_ends_the_wait(make_manager: MakeManager) -> None:
    manager = make_manager(max_pending={"a": 1})
    manager.create("a", 0)
    with ThreadPoolExecutor(1) as waiter:
        waiting = waiter.submit(manager.create, "a", 1, on_full="wait")
        manager.close()
        with pytest.raises(PoolStateError, match="closed"):
            waiting.result(PATIENCE)


def test_what_waits_for_others_is_not_pending_yet(manager: JobManager) -> None:
    (first, *_) = fill(manager)
    assert manager.create("a", "child", after=[first]).state is State.WAITING
    with pytest.raises(InvalidJob, match="may be left out"):
        manager.create_many([{"type": "a", "data": "other", "after": [first]}], on_full="drop")


def test_jobs_in_a_transaction_are_counted_outside_of_it(
    make_manager: MakeManager, client: MongoClient[dict[str, Any]], database: str
) -> None:
    manager = make_manager(database, client=client, max_pending={"a": 2})
    manager.ensure_indexes()
    with client.start_session() as session, session.start_transaction():
        manager.create("a", 0, session=session)
    manager.create("a", 1)
    with client.start_session() as session, session.start_transaction():
        with pytest.raises(QueueFull):
            manager.create("a", 2, session=session)
        client[database].orders.insert_one({"_id": 1}, session=session)
    assert client[database].orders.count_documents({}) == 1, "the transaction was not ended by it"
    assert manager.count() == 2


def test_the_managers_own_bound_goes_before_that_of_the_executor(make_manager: MakeManager) -> None:
    executors = {"a": Executor(print, max_pending=5, aliases=("b",))}
    manager = make_manager(executors=executors, max_pending={"a": 1})
    manager.create("a", 0)
    with pytest.raises(QueueFull, match="max_pending is 1"):
        manager.create("a", 1)
    assert manager.create_many([{"type": "b", "data": n} for n in range(9)], on_full="drop").dropped == 4


@pytest.mark.parametrize(
    ("bounds", "says"),
    [({"a": 0}, "max_pending of 'a'"), ({"a": "many"}, "max_pending of 'a'"), (["a"], "must be a mapping")],
    ids=["none", "text", "list"],
)
def test_a_bound_that_is_none_is_refused(make_manager: MakeManager, bounds: Any, says: str) -> None:
    with pytest.raises(InvalidConfiguration, match=says):
        make_manager(max_pending=bounds)
    if isinstance(bounds, dict):
        with pytest.raises(InvalidConfiguration, match="max_pending"):
            Executor(print, max_pending=bounds["a"])


def test_arguments_that_are_none_are_refused_before_anything_is_stored(manager: JobManager) -> None:
    wrong: list[dict[str, Any]] = [
        {"on_full": "panic"},
        {"full_timeout": 1},
        {"on_full": "wait", "full_timeout": -1},
    ]
    for arguments in wrong:
        with pytest.raises(InvalidJob, match=r"on_full|full_timeout"):
            manager.create("a", 0, **arguments)
        with pytest.raises(InvalidJob, match=r"on_full|full_timeout"):
            manager.create_many([{"type": "a"}], **arguments)
    assert manager.count() == 0


def test_an_event_loop_has_the_same(server: EmbeddedMongo, database: str, manager: JobManager) -> None:
    async def produce() -> None:
        async with AsyncJobManager(database, uri=server.uri, max_pending={"a": 5}) as theirs:
            many = await theirs.create_many([{"type": "a", "data": n} for n in range(7)], on_full="drop")
            assert (many.inserted, many.dropped) == (5, 2)
            with pytest.raises(QueueFull):
                await theirs.create("a", 5)
            assert (await theirs.create("a", 5, on_full="drop")).dropped
            waiting = asyncio.create_task(theirs.create("a", 5, on_full="wait", full_timeout=PATIENCE))
            ran = await asyncio.to_thread(manager.run, "a")
            assert ran is not None
            assert (await waiting).created
            gathered = await asyncio.gather(
                *(theirs.create("a", n, on_full="drop") for n in range(10, 30)), return_exceptions=True
            )
            assert all(not isinstance(job, BaseException) and job.dropped for job in gathered)

    drive(produce())
    assert manager.count(state="pending") == 5


def test_a_lost_reply_to_an_insert_loses_no_place(proxy: Proxy, make_manager: MakeManager, jobs: Jobs) -> None:
    manager = make_manager(uri=proxy.uri, max_pending={"a": 3})
    manager.ensure_indexes()
    proxy.lose_reply_of("insert")
    assert manager.create("a", 0).created
    proxy.lose_reply_of("aggregate")
    assert manager.create_many([{"type": "a", "data": n} for n in range(9)], on_full="drop").dropped == 6
    assert set(proxy.lost) == {"insert", "aggregate"}
    assert jobs.count_documents({}) == 3


# What it costs, and how far it is overshot


class Commands(CommandListener):
    """Counts the commands of a client."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def started(self, event: Any) -> None:
        self.names.append(event.command_name)

    def succeeded(self, event: Any) -> None: ...

    def failed(self, event: Any) -> None: ...


def test_it_costs_nothing_where_nothing_is_bounded_and_one_count_per_portion_where_it_is(
    make_manager: MakeManager, server: EmbeddedMongo, database: str
) -> None:
    heard = Commands()
    with MongoClient[dict[str, Any]](server.uri, event_listeners=[heard]) as theirs:
        manager = make_manager(database, client=theirs, max_pending={"a": 100_000})
        manager.ensure_indexes()
        manager.create("free", 0)
        heard.names.clear()
        for n in range(1, 51):
            manager.create("free", n)
        assert heard.names == ["insert"] * 50
        heard.names.clear()
        began = time.monotonic()
        for n in range(100):
            manager.create("a", n)
        took = time.monotonic() - began
        assert heard.names.count("insert") == 100
        assert heard.names.count("aggregate") <= 2 + took  # a portion is good for a second
        heard.names.clear()
        manager.create_many([{"type": "a", "data": n} for n in range(1000, 2000)])
        assert heard.names.count("aggregate") <= 11 + took
        assert heard.names.count("insert") <= 1000 / MOST + 2 + took


def test_the_count_reads_keys_of_the_claim_index_and_no_more_than_the_bound(
    make_manager: MakeManager, jobs: Jobs
) -> None:
    manager = make_manager()
    manager.create_many([{"type": "a", "data": n} for n in range(500)])
    pipeline = [
        {"$match": {"state": "pending", "type": "a"}},
        {"$limit": 50},
        {"$group": {"_id": 1, "n": {"$sum": 1}}},
    ]
    plan = jobs.database.command(
        "explain",
        {"aggregate": "jobs", "pipeline": pipeline, "cursor": {}, "hint": CLAIM_INDEX},
        verbosity="executionStats",
    )
    text = json.dumps(plan, default=str)
    assert '"stage": "FETCH"' not in text
    examined = (plan["stages"][0]["$cursor"] if "stages" in plan else plan)["executionStats"]
    assert (examined["totalKeysExamined"], examined["totalDocsExamined"]) == (50, 0)


@pytest.mark.parametrize("bound", [1, 30])
def test_threads_of_one_manager_never_overshoot(make_manager: MakeManager, jobs: Jobs, bound: int) -> None:
    manager = make_manager(max_pending={"a": bound})
    manager.ensure_indexes()
    together = threading.Barrier(8)

    def hammer(number: int) -> None:
        together.wait(PATIENCE)
        for n in range(10):
            manager.create("a", number * 1000 + n, on_full="drop")
            many = [{"type": "a", "data": number * 1000 + 100 + n * 10 + m} for m in range(5)]
            manager.create_many(many, on_full="drop")

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(hammer, range(8)))
    assert jobs.count_documents({}) == bound


HAMMER = """
import os, sys, threading
from jobpool import JobManager
me, threads, bound = map(int, sys.argv[1:])
manager = JobManager(os.environ["TEST_DATABASE"], max_pending={"a": bound})
manager.ensure_indexes()
print("up", flush=True)
sys.stdin.readline()
def hammer(thread):
    dropped = n = 0
    while dropped < 20:
        dropped += manager.create("a", [me, thread, n], on_full="drop").dropped
        n += 1
workers = [threading.Thread(target=hammer, args=(n,)) for n in range(threads)]
for worker in workers: worker.start()
for worker in workers: worker.join()
"""


def test_processes_overshoot_by_no_more_than_they_may(
    server: EmbeddedMongo, database: str, jobs: Jobs, record_property: Callable[[str, object], None]
) -> None:
    processes, threads, bound = 4, 3, 300
    environment = {**os.environ, "JOBPOOL_URI": server.uri, "TEST_DATABASE": database, "PYTHONPATH": str(ROOT)}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", HAMMER, str(n), str(threads), str(bound)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for n in range(processes)
    ]
    try:
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline() == "up\n"
        for process in started:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        assert [process.wait(PATIENCE * 3) for process in started] == [0] * processes
    finally:
        for process in started:
            process.kill()
            process.communicate()
    portion = min(MOST, bound // 10)
    over = jobs.count_documents({}) - bound
    record_property("overshoot", over)
    print(f"{processes} processes of {threads} threads: {over} of {bound} too many")
    assert 0 <= over <= (processes - 1) * (threads + 2) * portion
