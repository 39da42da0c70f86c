"""Sets of curves that several dashboards show."""

from __future__ import annotations

from .panels import Query
from .queries import quantile

FRACTIONS = ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))


def quantiles(metric: str, labels: str) -> list[Query]:
    """Return the median of a histogram and its tail."""
    return [Query(quantile(fraction, metric, labels), name) for fraction, name in FRACTIONS]
