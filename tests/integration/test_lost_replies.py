"""The server executes, the reply is lost: what is true then, and that repeating it is safe.

Each test proves that its fault struck.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo import MongoClient

from jobpool import Backoff, JobManager, State, WorkerPool
from jobpool.embedded import EmbeddedMongo
from jobpool.errors import StoreRefused, StoreUnavailable
from jobpool.outcome import Finish, Outcome
from jobpool.store.claiming import STRATEGIES, Request, Rule, claimed
from jobpool.store.claiming.batch import Batch, Choice

from ..conftest import Jobs, MakeManager
from ..faults.proxy import Proxy
from ..waiting import until
from .conftest import begin, claimed_by, claims_of, request
from .test_transitions import expire

Client = MongoClient[dict[str, Any]]


@contextmanager
def applied_but_errored(client: Client, server: EmbeddedMongo, command: str, times: int) -> Iterator[None]:
    """Let `command` of jobpool's clients execute and answer with a write-concern error."""
    data = {
        "failCommands": [command],
        "appName": "jobpool",
        "writeConcernError": {"code": 64, "errmsg": "waiting for replication timed out"},
    }
    before = client.admin.command({"configureFailPoint": "failCommand", "mode": {"times": times}, "data": data})
    try:
        yield
    finally:
        after = client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})
        assert after["count"] >= before["count"] + times, "the fault did not strike"


@pytest.fixture
def manager(proxy: Proxy, make_manager: MakeManager) -> JobManager:
    """A manager whose replies can be lost, connected and warm."""
    ran: list[Any] = []
    manager = make_manager(uri=proxy.uri, executors={"a": ran.append})
    manager.ran = ran  # type: ignore[attr-defined]
    manager.ensure_indexes()
    return manager


def test_create_survives_one_lost_reply(manager: JobManager, proxy: Proxy, jobs: Jobs) -> None:
    proxy.lose_reply_of("insert")
    assert manager.create("a", 1).created
    assert proxy.lost == ["insert"]
    assert jobs.count_documents({}) == 1


def test_create_after_many_lost_replies_says_that_it_may_have_happened(
    proxy: Proxy, make_manager: MakeManager, jobs: Jobs
) -> None:
    manager = make_manager(uri=f"{proxy.uri}&retryWrites=false")
    manager.ensure_indexes()
    proxy.lose_reply_of("insert")
    with pytest.raises(StoreUnavailable, match="may or may not"):
        manager.create("a", 1)
    assert proxy.lost == ["insert"]
    assert jobs.count_documents({}) == 1, "it did happen"
    again = manager.create("a", 1)
    assert (again.created, again.state) == (False, State.PENDING)
    assert jobs.count_documents({}) == 1


def test_create_many_survives_a_lost_reply(manager: JobManager, proxy: Proxy, jobs: Jobs) -> None:
    proxy.lose_reply_of("insert")
    answer = manager.create_many([{"type": "a", "data": n} for n in range(50)])
    assert proxy.lost == ["insert"]
    assert (answer.inserted, jobs.count_documents({})) == (50, 50)


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_claim_whose_reply_is_lost_still_knows_what_it_won(
    manager: JobManager, proxy: Proxy, jobs: Jobs, name: str
) -> None:
    manager.create_many([{"type": "a", "data": n} for n in range(20)])
    strategy = manager.store.strategy(name)
    command = "findAndModify" if name == "single" else "update"
    proxy.lose_reply_of(command)
    won = strategy.claim(request(10))
    assert proxy.lost == [command]
    stored = {document["_id"] for document in jobs.find({"state": "claimed"})}
    assert {claim.id for claim in claims_of(won)} == stored
    assert len(stored) == (1 if name == "single" else 10)
    assert {document["fence"] for document in jobs.find({"state": "claimed"})} == {1}


