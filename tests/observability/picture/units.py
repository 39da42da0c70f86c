"""Numbers as Grafana writes them."""

from __future__ import annotations

import math
from typing import Any

_TIMES = ((86400.0, "day"), (3600.0, "hour"), (60.0, "min"), (1.0, "s"), (0.001, "ms"), (0.000001, "µs"))
_LARGE = ((1e9, " Bil"), (1e6, " Mil"), (1e3, " K"))


def text_of(value: float, unit: str, mappings: list[dict[str, Any]] | None = None) -> str:
    """Return `value` with its unit; what a mapping says of it instead, if one does."""
    for mapping in mappings or []:
        options = mapping["options"]
        if mapping["type"] == "range" and value >= options["from"]:
            return str(options["result"]["text"])
    if math.isnan(value):
        return "-"
    if unit == "s":
        return _seconds(value)
    if unit == "percentunit":
        return f"{_short(100 * value)} %"
    if unit == "ops":
        return f"{_short(value)}/s"
    return next((f"{_short(value / size)}{name}" for size, name in _LARGE if abs(value) >= size), _short(value))


def _seconds(value: float) -> str:
    for size, name in _TIMES:
        if abs(value) >= size:
            return f"{_short(value / size)} {name}"
    return "0 s"


def _short(value: float) -> str:
    """Return three digits, no zeros behind the point."""
    if abs(value) < 0.005:
        return "0"
    places = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    text = f"{value:.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
