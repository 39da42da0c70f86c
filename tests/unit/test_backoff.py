"""The wait before the next attempt."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobpool.backoff import MAX_DELAY, Backoff
from jobpool.chance import RANDOM
from jobpool.errors import InvalidConfiguration
from jobpool.pool.service import jitter


def test_the_defaults_are_pinned() -> None:
    assert Backoff() == Backoff(base=1.0, factor=2.0, longest=600.0, jitter=0.5)


def test_the_delay_grows_by_the_factor() -> None:
    backoff = Backoff(base=0.5, factor=3, jitter=0)
    assert [backoff.delay(attempt) for attempt in (1, 2, 3, 4)] == [0.5, 1.5, 4.5, 13.5]


def test_the_delay_stops_growing_at_the_longest() -> None:
    backoff = Backoff(base=1, factor=2, longest=10, jitter=0)
    assert [backoff.delay(attempt) for attempt in (4, 5, 6, 50)] == [8, 10, 10, 10]


def test_a_base_over_the_longest_is_cut() -> None:
    assert Backoff(base=100, longest=10, jitter=0).delay(1) == 10


@pytest.mark.parametrize("factor", [2, 2.0, 100, 100.0])
def test_attempt_1000_does_not_overflow(factor: float) -> None:
    assert Backoff(base=MAX_DELAY, factor=factor, longest=MAX_DELAY, jitter=0).delay(1000) == MAX_DELAY


def test_a_factor_of_one_keeps_the_delay() -> None:
    assert Backoff(base=3, factor=1, jitter=0).delay(1000) == 3


def test_the_largest_draw_takes_the_jitter_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RANDOM, "random", lambda: 1.0)
    assert Backoff(base=8, jitter=0.25).delay(1) == 6


def test_the_smallest_draw_takes_nothing_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RANDOM, "random", lambda: 0.0)
    assert Backoff(base=8, jitter=0.25).delay(1) == 8


@given(
    base=st.floats(0, MAX_DELAY),
    factor=st.floats(1, 100),
    longest=st.floats(0, MAX_DELAY),
    jitter=st.floats(0, 1),
    attempt=st.integers(1, 60),
)
def test_the_delay_is_drawn_from_its_range(
    base: float, factor: float, longest: float, jitter: float, attempt: int
) -> None:
    delay = Backoff(base=base, factor=factor, longest=longest, jitter=jitter).delay(attempt)
    ceiling = min(base * factor ** (attempt - 1), longest)
    assert (1 - jitter) * ceiling * (1 - 1e-9) <= delay <= ceiling


@pytest.mark.parametrize(
    "setting",
    [
        {"base": -1},
        {"base": MAX_DELAY + 1},
        {"base": math.nan},
        {"base": "1"},
        {"factor": 0.5},
        {"factor": 101},
        {"factor": True},
        {"longest": -1},
        {"longest": math.inf},
        {"longest": None},
        {"jitter": -0.1},
        {"jitter": 1.1},
    ],
    ids=repr,
)
def test_a_setting_out_of_range_is_refused_by_name(setting: dict[str, Any]) -> None:
    with pytest.raises(InvalidConfiguration, match=f"^backoff {next(iter(setting))} must be "):
        Backoff(**setting)


def test_the_hosts_random_numbers_are_left_alone() -> None:
    before = random.getstate()
    assert len({Backoff().delay(1) for _ in range(20)}) > 1
    jitter()
    assert random.getstate() == before
