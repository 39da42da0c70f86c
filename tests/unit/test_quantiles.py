"""Quantiles of a histogram's exposition, against cases computed by hand."""

from __future__ import annotations

import math

import pytest
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from jobpool.metrics import Metrics, quantiles


def exposition(values: dict[str, list[float]], buckets: tuple[float, ...] = (1, 2, 4)) -> str:
    """Return a histogram `h` with `values` by their label."""
    registry = CollectorRegistry()
    histogram = Histogram("h", "Help.", ["x"], registry=registry, buckets=buckets)
    for label, observed in values.items():
        for value in observed:
            histogram.labels(label).observe(value)
    return generate_latest(registry).decode()


@pytest.mark.parametrize(
    ("values", "fraction", "expected"),
    [
        ([0.5] * 10, 0.5, 0.5),  # half of the first bucket, 0 to 1
        ([0.5] * 10, 1.0, 1.0),
        ([1.5] * 10, 0.5, 1.5),  # half of the second, 1 to 2
        ([0.5] * 5 + [3.0] * 5, 0.5, 1.0),  # exactly the first bucket's end
        ([0.5] * 5 + [3.0] * 5, 0.75, 3.0),  # half of the third, 2 to 4
        ([0.5, 1.5, 3.0, 3.5], 0.25, 1.0),
        ([0.5] * 9 + [100.0], 0.99, 4.0),  # beyond the last bound: that bound
        ([0.5] * 10, 0.0, 0.0),
    ],
)
def test_a_quantile_is_interpolated(values: list[float], fraction: float, expected: float) -> None:
    assert quantiles(exposition({"a": values}), "h", [fraction]) == [pytest.approx(expected)]


def test_all_label_sets_count_together() -> None:
    assert quantiles(exposition({"a": [0.5] * 5, "b": [3.0] * 5}), "h", [0.75]) == [pytest.approx(3.0)]


def test_the_quantiles_come_in_the_order_asked_for() -> None:
    assert quantiles(exposition({"a": [0.5] * 10}), "h", [1.0, 0.5]) == [pytest.approx(1.0), pytest.approx(0.5)]


def test_nothing_observed_is_nan() -> None:
    (quantile,) = quantiles(exposition({}), "h", [0.5])
    assert math.isnan(quantile)


def test_an_unknown_family_is_nan() -> None:
    (quantile,) = quantiles(exposition({"a": [1]}), "other", [0.5])
    assert math.isnan(quantile)


def test_our_own_exposition_has_quantiles() -> None:
    metrics = Metrics.on(None)
    metrics.finished("t", "succeeded", 0.15, None)
    _, body = metrics.exposition("")
    (median,) = quantiles(body.decode(), "jobpool_job_duration_seconds", [0.5])
    assert median == pytest.approx(0.175)  # half way from 0.1 to 0.25
