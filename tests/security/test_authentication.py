"""A user nobody knows, a password that is wrong: said once, shortly, without the password."""

from __future__ import annotations

import logging
import threading
import traceback
from typing import Any

import pytest
from pymongo import MongoClient

from jobpool import JobManager, WorkerPool
from jobpool.errors import StoreError, StoreRefused

from ..waiting import until
from .commands import run_worker
from .servers import SecuredMongo

WRONG = "wr0ng@p4ss/w:rd"


def test_a_wrong_password_is_refused_at_once_and_not_shown(auth_server: SecuredMongo) -> None:
    first: list[type] = []
    uri = auth_server.uri_for("root", WRONG)
    with JobManager("x", uri=uri, executors={"a": print}, timeout=0.5) as manager:
        for call in (lambda: manager.create("a"), manager.count, manager.run, manager.start_watch):
            with pytest.raises(StoreError, match=r"Authentication failed.*user, password and authSource") as e:
                call()
            first.append(type(e.value))
            assert len(str(e.value)) < 250
            told = "".join(traceback.format_exception(e.value)) + repr(e.value) + repr(manager)
            assert WRONG not in told
            assert "wr0ng" not in told
    assert first[0] is StoreRefused, "not after a time-out"


def test_no_password_is_said(auth_server: SecuredMongo) -> None:
    uri = f"mongodb://127.0.0.1:{auth_server.uri.rpartition(':')[2].partition('/')[0]}/?replicaSet=jobpool"
    with JobManager("x", uri=uri) as manager, pytest.raises(StoreRefused, match="give a user and a password"):
        manager.create("a")


def test_a_worker_with_a_wrong_password_ends_with_one_line(auth_server: SecuredMongo) -> None:
    ended = run_worker(JOBPOOL_URI=auth_server.uri_for("root", WRONG), TEST_DATABASE="x")
    assert ended.returncode == 1, ended.stderr
    (line,) = ended.stderr.splitlines()
    assert line.startswith("jobpool: ")
    assert "Authentication failed" in line
    assert "wr0ng" not in ended.stderr + ended.stdout


def test_a_user_that_is_dropped_meanwhile_is_said_once_per_thread_and_not_asked_in_a_loop(
    auth_server: SecuredMongo, root: MongoClient[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    root.admin.command("createUser", "leaving", pwd=WRONG, roles=["root"])
    uri = auth_server.uri_for("leaving", WRONG)
    with JobManager("leaves", uri=uri, executors={"a": print}, timeout=0.5) as manager:
        manager.create("a")

        def errors() -> float:
            families = [family for family in manager.metrics.registry.collect() if "store_errors" in family.name]
            return sum(s.value for family in families for s in family.samples if s.name.endswith("_total"))

        with caplog.at_level(logging.INFO, "jobpool"):
            pool = WorkerPool(manager, lease=3, heartbeat=0.1, reap_interval=0.1, poll_interval=0.05).start()
            root.admin.command("dropUser", "leaving")
            until(lambda: errors() >= 6)
            assert not pool.health().is_ready
            pool.stop(timeout=1)
            until(lambda: not [t for t in threading.enumerate() if t.name.startswith("jobpool-")], "their end")
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert 1 <= len(said) <= 6, said  # a line per thread, however often they tried
    assert not any("wr0ng" in line for line in said)
    root.drop_database("leaves")
