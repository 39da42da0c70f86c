"""The metrics: one object per registry, few labels, gauges of running pools."""

from __future__ import annotations

from dataclasses import replace

import pytest
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from jobpool.metrics import MAX_ERRORS, MAX_TYPES, OTHER, Metrics
from jobpool.observer import PoolGauges

GAUGES = PoolGauges(
    threads=4, busy=3, queued=7, queue_capacity=100, busy_seconds=12.5, longest_running=2.0, stuck=1
)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics.on(None)


def gauges() -> PoolGauges:
    return GAUGES


def other_gauges() -> PoolGauges:
    return replace(GAUGES, busy_seconds=1.0, longest_running=5.0)


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def labels_of(metrics: Metrics, name: str, label: str) -> set[str]:
    samples = [sample for family in metrics.registry.collect() for sample in family.samples]
    return {sample.labels[label] for sample in samples if sample.name == name}


def use_everything(metrics: Metrics) -> None:
    metrics.pool_started("p", ("t",), gauges)
    metrics.jobs_created("t", "inserted", 2)
    metrics.schedule_fired("t", "fired")
    metrics.store_operation("claim", 0.1, "timeout")
    metrics.claimed("p", "full", 5, 1, 2)
    metrics.woken("p", "poll", 1)
    metrics.fetcher_blocked("p", 0.5)
    metrics.started("p", "t", 1.0, 0.1)
    metrics.finished("t", "failed", 0.2, "ValueError")
    metrics.leases_extended("p", "extended", 3)
    metrics.leases_lost("p", "running", 1)
    metrics.released("p", 2)
    metrics.reaped("t", "requeued", 1)
    metrics.internal_error("fetcher")


def test_a_registry_has_one_object() -> None:
    registry = CollectorRegistry()
    assert Metrics.on(registry) is Metrics.on(registry)


def test_two_registries_have_two_objects() -> None:
    assert Metrics.on(CollectorRegistry()) is not Metrics.on(CollectorRegistry())


def test_no_registry_is_a_fresh_one_each_time() -> None:
    assert Metrics.on(None).registry is not Metrics.on(None).registry


def test_no_registry_leaves_the_global_one_alone(metrics: Metrics) -> None:
    use_everything(metrics)
    assert metrics.registry is not REGISTRY
    assert [family.name for family in REGISTRY.collect() if family.name.startswith("jobpool")] == []


def test_every_family_has_help_and_our_prefix(metrics: Metrics) -> None:
    families = list(metrics.registry.collect())
    assert len(families) > 20
    assert [family.name for family in families if not family.name.startswith("jobpool_")] == []
    assert [family.name for family in families if len(family.documentation) < 20] == []


def test_the_exposition_parses(metrics: Metrics) -> None:
    use_everything(metrics)
    content_type, body = metrics.exposition("")
    families = {family.name: family for family in text_string_to_metric_families(body.decode())}
    assert content_type.startswith("text/plain")
    assert {family.name for family in metrics.registry.collect()} <= {
        name.removesuffix("_info") if family.type == "gauge" else name for name, family in families.items()
    }


def test_open_metrics_are_served_to_who_asks(metrics: Metrics) -> None:
    content_type, body = metrics.exposition("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")


def test_types_beyond_the_cap_share_a_label(metrics: Metrics) -> None:
    for number in range(MAX_TYPES + 5):
        metrics.jobs_created(f"t{number}", "inserted", 1)
    labels = labels_of(metrics, "jobpool_jobs_created_total", "type")
    assert labels == {f"t{number}" for number in range(MAX_TYPES)} | {OTHER}
    assert value(metrics, "jobpool_jobs_created_total", type=OTHER, result="inserted") == 5


def test_a_type_within_the_cap_keeps_its_label(metrics: Metrics) -> None:
    for number in range(MAX_TYPES + 5):
        metrics.jobs_created(f"t{number}", "inserted", 1)
    metrics.reaped("t0", "failed", 3)
    assert value(metrics, "jobpool_jobs_reaped_total", type="t0", result="failed") == 3


def test_errors_beyond_the_cap_share_a_label(metrics: Metrics) -> None:
    for number in range(MAX_ERRORS + 3):
        metrics.finished("t", "failed", 0.1, f"E{number}")
    assert len(labels_of(metrics, "jobpool_job_errors_total", "error")) == MAX_ERRORS + 1
    assert value(metrics, "jobpool_job_errors_total", type="t", error=OTHER) == 3


def test_each_type_has_error_labels_of_its_own(metrics: Metrics) -> None:
    for number in range(MAX_ERRORS + 3):
        metrics.finished("t", "failed", 0.1, f"E{number}")
    metrics.finished("other", "failed", 0.1, "Late")
    assert value(metrics, "jobpool_job_errors_total", type="other", error="Late") == 1


def test_a_success_counts_no_error(metrics: Metrics) -> None:
    metrics.finished("t", "succeeded", 0.1, None)
    assert value(metrics, "jobpool_attempts_total", type="t", outcome="succeeded") == 1
    assert labels_of(metrics, "jobpool_job_errors_total", "error") == set()


def test_a_claim_is_counted_in_full(metrics: Metrics) -> None:
    metrics.claimed("p", "partial", 5, 2, 4)
    assert value(metrics, "jobpool_claims_total", pool="p", result="partial") == 1
    assert value(metrics, "jobpool_jobs_claimed_total", pool="p") == 5
    assert value(metrics, "jobpool_claim_batch_jobs_sum", pool="p") == 5
    assert value(metrics, "jobpool_claim_conflicts_total", pool="p") == 2
    assert value(metrics, "jobpool_claim_window_factor", pool="p") == 4


