"""The changes of jobs as they happen: each once, whatever happens to the connection."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo import MongoClient

from jobpool import Executor, JobManager, Snooze, State, WorkerPool, current_job
from jobpool.changes import KINDS, Change
from jobpool.embedded import EmbeddedMongo
from jobpool.errors import (
    InvalidConfiguration,
    InvalidJob,
    PoolStateError,
    StoreRefused,
    StoreUnavailable,
    UnsupportedServer,
)
from jobpool.manager import Changes
from jobpool.store.connection import Connection
from jobpool.store.following import BATCH

from ..conftest import Jobs, MakeManager
from ..faults.proxy import Proxy
from ..waiting import until

AWAIT = 0.1
SNOOZED: list[Any] = []
GO = threading.Event()


class Heard:
    """Reads changes until what is waited for has come."""

    def __init__(self, changes: Changes) -> None:
        self.changes = changes
        self.all: list[Change] = []

    def until(self, kind: str, id: str, times: int = 1) -> Change:
        """Read until a job had so many changes of a kind; return the last of them."""

        def come() -> bool:
            self.all += self.changes.read()
            return len(self.of(kind, id)) >= times

        until(come, f"{kind} of {id}")
        return self.of(kind, id)[-1]

    def of(self, kind: str, id: str) -> list[Change]:
        return [change for change in self.all if (change.kind, change.id) == (kind, id)]

    def kinds(self, id: str) -> list[str]:
        return [change.kind for change in self.all if change.id == id]


def fail(data: Any) -> None:
    raise ValueError(f"no {data}")


def report(data: Any) -> int:
    current_job().progress(3, 10, "reading")
    if data == "slowly":
        GO.wait(30)
    return 1


@contextmanager
def failing(client: MongoClient[dict[str, Any]], command: str, code: int) -> Iterator[None]:
    """Let the server refuse a command for as long as the block lasts."""
    data = {"failCommands": [command], "errorCode": code}
    client.admin.command("configureFailPoint", "failCommand", mode="alwaysOn", data=data)
    try:
        yield
    finally:
        client.admin.command("configureFailPoint", "failCommand", mode="off")


@pytest.fixture
def manager(make_manager: MakeManager) -> JobManager:
    executors = {
        "fails": Executor(fail, max_attempts=2, backoff=[0.01]),
        "works": report,
        "snoozes": snooze,
    }
    return make_manager(executors=executors)


def snooze(n: Any) -> None:
    if not SNOOZED:
        SNOOZED.append(n)
        raise Snooze(0.01)


@pytest.fixture
def heard(manager: JobManager) -> Iterator[Heard]:
    with manager.changes(max_await=AWAIT, progress=True) as changes:
        yield Heard(changes)


@pytest.fixture
def pool(manager: JobManager) -> Iterator[WorkerPool]:
    with WorkerPool(manager, threads=2, name="here", poll_interval=0.02) as pool:
        yield pool


def test_the_life_of_a_job_is_told_from_its_creation_to_its_removal(
    manager: JobManager, heard: Heard, pool: WorkerPool
) -> None:
    GO.clear()
    manager.create("works", "slowly", id="one")
    said = heard.until("progress", "one")
    GO.set()
    done = heard.until("succeeded", "one")
    manager.remove("one")
    gone = heard.until("removed", "one")
    kinds = [kind for kind in heard.kinds("one") if kind != "claimed"]  # claim and start may be one write
    assert kinds == ["created", "started", "progress", "succeeded", "removed"]
    assert (done.type, done.state, done.pool, done.attempt) == ("works", State.SUCCEEDED, "here", 1)
    assert done.seconds is not None
    assert 0 <= done.seconds < 30
    assert said.progress is not None
    assert (said.progress.done, said.progress.note, said.state) == (3, "reading", State.RUNNING)
    assert (gone.type, gone.state) == ("works", None)
    assert set(kinds) <= KINDS.keys()


def test_a_retry_and_a_failure_bring_their_errors(manager: JobManager, heard: Heard, pool: WorkerPool) -> None:
    manager.create("fails", 7, id="bad")
    failed = heard.until("failed", "bad")
    (again,) = heard.of("retry", "bad")
    assert again.error is not None
    assert (again.error.type, again.error.message, again.attempt) == ("ValueError", "no 7", 1)
    assert again.run_at is not None
    assert again.state is State.PENDING
    assert failed.error is not None
    assert (failed.error.message, failed.attempt) == ("no 7", 2)
    manager.create("fails", 7, id="bad", on_duplicate="revive")
    assert heard.until("revived", "bad").state is State.PENDING


def test_what_a_person_does_is_told(manager: JobManager, heard: Heard) -> None:
    manager.create("x", id="first")
    manager.create("x", id="then", after=["first"])
    manager.create("x", id="other", delay=1000)
    manager.cancel("other")
    manager.cancel("first")
    assert heard.until("cancelled", "other").state is State.CANCELLED
    heard.until("cancelled", "first")
    (waits,) = heard.of("created", "then")
    assert waits.state is State.WAITING
    (later,) = heard.of("created", "other")
    assert later.run_at is not None
    assert later.run_at - later.at > timedelta(seconds=900)


def test_snoozes_and_ends_of_waiting_are_told(manager: JobManager, heard: Heard, pool: WorkerPool) -> None:
    SNOOZED.clear()
    manager.create("snoozes", id="sleepy")
    manager.create("works", id="then", after=["sleepy"])
    heard.until("succeeded", "then")
    assert len(heard.of("snoozed", "sleepy")) == 1
    assert heard.of("ready", "then")[0].state is State.PENDING


def test_what_a_pool_gives_back_is_told(manager: JobManager, jobs: Jobs, heard: Heard) -> None:
    manager.create("x", id="one")
    jobs.update_one({"_id": "one"}, {"$set": {"state": "claimed", "claim": "c", "pool": "p"}})
    jobs.update_one({"_id": "one"}, {"$set": {"state": "pending"}, "$unset": {"claim": "", "pool": ""}})
    assert heard.until("released", "one").type == "x"
    assert heard.of("claimed", "one")[0].pool == "p"


def test_changes_are_chosen_by_type_state_and_id(manager: JobManager) -> None:
    with (
        manager.changes(type=["a", "b"], max_await=AWAIT) as by_type,
        manager.changes(state="cancelled", max_await=AWAIT) as by_state,
        manager.changes(ids=["2"], max_await=AWAIT) as by_id,
    ):
        for id, type in (("1", "a"), ("2", "b"), ("3", "c")):
            manager.create(type, id=id)
            manager.cancel(id)
        manager.create("a", id="last")
        manager.cancel("last")
        heard = Heard(by_type), Heard(by_state)
        heard[0].until("cancelled", "last")
        heard[1].until("cancelled", "last")
        assert {change.id for change in heard[0].all} == {"1", "2", "last"}
        assert [change.id for change in heard[1].all] == ["1", "2", "3", "last"]
        mine = Heard(by_id)
        mine.until("cancelled", "2")
        assert {change.id for change in mine.all} == {"2"}


def test_jobs_from_before_are_looked_up(manager: JobManager) -> None:
    manager.create("old", {"n": 5}, id="one")
    with manager.changes(max_await=AWAIT, data=True) as changes:
        manager.cancel("one")
        change = Heard(changes).until("cancelled", "one")
    assert (change.type, change.data) == ("old", {"n": 5})


def test_data_come_only_if_they_are_asked_for(manager: JobManager) -> None:
    with manager.changes(max_await=AWAIT) as without, manager.changes(max_await=AWAIT, data=True) as with_data:
        manager.create("x", {"n": 1}, id="one")
        assert Heard(without).until("created", "one").data is None
        assert Heard(with_data).until("created", "one").data == {"n": 1}


def test_an_iterator_waits_for_the_next_change(manager: JobManager) -> None:
    with manager.changes(max_await=AWAIT) as changes:
        manager.create("x", id="one")
        manager.create("x", id="two")
        assert [next(changes).id, next(changes).id] == ["one", "two"]


def test_a_broken_connection_loses_no_change_and_doubles_none(make_manager: MakeManager, proxy: Proxy) -> None:
    beside = make_manager()
    manager = make_manager(uri=proxy.uri, timeout=2.0)
    with manager.changes(max_await=AWAIT) as changes:
        heard: list[str] = []
        for round in range(5):
            for number in range(20):
                beside.create("x", id=f"{round}-{number}")
            proxy.cut()

            def come(round: int = round) -> bool:
                try:
                    heard.extend(change.id for change in changes.read())
                except StoreUnavailable:
                    return False
                return bool(heard) and heard[-1] == f"{round}-19"

            until(come, "the last job of a round")
    assert heard == [f"{round}-{number}" for round in range(5) for number in range(20)]


def test_a_look_that_fails_loses_no_change(make_manager: MakeManager, client: MongoClient[dict[str, Any]]) -> None:
    manager = make_manager(timeout=0.5)  # the driver repeats reads for so long
    manager.create("old", id="one")
    with manager.changes(max_await=AWAIT) as changes:
        manager.cancel("one")
        with failing(client, "find", 262), pytest.raises(StoreUnavailable):
            until(changes.read, "the change that is looked up")
        assert Heard(changes).until("cancelled", "one").type == "old"


def test_a_dropped_collection_ends_it(manager: JobManager, jobs: Jobs) -> None:
    manager.create("x", id="one")
    with manager.changes(max_await=AWAIT) as changes:
        jobs.drop()
        with pytest.raises(StoreUnavailable, match="dropped or renamed"):
            until(lambda: changes.read() and False, "the end")


def test_what_happened_before_a_collection_was_dropped_is_told(manager: JobManager, jobs: Jobs) -> None:
    manager.create("x", id="one")
    with manager.changes(max_await=AWAIT) as changes:
        manager.create_many([{"type": "x", "data": n} for n in range(50)])
        jobs.drop()
        heard: list[str] = []
        with pytest.raises(StoreUnavailable, match="dropped or renamed"):
            until(lambda: heard.extend(change.kind for change in changes.read()), "the end")
    assert heard == ["created"] * 50


def test_closed_changes_have_no_next_one_and_open_nothing_again(manager: JobManager) -> None:
    with manager.changes(max_await=AWAIT) as changes:
        manager.create("x", id="one")
    assert list(changes) == []
    for call in (changes.read, changes.drop, changes.skip):
        with pytest.raises(PoolStateError, match="closed"):
            call()
    assert changes._following._stream is None
    changes.close()


def running(jobs: Jobs, id: str, pool: str, attempts: int) -> None:
    """Let a job run, as a claim that starts it does."""
    now = datetime.now(UTC)
    held = {"claim": pool, "pool": pool, "lease_until": now - timedelta(seconds=9)}
    jobs.update_one({"_id": id}, {"$set": {"state": "running", "attempts": attempts, "started_at": now, **held}})


def test_a_job_that_nobody_runs_is_cancelled_without_an_attempt(manager: JobManager, jobs: Jobs) -> None:
    with manager.changes(max_await=AWAIT) as changes:
        heard = Heard(changes)
        for id in ("between", "claimed", "lost"):
            manager.create("x", id=id, max_attempts=3)
            running(jobs, id, "p", 1)
        manager.store.reaping.reap()
        jobs.update_one({"_id": "claimed"}, {"$set": {"state": "claimed", "claim": "c", "pool": "q"}})
        running(jobs, "lost", "r", 2)
        manager.cancel("lost")
        for id in ("between", "claimed"):
            manager.cancel(id)
        manager.store.reaping.reap()
        again = heard.until("retry", "between")
        ends = [heard.until("cancelled", id) for id in ("between", "claimed", "lost")]
        assert (again.pool, again.attempt) == ("p", 1)
        assert [(end.pool, end.attempt) for end in ends] == [(None, None), (None, None), ("r", 2)]
        assert [end.seconds is None for end in ends] == [True, True, False]


def test_another_due_time_leaves_a_job_pending(manager: JobManager) -> None:
    manager.create("x", {"n": 1}, id="one")
    with manager.changes(max_await=AWAIT, data=True, state="pending") as changes:
        manager.snooze("one", delay=1000)
        moved = Heard(changes).until("moved", "one")
    assert (moved.state, moved.data) == (State.PENDING, {"n": 1})
    assert moved.run_at is not None


@pytest.mark.parametrize("errors", [0, 1, 10], ids="{} before".format)
def test_an_error_that_a_reaper_notes_is_told_however_many_there_are(
    manager: JobManager, jobs: Jobs, errors: int
) -> None:
    manager.create("x", id="one", max_attempts=100)
    for attempt in range(errors):
        running(jobs, "one", "p", attempt + 1)
        manager.store.reaping.reap()
    with manager.changes(max_await=AWAIT) as changes:
        running(jobs, "one", "p", errors + 1)
        manager.store.reaping.reap()
        change = Heard(changes).until("retry", "one")
    assert change.error is not None
    assert (change.error.type, change.error.attempt) == ("WorkerLost", errors + 1)
    assert f"attempt {errors + 1}" in change.error.message


def test_what_cannot_be_caught_up_with_is_dropped_and_counted(manager: JobManager) -> None:
    with manager.changes(max_await=AWAIT) as changes:
        manager.create_many([{"type": "x", "data": n} for n in range(2 * BATCH)])
        dropped = 0

        def all_of_it() -> bool:
            nonlocal dropped
            dropped += changes.drop()
            return dropped == 2 * BATCH

        until(all_of_it, "all of them")
        assert changes.read() == []
        assert changes.behind == 0
        assert len(changes._following._known) == 0  # what is dropped may have changed it
        manager.create("x", id="unseen")
        changes.skip()
        manager.create("x", id="seen")
        heard = Heard(changes)
        heard.until("created", "seen")
        assert heard.kinds("unseen") == []


def test_how_far_it_is_behind_is_told_while_mongodb_is_gone(
    manager: JobManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    with manager.changes(max_await=AWAIT) as changes:
        manager.create_many([{"type": "x", "data": n} for n in range(3 * BATCH)])
        until(lambda: changes.read() and changes._following._last_at, "many at once")

        async def gone(connection: Connection) -> datetime:
            raise StoreUnavailable("gone")

        monkeypatch.setattr(Connection, "_server_time", gone)
        clock = changes._following._connection.clock
        clock.forget()
        assert len(changes.read()) == BATCH, "the clock is no reason to tell nothing"
        assert clock.known() is None
        assert 0 <= changes.behind < 60


def test_the_clock_is_asked_again_while_it_is_behind(manager: JobManager) -> None:
    with manager.changes(max_await=AWAIT) as changes:
        manager.create_many([{"type": "x", "data": n} for n in range(3 * BATCH)])
        until(lambda: changes.read() and changes._following._last_at, "many at once")
        clock = changes._following._connection.clock
        clock.forget()
        assert len(changes.read()) == BATCH
        assert clock.known() is not None


def test_documents_of_others_stop_nothing(manager: JobManager, jobs: Jobs, heard: Heard) -> None:
    jobs.insert_one({"_id": 5, "x": 1})
    jobs.insert_one({"_id": "odd", "state": 7, "type": ["x"], "errors": "none"})
    jobs.update_one({"_id": "odd"}, {"$set": {"state": "failed", "error": {"no": "fields"}}})
    jobs.update_one({"_id": "odd"}, {"$set": {"state": {"odd": 1}}})
    jobs.replace_one({"_id": "odd"}, {"state": "running", "type": "x", "started_at": "never"})
    jobs.delete_one({"_id": "odd"})
    manager.create("x", id="fine")
    heard.until("created", "fine")
    assert heard.kinds("odd")[-1:] == ["removed"]


def test_the_last_changes_are_those_of_the_jobs_that_changed_last(manager: JobManager, pool: WorkerPool) -> None:
    for number in range(3):
        manager.create("x", number, id=f"new {number}")
    manager.create("works", id="done")
    manager.create("fails", 1, id="bad")
    manager.wait_many(["done", "bad"])
    last = manager.last_changes(2)
    assert {(change.kind, change.id) for change in last} == {("succeeded", "done"), ("failed", "bad")}
    assert [change.at for change in last] == sorted(change.at for change in last)
    assert [change.id for change in manager.last_changes(10, type="x", state="pending")] == [
        "new 0",
        "new 1",
        "new 2",
    ]
    assert manager.last_changes(1, ids=["new 1"], data=True)[0].data == 1


def test_a_job_that_waits_for_another_attempt_says_what_failed(manager: JobManager, jobs: Jobs) -> None:
    manager.create("x", id="one")
    now = datetime.now(UTC)
    error = {"type": "ValueError", "message": "no", "traceback": "", "attempt": 1, "at": now}
    jobs.update_one({"_id": "one"}, {"$set": {"errors": [error], "run_at": now + timedelta(hours=1)}})
    (change,) = manager.last_changes(1)
    assert change.kind == "retry"
    assert change.error is not None
    assert change.error.message == "no"
    jobs.update_one({"_id": "one"}, {"$set": {"state": "claimed"}})
    assert manager.last_changes(1)[0].kind == "retry"
    manager.create("x", id="two")
    jobs.update_one({"_id": "two"}, {"$set": {"state": "claimed", "pool": "p"}})
    claimed = manager.last_changes(1)[0]
    assert (claimed.kind, claimed.state) == ("created", State.CLAIMED)  # nothing says when it was claimed


@pytest.mark.parametrize(
    "options",
    [{"ids": []}, {"type": ""}, {"state": "nonsense"}, {"max_await": 0}, {"ids": "x" * 600}],
    ids=["no ids", "no type", "no state", "no wait", "no id"],
)
def test_nonsense_is_refused(manager: JobManager, options: dict[str, Any]) -> None:
    with pytest.raises((InvalidConfiguration, InvalidJob)):
        manager.changes(**options)


def test_a_standalone_server_is_named_with_the_remedy(tmp_path: Any) -> None:
    with EmbeddedMongo(replicated=False) as server, JobManager("db", uri=server.uri) as manager:
        with pytest.raises(UnsupportedServer, match="replSet"):
            manager.changes()
        assert manager.last_changes(3) == []


def test_a_server_that_has_forgotten_the_place_refuses(
    manager: JobManager, client: MongoClient[dict[str, Any]]
) -> None:
    with manager.changes(max_await=AWAIT) as changes:
        with failing(client, "getMore", 286), pytest.raises(StoreRefused):  # the history is lost
            changes.read()
        with failing(client, "aggregate", 286), pytest.raises(StoreRefused):  # and so it stays
            changes.read()
