"""Pauses, limits and sizes in words, and what helps against a count that takes too long."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from jobpool.backlog import TypeLimits
from jobpool.cli.terminal import facts
from jobpool.cli.terminal.counting import counting
from jobpool.errors import StoreUnavailable
from jobpool.limits import Limit
from jobpool.pauses import Pause, Paused

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (1540, "1.5 kB"),
        (99_400, "99 kB"),
        (388_000_000, "388 MB"),
        (999_600, "1 MB"),
        (5e15, "5000 TB"),
    ],
    ids=str,
)
def test_bytes_have_a_unit(number: float, text: str) -> None:
    assert facts.size(number) == text


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        (None, "-"),
        (TypeLimits(), "-"),
        (TypeLimits(keyed=True), "keys take turns"),
        (TypeLimits(limit=Limit(running=5, rate=10)), "5 at once, 10 per 1s"),
        (TypeLimits(limit=Limit(rate=0.5, per=60), key_limit=Limit(running=1)), "0.5 per 1m; each key 1 at once"),
    ],
    ids=["none", "empty", "keys", "both", "each key"],
)
def test_limits_are_told_in_words(limits: TypeLimits | None, text: str) -> None:
    assert facts.limits(limits) == text


def test_what_is_paused_begins_with_everything() -> None:
    before = NOW - timedelta(minutes=5)
    paused = Paused(Pause(NOW), {"b": Pause(before, "why"), "a": Pause(before)})
    later = Paused(types={"a": Pause(NOW + timedelta(seconds=2))})
    assert facts.paused_rows(later, NOW) == [("a", "0s ago", "-")]  # clocks differ
    assert facts.paused_rows(paused, NOW) == [
        ("every type", "0s ago", "-"),
        ("a", "5m ago", "-"),
        ("b", "5m ago", "why"),
    ]


@pytest.mark.parametrize(("seconds", "text"), [(None, "-"), (0.0001, "<1ms"), (0.25, "0.25s"), (90.0, "1m 30s")])
def test_run_times_are_short(seconds: float | None, text: str) -> None:
    assert facts.mean(seconds) == text


@pytest.mark.parametrize(("kind", "hint"), [("timeout", "; where millions of jobs wait"), ("network", "")])
def test_who_counts_for_too_long_is_told_how_to_have_more_time(kind: str, hint: str) -> None:
    error = StoreUnavailable("counting the backlog")
    error.kind = kind
    with pytest.raises(StoreUnavailable, match=f"^counting the backlog{hint}") as raised, counting():
        raise error
    assert ("--timeout" in str(raised.value)) is bool(hint)
