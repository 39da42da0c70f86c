"""Two runs of one benchmark, figure by figure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .results import Figure, Measure, Ratio, Results

#: What makes times and rates of two runs incomparable.
DECISIVE = ("MongoDB", "topology", "cores", "write concern")


@dataclass(frozen=True)
class Change:
    """A figure in two runs.

    Attributes:
        title: Name and labels.
        before: Its median in the first run.
        after: Its median in the second one.
        better: ``higher`` or ``lower``.
    """

    title: str
    before: float
    after: float
    better: str

    @property
    def ratio(self) -> float:
        """After over before."""
        if not self.before:
            return 1.0 if not self.after else float("inf")
        return self.after / self.before

    def worse(self, tolerance: float) -> bool:
        """Whether it got worse by more than that share."""
        return self.ratio < 1 - tolerance if self.better == "higher" else self.ratio > 1 + tolerance


def changes(before: Results, after: Results) -> list[Change]:
    """Return what both runs have and of which more or less is better."""
    newer = {item.key: item for item in _judged(after)}
    pairs = [(item, newer[item.key]) for item in _judged(before) if item.key in newer]
    return [Change(old.title, old.median, new.median, new.better) for old, new in pairs]


def _judged(results: Results) -> Iterator[Measure | Ratio]:
    figures: list[Measure | Ratio] = [*results.measures, *results.ratios]
    yield from (item for item in figures if item.better)


def missing(before: Results, after: Results) -> list[str]:
    """Return the titles of what only one of the runs has, in alphabetical order."""
    old: dict[object, Figure] = {item.key: item for item in _judged(before)}
    new: dict[object, Figure] = {item.key: item for item in _judged(after)}
    return sorted((old.get(key) or new[key]).title for key in old.keys() ^ new.keys())


def differences(before: Results, after: Results) -> list[str]:
    """Return why the runs cannot be compared as they stand."""
    found = [
        f"{name}: {before.setting.get(name)} before, {after.setting.get(name)} after"
        for name in DECISIVE
        if before.setting.get(name) != after.setting.get(name)
    ]
    if before.quick or after.quick:
        found.append("a quick run says nothing about speed")
    return found
