"""The figures of `latency`, and their picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import plots
from .counters import percentiles
from .probes import PARTS, Probes
from .results import Measure, Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

P50, P95, P99 = "p50", "p95", "p99"
#: At most so many times the durable round trips is the way of an idle job meant to take.
BARS = {P50: 1.5, P99: 4.0}
STYLES = {P50: "--", P99: ":"}


class Figures:
    """Collects figures repetition by repetition."""

    def __init__(self, results: Results) -> None:
        self._results = results
        self._known: dict[tuple[object, ...], Measure] = {}
        self._ratios: dict[tuple[object, ...], list[float]] = {}

    def add(self, name: str, value: float, unit: str, better: str = "", **labels: str | int) -> None:
        """Add the value of this repetition."""
        key = (name, *labels.items())
        if key not in self._known:
            self._known[key] = self._results.measure(name, [], unit, better, **labels)
        self._known[key].values.append(value)

    def percentiles(self, name: str, seconds: list[float], better: str = "", **labels: str | int) -> None:
        """Add p50, p95 and p99 of this repetition."""
        for p, value in percentiles(seconds).items():
            self.add(name, value, "s", better, **labels, p=p)

    def ratio(self, name: str, value: float, bar: float, **labels: str | int) -> None:
        """Add the ratio of this repetition; less is better."""
        key = (name, *labels.items())
        if key not in self._ratios:
            self._ratios[key] = self._results.ratio(name, [], better="lower", bar=bar, **labels).values
        self._ratios[key].append(value)

    def ways(self, probes: Probes, numbers: list[int], load: int, way: str) -> None:
        """Add how long these probes took, and the parts of it."""
        better = "" if load else "lower"
        self.percentiles("create to start", probes.totals(numbers), better, load=load, way=way)
        for part, seconds in probes.parts(numbers).items():
            self.percentiles("part", seconds, load=load, way=way, part=part)


def draw(results: Results, figure: Figure) -> None:
    """Draw the idle pool against its round trips, the parts, and the waits by load."""
    first, second, third, fourth = figure.subplots(2, 2).flat
    fourth.sharey(third)
    _draw_idle(first, results)
    _draw_parts(second, results)
    for axes, way in ((third, "push"), (fourth, "no push")):
        for p in (P50, P95, P99):
            plots.line(axes, results.find("create to start", way=way, p=p), "load", label=p, scale=1000)
        plots.finish(axes, f"create to start by load, {way}", "ms", log=True)
        axes.set_xlabel("% of the capacity; 0 is idle")
        axes.yaxis.set_major_formatter("{x:g}")


def _draw_idle(axes: Axes, results: Results) -> None:
    """Draw the percentiles beside what the durable round trips take, and the bars of both."""
    bars = [item for way in ("local", "push") for item in results.find("create to start", load=0, way=way)]
    plots.bars(axes, bars, [f"{item.labels['way']} {item.labels['p']}" for item in bars], scale=1000)
    for floor in results.find("durable round trips of a job"):
        label = f"durable trips: {floor.labels['trips']}"
        axes.axhline(floor.median * 1000, color="tab:green", label=label)
        for p, times in BARS.items():
            label = f"{times:g} of them, the bar of {p}"
            axes.axhline(floor.median * 1000 * times, color="tab:orange", linestyle=STYLES[p], label=label)
    plots.finish(axes, "create to start, idle", "ms")
    axes.set_ylim(top=axes.get_ylim()[1] * 1.3)  # room for the legend


def _draw_parts(axes: Axes, results: Results) -> None:
    """Draw the medians of the parts on top of one another."""
    loads = sorted({int(item.labels["load"]) for item in results.find("part", way="push")})
    bars = [(0, "local"), *((load, "push") for load in loads)]

    names = [f"{f'{load} %' if load else 'idle'}, {way}" for load, way in bars]
    bottom = [0.0] * len(bars)
    for part in PARTS:
        heights = [
            results.find("part", load=load, way=way, part=part, p=P50)[0].median * 1000 for load, way in bars
        ]
        axes.bar(names, heights, bottom=bottom, label=part)
        bottom = [below + height for below, height in zip(bottom, heights, strict=True)]
    axes.tick_params(axis="x", labelrotation=20)
    plots.finish(axes, "the parts, p50 of each", "ms")
