"""A dark page with the places of the dashboard's grid, and the frames of its panels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from PIL import Image  # comes with matplotlib

PAGE, PANEL, EDGE, GRID = "#111217", "#181b1f", "#2b2e36", "#2a2d34"
TEXT, FAINT = "#d8d9e0", "#9a9ca8"
#: Grafana's classic palette.
PALETTE = (
    *("#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#5794f2", "#b877d9", "#56a64b", "#e0b400"),
    *("#3274d9", "#fa6400", "#e02f44", "#a352cc", "#96d98d", "#ffee52"),
)
NAMED = {"green": "#299c46", "yellow": "#c99a06", "red": "#c4162a"}

WIDTH = 1280
COLUMN = WIDTH / 24
LINE = 30
HEADER = 78
GAP = 4
DPI = 100
#: Enough for flat grounds and thin lines, and a third of the bytes.
COLOURS = 160


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels, counted from the upper left corner."""

    x: float
    y: float
    w: float
    h: float

    def inside(self, left: float, top: float, right: float, bottom: float) -> Box:
        """Return what is left within these margins."""
        return Box(self.x + left, self.y + top, self.w - left - right, self.h - top - bottom)


class Canvas:
    """The page. All measures are pixels; `lines` is its height on the dashboard's grid."""

    def __init__(self, lines: int) -> None:
        self.height = HEADER + lines * LINE + GAP
        self.figure = Figure(figsize=(WIDTH / DPI, self.height / DPI), dpi=DPI, facecolor=PAGE)
        self._agg: Any = FigureCanvasAgg(self.figure)

    def place(self, position: dict[str, int]) -> Box:
        """Return where the grid has a panel."""
        x, y = position["x"] * COLUMN, HEADER + position["y"] * LINE
        return Box(x, y, position["w"] * COLUMN, position["h"] * LINE).inside(GAP, GAP, GAP, GAP)

    def frame(self, box: Box, colour: str = PANEL) -> None:
        """Draw the ground of a panel."""
        self.figure.add_artist(
            FancyBboxPatch(
                (box.x / WIDTH, 1 - (box.y + box.h) / self.height),
                box.w / WIDTH,
                box.h / self.height,
                boxstyle="square,pad=0",
                facecolor=colour,
                edgecolor=EDGE,
                linewidth=0.8,
                zorder=-2,
            )
        )

    def axes(self, box: Box) -> Axes:
        """Return axes that fill a box."""
        place = (box.x / WIDTH, 1 - (box.y + box.h) / self.height, box.w / WIDTH, box.h / self.height)
        axes = self.figure.add_axes(place, facecolor="none")
        axes.set_zorder(1)
        return axes

    def text(self, x: float, y: float, text: str, size: float = 11, colour: str = TEXT, **style: Any) -> Any:
        """Write at a point; `size` is in pixels, the point is at the middle of the line."""
        style.setdefault("va", "center")
        style.setdefault("zorder", 3)
        return self.figure.text(
            x / WIDTH, 1 - y / self.height, text, fontsize=size * 72 / DPI, color=colour, **style
        )

    def title(self, box: Box, text: str, colour: str = TEXT) -> None:
        """Write the title of a panel, smaller if it does not fit."""
        written = self.text(box.x + 10, box.y + 15, text, 12.5, colour, weight="bold")
        written.set_fontsize(written.get_fontsize() * min(1.0, (box.w - 16) / self.width_of(written)))

    def width_of(self, text: Any) -> float:
        """Return how many pixels a text takes."""
        return float(text.get_window_extent(self._agg.get_renderer()).width)

    def save(self, path: Path) -> None:
        """Write a PNG of few colours, which is small."""
        self._agg.draw()
        picture = Image.fromarray(np.asarray(self._agg.buffer_rgba())).convert("RGB")
        picture.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
