"""A mixed load as a shop may have it: short and long jobs, failures, retries, repeats, jobs for later."""

from __future__ import annotations

import itertools
import math
import random
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Self

from jobpool import Backoff, Executor, JobManager

_pause = threading.Event()


def at_ease() -> None:
    """Let executors in this process take their time."""
    _pause.clear()


def hurry() -> None:
    """Let executors in this process end at once, those that run already too."""
    _pause.set()


def _takes(low: float, high: float) -> Callable[[Any], None]:
    def work(data: Any) -> None:
        _pause.wait(random.uniform(low, high))

    return work


def mail(data: dict[str, Any]) -> None:
    """Fail now and then, as servers of others do."""
    _pause.wait(random.uniform(0.02, 0.1))
    chance = random.random()
    if chance < 0.12:
        raise ConnectionResetError("the mail server closed the connection")
    if chance < 0.2:
        raise TimeoutError("the mail server did not answer")


def import_row(data: dict[str, Any]) -> None:
    """Refuse every third row, for good."""
    _pause.wait(random.uniform(0.005, 0.03))
    if data["n"] % 3 == 0:
        raise [ValueError, KeyError, LookupError][data["n"] % 9 // 3](f"row {data['n']}")


def render(data: dict[str, Any]) -> None:
    """Run for as long as the job says: the one that gets stuck."""
    _pause.wait(data["seconds"])


def failing(data: Any) -> None:
    """Fail."""
    raise RuntimeError("as always")


def executors() -> Mapping[str, Callable[..., Any] | Executor]:
    """Return what the pools of these tests run; each call makes new ones."""
    return {
        "resize": _takes(0.01, 0.06),
        "thumbnail": _takes(0.002, 0.01),
        "report": _takes(0.4, 1.6),
        "mail": Executor(mail, max_attempts=4, backoff=Backoff(base=0.5, longest=4)),
        "import": import_row,
        "render": Executor(render, max_attempts=2, backoff=Backoff(base=0.5)),
        "encode": Executor(render, max_attempts=2, backoff=Backoff(base=0.5)),
        "hang": render,
        "failing": failing,
    }


def make_manager(uri: str, database: str, **options: Any) -> JobManager:
    """Return a manager with these executors."""
    return JobManager(database, uri=uri, executors=executors(), timeout=3, **options)


#: What a shop runs; the rest of the executors is for tests of alerts.
SHOP = ("resize", "thumbnail", "report", "mail", "import", "render")
#: Jobs per second on the average, by type. The others are not part of it.
RATES = {"resize": 18.0, "thumbnail": 40.0, "report": 3.0, "mail": 12.0, "import": 9.0}
TICK = 0.2


class Traffic:
    """A thread that creates jobs until it is ended: in waves, with bursts, repeats and jobs for later.

    Args:
        manager: What creates them; its metrics count them.
        rates: Jobs per second by type.
        wave: Seconds from one peak to the next.
        burst: Jobs that come at once with every peak, and with them one that gets stuck; 0: none of them.
    """

    def __init__(
        self, manager: JobManager, rates: Mapping[str, float] = RATES, *, wave: float = 20.0, burst: int = 150
    ) -> None:
        self._manager = manager
        self._rates = rates
        self._wave = wave
        self._burst = burst
        self._numbers = itertools.count(1)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)
        self.error: BaseException | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        assert self.error is None, f"the traffic ended early: {self.error!r}"

    def _run(self) -> None:
        began = time.monotonic()
        peaks = 0
        try:
            while not self._end.wait(TICK):
                age = time.monotonic() - began
                self._create_tick(1 + 0.6 * math.sin(2 * math.pi * age / self._wave))
                if self._burst and age > peaks * self._wave:
                    peaks += 1
                    self._create_burst()
        except Exception as error:
            self.error = error

    def _create_tick(self, strength: float) -> None:
        jobs = [
            self._job(type) for type, rate in self._rates.items() for _ in range(_drawn(rate * TICK * strength))
        ]
        if jobs and random.random() < 0.3:
            jobs.append({**random.choice(jobs)})  # a producer that repeats itself
        self._manager.create_many(jobs)

    def _create_burst(self) -> None:
        types = random.choices(["resize", "thumbnail", "report"], [5, 4, 1], k=self._burst)
        self._manager.create_many(map(self._job, types))
        self._manager.create_many({**self._job("report"), "delay": random.uniform(20, 90)} for _ in range(20))
        self._manager.create("render", {"n": next(self._numbers), "seconds": 0.6 * self._wave})

    def _job(self, type: str) -> dict[str, Any]:
        return {"type": type, "data": {"n": next(self._numbers)}}


def _drawn(mean: float) -> int:
    """Return a number of arrivals with that mean (Poisson)."""
    limit, product, number = math.exp(-mean), random.random(), 0
    while product > limit:
        product *= random.random()
        number += 1
    return number
