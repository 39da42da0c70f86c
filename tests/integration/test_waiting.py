"""Waiting for jobs: what a call returns and raises, whoever tells it that they ended."""

from __future__ import annotations

import copy
import dataclasses
import logging
import os
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from jobpool import Job, JobManager, State, WorkerPool
from jobpool.embedded import EmbeddedMongo
from jobpool.errors import ForkedProcess, InvalidJob, JobNotFound, PoolStateError, WaitTimeout
from jobpool.pool import looks, waiting
from jobpool.pool import notifier as notifying
from jobpool.pool.waiter import Waiter

from ..conftest import Jobs, MakeManager
from ..faults.failpoints import fail_command
from ..faults.hosts import Script
from ..faults.proxy import Proxy
from ..security.test_forks import in_child
from ..waiting import PATIENCE, until

Client = MongoClient[dict[str, Any]]


@pytest.fixture
def manager(make_manager: MakeManager) -> JobManager:
    return make_manager(executors={"double": lambda data: data * 2, "fails": lambda data: 1 / data})


@pytest.fixture
def beside() -> Iterator[ThreadPoolExecutor]:
    """Threads that wait."""
    with ThreadPoolExecutor(16) as threads:
        yield threads


@pytest.fixture
def script(server: EmbeddedMongo, database: str) -> Script:
    return Script({**os.environ, "JOBPOOL_URI": server.uri, "TEST_DATABASE": database})


