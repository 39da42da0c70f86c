"""How fast jobs run, and how many may be taken ahead."""

from __future__ import annotations

import pytest

from jobpool.capacity import OVERHEAD
from jobpool.pool.pace import SMOOTHING, Pace


def paced(threads: int, *seconds: float) -> Pace:
    pace = Pace(threads)
    for duration in seconds:
        pace.observe("t", duration)
    return pace


def test_nothing_is_taken_ahead_before_the_first_job() -> None:
    assert Pace(4).ahead(10) == 0


def test_an_unknown_type_has_no_cost() -> None:
    assert paced(4, 1.0).cost("other") is None


def test_the_first_job_sets_the_cost() -> None:
    assert paced(4, 1.0).cost("t") == 0.25


def test_the_newest_duration_counts_for_a_tenth() -> None:
    assert paced(1, 1.0, 2.0).cost("t") == pytest.approx(1.0 + SMOOTHING)


def test_the_cost_follows_a_change() -> None:
    assert paced(1, 10.0, *[1.0] * 100).cost("t") == pytest.approx(1.0, rel=0.01)


def test_the_fastest_job_costs_the_overhead() -> None:
    assert paced(16, 0.0).cost("t") == OVERHEAD


def test_the_threads_run_side_by_side() -> None:
    assert paced(4, 0.5).ahead(1.0) == 8


def test_slow_jobs_are_not_taken_ahead() -> None:
    assert paced(4, 60.0).ahead(1.0) == 0


def test_no_time_is_no_job() -> None:
    assert paced(4, 0.5).ahead(0.0) == 0


def test_the_overhead_bounds_what_is_taken_ahead() -> None:
    assert paced(1000, 0.0).ahead(1.0) == int(1 / OVERHEAD)


def test_types_have_costs_of_their_own() -> None:
    pace = paced(1, 1.0)
    pace.observe("slow", 9.0)
    assert (pace.cost("t"), pace.cost("slow")) == (1.0, 9.0)


def test_all_types_count_for_what_is_taken_ahead() -> None:
    pace = paced(1, 1.0)
    pace.observe("slow", 11.0)
    assert pace.ahead(10.0) == 5  # a mean of 2 seconds
