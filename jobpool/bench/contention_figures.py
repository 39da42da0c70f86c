"""What the claims of several pools were like: how even, how orderly, how much in vain. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .counters import percentiles


@dataclass(frozen=True, slots=True)
class Call:
    """One claim call.

    Attributes:
        ended_at: On the monotonic clock, which the processes of a machine share.
        seconds: How long it took.
        tried: Candidates it tried to take.
        won: How many it got.
    """

    ended_at: float
    seconds: float
    tried: int
    won: int


def disorder(order: Sequence[int]) -> float:
    """Return how far from the ideal order jobs were claimed: 0 is that order, 1 its reverse, 2/3 a shuffled one.

    Spearman's footrule, the sum of all distances between the place of a job
    and its ideal one, over its largest possible value, n^2 / 2 rounded down
    (Diaconis and Graham, "Spearman's Footrule as a Measure of Disarray", 1977).

    Args:
        order: The ideal places of the jobs, from 0, in the order in which they were claimed.
    """
    largest = len(order) ** 2 // 2
    return sum(displacements(order)) / largest if largest else 0.0


def displacements(order: Sequence[int]) -> list[int]:
    """Return how many places each job was claimed too early or too late."""
    return [abs(place - ideal) for place, ideal in enumerate(order)]


def fairness(served: Sequence[int]) -> float:
    """Return the jobs of the least served pool over those of the most served: 1 is even, 0 one without any."""
    return min(served) / max(served) if any(served) else 0.0


def conflict_share(calls: Sequence[Call]) -> float:
    """Return the share of the candidates tried that others got first."""
    tried = sum(call.tried for call in calls)
    return (tried - sum(call.won for call in calls)) / tried if tried else 0.0


def shares(calls: Sequence[Call]) -> dict[str, float]:
    """Return what went in vain, as shares: of the candidates, and of the calls."""
    fruitless = [call for call in calls if not call.won]
    contended = sum(call.tried > 0 for call in fruitless)
    return {
        "conflicts": conflict_share(calls),
        "contended calls": contended / len(calls),
        "empty calls": (len(fruitless) - contended) / len(calls),
    }


def steady(calls: Sequence[Call], jobs: int) -> dict[str, float]:
    """Return rate and conflicts while the middle half of `jobs` was claimed.

    Neither the start, when strategies have learned nothing yet, nor the end,
    when all must want the same few jobs, is in it.
    """
    within, won = [], 0
    for call in sorted(calls, key=lambda call: call.ended_at):
        won += call.won
        if won >= jobs / 4:
            within.append(call)
        if won >= jobs * 3 / 4:
            break
    later = within[1:]  # the first one ends where the middle begins
    seconds = within[-1].ended_at - within[0].ended_at
    rate = sum(call.won for call in later) / seconds if seconds else 0.0
    return {"steady rate": rate, "steady conflicts": conflict_share(later)}


def latency(calls: Sequence[Call]) -> dict[str, float]:
    """Return the percentiles of the time of the calls that won something."""
    return percentiles([call.seconds for call in calls if call.won])
