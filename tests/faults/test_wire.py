"""What networks and slow servers do between a pool and its store."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from jobpool import JobManager, WorkerPool, current_job
from jobpool.errors import StoreUnavailable

from ..conftest import MakeManager
from ..waiting import PATIENCE, until
from . import recording
from .failpoints import Client, fail_command
from .processes import Run
from .proxy import FAIR, Proxy, Weather
from .report import FaultReport

TIMEOUT = 1.5
#: What a call may take beyond its time limit on a machine that is busy with something else.
MARGIN = 5.0


class WorstCalls:
    """The longest call of each operation: an observer in front of the manager's own."""

    def __init__(self, manager: JobManager) -> None:
        connection: Any = manager.store._connection
        self._observer = connection.observer
        self.seconds: dict[str, float] = {}
        connection.observer = self

    def store_operation(self, operation: str, seconds: float, error: str | None) -> None:
        self.seconds[operation] = max(self.seconds.get(operation, 0.0), seconds)
        self._observer.store_operation(operation, seconds, error)

    def worst(self) -> float:
        return max(self.seconds.values())


def busy(run: Run, stop: threading.Event) -> None:
    """Create jobs around the network until told to stop: the pool has always something to do."""
    first = 0
    while not stop.wait(0.1):
        run.create("twice", 4, first=first, ms=5)
        first += 4


def storm(seconds: float, act: Callable[[], object]) -> int:
    """Do something five times a second; return how often."""
    times, pause = 0, threading.Event()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        act()
        times += 1
        pause.wait(0.2)
    return times


def weather(proxy: Proxy, how: Weather, seconds: float) -> int:
    """Let the network be so for a while; return how many messages felt it."""
    before = proxy.delayed
    proxy.weather = how
    threading.Event().wait(seconds)
    proxy.weather = FAIR
    return proxy.delayed - before


def lost_replies(proxy: Proxy, seconds: float) -> int:
    """Answer writes by resets after they were applied."""
    before = len(proxy.lost)
    commands = iter(["update", "findAndModify", "find"] * 100_000)
    storm(seconds, lambda: proxy.lose_reply_of(next(commands), reset=True))
    proxy.forgive()
    return len(proxy.lost) - before


WIRES: dict[str, Callable[[Proxy, float], int]] = {
    "latency of 200±150 ms": lambda proxy, s: weather(proxy, Weather(latency=0.2, jitter=0.15), s),
    "black hole": lambda proxy, s: weather(proxy, Weather(hole=True), s),
    "half-closed": lambda proxy, s: storm(s, lambda: proxy.cut(half=True)),
    "reset": lambda proxy, s: storm(s, proxy.cut),
    "reset after apply": lost_replies,
    "one byte at a time": lambda proxy, s: weather(proxy, Weather(chunk=1), s),
    "10 kB/s": lambda proxy, s: weather(proxy, Weather(chunk=100, rate=10_000), s),
}


@pytest.mark.fault("F47")
@pytest.mark.parametrize("wire", WIRES)
def test_f47_no_call_outlives_its_deadline_and_no_job_is_lost(
    fault: FaultReport, run: Run, proxy: Proxy, wire: str
) -> None:
    manager = run.make_manager(uri=f"{proxy.uri}&appName=f47", timeout=TIMEOUT)
    stop = threading.Event()
    creator = threading.Thread(target=busy, args=(run, stop))
    with manager:
        calls = WorstCalls(manager)
        with WorkerPool(manager, ["twice"], lease=2, threads=4) as pool:
            creator.start()
            try:
                run.wait_for("left", 5)
                fault.struck(WIRES[wire](proxy, fault.length(2.0, 12.0)), wire)
            finally:
                stop.set()
                creator.join()
                proxy.forgive()
            run.wait_until_done()
            until(lambda: pool.health().is_ready, "the all-clear")
    run.judge()
    fault.figure(f"worst call in {wire}, s (limit {TIMEOUT})", calls.worst())
    assert calls.worst() < TIMEOUT + MARGIN, calls.seconds


@pytest.fixture
def make_creators(proxy: Proxy, make_manager: MakeManager) -> Callable[[str, int], list[JobManager]]:
    """Managers with a client each, connected."""

    def make(options: str, number: int) -> list[JobManager]:
        managers = [make_manager(uri=f"{proxy.uri}{options}", timeout=5) for _ in range(number)]
        for manager in managers:
            manager.ensure_indexes()
        return managers

    return make