@pytest.fixture
def by_push_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is covered by a stream does not look of its own accord."""
    monkeypatch.setattr(looks, "COVERED_PAUSE", 1000.0)


def covered(manager: JobManager, count: int = 1) -> None:
    """Wait until a stream covers so many calls that wait, and each has looked since."""

    def all_are() -> bool:
        waiters = manager._waits.waiters
        return sum(waiter.covered and not waiter._news for waiter in waiters) >= count

    until(all_are, "a stream for those who wait")


def create(manager: JobManager, count: int) -> list[str]:
    return manager.create_many([{"type": "idle", "data": n} for n in range(count)]).ids


# --- what is returned -----------------------------------------------------------------------


def test_waits_return_jobs_that_ended_in_any_way(manager: JobManager) -> None:
    jobs = [manager.create("double", 4), manager.create("fails", 0), manager.create("idle")]
    manager.cancel(jobs[2].id)
    manager.run_all()
    ended = manager.wait_many(jobs, PATIENCE)
    assert [job.state for job in ended] == [State.SUCCEEDED, State.FAILED, State.CANCELLED]
    assert ended[0].result == 8
    assert [manager.wait(job.id) for job in jobs] == ended
    assert manager._waits.notifier is None, "what has ended needs no stream"


def test_nobody_waits_after_the_last_has_ended(manager: JobManager, monkeypatch: pytest.MonkeyPatch) -> None:
    def wait(waiter: Waiter, seconds: float) -> None:
        raise AssertionError(f"{waiter} waits for {seconds} s")

    monkeypatch.setattr(Waiter, "wait", wait)
    ids = create(manager, 3)
    manager.cancel(ids[0])
    ends = manager.as_completed(ids[:2])
    assert next(ends).id == ids[0]
    with pytest.raises(AssertionError, match="waits for"):
        next(ends)
    assert manager.wait(ids[0]).state is State.CANCELLED


def test_a_look_shows_a_final_job_as_get_does(manager: JobManager) -> None:
    """Its values may look like operators and paths of an aggregation."""
    job = manager.create("double", ["$state", {"$literal": 1, "a.b": "$$ROOT"}])
    manager.run()
    assert job.wait() == manager.get(job.id)
    assert job.wait().result == ["$state", {"$literal": 1, "a.b": "$$ROOT"}] * 2


def test_jobs_from_a_manager_can_be_waited_for(manager: JobManager) -> None:
    created = manager.create("double", 1)
    again = manager.create("double", 1)
    several = manager.create({"type": "double", "data": 2}, {"type": "double", "data": 3})
    assert isinstance(several, list)
    found = [manager.get(created.id), *manager.find(limit=3)]
    with WorkerPool(manager, threads=2):
        results = [job.wait(PATIENCE).result for job in (created, again, *several, *found)]
    assert results[:4] == [2, 2, 4, 6]
    assert sorted(results[5:]) == [2, 4, 6]
    assert created.wait().wait().result == 2
    created = manager.create("double", 9)
    ran = manager.run()
    assert ran is not None
    assert ran.wait().result == 18


def test_a_job_is_copied_pickled_and_compared_without_its_manager(manager: JobManager) -> None:
    job = manager.create("double", 1)
    for other in (pickle.loads(pickle.dumps(job)), copy.copy(job), copy.deepcopy(job), Job(**_fields(job))):
        assert other == job
        assert repr(other) == repr(job)
        with pytest.raises(PoolStateError, match="no JobManager"):
            other.wait(0)
    assert "_manager" not in dataclasses.asdict(job)


def _fields(job: Job) -> dict[str, Any]:
    return {field.name: getattr(job, field.name) for field in dataclasses.fields(job)}


def test_many_come_in_the_order_given_and_as_often(manager: JobManager) -> None:
    ids = [manager.create("double", n).id for n in range(5)]
    asked = [ids[3], ids[0], ids[3], ids[4]]
    with WorkerPool(manager, threads=2):
        ended = manager.wait_many(asked, PATIENCE)
        mixed = manager.wait_many(iter([manager.get(id) for id in asked]), PATIENCE)
    assert [job.id for job in ended] == asked
    assert mixed == ended
    assert manager.wait_many([]) == []


def test_as_completed_yields_each_once_in_the_order_in_which_they_end(manager: JobManager) -> None:
    ids = create(manager, 4)
    ends = manager.as_completed([*ids, ids[0]], PATIENCE)
    seen = []
    for id in (ids[2], ids[0], ids[3], ids[1]):
        manager.cancel(id)
        seen.append(next(ends).id)
    assert seen == [ids[2], ids[0], ids[3], ids[1]]
    assert list(ends) == []


def test_those_found_in_one_look_come_by_the_time_they_ended(manager: JobManager, jobs: Jobs) -> None:
    ids = create(manager, 3)
    for id in reversed(ids):
        manager.cancel(id)
        before = jobs.find_one({"_id": id})
        assert before is not None
        later_than(manager, before["finished_at"])  # milliseconds tell them apart
    assert [job.id for job in manager.as_completed(ids)] == ids[::-1]


def later_than(manager: JobManager, instant: datetime) -> None:
    until(lambda: manager.store.clock.now() > instant)


def test_thousands_are_waited_for(manager: JobManager) -> None:
    ids = manager.create_many([{"type": "double", "data": n} for n in range(3500)]).ids
    with WorkerPool(manager, threads=4):
        ended = manager.wait_many(ids, 2 * PATIENCE)
    assert [job.result for job in ended] == [2 * n for n in range(3500)]


# --- what is raised -------------------------------------------------------------------------


def test_a_timeout_names_how_many_and_which_are_not_final(manager: JobManager) -> None:
    ids = create(manager, 5)
    manager.cancel(ids[1])
    with pytest.raises(WaitTimeout) as caught:
        manager.wait_many(ids, 0)
    assert str(caught.value).startswith("4 of 5 jobs are not final after 0 s: ")
    for id in (ids[0], ids[2], ids[3]):
        assert f"'{id}' (pending)" in str(caught.value)
    assert ids[4] not in str(caught.value)
    with pytest.raises(WaitTimeout, match=f"job '{ids[0]}' is pending after 0.2 s"):
        manager.wait(ids[0], 0.2)


def test_a_wait_of_a_snapshot_that_is_over_is_a_timeout(manager: JobManager) -> None:
    with pytest.raises(TimeoutError):
        manager.create("idle").wait(0.06)


def test_what_ended_before_the_timeout_is_seen_even_by_a_slow_reader(manager: JobManager) -> None:
    ids = create(manager, 2)
    ends = manager.as_completed(ids, 0.05)
    manager.cancel(ids[0])
    assert next(ends).id == ids[0]
    manager.cancel(ids[1])
    over = time.monotonic() + 0.1
    until(lambda: time.monotonic() > over)
    assert next(ends).id == ids[1]


def test_unknown_ids_are_told_after_those_that_ended(manager: JobManager) -> None:
    ids = create(manager, 2)
    manager.cancel(ids[1])
    ends = manager.as_completed([ids[0], "nobody", ids[1]], PATIENCE)
    assert next(ends).id == ids[1]
    with pytest.raises(JobNotFound, match="no job 'nobody' in"):
        next(ends)
    for wait in (lambda: manager.wait("nobody"), lambda: manager.wait_many([ids[1], "nobody"])):
        with pytest.raises(JobNotFound, match="'nobody'"):
            wait()


@pytest.mark.parametrize("given", ["one", b"one", {"one": 1}, 5, None, [5], [""], ["x" * 513], [None]])
def test_what_names_no_jobs_is_refused_at_once(manager: JobManager, given: Any) -> None:
    for wait in (manager.wait_many, manager.as_completed):
        with pytest.raises(InvalidJob):
            wait(given)


@pytest.mark.parametrize("timeout", [-1, float("nan"), "1", True])
def test_a_timeout_that_is_none_is_refused_at_once(manager: JobManager, timeout: Any) -> None:
    with pytest.raises(ValueError, match="timeout"):
        manager.as_completed([], timeout)


@pytest.mark.usefixtures("by_push_alone")
def test_a_job_that_is_removed_while_waited_for_is_not_found(
    manager: JobManager, beside: ThreadPoolExecutor, jobs: Jobs
) -> None:
    first, second = create(manager, 2)
    waits = [beside.submit(manager.wait, first, PATIENCE), beside.submit(manager.wait, second, PATIENCE)]
    covered(manager, 2)
    manager.remove(first)
    with pytest.raises(JobNotFound):
        waits[0].result(PATIENCE)
    jobs.drop()
    with pytest.raises(JobNotFound):
        waits[1].result(PATIENCE)


def test_closing_the_manager_ends_the_waits(make_manager: MakeManager, beside: ThreadPoolExecutor) -> None:
    manager = make_manager()
    job = manager.create("idle")
    waits = [beside.submit(manager.wait, job.id) for _ in range(3)]
    covered(manager, 3)
    manager.close()
    for wait in waits:
        with pytest.raises(PoolStateError, match="closed"):
            wait.result(PATIENCE)
    assert notifiers() == []
    with pytest.raises(PoolStateError, match="closed"):
        job.wait()


def notifiers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.endswith("-notifier")]


# --- push -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("by_push_alone")
def test_a_stream_tells_each_of_those_who_wait(manager: JobManager, beside: ThreadPoolExecutor) -> None:
    """Two wait for the same job, one for several of which it is one."""
    ids = create(manager, 3)
    waits: list[Future[Any]] = [beside.submit(manager.wait, ids[0], PATIENCE) for _ in range(2)]
    waits.append(beside.submit(manager.wait_many, ids, PATIENCE))
    covered(manager, 3)
    for id in ids:
        manager.cancel(id)
    assert [waits[n].result(PATIENCE).id for n in (0, 1)] == [ids[0], ids[0]]
    assert [job.id for job in waits[2].result(PATIENCE)] == ids
    assert len(notifiers()) == 1
    assert manager._waits.waiters == ()


@pytest.mark.usefixtures("by_push_alone")
def test_those_who_come_while_a_stream_is_open_are_told_as_well(
    manager: JobManager, beside: ThreadPoolExecutor
) -> None:
    ids = create(manager, 12)
    waits = []
    for count, id in enumerate(ids, 1):
        waits.append(beside.submit(manager.wait, id, PATIENCE))
        covered(manager, count)
    for id in ids:
        manager.cancel(id)
    assert [wait.result(PATIENCE).id for wait in waits] == ids


@pytest.mark.usefixtures("by_push_alone")
def test_a_job_that_ends_while_streams_change_is_told(manager: JobManager, beside: ThreadPoolExecutor) -> None:
    """Streams are replaced all the time, and each goes on where the one before ended."""
    over, told = threading.Event(), 0

    def others() -> None:
        for n in range(10**6):
            if over.is_set():
                return
            with pytest.raises(WaitTimeout):
                manager.create("other", n).wait(0.15)

    disturbing = [beside.submit(others) for _ in range(3)]
    try:
        for id in create(manager, 15):
            wait = beside.submit(manager.wait, id, PATIENCE)
            covered_alone(manager, id)
            manager.cancel(id)
            told += wait.result(PATIENCE).state is State.CANCELLED
    finally:
        over.set()
    for other in disturbing:
        other.result(PATIENCE)
    assert told == 15


def covered_alone(manager: JobManager, id: str) -> None:
    until(lambda: any(waiter.covered and waiter.ids == {id} for waiter in manager._waits.waiters))


def test_a_stream_goes_on_where_the_one_before_ended(manager: JobManager) -> None:
    first, second, third = create(manager, 3)
    before = manager.store.watch_finals(frozenset({first}), 0.1)
    assert before.next() is None
    manager.cancel(first)
    manager.cancel(second)
    with manager.store.watch_finals(frozenset({first, third}), 0.1, before) as watch:
        manager.cancel(third)
        told: list[str | None] = []
        until(lambda: told.append(watch.next()) or third in told)  # type: ignore[func-returns-value]
    assert [id for id in told if id] == [first, third]


@pytest.mark.usefixtures("by_push_alone")
def test_who_waits_for_too_many_polls_until_few_are_left(
    manager: JobManager, beside: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "MOST_IDS", 3)
    monkeypatch.setattr(notifying, "MOST_IDS", 3)
    ids = create(manager, 5)
    wait = beside.submit(manager.wait_many, ids, PATIENCE)
    for id in ids[:2]:
        manager.cancel(id)
    covered(manager)
    other = beside.submit(manager.wait, ids[0], PATIENCE)
    assert other.result(PATIENCE).id == ids[0]
    for id in ids[2:]:
        manager.cancel(id)
    assert [job.id for job in wait.result(PATIENCE)] == ids


def test_the_notifier_ends_when_nobody_waits(manager: JobManager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifying, "IDLE", 0.1)
    for job in (manager.create("idle", n) for n in range(2)):
        with pytest.raises(WaitTimeout):
            job.wait(0.3)
        assert manager._waits.notifier is not None
        until(lambda: manager._waits.notifier is None and not notifiers(), "the notifier's end")
    assert manager.create("idle", 3).created


def test_an_iterator_that_is_dropped_waits_no_more(manager: JobManager) -> None:
    ids = create(manager, 2)
    ends = manager.as_completed(ids)
    manager.cancel(ids[0])
    next(ends)
    with ThreadPoolExecutor(1) as one:
        last = one.submit(next, ends)
        covered(manager)
        manager.cancel(ids[1])
        assert last.result(PATIENCE).id == ids[1]
    del ends, last
    assert manager._waits.waiters == ()


# --- without push ---------------------------------------------------------------------------


def test_on_a_standalone_server_waits_poll(make_manager: MakeManager, beside: ThreadPoolExecutor) -> None:
    with EmbeddedMongo(replicated=False) as standalone:
        manager = make_manager("alone", uri=standalone.uri)
        ids = create(manager, 3)
        waits = [beside.submit(manager.wait_many, ids, PATIENCE), beside.submit(manager.wait_many, ids[1:])]
        with pytest.raises(WaitTimeout):
            manager.wait(ids[0], 0.3)
        assert notifiers() == []
        for id in ids:
            manager.cancel(id)
        assert [len(wait.result(PATIENCE)) for wait in waits] == [3, 2]
        manager.close()


def test_without_a_stream_waits_poll_and_one_line_says_so(
    manager: JobManager, client: Client, beside: ThreadPoolExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    ids = create(manager, 8)
    with caplog.at_level(logging.INFO, "jobpool"), fail_command(client, ["getMore"], code=286) as point:
        waits = [beside.submit(manager.wait, id, PATIENCE) for id in ids]
        until(lambda: point.struck > 2, "more than one broken stream")
        for id in ids:
            manager.cancel(id)
        assert [wait.result(PATIENCE).id for wait in waits] == ids
        until(lambda: caplog.records, "a line")
    (line,) = {record.getMessage() for record in caplog.records}
    assert "push from MongoDB" in line
    assert "polling" in line


def test_a_stream_counts_the_writes_of_its_server(manager: JobManager) -> None:
    with manager.store.watch_finals(frozenset({"nobody"}), 0.06) as watch:
        for _ in range(3):
            watch.next()
        assert watch.writes < 500

        def counted() -> bool:
            manager.create_many([{"type": "idle", "data": [threading.get_ident(), time.time()]}] * 20)
            watch.next()
            return watch.writes > 0

        until(counted)


def test_on_a_server_busy_with_writes_waits_poll(
    manager: JobManager, beside: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifying, "BUSY", -1.0)
    ids = create(manager, 2)
    wait = beside.submit(manager.wait, ids[0], PATIENCE)
    until(lambda: (one := manager._waits.notifier) and one._busy_until > 0, "a look at how busy it is")
    until(lambda: not any(waiter.covered for waiter in manager._waits.waiters))
    manager.cancel(ids[0])
    assert wait.result(PATIENCE).id == ids[0]
    monkeypatch.setattr(notifying, "BUSY", 1e9)
    wait = beside.submit(manager.wait, ids[1], PATIENCE)
    covered(manager)
    manager.cancel(ids[1])
    assert wait.result(PATIENCE).id == ids[1]


@pytest.mark.usefixtures("by_push_alone")
@pytest.mark.parametrize("half", [False, True], ids=["reset", "half closed"])
def test_a_job_that_ends_while_the_stream_is_broken_is_found(
    proxy: Proxy, make_manager: MakeManager, beside: ThreadPoolExecutor, *, half: bool
) -> None:
    far, near = make_manager(uri=proxy.uri), make_manager()
    ids = create(near, 10)
    for id in ids:
        wait = beside.submit(far.wait, id, PATIENCE)
        covered(far)
        assert proxy.cut(half=half) > 0
        near.cancel(id)
        assert wait.result(PATIENCE).id == id


def test_a_killed_stream_is_replaced(
    manager: JobManager, client: Client, database: str, beside: ThreadPoolExecutor
) -> None:
    id = manager.create("idle").id
    wait = beside.submit(manager.wait, id, PATIENCE)
    for _ in range(3):
        covered(manager)
        client[database].command({"killCursors": "jobs", "cursors": cursors(client, database)})
    covered(manager)
    manager.cancel(id)
    assert wait.result(PATIENCE).id == id


def cursors(client: Client, database: str) -> list[int]:
    """Return the streams of the test's collection."""
    stages: list[dict[str, Any]] = [
        {"$currentOp": {"idleCursors": True}},
        {"$match": {"ns": f"{database}.jobs", "cursor.cursorId": {"$exists": True}}},
    ]
    found: list[int] = []

    def some() -> bool:
        found.extend(item["cursor"]["cursorId"] for item in client.admin.aggregate(stages))
        return bool(found)

    until(some, "an open stream")
    return found


