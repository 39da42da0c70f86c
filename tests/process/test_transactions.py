"""Processes that are killed at every step of a transaction: what it does is done exactly once in the end."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.client_session import ClientSession

from jobpool import State, WorkerPool

from ..conftest import MakeManager
from ..waiting import until
from .conftest import ROOT
from .ledger import POINTS, PRODUCER_POINTS, SLOW, Ledger, executors

Client = MongoClient[dict[str, Any]]
StartLedger = Callable[..., "subprocess.Popen[bytes]"]
PATIENCE = 90.0
FAILPOINT = "failpoint.failCommand"


@pytest.fixture
def start(environment: dict[str, str]) -> Iterator[StartLedger]:
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.process.ledger", *arguments]
        started.append(subprocess.Popen(command, env=environment, cwd=ROOT, stdin=subprocess.DEVNULL))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture(autouse=True)
def short_transactions(client: Client) -> Iterator[None]:
    """The server ends transactions that nobody goes on with after a second, and looks for them every second."""
    name = "transactionLifetimeLimitSeconds"
    before = client.admin.command({"getParameter": 1, name: 1})[name]
    client.admin.command({"setParameter": 1, name: 1})
    yield
    until(
        lambda: not client.admin.command("serverStatus")["transactions"]["currentOpen"], "what the dead left open"
    )
    client.admin.command({"setParameter": 1, name: before})


@pytest.fixture
def slow_commits(client: Client) -> Iterator[Callable[[], int]]:
    """Commits of some clients wait before they are executed; returns how many have begun to."""
    data = {"failCommands": ["commitTransaction"], "appName": SLOW, "blockConnection": True, "blockTimeMS": 500}
    failpoint = {"configureFailPoint": "failCommand", "mode": {"times": 1}, "data": data}
    before = client.admin.command(failpoint)["count"]
    yield (
        lambda: (
            int(client.admin.command({"getParameter": 1, "failpoint.failCommand": 1})[FAILPOINT]["timesEntered"])
            - before
        )
    )
    client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})


def coins(client: Client, database: str) -> dict[str, int]:
    return {account["_id"]: account["coins"] for account in client[database]["accounts"].find()}


def test_a_worker_killed_at_any_step_of_its_transaction_has_had_its_effects_once(
    make_manager: MakeManager,
    start: StartLedger,
    client: Client,
    database: str,
    slow_commits: Callable[[], int],
    environment: dict[str, str],
) -> None:
    """One process for every step; each dies there, and what it held is run again by a pool here."""
    accounts = client[database]["accounts"]
    accounts.insert_many([{"_id": f"{point}{of}", "coins": 0} for point in POINTS for of in ("", "'s other")])
    ledger = Ledger(environment["JOBPOOL_URI"], database)
    manager = make_manager(executors=executors(ledger))
    ids = {point: manager.create(point).id for point in POINTS}
    processes = {point: start("worker", point) for point in POINTS}
    until(slow_commits, "the commit on its way", PATIENCE)
    processes["sent"].kill()
    for point, process in processes.items():
        assert process.wait(PATIENCE) == -signal.SIGKILL, point
    with WorkerPool(manager, threads=4, lease=1.0), ledger.client:
        jobs = dict(zip(ids, manager.wait_many(ids.values(), PATIENCE), strict=True))
    left = coins(client, database)
    for point, job in jobs.items():
        assert (job.state, job.result) == (State.SUCCEEDED, "moved"), point
        assert (left[point], left[f"{point}'s other"]) == (-1, 1), point
    attempts = {point: job.attempts for point, job in jobs.items() if point != "sent"}
    again = ("entered", "begun", "moved", "completed")
    assert attempts == {point: 2 if point in again else 1 for point in attempts}


def test_a_producer_killed_at_any_step_has_made_both_or_neither(
    make_manager: MakeManager, start: StartLedger, client: Client, database: str
) -> None:
    manager = make_manager(database, client=client)
    manager.ensure_indexes()
    orders = client[database]["orders"]
    for process in [start("producer", point) for point in PRODUCER_POINTS]:
        assert process.wait(PATIENCE) == -signal.SIGKILL
    stood = {"executed", "committed"}
    assert {order["_id"] for order in orders.find()} == {f"order {point}" for point in stood}
    assert {job.id for job in manager.find()} == {f"job {point}" for point in stood}
    for point in PRODUCER_POINTS:  # what is repeated, as by a service that was started again, ends as one

        def order(session: ClientSession, point: str = point) -> None:
            orders.update_one({"_id": f"order {point}"}, {"$set": {}}, upsert=True, session=session)
            manager.create("ordered", point, id=f"job {point}", session=session)

        with client.start_session() as session:
            session.with_transaction(order)
    assert orders.count_documents({}) == manager.count() == len(PRODUCER_POINTS)
