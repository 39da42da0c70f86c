"""The vocabulary of events."""

from __future__ import annotations

import inspect

from jobpool.metrics import Metrics
from jobpool.observer import Observer

EVENTS = [name for name, _ in inspect.getmembers(Observer, inspect.isfunction) if not name.startswith("_")]


def test_the_metrics_count_every_event() -> None:
    assert EVENTS
    assert [name for name in EVENTS if name not in vars(Metrics)] == []


def test_the_metrics_take_what_the_observer_is_told() -> None:
    for name in EVENTS:
        assert inspect.signature(getattr(Metrics, name)) == inspect.signature(getattr(Observer, name))
