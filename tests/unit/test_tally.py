"""How fast a pool says that it runs jobs."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from jobpool.backlog import Rate
from jobpool.pool import tally as module
from jobpool.pool.tally import SHORTEST, WINDOW, Tally


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=clock.monotonic))
    return clock


def count(tally: Tally, type: str, *seconds: float) -> None:
    for one in seconds:
        tally.count(type, one)


def test_nothing_ran(clock: Clock) -> None:
    assert Tally().rates() == {}


def test_a_rate_is_over_what_ran_since_the_start_while_that_is_less_than_a_minute(clock: Clock) -> None:
    tally = Tally()
    count(tally, "a", 1.0, 3.0)
    clock.now += 10
    assert tally.rates() == {"a": Rate(0.2, 2.0)}
    count(tally, "b", *[0.5] * 20)
    clock.now += 10
    assert tally.rates() == {"a": Rate(0.1, 2.0), "b": Rate(1.0, 0.5)}


def test_a_rate_forgets_what_is_older_than_a_minute(clock: Clock) -> None:
    tally = Tally()
    count(tally, "a", *[9.0] * 600)
    for _ in range(8):  # a word every 15 s
        clock.now += 15
        count(tally, "a", *[1.0] * 15)
        rates = tally.rates()
    assert rates == {"a": Rate(1.0, 1.0)}


def test_a_type_that_rests_keeps_its_run_time(clock: Clock) -> None:
    tally = Tally()
    count(tally, "a", 4.0)
    for _ in range(2):
        clock.now += WINDOW + 1
        rates = tally.rates()
    assert rates == {"a": Rate(0.0, 4.0)}


def test_an_instant_is_no_rate(clock: Clock) -> None:
    tally = Tally()
    count(tally, "a", 1.0, 1.0)
    assert tally.rates() == {"a": Rate(2 / SHORTEST, 1.0)}


def test_what_is_kept_is_bounded(clock: Clock) -> None:
    tally = Tally()
    for _ in range(1000):
        clock.now += 15
        tally.rates()
    assert len(tally._looks._looks) <= WINDOW / 15 + 2
