"""The settings of a pool."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError, asdict
from typing import Any

import pytest

from jobpool.config import PoolConfig, PoolOptions, config_of
from jobpool.errors import InvalidConfiguration


def test_the_defaults_are_pinned() -> None:
    assert asdict(PoolConfig()) == {
        "name": "default",
        "threads": 16,
        "queue_size": 1000,
        "batch_size": 500,
        "strategy": "window",
        "lease": 30.0,
        "heartbeat": None,
        "reap_interval": None,
        "poll_interval": 1.0,
        "stop_timeout": 30.0,
        "longest_run": None,
        "stuck_after": None,
        "max_stuck": None,
        "push": True,
        "backlog_interval": 15.0,
    }


def test_the_heartbeat_comes_three_times_per_lease() -> None:
    assert (PoolConfig().heartbeat_interval, PoolConfig(lease=60).heartbeat_interval) == (10, 20)


def test_the_reaper_looks_twice_per_lease() -> None:
    assert (PoolConfig().reap_every, PoolConfig(lease=60).reap_every) == (15, 30)


def test_the_intervals_can_be_given() -> None:
    config = PoolConfig(heartbeat=5, reap_interval=7)
    assert (config.heartbeat_interval, config.reap_every) == (5, 7)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("threads", (0, 1001, True, 1.5, "4", None)),
        ("queue_size", (0, 100_001, False, None)),
        ("batch_size", (0, 10_001, 1.0)),
        ("lease", (0.9, 86401, math.nan, math.inf, "30", None, True)),
        ("heartbeat", (0, 0.04, -1, math.nan, "1")),
        ("reap_interval", (0, 0.04, 86401, math.inf)),
        ("poll_interval", (0, 0.009, 3601, None)),
        ("stop_timeout", (-1, 86401, math.nan, None)),
        ("longest_run", (0, 0.09, -1, math.nan, math.inf, "60", True)),
        ("stuck_after", (0, 0.09, -1, math.nan, math.inf, 365 * 86400 + 1, "60", True)),
        ("push", (None, 1, "yes")),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(name: str, values: tuple[Any, ...]) -> None:
    for value in values:
        with pytest.raises(InvalidConfiguration, match=f"^{name} must be "):
            PoolConfig(**{name: value})


@pytest.mark.parametrize(
    "setting",
    [
        {"threads": 1},
        {"threads": 1000},
        {"queue_size": 1},
        {"queue_size": 100_000},
        {"batch_size": 1},
        {"batch_size": 10_000},
        {"lease": 1},
        {"lease": 86400},
        {"heartbeat": 0.05},
        {"poll_interval": 0.01},
        {"poll_interval": 3600},
        {"stop_timeout": 0},
        {"longest_run": 0.1},
        {"longest_run": 365 * 86400},
        {"stuck_after": 0.1},
        {"stuck_after": 365 * 86400},
        {"push": False},
    ],
    ids=repr,
)
def test_a_value_at_its_bound_is_accepted(setting: dict[str, Any]) -> None:
    assert asdict(PoolConfig(**setting)) == asdict(PoolConfig()) | setting


@pytest.mark.parametrize("name", ["", "x" * 129, "a\nb", None, 5])
def test_a_name_is_checked(name: Any) -> None:
    with pytest.raises(InvalidConfiguration, match=r"^pool name must "):
        PoolConfig(name=name)


def test_two_heartbeats_fit_in_a_lease() -> None:
    assert PoolConfig(lease=10, heartbeat=5).heartbeat_interval == 5


def test_a_heartbeat_over_half_the_lease_is_refused() -> None:
    with pytest.raises(InvalidConfiguration, match=r"heartbeat \(5.1 s\) must be at most half the lease \(10 s\)"):
        PoolConfig(lease=10, heartbeat=5.1)


def test_settings_do_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        PoolConfig().threads = 2  # type: ignore[misc]


def test_the_keyword_arguments_are_those_of_the_configuration() -> None:
    assert list(PoolOptions.__annotations__) == list(PoolConfig.__dataclass_fields__)


def test_none_means_the_default() -> None:
    assert config_of(dict.fromkeys(PoolOptions.__annotations__)) == PoolConfig()


def test_an_unknown_option_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InvalidConfiguration, match=r"theads; known: name, threads"):
        config_of({"theads": 3})
