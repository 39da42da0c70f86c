"""A job's success in a transaction of its executor: both or neither, whoever else wants the job meanwhile."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from pymongo import AsyncMongoClient, MongoClient
from pymongo.client_session import ClientSession
from pymongo.errors import PyMongoError

from jobpool import Executor, Job, JobManager, State, WorkerPool, current_job
from jobpool.current import HeldJob
from jobpool.embedded import EmbeddedMongo
from jobpool.errors import InvalidJob, LeaseLost, PoolStateError, StoreRefused, StoreUnavailable
from jobpool.pool import completion, recorder
from jobpool.pool.reaper import reap
from jobpool.store.apart import CONFLICT
from jobpool.testing import assert_idempotent, kill_between

from ..conftest import Jobs, MakeManager
from ..faults.proxy import Proxy
from ..waiting import PATIENCE, until
from .conftest import request

Client = MongoClient[dict[str, Any]]
Act = Callable[[], object]


def nothing() -> None:
    """Nothing happens there."""


class Bank:
    """Two accounts, and an executor that moves one coin; what happens at its steps is for the test to say.

    Attributes:
        steps: What is done at a step, in the first attempt: entered, begun, moved, completed, committed.
        calls: How often the transaction was tried.
    """

    def __init__(self, client: Client, database: str) -> None:
        self.client = client
        self.accounts = client[database]["accounts"]
        self.accounts.insert_many([{"_id": "a", "coins": 10}, {"_id": "b", "coins": 0}])
        self.steps: dict[str, Act] = {}
        self.calls = 0

    @property
    def moved(self) -> int:
        """How many coins were moved; none may appear or vanish."""
        coins = {account["_id"]: account["coins"] for account in self.accounts.find()}
        assert coins["a"] + coins["b"] == 10
        return int(coins["b"])

    def step(self, name: str) -> None:
        if current_job().attempt == 1:
            self.steps.get(name, nothing)()

    def move(self, session: ClientSession) -> None:
        self.calls += 1
        self.step("entered")
        self.accounts.find_one({}, session=session)  # the snapshot is taken
        self.step("begun")
        self.accounts.update_one({"_id": "a"}, {"$inc": {"coins": -1}}, session=session)
        self.accounts.update_one({"_id": "b"}, {"$inc": {"coins": 1}}, session=session)
        self.step("moved")
        current_job().complete({"moved": 1}, session=session)
        self.step("completed")

    def transfer(self, data: Any) -> object:
        """Repeat the transaction as users do; what this returns could not even be stored."""
        with self.client.start_session() as session:
            session.with_transaction(self.move)
        self.step("committed")
        return object()

    def once(self, data: Any) -> None:
        """Try the transaction once, and the commit as often as the driver does."""
        with self.client.start_session() as session, session.start_transaction():
            self.move(session)
        self.step("committed")


@pytest.fixture
def bank(client: Client, database: str) -> Bank:
    return Bank(client, database)


def executors(bank: Bank) -> dict[str, Any]:
    rules: Any = {"max_attempts": 2, "backoff": 0}
    return {"transfer": Executor(bank.transfer, **rules), "once": Executor(bank.once, **rules)}


@pytest.fixture
def manager(make_manager: MakeManager, bank: Bank) -> JobManager:
    manager = make_manager(executors=executors(bank))
    manager.ensure_indexes()
    return manager


def counted(manager: JobManager, outcome: str, type: str = "transfer") -> float:
    labels = {"type": type, "outcome": outcome}
    return manager.metrics.registry.get_sample_value("jobpool_attempts_total", labels) or 0.0


def expire(jobs: Jobs, *ids: str) -> None:
    """Let the leases of these jobs be over, by the server's clock."""
    over = [{"$set": {"lease_until": {"$subtract": ["$$NOW", 1000]}}}]
    jobs.update_many({"_id": {"$in": ids}, "lease_until": {"$exists": True}}, over)


def raising(error: BaseException) -> Act:
    def act() -> None:
        raise error

    return act


