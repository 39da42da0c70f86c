"""Every error of the driver in every call of the store, while everything else is real."""

from __future__ import annotations

import inspect
import itertools
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import pymongo.errors
import pytest

from jobpool import Backoff, Executor, JobManager, WorkerPool, current_job
from jobpool.embedded import EmbeddedMongo
from jobpool.pool import cancels, recorder, reports, service, watchdog
from jobpool.store.documents import new_document

from ..conftest import Jobs, MakeManager
from ..waiting import PATIENCE, until
from .hostile_client import HostileClient
from .report import FaultReport

#: What the threads of a pool ask of the store; a manager's first contact makes three more.
CALLS = (
    *("look", "claim", "read the claim", "claim one"),
    *("start", "finish", "extend", "confirm"),
    *("look for expired", "reap", "watch", "next", "hello"),
)

#: How many turns of single jobs, which are claimed one by one, come between two batches, which take a few turns.
BATCH_EVERY, BATCH = 8, 40


def expire_one(jobs: Jobs) -> None:
    """Store a job that a dead pool held: something to reap."""
    past = datetime.now(UTC) - timedelta(seconds=60)
    document = new_document(
        id=uuid.uuid4().hex, type="a", data=-1, priority=0, run_at=past, max_attempts=50, created_at=past
    )
    jobs.insert_one(
        {**document, "state": "claimed", "claim": "dead", "pool": "dead", "lease_until": past, "fence": 1}
    )


def steal_one(jobs: Jobs) -> None:
    """Take a running job from its pool, as its lease's end would: its finish then asks what became of it."""
    jobs.update_one(
        {"state": "running"}, {"$set": {"state": "pending"}, "$unset": {"claim": "", "lease_until": ""}}
    )


def test_every_error_class_of_the_driver_is_among_them() -> None:
    named = {name for name, kind in vars(pymongo.errors).items() if inspect.isclass(kind)}
    built = {type(error).__name__ for error in driver_errors()}
    assert {
        name for name in named if issubclass(getattr(pymongo.errors, name), pymongo.errors.PyMongoError)
    } <= built


def driver_errors() -> list[Exception]:
    """Return an error of every class of the driver, and what else a call may raise."""
    built: list[Exception] = []
    for kind in vars(pymongo.errors).values():
        if not inspect.isclass(kind) or not issubclass(kind, pymongo.errors.PyMongoError):
            continue
        if kind is pymongo.errors.BulkWriteError:
            built.append(kind({"writeErrors": [], "writeConcernErrors": []}))
        elif kind is pymongo.errors.ClientBulkWriteException:
            built.append(pymongo.errors.ClientBulkWriteException({"writeErrors": []}, verbose=False))
        elif kind is pymongo.errors.EncryptedCollectionError:
            built.append(pymongo.errors.EncryptedCollectionError(ValueError("cause"), {}))
        elif kind is pymongo.errors.EncryptionError:
            built.append(kind(ValueError("cause")))
        else:
            built.append(kind("made by the test"))
    codes = (6, 13, 50, 64, 91, 112, 189, 10107, 11602)
    built += [pymongo.errors.OperationFailure("made by the test", code) for code in codes]
    built += [OSError("made by the test"), TimeoutError(), RuntimeError("made by the test"), MemoryError()]
    return built


@pytest.fixture
def hostile(server: EmbeddedMongo) -> Iterator[HostileClient]:
    """A client of the manager under test; the tests' own sees the server as it is."""
    client = HostileClient(server.uri, appname="jobpool-hostile")
    yield client
    client.close()


