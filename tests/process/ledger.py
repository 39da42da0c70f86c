"""A worker that moves a coin in a transaction and dies at one step of it; and a producer that dies likewise.

``python -m tests.process.ledger worker|producer POINT``. Jobs of the type POINT run here, so that several
of these processes work on one database. They die in the first attempt alone.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

from pymongo import MongoClient
from pymongo.client_session import ClientSession

from jobpool import Executor, JobManager, WorkerPool, current_job

#: Where a worker dies, in the order of its steps. ``sent`` is for the test: it kills while a commit is under way.
POINTS = ("entered", "begun", "moved", "completed", "sent", "executed", "committed", "returned", "settled")
#: Where a producer dies.
PRODUCER_POINTS = ("begun", "written", "created", "executed", "committed")
#: Of clients whose commits the test holds up.
SLOW = "ledger-sent"


def die() -> None:
    """Die as by the kernel's hand."""
    os.kill(os.getpid(), signal.SIGKILL)
    threading.Event().wait()


class Ledger:
    """Accounts, and the executors that move coins between them."""

    def __init__(self, uri: str, database: str, point: str = "") -> None:
        self.client: MongoClient[dict[str, Any]] = MongoClient(uri, appname=SLOW if point == "sent" else "ledger")
        self.accounts = self.client[database]["accounts"]
        self.point = point

    def at(self, point: str) -> None:
        if point == self.point and current_job().attempt == 1:
            die()

    def transfer(self, data: Any) -> None:
        """Move a coin from the account of the type to another one."""
        self.at("entered")
        with self.client.start_session() as session:
            session.with_transaction(self.move)
        self.at("committed")

    def move(self, session: ClientSession) -> None:
        """Do so in a transaction."""
        type = current_job().type
        self.accounts.find_one({"_id": type}, session=session)
        self.at("begun")
        self.accounts.update_one({"_id": type}, {"$inc": {"coins": -1}}, session=session)
        self.accounts.update_one({"_id": f"{type}'s other"}, {"$inc": {"coins": 1}}, session=session)
        self.at("moved")
        current_job().complete("moved", session=session)
        self.at("completed")
        if self.point == "executed" and current_job().attempt == 1:
            dying_behind_commit(session)


def dying_behind_commit(session: Any) -> None:
    """Let the process die when the server has executed the commit, and nobody has looked at its reply."""
    real = session._finish_transaction

    def finish(connection: Any, command: str) -> Any:
        real(connection, command)
        die()

    session._finish_transaction = finish


def executors(ledger: Ledger) -> dict[str, Executor]:
    """Return the executors by the points at which they die."""
    return {point: Executor(ledger.transfer, max_attempts=2, backoff=0) for point in POINTS}


def run_worker(uri: str, database: str, point: str) -> None:
    """Run jobs until the end."""
    ledger = Ledger(uri, database, point)
    manager = JobManager(database, uri=uri, executors=executors(ledger))
    completing: Any = manager.store.completing
    settle: Callable[..., Any] = completing.settle

    def dying(finish: Any, **options: Any) -> Any:
        if point == "returned":
            die()
        answer = settle(finish, **options)
        if point == "settled":
            die()
        return answer

    completing.settle = dying
    WorkerPool(manager, [point], threads=2, lease=1.0, push=False).start()
    threading.Event().wait()


def run_producer(uri: str, database: str, point: str) -> None:
    """Write an order and create its job in one transaction; die in it."""
    client: MongoClient[dict[str, Any]] = MongoClient(uri)
    manager = JobManager(database, client=client)
    manager.ensure_indexes()

    def order(session: ClientSession) -> None:
        session.client[database]["orders"].find_one({}, session=session)
        at("begun")
        session.client[database]["orders"].insert_one({"_id": f"order {point}"}, session=session)
        at("written")
        manager.create("ordered", point, id=f"job {point}", session=session)
        at("created")
        if point == "executed":
            dying_behind_commit(session)

    def at(here: str) -> None:
        if here == point:
            die()

    with client.start_session() as session:
        session.with_transaction(order)
    at("committed")


if __name__ == "__main__":
    run: dict[str, Callable[[str, str, str], None]] = {"worker": run_worker, "producer": run_producer}
    run[sys.argv[1]](os.environ["JOBPOOL_URI"], os.environ["TEST_DATABASE"], sys.argv[2])
