"""What the live tests look at: two pools under a mixed load, with mishaps, scraped by a real Prometheus."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from pymongo import MongoClient

from jobpool import JobManager, WorkerPool
from jobpool.config import PoolOptions
from jobpool.pool.reaper import Reaper

from ..faults.failpoints import fail_command
from ..waiting import until
from .load import SHOP, Traffic, at_ease, hurry, make_manager
from .prometheus import Prometheus
from .worker import Worker

#: Seconds. Short, so that what a killed worker held comes back soon.
LEASE = 2.0
#: The pool in this process, and the one in a worker process.
WEB: PoolOptions = {"name": "web", "threads": 8, "lease": LEASE, "backlog_interval": 1.0, "stuck_after": 4.0}
BATCH: PoolOptions = {"name": "batch", "threads": 6, "lease": LEASE, "backlog_interval": 1.0}
#: One type is its own, so that the mishaps surely find it at work.
BATCH_TYPES = (*SHOP, "encode")


@dataclass(repr=False)
class Scene:
    """A run and what Prometheus recorded of it.

    Attributes:
        urls: Of the metrics endpoint of each pool.
        began: Unix time of the first scrape.
        at: Unix time when everything had happened and both pools were at work again.
        mishaps: What happened when.
    """

    prometheus: Prometheus
    manager: JobManager
    batch: Worker
    urls: list[str]
    began: float = 0.0
    at: float = 0.0
    mishaps: list[tuple[float, str]] = field(default_factory=list)

    def say(self, mishap: str) -> None:
        """Note that something happens now."""
        self.mishaps.append((time.time(), mishap))

    def scrapes(self, number: int) -> None:
        """Wait until the pool in this process was scraped so often again."""
        counted = f'count_over_time(up{{instance="{self.urls[0].removeprefix("http://")}"}}[1h])'
        goal = self.prometheus.value(counted) + number
        until(lambda: self.prometheus.value(counted) >= goal, f"{number} scrapes", patience=30 + 3 * number)

    def occupy_batch(self) -> None:
        """Wait until the worker process runs jobs that outlast its lease."""
        data = [{"n": uuid.uuid4().hex, "seconds": 3 * LEASE} for _ in range(2)]
        self.manager.create_many({"type": "encode", "data": one} for one in data)
        until(lambda: self.manager.count(type="encode", state="running") >= 1, "a long job")

    def seen(self, expression: str) -> None:
        """Wait until Prometheus has a value for an expression."""
        until(lambda: self.prometheus.query(expression), expression)


@contextmanager
def pools_at_work(
    uri: str, directory: Path, rules: Sequence[Path] = (), *, wave: float = 10.0, burst: int = 150
) -> Iterator[tuple[Scene, ExitStack, str]]:
    """Start two pools, their load and a Prometheus; give the scene, what ends with it, and the database."""
    database = f"live_{uuid.uuid4().hex[:12]}"
    with ExitStack() as stack:
        at_ease()
        batch = Worker(uri, database, directory, types=BATCH_TYPES, **BATCH)
        stack.callback(batch.kill)
        manager = stack.enter_context(make_manager(uri, database))
        manager.schedule("newsletter", 1.0, "mail", {"n": "newsletter"})
        web = stack.enter_context(WorkerPool(manager, SHOP, **WEB))
        stack.callback(hurry)  # the jobs that hang end with their pool
        url = web.serve_metrics(0).url
        batch.wait_until_up()
        urls = [url, f"http://{batch.address}"]
        targets = [address.removeprefix("http://") for address in urls]
        prometheus = stack.enter_context(Prometheus(directory, {"jobpool": targets}, rules))
        stack.enter_context(Traffic(manager, wave=wave, burst=burst))
        prometheus.wait_until_up(*targets)
        yield Scene(prometheus, manager, batch, urls, began=time.time()), stack, database


@contextmanager
def recorded(
    uri: str, client: MongoClient[dict[str, Any]], directory: Path, rules: Sequence[Path] = (), *, calm: int = 5
) -> Iterator[Scene]:
    """Run the load through some mishaps, with `calm` scrapes of peace before and behind each.

    The scene is given when all of it is recorded; `client` is of the server, which has to take failpoints.
    """
    with pools_at_work(uri, directory, rules, wave=2.0 * calm, burst=30 * calm) as (scene, stack, database):
        scene.scrapes(calm)
        scene.occupy_batch()
        scene.say("worker killed")
        scene.batch.kill()
        scene.seen("sum(jobpool_jobs_reaped_total) > 0")
        scene.say("worker restarted")
        scene.batch = Worker(uri, database, directory, port=scene.batch.port, types=BATCH_TYPES, **BATCH)
        stack.callback(scene.batch.kill)
        scene.batch.wait_until_up()
        scene.scrapes(calm)
        scene.say("connections cut")
        with fail_command(client, ["find", "update"], close=True, times=20):
            scene.seen("sum(jobpool_store_errors_total) > 0")
        survive_the_unforeseen(scene)
        scene.scrapes(calm)
        scene.occupy_batch()
        scene.say("worker paused")
        pause(scene)
        scene.scrapes(calm)
        scene.at = time.time()
        yield scene


def survive_the_unforeseen(scene: Scene) -> None:
    """Let one thread of the pool in this process meet an error that nobody foresaw, until it is seen."""
    with patch.object(Reaper, "act", side_effect=RuntimeError("planted by a test")):
        scene.seen("sum(jobpool_internal_errors_total) > 0")


def pause(scene: Scene) -> None:
    """Let the worker process stand still for longer than its lease, until it has said what it lost."""
    scene.batch.pause()
    threading.Event().wait(1.5 * LEASE)  # the fault itself: nothing of the worker can be waited for meanwhile
    scene.batch.resume()
    scene.seen("sum(jobpool_leases_lost_total) > 0")
