"""Numbers, durations and instants in words."""

from __future__ import annotations

from datetime import UTC, datetime

_UNITS = (("y", 365 * 86400), ("d", 86400), ("h", 3600), ("m", 60), ("s", 1))


#: What is said of a pool whose next word is overdue, before for how long it has been.
SILENT = "silent for "


def several(number: int, what: str) -> str:
    """Return ``1 job`` or ``1,234 jobs``."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def silence(seconds: float) -> str:
    """Return ``silent for 13s``."""
    return f"{SILENT}{duration(seconds)}"


def duration(seconds: float) -> str:
    """Return a duration in its two largest units: ``2h 5m``, ``12s``, ``0.25s``."""
    if seconds < 0:
        return f"-{duration(-seconds)}"
    if seconds < 10:
        return f"{seconds:.2g}s" if seconds < 1 else f"{seconds:.1f}s".replace(".0s", "s")
    left = round(seconds)
    parts: list[str] = []
    for unit, size in _UNITS:
        if left >= size or parts:
            parts.append(f"{left // size}{unit}")
            left %= size
        if len(parts) == 2:
            break
    return " ".join(part for part in parts if not part.startswith("0"))


def moment(instant: datetime | None) -> str:
    """Return an instant in UTC to the second, ``2026-11-27 12:00:00Z``; ``-`` for none."""
    return "-" if instant is None else f"{instant.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"
