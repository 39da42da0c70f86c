"""The slope of a long series, and how sure it is."""

from __future__ import annotations

import random

import pytest

from jobpool.bench.slope import FEWEST, slope_of, t_quantile

SAMPLES = 400
TRIES = 200


def walk(chance: random.Random, memory: float) -> list[float]:
    """Return a series without a slope, each value like the one before by so much."""
    values, value = [], 0.0
    for _ in range(SAMPLES):
        value = memory * value + chance.gauss(0, 1)
        values.append(value)
    return values


def false_alarms(memory: float) -> float:
    """Return the share of series without a slope of which one is said to be certain."""
    chance = random.Random(1)
    x = [float(n) for n in range(SAMPLES)]
    return sum(slope_of(x, walk(chance, memory)).certain for _ in range(TRIES)) / TRIES


@pytest.mark.parametrize(
    ("freedom", "table"), [(1, 12.7062), (2, 4.3027), (3, 3.1824), (5, 2.5706), (18, 2.1009), (60, 2.0003)]
)
def test_the_quantiles_are_those_of_the_table(freedom: int, table: float) -> None:
    assert t_quantile(freedom) == pytest.approx(table, rel=0.002)


def test_fewer_degrees_of_freedom_never_make_it_surer() -> None:
    quantiles = [t_quantile(1 + step / 20) for step in range(200)]
    assert quantiles == sorted(quantiles, reverse=True)


def test_a_line_has_its_own_slope() -> None:
    x = [float(n) for n in range(100)]
    found = slope_of(x, [3 + 2 * at for at in x])
    assert found.value == pytest.approx(2)
    assert found.at(10) == pytest.approx(23)
    assert found.certain
    assert found.blocks == 20


def test_the_width_is_that_of_the_formula() -> None:
    """By hand: x 0 to 3, y 0 0 1 1, so slope 0.4, sum of squares 0.2, of x 5, and neighbours unlike each other."""
    found = slope_of([0, 1, 2, 3], [0, 0, 1, 1], blocks=4)
    assert found.value == pytest.approx(0.4)
    assert found.likeness < 0
    assert found.half_width == pytest.approx(4.3027 * (0.1**0.5) / 5**0.5, rel=1e-4)
    assert not found.certain
    assert found.share == pytest.approx(0.4 / found.half_width)


def test_noise_without_a_slope_rarely_seems_to_have_one() -> None:
    assert 0.0 < false_alarms(memory=0) < 0.12


def test_neighbours_that_resemble_each_other_do_not_make_it_surer() -> None:
    """A time constant of 50 samples, more than two blocks: the formula without allowance is fooled more often."""
    assert false_alarms(memory=0.98) < 0.25


def test_a_slope_in_the_noise_is_seen() -> None:
    chance = random.Random(2)
    x = [float(n) for n in range(SAMPLES)]
    found = slope_of(x, [0.05 * at + noise for at, noise in zip(x, walk(chance, 0.9), strict=True)])
    assert found.certain
    assert abs(found.value - 0.05) < found.half_width


def test_a_flat_series_has_no_slope() -> None:
    found = slope_of([float(n) for n in range(50)], [7.0] * 50)
    assert (found.value, found.half_width, found.share, found.certain) == (0, 0, 0, False)


def test_too_few_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="too few"):
        slope_of([0.0] * (FEWEST - 1), [0.0] * (FEWEST - 1))
