"""Rules for a test that cannot wait for minutes: the same expressions, all times shorter by one factor."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_PART = re.compile(r"(\d+)(ms|[smhdw])")
_DURATION = re.compile(r"(?:\d+(?:ms|[smhdw]))+")
#: Windows in brackets (subqueries have two times there), and offsets.
_TIMES = re.compile(r"\[[^\]]+\]|\boffset\s+\w+")

#: Old text to new text, by the alert or recorded series whose expression holds it.
Changes = Mapping[str, Mapping[str, str]]


def seconds(duration: str) -> float:
    """Return the seconds of a duration as Prometheus writes them: ``1h30m``."""
    return sum(int(number) * _UNITS[unit] for number, unit in _PART.findall(duration))


def scaled(source: Path, directory: Path, factor: float, changes: Changes, shortest: float = 2.0) -> Path:
    """Write a copy of a file of rules for a clock that runs `factor` times as fast; return its path.

    Windows, offsets and ``for:`` become shorter by the factor. A threshold is not
    touched: `changes` lists those that have to be, and an entry whose old text is not there fails.

    Args:
        shortest: Seconds that no window falls below: it must span two scrapes.
    """
    rules: dict[str, Any] = yaml.safe_load(source.read_text())
    for group in rules["groups"]:
        group.pop("interval", None)
        for rule in group["rules"]:
            _scale(rule, factor, changes.get(rule.get("alert") or rule["record"], {}), shortest)
    copy = directory / source.name
    copy.write_text(yaml.safe_dump(rules, sort_keys=False))
    return copy


def _scale(rule: dict[str, Any], factor: float, changes: Mapping[str, str], shortest: float) -> None:
    def shorter(duration: str, least: float) -> str:
        return f"{max(seconds(duration) / factor, least) * 1000:.0f}ms"

    expression = rule["expr"]
    for old, new in changes.items():
        assert old in expression, f"{rule.get('alert') or rule['record']} does not hold {old!r}: {expression}"
        expression = expression.replace(old, new)
    rule["expr"] = _TIMES.sub(
        lambda times: _DURATION.sub(lambda one: shorter(one[0], shortest), times[0]), expression
    )
    for wait in ("for", "keep_firing_for"):
        if wait in rule:
            rule[wait] = shorter(rule[wait], 0)