@pytest.mark.fault("F48")
@pytest.mark.parametrize("options", ["", "&retryWrites=false"], ids=["repeated", "not repeated"])
def test_f48_twenty_who_create_one_id_at_once_create_one_job(
    fault: FaultReport,
    make_creators: Callable[[str, int], list[JobManager]],
    proxy: Proxy,
    jobs: Any,
    options: str,
) -> None:
    """Without the driver's repeat the caller does it: after `StoreUnavailable` the same create is safe."""
    threads, rounds = 20, fault.length(4, 20)
    managers = make_creators(options, threads)
    together = threading.Barrier(threads)
    answers: list[tuple[int, bool]] = []
    errors: list[BaseException] = []
    unknown = 0

    def create(manager: JobManager) -> None:
        nonlocal unknown
        for number in range(rounds):
            together.wait(PATIENCE)
            while True:
                try:
                    job = manager.create("a", {"round": number}, id=f"storm {number}")
                except StoreUnavailable:
                    unknown += 1
                    continue
                except BaseException as error:
                    errors.append(error)
                    raise
                assert job.data == {"round": number}
                answers.append((number, job.created))
                break
            if together.wait(PATIENCE) == 0:
                proxy.lose_reply_of("insert", times=threads // 2, reset=bool(number % 2))

    proxy.lose_reply_of("insert", times=threads // 2)
    callers = [threading.Thread(target=create, args=(manager,)) for manager in managers]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    proxy.forgive()
    fault.struck(len(proxy.lost), "replies to insert lost")
    assert not errors
    assert len(answers) == threads * rounds
    assert jobs.count_documents({}) == rounds
    for number in range(rounds):
        inserted = sum(created for which, created in answers if which == number)
        # Who is not repeated by the driver may learn of its own job only as of a duplicate.
        assert inserted <= 1 if options else inserted == 1, f"round {number}: {inserted}"
    assert bool(unknown) == bool(options)
    fault.figure(f"inserted per id ({options or 'retryWrites'})", jobs.count_documents({}) / rounds)


def certain_until(run: Run, id: str) -> float:
    """Return the monotonic instant up to which the first holder of a job might rely on its lease."""
    answers = [event for event in run.events() if event.name in ("claim-ok", "extend-ok")]
    leases = [
        (token, event.fields["until"]) for event in answers for job, token in event.fields["jobs"] if job == id
    ]
    latest: float = max(until for token, until in leases if token == leases[0][0])
    return latest


@pytest.mark.fault("F54")
def test_f54_a_pool_whose_heartbeats_are_too_slow_fences_itself(
    fault: FaultReport, run: Run, client: Client
) -> None:
    """Every update of one pool waits for one and a half leases; another pool takes its jobs over."""
    lease, told = 2.0, threading.Semaphore(0)
    manager = run.make_manager(uri=f"{run.uri}&appName=f54", timeout=TIMEOUT)

    def until_told(data: dict[str, Any]) -> None:
        job = current_job()
        until(lambda: job.lost, "the word that it is lost")
        run.history.say("told", id=job.id)
        told.release()

    def taken_over(data: dict[str, Any]) -> dict[str, Any]:
        return {"n": data["n"], "attempt": current_job().attempt}

    for who, fn in ((manager, until_told), (run.manager, taken_over)):
        who.executor("handed_over", max_attempts=2)(recording.executor(run.history, fn))
        who.executor("only_once")(recording.executor(run.history, fn))
    ids = [run.manager.create(type, {"n": n}).id for n, type in enumerate(("handed_over", "only_once"))]
    with manager, WorkerPool(manager, name="slow", lease=lease, threads=4, push=False) as slow:
        run.wait_for("entered", 2)
        with fail_command(client, ["update", "findAndModify"], app="f54", block_ms=int(lease * 1500)) as point:
            run.create("once", 20)  # nobody has them yet: a fenced pool must not begin any
            assert all(told.acquire(timeout=PATIENCE) for _ in ids)
            assert not slow.health().is_ready
            with WorkerPool(run.manager, name="quick", lease=lease, threads=2, push=False):
                run.wait_until_done()
            fault.struck(point.struck, f"updates held back for {1.5 * lease} s")
        until(lambda: slow.health().is_ready, "the all-clear")
    run.judge()
    first, second = (run.manager.get(id) for id in ids)
    assert (first.state, first.attempts) == ("succeeded", 2)
    assert (second.state, second.attempts) == ("failed", 1), "started once at most"
    assert {job["pool"] for job in run.jobs.find({"type": "once"})} == {"quick"}
    over = max(e.at - certain_until(run, e.fields["id"]) for e in run.events() if e.name == "told")
    assert over < MARGIN
    fault.figure("over-run past the lease, ms", over * 1000)
