"""Durations and instants as people type them: ``90``, ``15m``, ``2h30m``, ``7d``, ``2026-11-27T12:00:00Z``."""

from __future__ import annotations

import argparse
import re
from datetime import UTC, datetime, timedelta

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_PART = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")
_ALL = re.compile(r"(?:\d+(?:\.\d+)?[smhdw])+")
LONGEST = 100 * 365 * 86400.0
#: Things that are shown at once.
MOST = 10_000


def seconds(text: str) -> float:
    """Return a duration in seconds, for the ``type`` of an option: a number, or numbers with s, m, h, d or w."""
    text = text.strip().lower().replace(" ", "")
    if _ALL.fullmatch(text):
        total = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    else:
        try:
            total = float(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r:.60} is no duration such as 90, 15m or 2h30m") from None
    if not 0 <= total <= LONGEST:  # false for NaN as well
        raise argparse.ArgumentTypeError(f"{text!r:.60} is not between 0 and 100 years")
    return total


def number(text: str) -> int:
    """Return how many are wanted, for the ``type`` of an option: a whole number from 1 to 10,000."""
    try:
        found = int(text)
    except ValueError:
        found = 0
    if not 1 <= found <= MOST:
        raise argparse.ArgumentTypeError(f"{text!r:.60} is no whole number from 1 to {MOST:,}")
    return found


def instant(text: str) -> datetime:
    """Return an instant in ISO 8601 with its offset or Z, for the ``type`` of an option."""
    try:
        found = datetime.fromisoformat(text.strip())
        if found.utcoffset() is None:
            raise argparse.ArgumentTypeError(f"{text!r:.60} has no time zone: end it in Z or +01:00")
        return found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"{text!r:.60} is no instant, such as 2026-11-27T12:00:00Z") from None


def before(now: datetime, age: float) -> datetime:
    """Return the instant `age` seconds before `now`; the first there is if it would be earlier."""
    try:
        return now - timedelta(seconds=age)
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)
