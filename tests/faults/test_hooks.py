"""Metrics, log handlers and registries that raise or block."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.registry import Collector

from jobpool import State, WorkerPool, current_job
from jobpool.metrics import Metrics

from ..conftest import Jobs, MakeManager
from ..unit.test_observer import EVENTS
from ..waiting import PATIENCE, until
from .executors import Own, twice
from .hosts import HostSnapshot, pool_threads
from .report import FaultReport


class Handler(logging.Handler):
    """A log handler that raises, or blocks."""

    def __init__(self, action: Callable[[], None]) -> None:
        super().__init__()
        self.heard = 0
        self._action = action

    def handle(self, record: logging.LogRecord) -> bool:
        self.heard += 1
        self._action()
        return True


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[Callable[[], None]], Handler]]:
    """Add a handler to the logger of the package, which says everything meanwhile."""
    logger, added = logging.getLogger("jobpool"), list[Handler]()
    caplog.set_level(logging.DEBUG, "jobpool")

    def add(action: Callable[[], None]) -> Handler:
        added.append(Handler(action))
        logger.addHandler(added[-1])
        return added[-1]

    yield add
    for handler in added:
        logger.removeHandler(handler)


def wait_out(event: threading.Event, seconds: float) -> None:
    event.wait(seconds)


@pytest.mark.fault("F23")
@pytest.mark.parametrize("error", [ValueError("hook"), SystemExit(3), KeyboardInterrupt(), Own()], ids=repr)
def test_f23_hooks_that_raise_change_no_outcome(
    fault: FaultReport,
    make_manager: MakeManager,
    jobs: Jobs,
    monkeypatch: pytest.MonkeyPatch,
    logged: Callable[[Callable[[], None]], Handler],
    error: BaseException,
) -> None:
    """Every event of the metrics raises, and every log line; jobs succeed, fail, retry and get lost."""
    raised, main = Counter[str](), threading.main_thread()

    def fail(name: str) -> Callable[..., None]:
        def event(self: Metrics, *args: Any) -> None:
            raised[name] += 1
            if threading.current_thread() is not main or not isinstance(error, KeyboardInterrupt):
                raise error

        return event

    for name in EVENTS:
        monkeypatch.setattr(Metrics, name, fail(name))

    def log_fails() -> None:
        if threading.current_thread() is not main or not isinstance(error, KeyboardInterrupt):
            raise error

    handler = logged(log_fails)
    lost, ran = threading.Event(), Counter[str]()

    def gets_lost(data: object) -> None:
        jobs.update_one({"_id": current_job().id}, {"$set": {"claim": "another"}})
        until(lambda: current_job().lost, "the heartbeat's word")
        lost.set()

    def work(data: str) -> str:
        ran[data] += 1
        if data.startswith("fails") or (data.startswith("retries") and current_job().attempt == 1):
            raise ValueError(data)
        return data

    manager = make_manager(executors={"work": twice(work), "lost": gets_lost, "after": twice(work)})
    kinds = ("succeeds", "fails", "retries")
    texts = [f"{kind} {n}" for kind in kinds for n in range(20)]
    with WorkerPool(manager, threads=3, lease=1) as pool:
        manager.create("lost")
        ids = {text: manager.create("work", text).id for text in texts}
        assert lost.wait(PATIENCE)
        ends = {text: manager.wait(id, PATIENCE) for text, id in ids.items()}
        assert manager.wait(manager.create("after", "succeeds after all").id, PATIENCE).result
        assert pool.health().is_live
    assert not pool_threads()
    right = sum(
        (job.state.value, job.attempts) == ("failed" if text.startswith("fails") else "succeeded", ran[text])
        for text, job in ends.items()
    )
    assert right == len(texts)
    assert {text: count for text, count in ran.items() if count > (1 if text.startswith("succeeds") else 2)} == {}
    fault.struck(handler.heard, "log lines that raised")
    fault.struck(sum(raised.values()), "events that raised")
    assert {"claimed", "started", "finished", "leases_lost", "pool_started", "pool_stopped"} <= set(raised)
    fault.figure(f"outcomes unchanged with {type(error).__name__}", f"{right}/{len(texts)}")


@pytest.mark.fault("F23")
def test_f23_hooks_that_block_for_longer_than_the_lease_cost_no_lease(
    fault: FaultReport,
    make_manager: MakeManager,
    monkeypatch: pytest.MonkeyPatch,
    logged: Callable[[Callable[[], None]], Handler],
) -> None:
    """Log handlers block at every line, and the metrics at what the fetcher, the starter and the recorder tell."""
    block, lease = 1.5, 1.0
    blocked: Counter[str] = Counter()
    never = threading.Event()

    def blocks(name: str) -> Callable[..., None]:
        event = getattr(Metrics, name)

        def blocking(self: Metrics, *args: Any) -> None:
            blocked[name] += 1
            never.wait(block)
            event(self, *args)

        return blocking

    for name in ("claimed", "started", "finished"):
        monkeypatch.setattr(Metrics, name, blocks(name))
    handler = logged(lambda: wait_out(never, block))
    ran: Counter[int] = Counter()

    def work(data: int) -> int:
        ran[data] += 1
        current_job().logger.warning("at work")
        return data

    manager = make_manager(executors={"a": work})
    jobs_in_all = fault.length(2, 10)
    with WorkerPool(manager, threads=2, lease=lease, stop_timeout=60):
        ids = [manager.create("a", n).id for n in range(jobs_in_all)]
        ends = [manager.wait(id, 60) for id in ids]
    assert [job.result for job in ends] == list(range(jobs_in_all))
    assert set(ran.values()) == {1}
    assert {job.attempts for job in ends} == {1}  # a queued one may have been given back meanwhile, unspent
    value = manager.metrics.registry.get_sample_value
    lost = value("jobpool_leases_lost_total", {"pool": "default", "stage": "running"}) or 0
    assert lost == 0
    fault.struck(handler.heard and sum(blocked.values()), f"hooks that blocked for {block / lease} leases")
    fault.figure("leases lost, outcomes unchanged", f"{lost:g}, {len(ends)}/{jobs_in_all}")


class HostileCollector(Collector):
    """What a host may have on the registry that it gave us."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.asked = 0

    def describe(self) -> list[Any]:
        return []

    def collect(self) -> Any:
        self.asked += 1
        raise self.error


