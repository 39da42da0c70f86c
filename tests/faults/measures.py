"""Figures read from the histories of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import timedelta
from itertools import pairwise

from jobpool.schedules import schedule_in

from .change_judge import HELD
from .history import Event
from .oplog import Change


def reaped(changes: Iterable[Change]) -> list[Change]:
    """Return the changes by which a job was taken from a holder whose lease was over."""
    return [
        change
        for change in changes
        if change.before is not None
        and change.after is not None
        and change.before["state"] in HELD
        and change.after.get("claim") != change.before.get("claim")
        and change.before["lease_until"] <= change.at
    ]


def past_lease(change: Change) -> float:
    """Return how long after the end of its lease a job was taken back, in seconds."""
    assert change.before is not None
    late: timedelta = change.at - change.before["lease_until"]
    return late.total_seconds()


def executions(events: Iterable[Event]) -> int:
    """Return how often executors were entered."""
    return sum(event.name == "entered" for event in events)


def longest_gap(events: Iterable[Event], name: str) -> float:
    """Return the longest time between two events of that name, in seconds."""
    instants = [event.at for event in events if event.name == name]
    return max((second - first for first, second in pairwise(instants)), default=0.0)


def refused(events: Iterable[Event]) -> int:
    """Return how many writes of holders were refused because their claims were lost."""
    return sum(len(event.fields.get("lost", ())) for event in events)


def outcomes(events: Iterable[Event]) -> Counter[str]:
    """Return how many outcomes of each name were acknowledged."""
    return Counter(name for event in events if event.name == "finish-ok" for name in event.fields["outcomes"])


def cancels(events: Iterable[Event]) -> dict[str, int]:
    """Return how many cancels were acknowledged, by the state of the job then."""
    return dict(Counter(event.fields["state"] for event in events if event.name == "cancel-ok"))


def fired(changes: Iterable[Change]) -> int:
    """Return how many jobs schedules have made."""
    return sum(change.before is None and schedule_in(change.id) is not None for change in changes)


def operated(events: Iterable[Event]) -> dict[str, int]:
    """Return how often operators asked for what."""
    return dict(Counter(event.fields["operation"] for event in events if event.name == "operate"))
