"""What a benchmark found: measures, ratios between them, and what they depend on. Pure; kept as JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

#: Of the JSON; raised when a reader of older files would misunderstand newer ones.
FORMAT = 1
Labels = Mapping[str, str | int | float]


@dataclass(frozen=True)
class Figure:
    """Something that was measured once per repetition.

    Attributes:
        name: What it is.
        labels: Under which settings.
        values: One per repetition, in their order.
    """

    name: str
    labels: Labels
    values: list[float]

    @property
    def median(self) -> float:
        """The middle of the repetitions."""
        return median(self.values)

    @property
    def key(self) -> tuple[str, tuple[tuple[str, str], ...]]:
        """What it has in common with the same figure of another run."""
        return self.name, tuple(sorted((name, str(value)) for name, value in self.labels.items()))

    @property
    def title(self) -> str:
        """The name with the labels."""
        return " ".join([self.name, *(f"{name}={value}" for name, value in self.labels.items())])


@dataclass(frozen=True)
class Measure(Figure):
    """A figure with a unit. It depends on the machine.

    Attributes:
        unit: ``jobs/s``, ``s``, ``commands/job`` and the like.
        better: ``higher``, ``lower``, or empty where neither is: `compare` leaves it alone.
    """

    unit: str
    better: str = ""


@dataclass(frozen=True)
class Ratio(Figure):
    """Two measures of the same repetition, one over the other: it depends little on the machine.

    Attributes:
        better: ``higher`` or ``lower``.
        bar: What jobpool is meant to reach; None if nothing is.
    """

    better: str = "higher"
    bar: float | None = None

    @property
    def reached(self) -> bool | None:
        """Whether the median reaches the bar; None without one."""
        if self.bar is None:
            return None
        return self.median >= self.bar if self.better == "higher" else self.median <= self.bar


@dataclass
class Results:
    """All that one run of a benchmark found.

    Attributes:
        benchmark: Its name.
        quick: Whether it only showed that it runs.
        setting: What the figures depend on: server, machine, versions.
        settings: What was asked for: jobs, threads and so on.
        executed: How many jobs were proved to be right.
        proved: What was proved of each of them.
        notes: What a reader must know of this run.
    """

    benchmark: str
    quick: bool
    setting: dict[str, Any]
    settings: dict[str, Any] = field(default_factory=dict)
    measures: list[Measure] = field(default_factory=list)
    ratios: list[Ratio] = field(default_factory=list)
    executed: int = 0
    proved: str = "ran exactly once"
    notes: list[str] = field(default_factory=list)

    def measure(
        self, name: str, values: Iterable[float], unit: str, better: str = "", **labels: str | int | float
    ) -> Measure:
        """Add a measure and return it."""
        made = Measure(name, labels, list(values), unit, better)
        self.measures.append(made)
        return made

    def ratio(
        self,
        name: str,
        values: Iterable[float],
        *,
        better: str = "higher",
        bar: float | None = None,
        **labels: str | int | float,
    ) -> Ratio:
        """Add a ratio and return it."""
        made = Ratio(name, labels, list(values), better, bar)
        self.ratios.append(made)
        return made

    def find(self, name: str, **labels: str | int | float) -> list[Measure]:
        """Return the measures of that name which have these labels at least."""
        wanted = labels.items()
        return [item for item in self.measures if item.name == name and wanted <= dict(item.labels).items()]

    def save(self, path: Path) -> None:
        """Write everything as JSON."""
        with whole(path) as beside:
            beside.write_text(json.dumps({"format": FORMAT, **asdict(self)}, indent=1) + "\n", encoding="utf-8")


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Give a path to write to, which becomes `path` at the end: nobody ever finds half a file there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield beside
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def load(path: Path) -> Results:
    """Read what `Results.save` wrote.

    Raises:
        ValueError: The file is something else.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found.pop("format") != FORMAT:
            raise ValueError("written by another version")
        measures = [Measure(**item) for item in found.pop("measures")]
        ratios = [Ratio(**item) for item in found.pop("ratios")]
        for figure in (*measures, *ratios):
            median([float(value) for value in figure.values])
        return Results(measures=measures, ratios=ratios, **found)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{path} does not hold the results of a benchmark: {error}") from error


def paired(over: Measure, under: Measure) -> list[float]:
    """Return the ratios of two measures, repetition by repetition."""
    return [one / other for one, other in zip(over.values, under.values, strict=True)]
