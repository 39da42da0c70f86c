"""The picture of `contention`."""

from __future__ import annotations

from math import nan
from typing import TYPE_CHECKING

from . import plots
from .results import Measure, Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: The batch of the lines, or the nearest that was measured.
BATCH = 100
#: What the lines show, the factor and the unit of each.
LINES = {
    "steady rate": (1.0, "jobs/s"),
    "steady conflicts": (100.0, "% of candidates"),
    "disorder": (1.0, "0 ideal, 1 reversed"),
    "fairness": (1.0, "least / most served"),
}


def draw_all(results: Results, figure: Figure) -> None:
    """Draw the matrix as a heat map and as lines, and what a noisy neighbour does."""
    heat, rate, conflicts, disorder, fairness, noise = figure.subplots(2, 3).flat
    _heat(heat, results)
    for axes, name in zip((rate, conflicts, disorder, fairness), LINES, strict=True):
        _lines(axes, results, name)
    _noise(noise, results)


def _heat(axes: Axes, results: Results) -> None:
    """Draw the rate of every cell: a block of rows per strategy, a row per batch."""
    cells = results.find("steady rate")
    rows = list(dict.fromkeys((str(item.labels["strategy"]), int(item.labels["batch"])) for item in cells))
    rows.sort(key=lambda row: (row[0] != "single", row))
    pools = sorted({int(item.labels["pools"]) for item in cells})
    rates = {tuple(item.labels[name] for name in ("strategy", "batch", "pools")): item.median for item in cells}
    table = [[rates.get((strategy, batch, number), nan) for number in pools] for strategy, batch in rows]
    plots.heat(axes, table, [f"{strategy} {batch}" for strategy, batch in rows], [str(one) for one in pools])
    axes.set_title("jobs claimed per second", fontsize=10)
    axes.set_xlabel("pools")
    axes.set_ylabel("strategy and batch")


def _lines(axes: Axes, results: Results, name: str) -> None:
    scale, unit = LINES[name]
    for strategy in dict.fromkeys(str(item.labels["strategy"]) for item in results.find(name)):
        measures = results.find(name, strategy=strategy)
        nearest = min((int(item.labels["batch"]) for item in measures), key=lambda batch: abs(batch - BATCH))
        plots.line(
            axes,
            results.find(name, strategy=strategy, batch=nearest),
            "pools",
            label=f"{strategy} {nearest}",
            scale=scale,
        )
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    plots.finish(axes, name, unit)


def _noise(axes: Axes, results: Results) -> None:
    measures: list[Measure] = results.find("rate beside a neighbour")
    names = [f"{item.labels['strategy']},\n{item.labels['neighbour']}" for item in measures]
    plots.bars(axes, measures, names)
    plots.finish(axes, "each of 7 pools beside an 8th", "jobs/s")