@pytest.mark.usefixtures("by_push_alone")
def test_a_restart_of_the_server_ends_no_wait(tmp_path: Path, beside: ThreadPoolExecutor) -> None:
    with EmbeddedMongo(tmp_path / "data") as server, JobManager("x", uri=server.uri, timeout=30) as manager:
        port = int(server.uri.split(":")[2].partition("/")[0])
        ids = create(manager, 2)
        waits: list[Future[Any]] = [beside.submit(manager.wait, ids[0], PATIENCE)]
        waits.append(beside.submit(manager.wait_many, ids, PATIENCE))
        covered(manager, 2)
        server.stop()
        with EmbeddedMongo(tmp_path / "data", port):
            manager.cancel(ids[0])
            assert waits[0].result(PATIENCE).state is State.CANCELLED
            covered(manager)
            manager.cancel(ids[1])
            assert len(waits[1].result(PATIENCE)) == 2
            manager.close()


# --- the host -------------------------------------------------------------------------------


def test_a_wait_in_a_forked_child_is_refused_and_the_parents_goes_on(
    manager: JobManager, beside: ThreadPoolExecutor
) -> None:
    ids = create(manager, 3)
    ends = manager.as_completed(ids, PATIENCE)
    manager.cancel(ids[0])
    job = next(ends)
    wait = beside.submit(manager.wait, ids[1], PATIENCE)
    covered(manager)

    def act() -> None:
        calls: list[Callable[[], object]] = [
            lambda: manager.wait(ids[1]),
            lambda: manager.wait_many(ids),
            job.wait,
            lambda: next(ends),
        ]
        for call in calls:
            with pytest.raises(ForkedProcess):
                call()
        manager.close()

    in_child(act)
    assert len(notifiers()) == 1
    manager.cancel(ids[1])
    manager.cancel(ids[2])
    assert wait.result(PATIENCE).id == ids[1]
    assert {job.id for job in ends} == {ids[1], ids[2]}


