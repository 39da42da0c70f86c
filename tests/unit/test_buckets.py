"""Which buckets are taken, and which are refused."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from jobpool.errors import InvalidConfiguration
from jobpool.metrics import Metrics
from jobpool.metrics.buckets import DEFAULT_BUCKETS, buckets_of

WAIT = "jobpool_job_wait_seconds"


def bounds(metrics: Metrics) -> list[str]:
    metrics.started("p", "t", 0.5, 0.0)
    return [
        sample.labels["le"]
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == f"{WAIT}_bucket"
    ]


def test_every_histogram_has_buckets_of_its_own() -> None:
    exported = {family.name for family in Metrics.on(None).registry.collect() if family.type == "histogram"}
    assert exported == set(DEFAULT_BUCKETS)


def test_a_user_may_choose_others() -> None:
    assert bounds(Metrics.on(None, {WAIT: [1, 10.0, 60]})) == ["1.0", "10.0", "60.0", "+Inf"]


@pytest.mark.parametrize(
    "given", [[], [0, 1], [1, 1], [2, 1], [float("nan")], [float("inf")], "12", [1] * 101, None]
)
def test_what_cannot_be_used_is_refused(given: Any) -> None:
    with pytest.raises(InvalidConfiguration, match=f"the buckets of {WAIT}"):
        buckets_of({WAIT: given})


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InvalidConfiguration, match=f"'nothing'; known: .*{WAIT}"):
        buckets_of({"nothing": [1]})


def test_one_registry_has_one_choice() -> None:
    registry = CollectorRegistry()
    first = Metrics.on(registry, {WAIT: [1, 2]})
    assert Metrics.on(registry) is first
    assert Metrics.on(registry, {WAIT: (1.0, 2.0)}) is first
    with pytest.raises(InvalidConfiguration, match="other buckets"):
        Metrics.on(registry, {WAIT: [1, 3]})