@pytest.mark.fault("F25")
def test_f25_every_error_in_every_call_is_survived(
    fault: FaultReport,
    hostile: HostileClient,
    make_manager: MakeManager,
    database: str,
    jobs: Jobs,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each kind of call meets every error once, a good one in between, in one life of two pools."""
    # The pauses have a test of their own, below; here they would be all that is waited for.
    monkeypatch.setattr(service, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(service, "LONGEST_PAUSE", 0.02)
    executions: Counter[int] = Counter()
    pause = threading.Event()

    def work(data: int) -> int:
        executions[data] += 1
        pause.wait(0.005)
        if data % 5 == 0 and executions[data] == 1:
            raise ValueError(data)
        return data

    producer = make_manager()
    executor = Executor(work, max_attempts=50, backoff=Backoff(base=0))
    with JobManager(database, client=hostile, executors={"a": executor}) as manager, ExitStack() as stack:
        manager.ensure_indexes()
        pools = [
            WorkerPool(
                manager, name=name, strategy=strategy, threads=2, lease=3, heartbeat=0.05, reap_interval=0.05
            )
            for name, strategy in (("one", "window"), ("two", "single"))
        ]
        for pool in pools:
            stack.callback(pool.stop, 1)  # also when this fails: what runs on disturbs every other test
            pool.start()
        errors = driver_errors()
        for call in CALLS:
            hostile.deck.deal(call, errors)
        numbers, turns = itertools.count(), itertools.count()

        def feed() -> bool:
            """Keep all kinds of calls coming: new jobs, single and many, expired ones, lost replies."""
            turn = next(turns)
            fresh = itertools.islice(numbers, 1 if turn % BATCH_EVERY else BATCH)
            producer.create_many([{"type": "a", "data": n} for n in fresh])
            if turn % 3 == 0:
                expire_one(jobs)
                steal_one(jobs)
            for pool in pools:
                pool._store.clock.forget()
            left = hostile.deck.left()
            if set(left) == {"watch"}:  # a stream that is open and read without an error is not opened again
                hostile.deck.deal("next", errors[:1])
            return not left

        until(feed, "the last error", 100)
        met = dict(hostile.deck.met)
        total = next(numbers)
        until(lambda: not jobs.count_documents({"state": {"$nin": ["succeeded"]}}), "the last job")
        for pool in pools:
            health = pool.health()
            until(lambda: pool.health().is_ready, f"readiness after it: {health}")  # noqa: B023
            assert pool.stop().threads == ()
    assert jobs.count_documents({"state": "succeeded"}) >= total
    assert set(executions) == {-1, *range(total)}
    missed = {call: len(errors) - met.get(call, 0) for call in CALLS if met.get(call, 0) < len(errors)}
    assert missed == {}
    fault.struck(sum(met.values()), "errors raised in store calls")
    fault.figure("(call x error) green", f"{len(CALLS)} x {len(errors)}")


@pytest.mark.fault("F25")
def test_f25_errors_of_reports_and_of_questions_for_cancels_cost_no_job(
    fault: FaultReport, hostile: HostileClient, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a running job reports, and the question whether it is cancelled, meet every error once."""
    for module, name in ((service, "FIRST_PAUSE"), (service, "LONGEST_PAUSE"), (recorder, "STEP")):
        monkeypatch.setattr(module, name, 0.01)
    for module, name in ((reports, "EVERY"), (cancels, "ASK_EVERY"), (watchdog, "LOOK_EVERY")):
        monkeypatch.setattr(module, name, 0.01)

    def work(data: object) -> None:
        for step in itertools.count():
            current_job().progress(step)
            current_job().wait(0.01)

    errors = driver_errors()
    with JobManager(database, client=hostile, executors={"a": work}) as manager:
        ids = manager.create_many([{"type": "a", "data": n} for n in range(2)]).ids
        for call in ("report", "ask"):
            hostile.deck.deal(call, errors)
        with WorkerPool(manager, threads=2, lease=30) as pool:
            until(lambda: not hostile.deck.left(), "the last error", 60)
            before = [manager.get(id) for id in ids]
            until(lambda: all(manager.get(id).progress for id in ids), "progress that is stored after all")
            for id in ids:
                manager.cancel(id)
            ends = [manager.wait(id, PATIENCE) for id in ids]
            until(lambda: pool.health().is_ready, "readiness after it")
            assert pool.stop().threads == ()
    fault.struck(sum(hostile.deck.met[call] for call in ("report", "ask")), "errors raised in those calls")
    fault.figure("(call x error) green, of reports and questions", f"2 x {len(errors)}")
    assert [job.state for job in before] == ["running"] * 2, "no error of theirs ends a job"
    assert [(job.state, job.attempts) for job in ends] == [("cancelled", 1)] * 2


@pytest.mark.fault("F25")
def test_f25_a_call_that_fails_for_ever_is_tried_in_ever_longer_pauses(
    fault: FaultReport, hostile: HostileClient, database: str
) -> None:
    """No hot loop: each thread counts its calls while all of them fail, says so, and works again afterwards."""
    with JobManager(database, client=hostile, executors={"a": lambda data: data}) as manager:
        manager.ensure_indexes()
        with WorkerPool(manager, threads=1, lease=6, heartbeat=0.05, reap_interval=0.05) as pool:
            purposes = ("look", "claim one", "look for expired", "watch", "next")
            until(lambda: all(hostile.deck.asked[purpose] for purpose in ("look", "look for expired")), "calls")
            before = Counter(hostile.deck.asked)
            seconds = 4.0
            hostile.deck.always(purposes, pymongo.errors.AutoReconnect("made by the test"))
            began = time.monotonic()
            until(lambda: not pool.health().is_ready, "the health that shows it")
            until(lambda: time.monotonic() - began > seconds, "the pauses")
            calls = {purpose: hostile.deck.asked[purpose] - before[purpose] for purpose in purposes}
            assert pool.health().is_live
            hostile.deck.always(purposes, None)
            until(lambda: pool.health().is_ready, "the health that shows its end")
            assert manager.wait(manager.create("a").id, 30).state.final
    fault.struck(sum(calls.values()), "calls that failed")
    # 0.1 s, doubling to 2 s: some seven in four seconds and one more for what is slow to notice.
    assert max(calls.values()) <= 12, calls
    fault.figure("calls per thread in 4 s of failure, most", max(calls.values()))
