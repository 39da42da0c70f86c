"""What `contention` says of claims: evenness, disorder, and what went in vain."""

from __future__ import annotations

import argparse
import random

import pytest

from jobpool.bench.contention import BATCHES, POOLS, add_arguments, matrix
from jobpool.bench.contention_figures import (
    Call,
    disorder,
    displacements,
    fairness,
    latency,
    shares,
    steady,
)


def test_the_ideal_order_has_no_disorder_and_its_reverse_has_all() -> None:
    for count in (2, 7, 100):
        assert disorder(range(count)) == 0
        assert disorder(range(count)[::-1]) == 1


def test_a_shuffled_order_is_disordered_by_two_thirds() -> None:
    order = list(range(10_000))
    random.Random(5).shuffle(order)
    assert disorder(order) == pytest.approx(2 / 3, abs=0.02)


def test_no_job_and_one_job_are_in_order() -> None:
    assert disorder([]) == disorder([0]) == 0


def test_a_job_that_others_overtake_is_as_far_off_as_they_are_many() -> None:
    assert displacements([1, 2, 3, 0]) == [1, 1, 1, 3]


def test_fairness_is_of_the_least_to_the_most_served() -> None:
    assert fairness([5, 10, 7]) == 0.5
    assert fairness([0, 3]) == 0
    assert fairness([0, 0]) == 0


CALLS = [Call(1, 0.1, 10, 10), Call(2, 0.2, 10, 0), Call(3, 0.3, 10, 5), Call(4, 0.9, 0, 0)]


def test_shares_tell_a_call_that_lost_all_from_one_that_found_nothing() -> None:
    assert shares(CALLS) == {"conflicts": 0.5, "contended calls": 0.25, "empty calls": 0.25}


def test_latency_is_of_the_calls_that_won() -> None:
    found = latency(CALLS)
    assert found["p50"] == pytest.approx(0.2)
    assert found["p99"] < 0.3


def test_steady_is_the_middle_half_whatever_start_and_end_were_like() -> None:
    start = [Call(at, 0.1, 10, 0) for at in range(5)]
    even = [Call(10 + at, 1, 10, 5) for at in range(20)]
    end = [Call(100 + at, 0.1, 10, 0) for at in range(5)]
    calls = start + even + end
    random.Random(1).shuffle(calls)  # they come from several processes
    assert steady(calls, 100) == {"steady rate": 5, "steady conflicts": 0.5}


def test_single_has_one_batch_and_the_others_stand_side_by_side() -> None:
    cells = list(matrix((2,), (10, 100), ("single", "batch", "window")))
    assert [(cell.strategy, cell.batch) for cell in cells] == [
        ("single", 1),
        ("batch", 10),
        ("window", 10),
        ("batch", 100),
        ("window", 100),
    ]
    assert len(list(matrix(POOLS, BATCHES, ("single", "batch", "window")))) == 54


def parsed(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser.add_argument_group())
    return parser.parse_args(arguments)


def test_the_matrix_can_be_chosen() -> None:
    chosen = parsed("--pools", "8,1,8", "--batches", "100", "--strategies", "window,batch")
    assert (chosen.pools, chosen.batches, chosen.strategies) == ((1, 8), (100,), ("window", "batch"))


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--pools", "0", "from 1 to 64"),
        ("--pools", "1,,2", "joined by commas"),
        ("--pools", "65", "from 1 to 64"),
        ("--batches", "many", "'many'"),
        ("--strategies", "window,luck", "no such strategy: 'luck'; known: single, batch, window"),
    ],
)
def test_a_bad_choice_says_what_may_be_chosen(
    option: str, value: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parsed(option, value)
    assert said in capsys.readouterr().err
