"""Quantiles of histograms, as Prometheus computes them."""

from __future__ import annotations

import math
from collections.abc import Iterable

from prometheus_client.parser import text_string_to_metric_families


def quantiles(exposition: str, family: str, fractions: Iterable[float]) -> list[float]:
    """Return quantiles of a histogram in a text exposition, over all its label sets.

    Interpolated within a bucket as Prometheus' `histogram_quantile` does.
    NaN where nothing was observed.
    """
    buckets: dict[float, float] = {}
    for metric in text_string_to_metric_families(exposition):
        for sample in metric.samples if metric.name == family else ():
            if sample.name == f"{family}_bucket":
                limit = float(sample.labels["le"])
                buckets[limit] = buckets.get(limit, 0.0) + sample.value
    return [_quantile(sorted(buckets.items()), fraction) for fraction in fractions]


def _quantile(buckets: list[tuple[float, float]], fraction: float) -> float:
    total = buckets[-1][1] if buckets else 0.0
    if not total:
        return math.nan
    rank = fraction * total
    lower, below = 0.0, 0.0
    for limit, count in buckets:
        if count >= rank:
            if math.isinf(limit):
                return lower
            return lower + (limit - lower) * (rank - below) / max(count - below, 1e-12)
        lower, below = limit, count
    return lower