@pytest.mark.fault("F23")
def test_f23_a_registry_that_raises_harms_the_scrape_only(fault: FaultReport, make_manager: MakeManager) -> None:
    registry = CollectorRegistry()
    manager = make_manager(executors={"a": lambda data: data}, registry=registry)
    collectors = [
        HostileCollector(ValueError("collector")),
        HostileCollector(SystemExit(3)),
        HostileCollector(Own()),
    ]
    answered = ran = 0
    with HostSnapshot(), WorkerPool(manager, threads=1) as pool:
        server = pool.serve_metrics(0)
        for collector in collectors:
            registry.register(collector)
            with pytest.raises(HTTPError, match="500"):
                urlopen(f"{server.url}/metrics", timeout=PATIENCE).read()
            answered += urlopen(f"{server.url}/healthz", timeout=PATIENCE).status == 200
            registry.unregister(collector)
            ran += manager.wait(manager.create("a", id(collector)).id, PATIENCE).state is State.SUCCEEDED
        body = urlopen(f"{server.url}/metrics", timeout=PATIENCE).read()
        assert b"jobpool_attempts_total" in body
        pool.stop()
        manager.close()
    fault.struck(sum(collector.asked for collector in collectors), "collectors that raised")
    fault.figure("health answered, jobs ran", f"{answered}, {ran}/{len(collectors)}")
    assert answered == ran == len(collectors)