def test_a_claim_that_never_learns_what_it_won_comes_back_by_its_lease(
    manager: JobManager, proxy: Proxy, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The update's reply is lost, and so are those of the read that asks what it did."""
    manager.create_many([{"type": "a", "data": n} for n in range(5)])
    strategy = manager.store.strategy("batch")
    assert isinstance(strategy, Batch)
    look = strategy._look

    def then_lose_all_replies(request: Request) -> Choice:
        found = look(request)
        proxy.lose_reply_of("update")
        proxy.lose_reply_of("find", times=1000)
        return found

    monkeypatch.setattr(strategy, "_look", then_lose_all_replies)
    monkeypatch.setattr(strategy._connection, "timeout", 1.0)
    with pytest.raises(StoreUnavailable):
        strategy.claim(request(10))
    proxy.forgive()
    assert proxy.lost[:2] == ["update", "find"]
    assert jobs.count_documents({"state": "claimed"}) == 5
    expire(jobs)
    manager.store.reaping.reap()
    assert manager.run_all() == 5
    assert {job.attempts for job in manager.find()} == {1}


@pytest.mark.parametrize("name", STRATEGIES)
def test_what_a_claim_started_without_our_knowing_is_disowned_and_spends_no_attempt(
    manager: JobManager, proxy: Proxy, jobs: Jobs, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """All replies are lost, to the update and to the read that asks what it did."""
    manager.create_many([{"type": "a", "data": n} for n in range(5)])
    strategy = manager.store.strategy(name)
    command = "findAndModify" if name == "single" else "update"
    monkeypatch.setattr(strategy._connection, "timeout", 1.0)
    if name == "single":
        proxy.lose_reply_of(command, times=1000)
    else:
        assert isinstance(strategy, Batch)
        look = strategy._look

        def then_lose_all_replies(request: Request) -> Choice:
            found = look(request)
            proxy.lose_reply_of("update", times=1000)
            proxy.lose_reply_of("find", times=1000)
            return found

        monkeypatch.setattr(strategy, "_look", then_lose_all_replies)
    with pytest.raises(StoreUnavailable):
        strategy.claim(request(5, rules={"a": Rule(1, Backoff())}))
    assert proxy.lost[0] == command
    proxy.forgive()
    (note,) = strategy.unknown
    assert jobs.count_documents({"state": "running", "claim": note.token}) == (1 if name == "single" else 5)
    for _ in range(2):
        manager.store.transitions.disown([note])
        assert jobs.count_documents({"state": "pending", "attempts": 0, "claim": {"$exists": False}}) == 5
    assert manager.run_all() == 5
    assert {job.attempts for job in manager.find()} == {1}


def test_what_a_refused_claim_may_have_started_is_noted(
    manager: JobManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An update of many stops at the document that it cannot write; what came before it stands."""
    manager.create_many([{"type": "a", "data": n} for n in range(3)])
    strategy = manager.store.strategy("batch")
    assert isinstance(strategy, Batch)

    def refused(*_: Any) -> Any:
        raise StoreRefused("no")

    monkeypatch.setattr(strategy, "_update", refused)
    with pytest.raises(StoreRefused):
        strategy.claim(request(3, rules={"a": Rule(1, Backoff())}))
    (note,) = strategy.unknown
    assert set(note.ids or ()) == {job.id for job in manager.find()}


LONG_AGO = datetime.now(UTC) - timedelta(hours=1)
#: What somebody else may write that a claim matches.
FOREIGN: dict[str, dict[str, Any]] = {
    "types": {"type": ["a"]},
    "instants": {"run_at": [LONG_AGO]},
    "bare": {},
    "null": {"attempts": None, "fence": None},
    "texts": {"attempts": "none", "fence": "x", "created_at": "now"},
}


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("name", FOREIGN)
def test_a_foreign_document_holds_up_no_neighbour_and_takes_no_attempt(
    make_manager: MakeManager, jobs: Jobs, name: str, strategy: str, threads: int
) -> None:
    """It stands first in the order, and would come again at once if it was given back."""
    manager = make_manager(executors={"a": lambda data: None})
    neighbours = manager.create_many([{"type": "a", "data": n} for n in range(3)]).ids
    foreign = {"type": "a", "data": 1, "state": "pending", "priority": 9, "run_at": LONG_AGO, **FOREIGN[name]}
    jobs.insert_one({"_id": "foreign", **foreign})
    with WorkerPool(manager, lease=3600, strategy=strategy, threads=threads):
        until(lambda: manager.count(ids=neighbours, state="succeeded") == 3, "the neighbours")
    assert {job.attempts for job in manager.find(ids=neighbours)} == {1}


@pytest.mark.parametrize("name", FOREIGN)
def test_run_all_goes_on_behind_a_foreign_document(make_manager: MakeManager, jobs: Jobs, name: str) -> None:
    manager = make_manager(executors={"a": lambda data: None})
    neighbours = manager.create_many([{"type": "a", "data": n} for n in range(3)]).ids
    foreign = {"type": "a", "data": 1, "state": "pending", "priority": 9, "run_at": LONG_AGO, **FOREIGN[name]}
    jobs.insert_one({"_id": "foreign", **foreign})
    assert manager.run_all() >= 3
    assert manager.count(ids=neighbours, state="succeeded") == 3


def test_a_claim_that_starts_jobs_and_arrives_late_is_not_applied(
    manager: JobManager, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its sender has given up, and would never know what it started."""
    manager.create("a", 1)
    rules = {"a": Rule(1, Backoff())}
    monkeypatch.setattr(
        claimed, "timedelta", lambda seconds: timedelta(seconds=-0.001)
    )  # what was left of the time
    for name in STRATEGIES:
        assert manager.store.strategy(name).claim(request(5, rules=rules)).documents == []
    assert jobs.count_documents({"state": "pending", "fence": 0}) == 1


def test_a_pool_disowns_what_it_may_have_started_and_runs_it(
    make_manager: MakeManager, proxy: Proxy, jobs: Jobs
) -> None:
    """The lease is far too long to bring it back in the time of this test."""
    ran: list[Any] = []
    manager = make_manager(uri=proxy.uri, executors={"a": ran.append}, timeout=1.0)
    manager.ensure_indexes()
    with WorkerPool(manager, lease=3600, push=False) as pool:
        until(lambda: pool.wait_drained(0.01), "the first look")
        proxy.lose_reply_of("findAndModify", times=1000)
        manager.create("a", 1)
        until(lambda: jobs.count_documents({"fence": {"$gte": 2}}), "the claim after the one that nobody knows of")
        proxy.forgive()
        until(lambda: ran == [1], "the job", patience=60)
        until(lambda: manager.count(state="succeeded") == 1, "its record")
    (job,) = manager.find()
    assert job.attempts == 1


def test_a_start_whose_reply_is_lost_is_repeated_and_recognised(
    manager: JobManager, proxy: Proxy, jobs: Jobs
) -> None:
    manager.create("a", 1)
    (claim,) = claims_of(claimed_by(manager.store.strategy("single"), request(1)))
    proxy.lose_reply_of("update")
    with pytest.raises(StoreUnavailable):
        begin(manager.store, claim)
    assert proxy.lost == ["update"]
    assert begin(manager.store, claim) == {claim}
    assert manager.get(claim.id).attempts == 1


@pytest.mark.parametrize("outcome", [Outcome(), Outcome(result=5)], ids=["plain", "result"])
def test_a_finish_whose_reply_is_lost_is_repeated_and_recognised(
    manager: JobManager, proxy: Proxy, outcome: Outcome
) -> None:
    manager.create("a", 1)
    (claim,) = claims_of(claimed_by(manager.store.strategy("single"), request(1)))
    begin(manager.store, claim)
    proxy.lose_reply_of("update", times=2)  # one by one, an update is repeated by the driver
    finish = Finish(claim, outcome)
    for _ in range(3):
        try:
            applied = manager.store.transitions.finish([finish])
            break
        except StoreUnavailable:
            continue
    assert proxy.lost == ["update", "update"]
    assert applied == {claim}
    job = manager.get(claim.id)
    assert (job.state, job.attempts, job.result) == (State.SUCCEEDED, 1, outcome.result)


def test_run_loses_nothing_to_lost_replies(manager: JobManager, proxy: Proxy) -> None:
    for number, command in enumerate(["findAndModify", "update", "update", "find"]):
        manager.create("a", number)
        proxy.lose_reply_of(command)
        job = manager.run()
        assert job is not None
        assert (job.state, job.attempts) == (State.SUCCEEDED, 1)
    assert proxy.lost == ["findAndModify", "update", "update", "find"]
    assert manager.ran == [0, 1, 2, 3]  # type: ignore[attr-defined]


@pytest.mark.parametrize("command", ["update", "find"])
def test_a_pool_runs_every_job_once_while_replies_are_lost(
    manager: JobManager, proxy: Proxy, command: str
) -> None:
    total = 300
    manager.create_many([{"type": "a", "data": n} for n in range(total)])
    # The lease outlasts the faults: a start that is confirmed too late would fail its job, uncalled.
    with WorkerPool(manager, lease=15, batch_size=20, threads=4, push=False):
        for number in range(1, 13):
            proxy.lose_reply_of(command)
            manager.create("a", total + number, priority=number % 3)
            until(lambda number=number: len(proxy.lost) >= number, "the fault")  # type: ignore[misc]
        until(lambda: not manager.count(state="pending") and not manager.count(state="claimed"))
        until(lambda: not manager.count(state="running"), "the last job")
    ran = manager.ran  # type: ignore[attr-defined]
    assert len(proxy.lost) == 12
    assert len(set(ran)) == len(ran), "an executor was called twice"
    outcomes = {state: manager.count(state=state) for state in ("succeeded", "failed")}
    assert outcomes == {"succeeded": total + 12, "failed": 0}
    assert len(ran) == total + 12


@pytest.mark.parametrize("command", ["update", "insert", "findAndModify"])
def test_a_write_concern_error_is_not_taken_for_a_failure(
    make_manager: MakeManager, client: Client, server: EmbeddedMongo, command: str
) -> None:
    """Applied on the primary, and an error all the same."""
    ran: list[int] = []
    manager = make_manager(executors={"a": ran.append})
    manager.ensure_indexes()
    with applied_but_errored(client, server, command, times=1):
        if command == "insert":
            with pytest.raises(StoreUnavailable):
                manager.create("a", 1)
        else:
            manager.create("a", 1)
            strategy = "single" if command == "findAndModify" else "batch"
            with WorkerPool(manager, lease=1, strategy=strategy, push=False) as pool:
                until(lambda: manager.count(state="succeeded") == 1)
                assert pool.drain(30)
    manager.create("a", 1)
    manager.run_all()
    assert ran == [1]
    assert [job.attempts for job in manager.find()] == [1]
