"""``python -m jobpool.grafana.generate``: write dashboards/*.json anew, next to this file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from .benchmarks import benchmarks
from .overview import overview
from .panels import Json
from .types import types

#: The files, and what makes them.
DASHBOARDS: dict[str, Callable[[], Json]] = {"overview": overview, "types": types, "benchmarks": benchmarks}
FOLDER = Path(__file__).parent / "dashboards"


def text_of(dashboard: Json) -> str:
    """Return a dashboard as it stands in its file."""
    return json.dumps(dashboard, indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Write the files."""
    FOLDER.mkdir(exist_ok=True)
    for name, make in DASHBOARDS.items():
        (FOLDER / f"{name}.json").write_text(text_of(make()), encoding="utf-8")


if __name__ == "__main__":
    main()
