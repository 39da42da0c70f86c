"""Fields as JavaScript leaves them in MongoDB: numbers for instants, any number for a priority, any error."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

from bson.datetime_ms import DatetimeMS

from ..names import bounded, shown
from ..outcome import MAX_ERROR_BYTES
from ..request import MAX_PRIORITY
from .carried import Note
from .javascript import number, stable_json

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def instant(value: Any) -> datetime | None:
    """Return an instant that is stored as a date, as milliseconds, or as ISO 8601; None for none.

    Raises:
        ValueError: It is something else.
    """
    if value is None or isinstance(value, datetime):
        return value
    if isinstance(value, DatetimeMS):
        raise ValueError("it is outside of the years 1 to 9999")
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return _EPOCH + timedelta(milliseconds=math.trunc(value))
        if isinstance(value, str) and (found := datetime.fromisoformat(value)).utcoffset() is not None:
            return found.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise ValueError(f"{shown(value, 60)} is no instant")


def priority_of(value: Any, notes: set[Note]) -> int:
    """Return the priority as an int within our bounds; what lies between two is the lower."""
    if value is None:
        return 0
    usable = isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)
    nearest = int(max(min(value, MAX_PRIORITY), -MAX_PRIORITY) // 1) if usable else 0
    if not usable or nearest != value:
        notes.add(Note.PRIORITY_CHANGED)
    return nearest


def failure_of(error: Any) -> tuple[str, str]:
    """Return the type and the message of an error as the package stores it."""
    code = error.get("code") if isinstance(error, dict) else None
    message = error.get("message") if isinstance(error, dict) else error
    if isinstance(code, int | float) and not isinstance(code, bool):
        code = number(code)
    named = bounded(code, 128) if isinstance(code, str) and code else "Error"
    return named, bounded(_told(message), MAX_ERROR_BYTES)


def _told(message: Any) -> str:
    if isinstance(message, str):
        return message
    try:
        return "" if message is None else stable_json(message)
    except TypeError:
        return str(message)