def test_a_failed_claim_is_no_poll(metrics: Metrics) -> None:
    metrics.claimed("p", "error", 0, 0, 1)
    assert value(metrics, "jobpool_fetcher_last_poll_timestamp_seconds", pool="p") is None


def test_a_missed_push_is_counted_beside_the_poll(metrics: Metrics) -> None:
    metrics.woken("p", "poll", 3)
    assert value(metrics, "jobpool_wakeups_total", pool="p", source="poll") == 1
    assert value(metrics, "jobpool_wakeups_total", pool="p", source="missed") == 3


def test_a_store_error_is_timed_and_counted(metrics: Metrics) -> None:
    metrics.store_operation("claim", 0.25, "network")
    metrics.store_operation("claim", 0.25, None)
    assert value(metrics, "jobpool_store_operation_seconds_sum", operation="claim") == 0.5
    assert value(metrics, "jobpool_store_errors_total", operation="claim", error="network") == 1


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("jobpool_claims_total", {"result": "contended"}),
        ("jobpool_wakeups_total", {"source": "missed"}),
        ("jobpool_lease_extensions_total", {"result": "lost"}),
        ("jobpool_leases_lost_total", {"stage": "finishing"}),
        ("jobpool_jobs_claimed_total", {}),
        ("jobpool_jobs_released_total", {}),
        ("jobpool_claim_conflicts_total", {}),
        ("jobpool_fetcher_blocked_seconds_total", {}),
    ],
)
def test_a_started_pool_counts_from_zero(metrics: Metrics, name: str, labels: dict[str, str]) -> None:
    assert value(metrics, name, pool="p", **labels) is None
    metrics.pool_started("p", ("t",), gauges)
    assert value(metrics, name, pool="p", **labels) == 0


def test_a_started_pool_shows_its_gauges(metrics: Metrics) -> None:
    metrics.pool_started("p", ("t",), gauges)
    assert value(metrics, "jobpool_threads", pool="p") == 4
    assert value(metrics, "jobpool_threads_busy", pool="p") == 3
    assert value(metrics, "jobpool_queue_jobs", pool="p") == 7
    assert value(metrics, "jobpool_queue_capacity_jobs", pool="p") == 100
    assert value(metrics, "jobpool_longest_running_job_seconds", pool="p") == 2
    assert value(metrics, "jobpool_threads_busy_seconds_total", pool="p") == 12.5


def test_pools_of_one_name_add_up(metrics: Metrics) -> None:
    metrics.pool_started("p", ("t",), gauges)
    metrics.pool_started("p", ("t",), other_gauges)
    assert value(metrics, "jobpool_threads", pool="p") == 8
    assert value(metrics, "jobpool_threads_busy_seconds_total", pool="p") == 13.5


def test_the_longest_running_job_is_the_longest_of_all_pools(metrics: Metrics) -> None:
    metrics.pool_started("p", ("t",), gauges)
    metrics.pool_started("p", ("t",), other_gauges)
    assert value(metrics, "jobpool_longest_running_job_seconds", pool="p") == 5


def test_pools_of_two_names_are_apart(metrics: Metrics) -> None:
    metrics.pool_started("p", ("t",), gauges)
    metrics.pool_started("q", ("t",), other_gauges)
    assert value(metrics, "jobpool_threads", pool="p") == 4
    assert value(metrics, "jobpool_threads_busy_seconds_total", pool="q") == 1


def test_a_stopped_pool_shows_zeros(metrics: Metrics) -> None:
    metrics.pool_started("p", ("t",), gauges)
    metrics.pool_stopped("p", gauges)
    for name in ("jobpool_threads", "jobpool_queue_jobs", "jobpool_longest_running_job_seconds"):
        assert value(metrics, name, pool="p") == 0


def test_a_stopped_pool_leaves_the_others(metrics: Metrics) -> None:
    metrics.pool_started("p", ("t",), gauges)
    metrics.pool_started("p", ("t",), other_gauges)
    metrics.pool_stopped("p", gauges)
    assert value(metrics, "jobpool_threads", pool="p") == 4
    assert value(metrics, "jobpool_longest_running_job_seconds", pool="p") == 5


def test_the_busy_seconds_do_not_fall_at_a_stop(metrics: Metrics) -> None:
    metrics.pool_started("p", ("t",), gauges)
    metrics.pool_stopped("p", gauges)
    assert value(metrics, "jobpool_threads_busy_seconds_total", pool="p") == 12.5


def test_the_busy_seconds_go_on_after_a_restart(metrics: Metrics) -> None:
    metrics.pool_started("p", ("t",), gauges)
    metrics.pool_stopped("p", gauges)
    metrics.pool_started("p", ("t",), other_gauges)
    assert value(metrics, "jobpool_threads_busy_seconds_total", pool="p") == 13.5


def test_a_repeated_stop_counts_once(metrics: Metrics) -> None:
    metrics.pool_started("p", ("t",), gauges)
    metrics.pool_stopped("p", gauges)
    metrics.pool_stopped("p", gauges)
    assert value(metrics, "jobpool_threads_busy_seconds_total", pool="p") == 12.5


def test_the_first_failure_of_a_known_type_is_a_rise() -> None:
    """What begins with 1 is no increase to Prometheus."""
    metrics = Metrics.on(None)
    metrics.pool_started("p", ("t",), gauges)
    for outcome in ("succeeded", "retried", "failed", "lost"):
        assert metrics.registry.get_sample_value("jobpool_attempts_total", {"type": "t", "outcome": outcome}) == 0
    assert metrics.registry.get_sample_value("jobpool_jobs_reaped_total", {"type": "t", "result": "failed"}) == 0
