"""Pictures of the results, as PNG and SVG. The only importer of matplotlib, and only when one is drawn."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InvalidConfiguration
from .results import Measure, Results, whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INSTALL = "python -m pip install 'jobpool[bench]'"
FORMATS = ("png", "svg")


def available() -> bool:
    """Return whether pictures can be drawn here."""
    try:
        import_module("matplotlib")
    except ImportError:
        return False
    return True


def draw(results: Results, path: Path) -> list[Path]:
    """Draw the results beside `path`, which is without suffix; return the files.

    Raises:
        InvalidConfiguration: matplotlib is not installed.
    """
    if not available():
        raise InvalidConfiguration(f"pictures need matplotlib: {INSTALL}")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 7), layout="constrained")
    FigureCanvasAgg(figure)
    import_module(f"{__package__}.{results.benchmark}").draw(results, figure)
    figure.suptitle(title(results), fontsize=9)
    files = [path.with_suffix(f".{name}") for name in FORMATS]
    for file in files:
        # Neither the time nor a random id goes in: the same results make the same file.
        with whole(file) as beside:
            figure.savefig(beside, dpi=110, metadata={"Date": None} if file.suffix == ".svg" else None)
    return files


def title(results: Results) -> str:
    """Return one line that says what the figures depend on."""
    setting = results.setting
    parts = [
        f"jobpool {setting['jobpool']} {results.benchmark}" + (" (quick)" if results.quick else ""),
        f"MongoDB {setting['MongoDB']}, {setting['topology']}, {setting['write concern']}",
        f"{setting['cores']} cores",
    ]
    return "   |   ".join(parts)


def line(axes: Axes, measures: list[Measure], over: str, *, label: str = "", scale: float = 1.0) -> None:
    """Draw measures as a line over one of their labels, with the span of the repetitions."""
    points = sorted(measures, key=lambda item: float(item.labels[over]))
    if not points:
        return
    x = [float(item.labels[over]) for item in points]
    middle = [item.median * scale for item in points]
    below = [(item.median - min(item.values)) * scale for item in points]
    above = [(max(item.values) - item.median) * scale for item in points]
    axes.errorbar(x, middle, yerr=[below, above], marker="o", capsize=3, label=label or None)
    axes.set_xlabel(over)


def ticks(axes: Axes, measures: list[Measure], over: str, *, log: float | None = None) -> None:
    """Mark on the horizontal axis what was measured; `log` is the base of a logarithmic one."""
    points = sorted({float(item.labels[over]) for item in measures})
    if log is not None:
        axes.set_xscale("log", base=log)
        axes.minorticks_off()
    axes.set_xticks(points, [f"{point:,.0f}" for point in points])


def bars(axes: Axes, measures: list[Measure], names: list[str], *, scale: float = 1.0) -> None:
    """Draw measures as bars under their names, with the span of the repetitions."""
    middle = [item.median * scale for item in measures]
    below = [(item.median - min(item.values)) * scale for item in measures]
    above = [(max(item.values) - item.median) * scale for item in measures]
    axes.bar(names, middle, yerr=[below, above], capsize=3, color="tab:blue")
    axes.tick_params(axis="x", labelrotation=20)


def heat(axes: Axes, rows: list[list[float]], down: list[str], across: list[str]) -> None:
    """Draw a table of figures, the larger the brighter, with the figures written in; NaN is left empty."""
    axes.imshow(rows, aspect="auto", cmap="viridis")
    axes.set_yticks(range(len(down)), down)
    axes.set_xticks(range(len(across)), across)
    known = [figure for row in rows for figure in row if figure == figure]
    for y, row in enumerate(rows):
        for x, figure in enumerate(row):
            if figure == figure:
                colour = "black" if figure > 0.6 * max(known) else "white"
                axes.text(x, y, f"{figure:,.0f}", ha="center", va="center", fontsize=8, color=colour)


def finish(axes: Axes, heading: str, unit: str, *, log: bool = False) -> None:
    """Give axes a heading and a unit, let them begin at zero unless logarithmic, name the lines."""
    axes.set_title(heading, fontsize=10)
    axes.set_ylabel(unit)
    if log:
        axes.set_yscale("log")
    else:
        axes.set_ylim(0, max(axes.get_ylim()[1], 1.05 * axes.dataLim.y1))  # also of lines that are nearly level
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[1]:
        axes.legend(fontsize=8)