def take_back(manager: JobManager, jobs: Jobs, id: str) -> Act:
    """Return what lets a lease be over and reaps the job, as another pool would."""

    def act() -> None:
        expire(jobs, id)
        manager.store.reaping.reap()

    return act


def done(job: Job | None) -> tuple[State, int]:
    assert job is not None
    return job.state, job.attempts


ONCE = (State.SUCCEEDED, 1)
AGAIN = (State.SUCCEEDED, 2)


@pytest.mark.parametrize("how", ["run", "pool"])
def test_the_writes_and_the_success_stand_together(
    manager: JobManager, bank: Bank, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    id = manager.create("transfer").id
    if how == "pool":
        manager.start_watch("transfer", threads=2)
    else:
        manager.run("transfer")
    job = manager.wait(id, PATIENCE)
    manager.stop_watch()
    assert (done(job), job.result, bank.moved) == (ONCE, {"moved": 1}, 1)
    assert job.lease_until is None
    assert counted(manager, "succeeded") == 1
    assert "not recorded" not in caplog.text


def test_until_the_commit_nobody_sees_anything(manager: JobManager, bank: Bank) -> None:
    id = manager.create("transfer").id
    seen: list[object] = []
    bank.steps["completed"] = lambda: seen.extend([manager.get(id).state, bank.moved])
    manager.run("transfer")
    assert seen == [State.RUNNING, 0]


def test_what_raises_before_the_commit_fails_the_attempt_and_undoes_its_writes(
    manager: JobManager, bank: Bank
) -> None:
    bank.steps["completed"] = raising(ValueError("no"))
    id = manager.create("transfer").id
    job = manager.run("transfer")
    assert job is not None
    assert (job.state, job.attempts, [error.type for error in job.errors]) == (State.PENDING, 1, ["ValueError"])
    assert bank.moved == 0
    assert done(manager.run("transfer")) == AGAIN
    assert (bank.moved, manager.get(id).error_count) == (1, 1)


@pytest.mark.parametrize("how", ["run", "pool"])
def test_what_raises_behind_the_commit_changes_nothing(
    manager: JobManager, bank: Bank, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    bank.steps["committed"] = raising(ValueError("too late"))
    id = manager.create("transfer").id
    with caplog.at_level(logging.WARNING, "jobpool"):
        if how == "pool":
            manager.start_watch("transfer", threads=2)
            until(lambda: counted(manager, "succeeded"), "the count")
            manager.stop_watch()
        else:
            manager.run("transfer")
    job = manager.get(id)
    assert (done(job), job.result, job.errors, bank.moved) == (ONCE, {"moved": 1}, (), 1)
    assert counted(manager, "succeeded") == 1
    assert f"job '{id}' has succeeded" in caplog.text
    assert "(ValueError) is not recorded" in caplog.text


@pytest.mark.parametrize("how", ["pool", "run"])
def test_who_has_committed_has_succeeded_though_the_job_is_revived_at_once(
    manager: JobManager, bank: Bank, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Before its executor returns the job lives again; that attempt is told, and counted, as what it was."""
    id = manager.create("transfer").id
    revived: list[Job] = []

    def revive() -> None:
        if not revived:
            revived.append(manager.revive(id, succeeded=True))

    bank.steps["committed"] = revive
    if how == "pool":
        manager.start_watch("transfer", threads=1)
        until(lambda: counted(manager, "succeeded") == 2, "both lives")
        manager.stop_watch()
    else:
        assert manager.run("transfer") is not None
        assert manager.run("transfer") is not None
    assert [job.state for job in revived] == [State.PENDING]
    assert (done(manager.get(id)), bank.moved) == (ONCE, 2)
    assert counted(manager, "lost") == 0
    assert "lost" not in caplog.text


def test_a_transaction_that_is_not_committed_fails_the_attempt(
    make_manager: MakeManager, client: Client, bank: Bank
) -> None:
    def forgetful(data: Any) -> None:
        with client.start_session() as session:
            session.start_transaction()
            bank.move(session)  # the end of the session aborts it

    manager = make_manager(executors={"forgetful": Executor(forgetful, max_attempts=2, backoff=0)})
    manager.create("forgetful")
    assert manager.run_all("forgetful") == 2
    (job,) = manager.find()
    assert (job.state, [error.type for error in job.errors]) == (State.FAILED, ["NotCommitted"] * 2)
    assert job.error is not None
    assert "commit before the executor returns" in job.error.message
    assert bank.moved == 0
    assert [counted(manager, outcome, "forgetful") for outcome in ("retried", "failed", "succeeded")] == [1, 1, 0]


def test_who_has_lost_the_job_cannot_complete_it(manager: JobManager, bank: Bank, jobs: Jobs) -> None:
    """Taken back before the transaction began to write to it, and by then running elsewhere."""
    id = manager.create("once").id

    def elsewhere() -> None:
        take_back(manager, jobs, id)()
        assert done(manager.run("once")) == AGAIN

    bank.steps["begun"] = elsewhere
    with pytest.raises(LeaseLost):
        manager.run("once")
    assert (done(manager.get(id)), bank.moved) == (AGAIN, 1)


def test_a_transaction_that_begins_behind_the_loss_is_told_so(manager: JobManager, bank: Bank, jobs: Jobs) -> None:
    id = manager.create("transfer").id
    bank.steps["begun"] = take_back(manager, jobs, id)  # with_transaction begins anew, and sees it
    with pytest.raises(LeaseLost):
        manager.run("transfer")
    assert (bank.calls, bank.moved, manager.get(id).state) == (2, 0, State.PENDING)
    assert counted(manager, "lost") == 1


def test_a_lease_that_ends_while_the_transaction_is_open_takes_nothing_away(
    manager: JobManager, bank: Bank, jobs: Jobs
) -> None:
    """The lease is over before the transaction writes to the job, and a reaper comes when it has."""
    ids = [manager.create("transfer", n, priority=-n).id for n in range(4)]
    others = ids[1:]
    strategy = manager.store.strategy("batch")
    seen: list[object] = []

    def late() -> None:
        expire(jobs, *others)
        manager.store.reaping.reap()
        seen.append(jobs.count_documents({"state": "pending"}))

    # The first runs here; the others are held by a pool that is dead.
    bank.steps["begun"] = lambda: strategy.claim(request(10, types=("transfer",)))
    bank.steps["moved"] = lambda: (
        expire(jobs, *(j.id for j in manager.find(state="running"))) if bank.calls < 2 else None
    )
    bank.steps["completed"] = late
    job = manager.run("transfer")
    assert done(job) == ONCE
    assert seen == [3], "the others were not held up by it"
    assert bank.calls == 2, "the lease that was changed behind the snapshot made a conflict"
    assert manager.store.reaping.reap() == []
    assert bank.moved == 1
    bank.steps.clear()
    assert manager.run_all("transfer") == 3
    assert bank.moved == 4


def test_a_reaper_that_met_a_transaction_takes_the_job_back_when_that_is_aborted(
    make_manager: MakeManager, manager: JobManager, bank: Bank, jobs: Jobs, caplog: pytest.LogCaptureFixture
) -> None:
    id = manager.create("once").id
    other = make_manager().store
    other.ready()
    found: list[object] = []

    def meet() -> None:
        with caplog.at_level(logging.INFO, "jobpool"):
            for _ in range(2):  # in the second round it is known
                found.append(other.reaping.reap())
        raise ValueError("the executor gives up")

    bank.steps["completed"] = meet
    bank.steps["entered"] = lambda: expire(jobs, id)
    job = manager.run("once")
    assert found == [[], []]
    assert [r.message for r in caplog.records if "open transactions" in r.message]
    assert (job.state, bank.moved) == (State.PENDING, 0)  # type: ignore[union-attr]
    assert other.reaping.reap() == []
    assert (done(manager.run("once")), bank.moved) == (AGAIN, 1)


def test_one_that_was_asked_to_end_does_not_complete(manager: JobManager, bank: Bank) -> None:
    id = manager.create("transfer").id
    bank.steps["begun"] = lambda: manager.cancel(id)
    job = manager.run("transfer")
    assert (job.state, bank.moved) == (State.CANCELLED, 0)  # type: ignore[union-attr]
    assert bank.calls == 2, "the cancel made a conflict, and the next try saw it"


def test_a_cancel_waits_for_the_transaction_and_comes_too_late(
    make_manager: MakeManager, manager: JobManager, bank: Bank
) -> None:
    id = manager.create("transfer").id
    other = make_manager(timeout=0.3)
    other.ensure_indexes()
    raised: list[StoreUnavailable] = []

    def cancel() -> None:
        with pytest.raises(StoreUnavailable) as info:
            other.cancel(id)
        raised.append(info.value)

    bank.steps["completed"] = cancel
    assert done(manager.run("transfer")) == ONCE
    assert [error.kind for error in raised] == ["timeout"]
    assert other.cancel(id).state is State.SUCCEEDED
    assert bank.moved == 1


def test_cancelling_many_is_not_held_up_by_one(
    make_manager: MakeManager, manager: JobManager, bank: Bank, jobs: Jobs
) -> None:
    id = manager.create("transfer").id
    template = jobs.find_one({"_id": id})
    assert template is not None
    running = {**template, "state": "running", "claim": "x", "attempts": 1}
    jobs.insert_many([{**running, "_id": f"{place} {n}"} for n in range(20) for place in "AZ"])
    jobs.update_one({"_id": id}, {"$set": {"priority": 1}})
    other = make_manager(timeout=0.4)
    other.ensure_indexes()
    seen: list[object] = []

    def cancel() -> None:
        with pytest.raises(StoreUnavailable, match="1 jobs are not asked to end"):
            other.cancel_many(type="transfer", state="running")
        seen.append(jobs.count_documents({"cancel_requested_at": {"$exists": True}}))

    bank.steps["completed"] = cancel
    assert done(manager.run("transfer")) == ONCE
    assert seen == [40]


def test_a_heartbeat_in_between_makes_a_conflict_and_the_transaction_is_repeated(
    manager: JobManager, bank: Bank, jobs: Jobs
) -> None:
    id = manager.create("transfer").id

    def beat() -> None:
        if bank.calls == 1:
            claim = jobs.find_one({"_id": id})
            assert claim is not None
            assert jobs.update_one({"_id": id}, [{"$set": {"lease_until": {"$add": ["$lease_until", 1]}}}])

    bank.steps["begun"] = beat
    assert (done(manager.run("transfer")), bank.calls, bank.moved) == (ONCE, 2, 1)


def test_an_open_transaction_holds_up_neither_heartbeat_nor_reports_nor_the_outcomes_of_others(
    make_manager: MakeManager, bank: Bank, jobs: Jobs
) -> None:
    """Longer than a lease, with every service of the pool at work."""
    opened, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        opened.set()
        assert go_on.wait(PATIENCE)

    bank.steps["completed"] = hold
    long = threading.Event()

    def lasting(data: Any) -> str:
        current_job().progress(1, 2)
        assert long.wait(PATIENCE)
        return "kept"

    manager = make_manager(executors={**executors(bank), "lasting": lasting, "quick": lambda n: n})
    held = manager.create("transfer").id
    lasts = manager.create("lasting").id
    with WorkerPool(manager, threads=4, lease=1.0, stuck_after=0.1):
        assert opened.wait(PATIENCE)
        lease = manager.get(held).lease_until
        until(lambda: pool_extends(manager, lasts, after=lease), "heartbeats past the lease")
        quick = manager.create_many([{"type": "quick", "data": n} for n in range(50)]).ids
        assert [job.result for job in manager.wait_many(quick, PATIENCE)] == list(range(50))
        assert manager.get(lasts).progress is not None
        go_on.set()
        job = manager.wait(held, PATIENCE)
        long.set()
        assert manager.wait(lasts, PATIENCE).result == "kept"
    assert (done(job), bank.moved, counted(manager, "lost")) == (ONCE, 1, 0)
    lost = {"pool": "default", "stage": "running"}
    assert not manager.metrics.registry.get_sample_value("jobpool_leases_lost_total", lost)


def pool_extends(manager: JobManager, id: str, after: Any) -> bool:
    """Say whether a lease runs past a time at which that of its neighbour was over for long."""
    until_now = manager.get(id).lease_until
    return until_now is not None and (until_now - after).total_seconds() > 2


def test_a_transaction_that_is_left_open_holds_up_no_outcome_but_its_own(
    make_manager: MakeManager, client: Client, bank: Bank
) -> None:
    sessions: list[ClientSession] = []

    def leaves_open(data: Any) -> None:
        if current_job().attempt == 1:
            session = client.start_session()
            sessions.append(session)
            session.start_transaction()
            bank.move(session)
        else:
            bank.transfer(data)

    rules: Any = {"max_attempts": 2, "backoff": 0}
    # A call that waits for the transaction would wait for longer than the test does.
    manager = make_manager(timeout=300, executors={"open": Executor(leaves_open, **rules), "quick": lambda n: n})
    id = manager.create("open").id
    with WorkerPool(manager, threads=2):
        until(lambda: sessions, "the transaction")
        quick = manager.create_many([{"type": "quick", "data": n} for n in range(50)]).ids
        assert len(manager.wait_many(quick, PATIENCE)) == 50
        assert manager.get(id).state is State.RUNNING
        sessions[0].abort_transaction()
        job = manager.wait(id, PATIENCE)
    assert (done(job), bank.moved, [e.type for e in job.errors]) == (AGAIN, 1, ["NotCommitted"])


def test_an_executor_that_goes_on_behind_its_commit_needs_no_lease(
    make_manager: MakeManager, bank: Bank, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody can take the job away, and so nobody is told that it is lost."""
    looks: list[HeldJob] = []

    def goes_on(data: Any) -> None:
        bank.transfer(data)
        held = current_job()._held
        lease_ends = held.deadline
        until(lambda: time.monotonic() > lease_ends + 0.5, "the end of the lease")
        looks.append(held)

    manager = make_manager(executors={"a": Executor(goes_on)})
    job = manager.create("a")
    with WorkerPool(manager, lease=1.0, heartbeat=0.1):
        until(lambda: counted(manager, "succeeded", "a") == 1, "the outcome")
    assert manager.get(job.id).state is State.SUCCEEDED
    assert [held.lost for held in looks] == [False]
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_an_error_among_those_who_completed_their_jobs_loses_no_outcome(
    make_manager: MakeManager, bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One is left open for a while, the look for another one is refused, and the third is as it should be."""
    manager = make_manager(executors=executors(bank))
    jobs = manager.create_many({"type": "transfer", "data": n} for n in range(3)).ids
    together = threading.Barrier(3)
    bank.steps["committed"] = lambda: together.wait(PATIENCE)
    monkeypatch.setattr(manager.store.completing, "completed", lambda claims, timeout=None: set())
    conflict = StoreUnavailable("open")
    conflict.kind = CONFLICT
    errors: list[Exception] = [conflict, StoreRefused("refused"), TypeError("foreign")]
    settle = completion.settle

    def settled(*args: Any) -> Any:
        if errors:
            raise errors.pop(0)
        return settle(*args)

    monkeypatch.setattr(recorder, "settle", settled)
    with WorkerPool(manager, threads=3):
        assert [done(job) for job in manager.wait_many(jobs, PATIENCE)] == [(State.SUCCEEDED, 1)] * 3
        until(lambda: counted(manager, "succeeded") == 3, "the pool to know of all of them")


@pytest.mark.parametrize("end", ["committed", "aborted"])
def test_a_timeout_that_meets_an_open_transaction_is_recorded_only_if_that_is_not_committed(
    make_manager: MakeManager, bank: Bank, end: str
) -> None:
    go_on = threading.Event()

    def hold() -> None:
        assert go_on.wait(PATIENCE)
        if end == "aborted":
            raise ValueError("aborted after all")

    bank.steps["completed"] = hold
    manager = make_manager(executors={"limited": Executor(bank.transfer, timeout=0.1, grace=0.1)})
    id = manager.create("limited").id
    with WorkerPool(manager, threads=2):
        until(lambda: given_up(manager), "the timeout")
        assert manager.get(id).state is State.RUNNING
        go_on.set()
        job = manager.wait(id, PATIENCE)
    assert job.error is None if end == "committed" else job.error is not None and job.error.type == "TimedOut"
    succeeded, timed_out = (counted(manager, outcome, "limited") for outcome in ("succeeded", "timed_out"))
    assert (succeeded, timed_out, bank.moved) == ((1, 0, 1) if end == "committed" else (0, 1, 0))


def given_up(manager: JobManager) -> bool:
    """Say whether the pool has put another thread in the place of one that did not end."""
    return manager.metrics.registry.get_sample_value("jobpool_threads_stuck", {"pool": "default"}) == 1


def test_a_second_transaction_of_an_attempt_that_has_completed_must_not_stand(
    make_manager: MakeManager, client: Client, bank: Bank
) -> None:
    refused: list[str] = []

    def twice(data: Any) -> None:
        bank.transfer(data)
        with pytest.raises(PoolStateError) as info:
            bank.transfer(data)
        refused.append(str(info.value))

    def again(data: Any) -> None:
        with client.start_session() as session, session.start_transaction():
            bank.move(session)
            with suppress(PoolStateError):
                current_job().complete(session=session)
                refused.append("not refused")

    manager = make_manager(executors={"twice": twice, "again": again})
    manager.create("twice")
    manager.create("again")
    assert manager.run_all() == 2
    assert manager.count(state="succeeded") == 2
    assert bank.moved == 2
    assert len(refused) == 1
    assert "is completed already" in refused[0]


def test_what_is_no_open_transaction_is_refused(make_manager: MakeManager, client: Client) -> None:
    def without(data: Any) -> None:
        with client.start_session() as session:
            current_job().complete(session=session)

    def wrong(data: Any) -> None:
        current_job().complete(session=client)  # type: ignore[call-overload]

    def unstorable(data: Any) -> None:
        with client.start_session() as session, session.start_transaction():
            current_job().complete(object(), session=session)

    manager = make_manager(executors={"without": without, "wrong": wrong, "unstorable": unstorable})
    errors = {}
    for type in ("without", "wrong", "unstorable"):
        id = manager.create(type).id
        manager.run(type)
        errors[type] = manager.get(id).error
    types = {type: error.type for type, error in errors.items() if error is not None}
    assert types == {"without": "PoolStateError", "wrong": "InvalidJob", "unstorable": "InvalidJob"}
    assert errors["without"] is not None
    assert "the session has none" in errors["without"].message
    assert issubclass(InvalidJob, ValueError)


def test_results_retention_progress_and_lines_are_as_of_any_success(
    make_manager: MakeManager, client: Client
) -> None:
    def reporting(data: Any) -> None:
        job = current_job()
        job.log("before")
        job.progress(1, 2)
        with client.start_session() as session, session.start_transaction():
            job.complete("x" * data, session=session)
        job.log("behind")

    rules: Any = {"log_lines": 10, "keep_succeeded": 3600, "keep_result": 60}
    manager = make_manager(data_limit=2000, executors={"r": Executor(reporting, **rules)})
    small, large = manager.create("r", 10).id, manager.create("r", 5000).id
    manager.run_all()
    job = manager.get(small)
    assert (job.result, [line.text for line in job.logs]) == ("x" * 10, ["before", "behind"])
    assert job.progress is not None
    assert job.progress.share == 0.5
    assert job.finished_at is not None
    assert job.expire_at is not None
    assert job.result_until is not None
    assert 3590 < (job.expire_at - job.finished_at).total_seconds() < 3610
    job = manager.get(large)
    assert (job.state, job.result) == (State.SUCCEEDED, None)
    assert job.result_error is not None
    assert "data_limit" in job.result_error


def test_lines_of_a_transaction_that_is_not_committed_are_kept_in_their_order(
    make_manager: MakeManager, client: Client
) -> None:
    def fails(data: Any) -> None:
        current_job().log("one")
        with client.start_session() as session, session.start_transaction():
            current_job().complete(session=session)
            current_job().log("two")
            raise ValueError("no")

    manager = make_manager(executors={"f": Executor(fails, log_lines=10)})
    id = manager.create("f").id
    manager.run()
    assert [line.text for line in manager.get(id).logs] == ["one", "two"]


def test_a_checkpoint_does_not_wait_for_its_own_transaction(make_manager: MakeManager, client: Client) -> None:
    def saves(data: Any) -> None:
        with client.start_session() as session, session.start_transaction():
            current_job().complete(session=session)
            current_job().save_checkpoint(1)

    manager = make_manager(executors={"s": saves})
    id = manager.create("s").id
    manager.run()
    error = manager.get(id).error
    assert error is not None
    assert (error.type, "would wait" in error.message) == ("PoolStateError", True)


def test_a_coroutine_completes_in_a_transaction_of_its_own_client(
    make_manager: MakeManager, server: EmbeddedMongo, database: str, bank: Bank
) -> None:
    async def transfer(data: bool) -> None:
        async with AsyncMongoClient[dict[str, Any]](server.uri) as client:
            accounts = client[database]["accounts"]

            async def move(session: Any) -> None:
                await accounts.update_one({"_id": "a"}, {"$inc": {"coins": -1}}, session=session)
                await accounts.update_one({"_id": "b"}, {"$inc": {"coins": 1}}, session=session)
                await current_job().complete("moved", session=session)
                if not data:
                    raise ValueError("no")

            async with client.start_session() as session:
                await session.with_transaction(move)

    manager = make_manager(executors={"async": transfer})
    with WorkerPool(manager, threads=2):
        good, bad = manager.create("async", True), manager.create("async", False)
        jobs = manager.wait_many([good.id, bad.id], PATIENCE)
    assert [(job.state, job.result) for job in jobs] == [(State.SUCCEEDED, "moved"), (State.FAILED, None)]
    assert bank.moved == 1


# Lost replies and lost connections


@contextmanager
def failing(client: Client, command: str, times: int) -> Iterator[None]:
    """Let the server close the connection instead of executing `command`, of clients named bank."""
    data = {"failCommands": [command], "appName": "bank", "closeConnection": True}
    before = client.admin.command({"configureFailPoint": "failCommand", "mode": {"times": times}, "data": data})
    try:
        yield
    finally:
        after = client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})
        assert after["count"] >= before["count"] + times, "the fault did not strike"


@pytest.fixture
def short_transactions(client: Client) -> Iterator[None]:
    """The server ends transactions that nobody goes on with after a second, and looks for them every second."""
    name = "transactionLifetimeLimitSeconds"
    before = client.admin.command({"getParameter": 1, name: 1})[name]
    client.admin.command({"setParameter": 1, name: 1})
    yield
    client.admin.command({"setParameter": 1, name: before})


@pytest.mark.parametrize("type", ["transfer", "once"])
@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_commit_whose_reply_is_lost_stands_once(
    proxy: Proxy, make_manager: MakeManager, database: str, client: Client, type: str, times: int
) -> None:
    """Once, the driver repeats it. More often, who repeats the transaction meets it, who does not raises."""
    with MongoClient[dict[str, Any]](proxy.uri) as theirs:
        bank = Bank(theirs, database)
        manager = make_manager(executors=executors(bank))
        id = manager.create(type).id
        bank.steps["completed"] = lambda: proxy.lose_reply_of("commitTransaction", times)
        manager.start_watch(type, threads=1)
        job = manager.wait(id, PATIENCE)
        manager.stop_watch()
        proxy.forgive()
        assert set(proxy.lost) == {"commitTransaction"}
        assert (done(job), bank.moved) == (ONCE, 1)
        assert counted(manager, "succeeded", type) == 1


@pytest.mark.parametrize("times", [1, 3])
def test_a_job_that_is_created_in_a_transaction_whose_commits_reply_is_lost_exists_once(
    proxy: Proxy, make_manager: MakeManager, database: str, jobs: Jobs, times: int
) -> None:
    with MongoClient[dict[str, Any]](proxy.uri) as theirs:
        manager = make_manager(database, client=theirs)
        manager.ensure_indexes()
        orders = theirs[database]["orders"]

        def order(session: ClientSession) -> None:
            orders.insert_one({"_id": 1}, session=session)
            assert manager.create("ship", 1, session=session).created
            many = manager.create_many([{"type": "pack", "data": n} for n in range(3)], session=session)
            assert many.inserted == 3

        proxy.lose_reply_of("commitTransaction", times)
        with theirs.start_session() as session:
            session.with_transaction(order)
        assert proxy.lost == ["commitTransaction"] * times
        assert (orders.count_documents({}), jobs.count_documents({})) == (1, 4)


def test_a_completion_whose_reply_is_lost_is_repeated_whole(
    proxy: Proxy, make_manager: MakeManager, database: str
) -> None:
    with MongoClient[dict[str, Any]](proxy.uri) as theirs:
        bank = Bank(theirs, database)
        manager = make_manager(executors=executors(bank))
        manager.create("transfer")
        bank.steps["moved"] = lambda: proxy.lose_reply_of("update") if bank.calls == 1 else None
        assert done(manager.run()) == ONCE
        assert proxy.lost == ["update"]
        assert (bank.moved, bank.calls) == (1, 2)


@pytest.mark.usefixtures("short_transactions")
def test_a_commit_that_never_arrives_is_none(
    make_manager: MakeManager, server: EmbeddedMongo, client: Client, database: str
) -> None:
    """The executor cannot know; its transaction stays open, and nothing is recorded before it ends."""
    with (
        MongoClient[dict[str, Any]](server.uri, appname="bank") as theirs,
        failing(client, "commitTransaction", 2),
    ):
        bank = Bank(theirs, database)
        manager = make_manager(executors=executors(bank))
        id = manager.create("once").id
        with WorkerPool(manager, threads=1, lease=60):
            job = manager.wait(id, PATIENCE)
        assert (done(job), bank.moved) == (AGAIN, 1)
    assert [error.type for error in job.errors] == ["AutoReconnect"]


def test_the_store_that_is_away_when_an_executor_has_committed_is_asked_until_it_answers(
    proxy: Proxy, make_manager: MakeManager, bank: Bank
) -> None:
    manager = make_manager(uri=proxy.uri, executors=executors(bank))
    id = manager.create("transfer").id
    bank.steps["committed"] = lambda: proxy.lose_reply_of("find", 4)
    manager.start_watch("transfer", threads=1, push=False)
    until(lambda: counted(manager, "succeeded"), "the count")
    manager.stop_watch()
    assert "find" in proxy.lost
    assert (done(manager.get(id)), bank.moved) == (ONCE, 1)


# As the driver says it, and as tests of users do


def test_errors_of_the_driver_pass_as_they_are(manager: JobManager, bank: Bank, jobs: Jobs) -> None:
    seen: list[BaseException] = []

    def touch() -> None:
        jobs.update_one({}, {"$inc": {"touched": 1}})

    bank.steps["begun"] = touch
    move = bank.move

    def watched(session: ClientSession) -> None:
        try:
            move(session)
        except BaseException as error:
            seen.append(error)
            bank.steps.clear()
            raise

    bank.move = watched  # type: ignore[method-assign]
    manager.create("transfer")
    assert done(manager.run()) == ONCE
    (error,) = seen
    assert isinstance(error, PyMongoError)
    assert error.has_error_label("TransientTransactionError")


def test_what_completes_itself_is_idempotent(manager: JobManager, bank: Bank) -> None:
    job = assert_idempotent(manager, manager.create("transfer"), state=lambda: bank.moved)
    assert (done(job), bank.moved) == (ONCE, 1)


@pytest.mark.parametrize("point", [("executor", "finish"), ("finish", "reply")], ids=["before", "after"])
def test_a_process_that_dies_behind_the_commit_leaves_a_job_that_is_done(
    manager: JobManager, bank: Bank, jobs: Jobs, point: tuple[str, str]
) -> None:
    id = manager.create("transfer").id
    with kill_between(manager, *point) as kill:
        manager.run()
    assert kill.id == id
    reap(manager.store, manager.observer)
    assert manager.run() is None
    assert (done(manager.get(id)), bank.moved) == (ONCE, 1)
