"""What users get for their tests: what it costs, and what it refuses before it asks a server."""

from __future__ import annotations

import ast
import subprocess
import sys
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

import jobpool
import jobpool.testing
from jobpool import JobManager
from jobpool.errors import InvalidConfiguration, InvalidJob
from jobpool.testing import Killed, kill_between, run_all, travel
from jobpool.testing.clock import TravellingClock
from jobpool.testing.crashes import STEPS

HEAVY = ("pymongo", "bson", "prometheus_client")


@pytest.fixture
def manager() -> JobManager:
    """A manager that never asks: nobody listens there."""
    return JobManager("nowhere", uri="mongodb://127.0.0.1:9/?connect=false")


@pytest.mark.parametrize("module", ["jobpool", "jobpool.testing", "jobpool.testing.plugin"])
def test_importing_it_imports_no_driver(module: str) -> None:
    """Every pytest run imports the plugin, and the packages that it is in."""
    script = f"import {module}, sys; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("package", [jobpool, jobpool.testing])
def test_every_public_name_is_there(package: object) -> None:
    names = package.__all__  # type: ignore[attr-defined]
    assert [name for name in names if getattr(package, name, None) is None] == []
    assert set(names) <= set(dir(package))


def test_a_name_that_is_not_there_is_an_error() -> None:
    for package in (jobpool, jobpool.testing):
        with pytest.raises(AttributeError, match="no attribute 'nothing'"):
            package.nothing  # noqa: B018


def test_nothing_else_imports_it_and_only_it_imports_pytest() -> None:
    root = Path(jobpool.__file__).parent
    for path in root.rglob("*.py"):
        if path.parent == root / "testing":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            else:
                continue
            assert not [name for name in names if name.startswith(("pytest", "testing", "jobpool.testing"))], path


def test_only_neighbours_can_be_killed_between(manager: JobManager) -> None:
    for after, before in pairwise(STEPS):
        kill_between(manager, after, before)
    for after, before in (("claim", "finish"), ("start", "finish"), ("start", "claim"), ("a", "b")):
        with pytest.raises(InvalidConfiguration, match="'claim', 'start' or 'start', 'executor' or"):
            kill_between(manager, after, before)


def test_a_kill_that_does_not_strike_is_an_error(manager: JobManager) -> None:
    message = "no job came to the point between 'claim' and 'start'"
    with pytest.raises(AssertionError, match=message), kill_between(manager, "claim", "start"):
        pass


def test_another_error_in_the_block_is_not_hidden(manager: JobManager) -> None:
    transitions = manager.store.transitions
    with pytest.raises(ZeroDivisionError), kill_between(manager, "claim", "start"):
        raise ZeroDivisionError
    with pytest.raises(Killed), kill_between(manager, "claim", "start"):
        raise Killed  # of somebody else
    assert manager.store.transitions is transitions


def test_a_kill_is_good_for_one_block(manager: JobManager) -> None:
    kill = kill_between(manager, "claim", "start")
    with pytest.raises(ZeroDivisionError), kill:
        raise ZeroDivisionError
    with pytest.raises(InvalidConfiguration, match="one block"):
        kill.__enter__()


@pytest.mark.parametrize("distance", [-1, float("nan"), float("inf"), 1e12, "1", True])
def test_only_the_future_can_be_travelled_to(manager: JobManager, distance: float) -> None:
    with pytest.raises(InvalidConfiguration, match="hours"):
        travel(manager, hours=distance)


def test_a_refused_travel_leaves_nothing_behind(manager: JobManager) -> None:
    from jobpool.testing.travelling import active

    with pytest.raises(InvalidConfiguration):
        travel(manager, -1)
    assert active() == ()


def test_a_travel_goes_to_aware_datetimes_only(manager: JobManager) -> None:
    with travel(manager) as clock, pytest.raises(InvalidJob, match="aware"):
        clock.to(datetime(2030, 1, 1))


def test_a_travel_that_has_ended_goes_nowhere(manager: JobManager) -> None:
    with travel(manager, 5) as clock:
        assert repr(clock) == "<Travel 0:00:05 ahead>"
    with pytest.raises(InvalidConfiguration, match="has ended"):
        clock.forward(1)
    clock.back()  # may be repeated


class Clock:
    """A server clock that stands still."""

    noon = datetime.fromisoformat("2030-01-01T12:00:00+00:00")

    def now(self) -> datetime:
        return self.noon

    def known(self) -> datetime | None:
        return None

    def learn(self, server_time: datetime) -> datetime:
        return server_time

    def since(self, instant: datetime) -> float:
        return max(0.0, (self.noon - instant).total_seconds())

    def forget(self) -> str:
        return "forgotten"


class Way:
    """A distance."""

    def __init__(self, hours: int) -> None:
        self.ahead = timedelta(hours=hours)


def test_every_reading_of_a_travelling_clock_is_ahead_by_the_sum_of_its_travels() -> None:
    clock = TravellingClock(Clock())
    assert clock.now() == Clock.noon
    clock.travels = (Way(1), Way(2))
    later = Clock.noon + timedelta(hours=3)
    assert (clock.now(), clock.learn(Clock.noon), clock.known()) == (later, later, None)
    assert clock.since(Clock.noon) == clock.since(later - timedelta(hours=3)) == 3 * 3600
    assert clock.since(later + timedelta(hours=1)) == 0
    assert clock.forget() == "forgotten"


def test_run_all_looks_at_least_once(manager: JobManager) -> None:
    with pytest.raises(InvalidConfiguration, match="limit"):
        run_all(manager, limit=0)
