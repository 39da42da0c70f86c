"""Workers that die while jobs wait for others: each is let go once, when it may, and none is forgotten."""

from __future__ import annotations

import itertools
import random
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

from jobpool.embedded import EmbeddedMongo
from jobpool.pool import resolver
from jobpool.store import linking

from ..conftest import MakeManager
from ..waiting import until
from .dependency_judge import Ends
from .oplog import Change
from .processes import Run

KILLS = 5
LAYER = 25


def pass_time(seconds: float) -> None:
    """Let a random time pass: where the blow falls is the point."""
    at = time.monotonic() + seconds
    until(lambda: time.monotonic() >= at)


def layer(chance: random.Random, number: int, before: list[str]) -> list[dict[str, Any]]:
    """Return jobs that wait for some of those before, and for some of each other."""
    jobs: list[dict[str, Any]] = []
    for place in range(LAYER):
        id = f"{number}-{place}"
        others = [*before[-2 * LAYER :], *(str(job["id"]) for job in jobs)]
        jobs.append(
            {
                "id": id,
                "type": chance.choice(["twice", "twice", "retried", "doomed"]) if place % 5 else "twice",
                "data": {"n": number * 100 + place, "ms": chance.randrange(20)},
                "after": chance.sample(others, min(len(others), chance.randrange(4))),
                "on_failure": chance.choice(["fail", "run"]),
            }
        )
    chance.shuffle(jobs)
    return jobs


def test_workers_killed_while_jobs_wait_let_nobody_go_too_soon_and_forget_nobody(run: Run) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    chance = random.Random(seed)
    workers = {name: run.worker(threads=4, name=name) for name in ("a", "b", "c")}
    ids: list[str] = []
    for number in range(KILLS):
        jobs = layer(chance, number, ids)
        run.manager.create_many(jobs)
        ids += [job["id"] for job in jobs]
        pass_time(chance.uniform(0, 0.4))
        if number == 2:
            run.manager.cancel(chance.choice(ids), cascade=True)
        victim = chance.choice(list(workers))
        workers.pop(victim).kill()
        workers[f"w{number}"] = run.worker(threads=4, name=f"w{number}")
    run.wait_until_done()
    run.judge()
    waited = [job for job in run.jobs.find({"_id": {"$in": ids}}) if job.get("after")]
    assert {job["state"] for job in waited} <= {"succeeded", "failed", "cancelled"}
    assert len(waited) > KILLS * LAYER / 3
    until(lambda: not run.jobs.count_documents({"followed": {"$exists": True}}), "the last word")


#: A process that creates a batch and kills itself behind so many calls of the driver.
CREATOR = """
import os, signal, sys
from jobpool import JobManager
from tests.faults.test_dependencies import BATCH, THEN

manager = JobManager(sys.argv[1], uri=sys.argv[2])
manager.ensure_indexes()
real, left = manager.store.driver.call, int(sys.argv[3])

async def call(method, *args, **options):
    global left
    answer = await real(method, *args, **options)
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return answer

for part in (manager.store.creation, manager.store.linking):
    part._call = call
manager.create_batch(BATCH, then=THEN)
"""
BATCH: list[dict[str, Any]] = [
    {"type": "t", "data": name, "id": name, "after": list(after)}
    for name, after in (("a", ""), ("b", "a"), ("c", "ab"), ("d", ""))
]
THEN = {"type": "t", "data": "all", "id": "all"}


def test_creators_killed_behind_each_call_leave_nothing_that_waits_for_ever(
    server: EmbeddedMongo, database: str, make_manager: MakeManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linking, "PATIENCE", 0.0)
    monkeypatch.setattr(resolver, "CREATORS", 0.05)
    ran: list[str] = []
    manager = make_manager(executors={"t": ran.append})
    manager.start_watch(threads=2)
    for calls in itertools.count(1):
        arguments = [database, server.uri, str(calls)]
        ended = subprocess.run([sys.executable, "-c", CREATOR, *arguments], check=False, timeout=120)
        until(lambda: not manager.count(state="waiting"), "the end of what was created")
        created = manager.create_batch(BATCH, then=THEN)
        manager.wait_many([*created.ids, created.callback.id], timeout=60)
        until(lambda: len(ran) == 5, "the last of five")
        assert sorted(ran) == ["a", "all", "b", "c", "d"]
        assert ran.index("a") < ran.index("b") < ran.index("c")
        assert ran[-1] == "all"
        until(lambda: manager.remove_many(all=True) or not manager.count(), "room for the next")
        ran.clear()
        if ended.returncode == 0:
            break
        assert ended.returncode == -signal.SIGKILL
    assert calls > 5


BEFORE: dict[str, Any] = {"state": "waiting", "attempts": 0, "after": ["p", "q"], "waits_for": ["p"]}
LOST = {"type": "DependencyFailed"}


@pytest.mark.parametrize(
    ("ends", "before", "after", "invariant"),
    [
        ({"p": "succeeded", "q": "succeeded"}, {}, {"state": "pending"}, None),
        ({"p": "succeeded"}, {}, {"state": "pending"}, "I9"),
        ({"p": "succeeded", "q": "failed"}, {}, {"state": "pending"}, "I9"),
        ({"p": "succeeded", "q": "failed"}, {"on_failure": "run"}, {"state": "pending"}, None),
        ({"q": "cancelled"}, {}, {"state": "failed", "error": LOST}, None),
        ({"q": "succeeded"}, {}, {"state": "failed", "error": LOST}, "I9"),
        ({"q": "failed"}, {}, {"state": "failed", "error": {"type": "WorkerLost"}}, "I9"),
        ({}, {}, {"state": "cancelled"}, "I4"),
        ({}, {}, {"state": "running"}, "I4"),
        ({}, {}, {"attempts": 1}, "I5"),
    ],
    ids=["run", "early", "ill", "ill-run", "fail", "fail-early", "fail-otherwise", "cancel", "start", "attempt"],
)
def test_the_judge_of_those_who_wait(
    ends: dict[str, str], before: dict[str, Any], after: dict[str, Any], invariant: str | None
) -> None:
    judge = Ends()
    for id, state in ends.items():
        judge.note(Change(None, id, None, {"state": state}))  # type: ignore[arg-type]
    found = judge.judge({**BEFORE, **before}, {**BEFORE, **after}, cancels=False)
    assert (found and found[0]) == invariant
