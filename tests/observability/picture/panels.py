"""How the kinds of panels are drawn."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.ticker import FuncFormatter, MaxNLocator

from .canvas import EDGE, FAINT, GRID, NAMED, PALETTE, TEXT, Box, Canvas
from .units import text_of

Panel = dict[str, Any]
Recording = dict[str, Any]
#: Lines of a legend; the largest series are named, the others counted.
LEGEND = 4
_LABEL = re.compile(r"\{\{\s*(\w+)\s*\}\}")


def draw(canvas: Canvas, panel: Panel, recording: Recording) -> None:
    """Draw a panel where the dashboard has it."""
    box = canvas.place(panel["gridPos"])
    answers = recording["panels"][str(panel["id"])]
    KINDS[panel["type"]](canvas, box, panel, answers, recording)


class Curve:
    """A series with its name, on the times of the recording."""

    def __init__(self, name: str, times: list[float], values: list[float]) -> None:
        self.name = name
        self.times = np.array(times)
        self.values = np.array(values)

    @property
    def last(self) -> float:
        """The newest value."""
        return float(self.values[-1])

    @property
    def highest(self) -> float:
        """The largest value."""
        return float(np.nanmax(self.values))


def curves_of(panel: Panel, answers: list[Any]) -> list[Curve]:
    """Return the series of all targets."""
    found = []
    for target, answer in zip(panel["targets"], answers, strict=True):
        for series in answer:
            name = _named(target["legendFormat"], series["metric"])
            values = [float(value) for _, value in series["values"]]
            found.append(Curve(name, [time for time, _ in series["values"]], values))
    return found


def _named(legend: str, labels: dict[str, str]) -> str:
    return _LABEL.sub(lambda label: labels.get(label[1], ""), legend).strip()


def _timeseries(canvas: Canvas, box: Box, panel: Panel, answers: list[Any], recording: Recording) -> None:
    canvas.frame(box)
    canvas.title(box, panel["title"])
    curves = sorted(curves_of(panel, answers), key=lambda curve: -curve.highest)
    unit = panel["fieldConfig"]["defaults"]["unit"]
    lines = min(len(curves), LEGEND)
    axes = canvas.axes(box.inside(58, 32, 12, 34 + 17 * lines))
    _dress(axes, unit, recording)
    stacked = panel["fieldConfig"]["defaults"]["custom"]["stacking"]["mode"] == "normal"
    ground = np.zeros(0)
    times = max((curve.times for curve in curves), key=len, default=ground)  # of the curve without gaps
    for number, curve in enumerate(curves):
        colour = PALETTE[number % len(PALETTE)]
        if stacked:
            ground = _stack(axes, curve, ground, colour, times)
        else:
            axes.plot(curve.times, curve.values, color=colour, linewidth=1.1, solid_joinstyle="round")
            axes.fill_between(curve.times, curve.values, color=colour, alpha=0.06, linewidth=0)
    top = _top(panel, curves, ground)
    axes.set_ylim(0, top)  # what a mapping has a word for leaves the panel at its top
    _limits(axes, panel, top)
    _legend(canvas, box, panel, curves, unit)


def _stack(axes: Any, curve: Curve, ground: Any, colour: str, times: Any) -> Any:
    values = np.interp(times, curve.times, curve.values, left=0, right=0)
    below = ground if len(ground) else np.zeros(len(times))
    axes.fill_between(times, below, below + values, color=colour, alpha=0.3, linewidth=0)
    axes.plot(times, below + values, color=colour, linewidth=1.0)
    return below + values


def _top(panel: Panel, curves: list[Curve], ground: Any) -> float:
    bound = min((mapping["options"]["from"] for mapping in _mappings(panel)), default=math.inf)
    values = [ground, *(curve.values[curve.values < bound] for curve in curves)]
    highest = float(np.max(np.concatenate(values), initial=0))
    return highest * 1.08 if highest > 0 else 1.0


def _mappings(panel: Panel) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = panel["fieldConfig"]["defaults"].get("mappings", [])
    return found


def _dress(axes: Any, unit: str, recording: Recording) -> None:
    start, end = recording["start"], recording["end"]
    axes.set_xlim(start, end)
    axes.grid(color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(colors=FAINT, labelsize=10 * 0.72, length=0, pad=4)
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: text_of(value, unit)))
    step = next(step for step in (10, 15, 20, 30, 60, 120, 300) if (end - start) / step <= 5)
    axes.set_xticks(np.arange(start, end, step))
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda at, _: f"{int(at - start) // 60}:{int(at - start) % 60:02}")
    )
    for at, _ in recording["mishaps"]:
        axes.axvline(at, color="#5794f2", linewidth=0.8, linestyle=(0, (3, 3)), alpha=0.8)


def _limits(axes: Any, panel: Panel, top: float) -> None:
    """Draw the limits that the curves come near to, as Grafana does."""
    if panel["fieldConfig"]["defaults"]["custom"]["thresholdsStyle"]["mode"] != "line":
        return
    for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]:
        if step["value"] is not None and step["value"] < top:
            axes.axhline(step["value"], color=NAMED[step["color"]], linewidth=1)


def _legend(canvas: Canvas, box: Box, panel: Panel, curves: list[Curve], unit: str) -> None:
    mappings = _mappings(panel)
    shown = curves if len(curves) <= LEGEND else curves[: LEGEND - 1]
    y = box.y + box.h - 17 * min(len(curves), LEGEND) - 3
    last, most = box.x + box.w - (110 if box.w > 400 else 78), box.x + box.w - 10
    for x, name in ((last, "Last"), (most, "Max")) if curves else ():
        canvas.text(x, y - 7, name, 10, FAINT, ha="right")
    for number, curve in enumerate(shown):
        line = y + 17 * number + 8
        canvas.text(box.x + 12, line - 1, "▬", 9, PALETTE[number % len(PALETTE)])
        canvas.text(box.x + 28, line, _cut(curve.name, box.w - 190), 10.5)
        canvas.text(last, line, text_of(curve.last, unit, mappings), 10.5, ha="right")
        canvas.text(most, line, text_of(curve.highest, unit, mappings), 10.5, ha="right")
    if len(shown) < len(curves):
        canvas.text(box.x + 28, y + 17 * (LEGEND - 1) + 8, f"and {len(curves) - len(shown)} more", 10.5, FAINT)
    if not curves:
        canvas.text(box.x + box.w / 2, box.y + box.h / 2, "No data", 13, FAINT, ha="center")


def _cut(text: str, pixels: float) -> str:
    most = int(pixels / 6)
    return text if len(text) <= most else text[: most - 1] + "…"


def _stat(canvas: Canvas, box: Box, panel: Panel, answers: list[Any], recording: Recording) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    curves = curves_of(panel, answers)
    coloured = panel["options"]["colorMode"] == "background"
    colour = _colour(defaults, curves[0].last) if curves else EDGE
    canvas.frame(box, colour if coloured else "#181b1f")
    canvas.title(box, panel["title"], "white" if coloured else TEXT)
    part = box.w / max(len(curves), 1)
    for number, curve in enumerate(curves):
        cell = Box(box.x + number * part, box.y, part, box.h)
        _number(canvas, cell, curve, defaults, "white" if coloured else "#73bf69", len(curves) > 1)
    for curve in curves if len(curves) == 1 and panel["options"]["graphMode"] == "area" else ():
        axes = canvas.axes(box.inside(1, box.h * 0.7, 1, 1))
        axes.axis("off")
        axes.set_xlim(recording["start"], recording["end"])
        axes.set_ylim(0, max(curve.highest * 1.1, 1e-9))
        line = "white" if coloured else "#73bf69"
        axes.fill_between(curve.times, curve.values, color=line, alpha=0.13, linewidth=0)
        axes.plot(curve.times, curve.values, color=line, linewidth=0.9, alpha=0.5)
    if not curves:
        canvas.text(box.x + box.w / 2, box.y + box.h * 0.55, defaults.get("noValue", "No data"), 20, ha="center")


def _number(canvas: Canvas, box: Box, curve: Curve, defaults: Panel, colour: str, named: bool) -> None:
    text = text_of(curve.last, defaults["unit"], defaults.get("mappings"))
    size = min(30.0, 1.4 * box.w / max(len(text), 4))
    middle = box.y + box.h * (0.62 if named else 0.5)
    canvas.text(box.x + box.w / 2, middle, text, size, colour, ha="center", weight="bold")
    if named:
        canvas.text(box.x + box.w / 2, box.y + box.h * 0.37, curve.name, 11, FAINT, ha="center")


def _colour(defaults: Panel, value: float) -> str:
    steps = defaults["thresholds"]["steps"]
    reached = [step["color"] for step in steps if step["value"] is None or value >= step["value"]]
    return NAMED[reached[-1]]


def _table(canvas: Canvas, box: Box, panel: Panel, answers: list[Any], recording: Recording) -> None:
    canvas.frame(box)
    canvas.title(box, panel["title"])
    units = {
        override["matcher"]["options"]: property["value"]
        for override in panel["fieldConfig"]["overrides"]
        for property in override["properties"]
        if property["id"] == "unit"
    }
    names = [target["legendFormat"] for target in panel["targets"]]
    cells = [{one["metric"]["type"]: float(one["values"][0][1]) for one in answer} for answer in answers]
    types = sorted({type for column in cells for type in column}, key=lambda type: -cells[0].get(type, 0.0))
    width, height = (box.w - 20) / (len(names) + 1), min(26.0, (box.h - 60) / max(len(types), 1))
    rows = [["type", *names]]
    for type in types:
        values = [
            text_of(column.get(type, math.nan), units[name]) for name, column in zip(names, cells, strict=True)
        ]
        rows.append([type, *values])
    for number, row in enumerate(rows):
        y = box.y + 44 + number * height
        for column, cell in enumerate(row):
            x = box.x + 10 + column * width if not column else box.x + 10 + (column + 1) * width - 16
            canvas.text(x, y, cell, 11.5, "#6e9fff" if not number else TEXT, ha="left" if not column else "right")


KINDS: dict[str, Callable[[Canvas, Box, Panel, list[Any], Recording], None]] = {
    "timeseries": _timeseries,
    "stat": _stat,
    "table": _table,
}
