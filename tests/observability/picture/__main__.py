"""``python -m tests.observability.picture``: run the load, draw its overview into grafana/overview.png."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .canvas import FAINT, HEADER, WIDTH, Canvas
from .panels import draw
from .recording import Recording, record

GRAFANA = Path(__file__).parents[3] / "grafana"
#: What fits on a page; the rows that are left out are for those who look further.
ROWS = ("Now", "Flow", "Latency", "Contention and leases", "Types")


def main() -> None:
    """Do it."""
    parser = argparse.ArgumentParser(prog="python -m tests.observability.picture", description=__doc__)
    parser.add_argument("--calm", type=int, default=12, metavar="SECONDS", help="between mishaps (default: 12)")
    parser.add_argument("--rows", nargs="+", default=ROWS, metavar="TITLE")
    parser.add_argument("--out", type=Path, default=GRAFANA / "overview.png", metavar="FILE")
    parser.add_argument("--data", type=Path, metavar="FILE", help="keep the answers here, and take them from here")
    args = parser.parse_args()
    dashboard = json.loads((GRAFANA / "dashboards" / "overview.json").read_text())
    if args.data and args.data.exists():
        recording = json.loads(args.data.read_text())
    else:
        recording = record(dashboard, sorted((GRAFANA / "prometheus").glob("*.rules.yml")), args.calm)
    if args.data:
        args.data.write_text(json.dumps(recording))
    paint(dashboard, recording, args.rows, args.out)
    print(f"{args.out}: {args.out.stat().st_size / 1000:.0f} kB")


def paint(dashboard: dict[str, Any], recording: Recording, rows: Sequence[str], out: Path) -> None:
    """Draw these rows of the dashboard, one below the other."""
    placed, lines = chosen(dashboard["panels"], rows)
    canvas = Canvas(lines)
    _head(canvas, dashboard, recording)
    for panel in placed:
        if panel["type"] == "row":
            box = canvas.place(panel["gridPos"])
            canvas.text(box.x + 8, box.y + box.h / 2, f"⌄  {panel['title']}", 14, weight="bold")
        else:
            draw(canvas, panel, recording)
    canvas.save(out)


def chosen(panels: list[dict[str, Any]], rows: Sequence[str]) -> tuple[list[dict[str, Any]], int]:
    """Return the panels of these rows, moved up to where others were left out, and how many lines they take."""
    found: list[dict[str, Any]] = []
    bottom, shift, wanted = 0, 0, False
    for panel in panels:
        place = panel["gridPos"]
        if panel["type"] == "row":
            wanted = panel["title"] in rows
            shift = place["y"] - bottom
        if wanted:
            found.append({**panel, "gridPos": {**place, "y": place["y"] - shift}})
            bottom = max(bottom, place["y"] - shift + place["h"])
    return found, bottom


def _head(canvas: Canvas, dashboard: dict[str, Any], recording: Recording) -> None:
    canvas.text(16, 24, dashboard["title"], 18, weight="bold")
    x = 16.0
    for variable in dashboard["templating"]["list"][1:]:
        name = canvas.text(x, HEADER - 22, variable["label"], 12, FAINT)
        x += canvas.width_of(name) + 8
        x += canvas.width_of(canvas.text(x, HEADER - 22, "All", 12, weight="bold")) + 26
    start = recording["start"]
    told = "   ".join(
        f"{int(at - start) // 60}:{int(at - start) % 60:02} {what}" for at, what in recording["mishaps"]
    )
    canvas.text(WIDTH - 16, HEADER - 22, f"┊ {told}", 12, "#8ab8ff", ha="right")
    canvas.text(WIDTH - 16, 24, "two pools under a mixed load, a scrape per second", 12, FAINT, ha="right")


if __name__ == "__main__":
    main()
