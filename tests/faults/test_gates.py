"""Limits while primaries step down and die; the history that survives says how many were held at once."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from jobpool import Executor, JobManager, Limit

from ..gates import by_key, by_type, most_held
from ..waiting import until
from .replicas import ReplicaSet

KEYS = 4


def nothing(data: Any) -> None:
    """Take no time."""


def test_no_election_lets_more_through() -> None:
    """Each pool has a client of its own, and so its own idea of who is primary."""
    executor = Executor(
        nothing, key="tenant", limit=Limit(running=3), key_limit=Limit(running=1), max_attempts=1000, backoff=0
    )
    with ReplicaSet() as replicas, replicas.client() as client, ExitStack() as stack:
        jobs = client["limits"]["jobs"]
        managers = [
            stack.enter_context(JobManager("limits", uri=replicas.uri, executors={"a": executor}, timeout=3))
            for _ in range(3)
        ]
        managers[0].create_many({"type": "a", "data": {"tenant": n % KEYS, "n": n}} for n in range(240))
        for manager in managers:
            manager.start_watch(threads=3, lease=3)
        for blow in (replicas.step_down, replicas.kill_primary):
            before = jobs.count_documents({"state": "succeeded"})
            until(lambda before=before: jobs.count_documents({"state": "succeeded"}) > before + 20, "jobs", 120)  # type: ignore[misc]
            struck = blow()
            if not struck.running:
                struck.start()
            replicas.settle()
        until(lambda: jobs.count_documents({"state": "succeeded"}) == 240, "all jobs", 120)
        managers[0].stop_watch()
        assert most_held(client, jobs.full_name, by_type)["a"] <= 3
        held = most_held(client, jobs.full_name, by_key)
        assert max(held["a", str(key)] for key in range(KEYS)) == 1