def test_a_script_that_waited_and_returns_ends(script: Script) -> None:
    said = script.run("""
manager = JobManager(DATABASE, executors={"a": lambda data: threading.Event().wait(0.3)})
manager.start_watch(threads=1)
job = manager.create("a").wait(PATIENCE)
assert manager._waits.notifier is not None, "it waited long enough for a stream"
print(job.state)
""")
    assert said == "succeeded\n"


def test_a_thread_that_waits_when_the_main_thread_ends_goes_on_by_polling(script: Script) -> None:
    said = script.run("""
manager = JobManager(DATABASE)
job = manager.create("a")

def wait():
    print(job.wait(PATIENCE).state, flush=True)

def end():
    until(lambda: manager._waits._over)
    until(lambda: manager._waits.notifier is None)
    manager.cancel(job.id)
    late = manager.create("late")
    try:
        late.wait(0.2)
    except TimeoutError:
        print("late", flush=True)

for target in (wait, end):
    threading.Thread(target=target).start()
until(lambda: any(waiter.covered for waiter in manager._waits.waiters))
""")
    assert sorted(said.split()) == ["cancelled", "late"]


@pytest.mark.parametrize("when", ["covered", "polling", "looking"])
def test_ctrl_c_ends_a_wait_at_once(script: Script, when: str) -> None:
    said = script.run(f"""
from jobpool.pool import looks, waiting
manager = JobManager(DATABASE)
ids = manager.create_many([{{"type": "a", "data": n}} for n in range(2000)]).ids
when = {when!r}
if when == "polling":
    waiting.MOMENT = 1000
if when == "looking":
    looks.LONGEST_PAUSE = looks.LONGEST_REST = 0.0

def interrupt():
    if when == "covered":
        until(lambda: any(waiter.covered for waiter in manager._waits.waiters))
    threading.Event().wait(0.3)
    global sent
    sent = time.monotonic()
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=interrupt).start()
try:
    manager.wait_many(ids[:5] if when == "covered" else ids)
except KeyboardInterrupt:
    took = time.monotonic() - sent
    assert manager._waits.waiters == ()
    print("interrupted", took < 2)
""")
    assert said == "interrupted True\n"
