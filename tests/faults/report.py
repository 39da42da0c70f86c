"""What every fault test must say: that its fault struck, and its figure."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from .catalogue import CATALOGUE

ROOT = Path(__file__).parents[2]
#: Where the reports are kept, a line for each run of a test; the newest counts.
FIGURES = Path(os.environ.get("JOBPOOL_FAULTS", ROOT / ".faults")) / "figures.jsonl"

_T = TypeVar("_T")


class FaultReport:
    """The report of one test. A test whose fault did not strike is broken, not passed.

    Attributes:
        number: The fault in the catalogue.
        full: Whether the full lengths were asked for.
    """

    def __init__(self, number: str, test: str, full: bool) -> None:
        assert number in CATALOGUE, f"{number} is not in the catalogue"
        self.number = number
        self.full = full
        self._test = test
        self._struck: list[str] = []
        self._figures: list[tuple[str, str]] = []

    def length(self, short: _T, full: _T) -> _T:
        """Return how much of it is done in this run."""
        return full if self.full else short

    def struck(self, evidence: object, what: str) -> None:
        """Prove that the fault struck: `evidence` must be true (a count above 0, say) and `what` names it."""
        assert evidence, f"{self.number} is broken: {what}: {evidence!r}"
        self._struck.append(f"{what}: {evidence}" if not isinstance(evidence, bool) else what)

    def figure(self, name: str, value: object) -> None:
        """Say a measured figure; it is printed and kept for the report."""
        text = f"{value:.3g}" if isinstance(value, float) else str(value)
        self._figures.append((name, text))
        print(f"{self.number} {name}: {text}")

    def close(self) -> None:
        """Keep the figures; fail if there is no proof or no figure."""
        assert self._struck, f"{self.number} is broken: nothing proves that the fault struck"
        assert self._figures, f"{self.number} says no figure"
        FIGURES.parent.mkdir(parents=True, exist_ok=True)
        line = {
            "fault": self.number,
            "test": self._test,
            "full": self.full,
            "figures": self._figures,
            "struck": self._struck,
        }
        with FIGURES.open("a") as file:
            file.write(json.dumps(line) + "\n")


def latest(lines: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
    """Return the newest report of each test, by fault."""
    reports = {report["test"]: report for report in map(json.loads, lines)}
    by_fault: dict[str, list[dict[str, Any]]] = {}
    for _, report in sorted(reports.items()):
        by_fault.setdefault(report["fault"], []).append(report)
    return by_fault


def table(lines: Iterable[str]) -> str:
    """Return the table of figures that README shows: a row a fault, in the order of the catalogue."""
    by_fault = latest(lines)
    rows = ["| | fault | measured |", "|---|---|---|"]
    for number, (_, title) in CATALOGUE.items():
        figures = [f"{name} {value}" for report in by_fault.get(number, ()) for name, value in report["figures"]]
        if figures:
            rows.append(f"| {number} | {title} | {'; '.join(figures)} |")
    return "\n".join(rows)


def quantile(values: Iterable[float], fraction: float) -> float:
    """Return the value that `fraction` of `values` do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(fraction * len(ordered)))]
